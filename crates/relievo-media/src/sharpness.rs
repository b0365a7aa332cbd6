//! How sharp a picture is.

use relievo_image::{Filter, Raster, fit_longer_side, resize};

/// Longer side at which sharpness is measured.
pub const SHARPNESS_SIDE_PX: usize = 640;

/// Variance of the Laplacian (Pech-Pacheco et al., ICPR 2000) in grey levels
/// squared, at 640 px on the longer side, so that it does not depend on the
/// resolution. Exact integer sums: the same on any machine.
pub fn sharpness(luma: &Raster<u8>) -> f32 {
    let (w, h) = fit_longer_side(luma.width(), luma.height(), SHARPNESS_SIDE_PX);
    let small = resize(luma, w, h, Filter::Area);
    if w < 3 || h < 3 {
        return 0.0;
    }
    let (mut sum, mut squares) = (0_i64, 0_i64);
    for y in 1..h - 1 {
        let (up, row, down) = (small.row(y - 1), small.row(y), small.row(y + 1));
        for x in 1..w - 1 {
            let l = 4 * i64::from(row[x])
                - i64::from(row[x - 1])
                - i64::from(row[x + 1])
                - i64::from(up[x])
                - i64::from(down[x]);
            sum += l;
            squares += l * l;
        }
    }
    let n = ((w - 2) * (h - 2)) as f64;
    let mean = sum as f64 / n;
    (squares as f64 / n - mean * mean) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blur_lowers_sharpness_and_flat_is_zero() {
        let sharp = Raster::from_fn(
            800,
            600,
            |x, y| if (x / 5 + y / 7) % 2 == 0 { 40 } else { 200 },
        );
        let half = resize(&sharp, 100, 75, Filter::Area);
        let blurred = resize(&half, 800, 600, Filter::Bilinear);
        assert!(sharpness(&sharp) > 4.0 * sharpness(&blurred));
        assert_eq!(sharpness(&Raster::filled(50, 50, 7)), 0.0);
        assert_eq!(sharpness(&Raster::filled(1, 1, 7)), 0.0);
    }
}
