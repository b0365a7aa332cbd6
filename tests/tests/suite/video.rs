//! Key frames, and videos that are none.

use relievo_tests::program::{Ran, program, relievo};
use relievo_tests::{data, work};
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
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

/// The rendered phone video: held upright, coded lying.
fn orbit() -> Option<PathBuf> {
    Some(data::real("synthetic")?.join("orbit/orbit.mp4"))
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
fn photos_need_no_opencv() {
    let own = fs_err::read(program()).unwrap();
    let links = |name: &[u8]| own.windows(name.len()).any(|w| w == name);
    assert!(links(b"libc.so"));
    assert!(!links(b"libopencv_core"));
}

#[test]
fn a_decoder_that_crashes_or_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("relievo");
    fs_err::copy(program(), &copy).unwrap();
    let video = folder.path().join("walk.mp4");
    fs_err::write(&video, "any").unwrap();
    let run = || {
        let mut command = Command::new(&copy);
        command.arg("run").arg(&video).args(["--until", "ingest"]);
        command.arg("-o").arg(folder.path().join("out"));
        // No ffmpeg either.
        let out = command.env("PATH", folder.path()).output().unwrap();
        assert_eq!(out.status.code(), Some(1));
        String::from_utf8(out.stderr).unwrap()
    };
    let said = run();
    for word in ["relievo-opencv", "hint:", "install ffmpeg"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let helper = folder.path().join("relievo-opencv");
    let script = "#!/bin/sh\n[ \"$1\" = version ] && echo 4 && exit\nkill -SEGV $$\n";
    fs_err::write(&helper, script).unwrap();
    fs_err::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let said = run();
    for word in ["walk.mp4", "signal: 11", "hint:", "re-encode"] {
        assert!(said.contains(word), "{word}: {said}");
    }
}

#[test]
fn a_video_without_its_index() {
    let folder = tempfile::tempdir().unwrap();
    let Some(whole) = orbit() else {
        return;
    };
    let bytes = fs_err::read(&whole).unwrap();
    let start_of = |kind: &[u8; 4]| bytes.windows(4).position(|w| w == kind).unwrap() - 4;
    let (index, data) = (start_of(b"moov"), start_of(b"mdat"));
    assert!(index < data);
    let cut = folder.path().join("cut.mp4");
    fs_err::write(&cut, [&bytes[..index], &bytes[data..]].concat()).unwrap();
    run(&cut, &folder.path().join("out"), "ingest")
        .ends(1)
        .says(&["cut.mp4", "hint:", "re-encode"]);
}

#[test]
fn a_video_that_was_copied_in_part() {
    let folder = tempfile::tempdir().unwrap();
    let Some(whole) = orbit() else {
        return;
    };
    let bytes = fs_err::read(&whole).unwrap();
    let part = folder.path().join("part.mp4");
    fs_err::write(&part, &bytes[..bytes.len() / 3]).unwrap();
    run(&part, &folder.path().join("out"), "ingest")
        .ends(0)
        .says(&["warning: part.mp4", "frames can be decoded"]);
}

#[test]
fn a_video_held_upright_gives_upright_key_frames() {
    let folder = tempfile::tempdir().unwrap();
    let Some(video) = orbit() else {
        return;
    };
    let truth = work::json(&video.with_file_name("gt").join("frames.json"));
    let out = folder.path().join("out");
    run(&video, &out, "ingest").ends(0);
    let table = work::json(&out.join("ingest/photos.json"));
    assert_eq!(table["given"], truth["frames"].as_array().unwrap().len());
    let photos = table["photos"].as_array().unwrap();
    assert!(photos.len() >= 40, "{} key frames", photos.len());
    for photo in photos {
        let name = photo["name"].as_str().unwrap();
        let index = name
            .strip_prefix("orbit.mp4/")
            .and_then(|n| n.strip_suffix(".png"))
            .unwrap_or_else(|| panic!("a key frame is called {name}"));
        assert_eq!(index.len(), 4);
        // Wherever the work folder is moved.
        assert!(photo["source"].as_str().unwrap().starts_with("frames/"));
        let frame: usize = index.parse().unwrap();
        let time = photo["time_s"].as_f64().unwrap();
        let want = truth["frames"][frame]["time"].as_f64().unwrap();
        assert!((time - want).abs() < 0.01, "{name} at {time} s");
    }
    let frames = fs_err::read_dir(out.join("ingest/frames")).unwrap();
    let mut seen = 0;
    for path in frames.map(|f| f.unwrap().path()) {
        let picture = image::open(&path).unwrap().to_rgb8();
        assert_eq!(picture.dimensions(), (720, 1280));
        // The wooden floor lies below, trees and stones above.
        let red = |y: u32| {
            let row = (0..720).map(|x| picture.get_pixel(x, y).0);
            row.map(|p| i64::from(p[0]) - i64::from(p[1])).sum::<i64>()
        };
        let (top, bottom) = (red(40), red(1240));
        assert!(bottom > top, "{}: {top} {bottom}", path.display());
        seen += 1;
    }
    assert_eq!(seen, photos.len());
}
