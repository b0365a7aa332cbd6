//! The chain from cloud to surface, with its figures.

use crate::{
    CleanOptions, MeshError, PoissonOptions, SimplifyOptions, SurfaceView, Topology, TrimOptions,
    Visibility, clean, compute_normals, reconstruct, simplify, topology, trim, visibility,
};
use relievo_scene::{PointCloud, TriMesh};
use relievo_task::Task;

relievo_task::options! {
    /// Options of [`surface`].
    pub struct SurfaceOptions {
        /// Reconstruction.
        poisson: PoissonOptions = PoissonOptions::default(), "", "its own table";
        /// Removal of faces without evidence.
        trim: TrimOptions = TrimOptions::default(), "", "its own table";
        /// Repair.
        clean: CleanOptions = CleanOptions::default(), "", "its own table";
        /// Reduction.
        simplify: SimplifyOptions = SimplifyOptions::default(), "", "its own table";
    }
}

/// What happened on the way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SurfaceFigures {
    /// Finest octree level.
    pub depth: u32,
    /// Point spacing, in the cloud's unit.
    pub spacing: f32,
    /// Edge of the finest octree cell, in the cloud's unit.
    pub cell: f32,
    /// Points that took part.
    pub points_used: usize,
    /// Unknowns solved for.
    pub unknowns: usize,
    /// Faces out of the solver.
    pub faces_reconstructed: usize,
    /// Faces left by trimming.
    pub faces_trimmed: usize,
    /// Faces left by cleaning.
    pub faces_cleaned: usize,
    /// The result.
    pub topology: Topology,
}

/// A finished surface.
#[derive(Clone, Debug, PartialEq)]
pub struct Surface {
    /// Manifold, oriented outwards, with normals and (where the cloud has
    /// them) colours.
    pub mesh: TriMesh,
    /// What happened.
    pub figures: SurfaceFigures,
}

/// [`reconstruct`], [`visibility()`], [`trim()`], [`clean()`], [`simplify()`],
/// normals. `views`: the cameras that the cloud names; without them, or
/// without the views of the points, nothing is carved.
pub fn surface(
    cloud: &PointCloud,
    views: &[SurfaceView],
    options: &SurfaceOptions,
    task: &Task,
) -> Result<Surface, MeshError> {
    let raw = reconstruct(cloud, &options.poisson, task)?;
    let seen = if options.trim.carve_views > 0 {
        visibility(&raw.mesh, cloud, views, raw.spacing, raw.cell)
    } else {
        Visibility::default()
    };
    task.check()?;
    let trimmed = trim(&raw.mesh, &raw.density, cloud, &seen, &options.trim, task)?;
    drop(seen);
    let faces_reconstructed = raw.mesh.triangles.len();
    let (depth, spacing, cell) = (raw.depth, raw.spacing, raw.cell);
    let (points_used, unknowns) = (raw.points_used, raw.unknowns);
    drop(raw);
    let faces_trimmed = trimmed.triangles.len();
    let cleaned = clean(&trimmed, spacing, &options.clean, task)?;
    drop(trimmed);
    let faces_cleaned = cleaned.triangles.len();
    let mut mesh = simplify(&cleaned, spacing, &options.simplify, task)?;
    if mesh.triangles.is_empty() {
        return Err(MeshError::NoSurface);
    }
    compute_normals(&mut mesh);
    let figures = SurfaceFigures {
        depth,
        spacing,
        cell,
        points_used,
        unknowns,
        faces_reconstructed,
        faces_trimmed,
        faces_cleaned,
        topology: topology(mesh.positions.len(), &mesh.triangles),
    };
    Ok(Surface { mesh, figures })
}
