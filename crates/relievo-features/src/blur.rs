//! Separable Gaussian blur, one row at a time.
#![expect(
    unsafe_code,
    reason = "calls kernels compiled for a detected instruction set"
)]

use crate::simd::{mul_add, multiversion};

/// Columns worked on at a time; rows are padded to a multiple of it.
pub(crate) const LANES: usize = 32;

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
fn prefetch(row: &[f32], at: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint; an address outside of the row is ignored.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(row.as_ptr().wrapping_add(at).cast());
    }
    let _ = (row, at);
}

/// Columns of [`vertical`] that stay in registers.
const WIDE: usize = 16;

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
fn vertical_body<const FMA: bool>(
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
    fn vertical(rows: &[&[f32]], weights: &[[f32; ROWS]], out: [&mut [f32]; ROWS]) = vertical_body
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
    /// Blurs a row along x; column x of `out` is column `pad + x` of `padded`.
    /// The length of `out` is a multiple of [`LANES`].
    fn horizontal(padded: &[f32], pad: usize, taps: &[f32], out: &mut [f32]) = horizontal_body
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

    #[test]
    fn portable_and_native_blur_agree() {
        let taps = half_taps(2.0);
        let n = 2 * (taps.len() - 1) + ROWS;
        let rows: Vec<Vec<f32>> = (0..n)
            .map(|y| {
                (0..96)
                    .map(|x| ((x * 31 + y * 17) % 101) as f32 / 101.0)
                    .collect()
            })
            .collect();
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let run = |isa| {
            let set = InstructionSet::choose(isa);
            let mut out = vec![vec![0.0; 96]; ROWS];
            {
                let [a, b, c, d] = &mut out[..] else {
                    unreachable!("there are ROWS rows")
                };
                vertical(set, &rows, &row_weights(&taps), [a, b, c, d]);
            }
            let mut a = out.pop().unwrap();
            let mut padded = vec![0.5; 160];
            padded[32..128].copy_from_slice(&a);
            horizontal(set, &padded, 32, &taps, &mut a);
            a
        };
        for (a, b) in run(Isa::Native).iter().zip(run(Isa::Portable)) {
            assert!((a - b).abs() < 1e-6);
        }
    }
}
