//! Surfaces far from the origin, such as scans in a country's coordinates.
//!
//! An f32 counts in steps of 3 cm at 500 km. Positions are read in double
//! precision there, and a common origin is taken from them before they are
//! narrowed.

use crate::error::EvalError;
use crate::statistics::percentile;
use relievo_formats::ply;
use relievo_geometry::{Sim3, Vec3};
use relievo_scene::TriMesh;
use std::path::Path;

/// From here on an f32 counts in steps of more than 0.06 thousandths of a unit.
const FAR: f64 = 1000.0;
/// Vertices whose median tells where the surface is.
const ASKED: usize = 10_000;

/// A mesh, or a cloud as one without faces, and where it is.
#[derive(Debug)]
pub(crate) struct Placed {
    /// Relative to `origin`.
    pub(crate) mesh: TriMesh,
    /// Zero of what lies near it already; else whole numbers.
    pub(crate) origin: Vec3,
}

impl Placed {
    /// Of a PLY file.
    pub(crate) fn read(path: &Path) -> Result<Self, EvalError> {
        Self::decode(&fs_err::read(path)?, path)
    }

    /// Of the bytes of a PLY file.
    pub(crate) fn decode(bytes: &[u8], path: &Path) -> Result<Self, EvalError> {
        let mut mesh = ply::decode_mesh(bytes).map_err(|e| e.in_file(path))?;
        let origin = middle(&mesh.positions);
        if origin != Vec3::zeros() {
            let columns = ply::decode_columns(bytes, "vertex", &["x", "y", "z"]);
            let columns = columns.map_err(|e| e.in_file(path))?;
            for (k, column) in columns.iter().flatten().enumerate() {
                for (p, v) in mesh.positions.iter_mut().zip(column) {
                    p[k] = (v - origin[k]) as f32;
                }
            }
        }
        Ok(Self { mesh, origin })
    }

    /// `b_from_a` for the positions here: they are those of a without the origin.
    pub(crate) fn placing(&self, b_from_a: &Sim3) -> Sim3 {
        Sim3 {
            translation: b_from_a.apply(&self.origin),
            ..*b_from_a
        }
    }
}

/// The median of the positions in whole numbers, where it is far from the origin. Stray
/// points do not move it.
fn middle(positions: &[[f32; 3]]) -> Vec3 {
    let asked = || positions.iter().step_by(positions.len() / ASKED + 1);
    let middle = Vec3::from(std::array::from_fn(|k| {
        let values = asked().map(|p| f64::from(p[k])).filter(|v| v.is_finite());
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        percentile(&values, 50.0).round()
    }));
    if middle.amax() < FAR {
        Vec3::zeros()
    } else {
        middle
    }
}
