//! Neighbouring faces turned the same way.

use crate::normals::{area_vector, norm};
use crate::topology::{edge_runs, sorted_half_edges};
use relievo_scene::TriMesh;

/// Flips faces so that the two faces of an edge run along it in opposite
/// directions. In each connected piece the orientation of the larger area
/// wins. Where a piece has only one side (a Möbius strip) a seam remains.
/// Returns how many faces were flipped.
pub(crate) fn orient(mesh: &mut TriMesh) -> usize {
    let edges = sorted_half_edges(&mesh.triangles);
    // Per half-edge: the face across and whether it runs the other way round.
    let mut across = vec![(u32::MAX, false); mesh.triangles.len() * 3];
    let start = |s: u32| mesh.triangles[s as usize / 3][s as usize % 3];
    let mut agree = true;
    for run in edge_runs(&edges) {
        if let [a, b] = run {
            let same = start(a.slot) == start(b.slot);
            agree &= !same;
            across[a.slot as usize] = (b.slot / 3, same);
            across[b.slot as usize] = (a.slot / 3, same);
        }
    }
    if agree {
        return 0;
    }
    let mut flip: Vec<Option<bool>> = vec![None; mesh.triangles.len()];
    let mut flipped = 0;
    for seed in 0..mesh.triangles.len() {
        if flip[seed].is_some() {
            continue;
        }
        flip[seed] = Some(false);
        let mut piece = vec![seed];
        let mut at = 0;
        while let Some(&face) = piece.get(at) {
            at += 1;
            let mine = flip[face] == Some(true);
            for &(other, same) in &across[3 * face..3 * face + 3] {
                if other != u32::MAX && flip[other as usize].is_none() {
                    flip[other as usize] = Some(mine != same);
                    piece.push(other as usize);
                }
            }
        }
        let (mut turned, mut left) = (0.0, 0.0);
        for &face in &piece {
            let area = norm(area_vector(&mesh.positions, mesh.triangles[face]));
            if flip[face] == Some(true) {
                turned += area;
            } else {
                left += area;
            }
        }
        for &face in &piece {
            if (flip[face] == Some(true)) != (turned > left) {
                mesh.triangles[face].swap(1, 2);
                flipped += 1;
            }
        }
    }
    flipped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology;

    #[test]
    fn one_flipped_face_is_turned_back() {
        let mut mesh = TriMesh {
            positions: vec![[0.0; 3], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
            triangles: vec![[0, 2, 1], [0, 1, 3], [1, 3, 2], [2, 0, 3]],
            ..TriMesh::default()
        };
        assert_eq!(topology(4, &mesh.triangles).flipped_edges, 3);
        let others = [mesh.triangles[0], mesh.triangles[1], mesh.triangles[3]];
        // The flipped face is the largest, but the others are more together.
        assert_eq!(orient(&mut mesh), 1);
        assert!(topology(4, &mesh.triangles).is_closed_manifold());
        assert_eq!(
            [mesh.triangles[0], mesh.triangles[1], mesh.triangles[3]],
            others
        );
    }
}
