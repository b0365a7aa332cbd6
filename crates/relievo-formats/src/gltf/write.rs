//! A textured mesh, or one with vertex colours, to GLB.

use super::{BIN_CHUNK, FLOAT_F32, FORMAT, INT_U32, JSON_CHUNK, MAGIC, SHORT_U16};
use crate::FormatError;
use relievo_image::srgb_to_linear;
use relievo_scene::{TexturedMesh, TriMesh};
use serde_json::{Map, Value, json};
use std::collections::HashMap;

const VERTICES: u64 = 34962;
const INDICES: u64 = 34963;

/// The GLB of `textured`. `pages` are the encoded pages of its atlas, all of
/// type `mime` (`image/jpeg` or `image/png`); with an empty atlas the mesh is
/// written with its vertex colours. `extras` goes to `asset.extras` unless
/// null.
pub fn encode_glb(
    textured: &TexturedMesh,
    pages: &[Vec<u8>],
    mime: &str,
    extras: &Value,
) -> Result<Vec<u8>, FormatError> {
    let refused = |what| FormatError::Unwritable {
        format: FORMAT,
        what,
    };
    if pages.is_empty() {
        textured.mesh.check()?;
    } else {
        textured.check()?;
        if pages.len() != textured.atlas.pages.len() {
            return Err(refused("as many encoded pages as the atlas has are needed"));
        }
    }
    if textured.mesh.triangles.is_empty() {
        return Err(refused("a surface without triangles"));
    }
    let normals = unit_normals(&textured.mesh);
    let mut writer = Writer::default();
    if pages.is_empty() {
        let split = split_untextured(&textured.mesh);
        writer.primitive(&textured.mesh, &normals, &split, 0);
        writer.materials.push(material(None));
    } else {
        for (page, bytes) in pages.iter().enumerate() {
            let split = split_page(textured, page);
            if split.indices.is_empty() {
                continue;
            }
            let material_idx = writer.materials.len();
            writer.primitive(&textured.mesh, &normals, &split, material_idx);
            writer.materials.push(material(Some(writer.images.len())));
            let view = writer.view(bytes, None);
            writer
                .textures
                .push(json!({ "sampler": 0, "source": writer.images.len() }));
            writer
                .images
                .push(json!({ "bufferView": view, "mimeType": mime }));
        }
    }
    writer
        .finish(extras)
        .ok_or_else(|| refused("more than 4 GiB"))
}

fn material(texture: Option<usize>) -> Value {
    let mut pbr = json!({ "metallicFactor": 0.0, "roughnessFactor": 1.0 });
    if let Some(index) = texture {
        pbr["baseColorTexture"] = json!({ "index": index });
    }
    // The surface may be open, and is then seen from behind as well.
    json!({ "pbrMetallicRoughness": pbr, "doubleSided": true })
}

/// Vertices of one primitive: which vertex of the mesh, and where on the page.
struct Split {
    vertices: Vec<u32>,
    uv: Vec<[f32; 2]>,
    indices: Vec<u32>,
}

fn split_untextured(mesh: &TriMesh) -> Split {
    let mut new = vec![u32::MAX; mesh.positions.len()];
    let mut split = Split {
        vertices: Vec::new(),
        uv: Vec::new(),
        indices: Vec::with_capacity(3 * mesh.triangles.len()),
    };
    for &v in mesh.triangles.as_flattened() {
        let slot = &mut new[v as usize];
        if *slot == u32::MAX {
            *slot = split.vertices.len() as u32;
            split.vertices.push(v);
        }
        split.indices.push(*slot);
    }
    split
}

fn split_page(textured: &TexturedMesh, page: usize) -> Split {
    let mut split = Split {
        vertices: Vec::new(),
        uv: Vec::new(),
        indices: Vec::new(),
    };
    let mut known = HashMap::new();
    let atlas = &textured.atlas;
    for (face, triangle) in textured.mesh.triangles.iter().enumerate() {
        if usize::from(atlas.page[face]) != page {
            continue;
        }
        for (&v, &uv) in triangle.iter().zip(&atlas.uv[face]) {
            let key = (v, uv.map(f32::to_bits));
            let index = *known.entry(key).or_insert_with(|| {
                split.vertices.push(v);
                split.uv.push(uv);
                split.vertices.len() as u32 - 1
            });
            split.indices.push(index);
        }
    }
    split
}

/// The mesh's normals made unit, or area-weighted ones where it has none; up
/// where a vertex has no direction.
fn unit_normals(mesh: &TriMesh) -> Vec<[f32; 3]> {
    let mut sums = vec![[0.0_f64; 3]; mesh.positions.len()];
    if mesh.normals.len() == mesh.positions.len() {
        for (s, n) in sums.iter_mut().zip(&mesh.normals) {
            *s = n.map(f64::from);
        }
    } else {
        for t in &mesh.triangles {
            let [a, b, c] = t.map(|v| mesh.positions[v as usize].map(f64::from));
            let (u, v) = (
                [b[0] - a[0], b[1] - a[1], b[2] - a[2]],
                [c[0] - a[0], c[1] - a[1], c[2] - a[2]],
            );
            let n = [
                u[1] * v[2] - u[2] * v[1],
                u[2] * v[0] - u[0] * v[2],
                u[0] * v[1] - u[1] * v[0],
            ];
            for &i in t {
                for k in 0..3 {
                    sums[i as usize][k] += n[k];
                }
            }
        }
    }
    sums.into_iter()
        .map(|n| {
            let norm = (n[0] * n[0] + n[1] * n[1] + n[2] * n[2]).sqrt();
            if norm > 1e-30 && norm.is_finite() {
                n.map(|v| (v / norm) as f32)
            } else {
                [0.0, 1.0, 0.0]
            }
        })
        .collect()
}

#[derive(Default)]
struct Writer {
    bin: Vec<u8>,
    views: Vec<Value>,
    accessors: Vec<Value>,
    primitives: Vec<Value>,
    materials: Vec<Value>,
    textures: Vec<Value>,
    images: Vec<Value>,
}

impl Writer {
    fn view(&mut self, bytes: &[u8], target: Option<u64>) -> usize {
        self.bin.resize(self.bin.len().next_multiple_of(4), 0);
        let mut view = json!({
            "buffer": 0, "byteOffset": self.bin.len(), "byteLength": bytes.len(),
        });
        if let Some(target) = target {
            view["target"] = json!(target);
        }
        self.bin.extend_from_slice(bytes);
        self.views.push(view);
        self.views.len() - 1
    }

    fn accessor(&mut self, bytes: &[u8], target: u64, mut accessor: Value) -> usize {
        accessor["bufferView"] = json!(self.view(bytes, Some(target)));
        self.accessors.push(accessor);
        self.accessors.len() - 1
    }

    fn primitive(
        &mut self,
        mesh: &TriMesh,
        normals: &[[f32; 3]],
        split: &Split,
        material_idx: usize,
    ) {
        let n = split.vertices.len();
        let of = |values: &[[f32; 3]]| -> Vec<[f32; 3]> {
            split.vertices.iter().map(|&v| values[v as usize]).collect()
        };
        let mut attributes = Map::new();
        let positions = of(&mesh.positions);
        let mut lowest = [f32::INFINITY; 3];
        let mut highest = [f32::NEG_INFINITY; 3];
        for p in &positions {
            for k in 0..3 {
                lowest[k] = lowest[k].min(p[k]);
                highest[k] = highest[k].max(p[k]);
            }
        }
        let exact = |v: [f32; 3]| v.map(f64::from);
        let position = self.accessor(
            &floats(positions.as_flattened()),
            VERTICES,
            json!({ "componentType": FLOAT_F32, "count": n, "type": "VEC3",
                    "min": exact(lowest), "max": exact(highest) }),
        );
        attributes.insert("POSITION".to_owned(), json!(position));
        let normal = self.accessor(
            &floats(of(normals).as_flattened()),
            VERTICES,
            json!({ "componentType": FLOAT_F32, "count": n, "type": "VEC3" }),
        );
        attributes.insert("NORMAL".to_owned(), json!(normal));
        if split.uv.is_empty() {
            if mesh.colors.len() == mesh.positions.len() {
                let mut bytes = Vec::with_capacity(8 * n);
                for &v in &split.vertices {
                    let rgb = mesh.colors[v as usize].map(|c| srgb_to_linear(c) * 65535.0);
                    for c in [rgb[0], rgb[1], rgb[2], 65535.0] {
                        bytes.extend((c.round() as u16).to_le_bytes());
                    }
                }
                let color = self.accessor(
                    &bytes,
                    VERTICES,
                    json!({ "componentType": SHORT_U16, "count": n, "type": "VEC4",
                            "normalized": true }),
                );
                attributes.insert("COLOR_0".to_owned(), json!(color));
            }
        } else {
            let uv = self.accessor(
                &floats(split.uv.as_flattened()),
                VERTICES,
                json!({ "componentType": FLOAT_F32, "count": n, "type": "VEC2" }),
            );
            attributes.insert("TEXCOORD_0".to_owned(), json!(uv));
        }
        // 65535 restarts a primitive and is no index.
        let (bytes, kind): (Vec<u8>, u64) = if n < 65_535 {
            let short = split.indices.iter().flat_map(|&i| (i as u16).to_le_bytes());
            (short.collect(), SHORT_U16)
        } else {
            let long = split.indices.iter().flat_map(|i| i.to_le_bytes());
            (long.collect(), INT_U32)
        };
        let indices = self.accessor(
            &bytes,
            INDICES,
            json!({ "componentType": kind, "count": split.indices.len(), "type": "SCALAR" }),
        );
        self.primitives.push(json!({
            "attributes": attributes, "indices": indices, "material": material_idx, "mode": 4,
        }));
    }

    /// `None` beyond the 32-bit length of a GLB.
    fn finish(mut self, extras: &Value) -> Option<Vec<u8>> {
        self.bin.resize(self.bin.len().next_multiple_of(4), 0);
        let mut asset = json!({ "version": "2.0", "generator": "Relievo" });
        if !extras.is_null() {
            asset["extras"] = extras.clone();
        }
        let mut root = json!({
            "asset": asset,
            "scene": 0,
            "scenes": [{ "nodes": [0] }],
            "nodes": [{ "mesh": 0, "name": "model" }],
            "meshes": [{ "primitives": self.primitives, "name": "model" }],
            "materials": self.materials,
            "accessors": self.accessors,
            "bufferViews": self.views,
            "buffers": [{ "byteLength": self.bin.len() }],
        });
        if !self.images.is_empty() {
            root["textures"] = json!(self.textures);
            root["images"] = json!(self.images);
            // Linear, with mip maps; clamped to the edge.
            root["samplers"] =
                json!([{ "magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071 }]);
        }
        let mut text = root.to_string().into_bytes();
        text.resize(text.len().next_multiple_of(4), b' ');
        let length = 12 + 8 + text.len() + 8 + self.bin.len();
        let mut out = Vec::with_capacity(length);
        out.extend(MAGIC);
        out.extend(2_u32.to_le_bytes());
        out.extend(u32::try_from(length).ok()?.to_le_bytes());
        out.extend((text.len() as u32).to_le_bytes());
        out.extend(JSON_CHUNK);
        out.extend(text);
        out.extend((self.bin.len() as u32).to_le_bytes());
        out.extend(BIN_CHUNK);
        out.extend(self.bin);
        Some(out)
    }
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}
