//! Robust estimation and non-linear least squares; knows no camera.
//!
//! Enters: an implementation of [`ransac::Estimator`] or a least-squares
//! problem. Leaves: the model, its inliers, its score.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`ransac`] | [`lo_ransac`]: PROSAC order, sequential test, MSAC score, local optimisation |
//! | [`ransac_arrsac`] | ARRSAC, for few inliers |

pub mod ransac;
pub mod ransac_arrsac;

pub use ransac::{Estimator, RansacOptions, RansacResult, lo_ransac};
