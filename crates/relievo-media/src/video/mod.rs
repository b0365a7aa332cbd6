//! Videos as sequences of frames.
//!
//! [`FrameSource`] is what a decoder offers; `relievo-opencv` implements it, in a
//! process of its own that [`helper`] talks to; [`ffmpeg`] is the fallback through the
//! `ffmpeg` program. Key frames are chosen from [`motion`] and sharpness by [`key_frames`].

pub mod display_matrix;
pub mod ffmpeg;
pub mod helper;
pub mod key_frames;
pub mod motion;

use crate::MediaError;
use relievo_image::{Raster, Rgb8};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What a container says about its video.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct VideoInfo {
    /// Upright width, rotation applied.
    pub width_px: u32,
    /// Upright height, rotation applied.
    pub height_px: u32,
    /// Frames per second, as announced; for a varying rate the mean.
    pub fps: f64,
    /// Number of frames, as announced; may be wrong or 0.
    pub frames: u64,
    /// Length in seconds, as announced; may be 0.
    pub duration_s: f64,
}

/// Which frame this is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrameStamp {
    /// Counted from 0 in order of decoding (which is order of showing).
    pub index: u64,
    /// Seconds from the start; strictly rising.
    pub time_s: f64,
}

/// A video that is being decoded from start to end. Each of the three methods
/// moves on by one frame; `None` after the last.
pub trait FrameSource: Send {
    /// What the container says.
    fn info(&self) -> VideoInfo;

    /// Passes over one frame without converting it.
    fn skip(&mut self) -> Result<Option<FrameStamp>, MediaError>;

    /// The next frame's luma, reduced to `longer_side_px` on the longer side.
    fn luma(
        &mut self,
        longer_side_px: usize,
    ) -> Result<Option<(FrameStamp, Raster<u8>)>, MediaError>;

    /// The next frame, upright, sRGB, full size.
    fn rgb(&mut self) -> Result<Option<(FrameStamp, Raster<Rgb8>)>, MediaError>;
}

/// Opens videos.
pub trait VideoDecoder: Send + Sync {
    /// Kebab-case name, part of the key of an ingest.
    fn name(&self) -> &'static str;

    /// Version of the external code, part of the key.
    fn version(&self) -> String;

    /// Opens the video at its first frame.
    fn open(&self, path: &Path) -> Result<Box<dyn FrameSource>, MediaError>;
}

/// Decodes the frames whose indices stand in `wanted` (rising) and hands each
/// to `sink`. Decodes everything before, so an index always means the same
/// frame.
pub fn decode_frames(
    source: &mut dyn FrameSource,
    wanted: &[u64],
    mut sink: impl FnMut(FrameStamp, Raster<Rgb8>) -> Result<(), MediaError>,
) -> Result<(), MediaError> {
    let mut index = 0;
    for &want in wanted {
        while index < want {
            if source.skip()?.is_none() {
                return Ok(());
            }
            index += 1;
        }
        let Some((stamp, rgb)) = source.rgb()? else {
            return Ok(());
        };
        index += 1;
        sink(stamp, rgb)?;
    }
    Ok(())
}
