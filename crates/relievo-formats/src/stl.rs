//! Binary STL.

use relievo_scene::TriMesh;

/// The triangles with their own normals, in the mesh's frame and unit.
pub fn encode_stl(mesh: &TriMesh) -> Vec<u8> {
    let mut out = vec![0; 80];
    // Not "solid", which would announce the text form.
    let title = b"binary STL written by Relievo";
    out[..title.len()].copy_from_slice(title);
    out.reserve(4 + 50 * mesh.triangles.len());
    out.extend((mesh.triangles.len() as u32).to_le_bytes());
    for t in &mesh.triangles {
        let [a, b, c] = t.map(|v| mesh.positions[v as usize]);
        for v in normal(a, b, c).into_iter().chain(a).chain(b).chain(c) {
            out.extend(v.to_le_bytes());
        }
        out.extend([0; 2]);
    }
    out
}

fn normal(a: [f32; 3], b: [f32; 3], c: [f32; 3]) -> [f32; 3] {
    let side = |p: [f32; 3]| -> [f64; 3] { std::array::from_fn(|k| f64::from(p[k] - a[k])) };
    let (u, v) = (side(b), side(c));
    let n = [
        u[1] * v[2] - u[2] * v[1],
        u[2] * v[0] - u[0] * v[2],
        u[0] * v[1] - u[1] * v[0],
    ];
    let norm = (n[0] * n[0] + n[1] * n[1] + n[2] * n[2]).sqrt();
    if norm > 0.0 {
        n.map(|v| (v / norm) as f32)
    } else {
        [0.0; 3]
    }
}
