//! Descriptors that are alike fall into the same cell.
//!
//! The signs of a few coefficients of the sketch tell the cell, by turning on hyperplanes
//! as in Charikar, "Similarity estimation techniques from rounding algorithms", STOC 2002. A
//! descriptor is looked for in its own cell and in those that it would have with its least
//! certain signs turned over (Lv et al., "Multi-probe LSH", VLDB 2007).

use crate::match_sketched::{NO_BOUND, Nearness, Query, nearest};
use crate::nearest::Nearest;
use crate::sketch::Sketch;
use relievo_task::Isa;
use std::ops::Range;

/// Positions in the sketch of the coefficients whose signs are taken: about as many are
/// positive as negative, and partners rarely differ (measured: docs/decisions.md).
const SIGNS: [usize; 6] = [4, 9, 17, 13, 8, 0];

/// Descriptors from which on cells save more than they cost.
const LEAST: usize = 768;

/// Descriptors from which on all signs are taken and three may turn over; below, one less.
const MANY: usize = 3072;

/// Items of each cell, ascending.
struct Cells {
    starts: Vec<usize>,
    items: Vec<u32>,
}

impl Cells {
    /// From the cells of each item.
    fn new<const N: usize>(of: &[[u8; N]], cells: usize) -> Self {
        let mut starts = vec![0; cells + 1];
        for cell in of.as_flattened() {
            starts[usize::from(*cell) + 1] += 1;
        }
        for c in 0..cells {
            starts[c + 1] += starts[c];
        }
        let mut items = vec![0; starts[cells]];
        let mut next = starts.clone();
        for (i, cells) in of.iter().enumerate() {
            for cell in cells {
                let at = &mut next[usize::from(*cell)];
                items[*at] = i as u32;
                *at += 1;
            }
        }
        Self { starts, items }
    }

    fn cell(&self, c: usize) -> &[u32] {
        &self.items[self.starts[c]..self.starts[c + 1]]
    }
}

fn cell_of(s: &Sketch, signs: usize) -> u8 {
    let positive = |k: usize| u8::from(s.coefficients[SIGNS[k]] > 0);
    (0..signs).map(|k| positive(k) << k).sum()
}

/// The N = 2^u cells in which `s` is looked for, of u uncertain signs.
fn looked_into<const N: usize>(s: &Sketch, signs: usize) -> [u8; N] {
    let mut sizes = SIGNS.map(|k| s.coefficients[k].unsigned_abs());
    let mut cells = [cell_of(s, signs); N];
    let mut turned = 1;
    while turned < N {
        let least = (1..signs).fold(0, |m, k| if sizes[k] < sizes[m] { k } else { m });
        sizes[least] = u8::MAX;
        for k in turned..2 * turned {
            cells[k] = cells[k - turned] ^ 1 << least;
        }
        turned *= 2;
    }
    cells
}

/// How many matches a search may miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// Hardly any, of fewer than 4,608 descriptors none.
    Thorough,
    /// Some 5 of a hundred: whether there is something to match is told by fewer, too.
    Quick,
}

/// As [`nearest`], among those of `b` in whose cells each of `a` is looked for, for a fifth to
/// a third of the products. Few are compared with all.
pub(crate) fn nearest_in_cells(
    a: &[Sketch],
    b: &[Sketch],
    search: Search,
    isa: Isa,
) -> (Vec<Nearest>, Vec<u32>) {
    match (search, a.len().max(b.len())) {
        (Search::Quick, ..LEAST) | (Search::Thorough, ..LEAST_CHECKED) => {
            nearest(a.iter(), b.iter(), isa)
        }
        (Search::Quick, LEAST..MANY) => in_cells::<4>(a, b, SIGNS.len() - 1, isa),
        (Search::Quick, _) => in_cells::<8>(a, b, SIGNS.len(), isa),
        (Search::Thorough, _) => in_cells::<16>(a, b, SIGNS.len(), isa),
    }
}

fn in_cells<const N: usize>(
    a: &[Sketch],
    b: &[Sketch],
    signs: usize,
    isa: Isa,
) -> (Vec<Nearest>, Vec<u32>) {
    let count = 1 << signs;
    let from: Vec<[u8; N]> = a.iter().map(|s| looked_into(s, signs)).collect();
    let to: Vec<[u8; 1]> = b.iter().map(|s| [cell_of(s, signs)]).collect();
    let (from, to) = (Cells::new(&from, count), Cells::new(&to, count));
    let mut from_a = vec![NO_BOUND; a.len()];
    let mut from_b = vec![u32::MAX; b.len()];
    for c in 0..count {
        let (rows, columns) = (from.cell(c), to.cell(c));
        if rows.is_empty() || columns.is_empty() {
            continue;
        }
        let of_a = rows.iter().map(|&i| &a[i as usize]);
        let (found, back) = nearest(of_a, columns.iter().map(|&j| &b[j as usize]), isa);
        for (&i, n) in rows.iter().zip(found) {
            let idx = columns[n.idx as usize];
            from_a[i as usize].merge(Nearest { idx, ..n });
        }
        for (&j, i) in columns.iter().zip(back) {
            from_b[j as usize] = rows[i as usize];
        }
    }
    (from_a, from_b)
}

/// Descriptors from which on matches are held against those in cells alone. Matches of the
/// first features, which decide whether there is anything to match, are held against all:
/// of photos that do not overlap one in thirty wrong ones would pass.
const LEAST_CHECKED: usize = 4608;

/// Places of a part are looked at together.
const PART: usize = 512;

/// How queries go through the descriptors that they are held against.
pub(crate) struct Layout {
    /// Which one is at each place; `u32::MAX` for none.
    pub(crate) order: Vec<u32>,
    /// In turn.
    pub(crate) parts: Vec<Part>,
}

/// Neighbouring places, and the queries that look there.
pub(crate) struct Part {
    pub(crate) places: Range<usize>,
    pub(crate) queries: Vec<u32>,
}

/// Fills a place.
const ABSENT: u32 = u32::MAX;

impl Layout {
    /// Cells one after the other, with those that look into each; of few, everything for
    /// all. Parts begin at multiples of `width` and end there.
    pub(crate) fn new(near: Nearness<'_>, queries: &[Query], width: usize) -> Self {
        let to = near.to.sketches;
        let mut out = Self {
            order: Vec::with_capacity(to.len() + (width << SIGNS.len())),
            parts: Vec::new(),
        };
        if to.len() < LEAST_CHECKED {
            let all: Vec<u32> = (0..queries.len() as u32).collect();
            let every: Vec<u32> = (0..to.len() as u32).collect();
            for part in every.chunks(PART) {
                out.add(part, all.clone(), width);
            }
            return out;
        }
        let signs = SIGNS.len();
        let from = queries.iter().map(|q| &near.from.sketches[q.from as usize]);
        let from: Vec<[u8; 8]> = from.map(|s| looked_into(s, signs)).collect();
        let cells: Vec<[u8; 1]> = to.iter().map(|s| [cell_of(s, signs)]).collect();
        let (from, to) = (
            Cells::new(&from, 1 << signs),
            Cells::new(&cells, 1 << signs),
        );
        for c in 0..1 << signs {
            for part in to.cell(c).chunks(PART) {
                out.add(part, from.cell(c).to_vec(), width);
            }
        }
        out
    }

    fn add(&mut self, items: &[u32], queries: Vec<u32>, width: usize) {
        let first = self.order.len();
        self.order.extend(items);
        let end = self.order.len().next_multiple_of(width);
        self.order.resize(end, ABSENT);
        self.parts.push(Part {
            places: first..end,
            queries,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::brute_force::{MatchOptions, match_slices};
    use crate::match_sketched::match_sketched;
    use crate::sketch::tests::alike;
    use crate::sketch::{Sketched, sketch};

    #[test]
    fn what_is_found_is_the_nearest_of_its_cells() {
        for n in [1000, 3200] {
            let (a, b) = alike(n, 9);
            let (a, b) = (sketch(&a), sketch(&b));
            let (all, _) = nearest(a.iter(), b.iter(), Isa::Native);
            let (found, back) = nearest_in_cells(&a, &b, Search::Quick, Isa::Native);
            let portable = nearest_in_cells(&a, &b, Search::Quick, Isa::Portable);
            assert_eq!((&found, &back), (&portable.0, &portable.1));
            let pairs = found.iter().zip(&all);
            let same = pairs.filter(|(f, n)| f.idx == n.idx).count();
            assert!(same * 100 > n * 90, "{same} of {n}");
            for (f, n) in found.iter().zip(&all) {
                assert!(f.best <= n.best && f.second <= n.best);
            }
        }
    }

    #[test]
    fn matches_of_many_are_nearly_those_of_a_full_search() {
        let (a, b) = alike(4800, 3);
        let (sa, sb) = (sketch(&a), sketch(&b));
        let sides = |d, s| Sketched {
            descriptors: d,
            sketches: s,
        };
        let (sa, sb) = (sides(&a, &sa), sides(&b, &sb));
        let options = MatchOptions::default();
        let all = match_slices(&a, &b, &options, Isa::Native);
        let found = match_sketched(sa, sb, Search::Thorough, &options, Isa::Native);
        assert_eq!(
            found,
            match_sketched(sa, sb, Search::Thorough, &options, Isa::Portable)
        );
        let common = found.iter().filter(|m| all.contains(m)).count();
        assert!(all.len() > 3000, "{}", all.len());
        assert!(common * 100 > all.len() * 96, "{common} of {}", all.len());
        assert!(
            found.len() * 100 < common * 103,
            "{common} of {}",
            found.len()
        );
    }
}
