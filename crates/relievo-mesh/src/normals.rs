//! Vertex normals.

use crate::topology::VertexFaces;
use rayon::prelude::*;
use relievo_scene::TriMesh;

/// Sets `mesh.normals`: the mean of the adjoining faces' normals, weighted by
/// the corner's angle (Thürmer & Wüthrich 1998), so that the way a flat piece
/// is triangulated does not show. A vertex without faces of any area gets +z.
pub fn compute_normals(mesh: &mut TriMesh) {
    mesh.normals = vertex_normals(mesh);
}

/// What [`compute_normals`] sets.
pub(crate) fn vertex_normals(mesh: &TriMesh) -> Vec<[f32; 3]> {
    let fan = VertexFaces::new(mesh.positions.len(), &mesh.triangles);
    let (positions, triangles) = (&mesh.positions, &mesh.triangles);
    (0..positions.len())
        .into_par_iter()
        .map(|v| {
            let mut sum = [0.0f64; 3];
            for &f in fan.faces(v) {
                let t = triangles[f as usize];
                let Some(k) = t.iter().position(|&x| x as usize == v) else {
                    continue;
                };
                let a = sub(positions[t[(k + 1) % 3] as usize], positions[v]);
                let b = sub(positions[t[(k + 2) % 3] as usize], positions[v]);
                let n = cross(a, b);
                let sine = norm(n);
                if sine > 0.0 {
                    let angle = sine.atan2(dot(a, b));
                    for i in 0..3 {
                        sum[i] += n[i] / sine * angle;
                    }
                }
            }
            let length = norm(sum);
            if length > 0.0 {
                sum.map(|x| (x / length) as f32)
            } else {
                [0.0, 0.0, 1.0]
            }
        })
        .collect()
}

/// `a − b` in f64.
pub(crate) fn sub(a: [f32; 3], b: [f32; 3]) -> [f64; 3] {
    [0, 1, 2].map(|i| f64::from(a[i]) - f64::from(b[i]))
}

/// The cross product.
pub(crate) fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}

/// The dot product.
pub(crate) fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// The length.
pub(crate) fn norm(a: [f64; 3]) -> f64 {
    dot(a, a).sqrt()
}

/// Twice the area's vector of a triangle.
pub(crate) fn area_vector(positions: &[[f32; 3]], t: [u32; 3]) -> [f64; 3] {
    let p = positions[t[0] as usize];
    cross(
        sub(positions[t[1] as usize], p),
        sub(positions[t[2] as usize], p),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cube_corner_points_along_the_diagonal_however_its_faces_are_cut() {
        // Corner at the origin, three unit squares, one cut the other way.
        let mut mesh = TriMesh {
            positions: vec![
                [0.0, 0.0, 0.0],
                [1.0, 0.0, 0.0],
                [1.0, 1.0, 0.0],
                [0.0, 1.0, 0.0],
                [0.0, 1.0, 1.0],
                [0.0, 0.0, 1.0],
                [1.0, 0.0, 1.0],
            ],
            triangles: vec![
                [0, 3, 2],
                [0, 2, 1],
                [0, 5, 3],
                [3, 5, 4],
                [0, 1, 5],
                [1, 6, 5],
            ],
            ..TriMesh::default()
        };
        compute_normals(&mut mesh);
        let e = -1.0 / 3.0f32.sqrt();
        for i in 0..3 {
            assert!(
                (mesh.normals[0][i] - e).abs() < 1e-6,
                "{:?}",
                mesh.normals[0]
            );
        }
    }

    #[test]
    fn a_face_without_area_gives_no_nan() {
        let mut mesh = TriMesh {
            positions: vec![[0.0; 3], [0.0; 3], [0.0; 3], [5.0; 3]],
            triangles: vec![[0, 1, 2]],
            ..TriMesh::default()
        };
        compute_normals(&mut mesh);
        assert!(mesh.normals.iter().all(|n| *n == [0.0, 0.0, 1.0]));
    }
}
