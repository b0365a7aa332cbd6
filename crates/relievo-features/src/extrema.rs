//! Extrema of the difference of Gaussians and their sub-pixel refinement.
//!
//! Lowe 2004, sections 3.1 and 4; Brown & Lowe, BMVC 2002 for the quadratic
//! fit. Among equal neighbours the first in raster order wins, so that a
//! structure exactly between two pixels is found once.
#![expect(
    unsafe_code,
    reason = "calls kernels compiled for a detected instruction set"
)]

use crate::blur::{LINE, prefetch};
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
    /// What a search for strong ones alone would have found.
    pub(crate) is_strong: bool,
}

/// What an extremum must satisfy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Least |D|.
    pub(crate) peak: f32,
    /// Least |D| of a strong one.
    pub(crate) strong: f32,
    /// Largest ratio of principal curvatures.
    pub(crate) edge: f32,
}

/// Part of the least |D| that a sample must have: the refined value may exceed it.
const SAMPLE_SHARE: f32 = 0.8;

/// Columns tested at a time: what is kept of them stays in the nearest cache.
const STEP: usize = 64;
/// Of these, columns that stay in registers.
const WIDE: usize = 16;

/// Finds the extrema of rows after rows.
pub(crate) struct Search {
    /// Differences of Gaussians, S + 2.
    levels: usize,
    stride: usize,
    mask: Vec<u8>,
    kept: Vec<Kept>,
}

impl Search {
    /// For `levels` differences of rows of length `stride`.
    pub(crate) fn new(levels: usize, stride: usize) -> Self {
        Self {
            levels,
            stride,
            mask: Vec::new(),
            kept: vec![NOTHING; 3 * levels],
        }
    }

    /// Appends the extrema of the rows `from..to` (0 < from, to < height), all levels.
    pub(crate) fn rows(
        &mut self,
        space: &ScaleSpace,
        (width, height): (usize, usize),
        (from, to): (usize, usize),
        limits: Limits,
        set: InstructionSet,
        found: &mut Vec<Extremum>,
    ) {
        let columns = (width - 2).next_multiple_of(STEP);
        debug_assert!(columns + 2 <= self.stride);
        let rows: Vec<&[f32]> = (from - 1..=to)
            .flat_map(|y| (0..=self.levels).map(move |level| space.row(level, y)))
            .collect();
        self.mask.resize((to - from) * columns, 0);
        mark(
            set,
            &rows,
            self.levels,
            SAMPLE_SHARE * limits.peak,
            &mut self.kept,
            &mut self.mask,
        );
        let size = (width, height, self.levels);
        for (y, mask) in (from..to).zip(self.mask.chunks_exact(columns)) {
            let (words, _) = mask.as_chunks::<8>();
            for (word, bytes) in words.iter().enumerate() {
                if u64::from_ne_bytes(*bytes) == 0 {
                    continue;
                }
                for (i, &bits) in bytes.iter().enumerate().filter(|(_, b)| **b != 0) {
                    let x = word * 8 + i + 1;
                    if x + 1 >= width {
                        break;
                    }
                    for level in (1..self.levels - 1).filter(|l| bits >> (l - 1) & 1 == 1) {
                        if is_first(space, (level, y, x)) {
                            found.extend(refine(space, size, (level, y, x), limits));
                        }
                    }
                }
            }
        }
    }
}

/// True where no neighbour before the sample in raster order equals it.
fn is_first(space: &ScaleSpace, (level, y, x): (usize, usize, usize)) -> bool {
    let at = |level: usize, y: usize, x: usize| space.row(level + 1, y)[x] - space.row(level, y)[x];
    let v = at(level, y, x);
    let under = (y - 1..=y + 1).any(|y| (x - 1..=x + 1).any(|x| at(level - 1, y, x) == v));
    let above = (x - 1..=x + 1).any(|x| at(level, y - 1, x) == v);
    !under && !above && at(level, y, x - 1) != v
}

#[inline(always)]
fn max(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

#[inline(always)]
fn min(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

type Lanes = [f32; STEP];

/// What is kept of a row of a level: the differences, and the extremes of each
/// column with its neighbours left and right.
#[derive(Clone)]
pub(crate) struct Kept {
    v: Lanes,
    most: Lanes,
    least: Lanes,
}

const NOTHING: Kept = Kept {
    v: [0.0; STEP],
    most: [0.0; STEP],
    least: [0.0; STEP],
};

#[inline(always)]
fn keep(low: &[f32], high: &[f32], at: usize, to: &mut Kept) {
    let range = at..at + STEP + 2;
    let (low, high) = (&low[range.clone()], &high[range]);
    // Differences are made anew at each of the three places: reading across what was just
    // stored takes longer.
    for j in 0..STEP {
        let d: [f32; 3] = std::array::from_fn(|i| high[j + i] - low[j + i]);
        to.v[j] = d[1];
        to.most[j] = max(max(d[0], d[1]), d[2]);
        to.least[j] = min(min(d[0], d[1]), d[2]);
    }
}

type Few = [f32; WIDE];

/// Extremes of the nine samples around each column of a level.
#[inline(always)]
fn nine(rows: [&Kept; 3], at: usize) -> (Few, Few) {
    let (mut most, mut least) = ([0.0; WIDE], [0.0; WIDE]);
    let part = |lanes: &Lanes| -> Few {
        let mut out = [0.0; WIDE];
        out.copy_from_slice(&lanes[at..at + WIDE]);
        out
    };
    let [a, b, c] = rows.map(|r| part(&r.most));
    for j in 0..WIDE {
        most[j] = max(max(a[j], b[j]), c[j]);
    }
    let [a, b, c] = rows.map(|r| part(&r.least));
    for j in 0..WIDE {
        least[j] = min(min(a[j], b[j]), c[j]);
    }
    (most, least)
}

#[expect(
    clippy::needless_bitwise_bool,
    reason = "without branches, so that columns share an instruction"
)]
#[inline(always)]
fn mark_body<const FMA: bool>(
    rows: &[&[f32]],
    levels: usize,
    threshold: f32,
    kept: &mut [Kept],
    mask: &mut [u8],
) {
    let count = rows.len() / (levels + 1);
    let columns = mask.len() / (count - 2);
    for at in (0..columns).step_by(STEP) {
        for (row, of_row) in rows.chunks_exact(levels + 1).enumerate() {
            for level in of_row {
                // The step after this one; this one reads into its first line.
                for line in (LINE..LINE + STEP).step_by(LINE) {
                    prefetch(level, at + STEP + line);
                }
            }
            let slot = row % 3 * levels;
            for (pair, to) in of_row.windows(2).zip(&mut kept[slot..slot + levels]) {
                keep(pair[0], pair[1], at, to);
            }
            if row < 2 {
                continue;
            }
            let slots = [row - 2, row - 1, row].map(|r| r % 3 * levels);
            let of_level = |level: usize| slots.map(|s| &kept[s + level]);
            for few in (0..STEP).step_by(WIDE) {
                let (mut under, mut here) = (nine(of_level(0), few), nine(of_level(1), few));
                let mut bits = [0_u32; WIDE];
                for level in 1..levels - 1 {
                    let over = nine(of_level(level + 1), few);
                    let v = &kept[slots[1] + level].v[few..few + WIDE];
                    let bit = 1_u32 << (level - 1);
                    for j in 0..WIDE {
                        let most = max(max(under.0[j], here.0[j]), over.0[j]);
                        let least = min(min(under.1[j], here.1[j]), over.1[j]);
                        let top = (v[j] > threshold) & (v[j] >= most);
                        let bottom = (v[j] < -threshold) & (v[j] <= least);
                        bits[j] |= if top | bottom { bit } else { 0 };
                    }
                    (under, here) = (here, over);
                }
                let out = &mut mask[(row - 2) * columns + at + few..][..WIDE];
                for j in 0..WIDE {
                    out[j] = bits[j] as u8;
                }
            }
        }
    }
}

multiversion! {
    /// Sets bit l − 1 of a row's `mask[x]` where the difference l of the Gaussian
    /// levels has an extremum over `threshold` at column x + 1 of that row, equal
    /// neighbours allowed. `rows`: `levels` + 1 rows of each of the masked rows, of the
    /// one before and the one after them.
    fn mark(rows: &[&[f32]], levels: usize, threshold: f32, kept: &mut [Kept], mask: &mut [u8]) = mark_body
}

/// Most moves to a neighbouring sample.
const MAX_MOVES: usize = MARGIN - 2;

/// The extremum of the quadratic through the samples around `sample`.
fn refine(
    space: &ScaleSpace,
    (width, height, levels): (usize, usize, usize),
    sample: (usize, usize, usize),
    limits: Limits,
) -> Option<Extremum> {
    let (mut s, mut y, mut x) = sample;
    let start = space.row(s + 1, y)[x] - space.row(s, y)[x];
    let from_strong = start.abs() > SAMPLE_SHARE * limits.strong;
    for attempt in 0..=MAX_MOVES {
        let mut cube = [[[0.0_f32; 3]; 3]; 3];
        for (dy, y) in (y - 1..=y + 1).enumerate() {
            let rows: [&[f32]; 4] =
                std::array::from_fn(|i| &space.row(s + i - 1, y)[x - 1..=x + 1]);
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
        if !good {
            return None;
        }
        let (px, py) = polish(space, (width, height), (s, y, x), d);
        return Some(Extremum {
            x: (x as f64 + px) as f32,
            y: (y as f64 + py) as f32,
            level: (s as f64 + d[2]) as f32,
            response: response as f32,
            sample: (s, y, x),
            is_strong: from_strong && response >= f64::from(limits.strong),
        });
    }
    None
}

/// Offsets (x, y) of the extremum from `sample`, from a quartic through 5 × 5
/// samples instead of the parabola, whose error reaches 0.03 pixels of the
/// octave. `d` is the parabola's answer (x, y, level), kept where the quartic
/// does not confirm it.
fn polish(
    space: &ScaleSpace,
    (width, height): (usize, usize),
    (s, y, x): (usize, usize, usize),
    d: [f64; 3],
) -> (f64, f64) {
    let start = (d[0], d[1]);
    if x < 2 || y < 2 || x + 2 >= width || y + 2 >= height {
        return start;
    }
    // The three levels, interpolated at the offset in scale.
    let t = d[2];
    let share = [0.5 * t * (t - 1.0), 1.0 - t * t, 0.5 * t * (t + 1.0)];
    let mut c = [[0.0_f64; 5]; 5];
    for (i, c) in c.iter_mut().enumerate() {
        for (k, share) in share.iter().enumerate() {
            let low = &space.row(s + k - 1, y + i - 2)[x - 2..x + 3];
            let high = &space.row(s + k, y + i - 2)[x - 2..x + 3];
            for j in 0..5 {
                c[j] += share * f64::from(high[j] - low[j]);
            }
        }
    }
    let (mut px, mut py) = start;
    for _ in 0..2 {
        let (wx, wy) = (quartic(px), quartic(py));
        let at = |dx: usize, dy: usize| -> f64 {
            (0..5)
                .map(|i| wy[dy][i] * (0..5).map(|j| wx[dx][j] * c[i][j]).sum::<f64>())
                .sum()
        };
        let (gx, gy) = (at(1, 0), at(0, 1));
        let (xx, yy, xy) = (at(2, 0), at(0, 2), at(1, 1));
        let det = xx * yy - xy * xy;
        if !(det > 0.0) {
            return start;
        }
        px -= (yy * gx - xy * gy) / det;
        py -= (xx * gy - xy * gx) / det;
        // Also false for NaN.
        if !((px - start.0).abs() < 0.3 && (py - start.1).abs() < 0.3) {
            return start;
        }
    }
    (px, py)
}

/// Weights of the samples at −2 … 2 for the value and the first two
/// derivatives at t of the quartic through them.
fn quartic(t: f64) -> [[f64; 5]; 3] {
    // Weights of the samples in the coefficient of each power of t.
    const POWERS: [[f64; 5]; 5] = [
        [0.0, 0.0, 1.0, 0.0, 0.0],
        [1.0 / 12.0, -8.0 / 12.0, 0.0, 8.0 / 12.0, -1.0 / 12.0],
        [
            -1.0 / 24.0,
            16.0 / 24.0,
            -30.0 / 24.0,
            16.0 / 24.0,
            -1.0 / 24.0,
        ],
        [-1.0 / 12.0, 2.0 / 12.0, 0.0, -2.0 / 12.0, 1.0 / 12.0],
        [1.0 / 24.0, -4.0 / 24.0, 6.0 / 24.0, -4.0 / 24.0, 1.0 / 24.0],
    ];
    let (t2, t3) = (t * t, t * t * t);
    let value = [1.0, t, t2, t3, t2 * t2];
    let slope = [0.0, 1.0, 2.0 * t, 3.0 * t2, 4.0 * t3];
    let bend = [0.0, 0.0, 2.0, 6.0 * t, 12.0 * t2];
    [value, slope, bend]
        .map(|powers| std::array::from_fn(|i| (0..5).map(|k| powers[k] * POWERS[k][i]).sum()))
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
    fn a_quartic_is_differentiated_exactly() {
        let f = |t: f64| 1.0 - 2.0 * t + 0.5 * t * t + 0.3 * t.powi(3) - 0.2 * t.powi(4);
        let samples: Vec<f64> = (-2..=2).map(|i| f(f64::from(i))).collect();
        let t = 0.37;
        let found = quartic(t).map(|w| w.iter().zip(&samples).map(|(w, s)| w * s).sum::<f64>());
        let slope = -2.0 + t + 0.9 * t * t - 0.8 * t.powi(3);
        let bend = 1.0 + 1.8 * t - 2.4 * t * t;
        for (found, want) in found.iter().zip([f(t), slope, bend]) {
            assert!((found - want).abs() < 1e-12);
        }
    }

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
