//! The AVX-512 kernel of the epipolar band: 16 places at a time against a line;
//! the descriptors near it are multiplied out four at a time, so that their sums
//! over lanes are one.
#![allow(clippy::wildcard_imports, reason = "a kernel of intrinsics")]
#![expect(unsafe_code, reason = "AVX-512 intrinsics behind run-time detection")]

use crate::band::{Groups, LANES, Places, Query, offer};
use crate::nearest::{Descriptor, Nearest};
use std::arch::x86_64::*;

/// Descriptors multiplied out at a time.
const AT_ONCE: usize = 4;

/// True where the processor can run this kernel.
pub(crate) fn available() -> bool {
    crate::nearest_avx512::available()
}

/// See [`crate::band::nearest_in_band`]. Panics where not [`available`].
pub(crate) fn search(
    queries: &[Query<'_>],
    groups: &Groups<'_>,
    descriptors: &[Descriptor],
    (from_a, from_b): (&mut [Nearest], &mut [Nearest]),
) {
    assert!(available(), "the processor has no AVX-512 VNNI");
    // `vpdpbusd` takes signed bytes on one side.
    let signed = |&j: &u32| descriptors[j as usize].map(|v| v ^ 0x80);
    let descriptors: Vec<Descriptor> = groups.order.iter().map(signed).collect();
    // A whole register is stored behind the last group and the last place.
    let mut hit = vec![0; groups.places.len() + LANES];
    let mut near = vec![0; groups.places.len() * LANES + LANES];
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
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn places_near(line: [f32; 3], groups: &Groups<'_>, hit: &mut [u32], near: &mut [u32]) -> usize {
    let line = line.map(|v| _mm512_set1_ps(v));
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
#[target_feature(enable = "avx512f,avx512bw")]
fn append(to: &mut [u32], bits: u16, first: usize) -> usize {
    let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let at = _mm512_add_epi32(lanes, _mm512_set1_epi32(first as i32));
    let packed = _mm512_maskz_compress_epi32(bits, at);
    let to = &mut to[..LANES];
    // SAFETY: 64 writable bytes; unaligned stores are allowed.
    unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), packed) };
    bits.count_ones() as usize
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn nearest_of(
    near: &[u32],
    query: &Query<'_>,
    groups: &Groups<'_>,
    descriptors: &[Descriptor],
    from_b: &mut [Nearest],
) -> Nearest {
    let own = load(query.descriptor);
    let offset = 128 * query.descriptor.iter().map(|&v| i32::from(v)).sum::<i32>();
    let offset = _mm_set1_epi32(offset);
    let mut nearest = Nearest::NONE;
    for four in near.chunks(AT_ONCE) {
        let last = four.len() - 1;
        // A place that is absent is the last one once more, and not looked at.
        let at = [0, 1, 2, 3].map(|k| four[last.min(k)] as usize);
        let a = products(own, &descriptors[at[0]]);
        let b = products(own, &descriptors[at[1]]);
        let c = products(own, &descriptors[at[2]]);
        let d = products(own, &descriptors[at[3]]);
        let mut dots = [0; AT_ONCE];
        let sums = _mm_add_epi32(offset, sums(a, b, c, d));
        // SAFETY: 16 writable bytes; unaligned stores are allowed.
        unsafe { _mm_storeu_si128(dots.as_mut_ptr().cast(), sums) };
        for k in 0..four.len() {
            offer(&mut nearest, groups.order[at[k]], dots[k]);
            offer(&mut from_b[at[k]], query.idx, dots[k]);
        }
    }
    nearest
}

/// Products with a descriptor that is less 128, to be summed over lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn products(own: [__m512i; 2], other: &Descriptor) -> __m512i {
    let [low, high] = load(other);
    let sums = _mm512_dpbusd_epi32(_mm512_setzero_si512(), own[0], low);
    _mm512_dpbusd_epi32(sums, own[1], high)
}

/// The sums over the lanes of each.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn sums(a: __m512i, b: __m512i, c: __m512i, d: __m512i) -> __m128i {
    let ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    let cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    let all = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    let half = _mm256_add_epi32(
        _mm512_castsi512_si256(all),
        _mm512_extracti64x4_epi64(all, 1),
    );
    _mm_add_epi32(
        _mm256_castsi256_si128(half),
        _mm256_extracti128_si256(half, 1),
    )
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load(d: &Descriptor) -> [__m512i; 2] {
    let p = d.as_ptr();
    // SAFETY: 128 readable bytes; unaligned loads are allowed.
    unsafe {
        [
            _mm512_loadu_si512(p.cast()),
            _mm512_loadu_si512(p.add(64).cast()),
        ]
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn within(places: &Places, [lx, ly, lz]: [__m512; 3]) -> u16 {
    // SAFETY: 64 readable bytes each; unaligned loads are allowed.
    let (x, y, reach) = unsafe {
        (
            _mm512_loadu_ps(places.x.as_ptr()),
            _mm512_loadu_ps(places.y.as_ptr()),
            _mm512_loadu_ps(places.reach.as_ptr()),
        )
    };
    let sum = _mm512_add_ps(_mm512_mul_ps(lx, x), _mm512_mul_ps(ly, y));
    let distance = _mm512_abs_ps(_mm512_add_ps(sum, lz));
    _mm512_cmp_ps_mask::<_CMP_LT_OQ>(distance, reach)
}
