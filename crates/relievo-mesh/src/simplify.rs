//! Fewer faces within an error bound.

use crate::manifold::make_manifold;
use crate::{MeshError, compute_normals};
use relievo_scene::TriMesh;
use relievo_task::Task;

relievo_task::options! {
    /// Options of [`simplify`].
    pub struct SimplifyOptions {
        /// Largest distance that the surface may move.
        max_error: f32 = 1.0, "point spacings", "the noise of a stereo cloud; lets the target be reached";
        /// Faces to aim at; the error bound comes first. 0: as few as it allows.
        target_faces: usize = 500_000, "faces", "texturing time grows with faces";
    }
}

/// Collapses edges (quadric error metric, Garland & Heckbert 1997, through
/// meshoptimizer) until `target_faces` are left or the next collapse would
/// move the surface by more than `max_error · spacing`. Borders stay where
/// they are within the same bound. The result is manifold again and has
/// normals.
///
/// `spacing`: point spacing in the mesh's unit, see [`crate::point_spacing`].
pub fn simplify(
    mesh: &TriMesh,
    spacing: f32,
    options: &SimplifyOptions,
    task: &Task,
) -> Result<TriMesh, MeshError> {
    task.check()?;
    if mesh.triangles.len() <= options.target_faces {
        return Ok(mesh.clone());
    }
    let indices: &[u32] = bytemuck::cast_slice(&mesh.triangles);
    let bytes: &[u8] = bytemuck::cast_slice(&mesh.positions);
    let Ok(vertices) = meshopt::VertexDataAdapter::new(bytes, 12, 0) else {
        return Ok(mesh.clone());
    };
    let kept = meshopt::simplify(
        indices,
        &vertices,
        options.target_faces * 3,
        options.max_error * spacing,
        meshopt::SimplifyOptions::ErrorAbsolute,
        None,
    );
    task.check()?;
    let mut result = TriMesh {
        positions: mesh.positions.clone(),
        colors: mesh.colors.clone(),
        normals: Vec::new(),
        triangles: kept.chunks_exact(3).map(|t| [t[0], t[1], t[2]]).collect(),
    };
    make_manifold(&mut result);
    compute_normals(&mut result);
    Ok(result)
}
