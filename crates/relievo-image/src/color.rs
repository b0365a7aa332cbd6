//! sRGB, linear light, luma.

use crate::{Raster, Rgb8};
use rayon::prelude::*;
use std::sync::LazyLock;

static TO_LINEAR: LazyLock<[f32; 256]> = LazyLock::new(|| {
    std::array::from_fn(|i| {
        let v = i as f32 / 255.0;
        if v <= 0.04045 {
            v / 12.92
        } else {
            ((v + 0.055) / 1.055).powf(2.4)
        }
    })
});

/// Steps of the table from linear light to sRGB; 20 of them make up one of the
/// narrowest 8-bit levels.
const STEPS: usize = 1 << 16;

static FROM_LINEAR: LazyLock<Vec<u8>> = LazyLock::new(|| {
    (0..=STEPS)
        .map(|i| {
            let v = i as f32 / STEPS as f32;
            let s = if v <= 0.003_130_8 {
                v * 12.92
            } else {
                1.055 * v.powf(1.0 / 2.4) - 0.055
            };
            (s * 255.0).round() as u8
        })
        .collect()
});

/// Linear light 0 … 1 of each 8-bit sRGB level (IEC 61966-2-1).
pub fn srgb_to_linear_table() -> &'static [f32; 256] {
    &TO_LINEAR
}

/// Linear light 0 … 1 of an 8-bit sRGB value.
#[inline]
pub fn srgb_to_linear(v: u8) -> f32 {
    TO_LINEAR[v as usize]
}

/// The nearest 8-bit sRGB value of linear light; out of range and NaN are
/// clamped.
#[inline]
pub fn linear_to_srgb(v: f32) -> u8 {
    // A cast saturates, and takes NaN to 0.
    FROM_LINEAR[((v * STEPS as f32 + 0.5) as usize).min(STEPS)]
}

/// Rec. 601 luma 0.299 R + 0.587 G + 0.114 B in 16-bit fixed point, rounded.
#[inline]
pub fn luma_of([r, g, b]: Rgb8) -> u8 {
    ((19_595 * u32::from(r) + 38_470 * u32::from(g) + 7_471 * u32::from(b) + 32_768) >> 16) as u8
}

/// [`luma_of`] every pixel.
pub fn luma(rgb: &Raster<Rgb8>) -> Raster<u8> {
    const BLOCK: usize = 1 << 16;
    let mut out = vec![0; rgb.as_slice().len()];
    out.par_chunks_mut(BLOCK)
        .zip(rgb.as_slice().par_chunks(BLOCK))
        .for_each(|(out, rgb)| {
            for (o, &p) in out.iter_mut().zip(rgb) {
                *o = luma_of(p);
            }
        });
    Raster::from_vec(rgb.width(), rgb.height(), out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_srgb_level_survives_linear_light() {
        for v in 0..=255 {
            assert_eq!(linear_to_srgb(srgb_to_linear(v)), v);
        }
        assert_eq!(linear_to_srgb(-1.0), 0);
        assert_eq!(linear_to_srgb(7.0), 255);
        assert_eq!(linear_to_srgb(f32::NAN), 0);
        assert_eq!(linear_to_srgb(f32::INFINITY), 255);
    }

    #[test]
    fn luma_is_rec_601_rounded() {
        for i in 0..5000_u32 {
            let p = [i % 256, i * 7 % 256, i * 31 % 256].map(|v| v as u8);
            let exact = 0.299 * f64::from(p[0]) + 0.587 * f64::from(p[1]) + 0.114 * f64::from(p[2]);
            assert!((f64::from(luma_of(p)) - exact).abs() < 0.502, "{p:?}");
        }
        assert_eq!(luma_of([255; 3]), 255);
        assert_eq!(luma_of([77; 3]), 77);
    }
}
