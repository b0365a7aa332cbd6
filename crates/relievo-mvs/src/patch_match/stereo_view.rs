//! One undistorted picture with its pose.

use crate::error::MvsError;
use relievo_geometry::Rigid3;
use relievo_image::Raster;
use relievo_scene::{Camera, ViewId};

/// An undistorted picture at the resolution of the depth map, and its pose.
#[derive(Clone, Debug)]
pub struct StereoView {
    /// The view.
    pub id: ViewId,
    /// Pinhole, of the picture's size.
    pub camera: Camera,
    /// Pose.
    pub cam_from_world: Rigid3,
    /// Grey levels.
    pub gray: Raster<u8>,
    /// 0 = ignore the pixel (mask, or outside of the original photo);
    /// `None` = all are valid.
    pub valid: Option<Raster<u8>>,
}

impl StereoView {
    /// Pinhole camera, equal sizes.
    pub fn check(&self) -> Result<(), MvsError> {
        let camera = (
            self.camera.width_px as usize,
            self.camera.height_px as usize,
        );
        let mismatch = |picture| MvsError::SizeMismatch {
            view: self.id,
            camera,
            picture,
        };
        if !self.camera.model.is_pinhole() {
            return Err(MvsError::Distorted { view: self.id });
        }
        let gray = (self.gray.width(), self.gray.height());
        if gray != camera {
            return Err(mismatch(gray));
        }
        match &self.valid {
            Some(v) if (v.width(), v.height()) != camera => Err(mismatch((v.width(), v.height()))),
            _ => Ok(()),
        }
    }
}
