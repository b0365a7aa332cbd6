//! PLY as we write it: binary little-endian, rows in bulk.

use crate::FormatError;
use relievo_scene::{PointCloud, TriMesh};
use std::fmt::Write;
use std::path::Path;

/// `float x y z nx ny nz, uchar red green blue confidence`, 28 bytes a point.
/// Panics where the arrays of the cloud differ in length.
pub fn encode_cloud(cloud: &PointCloud) -> Vec<u8> {
    let n = cloud.len();
    assert!(
        cloud.normals.len() == n && cloud.colors.len() == n && cloud.confidence.len() == n,
        "the arrays of a cloud have one length"
    );
    let mut out = format!(
        "ply\nformat binary_little_endian 1.0\nelement vertex {n}\n\
         property float x\nproperty float y\nproperty float z\n\
         property float nx\nproperty float ny\nproperty float nz\n\
         property uchar red\nproperty uchar green\nproperty uchar blue\n\
         property uchar confidence\nend_header\n"
    )
    .into_bytes();
    out.reserve_exact(28 * n);
    for i in 0..n {
        let mut row = [0; 28];
        let floats = cloud.positions[i].iter().chain(&cloud.normals[i]);
        for (slot, v) in row.chunks_exact_mut(4).zip(floats) {
            slot.copy_from_slice(&v.to_le_bytes());
        }
        row[24..27].copy_from_slice(&cloud.colors[i]);
        row[27] = cloud.confidence[i];
        out.extend_from_slice(&row);
    }
    out
}

/// Positions, normals and colours where the mesh has them, triangles as
/// `list uchar int vertex_indices`.
pub fn encode_mesh(mesh: &TriMesh) -> Vec<u8> {
    let n = mesh.positions.len();
    let normals = mesh.normals.len() == n && n > 0;
    let colors = mesh.colors.len() == n && n > 0;
    let mut header = format!(
        "ply\nformat binary_little_endian 1.0\nelement vertex {n}\n\
         property float x\nproperty float y\nproperty float z\n"
    );
    if normals {
        header.push_str("property float nx\nproperty float ny\nproperty float nz\n");
    }
    if colors {
        header.push_str("property uchar red\nproperty uchar green\nproperty uchar blue\n");
    }
    let _ = write!(
        header,
        "element face {}\nproperty list uchar int vertex_indices\nend_header\n",
        mesh.triangles.len()
    );
    let mut out = header.into_bytes();
    out.reserve_exact(n * 27 + mesh.triangles.len() * 13);
    for i in 0..n {
        for v in mesh.positions[i] {
            out.extend_from_slice(&v.to_le_bytes());
        }
        if normals {
            for v in mesh.normals[i] {
                out.extend_from_slice(&v.to_le_bytes());
            }
        }
        if colors {
            out.extend_from_slice(&mesh.colors[i]);
        }
    }
    for t in &mesh.triangles {
        out.push(3);
        for v in t {
            out.extend_from_slice(&v.to_le_bytes());
        }
    }
    out
}

/// [`encode_cloud`] to a file. Not atomic.
pub fn write_cloud(cloud: &PointCloud, path: &Path) -> Result<(), FormatError> {
    Ok(fs_err::write(path, encode_cloud(cloud))?)
}

/// [`encode_mesh`] to a file. Not atomic.
pub fn write_mesh(mesh: &TriMesh, path: &Path) -> Result<(), FormatError> {
    Ok(fs_err::write(path, encode_mesh(mesh))?)
}
