//! Keypoints and descriptors of one view.

use crate::check::{Broken, ensure};
use bytemuck::{Pod, Zeroable};

/// Bytes of a descriptor.
pub const DESCRIPTOR_LEN: usize = 128;

/// A detected point, in pixels of the full-size upright photo (top-left pixel
/// centre at 0.5, 0.5).
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Keypoint {
    /// Column.
    pub x_px: f32,
    /// Row.
    pub y_px: f32,
    /// Gaussian σ of the detection.
    pub scale_px: f32,
    /// Orientation in radians, x towards y.
    pub angle: f32,
}

/// Keypoints with one descriptor and one colour each, largest scale first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Features {
    /// The points.
    pub keypoints: Vec<Keypoint>,
    /// RootSIFT quantised to u8 (×512, saturated).
    pub descriptors: Vec<[u8; DESCRIPTOR_LEN]>,
    /// sRGB colour of the photo at the point.
    pub colors: Vec<[u8; 3]>,
}

impl Features {
    /// Number of keypoints.
    pub fn len(&self) -> usize {
        self.keypoints.len()
    }

    /// True where nothing was found.
    pub fn is_empty(&self) -> bool {
        self.keypoints.is_empty()
    }

    /// Equal lengths, finite coordinates, positive scales.
    pub fn check(&self) -> Result<(), Broken> {
        let n = self.len();
        ensure(
            "features",
            self.descriptors.len() == n && self.colors.len() == n,
            || format!("{n} keypoints, {} descriptors", self.descriptors.len()),
        )?;
        for (i, k) in self.keypoints.iter().enumerate() {
            let finite = k.x_px.is_finite() && k.y_px.is_finite() && k.angle.is_finite();
            ensure("features", finite && k.scale_px > 0.0, || {
                format!("keypoint {i}: {k:?}")
            })?;
        }
        Ok(())
    }
}
