//! Frames from a decoder in a process of its own.
//!
//! OpenCV brings some two hundred shared libraries, which take longer to load than many a
//! command to run, and a decoder that crashes on a damaged file should not end the run. So
//! the program that links it stands beside ours and is started for a video: a line of JSON
//! is a request or a reply, and the pixels of a frame follow its reply. Both ends are here.

use super::{FrameSource, FrameStamp, VideoDecoder, VideoInfo};
use crate::{MediaError, VideoProblem};
use relievo_image::{Raster, Rgb8};
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Name of the program that links OpenCV.
const PROGRAM: &str = "relievo-opencv";
/// No frame has more pixels.
const MOST_PIXELS: usize = 1 << 28;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Request {
    Skip,
    Luma { longer_side_px: usize },
    Rgb,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Reply {
    Opened(VideoInfo),
    /// The pixels follow; none where the frame was passed over.
    Frame {
        stamp: FrameStamp,
        width: usize,
        height: usize,
    },
    End,
    Failed(VideoProblem),
}

/// Where the program that links OpenCV is: beside this one. `None` where it is not.
pub fn opencv_program() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let mut folder = own.parent()?;
    // Tests and examples stand one folder deeper.
    if folder.ends_with("deps") || folder.ends_with("examples") {
        folder = folder.parent()?;
    }
    let program = folder.join(format!("{PROGRAM}{}", std::env::consts::EXE_SUFFIX));
    program.is_file().then_some(program)
}

/// Decodes with OpenCV in a process of its own.
#[derive(Clone, Debug)]
pub struct HelperDecoder {
    program: PathBuf,
    version: String,
}

impl HelperDecoder {
    /// `None` where the program is not there or does not start, as without OpenCV's
    /// libraries.
    pub fn find() -> Option<Self> {
        let program = opencv_program()?;
        let out = Command::new(&program)
            .arg("version")
            .stdin(Stdio::null())
            .output()
            .ok()?;
        let version = String::from_utf8_lossy(&out.stdout).trim().to_owned();
        out.status.success().then_some(Self { program, version })
    }
}

impl VideoDecoder for HelperDecoder {
    fn name(&self) -> &'static str {
        "opencv"
    }

    fn version(&self) -> String {
        self.version.clone()
    }

    fn open(&self, path: &Path) -> Result<Box<dyn FrameSource>, MediaError> {
        fs_err::File::open(path)?;
        let mut child = Command::new(&self.program)
            .arg("frames")
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let (Some(requests), Some(replies)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
        };
        let (requests, replies) = (Box::new(requests), Box::new(BufReader::new(replies)));
        Ok(Box::new(HelperFrames::open(
            path,
            requests,
            replies,
            Some(child),
        )?))
    }
}

/// A video that another process decodes.
struct HelperFrames {
    path: PathBuf,
    info: VideoInfo,
    requests: Box<dyn Write + Send>,
    replies: Box<dyn BufRead + Send>,
    child: Option<Child>,
}

/// A frame as it comes: width, height, samples.
type Frame = (FrameStamp, usize, usize, Vec<u8>);

impl HelperFrames {
    fn open(
        path: &Path,
        requests: Box<dyn Write + Send>,
        replies: Box<dyn BufRead + Send>,
        child: Option<Child>,
    ) -> Result<Self, MediaError> {
        let info = VideoInfo {
            width_px: 0,
            height_px: 0,
            fps: 0.0,
            frames: 0,
            duration_s: 0.0,
        };
        let mut frames = Self {
            path: path.to_owned(),
            info,
            requests,
            replies,
            child,
        };
        match frames.reply() {
            Ok(Reply::Opened(info)) => frames.info = info,
            Ok(Reply::Failed(problem)) => return Err(problem.of(path)),
            _ => return Err(frames.lost()),
        }
        Ok(frames)
    }

    fn reply(&mut self) -> io::Result<Reply> {
        let mut line = String::new();
        self.replies.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }

    /// The answer to a request for a frame of so many samples a pixel.
    fn ask(&mut self, request: Request, samples: usize) -> Result<Option<Frame>, MediaError> {
        let mut answered = || -> io::Result<Reply> {
            say(&mut self.requests, &request)?;
            self.reply()
        };
        let (stamp, width, height) = match answered() {
            Ok(Reply::Frame {
                stamp,
                width,
                height,
            }) if width.saturating_mul(height) <= MOST_PIXELS => (stamp, width, height),
            Ok(Reply::End) => return Ok(None),
            Ok(Reply::Failed(problem)) => return Err(problem.of(&self.path)),
            _ => return Err(self.lost()),
        };
        let mut pixels = vec![0; width * height * samples];
        match self.replies.read_exact(&mut pixels) {
            Ok(()) => Ok(Some((stamp, width, height, pixels))),
            Err(_) => Err(self.lost()),
        }
    }

    /// The other process is gone, or says what makes no sense.
    fn lost(&mut self) -> MediaError {
        let ended = self.child.as_mut().and_then(|c| {
            let _ = c.kill();
            c.wait().ok()
        });
        let reason = match ended {
            Some(status) => format!("the decoder ended with {status}"),
            None => "the decoder is gone".to_owned(),
        };
        VideoProblem::Decoding { reason }.of(&self.path)
    }
}

impl FrameSource for HelperFrames {
    fn info(&self) -> VideoInfo {
        self.info
    }

    fn skip(&mut self) -> Result<Option<FrameStamp>, MediaError> {
        Ok(self.ask(Request::Skip, 0)?.map(|(stamp, ..)| stamp))
    }

    fn luma(
        &mut self,
        longer_side_px: usize,
    ) -> Result<Option<(FrameStamp, Raster<u8>)>, MediaError> {
        let frame = self.ask(Request::Luma { longer_side_px }, 1)?;
        Ok(frame.map(|(stamp, w, h, pixels)| (stamp, Raster::from_vec(w, h, pixels))))
    }

    fn rgb(&mut self) -> Result<Option<(FrameStamp, Raster<Rgb8>)>, MediaError> {
        let frame = self.ask(Request::Rgb, 3)?;
        Ok(frame.map(|(stamp, w, h, samples)| {
            let pixels = samples.as_chunks::<3>().0.to_vec();
            (stamp, Raster::from_vec(w, h, pixels))
        }))
    }
}

impl Drop for HelperFrames {
    fn drop(&mut self) {
        // It may still be decoding what nobody will read.
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Answers requests about the video at `path` until there are no more: what
/// [`HelperDecoder`] talks to.
pub fn serve_frames(
    decoder: &dyn VideoDecoder,
    path: &Path,
    requests: impl BufRead,
    mut replies: impl Write,
) -> io::Result<()> {
    let mut frames = match decoder.open(path) {
        Ok(frames) => frames,
        Err(e) => return say(&mut replies, &Reply::Failed(problem(e))),
    };
    say(&mut replies, &Reply::Opened(frames.info()))?;
    for line in requests.lines() {
        let frame = match serde_json::from_str(&line?)? {
            Request::Skip => frames.skip().map(|s| Some((s?, 0, 0, Vec::new()))),
            Request::Luma { longer_side_px } => frames.luma(longer_side_px).map(|f| {
                let (stamp, picture) = f?;
                let (w, h) = (picture.width(), picture.height());
                Some((stamp, w, h, picture.into_vec()))
            }),
            Request::Rgb => frames.rgb().map(|f| {
                let (stamp, picture) = f?;
                let (w, h) = (picture.width(), picture.height());
                Some((stamp, w, h, picture.as_slice().as_flattened().to_vec()))
            }),
        };
        let (reply, pixels) = match frame {
            Ok(Some((stamp, width, height, pixels))) => {
                let reply = Reply::Frame {
                    stamp,
                    width,
                    height,
                };
                (reply, pixels)
            }
            Ok(None) => (Reply::End, Vec::new()),
            Err(e) => (Reply::Failed(problem(e)), Vec::new()),
        };
        say(&mut replies, &reply)?;
        replies.write_all(&pixels)?;
        replies.flush()?;
    }
    Ok(())
}

fn problem(error: MediaError) -> VideoProblem {
    match error {
        MediaError::Video { problem, .. } => problem,
        other => VideoProblem::Decoding {
            reason: other.to_string(),
        },
    }
}

/// One line of JSON.
fn say(to: &mut impl Write, what: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    to.write_all(&line)?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three frames, then an error.
    struct Few(u64);

    impl Few {
        fn next(&mut self) -> Result<Option<FrameStamp>, MediaError> {
            let index = self.0;
            self.0 += 1;
            if index == 3 {
                let reason = "frame 3: damaged".to_owned();
                return Err(VideoProblem::Decoding { reason }.of(Path::new("v.mp4")));
            }
            let time_s = index as f64 / 29.97;
            Ok((index < 3).then_some(FrameStamp { index, time_s }))
        }
    }

    impl FrameSource for Few {
        fn info(&self) -> VideoInfo {
            VideoInfo {
                width_px: 2,
                height_px: 3,
                fps: 29.97,
                frames: 4,
                duration_s: 4.0 / 29.97,
            }
        }

        fn skip(&mut self) -> Result<Option<FrameStamp>, MediaError> {
            self.next()
        }

        fn luma(&mut self, side: usize) -> Result<Option<(FrameStamp, Raster<u8>)>, MediaError> {
            let grey = Raster::from_vec(side, 1, (0..side as u8).collect());
            Ok(self.next()?.map(|s| (s, grey)))
        }

        fn rgb(&mut self) -> Result<Option<(FrameStamp, Raster<Rgb8>)>, MediaError> {
            let pixels = (0..6).map(|i| [i, 10, b'\n']).collect();
            Ok(self.next()?.map(|s| (s, Raster::from_vec(2, 3, pixels))))
        }
    }

    struct FewDecoder;

    impl VideoDecoder for FewDecoder {
        fn name(&self) -> &'static str {
            "few"
        }

        fn version(&self) -> String {
            "1".to_owned()
        }

        fn open(&self, path: &Path) -> Result<Box<dyn FrameSource>, MediaError> {
            if path.ends_with("closed.mp4") {
                let reason = "no decoder takes it".to_owned();
                return Err(VideoProblem::CannotOpen { reason }.of(path));
            }
            Ok(Box::new(Few(0)))
        }
    }

    /// Opens a video that another thread serves.
    fn served(path: &'static str) -> Result<HelperFrames, MediaError> {
        let (to_thread, requests) = (io::pipe().unwrap(), io::pipe().unwrap());
        let ((out, replies), (asked, ask)) = ((to_thread.1, to_thread.0), requests);
        rayon::spawn(move || {
            let _ = serve_frames(&FewDecoder, path.as_ref(), BufReader::new(asked), out);
        });
        HelperFrames::open(
            path.as_ref(),
            Box::new(ask),
            Box::new(BufReader::new(replies)),
            None,
        )
    }

    #[test]
    fn frames_come_through_as_they_are() {
        let (mut there, mut here) = (served("v.mp4").unwrap(), Few(0));
        assert_eq!(there.info(), here.info());
        assert_eq!(there.skip().unwrap(), here.skip().unwrap());
        assert_eq!(there.luma(5).unwrap(), here.luma(5).unwrap());
        assert_eq!(there.rgb().unwrap(), here.rgb().unwrap());
        let told = |e: MediaError| e.to_string();
        assert_eq!(
            there.rgb().map_err(told).unwrap_err(),
            here.rgb().map_err(told).unwrap_err()
        );
        assert_eq!(there.rgb().unwrap(), None);
    }

    #[test]
    fn a_video_that_does_not_open_says_why() {
        let error = served("closed.mp4").err().unwrap().to_string();
        assert!(error.contains("no decoder takes it"), "{error}");
    }

    #[test]
    fn a_decoder_that_dies_is_an_error_of_the_video() {
        let opened = serde_json::to_string(&Reply::Opened(Few(0).info())).unwrap();
        let frame = r#"{"frame":{"stamp":{"index":0,"time_s":0.0},"width":9,"height":9}}"#;
        for said in [
            String::new(),
            "what".to_owned(),
            format!("{opened}\n"),
            format!("{opened}\n{frame}\n123"),
            format!("{opened}\n{}", frame.replace('9', "999999999")),
        ] {
            let replies = Box::new(io::Cursor::new(said.clone()));
            let opened = HelperFrames::open("v.mp4".as_ref(), Box::new(io::sink()), replies, None);
            let error = opened.and_then(|mut f| f.rgb()).unwrap_err();
            let MediaError::Video { problem, .. } = error else {
                panic!("{said}: {error}");
            };
            assert!(matches!(problem, VideoProblem::Decoding { .. }), "{said}");
        }
    }
}
