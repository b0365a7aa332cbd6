//! The NCC kernel for AVX-512 (F, BW): 16 lanes a register.
#![expect(unsafe_code, reason = "gathers and byte arithmetic by intrinsics")]
#![allow(clippy::wildcard_imports, reason = "three dozen intrinsics")]

use super::half_field::{F, I, LANES};
use super::ncc::{FIXED, FOUR, LaneWork, ORIGIN, Patch, REACH, Sums, TAP_ROWS, TAPS, TWO, Warp};
use super::ncc_avx2;
use super::packed_image::{Arena, Target};
use std::arch::x86_64::*;
use std::mem::MaybeUninit;

/// True where the processor has what [`sums`] needs.
pub(crate) fn available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("bmi2")
}

/// Runs `work` compiled for this instruction set: the loops over lanes around
/// the kernel vectorise too.
pub(crate) fn run<W: LaneWork>(work: W) {
    // SAFETY: `Kernel::detect` chose this kernel because `available` holds.
    unsafe { run_avx512(work) }
}

/// # Safety
/// [`available`] must hold.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,fma,bmi2")]
unsafe fn run_avx512<W: LaneWork>(work: W) {
    work.run();
}

/// See [`super::ncc::sums_portable`]. `target` is of `arena`, and [`available`]
/// holds.
#[inline(always)]
pub(crate) fn sums(patch: &Patch, warp: &Warp, target: &Target, arena: &Arena) -> Sums {
    // SAFETY: `Kernel::detect` chose this kernel because `available` holds.
    unsafe { sums_avx512(patch, warp, target, arena) }
}

/// `table[idx[l]]` of each lane; indices count from 0 to 7.
#[inline(always)]
pub(crate) fn pick(table: &[f32; 8], idx: &I) -> F {
    // SAFETY: `Kernel::detect` chose this kernel because `available` holds.
    unsafe { pick_avx512(table, idx) }
}

/// See [`pick`].
#[inline(always)]
pub(crate) fn pick_i(table: &[i32; 8], idx: &I) -> I {
    // SAFETY: `Kernel::detect` chose this kernel because `available` holds.
    unsafe { pick_i_avx512(table, idx) }
}

/// `values[idx[l]]` of each lane; indices count from 0 to 15.
#[inline(always)]
pub(crate) fn permute(values: &F, idx: &I) -> F {
    // SAFETY: `Kernel::detect` chose this kernel because `available` holds.
    unsafe { permute_avx512(values, idx) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn permute_avx512(values: &F, idx: &I) -> F {
    let mut out = [0.0; LANES];
    // SAFETY: 64 readable and writable bytes each.
    unsafe {
        let values = _mm512_loadu_ps(values.as_ptr());
        _mm512_storeu_ps(out.as_mut_ptr(), _mm512_permutexvar_ps(load_i(idx), values));
    }
    out
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn pick_avx512(table: &[f32; 8], idx: &I) -> F {
    let mut out = [0.0; LANES];
    // SAFETY: 32 readable bytes, 64 writable ones.
    unsafe {
        let table = _mm512_broadcast_f32x8(_mm256_loadu_ps(table.as_ptr()));
        let values = _mm512_permutexvar_ps(load_i(idx), table);
        _mm512_storeu_ps(out.as_mut_ptr(), values);
    }
    out
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn pick_i_avx512(table: &[i32; 8], idx: &I) -> I {
    let mut out = [0; LANES];
    // SAFETY: 32 readable bytes, 64 writable ones.
    unsafe {
        let table = _mm512_broadcast_i32x8(_mm256_loadu_si256(table.as_ptr().cast()));
        let values = _mm512_permutexvar_epi32(load_i(idx), table);
        _mm512_storeu_si512(out.as_mut_ptr().cast(), values);
    }
    out
}

#[target_feature(enable = "avx512f,avx512bw")]
fn load_i(v: &I) -> __m512i {
    // SAFETY: 64 readable bytes, unaligned load.
    unsafe { _mm512_loadu_si512(v.as_ptr().cast()) }
}

/// Pixels, moved by `origin`, to 16.16.
#[target_feature(enable = "avx512f,avx512bw")]
fn load_fixed(v: &F, origin: f32) -> __m512i {
    // SAFETY: 64 readable bytes, unaligned load.
    let v = unsafe { _mm512_loadu_ps(v.as_ptr()) };
    _mm512_cvttps_epi32(_mm512_mul_ps(
        _mm512_add_ps(v, _mm512_set1_ps(origin)),
        _mm512_set1_ps(FIXED),
    ))
}

/// (a, b) where a patch with these steps stays within the padding, else 0.
#[target_feature(enable = "avx512f,avx512bw")]
fn fitting(a: __m512i, b: __m512i) -> (__m512i, __m512i) {
    let (x, y) = (_mm512_abs_epi32(a), _mm512_abs_epi32(b));
    // |i32::MIN| and sums past 2³¹ are large as unsigned numbers.
    let limit = _mm512_set1_epi32(Arena::MIN / REACH);
    let small = _mm512_cmple_epu32_mask(_mm512_max_epu32(x, y), limit)
        & _mm512_cmple_epu32_mask(_mm512_add_epi32(x, y), limit);
    (
        _mm512_maskz_mov_epi32(small, a),
        _mm512_maskz_mov_epi32(small, b),
    )
}

/// Position of a row's first tap on one axis.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn row_start(center: __m512i, [a, b]: [__m512i; 2], dy: i32, first: i32) -> __m512i {
    let along = _mm512_mullo_epi32(a, _mm512_set1_epi32(first));
    let across = _mm512_mullo_epi32(b, _mm512_set1_epi32(dy));
    _mm512_add_epi32(_mm512_add_epi32(center, across), along)
}

/// Those of each tap in a cache line of its own.
#[repr(align(64))]
struct Indices([MaybeUninit<[u32; LANES]>; TAPS]);

/// The words at 16 indices, one by one: see [`super::ncc_avx2::loads`].
///
/// # Safety
/// `index` points to 16 indices, and each and the next lie in `pairs`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn loads(pairs: *const [u8; 2], index: *const [u32; LANES]) -> __m512i {
    // SAFETY: the caller's promise, for both halves.
    unsafe {
        let half = index.cast::<[u32; LANES / 2]>();
        let low = ncc_avx2::loads(pairs, half);
        let high = ncc_avx2::loads(pairs, half.add(1));
        _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
    }
}

/// # Safety
/// [`available`] must hold and `target` be of `arena`. Then every sample lies
/// in the arena: centres are cut to `Arena::MIN` … `x_max` and `y_max`, taps
/// lie at most `PAD − 1` from them, and every source has `PAD` rows and columns
/// and two more around it.
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn sums_avx512(patch: &Patch, warp: &Warp, target: &Target, arena: &Arena) -> Sums {
    let least = _mm512_set1_epi32(Arena::MIN);
    let x0 = _mm512_min_epi32(
        _mm512_max_epi32(load_fixed(&warp.u, ORIGIN), least),
        _mm512_set1_epi32(arena.x_max()),
    );
    let y0 = _mm512_min_epi32(
        _mm512_max_epi32(load_fixed(&warp.v, ORIGIN), least),
        load_i(&target.y_max),
    );
    let (ax, bx) = fitting(load_fixed(&warp.ux, 0.0), load_fixed(&warp.uy, 0.0));
    let (ay, by) = fitting(load_fixed(&warp.vx, 0.0), load_fixed(&warp.vy, 0.0));
    let base = load_i(&target.base);
    let center = load_i(&patch.center);
    let ax2 = _mm512_slli_epi32::<1>(ax);
    let ay2 = _mm512_slli_epi32::<1>(ay);
    // 16-bit pairs (1, stride) against (x, y).
    let pitch = _mm512_set1_epi32(1 | ((arena.stride() as i32) << 16));
    // The second byte of each word, four times and twice with zeros between.
    let (four, two) = (
        _mm512_set4_epi32(FOUR[3], FOUR[2], FOUR[1], FOUR[0]),
        _mm512_set4_epi32(TWO[3], TWO[2], TWO[1], TWO[0]),
    );
    let high = _mm512_set1_epi32(0xffff_0000_u32 as i32);
    let flip_y = _mm512_set1_epi32(0x00ff_00ff);
    let flip_x = _mm512_set1_epi32(0x0000_00ff);
    let mut s = _mm512_setzero_ps();
    let mut ss = _mm512_setzero_ps();
    let mut rs = _mm512_setzero_ps();
    let pairs = arena.pairs().as_ptr();
    // All indices first: what was just stored is slow to load in parts.
    let mut indices = Indices([const { MaybeUninit::uninit() }; TAPS]);
    let mut rest = indices.0.iter_mut();
    for (dy, first, n) in TAP_ROWS {
        let mut x = row_start(x0, [ax, bx], dy, first);
        let mut y = row_start(y0, [ay, by], dy, first);
        for to in rest.by_ref().take(n) {
            // (y & high) | (x >> 16)
            let pair = _mm512_ternarylogic_epi32::<0xF8>(_mm512_srli_epi32::<16>(x), y, high);
            let at = _mm512_add_epi32(_mm512_madd_epi16(pair, pitch), base);
            // SAFETY: 64 writable bytes.
            unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), at) };
            x = _mm512_add_epi32(x, ax2);
            y = _mm512_add_epi32(y, ay2);
        }
    }
    let mut k = 0;
    for (dy, first, n) in TAP_ROWS {
        let mut x = row_start(x0, [ax, bx], dy, first);
        let mut y = row_start(y0, [ay, by], dy, first);
        for _ in 0..n {
            // SAFETY: all indices are inside of `pairs` by the contract; k < TAPS, and the
            // rows above have written as many.
            let quad = unsafe { loads(pairs, indices.0.get_unchecked(k).as_ptr()) };
            // Bytes (255 - fy, fy, 255 - fy, fy) and halves (255 - fx, fx).
            let wy = _mm512_xor_si512(_mm512_shuffle_epi8(y, four), flip_y);
            let wx = _mm512_xor_si512(_mm512_shuffle_epi8(x, two), flip_x);
            let columns = _mm512_maddubs_epi16(wy, quad);
            let value = _mm512_sub_epi32(_mm512_madd_epi16(columns, wx), center);
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
