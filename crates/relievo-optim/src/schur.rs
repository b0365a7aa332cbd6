//! The reduced camera system of a bundle problem (Schur complement; Brown
//! 1958; Triggs et al. 2000, §6).
//!
//! With H = [U W; Wᵀ V] split into blocks (poses, groups) and landmarks,
//! S = U − W V⁻¹ Wᵀ. V is block diagonal. S is assembled by *rows*: every block
//! row walks its own observations and writes to nobody else's memory, so rows
//! run in parallel and the sums have one order on any number of threads.
//! Landmarks are worked on in chunks of 256.

use crate::bundle::{BundleProblem, BundleStructure, FIXED, MAX_GROUP_DIM, ObservationRows};
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
    /// The group that each pose block's observations touch, or [`FIXED`].
    pose_group: Vec<u32>,
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
        let mut pose_group = vec![FIXED; s.num_poses];
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
                    pose_group[p as usize] = g;
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
            pose_group,
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

/// Everything about one linearisation point. Buffers are reused.
#[derive(Default)]
pub(crate) struct Linearisation {
    /// poseᵀ landmark per observation, 6 numbers for each of x, y and z.
    w: Vec<[f64; 18]>,
    /// Per landmark: V (6: xx xy xz yy yz zz) and its gradient (3).
    landmarks: Vec<[f64; 9]>,
    /// Σ groupᵀ landmark per link, `max_group_dim` numbers for each of x, y and z.
    link_w: Vec<f64>,
    /// Per pose block: U and what couples it to its group.
    poses: Vec<PoseSum>,
    /// Per group block: U (dim×dim), then its gradient (dim).
    groups: Vec<Vec<f64>>,
    pub(crate) cost: f64,
}

/// Σ over the observations of one pose block.
#[derive(Clone, Copy)]
struct PoseSum {
    /// Upper triangle of poseᵀ pose, row by row.
    u: [f64; 21],
    gradient: [f64; 6],
    /// poseᵀ group, 6×[`MAX_GROUP_DIM`].
    group: [[f64; MAX_GROUP_DIM]; 6],
}

const NO_POSE: PoseSum = PoseSum {
    u: [0.0; 21],
    gradient: [0.0; 6],
    group: [[0.0; MAX_GROUP_DIM]; 6],
};

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

/// The sums of one chunk of landmarks.
struct ChunkSums {
    cost: f64,
    poses: Vec<(u32, PoseSum)>,
    groups: Vec<(u32, Vec<f64>)>,
}

/// Output slices of one chunk of landmarks.
struct ChunkOut<'a> {
    first: usize,
    w: &'a mut [[f64; 18]],
    landmarks: &'a mut [[f64; 9]],
    link_w: &'a mut [f64],
}

pub(crate) fn linearise<P: BundleProblem>(
    problem: &P,
    pattern: &Pattern,
    state: &P::State,
    loss: Loss,
    out: &mut Linearisation,
) {
    let s = problem.structure();
    let m = pattern.max_group_dim;
    out.w.resize(s.num_observations(), [0.0; 18]);
    out.landmarks.resize(s.num_landmarks(), [0.0; 9]);
    out.link_w.clear();
    out.link_w.resize(pattern.link_group.len() * m * 3, 0.0);
    let (mut w, mut landmarks, mut link_w) =
        (&mut out.w[..], &mut out.landmarks[..], &mut out.link_w[..]);
    let mut chunks = Vec::with_capacity(s.num_landmarks() / LANDMARK_CHUNK + 1);
    for first in (0..s.num_landmarks()).step_by(LANDMARK_CHUNK) {
        let end = (first + LANDMARK_CHUNK).min(s.num_landmarks());
        let observations = s.landmark_starts[end] - s.landmark_starts[first];
        let links = pattern.link_starts[end] - pattern.link_starts[first];
        chunks.push(ChunkOut {
            first,
            w: w.split_off_mut(..observations as usize).unwrap_or_default(),
            landmarks: landmarks.split_off_mut(..end - first).unwrap_or_default(),
            link_w: link_w
                .split_off_mut(..links as usize * m * 3)
                .unwrap_or_default(),
        });
    }
    let sums: Vec<ChunkSums> = chunks
        .into_par_iter()
        .with_max_len(1)
        .map(|mut chunk| linearise_chunk(problem, pattern, state, loss, &mut chunk))
        .collect();
    out.cost = prior_cost(problem, state);
    out.poses.clear();
    out.poses.resize(s.num_poses, NO_POSE);
    out.groups = s.group_dims.iter().map(|&d| vec![0.0; d * d + d]).collect();
    for chunk in sums {
        out.cost += chunk.cost;
        for (block, sum) in &chunk.poses {
            let to = &mut out.poses[*block as usize];
            add(&mut to.u, &sum.u);
            add(&mut to.gradient, &sum.gradient);
            for (x, y) in to.group.iter_mut().zip(&sum.group) {
                add(x, y);
            }
        }
        for (group, sum) in &chunk.groups {
            add(&mut out.groups[*group as usize], sum);
        }
    }
}

#[inline]
fn add(to: &mut [f64], from: &[f64]) {
    for (x, y) in to.iter_mut().zip(from) {
        *x += y;
    }
}

fn linearise_chunk<P: BundleProblem>(
    problem: &P,
    pattern: &Pattern,
    state: &P::State,
    loss: Loss,
    out: &mut ChunkOut<'_>,
) -> ChunkSums {
    let s = problem.structure();
    let m = pattern.max_group_dim;
    let mut sums = ChunkSums {
        cost: 0.0,
        poses: Vec::new(),
        groups: Vec::new(),
    };
    let mut slot_of = vec![u32::MAX; s.num_poses];
    let mut rows = ObservationRows::default();
    let first_observation = s.landmark_starts[out.first] as usize;
    let first_link = pattern.link_starts[out.first] as usize;
    for (k, v) in out.landmarks.iter_mut().enumerate() {
        let l = out.first + k;
        *v = [0.0; 9];
        for o in s.observations(l) {
            let w = &mut out.w[o - first_observation];
            *w = [0.0; 18];
            if !problem.linearise(state, l, o, &mut rows) {
                sums.cost += 0.5 * loss.evaluate(UNSEEN_RESIDUAL * UNSEEN_RESIDUAL).0;
                continue;
            }
            let [ru, rv] = rows.r;
            let (rho, weight) = loss.evaluate(ru * ru + rv * rv);
            sums.cost += 0.5 * rho;
            let root = weight.sqrt();
            let a = rows.landmark.map(|x| x * root);
            let r = [ru * root, rv * root];
            let mut at = 0;
            for i in 0..3 {
                for k in i..3 {
                    v[at] += a[i] * a[k] + a[3 + i] * a[3 + k];
                    at += 1;
                }
                v[6 + i] += a[i] * r[0] + a[3 + i] * r[1];
            }
            let (p, g) = (s.observation_pose[o], s.observation_group[o]);
            let dim = if g == FIXED {
                0
            } else {
                s.group_dims[g as usize]
            };
            let mut group = rows.group;
            for row in &mut group {
                for x in &mut row[..dim] {
                    *x *= root;
                }
            }
            if p != FIXED {
                let pose = rows.pose.map(|x| x * root);
                let (pu, pv) = pose.split_at(6);
                for i in 0..6 {
                    for k in 0..3 {
                        w[k * 6 + i] = pu[i] * a[k] + pv[i] * a[3 + k];
                    }
                }
                let slot = &mut slot_of[p as usize];
                if *slot == u32::MAX {
                    *slot = sums.poses.len() as u32;
                    sums.poses.push((p, NO_POSE));
                }
                let sum = &mut sums.poses[*slot as usize].1;
                let mut at = 0;
                for i in 0..6 {
                    for k in i..6 {
                        sum.u[at] += pu[i] * pu[k] + pv[i] * pv[k];
                        at += 1;
                    }
                    sum.gradient[i] += pu[i] * r[0] + pv[i] * r[1];
                    for k in 0..dim {
                        sum.group[i][k] += pu[i] * group[0][k] + pv[i] * group[1][k];
                    }
                }
            }
            if g != FIXED {
                let link = pattern
                    .links(l)
                    .find(|&k| pattern.link_group[k] == g)
                    .unwrap_or(0);
                let link_w = &mut out.link_w[(link - first_link) * m * 3..][..m * 3];
                for i in 0..dim {
                    for k in 0..3 {
                        link_w[k * m + i] += group[0][i] * a[k] + group[1][i] * a[3 + k];
                    }
                }
                let known = sums.groups.iter().position(|(other, _)| *other == g);
                let at = known.unwrap_or(sums.groups.len());
                if known.is_none() {
                    sums.groups.push((g, vec![0.0; dim * dim + dim]));
                }
                let sum = &mut sums.groups[at].1;
                for i in 0..dim {
                    for k in 0..dim {
                        sum[i * dim + k] += group[0][i] * group[0][k] + group[1][i] * group[1][k];
                    }
                    sum[dim * dim + i] += group[0][i] * r[0] + group[1][i] * r[1];
                }
            }
        }
    }
    sums
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
    i: usize,
    layout: &RowLayout,
) -> Row {
    let mut row = layout.row(6);
    let sum = &lin.poses[i];
    row.block_gradient.copy_from_slice(&sum.gradient);
    let mut at = 0;
    for a in 0..6 {
        for b in a..6 {
            row.values[a * 6 + b] = sum.u[at];
            row.values[b * 6 + a] = sum.u[at];
            at += 1;
        }
    }
    let g = pattern.pose_group[i];
    if g != FIXED {
        let dim = s.group_dims[g as usize];
        let at = layout.start[s.num_poses + g as usize] as usize;
        for a in 0..6 {
            row.values[at + a * dim..at + (a + 1) * dim].copy_from_slice(&sum.group[a][..dim]);
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
fn subtract_from_pose(
    s: &BundleStructure,
    pattern: &Pattern,
    (lin, inverse): (&Linearisation, &[[f64; 6]]),
    i: usize,
    layout: &RowLayout,
    row: &mut Row,
) {
    let m = pattern.max_group_dim;
    for &(l, o) in &pattern.pose_observations[i] {
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

/// V⁻¹ applied to the six columns of `w`.
#[inline(always)]
fn times_6(v: &[f64; 6], w: &[f64; 18]) -> [f64; 18] {
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
fn subtract_6x6(block: &mut [f64; 36], t: &[f64; 18], w: &[f64; 18]) {
    for a in 0..6 {
        let (x, y, z) = (t[a], t[6 + a], t[12 + a]);
        for b in 0..6 {
            block[a * 6 + b] -= x * w[b] + y * w[6 + b] + z * w[12 + b];
        }
    }
}

/// `t` and `w` hold as many x, then y, then z as the block has rows and as the
/// largest group has columns; `cols` of them count.
fn subtract_group(block: &mut [f64], t: &[f64], w: &[f64], cols: usize) {
    let (rows, m) = (t.len() / 3, w.len() / 3);
    let (wx, wy, wz) = (&w[..cols], &w[m..m + cols], &w[2 * m..2 * m + cols]);
    for (a, row) in block.chunks_exact_mut(cols).enumerate() {
        let (x, y, z) = (t[a], t[rows + a], t[2 * rows + a]);
        for b in 0..cols {
            row[b] -= x * wx[b] + y * wy[b] + z * wz[b];
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
                let w = &lin.w[o];
                for k in 0..3 {
                    for a in 0..6 {
                        rhs[k] += w[k * 6 + a] * d[a];
                    }
                }
            }
            for link in pattern.links(l) {
                let g = pattern.link_group[link] as usize;
                let d = &blocks[pattern.offsets[s.num_poses + g]..][..s.group_dims[g]];
                let w = &lin.link_w[link * m * 3..][..m * 3];
                for k in 0..3 {
                    for (a, da) in d.iter().enumerate() {
                        rhs[k] += w[k * m + a] * da;
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
