//! The NCC kernel for AVX2 and FMA: two registers of eight lanes.
#![expect(unsafe_code, reason = "gathers and byte arithmetic by intrinsics")]
#![allow(clippy::wildcard_imports, reason = "three dozen intrinsics")]

use super::half_field::{F, I, LANES};
use super::ncc::{FIXED, FOUR, LaneWork, ORIGIN, Patch, REACH, Sums, TAP_ROWS, TAPS, TWO, Warp};
use super::packed_image::{Arena, Target};
use std::arch::x86_64::*;
use std::mem::MaybeUninit;

/// True where the processor has what [`sums`] needs.
pub(crate) fn available() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("bmi2")
}

/// Runs `work` compiled for this instruction set: the loops over lanes around
/// the kernel vectorise too.
pub(crate) fn run<W: LaneWork>(work: W) {
    // SAFETY: `Kernel::detect` chose this kernel because `available` holds.
    unsafe { run_avx2(work) }
}

/// # Safety
/// [`available`] must hold.
#[target_feature(enable = "avx2,fma,bmi2")]
unsafe fn run_avx2<W: LaneWork>(work: W) {
    work.run();
}

/// See [`super::ncc::sums_portable`]. `target` is of `arena`, and [`available`]
/// holds.
#[inline(always)]
pub(crate) fn sums(patch: &Patch, warp: &Warp, target: &Target, arena: &Arena) -> Sums {
    let mut out = Sums {
        s: [0.0; LANES],
        ss: [0.0; LANES],
        rs: [0.0; LANES],
    };
    // SAFETY: `Kernel::detect` chose this kernel because `available` holds; 0
    // and 8 are the two halves.
    unsafe {
        half(patch, warp, target, arena, 0, &mut out);
        half(patch, warp, target, arena, 8, &mut out);
    }
    out
}

/// `table[idx[l] & 7]` of each lane. [`available`] holds.
#[inline(always)]
pub(crate) fn pick(table: &[f32; 8], idx: &I) -> F {
    // SAFETY: `Kernel::detect` chose this kernel because `available` holds.
    unsafe { pick_avx2(table, idx) }
}

/// See [`pick`].
#[inline(always)]
pub(crate) fn pick_i(table: &[i32; 8], idx: &I) -> I {
    // SAFETY: `Kernel::detect` chose this kernel because `available` holds.
    unsafe { pick_i_avx2(table, idx) }
}

/// `values[idx[l] & 15]` of each lane. [`available`] holds.
#[inline(always)]
pub(crate) fn permute(values: &F, idx: &I) -> F {
    // SAFETY: `Kernel::detect` chose this kernel because `available` holds.
    unsafe { permute_avx2(values, idx) }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn permute_avx2(values: &F, idx: &I) -> F {
    let mut out = [0.0; LANES];
    // SAFETY: 32 readable and writable bytes from lane 0 and 8.
    unsafe {
        let low = _mm256_loadu_ps(values.as_ptr());
        let high = _mm256_loadu_ps(values.as_ptr().add(8));
        for at in [0, 8] {
            let idx = load_i(idx, at);
            // Bit 3 as the sign chooses the upper half.
            let upper = _mm256_castsi256_ps(_mm256_slli_epi32::<28>(idx));
            let picked = _mm256_blendv_ps(
                _mm256_permutevar8x32_ps(low, idx),
                _mm256_permutevar8x32_ps(high, idx),
                upper,
            );
            _mm256_storeu_ps(out.as_mut_ptr().add(at), picked);
        }
    }
    out
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn pick_avx2(table: &[f32; 8], idx: &I) -> F {
    let mut out = [0.0; LANES];
    // SAFETY: 32 readable and writable bytes from lane 0 and 8.
    unsafe {
        let table = _mm256_loadu_ps(table.as_ptr());
        for at in [0, 8] {
            let values = _mm256_permutevar8x32_ps(table, load_i(idx, at));
            _mm256_storeu_ps(out.as_mut_ptr().add(at), values);
        }
    }
    out
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn pick_i_avx2(table: &[i32; 8], idx: &I) -> I {
    let mut out = [0; LANES];
    // SAFETY: 32 readable and writable bytes from lane 0 and 8.
    unsafe {
        let table = _mm256_loadu_si256(table.as_ptr().cast());
        for at in [0, 8] {
            let values = _mm256_permutevar8x32_epi32(table, load_i(idx, at));
            _mm256_storeu_si256(out.as_mut_ptr().add(at).cast(), values);
        }
    }
    out
}

/// # Safety
/// `at` is 0 or 8.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn load_i(v: &I, at: usize) -> __m256i {
    // SAFETY: 32 readable bytes from lane 0 or 8, unaligned load.
    unsafe { _mm256_loadu_si256(v.as_ptr().add(at).cast()) }
}

/// Pixels, moved by `origin`, to 16.16.
///
/// # Safety
/// `at` is 0 or 8.
#[target_feature(enable = "avx2,fma")]
unsafe fn load_fixed(v: &F, origin: f32, at: usize) -> __m256i {
    // SAFETY: 32 readable bytes from lane 0 or 8, unaligned load.
    let v = unsafe { _mm256_loadu_ps(v.as_ptr().add(at)) };
    _mm256_cvttps_epi32(_mm256_mul_ps(
        _mm256_add_ps(v, _mm256_set1_ps(origin)),
        _mm256_set1_ps(FIXED),
    ))
}

/// (a, b) where a patch with these steps stays within the padding, else 0.
#[target_feature(enable = "avx2,fma")]
fn fitting(a: __m256i, b: __m256i) -> (__m256i, __m256i) {
    let (x, y) = (_mm256_abs_epi32(a), _mm256_abs_epi32(b));
    // |i32::MIN| and sums past 2³¹ are large as unsigned numbers.
    let limit = _mm256_set1_epi32(Arena::MIN / REACH);
    let below = |v| _mm256_cmpeq_epi32(_mm256_min_epu32(v, limit), v);
    let small = _mm256_and_si256(below(_mm256_max_epu32(x, y)), below(_mm256_add_epi32(x, y)));
    (_mm256_and_si256(small, a), _mm256_and_si256(small, b))
}

/// Position of a row's first tap on one axis.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn row_start(center: __m256i, [a, b]: [__m256i; 2], dy: i32, first: i32) -> __m256i {
    let along = _mm256_mullo_epi32(a, _mm256_set1_epi32(first));
    let across = _mm256_mullo_epi32(b, _mm256_set1_epi32(dy));
    _mm256_add_epi32(_mm256_add_epi32(center, across), along)
}

/// Where eight lanes find the words of a tap.
#[derive(Clone, Copy)]
struct Index {
    base: __m256i,
    /// 16-bit pairs (1, stride), against (x, y).
    pitch: __m256i,
}

impl Index {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn at(self, x: __m256i, y: __m256i) -> __m256i {
        let pair = _mm256_blend_epi16::<0b1010_1010>(_mm256_srli_epi32::<16>(x), y);
        _mm256_add_epi32(_mm256_madd_epi16(pair, self.pitch), self.base)
    }
}

/// Those of no tap lie in two cache lines.
#[repr(align(64))]
struct Indices([MaybeUninit<[u32; 8]>; TAPS]);

/// The words at eight indices, one by one: AMD's gather takes longer than these
/// loads, and Intel's no less.
///
/// # Safety
/// `index` points to eight indices, and each and the next lie in `pairs`.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(crate) unsafe fn loads(pairs: *const [u8; 2], index: *const [u32; 8]) -> __m256i {
    // SAFETY: the caller's promise. Volatile
    // reads keep the indices in memory: moving them between registers one by
    // one takes longer.
    unsafe {
        let word = |l: usize| {
            let at = index.cast::<u32>().add(l).read_volatile() as usize;
            pairs.add(at).cast::<i32>().read_unaligned()
        };
        _mm256_setr_epi32(
            word(0),
            word(1),
            word(2),
            word(3),
            word(4),
            word(5),
            word(6),
            word(7),
        )
    }
}

/// # Safety
/// [`available`] must hold, `target` be of `arena`, `at` be 0 or 8. Then every
/// sample lies in the arena: centres are cut to `Arena::MIN` … `x_max` and
/// `y_max`, taps lie at most `PAD − 1` from them, and every source has `PAD`
/// rows and columns and two more around it.
#[target_feature(enable = "avx2,fma")]
unsafe fn half(
    patch: &Patch,
    warp: &Warp,
    target: &Target,
    arena: &Arena,
    at: usize,
    out: &mut Sums,
) {
    // SAFETY: `at` is 0 or 8.
    let ([u, v, ux, vx, uy, vy], [base, y_max, center]) = unsafe {
        (
            [
                load_fixed(&warp.u, ORIGIN, at),
                load_fixed(&warp.v, ORIGIN, at),
                load_fixed(&warp.ux, 0.0, at),
                load_fixed(&warp.vx, 0.0, at),
                load_fixed(&warp.uy, 0.0, at),
                load_fixed(&warp.vy, 0.0, at),
            ],
            [
                load_i(&target.base, at),
                load_i(&target.y_max, at),
                load_i(&patch.center, at),
            ],
        )
    };
    let least = _mm256_set1_epi32(Arena::MIN);
    let x0 = _mm256_min_epi32(_mm256_max_epi32(u, least), _mm256_set1_epi32(arena.x_max()));
    let y0 = _mm256_min_epi32(_mm256_max_epi32(v, least), y_max);
    let (ax, bx) = fitting(ux, uy);
    let (ay, by) = fitting(vx, vy);
    let ax2 = _mm256_slli_epi32::<1>(ax);
    let ay2 = _mm256_slli_epi32::<1>(ay);
    let index = Index {
        base,
        pitch: _mm256_set1_epi32(1 | ((arena.stride() as i32) << 16)),
    };
    // The second byte of each word, four times and twice with zeros between.
    let (four, two) = (
        _mm256_setr_epi32(
            FOUR[0], FOUR[1], FOUR[2], FOUR[3], FOUR[0], FOUR[1], FOUR[2], FOUR[3],
        ),
        _mm256_setr_epi32(
            TWO[0], TWO[1], TWO[2], TWO[3], TWO[0], TWO[1], TWO[2], TWO[3],
        ),
    );
    let flip_y = _mm256_set1_epi32(0x00ff_00ff);
    let flip_x = _mm256_set1_epi32(0x0000_00ff);
    let mut s = _mm256_setzero_ps();
    let mut ss = _mm256_setzero_ps();
    let mut rs = _mm256_setzero_ps();
    let pairs = arena.pairs().as_ptr();
    // All indices first: what was just stored is slow to load in parts.
    let mut indices = Indices([const { MaybeUninit::uninit() }; TAPS]);
    let mut rest = indices.0.iter_mut();
    for (dy, first, n) in TAP_ROWS {
        let mut x = row_start(x0, [ax, bx], dy, first);
        let mut y = row_start(y0, [ay, by], dy, first);
        for to in rest.by_ref().take(n) {
            // SAFETY: 32 writable bytes.
            unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), index.at(x, y)) };
            x = _mm256_add_epi32(x, ax2);
            y = _mm256_add_epi32(y, ay2);
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
            let wy = _mm256_xor_si256(_mm256_shuffle_epi8(y, four), flip_y);
            let wx = _mm256_xor_si256(_mm256_shuffle_epi8(x, two), flip_x);
            let columns = _mm256_maddubs_epi16(wy, quad);
            let value = _mm256_sub_epi32(_mm256_madd_epi16(columns, wx), center);
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
