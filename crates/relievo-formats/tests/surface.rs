//! glTF, OBJ and STL.

mod hostile;

use hostile::mutations;
use relievo_formats::{gltf, obj, stl};
use relievo_image::Raster;
use relievo_scene::{TextureAtlas, TexturedMesh, TriMesh};
use serde_json::{Value, json};

/// Two pages, a seam between the triangles of each.
fn textured() -> TexturedMesh {
    let uv = |a: f32| [[a, 0.1], [a + 0.2, 0.1], [a + 0.2, 0.3]];
    TexturedMesh {
        mesh: TriMesh {
            positions: vec![
                [0.0, 0.0, 0.0],
                [1.0, 0.0, 0.0],
                [1.0, 1.0, 0.3],
                [0.0, 1.0, 0.0],
                [0.5, 0.5, -1.0],
            ],
            normals: vec![],
            colors: vec![
                [10, 20, 30],
                [200, 100, 50],
                [0, 255, 1],
                [7, 7, 7],
                [128, 128, 128],
            ],
            triangles: vec![[0, 1, 2], [0, 2, 3], [1, 0, 4], [4, 2, 1]],
        },
        atlas: TextureAtlas {
            pages: vec![Raster::filled(4, 4, [1; 3]); 2],
            uv: vec![uv(0.0), uv(0.3), uv(0.5), uv(0.7)],
            page: vec![0, 0, 1, 1],
            seen: vec![true; 4],
        },
    }
}

#[test]
fn a_textured_mesh_reads_back_from_glb() {
    let want = textured();
    let pages = [b"first".to_vec(), b"second page".to_vec()];
    let extras = json!({ "gltf_from_model": [[1.0, 0.0, 0.0, 0.0]] });
    let glb = gltf::encode_glb(&want, &pages, "image/jpeg", &extras).unwrap();
    let got = gltf::decode_glb(&glb).unwrap();
    assert_eq!(got.extras, extras);
    assert_eq!(got.images[1].bytes, pages[1]);
    assert_eq!(got.image, [Some(0), Some(0), Some(1), Some(1)]);
    assert_eq!(got.uv, want.atlas.uv);
    for (a, b) in got.mesh.triangles.iter().zip(&want.mesh.triangles) {
        for k in 0..3 {
            assert_eq!(
                got.mesh.positions[a[k] as usize],
                want.mesh.positions[b[k] as usize]
            );
        }
    }
    assert_eq!(
        glb,
        gltf::encode_glb(&want, &pages, "image/jpeg", &extras).unwrap()
    );
    for bytes in mutations(&glb, 600) {
        if let Ok(m) = gltf::decode_glb(&bytes) {
            m.mesh.check().unwrap();
        }
    }
}

#[test]
fn vertex_colours_survive_linear_light() {
    let want = textured();
    let glb = gltf::encode_glb(&want, &[], "", &Value::Null).unwrap();
    let got = gltf::decode_glb(&glb).unwrap();
    let corner = |m: &TriMesh| -> Vec<_> {
        let at = |v: &u32| (m.positions[*v as usize], m.colors[*v as usize]);
        m.triangles.as_flattened().iter().map(at).collect()
    };
    assert_eq!(corner(&got.mesh), corner(&want.mesh));
    let empty = TexturedMesh::default();
    assert!(gltf::encode_glb(&empty, &[], "", &Value::Null).is_err());
}

#[test]
fn obj_names_pages_and_turns_v_up() {
    let names = ["a-0.png".to_owned(), "a-1.png".to_owned()];
    let (text, mtl) = obj::encode_obj(&textured(), "a.mtl", &names);
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("mtllib a.mtl") && text.contains("usemtl page1"));
    assert!(text.contains("vt 0 0.9\n"));
    assert_eq!(text.lines().filter(|l| l.starts_with("f ")).count(), 4);
    assert!(String::from_utf8(mtl).unwrap().contains("map_Kd a-1.png"));
}

#[test]
fn stl_has_fifty_bytes_a_triangle() {
    let bytes = stl::encode_stl(&textured().mesh);
    assert_eq!(bytes.len(), 84 + 4 * 50);
    assert!(!bytes.starts_with(b"solid"));
}
