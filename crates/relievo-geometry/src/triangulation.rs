//! Points from rays: linear start, Gauss–Newton on reprojection.

use crate::{CameraModel, Mat3, Rigid3, Vec2, Vec3};

/// One sighting of a point.
#[derive(Clone, Copy, Debug)]
pub struct Sighting<'a> {
    /// Pose of the camera.
    pub cam_from_world: &'a Rigid3,
    /// Its intrinsics.
    pub camera: &'a CameraModel,
    /// The pixel.
    pub px: Vec2,
    /// Unit bearing of the pixel in the camera frame.
    pub bearing: Vec3,
}

impl<'a> Sighting<'a> {
    /// A sighting whose bearing is computed from the pixel.
    pub fn new(cam_from_world: &'a Rigid3, camera: &'a CameraModel, px: Vec2) -> Self {
        let n = camera.unproject(&px);
        Self {
            cam_from_world,
            camera,
            px,
            bearing: Vec3::new(n.x, n.y, 1.0) / (n.norm_squared() + 1.0).sqrt(),
        }
    }

    /// Squared reprojection error in pixels; infinite behind the camera.
    #[inline]
    pub fn squared_error(&self, x_in_world: &Vec3) -> f64 {
        match self.camera.project(&self.cam_from_world.apply(x_in_world)) {
            Some(p) => (p - self.px).norm_squared(),
            None => f64::INFINITY,
        }
    }

    /// The bearing in the world.
    fn direction(&self) -> Vec3 {
        self.cam_from_world.rotation.inverse() * self.bearing
    }
}

/// The point with the least sum of squared distances to all rays.
///
/// Linear least squares on (I − ffᵀ)(X − C) = 0 (the midpoint for two rays).
/// `None` for parallel rays or a point behind a camera.
pub fn triangulate_linear(sightings: &[Sighting<'_>]) -> Option<Vec3> {
    if sightings.len() < 2 {
        return None;
    }
    let mut a = Mat3::zeros();
    let mut b = Vec3::zeros();
    for s in sightings {
        let f = s.direction();
        let m = Mat3::identity() - f * f.transpose();
        a += m;
        b += m * s.cam_from_world.center();
    }
    // det a = Σ sin² of the angles: below this the rays are parallel.
    if !(a.determinant() > 1e-12) {
        return None;
    }
    let x = a.cholesky()?.solve(&b);
    let in_front = |s: &Sighting<'_>| s.cam_from_world.apply(&x).z > 0.0;
    (x.iter().all(|v| v.is_finite()) && sightings.iter().all(in_front)).then_some(x)
}

/// Gauss–Newton on the reprojection errors from `x`; the better of start and
/// end is returned.
pub fn refine_point(sightings: &[Sighting<'_>], x: &Vec3, max_iterations: usize) -> Vec3 {
    let cost = |x: &Vec3| sightings.iter().map(|s| s.squared_error(x)).sum::<f64>();
    let mut best = *x;
    let mut best_cost = cost(x);
    for _ in 0..max_iterations {
        let mut h = Mat3::zeros();
        let mut g = Vec3::zeros();
        for s in sightings {
            let p = s.cam_from_world.apply(&best);
            let Some((px, by_point, _)) = s.camera.project_with_jacobians(&p) else {
                return best;
            };
            let j = by_point * s.cam_from_world.rotation.to_rotation_matrix().matrix();
            let r = px - s.px;
            h += j.transpose() * j;
            g += j.transpose() * r;
        }
        let Some(step) = h.cholesky().map(|c| c.solve(&g)) else {
            return best;
        };
        let next = best - step;
        let next_cost = cost(&next);
        if !(next_cost < best_cost) {
            break;
        }
        let small = best_cost - next_cost < 1e-8 * best_cost;
        (best, best_cost) = (next, next_cost);
        if small {
            break;
        }
    }
    best
}

/// Angle at `x` between the rays from two camera centres, radians, 0..=π/2:
/// rays that meet head-on carry as little depth as parallel ones.
pub fn triangulation_angle(a_center: &Vec3, b_center: &Vec3, x: &Vec3) -> f64 {
    let (u, v) = (a_center - x, b_center - x);
    let angle = u.cross(&v).norm().atan2(u.dot(&v));
    if angle.is_finite() {
        angle.min(std::f64::consts::PI - angle)
    } else {
        0.0
    }
}

/// True where the rays from two of `centers` meet at `x` under at least
/// `min_angle` radians.
pub fn reaches_angle(centers: &[Vec3], x: &Vec3, min_angle: f64) -> bool {
    // Widely separated indices first: in a sequence they have the baseline.
    let n = centers.len();
    (1..n).rev().any(|gap| {
        (0..n - gap).any(|i| triangulation_angle(&centers[i], &centers[i + gap], x) >= min_angle)
    })
}

/// A point that as many sightings as possible agree on.
#[derive(Clone, Debug, PartialEq)]
pub struct RobustPoint {
    /// Position.
    pub x_in_world: Vec3,
    /// Indices of the sightings that agree, ascending; at least two.
    pub inliers: Vec<usize>,
}

/// Most pairs tried by [`triangulate_robust`].
const MAX_PAIRS: usize = 60;

/// Tries pairs of sightings, keeps the point that most sightings agree with
/// within `max_error_px`, and refines it on them (RANSAC with all samples:
/// tracks are short, so nothing is left to chance).
///
/// `min_angle`: radians, the largest angle between two inliers' rays must
/// reach it. `None` where no two sightings agree.
pub fn triangulate_robust(
    sightings: &[Sighting<'_>],
    max_error_px: f64,
    min_angle: f64,
) -> Option<RobustPoint> {
    let n = sightings.len();
    let centers: Vec<Vec3> = sightings
        .iter()
        .map(|s| s.cam_from_world.center())
        .collect();
    let max2 = max_error_px * max_error_px;
    let mut best: Option<(usize, f64, Vec3)> = None;
    let mut tried = 0;
    // Distant pairs of the list first: they have the wider baseline in a
    // sequence, and any order is as good otherwise.
    'search: for gap in (1..n).rev() {
        for i in 0..n - gap {
            let pair = [sightings[i], sightings[i + gap]];
            tried += 1;
            if tried > MAX_PAIRS {
                break 'search;
            }
            let Some(x) = triangulate_linear(&pair) else {
                continue;
            };
            if triangulation_angle(&centers[i], &centers[i + gap], &x) < min_angle * 0.5 {
                continue;
            }
            let (mut count, mut score) = (0, 0.0);
            for s in sightings {
                let e2 = s.squared_error(&x);
                // A minimal start is noisier than the refined point.
                if e2 < 4.0 * max2 {
                    count += 1;
                    score += e2;
                } else {
                    score += 4.0 * max2;
                }
            }
            if count >= 2 && best.as_ref().is_none_or(|b| score < b.1) {
                best = Some((count, score, x));
                if count == n {
                    break 'search;
                }
            }
        }
    }
    let (_, _, mut x) = best?;
    let mut inliers: Vec<usize> = Vec::new();
    for factor in [4.0, 1.0] {
        inliers = (0..n)
            .filter(|&i| sightings[i].squared_error(&x) < factor * max2)
            .collect();
        if inliers.len() < 2 {
            return None;
        }
        let chosen: Vec<Sighting<'_>> = inliers.iter().map(|&i| sightings[i]).collect();
        x = refine_point(&chosen, &x, 5);
    }
    inliers.retain(|&i| sightings[i].squared_error(&x) < max2);
    let chosen: Vec<Vec3> = inliers.iter().map(|&i| centers[i]).collect();
    (inliers.len() >= 2 && reaches_angle(&chosen, &x, min_angle)).then_some(RobustPoint {
        x_in_world: x,
        inliers,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::UnitQuaternion;

    fn camera() -> CameraModel {
        CameraModel::SimpleRadial {
            f: 900.0,
            cx: 500.0,
            cy: 400.0,
            k: -0.05,
        }
    }

    fn poses(n: usize) -> Vec<Rigid3> {
        (0..n)
            .map(|i| {
                let a = i as f64 * 0.1;
                Rigid3::new(
                    UnitQuaternion::from_euler_angles(0.02 * a, a, -0.01),
                    Vec3::new(0.1 * a, 0.05, 5.0),
                )
            })
            .collect()
    }

    fn see<'a>(poses: &'a [Rigid3], camera: &'a CameraModel, x: &Vec3) -> Vec<Sighting<'a>> {
        poses
            .iter()
            .map(|p| Sighting::new(p, camera, camera.project(&p.apply(x)).unwrap()))
            .collect()
    }

    #[test]
    fn exact_rays_meet_in_the_point() {
        let (c, p) = (camera(), poses(4));
        let x = Vec3::new(0.4, -0.3, 0.7);
        let s = see(&p, &c, &x);
        assert!((triangulate_linear(&s).unwrap() - x).norm() < 1e-9);
        let refined = refine_point(&s, &(x + Vec3::new(0.05, 0.02, -0.1)), 20);
        assert!((refined - x).norm() < 1e-7);
    }

    #[test]
    fn wrong_sightings_are_left_out() {
        let (c, p) = (camera(), poses(6));
        let x = Vec3::new(0.4, -0.3, 0.7);
        let mut s = see(&p, &c, &x);
        for i in [1, 4] {
            let px = s[i].px + Vec2::new(40.0, -70.0 * (i as f64));
            s[i] = Sighting::new(&p[i], &c, px);
        }
        let found = triangulate_robust(&s, 2.0, 0.02).unwrap();
        assert_eq!(found.inliers, vec![0, 2, 3, 5]);
        assert!((found.x_in_world - x).norm() < 1e-6);
    }

    #[test]
    fn parallel_rays_give_nothing() {
        let c = camera();
        let p = [Rigid3::identity(), Rigid3::identity()];
        let s = [
            Sighting::new(&p[0], &c, Vec2::new(500.0, 400.0)),
            Sighting::new(&p[1], &c, Vec2::new(500.0, 400.0)),
        ];
        assert!(triangulate_linear(&s).is_none());
        assert!(triangulate_robust(&s, 4.0, 0.0).is_none());
    }
}
