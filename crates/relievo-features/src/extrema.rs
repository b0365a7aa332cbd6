//! Extrema of the difference of Gaussians and their sub-pixel refinement.
//!
//! Lowe 2004, sections 3.1 and 4; Brown & Lowe, BMVC 2002 for the quadratic
//! fit. Among equal neighbours the first in raster order wins, so that a
//! structure exactly between two pixels is found once.
#![expect(unsafe_code, reason = "calls kernels compiled for a detected instruction set")]

use crate::blur::LANES;
use crate::scale_space::{MARGIN, ScaleSpace};
use crate::simd::{InstructionSet, multiversion};

/// A refined extremum, in pixel indices of its octave (a pixel's centre is a
/// whole number).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Extremum {
    /// Column.
    pub(crate) x: f32,
    /// Row.
    pub(crate) y: f32,
    /// Level of the scale space, a real number.
    pub(crate) level: f32,
    /// |D| at the extremum.
    pub(crate) response: f32,
    /// Sample (level, row, column) it was refined at.
    pub(crate) sample: (usize, usize, usize),
}

/// What an extremum must satisfy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Least |D|.
    pub(crate) peak: f32,
    /// Largest ratio of principal curvatures.
    pub(crate) edge: f32,
}

/// Difference-of-Gaussian rows around the row that is being searched.
pub(crate) struct DogRows {
    rows: Vec<Vec<f32>>,
    done: usize,
    levels: usize,
    mask: Vec<u8>,
}

const HELD: usize = 4;

impl DogRows {
    /// For `levels` differences of rows of length `stride`.
    pub(crate) fn new(levels: usize, stride: usize) -> Self {
        Self {
            rows: vec![vec![0.0; stride + LANES]; levels * HELD],
            done: 0,
            levels,
            mask: vec![0; stride + LANES],
        }
    }

    fn row(&self, level: usize, y: usize) -> &[f32] {
        &self.rows[level * HELD + y % HELD]
    }

    /// Appends the extrema of row y (0 < y < height − 1), all levels.
    pub(crate) fn search(
        &mut self,
        space: &ScaleSpace,
        (width, height): (usize, usize),
        y: usize,
        limits: Limits,
        set: InstructionSet,
        found: &mut Vec<Extremum>,
    ) {
        while self.done <= y + 1 {
            for level in 0..self.levels {
                let (a, b) = (space.row(level, self.done), space.row(level + 1, self.done));
                subtract(
                    set,
                    b,
                    a,
                    &mut self.rows[level * HELD + self.done % HELD][..a.len()],
                );
            }
            self.done += 1;
        }
        for level in 1..self.levels - 1 {
            let mut mask = std::mem::take(&mut self.mask);
            let mut window: [&[f32]; 9] = [&[]; 9];
            for (i, row) in window.iter_mut().enumerate() {
                *row = self.row(level + i / 3 - 1, y + i % 3 - 1);
            }
            // The refined value may exceed the sampled one.
            if mark(set, &window, 0.8 * limits.peak, &mut mask[..space.stride()]) {
                for (word, chunk) in mask[..width - 2].chunks(8).enumerate() {
                    if chunk.iter().all(|&m| m == 0) {
                        continue;
                    }
                    for (i, _) in chunk.iter().enumerate().filter(|(_, m)| **m != 0) {
                        let x = word * 8 + i + 1;
                        let sample = (level, y, x);
                        found.extend(refine(space, (width, height, self.levels), sample, limits));
                    }
                }
            }
            self.mask = mask;
        }
    }
}

#[inline(always)]
fn subtract_body<const FMA: bool>(a: &[f32], b: &[f32], out: &mut [f32]) {
    for ((o, a), b) in out.iter_mut().zip(a).zip(b) {
        *o = a - b;
    }
}

multiversion! {
    /// `out = a − b`.
    fn subtract(a: &[f32], b: &[f32], out: &mut [f32]) = subtract_body
}

/// Columns tested at a time.
const STEP: usize = 16;

#[inline(always)]
fn mark_body<const FMA: bool>(window: &[&[f32]; 9], threshold: f32, mask: &mut [u8]) -> bool {
    let mut any_in_row = false;
    for (chunk, mask) in mask.chunks_exact_mut(STEP).enumerate() {
        let at = chunk * STEP;
        let get = |row: usize, shift: usize| -> &[f32; STEP] {
            window[row][at + shift..at + shift + STEP]
                .try_into()
                .expect("the slice has STEP elements")
        };
        let v = get(4, 1);
        let mut strong = 0;
        for j in 0..STEP {
            strong |= u32::from(v[j].abs() > threshold);
        }
        if strong == 0 {
            mask.fill(0);
            continue;
        }
        // Samples before this one in raster order, then those after it.
        let (mut hi_before, mut lo_before) = (*get(4, 0), *get(4, 0));
        for row in 0..4 {
            for shift in 0..3 {
                let n = get(row, shift);
                for j in 0..STEP {
                    hi_before[j] = if n[j] > hi_before[j] { n[j] } else { hi_before[j] };
                    lo_before[j] = if n[j] < lo_before[j] { n[j] } else { lo_before[j] };
                }
            }
        }
        let (mut hi_after, mut lo_after) = (*get(4, 2), *get(4, 2));
        for row in 5..9 {
            for shift in 0..3 {
                let n = get(row, shift);
                for j in 0..STEP {
                    hi_after[j] = if n[j] > hi_after[j] { n[j] } else { hi_after[j] };
                    lo_after[j] = if n[j] < lo_after[j] { n[j] } else { lo_after[j] };
                }
            }
        }
        let mut any = 0;
        for j in 0..STEP {
            let top = (v[j] > threshold) & (v[j] > hi_before[j]) & (v[j] >= hi_after[j]);
            let bottom = (v[j] < -threshold) & (v[j] < lo_before[j]) & (v[j] <= lo_after[j]);
            mask[j] = u8::from(top | bottom);
            any |= mask[j];
        }
        any_in_row |= any != 0;
    }
    any_in_row
}

multiversion! {
    /// Marks column x + 1 at `mask[x]` where the middle row of `window` (level
    /// by level, row by row) has an extremum over `threshold`; says whether
    /// there is any.
    fn mark(window: &[&[f32]; 9], threshold: f32, mask: &mut [u8]) -> bool = mark_body
}

/// Most moves to a neighbouring sample.
const MAX_MOVES: usize = MARGIN - 1;

/// The extremum of the quadratic through the samples around `sample`.
fn refine(
    space: &ScaleSpace,
    (width, height, levels): (usize, usize, usize),
    sample: (usize, usize, usize),
    limits: Limits,
) -> Option<Extremum> {
    let (mut s, mut y, mut x) = sample;
    for attempt in 0..=MAX_MOVES {
        let mut cube = [[[0.0_f32; 3]; 3]; 3];
        for (dy, y) in (y - 1..=y + 1).enumerate() {
            let rows: [&[f32]; 4] = std::array::from_fn(|i| &space.row(s + i - 1, y)[x - 1..=x + 1]);
            for ds in 0..3 {
                for dx in 0..3 {
                    cube[ds][dy][dx] = rows[ds + 1][dx] - rows[ds][dx];
                }
            }
        }
        let c = |ds: usize, dy: usize, dx: usize| f64::from(cube[ds][dy][dx]);
        let v = c(1, 1, 1);
        let g = [
            0.5 * (c(1, 1, 2) - c(1, 1, 0)),
            0.5 * (c(1, 2, 1) - c(1, 0, 1)),
            0.5 * (c(2, 1, 1) - c(0, 1, 1)),
        ];
        let xx = c(1, 1, 2) + c(1, 1, 0) - 2.0 * v;
        let yy = c(1, 2, 1) + c(1, 0, 1) - 2.0 * v;
        let ss = c(2, 1, 1) + c(0, 1, 1) - 2.0 * v;
        let xy = 0.25 * (c(1, 2, 2) + c(1, 0, 0) - c(1, 2, 0) - c(1, 0, 2));
        let xs = 0.25 * (c(2, 1, 2) + c(0, 1, 0) - c(2, 1, 0) - c(0, 1, 2));
        let ys = 0.25 * (c(2, 2, 1) + c(0, 0, 1) - c(2, 0, 1) - c(0, 2, 1));
        let d = solve([[xx, xy, xs], [xy, yy, ys], [xs, ys, ss]], g)?;

        let step = |at: usize, d: f64, last: usize| -> usize {
            if d > 0.6 && at < last {
                at + 1
            } else if d < -0.6 && at > 1 {
                at - 1
            } else {
                at
            }
        };
        let moved = (
            step(s, d[2], levels - 2),
            step(y, d[1], height - 2),
            step(x, d[0], width - 2),
        );
        if moved != (s, y, x) && attempt < MAX_MOVES {
            (s, y, x) = moved;
            continue;
        }
        let response = (v + 0.5 * (g[0] * d[0] + g[1] * d[1] + g[2] * d[2])).abs();
        let (trace, det) = (xx + yy, xx * yy - xy * xy);
        let edge = f64::from(limits.edge);
        let good = d.iter().all(|d| d.abs() <= 1.0)
            && response >= f64::from(limits.peak)
            && det > 0.0
            && trace * trace * edge < (edge + 1.0).powi(2) * det;
        return good.then(|| Extremum {
            x: (x as f64 + d[0]) as f32,
            y: (y as f64 + d[1]) as f32,
            level: (s as f64 + d[2]) as f32,
            response: response as f32,
            sample: (s, y, x),
        });
    }
    None
}

/// d with H d = −g for symmetric H (Cramer's rule); `None` where singular.
fn solve(h: [[f64; 3]; 3], g: [f64; 3]) -> Option<[f64; 3]> {
    let cross = |a: [f64; 3], b: [f64; 3]| {
        [
            a[1] * b[2] - a[2] * b[1],
            a[2] * b[0] - a[0] * b[2],
            a[0] * b[1] - a[1] * b[0],
        ]
    };
    let dot = |a: [f64; 3], b: [f64; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
    let bc = cross(h[1], h[2]);
    let det = dot(h[0], bc);
    let scale = h.iter().flatten().fold(0.0_f64, |m, v| m.max(v.abs()));
    if !(det.abs() > 1e-12 * scale.powi(3)) {
        return None;
    }
    let d = [
        -dot(g, bc) / det,
        -dot(g, cross(h[2], h[0])) / det,
        -dot(g, cross(h[0], h[1])) / det,
    ];
    d.iter().all(|v| v.is_finite()).then_some(d)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solve_inverts_a_symmetric_system() {
        let h = [[-3.0, 0.4, 0.1], [0.4, -2.0, 0.3], [0.1, 0.3, -1.0]];
        let d = [0.3, -0.2, 0.45];
        let g: [f64; 3] = std::array::from_fn(|i| -(0..3).map(|j| h[i][j] * d[j]).sum::<f64>());
        let found = solve(h, g).unwrap();
        for i in 0..3 {
            assert!((found[i] - d[i]).abs() < 1e-12);
        }
        assert!(solve([[1.0, 1.0, 0.0]; 3], g).is_none());
    }
}
