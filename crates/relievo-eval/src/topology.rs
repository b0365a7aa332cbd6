//! What can be said of a mesh without truth.

use rayon::prelude::*;
use relievo_scene::TriMesh;
use serde::Serialize;

/// Counts of edges and pieces.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Topology {
    /// Vertices, unused ones included.
    pub vertices: usize,
    /// Triangles.
    pub faces: usize,
    /// Edges with one face.
    pub open_edges: usize,
    /// Edges with more than two faces.
    pub nonmanifold_edges: usize,
    /// Pieces connected by edges or corners.
    pub components: usize,
    /// Share of the faces in the largest piece.
    pub biggest_component_share: f64,
    /// Every edge has two faces.
    pub watertight: bool,
    /// The two faces of every edge run along it in opposite directions.
    pub winding_consistent: bool,
    /// Vertices in use − edges + faces.
    pub euler_number: i64,
}

impl Topology {
    /// Of a mesh without repeated corners.
    pub fn of(mesh: &TriMesh) -> Self {
        // (low corner, high corner, runs from low to high)
        let mut edges: Vec<(u32, u32, bool)> = mesh
            .triangles
            .iter()
            .flat_map(|&[a, b, c]| [(a, b), (b, c), (c, a)])
            .map(|(a, b)| (a.min(b), a.max(b), a < b))
            .collect();
        edges.par_sort_unstable();
        let mut out = Self {
            vertices: mesh.positions.len(),
            faces: mesh.triangles.len(),
            winding_consistent: true,
            ..Self::default()
        };
        let mut unique = 0_i64;
        for run in edges.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            unique += 1;
            out.open_edges += usize::from(run.len() == 1);
            out.nonmanifold_edges += usize::from(run.len() > 2);
            if run.len() == 2 {
                out.winding_consistent &= run[0].2 != run[1].2;
            }
        }
        out.watertight = out.open_edges == 0 && out.nonmanifold_edges == 0 && out.faces > 0;

        let mut parent: Vec<u32> = (0..mesh.positions.len() as u32).collect();
        let mut used = vec![false; parent.len()];
        for &[a, b, c] in &mesh.triangles {
            for v in [a, b, c] {
                used[v as usize] = true;
            }
            for (x, y) in [(a, b), (b, c)] {
                let (x, y) = (root(&mut parent, x), root(&mut parent, y));
                parent[x.max(y) as usize] = x.min(y);
            }
        }
        let mut faces_of = vec![0_usize; parent.len()];
        for t in &mesh.triangles {
            faces_of[root(&mut parent, t[0]) as usize] += 1;
        }
        out.components = faces_of.iter().filter(|n| **n > 0).count();
        let biggest = faces_of.iter().copied().max().unwrap_or(0);
        out.biggest_component_share = biggest as f64 / out.faces.max(1) as f64;
        let used = used.iter().filter(|u| **u).count() as i64;
        out.euler_number = used - unique + out.faces as i64;
        out
    }
}

fn root(parent: &mut [u32], mut v: u32) -> u32 {
    while parent[v as usize] != v {
        parent[v as usize] = parent[parent[v as usize] as usize];
        v = parent[v as usize];
    }
    v
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tetrahedron_a_flap_and_a_loose_triangle() {
        let mut mesh = TriMesh {
            positions: vec![[0.0; 3]; 9],
            triangles: vec![[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]],
            ..TriMesh::default()
        };
        let t = Topology::of(&mesh);
        assert!(t.watertight && t.winding_consistent);
        assert_eq!((t.euler_number, t.components), (2, 1));
        mesh.triangles.push([0, 1, 4]);
        mesh.triangles.push([5, 6, 7]);
        let t = Topology::of(&mesh);
        assert_eq!((t.open_edges, t.nonmanifold_edges, t.components), (5, 1, 2));
        assert!(!t.watertight && (t.biggest_component_share - 5.0 / 6.0).abs() < 1e-12);
        mesh.triangles = vec![[0, 1, 2], [0, 1, 3]];
        assert!(!Topology::of(&mesh).winding_consistent);
        assert_eq!(Topology::of(&TriMesh::default()).components, 0);
    }
}
