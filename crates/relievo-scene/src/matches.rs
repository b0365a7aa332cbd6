//! Matches between two views, their geometry, and the graph they span.

use crate::ViewId;
use crate::check::{Broken, ensure};
use bytemuck::{Pod, Zeroable};
use relievo_geometry::{Mat3, Rigid3};
use std::collections::BTreeMap;

/// Keypoint `a_idx` of view a and `b_idx` of view b show one scene point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Pod, Zeroable)]
#[repr(C)]
pub struct Match {
    /// Index into the features of view a.
    pub a_idx: u32,
    /// Index into the features of view b.
    pub b_idx: u32,
}

/// Putative or verified matches of two views, a < b.
#[derive(Clone, Debug, PartialEq)]
pub struct PairMatches {
    /// First view.
    pub a: ViewId,
    /// Second view, a < b.
    pub b: ViewId,
    /// One-to-one, ordered by `a_idx`.
    pub matches: Vec<Match>,
}

/// What relates the two pictures of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum TwoViewKind {
    /// Too few inliers of any model.
    Degenerate = 0,
    /// Essential matrix, intrinsics trusted.
    Calibrated = 1,
    /// Fundamental matrix, intrinsics not trusted.
    Uncalibrated = 2,
    /// A homography explains it with a baseline: a plane.
    Planar = 3,
    /// A homography explains it without baseline.
    PureRotation = 4,
    /// Inliers only in the borders, moved alike: a watermark or logo.
    Watermark = 5,
}

/// A verified pair.
#[derive(Clone, Debug, PartialEq)]
pub struct TwoViewGeometry {
    /// First view.
    pub a: ViewId,
    /// Second view, a < b.
    pub b: ViewId,
    /// Which model won.
    pub kind: TwoViewKind,
    /// Inliers of that model, ordered by `a_idx`.
    pub inliers: Vec<Match>,
    /// Relative pose, |t| = 1 (or 0 for a pure rotation), where it is known.
    pub b_from_a: Option<Rigid3>,
    /// Fundamental matrix in pixels, x_bᵀ F x_a = 0, where it is known.
    pub f: Option<Mat3>,
    /// Median angle between the rays of inliers, radians; 0 where unknown.
    pub median_angle: f64,
}

impl TwoViewGeometry {
    /// a < b, inliers ordered and one-to-one in a.
    pub fn check(&self) -> Result<(), Broken> {
        ensure("two-view geometry", self.a < self.b, || {
            format!("{} ≥ {}", self.a, self.b)
        })?;
        let ordered = self.inliers.windows(2).all(|w| w[0].a_idx < w[1].a_idx);
        ensure("two-view geometry", ordered, || {
            "inliers are not ordered by a_idx".to_owned()
        })
    }
}

/// Verified pairs by (a, b).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ViewGraph {
    /// Edges, a < b.
    pub pairs: BTreeMap<(ViewId, ViewId), TwoViewGeometry>,
}
