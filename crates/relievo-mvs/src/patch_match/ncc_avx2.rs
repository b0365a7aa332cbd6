//! The NCC kernel for AVX2 and FMA: two registers of eight lanes.
#![expect(unsafe_code, reason = "gathers and byte arithmetic by intrinsics")]

use super::half_field::{I, LANES};
use super::ncc::{FixedWarp, Patch, Sums, TAP_ROWS};
use super::packed_image::Arena;
use std::arch::x86_64::*;

/// True where the processor has what [`sums`] needs.
pub(crate) fn available() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// See [`super::ncc::sums_portable`]. The caller has checked that every sample
/// lies in the arena and that [`available`] holds.
#[inline]
pub(crate) fn sums(patch: &Patch, warp: &FixedWarp, arena: &Arena) -> Sums {
    let mut out = Sums {
        s: [0.0; LANES],
        ss: [0.0; LANES],
        rs: [0.0; LANES],
    };
    // SAFETY: `Kernel::detect` chose this kernel because `available` holds, and
    // `FixedWarp::fits` bounds every index; 0 and 8 are the two halves.
    unsafe {
        half(patch, warp, arena, 0, &mut out);
        half(patch, warp, arena, 8, &mut out);
    }
    out
}

/// # Safety
/// `at` is 0 or 8.
#[target_feature(enable = "avx2,fma")]
unsafe fn load_i(v: &I, at: usize) -> __m256i {
    // SAFETY: 32 readable bytes from lane 0 or 8, unaligned load.
    unsafe { _mm256_loadu_si256(v.as_ptr().add(at).cast()) }
}

/// # Safety
/// Every sample of `warp` must lie in `arena`, see `FixedWarp::fits`; `at` is 0
/// or 8.
#[target_feature(enable = "avx2,fma")]
unsafe fn half(patch: &Patch, warp: &FixedWarp, arena: &Arena, at: usize, out: &mut Sums) {
    // SAFETY: `at` is 0 or 8.
    let [x0, y0, ax, ay, bx, by, base, center] = unsafe {
        [
            load_i(&warp.x, at),
            load_i(&warp.y, at),
            load_i(&warp.ax, at),
            load_i(&warp.ay, at),
            load_i(&warp.bx, at),
            load_i(&warp.by, at),
            load_i(&warp.base, at),
            load_i(&patch.center, at),
        ]
    };
    let ax2 = _mm256_slli_epi32::<1>(ax);
    let ay2 = _mm256_slli_epi32::<1>(ay);
    // 16-bit pairs (1, stride) against (x, y).
    let pitch = _mm256_set1_epi32(1 | ((arena.stride as i32) << 16));
    let low7 = _mm256_set1_epi32(127);
    let ones_x = _mm256_set1_epi32(0x0080_0080);
    let ones_y = _mm256_set1_epi32(0x0000_0080);
    let mut s = _mm256_setzero_ps();
    let mut ss = _mm256_setzero_ps();
    let mut rs = _mm256_setzero_ps();
    let quads = arena.quads.as_ptr().cast::<i32>();
    let mut k = 0;
    for (dy, first, n) in TAP_ROWS {
        let (dyv, fv) = (_mm256_set1_epi32(dy), _mm256_set1_epi32(first));
        let mut x = _mm256_add_epi32(
            _mm256_add_epi32(x0, _mm256_mullo_epi32(bx, dyv)),
            _mm256_mullo_epi32(ax, fv),
        );
        let mut y = _mm256_add_epi32(
            _mm256_add_epi32(y0, _mm256_mullo_epi32(by, dyv)),
            _mm256_mullo_epi32(ay, fv),
        );
        for _ in 0..n {
            let pair = _mm256_blend_epi16::<0b1010_1010>(_mm256_srli_epi32::<16>(x), y);
            let index = _mm256_add_epi32(_mm256_madd_epi16(pair, pitch), base);
            // SAFETY: all indices are inside of `quads` by the contract.
            let quad = unsafe { _mm256_i32gather_epi32::<4>(quads, index) };
            let fx = _mm256_and_si256(_mm256_srli_epi32::<9>(x), low7);
            let fy = _mm256_and_si256(_mm256_srli_epi32::<9>(y), low7);
            let fx2 = _mm256_or_si256(fx, _mm256_slli_epi32::<16>(fx));
            // Bytes (128 - fx, fx, 128 - fx, fx).
            let wx = _mm256_add_epi16(_mm256_sub_epi16(_mm256_slli_epi32::<8>(fx2), fx2), ones_x);
            // Halves (128 - fy, fy).
            let wy = _mm256_add_epi32(_mm256_sub_epi32(_mm256_slli_epi32::<16>(fy), fy), ones_y);
            let rows = _mm256_maddubs_epi16(wx, quad);
            let value = _mm256_sub_epi32(_mm256_madd_epi16(rows, wy), center);
            let v = _mm256_cvtepi32_ps(value);
            // SAFETY: k < TAPS, 32 readable bytes from lane 0 or 8.
            let (w, wr) = unsafe {
                (
                    _mm256_loadu_ps(patch.w.get_unchecked(k).as_ptr().add(at)),
                    _mm256_loadu_ps(patch.wr.get_unchecked(k).as_ptr().add(at)),
                )
            };
            let wv = _mm256_mul_ps(w, v);
            s = _mm256_add_ps(s, wv);
            ss = _mm256_fmadd_ps(wv, v, ss);
            rs = _mm256_fmadd_ps(wr, v, rs);
            x = _mm256_add_epi32(x, ax2);
            y = _mm256_add_epi32(y, ay2);
            k += 1;
        }
    }
    // SAFETY: 32 writable bytes from lane 0 or 8 each.
    unsafe {
        _mm256_storeu_ps(out.s.as_mut_ptr().add(at), s);
        _mm256_storeu_ps(out.ss.as_mut_ptr().add(at), ss);
        _mm256_storeu_ps(out.rs.as_mut_ptr().add(at), rs);
    }
}
