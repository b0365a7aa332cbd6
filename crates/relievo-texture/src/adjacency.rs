//! Which faces share an edge.

use rayon::prelude::*;
use relievo_scene::TriMesh;

/// No face across this edge.
pub(crate) const NONE: u32 = u32::MAX;

/// Per face and edge (edge k runs from corner k to corner k + 1) the one face
/// across it; [`NONE`] at borders and where more than two faces meet.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Adjacency {
    pub(crate) across: Vec<[u32; 3]>,
}

impl Adjacency {
    pub(crate) fn new(mesh: &TriMesh) -> Self {
        let mut edges: Vec<(u32, u32, u32, u8)> = mesh
            .triangles
            .par_iter()
            .enumerate()
            .with_min_len(4096)
            .flat_map_iter(|(f, t)| {
                (0..3_usize).map(move |k| {
                    let (a, b) = (t[k], t[(k + 1) % 3]);
                    (a.min(b), a.max(b), f as u32, k as u8)
                })
            })
            .collect();
        edges.par_sort_unstable();
        let mut across = vec![[NONE; 3]; mesh.triangles.len()];
        for group in edges.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            if let &[(_, _, f, i), (_, _, g, j)] = group
                && f != g
            {
                across[f as usize][i as usize] = g;
                across[g as usize][j as usize] = f;
            }
        }
        Self { across }
    }
}

/// Connected parts of equal label; per face the part's number, in order of the
/// part's lowest face. Faces labelled [`NONE`] get [`NONE`].
pub(crate) fn components(adjacency: &Adjacency, label: &[u32]) -> (Vec<u32>, Vec<Vec<u32>>) {
    let mut part = vec![NONE; label.len()];
    let mut parts: Vec<Vec<u32>> = Vec::new();
    for seed in 0..label.len() {
        if label[seed] == NONE || part[seed] != NONE {
            continue;
        }
        let number = parts.len() as u32;
        let mut faces = vec![seed as u32];
        part[seed] = number;
        let mut next = 0;
        while next < faces.len() {
            let f = faces[next] as usize;
            next += 1;
            for &g in &adjacency.across[f] {
                if g != NONE && part[g as usize] == NONE && label[g as usize] == label[f] {
                    part[g as usize] = number;
                    faces.push(g);
                }
            }
        }
        parts.push(faces);
    }
    (part, parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fans_strips_and_non_manifold_edges() {
        let mesh = TriMesh {
            positions: vec![[0.0; 3]; 6],
            triangles: vec![[0, 1, 2], [2, 1, 3], [4, 1, 3], [3, 1, 5]],
            ..TriMesh::default()
        };
        let a = Adjacency::new(&mesh);
        assert_eq!(a.across[0], [NONE, 1, NONE]);
        // Three faces meet at edge 1–3: none is across.
        assert_eq!(a.across[1], [0, NONE, NONE]);
        let (part, parts) = components(&a, &[7, 7, 7, NONE]);
        assert_eq!(part, [0, 0, 1, NONE]);
        assert_eq!(parts, vec![vec![0, 1], vec![2]]);
    }
}
