//! Gradient magnitude and direction along a piece of a row.
#![expect(
    unsafe_code,
    reason = "calls kernels compiled for a detected instruction set"
)]

use crate::simd::{mul_add, multiversion};

/// Direction of (x, y) in turns, 0 ≤ t ≤ 1, within 2e-6 turns; branch-free.
/// (0, 0) gives 0. The polynomial is a minimax fit of atan on 0..1.
#[inline(always)]
pub(crate) fn turns<const FMA: bool>(y: f32, x: f32) -> f32 {
    const C: [f32; 6] = [
        0.159_151_33,
        -0.052_938_67,
        0.030_803_395,
        -0.018_530_862,
        0.008_380_036,
        -0.001_865_487_3,
    ];
    let (ax, ay) = (x.abs(), y.abs());
    let (most, least) = if ax > ay { (ax, ay) } else { (ay, ax) };
    let t = least / (most + f32::MIN_POSITIVE);
    let t2 = t * t;
    let mut p = C[5];
    for c in C[..5].iter().rev() {
        p = mul_add::<FMA>(p, t2, *c);
    }
    let a = p * t;
    let a = if ay > ax { 0.25 - a } else { a };
    let a = if x < 0.0 { 0.5 - a } else { a };
    if y < 0.0 { 1.0 - a } else { a }
}

#[inline(always)]
fn gradients_body<const FMA: bool>(
    rows: [&[u16]; 3],
    magnitude: &mut [f32],
    direction: &mut [f32],
) {
    let n = magnitude.len();
    let [above, row, below] = rows;
    let (above, below) = (&above[1..=n], &below[1..=n]);
    let (left, right) = (&row[..n], &row[2..n + 2]);
    let direction = &mut direction[..n];
    for i in 0..n {
        let gx = (i32::from(right[i]) - i32::from(left[i])) as f32;
        let gy = (i32::from(below[i]) - i32::from(above[i])) as f32;
        magnitude[i] = mul_add::<FMA>(gx, gx, gy * gy).sqrt();
        direction[i] = turns::<FMA>(gy, gx);
    }
}

multiversion! {
    /// Central differences of the n pixels `rows[1][1..=n]`: magnitude (any
    /// unit) and direction in turns, x towards y.
    fn gradients(rows: [&[u16]; 3], magnitude: &mut [f32], direction: &mut [f32]) = gradients_body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_is_atan2() {
        for i in 0..10_000 {
            let a = (i as f64 + 0.5) / 10_000.0;
            let (s, c) = (a * std::f64::consts::TAU).sin_cos();
            let t = f64::from(turns::<false>((s * 1e3) as f32, (c * 1e3) as f32));
            assert!((t - a).abs() < 2e-6, "{a} {t}");
        }
        assert_eq!(turns::<false>(0.0, 0.0), 0.0);
    }
}
