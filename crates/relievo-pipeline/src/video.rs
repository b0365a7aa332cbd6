//! Which decoder reads videos: OpenCV where built in, else an installed
//! ffmpeg.

use crate::error::PipelineError;
use relievo_media::VideoDecoder;

/// The decoder, or what to install.
pub fn decoder() -> Result<Box<dyn VideoDecoder>, PipelineError> {
    #[cfg(feature = "opencv")]
    {
        Ok(Box::new(relievo_opencv::OpenCvDecoder))
    }
    #[cfg(not(feature = "opencv"))]
    {
        match relievo_media::FfmpegDecoder::find() {
            Some(decoder) => Ok(Box::new(decoder)),
            None => Err(PipelineError::Input {
                what: "this program was built without OpenCV and no ffmpeg is installed, so \
                       videos cannot be read"
                    .to_owned(),
                hint: "install ffmpeg (apt-get install ffmpeg), or build with the default \
                       features, or give photos"
                    .to_owned(),
            }),
        }
    }
}
