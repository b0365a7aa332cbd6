//! A triangle mesh.

use crate::check::{Broken, ensure};

/// Vertices and counter-clockwise triangles (seen from outside).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TriMesh {
    /// In the model's frame and unit.
    pub positions: Vec<[f32; 3]>,
    /// Unit, per vertex; empty where not computed.
    pub normals: Vec<[f32; 3]>,
    /// sRGB per vertex; empty where there is none.
    pub colors: Vec<[u8; 3]>,
    /// Vertex indices.
    pub triangles: Vec<[u32; 3]>,
}

impl TriMesh {
    /// Indices inside, no triangle with a repeated corner, finite positions.
    pub fn check(&self) -> Result<(), Broken> {
        let n = self.positions.len();
        for (name, len) in [
            ("normals", self.normals.len()),
            ("colours", self.colors.len()),
        ] {
            ensure("mesh", len == 0 || len == n, || {
                format!("{len} {name} for {n} vertices")
            })?;
        }
        for (i, &[a, b, c]) in self.triangles.iter().enumerate() {
            ensure("mesh", [a, b, c].iter().all(|&v| (v as usize) < n), || {
                format!("triangle {i} points outside the {n} vertices")
            })?;
            ensure("mesh", a != b && b != c && c != a, || {
                format!("triangle {i} has a repeated corner")
            })?;
        }
        let bad = self
            .positions
            .iter()
            .position(|p| p.iter().any(|v| !v.is_finite()));
        ensure("mesh", bad.is_none(), || {
            format!("vertex {} is not finite", bad.unwrap_or_default())
        })
    }
}
