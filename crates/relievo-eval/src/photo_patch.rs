//! Patches of surface as photos show them.

use crate::consistency::HalfPhoto;
use relievo_geometry::{Vec2, Vec3};
use relievo_image::Raster;

/// Side of a patch, samples.
const SIDE: usize = 9;
/// Samples of a patch.
pub(crate) const SAMPLES: usize = SIDE * SIDE;
/// Grey deviation under which a patch shows nothing.
const BLANK: f32 = 1.5;

/// Grey values of the patch around `position` along the normal `n`; `None` where it leaves
/// the picture.
pub(crate) fn patch(
    (position, n): (Vec3, Vec3),
    photo: &HalfPhoto,
    step: f64,
) -> Option<[f32; SAMPLES]> {
    let aside = if n.x.abs() < 0.7 {
        Vec3::x()
    } else {
        Vec3::y()
    };
    let a = n.cross(&aside).normalize();
    let b = n.cross(&a);
    let mut out = [0.0; SAMPLES];
    let half = (SIDE / 2) as f64;
    for (k, value) in out.iter_mut().enumerate() {
        let (i, j) = ((k % SIDE) as f64 - half, (k / SIDE) as f64 - half);
        let x = position + (a * i + b * j) * step;
        let px = photo.model.project(&photo.cam_from_world.apply(&x))?;
        *value = sample(&photo.grey, px)?;
    }
    Some(out)
}

/// Bilinear; `None` outside the pixel centres.
fn sample(grey: &Raster<u8>, px: Vec2) -> Option<f32> {
    let (x, y) = (px.x - 0.5, px.y - 0.5);
    let (w, h) = (grey.width(), grey.height());
    if !(x >= 0.0 && y >= 0.0 && x < (w - 1) as f64 && y < (h - 1) as f64) {
        return None;
    }
    let (i, j) = (x as usize, y as usize);
    let (fx, fy) = ((x - i as f64) as f32, (y - j as f64) as f32);
    let get = |i, j| f32::from(grey[(i, j)]);
    let top = get(i, j) + (get(i + 1, j) - get(i, j)) * fx;
    let bottom = get(i, j + 1) + (get(i + 1, j + 1) - get(i, j + 1)) * fx;
    Some(top + (bottom - top) * fy)
}

/// Zero mean, unit length; `None` where it shows nothing.
pub(crate) fn normalise(mut p: [f32; SAMPLES]) -> Option<[f32; SAMPLES]> {
    let mean = p.iter().sum::<f32>() / SAMPLES as f32;
    let mut square = 0.0;
    for v in &mut p {
        *v -= mean;
        square += *v * *v;
    }
    let length = square.sqrt();
    if length / (SAMPLES as f32).sqrt() < BLANK {
        return None;
    }
    Some(p.map(|v| v / length))
}
