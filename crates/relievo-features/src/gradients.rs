//! Gradient magnitude and direction along a piece of a row.
#![expect(
    unsafe_code,
    reason = "calls kernels compiled for a detected instruction set"
)]

use crate::simd::{mul_add, multiversion};
use relievo_image::Raster;

/// Pixels worked on at a time.
pub(crate) const BATCH: usize = 16;

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

/// Rows y − 1, y, y + 1 of `level` from column `first` − 1: `n` + 2 pixels, rounded up
/// to whole batches where the raster goes on. (What lies behind a row is the next one;
/// nobody looks at its gradients.)
pub(crate) fn rows_around(
    level: &Raster<u16>,
    (first, y): (usize, usize),
    n: usize,
) -> [&[u16]; 3] {
    let (width, pixels) = (level.width(), level.as_slice());
    let wide = n.next_multiple_of(BATCH) + 2;
    let fits = (y + 1) * width + first - 1 + wide <= pixels.len();
    let len = if fits { wide } else { n + 2 };
    [y - 1, y, y + 1].map(|y| &pixels[y * width + first - 1..][..len])
}

#[inline(always)]
fn gradient<const FMA: bool>([above, left, right, below]: [u16; 4]) -> (f32, f32) {
    let gx = (i32::from(right) - i32::from(left)) as f32;
    let gy = (i32::from(below) - i32::from(above)) as f32;
    let magnitude = mul_add::<FMA>(gx, gx, gy * gy).sqrt();
    (magnitude, turns::<FMA>(gy, gx))
}

#[inline(always)]
fn gradients_body<const FMA: bool>(
    rows: [&[u16]; 3],
    magnitude: &mut [f32],
    direction: &mut [f32],
) {
    let n = rows[1].len() - 2;
    let [above, row, below] = rows;
    let (above, below) = (&above[1..=n], &below[1..=n]);
    let (left, right) = (&row[..n], &row[2..n + 2]);
    let (magnitude, direction) = (&mut magnitude[..n], &mut direction[..n]);
    let whole = n / BATCH * BATCH;
    let (above, above_rest) = above.as_chunks::<BATCH>();
    let (left, left_rest) = left.as_chunks::<BATCH>();
    let (right, right_rest) = right.as_chunks::<BATCH>();
    let (below, below_rest) = below.as_chunks::<BATCH>();
    let (magnitude, magnitude_rest) = magnitude.split_at_mut(whole);
    let (direction, direction_rest) = direction.split_at_mut(whole);
    let out = magnitude.as_chunks_mut::<BATCH>().0.iter_mut();
    let out = out.zip(direction.as_chunks_mut::<BATCH>().0);
    let around = above.iter().zip(left).zip(right.iter().zip(below));
    for ((m, d), ((a, l), (r, b))) in out.zip(around) {
        for i in 0..BATCH {
            (m[i], d[i]) = gradient::<FMA>([a[i], l[i], r[i], b[i]]);
        }
    }
    for i in 0..n - whole {
        let around = [above_rest[i], left_rest[i], right_rest[i], below_rest[i]];
        (magnitude_rest[i], direction_rest[i]) = gradient::<FMA>(around);
    }
}

multiversion! {
    /// Central differences of the pixels of `rows[1]` but the first and last:
    /// magnitude (any unit) and direction in turns, x towards y.
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
