//! PLY: round trips, foreign encodings, hostile files.

mod hostile;

use hostile::mutations;
use relievo_formats::ply;
use relievo_scene::{PointCloud, TriMesh};

fn cloud(n: usize) -> PointCloud {
    let f = |i: usize, k: f32| (i as f32 * k).sin();
    PointCloud {
        positions: (0..n).map(|i| [f(i, 0.1), f(i, 0.2), f(i, 0.3)]).collect(),
        normals: (0..n).map(|i| [f(i, 1.1), f(i, 1.2), f(i, 1.3)]).collect(),
        colors: (0..n).map(|i| [i as u8, 7, (i * 3) as u8]).collect(),
        confidence: (0..n).map(|i| (i * 5) as u8).collect(),
        view_starts: vec![],
        view_ids: vec![],
    }
}

fn mesh() -> TriMesh {
    TriMesh {
        positions: vec![
            [0.0, 0.0, 0.0],
            [1.0, 0.0, 0.0],
            [1.0, 1.0, 0.0],
            [0.0, 1.0, 0.5],
        ],
        normals: vec![[0.0, 0.0, 1.0]; 4],
        colors: vec![[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12]],
        triangles: vec![[0, 1, 2], [0, 2, 3]],
    }
}

#[test]
fn a_cloud_reads_back_from_28_bytes_a_point() {
    let want = cloud(100);
    let bytes = ply::encode_cloud(&want);
    let header_end = bytes
        .windows(11)
        .position(|w| w == b"end_header\n")
        .unwrap()
        + 11;
    assert_eq!(bytes.len() - header_end, 28 * 100);
    assert_eq!(ply::decode_cloud(&bytes).unwrap(), want);
}

#[test]
fn a_mesh_reads_back_with_and_without_attributes() {
    let full = mesh();
    assert_eq!(ply::decode_mesh(&ply::encode_mesh(&full)).unwrap(), full);
    let bare = TriMesh {
        normals: vec![],
        colors: vec![],
        ..full
    };
    assert_eq!(ply::decode_mesh(&ply::encode_mesh(&bare)).unwrap(), bare);
}

#[test]
fn ascii_with_polygons_comments_and_foreign_order_is_read() {
    let text = b"ply\r\nformat ascii 1.0\r\ncomment made by hand\r\nelement vertex 4\r\n\
        property uchar red\r\nproperty uchar green\r\nproperty uchar blue\r\n\
        property double z\r\nproperty double y\r\nproperty float x\r\n\
        element edge 1\r\nproperty int a\r\nproperty int b\r\n\
        element face 1\r\nproperty int label\r\nproperty list uchar uint vertex_index\r\nend_header\r\n\
        9 8 7 0 0 0\r\n9 8 7 0 0 1\r\n9 8 7 0 1 1\r\n9 8 7 0 1 0\r\n0 1\r\n5 4 0 1 2 3";
    let mesh = ply::decode_mesh(text).unwrap();
    assert_eq!(mesh.positions[1], [1.0, 0.0, 0.0]);
    assert_eq!(mesh.triangles, [[0, 1, 2], [0, 2, 3]]);
    assert_eq!(mesh.colors[3], [9, 8, 7]);
    let columns = ply::decode_columns(text, "face", &["label", "other"]).unwrap();
    assert_eq!(columns, [Some(vec![5.0]), None]);
}

#[test]
fn big_endian_and_float_colours_are_read() {
    let mut bytes = b"ply\nformat binary_big_endian 1.0\nelement vertex 1\nproperty float x\n\
        property float y\nproperty float z\nproperty float red\nproperty float green\n\
        property float blue\nproperty float confidence\nend_header\n"
        .to_vec();
    for v in [1.0_f32, -2.0, 3.0, 1.0, 0.5, 0.0, 0.2] {
        bytes.extend(v.to_be_bytes());
    }
    let cloud = ply::decode_cloud(&bytes).unwrap();
    assert_eq!(cloud.positions, [[1.0, -2.0, 3.0]]);
    assert_eq!(cloud.colors, [[255, 128, 0]]);
    assert_eq!(cloud.confidence, [51]);
    assert!(!ply::has_normals(&bytes).unwrap());
}

#[test]
fn hostile_headers_and_bodies_are_refused() {
    let header = |element: &str, property: &str| {
        format!(
            "ply\nformat binary_little_endian 1.0\nelement vertex 0\nproperty float x\n\
             property float y\nproperty float z\nelement {element}\n{property}end_header\n"
        )
    };
    let list = "property list uint float vertex_indices\n";
    for text in [
        header("face 18446744073709551615", list),
        header("face 99999999999999999999999", list),
        header("face -1", list),
        header("face 3000000000", "property uchar a\n"),
    ] {
        assert!(ply::decode_mesh(text.as_bytes()).is_err(), "{text}");
    }
    // No properties, a huge count: nothing to read, nothing to allocate.
    assert!(ply::decode_mesh(header("face 3000000000", "").as_bytes()).is_ok());
    let mut long_list = header("face 1", list).into_bytes();
    long_list.extend(u32::MAX.to_le_bytes());
    assert!(ply::decode_mesh(&long_list).is_err());
    assert!(ply::decode_mesh(b"ply\nformat ascii 1.0\nelement vertex 1\n").is_err());
    assert!(ply::decode_mesh(b"solid stl\n").is_err());

    for bytes in mutations(&ply::encode_mesh(&mesh()), 600) {
        if let Ok(m) = ply::decode_mesh(&bytes) {
            m.check().unwrap();
        }
    }
    for bytes in mutations(&ply::encode_cloud(&cloud(20)), 400) {
        if let Ok(c) = ply::decode_cloud(&bytes) {
            c.check().unwrap();
        }
    }
}
