//! Even samples of a mesh.

use relievo_scene::TriMesh;
use relievo_task::{Rng, RngCore};

/// Points spread evenly over a surface.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// Positions.
    pub points: Vec<[f64; 3]>,
    /// Unit face normals.
    pub normals: Vec<[f64; 3]>,
    /// Face of each sample.
    pub faces: Vec<u32>,
}

/// `n` points by area, over the faces for which `take` holds.
pub fn sample_mesh(
    mesh: &TriMesh,
    n: usize,
    rng: &mut Rng,
    take: impl Fn(usize) -> bool,
) -> Samples {
    let mut cumulative = Vec::new();
    let mut faces = Vec::new();
    let mut total = 0.0;
    for (i, _) in mesh.triangles.iter().enumerate().filter(|(i, _)| take(*i)) {
        total += area(&corners(mesh, i));
        cumulative.push(total);
        faces.push(i as u32);
    }
    let mut samples = Samples::default();
    if !(total > 0.0) || !total.is_finite() {
        return samples;
    }
    for _ in 0..n {
        let place = uniform(rng) * total;
        let at = cumulative.partition_point(|c| *c <= place);
        let face = faces[at.min(faces.len() - 1)];
        let [a, b, c] = corners(mesh, face as usize);
        let (mut u, mut w) = (uniform(rng), uniform(rng));
        if u + w > 1.0 {
            (u, w) = (1.0 - u, 1.0 - w);
        }
        let (ab, ac) = (sub(b, a), sub(c, a));
        samples
            .points
            .push(std::array::from_fn(|k| a[k] + u * ab[k] + w * ac[k]));
        let n = cross(ab, ac);
        let length = norm(n) + 1e-30;
        samples.normals.push(n.map(|v| v / length));
        samples.faces.push(face);
    }
    samples
}

/// Area of the faces for which `take` holds.
pub fn mesh_area(mesh: &TriMesh, take: impl Fn(usize) -> bool) -> f64 {
    (0..mesh.triangles.len())
        .filter(|i| take(*i))
        .map(|i| area(&corners(mesh, i)))
        .sum()
}

fn uniform(rng: &mut Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

fn corners(mesh: &TriMesh, face: usize) -> [[f64; 3]; 3] {
    mesh.triangles[face].map(|v| mesh.positions[v as usize].map(f64::from))
}

fn area([a, b, c]: &[[f64; 3]; 3]) -> f64 {
    norm(cross(sub(*b, *a), sub(*c, *a))) / 2.0
}

pub(crate) fn sub(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|k| a[k] - b[k])
}

pub(crate) fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(crate) fn norm(a: [f64; 3]) -> f64 {
    dot(a, a).sqrt()
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_lie_on_the_faces_in_proportion_to_area() {
        let mesh = TriMesh {
            positions: vec![
                [0.0; 3],
                [2.0, 0.0, 0.0],
                [0.0, 2.0, 0.0],
                [0.0, 0.0, 5.0],
                [1.0, 0.0, 5.0],
                [0.0, 1.0, 5.0],
            ],
            triangles: vec![[0, 1, 2], [3, 4, 5], [0, 0, 1]],
            ..TriMesh::default()
        };
        let mut rng = relievo_task::rng(0, "eval", "test");
        let s = sample_mesh(&mesh, 20000, &mut rng, |_| true);
        let low = s.points.iter().filter(|p| p[2] == 0.0).count();
        assert!((low as f64 / 20000.0 - 0.8).abs() < 0.02);
        assert!(
            s.points
                .iter()
                .all(|p| p[0] >= 0.0 && p[1] >= 0.0 && p[0] + p[1] <= 2.0 + 1e-9)
        );
        let mean_x = s
            .points
            .iter()
            .filter(|p| p[2] == 0.0)
            .map(|p| p[0])
            .sum::<f64>()
            / low as f64;
        assert!((mean_x - 2.0 / 3.0).abs() < 0.02);
        assert!((mesh_area(&mesh, |i| i == 0) - 2.0).abs() < 1e-12);
        assert!(
            sample_mesh(&mesh, 5, &mut rng, |i| i == 2)
                .points
                .is_empty()
        );
    }
}
