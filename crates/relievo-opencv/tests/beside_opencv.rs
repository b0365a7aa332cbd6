//! Our detector is no worse than OpenCV's SIFT where both work alike and geometry is known.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests, which tell what they measured"
)]

#[path = "../examples/keypoints/scored.rs"]
mod scored;

use relievo_opencv::OpenCvSift;
use scored::{Figures, KnownSet, alike};
use std::path::Path;

const BUDGET: usize = 40_000;

fn both(root: &Path, most: usize) -> (Figures, Figures) {
    let set = KnownSet::open(root, most).unwrap();
    let ours = set.detect(&|_| Box::new(alike(BUDGET))).unwrap();
    let theirs = set.detect(&|_| Box::new(OpenCvSift::new(BUDGET))).unwrap();
    let (ours, theirs) = (set.score(&ours), set.score(&theirs));
    println!("ours   {ours}\nOpenCV {theirs}");
    (ours, theirs)
}

/// By two hundredths at most: the medians of so few pairs move by one.
fn assert_no_worse((ours, theirs): (Figures, Figures)) {
    assert!(theirs.right > 500, "too few to compare: {theirs}");
    let repeats = ours.repeatability >= theirs.repeatability.map(|r| 0.98 * r);
    assert!(repeats, "{ours} beside {theirs}");
    assert!(
        ours.localisation_px <= 1.02 * theirs.localisation_px,
        "{ours} beside {theirs}"
    );
    assert!(
        ours.matching_score >= 0.98 * theirs.matching_score,
        "{ours} beside {theirs}"
    );
}

#[test]
fn no_worse_than_opencv_on_the_demo_set() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets/demo");
    assert_no_worse(both(&root, usize::MAX));
}

#[test]
fn no_worse_than_opencv_on_photographs_and_larger_renderings() {
    let Some(data) = std::env::var_os("RELIEVO_DATA").filter(|v| !v.is_empty()) else {
        assert!(
            std::env::var_os("CI").is_none(),
            "RELIEVO_DATA must be set in CI"
        );
        println!("skipped: RELIEVO_DATA is not set");
        return;
    };
    let data = Path::new(&data);
    for set in ["herz-jesus-p8", "synthetic/object", "synthetic/room"] {
        println!("{set}");
        assert_no_worse(both(&data.join(set), 4));
    }
}
