//! Matching by sketches: what a full search finds, for a part of its work.
//!
//! The nearest by the bound of [`mod@crate::sketch`] are proposed as matches
//! ([`match_sketched`]); whether a match is the nearest, and clearly, is
//! decided by products: only those of the other photo whose bound reaches the limit
//! are multiplied out ([`clearly_nearest`]).

use crate::brute_force::{MatchOptions, SQUARED_NORM, passes};
use crate::cells::{Layout, Search, nearest_in_cells};
use crate::nearest::{Nearest, dot};
use crate::sketch::{Sketch, Sketched, UNIT, bound};
use relievo_scene::Match;
use relievo_task::Isa;

/// Ratio of the distances by the bound up to which a pair is looked at: the
/// part of the way from the ratio asked for to 1.
const LOOSE: f32 = 0.5;

/// Nothing seen yet; bounds may be negative.
pub(crate) const NO_BOUND: Nearest = Nearest {
    idx: u32::MAX,
    best: i32::MIN,
    second: i32::MIN,
};

/// A bound, or nothing where it is that of an absent column.
#[inline]
pub(crate) fn seen(bound: i32) -> i32 {
    if bound > i32::MIN / 4 {
        bound
    } else {
        i32::MIN
    }
}

/// The pairs with the greatest bounds: for each of `a` the best and second-best
/// of `b`, for each of `b` the position of the best of `a`. Equal bounds: the
/// lowest index wins.
pub(crate) fn nearest<'s>(
    a: impl ExactSizeIterator<Item = &'s Sketch>,
    b: impl ExactSizeIterator<Item = &'s Sketch>,
    isa: Isa,
) -> (Vec<Nearest>, Vec<u32>) {
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Native {
        if crate::nearest_avx512::available() {
            return crate::sketch_avx512::nearest(a, b);
        }
        if crate::nearest_avx2::available() {
            return crate::sketch_avx2::nearest(a, b);
        }
    }
    let _ = isa;
    nearest_portable(a, b)
}

pub(crate) fn nearest_portable<'s>(
    a: impl ExactSizeIterator<Item = &'s Sketch>,
    b: impl ExactSizeIterator<Item = &'s Sketch>,
) -> (Vec<Nearest>, Vec<u32>) {
    let b: Vec<&Sketch> = b.collect();
    let mut from_a = vec![NO_BOUND; a.len()];
    let mut from_b = vec![(i32::MIN, u32::MAX); b.len()];
    for (i, (sa, n)) in a.zip(&mut from_a).enumerate() {
        for (j, (sb, back)) in b.iter().zip(&mut from_b).enumerate() {
            let value = bound(sa, sb);
            if value > n.best {
                n.second = n.best;
                (n.best, n.idx) = (value, j as u32);
            } else if value > n.second {
                n.second = value;
            }
            if value > back.0 {
                *back = (value, i as u32);
            }
        }
    }
    (from_a, from_b.into_iter().map(|b| b.1).collect())
}

/// Matches from a to b, one to one, ordered by `a_idx`: those of
/// [`crate::match_slices`] that are also each other's nearest by their sketches
/// (975 to 1000 of 1000 on photographs and rendered sets), but for what a [`Search`] misses;
/// and of more than 4,608 descriptors some whose rival lies in no cell that was looked into.
pub fn match_sketched(
    a: Sketched<'_>,
    b: Sketched<'_>,
    search: Search,
    options: &MatchOptions,
    isa: Isa,
) -> Vec<Match> {
    let (from_a, from_b) = nearest_in_cells(a.sketches, b.sketches, search, isa);
    let ratio = options.ratio + LOOSE * (1.0 - options.ratio).max(0.0);
    let distance2 = |bound: i32| (SQUARED_NORM - (UNIT * bound) as f32).max(0.0);
    let proposed = from_a.iter().enumerate().filter(|(i, n)| {
        n.idx != u32::MAX
            && (!options.mutual || from_b[n.idx as usize] == *i as u32)
            && (n.second == i32::MIN || distance2(n.best) <= ratio * ratio * distance2(n.second))
    });
    let matches = proposed
        .map(|(i, n)| Match {
            a_idx: i as u32,
            b_idx: n.idx,
        })
        .collect();
    let matches = clearly_nearest(matches, |m| (m.a_idx, m.b_idx), (a, b), options, isa);
    if options.mutual {
        return clearly_nearest(matches, |m| (m.b_idx, m.a_idx), (b, a), options, isa);
    }
    let mut taken = vec![false; b.descriptors.len()];
    matches
        .into_iter()
        .filter(|m| !std::mem::replace(&mut taken[m.b_idx as usize], true))
        .collect()
}

/// One of a list of matches, and the limit for all others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query {
    pub(crate) from: u32,
    pub(crate) to: u32,
    /// Dot product of the match.
    pub(crate) dot: i32,
    /// Others over this dot product need a look.
    limit: i32,
    /// The same for the bound, rounding of `from` included.
    pub(crate) bound_limit: i32,
    /// Near enough for a match.
    near: bool,
}

/// Those of `matches` whose partner is the nearest of all in `to` (on equal dot
/// products the first), near enough, and clearly: of fewer than 4,608 exactly as a search through
/// all would find, of more among those of alike cells. `sides` tells the indices in `from` and `to`.
pub(crate) fn clearly_nearest(
    matches: Vec<Match>,
    sides: impl Fn(&Match) -> (u32, u32),
    (from, to): (Sketched<'_>, Sketched<'_>),
    options: &MatchOptions,
    isa: Isa,
) -> Vec<Match> {
    clearly_nearest_by(visit(isa), matches, sides, (from, to), options)
}

fn clearly_nearest_by(
    visit: Visit,
    matches: Vec<Match>,
    sides: impl Fn(&Match) -> (u32, u32),
    (from, to): (Sketched<'_>, Sketched<'_>),
    options: &MatchOptions,
) -> Vec<Match> {
    let rounding = Rounding::new(from.sketches, to.sketches);
    let queries: Vec<Query> = matches
        .iter()
        .map(|m| {
            let (i, j) = sides(m);
            let (a, b) = (&from.descriptors[i as usize], &to.descriptors[j as usize]);
            let dot = dot(a, b);
            let limit = limit(dot, options);
            // What is not near enough fails before it is held against others.
            let alone = Nearest {
                idx: j,
                best: dot,
                second: -1,
            };
            Query {
                from: i,
                to: j,
                dot,
                limit,
                bound_limit: rounding.bound_limit(limit, &from.sketches[i as usize]),
                near: passes(&alone, options),
            }
        })
        .collect();
    let slacks: Vec<i32> = to.sketches.iter().map(|s| rounding.slack(s)).collect();
    let near = Nearness {
        from,
        to,
        slacks: &slacks,
    };
    let mut stands: Vec<Standing> = queries
        .iter()
        .map(|q| Standing {
            second: -1,
            fails: !q.near,
        })
        .collect();
    visit(near, &queries, &mut stands);
    matches
        .into_iter()
        .zip(queries.iter().zip(&stands))
        .filter(|(_, (q, s))| {
            let found = Nearest {
                idx: q.to,
                best: q.dot,
                second: s.second,
            };
            !s.fails && passes(&found, options)
        })
        .map(|(m, _)| m)
        .collect()
}

/// What the rounding of sketches may have cost between two views.
#[derive(Clone, Copy)]
struct Rounding {
    norm_from: f32,
    norm_to: f32,
}

impl Rounding {
    fn new(from: &[Sketch], to: &[Sketch]) -> Self {
        let most =
            |of: &[Sketch], what: fn(&Sketch) -> f32| of.iter().map(what).fold(0.0, f32::max);
        Self {
            norm_from: most(from, |s| s.norm) + most(from, |s| s.error),
            norm_to: most(to, |s| s.norm),
        }
    }

    /// By descriptor; a little more for f32.
    fn cost(s: &Sketch, norm: f32) -> i32 {
        (1.001 * s.error * norm).ceil() as i32 + 1
    }

    /// What is to be added to the bound of one of `to`, in units of [`UNIT`].
    fn slack(self, to: &Sketch) -> i32 {
        Self::cost(to, self.norm_from).div_euclid(UNIT) + 1
    }

    /// Bounds, with their slack, up to this one mean dot products up to `limit`.
    fn bound_limit(self, limit: i32, from: &Sketch) -> i32 {
        (limit - Self::cost(from, self.norm_to)).div_euclid(UNIT)
    }
}

/// The largest dot product under `dot` that another may have so that a match of
/// `dot` passes.
fn limit(dot: i32, options: &MatchOptions) -> i32 {
    let passes = |second: i32| {
        passes(
            &Nearest {
                idx: 0,
                best: dot,
                second,
            },
            options,
        )
    };
    let (mut low, mut high) = (-1, dot);
    // `low` passes (or nothing does); `high` is not asked for.
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if passes(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// Both sides of a search, and what rounding may have cost in `to`, in units of
/// [`UNIT`].
#[derive(Clone, Copy)]
pub(crate) struct Nearness<'s> {
    pub(crate) from: Sketched<'s>,
    pub(crate) to: Sketched<'s>,
    pub(crate) slacks: &'s [i32],
}

/// What is known of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Largest dot product with another, as far as it matters.
    second: i32,
    /// Another is nearer.
    pub(crate) fails: bool,
}

impl Standing {
    /// Takes into account that `to` number j has this dot product.
    #[inline]
    pub(crate) fn meet(&mut self, query: &Query, j: u32, dot: i32) {
        if j == query.to {
            return;
        }
        let ambiguous = dot > query.limit && query.limit + 1 < query.dot;
        self.fails |= dot > query.dot || ambiguous || (dot == query.dot && j < query.to);
        self.second = self.second.max(dot);
    }
}

/// Multiplies out whatever a bound does not exclude.
type Visit = fn(Nearness<'_>, &[Query], &mut [Standing]);

fn visit(isa: Isa) -> Visit {
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Native {
        if crate::nearest_avx512::available() {
            return crate::sketch_avx512::visit;
        }
        if crate::nearest_avx2::available() {
            return crate::sketch_avx2::visit;
        }
    }
    let _ = isa;
    visit_portable
}

fn visit_portable(near: Nearness<'_>, queries: &[Query], stands: &mut [Standing]) {
    let layout = Layout::new(near, queries, 1);
    for part in &layout.parts {
        for &q in &part.queries {
            let (q, stand) = (&queries[q as usize], &mut stands[q as usize]);
            let i = q.from as usize;
            for &j in &layout.order[part.places.clone()] {
                if stand.fails {
                    break;
                }
                let to = &near.to.sketches[j as usize];
                let bound = bound(&near.from.sketches[i], to);
                if bound.saturating_add(near.slacks[j as usize]) > q.bound_limit {
                    let dot = dot(&near.from.descriptors[i], &near.to.descriptors[j as usize]);
                    stand.meet(q, j, dot);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::brute_force::match_slices;
    use crate::nearest::tests::{hard_descriptors, sizes};
    use crate::sketch::sketch;
    use crate::sketch::tests::alike;

    #[test]
    fn sketches_find_what_a_full_search_finds() {
        let (a, b) = alike(500, 4);
        let (sa, sb) = (sketch(&a), sketch(&b));
        let (a, b) = (
            Sketched {
                descriptors: &a,
                sketches: &sa,
            },
            Sketched {
                descriptors: &b,
                sketches: &sb,
            },
        );
        let options = MatchOptions::default();
        let full = match_slices(a.descriptors, b.descriptors, &options, Isa::Native);
        let found = match_sketched(a, b, Search::Thorough, &options, Isa::Native);
        assert!(full.len() > 300, "{}", full.len());
        assert!(found.iter().all(|m| full.contains(m)));
        assert!(
            found.len() * 100 >= full.len() * 98,
            "{} of {}",
            found.len(),
            full.len()
        );
    }

    #[test]
    fn kernels_equal_the_reference() {
        for (k, (m, n)) in sizes().into_iter().enumerate() {
            let (mut a, mut b) = (
                hard_descriptors(m, k as u64),
                hard_descriptors(n, 70 + k as u64),
            );
            let (c, d) = alike(m.min(n), 80 + k as u64);
            a.extend(c);
            b.extend(d);
            let (sa, sb) = (sketch(&a), sketch(&b));
            let reference = nearest_portable(sa.iter(), sb.iter());
            assert_eq!(
                nearest(sa.iter(), sb.iter(), Isa::Native),
                reference,
                "{m} x {n}"
            );
            #[cfg(target_arch = "x86_64")]
            if crate::nearest_avx2::available() {
                assert_eq!(
                    crate::sketch_avx2::nearest(sa.iter(), sb.iter()),
                    reference,
                    "{m} x {n}"
                );
            }
            let (a, b) = (
                Sketched {
                    descriptors: &a,
                    sketches: &sa,
                },
                Sketched {
                    descriptors: &b,
                    sketches: &sb,
                },
            );
            for mutual in [true, false] {
                let options = MatchOptions {
                    mutual,
                    ..MatchOptions::default()
                };
                assert_eq!(
                    match_sketched(a, b, Search::Thorough, &options, Isa::Native),
                    match_sketched(a, b, Search::Thorough, &options, Isa::Portable),
                    "{m} x {n}"
                );
            }
        }
    }

    /// Against the nearest of all, for pairs that are and pairs that are not.
    #[test]
    fn clearly_nearest_is_exact() {
        for hard in [0, 60] {
            let (mut a, mut b) = alike(200, 9);
            a.extend(hard_descriptors(hard, 5));
            b.extend(hard_descriptors(hard, 6));
            let options = MatchOptions::default();
            let (all, _) = crate::nearest::portable(&a, &b);
            let (sa, sb) = (sketch(&a), sketch(&b));
            let mut asked: Vec<Match> = Vec::new();
            for (i, n) in all.iter().enumerate() {
                for b_idx in [n.idx, (i as u32 * 3) % b.len() as u32] {
                    let a_idx = i as u32;
                    asked.push(Match { a_idx, b_idx });
                }
            }
            let is_match = |m: &Match| {
                let n = all[m.a_idx as usize];
                n.idx == m.b_idx && passes(&n, &options)
            };
            let want: Vec<Match> = asked.iter().copied().filter(is_match).collect();
            assert!(want.len() > 150, "{}", want.len());
            let mut kernels: Vec<Visit> = vec![visit(Isa::Native), visit_portable];
            #[cfg(target_arch = "x86_64")]
            if crate::nearest_avx2::available() {
                kernels.push(crate::sketch_avx2::visit);
            }
            for kernel in kernels {
                let sides = (
                    Sketched {
                        descriptors: &a,
                        sketches: &sa,
                    },
                    Sketched {
                        descriptors: &b,
                        sketches: &sb,
                    },
                );
                let pair = |m: &Match| (m.a_idx, m.b_idx);
                let found = clearly_nearest_by(kernel, asked.clone(), pair, sides, &options);
                assert!(found == want, "{} of {}", found.len(), want.len());
            }
        }
    }
}
