//! Intrinsics.

use crate::check::{Broken, ensure};
use relievo_geometry::CameraModel;
use serde::{Deserialize, Serialize};

/// A camera model and the size of its pictures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Camera {
    /// Model with values in pixels.
    pub model: CameraModel,
    /// Picture width.
    pub width_px: u32,
    /// Picture height.
    pub height_px: u32,
    /// True where the focal length is known (EXIF, user), false for a guess.
    pub has_prior_focal: bool,
}

impl Camera {
    /// Finite parameters, positive focal length and size.
    pub fn check(&self) -> Result<(), Broken> {
        let params = self.model.params();
        ensure("camera", params.iter().all(|p| p.is_finite()), || {
            format!("parameters {params:?} are not finite")
        })?;
        let (fx, fy) = self.model.focal_px();
        ensure("camera", fx > 0.0 && fy > 0.0, || {
            format!("focal length {fx} x {fy}")
        })?;
        ensure("camera", self.width_px > 0 && self.height_px > 0, || {
            "empty picture".to_owned()
        })
    }

    /// The same camera for its picture resized by s.
    #[must_use]
    pub fn resized(&self, width_px: u32, height_px: u32) -> Self {
        let sx = f64::from(width_px) / f64::from(self.width_px);
        let sy = f64::from(height_px) / f64::from(self.height_px);
        Self {
            model: self.model.scaled(sx, sy),
            width_px,
            height_px,
            ..*self
        }
    }
}
