//! One level of the pyramid: the reference, its sources and how they lie.

use super::half_field::{F, I, LANES, Planes, each};
use super::ncc::{Kernel, MAX_EXTENT, REACH, Warp};
use super::packed_image::{Arena, PaddedBytes, Target, halve, halve_mask};
use super::stereo_view::StereoView;
use super::view_choice::MAX_SOURCES;
use relievo_geometry::{Mat3, Rigid3, Vec3};
use relievo_image::Raster;
use relievo_scene::Camera;

/// h = M (x, y, 1) + t q: a pixel at inverse depth q, seen in another view
/// (homogeneous, h.z = z′/z).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transfer {
    pub(crate) m: [f32; 9],
    pub(crate) t: [f32; 3],
}

impl Transfer {
    pub(crate) fn new(from: &Camera, to: &Camera, to_from_from: &Rigid3) -> Self {
        let m = intrinsics(to) * to_from_from.matrix() * inverse_intrinsics(from);
        let t = intrinsics(to) * to_from_from.translation;
        let mut out = Self {
            m: [0.0; 9],
            t: [0.0; 3],
        };
        for r in 0..3 {
            for c in 0..3 {
                out.m[3 * r + c] = m[(r, c)] as f32;
            }
            out.t[r] = t[r] as f32;
        }
        out
    }

    /// (x, y, z) of h.
    #[inline(always)]
    pub(crate) fn apply(&self, x: f32, y: f32, q: f32) -> [f32; 3] {
        let row = |r: usize| {
            self.m[3 * r] * x + self.m[3 * r + 1] * y + self.m[3 * r + 2] + self.t[r] * q
        };
        [row(0), row(1), row(2)]
    }
}

fn intrinsics(camera: &Camera) -> Mat3 {
    let (fx, fy) = camera.model.focal_px();
    let c = camera.model.principal_point_px();
    Mat3::new(fx, 0.0, c.x, 0.0, fy, c.y, 0.0, 0.0, 1.0)
}

fn inverse_intrinsics(camera: &Camera) -> Mat3 {
    let (fx, fy) = camera.model.focal_px();
    let c = camera.model.principal_point_px();
    Mat3::new(
        1.0 / fx,
        0.0,
        -c.x / fx,
        0.0,
        1.0 / fy,
        -c.y / fy,
        0.0,
        0.0,
        1.0,
    )
}

/// One source at one level.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) width: f32,
    pub(crate) height: f32,
    /// 0 = ignore; `None` where all pixels are valid.
    mask: Option<Raster<u8>>,
    /// Reference pixel to source pixel.
    pub(crate) forward: Transfer,
    /// Source pixel to reference pixel.
    pub(crate) backward: Transfer,
}

/// One level of the pyramid.
#[derive(Debug)]
pub(crate) struct Level {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) camera: Camera,
    pub(crate) image: PaddedBytes,
    pub(crate) valid: Option<Raster<u8>>,
    pub(crate) arena: Arena,
    pub(crate) sources: Vec<Source>,
    tables: Tables,
    /// Some source has masked pixels.
    any_mask: bool,
}

/// One value of every source.
type Table<T> = [T; MAX_SOURCES];

/// The sources' values side by side, for lanes that look into different ones.
#[derive(Debug, Default)]
struct Tables {
    base: Table<i32>,
    y_max: Table<i32>,
    width: Table<f32>,
    height: Table<f32>,
    forward_m: [Table<f32>; 9],
    forward_t: [Table<f32>; 3],
    backward_m: [Table<f32>; 9],
    backward_t: [Table<f32>; 3],
}

impl Tables {
    fn new(sources: &[Source], arena: &Arena) -> Self {
        let mut out = Self::default();
        for (v, s) in sources.iter().enumerate().take(MAX_SOURCES) {
            (out.base[v], out.y_max[v]) = arena.place(v);
            (out.width[v], out.height[v]) = (s.width, s.height);
            for k in 0..9 {
                out.forward_m[k][v] = s.forward.m[k];
                out.backward_m[k][v] = s.backward.m[k];
            }
            for k in 0..3 {
                out.forward_t[k][v] = s.forward.t[k];
                out.backward_t[k][v] = s.backward.t[k];
            }
        }
        out
    }
}

/// The levels, finest first.
pub(crate) fn pyramid(
    reference: &StereoView,
    sources: &[&StereoView],
    levels: usize,
) -> Vec<Level> {
    let mut gray = reference.gray.clone();
    let mut valid = blocking(reference);
    let mut others: Vec<Raster<u8>> = sources.iter().map(|s| s.gray.clone()).collect();
    let mut masks: Vec<Option<Raster<u8>>> = sources.iter().map(|s| blocking(s)).collect();
    let mut out = Vec::with_capacity(levels);
    let mut scale = 1.0;
    for k in 0..levels.max(1) {
        if k > 0 {
            // Below this a patch covers much of the picture.
            if gray.width().min(gray.height()) < 64 {
                break;
            }
            gray = halve(&gray);
            valid = valid.map(|v| halve_mask(&v));
            others = others.iter().map(halve).collect();
            masks = masks.iter().map(|m| m.as_ref().map(halve_mask)).collect();
            scale *= 0.5;
        }
        out.push(level(
            reference,
            sources,
            (&gray, valid.as_ref()),
            (&others, &masks),
            scale,
        ));
    }
    out
}

/// The mask of a view, where it hides anything.
fn blocking(view: &StereoView) -> Option<Raster<u8>> {
    view.valid
        .as_ref()
        .filter(|v| v.as_slice().contains(&0))
        .cloned()
}

fn level(
    reference: &StereoView,
    sources: &[&StereoView],
    (gray, valid): (&Raster<u8>, Option<&Raster<u8>>),
    (others, masks): (&[Raster<u8>], &[Option<Raster<u8>>]),
    scale: f64,
) -> Level {
    let scaled = |camera: &Camera, image: &Raster<u8>| Camera {
        model: camera.model.scaled(scale, scale),
        width_px: image.width() as u32,
        height_px: image.height() as u32,
        ..*camera
    };
    let camera = scaled(&reference.camera, gray);
    let arena = Arena::new(others);
    let sources: Vec<Source> = sources
        .iter()
        .zip(others)
        .zip(masks)
        .map(|((s, image), mask)| {
            let other = scaled(&s.camera, image);
            let source_from_reference = s.cam_from_world * reference.cam_from_world.inverse();
            Source {
                width: image.width() as f32,
                height: image.height() as f32,
                mask: mask.clone(),
                forward: Transfer::new(&camera, &other, &source_from_reference),
                backward: Transfer::new(&other, &camera, &source_from_reference.inverse()),
            }
        })
        .collect();
    Level {
        width: gray.width(),
        height: gray.height(),
        camera,
        image: PaddedBytes::new(gray),
        valid: valid.cloned(),
        tables: Tables::new(&sources, &arena),
        arena,
        sources,
        any_mask: masks.iter().any(Option::is_some),
    }
}

impl Level {
    /// Takes the lanes out whose patch centre falls on a masked pixel.
    #[inline(always)]
    pub(crate) fn drop_masked(&self, source_idx: &I, warp: &mut Warp) {
        if !self.any_mask {
            return;
        }
        for l in 0..LANES {
            if let Some(mask) = &self.sources[source_idx[l] as usize].mask
                && warp.inside[l]
            {
                let x = (warp.u[l] as usize).min(mask.width() - 1);
                let y = (warp.v[l] as usize).min(mask.height() - 1);
                warp.inside[l] = mask[(x, y)] != 0;
            }
        }
    }
}

/// The transfer of 16 pixels, each into its own source.
#[derive(Debug)]
pub(crate) struct LaneSources {
    pub(crate) target: Target,
    pub(crate) width: F,
    pub(crate) height: F,
    /// M (x, y, 1) at the pixel's centre.
    pub(crate) ray: [F; 3],
    /// First two columns of M.
    pub(crate) mx: [F; 3],
    pub(crate) my: [F; 3],
    pub(crate) t: [F; 3],
    /// The way back, M′ and t′.
    pub(crate) back_m: [F; 9],
    pub(crate) back_t: [F; 3],
}

impl LaneSources {
    /// All lanes look into the same source; pixel centres `px`, row `py`.
    #[inline(always)]
    pub(crate) fn uniform(level: &Level, px: &F, py: f32, source_idx: usize) -> Self {
        let s = &level.sources[source_idx];
        let lanes = |v: f32| [v; LANES];
        let (f, b) = (&s.forward, &s.backward);
        let mut ray = [[0.0; LANES]; 3];
        for r in 0..3 {
            let m = &f.m[3 * r..3 * r + 3];
            for l in 0..LANES {
                ray[r][l] = m[0] * px[l] + m[1] * py + m[2];
            }
        }
        Self {
            target: level.arena.target(source_idx),
            width: lanes(s.width),
            height: lanes(s.height),
            ray,
            mx: [lanes(f.m[0]), lanes(f.m[3]), lanes(f.m[6])],
            my: [lanes(f.m[1]), lanes(f.m[4]), lanes(f.m[7])],
            t: each(|k| lanes(f.t[k])),
            back_m: each(|k| lanes(b.m[k])),
            back_t: each(|k| lanes(b.t[k])),
        }
    }

    /// Pixel centres x + 0.5, x + 2.5, …; row y; source of each lane.
    #[inline(always)]
    pub(crate) fn new(level: &Level, kernel: Kernel, x: usize, y: usize, source_idx: &I) -> Self {
        let of = &level.tables;
        let pick = |table: &Table<f32>| kernel.pick(table, source_idx);
        let m: [F; 9] = each(|k| pick(&of.forward_m[k]));
        let py = y as f32 + 0.5;
        let mut ray = [[0.0; LANES]; 3];
        for r in 0..3 {
            for l in 0..LANES {
                let px = (x + 2 * l) as f32 + 0.5;
                ray[r][l] = m[3 * r][l] * px + m[3 * r + 1][l] * py + m[3 * r + 2][l];
            }
        }
        Self {
            target: Target {
                base: kernel.pick_i(&of.base, source_idx),
                y_max: kernel.pick_i(&of.y_max, source_idx),
            },
            width: pick(&of.width),
            height: pick(&of.height),
            ray,
            mx: [m[0], m[3], m[6]],
            my: [m[1], m[4], m[7]],
            t: each(|k| pick(&of.forward_t[k])),
            back_m: each(|k| pick(&of.backward_m[k])),
            back_t: each(|k| pick(&of.backward_t[k])),
        }
    }

    /// Where the patches on `planes` fall.
    #[inline(always)]
    pub(crate) fn warp(&self, planes: &Planes) -> Warp {
        let mut w = Warp {
            u: [0.0; LANES],
            v: [0.0; LANES],
            ux: [0.0; LANES],
            vx: [0.0; LANES],
            uy: [0.0; LANES],
            vy: [0.0; LANES],
            inside: [false; LANES],
        };
        for l in 0..LANES {
            let (q, gx, gy) = (planes.q[l], planes.gx[l], planes.gy[l]);
            let hx = self.ray[0][l] + self.t[0][l] * q;
            let hy = self.ray[1][l] + self.t[1][l] * q;
            let hz = self.ray[2][l] + self.t[2][l] * q;
            let inv = 1.0 / hz;
            let (u, v) = (hx * inv, hy * inv);
            // d h / d x = M column + t gx, then the quotient rule.
            let zx = self.mx[2][l] + self.t[2][l] * gx;
            let zy = self.my[2][l] + self.t[2][l] * gy;
            let ux = (self.mx[0][l] + self.t[0][l] * gx - u * zx) * inv;
            let vx = (self.mx[1][l] + self.t[1][l] * gx - v * zx) * inv;
            let uy = (self.my[0][l] + self.t[0][l] * gy - u * zy) * inv;
            let vy = (self.my[1][l] + self.t[1][l] * gy - v * zy) * inv;
            let det = ux * vy - uy * vx;
            let extent = REACH as f32 * (ux.abs() + uy.abs()).max(vx.abs() + vy.abs());
            // Comparisons are false for NaN.
            w.inside[l] = (q > 0.0)
                & (hz > 1e-6)
                & (u >= 0.0)
                & (v >= 0.0)
                & (u <= self.width[l])
                & (v <= self.height[l])
                & (det > 0.05)
                & (extent <= MAX_EXTENT);
            w.u[l] = u;
            w.v[l] = v;
            w.ux[l] = ux;
            w.vx[l] = vx;
            w.uy[l] = uy;
            w.vy[l] = vy;
        }
        w
    }

    /// Inverse depth per pixel of disparity at inverse depth q; 0 where the
    /// source sees no parallax.
    #[inline(always)]
    pub(crate) fn inverse_depth_per_px(&self, q: &F) -> F {
        let mut out = [0.0; LANES];
        for l in 0..LANES {
            let hx = self.ray[0][l] + self.t[0][l] * q[l];
            let hy = self.ray[1][l] + self.t[1][l] * q[l];
            let hz = self.ray[2][l] + self.t[2][l] * q[l];
            let inv = 1.0 / hz;
            let du = (self.t[0][l] - hx * inv * self.t[2][l]) * inv;
            let dv = (self.t[1][l] - hy * inv * self.t[2][l]) * inv;
            let d = (du * du + dv * dv).sqrt();
            out[l] = if d > 1e-9 { 1.0 / d } else { 0.0 };
        }
        out
    }
}

/// Depth range as inverse depth, (least, greatest).
pub(crate) fn inverse_range(depth_min: f64, depth_max: f64) -> Option<(f32, f32)> {
    let (low, high) = ((1.0 / depth_max) as f32, (1.0 / depth_min) as f32);
    (low > 0.0 && high > low && high.is_finite()).then_some((low, high))
}

/// A world point in the reference: pixel and inverse depth.
pub(crate) fn project(level: &Level, cam_from_world: &Rigid3, point: [f64; 3]) -> Option<[f64; 3]> {
    let p = cam_from_world.apply(&Vec3::new(point[0], point[1], point[2]));
    let px = level.camera.model.project(&p)?;
    let inside =
        px.x >= 0.0 && px.y >= 0.0 && px.x < level.width as f64 && px.y < level.height as f64;
    inside.then(|| [px.x, px.y, 1.0 / p.z])
}
