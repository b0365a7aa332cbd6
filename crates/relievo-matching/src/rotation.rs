//! Is a pair without parallax?

use crate::estimators::PointPairs;
use nalgebra::Matrix3;
use relievo_geometry::rigid::nearest_rotation;
use relievo_geometry::{Mat3, Vec2, Vec3};

/// The rotation that carries the rays of a onto those of b for most pairs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RotationFit {
    /// x_b ~ R x_a.
    pub rotation: Mat3,
    /// Pairs within the threshold.
    pub support: usize,
}

/// Least-squares rotation between rays (Kabsch), reweighted towards the pairs
/// within `threshold_px`. With `free_focal` both focal lengths may be wrong by
/// one factor between 1/2 and 2: the best of a few is kept.
pub(crate) fn fit_rotation(
    pairs: &PointPairs,
    indices: &[usize],
    threshold_px: f64,
    free_focal: bool,
) -> Option<RotationFit> {
    let factors: &[f64] = if free_focal {
        &[1.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.12, 1.25, 1.4, 1.6, 2.0]
    } else {
        &[1.0]
    };
    // The factor shows on a part of the pairs.
    let step = indices.len().div_ceil(SAMPLE).max(1);
    let sample: Vec<usize> = indices.iter().copied().step_by(step).collect();
    let mut best: Option<(usize, f64)> = None;
    for &factor in factors.iter().filter(|_| factors.len() > 1) {
        let Some(fit) = fit(pairs, &sample, threshold_px, factor) else {
            continue;
        };
        if fit.support > best.map_or(0, |b| b.0) {
            best = Some((fit.support, factor));
        }
    }
    fit(pairs, indices, threshold_px, best.map_or(1.0, |b| b.1))
}

/// Pairs that the focal length is chosen by.
const SAMPLE: usize = 200;

fn fit(
    pairs: &PointPairs,
    indices: &[usize],
    threshold_px: f64,
    focal_factor: f64,
) -> Option<RotationFit> {
    let ray = |p: &Vec2| Vec3::new(p.x / focal_factor, p.y / focal_factor, 1.0);
    let scale = pairs.focal_b_px * focal_factor;
    let residual_px = |r: &Mat3, i: usize| {
        let q = r * ray(&pairs.a[i]);
        let b = pairs.b[i] / focal_factor;
        if q.z > 0.0 {
            (Vec2::new(q.x / q.z, q.y / q.z) - b).norm() * scale
        } else {
            f64::INFINITY
        }
    };
    let mut rotation: Option<Mat3> = None;
    for _ in 0..8 {
        let mut covariance = Matrix3::zeros();
        for &i in indices {
            // Geman–McClure: far pairs count little.
            let w = rotation.map_or(1.0, |r| {
                let t2 = threshold_px * threshold_px;
                (t2 / (t2 + residual_px(&r, i).powi(2))).powi(2)
            });
            let (a, b) = (ray(&pairs.a[i]), ray(&pairs.b[i]));
            covariance += b * a.transpose() * (w / (a.norm() * b.norm()));
        }
        if !covariance.iter().all(|x| x.is_finite()) || covariance.norm() < f64::MIN_POSITIVE {
            return None;
        }
        rotation = Some(nearest_rotation(&covariance));
    }
    let rotation = rotation?;
    let support = indices
        .iter()
        .filter(|&&i| residual_px(&rotation, i) < threshold_px)
        .count();
    Some(RotationFit { rotation, support })
}
