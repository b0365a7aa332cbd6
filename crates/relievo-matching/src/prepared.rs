//! What all pairs of a view share.

use crate::band::compact_order;
use crate::sketch::{Sketch, sketch};
use crate::verify::ViewSide;
use relievo_scene::{Camera, Features};

/// Made once for a view, used by each of its pairs.
#[derive(Clone, Debug)]
pub struct PreparedView {
    /// The sketch of each descriptor.
    pub(crate) sketches: Vec<Sketch>,
    /// Where the keypoints would be without distortion, px; NaN where that is
    /// unknown.
    pub(crate) undistorted: Vec<[f32; 2]>,
    /// Those with a place, so that runs of 16 lie close together.
    pub(crate) order: Vec<u32>,
}

impl PreparedView {
    /// Of a view with these features and starting intrinsics.
    pub fn new(features: &Features, camera: &Camera) -> Self {
        let undistorted = ViewSide { features, camera }.undistorted_pixels();
        Self {
            sketches: sketch(&features.descriptors),
            order: compact_order(&undistorted),
            undistorted,
        }
    }

    /// Bytes it holds.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.sketches[..])
            + size_of_val(&self.undistorted[..])
            + size_of_val(&self.order[..])
    }
}
