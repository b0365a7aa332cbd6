//! Unknown focal lengths from the pairs, before there is a model.
//!
//! K₂ᵀ F K₁ has two equal singular values exactly for the right focal length
//! (Mendonça & Cipolla, CVPR 1999). Each camera without a prior is scanned over
//! its plausible focal lengths, all pairs voting with a bounded cost, the way
//! GLOMAP calibrates its view graph first (Pan et al. 2024, §3.1). Pairs whose
//! optical axes meet say nothing; where no clear minimum shows, the guess stays
//! and bundle adjustment has to find it.

use crate::SfmOptions;
use crate::scene::Scene;
use relievo_geometry::{CameraModel, Mat3};
use relievo_scene::{Camera, TwoViewKind};
use relievo_task::ordered;

/// Steps of the scan over 0.4 to 4 times the longer side.
const STEPS: usize = 93;
/// Rounds over all unknown cameras.
const ROUNDS: usize = 3;
/// Relative difference of singular values at which a pair's vote saturates.
const SATURATION: f64 = 0.05;
/// The minimum must lie this far under the cost of the guess.
const CLEAR: f64 = 0.8;

struct Vote {
    a: usize,
    b: usize,
    /// F for pixels relative to the principal points.
    f: Mat3,
    weight: f64,
}

/// The starting cameras, with unknown focal lengths estimated.
pub(crate) fn calibrate(scene: &Scene<'_>, options: &SfmOptions) -> Vec<Camera> {
    let mut cameras = scene.cameras.clone();
    let unknown: Vec<usize> = (0..cameras.len())
        .filter(|&c| !options.fix_intrinsics && !cameras[c].has_prior_focal)
        .collect();
    if unknown.is_empty() {
        return cameras;
    }
    let votes: Vec<Vote> = scene
        .pairs
        .iter()
        .filter_map(|p| {
            let (a, b) = (scene.camera_of[p.a], scene.camera_of[p.b]);
            let kind = p.geometry.kind;
            if kind != TwoViewKind::Uncalibrated && kind != TwoViewKind::Calibrated {
                return None;
            }
            let f = p.geometry.f?;
            let n = p.geometry.inliers.len();
            (n >= 50).then(|| Vote {
                a,
                b,
                f: shift(&cameras[b].model).transpose() * f * shift(&cameras[a].model),
                weight: (n as f64).sqrt(),
            })
        })
        .collect();
    for _ in 0..ROUNDS {
        let mut moved = false;
        for &c in &unknown {
            let mine: Vec<&Vote> = votes.iter().filter(|v| v.a == c || v.b == c).collect();
            if mine.len() < 2 {
                continue;
            }
            let side = f64::from(cameras[c].width_px.max(cameras[c].height_px));
            let focal = |c: usize| cameras[c].model.mean_focal_px();
            let cost = |f: f64| -> f64 {
                mine.iter()
                    .map(|v| {
                        let fa = if v.a == c { f } else { focal(v.a) };
                        let fb = if v.b == c { f } else { focal(v.b) };
                        v.weight * disagreement(&v.f, fa, fb)
                    })
                    .sum()
            };
            let at = |k: usize| side * 0.4 * 10.0_f64.powf(k as f64 / (STEPS - 1) as f64);
            let steps: Vec<usize> = (0..STEPS).collect();
            let costs = ordered::map(&steps, |&k| cost(at(k)));
            let Some(k) = (1..STEPS - 1).min_by(|&p, &q| costs[p].total_cmp(&costs[q])) else {
                continue;
            };
            // Parabola through the minimum and its neighbours, in log f.
            let (l, m, r) = (costs[k - 1], costs[k], costs[k + 1]);
            let bend = l - 2.0 * m + r;
            let offset = if bend > 0.0 {
                (0.5 * (l - r) / bend).clamp(-0.5, 0.5)
            } else {
                0.0
            };
            let f = side * 0.4 * 10.0_f64.powf((k as f64 + offset) / (STEPS - 1) as f64);
            let guess = focal(c);
            if cost(f) < CLEAR * cost(guess) {
                moved |= (f / guess - 1.0).abs() > 1e-3;
                cameras[c].model = with_focal(&cameras[c].model, f / guess);
            }
        }
        if !moved {
            break;
        }
    }
    cameras
}

fn with_focal(camera: &CameraModel, factor: f64) -> CameraModel {
    let kind = camera.kind();
    let mut params = camera.params();
    for (value, name) in params.iter_mut().zip(kind.param_names()) {
        if name.starts_with('f') {
            *value *= factor;
        }
    }
    CameraModel::from_params(kind, &params).unwrap_or(*camera)
}

/// Translation by the principal point.
fn shift(camera: &CameraModel) -> Mat3 {
    let c = camera.principal_point_px();
    Mat3::new(1.0, 0.0, c.x, 0.0, 1.0, c.y, 0.0, 0.0, 1.0)
}

/// Bounded relative difference of the two singular values of K_bᵀ F K_a.
fn disagreement(f: &Mat3, fa: f64, fb: f64) -> f64 {
    let e = Mat3::from_diagonal(&relievo_geometry::Vec3::new(fb, fb, 1.0))
        * f
        * Mat3::from_diagonal(&relievo_geometry::Vec3::new(fa, fa, 1.0));
    // σ₁² + σ₂² and σ₁² σ₂² from the invariants of EᵀE (σ₃ = 0).
    let m = e.transpose() * e;
    let trace = m.trace();
    let minors = 0.5 * (trace * trace - (m * m).trace());
    if !(trace > 0.0) {
        return 1.0;
    }
    // ((σ₁² − σ₂²) / (σ₁² + σ₂²))², without the roots.
    let d2 = (1.0 - 4.0 * minors / (trace * trace)).max(0.0);
    d2 / (d2 + SATURATION * SATURATION)
}

#[cfg(test)]
mod tests {
    use super::*;
    use relievo_geometry::Vec3;

    #[test]
    fn the_right_focal_length_makes_singular_values_equal() {
        let f = 1100.0;
        let k = Mat3::from_diagonal(&Vec3::new(f, f, 1.0))
            .try_inverse()
            .unwrap();
        let r = *nalgebra::Rotation3::from_euler_angles(0.1, 0.3, -0.2).matrix();
        let e = Vec3::new(1.0, 0.3, 0.2).cross_matrix() * r;
        let fundamental = k.transpose() * e * k;
        assert!(disagreement(&fundamental, f, f) < 1e-9);
        assert!(disagreement(&fundamental, 1.3 * f, 1.3 * f) > 0.1);
    }
}
