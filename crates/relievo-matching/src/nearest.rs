//! Exact nearest and second-nearest descriptors, in both directions at once.
//!
//! One pass over all dot products feeds the rows (a) and the columns (b).
//! Equal dot products: the lowest index wins. The kernels give equal results;
//! [`nearest_both`] picks one at run time.

use relievo_scene::DESCRIPTOR_LEN;
use relievo_task::Isa;

/// A quantised descriptor.
pub type Descriptor = [u8; DESCRIPTOR_LEN];

/// Best and second-best dot product of one descriptor with those of the other
/// view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nearest {
    /// Position of the best; `u32::MAX` where the other view has none.
    pub idx: u32,
    /// Its dot product; −1 where there is none.
    pub best: i32,
    /// The second-best dot product (equal to the best on a tie); −1 where
    /// there is none.
    pub second: i32,
}

impl Nearest {
    /// Nothing seen yet.
    pub const NONE: Self = Self {
        idx: u32::MAX,
        best: -1,
        second: -1,
    };

    /// Takes part of another set of candidates into account. On equal dot
    /// products the lower index stays.
    #[inline]
    pub(crate) fn merge(&mut self, other: Self) {
        let wins = other.best > self.best || (other.best == self.best && other.idx < self.idx);
        let (best, rest) = if wins { (other, *self) } else { (*self, other) };
        *self = Self {
            idx: best.idx,
            best: best.best,
            second: best.second.max(rest.best),
        };
    }
}

/// Nearest of `b` for each of `a`, and nearest of `a` for each of `b`.
pub fn nearest_both(a: &[Descriptor], b: &[Descriptor], isa: Isa) -> (Vec<Nearest>, Vec<Nearest>) {
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Native {
        if crate::nearest_avx512::available() {
            return crate::nearest_avx512::nearest_both(a, b);
        }
        if crate::nearest_avx2::available() {
            return crate::nearest_avx2::nearest_both(a, b);
        }
    }
    let _ = isa;
    portable(a, b)
}

/// The reference: plain loops, tiled so that a tile of `b` stays in cache.
pub(crate) fn portable(a: &[Descriptor], b: &[Descriptor]) -> (Vec<Nearest>, Vec<Nearest>) {
    const TILE: usize = 128;
    let mut from_a = vec![Nearest::NONE; a.len()];
    let mut from_b = vec![Nearest::NONE; b.len()];
    for (tile, descriptors) in b.chunks(TILE).enumerate() {
        for (i, da) in a.iter().enumerate() {
            for (j, db) in descriptors.iter().enumerate() {
                let j = tile * TILE + j;
                let dot = dot(da, db);
                offer(&mut from_a[i], j as u32, dot);
                offer(&mut from_b[j], i as u32, dot);
            }
        }
    }
    (from_a, from_b)
}

#[inline]
fn offer(nearest: &mut Nearest, idx: u32, dot: i32) {
    if dot > nearest.best {
        nearest.second = nearest.best;
        nearest.best = dot;
        nearest.idx = idx;
    } else if dot > nearest.second {
        nearest.second = dot;
    }
}

#[inline]
pub(crate) fn dot(a: &Descriptor, b: &Descriptor) -> i32 {
    let mut sum = 0_i32;
    for k in 0..DESCRIPTOR_LEN {
        sum += i32::from(a[k]) * i32::from(b[k]);
    }
    sum
}

/// Lanes of running best, second and position, folded to one result.
pub(crate) fn fold_lanes(best: &[i32], second: &[i32], idx: impl Fn(usize) -> u32) -> Nearest {
    let mut nearest = Nearest::NONE;
    for lane in 0..best.len() {
        if best[lane] >= 0 {
            nearest.merge(Nearest {
                idx: idx(lane),
                best: best[lane],
                second: second[lane],
            });
        }
    }
    nearest
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use rand_core::RngCore;

    /// Random, extreme and repeated descriptors.
    pub(crate) fn hard_descriptors(n: usize, seed: u64) -> Vec<Descriptor> {
        let mut rng = relievo_task::rng(seed, "test", "descriptors");
        let mut all: Vec<Descriptor> = Vec::with_capacity(n);
        for i in 0..n {
            let mut d = [0; DESCRIPTOR_LEN];
            match i % 7 {
                0 => d.fill(255),
                1 => d.fill(0),
                2 if i > 20 => d = all[rng.next_u32() as usize % i],
                3 => d.iter_mut().for_each(|v| *v = (rng.next_u32() % 3) as u8),
                _ => rng.fill_bytes(&mut d),
            }
            all.push(d);
        }
        all
    }

    pub(crate) fn sizes() -> [(usize, usize); 9] {
        [
            (0, 5),
            (5, 0),
            (1, 1),
            (1, 40),
            (37, 1),
            (7, 15),
            (8, 32),
            (33, 257),
            (301, 530),
        ]
    }

    #[test]
    fn the_chosen_kernel_equals_the_reference() {
        for (k, (m, n)) in sizes().into_iter().enumerate() {
            let (a, b) = (
                hard_descriptors(m, k as u64),
                hard_descriptors(n, 100 + k as u64),
            );
            assert_eq!(
                nearest_both(&a, &b, Isa::Native),
                portable(&a, &b),
                "{m} x {n}"
            );
        }
    }

    #[test]
    fn merging_keeps_the_lower_index_and_the_second() {
        let part = |idx, best, second| Nearest { idx, best, second };
        let mut n = part(9, 50, 20);
        n.merge(part(3, 50, 10));
        assert_eq!(n, part(3, 50, 50));
        n.merge(part(1, 60, 55));
        assert_eq!(n, part(1, 60, 55));
        n.merge(Nearest::NONE);
        assert_eq!(n, part(1, 60, 55));
    }
}
