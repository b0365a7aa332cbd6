//! Our descriptor kernel beside OpenCV's BFMatcher: `matcher PHOTO PHOTO`.
//!
//! Both find the two nearest of 8,192 descriptors for each of as many others, those of two
//! photos. One run of ours answers both directions, one of OpenCV's a single one; the rate
//! counts multiply-adds of one product of all pairs. The fastest of several runs, on one
//! thread, and on two: OpenCV's own threads, and of ours two pairs of photos at a time.

#![expect(clippy::print_stdout, reason = "a program that prints its figures")]

use opencv::core::{DMatch, Mat, MatTraitConst, NORM_L2, Vector, set_num_threads};
use opencv::features2d::{BFMatcher, DescriptorMatcherTraitConst};
use relievo_features::{Detector, Sift, SiftOptions};
use relievo_matching::nearest::{Descriptor, nearest_both};
use relievo_task::{Isa, Task};
use std::path::Path;
use std::time::Instant;

const COUNT: usize = 8192;

type Failure = Box<dyn std::error::Error>;

/// The descriptors of a photo, repeated where there are fewer than asked for.
fn descriptors(path: &Path) -> Result<Vec<Descriptor>, Failure> {
    let sift = Sift {
        options: SiftOptions {
            max_keypoints: COUNT,
            ..SiftOptions::default()
        },
        ..Sift::default()
    };
    let photo = relievo_media::decode_photo(path)?;
    let found = sift.detect(&photo.rgb, None, &Task::silent())?.descriptors;
    if found.is_empty() {
        return Err("a photo without features".into());
    }
    Ok(found.iter().copied().cycle().take(COUNT).collect())
}

/// Least seconds of `runs` calls.
fn fastest(runs: usize, mut call: impl FnMut() -> Result<(), Failure>) -> Result<f64, Failure> {
    let mut least = f64::MAX;
    for _ in 0..runs {
        let start = Instant::now();
        call()?;
        least = least.min(start.elapsed().as_secs_f64());
    }
    Ok(least)
}

fn main() -> Result<(), Failure> {
    let paths: Vec<_> = std::env::args_os().skip(1).collect();
    let [a, b] = &paths[..] else {
        return Err("matcher PHOTO PHOTO".into());
    };
    let (a, b) = (descriptors(a.as_ref())?, descriptors(b.as_ref())?);
    let mat = |d: &[Descriptor], kind: i32| -> opencv::Result<Mat> {
        let bytes = Mat::from_slice(d.as_flattened())?;
        let mut out = Mat::default();
        let rows = bytes.reshape(1, d.len() as i32)?;
        rows.convert_to(&mut out, kind, 1.0, 0.0)?;
        Ok(out)
    };
    let product = (COUNT * COUNT * 128) as f64 / 1e9;
    for threads in [1, 2] {
        set_num_threads(threads as i32)?;
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()?;
        let ours = fastest(10, || {
            pool.install(|| {
                let once = || drop(std::hint::black_box(nearest_both(&a, &b, Isa::Native)));
                if threads == 1 {
                    once();
                } else {
                    rayon::join(once, once);
                }
            });
            Ok(())
        })? / threads as f64;
        println!(
            "{threads} threads: ours {:.1} ms, {:.0} GMAC/s",
            1e3 * ours,
            product / ours
        );
        let matcher = BFMatcher::new(NORM_L2, false)?;
        for (name, kind) in [
            ("bytes", opencv::core::CV_8U),
            ("floats", opencv::core::CV_32F),
        ] {
            let (a, b) = (mat(&a, kind)?, mat(&b, kind)?);
            let theirs = fastest(2, || {
                let mut found = Vector::<Vector<DMatch>>::new();
                matcher.knn_train_match_def(&a, &b, &mut found, 2)?;
                Ok(())
            })?;
            println!(
                "{threads} threads: BFMatcher on {name} {:.1} ms, {:.2} GMAC/s; ours {:.1} times",
                1e3 * theirs,
                product / theirs,
                theirs / ours
            );
        }
    }
    Ok(())
}
