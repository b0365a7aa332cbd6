//! Separable Gaussian blur, one row at a time.
#![expect(
    unsafe_code,
    reason = "calls kernels compiled for a detected instruction set"
)]

use crate::simd::{InstructionSet, mul_add, multiversion};

/// Columns worked on at a time; rows are padded to a multiple of it.
pub(crate) const LANES: usize = 64;

/// Half of a symmetric, normalised Gaussian: `taps[k]` weighs both pixels at
/// distance k. Cut at four sigma.
pub(crate) fn half_taps(sigma: f64) -> Vec<f32> {
    if !(sigma > 0.0) {
        return vec![1.0];
    }
    let radius = (4.0 * sigma).ceil() as usize;
    let weight = |k: usize| (-0.5 * (k as f64 / sigma).powi(2)).exp();
    let sum = 1.0 + 2.0 * (1..=radius).map(weight).sum::<f64>();
    (0..=radius).map(|k| (weight(k) / sum) as f32).collect()
}

/// `&slice[at..at + N]` as an array.
#[inline(always)]
fn window<const N: usize>(slice: &[f32], at: usize) -> &[f32; N] {
    slice[at..at + N]
        .try_into()
        .expect("the slice has N elements")
}

/// Asks for a cache line that will be read: there are more rows than the processor
/// follows by itself.
#[inline(always)]
pub(crate) fn prefetch(row: &[f32], at: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint; an address outside of the row is ignored.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(row.as_ptr().wrapping_add(at).cast());
    }
    let _ = (row, at);
}

/// Columns in a cache line.
pub(crate) const LINE: usize = 16;

/// Output rows of one call of [`vertical`].
pub(crate) const ROWS: usize = 4;

/// Weights of 2r + [`ROWS`] source rows for each of the output rows.
pub(crate) fn row_weights(taps: &[f32]) -> Vec<[f32; ROWS]> {
    let r = taps.len() - 1;
    (0..2 * r + ROWS)
        .map(|i| std::array::from_fn(|row| taps.get(i.abs_diff(r + row)).copied().unwrap_or(0.0)))
        .collect()
}

#[inline(always)]
fn vertical_body<const FMA: bool, const WIDE: usize>(
    rows: &[&[f32]],
    weights: &[[f32; ROWS]],
    out: [&mut [f32]; ROWS],
) {
    assert_eq!(rows.len(), weights.len());
    let n = rows[0].len();
    let [out0, out1, out2, out3] = out;
    // Four named accumulators: an array of arrays would live in memory.
    for at in (0..n).step_by(WIDE) {
        let (mut a, mut b, mut c, mut d) = ([0.0; WIDE], [0.0; WIDE], [0.0; WIDE], [0.0; WIDE]);
        for (source, [wa, wb, wc, wd]) in rows.iter().zip(weights) {
            prefetch(source, at + 2 * WIDE);
            if WIDE > LINE {
                prefetch(source, at + 2 * WIDE + LINE);
            }
            let source = window::<WIDE>(source, at);
            for j in 0..WIDE {
                a[j] = mul_add::<FMA>(*wa, source[j], a[j]);
            }
            for j in 0..WIDE {
                b[j] = mul_add::<FMA>(*wb, source[j], b[j]);
            }
            for j in 0..WIDE {
                c[j] = mul_add::<FMA>(*wc, source[j], c[j]);
            }
            for j in 0..WIDE {
                d[j] = mul_add::<FMA>(*wd, source[j], d[j]);
            }
        }
        out0[at..at + WIDE].copy_from_slice(&a);
        out1[at..at + WIDE].copy_from_slice(&b);
        out2[at..at + WIDE].copy_from_slice(&c);
        out3[at..at + WIDE].copy_from_slice(&d);
    }
}

multiversion! {
    /// [`ROWS`] weighted sums of `rows`, column by column; sharing the rows
    /// saves most of the memory traffic. Lengths are equal and multiples of
    /// [`LANES`].
    fn vertical(rows: &[&[f32]], weights: &[[f32; ROWS]], out: [&mut [f32]; ROWS]) = vertical_body of registers
}

#[inline(always)]
fn horizontal_body<const FMA: bool>(padded: &[f32], pad: usize, taps: &[f32], out: &mut [f32]) {
    let r = taps.len() - 1;
    assert!(r <= pad && padded.len() >= out.len() + 2 * pad);
    for (chunk, out) in out.chunks_exact_mut(LANES).enumerate() {
        let at = chunk * LANES + pad;
        let centre = window::<LANES>(padded, at);
        let mut acc = [0.0; LANES];
        for j in 0..LANES {
            acc[j] = taps[0] * centre[j];
        }
        for k in 1..=r {
            let (a, b) = (
                window::<LANES>(padded, at - k),
                window::<LANES>(padded, at + k),
            );
            for j in 0..LANES {
                acc[j] = mul_add::<FMA>(taps[k], a[j] + b[j], acc[j]);
            }
        }
        out.copy_from_slice(&acc);
    }
}

multiversion! {
    /// See [`horizontal`].
    fn horizontal_by_loads(padded: &[f32], pad: usize, taps: &[f32], out: &mut [f32]) = horizontal_body
}

/// Blurs a row along x; column x of `out` is column `pad + x` of `padded`, `pad` a
/// multiple of [`LANES`] and more than the taps reach. The length of `out` is a
/// multiple of [`LANES`].
pub(crate) fn horizontal(
    set: InstructionSet,
    padded: &[f32],
    pad: usize,
    taps: &[f32],
    out: &mut [f32],
) {
    #[cfg(target_arch = "x86_64")]
    if set == InstructionSet::Avx512 {
        // SAFETY: `InstructionSet::choose` saw these features.
        unsafe { horizontal_avx512(padded, pad, taps, out) };
        return;
    }
    horizontal_by_loads(set, padded, pad, taps, out);
}

/// [`horizontal`] for AVX-512, the same bits: nearly every load of sixteen columns that
/// does not begin a cache line crosses two, so shifted columns are put together from
/// aligned ones.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn horizontal_avx512(padded: &[f32], pad: usize, taps: &[f32], out: &mut [f32]) {
    use std::arch::x86_64::{
        __m512, _mm512_add_epi32, _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mul_ps,
        _mm512_permutex2var_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setr_epi32,
        _mm512_setzero_ps, _mm512_storeu_ps, _mm512_sub_epi32,
    };
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn load(line: &[f32; LINE]) -> __m512 {
        // SAFETY: 64 readable bytes.
        unsafe { _mm512_loadu_ps(line.as_ptr()) }
    }
    const LINES: usize = LANES / LINE;
    let (padded, _) = padded.as_chunks::<LINE>();
    let (groups, _) = out.as_chunks_mut::<LANES>();
    let radius = taps.len() - 1;
    let (first, reach) = (pad / LINE, radius / LINE + 1);
    assert!(pad.is_multiple_of(LINE) && reach <= first);
    assert!(first + groups.len() * LINES + reach <= padded.len());
    let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let (one, width) = (_mm512_set1_epi32(1), _mm512_set1_epi32(LINE as i32));
    for (group, out) in groups.iter_mut().enumerate() {
        let at = first + group * LINES;
        let mut sum = [_mm512_setzero_ps(); LINES];
        for (line, sum) in sum.iter_mut().enumerate() {
            *sum = _mm512_mul_ps(_mm512_set1_ps(taps[0]), load(&padded[at + line]));
        }
        for (block, taps) in taps.chunks(LINE).enumerate() {
            let mut before = [_mm512_setzero_ps(); LINES + 1];
            let mut after = [_mm512_setzero_ps(); LINES + 1];
            for line in 0..=LINES {
                before[line] = load(&padded[at + line - block - 1]);
                after[line] = load(&padded[at + line + block]);
            }
            // The tap at the centre is in the sums already.
            let skip = usize::from(block == 0);
            let shift = _mm512_set1_epi32(skip as i32);
            let mut right = _mm512_add_epi32(lanes, shift);
            let mut left = _mm512_add_epi32(lanes, _mm512_sub_epi32(width, shift));
            for tap in &taps[skip..] {
                let tap = _mm512_set1_ps(*tap);
                for line in 0..LINES {
                    let both = _mm512_add_ps(
                        _mm512_permutex2var_ps(before[line], left, before[line + 1]),
                        _mm512_permutex2var_ps(after[line], right, after[line + 1]),
                    );
                    sum[line] = _mm512_fmadd_ps(tap, both, sum[line]);
                }
                right = _mm512_add_epi32(right, one);
                left = _mm512_sub_epi32(left, one);
            }
        }
        let (out, _) = out.as_chunks_mut::<LINE>();
        for (out, sum) in out.iter_mut().zip(sum) {
            // SAFETY: 64 writable bytes.
            unsafe { _mm512_storeu_ps(out.as_mut_ptr(), sum) };
        }
    }
}

#[inline(always)]
fn quantise_body<const FMA: bool>(row: &[f32], out: &mut [u16]) {
    for (o, v) in out.iter_mut().zip(row) {
        // Adding 2²³ leaves the rounded integer in the low bits.
        let v = mul_add::<FMA>(v.clamp(0.0, 1.0), 65535.0, 8_388_608.0);
        *o = v.to_bits() as u16;
    }
}

multiversion! {
    /// Grey levels 0..1 to 0..65535.
    fn quantise(row: &[f32], out: &mut [u16]) = quantise_body
}

#[inline(always)]
fn grey_body<const FMA: bool>(rgb: &[[u8; 3]], out: &mut [f32]) {
    for (o, [r, g, b]) in out.iter_mut().zip(rgb) {
        // Integers up to 2^24 are exact in f32.
        let luma = 299 * u32::from(*r) + 587 * u32::from(*g) + 114 * u32::from(*b);
        *o = luma as f32 * (1.0 / 255_000.0);
    }
}

multiversion! {
    /// Luma (ITU-R BT.601 weights) of sRGB values, 0..1.
    fn grey(rgb: &[[u8; 3]], out: &mut [f32]) = grey_body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::InstructionSet;
    use relievo_task::Isa;

    #[test]
    fn taps_sum_to_one_and_have_the_right_variance() {
        for sigma in [0.8, 1.226, 3.09] {
            let taps = half_taps(sigma);
            let sum: f32 = taps[0] + 2.0 * taps[1..].iter().sum::<f32>();
            assert!((sum - 1.0).abs() < 1e-6);
            let variance: f64 = taps
                .iter()
                .enumerate()
                .map(|(k, t)| 2.0 * (k * k) as f64 * f64::from(*t))
                .sum();
            assert!((variance.sqrt() / sigma - 1.0).abs() < 2e-3, "{sigma}");
        }
    }

    /// Grey levels of a row that no other row equals.
    fn row(y: usize, columns: usize) -> Vec<f32> {
        let value = |x: usize| ((x * 31 + y * 17) % 101) as f32 / 101.0;
        (0..columns).map(value).collect()
    }

    #[test]
    fn portable_and_native_blur_agree() {
        const COLUMNS: usize = 2 * LANES;
        let taps = half_taps(2.0);
        let n = 2 * (taps.len() - 1) + ROWS;
        let rows: Vec<Vec<f32>> = (0..n).map(|y| row(y, COLUMNS)).collect();
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let run = |isa| {
            let set = InstructionSet::choose(isa);
            let mut out = vec![vec![0.0; COLUMNS]; ROWS];
            {
                let [a, b, c, d] = &mut out[..] else {
                    unreachable!("there are ROWS rows")
                };
                vertical(set, &rows, &row_weights(&taps), [a, b, c, d]);
            }
            let mut a = out.pop().unwrap();
            let mut padded = vec![0.5; COLUMNS + 2 * LANES];
            padded[LANES..LANES + COLUMNS].copy_from_slice(&a);
            horizontal(set, &padded, LANES, &taps, &mut a);
            a
        };
        for (a, b) in run(Isa::Native).iter().zip(run(Isa::Portable)) {
            assert!((a - b).abs() < 1e-6);
        }
    }

    /// Radii within a line, of whole lines, and of several; AVX-512 to the bit as AVX2.
    #[test]
    fn a_row_is_blurred_as_its_definition_says() {
        const COLUMNS: usize = 3 * LANES;
        for sigma in [0.2, 1.2, 3.9, 4.0, 7.9, 8.1, 15.0] {
            let taps = half_taps(sigma);
            let pad = taps.len().next_multiple_of(LANES);
            let padded = row(3, COLUMNS + 2 * pad);
            let run = |set| {
                let mut out = vec![0.0; COLUMNS];
                horizontal(set, &padded, pad, &taps, &mut out);
                out
            };
            let native = run(InstructionSet::choose(Isa::Native));
            for (x, got) in native.iter().enumerate() {
                let side = |k: usize| padded[pad + x - k] + padded[pad + x + k];
                let sides = taps.iter().enumerate().skip(1);
                let sides: f32 = sides.map(|(k, t)| t * side(k)).sum();
                let want = taps[0] * padded[pad + x] + sides;
                assert!((want - got).abs() < 1e-6, "{sigma} {x}: {want} {got}");
            }
            #[cfg(target_arch = "x86_64")]
            if InstructionSet::choose(Isa::Native) == InstructionSet::Avx512 {
                assert_eq!(native, run(InstructionSet::Avx2), "{sigma}");
            }
        }
    }
}
