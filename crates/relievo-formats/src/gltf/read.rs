//! GLB to a mesh with UV and its encoded pictures.

use super::{BIN_CHUNK, BYTE_U8, FLOAT_F32, FORMAT, INT_U32, JSON_CHUNK, MAGIC, SHORT_U16};
use crate::FormatError;
use crate::cursor::Cursor;
use crate::error::read_with;
use nalgebra::{Matrix4, Quaternion, Translation3, UnitQuaternion, Vector3};
use relievo_image::linear_to_srgb;
use relievo_scene::TriMesh;
use serde_json::Value;
use std::path::Path;

/// Deepest nesting of nodes that is followed.
const MAX_DEPTH: usize = 64;

/// An encoded picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlbImage {
    /// `image/jpeg` or `image/png`.
    pub mime: String,
    /// The file in memory.
    pub bytes: Vec<u8>,
}

/// What a GLB holds of a textured surface.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GlbModel {
    /// All primitives of the default scene, node transforms applied; vertices
    /// split at UV seams stay split.
    pub mesh: TriMesh,
    /// Per triangle: (u, v) of its corners, v down; zeros without texture.
    pub uv: Vec<[[f32; 2]; 3]>,
    /// Per triangle: index into `images`; `None` without texture.
    pub image: Vec<Option<usize>>,
    /// The pictures.
    pub images: Vec<GlbImage>,
    /// `asset.extras`, or null.
    pub extras: Value,
}

/// Reads a GLB file; see [`decode_glb`].
pub fn read_glb(path: &Path) -> Result<GlbModel, FormatError> {
    read_with(path, decode_glb)
}

/// Decodes a GLB that carries its buffer and pictures within.
pub fn decode_glb(data: &[u8]) -> Result<GlbModel, FormatError> {
    let mut c = Cursor::new(FORMAT, data);
    if &c.array::<4>("header")? != MAGIC {
        return Err(c.malformed("header", "not a binary glTF"));
    }
    let version = c.u32("header")?;
    if version != 2 {
        return Err(c.malformed("version", version.to_string()));
    }
    c.u32("header")?;
    let (mut text, mut bin) = (None, None);
    while c.left() >= 8 {
        let length = c.u32("chunk length")? as usize;
        let kind = c.array::<4>("chunk type")?;
        let chunk = c.take(length, "a chunk")?;
        if &kind == JSON_CHUNK {
            text = text.or(Some(chunk));
        } else if &kind == BIN_CHUNK {
            bin = bin.or(Some(chunk));
        }
    }
    let text = text.ok_or_else(|| c.malformed("chunks", "no JSON"))?;
    let root: Value =
        serde_json::from_slice(text).map_err(|e| c.malformed("JSON", e.to_string()))?;
    let reader = Reader {
        root: &root,
        bin: bin.unwrap_or_default(),
    };
    let mut model = GlbModel {
        extras: root["asset"]["extras"].clone(),
        ..GlbModel::default()
    };
    for image in list(&root["images"]) {
        let Some(view) = index(&image["bufferView"]) else {
            return Err(unsupported("a picture outside the file"));
        };
        model.images.push(GlbImage {
            mime: image["mimeType"].as_str().unwrap_or_default().to_owned(),
            bytes: reader.view(view)?.to_vec(),
        });
    }
    let scene = index(&root["scene"]).unwrap_or(0);
    let mut budget = 100_000;
    for node in list(&root["scenes"][scene]["nodes"]) {
        reader.node(node, &Matrix4::identity(), 0, &mut budget, &mut model)?;
    }
    model.mesh.check()?;
    Ok(model)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn index(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|v| usize::try_from(v).ok())
}

fn bad(what: &'static str, found: impl Into<String>) -> FormatError {
    FormatError::Malformed {
        format: FORMAT,
        what,
        at: 0,
        found: found.into(),
    }
}

fn unsupported(feature: &str) -> FormatError {
    FormatError::Unsupported {
        format: FORMAT,
        feature: feature.to_owned(),
        remedy: "export it as one self-contained, uncompressed GLB",
    }
}

struct Reader<'a> {
    root: &'a Value,
    bin: &'a [u8],
}

impl Reader<'_> {
    fn view(&self, view: usize) -> Result<&[u8], FormatError> {
        let v = &self.root["bufferViews"][view];
        if index(&v["buffer"]) != Some(0) || !self.root["buffers"][0]["uri"].is_null() {
            return Err(unsupported("a buffer outside the file"));
        }
        let start = index(&v["byteOffset"]).unwrap_or(0);
        let end = index(&v["byteLength"]).and_then(|l| start.checked_add(l));
        end.and_then(|end| self.bin.get(start..end))
            .ok_or_else(|| bad("buffer view", v.to_string()))
    }

    /// `N` components per element.
    fn accessor<const N: usize>(&self, accessor: &Value) -> Result<Vec<[f64; N]>, FormatError> {
        let a = index(accessor)
            .map(|i| &self.root["accessors"][i])
            .ok_or_else(|| bad("accessor", accessor.to_string()))?;
        if !a["sparse"].is_null() {
            return Err(unsupported("a sparse accessor"));
        }
        let wrong = || bad("accessor", a.to_string());
        let view_idx = index(&a["bufferView"]).ok_or_else(wrong)?;
        let view = self.view(view_idx)?;
        let kind = a["componentType"].as_u64().ok_or_else(wrong)?;
        let (size, full) = match kind {
            BYTE_U8 => (1, 255.0),
            SHORT_U16 => (2, 65535.0),
            INT_U32 | FLOAT_F32 => (4, 1.0),
            _ => return Err(wrong()),
        };
        let scale = if a["normalized"].as_bool() == Some(true) {
            1.0 / full
        } else {
            1.0
        };
        let components = match a["type"].as_str() {
            Some("SCALAR") => 1,
            Some("VEC2") => 2,
            Some("VEC3") => 3,
            Some("VEC4") => 4,
            _ => return Err(wrong()),
        };
        if components < N {
            return Err(wrong());
        }
        let count = index(&a["count"]).ok_or_else(wrong)?;
        let stride = index(&self.root["bufferViews"][view_idx]["byteStride"])
            .filter(|s| *s >= size * components)
            .unwrap_or(size * components);
        let data = index(&a["byteOffset"])
            .or(Some(0))
            .and_then(|o| view.get(o..))
            .ok_or_else(wrong)?;
        let needed = count.checked_sub(1).map_or(Some(0), |n| {
            n.checked_mul(stride)?.checked_add(size * components)
        });
        if needed.is_none_or(|n| n > data.len()) {
            return Err(wrong());
        }
        let value = |at: usize| -> f64 {
            let b = &data[at..at + size];
            match kind {
                BYTE_U8 => f64::from(b[0]) * scale,
                SHORT_U16 => f64::from(u16::from_le_bytes([b[0], b[1]])) * scale,
                INT_U32 => f64::from(u32::from_le_bytes([b[0], b[1], b[2], b[3]])),
                _ => f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
            }
        };
        Ok((0..count)
            .map(|i| std::array::from_fn(|k| value(i * stride + k * size)))
            .collect())
    }

    fn node(
        &self,
        node: &Value,
        parent: &Matrix4<f64>,
        depth: usize,
        budget: &mut usize,
        model: &mut GlbModel,
    ) -> Result<(), FormatError> {
        let too_many = depth > MAX_DEPTH || *budget == 0;
        let n = index(node)
            .filter(|_| !too_many)
            .map(|i| &self.root["nodes"][i])
            .ok_or_else(|| bad("node", node.to_string()))?;
        *budget -= 1;
        let here = parent * transform(n);
        if let Some(mesh) = index(&n["mesh"]) {
            for primitive in list(&self.root["meshes"][mesh]["primitives"]) {
                self.primitive(primitive, &here, model)?;
            }
        }
        for child in list(&n["children"]) {
            self.node(child, &here, depth + 1, budget, model)?;
        }
        Ok(())
    }

    fn primitive(
        &self,
        primitive: &Value,
        transform: &Matrix4<f64>,
        model: &mut GlbModel,
    ) -> Result<(), FormatError> {
        if !primitive["extensions"]["KHR_draco_mesh_compression"].is_null() {
            return Err(unsupported("Draco compression"));
        }
        if primitive["mode"].as_u64().unwrap_or(4) != 4 {
            // Points and lines are no surface.
            return Ok(());
        }
        let attributes = &primitive["attributes"];
        let positions = self.accessor::<3>(&attributes["POSITION"])?;
        let count = positions.len();
        let indices: Vec<usize> = if primitive["indices"].is_null() {
            (0..count).collect()
        } else {
            let raw = self.accessor::<1>(&primitive["indices"])?;
            raw.into_iter().map(|[v]| v as usize).collect()
        };
        if let Some(v) = indices.iter().find(|&&v| v >= count) {
            return Err(bad("index", format!("{v} of {count} vertices")));
        }
        let base = model.mesh.positions.len();
        if base + count > u32::MAX as usize {
            return Err(bad("mesh", "more than 2^32 vertices"));
        }
        model.mesh.positions.extend(positions.iter().map(|p| {
            let p = transform.transform_point(&nalgebra::Point3::new(p[0], p[1], p[2]));
            [p.x as f32, p.y as f32, p.z as f32]
        }));
        if !attributes["COLOR_0"].is_null() && model.mesh.colors.len() == base {
            let colors = self.accessor::<3>(&attributes["COLOR_0"])?;
            if colors.len() == count {
                let srgb = |c: [f64; 3]| c.map(|v| linear_to_srgb(v as f32));
                model.mesh.colors.extend(colors.into_iter().map(srgb));
            }
        }
        let texture = &index(&primitive["material"]).map_or(&Value::Null, |m| {
            &self.root["materials"][m]["pbrMetallicRoughness"]["baseColorTexture"]
        });
        let image = index(&texture["index"])
            .and_then(|t| index(&self.root["textures"][t]["source"]))
            .filter(|&i| i < model.images.len());
        let channel = texture["texCoord"].as_u64().unwrap_or(0);
        let uv = match &attributes[format!("TEXCOORD_{channel}")] {
            Value::Null => vec![[0.0; 2]; count],
            accessor => self.accessor::<2>(accessor)?,
        };
        if uv.len() != count {
            return Err(bad("texture coordinates", "not one per vertex"));
        }
        for t in indices.chunks_exact(3) {
            if t[0] == t[1] || t[1] == t[2] || t[2] == t[0] {
                continue;
            }
            let corner = |k: usize| uv[t[k]].map(|v| v as f32);
            model
                .mesh
                .triangles
                .push([t[0], t[1], t[2]].map(|v| (base + v) as u32));
            model.uv.push([corner(0), corner(1), corner(2)]);
            model.image.push(image);
        }
        // Colours only where every primitive has them.
        if model.mesh.colors.len() < model.mesh.positions.len() {
            model.mesh.colors.clear();
        }
        Ok(())
    }
}

fn transform(node: &Value) -> Matrix4<f64> {
    let numbers = |v: &Value| -> Vec<f64> { list(v).iter().filter_map(Value::as_f64).collect() };
    let matrix = numbers(&node["matrix"]);
    if matrix.len() == 16 {
        return Matrix4::from_column_slice(&matrix);
    }
    let mut m = Matrix4::identity();
    if let [x, y, z] = numbers(&node["translation"])[..] {
        m = Translation3::new(x, y, z).to_homogeneous();
    }
    if let [x, y, z, w] = numbers(&node["rotation"])[..] {
        m *= UnitQuaternion::new_normalize(Quaternion::new(w, x, y, z)).to_homogeneous();
    }
    if let [x, y, z] = numbers(&node["scale"])[..] {
        m *= Matrix4::new_nonuniform_scaling(&Vector3::new(x, y, z));
    }
    m
}
