//! What enters: views and their photos.

use relievo_geometry::Rigid3;
use relievo_image::Raster;
use relievo_scene::{Camera, ViewId};

/// One posed photo.
#[derive(Clone, Debug, PartialEq)]
pub struct TextureView {
    /// Key, handed to the [`PhotoSource`].
    pub id: ViewId,
    /// Name of the photo, for messages.
    pub name: String,
    /// Intrinsics of the photo as it is; any model, distorted or not.
    pub camera: Camera,
    /// Pose.
    pub cam_from_world: Rigid3,
}

/// A decoded photo, of its camera's size.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TexturePhoto {
    /// sRGB.
    pub rgb: Raster<[u8; 3]>,
    /// 0 = ignore this pixel; `None` = use all. Same size as `rgb`.
    pub mask: Option<Raster<u8>>,
}

/// Why a photo could not be loaded.
pub type PhotoError = Box<dyn std::error::Error + Send + Sync>;

/// Loads photos on demand; called from several threads at once.
pub trait PhotoSource: Sync {
    /// The full-size photo of a view, upright, undistortion *not* applied.
    fn load(&self, view: ViewId) -> Result<TexturePhoto, PhotoError>;
}

impl<F> PhotoSource for F
where
    F: Fn(ViewId) -> Result<TexturePhoto, PhotoError> + Sync,
{
    fn load(&self, view: ViewId) -> Result<TexturePhoto, PhotoError> {
        self(view)
    }
}
