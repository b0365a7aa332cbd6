//! Pairs matched from coarse to fine against pairs matched in full.

use relievo_tests::data::demo_photos;
use relievo_tests::program::relievo;
use relievo_tests::work::json;
use std::ffi::OsString;
use std::path::Path;

/// Pairs verified and their matches.
fn matched(work: &Path, more: &[&str]) -> (u64, u64) {
    let mut all: Vec<OsString> = vec!["run".into()];
    all.extend(demo_photos(1..=12).into_iter().map(OsString::from));
    all.extend(["-o".into(), work.into(), "--until".into(), "matches".into()]);
    all.extend(more.iter().map(OsString::from));
    relievo(all).ends(0);
    let record = json(&work.join("matches/stage.json"));
    let figure = |name: &str| record["figures"][name].as_u64().expect("a figure");
    (figure("pairs_verified"), figure("matches"))
}

#[test]
fn little_is_lost_from_coarse_to_fine() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let work = folder.path().join("work");
    let (pairs_in_full, in_full) = matched(&work, &["--set", "matches.overlap_features=0"]);
    let (pairs, matches) = matched(&work, &["--set", "matches.overlap_features=1024"]);
    assert!(pairs <= pairs_in_full && 20 * pairs >= 19 * pairs_in_full);
    assert!(
        50 * matches >= 49 * in_full && 50 * matches <= 51 * in_full,
        "{matches} of {in_full}"
    );
}
