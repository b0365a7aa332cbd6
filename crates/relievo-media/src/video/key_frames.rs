//! Which frames of a video become photos: sharp ones, a fixed amount of image
//! motion apart.
//!
//! Motion accumulates as a vector per grid cell, so that a trembling hand
//! during a pause adds up to nothing, while moving on does. From one key frame
//! the next is the sharpest among the frames where the accumulated motion is
//! near the step: pauses give no near-duplicates, and a fast pan gets key
//! frames densely enough to overlap, blurred ones being passed over as far as
//! the step allows.

use super::motion::{CELLS, FramePyramid, cell_motion, median};
use super::{FrameSource, FrameStamp};
use crate::MediaError;
use crate::sharpness::{SHARPNESS_SIDE_PX, sharpness};
use rayon::prelude::*;
use relievo_image::{Raster, halve};
use relievo_task::Task;

relievo_task::options! {
    /// Choice of key frames.
    pub struct KeyFrameOptions {
        /// Image motion from one key frame to the next, as a fraction of the longer side.
        key_frame_step: f64 = 0.06, "fraction", "keeps over 85 % overlap; 8 degrees on the rendered orbit";
        /// Most key frames of one video; the step grows until they suffice.
        max_key_frames: usize = 400, "frames", "judgement; bounds the matching effort";
        /// After this long, a quarter of the step is enough for a new key frame.
        key_frame_gap_s: f64 = 1.0, "s", "judgement; a slow walk still gets a frame a second or so";
    }
}

/// One analysed frame.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameFigures {
    /// Which frame.
    pub stamp: FrameStamp,
    /// Variance of the Laplacian at 640 px.
    pub sharpness: f32,
    /// Motion of each grid cell since frame 0, fractions of the longer side.
    pub moved: [[f32; 2]; CELLS],
}

/// Frames analysed in parallel between two looks at the decoder.
const BATCH: usize = 32;

struct Small {
    stamp: FrameStamp,
    sharpness: f32,
    pyramid: FramePyramid,
    side: f32,
}

/// Decodes all of `source` at reduced size and measures every frame. Empty
/// for a video without frames.
pub fn analyse(source: &mut dyn FrameSource, task: &Task) -> Result<Vec<FrameFigures>, MediaError> {
    let progress = task.progress("frames", source.info().frames);
    let mut figures: Vec<FrameFigures> = Vec::new();
    let mut previous: Option<Small> = None;
    let mut latest = [[0.0; 2]; CELLS];
    loop {
        task.check()?;
        let mut batch = Vec::with_capacity(BATCH);
        while batch.len() < BATCH {
            let Some(frame) = source.luma(SHARPNESS_SIDE_PX)? else {
                break;
            };
            batch.push(frame);
        }
        if batch.is_empty() {
            return Ok(figures);
        }
        progress.add(batch.len() as u64);
        let small: Vec<Small> = batch.par_iter().map(reduce).collect();
        let first = previous.take();
        let pairs: Vec<(&Small, &Small)> = first
            .iter()
            .chain(&small)
            .zip(
                first
                    .iter()
                    .skip(1)
                    .chain(&small[usize::from(first.is_none())..]),
            )
            .collect();
        let motions: Vec<_> = pairs
            .par_iter()
            .map(|(a, b)| {
                let motion = cell_motion(&a.pyramid, &b.pyramid)?;
                Some(motion.map(|v| v.map(|t| t / b.side)))
            })
            .collect();
        let mut motions = motions.into_iter();
        for frame in &small {
            let mut moved = [[0.0; 2]; CELLS];
            if let Some(last) = figures.last() {
                // Where nothing could be followed, the motion goes on as it was.
                latest = motions.next().flatten().unwrap_or(latest);
                moved = last.moved;
                for (m, v) in moved.iter_mut().zip(&latest) {
                    *m = [m[0] + v[0], m[1] + v[1]];
                }
            }
            figures.push(FrameFigures {
                stamp: frame.stamp,
                sharpness: frame.sharpness,
                moved,
            });
        }
        previous = small.into_iter().next_back();
    }
}

fn reduce((stamp, luma): &(FrameStamp, Raster<u8>)) -> Small {
    let half = halve(luma);
    Small {
        stamp: *stamp,
        sharpness: sharpness(luma),
        side: half.width().max(half.height()) as f32,
        pyramid: FramePyramid::new(half),
    }
}

/// Median over the cells of how far the picture moved between two frames,
/// as a fraction of the longer side.
fn motion_between(a: &FrameFigures, b: &FrameFigures) -> f64 {
    let lengths = a
        .moved
        .iter()
        .zip(&b.moved)
        .map(|(p, q)| (q[0] - p[0]).hypot(q[1] - p[1]))
        .collect();
    f64::from(median(lengths))
}

/// Positions in `frames` of the key frames, rising.
pub fn choose_key_frames(frames: &[FrameFigures], options: &KeyFrameOptions) -> Vec<usize> {
    let most = options.max_key_frames.max(2);
    let mut step = options.key_frame_step.clamp(0.005, 0.5);
    loop {
        let chosen = choose(frames, step, options.key_frame_gap_s);
        if chosen.len() <= most {
            return chosen;
        }
        step *= (chosen.len() as f64 / most as f64).max(1.02);
    }
}

fn choose(frames: &[FrameFigures], step: f64, gap_s: f64) -> Vec<usize> {
    let Some(first) = frames.first() else {
        return Vec::new();
    };
    let n = frames.len();
    // The sharpest before anything has moved much.
    let still = (0..n)
        .find(|&i| {
            motion_between(first, &frames[i]) > 0.35 * step
                || frames[i].stamp.time_s - first.stamp.time_s > 0.5 * gap_s
        })
        .unwrap_or(n);
    let mut chosen = vec![sharpest(frames, 0..still.max(1))];
    loop {
        let last = chosen[chosen.len() - 1];
        let from = &frames[last];
        let far_enough =
            |i: usize, fraction: f64| motion_between(from, &frames[i]) >= fraction * step;
        let waited = |i: usize| frames[i].stamp.time_s - from.stamp.time_s >= gap_s;
        let begin =
            (last + 1..n).find(|&i| far_enough(i, 0.6) || (waited(i) && far_enough(i, 0.25)));
        let Some(begin) = begin else {
            // What is left moved too little for a full step; its end still
            // shows something new if it moved at all.
            let tail: Vec<usize> = (last + 1..n).filter(|&i| far_enough(i, 0.3)).collect();
            if let (Some(&a), Some(&b)) = (tail.first(), tail.last()) {
                let best = sharpest(frames, a..b + 1);
                if frames[best].sharpness > 0.5 * from.sharpness {
                    chosen.push(best);
                }
            }
            return chosen;
        };
        // Up to a quarter past the step, or as long again as it took: in a slow
        // passage there is no hurry, but the gap must not double.
        let patience = 0.5 * gap_s;
        let end = (begin + 1..n)
            .find(|&i| {
                motion_between(from, &frames[i]) > 1.25 * step
                    || frames[i].stamp.time_s - frames[begin].stamp.time_s > patience
            })
            .unwrap_or(n);
        chosen.push(sharpest(frames, begin..end));
    }
}

/// The sharpest of a range, the earliest of equals.
fn sharpest(frames: &[FrameFigures], range: std::ops::Range<usize>) -> usize {
    let mut best = range.start;
    for i in range {
        if frames[i].sharpness > frames[best].sharpness {
            best = i;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames at 30 Hz moving by `speed(t)` fractions a frame.
    fn video(
        n: usize,
        speed: impl Fn(usize) -> f32,
        sharp: impl Fn(usize) -> f32,
    ) -> Vec<FrameFigures> {
        let mut at = 0.0;
        (0..n)
            .map(|i| {
                at += speed(i);
                FrameFigures {
                    stamp: FrameStamp {
                        index: i as u64,
                        time_s: i as f64 / 30.0,
                    },
                    sharpness: sharp(i),
                    moved: [[at, 0.0]; CELLS],
                }
            })
            .collect()
    }

    #[test]
    fn key_frames_follow_motion_not_time() {
        // A pause of two seconds in the middle, then twice as fast.
        let speed = |i| match i {
            0..100 => 0.005,
            100..160 => 0.0,
            _ => 0.01,
        };
        let frames = video(260, speed, |i| 100.0 + (i * 37 % 11) as f32);
        let chosen = choose_key_frames(&frames, &KeyFrameOptions::default());
        assert!(chosen.iter().filter(|&&i| (101..158).contains(&i)).count() <= 1);
        for w in chosen.windows(2) {
            let moved = motion_between(&frames[w[0]], &frames[w[1]]);
            assert!((0.017..0.08).contains(&moved), "{w:?} {moved}");
        }
        assert!(*chosen.last().unwrap() > 250);
    }

    #[test]
    fn blurred_frames_are_passed_over() {
        let blurred = |i: usize| i % 7 > 2;
        let frames = video(200, |_| 0.006, |i| if blurred(i) { 10.0 } else { 90.0 });
        let chosen = choose_key_frames(&frames, &KeyFrameOptions::default());
        assert!(chosen.len() > 10);
        assert!(chosen.iter().all(|&i| !blurred(i)), "{chosen:?}");
    }

    #[test]
    fn a_trembling_hand_is_no_motion_and_the_count_is_bounded() {
        let frames = video(150, |i| if i % 2 == 0 { 0.01 } else { -0.01 }, |_| 1.0);
        assert_eq!(choose_key_frames(&frames, &KeyFrameOptions::default()), [0]);
        let frames = video(900, |_| 0.05, |_| 1.0);
        let options = KeyFrameOptions {
            max_key_frames: 50,
            ..KeyFrameOptions::default()
        };
        let chosen = choose_key_frames(&frames, &options);
        assert!((30..=50).contains(&chosen.len()), "{}", chosen.len());
        assert!(choose_key_frames(&[], &options).is_empty());
    }
}
