//! Real photo sets, found through `RELIEVO_DATA`.

use relievo_tests::program::{Ran, relievo};
use relievo_tests::{data, skipped_when_quick, work};
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
