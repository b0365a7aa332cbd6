//! The elimination landmark after landmark, for systems that fit the near caches.
//!
//! Going by rows reads what a landmark holds once for each pose that sees it, from all
//! over the memory. Here it is read once and in order; what changes all the time is S. Parts
//! of the landmarks, as many for any number of threads, have sums of their own.
#![expect(
    unsafe_code,
    reason = "calls code compiled for a detected instruction set"
)]

use super::linearise::Linearisation;
use super::pattern::Pattern;
use super::reduce::{subtract_6x6, subtract_group, times_6};
use super::times;
use super::wide::widest;
use crate::bundle::{BundleStructure, FIXED};
use rayon::prelude::*;
use std::ops::Range;

/// Most scalars of S: half a megabyte.
const MOST: usize = 1 << 16;
/// Landmarks that are worth a part, and most parts.
const LANDMARKS: usize = 1024;
const PARTS: usize = 16;

/// Where every block of S stands in one piece of memory.
#[derive(Debug)]
pub(super) struct Table {
    /// Of block (i, j) at i · blocks + j; [`FIXED`] where nothing is.
    starts: Vec<u32>,
    /// First scalar of each block row.
    rows: Vec<usize>,
}

impl Table {
    /// `None` of a large system.
    pub(super) fn new(dims: &[usize], columns: &[Vec<u32>]) -> Option<Self> {
        let mut starts = vec![FIXED; dims.len() * dims.len()];
        let (mut rows, mut at) = (vec![0], 0);
        for (i, columns) in columns.iter().enumerate() {
            for &j in columns {
                starts[i * dims.len() + j as usize] = at as u32;
                at += dims[i] * dims[j as usize];
            }
            if at > MOST {
                return None;
            }
            rows.push(at);
        }
        Some(Self { starts, rows })
    }
}

/// What the landmarks take from S and from its gradient.
pub(super) struct Eliminated<'t> {
    table: &'t Table,
    parts: Vec<Part>,
}

struct Part {
    /// −W V⁻¹ Wᵀ.
    values: Vec<f64>,
    /// W V⁻¹ times the landmarks' gradient.
    gradient: Vec<f64>,
}

impl Eliminated<'_> {
    /// Adds block row i, whose gradient stands at `offset`.
    pub(super) fn add_to(&self, i: usize, offset: usize, values: &mut [f64], gradient: &mut [f64]) {
        for part in &self.parts {
            let row = &part.values[self.table.rows[i]..self.table.rows[i + 1]];
            for (x, y) in values.iter_mut().zip(row) {
                *x += y;
            }
            for (x, y) in gradient.iter_mut().zip(&part.gradient[offset..]) {
                *x += y;
            }
        }
    }
}

/// All landmarks; `inverse`: of V, damped, of each.
pub(super) fn eliminate<'t>(
    s: &BundleStructure,
    pattern: &Pattern,
    table: &'t Table,
    lin: &Linearisation,
    inverse: &[[f64; 6]],
) -> Eliminated<'t> {
    let count = s.num_landmarks();
    let parts = (count / LANDMARKS).clamp(1, PARTS);
    let parts = (0..parts)
        .into_par_iter()
        .with_max_len(1)
        .map(|k| {
            let range = count * k / parts..count * (k + 1) / parts;
            sum_of(s, pattern, table, (lin, inverse), range)
        })
        .collect();
    Eliminated { table, parts }
}

#[inline(always)]
fn sum_body(
    s: &BundleStructure,
    pattern: &Pattern,
    table: &Table,
    (lin, inverse): (&Linearisation, &[[f64; 6]]),
    range: Range<usize>,
) -> Part {
    let blocks = pattern.dims.len();
    let m = pattern.max_group_dim;
    let mut sum = Part {
        values: vec![0.0; table.rows[blocks]],
        gradient: vec![0.0; pattern.size()],
    };
    let mut t = vec![0.0; 3 * m];
    for l in range {
        let v = &inverse[l];
        let gl = &lin.landmarks[l][6..9];
        for o in s.observations(l) {
            let p = s.observation_pose[o];
            if p == FIXED {
                continue;
            }
            let p = p as usize;
            let t = times_6(v, &lin.w[o]);
            for (a, g) in sum.gradient[6 * p..6 * p + 6].iter_mut().enumerate() {
                *g += t[a] * gl[0] + t[6 + a] * gl[1] + t[12 + a] * gl[2];
            }
            let starts = &table.starts[p * blocks..(p + 1) * blocks];
            for o2 in s.observations(l) {
                let j = s.observation_pose[o2];
                if j == FIXED || (j as usize) < p {
                    continue;
                }
                let at = starts[j as usize] as usize;
                if let Some(block) = sum.values[at..].first_chunk_mut::<36>() {
                    subtract_6x6(block, &t, &lin.w[o2]);
                }
            }
            for link in pattern.links(l) {
                let j = s.num_poses + pattern.link_group[link] as usize;
                let dim = pattern.dims[j];
                let block = &mut sum.values[starts[j] as usize..][..6 * dim];
                subtract_group(block, &t, &lin.link_w[link * m * 3..][..m * 3], dim);
            }
        }
        for link in pattern.links(l) {
            let g = pattern.link_group[link] as usize;
            let i = s.num_poses + g;
            let dim = pattern.dims[i];
            let w = &lin.link_w[link * m * 3..][..m * 3];
            let t = &mut t[..3 * dim];
            for a in 0..dim {
                let column = times(v, &[w[a], w[m + a], w[2 * m + a]]);
                for k in 0..3 {
                    t[k * dim + a] = column[k];
                }
                sum.gradient[pattern.offsets[i] + a] +=
                    column[0] * gl[0] + column[1] * gl[1] + column[2] * gl[2];
            }
            for link2 in pattern.links(l) {
                let g2 = pattern.link_group[link2] as usize;
                if g2 < g {
                    continue;
                }
                let j = s.num_poses + g2;
                let dim2 = pattern.dims[j];
                let at = table.starts[i * blocks + j] as usize;
                let w2 = &lin.link_w[link2 * m * 3..][..m * 3];
                subtract_group(&mut sum.values[at..at + dim * dim2], t, w2, dim2);
            }
        }
    }
    sum
}

widest! {
    /// What these landmarks take.
    fn sum_of(
        s: &BundleStructure,
        pattern: &Pattern,
        table: &Table,
        landmarks: (&Linearisation, &[[f64; 6]]),
        range: Range<usize>,
    ) -> Part = sum_body
}
