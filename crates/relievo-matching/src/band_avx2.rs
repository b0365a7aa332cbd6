//! The AVX2 kernel of the epipolar band; see the one for AVX-512, whose steps are
//! the same. Lists are written without branches from a table of bit positions.
#![allow(clippy::wildcard_imports, reason = "a kernel of intrinsics")]
#![expect(unsafe_code, reason = "AVX2 intrinsics behind run-time detection")]

use crate::band::{Groups, LANES, Places, Query, offer};
use crate::nearest::{Descriptor, Nearest};
use relievo_scene::DESCRIPTOR_LEN;
use std::arch::x86_64::*;

/// Places of a register.
const HALF: usize = LANES / 2;
/// Descriptors multiplied out at a time.
const AT_ONCE: usize = 4;
/// Bytes of a descriptor that fill a register when widened.
const PART: usize = 16;
/// Candidates whose descriptors are fetched ahead of their product.
const AHEAD: usize = 8;

/// Positions of the bits of a byte, lowest first, a byte each.
const POSITIONS: [u64; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut bit, mut count) = (0, 0);
        while bit < 8 {
            if byte >> bit & 1 == 1 {
                table[byte] |= (bit as u64) << (8 * count);
                count += 1;
            }
            bit += 1;
        }
        byte += 1;
    }
    table
};

/// See [`crate::band::nearest_in_band`]. Panics without AVX2.
pub(crate) fn search(
    queries: &[Query<'_>],
    groups: &Groups<'_>,
    descriptors: &[Descriptor],
    (from_a, from_b): (&mut [Nearest], &mut [Nearest]),
) {
    assert!(
        crate::nearest_avx2::available(),
        "the processor has no AVX2"
    );
    let in_order = groups.order.iter().map(|&j| descriptors[j as usize]);
    let descriptors: Vec<Descriptor> = in_order.collect();
    // A whole register is stored behind the last group and the last place.
    let mut hit = vec![0; groups.places.len() + HALF];
    let mut near = vec![0; groups.places.len() * LANES + HALF];
    for query in queries {
        // SAFETY: `available` was asserted.
        let count = unsafe { places_near(query.line, groups, &mut hit, &mut near) };
        let near = &near[..count];
        // SAFETY: `available` was asserted.
        from_a[query.idx as usize] =
            unsafe { nearest_of(near, query, groups, &descriptors, from_b) };
    }
}

/// Fills `near` with the places nearer to the line than their reach, positions
/// in the groups' order; how many. `hit` is scratch.
#[target_feature(enable = "avx2")]
fn places_near(line: [f32; 3], groups: &Groups<'_>, hit: &mut [u32], near: &mut [u32]) -> usize {
    let line = line.map(|v| _mm256_set1_ps(v));
    let mut hits = 0;
    for (sixteen, circles) in groups.circles.iter().enumerate() {
        hits += append(&mut hit[hits..], within(circles, line), sixteen * LANES);
    }
    let mut count = 0;
    for &g in &hit[..hits] {
        let places = &groups.places[g as usize];
        count += append(&mut near[count..], within(places, line), g as usize * LANES);
    }
    count
}

/// Writes `first` plus the position of each bit; how many bits there are.
#[inline]
#[target_feature(enable = "avx2")]
fn append(to: &mut [u32], bits: [u8; 2], first: usize) -> usize {
    let mut count = 0;
    for (half, byte) in bits.into_iter().enumerate() {
        let lanes = _mm_cvtsi64_si128(POSITIONS[usize::from(byte)] as i64);
        let first = _mm256_set1_epi32((first + half * HALF) as i32);
        let at = _mm256_add_epi32(_mm256_cvtepu8_epi32(lanes), first);
        let to = &mut to[count..count + HALF];
        // SAFETY: 32 writable bytes; unaligned stores are allowed.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), at) };
        count += byte.count_ones() as usize;
    }
    count
}

#[target_feature(enable = "avx2")]
fn nearest_of(
    near: &[u32],
    query: &Query<'_>,
    groups: &Groups<'_>,
    descriptors: &[Descriptor],
    from_b: &mut [Nearest],
) -> Nearest {
    let mut own = [_mm256_setzero_si256(); DESCRIPTOR_LEN / PART];
    for (part, own) in own.iter_mut().enumerate() {
        *own = widened(query.descriptor, part);
    }
    let mut nearest = Nearest::NONE;
    for (k, four) in near.chunks(AT_ONCE).enumerate() {
        let last = four.len() - 1;
        for &at in near.iter().skip(AT_ONCE * k + AHEAD).take(AT_ONCE) {
            let ahead = &descriptors[at as usize];
            for byte in [0, 64] {
                _mm_prefetch::<_MM_HINT_T0>((&raw const ahead[byte]).cast());
            }
        }
        // A place that is absent is the last one once more, and not looked at.
        let at = [0, 1, 2, 3].map(|k| four[last.min(k)] as usize);
        let a = products(&own, &descriptors[at[0]]);
        let b = products(&own, &descriptors[at[1]]);
        let c = products(&own, &descriptors[at[2]]);
        let d = products(&own, &descriptors[at[3]]);
        let all = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
        let sums = _mm_add_epi32(
            _mm256_castsi256_si128(all),
            _mm256_extracti128_si256(all, 1),
        );
        let mut dots = [0; AT_ONCE];
        // SAFETY: 16 writable bytes; unaligned stores are allowed.
        unsafe { _mm_storeu_si128(dots.as_mut_ptr().cast(), sums) };
        for k in 0..four.len() {
            offer(&mut nearest, groups.order[at[k]], dots[k]);
            offer(&mut from_b[at[k]], query.idx, dots[k]);
        }
    }
    nearest
}

/// Products to be summed over lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn products(own: &[__m256i; DESCRIPTOR_LEN / PART], other: &Descriptor) -> __m256i {
    let mut sum = _mm256_setzero_si256();
    for (part, own) in own.iter().enumerate() {
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(*own, widened(other, part)));
    }
    sum
}

/// Sixteen bytes as 16-bit numbers.
#[inline]
#[target_feature(enable = "avx2")]
fn widened(d: &Descriptor, part: usize) -> __m256i {
    let bytes = &d[part * PART..][..PART];
    // SAFETY: 16 readable bytes; unaligned loads are allowed.
    _mm256_cvtepu8_epi16(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
}

/// Bits of the places nearer to the line than their reach.
#[inline]
#[target_feature(enable = "avx2")]
fn within(places: &Places, line: [__m256; 3]) -> [u8; 2] {
    [
        half_within(places, 0, line),
        half_within(places, HALF, line),
    ]
}

#[inline]
#[target_feature(enable = "avx2")]
fn half_within(places: &Places, at: usize, [lx, ly, lz]: [__m256; 3]) -> u8 {
    // SAFETY: 32 readable bytes each, `at` being 0 or half; unaligned loads are allowed.
    let (x, y, reach) = unsafe {
        (
            _mm256_loadu_ps(places.x.as_ptr().add(at)),
            _mm256_loadu_ps(places.y.as_ptr().add(at)),
            _mm256_loadu_ps(places.reach.as_ptr().add(at)),
        )
    };
    let sum = _mm256_add_ps(_mm256_mul_ps(lx, x), _mm256_mul_ps(ly, y));
    let distance = _mm256_andnot_ps(_mm256_set1_ps(-0.0), _mm256_add_ps(sum, lz));
    let near = _mm256_cmp_ps::<_CMP_LT_OQ>(distance, reach);
    _mm256_movemask_ps(near) as u8
}
