//! Which decoder reads videos: OpenCV's where its program is, else an installed
//! ffmpeg.

use crate::error::PipelineError;
use relievo_media::{FfmpegDecoder, HelperDecoder, VideoDecoder};

/// The decoder, or what to install.
pub fn decoder() -> Result<Box<dyn VideoDecoder>, PipelineError> {
    if let Some(decoder) = HelperDecoder::find() {
        return Ok(Box::new(decoder));
    }
    match FfmpegDecoder::find() {
        Some(decoder) => Ok(Box::new(decoder)),
        None => Err(PipelineError::Input {
            what: "neither relievo-opencv stands beside this program (and starts) nor is ffmpeg \
                   installed, so videos cannot be read"
                .to_owned(),
            hint: "install ffmpeg (apt-get install ffmpeg), or build with the default features, \
                   or give photos"
                .to_owned(),
        }),
    }
}
