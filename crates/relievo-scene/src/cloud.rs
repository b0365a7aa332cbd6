//! A dense point cloud, as arrays.

use crate::ViewId;
use crate::check::{Broken, ensure};

/// Points with normals, colours, confidence and the views that saw them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PointCloud {
    /// In the model's frame and unit.
    pub positions: Vec<[f32; 3]>,
    /// Unit, outwards.
    pub normals: Vec<[f32; 3]>,
    /// sRGB.
    pub colors: Vec<[u8; 3]>,
    /// 0 … 255.
    pub confidence: Vec<u8>,
    /// `view_ids[view_starts[i]..view_starts[i + 1]]` saw point i; empty where
    /// unknown, else one longer than the points.
    pub view_starts: Vec<u32>,
    /// See `view_starts`.
    pub view_ids: Vec<ViewId>,
}

impl PointCloud {
    /// Number of points.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// True without points.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// The views that saw point i; empty where unknown.
    pub fn views(&self, i: usize) -> &[ViewId] {
        match (self.view_starts.get(i), self.view_starts.get(i + 1)) {
            (Some(&a), Some(&b)) => &self.view_ids[a as usize..b as usize],
            _ => &[],
        }
    }

    /// Equal lengths and finite positions.
    pub fn check(&self) -> Result<(), Broken> {
        let n = self.len();
        let same = self.normals.len() == n
            && self.colors.len() == n
            && self.confidence.len() == n
            && (self.view_starts.is_empty() || self.view_starts.len() == n + 1);
        ensure("point cloud", same, || {
            format!("arrays differ from {n} positions in length")
        })?;
        let starts = self.view_starts.windows(2).all(|w| w[0] <= w[1])
            && self
                .view_starts
                .last()
                .is_none_or(|&e| e as usize == self.view_ids.len());
        ensure("point cloud", starts, || "view lists are broken".to_owned())?;
        let bad = self
            .positions
            .iter()
            .position(|p| p.iter().any(|v| !v.is_finite()));
        ensure("point cloud", bad.is_none(), || {
            format!("position {} is not finite", bad.unwrap_or_default())
        })
    }
}
