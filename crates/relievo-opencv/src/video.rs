//! Frames through `cv::VideoCapture` with its FFmpeg backend.

use opencv::core::{self, Mat, MatTraitConst, MatTraitConstManual, Size};
use opencv::imgproc;
use opencv::videoio::{self, VideoCapture, VideoCaptureTrait, VideoCaptureTraitConst};
use relievo_image::{Raster, Rgb8, fit_longer_side};
use relievo_media::orientation::{swaps_sides, upright};
use relievo_media::{
    FrameSource, FrameStamp, MediaError, VideoDecoder, VideoInfo, VideoProblem,
    orientation_of_video,
};
use std::path::{Path, PathBuf};

/// Decodes with OpenCV.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenCvDecoder;

impl VideoDecoder for OpenCvDecoder {
    fn name(&self) -> &'static str {
        "opencv"
    }

    fn version(&self) -> String {
        crate::opencv_version()
    }

    fn open(&self, path: &Path) -> Result<Box<dyn FrameSource>, MediaError> {
        fs_err::File::open(path)?;
        let cannot = |reason: &str| {
            VideoProblem::CannotOpen {
                reason: reason.to_owned(),
            }
            .of(path)
        };
        let text = path
            .to_str()
            .ok_or_else(|| cannot("its name is not UTF-8"))?;
        let orientation = orientation_of_video(path)?;
        let open = || -> opencv::Result<Option<(VideoCapture, VideoInfo)>> {
            core::set_num_threads(1)?;
            let mut capture = VideoCapture::from_file(text, videoio::CAP_FFMPEG)?;
            if !capture.is_opened()? {
                return Ok(None);
            }
            capture.set(videoio::CAP_PROP_ORIENTATION_AUTO, 0.0)?;
            let get = |prop| {
                let value = capture.get(prop)?;
                Ok::<f64, opencv::Error>(if value.is_finite() {
                    value.max(0.0)
                } else {
                    0.0
                })
            };
            let fps = get(videoio::CAP_PROP_FPS)?;
            let fps = if fps > 0.0 && fps < 10_000.0 {
                fps
            } else {
                30.0
            };
            let frames = get(videoio::CAP_PROP_FRAME_COUNT)?;
            let coded = (
                get(videoio::CAP_PROP_FRAME_WIDTH)? as u32,
                get(videoio::CAP_PROP_FRAME_HEIGHT)? as u32,
            );
            let (width_px, height_px) = if swaps_sides(orientation) {
                (coded.1, coded.0)
            } else {
                coded
            };
            let info = VideoInfo {
                width_px,
                height_px,
                fps,
                frames: frames as u64,
                duration_s: frames / fps,
            };
            Ok(Some((capture, info)))
        };
        match open() {
            Ok(Some((capture, info))) => Ok(Box::new(OpenCvFrames {
                path: path.to_owned(),
                capture,
                info,
                orientation,
                index: 0,
                last_s: 0.0,
                frame: Mat::default(),
                other: Mat::default(),
            })),
            Ok(None) => Err(cannot("no decoder takes it")),
            Err(e) => Err(cannot(&e.message)),
        }
    }
}

struct OpenCvFrames {
    path: PathBuf,
    capture: VideoCapture,
    info: VideoInfo,
    /// EXIF orientation of the frames as they come.
    orientation: u8,
    index: u64,
    last_s: f64,
    frame: Mat,
    other: Mat,
}

impl OpenCvFrames {
    fn grab(&mut self) -> opencv::Result<Option<FrameStamp>> {
        if !self.capture.grab()? {
            return Ok(None);
        }
        let index = self.index;
        let announced = self.capture.get(videoio::CAP_PROP_POS_MSEC)? / 1000.0;
        // OpenCV reports 0 for the last frame of every file, and for all
        // frames of files without time stamps.
        let time_s = if index == 0 {
            0.0
        } else if announced > self.last_s {
            announced
        } else {
            self.last_s + 1.0 / self.info.fps
        };
        self.index += 1;
        self.last_s = time_s;
        Ok(Some(FrameStamp { index, time_s }))
    }

    fn retrieve(&mut self) -> opencv::Result<()> {
        self.capture.retrieve(&mut self.frame, 0)?;
        Ok(())
    }

    fn decoding(&self, e: &opencv::Error) -> MediaError {
        VideoProblem::Decoding {
            reason: format!("frame {}: {}", self.index, e.message),
        }
        .of(&self.path)
    }

    fn grab_luma(
        &mut self,
        longer_side_px: usize,
    ) -> opencv::Result<Option<(FrameStamp, Raster<u8>)>> {
        let Some(stamp) = self.grab()? else {
            return Ok(None);
        };
        self.retrieve()?;
        let size = self.frame.size()?;
        let (w, h) = fit_longer_side(
            size.width.max(0) as usize,
            size.height.max(0) as usize,
            longer_side_px,
        );
        let small = Size::new(w as i32, h as i32);
        imgproc::resize(
            &self.frame,
            &mut self.other,
            small,
            0.0,
            0.0,
            imgproc::INTER_AREA,
        )?;
        let mut grey = Mat::default();
        imgproc::cvt_color_def(&self.other, &mut grey, imgproc::COLOR_BGR2GRAY)?;
        let pixels = grey.data_typed::<u8>()?.to_vec();
        let raster = Raster::from_vec(w, h, pixels);
        Ok(Some((stamp, upright(raster, self.orientation))))
    }

    fn grab_rgb(&mut self) -> opencv::Result<Option<(FrameStamp, Raster<Rgb8>)>> {
        let Some(stamp) = self.grab()? else {
            return Ok(None);
        };
        self.retrieve()?;
        imgproc::cvt_color_def(&self.frame, &mut self.other, imgproc::COLOR_BGR2RGB)?;
        let size = self.other.size()?;
        let pixels: Vec<Rgb8> = self
            .other
            .data_typed::<core::Vec3b>()?
            .iter()
            .map(|p| p.0)
            .collect();
        let raster = Raster::from_vec(size.width as usize, size.height as usize, pixels);
        Ok(Some((stamp, upright(raster, self.orientation))))
    }
}

impl FrameSource for OpenCvFrames {
    fn info(&self) -> VideoInfo {
        self.info
    }

    fn skip(&mut self) -> Result<Option<FrameStamp>, MediaError> {
        self.grab().map_err(|e| self.decoding(&e))
    }

    fn luma(
        &mut self,
        longer_side_px: usize,
    ) -> Result<Option<(FrameStamp, Raster<u8>)>, MediaError> {
        self.grab_luma(longer_side_px)
            .map_err(|e| self.decoding(&e))
    }

    fn rgb(&mut self) -> Result<Option<(FrameStamp, Raster<Rgb8>)>, MediaError> {
        self.grab_rgb().map_err(|e| self.decoding(&e))
    }
}
