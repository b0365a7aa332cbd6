//! Multi-view stereo on the CPU: which photos look at a photo's surface from
//! where, a depth map per photo, and one cloud from all of them.
//!
//! Enters: a [`SparseModel`](relievo_scene::SparseModel) with poses and points,
//! undistorted pinhole pictures ([`StereoView`]). Leaves:
//! [`DepthMap`](relievo_scene::DepthMap)s in the camera frame of each view
//! (z-depth, normal towards the camera, confidence) and a
//! [`PointCloud`](relievo_scene::PointCloud) in the world frame. Nothing here
//! opens a file, but [`fuse`] puts points aside in one where memory is short.
//!
//! How a caller runs it, one item a view and pass, every pass reading only the
//! pass before it:
//!
//! 1. [`select_views`] once;
//! 2. [`estimate_depth_photometric`] for every view with a plan;
//! 3. [`estimate_depth_geometric`] for every view,
//!    [`DepthOptions::geometric_passes`] times;
//! 4. [`fuse`] once.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`view_selection`] | sources, depth range and sparse points per view |
//! | [`patch_match`] | coarse-to-fine PatchMatch (ACMH / ACMM / ACMP family) |
//! | [`exposure`], [`sky`] | pixels without signal emptied, and sky |
//! | [`fusion`] | consistency between maps, averaging, the cloud |
//! | `weak_regions`, `detail` | connected pixels without edges; whether photos agree in them |
//! | `fused`, `point_store` | points in the making, on disk where they are too many |
//! | `outliers`, `spacing`, `strays` | points that stand alone, too close, or off their surface |
//! | `planes`, `mirrors` | large planes, and what is seen mirrored in them |
//! | `view_cache` | views within the memory budget |

mod detail;
pub mod error;
pub mod exposure;
mod fused;
pub mod fusion;
mod mirrors;
mod outliers;
pub mod patch_match;
mod planes;
mod point_store;
pub mod sky;
mod spacing;
mod strays;
mod view_cache;
pub mod view_selection;
mod weak_regions;

pub use error::MvsError;
pub use exposure::clear_unexposed;
pub use fusion::{FusionOptions, FusionView, FusionViews, fuse};
pub use patch_match::{
    DepthOptions, Estimate, GeometricPass, StereoView, estimate_depth_geometric,
    estimate_depth_photometric,
};
pub use sky::clear_sky;
pub use view_selection::{DepthPlan, ViewSelectionOptions, select_views};
