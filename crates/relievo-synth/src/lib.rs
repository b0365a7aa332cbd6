//! Synthetic scenes and near-equality assertions for tests and benches.
//!
//! Enters: [`SceneOptions`] with a seed. Leaves: a [`Scene`]: the true
//! [`relievo_scene::SparseModel`], keypoints with noise and descriptors, and
//! on request matches with outliers, verified pairs and tracks. For tests:
//! broken expectations panic with a message.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`scene`] | seeded cameras around points: [`Scene`] |
//! | [`calibration`] | a fixed kernel that CPU times are compared with |
//! | [`threads`] | [`on_threads`]: how much each thread did |
//! | [`near`] | [`assert_model_near`], [`pose_errors`] after Sim(3) alignment |

pub mod calibration;
pub mod near;
pub mod scene;
pub mod threads;

pub use near::{ModelTolerance, PoseErrors, assert_model_near, pose_errors};
pub use scene::{Motion, Scene, SceneOptions, Shape};
pub use threads::{assert_all_busy, on_threads};
