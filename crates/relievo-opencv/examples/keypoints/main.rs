//! Our detector beside OpenCV's SIFT where geometry is known: `keypoints SET [BUDGET]`.
//!
//! SET is a data set with true cameras; pairs are neighbours and next neighbours
//! by name, both detectors have the same budget of keypoints a photo ([`scored`] tells the figures).
//!
//! `ours` are the defaults but for the budget, which does not depend on the photo's size; `ours, alike` doubles every photo and
//! takes no keypoint under the threshold, as OpenCV does; `ours, as many` are the defaults with
//! as many keypoints in each photo as OpenCV finds there.

#![expect(clippy::print_stdout, reason = "a program that prints its figures")]

mod scored;

use relievo_features::{Sift, SiftOptions};
use scored::{KnownSet, alike, defaults};
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let root = PathBuf::from(words.next().ok_or("keypoints SET [BUDGET]")?);
    let budget: usize = words.next().map_or(Ok(2000), |b| b.parse())?;
    let set = KnownSet::open(&root, usize::MAX)?;
    let theirs = set.detect(&|_| Box::new(relievo_opencv::OpenCvSift::new(budget)))?;
    let ours = defaults(budget);
    let as_many = |photo: usize| Sift {
        options: SiftOptions {
            max_keypoints: theirs[photo].count(),
            min_keypoints: ours.options.min_keypoints.min(theirs[photo].count()),
            ..ours.options.clone()
        },
        ..ours.clone()
    };
    for (name, photos) in [
        ("ours", &set.detect(&|_| Box::new(ours.clone()))?),
        ("ours, alike", &set.detect(&|_| Box::new(alike(budget)))?),
        ("ours, as many", &set.detect(&|k| Box::new(as_many(k)))?),
        ("OpenCV", &theirs),
    ] {
        println!("{name:<13} {}", set.score(photos));
    }
    Ok(())
}
