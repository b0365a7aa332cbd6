//! The descriptor: 4×4 histograms of 8 gradient directions (Lowe 2004,
//! section 6), then RootSIFT (Arandjelović & Zisserman, CVPR 2012).
#![expect(
    unsafe_code,
    reason = "calls kernels compiled for a detected instruction set"
)]

use crate::gradients::{BATCH, gradients, rows_around};
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

/// Histograms filled by turns, so that one addition need not wait for the last.
const COPIES: usize = 4;

type Histogram = [[f32; DIRECTIONS]; PADDED * PADDED + 4];
type Histograms = [Histogram; COPIES];

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
    scratch.fit(nx + BATCH);
    let falloff = -0.5 / (WINDOW * cell).powi(2);
    for (i, w) in scratch.weight_x[..nx].iter_mut().enumerate() {
        let dx = (x0 + i) as f32 - place.x;
        *w = (falloff * dx * dx).exp();
    }
    let mut histograms: Histograms = [[[0.0; DIRECTIONS]; PADDED * PADDED + 4]; COPIES];
    for y in y0..y0 + ny {
        let dy = y as f32 - place.y;
        // |cos dx + sin dy| < reach and |cos dy − sin dx| < reach.
        let (a, b) = interval(cos, sin * dy, reach);
        let (c, d) = interval(-sin, cos * dy, reach);
        let (low, high) = (a.max(c).max(-half), b.min(d).min(half));
        if low > high {
            continue;
        }
        let (first, n) = span(
            place.x + 0.5 * (low + high),
            0.5 * (high - low),
            level.width(),
        );
        let first = first.max(x0);
        let n = n.min((x0 + nx).saturating_sub(first));
        if n == 0 {
            continue;
        }
        let padded = n.next_multiple_of(BATCH);
        let magnitude = &mut scratch.magnitude[..padded];
        let direction = &mut scratch.direction[..padded];
        let rows = rows_around(level, (first, y), n);
        gradients(set, rows, magnitude, direction);
        magnitude[n..].fill(0.0);
        direction[n..].fill(0.0);
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
        let weights = &scratch.weight_x[first - x0..first - x0 + padded];
        accumulate(
            set,
            (n, magnitude),
            direction,
            weights,
            frame,
            &mut histograms,
        );
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

/// 1.5·2²³: adding it leaves the nearest integer in the low bits.
const TO_INTEGER: f32 = 12_582_912.0;

#[inline(always)]
fn accumulate_body<const FMA: bool>(
    (n, magnitude): (usize, &[f32]),
    direction: &[f32],
    weights: &[f32],
    frame: RowFrame,
    histograms: &mut Histograms,
) {
    const LANE: [f32; DIRECTIONS] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];
    const LAST: f32 = CELLS as f32 + 0.999;
    // Neighbours mostly share their cells: these are summed in registers, and
    // added to the histograms when the cells change.
    let mut sums = [[0.0; DIRECTIONS]; 4];
    let (mut at, mut copy) = (0, 0);
    let batches = magnitude.as_chunks::<BATCH>().0;
    let batches = batches.iter().zip(direction.as_chunks::<BATCH>().0);
    let batches = batches.zip(weights.as_chunks::<BATCH>().0);
    for (start, ((m, d), w)) in (0..n).step_by(BATCH).zip(batches) {
        let count = BATCH.min(n - start);
        let mut d = *d;
        let mut corners = [[0.0; BATCH]; 4];
        let mut base = [0_u32; BATCH];
        for i in 0..BATCH {
            let m = m[i] * (w[i] * frame.weight);
            let t = d[i] - frame.turns;
            d[i] = (if t < 0.0 { t + 1.0 } else { t }) * DIRECTIONS as f32;
            let column = (start + i) as f32;
            // Rounding may leave the border cells by a hair.
            let u = mul_add::<FMA>(column, frame.du, frame.u).clamp(0.0, LAST);
            let v = mul_add::<FMA>(column, frame.dv, frame.v).clamp(0.0, LAST);
            // Floor; a whole number may give the cell before it with share 1.
            let (fu, fv) = (
                (u - 0.5 + TO_INTEGER) - TO_INTEGER,
                (v - 0.5 + TO_INTEGER) - TO_INTEGER,
            );
            let (ru, rv) = (u - fu, v - fv);
            base[i] = (fv * PADDED as f32 + fu + TO_INTEGER).to_bits() & 31;
            let (m1, m0) = (m * rv, m - m * rv);
            corners[1][i] = m0 * ru;
            corners[0][i] = m0 - m0 * ru;
            corners[3][i] = m1 * ru;
            corners[2][i] = m1 - m1 * ru;
        }
        for i in 0..count {
            // Linear share of each direction: 1 at the sample, 0 one bin away.
            let mut share = [0.0; DIRECTIONS];
            for l in 0..DIRECTIONS {
                let x = (LANE[l] - d[i]).abs();
                let x = if x > 4.0 { 8.0 - x } else { x };
                let s = 1.0 - x;
                share[l] = if s > 0.0 { s } else { 0.0 };
            }
            if base[i] != at {
                add_cells(&mut histograms[copy % COPIES], at as usize & 31, sums);
                copy += 1;
                at = base[i];
                sums = [[0.0; DIRECTIONS]; 4];
            }
            for (sums, corner) in sums.iter_mut().zip(&corners) {
                for l in 0..DIRECTIONS {
                    sums[l] = mul_add::<FMA>(corner[i], share[l], sums[l]);
                }
            }
        }
    }
    add_cells(&mut histograms[copy % COPIES], at as usize & 31, sums);
}

/// Adds the sums of two by two cells from `base` on.
#[inline(always)]
fn add_cells(histogram: &mut Histogram, base: usize, sums: [[f32; DIRECTIONS]; 4]) {
    for (k, sums) in sums.iter().enumerate() {
        let bins = &mut histogram[base + k / 2 * PADDED + k % 2];
        for l in 0..DIRECTIONS {
            bins[l] += sums[l];
        }
    }
}

multiversion! {
    /// Adds n gradients of a row to the cells around each, trilinearly; the
    /// slices are padded to whole batches.
    fn accumulate(
        magnitude: (usize, &[f32]),
        direction: &[f32],
        weights: &[f32],
        frame: RowFrame,
        histograms: &mut Histograms,
    ) = accumulate_body
}

/// Unit length, clamped, unit length; then the root of the L1-normalised
/// vector, times 512.
fn root_sift(histograms: &Histograms) -> [u8; DESCRIPTOR_LEN] {
    let mut d = [0.0_f32; DESCRIPTOR_LEN];
    for cell in 0..CELLS * CELLS {
        let padded = (cell / CELLS + 1) * PADDED + cell % CELLS + 1;
        for l in 0..DIRECTIONS {
            d[cell * DIRECTIONS + l] = histograms[0][padded][l]
                + histograms[1][padded][l]
                + histograms[2][padded][l]
                + histograms[3][padded][l];
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
        let place = Place {
            x: 60.0,
            y: 60.0,
            sigma: 2.0,
        };
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
        let place = Place {
            x: 3.0,
            y: 117.5,
            sigma: 2.0,
        };
        let d = describe(&level(0.3), place, 0.7, &mut Scratch::default(), set);
        let norm = distance(&d, &[0; 128]);
        assert!((norm - 1.0).abs() < 0.02, "{norm}");
    }
}
