//! A mirror on the wall of a rendered room, seen by photos with true poses.

use relievo_formats::ply::read_cloud;
use relievo_tests::program::relievo;
use relievo_tests::{data, skipped_when_quick};
use std::ffi::OsString;
use std::path::Path;

/// Points before the wall x = 0 and behind it, where the room's own outside does not reach.
fn before_and_behind(work: &Path) -> (usize, usize) {
    let cloud = read_cloud(&work.join("cloud/dense.ply")).expect("a cloud");
    let behind = cloud.positions.iter().filter(|x| x[0] < -0.3).count();
    (cloud.len() - behind, behind)
}

#[test]
fn what_a_mirror_shows_is_no_room_behind_the_wall() {
    if skipped_when_quick("a room with a mirror") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let work = folder.path().join("mirror.relievo");
    let set = data::mirror();
    let import: [OsString; 8] = [
        "import".into(),
        "colmap".into(),
        "--model".into(),
        set.join("gt").into(),
        "--images".into(),
        set.join("images").into(),
        "-o".into(),
        work.clone().into(),
    ];
    relievo(import).ends(0);
    let run = |more: &[&str]| {
        let mut words: Vec<OsString> = ["run", "--preset", "room", "--quality", "draft"]
            .map(OsString::from)
            .into();
        words.extend([
            "-o".into(),
            work.clone().into(),
            "--until".into(),
            "cloud".into(),
        ]);
        words.extend(more.iter().map(OsString::from));
        relievo(words).ends(0);
        before_and_behind(&work)
    };
    let cleared = run(&[]);
    let all = run(&["--set", "cloud.clear_mirrors=false"]);
    assert!(all.1 > 20_000, "the mirror shows {} points", all.1);
    assert!(
        1000 * cleared.1 < all.1,
        "{} of {} ghosts stay",
        cleared.1,
        all.1
    );
    // Nothing of the room goes with them.
    assert_eq!(cleared.0, all.0);
}
