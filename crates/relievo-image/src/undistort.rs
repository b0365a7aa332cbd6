//! Photos through an ideal pinhole camera.

use crate::resize::{Filter, ResizePixel, resize};
use crate::{Raster, Rgb8};
use rayon::prelude::*;
use relievo_geometry::{CameraModel, Vec2};

/// The pinhole camera (fx, fy, cx, cy) for pictures of `width` × `height`
/// made from photos of `photo_width` × `photo_height` taken by `model`.
///
/// The rule is COLMAP's with `blank_pixels = 0`, but the size is the caller's
/// and exact, and the focal length gives way instead: principal point and
/// focal length are those of the photo, scaled, and the focal length is then
/// multiplied by the smallest zoom (within 0.5 … 2) at which every pixel sees
/// the photo, so that no border stays black. The zoom is 1 without distortion.
pub fn undistorted_model(
    model: &CameraModel,
    (photo_width, photo_height): (u32, u32),
    (width, height): (u32, u32),
) -> CameraModel {
    let (w, h) = (f64::from(photo_width), f64::from(photo_height));
    let (sx, sy) = (f64::from(width) / w, f64::from(height) / h);
    let (fx, fy) = model.focal_px();
    let c = model.principal_point_px();
    let zoom = if model.is_pinhole() {
        1.0
    } else {
        zoom_without_blanks(model, w, h).clamp(0.5, 2.0)
    };
    CameraModel::Pinhole {
        fx: fx * zoom * sx,
        fy: fy * zoom * sy,
        cx: c.x * sx,
        cy: c.y * sy,
    }
}

/// The largest of the four ratios between a picture border and the innermost
/// point of the undistorted photo border, both from the principal point.
fn zoom_without_blanks(model: &CameraModel, w: f64, h: f64) -> f64 {
    const SAMPLES: usize = 256;
    let (fx, fy) = model.focal_px();
    let c = model.principal_point_px();
    let mut zoom = 0.0_f64;
    for i in 0..=SAMPLES {
        let t = i as f64 / SAMPLES as f64;
        let ideal = |x: f64, y: f64| model.unproject(&Vec2::new(x, y));
        let ratios = [
            -c.x / (fx * ideal(0.0, t * h).x),
            (w - c.x) / (fx * ideal(w, t * h).x),
            -c.y / (fy * ideal(t * w, 0.0).y),
            (h - c.y) / (fy * ideal(t * w, h).y),
        ];
        // A border that is bent past the centre, or a principal point outside
        // the photo, has no meaningful ratio.
        for r in ratios.into_iter().filter(|r| r.is_finite() && *r > 0.0) {
            zoom = zoom.max(r);
        }
    }
    if zoom > 0.0 { zoom } else { 1.0 }
}

/// Pixels that can be weighted by cubic convolution.
trait Sample: ResizePixel + Send + Sync {
    type Sum: Copy + Default;
    fn add(sum: &mut Self::Sum, weight: f32, value: Self);
    fn round(sum: Self::Sum) -> Self;
}

impl Sample for u8 {
    type Sum = f32;
    #[inline(always)]
    fn add(sum: &mut f32, weight: f32, value: u8) {
        *sum += weight * f32::from(value);
    }
    #[inline(always)]
    fn round(sum: f32) -> u8 {
        (sum + 0.5) as u8
    }
}

impl Sample for Rgb8 {
    type Sum = [f32; 3];
    #[inline(always)]
    fn add(sum: &mut [f32; 3], weight: f32, value: Rgb8) {
        for k in 0..3 {
            sum[k] += weight * f32::from(value[k]);
        }
    }
    #[inline(always)]
    fn round(sum: [f32; 3]) -> Rgb8 {
        sum.map(|v| (v + 0.5) as u8)
    }
}

/// Catmull–Rom weights of the four samples around a point, `t` past the
/// second (Keys 1981, a = −0.5).
#[inline(always)]
fn cubic_weights(t: f32) -> [f32; 4] {
    let (t2, t3) = (t * t, t * t * t);
    [
        0.5 * (-t3 + 2.0 * t2 - t),
        0.5 * (3.0 * t3 - 5.0 * t2 + 2.0),
        0.5 * (-3.0 * t3 + 4.0 * t2 + t),
        0.5 * (t3 - t2),
    ]
}

#[inline(always)]
fn cubic<T: Sample>(src: &Raster<T>, x: f64, y: f64) -> T {
    // Sample k of the raster lies at k + 0.5.
    let (w, h) = (src.width() as isize, src.height() as isize);
    let (x, y) = (
        (x - 0.5).clamp(-1.0, w as f64),
        (y - 0.5).clamp(-1.0, h as f64),
    );
    let (x0, y0) = (x.floor(), y.floor());
    let wx = cubic_weights((x - x0) as f32);
    let wy = cubic_weights((y - y0) as f32);
    let (x0, y0) = (x0 as isize - 1, y0 as isize - 1);
    let mut sum = T::Sum::default();
    if x0 >= 0 && x0 + 3 < w && y0 >= 0 && y0 + 3 < h {
        for (j, &wj) in wy.iter().enumerate() {
            let start = (y0 as usize + j) * w as usize + x0 as usize;
            let row = &src.as_slice()[start..start + 4];
            for (&wi, &v) in wx.iter().zip(row) {
                T::add(&mut sum, wi * wj, v);
            }
        }
    } else {
        for (j, &wj) in wy.iter().enumerate() {
            let row = src.row((y0 + j as isize).clamp(0, h - 1) as usize);
            for (i, &wi) in wx.iter().enumerate() {
                let v = row[(x0 + i as isize).clamp(0, w - 1) as usize];
                T::add(&mut sum, wi * wj, v);
            }
        }
    }
    T::round(sum)
}

/// The photo as `target` (a pinhole model) sees it, at `width` × `height`.
///
/// `photo` is the upright full-size photo of `model`. Making smaller averages
/// over the area first and then samples with cubic convolution, so fine
/// texture does not alias; without distortion the picture is only resized.
/// Outside the photo its border is repeated; see [`undistorted_mask`].
pub fn undistort(
    photo: &Raster<Rgb8>,
    model: &CameraModel,
    target: &CameraModel,
    (width, height): (u32, u32),
) -> Raster<Rgb8> {
    remap(photo, model, target, (width, height))
}

/// [`undistort`] of a grey picture.
pub fn undistort_gray(
    photo: &Raster<u8>,
    model: &CameraModel,
    target: &CameraModel,
    (width, height): (u32, u32),
) -> Raster<u8> {
    remap(photo, model, target, (width, height))
}

fn remap<T: Sample>(
    photo: &Raster<T>,
    model: &CameraModel,
    target: &CameraModel,
    (width, height): (u32, u32),
) -> Raster<T> {
    let (w, h) = (width as usize, height as usize);
    if photo.is_empty() || w == 0 || h == 0 {
        return Raster::new(w, h);
    }
    let (sx, sy) = (
        w as f64 / photo.width() as f64,
        h as f64 / photo.height() as f64,
    );
    if model.is_pinhole() && same_pinhole(&model.scaled(sx, sy), target) {
        let filter = if sx < 1.0 {
            Filter::Area
        } else {
            Filter::Lanczos3
        };
        return resize(photo, w, h, filter);
    }
    // Bring the photo to the resolution of the target first.
    let scale = target.mean_focal_px() / model.mean_focal_px();
    let shrunk;
    let (source, model) = if scale < 0.85 {
        let size = |v: usize| ((v as f64 * scale).round() as usize).clamp(1, v);
        let (sw, sh) = (size(photo.width()), size(photo.height()));
        shrunk = resize(photo, sw, sh, Filter::Area);
        let (kx, ky) = (
            sw as f64 / photo.width() as f64,
            sh as f64 / photo.height() as f64,
        );
        (&shrunk, stretched(model, kx, ky))
    } else {
        (photo, Stretched::plain(*model))
    };
    let (fx, fy) = target.focal_px();
    let c = target.principal_point_px();
    let mut out = Raster::new(w, h);
    out.as_mut_slice()
        .par_chunks_mut(w)
        .enumerate()
        .for_each(|(y, row)| {
            let ny = (y as f64 + 0.5 - c.y) / fy;
            for (x, o) in row.iter_mut().enumerate() {
                let nx = (x as f64 + 0.5 - c.x) / fx;
                let p = model.pixel(&Vec2::new(nx, ny));
                *o = cubic(source, p.x, p.y);
            }
        });
    out
}

/// A model whose pixels are stretched by (kx, ky), which may differ by the
/// rounding of a size.
struct Stretched {
    model: CameraModel,
    fx: f64,
    fy: f64,
    cx: f64,
    cy: f64,
}

impl Stretched {
    fn plain(model: CameraModel) -> Self {
        stretched(&model, 1.0, 1.0)
    }

    #[inline(always)]
    fn pixel(&self, n: &Vec2) -> Vec2 {
        let d = self.model.distort(n);
        Vec2::new(self.fx * d.x + self.cx, self.fy * d.y + self.cy)
    }
}

fn stretched(model: &CameraModel, kx: f64, ky: f64) -> Stretched {
    let (fx, fy) = model.focal_px();
    let c = model.principal_point_px();
    Stretched {
        model: *model,
        fx: fx * kx,
        fy: fy * ky,
        cx: c.x * kx,
        cy: c.y * ky,
    }
}

fn same_pinhole(a: &CameraModel, b: &CameraModel) -> bool {
    let (fa, fb) = (a.focal_px(), b.focal_px());
    let (ca, cb) = (a.principal_point_px(), b.principal_point_px());
    let near = |x: f64, y: f64| (x - y).abs() < 1e-6 * x.abs().max(1.0);
    a.is_pinhole()
        && b.is_pinhole()
        && near(fa.0, fb.0)
        && near(fa.1, fb.1)
        && near(ca.x, cb.x)
        && near(ca.y, cb.y)
}

/// 255 where the pixel of `target` lies inside the photo (and where `mask` of
/// the photo's size, if given, is not 0 at the nearest pixel), else 0.
pub fn undistorted_mask(
    mask: Option<&Raster<u8>>,
    model: &CameraModel,
    (photo_width, photo_height): (u32, u32),
    target: &CameraModel,
    (width, height): (u32, u32),
) -> Raster<u8> {
    let (w, h) = (width as usize, height as usize);
    let mut out = Raster::new(w, h);
    if out.is_empty() {
        return out;
    }
    let (pw, ph) = (f64::from(photo_width), f64::from(photo_height));
    let map = Stretched::plain(*model);
    let (fx, fy) = target.focal_px();
    let c = target.principal_point_px();
    out.as_mut_slice()
        .par_chunks_mut(w)
        .enumerate()
        .for_each(|(y, row)| {
            for (x, o) in row.iter_mut().enumerate() {
                let n = Vec2::new((x as f64 + 0.5 - c.x) / fx, (y as f64 + 0.5 - c.y) / fy);
                let p = map.pixel(&n);
                let inside = p.x >= 0.0 && p.y >= 0.0 && p.x < pw && p.y < ph
                    // Past its turning point a strong distortion folds back in.
                    && model.distort_jacobian(&n).determinant() > 0.0;
                let kept = inside
                    && mask.is_none_or(|m| {
                        let u = (p.x / pw * m.width() as f64) as usize;
                        let v = (p.y / ph * m.height() as f64) as usize;
                        m.contains(u as isize, v as isize) && m[(u, v)] != 0
                    });
                *o = if kept { 255 } else { 0 };
            }
        });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENSES: [(f64, f64); 4] = [(-0.2, 0.05), (0.15, 0.0), (-0.05, 0.0), (0.02, 0.01)];

    fn lens((k1, k2): (f64, f64)) -> CameraModel {
        CameraModel::OpenCv {
            fx: 820.0,
            fy: 815.0,
            cx: 507.0,
            cy: 371.0,
            k1,
            k2,
            p1: 0.001,
            p2: -0.0007,
        }
    }

    /// A scene at infinity, as brightness by direction.
    fn scene(n: &Vec2) -> f64 {
        128.0 + 60.0 * (n.x * 25.0).sin() * (n.y * 31.0).cos() + 40.0 * n.x
    }

    fn photograph(model: &CameraModel, w: usize, h: usize) -> Raster<u8> {
        Raster::from_fn(w, h, |x, y| {
            let n = model.unproject(&Vec2::new(x as f64 + 0.5, y as f64 + 0.5));
            scene(&n).round() as u8
        })
    }

    #[test]
    fn no_pixel_is_blank_and_little_is_lost() {
        for k in LENSES {
            let model = lens(k);
            let target = undistorted_model(&model, (1000, 750), (500, 375));
            let mask = undistorted_mask(None, &model, (1000, 750), &target, (500, 375));
            assert!(!mask.as_slice().contains(&0), "{k:?}");
            // A little less zoom leaves a blank somewhere.
            let (fx, fy) = target.focal_px();
            let c = target.principal_point_px();
            let wider = CameraModel::Pinhole {
                fx: fx * 0.98,
                fy: fy * 0.98,
                cx: c.x,
                cy: c.y,
            };
            let mask = undistorted_mask(None, &model, (1000, 750), &wider, (500, 375));
            assert!(mask.as_slice().contains(&0), "{k:?}");
        }
    }

    #[test]
    fn the_pinhole_picture_shows_the_scene_where_the_model_says() {
        for k in LENSES {
            let model = lens(k);
            let photo = photograph(&model, 1000, 750);
            for size in [(1000, 750), (500, 375), (333, 250)] {
                let target = undistorted_model(&model, (1000, 750), size);
                let got = undistort_gray(&photo, &model, &target, size);
                let want = photograph(&target, size.0 as usize, size.1 as usize);
                let (mut sum, mut count) = (0.0, 0);
                for y in 4..got.height() - 4 {
                    for x in 4..got.width() - 4 {
                        sum += f64::from(got[(x, y)].abs_diff(want[(x, y)]));
                        count += 1;
                    }
                }
                // A shift of half a pixel would cost 1.0 at full size.
                let mean = sum / f64::from(count);
                assert!(mean < 0.45, "{k:?} {size:?}: {mean}");
            }
        }
    }

    #[test]
    fn without_distortion_the_picture_is_resized() {
        let model = CameraModel::SimplePinhole {
            f: 700.0,
            cx: 100.0,
            cy: 60.0,
        };
        let photo = photograph(&model, 200, 120);
        let target = undistorted_model(&model, (200, 120), (100, 60));
        assert_eq!(target.focal_px(), (350.0, 350.0));
        let got = undistort_gray(&photo, &model, &target, (100, 60));
        assert_eq!(got, resize(&photo, 100, 60, Filter::Area));
        let rgb = photo.map(|&v| [v; 3]);
        let same = undistorted_model(&model, (200, 120), (200, 120));
        assert_eq!(undistort(&rgb, &model, &same, (200, 120)), rgb);
    }

    #[test]
    fn hopeless_lenses_do_no_harm() {
        for k1 in [-3.0, 3.0, f64::NAN] {
            let model = lens((k1, 0.0));
            let target = undistorted_model(&model, (64, 48), (32, 24));
            let photo = Raster::filled(64, 48, 9_u8);
            let got = undistort_gray(&photo, &model, &target, (32, 24));
            assert_eq!((got.width(), got.height()), (32, 24));
            let _ = undistorted_mask(Some(&photo), &model, (64, 48), &target, (32, 24));
        }
    }
}
