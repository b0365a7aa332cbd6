//! The AVX-512 VNNI kernel of [`crate::band`].
//!
//! `vpdpbusd` multiplies unsigned by signed bytes: the query is unsigned, each
//! candidate is shifted to b − 128, and 128·Σa is added, so that sums are
//! exact. Distances are multiplied and added without fusing, as in the
//! reference.
#![allow(clippy::wildcard_imports, reason = "a kernel of intrinsics")]
#![expect(unsafe_code, reason = "AVX-512 intrinsics behind run-time detection")]

use crate::band::{Groups, LANES, Places, Query, offer};
use crate::nearest::{Descriptor, Nearest};
use std::arch::x86_64::*;

/// True where the processor can run this kernel.
pub(crate) fn available() -> bool {
    crate::nearest_avx512::available()
}

/// See [`crate::band::nearest_in_band`]. Panics where not [`available`].
pub(crate) fn search(
    queries: &[Query<'_>],
    groups: &Groups,
    from_a: &mut [Nearest],
    from_b: &mut [Nearest],
) {
    assert!(available(), "the processor has no AVX-512 VNNI");
    for query in queries {
        // SAFETY: `available` was asserted.
        from_a[query.idx as usize] = unsafe { search_one(query, groups, from_b) };
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn search_one(query: &Query<'_>, groups: &Groups, from_b: &mut [Nearest]) -> Nearest {
    let line = query.line.map(|v| _mm512_set1_ps(v));
    let (first, second) = load(query.descriptor);
    let offset = 128 * query.descriptor.iter().map(|&v| i32::from(v)).sum::<i32>();
    let shift = _mm512_set1_epi8(-128);
    let mut own = Nearest::NONE;
    for (sixteen, circles) in groups.circles.iter().enumerate() {
        let mut hit = within(circles, line);
        while hit != 0 {
            let g = sixteen * LANES + hit.trailing_zeros() as usize;
            hit &= hit - 1;
            let mut near = within(&groups.places[g], line);
            while near != 0 {
                let at = g * LANES + near.trailing_zeros() as usize;
                near &= near - 1;
                let (low, high) = load(&groups.descriptors[at]);
                let low = _mm512_xor_si512(low, shift);
                let high = _mm512_xor_si512(high, shift);
                let sums = _mm512_dpbusd_epi32(_mm512_setzero_si512(), first, low);
                let sums = _mm512_dpbusd_epi32(sums, second, high);
                let dot = _mm512_reduce_add_epi32(sums) + offset;
                offer(&mut own, groups.order[at], dot);
                offer(&mut from_b[at], query.idx, dot);
            }
        }
    }
    own
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load(d: &Descriptor) -> (__m512i, __m512i) {
    // SAFETY: 128 readable bytes; unaligned loads are allowed.
    unsafe {
        let p = d.as_ptr();
        (
            _mm512_loadu_si512(p.cast()),
            _mm512_loadu_si512(p.add(64).cast()),
        )
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
