//! Fewer faces within an error bound.

use crate::blocks::{Block, face_blocks};
use crate::manifold::make_manifold;
use crate::{MeshError, compute_normals};
use relievo_scene::TriMesh;
use relievo_task::{Task, ordered};

relievo_task::options! {
    /// Options of [`simplify`].
    pub struct SimplifyOptions {
        /// Largest distance that the surface may move.
        max_error: f32 = 1.0, "point spacings", "the noise of a stereo cloud; lets the target be reached";
        /// Faces to aim at; the error bound comes first. 0: as few as it allows.
        target_faces: usize = 500_000, "faces", "texturing time grows with faces";
    }
}

/// Faces of a block at most: a unit of parallel work, fixed by the data.
const BLOCK_FACES: usize = 100_000;
/// The first round goes as far as this share of the error bound, everywhere
/// alike, so that faces stay where the surface has shape …
const FIRST_ERROR: f32 = 0.25;
/// … but no block goes below this share of its part of the target.
const FIRST_TARGET: f64 = 0.8;

/// Collapses edges (quadric error metric, Garland & Heckbert 1997, through
/// meshoptimizer) until `target_faces` are left or the next collapse would
/// move the surface by more than `max_error · spacing`. Borders stay where
/// they are within the same bound. The result is manifold again and has
/// normals.
///
/// Large meshes are reduced in blocks, in parallel: vertices between blocks
/// stay in one round and lie inside blocks in the next, whose cuts run
/// elsewhere.
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
    let bound = options.max_error * spacing;
    let mut triangles: Vec<[u32; 3]> = Vec::new();
    let mut given = mesh.triangles.as_slice();
    if given.len() > BLOCK_FACES {
        let share = FIRST_TARGET * options.target_faces as f64 / given.len() as f64;
        triangles = reduce(mesh, given, 0, share, FIRST_ERROR * bound);
        given = &triangles;
        task.check()?;
    }
    if given.len() > options.target_faces {
        let share = options.target_faces as f64 / given.len() as f64;
        triangles = reduce(mesh, given, 1, share, bound);
        task.check()?;
    }
    let mut result = TriMesh {
        positions: mesh.positions.clone(),
        colors: mesh.colors.clone(),
        normals: Vec::new(),
        triangles,
    };
    make_manifold(&mut result);
    compute_normals(&mut result);
    Ok(result)
}

/// One round: every block to `share` of its faces or the error bound.
fn reduce(
    mesh: &TriMesh,
    triangles: &[[u32; 3]],
    round: usize,
    share: f64,
    bound: f32,
) -> Vec<[u32; 3]> {
    let blocks = face_blocks(&mesh.positions, triangles, BLOCK_FACES, round);
    ordered::map(&blocks, |block| {
        let target = (share * block.triangles.len() as f64).round() as usize;
        reduce_block(mesh, block, target, bound)
    })
    .concat()
}

fn reduce_block(mesh: &TriMesh, block: &Block, target: usize, bound: f32) -> Vec<[u32; 3]> {
    let positions: Vec<[f32; 3]> = block
        .vertices
        .iter()
        .map(|&v| mesh.positions[v as usize])
        .collect();
    let global = |t: [u32; 3]| t.map(|v| block.vertices[v as usize]);
    let bytes: &[u8] = bytemuck::cast_slice(&positions);
    let Ok(vertices) = meshopt::VertexDataAdapter::new(bytes, 12, 0) else {
        return block.triangles.iter().map(|t| global(*t)).collect();
    };
    let kept = meshopt::simplify_with_locks(
        bytemuck::cast_slice(&block.triangles),
        &vertices,
        &block.shared,
        target * 3,
        bound,
        meshopt::SimplifyOptions::ErrorAbsolute,
        None,
    );
    kept.chunks_exact(3)
        .map(|t| global([t[0], t[1], t[2]]))
        .collect()
}
