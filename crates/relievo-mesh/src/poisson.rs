//! Screened Poisson reconstruction.

use crate::MeshError;
use crate::attributes::attributes;
use crate::contour::contour;
use crate::octree::Octree;
use crate::samples::{Cube, Samples, srgb_of_linear};
use crate::solver::{SolverSettings, solve};
use crate::spacing::{robust_bounds, spacing_of};
use rayon::prelude::*;
use relievo_scene::{PointCloud, TriMesh};
use relievo_task::Task;

/// Fewer usable points are refused.
const LEAST_POINTS: usize = 100;
/// The tree is complete down to this level, wherever points are.
const BASE: u32 = 5;

relievo_task::options! {
    /// Options of [`reconstruct`].
    pub struct PoissonOptions {
        /// Finest octree level; unset: from the point spacing.
        depth: Option<u32> = None, "levels", "a bounding box says nothing about the points";
        /// Where the depth follows from the points: edge of the finest cell.
        cell_size: f32 = 2.0, "point spacings", "F-score, faces and time on a stereo cloud of the rendered object";
        /// Deepest level tried; the cell grows where the scene needs more.
        max_depth: u32 = 13, "levels", "memory";
        /// Weight of passing through the points against following their normals.
        point_weight: f32 = 4.0, "", "Kazhdan & Hoppe 2013";
        /// Points that a cell should hold; sparser regions get larger cells.
        samples_per_node: f32 = 2.0, "points", "F-score, faces and time on a stereo cloud of the rendered object";
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
    check(cloud, options)?;
    task.check()?;
    let points: Vec<[f32; 3]> = cloud
        .positions
        .iter()
        .copied()
        .filter(|p| p.iter().all(|x| x.is_finite()))
        .collect();
    let too_few = |usable| MeshError::TooFewPoints {
        given: cloud.len(),
        usable,
        needed: LEAST_POINTS,
    };
    if points.len() < LEAST_POINTS {
        return Err(too_few(points.len()));
    }
    let spacing = spacing_of(&points).ok_or(MeshError::NoExtent)?;
    let bounds = robust_bounds(&points, spacing, options.cluster_share);
    drop(points);
    let cube = root_cube(bounds, spacing, options).ok_or(MeshError::NoExtent)?;
    task.check()?;
    let mut samples = Samples::merge(cloud, &cube);
    if samples.points < LEAST_POINTS {
        return Err(too_few(samples.points));
    }
    let needed = memory_bytes(samples.len(), Some(cube.depth));
    if needed > task.memory_bytes() {
        return Err(MeshError::Memory {
            needed_mib: needed >> 20,
            budget_mib: task.memory_bytes() >> 20,
        });
    }
    let base = BASE.min(cube.depth);
    samples.measure(cube.depth, base, options.samples_per_node);
    task.check()?;
    let tree = Octree::build(
        &samples.keys,
        cube.depth,
        |i| samples.depths[i].ceil() as u32,
        base,
        cube.depth,
    );
    let settings = SolverSettings {
        point_weight: options.point_weight,
        sweeps: options.sweeps,
        depth: cube.depth,
    };
    let solution = solve(&tree, &samples, &settings, task)?;
    task.check()?;
    let fields = attributes(&tree, &samples, cube.depth, options.samples_per_node);
    task.check()?;
    let found = contour(&tree, &solution, &fields, cube.depth);
    if found.triangles.is_empty() {
        return Err(MeshError::NoSurface);
    }
    let place = |p: &[f32; 3]| -> [f32; 3] {
        [0, 1, 2].map(|k| (cube.origin[k] + f64::from(p[k]) * cube.cell) as f32)
    };
    let squared_cell = (cube.cell * cube.cell) as f32;
    let mesh = TriMesh {
        positions: found.positions.iter().map(place).collect(),
        normals: Vec::new(),
        colors: if samples.colors.is_empty() {
            Vec::new()
        } else {
            let color = |a: &[f32; 4]| [a[1], a[2], a[3]].map(srgb_of_linear);
            found.attributes.par_iter().map(color).collect()
        },
        triangles: found.triangles,
    };
    Ok(PoissonMesh {
        mesh,
        density: found
            .attributes
            .iter()
            .map(|a| a[0] / squared_cell)
            .collect(),
        spacing,
        cell: cube.cell as f32,
        depth: cube.depth,
        points_used: samples.points,
        unknowns: solution.unknowns,
    })
}

fn check(cloud: &PointCloud, options: &PoissonOptions) -> Result<(), MeshError> {
    if cloud.normals.len() != cloud.len() {
        return Err(MeshError::NoNormals {
            points: cloud.len(),
            normals: cloud.normals.len(),
        });
    }
    let depth = options.depth.unwrap_or(options.max_depth);
    let rows: [(&str, f64, f64, f64, &str); 6] = [
        ("depth", depth.into(), 2.0, 16.0, "2 … 16"),
        (
            "cell_size",
            options.cell_size.into(),
            0.1,
            100.0,
            "0.1 … 100",
        ),
        (
            "point_weight",
            options.point_weight.into(),
            0.0,
            1e3,
            "0 … 1000",
        ),
        (
            "samples_per_node",
            options.samples_per_node.into(),
            0.1,
            100.0,
            "0.1 … 100",
        ),
        ("margin", options.margin.into(), 1.0, 10.0, "1 … 10"),
        (
            "cluster_share",
            options.cluster_share.into(),
            0.0,
            1.0,
            "0 … 1",
        ),
    ];
    for (name, value, low, high, range) in rows {
        if !(value >= low && value <= high) {
            return Err(MeshError::Option { name, value, range });
        }
    }
    Ok(())
}

/// The cube around the bounds; `None` without extent.
fn root_cube(bounds: [[f64; 3]; 2], spacing: f32, options: &PoissonOptions) -> Option<Cube> {
    let extent = (0..3)
        .map(|k| bounds[1][k] - bounds[0][k])
        .fold(0.0, f64::max);
    let least = extent * f64::from(options.margin);
    if !(least.is_finite() && least > 0.0) {
        return None;
    }
    let mut cell = f64::from(options.cell_size) * f64::from(spacing);
    let depth = options.depth.unwrap_or_else(|| {
        let levels = (least / cell).log2().ceil().clamp(2.0, 64.0) as u32;
        levels.min(options.max_depth)
    });
    let side = f64::from(1u32 << depth);
    if options.depth.is_some() || cell * side < least {
        cell = least / side;
    }
    let origin = [0, 1, 2].map(|k| f64::midpoint(bounds[0][k], bounds[1][k]) - 0.5 * cell * side);
    Some(Cube {
        origin,
        cell,
        depth,
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
