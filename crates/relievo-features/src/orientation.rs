//! Dominant gradient directions around a keypoint: Lowe 2004, section 5.
#![expect(
    unsafe_code,
    reason = "calls kernels compiled for a detected instruction set"
)]

use crate::gradients::{BATCH, gradients, rows_around};
use crate::simd::{InstructionSet, multiversion};
use relievo_image::Raster;

/// Bins of the histogram.
const BINS: usize = 36;
/// Gaussian window, in units of the keypoint's sigma (VLFeat).
const WINDOW: f32 = 1.5;
/// Smoothing passes of the histogram (VLFeat).
const SMOOTHINGS: usize = 6;

/// Where a keypoint lies in its Gaussian level.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Column; pixel centres are whole numbers.
    pub(crate) x: f32,
    /// Row.
    pub(crate) y: f32,
    /// Sigma in pixels of the octave.
    pub(crate) sigma: f32,
}

/// Buffers that are reused from keypoint to keypoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) magnitude: Vec<f32>,
    pub(crate) direction: Vec<f32>,
    pub(crate) weight_x: Vec<f32>,
}

impl Scratch {
    /// Room for rows of `n` pixels.
    pub(crate) fn fit(&mut self, n: usize) {
        if self.magnitude.len() < n {
            self.magnitude.resize(n, 0.0);
            self.direction.resize(n, 0.0);
            self.weight_x.resize(n, 0.0);
        }
    }
}

/// The part of 1 ..= len − 2 within `radius` of `centre`, as first and length.
pub(crate) fn span(centre: f32, radius: f32, len: usize) -> (usize, usize) {
    if len < 3 {
        return (1, 0);
    }
    let first = ((centre - radius).ceil().max(1.0)) as usize;
    let last = ((centre + radius).floor().max(0.0) as usize).min(len - 2);
    (first, (last + 1).saturating_sub(first))
}

/// Directions in turns, the strongest first, at most `most`, each at least
/// `ratio` of the strongest. Empty where there is no gradient at all.
pub(crate) fn orientations(
    level: &Raster<u16>,
    place: Place,
    (most, ratio): (usize, f32),
    scratch: &mut Scratch,
    set: InstructionSet,
) -> Vec<f32> {
    let sigma = WINDOW * place.sigma;
    let radius = 3.0 * sigma;
    let (x0, nx) = span(place.x, radius, level.width());
    let (y0, ny) = span(place.y, radius, level.height());
    scratch.fit(nx + BATCH);
    let falloff = -0.5 / (sigma * sigma);
    for (i, w) in scratch.weight_x[..nx].iter_mut().enumerate() {
        let dx = (x0 + i) as f32 - place.x;
        *w = (falloff * dx * dx).exp();
    }
    let mut histogram = [0.0; BINS + 1];
    for y in y0..y0 + ny {
        let dy = y as f32 - place.y;
        let half = (radius * radius - dy * dy).max(0.0).sqrt();
        let (first, n) = span(place.x, half, level.width());
        if n == 0 {
            continue;
        }
        let rows = rows_around(level, (first, y), n);
        gradients(set, rows, &mut scratch.magnitude, &mut scratch.direction);
        let (magnitude, direction) = (&scratch.magnitude[..n], &scratch.direction[..n]);
        let weight_y = (falloff * dy * dy).exp();
        let weights = &scratch.weight_x[first - x0..first - x0 + n];
        accumulate(set, magnitude, direction, weights, weight_y, &mut histogram);
    }
    peaks(&mut histogram, most, ratio)
}

#[inline(always)]
fn accumulate_body<const FMA: bool>(
    magnitude: &[f32],
    direction: &[f32],
    weights: &[f32],
    weight_y: f32,
    histogram: &mut [f32; BINS + 1],
) {
    for ((m, d), w) in magnitude.iter().zip(direction).zip(weights) {
        let value = m * w * weight_y;
        let bin = d * BINS as f32;
        let low = (bin as usize).min(BINS - 1);
        let high = value * (bin - low as f32);
        histogram[low] += value - high;
        histogram[low + 1] += high;
    }
}

multiversion! {
    /// Adds weighted magnitudes, shared between the two nearest bins.
    fn accumulate(
        magnitude: &[f32],
        direction: &[f32],
        weights: &[f32],
        weight_y: f32,
        histogram: &mut [f32; BINS + 1],
    ) = accumulate_body
}

/// Smooths the histogram (its last bin is its first) and finds its peaks.
fn peaks(histogram: &mut [f32; BINS + 1], most: usize, ratio: f32) -> Vec<f32> {
    histogram[0] += histogram[BINS];
    let mut h: [f32; BINS] = std::array::from_fn(|i| histogram[i]);
    for _ in 0..SMOOTHINGS {
        let old = h;
        for i in 0..BINS {
            h[i] = (old[(i + BINS - 1) % BINS] + old[i] + old[(i + 1) % BINS]) / 3.0;
        }
    }
    let top = h.iter().fold(0.0_f32, |a, &b| a.max(b));
    if !(top > 0.0) {
        return Vec::new();
    }
    let mut found: Vec<(f32, f32)> = Vec::new();
    for i in 0..BINS {
        let (before, v, after) = (h[(i + BINS - 1) % BINS], h[i], h[(i + 1) % BINS]);
        if v >= ratio * top && v > before && v >= after {
            let bend = before + after - 2.0 * v;
            let shift = if bend < 0.0 {
                0.5 * (before - after) / bend
            } else {
                0.0
            };
            found.push((v, ((i as f32 + shift) / BINS as f32).rem_euclid(1.0)));
        }
    }
    if found.is_empty() {
        // A flat histogram: every direction is as good.
        return vec![0.0];
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.total_cmp(&b.1)));
    found.truncate(most);
    found.into_iter().map(|(_, turns)| turns).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use relievo_task::Isa;

    #[test]
    fn a_ramp_points_along_its_gradient() {
        for k in 0..24 {
            let want = (k as f32 + 0.3) / 24.0;
            let (s, c) = (want * std::f32::consts::TAU).sin_cos();
            let level = Raster::from_fn(60, 60, |x, y| {
                (30_000.0 + 200.0 * (c * (x as f32 - 30.0) + s * (y as f32 - 30.0))) as u16
            });
            let place = Place {
                x: 30.2,
                y: 29.7,
                sigma: 2.0,
            };
            let set = InstructionSet::choose(Isa::Native);
            let found = orientations(&level, place, (2, 0.8), &mut Scratch::default(), set);
            assert_eq!(found.len(), 1);
            let off = (found[0] - want + 0.5).rem_euclid(1.0) - 0.5;
            assert!(off.abs() < 3e-3, "{want} {found:?}");
        }
    }

    #[test]
    fn a_flat_patch_has_no_direction() {
        let level = Raster::filled(40, 40, 500);
        let place = Place {
            x: 20.0,
            y: 20.0,
            sigma: 2.0,
        };
        let set = InstructionSet::choose(Isa::Portable);
        assert!(orientations(&level, place, (2, 0.8), &mut Scratch::default(), set).is_empty());
    }
}
