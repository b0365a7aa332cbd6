//! The AVX-512 VNNI kernel.
//!
//! `vpdpbusd` multiplies unsigned by signed bytes: a is shifted to a − 128,
//! and the accumulators start at 128·Σb, so that the sums are exact. Columns
//! come in groups of 16 (one per lane), four bytes of each at a time; a tile
//! of columns stays in the first-level cache while all rows pass over it.
#![allow(clippy::wildcard_imports, reason = "a kernel of intrinsics")]
#![expect(unsafe_code, reason = "AVX-512 intrinsics behind run-time detection")]

use crate::nearest::{Descriptor, Nearest, fold_lanes};
use std::arch::x86_64::*;

/// Columns of a group.
pub(crate) const LANES: usize = 16;
/// Words of four bytes in a descriptor.
const WORDS: usize = 32;
/// Rows of a block.
const ROWS: usize = 8;
/// Groups of a tile: 32 KiB.
const TILE: usize = 16;

/// 16 descriptors, word by word, and what their accumulators start at.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Group {
    words: [[i32; LANES]; WORDS],
    start: [i32; LANES],
}

/// Running best, second-best and position of 16 lanes.
#[repr(C, align(64))]
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
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vnni")
}

/// See [`crate::nearest::nearest_both`]. Panics where not [`available`].
pub(crate) fn nearest_both(a: &[Descriptor], b: &[Descriptor]) -> (Vec<Nearest>, Vec<Nearest>) {
    assert!(available(), "the processor has no AVX-512 VNNI");
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

fn word(d: &Descriptor, k: usize) -> [u8; 4] {
    [d[4 * k], d[4 * k + 1], d[4 * k + 2], d[4 * k + 3]]
}

/// An even number of groups; absent columns can never be the best.
fn pack_columns(b: &[Descriptor]) -> Vec<Group> {
    let empty = Group {
        words: [[0; LANES]; WORDS],
        start: [i32::MIN / 2; LANES],
    };
    let mut groups = vec![empty; b.len().div_ceil(LANES).next_multiple_of(2)];
    for (j, d) in b.iter().enumerate() {
        let (group, lane) = (&mut groups[j / LANES], j % LANES);
        for (k, words) in group.words.iter_mut().enumerate() {
            words[lane] = i32::from_le_bytes(word(d, k));
        }
        group.start[lane] = 128 * d.iter().map(|&v| i32::from(v)).sum::<i32>();
    }
    groups
}

/// Blocks of rows, each byte less 128 as signed.
fn pack_rows(a: &[Descriptor]) -> Vec<[[i32; ROWS]; WORDS]> {
    let mut blocks = vec![[[0; ROWS]; WORDS]; a.len().div_ceil(ROWS)];
    for (i, d) in a.iter().enumerate() {
        for (k, words) in blocks[i / ROWS].iter_mut().enumerate() {
            words[i % ROWS] = i32::from_le_bytes(word(d, k).map(|v| v ^ 0x80));
        }
    }
    blocks
}

/// All dot products of a block of rows with a tile of columns. `at`: index of
/// the first row, index of the first group.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn block_by_tile(
    rows: &[[i32; ROWS]; WORDS],
    valid: usize,
    groups: &[Group],
    running: &mut [Running],
    columns: &mut [Running],
    at: (usize, usize),
) {
    for (pair, (groups, columns)) in groups
        .chunks_exact(2)
        .zip(columns.chunks_exact_mut(2))
        .enumerate()
    {
        let starts = [load(&groups[0].start), load(&groups[1].start)];
        let mut dots = [starts; ROWS];
        for k in 0..WORDS {
            let b0 = load(&groups[0].words[k]);
            let b1 = load(&groups[1].words[k]);
            for r in 0..ROWS {
                let a = _mm512_set1_epi32(rows[k][r]);
                dots[r][0] = _mm512_dpbusd_epi32(dots[r][0], b0, a);
                dots[r][1] = _mm512_dpbusd_epi32(dots[r][1], b1, a);
            }
        }
        let first = (at.1 + 2 * pair) as i32;
        for r in 0..ROWS {
            let mut lanes = Lanes::load(&running[r]);
            lanes.offer(dots[r][0], _mm512_set1_epi32(first));
            lanes.offer(dots[r][1], _mm512_set1_epi32(first + 1));
            lanes.store(&mut running[r]);
        }
        for (side, column) in columns.iter_mut().enumerate() {
            let mut lanes = Lanes::load(column);
            for (r, dots) in dots.iter().enumerate() {
                if r < valid {
                    lanes.offer(dots[side], _mm512_set1_epi32((at.0 + r) as i32));
                }
            }
            lanes.store(column);
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn load(lanes: &[i32; LANES]) -> __m512i {
    // SAFETY: 64 readable bytes; unaligned loads are allowed.
    unsafe { _mm512_loadu_si512(lanes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(lanes: &mut [i32; LANES], v: __m512i) {
    // SAFETY: 64 writable bytes; unaligned stores are allowed.
    unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), v) };
}

/// [`Running`] in registers.
#[derive(Clone, Copy)]
pub(crate) struct Lanes {
    best: __m512i,
    second: __m512i,
    idx: __m512i,
}

impl Lanes {
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(crate) fn load(r: &Running) -> Self {
        Self {
            best: load(&r.best),
            second: load(&r.second),
            idx: load(&r.idx),
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(crate) fn store(self, r: &mut Running) {
        store(&mut r.best, self.best);
        store(&mut r.second, self.second);
        store(&mut r.idx, self.idx);
    }

    /// Positions come in rising order, so a tie keeps the first.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(crate) fn offer(&mut self, dot: __m512i, idx: __m512i) {
        let better = _mm512_cmpgt_epi32_mask(dot, self.best);
        self.second = _mm512_max_epi32(self.second, _mm512_min_epi32(self.best, dot));
        self.best = _mm512_max_epi32(self.best, dot);
        self.idx = _mm512_mask_mov_epi32(self.idx, better, idx);
    }

    /// [`Self::offer`] without the second.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(crate) fn offer_best(&mut self, dot: __m512i, idx: __m512i) {
        let better = _mm512_cmpgt_epi32_mask(dot, self.best);
        self.best = _mm512_max_epi32(self.best, dot);
        self.idx = _mm512_mask_mov_epi32(self.idx, better, idx);
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
                hard_descriptors(n, 50 + k as u64),
            );
            assert_eq!(nearest_both(&a, &b), portable(&a, &b), "{m} x {n}");
        }
    }
}
