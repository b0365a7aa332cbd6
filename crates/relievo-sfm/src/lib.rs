//! Structure from motion: verified matches in, cameras and points out.
//!
//! Enters: [`SfmInput`], keypoints, starting intrinsics and the graph of
//! verified pairs. Leaves: [`SfmResult`], one or more sparse models and the
//! reason for every photo that has no pose. Nothing here opens a file; the
//! state of a running mapper goes through [`Checkpoint`].
//!
//! | module | what it is |
//! | --- | --- |
//! | [`input`] | [`SfmInput`], [`SfmView`] |
//! | [`options`] | [`SfmOptions`] |
//! | [`incremental`] | [`reconstruct`]: the incremental mapper (Schönberger & Frahm 2016) |
//! | [`retriangulate`] | [`triangulate_under_poses`]: points for given poses |
//! | [`checkpoint`] | where the state of a running mapper is kept |
//! | [`result`] | [`SfmResult`], [`SfmError`] |

pub mod checkpoint;
pub mod incremental;
pub mod input;
pub mod options;
pub mod result;
pub mod retriangulate;

pub use checkpoint::{Checkpoint, MemoryCheckpoint, NoCheckpoint};
pub use incremental::reconstruct;
pub use input::{SfmInput, SfmView};
pub use options::{PrincipalPoint, SfmOptions};
pub use result::{InputFault, ModelFigures, SfmError, SfmResult, UnregisteredReason};
pub use retriangulate::triangulate_under_poses;
