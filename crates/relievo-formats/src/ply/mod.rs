//! PLY clouds and meshes (Turk 1994).
//!
//! Any PLY is read: ASCII, little and big endian, properties in any order and
//! of any type, polygons as fans. Our own parser decodes rows straight into
//! the nouns, at the speed of a bulk reader, and checks every count against
//! the bytes that follow before it allocates (the general crates abort on an
//! element without properties and a huge count).
//!
//! | file | layout written (binary little-endian) |
//! | --- | --- |
//! | cloud | float x y z nx ny nz, uchar red green blue confidence |
//! | mesh | float x y z [nx ny nz], [uchar red green blue]; list uchar int vertex_indices |

mod body;
mod header;
mod write;

pub use write::{encode_cloud, encode_mesh, write_cloud, write_mesh};

use crate::FormatError;
use crate::error::read_with;
use body::Body;
use header::{Header, Property, Scalar};
use relievo_scene::{PointCloud, TriMesh};
use std::path::Path;

pub(crate) const FORMAT: &str = "PLY";

fn malformed(what: &'static str, at: usize, found: impl Into<String>) -> FormatError {
    FormatError::Malformed {
        format: FORMAT,
        what,
        at: at as u64,
        found: found.into(),
    }
}

/// Reads the vertices of `path` as a cloud; see [`decode_cloud`].
pub fn read_cloud(path: &Path) -> Result<PointCloud, FormatError> {
    read_with(path, decode_cloud)
}

/// Reads `path` as a mesh; see [`decode_mesh`].
pub fn read_mesh(path: &Path) -> Result<TriMesh, FormatError> {
    read_with(path, decode_mesh)
}

/// The vertices as a cloud. Absent normals are [0, 0, 0], absent colours
/// white, absent confidence 255; a confidence of float type is 0 … 1, colours
/// of float type 0 … 1. Points that are not finite are dropped.
pub fn decode_cloud(data: &[u8]) -> Result<PointCloud, FormatError> {
    let vertices = decode_vertices(data)?;
    let mut cloud = PointCloud::default();
    for (i, p) in vertices.positions.iter().enumerate() {
        if !p.iter().all(|v| v.is_finite()) {
            continue;
        }
        cloud.positions.push(*p);
        cloud
            .normals
            .push(vertices.normals.get(i).copied().unwrap_or([0.0; 3]));
        cloud
            .colors
            .push(vertices.colors.get(i).copied().unwrap_or([255; 3]));
        cloud
            .confidence
            .push(vertices.confidence.get(i).copied().unwrap_or(255));
    }
    Ok(cloud)
}

/// Vertices that the header announces.
pub fn count_vertices(data: &[u8]) -> Result<u64, FormatError> {
    let header = Header::parse(data)?;
    let vertices = header.elements.iter().find(|e| e.name == "vertex");
    Ok(vertices.map_or(0, |e| e.count))
}

/// True where the vertices of the file carry normals (nx, ny, nz).
pub fn has_normals(data: &[u8]) -> Result<bool, FormatError> {
    let header = Header::parse(data)?;
    Ok(header.elements.iter().any(|e| {
        e.name == "vertex"
            && ["nx", "ny", "nz"]
                .iter()
                .all(|n| e.properties.iter().any(|p| p.name == *n))
    }))
}

/// The file as a mesh: polygons become fans, faces with a repeated corner are
/// dropped. Without faces the mesh has vertices only.
pub fn decode_mesh(data: &[u8]) -> Result<TriMesh, FormatError> {
    let vertices = decode_vertices(data)?;
    let n = vertices.positions.len();
    let header = Header::parse(data)?;
    let mut body = Body::new(data, &header)?;
    let mut triangles = Vec::new();
    for element in &header.elements {
        let corners = element.properties.iter().position(|p| {
            p.list.is_some() && (p.name == "vertex_indices" || p.name == "vertex_index")
        });
        let Some(corners) = corners.filter(|_| element.name == "face") else {
            body.skip(element)?;
            continue;
        };
        let (mut polygon, mut bad) = (Vec::<u32>::new(), None);
        body.rows(element, |row| {
            polygon.clear();
            for &v in row.list(corners) {
                if v >= 0.0 && v < n as f64 {
                    polygon.push(v as u32);
                } else {
                    bad = bad.or(Some(v));
                }
            }
            for k in 2..polygon.len() {
                let t = [polygon[0], polygon[k - 1], polygon[k]];
                if t[0] != t[1] && t[1] != t[2] && t[2] != t[0] {
                    triangles.push(t);
                }
            }
        })?;
        if let Some(v) = bad {
            return Err(malformed(
                "face",
                header.body_at,
                format!("vertex index {v} of {n} vertices"),
            ));
        }
    }
    let mesh = TriMesh {
        positions: vertices.positions,
        normals: vertices.normals,
        colors: vertices.colors,
        triangles,
    };
    mesh.check()?;
    Ok(mesh)
}

/// The named scalar properties of one element, as columns; `None` for a
/// property the file does not have. For labels and flags of rendered truth.
pub fn decode_columns(
    data: &[u8],
    element: &str,
    names: &[&str],
) -> Result<Vec<Option<Vec<f64>>>, FormatError> {
    let header = Header::parse(data)?;
    let mut body = Body::new(data, &header)?;
    for e in &header.elements {
        if e.name != element {
            body.skip(e)?;
            continue;
        }
        let which: Vec<Option<usize>> = names.iter().map(|n| e.scalar(n)).collect();
        let mut columns: Vec<Option<Vec<f64>>> =
            which.iter().map(|w| w.map(|_| Vec::new())).collect();
        body.rows(e, |row| {
            for (column, w) in columns.iter_mut().zip(&which) {
                if let (Some(column), Some(w)) = (column, w) {
                    column.push(row.scalars[*w]);
                }
            }
        })?;
        return Ok(columns);
    }
    Ok(vec![None; names.len()])
}

#[derive(Default)]
struct Vertices {
    positions: Vec<[f32; 3]>,
    normals: Vec<[f32; 3]>,
    colors: Vec<[u8; 3]>,
    confidence: Vec<u8>,
}

fn to_u8(value: f64, scalar: Scalar) -> u8 {
    let v = match scalar {
        Scalar::F32 | Scalar::F64 => value * 255.0,
        Scalar::U16 | Scalar::I16 => value / 257.0,
        _ => value,
    };
    v.round().clamp(0.0, 255.0) as u8
}

fn decode_vertices(data: &[u8]) -> Result<Vertices, FormatError> {
    let header = Header::parse(data)?;
    let mut body = Body::new(data, &header)?;
    for element in &header.elements {
        if element.name != "vertex" {
            body.skip(element)?;
            continue;
        }
        let find = |names: &[&str]| names.iter().find_map(|n| element.scalar(n));
        let triple = |x: &[&str], y: &[&str], z: &[&str]| Some([find(x)?, find(y)?, find(z)?]);
        let position = triple(&["x"], &["y"], &["z"])
            .ok_or_else(|| malformed("vertex", header.body_at, "no x, y and z"))?;
        let normal = triple(
            &["nx", "normal_x"],
            &["ny", "normal_y"],
            &["nz", "normal_z"],
        );
        let color = triple(
            &["red", "r", "diffuse_red"],
            &["green", "g", "diffuse_green"],
            &["blue", "b", "diffuse_blue"],
        );
        let confidence = find(&["confidence"]);
        let kind = |i: usize| element.properties[i].scalar;
        let mut v = Vertices::default();
        body.rows(element, |row| {
            let get = |i: usize| row.scalars[i] as f32;
            v.positions.push(position.map(get));
            if let Some(normal) = normal {
                v.normals.push(normal.map(get));
            }
            if let Some(color) = color {
                v.colors.push(color.map(|i| to_u8(row.scalars[i], kind(i))));
            }
            if let Some(i) = confidence {
                v.confidence.push(to_u8(row.scalars[i], kind(i)));
            }
        })?;
        return Ok(v);
    }
    Err(malformed("header", header.body_at, "no element vertex"))
}

impl header::Element {
    fn scalar(&self, name: &str) -> Option<usize> {
        self.properties
            .iter()
            .position(|p: &Property| p.list.is_none() && p.name == name)
    }
}
