//! Resizing with the whole picture kept: x maps to s·x, so the edges of the
//! picture coincide and pixel centres stay at half-integers.

use crate::Raster;
use bytemuck::Pod;
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{F32, U8, U8x3, U16};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};

/// How samples are weighted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Mean over about the area of the new pixel: a box for whole factors, a
    /// Hamming window otherwise. For making smaller.
    Area,
    /// Linear; widened over the area of the new pixel when making smaller.
    Bilinear,
    /// Lanczos with three lobes; sharpest, may ring.
    Lanczos3,
}

/// A pixel that [`resize`] can weight: u8, [u8; 3], u16, f32.
pub trait ResizePixel: Copy + Default + Pod + sealed::Sealed {}

mod sealed {
    pub trait Sealed {
        type Pixel: fast_image_resize::PixelTrait;
    }
}

macro_rules! resizable {
    ($($t:ty => $p:ty),*) => { $(
        impl sealed::Sealed for $t { type Pixel = $p; }
        impl ResizePixel for $t {}
    )* };
}
resizable!(u8 => U8, [u8; 3] => U8x3, u16 => U16, f32 => F32);

/// `src` at `width` × `height` pixels. Empty where either is empty; a copy
/// where the size is the same.
pub fn resize<T: ResizePixel>(
    src: &Raster<T>,
    width: usize,
    height: usize,
    filter: Filter,
) -> Raster<T> {
    if (src.width(), src.height()) == (width, height) {
        return src.clone();
    }
    let mut out = Raster::new(width, height);
    if src.is_empty() || out.is_empty() {
        return out;
    }
    resize_into::<T, T::Pixel>(src, &mut out, filter)
        .expect("the views are built from the rasters' own sizes");
    out
}

fn resize_into<T: Pod, P: PixelTrait>(
    src: &Raster<T>,
    out: &mut Raster<T>,
    filter: Filter,
) -> Option<()> {
    let (w, h) = (out.width() as u32, out.height() as u32);
    let (sw, sh) = (src.width() as u32, src.height() as u32);
    let from =
        TypedImageRef::<P>::from_buffer(sw, sh, bytemuck::cast_slice(src.as_slice())).ok()?;
    let to = bytemuck::cast_slice_mut(out.as_mut_slice());
    let mut to = TypedImage::<P>::from_buffer(w, h, to).ok()?;
    let filter = match filter {
        // A box that does not cover whole pixels would take in now more, now
        // fewer of them, and so shift by a fraction of a pixel.
        Filter::Area if sw % w == 0 && sh % h == 0 => FilterType::Box,
        Filter::Area => FilterType::Hamming,
        Filter::Bilinear => FilterType::Bilinear,
        Filter::Lanczos3 => FilterType::Lanczos3,
    };
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(filter))
        .use_alpha(false);
    Resizer::new().resize_typed(&from, &mut to, &options).ok()
}

/// The size with `longer_side_px` pixels on the longer side and the same
/// aspect, rounded; never larger than the original, never empty.
pub fn fit_longer_side(width: usize, height: usize, longer_side_px: usize) -> (usize, usize) {
    let longer = width.max(height);
    if longer <= longer_side_px || longer == 0 {
        return (width, height);
    }
    let fit = |v: usize| ((v * longer_side_px + longer / 2) / longer).max(1);
    (fit(width), fit(height))
}

/// The mean of 2 × 2 pixels, at exactly half the scale: of an odd size the
/// last row or column is left out, so that x maps to x/2. A side of one pixel
/// stays.
pub fn halve(src: &Raster<u8>) -> Raster<u8> {
    let (w, h) = ((src.width() / 2).max(1), (src.height() / 2).max(1));
    if src.is_empty() {
        return Raster::new(0, 0);
    }
    let (last_x, last_y) = (src.width() - 1, src.height() - 1);
    let mut out = Raster::new(w, h);
    for y in 0..h {
        let (a, b) = (src.row(2 * y), src.row((2 * y + 1).min(last_y)));
        for (x, o) in out.row_mut(y).iter_mut().enumerate() {
            let (l, r) = (2 * x, (2 * x + 1).min(last_x));
            let sum = u32::from(a[l]) + u32::from(a[r]) + u32::from(b[l]) + u32::from(b[r]);
            *o = ((sum + 2) / 4) as u8;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A smooth ramp and waves, sampled at pixel centres.
    fn picture(w: usize, h: usize, s: f64) -> Raster<f32> {
        Raster::from_fn(w, h, |x, y| {
            let (x, y) = ((x as f64 + 0.5) / s, (y as f64 + 0.5) / s);
            (100.0 + 0.1 * x + 20.0 * (x * 0.02).sin() + 0.2 * y) as f32
        })
    }

    #[test]
    fn pixel_centres_do_not_move() {
        for filter in [Filter::Area, Filter::Bilinear, Filter::Lanczos3] {
            for s in [0.5, 0.25, 0.4] {
                let (w, h) = (500, 300);
                let (sw, sh) = ((500.0 * s) as usize, (300.0 * s) as usize);
                let small = resize(&picture(w, h, 1.0), sw, sh, filter);
                let want = picture(sw, sh, s);
                for y in 3..sh - 3 {
                    for x in 3..sw - 3 {
                        let d = (small[(x, y)] - want[(x, y)]).abs();
                        assert!(d < 0.03, "{filter:?} {s}: {d} at {x} {y}");
                    }
                }
            }
        }
    }

    #[test]
    fn all_pixel_types_and_odd_sizes_work() {
        let grey = Raster::from_fn(7, 5, |x, y| (10 * x + y) as u8);
        assert_eq!(resize(&grey, 7, 5, Filter::Area), grey);
        let rgb = grey.map(|&v| [v, 255 - v, 9]);
        let small = resize(&rgb, 3, 1, Filter::Area);
        assert_eq!((small.width(), small.height()), (3, 1));
        assert!(small.as_slice().iter().all(|p| p[2] == 9));
        let wide = grey.map(|&v| u16::from(v) * 257);
        assert_eq!(resize(&wide, 1, 1, Filter::Area).as_slice().len(), 1);
        assert!(resize(&Raster::<u8>::new(0, 0), 3, 3, Filter::Area).as_slice() == [0; 9]);
    }

    #[test]
    fn halving_averages_blocks_and_drops_the_odd_rest() {
        let src = Raster::from_vec(3, 3, vec![0, 2, 99, 4, 6, 99, 99, 99, 99]);
        assert_eq!(halve(&src), Raster::from_vec(1, 1, vec![3]));
        assert_eq!(halve(&Raster::filled(1, 4, 8_u8)), Raster::filled(1, 2, 8));
    }

    #[test]
    fn the_longer_side_fits_exactly() {
        assert_eq!(fit_longer_side(4000, 3000, 1000), (1000, 750));
        assert_eq!(fit_longer_side(1080, 1920, 640), (360, 640));
        assert_eq!(fit_longer_side(100, 50, 640), (100, 50));
        assert_eq!(fit_longer_side(10_000, 3, 100), (100, 1));
    }
}
