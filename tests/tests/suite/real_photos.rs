//! Real photo sets, found through `RELIEVO_DATA`.

use relievo_tests::program::{Ran, relievo};
use relievo_tests::{data, skipped_when_quick, work};
use serde_json::Value;
use std::ffi::OsString;
use std::path::Path;

fn run(input: &Path, work: &Path, more: &[&str]) -> Ran {
    let mut all: Vec<OsString> = vec!["run".into(), input.into(), "-o".into(), work.into()];
    all.extend(more.iter().map(OsString::from));
    relievo(all).ends(0)
}

/// The folder that holds the photos of a set.
fn photos(set: &Path) -> std::path::PathBuf {
    let inner = set.join("images");
    if inner.is_dir() {
        inner
    } else {
        set.to_owned()
    }
}

#[test]
fn fountain_becomes_a_draft_model() {
    if skipped_when_quick("fountain") {
        return;
    }
    let Some(set) = data::real("fountain-p11") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("fountain.relievo");
    let ran = run(&photos(&set), &out, &["--quality", "draft"]);
    assert_eq!(
        ran.last_line(),
        out.join("export/model.glb").to_string_lossy()
    );
    super::whole_way::glb_json(&out.join("export/model.glb"));
    let report = work::json(&out.join("report/report.json"));
    assert_eq!(report["registered"], 11);
    assert_eq!(report["stages"]["sparse"]["captured"], "outdoor");
    assert!(ran.wall.as_secs() < 300, "it took {:?}", ran.wall);
}

#[test]
fn fox_finds_its_cameras() {
    if skipped_when_quick("fox") {
        return;
    }
    let Some(set) = data::real("fox") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("fox.relievo");
    run(&photos(&set), &out, &["--until", "sparse"]);
    let report = work::json(&out.join("report/report.json"));
    let registered = report["registered"].as_u64();
    assert_eq!(report["given"], 50);
    assert!(registered.is_some_and(|n| n >= 48), "{registered:?} of 50");
}

/// What the poses of three photos of a rendered set are off by: position mm, the largest error
/// of a relative rotation and of a relative direction, degrees.
fn errors(set: &Path, numbers: [u32; 3], more: &[&str], code: i32) -> Option<(Value, Ran)> {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let out = folder.path().join("few.relievo");
    let mut all: Vec<OsString> = vec!["run".into()];
    all.extend(numbers.map(|n| set.join(format!("images/{n:04}.jpg")).into()));
    all.extend(["-o".into(), out.clone().into()]);
    all.extend(["--until", "sparse"].iter().chain(more).map(OsString::from));
    let ran = relievo(all).ends(code);
    if code != 0 {
        return None;
    }
    let poses: Vec<OsString> = vec![
        "eval".into(),
        "poses".into(),
        "--estimate".into(),
        out.into(),
        "--truth".into(),
        set.into(),
        "--json".into(),
    ];
    let scored = relievo(poses).ends(0);
    Some((
        serde_json::from_str(&scored.stdout).expect("scores are JSON"),
        ran,
    ))
}

/// EXIF of another lens, or of the photo before it was cropped: under a focal length a third off the
/// poses of each pair look the other way, and every photo is placed, wrongly.
#[test]
fn three_photos_find_out_a_wrong_focal_length() {
    let Some(set) = data::real("synthetic/room") else {
        return;
    };
    for (first, factor) in [(5, 0.7), (15, 0.7), (22, 0.7), (22, 1.3)] {
        let camera = format!("SIMPLE_RADIAL:{},751,497,0", factor * 1032.5);
        let numbers = [first, first + 1, first + 2];
        let (found, ran) = errors(&set, numbers, &["--camera", &camera], 0).unwrap();
        assert_eq!(found["reg"], 3);
        let (rotation, direction) = (
            found["relrot_deg"]["max"].as_f64().unwrap(),
            found["reltrans_deg"]["max"].as_f64().unwrap(),
        );
        assert!(
            rotation < 0.3 && direction < 2.0,
            "{first} {factor}: {found}"
        );
        // The nearer one may also be found from where it starts.
        let told = ran.stderr.contains("the photos decided");
        assert!(told || factor > 1.0, "{}", ran.stderr);
    }
    // A true one is not doubted.
    let true_one = ["--camera", "SIMPLE_RADIAL:1032.5,751,497,-0.0124"];
    let (found, ran) = errors(&set, [5, 6, 7], &true_one, 0).unwrap();
    assert!(found["relrot_deg"]["max"].as_f64().unwrap() < 0.3);
    assert!(!ran.stderr.contains("the photos decided"), "{}", ran.stderr);
}

/// Three photos of which two pairs show next to nothing in common: no model, rather than one of
/// far points that any poses fit.
#[test]
fn photos_that_determine_nothing_make_no_model() {
    let Some(set) = data::real("synthetic/object") else {
        return;
    };
    assert!(errors(&set, [10, 11, 12], &[], 1).is_none());
}
