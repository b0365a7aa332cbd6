//! Rigid and similarity transforms.

use crate::{Mat3, Vec3};
use nalgebra::{Rotation3, UnitQuaternion};
use serde::{Deserialize, Serialize};

/// `x_in_b = R x_in_a + t`, named `b_from_a`. Hamilton quaternion.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rigid3 {
    /// R.
    pub rotation: UnitQuaternion<f64>,
    /// t, in units of the target frame.
    pub translation: Vec3,
}

impl Default for Rigid3 {
    fn default() -> Self {
        Self::identity()
    }
}

impl Rigid3 {
    /// The identity.
    pub fn identity() -> Self {
        Self {
            rotation: UnitQuaternion::identity(),
            translation: Vec3::zeros(),
        }
    }

    /// From R and t.
    pub fn new(rotation: UnitQuaternion<f64>, translation: Vec3) -> Self {
        Self {
            rotation,
            translation,
        }
    }

    /// From a rotation matrix (re-orthonormalised) and t.
    pub fn from_matrix(rotation: &Mat3, translation: Vec3) -> Self {
        let rotation = UnitQuaternion::from_rotation_matrix(&Rotation3::from_matrix_unchecked(
            nearest_rotation(rotation),
        ));
        Self {
            rotation,
            translation,
        }
    }

    /// `a_from_b`.
    #[must_use]
    pub fn inverse(&self) -> Self {
        let rotation = self.rotation.inverse();
        Self {
            rotation,
            translation: -(rotation * self.translation),
        }
    }

    /// Applies the transform to a point.
    #[inline]
    pub fn apply(&self, x_in_a: &Vec3) -> Vec3 {
        self.rotation * x_in_a + self.translation
    }

    /// R as a matrix.
    pub fn matrix(&self) -> Mat3 {
        *self.rotation.to_rotation_matrix().matrix()
    }

    /// For `cam_from_world`: the camera centre in the world, −Rᵀt.
    pub fn center(&self) -> Vec3 {
        -(self.rotation.inverse() * self.translation)
    }

    /// True when every component is finite.
    pub fn is_finite(&self) -> bool {
        self.rotation
            .coords
            .iter()
            .chain(self.translation.iter())
            .all(|v| v.is_finite())
    }
}

impl std::ops::Mul for Rigid3 {
    type Output = Self;
    /// `c_from_a = c_from_b * b_from_a`.
    fn mul(self, rhs: Self) -> Self {
        Self {
            rotation: self.rotation * rhs.rotation,
            translation: self.rotation * rhs.translation + self.translation,
        }
    }
}

/// `x_in_b = s R x_in_a + t`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sim3 {
    /// s > 0.
    pub scale: f64,
    /// R.
    pub rotation: UnitQuaternion<f64>,
    /// t.
    pub translation: Vec3,
}

impl Default for Sim3 {
    fn default() -> Self {
        Self::identity()
    }
}

impl Sim3 {
    /// The identity.
    pub fn identity() -> Self {
        Self {
            scale: 1.0,
            rotation: UnitQuaternion::identity(),
            translation: Vec3::zeros(),
        }
    }

    /// Applies the transform to a point.
    #[inline]
    pub fn apply(&self, x_in_a: &Vec3) -> Vec3 {
        self.rotation * x_in_a * self.scale + self.translation
    }

    /// `a_from_b`.
    #[must_use]
    pub fn inverse(&self) -> Self {
        let rotation = self.rotation.inverse();
        let scale = 1.0 / self.scale;
        Self {
            scale,
            rotation,
            translation: -(rotation * self.translation) * scale,
        }
    }

    /// The pose of a camera after its world was mapped by `self`
    /// (`new_world_from_world`); depths grow by `scale`.
    #[must_use]
    pub fn transform_pose(&self, cam_from_world: &Rigid3) -> Rigid3 {
        let rotation = cam_from_world.rotation * self.rotation.inverse();
        let center = self.apply(&cam_from_world.center());
        Rigid3 {
            rotation,
            translation: -(rotation * center),
        }
    }

    /// The part `w` of this motion: `power(v) * power(w) = power(v + w)`, and `power(1)`
    /// is the motion itself. For rotations below π.
    ///
    /// exp(w log S); closed form of Eade, "Lie groups for 2D and 3D transformations",
    /// 2013, section 6.
    #[must_use]
    pub fn power(&self, w: f64) -> Self {
        let sigma = self.scale.ln();
        let turn = self.rotation.scaled_axis();
        let velocity = path(sigma, &turn, 1.0)
            .try_inverse()
            .map_or_else(Vec3::zeros, |m| m * self.translation);
        Self {
            scale: (w * sigma).exp(),
            rotation: UnitQuaternion::from_scaled_axis(turn * w),
            translation: path(sigma, &turn, w) * velocity,
        }
    }

    /// 4×4 matrix, row-major.
    pub fn to_row_major(&self) -> [[f64; 4]; 4] {
        let r = self.rotation.to_rotation_matrix();
        let mut m = [[0.0; 4]; 4];
        for i in 0..3 {
            for j in 0..3 {
                m[i][j] = r[(i, j)] * self.scale;
            }
            m[i][3] = self.translation[i];
        }
        m[3][3] = 1.0;
        m
    }
}

impl std::ops::Mul for Sim3 {
    type Output = Self;
    /// `c_from_a = c_from_b * b_from_a`.
    fn mul(self, rhs: Self) -> Self {
        Self {
            scale: self.scale * rhs.scale,
            rotation: self.rotation * rhs.rotation,
            translation: self.rotation * rhs.translation * self.scale + self.translation,
        }
    }
}

/// ∫ e^(στ) R(τ·turn) dτ from 0 to `w`.
fn path(sigma: f64, turn: &Vec3, w: f64) -> Mat3 {
    let angle = turn.norm();
    // ∫ e^((σ + iθ)τ) dτ, by its series near 0.
    let z = nalgebra::Complex::new(sigma, angle);
    let spiral = |z: nalgebra::Complex<f64>| {
        if z.norm() < 1e-4 {
            let zw = z * w;
            (zw * zw / 6.0 + zw / 2.0 + 1.0) * w
        } else {
            ((z * w).exp() - 1.0) / z
        }
    };
    let (straight, curved) = (spiral(nalgebra::Complex::new(sigma, 0.0)).re, spiral(z));
    let axis = turn.try_normalize(0.0).unwrap_or_else(Vec3::zeros);
    let k = axis.cross_matrix();
    Mat3::identity() * straight + k * curved.im + k * k * (straight - curved.re)
}

/// The rotation nearest to `m` (Frobenius), by SVD.
pub fn nearest_rotation(m: &Mat3) -> Mat3 {
    let svd = m.svd(true, true);
    match (svd.u, svd.v_t) {
        (Some(u), Some(v_t)) => {
            let d = (u * v_t).determinant().signum();
            u * Mat3::from_diagonal(&Vec3::new(1.0, 1.0, d)) * v_t
        }
        _ => Mat3::identity(),
    }
}

/// Least-squares similarity `to_from_from` mapping `from[i]` to `to[i]`.
///
/// Umeyama, PAMI 1991. With `with_scale = false` the scale is 1. `None` for
/// fewer than three pairs or coincident points.
pub fn umeyama(from: &[Vec3], to: &[Vec3], with_scale: bool) -> Option<Sim3> {
    let n = from.len();
    if n < 3 || n != to.len() {
        return None;
    }
    let mean = |p: &[Vec3]| p.iter().fold(Vec3::zeros(), |a, b| a + b) / n as f64;
    let (mu_a, mu_b) = (mean(from), mean(to));
    let mut covariance = Mat3::zeros();
    let mut variance = 0.0;
    for (a, b) in from.iter().zip(to) {
        covariance += (b - mu_b) * (a - mu_a).transpose() / n as f64;
        variance += (a - mu_a).norm_squared() / n as f64;
    }
    if !(variance > 0.0) || !variance.is_finite() {
        return None;
    }
    let svd = covariance.svd(true, true);
    let (u, v_t) = (svd.u?, svd.v_t?);
    let d = Vec3::new(1.0, 1.0, (u * v_t).determinant().signum());
    let r = u * Mat3::from_diagonal(&d) * v_t;
    let scale = if with_scale {
        svd.singular_values.dot(&d) / variance
    } else {
        1.0
    };
    if !(scale > 0.0) {
        return None;
    }
    let rotation = UnitQuaternion::from_rotation_matrix(&Rotation3::from_matrix_unchecked(r));
    Some(Sim3 {
        scale,
        rotation,
        translation: mu_b - rotation * mu_a * scale,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_a_motion_add_up() {
        let turn = UnitQuaternion::from_euler_angles(0.3, -1.1, 2.0);
        let still = UnitQuaternion::identity();
        let translation = Vec3::new(1.0, -4.0, 0.5);
        for (scale, rotation) in [(2.5, turn), (1.0, turn), (0.7, still), (1.0, still)] {
            let s = Sim3 {
                scale,
                rotation,
                translation,
            };
            let x = Vec3::new(0.2, 3.0, -1.0);
            let near = |a: Sim3, b: Sim3| (a.apply(&x) - b.apply(&x)).norm() < 1e-9;
            assert!(near(s.power(1.0), s) && near(s.power(0.0), Sim3::identity()));
            assert!(near(s.power(0.3) * s.power(0.7), s));
            assert!(near(s.power(-1.0), s.inverse()));
            assert!(near(s.power(1e-6) * s.power(0.4), s.power(0.400_001)));
        }
    }

    #[test]
    fn umeyama_recovers_a_similarity() {
        let truth = Sim3 {
            scale: 2.5,
            rotation: UnitQuaternion::from_euler_angles(0.3, -1.1, 2.0),
            translation: Vec3::new(1.0, -4.0, 0.5),
        };
        let from: Vec<Vec3> = (0..7)
            .map(|i| {
                Vec3::new(
                    f64::from(i).sin(),
                    f64::from(i * i).cos(),
                    f64::from(i) * 0.3,
                )
            })
            .collect();
        let to: Vec<Vec3> = from.iter().map(|p| truth.apply(p)).collect();
        let found = umeyama(&from, &to, true).unwrap();
        for p in &from {
            assert!((found.apply(p) - truth.apply(p)).norm() < 1e-12);
            assert!((found.inverse().apply(&found.apply(p)) - p).norm() < 1e-12);
        }
    }

    #[test]
    fn transformed_pose_sees_the_same_directions() {
        let world = Sim3 {
            scale: 0.4,
            rotation: UnitQuaternion::from_euler_angles(0.1, 0.2, -0.7),
            translation: Vec3::new(3.0, 1.0, 2.0),
        };
        let pose = Rigid3::new(
            UnitQuaternion::from_euler_angles(1.0, 0.2, 0.4),
            Vec3::new(0.2, -0.1, 4.0),
        );
        let x = Vec3::new(0.3, 0.2, 1.0);
        let before = pose.apply(&x) * world.scale;
        let after = world.transform_pose(&pose).apply(&world.apply(&x));
        assert!((before - after).norm() < 1e-12);
    }
}
