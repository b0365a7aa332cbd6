//! The program `relievo-opencv`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program of its own"
)]

use crate::{OpenCvDecoder, OpenCvSift, opencv_version};
use relievo_features::serve_features;
use relievo_media::serve_frames;
use std::ffi::OsString;
use std::io::{self, BufWriter};
use std::path::Path;
use std::process::ExitCode;

/// `version` prints OpenCV's; `frames VIDEO` and `sift` answer requests on stdin to
/// stdout (`relievo_media::video::helper`, `relievo_features`).
pub fn helper(arguments: &[OsString]) -> ExitCode {
    let (requests, replies) = (io::stdin().lock(), BufWriter::new(io::stdout().lock()));
    let words: Vec<&str> = arguments.iter().filter_map(|a| a.to_str()).collect();
    let served = match (words.first().copied(), arguments) {
        (Some("version"), [_]) => {
            println!("{}", opencv_version());
            Ok(())
        }
        (Some("frames"), [_, path]) => {
            serve_frames(&OpenCvDecoder, Path::new(path), requests, replies)
        }
        (Some("sift"), [_]) => serve_features(OpenCvSift::new, requests, replies),
        _ => {
            eprintln!("relievo starts this program by itself, for videos");
            return ExitCode::from(2);
        }
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody reads what it says.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("relievo-opencv: {e}");
            ExitCode::FAILURE
        }
    }
}
