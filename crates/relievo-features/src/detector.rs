//! What every detector offers.

use relievo_image::Raster;
use relievo_scene::Features;
use relievo_task::{Cancelled, Task};

/// Why a photo gave no features.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeatureError {
    /// The mask does not fit the photo.
    #[error(
        "mask is {mask_width} x {mask_height}, but the photo is {photo_width} x {photo_height}"
    )]
    MaskSize {
        /// Columns of the mask.
        mask_width: usize,
        /// Rows of the mask.
        mask_height: usize,
        /// Columns of the photo.
        photo_width: usize,
        /// Rows of the photo.
        photo_height: usize,
    },
    /// An option is outside its range.
    #[error("option {option} is {got}, expected {expected}")]
    Option {
        /// Name of the option.
        option: &'static str,
        /// Its value.
        got: String,
        /// The range.
        expected: &'static str,
    },
    /// An external detector failed.
    #[error("{detector} failed: {reason}")]
    External {
        /// The detector.
        detector: &'static str,
        /// What it said.
        reason: String,
    },
    /// A stop was asked for.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// Finds and describes keypoints.
///
/// Same photo, mask and settings give the same bytes, whatever the number of
/// threads. A photo without structure gives empty [`Features`], not an error.
pub trait Detector: Send + Sync {
    /// Kebab-case name, part of the key of the features.
    fn name(&self) -> &'static str;

    /// Raised whenever the bytes of the result change.
    fn version(&self) -> u32;

    /// Keypoints of `photo` (upright, sRGB) outside the zeros of `mask` (same
    /// size). Coordinates in pixels of `photo`, top-left pixel centre at
    /// (0.5, 0.5); largest scale first, ties by row, column, angle.
    fn detect(
        &self,
        photo: &Raster<[u8; 3]>,
        mask: Option<&Raster<u8>>,
        task: &Task,
    ) -> Result<Features, FeatureError>;
}

/// A mask has the size of its photo.
pub fn check_mask(photo: &Raster<[u8; 3]>, mask: Option<&Raster<u8>>) -> Result<(), FeatureError> {
    match mask {
        Some(mask) if (mask.width(), mask.height()) != (photo.width(), photo.height()) => {
            Err(FeatureError::MaskSize {
                mask_width: mask.width(),
                mask_height: mask.height(),
                photo_width: photo.width(),
                photo_height: photo.height(),
            })
        }
        _ => Ok(()),
    }
}
