//! Key frames, and videos that are none.

use relievo_tests::data::demo;
use relievo_tests::program::{Ran, relievo};
use relievo_tests::{say_skipped, work};
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

fn run(input: &Path, work: &Path, until: &str) -> Ran {
    let arguments: [OsString; 6] = [
        "run".into(),
        input.into(),
        "-o".into(),
        work.into(),
        "--until".into(),
        until.into(),
    ];
    relievo(arguments)
}

/// The demo photos as a video of five frames a second; false, with a message,
/// where there is no `ffmpeg`.
fn make_video(to: &Path) -> bool {
    let made = Command::new("ffmpeg")
        .args(["-loglevel", "error", "-y", "-framerate", "5", "-i"])
        .arg(demo().join("images/%04d.jpg"))
        .args(["-c:v", "mpeg4", "-q:v", "2", "-pix_fmt", "yuv420p"])
        .arg(to)
        .output();
    let made = made.is_ok_and(|o| o.status.success());
    if !made {
        say_skipped("no ffmpeg to make a video with");
    }
    made
}

#[test]
fn a_text_file_named_mp4() {
    let folder = tempfile::tempdir().unwrap();
    let video = folder.path().join("walk.mp4");
    fs_err::write(&video, "this is not a video\n".repeat(100)).unwrap();
    run(&video, &folder.path().join("out"), "ingest")
        .ends(1)
        .says(&["walk.mp4", "hint:", "re-encode"]);
}

#[test]
fn a_video_cut_off_before_its_index() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.mp4");
    if !make_video(&whole) {
        return;
    }
    let bytes = fs_err::read(&whole).unwrap();
    let cut = folder.path().join("cut.mp4");
    fs_err::write(&cut, &bytes[..bytes.len() / 3]).unwrap();
    run(&cut, &folder.path().join("out"), "ingest")
        .ends(1)
        .says(&["cut.mp4", "hint:", "re-encode"]);
}

#[test]
fn a_video_gives_key_frames() {
    let folder = tempfile::tempdir().unwrap();
    let video = folder.path().join("walk.mp4");
    if !make_video(&video) {
        return;
    }
    let out = folder.path().join("out");
    run(&video, &out, "ingest").ends(0);
    let table = work::json(&out.join("ingest/photos.json"));
    assert_eq!(table["given"], 12, "frames of the video");
    let photos = table["photos"].as_array().unwrap();
    assert!(photos.len() >= 2, "{} key frames", photos.len());
    for photo in photos {
        let name = photo["name"].as_str().unwrap();
        let index = name
            .strip_prefix("walk.mp4/")
            .and_then(|n| n.strip_suffix(".png"))
            .unwrap_or_else(|| panic!("a key frame is called {name}"));
        let frame: f64 = index.parse().unwrap();
        assert_eq!(index.len(), 4);
        let time = photo["time_s"].as_f64().unwrap();
        assert!((time - frame / 5.0).abs() < 0.05, "{name} at {time} s");
    }
}
