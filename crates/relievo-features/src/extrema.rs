//! Extrema of the difference of Gaussians and their sub-pixel refinement.
//!
//! Lowe 2004, sections 3.1 and 4; Brown & Lowe, BMVC 2002 for the quadratic
//! fit. Among equal neighbours the first in raster order wins, so that a
//! structure exactly between two pixels is found once.
#![expect(unsafe_code, reason = "calls kernels compiled for a detected instruction set")]

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

/// Columns tested at a time.
const STEP: usize = 16;

type Lanes = [f32; STEP];

/// Finds the extrema of row after row.
pub(crate) struct Search {
    /// Differences of Gaussians, S + 2.
    levels: usize,
    mask: Vec<u8>,
}

impl Search {
    /// For `levels` differences of rows of length `stride`.
    pub(crate) fn new(levels: usize, stride: usize) -> Self {
        Self {
            levels,
            mask: vec![0; stride],
        }
    }

    /// Appends the extrema of row y (0 < y < height − 1), all levels.
    pub(crate) fn row(
        &mut self,
        space: &ScaleSpace,
        (width, height): (usize, usize),
        y: usize,
        limits: Limits,
        set: InstructionSet,
        found: &mut Vec<Extremum>,
    ) {
        let rows: Vec<[&[f32]; 3]> = (0..=self.levels)
            .map(|level| [y - 1, y, y + 1].map(|y| space.row(level, y)))
            .collect();
        let columns = (width - 2).next_multiple_of(STEP);
        let mask = &mut self.mask[..columns];
        // The refined value may exceed the sampled one.
        mark(set, &rows, 0.8 * limits.peak, mask);
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
                    let size = (width, height, self.levels);
                    found.extend(refine(space, size, (level, y, x), limits));
                }
            }
        }
    }
}

#[inline(always)]
fn max(a: Lanes, b: Lanes) -> Lanes {
    std::array::from_fn(|j| if a[j] > b[j] { a[j] } else { b[j] })
}

#[inline(always)]
fn min(a: Lanes, b: Lanes) -> Lanes {
    std::array::from_fn(|j| if a[j] < b[j] { a[j] } else { b[j] })
}

/// What the comparison needs of one level: the samples, the extremes of their
/// neighbours before and after them in raster order, and of all nine.
#[derive(Clone, Copy)]
struct Neighbourhood {
    v: Lanes,
    before: (Lanes, Lanes),
    after: (Lanes, Lanes),
    all: (Lanes, Lanes),
}

#[inline(always)]
fn neighbourhood(low: &[&[f32]; 3], high: &[&[f32]; 3], at: usize) -> Neighbourhood {
    let get = |row: usize, shift: usize| -> Lanes {
        let range = at + shift..at + shift + STEP;
        let (a, b) = (&low[row][range.clone()], &high[row][range]);
        std::array::from_fn(|j| b[j] - a[j])
    };
    let three = |row: usize| {
        let (a, b, c) = (get(row, 0), get(row, 1), get(row, 2));
        (a, b, c, max(max(a, b), c), min(min(a, b), c))
    };
    let (_, _, _, top_max, top_min) = three(0);
    let (left, v, right, row_max, row_min) = three(1);
    let (_, _, _, bottom_max, bottom_min) = three(2);
    Neighbourhood {
        v,
        before: (max(top_max, left), min(top_min, left)),
        after: (max(bottom_max, right), min(bottom_min, right)),
        all: (
            max(max(top_max, bottom_max), row_max),
            min(min(top_min, bottom_min), row_min),
        ),
    }
}

#[inline(always)]
fn mark_body<const FMA: bool>(rows: &[[&[f32]; 3]], threshold: f32, mask: &mut [u8]) {
    for (chunk, mask) in mask.chunks_exact_mut(STEP).enumerate() {
        let at = chunk * STEP;
        let mut under = neighbourhood(&rows[0], &rows[1], at).all;
        let mut here = neighbourhood(&rows[1], &rows[2], at);
        let mut bits = [0_u8; STEP];
        for (level, pair) in rows[2..].windows(2).enumerate() {
            let over = neighbourhood(&pair[0], &pair[1], at);
            let v = here.v;
            let (hi, lo) = (max(under.0, here.before.0), min(under.1, here.before.1));
            let (hi_eq, lo_eq) = (max(over.all.0, here.after.0), min(over.all.1, here.after.1));
            for j in 0..STEP {
                let top = (v[j] > threshold) & (v[j] > hi[j]) & (v[j] >= hi_eq[j]);
                let bottom = (v[j] < -threshold) & (v[j] < lo[j]) & (v[j] <= lo_eq[j]);
                bits[j] |= u8::from(top | bottom) << level;
            }
            under = here.all;
            here = over;
        }
        mask.copy_from_slice(&bits);
    }
}

multiversion! {
    /// Sets bit l − 1 of `mask[x]` where the difference l of the Gaussian
    /// levels `rows` (three rows each) has an extremum over `threshold` at
    /// column x + 1 of the middle row.
    fn mark(rows: &[[&[f32]; 3]], threshold: f32, mask: &mut [u8]) = mark_body
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
