//! A detector in a process of its own: OpenCV's, whose libraries our program does not
//! load (see `relievo_media::video::helper`). A photo goes there as a line of JSON and its
//! pixels, keypoints come back as a line of JSON and their bytes. Both ends are here.

use crate::{Detector, FeatureError, check_mask};
use relievo_image::Raster;
use relievo_scene::{DESCRIPTOR_LEN, Features, Keypoint};
use relievo_task::Task;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Bytes of a keypoint: four numbers, descriptor, colour.
const ROW: usize = 16 + DESCRIPTOR_LEN + 3;

#[derive(Debug, Serialize, Deserialize)]
struct Request {
    max_keypoints: usize,
    width: usize,
    height: usize,
    has_mask: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Reply {
    Found(usize),
    Failed(String),
}

/// OpenCV's SIFT by a program that links it.
#[derive(Clone, Debug)]
pub struct HelperSift {
    /// The program.
    pub program: PathBuf,
    /// Keeps at most so many, the strongest.
    pub max_keypoints: usize,
}

impl Detector for HelperSift {
    fn name(&self) -> &'static str {
        "opencv-sift"
    }

    fn version(&self) -> u32 {
        1
    }

    fn detect(
        &self,
        photo: &Raster<[u8; 3]>,
        mask: Option<&Raster<u8>>,
        task: &Task,
    ) -> Result<Features, FeatureError> {
        task.check()?;
        check_mask(photo, mask)?;
        if photo.is_empty() {
            return Ok(Features::default());
        }
        self.ask(photo, mask).map_err(|e| failed(e.to_string()))?
    }
}

fn failed(reason: String) -> FeatureError {
    FeatureError::External {
        detector: "OpenCV's SIFT",
        reason,
    }
}

impl HelperSift {
    fn ask(
        &self,
        photo: &Raster<[u8; 3]>,
        mask: Option<&Raster<u8>>,
    ) -> io::Result<Result<Features, FeatureError>> {
        let mut child = Command::new(&self.program)
            .arg("sift")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let answer = pipes.ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe));
        let answer = answer.and_then(|(to, from)| {
            write_request(to, self.max_keypoints, photo, mask)?;
            read_reply(BufReader::new(from))
        });
        let status = child.wait()?;
        match answer {
            Err(_) if !status.success() => Ok(Err(failed(format!("it ended with {status}")))),
            answer => answer,
        }
    }
}

fn write_request(
    mut to: impl Write,
    max_keypoints: usize,
    photo: &Raster<[u8; 3]>,
    mask: Option<&Raster<u8>>,
) -> io::Result<()> {
    let request = Request {
        max_keypoints,
        width: photo.width(),
        height: photo.height(),
        has_mask: mask.is_some(),
    };
    writeln!(to, "{}", serde_json::to_string(&request)?)?;
    to.write_all(photo.as_slice().as_flattened())?;
    if let Some(mask) = mask {
        to.write_all(mask.as_slice())?;
    }
    to.flush()
}

fn read_reply(mut from: impl BufRead) -> io::Result<Result<Features, FeatureError>> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    let count = match serde_json::from_str(&line)? {
        Reply::Found(count) => count,
        Reply::Failed(reason) => return Ok(Err(failed(reason))),
    };
    let mut features = Features::default();
    let mut row = [0; ROW];
    for _ in 0..count {
        from.read_exact(&mut row)?;
        let number = |k: usize| f32::from_le_bytes(std::array::from_fn(|i| row[4 * k + i]));
        features.keypoints.push(Keypoint {
            x_px: number(0),
            y_px: number(1),
            scale_px: number(2),
            angle: number(3),
        });
        let descriptor = std::array::from_fn(|i| row[16 + i]);
        features.descriptors.push(descriptor);
        let color = std::array::from_fn(|i| row[16 + DESCRIPTOR_LEN + i]);
        features.colors.push(color);
    }
    Ok(Ok(features))
}

/// Answers one request, by the detector that `make` gives for a number of keypoints.
pub fn serve_features<D: Detector>(
    make: impl FnOnce(usize) -> D,
    mut request: impl BufRead,
    mut reply: impl Write,
) -> io::Result<()> {
    let mut line = String::new();
    request.read_line(&mut line)?;
    let asked: Request = serde_json::from_str(&line)?;
    let (width, height) = (asked.width, asked.height);
    let mut pixels = vec![[0; 3]; width * height];
    request.read_exact(pixels.as_flattened_mut())?;
    let photo = Raster::from_vec(width, height, pixels);
    let mut mask = asked.has_mask.then(|| Raster::<u8>::new(width, height));
    if let Some(mask) = &mut mask {
        request.read_exact(mask.as_mut_slice())?;
    }
    let detector = make(asked.max_keypoints);
    let found = match detector.detect(&photo, mask.as_ref(), &Task::silent()) {
        Ok(found) => found,
        Err(e) => {
            let reason = match e {
                FeatureError::External { reason, .. } => reason,
                other => other.to_string(),
            };
            writeln!(reply, "{}", serde_json::to_string(&Reply::Failed(reason))?)?;
            return reply.flush();
        }
    };
    let told = Reply::Found(found.len());
    writeln!(reply, "{}", serde_json::to_string(&told)?)?;
    for ((k, descriptor), color) in found
        .keypoints
        .iter()
        .zip(&found.descriptors)
        .zip(&found.colors)
    {
        for number in [k.x_px, k.y_px, k.scale_px, k.angle] {
            reply.write_all(&number.to_le_bytes())?;
        }
        reply.write_all(descriptor)?;
        reply.write_all(color)?;
    }
    reply.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sift;

    fn photo() -> Raster<[u8; 3]> {
        let blob = |x: usize, y: usize| {
            let (dx, dy) = ((x % 24) as f32 - 12.0, (y % 24) as f32 - 11.0);
            (200.0 * (-(dx * dx + dy * dy) / 18.0).exp()) as u8
        };
        Raster::from_fn(96, 72, |x, y| [blob(x, y), 20, blob(x, y) / 2])
    }

    #[test]
    fn features_come_through_as_they_are() {
        let mask = Raster::from_fn(96, 72, |x, _| if x < 60 { 255 } else { 0 });
        for mask in [None, Some(&mask)] {
            let (mut asked, mut told) = (Vec::new(), Vec::new());
            write_request(&mut asked, 40, &photo(), mask).unwrap();
            serve_features(
                |count| {
                    assert_eq!(count, 40);
                    Sift::default()
                },
                &*asked,
                &mut told,
            )
            .unwrap();
            let here = Sift::default().detect(&photo(), mask, &Task::silent());
            let here = here.unwrap();
            assert!(!here.is_empty());
            assert_eq!(read_reply(&*told).unwrap().unwrap(), here);
            told.pop();
            assert!(read_reply(&*told).is_err());
        }
    }

    #[test]
    fn what_went_wrong_comes_through() {
        let told = "{\"failed\":\"out of memory\"}\n";
        let error = read_reply(told.as_bytes()).unwrap().unwrap_err();
        assert_eq!(error, failed("out of memory".to_owned()));
        let gone = HelperSift {
            program: "/no/such/program".into(),
            max_keypoints: 4,
        };
        let error = gone.detect(&photo(), None, &Task::silent()).unwrap_err();
        assert!(error.to_string().starts_with("OpenCV's SIFT failed"));
    }
}
