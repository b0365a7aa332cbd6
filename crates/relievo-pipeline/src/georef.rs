//! `sparse/georef.json`: how the model lies in the world, and in glTF's Y-up.
//!
//! Up: people hold cameras level, so the image x-axes lie in the horizontal
//! plane and up is the direction least along them (Szeliski, "Image Alignment
//! and Stitching", 2006, §5.2 of up-vector selection). Where many points lie
//! on one plane whose normal is within 15° of that, its normal is taken.

use relievo_geometry::{Mat3, Sim3, Vec3};
use relievo_scene::SparseModel;
use serde::{Deserialize, Serialize};

/// Planes tilted further from the cameras' up are not the floor.
const MOST_TILT_DEG: f64 = 15.0;
/// Random planes tried.
const TRIES: usize = 400;
/// Half thickness of the plane, in median camera-to-point distances.
const THICKNESS: f64 = 0.006;
/// Least share of points on it.
const LEAST_SHARE: f64 = 0.12;

/// Where scale and position come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A factor was given.
    Given,
    /// The frame of an imported model.
    Imported,
    /// Up estimated, scale unknown.
    Estimated,
}

/// The contents of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Georef {
    /// Where the model's origin lies in the frame that it was imported from, in the units of that; zero unless
    /// it was moved.
    pub origin: [f64; 3],
    /// World units per model unit.
    pub scale: f64,
    /// Unit up direction in the model's frame.
    pub up: [f64; 3],
    /// Coordinate reference system; none without GPS.
    pub crs: Option<String>,
    /// Where it comes from.
    pub source: Source,
    /// True where `scale` makes metres.
    pub metric: bool,
    /// Standard deviation of the world position, metres; unknown without GPS.
    pub sigma_m: Option<f64>,
    /// glTF coordinates (Y-up, floor at y = 0) of a model point, row-major.
    pub gltf_from_model: [[f64; 4]; 4],
}

impl Georef {
    /// The Sim3 behind `gltf_from_model`.
    pub fn similarity(&self) -> Sim3 {
        let m = &self.gltf_from_model;
        let linear = Mat3::from_fn(|i, j| m[i][j]);
        let scale = linear.determinant().abs().cbrt().max(1e-300);
        let pose = relievo_geometry::Rigid3::from_matrix(
            &(linear / scale),
            Vec3::new(m[0][3], m[1][3], m[2][3]),
        );
        Sim3 {
            scale,
            rotation: pose.rotation,
            translation: pose.translation,
        }
    }
}

/// Estimates up, floor and scale of `model`. `given` is the factor of
/// `--scale`; `imported` keeps the model's own unit, and `origin` is where the model's lies in
/// the frame that it was given in.
pub fn georeference(
    model: &SparseModel,
    given: Option<f64>,
    imported: bool,
    origin: [f64; 3],
    seed: u64,
) -> Georef {
    let points: Vec<Vec3> = model
        .tracks
        .values()
        .filter_map(|t| t.position_in_world)
        .filter(|p| p.iter().all(|v| v.is_finite()))
        .collect();
    let distance = median_distance(model, &points);
    let camera_up = up_from_cameras(model);
    let plane = floor(&points, &camera_up, distance, seed);
    let up = plane.map_or(camera_up, |(normal, _)| normal);
    let level = plane.map_or_else(|| low_quantile(&points, &up), |(_, height)| height);
    let (scale, source) = match (given, imported) {
        (Some(factor), _) => (factor, Source::Given),
        (None, true) => (1.0, Source::Imported),
        (None, false) => (1.0 / distance, Source::Estimated),
    };
    let rotation = rotation_to_y_up(model, &up);
    let center = middle(&points);
    let on_floor = center - up * (center.dot(&up) - level);
    let pose = relievo_geometry::Rigid3::from_matrix(&rotation, Vec3::zeros());
    let translation = -(pose.rotation * on_floor * scale);
    let gltf = Sim3 {
        scale,
        rotation: pose.rotation,
        translation,
    };
    Georef {
        origin,
        scale: if source == Source::Estimated {
            1.0
        } else {
            scale
        },
        up: up.into(),
        crs: None,
        source,
        metric: source != Source::Estimated,
        sigma_m: None,
        gltf_from_model: gltf.to_row_major(),
    }
}

/// Median z-depth of all observations; 1 where there are none.
fn median_distance(model: &SparseModel, points: &[Vec3]) -> f64 {
    let mut depths: Vec<f64> = Vec::new();
    for track in model.tracks.values() {
        let Some(p) = track.position_in_world else {
            continue;
        };
        for o in &track.observations {
            if let Some(pose) = model.views.get(&o.view_id).and_then(|v| v.cam_from_world) {
                depths.push(pose.apply(&p).z);
            }
        }
    }
    if depths.is_empty() {
        let centers: Vec<Vec3> = model.registered().map(|(_, _, p)| p.center()).collect();
        depths.extend(centers.iter().zip(points).map(|(c, p)| (c - p).norm()));
    }
    depths.retain(|d| d.is_finite() && *d > 0.0);
    depths.sort_by(f64::total_cmp);
    depths.get(depths.len() / 2).copied().unwrap_or(1.0)
}

/// The direction least along the image x-axes, on the side of −y.
fn up_from_cameras(model: &SparseModel) -> Vec3 {
    let (mut along, mut minus_y) = (Mat3::zeros(), Vec3::zeros());
    for (_, _, pose) in model.registered() {
        let back = pose.rotation.inverse();
        let x = back * Vec3::x();
        along += x * x.transpose();
        minus_y -= back * Vec3::y();
    }
    let eigen = along.symmetric_eigen();
    let mut order = [0, 1, 2];
    order.sort_by(|&i, &j| eigen.eigenvalues[i].total_cmp(&eigen.eigenvalues[j]));
    let least: Vec3 = eigen.eigenvectors.column(order[0]).into();
    // Cameras that all look the same way leave up undetermined within their
    // image plane's normal; then their own −y is the better guess.
    let determined = eigen.eigenvalues[order[1]] > 0.02 * eigen.eigenvalues[order[2]].max(1e-12);
    let up = if determined {
        least * least.dot(&minus_y).signum()
    } else {
        minus_y
    };
    up.try_normalize(1e-12).unwrap_or_else(|| -Vec3::y())
}

/// Normal and height of the plane near horizontal that holds most points,
/// with little below it.
fn floor(points: &[Vec3], up: &Vec3, distance: f64, seed: u64) -> Option<(Vec3, f64)> {
    use relievo_task::Rng;
    if points.len() < 100 {
        return None;
    }
    let step = points.len().div_ceil(4000);
    let sample: Vec<Vec3> = points.iter().step_by(step).copied().collect();
    let mut rng: Rng = relievo_task::rng(seed, "sparse", "floor");
    let mut pick = || (rng_next(&mut rng) % sample.len() as u64) as usize;
    let thick = THICKNESS * distance;
    let cos = MOST_TILT_DEG.to_radians().cos();
    let mut best: Option<(usize, Vec3, f64)> = None;
    for _ in 0..TRIES {
        let (a, b, c) = (sample[pick()], sample[pick()], sample[pick()]);
        let Some(normal) = (b - a).cross(&(c - a)).try_normalize(1e-12) else {
            continue;
        };
        let normal = normal * normal.dot(up).signum();
        if normal.dot(up) < cos {
            continue;
        }
        let height = normal.dot(&a);
        let (mut on, mut below) = (0, 0);
        for p in &sample {
            let d = normal.dot(p) - height;
            on += usize::from(d.abs() < thick);
            below += usize::from(d < -3.0 * thick);
        }
        // Table tops and shelves have points below; floors do not.
        let fits = below * 10 < sample.len() && on as f64 > LEAST_SHARE * sample.len() as f64;
        if fits && best.is_none_or(|(most, _, _)| on > most) {
            best = Some((on, normal, height));
        }
    }
    let (_, normal, height) = best?;
    refit(&sample, &normal, height, thick)
}

fn rng_next(rng: &mut relievo_task::Rng) -> u64 {
    use relievo_task::seed::RngCore as _;
    rng.next_u64()
}

/// Least-squares plane through the points within `thick`.
fn refit(points: &[Vec3], normal: &Vec3, height: f64, thick: f64) -> Option<(Vec3, f64)> {
    let near: Vec<&Vec3> = points
        .iter()
        .filter(|p| (normal.dot(p) - height).abs() < thick)
        .collect();
    let mean = near.iter().fold(Vec3::zeros(), |s, p| s + **p) / near.len().max(1) as f64;
    let mut spread = Mat3::zeros();
    for p in &near {
        spread += (*p - mean) * (*p - mean).transpose();
    }
    let eigen = spread.symmetric_eigen();
    let least = eigen.eigenvalues.imin();
    let n: Vec3 = eigen.eigenvectors.column(least).into();
    let n = n * n.dot(normal).signum();
    n.iter().all(|v| v.is_finite()).then(|| (n, n.dot(&mean)))
}

/// Height along `up` that 1 % of the points lie below.
fn low_quantile(points: &[Vec3], up: &Vec3) -> f64 {
    let mut heights: Vec<f64> = points.iter().map(|p| p.dot(up)).collect();
    heights.sort_by(f64::total_cmp);
    heights.get(heights.len() / 100).copied().unwrap_or(0.0)
}

/// Component-wise median.
fn middle(points: &[Vec3]) -> Vec3 {
    Vec3::from_fn(|axis, _| {
        let mut v: Vec<f64> = points.iter().map(|p| p[axis]).collect();
        v.sort_by(f64::total_cmp);
        v.get(v.len() / 2).copied().unwrap_or(0.0)
    })
}

/// Rows: glTF x, y (up), z; the first registered camera looks along −z, so
/// that a viewer's default view resembles a photo.
fn rotation_to_y_up(model: &SparseModel, up: &Vec3) -> Mat3 {
    let forward = model
        .registered()
        .map(|(_, _, pose)| pose.rotation.inverse() * Vec3::z())
        .next()
        .unwrap_or_else(Vec3::x);
    let back = -(forward - up * up.dot(&forward));
    let z = back
        .try_normalize(1e-6)
        .or_else(|| up.cross(&Vec3::x()).try_normalize(1e-6))
        .unwrap_or_else(|| up.cross(&Vec3::y()).normalize());
    let x = up.cross(&z);
    Mat3::from_rows(&[x.transpose(), up.transpose(), z.transpose()])
}
