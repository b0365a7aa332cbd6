//! Pictures laid out for the NCC kernel.
//!
//! A source pixel is a pair of signed bytes (grey − 128), its own and that of the pixel
//! below, so that the four values of a bilinear sample (the pixel, below, right,
//! below right) are 32 bits at any place: one load, and half the memory of a word
//! a pixel. All sources of a level share one arena and one row stride, so
//! that each lane may look into another source.

use super::half_field::{I, LANES};
use rayon::prelude::*;
use relievo_image::Raster;

/// Replicated pixels around every picture.
pub(crate) const PAD: usize = 20;

/// A reference picture with replicated borders.
#[derive(Debug)]
pub(crate) struct PaddedBytes {
    pub(crate) stride: usize,
    pub(crate) data: Vec<u8>,
}

impl PaddedBytes {
    pub(crate) fn new(image: &Raster<u8>) -> Self {
        // Blocks of 16 pixels of one colour reach 32 px past the last column.
        let stride = image.width() + 2 * PAD + 64;
        let rows = image.height() + 2 * PAD;
        let mut data = vec![0; stride * rows];
        data.par_chunks_mut(stride)
            .enumerate()
            .for_each(|(y, out)| {
                let row = image.row(y.saturating_sub(PAD).min(image.height() - 1));
                for (x, v) in out.iter_mut().enumerate() {
                    *v = row[x.saturating_sub(PAD).min(row.len() - 1)];
                }
            });
        Self { stride, data }
    }
}

/// All sources of a level.
#[derive(Debug)]
pub(crate) struct Arena {
    /// One more than there are pixels.
    pairs: Vec<[u8; 2]>,
    stride: usize,
    /// First pair and height of each source.
    sources: Vec<(i32, i32)>,
}

/// Where 16 lanes look: a source each of one arena.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// First pair of the source.
    pub(crate) base: I,
    /// Largest y of a patch's centre in the arena, 16.16.
    pub(crate) y_max: I,
}

impl Arena {
    /// Whether so many pictures of at most that size can be addressed.
    pub(crate) fn fits(pictures: usize, width: usize, height: usize) -> bool {
        let (stride, rows) = (width + 2 * PAD + 2, height + 2 * PAD + 2);
        stride.max(rows) < 32_768 && i32::try_from(pictures * rows * stride).is_ok()
    }

    pub(crate) fn new(images: &[Raster<u8>]) -> Self {
        let stride = images.iter().map(Raster::width).max().unwrap_or(0) + 2 * PAD + 2;
        let tallest = images.iter().map(Raster::height).max().unwrap_or(0);
        assert!(
            stride.max(tallest + PAD) < 32_768,
            "a picture is larger than the kernel's 16-bit index"
        );
        let mut sources = Vec::with_capacity(images.len());
        let mut rows = 0;
        for image in images {
            sources.push(((rows * stride) as i32, image.height() as i32));
            rows += image.height() + 2 * PAD + 2;
        }
        assert!(
            i32::try_from(rows * stride).is_ok(),
            "the sources of a level exceed a 31-bit index"
        );
        let mut pairs = vec![[0; 2]; rows * stride + 1];
        let mut rest = pairs.as_mut_slice();
        for image in images {
            let (part, tail) = rest.split_at_mut((image.height() + 2 * PAD + 2) * stride);
            rest = tail;
            part.par_chunks_mut(stride)
                .enumerate()
                .for_each(|(y, out)| pack_row(image, y, out));
        }
        Self {
            pairs,
            stride,
            sources,
        }
    }

    /// The pairs of all sources; a sample is one and the next.
    #[inline(always)]
    pub(crate) fn pairs(&self) -> &[[u8; 2]] {
        &self.pairs
    }

    /// Pairs in a row, below 2¹⁵.
    #[inline(always)]
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// Least x and y of a patch's centre, 16.16.
    pub(crate) const MIN: i32 = ((PAD - 1) as i32) << 16;

    /// Largest x of a patch's centre, 16.16.
    #[inline(always)]
    pub(crate) fn x_max(&self) -> i32 {
        (self.stride as i32 - PAD as i32 - 1) << 16
    }

    /// Where a lane looks that looks into source `source_idx`: `base` and `y_max`.
    #[inline(always)]
    pub(crate) fn place(&self, source_idx: usize) -> (i32, i32) {
        let (base, height) = self.sources[source_idx];
        (base, (height + PAD as i32) << 16)
    }

    /// All lanes look into source `source_idx`.
    #[inline(always)]
    pub(crate) fn target(&self, source_idx: usize) -> Target {
        let (base, y_max) = self.place(source_idx);
        Target {
            base: [base; LANES],
            y_max: [y_max; LANES],
        }
    }
}

fn pack_row(image: &Raster<u8>, y: usize, out: &mut [[u8; 2]]) {
    let clamp = |v: usize, n: usize| v.saturating_sub(PAD).min(n - 1);
    let top = image.row(clamp(y, image.height()));
    let bottom = image.row(clamp(y + 1, image.height()));
    for (x, pair) in out.iter_mut().enumerate() {
        let x = clamp(x, top.len());
        *pair = [top[x], bottom[x]].map(|v| v ^ 0x80);
    }
}

/// Half the size: each pixel is the mean of 2 × 2 (so that (x, y) maps to
/// (x/2, y/2) exactly); an odd last row or column is repeated.
pub(crate) fn halve(image: &Raster<u8>) -> Raster<u8> {
    let (w, h) = (image.width().div_ceil(2), image.height().div_ceil(2));
    let mut data = vec![0; w * h];
    data.par_chunks_mut(w.max(1))
        .enumerate()
        .for_each(|(y, out)| {
            let top = image.row(2 * y);
            let bottom = image.row((2 * y + 1).min(image.height() - 1));
            for (x, v) in out.iter_mut().enumerate() {
                let b = (2 * x + 1).min(top.len() - 1);
                let sum = u16::from(top[2 * x])
                    + u16::from(top[b])
                    + u16::from(bottom[2 * x])
                    + u16::from(bottom[b]);
                *v = ((sum + 2) / 4) as u8;
            }
        });
    Raster::from_vec(w, h, data)
}

/// A mask at half the size: valid where all four pixels are.
pub(crate) fn halve_mask(mask: &Raster<u8>) -> Raster<u8> {
    let (w, h) = (mask.width().div_ceil(2), mask.height().div_ceil(2));
    Raster::from_fn(w, h, |x, y| {
        let (x1, y1) = (
            (2 * x + 1).min(mask.width() - 1),
            (2 * y + 1).min(mask.height() - 1),
        );
        mask[(2 * x, 2 * y)]
            .min(mask[(x1, 2 * y)])
            .min(mask[(2 * x, y1)])
            .min(mask[(x1, y1)])
    })
}
