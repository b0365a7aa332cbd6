//! Photos added to a finished set: what is known of the others is kept.

use relievo_tests::data::demo_photos;
use relievo_tests::program::{Ran, relievo};
use relievo_tests::work::{assert_same, first_file, flip_a_bit, json, promised_tree};
use std::ffi::OsString;
use std::path::Path;

/// Matches photos of the demo set, counted from 1.
fn matched(work: &Path, photos: impl IntoIterator<Item = usize>) -> Ran {
    let mut all: Vec<OsString> = vec!["run".into()];
    all.extend(demo_photos(photos).into_iter().map(OsString::from));
    all.extend(["-o".into(), work.into()]);
    all.extend(["--until", "matches", "--quality", "draft"].map(OsString::from));
    relievo(all).ends(0)
}

fn figure(work: &Path, name: &str) -> u64 {
    let record = json(&work.join("matches/stage.json"));
    record["figures"][name]
        .as_u64()
        .expect("the figure is there")
}

#[test]
fn only_pairs_with_the_added_photos_are_matched() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = |name: &str| folder.path().join(name);
    // One added photo stands before, one between those known.
    let (few, all) = ([2, 3, 5, 6, 7], [1, 2, 3, 4, 5, 6, 7]);
    matched(&place("fresh"), all);
    assert_eq!(figure(&place("fresh"), "pairs_matched_now"), 21);
    let fresh = promised_tree(&place("fresh"));

    matched(&place("grown"), few);
    assert_eq!(figure(&place("grown"), "pairs_matched_now"), 10);
    relievo_tests::work::copy(&place("grown"), &place("damaged"));
    relievo_tests::work::copy(&place("grown"), &place("other-options"));
    matched(&place("grown"), all);
    assert_eq!(figure(&place("grown"), "pairs_tried"), 21);
    assert_eq!(figure(&place("grown"), "pairs_matched_now"), 11);
    assert_same(&fresh, &promised_tree(&place("grown")), "two photos added");
    // Taken out again, nothing is matched.
    matched(&place("grown"), few);
    assert_eq!(figure(&place("grown"), "pairs_matched_now"), 0);

    // A flipped bit in the first shard (2 with 3, 5, 6, 7): its pairs are not
    // believed.
    flip_a_bit(&first_file(&place("damaged/matches"), ".pairs"));
    matched(&place("damaged"), all);
    assert_eq!(figure(&place("damaged"), "pairs_matched_now"), 15);
    assert_same(&fresh, &promised_tree(&place("damaged")), "a damaged shard");

    // Other options: nothing of it counts.
    let again: Vec<OsString> = ["run", "-o"].map(OsString::from).into();
    let more = ["--until", "matches", "--set", "matches.ratio=0.75"].map(OsString::from);
    let work = place("other-options");
    relievo(again.into_iter().chain([work.clone().into()]).chain(more)).ends(0);
    assert_eq!(figure(&work, "pairs_matched_now"), 10);
}
