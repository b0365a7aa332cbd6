//! The AVX2 kernel of the epipolar band; see the one for AVX-512.
#![allow(clippy::wildcard_imports, reason = "a kernel of intrinsics")]
#![expect(unsafe_code, reason = "AVX2 intrinsics behind run-time detection")]

use crate::band::{Groups, LANES, Places, Query, offer};
use crate::nearest::{Descriptor, Nearest};
use crate::sketch_avx2::dot;
use std::arch::x86_64::*;

/// Places of a register.
const HALF: usize = LANES / 2;

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
    for query in queries {
        // SAFETY: `available` was asserted.
        let own = unsafe { search_one(query, groups, &descriptors, from_b) };
        from_a[query.idx as usize] = own;
    }
}

#[target_feature(enable = "avx2")]
fn search_one(
    query: &Query<'_>,
    groups: &Groups<'_>,
    descriptors: &[Descriptor],
    from_b: &mut [Nearest],
) -> Nearest {
    let line = query.line.map(|v| _mm256_set1_ps(v));
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
                let dot = dot(query.descriptor, &descriptors[at]);
                offer(&mut own, groups.order[at], dot);
                offer(&mut from_b[at], query.idx, dot);
            }
        }
    }
    own
}

#[inline]
#[target_feature(enable = "avx2")]
fn within(places: &Places, [lx, ly, lz]: [__m256; 3]) -> u32 {
    let sign = _mm256_set1_ps(-0.0);
    let mut bits = 0;
    for half in 0..2 {
        let at = half * HALF;
        // SAFETY: 32 readable bytes each; unaligned loads are allowed.
        let (x, y, reach) = unsafe {
            (
                _mm256_loadu_ps(places.x.as_ptr().add(at)),
                _mm256_loadu_ps(places.y.as_ptr().add(at)),
                _mm256_loadu_ps(places.reach.as_ptr().add(at)),
            )
        };
        let sum = _mm256_add_ps(_mm256_mul_ps(lx, x), _mm256_mul_ps(ly, y));
        let distance = _mm256_andnot_ps(sign, _mm256_add_ps(sum, lz));
        let near = _mm256_cmp_ps::<_CMP_LT_OQ>(distance, reach);
        bits |= (_mm256_movemask_ps(near) as u32) << at;
    }
    bits
}
