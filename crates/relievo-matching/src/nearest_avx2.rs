//! The AVX2 kernel: 16-bit pairs with `vpmaddwd`, exact.
//!
//! Columns come in groups of 8 (one per lane), two values of each at a time.
#![allow(clippy::wildcard_imports, reason = "a kernel of intrinsics")]
#![expect(unsafe_code, reason = "AVX2 intrinsics behind run-time detection")]

use crate::nearest::{Descriptor, Nearest, fold_lanes};
use std::arch::x86_64::*;

/// Columns of a group.
pub(crate) const LANES: usize = 8;
/// Pairs of values in a descriptor.
const PAIRS: usize = 64;
/// Rows of a block.
const ROWS: usize = 6;
/// Groups of a tile: 32 KiB.
const TILE: usize = 16;

/// 8 descriptors, two values at a time.
#[repr(C, align(32))]
#[derive(Clone, Copy)]
struct Group {
    pairs: [[i32; LANES]; PAIRS],
    start: [i32; LANES],
}

/// Running best, second-best and position of 8 lanes.
#[repr(C, align(32))]
#[derive(Clone, Copy)]
pub(crate) struct Running {
    pub(crate) best: [i32; LANES],
    pub(crate) second: [i32; LANES],
    pub(crate) idx: [i32; LANES],
}

const NOTHING: Running = Running {
    best: [-1; LANES],
    second: [-1; LANES],
    idx: [0; LANES],
};

/// True where the processor can run this kernel.
pub(crate) fn available() -> bool {
    is_x86_feature_detected!("avx2")
}

/// See [`crate::nearest::nearest_both`]. Panics where not [`available`].
pub(crate) fn nearest_both(a: &[Descriptor], b: &[Descriptor]) -> (Vec<Nearest>, Vec<Nearest>) {
    assert!(available(), "the processor has no AVX2");
    let groups = pack_columns(b);
    let rows = pack_rows(a);
    let mut from_rows = vec![NOTHING; rows.len() * ROWS];
    let mut from_columns = vec![NOTHING; groups.len()];
    for (tile, groups) in groups.chunks(TILE).enumerate() {
        let columns = &mut from_columns[tile * TILE..][..groups.len()];
        for (block, rows) in rows.iter().enumerate() {
            let running = &mut from_rows[block * ROWS..][..ROWS];
            let valid = ROWS.min(a.len() - block * ROWS);
            let at = (block * ROWS, tile * TILE);
            // SAFETY: `available` was asserted.
            unsafe { block_by_tile(rows, valid, groups, running, columns, at) };
        }
    }
    let from_a = from_rows[..a.len()]
        .iter()
        .map(|r| {
            fold_lanes(&r.best, &r.second, |lane| {
                (r.idx[lane] as usize * LANES + lane) as u32
            })
        })
        .collect();
    let from_b = (0..b.len())
        .map(|j| {
            let (r, lane) = (&from_columns[j / LANES], j % LANES);
            if r.best[lane] < 0 {
                return Nearest::NONE;
            }
            Nearest {
                idx: r.idx[lane] as u32,
                best: r.best[lane],
                second: r.second[lane],
            }
        })
        .collect();
    (from_a, from_b)
}

/// Two bytes as two 16-bit values in one word.
fn pair(d: &Descriptor, k: usize) -> i32 {
    i32::from(d[2 * k]) | i32::from(d[2 * k + 1]) << 16
}

/// Absent columns can never be the best.
fn pack_columns(b: &[Descriptor]) -> Vec<Group> {
    let empty = Group {
        pairs: [[0; LANES]; PAIRS],
        start: [i32::MIN / 2; LANES],
    };
    let mut groups = vec![empty; b.len().div_ceil(LANES)];
    for (j, d) in b.iter().enumerate() {
        let (group, lane) = (&mut groups[j / LANES], j % LANES);
        for (k, pairs) in group.pairs.iter_mut().enumerate() {
            pairs[lane] = pair(d, k);
        }
        group.start[lane] = 0;
    }
    groups
}

fn pack_rows(a: &[Descriptor]) -> Vec<[[i32; ROWS]; PAIRS]> {
    let mut blocks = vec![[[0; ROWS]; PAIRS]; a.len().div_ceil(ROWS)];
    for (i, d) in a.iter().enumerate() {
        for (k, pairs) in blocks[i / ROWS].iter_mut().enumerate() {
            pairs[i % ROWS] = pair(d, k);
        }
    }
    blocks
}

/// All dot products of a block of rows with a tile of columns. `at`: index of
/// the first row, index of the first group.
#[target_feature(enable = "avx2")]
fn block_by_tile(
    rows: &[[i32; ROWS]; PAIRS],
    valid: usize,
    groups: &[Group],
    running: &mut [Running],
    columns: &mut [Running],
    at: (usize, usize),
) {
    for (g, (group, column)) in groups.iter().zip(columns).enumerate() {
        let mut dots = [load(&group.start); ROWS];
        for (b, rows) in group.pairs.iter().zip(rows) {
            let b = load(b);
            for r in 0..ROWS {
                let product = _mm256_madd_epi16(b, _mm256_set1_epi32(rows[r]));
                dots[r] = _mm256_add_epi32(dots[r], product);
            }
        }
        let group_idx = _mm256_set1_epi32((at.1 + g) as i32);
        for r in 0..ROWS {
            let mut lanes = Lanes::load(&running[r]);
            lanes.offer(dots[r], group_idx);
            lanes.store(&mut running[r]);
        }
        let mut lanes = Lanes::load(column);
        for (r, dots) in dots.iter().enumerate() {
            if r < valid {
                lanes.offer(*dots, _mm256_set1_epi32((at.0 + r) as i32));
            }
        }
        lanes.store(column);
    }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn load(lanes: &[i32; LANES]) -> __m256i {
    // SAFETY: 32 readable bytes; unaligned loads are allowed.
    unsafe { _mm256_loadu_si256(lanes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(lanes: &mut [i32; LANES], v: __m256i) {
    // SAFETY: 32 writable bytes; unaligned stores are allowed.
    unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), v) };
}

/// [`Running`] in registers.
#[derive(Clone, Copy)]
pub(crate) struct Lanes {
    best: __m256i,
    second: __m256i,
    idx: __m256i,
}

impl Lanes {
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(crate) fn load(r: &Running) -> Self {
        Self {
            best: load(&r.best),
            second: load(&r.second),
            idx: load(&r.idx),
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    pub(crate) fn store(self, r: &mut Running) {
        store(&mut r.best, self.best);
        store(&mut r.second, self.second);
        store(&mut r.idx, self.idx);
    }

    /// Positions come in rising order, so a tie keeps the first.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(crate) fn offer(&mut self, dot: __m256i, idx: __m256i) {
        let better = _mm256_cmpgt_epi32(dot, self.best);
        self.second = _mm256_max_epi32(self.second, _mm256_min_epi32(self.best, dot));
        self.best = _mm256_max_epi32(self.best, dot);
        self.idx = _mm256_blendv_epi8(self.idx, idx, better);
    }

    /// [`Self::offer`] without the second.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(crate) fn offer_best(&mut self, dot: __m256i, idx: __m256i) {
        let better = _mm256_cmpgt_epi32(dot, self.best);
        self.best = _mm256_max_epi32(self.best, dot);
        self.idx = _mm256_blendv_epi8(self.idx, idx, better);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nearest::portable;
    use crate::nearest::tests::{hard_descriptors, sizes};

    #[test]
    fn equals_the_reference() {
        if !available() {
            return;
        }
        for (k, (m, n)) in sizes().into_iter().enumerate() {
            let (a, b) = (
                hard_descriptors(m, k as u64),
                hard_descriptors(n, 70 + k as u64),
            );
            assert_eq!(nearest_both(&a, &b), portable(&a, &b), "{m} x {n}");
        }
    }
}
