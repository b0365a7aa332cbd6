//! The AVX-512 VNNI kernels of sketches.
//!
//! Laid out as the kernel of whole descriptors: columns in groups of 16, one per
//! lane, four coefficients at a time; a tile of columns stays in the first-level
//! cache while all rows pass over it.
#![allow(clippy::wildcard_imports, reason = "a kernel of intrinsics")]
#![expect(unsafe_code, reason = "AVX-512 intrinsics behind run-time detection")]

use crate::cells::Layout;
use crate::match_sketched::{NO_BOUND, Nearness, Query, Standing, seen};
use crate::nearest::{Descriptor, Nearest};
use crate::nearest_avx512::{LANES, Lanes, Running, load};
use crate::sketch::{KEPT, NO_SKETCH, Sketch};
use std::arch::x86_64::*;

/// Words of four coefficients in a sketch.
const WORDS: usize = KEPT / 4;
/// Rows of a block.
const ROWS: usize = 8;
/// Groups of a tile: 20 KiB.
const TILE: usize = 32;

/// 16 sketches, word by word; coefficients are 128 larger.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Group {
    words: [[i32; LANES]; WORDS],
    mean_and_rest: [i32; LANES],
}

/// 8 sketches, word by word, and what makes up for the 128.
#[derive(Clone, Copy)]
struct Block {
    words: [[i32; ROWS]; WORDS],
    mean_and_rest: [i32; ROWS],
    start: [i32; ROWS],
}

fn pair(s: &Sketch) -> i32 {
    let [mean, rest] = s.mean_and_rest.map(i16::to_le_bytes);
    i32::from_le_bytes([mean[0], mean[1], rest[0], rest[1]])
}

fn word(s: &Sketch, k: usize) -> [u8; 4] {
    std::array::from_fn(|i| s.coefficients[4 * k + i] as u8)
}

/// An even number of groups; `absent` is what an absent column is.
fn pack_columns<'s>(b: impl ExactSizeIterator<Item = &'s Sketch>) -> Vec<Group> {
    let empty = Group {
        words: [[0; LANES]; WORDS],
        mean_and_rest: [0; LANES],
    };
    let mut groups = vec![empty; b.len().div_ceil(LANES).next_multiple_of(2)];
    for (j, s) in b.enumerate() {
        let (group, lane) = (&mut groups[j / LANES], j % LANES);
        for (k, words) in group.words.iter_mut().enumerate() {
            words[lane] = i32::from_le_bytes(word(s, k).map(|v| v ^ 0x80));
        }
        group.mean_and_rest[lane] = pair(s);
    }
    groups
}

fn pack_rows<'s>(a: impl ExactSizeIterator<Item = &'s Sketch>) -> Vec<Block> {
    let empty = Block {
        words: [[0; ROWS]; WORDS],
        mean_and_rest: [0; ROWS],
        start: [0; ROWS],
    };
    let mut blocks = vec![empty; a.len().div_ceil(ROWS)];
    for (i, s) in a.enumerate() {
        let (block, r) = (&mut blocks[i / ROWS], i % ROWS);
        for (k, words) in block.words.iter_mut().enumerate() {
            words[r] = i32::from_le_bytes(word(s, k));
        }
        block.mean_and_rest[r] = pair(s);
        block.start[r] = -128 * s.coefficients.iter().map(|&c| i32::from(c)).sum::<i32>();
    }
    blocks
}

/// What an absent column adds.
const NEVER: i32 = i32::MIN / 2;

/// Absent columns are never the best.
fn absent(columns: usize, groups: usize) -> Vec<[i32; LANES]> {
    let mut starts = vec![[0; LANES]; groups];
    for j in columns..groups * LANES {
        starts[j / LANES][j % LANES] = NEVER;
    }
    starts
}

/// The bounds of a block of rows with two groups of columns: 16 vectors that
/// have to stay in registers, hence no function.
macro_rules! bounds {
    ($block:expr, $groups:expr, $starts:expr) => {{
        let (block, groups, starts) = ($block, $groups, $starts);
        let (s0, s1) = (load(&starts[0]), load(&starts[1]));
        let m0 = load(&groups[0].mean_and_rest);
        let m1 = load(&groups[1].mean_and_rest);
        let mut sums = [[s0; 2]; ROWS];
        for r in 0..ROWS {
            let start = _mm512_set1_epi32(block.start[r]);
            let pair = _mm512_set1_epi32(block.mean_and_rest[r]);
            sums[r][0] = _mm512_dpwssd_epi32(_mm512_add_epi32(s0, start), m0, pair);
            sums[r][1] = _mm512_dpwssd_epi32(_mm512_add_epi32(s1, start), m1, pair);
        }
        for k in 0..WORDS {
            let (b0, b1) = (load(&groups[0].words[k]), load(&groups[1].words[k]));
            for r in 0..ROWS {
                let a = _mm512_set1_epi32(block.words[k][r]);
                sums[r][0] = _mm512_dpbusd_epi32(sums[r][0], b0, a);
                sums[r][1] = _mm512_dpbusd_epi32(sums[r][1], b1, a);
            }
        }
        sums
    }};
}

/// Nothing seen yet; bounds may be negative.
const NOTHING: Running = Running {
    best: [i32::MIN; LANES],
    second: [i32::MIN; LANES],
    idx: [0; LANES],
};

/// See [`crate::match_sketched`]. Panics without AVX-512 VNNI.
pub(crate) fn nearest<'s>(
    a: impl ExactSizeIterator<Item = &'s Sketch>,
    b: impl ExactSizeIterator<Item = &'s Sketch>,
) -> (Vec<Nearest>, Vec<u32>) {
    assert!(
        crate::nearest_avx512::available(),
        "the processor has no AVX-512 VNNI"
    );
    let (rows, columns) = (a.len(), b.len());
    let groups = pack_columns(b);
    let starts = absent(columns, groups.len());
    let blocks = pack_rows(a);
    let mut from_rows = vec![NOTHING; blocks.len() * ROWS];
    let mut from_columns = vec![NOTHING; groups.len()];
    for (tile, (groups, starts)) in groups.chunks(TILE).zip(starts.chunks(TILE)).enumerate() {
        let from_columns = &mut from_columns[tile * TILE..][..groups.len()];
        for (i, block) in blocks.iter().enumerate() {
            let running = &mut from_rows[i * ROWS..][..ROWS];
            let valid = ROWS.min(rows - i * ROWS);
            let at = (i * ROWS, tile * TILE);
            // SAFETY: availability was asserted.
            unsafe { block_by_tile(block, valid, (groups, starts), running, from_columns, at) };
        }
    }
    let from_a = from_rows[..rows]
        .iter()
        // SAFETY: availability was asserted.
        .map(|r| unsafe { fold(r) })
        .collect();
    let from_b = (0..columns)
        .map(|j| {
            let (r, lane) = (&from_columns[j / LANES], j % LANES);
            if rows == 0 {
                u32::MAX
            } else {
                r.idx[lane] as u32
            }
        })
        .collect();
    (from_a, from_b)
}

/// The nearest of all lanes; the lowest index on equal bounds.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn fold(running: &Running) -> Nearest {
    let (best, second) = (load(&running.best), load(&running.second));
    let lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    let idx = _mm512_add_epi32(_mm512_slli_epi32(load(&running.idx), 4), lanes);
    let most = _mm512_reduce_max_epi32(best);
    let first =
        _mm512_mask_reduce_min_epu32(_mm512_cmpeq_epi32_mask(best, _mm512_set1_epi32(most)), idx);
    let chosen = _mm512_cmpeq_epi32_mask(idx, _mm512_set1_epi32(first as i32));
    let others = _mm512_mask_mov_epi32(best, chosen, _mm512_set1_epi32(i32::MIN));
    let next = _mm512_reduce_max_epi32(_mm512_max_epi32(others, second));
    match (seen(most), seen(next)) {
        (i32::MIN, _) => NO_BOUND,
        (best, second) => Nearest {
            idx: first,
            best,
            second,
        },
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn block_by_tile(
    block: &Block,
    valid: usize,
    (groups, starts): (&[Group], &[[i32; LANES]]),
    running: &mut [Running],
    columns: &mut [Running],
    at: (usize, usize),
) {
    for (pair, ((groups, starts), columns)) in groups
        .chunks_exact(2)
        .zip(starts.chunks_exact(2))
        .zip(columns.chunks_exact_mut(2))
        .enumerate()
    {
        let sums = bounds!(block, groups, starts);
        let first = (at.1 + 2 * pair) as i32;
        for r in 0..ROWS {
            let mut lanes = Lanes::load(&running[r]);
            lanes.offer(sums[r][0], _mm512_set1_epi32(first));
            lanes.offer(sums[r][1], _mm512_set1_epi32(first + 1));
            lanes.store(&mut running[r]);
        }
        for (side, column) in columns.iter_mut().enumerate() {
            let mut lanes = Lanes::load(column);
            for (r, sums) in sums.iter().enumerate() {
                if r < valid {
                    lanes.offer_best(sums[side], _mm512_set1_epi32((at.0 + r) as i32));
                }
            }
            lanes.store(column);
        }
    }
}

/// See [`crate::match_sketched`]. Panics without AVX-512 VNNI.
pub(crate) fn visit(near: Nearness<'_>, queries: &[Query], stands: &mut [Standing]) {
    assert!(
        crate::nearest_avx512::available(),
        "the processor has no AVX-512 VNNI"
    );
    let layout = Layout::new(near, queries, 2 * LANES);
    let (sketches, slacks) = (near.to.sketches, near.slacks);
    let columns = layout.order.iter();
    let groups = pack_columns(columns.map(|&j| sketches.get(j as usize).unwrap_or(&NO_SKETCH)));
    let columns = layout.order.chunks(LANES);
    let starts: Vec<[i32; LANES]> = columns
        .map(|c| std::array::from_fn(|k| slacks.get(c[k] as usize).copied().unwrap_or(NEVER)))
        .collect();
    for part in &layout.parts {
        let live = part.queries.iter().copied();
        let live: Vec<u32> = live.filter(|&q| !stands[q as usize].fails).collect();
        let rows = live.iter().map(|&q| queries[q as usize].from as usize);
        let blocks = pack_rows(rows.map(|i| &near.from.sketches[i]));
        let range = part.places.start / LANES..part.places.end / LANES;
        let columns = (&groups[range.clone()], &starts[range]);
        let order = &layout.order[part.places.clone()];
        for (block, live) in blocks.iter().zip(live.chunks(ROWS)) {
            // SAFETY: availability was asserted.
            unsafe { visit_block(near, block, columns, (queries, live), stands, order) };
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn visit_block(
    near: Nearness<'_>,
    block: &Block,
    (groups, starts): (&[Group], &[[i32; LANES]]),
    (queries, live): (&[Query], &[u32]),
    stands: &mut [Standing],
    order: &[u32],
) {
    for (pair, (groups, starts)) in groups
        .chunks_exact(2)
        .zip(starts.chunks_exact(2))
        .enumerate()
    {
        let sums = bounds!(block, groups, starts);
        for (&q, sums) in live.iter().zip(&sums) {
            let (q, stand) = (&queries[q as usize], &mut stands[q as usize]);
            let limit = _mm512_set1_epi32(q.bound_limit);
            let over: [u16; 2] = [
                _mm512_cmpgt_epi32_mask(sums[0], limit),
                _mm512_cmpgt_epi32_mask(sums[1], limit),
            ];
            if over == [0, 0] {
                continue;
            }
            for (side, mut mask) in over.into_iter().enumerate() {
                while mask != 0 && !stand.fails {
                    let place = (2 * pair + side) * LANES + mask.trailing_zeros() as usize;
                    mask &= mask - 1;
                    let (from, to) = (near.from.descriptors, near.to.descriptors);
                    let j = order[place];
                    stand.meet(q, j, dot(&from[q.from as usize], &to[j as usize]));
                }
            }
        }
    }
}

/// The dot product, exactly.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn dot(a: &Descriptor, b: &Descriptor) -> i32 {
    let sign = _mm512_set1_epi8(-128);
    let (mut sum, mut shift) = (_mm512_setzero_si512(), _mm512_setzero_si512());
    for (a, b) in a.as_chunks::<64>().0.iter().zip(b.as_chunks::<64>().0) {
        // SAFETY: 64 readable bytes each; unaligned loads are allowed.
        let (a, b) = unsafe {
            (
                _mm512_loadu_si512(a.as_ptr().cast()),
                _mm512_loadu_si512(b.as_ptr().cast()),
            )
        };
        // a·b = (a − 128)·b + 128·Σb.
        sum = _mm512_dpbusd_epi32(sum, b, _mm512_xor_si512(a, sign));
        shift = _mm512_dpbusd_epi32(shift, b, _mm512_set1_epi8(1));
    }
    _mm512_reduce_add_epi32(_mm512_add_epi32(sum, _mm512_slli_epi32(shift, 7)))
}
