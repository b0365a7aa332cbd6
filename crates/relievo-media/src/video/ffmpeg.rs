//! Frames through the `ffmpeg` and `ffprobe` programs, for builds without
//! OpenCV.

use super::{FrameSource, FrameStamp, VideoDecoder, VideoInfo};
use crate::MediaError;
use crate::error::VideoProblem;
use relievo_image::{Filter, Raster, Rgb8, fit_longer_side, luma, resize};
use serde::Deserialize;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Decodes by running `ffmpeg`.
#[derive(Clone, Debug)]
pub struct FfmpegDecoder {
    version: String,
}

impl FfmpegDecoder {
    /// `None` where `ffmpeg` or `ffprobe` cannot be run.
    pub fn find() -> Option<Self> {
        let version_of = |program: &str| {
            let out = Command::new(program).arg("-version").output().ok()?;
            let text = String::from_utf8_lossy(&out.stdout).into_owned();
            out.status.success().then_some(text)
        };
        version_of("ffprobe")?;
        let text = version_of("ffmpeg")?;
        let version = text.split_whitespace().nth(2).unwrap_or("unknown");
        Some(Self {
            version: version.to_owned(),
        })
    }
}

#[derive(Deserialize)]
struct Probe {
    #[serde(default)]
    streams: Vec<Stream>,
    #[serde(default)]
    packets: Vec<Packet>,
    #[serde(default)]
    format: Format,
}

#[derive(Deserialize, Default)]
struct Format {
    duration: Option<String>,
}

#[derive(Deserialize)]
struct Packet {
    pts_time: Option<String>,
}

#[derive(Deserialize)]
struct Stream {
    #[serde(default)]
    width: u32,
    #[serde(default)]
    height: u32,
    avg_frame_rate: Option<String>,
    #[serde(default)]
    side_data_list: Vec<SideData>,
}

#[derive(Deserialize)]
struct SideData {
    rotation: Option<f64>,
}

impl VideoDecoder for FfmpegDecoder {
    fn name(&self) -> &'static str {
        "ffmpeg"
    }

    fn version(&self) -> String {
        self.version.clone()
    }

    fn open(&self, path: &Path) -> Result<Box<dyn FrameSource>, MediaError> {
        fs_err::File::open(path)?;
        let cannot = |reason: String| VideoProblem::CannotOpen { reason }.of(path);
        let out = Command::new("ffprobe")
            .args(["-v", "error", "-select_streams", "v:0", "-of", "json"])
            .args(["-show_entries", "stream=width,height,avg_frame_rate"])
            .args(["-show_entries", "stream_side_data=rotation"])
            .args(["-show_entries", "packet=pts_time:format=duration"])
            .arg("-i")
            .arg(path)
            .stdin(Stdio::null())
            .output()?;
        if !out.status.success() {
            let said = String::from_utf8_lossy(&out.stderr);
            return Err(cannot(
                said.lines().last().unwrap_or("no reason").to_owned(),
            ));
        }
        let probe: Probe =
            serde_json::from_slice(&out.stdout).map_err(|e| cannot(e.to_string()))?;
        let Some(stream) = probe
            .streams
            .first()
            .filter(|s| s.width > 0 && s.height > 0)
        else {
            return Err(cannot("it has no pictures".to_owned()));
        };
        let mut times: Vec<f64> = probe
            .packets
            .iter()
            .filter_map(|p| p.pts_time.as_ref()?.parse().ok())
            .collect();
        // Packets come in order of decoding, frames in order of showing.
        times.sort_by(f64::total_cmp);
        times.dedup();
        let turned = stream
            .side_data_list
            .iter()
            .find_map(|s| s.rotation)
            .is_some_and(|r| (r.abs().round() as i64) % 180 == 90);
        let (width_px, height_px) = if turned {
            (stream.height, stream.width)
        } else {
            (stream.width, stream.height)
        };
        let fps = stream
            .avg_frame_rate
            .as_deref()
            .and_then(|r| {
                let (n, d) = r.split_once('/')?;
                Some(n.parse::<f64>().ok()? / d.parse::<f64>().ok()?)
            })
            .filter(|f| f.is_finite() && *f > 0.0)
            .unwrap_or(30.0);
        let child = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-i"])
            .arg(path)
            .args(["-map", "0:v:0", "-vsync", "passthrough"])
            .args(["-f", "rawvideo", "-pix_fmt", "rgb24", "-"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Box::new(FfmpegFrames {
            path: path.to_owned(),
            info: VideoInfo {
                width_px,
                height_px,
                fps,
                frames: times.len() as u64,
                duration_s: probe
                    .format
                    .duration
                    .and_then(|d| d.parse().ok())
                    .unwrap_or(0.0),
            },
            times,
            child,
            index: 0,
            ended: false,
        }))
    }
}

struct FfmpegFrames {
    path: PathBuf,
    info: VideoInfo,
    times: Vec<f64>,
    child: Child,
    index: u64,
    ended: bool,
}

impl FrameSource for FfmpegFrames {
    fn info(&self) -> VideoInfo {
        self.info
    }

    fn skip(&mut self) -> Result<Option<FrameStamp>, MediaError> {
        Ok(self.rgb()?.map(|(stamp, _)| stamp))
    }

    fn luma(
        &mut self,
        longer_side_px: usize,
    ) -> Result<Option<(FrameStamp, Raster<u8>)>, MediaError> {
        let Some((stamp, rgb)) = self.rgb()? else {
            return Ok(None);
        };
        let (w, h) = fit_longer_side(rgb.width(), rgb.height(), longer_side_px);
        Ok(Some((stamp, resize(&luma(&rgb), w, h, Filter::Area))))
    }

    fn rgb(&mut self) -> Result<Option<(FrameStamp, Raster<Rgb8>)>, MediaError> {
        let stdout = self.child.stdout.as_mut().filter(|_| !self.ended);
        let Some(stdout) = stdout else {
            return Ok(None);
        };
        let (w, h) = (self.info.width_px as usize, self.info.height_px as usize);
        let mut pixels = vec![[0_u8; 3]; w * h];
        let bytes = pixels.as_flattened_mut();
        let mut filled = 0;
        while filled < bytes.len() {
            match stdout.read(&mut bytes[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
        if filled < bytes.len() {
            self.ended = true;
            let status = self.child.wait()?;
            if filled > 0 || (self.index == 0 && !status.success()) {
                return Err(VideoProblem::Decoding {
                    reason: format!("ffmpeg ended with {status} in frame {}", self.index),
                }
                .of(&self.path));
            }
            return Ok(None);
        }
        let index = self.index;
        self.index += 1;
        let start = self.times.first().copied().unwrap_or(0.0);
        let time_s = self
            .times
            .get(index as usize)
            .map_or(index as f64 / self.info.fps, |t| t - start);
        let stamp = FrameStamp { index, time_s };
        Ok(Some((stamp, Raster::from_vec(w, h, pixels))))
    }
}

impl Drop for FfmpegFrames {
    fn drop(&mut self) {
        // The program may still be decoding what nobody will read.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
