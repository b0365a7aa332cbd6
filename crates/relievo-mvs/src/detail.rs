//! Whether photos agree in more than their shading.
//!
//! Plain NCC is high wherever two pictures have the same slope of grey, so a
//! cloudless sky matches itself at every depth. Here a polynomial of second
//! order is taken off both windows first; what is left is texture, or noise,
//! which is different in every photo.

use crate::patch_match::StereoView;
use nalgebra::{Matrix3, Vector3};
use relievo_scene::DepthMap;

/// Half the side of a window.
const REACH: isize = 8;
/// Best sources that are asked.
const SOURCES: usize = 3;

/// NCC of the detail around pixel `at` between `reference` and each of its
/// best `sources` that see the window, under the plane that `map` has there.
pub(crate) fn detail_nccs(
    reference: &StereoView,
    sources: &[&StereoView],
    map: &DepthMap,
    at: (usize, usize),
    mut found: impl FnMut(f32),
) {
    let own = window(reference, |x, y| Some((x, y)), at);
    let Some(own) = own else { return };
    let mut left = SOURCES;
    for source in sources {
        if left == 0 {
            break;
        }
        let Some(h) = homography(reference, source, map, at) else {
            continue;
        };
        let warp = |x: f64, y: f64| {
            let p = h * Vector3::new(x, y, 1.0);
            (p.z > 0.0).then(|| (p.x / p.z, p.y / p.z))
        };
        if let Some(theirs) = window(source, warp, at) {
            found(ncc(&own, &theirs));
            left -= 1;
        }
    }
}

/// From pixels of the reference to pixels of the source, by the plane at `at`.
fn homography(
    reference: &StereoView,
    source: &StereoView,
    map: &DepthMap,
    at: (usize, usize),
) -> Option<Matrix3<f64>> {
    let intrinsics = |v: &StereoView| {
        let (fx, fy) = v.camera.model.focal_px();
        let c = v.camera.model.principal_point_px();
        Matrix3::new(fx, 0.0, c.x, 0.0, fy, c.y, 0.0, 0.0, 1.0)
    };
    let from_pixel = intrinsics(reference).try_inverse()?;
    let ray = from_pixel * Vector3::new(at.0 as f64 + 0.5, at.1 as f64 + 0.5, 1.0);
    let normal = Vector3::from(map.normal[at].unpack().map(f64::from));
    let distance = normal.dot(&ray) * f64::from(map.depth[at]);
    let to_source = source.cam_from_world.matrix() * reference.cam_from_world.matrix().transpose();
    let shift = source
        .cam_from_world
        .apply(&reference.cam_from_world.center());
    let moved = to_source + shift * normal.transpose() / distance;
    (distance.abs() > 0.0).then(|| intrinsics(source) * moved * from_pixel)
}

/// The detail of the window around `at`, seen through `warp`; `None` where it
/// leaves the picture.
fn window(
    view: &StereoView,
    warp: impl Fn(f64, f64) -> Option<(f64, f64)>,
    at: (usize, usize),
) -> Option<Vec<f32>> {
    let (width, height) = (view.gray.width(), view.gray.height());
    let side = (2 * REACH + 1) as usize;
    let mut out = Vec::with_capacity(side * side);
    for dy in -REACH..=REACH {
        for dx in -REACH..=REACH {
            let x = at.0 as f64 + 0.5 + dx as f64;
            let y = at.1 as f64 + 0.5 + dy as f64;
            let (u, v) = warp(x, y)?;
            let (u, v) = (u - 0.5, v - 0.5);
            let inside = u >= 0.0 && v >= 0.0 && u < width as f64 - 1.0 && v < height as f64 - 1.0;
            if !inside {
                return None;
            }
            let (x, y) = (u as usize, v as usize);
            if view.valid.as_ref().is_some_and(|valid| valid[(x, y)] == 0) {
                return None;
            }
            let (fx, fy) = ((u - x as f64) as f32, (v - y as f64) as f32);
            let g = |x: usize, y: usize| f32::from(view.gray[(x, y)]);
            let top = g(x, y) + fx * (g(x + 1, y) - g(x, y));
            let bottom = g(x, y + 1) + fx * (g(x + 1, y + 1) - g(x, y + 1));
            out.push(top + fy * (bottom - top));
        }
    }
    detrend(&mut out);
    Some(out)
}

/// Takes the least-squares polynomial of second order off a window.
fn detrend(values: &mut [f32]) {
    let positions = || (-REACH..=REACH).flat_map(|y| (-REACH..=REACH).map(move |x| (x, y)));
    let middle = (REACH * (REACH + 1)) as f32 / 3.0;
    // Orthogonal on the window.
    let shapes = |(x, y): (isize, isize)| {
        let (x, y) = (x as f32, y as f32);
        [1.0, x, y, x * y, x * x - middle, y * y - middle]
    };
    let (mut along, mut squares) = ([0.0; 6], [0.0; 6]);
    for (at, v) in positions().zip(values.iter()) {
        for (k, s) in shapes(at).into_iter().enumerate() {
            along[k] += v * s;
            squares[k] += s * s;
        }
    }
    for (at, v) in positions().zip(values.iter_mut()) {
        for (k, s) in shapes(at).into_iter().enumerate() {
            *v -= along[k] / squares[k] * s;
        }
    }
}

/// Of windows without mean; 0 where one of them is flat.
fn ncc(a: &[f32], b: &[f32]) -> f32 {
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        aa += a * a;
        bb += b * b;
        ab += a * b;
    }
    let product: f32 = aa * bb;
    if product > 1e-6 {
        ab / product.sqrt()
    } else {
        0.0
    }
}
