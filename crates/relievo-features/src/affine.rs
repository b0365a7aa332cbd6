//! Keypoints of simulated views: Yu & Morel, "ASIFT: An Algorithm for Fully
//! Affine Invariant Comparison", IPOL 2011.
//!
//! SIFT tolerates a change of viewpoint up to a tilt of about 2. A photo is
//! therefore also seen as it would look from other directions: for each tilt t
//! the picture is turned by φ, blurred along x by 0.8·√(t² − 1) and every t-th
//! column is kept. Departures: tilts stop at 2√2 (the paper goes on to 4√2),
//! the picture is reduced first, as in the paper's fast version, and stronger tilts
//! are simulated only where weaker ones do not suffice (as MODS: Mishkin, Matas &
//! Perdoch, CVIU 2015).

use crate::detector::FeatureError;
use crate::sift::{Expectation, Sift};
use crate::{Detector, SiftOptions};
use rayon::prelude::*;
use relievo_image::{Filter, Raster, resize};
use relievo_scene::{Features, Keypoint};
use relievo_task::{Isa, Task};

relievo_task::options! {
    /// Options of [`simulated_views`].
    pub struct AffineOptions {
        /// Photos are reduced to this longer side before views are simulated.
        affine_side_px: u32 = 1200, "px", "measured: docs/decisions.md";
        /// Most features of one simulated view.
        affine_keypoints: usize = 1500, "features", "judgement";
    }
}

/// Levels of [`simulated_views`].
pub const TILT_LEVELS: usize = TILTS.len();
/// Tilts, and the step of the turn in degrees times the tilt.
const TILTS: [f64; 3] = [
    std::f64::consts::SQRT_2,
    2.0,
    2.0 * std::f64::consts::SQRT_2,
];
const TURN_DEG: f64 = 72.0;
/// Keypoints nearer to the border than this many scales see beyond it.
const BORDER_SCALES: f32 = 6.0 * std::f32::consts::SQRT_2;

/// One direction: photo pixels to simulated pixels, `A = diag(1/t, 1)·R(φ)`,
/// then a shift that makes all coordinates positive.
#[derive(Clone, Copy, Debug)]
struct Simulation {
    tilt: f64,
    sin: f64,
    cos: f64,
    /// Shift before the squeeze, and the size of the turned picture.
    shift: (f64, f64),
    turned: (f64, f64),
}

impl Simulation {
    fn new(tilt: f64, turn: f64, (w, h): (f64, f64)) -> Self {
        let (sin, cos) = turn.sin_cos();
        let corners = [(0.0, 0.0), (w, 0.0), (0.0, h), (w, h)]
            .map(|(x, y)| (cos * x - sin * y, sin * x + cos * y));
        let low = |k: fn(&(f64, f64)) -> f64| corners.iter().map(k).fold(f64::INFINITY, f64::min);
        let high =
            |k: fn(&(f64, f64)) -> f64| corners.iter().map(k).fold(f64::NEG_INFINITY, f64::max);
        let (x0, y0) = (low(|c| c.0), low(|c| c.1));
        Self {
            tilt,
            sin,
            cos,
            shift: (x0, y0),
            turned: (high(|c| c.0) - x0, high(|c| c.1) - y0),
        }
    }

    /// The photo position of a simulated one.
    fn photo_from_simulated(&self, x: f64, y: f64) -> (f64, f64) {
        let (u, v) = (x * self.tilt + self.shift.0, y + self.shift.1);
        (self.cos * u + self.sin * v, self.cos * v - self.sin * u)
    }

    /// The picture as it would look, grey on all channels: turned, then each
    /// row blurred and thinned.
    fn picture(&self, grey: &Raster<f32>) -> Raster<[u8; 3]> {
        let sigma = 0.8 * (self.tilt * self.tilt - 1.0).sqrt();
        let reach = (3.0 * sigma).ceil() as usize;
        let mut taps: Vec<f32> = (0..=2 * reach)
            .map(|k| (-0.5 * ((k as f64 - reach as f64) / sigma).powi(2)).exp() as f32)
            .collect();
        let sum: f32 = taps.iter().sum();
        for tap in &mut taps {
            *tap /= sum;
        }
        let size = |v: f64| (v.floor() as usize).max(1);
        let (w, h) = (size(self.turned.0 / self.tilt), size(self.turned.1));
        // Full columns with a margin for the taps on either side.
        let wide = size(self.turned.0) + 2 * reach + 2;
        let mut out = Raster::new(w, h);
        let (mut turned, mut blurred) = (vec![0.0_f32; wide], vec![0.0_f32; wide - 2 * reach]);
        for y in 0..h {
            let start = self.shift.0 + 0.5 - reach as f64;
            let v = y as f64 + 0.5 + self.shift.1;
            let (px, py) = (
                self.cos * start + self.sin * v,
                self.cos * v - self.sin * start,
            );
            sample_along(grey, (px, py), (self.cos, -self.sin), &mut turned);
            blurred.fill(0.0);
            for (k, tap) in taps.iter().enumerate() {
                for (b, t) in blurred.iter_mut().zip(&turned[k..]) {
                    *b += tap * t;
                }
            }
            for (x, pixel) in out.row_mut(y).iter_mut().enumerate() {
                // Centre of the simulated pixel, in full columns.
                let at = (x as f64 + 0.5) * self.tilt - 0.5;
                let i = at as usize;
                let f = (at - i as f64) as f32;
                let value = blurred[i] + (blurred[i + 1] - blurred[i]) * f;
                *pixel = [(value + 0.5) as u8; 3];
            }
        }
        out
    }

    /// The keypoint in the photo; `None` where its patch leaves it.
    fn keypoint(&self, k: &Keypoint, (w, h): (f64, f64)) -> Option<Keypoint> {
        let (x, y) = self.photo_from_simulated(f64::from(k.x_px), f64::from(k.y_px));
        let (x, y) = (x as f32, y as f32);
        let margin = BORDER_SCALES * k.scale_px * self.tilt as f32;
        let inside = x > margin && y > margin && x < w as f32 - margin && y < h as f32 - margin;
        let (dy, dx) = f64::from(k.angle).sin_cos();
        let along = (
            self.cos * dx * self.tilt + self.sin * dy,
            self.cos * dy - self.sin * dx * self.tilt,
        );
        inside.then_some(Keypoint {
            x_px: x,
            y_px: y,
            scale_px: k.scale_px * self.tilt.sqrt() as f32,
            angle: along.1.atan2(along.0) as f32,
        })
    }
}

/// Features of the simulated views of `photo` with the tilt of a level below
/// [`TILT_LEVELS`], a list each; at level 0 those of the photo itself stand first.
/// Coordinates in pixels of the photo as in [`crate::Detector::detect`];
/// descriptors are those of the simulated patch. Keypoints on zeros of `mask`
/// are left out.
pub fn simulated_views(
    photo: &Raster<[u8; 3]>,
    mask: Option<&Raster<u8>>,
    level: usize,
    options: &AffineOptions,
    isa: Isa,
    task: &Task,
) -> Result<Vec<Features>, FeatureError> {
    let detector = Sift {
        options: SiftOptions {
            max_keypoints: options.affine_keypoints,
            min_keypoints: options.affine_keypoints / 2,
            double_below_mpx: 0.0,
            ..SiftOptions::default()
        },
        isa,
        expectation: Expectation::default(),
    };
    let longer = photo.width().max(photo.height()) as f64;
    let scale = (f64::from(options.affine_side_px) / longer).min(1.0);
    let side = |n: usize| ((n as f64 * scale).round() as usize).max(1);
    let (w, h) = (side(photo.width()), side(photo.height()));
    let small = resize(photo, w, h, Filter::Area);
    let grey =
        small.map(|p| 0.299 * f32::from(p[0]) + 0.587 * f32::from(p[1]) + 0.114 * f32::from(p[2]));
    let size = (w as f64, h as f64);
    let tilt = TILTS[level.min(TILT_LEVELS - 1)];
    let turns = (180.0 / (TURN_DEG / tilt)).ceil() as usize;
    let simulations: Vec<Simulation> = (0..turns)
        .map(|i| Simulation::new(tilt, (i as f64 * TURN_DEG / tilt).to_radians(), size))
        .collect();
    let (sx, sy) = (
        photo.width() as f32 / w as f32,
        photo.height() as f32 / h as f32,
    );
    let in_photo = |mut found: Features, simulation: Option<&Simulation>| {
        let mut out = Features::default();
        let described = found.keypoints.drain(..).zip(found.descriptors);
        for (k, d) in described {
            let Some(mut k) = simulation.map_or(Some(k), |s| s.keypoint(&k, size)) else {
                continue;
            };
            k.x_px *= sx;
            k.y_px *= sy;
            k.scale_px *= 0.5 * (sx + sy);
            let at = |v: f32, n: usize| (v.max(0.0) as usize).min(n - 1);
            let place = (at(k.x_px, photo.width()), at(k.y_px, photo.height()));
            if mask.is_some_and(|m| m[place] == 0) {
                continue;
            }
            out.keypoints.push(k);
            out.descriptors.push(d);
            out.colors.push(photo[place]);
        }
        out
    };
    let mut views = Vec::new();
    if level == 0 {
        views.push(in_photo(detector.detect(&small, None, task)?, None));
    }
    let further: Vec<Features> = simulations
        .par_iter()
        .with_max_len(1)
        .map(|s| {
            let found = detector.detect(&s.picture(&grey), None, task)?;
            Ok(in_photo(found, Some(s)))
        })
        .collect::<Result<_, FeatureError>>()?;
    views.extend(further);
    Ok(views)
}

/// Bilinear values at `start`, `start + step` and so on (top-left pixel centre at
/// (0.5, 0.5)). Before and behind the picture the first and the last value inside
/// are repeated; a line that misses it is black.
fn sample_along(grey: &Raster<f32>, start: (f64, f64), step: (f64, f64), out: &mut [f32]) {
    let (w, h) = (grey.width(), grey.height());
    let mut range = (0.0_f64, out.len() as f64);
    for (start, step, size) in [(start.0, step.0, w), (start.1, step.1, h)] {
        // A hair inside, for rounding.
        let (low, high) = (0.501 - start, size as f64 - 0.501 - start);
        if step.abs() < 1e-9 {
            if !(low <= 0.0 && high >= 0.0) {
                range = (0.0, 0.0);
            }
            continue;
        }
        let (a, b) = (low / step, high / step);
        range = (range.0.max(a.min(b)), range.1.min(a.max(b) + 1.0));
    }
    let (first, end) = (range.0.ceil() as usize, range.1.floor().max(0.0) as usize);
    if first >= end || w < 2 || h < 2 {
        out.fill(0.0);
        return;
    }
    let pixels = grey.as_slice();
    let (x0, y0) = ((start.0 - 0.5) as f32, (start.1 - 0.5) as f32);
    let (dx, dy) = (step.0 as f32, step.1 as f32);
    for (i, o) in (first..end).zip(&mut out[first..end]) {
        let (x, y) = (x0 + i as f32 * dx, y0 + i as f32 * dy);
        let (column, row) = (x as i32 as usize, y as i32 as usize);
        let (fx, fy) = (x - column as f32, y - row as f32);
        let at = row * w + column;
        let (top, bottom) = (&pixels[at..at + 2], &pixels[at + w..at + w + 2]);
        let top = top[0] + (top[1] - top[0]) * fx;
        let bottom = bottom[0] + (bottom[1] - bottom[0]) * fx;
        *o = top + (bottom - top) * fy;
    }
    let (before, after) = (out[first], out[end - 1]);
    out[..first].fill(before);
    out[end..].fill(after);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simulated_place_comes_back() {
        let s = Simulation::new(2.0, 0.6, (300.0, 200.0));
        for (x, y) in [(10.0, 20.0), (290.0, 3.0)] {
            let (u, v) = (s.cos * x - s.sin * y, s.sin * x + s.cos * y);
            let (sx, sy) = ((u - s.shift.0) / s.tilt, v - s.shift.1);
            assert!(sx >= 0.0 && sx <= s.turned.0 / s.tilt);
            assert!(sy >= 0.0 && sy <= s.turned.1);
            let back = s.photo_from_simulated(sx, sy);
            assert!((back.0 - x).abs() < 1e-9 && (back.1 - y).abs() < 1e-9);
        }
    }

    #[test]
    fn samples_along_a_line_are_bilinear_inside_and_repeat_outside() {
        let grey = Raster::from_fn(40, 30, |x, y| 2.0 * x as f32 - 3.0 * y as f32);
        for turn in [0.0, 0.4, 1.2, 2.0, 3.6, 5.5_f64] {
            let step = (turn.cos(), turn.sin());
            let start = (20.3 - 50.0 * step.0, 15.2 - 50.0 * step.1);
            let mut out = vec![f32::NAN; 100];
            sample_along(&grey, start, step, &mut out);
            let at = |i: usize| (start.0 + i as f64 * step.0, start.1 + i as f64 * step.1);
            let inside = |(x, y): (f64, f64)| x > 0.51 && y > 0.51 && x < 39.49 && y < 29.49;
            let first = (0..100).find(|&i| inside(at(i))).unwrap();
            let last = (0..100).rfind(|&i| inside(at(i))).unwrap();
            assert!(last > first + 20);
            for (i, value) in out.iter().enumerate() {
                let (x, y) = at(i.clamp(first, last));
                let want = 2.0 * (x - 0.5) - 3.0 * (y - 0.5);
                assert!(
                    (f64::from(*value) - want).abs() < 4e-3,
                    "{turn} {i} {value} {want}"
                );
            }
        }
        let mut out = vec![1.0; 10];
        sample_along(&grey, (-5.0, 10.0), (0.0, 1.0), &mut out);
        assert_eq!(out, [0.0; 10]);
    }

    #[test]
    fn keypoints_of_simulated_views_lie_on_what_they_show() {
        // Dark discs on a bright ground: every keypoint of disc size lies at a
        // disc's centre, whichever view found it.
        let centers: Vec<(f32, f32)> = (0..24)
            .map(|i| {
                let (x, y) = (i % 6, i / 6);
                (
                    60.5 + 70.0 * x as f32 + (7 * y) as f32,
                    60.5 + 70.0 * y as f32,
                )
            })
            .collect();
        let photo = Raster::from_fn(540, 340, |x, y| {
            let (x, y) = (x as f32 + 0.5, y as f32 + 0.5);
            let near = centers.iter().map(|c| (c.0 - x).hypot(c.1 - y));
            let d = near.fold(f32::INFINITY, f32::min);
            [(60.0 + 140.0 * (d - 7.0).clamp(0.0, 1.0)) as u8; 3]
        });
        let views: Vec<Features> = (0..TILT_LEVELS)
            .flat_map(|level| {
                let options = AffineOptions::default();
                simulated_views(&photo, None, level, &options, Isa::Native, &Task::silent())
                    .unwrap()
            })
            .collect();
        assert_eq!(views.len(), 18);
        let mut found_in = 0;
        for view in &views[1..] {
            view.check().unwrap();
            let disc = |k: &&Keypoint| k.scale_px > 3.5 && k.scale_px < 7.0;
            let discs: Vec<&Keypoint> = view.keypoints.iter().filter(disc).collect();
            found_in += usize::from(discs.len() >= 6);
            for k in discs {
                let near = centers.iter().map(|c| (c.0 - k.x_px).hypot(c.1 - k.y_px));
                let d = near.fold(f32::INFINITY, f32::min);
                assert!(d < 2.0, "{k:?} is {d} px from a disc");
            }
        }
        assert!(found_in >= 5, "discs in {found_in} views");
    }
}
