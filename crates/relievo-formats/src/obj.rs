//! Wavefront OBJ with MTL.

use relievo_scene::TexturedMesh;
use std::fmt::Write;

/// The bytes of the OBJ and of its MTL. `mtl_name` and `page_names` are the
/// files beside it; one material per page. Without pages the vertices carry
/// their colours (0 … 1 after the position, as MeshLab and Blender read them).
/// v runs up in OBJ, so it is 1 − v of the atlas.
pub fn encode_obj(
    textured: &TexturedMesh,
    mtl_name: &str,
    page_names: &[String],
) -> (Vec<u8>, Vec<u8>) {
    let (mesh, atlas) = (&textured.mesh, &textured.atlas);
    let n = mesh.positions.len();
    let normals = mesh.normals.len() == n && n > 0;
    let paged = !page_names.is_empty() && atlas.uv.len() == mesh.triangles.len();
    let colors = !paged && mesh.colors.len() == n && n > 0;
    let mut obj = String::from("# Relievo\n");
    let mut mtl = String::from("# Relievo\n");
    if paged {
        let _ = writeln!(obj, "mtllib {mtl_name}");
    }
    for (i, [x, y, z]) in mesh.positions.iter().enumerate() {
        let _ = write!(obj, "v {x} {y} {z}");
        if colors {
            let [r, g, b] = mesh.colors[i].map(|c| f32::from(c) / 255.0);
            let _ = write!(obj, " {r:.4} {g:.4} {b:.4}");
        }
        obj.push('\n');
    }
    if normals {
        for [x, y, z] in &mesh.normals {
            let _ = writeln!(obj, "vn {x:.5} {y:.5} {z:.5}");
        }
    }
    if paged {
        for [u, v] in atlas.uv.as_flattened() {
            let _ = writeln!(obj, "vt {u} {}", 1.0 - v);
        }
    }
    let face = |obj: &mut String, i: usize| {
        obj.push('f');
        for (k, v) in mesh.triangles[i].iter().enumerate() {
            let v = v + 1;
            let _ = match (paged, normals) {
                (true, true) => write!(obj, " {v}/{}/{v}", 3 * i + k + 1),
                (true, false) => write!(obj, " {v}/{}", 3 * i + k + 1),
                (false, true) => write!(obj, " {v}//{v}"),
                (false, false) => write!(obj, " {v}"),
            };
        }
        obj.push('\n');
    };
    if paged {
        for (page, name) in page_names.iter().enumerate() {
            let _ = writeln!(obj, "usemtl page{page}");
            let _ = writeln!(
                mtl,
                "newmtl page{page}\nKa 1 1 1\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd {name}"
            );
            let on_page = |i: &usize| usize::from(atlas.page[*i]) == page;
            for i in (0..mesh.triangles.len()).filter(on_page) {
                face(&mut obj, i);
            }
        }
    } else {
        for i in 0..mesh.triangles.len() {
            face(&mut obj, i);
        }
    }
    (obj.into_bytes(), mtl.into_bytes())
}
