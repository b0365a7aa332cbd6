//! The reduced system: what the landmarks leave of the blocks.
#![expect(
    unsafe_code,
    reason = "calls code compiled for a detected instruction set"
)]

use super::by_landmark::eliminate;
use super::linearise::Linearisation;
use super::pattern::Pattern;
use super::wide::widest;
use super::{LANDMARK_CHUNK, damping, times};
use crate::bundle::{BundleProblem, BundleStructure, FIXED};
use rayon::prelude::*;
use relievo_task::ordered;

/// The reduced system S δ = −b, by block rows of the upper triangle.
pub(crate) struct Reduced {
    /// Row i: for each column block of the pattern, dᵢ×dⱼ row-major.
    pub(crate) rows: Vec<Vec<f64>>,
    /// b.
    pub(crate) gradient: Vec<f64>,
    /// Gradient of the blocks before elimination.
    pub(crate) block_gradient: Vec<f64>,
    /// What λ multiplied on the diagonal of the blocks.
    pub(crate) block_diagonal: Vec<f64>,
    /// (V + λD)⁻¹ (6) per landmark.
    pub(crate) inverse: Vec<[f64; 6]>,
}

/// Inverse of a symmetric 3×3 (xx xy xz yy yz zz); zeros where singular.
fn invert(v: &[f64; 6]) -> [f64; 6] {
    let [a, b, c, d, e, f] = *v;
    let (ca, cb, cc) = (d * f - e * e, c * e - b * f, b * e - c * d);
    let det = a * ca + b * cb + c * cc;
    if !(det > 1e-14 * a * d * f) || !det.is_finite() {
        return [0.0; 6];
    }
    let i = 1.0 / det;
    [
        ca * i,
        cb * i,
        cc * i,
        (a * f - c * c) * i,
        (b * c - a * e) * i,
        (a * d - b * b) * i,
    ]
}

/// One block row while it is being summed.
#[derive(Clone)]
struct Row {
    values: Vec<f64>,
    block_gradient: Vec<f64>,
    eliminated: Vec<f64>,
}

/// Where each block stands in a row.
struct RowLayout {
    start: Vec<u32>,
    len: usize,
}

impl RowLayout {
    fn new(pattern: &Pattern, i: usize) -> Self {
        let mut start = vec![u32::MAX; pattern.dims.len()];
        let mut len = 0;
        for &j in &pattern.columns[i] {
            start[j as usize] = len as u32;
            len += pattern.dims[i] * pattern.dims[j as usize];
        }
        Self { start, len }
    }

    fn row(&self, dim: usize) -> Row {
        Row {
            values: vec![0.0; self.len],
            block_gradient: vec![0.0; dim],
            eliminated: vec![0.0; dim],
        }
    }
}

pub(crate) fn reduce<P: BundleProblem>(
    problem: &P,
    pattern: &Pattern,
    state: &P::State,
    lin: &Linearisation,
    lambda: f64,
) -> Reduced {
    let s = problem.structure();
    let inverse: Vec<[f64; 6]> = ordered::map_chunks(s.num_landmarks(), LANDMARK_CHUNK, |range| {
        range
            .map(|l| {
                let v = &lin.landmarks[l];
                invert(&[
                    v[0] + lambda * damping(v[0]),
                    v[1],
                    v[2],
                    v[3] + lambda * damping(v[3]),
                    v[4],
                    v[5] + lambda * damping(v[5]),
                ])
            })
            .collect::<Vec<_>>()
    })
    .concat();
    let priors = problem.priors(state);
    let eliminated = pattern
        .table
        .as_ref()
        .map(|table| eliminate(s, pattern, table, lin, &inverse));
    let rows: Vec<(Row, Vec<f64>)> = (0..pattern.dims.len())
        .into_par_iter()
        .with_max_len(1)
        .map(|i| {
            let layout = RowLayout::new(pattern, i);
            let dim = pattern.dims[i];
            let mut row = if i < s.num_poses {
                pose_row(s, pattern, lin, i, &layout)
            } else {
                group_row(pattern, lin, i - s.num_poses, &layout)
            };
            if i >= s.num_poses {
                for p in priors.iter().filter(|p| p.group_idx == i - s.num_poses) {
                    row.values[p.dim * dim + p.dim] += p.weight;
                    row.block_gradient[p.dim] += p.weight * p.residual;
                }
            }
            // The diagonal of U alone decides the damping: S's own is smaller.
            let diagonal: Vec<f64> = (0..dim).map(|k| damping(row.values[k * dim + k])).collect();
            for k in 0..dim {
                row.values[k * dim + k] += lambda * diagonal[k];
            }
            match &eliminated {
                Some(e) => e.add_to(i, pattern.offsets[i], &mut row.values, &mut row.eliminated),
                None => subtract_eliminated(s, pattern, lin, &inverse, i, &layout, &mut row),
            }
            (row, diagonal)
        })
        .collect();
    let mut out = Reduced {
        rows: Vec::with_capacity(rows.len()),
        gradient: Vec::with_capacity(pattern.size()),
        block_gradient: Vec::with_capacity(pattern.size()),
        block_diagonal: Vec::with_capacity(pattern.size()),
        inverse,
    };
    for (row, diagonal) in rows {
        for (g, e) in row.block_gradient.iter().zip(&row.eliminated) {
            out.gradient.push(g - e);
        }
        out.block_gradient.extend_from_slice(&row.block_gradient);
        out.block_diagonal.extend_from_slice(&diagonal);
        out.rows.push(row.values);
    }
    out
}

/// U and its gradient for pose block i.
fn pose_row(
    s: &BundleStructure,
    pattern: &Pattern,
    lin: &Linearisation,
    i: usize,
    layout: &RowLayout,
) -> Row {
    let mut row = layout.row(6);
    let sum = &lin.poses[i];
    row.block_gradient.copy_from_slice(&sum.gradient);
    for (a, sums) in sum.rows.iter().enumerate() {
        row.values[6 * a..6 * a + 6].copy_from_slice(&sums[..6]);
    }
    let g = pattern.pose_group[i];
    if g != FIXED {
        let dim = s.group_dims[g as usize];
        let at = layout.start[s.num_poses + g as usize] as usize;
        for a in 0..6 {
            row.values[at + a * dim..at + (a + 1) * dim].copy_from_slice(&sum.rows[a][6..6 + dim]);
        }
    }
    row
}

/// U and its gradient for group block g.
fn group_row(pattern: &Pattern, lin: &Linearisation, g: usize, layout: &RowLayout) -> Row {
    let dim = pattern.dims[pattern.pose_observations.len() + g];
    let mut row = layout.row(dim);
    let (u, gradient) = lin.groups[g].split_at(dim * dim);
    row.values[..dim * dim].copy_from_slice(u);
    row.block_gradient.copy_from_slice(gradient);
    row
}

fn add_rows(mut a: Row, b: &Row) -> Row {
    for (x, y) in a.values.iter_mut().zip(&b.values) {
        *x += y;
    }
    for (x, y) in a.block_gradient.iter_mut().zip(&b.block_gradient) {
        *x += y;
    }
    for (x, y) in a.eliminated.iter_mut().zip(&b.eliminated) {
        *x += y;
    }
    a
}

/// Subtracts W V⁻¹ Wᵀ and its gradient from block row i.
fn subtract_eliminated(
    s: &BundleStructure,
    pattern: &Pattern,
    lin: &Linearisation,
    inverse: &[[f64; 6]],
    i: usize,
    layout: &RowLayout,
    row: &mut Row,
) {
    let m = pattern.max_group_dim;
    if i < s.num_poses {
        subtract_from_pose(s, pattern, (lin, inverse), i, layout, row);
    } else {
        let g = i - s.num_poses;
        let dim = s.group_dims[g];
        let links = &pattern.group_links[g];
        let part = |range: std::ops::Range<usize>| {
            let mut sum = layout.row(dim);
            let mut t = vec![0.0; dim * 3];
            for &(l, link) in &links[range] {
                let l = l as usize;
                let w = &lin.link_w[link as usize * m * 3..][..m * 3];
                for a in 0..dim {
                    let column = times(&inverse[l], &[w[a], w[m + a], w[2 * m + a]]);
                    for k in 0..3 {
                        t[k * dim + a] = column[k];
                    }
                }
                let gl = &lin.landmarks[l][6..9];
                for a in 0..dim {
                    sum.eliminated[a] += t[a] * gl[0] + t[dim + a] * gl[1] + t[2 * dim + a] * gl[2];
                }
                for link2 in pattern.links(l) {
                    let g2 = pattern.link_group[link2] as usize;
                    if g2 < g {
                        continue;
                    }
                    let dim2 = s.group_dims[g2];
                    let at = layout.start[s.num_poses + g2] as usize;
                    let w2 = &lin.link_w[link2 * m * 3..][..m * 3];
                    subtract_group(&mut sum.values[at..at + dim * dim2], &t, w2, dim2);
                }
            }
            sum
        };
        if let Some(sum) = ordered::map_reduce(links.len(), LANDMARK_CHUNK * 4, part, |a, b| {
            add_rows(a, &b)
        }) {
            let base = row.clone();
            *row = add_rows(base, &sum);
        }
    }
}

/// The same for pose block i.
#[inline(always)]
fn subtract_from_pose_body(
    s: &BundleStructure,
    pattern: &Pattern,
    (lin, inverse): (&Linearisation, &[[f64; 6]]),
    i: usize,
    layout: &RowLayout,
    row: &mut Row,
) {
    let m = pattern.max_group_dim;
    let seen = &pattern.pose_observations[i];
    for (k, &(l, o)) in seen.iter().enumerate() {
        if let Some(&(later, _)) = seen.get(k + AHEAD) {
            let later = later as usize;
            fetch(&lin.w[s.observations(later)]);
            fetch(&lin.landmarks[later..=later]);
            fetch(&inverse[later..=later]);
        }
        let l = l as usize;
        let t = times_6(&inverse[l], &lin.w[o as usize]);
        let gl = &lin.landmarks[l][6..9];
        for a in 0..6 {
            row.eliminated[a] += t[a] * gl[0] + t[6 + a] * gl[1] + t[12 + a] * gl[2];
        }
        for o2 in s.observations(l) {
            let j = s.observation_pose[o2];
            if j == FIXED || (j as usize) < i {
                continue;
            }
            let at = layout.start[j as usize] as usize;
            if let Some(block) = row.values[at..].first_chunk_mut::<36>() {
                subtract_6x6(block, &t, &lin.w[o2]);
            }
        }
        for link in pattern.links(l) {
            let g = pattern.link_group[link] as usize;
            let dim = s.group_dims[g];
            let at = layout.start[s.num_poses + g] as usize;
            let w2 = &lin.link_w[link * m * 3..][..m * 3];
            subtract_group(&mut row.values[at..at + 6 * dim], &t, w2, dim);
        }
    }
}

widest! {
    /// The same for pose block i.
    fn subtract_from_pose(
        s: &BundleStructure,
        pattern: &Pattern,
        landmarks: (&Linearisation, &[[f64; 6]]),
        i: usize,
        layout: &RowLayout,
        row: &mut Row,
    ) = subtract_from_pose_body
}

/// Landmarks of a pose lie all over the memory: those so far ahead are asked for.
const AHEAD: usize = 4;

/// Asks for the memory of `values`, which is about to be read.
#[inline(always)]
fn fetch<T>(values: &[T]) {
    #[cfg(target_arch = "x86_64")]
    {
        const LINE: usize = 64;
        let start = values.as_ptr().cast::<i8>();
        for at in (0..size_of_val(values)).step_by(LINE) {
            // SAFETY: the address lies inside `values`; nothing is read.
            unsafe {
                use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
                _mm_prefetch::<_MM_HINT_T0>(start.add(at));
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
}

/// V⁻¹ applied to the six columns of `w`.
#[inline(always)]
pub(crate) fn times_6(v: &[f64; 6], w: &[f64; 18]) -> [f64; 18] {
    let mut t = [0.0; 18];
    for a in 0..6 {
        let (x, y, z) = (w[a], w[6 + a], w[12 + a]);
        t[a] = v[0] * x + v[1] * y + v[2] * z;
        t[6 + a] = v[1] * x + v[3] * y + v[4] * z;
        t[12 + a] = v[2] * x + v[4] * y + v[5] * z;
    }
    t
}

#[inline(always)]
pub(super) fn subtract_6x6(block: &mut [f64; 36], t: &[f64; 18], w: &[f64; 18]) {
    let (rows, _) = block.as_chunks_mut::<6>();
    for (a, row) in rows.iter_mut().enumerate() {
        let t = [t[a], t[6 + a], t[12 + a]];
        // Four columns and two, as wide as registers are.
        subtract_columns::<4>(row, t, w, 0);
        subtract_columns::<2>(row, t, w, 4);
    }
}

#[inline(always)]
fn subtract_columns<const N: usize>(row: &mut [f64; 6], t: [f64; 3], w: &[f64; 18], at: usize) {
    let mut out = [0.0; N];
    for b in 0..N {
        out[b] = t[0] * w[at + b] + t[1] * w[6 + at + b] + t[2] * w[12 + at + b];
    }
    for b in 0..N {
        row[at + b] -= out[b];
    }
}

/// `t` and `w` hold as many x, then y, then z as the block has rows and as the
/// largest group has columns; `cols` of them count.
#[inline(always)]
pub(super) fn subtract_group(block: &mut [f64], t: &[f64], w: &[f64], cols: usize) {
    let (rows, m) = (t.len() / 3, w.len() / 3);
    let (wx, wy, wz) = (&w[..cols], &w[m..m + cols], &w[2 * m..2 * m + cols]);
    for (a, row) in block.chunks_exact_mut(cols).enumerate() {
        let (x, y, z) = (t[a], t[rows + a], t[2 * rows + a]);
        for b in 0..cols {
            row[b] -= x * wx[b] + y * wy[b] + z * wz[b];
        }
    }
}
