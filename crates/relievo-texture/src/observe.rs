//! What one photo shows of every face: visibility, quality, mean colour.
//!
//! Data term of Waechter et al. 2014, section 4.1 (after Gal et al. 2010): the
//! gradient magnitude summed over the face's footprint, which prefers near,
//! frontal and sharp views. Departure: visibility comes from a z-buffer of
//! face ids instead of rays, and colour, gradient and footprint are gathered
//! in one sweep over it.

use crate::options::TextureOptions;
use crate::plane::ViewPlane;
use crate::source::TexturePhoto;
use rayon::prelude::*;
use relievo_geometry::{Rigid3, Vec3};
use relievo_image::Raster;
use relievo_scene::TriMesh;
use relievo_spatial::{FaceBuffer, NO_FACE};

/// A face in a photo.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) face: u32,
    /// Photo pixels × grey levels per pixel; > 0.
    pub(crate) quality: f32,
    /// Mean sRGB.
    pub(crate) color: [u8; 3],
}

/// Grey levels per pixel added to every gradient, so that plain surfaces are
/// chosen by resolution and angle rather than by noise.
const PLAIN_GRADIENT: f32 = 4.0;
/// Pixels whose share of a face must be seen, for a face large enough to count.
const WHOLE_SHARE: f32 = 0.7;
/// Below this footprint (reduced pixels) pixel counts say nothing.
const COUNTABLE_PX: f32 = 16.0;
/// A face cut by an occluder, or next to one, is a last resort.
const PARTIAL_FACTOR: f32 = 1e-3;
/// A face whose surroundings hold an occluder's silhouette.
const NEAR_OCCLUDER_FACTOR: f32 = 0.15;

/// The integer by which a photo is reduced for the sweep.
pub(crate) fn reduction(longer_side_px: u32, options: &TextureOptions) -> u32 {
    longer_side_px
        .div_ceil(options.selection_max_px.max(64))
        .max(1)
}

/// Bytes that [`observe`] holds at most, photo included.
pub(crate) fn bytes_needed(mesh: &TriMesh, photo_px: u64, factor: u32) -> u64 {
    let reduced = photo_px / u64::from(factor * factor);
    3 * photo_px
        + 16 * reduced
        + 170 * mesh.triangles.len() as u64
        + 24 * mesh.positions.len() as u64
}

struct Reduced {
    rgb: Raster<[u8; 3]>,
    gradient: Raster<u8>,
    usable: Option<Raster<bool>>,
}

#[derive(Clone, Copy, Default)]
struct Sum {
    pixels: u32,
    masked: u32,
    gradient: u32,
    color: [u32; 3],
}

/// All faces that `photo` shows, in face order.
pub(crate) fn observe(
    mesh: &TriMesh,
    full: &ViewPlane,
    cam_from_world: &Rigid3,
    photo: &TexturePhoto,
    options: &TextureOptions,
) -> Vec<Seen> {
    let longer = photo.rgb.width().max(photo.rgb.height()) as u32;
    let factor = reduction(longer, options);
    let view = full.reduced(factor);
    let small = reduce(photo, factor as usize);
    let nearest_z = 1e-6 * typical_depth(mesh, &view);
    let buffer = FaceBuffer::rasterise(mesh, &view.plane, cam_from_world, nearest_z);
    let sums = sweep(mesh, &view, &small, &buffer);
    let scale = f64::from(factor * factor);
    (0..mesh.triangles.len())
        .into_par_iter()
        .with_min_len(4096)
        .filter_map(|f| {
            judge(mesh, f, &view, &small, &buffer, &sums[f], options).map(|(quality, color)| Seen {
                face: f as u32,
                quality: (quality * scale) as f32,
                color,
            })
        })
        .collect()
}

fn typical_depth(mesh: &TriMesh, view: &ViewPlane) -> f64 {
    let stride = mesh.positions.len().div_ceil(2000).max(1);
    let mut z: Vec<f64> = mesh
        .positions
        .iter()
        .step_by(stride)
        .map(|p| view.to_camera(*p).z)
        .filter(|z| *z > 0.0)
        .collect();
    if z.is_empty() {
        return 1.0;
    }
    let middle = z.len() / 2;
    *z.select_nth_unstable_by(middle, f64::total_cmp).1
}

fn reduce(photo: &TexturePhoto, factor: usize) -> Reduced {
    let (w, h) = (photo.rgb.width(), photo.rgb.height());
    let (sw, sh) = (w.div_ceil(factor), h.div_ceil(factor));
    let mut rgb = Raster::<[u8; 3]>::new(sw, sh);
    rgb.as_mut_slice()
        .par_chunks_mut(sw.max(1))
        .enumerate()
        .for_each(|(y, row)| {
            if factor == 1 {
                row.copy_from_slice(photo.rgb.row(y));
                return;
            }
            for (x, out) in row.iter_mut().enumerate() {
                let mut sum = [0_u32; 3];
                let mut n = 0;
                for yy in y * factor..((y + 1) * factor).min(h) {
                    for p in &photo.rgb.row(yy)[x * factor..((x + 1) * factor).min(w)] {
                        for k in 0..3 {
                            sum[k] += u32::from(p[k]);
                        }
                        n += 1;
                    }
                }
                *out = sum.map(|s| ((s + n / 2) / n.max(1)) as u8);
            }
        });
    let luma = relievo_image::color::luma(&rgb);
    let mut gradient = Raster::<u8>::new(sw, sh);
    gradient
        .as_mut_slice()
        .par_chunks_mut(sw.max(1))
        .enumerate()
        .for_each(|(y, row)| {
            let (above, here, below) = (
                luma.row(y.saturating_sub(1)),
                luma.row(y),
                luma.row((y + 1).min(sh - 1)),
            );
            for x in 0..sw {
                let dx =
                    f32::from(here[(x + 1).min(sw - 1)]) - f32::from(here[x.saturating_sub(1)]);
                let dy = f32::from(below[x]) - f32::from(above[x]);
                row[x] = (0.5 * (dx * dx + dy * dy).sqrt()).min(255.0) as u8;
            }
        });
    let usable = photo.mask.as_ref().map(|mask| {
        Raster::from_fn(sw, sh, |x, y| {
            (y * factor..((y + 1) * factor).min(h)).all(|yy| {
                mask.row(yy)[x * factor..((x + 1) * factor).min(w)]
                    .iter()
                    .all(|&m| m != 0)
            })
        })
    });
    Reduced {
        rgb,
        gradient,
        usable,
    }
}

/// Pixel of the reduced photo under a plane pixel; `None` outside.
#[inline]
fn photo_pixel(view: &ViewPlane, small: &Reduced, at: [f64; 2]) -> Option<(usize, usize)> {
    let px = view.photo_px(at);
    (view.in_photo(px, 0.0)).then(|| {
        (
            (px[0] as usize).min(small.rgb.width() - 1),
            (px[1] as usize).min(small.rgb.height() - 1),
        )
    })
}

fn sweep(mesh: &TriMesh, view: &ViewPlane, small: &Reduced, buffer: &FaceBuffer) -> Vec<Sum> {
    let mut sums = vec![Sum::default(); mesh.triangles.len()];
    for y in 0..buffer.face.height() {
        for (x, &face) in buffer.face.row(y).iter().enumerate() {
            if face == NO_FACE {
                continue;
            }
            let Some(px) = photo_pixel(view, small, [x as f64 + 0.5, y as f64 + 0.5]) else {
                continue;
            };
            let sum = &mut sums[face as usize];
            if small.usable.as_ref().is_some_and(|u| !u[px]) {
                sum.masked += 1;
                continue;
            }
            sum.pixels += 1;
            sum.gradient += u32::from(small.gradient[px]);
            let c = small.rgb[px];
            for k in 0..3 {
                sum.color[k] += u32::from(c[k]);
            }
        }
    }
    sums
}

/// Quality (reduced pixels × grey levels) and mean colour; `None` where the
/// photo does not show the face.
fn judge(
    mesh: &TriMesh,
    face: usize,
    view: &ViewPlane,
    small: &Reduced,
    buffer: &FaceBuffer,
    sum: &Sum,
    options: &TextureOptions,
) -> Option<(f64, [u8; 3])> {
    let corners = mesh.triangles[face].map(|v| view.to_camera(mesh.positions[v as usize]));
    let middle = (corners[0] + corners[1] + corners[2]) / 3.0;
    let normal = (corners[1] - corners[0]).cross(&(corners[2] - corners[0]));
    // Towards the camera: outward normal against the viewing ray.
    let cosine = -normal.dot(&middle) / (normal.norm() * middle.norm());
    let least = options.max_grazing_deg.to_radians().cos().max(1e-3);
    let behind = |z: f64| z.is_nan() || z <= 0.0;
    if cosine.is_nan() || cosine < least || corners.iter().any(|c| behind(c.z)) {
        return None;
    }
    let px = corners.map(|c| view.plane_px(&c));
    if px.iter().any(|p| !view.in_photo(view.photo_px(*p), 1.0)) {
        return None;
    }
    let area = 0.5
        * ((px[1][0] - px[0][0]) * (px[2][1] - px[0][1])
            - (px[2][0] - px[0][0]) * (px[1][1] - px[0][1]))
            .abs();
    if area.is_nan() || area <= 0.0 || sum.masked > 0 {
        return None;
    }
    let unit = normal / normal.norm();
    let offset = unit.dot(&middle);
    let (mut hidden, mut beside) = (0, false);
    for k in 0..4 {
        let q = if k < 3 {
            corners[k] * 0.85 + middle * 0.15
        } else {
            middle
        };
        match sight(view, buffer, face as u32, &q, &unit, offset) {
            Sight::Hidden => hidden += 1,
            Sight::BesideOccluder => beside = true,
            Sight::Clear => {}
        }
    }
    let share = sum.pixels as f32 / area as f32;
    let countable = area as f32 > COUNTABLE_PX;
    let mut factor = 1.0;
    if countable && share < WHOLE_SHARE {
        if share < 0.5 * WHOLE_SHARE {
            return None;
        }
        factor = PARTIAL_FACTOR;
    } else if hidden > 0 {
        if !countable || hidden > 2 {
            return None;
        }
        factor = PARTIAL_FACTOR;
    } else if beside {
        factor = NEAR_OCCLUDER_FACTOR;
    }
    let (gradient, color) = if sum.pixels > 0 {
        let n = sum.pixels;
        (
            sum.gradient as f32 / n as f32,
            sum.color.map(|c| ((c + n / 2) / n) as u8),
        )
    } else {
        let at = photo_pixel(view, small, view.plane_px(&middle))?;
        if small.usable.as_ref().is_some_and(|u| !u[at]) {
            return None;
        }
        (f32::from(small.gradient[at]), small.rgb[at])
    };
    Some((
        area * f64::from((gradient + PLAIN_GRADIENT) * factor),
        color,
    ))
}

enum Sight {
    Clear,
    BesideOccluder,
    Hidden,
}

/// Whether the z-buffer lets the camera see point `q` of a face with the given
/// plane (camera frame). The tolerance is what the face's own slope and a
/// neighbour's of 60° amount to within a pixel.
fn sight(
    view: &ViewPlane,
    buffer: &FaceBuffer,
    face: u32,
    q: &Vec3,
    normal: &Vec3,
    offset: f64,
) -> Sight {
    let at = view.plane_px(q);
    let (w, h) = (buffer.face.width(), buffer.face.height());
    let (x, y) = (
        (at[0].max(0.0) as usize).min(w - 1),
        (at[1].max(0.0) as usize).min(h - 1),
    );
    let (fx, fy) = view.plane.model.focal_px();
    let slope = q.z * q.z / offset.abs().max(1e-300) * (normal.x.abs() / fx + normal.y.abs() / fy);
    let step = (slope + 2.0 * q.z / fx.min(fy)).min(0.05 * q.z);
    let front = |x: usize, y: usize| f64::from(buffer.depth[(x, y)]);
    if buffer.face[(x, y)] != face && front(x, y) < q.z - step {
        return Sight::Hidden;
    }
    let limit = q.z - 3.0 * step - 0.01 * q.z;
    for yy in y.saturating_sub(1)..=(y + 1).min(h - 1) {
        for xx in x.saturating_sub(1)..=(x + 1).min(w - 1) {
            if front(xx, yy) < limit {
                return Sight::BesideOccluder;
            }
        }
    }
    Sight::Clear
}
