//! The descriptor: 4×4 histograms of 8 gradient directions (Lowe 2004,
//! section 6), then RootSIFT (Arandjelović & Zisserman, CVPR 2012).
#![expect(unsafe_code, reason = "calls kernels compiled for a detected instruction set")]

use crate::gradients::gradients;
use crate::orientation::{Place, Scratch, span};
use crate::simd::{InstructionSet, mul_add, multiversion};
use relievo_image::Raster;
use relievo_scene::DESCRIPTOR_LEN;

/// Cells along a side.
const CELLS: usize = 4;
/// Directions of a cell.
const DIRECTIONS: usize = 8;
/// Side of a cell, in units of the keypoint's sigma (VLFeat).
const CELL_SIGMAS: f32 = 3.0;
/// Cells and a border that takes what falls outside.
const PADDED: usize = CELLS + 2;
/// Sigma of the Gaussian window in cells.
const WINDOW: f32 = 2.0;
/// Largest element of the unit vector before it is normalised again.
const CLAMP: f32 = 0.2;

type Histogram = [[f32; DIRECTIONS]; PADDED * PADDED];

/// The frame of the cells, for one row of pixels.
#[derive(Clone, Copy)]
pub(crate) struct RowFrame {
    /// Cell coordinates (border cell centres at 0 and 5) of the first pixel.
    u: f32,
    v: f32,
    /// Their change from pixel to pixel.
    du: f32,
    dv: f32,
    /// Direction of the keypoint in turns.
    turns: f32,
    /// Weight of the row.
    weight: f32,
}

/// The descriptor at `place` with direction `turns`.
pub(crate) fn describe(
    level: &Raster<u16>,
    place: Place,
    turns: f32,
    scratch: &mut Scratch,
    set: InstructionSet,
) -> [u8; DESCRIPTOR_LEN] {
    let cell = CELL_SIGMAS * place.sigma;
    let (sin, cos) = (turns * std::f32::consts::TAU).sin_cos();
    // Pixels whose cell coordinates reach a cell: |u|, |v| < 2.5 cells.
    let reach = cell * 0.5 * (CELLS as f32 + 1.0);
    let half = reach * (sin.abs() + cos.abs());
    let (y0, ny) = span(place.y, half, level.height());
    let (x0, nx) = span(place.x, half, level.width());
    scratch.fit(nx);
    let falloff = -0.5 / (WINDOW * cell).powi(2);
    for (i, w) in scratch.weight_x[..nx].iter_mut().enumerate() {
        let dx = (x0 + i) as f32 - place.x;
        *w = (falloff * dx * dx).exp();
    }
    // Two histograms by turns, so that one addition need not wait for the last.
    let mut histograms: [Histogram; 2] = [[[0.0; DIRECTIONS]; PADDED * PADDED]; 2];
    for y in y0..y0 + ny {
        let dy = y as f32 - place.y;
        // |cos dx + sin dy| < reach and |cos dy − sin dx| < reach.
        let (a, b) = interval(cos, sin * dy, reach);
        let (c, d) = interval(-sin, cos * dy, reach);
        let (low, high) = (a.max(c).max(-half), b.min(d).min(half));
        if low > high {
            continue;
        }
        let (first, n) = span(place.x + 0.5 * (low + high), 0.5 * (high - low), level.width());
        let first = first.max(x0);
        let n = n.min((x0 + nx).saturating_sub(first));
        if n == 0 {
            continue;
        }
        let rows = [y - 1, y, y + 1].map(|y| &level.row(y)[first - 1..=first + n]);
        let (magnitude, direction) = (
            &mut scratch.magnitude[..n],
            &mut scratch.direction[..n],
        );
        gradients(set, rows, magnitude, direction);
        let dx = first as f32 - place.x;
        let middle = 0.5 * (CELLS as f32 + 1.0);
        let frame = RowFrame {
            u: (cos * dx + sin * dy) / cell + middle,
            v: (cos * dy - sin * dx) / cell + middle,
            du: cos / cell,
            dv: -sin / cell,
            turns,
            weight: (falloff * dy * dy).exp(),
        };
        let weights = &scratch.weight_x[first - x0..first - x0 + n];
        accumulate(set, magnitude, direction, weights, frame, &mut histograms);
    }
    root_sift(&histograms)
}

/// The d with |slope·d + offset| ≤ reach.
fn interval(slope: f32, offset: f32, reach: f32) -> (f32, f32) {
    if slope.abs() < 1e-6 {
        return if offset.abs() <= reach {
            (f32::MIN, f32::MAX)
        } else {
            (f32::MAX, f32::MIN)
        };
    }
    let (a, b) = ((-reach - offset) / slope, (reach - offset) / slope);
    (a.min(b), a.max(b))
}

#[inline(always)]
fn accumulate_body<const FMA: bool>(
    magnitude: &mut [f32],
    direction: &mut [f32],
    weights: &[f32],
    frame: RowFrame,
    histograms: &mut [Histogram; 2],
) {
    const LANE: [f32; DIRECTIONS] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];
    let n = magnitude.len();
    let (direction, weights) = (&mut direction[..n], &weights[..n]);
    for i in 0..n {
        magnitude[i] *= weights[i] * frame.weight;
        let t = direction[i] - frame.turns;
        direction[i] = (t - t.floor()) * DIRECTIONS as f32;
    }
    let last = CELLS as f32;
    for i in 0..n {
        let at = i as f32;
        let u = mul_add::<FMA>(at, frame.du, frame.u);
        let v = mul_add::<FMA>(at, frame.dv, frame.v);
        // Rounding may leave the border cells by a hair.
        let (u, v) = (u.clamp(0.0, last + 0.999), v.clamp(0.0, last + 0.999));
        let (iu, iv) = (u as i32 as usize, v as i32 as usize);
        let (ru, rv) = (u - iu as f32, v - iv as f32);
        let m = magnitude[i];
        let (m1, mu1) = (m * rv, ru);
        let m0 = m - m1;
        let corners = [m0 - m0 * mu1, m0 * mu1, m1 - m1 * mu1, m1 * mu1];
        // Linear share of each direction: 1 at the sample, 0 one bin away.
        let mut share = [0.0; DIRECTIONS];
        for l in 0..DIRECTIONS {
            let d = (LANE[l] - direction[i]).abs();
            let d = if d > 4.0 { 8.0 - d } else { d };
            let s = 1.0 - d;
            share[l] = if s > 0.0 { s } else { 0.0 };
        }
        let base = iv.min(CELLS) * PADDED + iu.min(CELLS);
        let histogram = &mut histograms[i & 1];
        for (cell, corner) in [base, base + 1, base + PADDED, base + PADDED + 1]
            .into_iter()
            .zip(corners)
        {
            let bins = &mut histogram[cell];
            for l in 0..DIRECTIONS {
                bins[l] = mul_add::<FMA>(corner, share[l], bins[l]);
            }
        }
    }
}

multiversion! {
    /// Adds a row of gradients to the cells around each, trilinearly.
    fn accumulate(
        magnitude: &mut [f32],
        direction: &mut [f32],
        weights: &[f32],
        frame: RowFrame,
        histograms: &mut [Histogram; 2],
    ) = accumulate_body
}

/// Unit length, clamped, unit length; then the root of the L1-normalised
/// vector, times 512.
fn root_sift(histograms: &[Histogram; 2]) -> [u8; DESCRIPTOR_LEN] {
    let mut d = [0.0_f32; DESCRIPTOR_LEN];
    for cell in 0..CELLS * CELLS {
        let padded = (cell / CELLS + 1) * PADDED + cell % CELLS + 1;
        for l in 0..DIRECTIONS {
            d[cell * DIRECTIONS + l] = histograms[0][padded][l] + histograms[1][padded][l];
        }
    }
    let norm = d.iter().map(|v| v * v).sum::<f32>().sqrt();
    if !(norm > 0.0) {
        return [0; DESCRIPTOR_LEN];
    }
    for v in &mut d {
        *v = (*v / norm).min(CLAMP);
    }
    // The second normalisation cancels in the L1 norm.
    let sum: f32 = d.iter().sum();
    d.map(|v| (512.0 * (v / sum).sqrt() + 0.5) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use relievo_task::Isa;

    fn texture(angle: f32, x: f32, y: f32) -> f32 {
        let (s, c) = angle.sin_cos();
        let (u, v) = (c * x + s * y, c * y - s * x);
        (0.21 * u).sin() * (0.13 * v + 0.4).cos() + (0.09 * u * v * 0.1).sin()
    }

    fn level(angle: f32) -> Raster<u16> {
        Raster::from_fn(121, 121, |x, y| {
            (32_000.0 + 9_000.0 * texture(angle, x as f32 - 60.0, y as f32 - 60.0)) as u16
        })
    }

    fn distance(a: &[u8; 128], b: &[u8; 128]) -> f64 {
        let sum: f64 = a
            .iter()
            .zip(b)
            .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
            .sum();
        sum.sqrt() / 512.0
    }

    #[test]
    fn the_descriptor_turns_with_the_picture() {
        let set = InstructionSet::choose(Isa::Native);
        let place = Place { x: 60.0, y: 60.0, sigma: 2.0 };
        let mut scratch = Scratch::default();
        let upright = describe(&level(0.0), place, 0.0, &mut scratch, set);
        let other = describe(&level(0.0), place, 0.2, &mut scratch, set);
        assert!(distance(&upright, &other) > 0.3);
        for k in 1..12 {
            let turns = k as f32 / 12.0;
            let turned = level(turns * std::f32::consts::TAU);
            let d = describe(&turned, place, turns, &mut scratch, set);
            assert!(distance(&upright, &d) < 0.06, "{turns}");
        }
    }

    #[test]
    fn the_descriptor_has_unit_length() {
        let set = InstructionSet::choose(Isa::Portable);
        let place = Place { x: 3.0, y: 117.5, sigma: 2.0 };
        let d = describe(&level(0.3), place, 0.7, &mut Scratch::default(), set);
        let norm = distance(&d, &[0; 128]);
        assert!((norm - 1.0).abs() < 0.02, "{norm}");
    }
}
