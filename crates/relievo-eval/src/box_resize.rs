//! Shrinking a photo by averaging boxes of whole pixels, in 8 bits.
//!
//! The separable BOX filter of the Pillow library: each target pixel is the
//! mean of the source pixels whose centres lie in its footprint, rounded after
//! the horizontal and after the vertical pass.

use rayon::prelude::*;
use relievo_image::{Raster, Rgb8};

/// The photo at `width` × `height`, both positive and at most its own.
pub fn box_resize(photo: &Raster<Rgb8>, width: usize, height: usize) -> Raster<Rgb8> {
    let columns = footprints(photo.width(), width);
    let mut wide = Raster::<Rgb8>::new(width, photo.height());
    wide.as_mut_slice()
        .par_chunks_mut(width.max(1))
        .enumerate()
        .for_each(|(y, row)| {
            let source = photo.row(y);
            for (out, &(a, b)) in row.iter_mut().zip(&columns) {
                *out = mean(source[a..b].iter());
            }
        });
    let rows = footprints(photo.height(), height);
    let mut small = Raster::<Rgb8>::new(width, height);
    small
        .as_mut_slice()
        .par_chunks_mut(width.max(1))
        .enumerate()
        .for_each(|(y, row)| {
            let (a, b) = rows[y];
            for (x, out) in row.iter_mut().enumerate() {
                *out = mean((a..b).map(|k| &wide[(x, k)]));
            }
        });
    small
}

fn mean<'a>(pixels: impl Iterator<Item = &'a Rgb8>) -> Rgb8 {
    let (mut sum, mut n) = ([0_u32; 3], 0_u32);
    for p in pixels {
        for k in 0..3 {
            sum[k] += u32::from(p[k]);
        }
        n += 1;
    }
    sum.map(|s| ((2 * s + n) / (2 * n.max(1))) as u8)
}

/// Ranges of source pixels, one for each target pixel.
fn footprints(from: usize, to: usize) -> Vec<(usize, usize)> {
    let scale = from as f64 / to as f64;
    let support = 0.5 * scale.max(1.0);
    (0..to)
        .map(|i| {
            let center = (i as f64 + 0.5) * scale;
            let low = ((center - support + 0.5).max(0.0)) as usize;
            let high = ((center + support + 0.5) as usize).min(from);
            let low = low.min(from.saturating_sub(1));
            (low, high.max(low + 1))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halving_averages_two_by_two_and_odd_sizes_are_covered() {
        let photo = Raster::from_fn(4, 2, |x, y| [(10 * x + y) as u8, 0, 255]);
        let half = box_resize(&photo, 2, 1);
        // (0 + 10) / 2 = 5 and (1 + 11) / 2 = 6, then 5.5 rounds up.
        assert_eq!(half.as_slice(), [[6, 0, 255], [26, 0, 255]]);
        assert_eq!(box_resize(&photo, 4, 2), photo);
        let spans = footprints(7, 3);
        assert_eq!((spans[0].0, spans[2].1), (0, 7));
        assert!(spans.windows(2).all(|w| w[0].1 == w[1].0));
    }
}
