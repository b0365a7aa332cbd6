//! Transforms, camera models, epipolar geometry, triangulation and minimal
//! solvers.
//!
//! Frames: camera x right, y down, z forward; pixels with the centre of the
//! top-left pixel at (0.5, 0.5). Transforms read `b_from_a`:
//! `x_in_b = b_from_a * x_in_a`. Everything is `f64`; angles in radians.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`rigid`] | [`Rigid3`], [`Sim3`], least-squares alignment |
//! | [`camera`] | [`CameraModel`]: projection, inverse, Jacobians |
//! | [`epipolar`] | essential and fundamental matrices: residual, pose, refinement |
//! | [`homography`] | plane-induced homographies |
//! | [`solvers`] | minimal solvers, one per file |
//! | [`triangulation`] | points from rays, robust to wrong ones |

pub mod camera;
pub mod epipolar;
pub mod homography;
pub mod rigid;
pub mod solvers;
pub mod triangulation;

pub use camera::{CameraModel, CameraModelKind, MAX_PARAMS, Params};
pub use rigid::{Rigid3, Sim3, umeyama};

/// Column 2-vector, f64.
pub type Vec2 = nalgebra::Vector2<f64>;
/// Column 3-vector, f64.
pub type Vec3 = nalgebra::Vector3<f64>;
/// 3×3 matrix, f64.
pub type Mat3 = nalgebra::Matrix3<f64>;
