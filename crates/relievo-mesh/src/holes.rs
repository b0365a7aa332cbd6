//! Small holes closed.

use crate::normals::{norm, sub};
use crate::topology::{edge_runs, sorted_half_edges};
use relievo_scene::TriMesh;

/// Closes border loops with a perimeter of at most `max_perimeter` (in the
/// mesh's unit) by a fan around their mean. Loops that touch themselves stay.
/// Positions, colours; normals are dropped. Returns how many were closed.
pub fn fill_holes(mesh: &mut TriMesh, max_perimeter: f32) -> usize {
    let edges = sorted_half_edges(&mesh.triangles);
    // The border runs against the faces: from the end of a half-edge to its start.
    let mut next = vec![u32::MAX; mesh.positions.len()];
    let mut repeated = vec![false; mesh.positions.len()];
    for run in edge_runs(&edges) {
        if let [e] = run {
            let t = mesh.triangles[e.slot as usize / 3];
            let (from, to) = (t[(e.slot as usize + 1) % 3], t[e.slot as usize % 3]);
            repeated[from as usize] |= next[from as usize] != u32::MAX;
            next[from as usize] = to;
        }
    }
    let mut seen = vec![false; next.len()];
    let mut filled = 0;
    for start in 0..next.len() {
        let (mut ring, mut length, mut simple) = (Vec::new(), 0.0, true);
        let mut at = start;
        while next[at] != u32::MAX && !seen[at] {
            seen[at] = true;
            simple &= !repeated[at];
            ring.push(at as u32);
            let to = next[at] as usize;
            length += norm(sub(mesh.positions[to], mesh.positions[at]));
            at = to;
        }
        if ring.len() < 3 || at != start || !simple || length > f64::from(max_perimeter) {
            continue;
        }
        filled += 1;
        let share = 1.0 / ring.len() as f64;
        let mean = |value: &dyn Fn(u32) -> [f64; 3]| {
            ring.iter().fold([0.0; 3], |sum, &v| {
                let x = value(v);
                [0, 1, 2].map(|k| sum[k] + share * x[k])
            })
        };
        let middle = mean(&|v| mesh.positions[v as usize].map(f64::from));
        if !mesh.colors.is_empty() {
            let color = mean(&|v| mesh.colors[v as usize].map(f64::from));
            mesh.colors.push(color.map(|c| c.round() as u8));
        }
        let centre = mesh.positions.len() as u32;
        mesh.positions.push(middle.map(|x| x as f32));
        mesh.triangles
            .extend((0..ring.len()).map(|k| [centre, ring[k], ring[(k + 1) % ring.len()]]));
    }
    if filled > 0 {
        mesh.normals.clear();
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology;

    #[test]
    fn a_missing_face_comes_back() {
        let mut mesh = TriMesh {
            positions: vec![[0.0; 3], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
            triangles: vec![[0, 2, 1], [0, 1, 3], [2, 0, 3]],
            ..TriMesh::default()
        };
        let mut untouched = mesh.clone();
        assert_eq!(fill_holes(&mut untouched, 4.0), 0);
        assert_eq!(fill_holes(&mut mesh, 4.5), 1);
        let t = topology(mesh.positions.len(), &mesh.triangles);
        assert!(t.is_closed_manifold() && t.euler() == 2, "{t:?}");
    }
}
