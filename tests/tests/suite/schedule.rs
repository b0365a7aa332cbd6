//! Pairs matched from coarse to fine, and pairs chosen by retrieval, against all pairs in full.

use relievo_formats::native::matches;
use relievo_scene::TwoViewKind;
use relievo_tests::data;
use relievo_tests::program::relievo;
use relievo_tests::skipped_when_quick;
use relievo_tests::work::json;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Matches that the mapper asks for before it places a photo.
const GOOD: usize = 30;

/// The verified pairs of `photos` and their numbers of matches, and all matches.
fn matched(
    photos: &[PathBuf],
    work: &Path,
    more: &[&str],
) -> (BTreeMap<(String, String), usize>, u64) {
    let mut all: Vec<OsString> = vec!["run".into()];
    all.extend(photos.iter().map(OsString::from));
    all.extend(["-o".into(), work.into(), "--until".into(), "matches".into()]);
    all.extend(more.iter().map(OsString::from));
    relievo(all).ends(0);
    let mut pairs = BTreeMap::new();
    for entry in fs_err::read_dir(work.join("matches")).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|e| e != "pairs") {
            continue;
        }
        let name = path.file_stem().expect("a name").to_string_lossy();
        let stored = matches::decode(&fs_err::read(&path).expect("a file")).expect("pairs");
        for pair in stored
            .iter()
            .filter(|p| p.geometry.kind != TwoViewKind::Degenerate)
        {
            let both = (name.to_string(), pair.other.clone());
            pairs.insert(both, pair.geometry.inliers.len());
        }
    }
    let record = json(&work.join("matches/stage.json"));
    let figure = |name: &str| record["figures"][name].as_u64().expect("a figure");
    assert_eq!(pairs.len() as u64, figure("pairs_verified"));
    (pairs, figure("matches"))
}

/// No pair that could place a photo is given up, and nearly all matches are found.
fn little_is_lost(photos: &[PathBuf]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let work = folder.path().join("work");
    let (full, in_full) = matched(photos, &work, &["--set", "matches.overlap_features=0"]);
    let (pairs, matches) = matched(photos, &work, &[]);
    let good = full.iter().filter(|p| *p.1 >= GOOD);
    let lost: Vec<_> = good.filter(|p| !pairs.contains_key(p.0)).collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert!(full.len() > photos.len() && 20 * pairs.len() >= 19 * full.len());
    assert!(
        50 * matches >= 49 * in_full && 50 * matches <= 51 * in_full,
        "{matches} of {in_full}"
    );
}

#[test]
fn little_is_lost_from_coarse_to_fine() {
    little_is_lost(&data::demo_photos(1..=12));
}

/// Every second photo of the room.
fn room() -> Option<Vec<PathBuf>> {
    if skipped_when_quick("every second photo of the room") {
        return None;
    }
    let set = data::real("synthetic/room")?;
    let numbers = (1..=38).step_by(2);
    Some(
        numbers
            .map(|i| set.join(format!("images/{i:04}.jpg")))
            .collect(),
    )
}

#[test]
fn little_is_lost_of_a_room() {
    if let Some(photos) = room() {
        little_is_lost(&photos);
    }
}

/// Of pictures of a room, where much looks alike, five neighbours a photo hold its best partners.
#[test]
fn retrieval_tries_the_best_partners() {
    let Some(photos) = room() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let work = folder.path().join("work");
    let (all, _) = matched(&photos, &work, &["--set", "matches.pairs=exhaustive"]);
    let chosen = ["matches.pairs=retrieval", "matches.retrieval_neighbours=5"];
    let (found, _) = matched(&photos, &work, &["--set", chosen[0], "--set", chosen[1]]);
    let tried = json(&work.join("matches/stage.json"))["figures"]["pairs_tried"].clone();
    assert!(tried.as_u64().is_some_and(|n| n <= 5 * 19), "{tried}");
    let (mut best, mut kept) = (0, 0);
    for photo in &photos {
        let name = photo.file_name().expect("a name").to_string_lossy();
        let mut partners: Vec<_> = all
            .iter()
            .filter(|((a, b), _)| *a == name || *b == name)
            .collect();
        partners.sort_by_key(|(_, matches)| std::cmp::Reverse(**matches));
        for (pair, _) in partners.iter().take(2) {
            best += 1;
            kept += usize::from(found.contains_key(*pair));
        }
    }
    assert!(best >= 36 && 10 * kept >= 9 * best, "{kept} of {best}");
}
