//! A mesh made into a surface: manifold, oriented, without crumbs and spikes.

use crate::manifold::make_manifold;
use crate::normals::{area_vector, norm, sub};
use crate::orient::orient;
use crate::topology::{Sets, VertexFaces, edge_runs, sorted_half_edges};
use crate::trim::drop_unused_vertices;
use crate::{MeshError, fill_holes};
use rayon::prelude::*;
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

/// Height of a vertex over the middle of its neighbours, in mean distances of
/// those from it, that makes it a spike. A cube's corner has 0.7.
const SPIKE: f64 = 1.5;

/// Degenerate and repeated faces removed, orientation made consistent,
/// non-manifold edges and vertices cut, spikes flattened, small components
/// dropped (never the largest), holes closed on request, unused vertices
/// dropped. Vertices that are not finite go with their faces.
///
/// `spacing`: point spacing in the mesh's unit.
pub fn clean(
    mesh: &TriMesh,
    spacing: f32,
    options: &CleanOptions,
    task: &Task,
) -> Result<TriMesh, MeshError> {
    task.check()?;
    let mut result = mesh.clone();
    result.triangles.retain(|t| {
        t.iter().all(|&v| {
            let position = mesh.positions.get(v as usize);
            position.is_some_and(|p| p.iter().all(|x| x.is_finite()))
        })
    });
    drop_unused_vertices(&mut result);
    orient(&mut result);
    make_manifold(&mut result);
    task.check()?;
    drop_small_components(&mut result, options);
    for _ in 0..options.spike_rounds {
        if flatten_spikes(&mut result) == 0 {
            break;
        }
    }
    if options.fill_holes > 0.0 && fill_holes(&mut result, options.fill_holes * spacing) > 0 {
        make_manifold(&mut result);
    }
    drop_unused_vertices(&mut result);
    Ok(result)
}

fn drop_small_components(mesh: &mut TriMesh, options: &CleanOptions) {
    let mut sets = Sets::new(mesh.triangles.len());
    for run in edge_runs(&sorted_half_edges(&mesh.triangles)) {
        for pair in run.windows(2) {
            sets.join(pair[0].slot / 3, pair[1].slot / 3);
        }
    }
    let mut sizes = vec![(0.0f64, 0usize); mesh.triangles.len()];
    for (f, t) in mesh.triangles.iter().enumerate() {
        let size = &mut sizes[sets.find(f as u32) as usize];
        size.0 += norm(area_vector(&mesh.positions, *t));
        size.1 += 1;
    }
    let largest = sizes.iter().map(|s| s.0).fold(0.0, f64::max);
    let least = largest * f64::from(options.min_component_area);
    let mut face = 0;
    mesh.triangles.retain(|_| {
        let (area, faces) = sizes[sets.find(face) as usize];
        face += 1;
        area >= largest || (area >= least && faces >= options.min_component_faces)
    });
}

/// Moves vertices that stand out like needles to the middle of their
/// neighbours. Border vertices stay. Returns how many moved.
fn flatten_spikes(mesh: &mut TriMesh) -> usize {
    let fan = VertexFaces::new(mesh.positions.len(), &mesh.triangles);
    let moved: Vec<(usize, [f32; 3])> = (0..mesh.positions.len())
        .into_par_iter()
        .filter_map(|v| {
            let faces = fan.faces(v);
            // In a closed fan every neighbour is the next of one face and the
            // one after of another.
            let (mut balance, mut middle) = (0i64, [0.0f64; 3]);
            for &f in faces {
                let t = mesh.triangles[f as usize];
                let k = t.iter().position(|&x| x as usize == v)?;
                let (a, b) = (t[(k + 1) % 3], t[(k + 2) % 3]);
                balance += i64::from(a) - i64::from(b);
                for axis in 0..3 {
                    middle[axis] += f64::from(mesh.positions[a as usize][axis]);
                }
            }
            if faces.len() < 3 || balance != 0 {
                return None;
            }
            let middle = middle.map(|x| (x / faces.len() as f64) as f32);
            let mut radius = 0.0;
            for &f in faces {
                let t = mesh.triangles[f as usize];
                let k = t.iter().position(|&x| x as usize == v)?;
                radius += norm(sub(mesh.positions[t[(k + 1) % 3] as usize], middle));
            }
            let height = norm(sub(mesh.positions[v], middle));
            (height > SPIKE * radius / faces.len() as f64).then_some((v, middle))
        })
        .collect();
    for &(v, position) in &moved {
        mesh.positions[v] = position;
    }
    moved.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A flat square of n × n vertices.
    fn sheet(n: u32, at: f32) -> TriMesh {
        let mut mesh = TriMesh::default();
        for i in 0..n * n {
            mesh.positions
                .push([(i % n) as f32 + at, (i / n) as f32, 0.0]);
        }
        for i in 0..(n - 1) * (n - 1) {
            let a = i / (n - 1) * n + i % (n - 1);
            mesh.triangles.push([a, a + 1, a + n]);
            mesh.triangles.push([a + 1, a + n + 1, a + n]);
        }
        mesh
    }

    #[test]
    fn crumbs_go_and_the_rest_stays() {
        let mut mesh = sheet(30, 0.0);
        let faces = mesh.triangles.len();
        for (n, at) in [(4u32, 100.0), (20, 200.0)] {
            let first = mesh.positions.len() as u32;
            let more = sheet(n, at);
            mesh.positions.extend(more.positions);
            mesh.triangles
                .extend(more.triangles.iter().map(|t| t.map(|v| v + first)));
        }
        let result = clean(&mesh, 1.0, &CleanOptions::default(), &Task::silent()).unwrap();
        assert_eq!(result.triangles.len(), faces + 2 * 19 * 19);
        assert_eq!(result.positions.len(), 30 * 30 + 20 * 20);
        // Alone, even a crumb is the largest.
        let crumb = sheet(3, 0.0);
        let result = clean(&crumb, 1.0, &CleanOptions::default(), &Task::silent()).unwrap();
        assert_eq!(result, crumb);
    }

    #[test]
    fn a_needle_is_flattened_and_nothing_else() {
        let mut mesh = sheet(10, 0.0);
        mesh.positions[44][2] = 5.0;
        mesh.positions[66][2] = 0.5;
        let result = clean(&mesh, 1.0, &CleanOptions::default(), &Task::silent()).unwrap();
        assert!(result.positions[44][2].abs() < 0.1);
        assert_eq!(result.positions[66][2], 0.5);
        assert_eq!(result.positions[0], mesh.positions[0]);
    }

    #[test]
    fn garbage_does_not_panic() {
        let mut mesh = sheet(5, 0.0);
        mesh.positions[7][1] = f32::NAN;
        mesh.triangles.push([0, 1, 4_000_000]);
        let result = clean(&mesh, 1.0, &CleanOptions::default(), &Task::silent()).unwrap();
        result.check().unwrap();
        let empty = clean(
            &TriMesh::default(),
            1.0,
            &CleanOptions::default(),
            &Task::silent(),
        );
        assert!(empty.unwrap().triangles.is_empty());
    }
}
