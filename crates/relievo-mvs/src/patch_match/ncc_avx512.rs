//! The NCC kernel for AVX-512 (F, BW): 16 lanes a register.
#![expect(unsafe_code, reason = "gathers and byte arithmetic by intrinsics")]

use super::half_field::{I, LANES};
use super::ncc::{FixedWarp, Patch, Sums, TAP_ROWS};
use super::packed_image::Arena;
use std::arch::x86_64::*;

/// True where the processor has what [`sums`] needs.
pub(crate) fn available() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")
}

/// See [`super::ncc::sums_portable`]. The caller has checked that every sample
/// lies in the arena and that [`available`] holds.
#[inline]
pub(crate) fn sums(patch: &Patch, warp: &FixedWarp, arena: &Arena) -> Sums {
    // SAFETY: `Kernel::detect` chose this kernel because `available` holds, and
    // `FixedWarp::fits` bounds every index.
    unsafe { sums_avx512(patch, warp, arena) }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn load_i(v: &I) -> __m512i {
    // SAFETY: 64 readable bytes, unaligned load.
    unsafe { _mm512_loadu_si512(v.as_ptr().cast()) }
}

/// # Safety
/// Every sample of `warp` must lie in `arena`, see `FixedWarp::fits`.
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn sums_avx512(patch: &Patch, warp: &FixedWarp, arena: &Arena) -> Sums {
    let (x0, y0) = (load_i(&warp.x), load_i(&warp.y));
    let (ax, ay) = (load_i(&warp.ax), load_i(&warp.ay));
    let (bx, by) = (load_i(&warp.bx), load_i(&warp.by));
    let base = load_i(&warp.base);
    let center = load_i(&patch.center);
    let ax2 = _mm512_slli_epi32::<1>(ax);
    let ay2 = _mm512_slli_epi32::<1>(ay);
    // 16-bit pairs (1, stride) against (x, y).
    let pitch = _mm512_set1_epi32(1 | ((arena.stride as i32) << 16));
    let low7 = _mm512_set1_epi32(127);
    let high = _mm512_set1_epi32(0xffff_0000_u32 as i32);
    let ones_x = _mm512_set1_epi32(0x0080_0080);
    let ones_y = _mm512_set1_epi32(0x0000_0080);
    let mut s = _mm512_setzero_ps();
    let mut ss = _mm512_setzero_ps();
    let mut rs = _mm512_setzero_ps();
    let quads = arena.quads.as_ptr().cast::<i32>();
    let mut k = 0;
    for (dy, first, n) in TAP_ROWS {
        let (dyv, fv) = (_mm512_set1_epi32(dy), _mm512_set1_epi32(first));
        let mut x = _mm512_add_epi32(
            _mm512_add_epi32(x0, _mm512_mullo_epi32(bx, dyv)),
            _mm512_mullo_epi32(ax, fv),
        );
        let mut y = _mm512_add_epi32(
            _mm512_add_epi32(y0, _mm512_mullo_epi32(by, dyv)),
            _mm512_mullo_epi32(ay, fv),
        );
        for _ in 0..n {
            // (y & high) | (x >> 16)
            let pair = _mm512_ternarylogic_epi32::<0xF8>(_mm512_srli_epi32::<16>(x), y, high);
            let at = _mm512_add_epi32(_mm512_madd_epi16(pair, pitch), base);
            // SAFETY: all indices are inside of `quads` by the contract.
            let quad = unsafe { _mm512_i32gather_epi32::<4>(at, quads) };
            let fx = _mm512_and_si512(_mm512_srli_epi32::<9>(x), low7);
            let fy = _mm512_and_si512(_mm512_srli_epi32::<9>(y), low7);
            let fx2 = _mm512_or_si512(fx, _mm512_slli_epi32::<16>(fx));
            // Bytes (128 - fx, fx, 128 - fx, fx).
            let wx = _mm512_add_epi16(_mm512_sub_epi16(_mm512_slli_epi32::<8>(fx2), fx2), ones_x);
            // Halves (128 - fy, fy).
            let wy = _mm512_add_epi32(_mm512_sub_epi32(_mm512_slli_epi32::<16>(fy), fy), ones_y);
            let rows = _mm512_maddubs_epi16(wx, quad);
            let value = _mm512_sub_epi32(_mm512_madd_epi16(rows, wy), center);
            let v = _mm512_cvtepi32_ps(value);
            // SAFETY: k < TAPS, 64 readable bytes each.
            let (w, wr) = unsafe {
                (
                    _mm512_loadu_ps(patch.w.get_unchecked(k).as_ptr()),
                    _mm512_loadu_ps(patch.wr.get_unchecked(k).as_ptr()),
                )
            };
            let wv = _mm512_mul_ps(w, v);
            s = _mm512_add_ps(s, wv);
            ss = _mm512_fmadd_ps(wv, v, ss);
            rs = _mm512_fmadd_ps(wr, v, rs);
            x = _mm512_add_epi32(x, ax2);
            y = _mm512_add_epi32(y, ay2);
            k += 1;
        }
    }
    let mut out = Sums {
        s: [0.0; LANES],
        ss: [0.0; LANES],
        rs: [0.0; LANES],
    };
    // SAFETY: 64 writable bytes each.
    unsafe {
        _mm512_storeu_ps(out.s.as_mut_ptr(), s);
        _mm512_storeu_ps(out.ss.as_mut_ptr(), ss);
        _mm512_storeu_ps(out.rs.as_mut_ptr(), rs);
    }
    out
}
