//! Plane-induced homographies: transfer error, refinement, decomposition.
//!
//! x_b ~ H x_a in normalised image coordinates; H = R + t nᵀ / d.

use crate::epipolar::smallest_eigenvector;
use crate::solvers::homography_4pt::dlt_rows;
use crate::{Mat3, Rigid3, Vec2, Vec3};
use nalgebra::{SMatrix, SVector};

/// Where `h` maps a point; not finite at infinity.
#[inline]
pub fn transfer(h: &Mat3, a: &Vec2) -> Vec2 {
    let z = h.m31 * a.x + h.m32 * a.y + h.m33;
    Vec2::new(
        (h.m11 * a.x + h.m12 * a.y + h.m13) / z,
        (h.m21 * a.x + h.m22 * a.y + h.m23) / z,
    )
}

/// Weighted DLT around `start`: equations are divided by the depth that
/// `start` gives, so that transfer errors are minimised (Hartley & Zisserman
/// 2004, §4.1). `None` for fewer than four points or a singular result.
/// det H > 0, unit norm.
pub fn refine_homography(
    start: &Mat3,
    pairs: impl Iterator<Item = (Vec2, Vec2, f64)>,
) -> Option<Mat3> {
    let mut normal = SMatrix::<f64, 9, 9>::zeros();
    let mut count = 0;
    for (a, b, w) in pairs {
        let z = (start * Vec3::new(a.x, a.y, 1.0)).z;
        let weight = w / (z * z);
        if !(weight > 0.0) || !weight.is_finite() {
            continue;
        }
        count += 1;
        for row in dlt_rows(&a, &b) {
            let row = SVector::<f64, 9>::from(row);
            normal.syger(weight, &row, &row, 1.0);
        }
    }
    if count < 4 {
        return None;
    }
    normal.fill_upper_triangle_with_lower_triangle();
    let h = smallest_eigenvector(&normal)?;
    let det = h.determinant();
    (det.abs() > 1e-12).then(|| h * det.signum())
}

/// One way in which a moving camera sees a plane.
#[derive(Clone, Copy, Debug)]
pub struct PlaneMotion {
    /// `b_from_a`; t in units of the plane's distance from camera a.
    pub b_from_a: Rigid3,
    /// Unit normal in frame a; the plane is nᵀ x = 1 in units of its distance.
    pub normal_in_a: Vec3,
}

/// The up to four motions of a calibrated homography with det H > 0; the one
/// with t = 0 alone where H is a rotation (to 1e-6).
///
/// Ma, Soatto, Košecká & Sastry, *An Invitation to 3-D Vision*, 2004, §5.3.3;
/// equal to Malis & Vargas (INRIA RR-6303, 2007). Empty for a singular or not
/// finite matrix.
pub fn decompose_homography(h: &Mat3) -> Vec<PlaneMotion> {
    if !h.iter().all(|x| x.is_finite()) || !(h.determinant() > 0.0) {
        return Vec::new();
    }
    let svd = h.svd(false, true);
    let Some(v_t) = svd.v_t else {
        return Vec::new();
    };
    let s = svd.singular_values;
    if !(s[1] > 0.0) {
        return Vec::new();
    }
    // Step 1: the second singular value of R + t nᵀ/d is one.
    let h = h / s[1];
    let (s1, s3) = ((s[0] / s[1]).powi(2), (s[2] / s[1]).powi(2));
    if s1 - s3 < 1e-6 {
        return vec![PlaneMotion {
            b_from_a: Rigid3::from_matrix(&h, Vec3::zeros()),
            normal_in_a: Vec3::z(),
        }];
    }
    let v = v_t.transpose();
    let (v1, v2, v3): (Vec3, Vec3, Vec3) =
        (v.column(0).into(), v.column(1).into(), v.column(2).into());
    // Step 2: the two directions whose length H keeps.
    let (p, q, r) = (
        (1.0 - s3).max(0.0).sqrt(),
        (s1 - 1.0).max(0.0).sqrt(),
        (s1 - s3).sqrt(),
    );
    let mut motions = Vec::with_capacity(4);
    for u in [(v1 * p + v3 * q) / r, (v1 * p - v3 * q) / r] {
        // Step 3: R from the frames (v2, u, v2×u) before and after.
        let n = v2.cross(&u);
        let before = Mat3::from_columns(&[v2, u, n]);
        let (hv, hu) = (h * v2, h * u);
        let after = Mat3::from_columns(&[hv, hu, hv.cross(&hu)]);
        let rotation = after * before.transpose();
        let t = (h - rotation) * n;
        for sign in [1.0, -1.0] {
            motions.push(PlaneMotion {
                b_from_a: Rigid3::from_matrix(&rotation, t * sign),
                normal_in_a: n * sign,
            });
        }
    }
    motions
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::UnitQuaternion;

    fn plane_scene() -> (PlaneMotion, Mat3) {
        let truth = PlaneMotion {
            b_from_a: Rigid3::new(
                UnitQuaternion::from_euler_angles(0.1, 0.2, -0.1),
                Vec3::new(0.3, -0.1, 0.05),
            ),
            normal_in_a: Vec3::new(0.2, -0.3, 1.0).normalize(),
        };
        let h =
            truth.b_from_a.matrix() + truth.b_from_a.translation * truth.normal_in_a.transpose();
        (truth, h)
    }

    #[test]
    fn the_true_motion_is_among_the_decompositions() {
        let (truth, h) = plane_scene();
        for scale in [1.0, 0.2] {
            let motions = decompose_homography(&(h * scale));
            assert_eq!(motions.len(), 4);
            assert!(motions.iter().any(|m| {
                m.b_from_a.rotation.angle_to(&truth.b_from_a.rotation) < 1e-9
                    && (m.b_from_a.translation - truth.b_from_a.translation).norm() < 1e-9
                    && (m.normal_in_a - truth.normal_in_a).norm() < 1e-9
            }));
        }
        let rotation = truth.b_from_a.matrix();
        let motions = decompose_homography(&rotation);
        assert_eq!(motions.len(), 1);
        assert!(
            motions[0]
                .b_from_a
                .rotation
                .angle_to(&truth.b_from_a.rotation)
                < 1e-9
        );
        assert!(decompose_homography(&Mat3::zeros()).is_empty());
        assert!(decompose_homography(&Mat3::from_element(f64::NAN)).is_empty());
    }

    #[test]
    fn refinement_recovers_the_homography() {
        let (_, h) = plane_scene();
        let h = h / h.norm();
        let pairs = (0..30).map(|i| {
            let a = Vec2::new(f64::from(i * 7 % 11) * 0.05, f64::from(i % 5) * 0.07);
            (a, transfer(&h, &a), 1.0)
        });
        let mut start = h;
        start.m13 += 0.01;
        let found = refine_homography(&start, pairs.clone()).unwrap();
        assert!((found - h).norm() < 1e-7);
        assert!(refine_homography(&start, pairs.take(3)).is_none());
    }
}
