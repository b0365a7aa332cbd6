//! One row of the ingest table.

use crate::{Camera, CameraId, ViewId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a photo was taken, from its EXIF data.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GeoTag {
    /// Degrees north.
    pub latitude_deg: f64,
    /// Degrees east.
    pub longitude_deg: f64,
    /// Metres above the ellipsoid, where given.
    pub altitude_m: Option<f64>,
}

/// A photo or key frame that takes part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Photo {
    /// Key of the view made from it (1-based rank of the name).
    pub view_id: ViewId,
    /// Path relative to its input, with `/`; a key frame is
    /// `<video file>/<decoded frame index, %04d>.png`.
    pub name: String,
    /// BLAKE3 of the file's bytes (of the decoded pixels for a key frame), hex.
    pub digest: String,
    /// BLAKE3 of the mask's bytes, hex, where there is a mask.
    pub mask_digest: Option<String>,
    /// Upright width after EXIF orientation.
    pub width_px: u32,
    /// Upright height after EXIF orientation.
    pub height_px: u32,
    /// EXIF orientation 1..=8 that was applied.
    pub orientation: u8,
    /// The camera group.
    pub camera_id: CameraId,
    /// Make, model and lens where EXIF has them.
    pub device: Option<String>,
    /// Variance of the Laplacian at 640 px, grey levels squared.
    pub sharpness: f32,
    /// GPS position from EXIF.
    pub geo: Option<GeoTag>,
    /// Capture time as EXIF writes it, or seconds into the video for a frame.
    pub taken: Option<String>,
    /// Seconds into the video for a key frame.
    pub time_s: Option<f64>,
    /// Posed, but kept out of depth and texture.
    pub held_out: bool,
}

/// All photos that take part and their cameras.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PhotoSet {
    /// Photos in order of name.
    pub photos: Vec<Photo>,
    /// Starting intrinsics by group.
    pub cameras: BTreeMap<CameraId, Camera>,
}
