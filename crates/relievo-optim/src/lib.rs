//! Robust estimation and non-linear least squares; knows no camera.
//!
//! Enters: an implementation of [`ransac::Estimator`] or a least-squares
//! problem. Leaves: the model, its inliers, its score.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`ransac`] | [`lo_ransac`]: PROSAC order, sequential test, MSAC score, local optimisation |
//! | [`ransac_arrsac`] | ARRSAC, for few inliers |
//! | [`loss`] | robust losses |
//! | [`mod@dense_lm`] | Levenberg–Marquardt for a handful of parameters |
//! | [`bundle`] | the shape of a bundle problem |
//! | [`bundle_lm`] | Levenberg–Marquardt on it |
//! | [`mod@covariance`] | how well blocks and landmarks are determined, in any gauge |
//! | `schur` | the reduced camera system |
//! | [`sparse_spd`] | symmetric systems of few entries |
//! | `reduced_solve` | its Cholesky factorisation, dense or sparse |
//! | `pcg` | its solution by conjugate gradients |

pub mod bundle;
pub mod bundle_lm;
pub mod covariance;
pub mod dense_lm;
pub mod loss;
mod pcg;
pub mod ransac;
pub mod ransac_arrsac;
mod reduced_solve;
mod schur;
pub mod sparse_spd;

pub use bundle::{
    BundleProblem, BundleStructure, FIXED, GroupPrior, MAX_GROUP_DIM, ObservationRows,
};
pub use bundle_lm::{BundleOptions, BundleSummary, Solver, minimise};
pub use covariance::{
    BundleCovariance, Directions, GAUGE, GroupEstimate, MOST_PARAMS, covariance, group_estimate,
};
pub use dense_lm::{DenseProblem, dense_lm};
pub use loss::Loss;
pub use ransac::{Estimator, RansacOptions, RansacResult, lo_ransac};
pub use sparse_spd::{LowerEntry, solve_sparse_spd};
