//! The AVX2 kernels of sketches: 16-bit pairs with `vpmaddwd`, exact.
//!
//! Laid out as the kernel of whole descriptors.
#![allow(clippy::wildcard_imports, reason = "a kernel of intrinsics")]
#![expect(unsafe_code, reason = "AVX2 intrinsics behind run-time detection")]

use crate::cells::Layout;
use crate::match_sketched::{NO_BOUND, Nearness, Query, Standing, seen};
use crate::nearest::{Descriptor, Nearest};
use crate::nearest_avx2::{LANES, Lanes, Running, available, load};
use crate::sketch::{KEPT, NO_SKETCH, Sketch, sketch_body};
use std::arch::x86_64::*;

/// Pairs of values in a sketch.
const PAIRS: usize = KEPT / 2 + 1;
/// Rows of a block.
const ROWS: usize = 6;
/// Pairs of coefficients, those of most energy, that already bound most products under
/// any limit; what the others hold counts as a part of what is left.
const HEAD: usize = KEPT / 4;
/// Groups of a tile: 18 KiB.
const TILE: usize = 32;

/// 8 sketches, two values at a time.
#[repr(C, align(32))]
#[derive(Clone, Copy)]
struct Group {
    pairs: [[i32; LANES]; PAIRS],
    start: [i32; LANES],
}

/// Nothing seen yet; bounds may be negative.
const NOTHING: Running = Running {
    best: [i32::MIN; LANES],
    second: [i32::MIN; LANES],
    idx: [0; LANES],
};

/// See [`crate::sketch::sketch`]. Panics without AVX2.
pub(crate) fn sketch(descriptors: &[Descriptor]) -> Vec<Sketch> {
    #[target_feature(enable = "avx2")]
    fn avx2(descriptors: &[Descriptor]) -> Vec<Sketch> {
        sketch_body(descriptors)
    }
    assert!(available(), "the processor has no AVX2");
    // SAFETY: just asserted.
    unsafe { avx2(descriptors) }
}

/// Two values at a time, as 16-bit halves of one word.
#[inline]
#[target_feature(enable = "avx2")]
fn pairs(s: &Sketch) -> [i32; PAIRS] {
    let mut pairs = [0; PAIRS];
    for (half, values) in s.coefficients.as_chunks::<16>().0.iter().enumerate() {
        let to = &mut pairs[half * LANES..][..LANES];
        // SAFETY: 16 readable and 32 writable bytes; unaligned access is allowed.
        unsafe {
            let wide = _mm256_cvtepi8_epi16(_mm_loadu_si128(values.as_ptr().cast()));
            _mm256_storeu_si256(to.as_mut_ptr().cast(), wide);
        }
    }
    let [mean, rest] = s.mean_and_rest;
    pairs[KEPT / 2] = i32::from(mean as u16) | i32::from(rest) << 16;
    pairs
}

/// Absent columns can never be the best.
#[target_feature(enable = "avx2")]
fn pack_columns<'s>(b: impl ExactSizeIterator<Item = &'s Sketch>) -> Vec<Group> {
    let empty = Group {
        pairs: [[0; LANES]; PAIRS],
        start: [i32::MIN / 2; LANES],
    };
    let mut groups = vec![empty; b.len().div_ceil(LANES)];
    for (j, s) in b.enumerate() {
        let (group, lane) = (&mut groups[j / LANES], j % LANES);
        for (to, pair) in group.pairs.iter_mut().zip(pairs(s)) {
            to[lane] = pair;
        }
        group.start[lane] = 0;
    }
    groups
}

#[target_feature(enable = "avx2")]
fn pack_rows<'s>(a: impl ExactSizeIterator<Item = &'s Sketch>) -> Vec<[[i32; ROWS]; PAIRS]> {
    let mut blocks = vec![[[0; ROWS]; PAIRS]; a.len().div_ceil(ROWS)];
    for (i, s) in a.enumerate() {
        for (to, pair) in blocks[i / ROWS].iter_mut().zip(pairs(s)) {
            to[i % ROWS] = pair;
        }
    }
    blocks
}

/// Adds the products of a block of rows with a group of columns to the sums: vectors that
/// have to stay in registers, hence no function.
macro_rules! bounds {
    ($rows:expr, $columns:expr, $sums:expr) => {{
        let mut sums: [__m256i; ROWS] = $sums;
        for (b, rows) in $columns.iter().zip($rows.iter()) {
            let b = load(b);
            for r in 0..ROWS {
                let product = _mm256_madd_epi16(b, _mm256_set1_epi32(rows[r]));
                sums[r] = _mm256_add_epi32(sums[r], product);
            }
        }
        sums
    }};
}

/// See [`crate::match_sketched`]. Panics without AVX2.
pub(crate) fn nearest<'s>(
    a: impl ExactSizeIterator<Item = &'s Sketch>,
    b: impl ExactSizeIterator<Item = &'s Sketch>,
) -> (Vec<Nearest>, Vec<u32>) {
    assert!(available(), "the processor has no AVX2");
    let (count, columns) = (a.len(), b.len());
    // SAFETY: `available` was asserted.
    let (groups, rows) = unsafe { (pack_columns(b), pack_rows(a)) };
    let mut from_rows = vec![NOTHING; rows.len() * ROWS];
    let mut from_columns = vec![NOTHING; groups.len()];
    for (tile, groups) in groups.chunks(TILE).enumerate() {
        let from_columns = &mut from_columns[tile * TILE..][..groups.len()];
        for (block, rows) in rows.iter().enumerate() {
            let running = &mut from_rows[block * ROWS..][..ROWS];
            let valid = ROWS.min(count - block * ROWS);
            let at = (block * ROWS, tile * TILE);
            // SAFETY: `available` was asserted.
            unsafe { block_by_tile(rows, valid, groups, running, from_columns, at) };
        }
    }
    // SAFETY: `available` was asserted.
    let from_a = unsafe { fold(&from_rows[..count]) };
    let from_b = (0..columns)
        .map(|j| {
            let (r, lane) = (&from_columns[j / LANES], j % LANES);
            if count == 0 {
                u32::MAX
            } else {
                r.idx[lane] as u32
            }
        })
        .collect();
    (from_a, from_b)
}

/// Lanes of running best, second and group of columns, folded to one result a row;
/// an absent column is nothing.
#[target_feature(enable = "avx2")]
fn fold(running: &[Running]) -> Vec<Nearest> {
    let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    let mut all = Vec::with_capacity(running.len());
    for r in running {
        let (best, second) = (load(&r.best), load(&r.second));
        let idx = _mm256_add_epi32(_mm256_slli_epi32::<3>(load(&r.idx)), lanes);
        let most = greatest(best);
        let ties = _mm256_cmpeq_epi32(best, most);
        // The lowest index among equals.
        let idx = _mm256_blendv_epi8(_mm256_set1_epi32(i32::MAX), idx, ties);
        let first = least(idx);
        let others = _mm256_blendv_epi8(best, second, _mm256_cmpeq_epi32(idx, first));
        let most = _mm256_cvtsi256_si32(most);
        all.push(if seen(most) == i32::MIN {
            NO_BOUND
        } else {
            Nearest {
                idx: _mm256_cvtsi256_si32(first) as u32,
                best: most,
                second: seen(_mm256_cvtsi256_si32(greatest(others))),
            }
        });
    }
    all
}

/// The greatest of all lanes, in all lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn greatest(v: __m256i) -> __m256i {
    let v = _mm256_max_epi32(v, _mm256_permute2x128_si256::<1>(v, v));
    let v = _mm256_max_epi32(v, _mm256_shuffle_epi32::<0b01_00_11_10>(v));
    _mm256_max_epi32(v, _mm256_shuffle_epi32::<0b10_11_00_01>(v))
}

/// The least of all lanes, in all lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn least(v: __m256i) -> __m256i {
    let v = _mm256_min_epi32(v, _mm256_permute2x128_si256::<1>(v, v));
    let v = _mm256_min_epi32(v, _mm256_shuffle_epi32::<0b01_00_11_10>(v));
    _mm256_min_epi32(v, _mm256_shuffle_epi32::<0b10_11_00_01>(v))
}

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
        let sums = bounds!(rows, group.pairs, [load(&group.start); ROWS]);
        let group_idx = _mm256_set1_epi32((at.1 + g) as i32);
        for r in 0..ROWS {
            let mut lanes = Lanes::load(&running[r]);
            lanes.offer(sums[r], group_idx);
            lanes.store(&mut running[r]);
        }
        let mut lanes = Lanes::load(column);
        for (r, sums) in sums.iter().enumerate() {
            if r < valid {
                lanes.offer_best(*sums, _mm256_set1_epi32((at.0 + r) as i32));
            }
        }
        lanes.store(column);
    }
}

/// The mean and the length of all but the coefficients of the first [`HEAD`] pairs, rounded
/// up, as 16-bit halves of one word.
fn head_and_rest(s: &Sketch) -> i32 {
    let [mean, rest] = s.mean_and_rest;
    let tail = s.coefficients[2 * HEAD..].iter();
    let tail: i32 = tail.map(|&c| i32::from(c) * i32::from(c)).sum();
    let rest = (i32::from(rest) * i32::from(rest) + tail) as f32;
    // Of integers this small no root is rounded down to a whole number.
    i32::from(mean as u16) | (rest.sqrt().ceil() as i32) << 16
}

/// See [`crate::match_sketched`]. Panics without AVX2.
pub(crate) fn visit(near: Nearness<'_>, queries: &[Query], stands: &mut [Standing]) {
    assert!(available(), "the processor has no AVX2");
    let layout = Layout::new(near, queries, LANES);
    let (sketches, slacks) = (near.to.sketches, near.slacks);
    let columns = layout.order.iter();
    let columns = columns.map(|&j| sketches.get(j as usize).unwrap_or(&NO_SKETCH));
    // SAFETY: `available` was asserted.
    let mut groups = unsafe { pack_columns(columns) };
    let mut heads = vec![[0; LANES]; groups.len()];
    for (place, &j) in layout.order.iter().enumerate() {
        let slack = slacks.get(j as usize).copied();
        groups[place / LANES].start[place % LANES] = slack.unwrap_or(i32::MIN / 2);
        let sketch = sketches.get(j as usize).unwrap_or(&NO_SKETCH);
        heads[place / LANES][place % LANES] = head_and_rest(sketch);
    }
    for part in &layout.parts {
        let live = part.queries.iter().copied();
        let live: Vec<u32> = live.filter(|&q| !stands[q as usize].fails).collect();
        let rows = live.iter().map(|&q| queries[q as usize].from as usize);
        let rows = rows.map(|i| &near.from.sketches[i]);
        // SAFETY: `available` was asserted.
        let blocks = unsafe { pack_rows(rows) };
        let places = part.places.start / LANES..part.places.end / LANES;
        let groups = (&groups[places.clone()], &heads[places]);
        let order = &layout.order[part.places.clone()];
        for (block, live) in blocks.iter().zip(live.chunks(ROWS)) {
            // SAFETY: `available` was asserted.
            unsafe { visit_block(near, block, groups, (queries, live), stands, order) };
        }
    }
}

#[target_feature(enable = "avx2")]
fn visit_block(
    near: Nearness<'_>,
    rows: &[[i32; ROWS]; PAIRS],
    (groups, heads): (&[Group], &[[i32; LANES]]),
    (queries, live): (&[Query], &[u32]),
    stands: &mut [Standing],
    order: &[u32],
) {
    let mut limits = [_mm256_set1_epi32(i32::MAX); ROWS];
    let mut row_heads = [0; ROWS];
    for (r, &q) in live.iter().enumerate() {
        let query = &queries[q as usize];
        limits[r] = _mm256_set1_epi32(query.bound_limit);
        row_heads[r] = head_and_rest(&near.from.sketches[query.from as usize]);
    }
    for (g, (group, head)) in groups.iter().zip(heads).enumerate() {
        let start = [load(&group.start); ROWS];
        let sums = bounds!(rows[..HEAD], group.pairs[..HEAD], start);
        let rough = bounds!([row_heads], [*head], sums);
        let mut over = _mm256_setzero_si256();
        for r in 0..ROWS {
            over = _mm256_or_si256(over, _mm256_cmpgt_epi32(rough[r], limits[r]));
        }
        if _mm256_testz_si256(over, over) != 0 {
            continue;
        }
        let sums = bounds!(rows[HEAD..], group.pairs[HEAD..], sums);
        for (&q, sums) in live.iter().zip(sums) {
            let (q, stand) = (&queries[q as usize], &mut stands[q as usize]);
            let over = _mm256_cmpgt_epi32(sums, _mm256_set1_epi32(q.bound_limit));
            let mut mask = _mm256_movemask_ps(_mm256_castsi256_ps(over));
            while mask != 0 && !stand.fails {
                let j = order[g * LANES + mask.trailing_zeros() as usize];
                mask &= mask - 1;
                let (from, to) = (near.from.descriptors, near.to.descriptors);
                stand.meet(q, j, dot(&from[q.from as usize], &to[j as usize]));
            }
        }
    }
}

/// The dot product, exactly.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn dot(a: &Descriptor, b: &Descriptor) -> i32 {
    let mut sum = _mm256_setzero_si256();
    for (a, b) in a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0) {
        // SAFETY: 16 readable bytes each; unaligned loads are allowed.
        let (a, b) = unsafe {
            (
                _mm_loadu_si128(a.as_ptr().cast()),
                _mm_loadu_si128(b.as_ptr().cast()),
            )
        };
        let product = _mm256_madd_epi16(_mm256_cvtepu8_epi16(a), _mm256_cvtepu8_epi16(b));
        sum = _mm256_add_epi32(sum, product);
    }
    let half = _mm_add_epi32(
        _mm256_castsi256_si128(sum),
        _mm256_extracti128_si256(sum, 1),
    );
    let quarter = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0b01_00_11_10));
    let eighth = _mm_add_epi32(quarter, _mm_shuffle_epi32(quarter, 0b10_11_00_01));
    _mm_cvtsi128_si32(eighth)
}
