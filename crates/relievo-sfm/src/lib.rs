//! Structure from motion: verified matches in, cameras and points out.
//!
//! Enters: [`SfmInput`], keypoints, starting intrinsics and the graph of
//! verified pairs. Leaves: [`SfmResult`], one or more sparse models and the
//! reason for every photo that has no pose. Nothing here opens a file; the
//! state of a running mapper goes through [`Checkpoint`].
//!
//! | module | what it is |
//! | --- | --- |
//! | [`input`] | [`SfmInput`], [`SfmView`], [`Named`] |
//! | [`options`] | [`SfmOptions`] |
//! | [`incremental`] | [`reconstruct`]: the incremental mapper (Schönberger & Frahm 2016) |
//! | `global` | the global mapper (Pan et al. 2024), from which `incremental` goes on |
//! | `rotation_averaging`, `global_tracks`, `global_positioning` | its parts |
//! | `focal` | unknown focal lengths from the pairs (Mendonça & Cipolla 1999) |
//! | `triplets` | pairs that look right and contradict the others |
//! | `relative_pose` | poses of pairs under the calibrated cameras |
//! | `initial_pair` | where a model starts |
//! | `next_view`, `register`, `absolute_pose` | which photo comes next, and its pose |
//! | `grow_points` | create, continue, complete, merge, filter points |
//! | `adjust` | bundle adjustment: residuals, Jacobians, gauge |
//! | `covariance` | how well poses, points and intrinsics are determined, and in which gauge |
//! | `refine`, `finish` | local, global and last adjustments |
//! | `join`, `twins`, `seen_through` | models that show parts of one place become one |
//! | `distortion` | which distortion terms a camera has |
//! | `held_out` | the error of observations that took no part |
//! | `accept`, `together` | what of that which grew becomes a model |
//! | `links`, `mend` | wrong links between groups of photos that are right in themselves |
//! | `outcome` | which mapper's models are kept, and how they are told |
//! | `reasons` | why a photo has no pose |
//! | `scene`, `model`, `state`, `export` | the mapper's dense data, its bytes, its result |
//! | [`retriangulate`] | [`triangulate_under_poses`]: points for given poses |
//! | [`checkpoint`] | where the state of a running mapper is kept |
//! | [`result`] | [`SfmResult`], [`SfmError`] |

mod absolute_pose;
mod accept;
mod adjust;
pub mod checkpoint;
mod close_ring;
mod covariance;
mod distortion;
mod export;
mod finish;
mod focal;
mod focal_profile;
mod global;
mod global_positioning;
mod global_tracks;
mod grow_points;
mod held_out;
pub mod incremental;
mod initial_pair;
pub mod input;
mod join;
mod links;
mod mend;
mod model;
mod next_view;
pub mod options;
mod outcome;
mod reasons;
mod refine;
mod register;
mod relative_pose;
pub mod result;
pub mod retriangulate;
mod rotation_averaging;
mod scene;
mod seen_through;
mod state;
mod together;
mod triplets;
mod twins;

pub use checkpoint::{Checkpoint, MemoryCheckpoint, NoCheckpoint};
pub use incremental::{reconstruct, reconstruct_named};
pub use input::{Named, SfmInput, SfmView};
pub use options::{Distortion, MapperKind, PrincipalPoint, SfmOptions};
pub use result::{
    DoubtfulLink, FocalLength, InputFault, ModelCovariances, ModelFigures, NoCovariances,
    PoseCovariance, SfmError, SfmResult, UnregisteredReason,
};
pub use retriangulate::triangulate_under_poses;
