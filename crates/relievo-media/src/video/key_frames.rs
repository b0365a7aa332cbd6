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
        /// Parallax from one key frame to the next: motion relative to the whole picture's, upper quartile, as a fraction of the longer side.
        key_frame_parallax: f64 = 0.032, "fraction", "6 to 8 degrees around an object that fills the picture";
        /// Motion of the whole picture from one key frame to the next, whichever comes first, as a fraction of the longer side.
        key_frame_motion: f64 = 0.1, "fraction", "keeps 80 % overlap or more";
        /// Most key frames of one video; both steps grow until they suffice.
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

/// How far apart two key frames should be.
#[derive(Clone, Copy, Debug)]
struct Steps {
    parallax: f64,
    motion: f64,
}

impl Steps {
    /// Change of the picture between two frames; 1 where the next key frame is
    /// due by parallax or by motion.
    fn between(self, a: &FrameFigures, b: &FrameFigures) -> f64 {
        let moved = || {
            a.moved
                .iter()
                .zip(&b.moved)
                .map(|(p, q)| [q[0] - p[0], q[1] - p[1]])
        };
        let whole = [0, 1].map(|k| median(moved().map(|v| v[k]).collect()));
        let mut parallax: Vec<f32> = moved()
            .map(|v| (v[0] - whole[0]).hypot(v[1] - whole[1]))
            .collect();
        parallax.sort_unstable_by(f32::total_cmp);
        let parallax = f64::from(parallax[CELLS * 3 / 4]);
        let motion = f64::from(whole[0].hypot(whole[1]));
        (parallax / self.parallax).max(motion / self.motion)
    }
}

/// Positions in `frames` of the key frames, rising.
pub fn choose_key_frames(frames: &[FrameFigures], options: &KeyFrameOptions) -> Vec<usize> {
    let most = options.max_key_frames.max(2);
    let mut steps = Steps {
        parallax: options.key_frame_parallax.clamp(0.003, 0.5),
        motion: options.key_frame_motion.clamp(0.005, 0.5),
    };
    loop {
        let chosen = choose(frames, steps, options.key_frame_gap_s);
        if chosen.len() <= most {
            return without_blurred(frames, &chosen);
        }
        let grow = (chosen.len() as f64 / most as f64).max(1.02);
        steps.parallax *= grow;
        steps.motion *= grow;
    }
}

/// Leaves out frames that are blurred beyond use beside their neighbours: no
/// feature would be found in them.
fn without_blurred(frames: &[FrameFigures], chosen: &[usize]) -> Vec<usize> {
    const HOPELESS: f32 = 0.12;
    const NEAR_S: f64 = 1.0;
    let usable = |&i: &usize| {
        let near = |&j: &usize| (frames[j].stamp.time_s - frames[i].stamp.time_s).abs() <= NEAR_S;
        let best = chosen
            .iter()
            .copied()
            .filter(near)
            .map(|j| frames[j].sharpness)
            .fold(0.0, f32::max);
        frames[i].sharpness >= HOPELESS * best
    };
    chosen.iter().copied().filter(usable).collect()
}

fn choose(frames: &[FrameFigures], steps: Steps, gap_s: f64) -> Vec<usize> {
    let Some(first) = frames.first() else {
        return Vec::new();
    };
    let n = frames.len();
    // The sharpest before anything has moved much.
    let still = (0..n)
        .find(|&i| {
            steps.between(first, &frames[i]) > 0.35
                || frames[i].stamp.time_s - first.stamp.time_s > 0.5 * gap_s
        })
        .unwrap_or(n);
    let mut chosen = vec![sharpest(frames, 0..still.max(1))];
    loop {
        let last = chosen[chosen.len() - 1];
        let from = &frames[last];
        let far_enough = |i: usize, fraction: f64| steps.between(from, &frames[i]) >= fraction;
        let waited = |i: usize| frames[i].stamp.time_s - from.stamp.time_s >= gap_s;
        let begin =
            (last + 1..n).find(|&i| far_enough(i, 0.7) || (waited(i) && far_enough(i, 0.25)));
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
        // Up to a tenth past the step, or as long again as it took: in a slow
        // passage there is no hurry, but the gap must not double.
        let patience = 0.5 * gap_s;
        let end = (begin + 1..n)
            .find(|&i| {
                steps.between(from, &frames[i]) > 1.1
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
        let steps = Steps {
            parallax: 0.032,
            motion: 0.1,
        };
        for w in chosen.windows(2) {
            let moved = steps.between(&frames[w[0]], &frames[w[1]]);
            assert!((0.25..1.2).contains(&moved), "{w:?} {moved}");
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
