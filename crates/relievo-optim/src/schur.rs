//! The reduced camera system of a bundle problem (Schur complement; Brown
//! 1958; Triggs et al. 2000, §6).
//!
//! With H = [U W; Wᵀ V] split into blocks (poses, groups) and landmarks,
//! S = U − W V⁻¹ Wᵀ. V is block diagonal. S is assembled by *rows*: every block
//! row walks its own observations and writes to nobody else's memory, so rows
//! run in parallel and the sums have one order on any number of threads.
//! Landmarks are worked on in chunks of 256.

use crate::bundle::{BundleProblem, BundleStructure, FIXED, ObservationRows};
use crate::loss::Loss;
use rayon::prelude::*;
use relievo_task::ordered;

/// Landmarks a unit of work; a constant, so that sums have one order.
pub(crate) const LANDMARK_CHUNK: usize = 256;

/// Residual of an observation that cannot be evaluated, in the residual's
/// unit: large, constant, without derivatives.
const UNSEEN_RESIDUAL: f64 = 100.0;

/// Smallest and largest diagonal entry that damping multiplies.
pub(crate) const MIN_DIAGONAL: f64 = 1e-9;
pub(crate) const MAX_DIAGONAL: f64 = 1e32;

/// Links between blocks that never change during one adjustment.
#[derive(Debug)]
pub(crate) struct Pattern {
    pub(crate) dims: Vec<usize>,
    pub(crate) offsets: Vec<usize>,
    /// Observations by pose block.
    pose_observations: Vec<Vec<(u32, u32)>>,
    /// (landmark, link) by group block.
    group_links: Vec<Vec<(u32, u32)>>,
    /// Group links of landmark l: `link_starts[l]..link_starts[l + 1]`.
    link_starts: Vec<u32>,
    link_group: Vec<u32>,
    /// Blocks j ≥ i that row i touches, ascending; i itself first.
    pub(crate) columns: Vec<Vec<u32>>,
    max_group_dim: usize,
}

impl Pattern {
    pub(crate) fn new(s: &BundleStructure) -> Self {
        let blocks = s.num_poses + s.group_dims.len();
        let mut dims = vec![6; s.num_poses];
        dims.extend_from_slice(&s.group_dims);
        let mut offsets = Vec::with_capacity(blocks + 1);
        offsets.push(0);
        for d in &dims {
            offsets.push(offsets[offsets.len() - 1] + d);
        }
        let mut pose_observations = vec![Vec::new(); s.num_poses];
        let mut group_links = vec![Vec::new(); s.group_dims.len()];
        let mut link_starts = vec![0];
        let mut link_group: Vec<u32> = Vec::new();
        let mut touches = vec![vec![false; blocks]; blocks];
        let mut here = Vec::new();
        for l in 0..s.num_landmarks() {
            let first = link_group.len();
            here.clear();
            for o in s.observations(l) {
                let (p, g) = (s.observation_pose[o], s.observation_group[o]);
                if p != FIXED {
                    pose_observations[p as usize].push((l as u32, o as u32));
                    here.push(p as usize);
                }
                if g != FIXED && !link_group[first..].contains(&g) {
                    group_links[g as usize].push((l as u32, link_group.len() as u32));
                    link_group.push(g);
                    here.push(s.num_poses + g as usize);
                }
            }
            link_starts.push(link_group.len() as u32);
            for &a in &here {
                for &b in &here {
                    touches[a.min(b)][a.max(b)] = true;
                }
            }
        }
        let columns = touches
            .iter()
            .enumerate()
            .map(|(i, row)| {
                (i..blocks)
                    .filter(|&j| i == j || row[j])
                    .map(|j| j as u32)
                    .collect()
            })
            .collect();
        Self {
            dims,
            offsets,
            pose_observations,
            group_links,
            link_starts,
            link_group,
            columns,
            max_group_dim: s.group_dims.iter().copied().max().unwrap_or(0),
        }
    }

    pub(crate) fn size(&self) -> usize {
        self.offsets[self.offsets.len() - 1]
    }

    #[inline]
    fn links(&self, l: usize) -> std::ops::Range<usize> {
        self.link_starts[l] as usize..self.link_starts[l + 1] as usize
    }

    /// Scalars stored in all rows.
    pub(crate) fn stored(&self) -> usize {
        let row = |i: usize| {
            let width: usize = self.columns[i].iter().map(|&j| self.dims[j as usize]).sum();
            width * self.dims[i]
        };
        (0..self.dims.len()).map(row).sum()
    }
}

/// Derivatives kept of one observation.
#[derive(Clone, Copy)]
struct Kept {
    r: [f64; 2],
    pose: [f64; 12],
    /// poseᵀ landmark, 6×3.
    w: [f64; 18],
}

/// Everything about one linearisation point.
pub(crate) struct Linearisation {
    kept: Vec<Kept>,
    /// 2 rows of `max_group_dim` per observation.
    group: Vec<f64>,
    /// Per landmark: V (6: xx xy xz yy yz zz) and its gradient (3).
    landmarks: Vec<[f64; 9]>,
    /// Σ groupᵀ landmark, `max_group_dim`×3 per link.
    link_w: Vec<f64>,
    pub(crate) cost: f64,
}

/// ½ Σ ρ(|r|²), priors included.
pub(crate) fn cost<P: BundleProblem>(problem: &P, state: &P::State, loss: Loss) -> f64 {
    let s = problem.structure();
    let part = |range: std::ops::Range<usize>| {
        let mut sum = 0.0;
        for l in range {
            for o in s.observations(l) {
                let r = problem
                    .residual(state, l, o)
                    .unwrap_or([UNSEEN_RESIDUAL, 0.0]);
                sum += 0.5 * loss.evaluate(r[0] * r[0] + r[1] * r[1]).0;
            }
        }
        sum
    };
    let data = ordered::map_reduce(s.num_landmarks(), LANDMARK_CHUNK, part, |a, b| a + b);
    data.unwrap_or(0.0) + prior_cost(problem, state)
}

fn prior_cost<P: BundleProblem>(problem: &P, state: &P::State) -> f64 {
    let priors = problem.priors(state);
    priors
        .iter()
        .map(|p| 0.5 * p.weight * p.residual * p.residual)
        .sum()
}

pub(crate) fn linearise<P: BundleProblem>(
    problem: &P,
    pattern: &Pattern,
    state: &P::State,
    loss: Loss,
) -> Linearisation {
    let s = problem.structure();
    let m = pattern.max_group_dim;
    let parts = ordered::map_chunks(s.num_landmarks(), LANDMARK_CHUNK, |range| {
        let observations = s.landmark_starts[range.start]..s.landmark_starts[range.end];
        let links = pattern.link_starts[range.start]..pattern.link_starts[range.end];
        let mut part = Linearisation {
            kept: Vec::with_capacity(observations.len()),
            group: vec![0.0; observations.len() * 2 * m],
            landmarks: Vec::with_capacity(range.len()),
            link_w: vec![0.0; links.len() * m * 3],
            cost: 0.0,
        };
        let mut rows = ObservationRows::default();
        for l in range {
            let mut v = [0.0; 9];
            for o in s.observations(l) {
                let mut kept = Kept {
                    r: [0.0; 2],
                    pose: [0.0; 12],
                    w: [0.0; 18],
                };
                if problem.linearise(state, l, o, &mut rows) {
                    let [ru, rv] = rows.r;
                    let (rho, weight) = loss.evaluate(ru * ru + rv * rv);
                    part.cost += 0.5 * rho;
                    let root = weight.sqrt();
                    let a = rows.landmark.map(|x| x * root);
                    kept.r = [ru * root, rv * root];
                    if s.observation_pose[o] != FIXED {
                        kept.pose = rows.pose.map(|x| x * root);
                        for i in 0..6 {
                            for k in 0..3 {
                                kept.w[i * 3 + k] =
                                    kept.pose[i] * a[k] + kept.pose[6 + i] * a[3 + k];
                            }
                        }
                    }
                    let mut at = 0;
                    for i in 0..3 {
                        for k in i..3 {
                            v[at] += a[i] * a[k] + a[3 + i] * a[3 + k];
                            at += 1;
                        }
                        v[6 + i] += a[i] * kept.r[0] + a[3 + i] * kept.r[1];
                    }
                    let g = s.observation_group[o];
                    if g != FIXED {
                        let dim = s.group_dims[g as usize];
                        let slot = &mut part.group[part.kept.len() * 2 * m..][..2 * m];
                        for i in 0..dim {
                            slot[i] = rows.group[0][i] * root;
                            slot[m + i] = rows.group[1][i] * root;
                        }
                        let link = pattern
                            .links(l)
                            .find(|&k| pattern.link_group[k] == g)
                            .unwrap_or(0);
                        let w = &mut part.link_w[(link - links.start as usize) * m * 3..][..m * 3];
                        for i in 0..dim {
                            for k in 0..3 {
                                w[i * 3 + k] += slot[i] * a[k] + slot[m + i] * a[3 + k];
                            }
                        }
                    }
                } else {
                    part.cost += 0.5 * loss.evaluate(UNSEEN_RESIDUAL * UNSEEN_RESIDUAL).0;
                }
                part.kept.push(kept);
            }
            part.landmarks.push(v);
        }
        part
    });
    let mut whole = Linearisation {
        kept: Vec::with_capacity(s.num_observations()),
        group: Vec::with_capacity(s.num_observations() * 2 * m),
        landmarks: Vec::with_capacity(s.num_landmarks()),
        link_w: Vec::with_capacity(pattern.link_group.len() * m * 3),
        cost: prior_cost(problem, state),
    };
    for part in parts {
        whole.kept.extend_from_slice(&part.kept);
        whole.group.extend_from_slice(&part.group);
        whole.landmarks.extend_from_slice(&part.landmarks);
        whole.link_w.extend_from_slice(&part.link_w);
        whole.cost += part.cost;
    }
    whole
}

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
    inverse: Vec<[f64; 6]>,
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

#[inline]
fn times(v: &[f64; 6], x: &[f64]) -> [f64; 3] {
    [
        v[0] * x[0] + v[1] * x[1] + v[2] * x[2],
        v[1] * x[0] + v[3] * x[1] + v[4] * x[2],
        v[2] * x[0] + v[4] * x[1] + v[5] * x[2],
    ]
}

#[inline]
fn damping(diagonal: f64) -> f64 {
    diagonal.clamp(MIN_DIAGONAL, MAX_DIAGONAL)
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
    let rows: Vec<(Row, Vec<f64>)> = (0..pattern.dims.len())
        .into_par_iter()
        .with_max_len(1)
        .map(|i| {
            let layout = RowLayout::new(pattern, i);
            let dim = pattern.dims[i];
            let mut row = if i < s.num_poses {
                pose_row(s, pattern, lin, &inverse, i, &layout)
            } else {
                group_row(s, pattern, lin, &inverse, i - s.num_poses, &layout)
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
            subtract_eliminated(s, pattern, lin, &inverse, i, &layout, &mut row);
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
    _inverse: &[[f64; 6]],
    i: usize,
    layout: &RowLayout,
) -> Row {
    let m = pattern.max_group_dim;
    let mut row = layout.row(6);
    for &(_, o) in &pattern.pose_observations[i] {
        let kept = &lin.kept[o as usize];
        let (u, v) = kept.pose.split_at(6);
        for a in 0..6 {
            row.block_gradient[a] += u[a] * kept.r[0] + v[a] * kept.r[1];
            for b in 0..6 {
                row.values[a * 6 + b] += u[a] * u[b] + v[a] * v[b];
            }
        }
        let g = s.observation_group[o as usize];
        if g != FIXED {
            let dim = s.group_dims[g as usize];
            let slot = &lin.group[o as usize * 2 * m..][..2 * m];
            let at = layout.start[s.num_poses + g as usize] as usize;
            for a in 0..6 {
                for b in 0..dim {
                    row.values[at + a * dim + b] += u[a] * slot[b] + v[a] * slot[m + b];
                }
            }
        }
    }
    row
}

/// U and its gradient for group block g.
fn group_row(
    s: &BundleStructure,
    pattern: &Pattern,
    lin: &Linearisation,
    _inverse: &[[f64; 6]],
    g: usize,
    layout: &RowLayout,
) -> Row {
    let m = pattern.max_group_dim;
    let dim = s.group_dims[g];
    let links = &pattern.group_links[g];
    let part = |range: std::ops::Range<usize>| {
        let mut row = layout.row(dim);
        for &(l, _) in &links[range] {
            for o in s.observations(l as usize) {
                if s.observation_group[o] != g as u32 {
                    continue;
                }
                let r = lin.kept[o].r;
                let slot = &lin.group[o * 2 * m..][..2 * m];
                for a in 0..dim {
                    row.block_gradient[a] += slot[a] * r[0] + slot[m + a] * r[1];
                    for b in 0..dim {
                        row.values[a * dim + b] += slot[a] * slot[b] + slot[m + a] * slot[m + b];
                    }
                }
            }
        }
        row
    };
    ordered::map_reduce(links.len(), LANDMARK_CHUNK * 4, part, add_rows)
        .unwrap_or_else(|| layout.row(dim))
}

fn add_rows(mut a: Row, b: Row) -> Row {
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
        for &(l, o) in &pattern.pose_observations[i] {
            let l = l as usize;
            let w = &lin.kept[o as usize].w;
            let mut t = [0.0; 18];
            for a in 0..6 {
                t[a * 3..a * 3 + 3].copy_from_slice(&times(&inverse[l], &w[a * 3..a * 3 + 3]));
            }
            let gl = &lin.landmarks[l][6..9];
            for a in 0..6 {
                row.eliminated[a] += t[a * 3] * gl[0] + t[a * 3 + 1] * gl[1] + t[a * 3 + 2] * gl[2];
            }
            for o2 in s.observations(l) {
                let j = s.observation_pose[o2];
                if j == FIXED || (j as usize) < i {
                    continue;
                }
                let at = layout.start[j as usize] as usize;
                if let Some(block) = row.values[at..].first_chunk_mut::<36>() {
                    subtract_6x6(block, &t, &lin.kept[o2].w);
                }
            }
            for link in pattern.links(l) {
                let g = pattern.link_group[link] as usize;
                let dim = s.group_dims[g];
                let at = layout.start[s.num_poses + g] as usize;
                let w2 = &lin.link_w[link * m * 3..][..m * 3];
                subtract_general(&mut row.values[at..at + 6 * dim], &t, 6, w2, dim);
            }
        }
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
                    t[a * 3..a * 3 + 3].copy_from_slice(&times(&inverse[l], &w[a * 3..a * 3 + 3]));
                }
                let gl = &lin.landmarks[l][6..9];
                for a in 0..dim {
                    sum.eliminated[a] +=
                        t[a * 3] * gl[0] + t[a * 3 + 1] * gl[1] + t[a * 3 + 2] * gl[2];
                }
                for link2 in pattern.links(l) {
                    let g2 = pattern.link_group[link2] as usize;
                    if g2 < g {
                        continue;
                    }
                    let dim2 = s.group_dims[g2];
                    let at = layout.start[s.num_poses + g2] as usize;
                    let w2 = &lin.link_w[link2 * m * 3..][..m * 3];
                    subtract_general(&mut sum.values[at..at + dim * dim2], &t, dim, w2, dim2);
                }
            }
            sum
        };
        if let Some(sum) = ordered::map_reduce(links.len(), LANDMARK_CHUNK * 4, part, add_rows) {
            let base = row.clone();
            *row = add_rows(base, sum);
        }
    }
}

#[inline(always)]
fn subtract_6x6(block: &mut [f64; 36], t: &[f64; 18], w: &[f64; 18]) {
    for a in 0..6 {
        let (x, y, z) = (t[a * 3], t[a * 3 + 1], t[a * 3 + 2]);
        for b in 0..6 {
            block[a * 6 + b] -= x * w[b * 3] + y * w[b * 3 + 1] + z * w[b * 3 + 2];
        }
    }
}

fn subtract_general(block: &mut [f64], t: &[f64], rows: usize, w: &[f64], cols: usize) {
    for a in 0..rows {
        let (x, y, z) = (t[a * 3], t[a * 3 + 1], t[a * 3 + 2]);
        for b in 0..cols {
            block[a * cols + b] -= x * w[b * 3] + y * w[b * 3 + 1] + z * w[b * 3 + 2];
        }
    }
}

/// The landmarks' step for a step of the blocks, and the decrease of the cost
/// that the quadratic model predicts for both.
pub(crate) fn back_substitute<P: BundleProblem>(
    problem: &P,
    pattern: &Pattern,
    lin: &Linearisation,
    reduced: &Reduced,
    blocks: &[f64],
    lambda: f64,
) -> (Vec<f64>, f64) {
    let s = problem.structure();
    let m = pattern.max_group_dim;
    let parts = ordered::map_chunks(s.num_landmarks(), LANDMARK_CHUNK, |range| {
        let mut steps = Vec::with_capacity(range.len() * 3);
        let mut decrease = 0.0;
        for l in range {
            let v = &lin.landmarks[l];
            let mut rhs = [v[6], v[7], v[8]];
            for o in s.observations(l) {
                let p = s.observation_pose[o];
                if p == FIXED {
                    continue;
                }
                let d = &blocks[p as usize * 6..][..6];
                let w = &lin.kept[o].w;
                for k in 0..3 {
                    for a in 0..6 {
                        rhs[k] += w[a * 3 + k] * d[a];
                    }
                }
            }
            for link in pattern.links(l) {
                let g = pattern.link_group[link] as usize;
                let d = &blocks[pattern.offsets[s.num_poses + g]..][..s.group_dims[g]];
                let w = &lin.link_w[link * m * 3..][..m * 3];
                for k in 0..3 {
                    for (a, da) in d.iter().enumerate() {
                        rhs[k] += w[a * 3 + k] * da;
                    }
                }
            }
            let step = times(&reduced.inverse[l], &rhs).map(|x| -x);
            for (k, diagonal) in [v[0], v[3], v[5]].into_iter().enumerate() {
                decrease += 0.5 * step[k] * (lambda * damping(diagonal) * step[k] - v[6 + k]);
            }
            steps.extend_from_slice(&step);
        }
        (steps, decrease)
    });
    let mut steps = Vec::with_capacity(s.num_landmarks() * 3);
    let mut decrease = 0.0;
    for (part, d) in parts {
        steps.extend_from_slice(&part);
        decrease += d;
    }
    for (k, d) in blocks.iter().enumerate() {
        decrease += 0.5 * d * (lambda * reduced.block_diagonal[k] * d - reduced.block_gradient[k]);
    }
    (steps, decrease)
}
