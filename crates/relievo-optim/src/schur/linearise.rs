//! The normal equations at a state, block by block, and the cost.
#![expect(
    unsafe_code,
    reason = "calls code compiled for a detected instruction set"
)]

use super::LANDMARK_CHUNK;
use super::pattern::Pattern;
use super::wide::widest;
use crate::bundle::{BundleProblem, FIXED, MAX_GROUP_DIM, ObservationRows};
use crate::loss::Loss;
use rayon::prelude::*;
use relievo_task::ordered;
use std::ops::Range;

/// Residual of an observation that cannot be evaluated, in the residual's
/// unit: large, constant, without derivatives.
const UNSEEN_RESIDUAL: f64 = 100.0;

/// Everything about one linearisation point. Buffers are reused.
#[derive(Default)]
pub(crate) struct Linearisation {
    /// poseᵀ landmark per observation, 6 numbers for each of x, y and z.
    pub(crate) w: Vec<[f64; 18]>,
    /// Per landmark: V (6: xx xy xz yy yz zz) and its gradient (3).
    pub(super) landmarks: Vec<[f64; 9]>,
    /// Σ groupᵀ landmark per link, `max_group_dim` numbers for each of x, y and z.
    pub(crate) link_w: Vec<f64>,
    /// Per pose block: U and what couples it to its group.
    pub(crate) poses: Vec<PoseSum>,
    /// Per group block: U (dim×dim), then its gradient (dim).
    pub(super) groups: Vec<Vec<f64>>,
    pub(crate) cost: f64,
}

/// Columns of a pose and of its group; of most groups [`FEW`] are enough.
const WIDTH: usize = 6 + MAX_GROUP_DIM;
const FEW: usize = 12;

/// Σ over the observations of one pose block.
#[derive(Clone, Copy)]
pub(crate) struct PoseSum {
    /// poseᵀ pose, then poseᵀ group.
    pub(crate) rows: [[f64; WIDTH]; 6],
    pub(super) gradient: [f64; 6],
}

const NO_POSE: PoseSum = PoseSum {
    rows: [[0.0; WIDTH]; 6],
    gradient: [0.0; 6],
};

/// ½ Σ ρ(|r|²), priors included.
pub(crate) fn cost<P: BundleProblem>(problem: &P, state: &P::State, loss: Loss) -> f64 {
    let landmarks = problem.structure().num_landmarks();
    let part = |range| cost_of(problem, state, loss, range);
    let data = ordered::map_reduce(landmarks, LANDMARK_CHUNK, part, |a, b| a + b);
    data.unwrap_or(0.0) + prior_cost(problem, state)
}

#[inline(always)]
fn cost_body<P: BundleProblem>(
    problem: &P,
    state: &P::State,
    loss: Loss,
    range: Range<usize>,
) -> f64 {
    let s = problem.structure();
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
}

widest! {
    /// The cost of these landmarks.
    fn cost_of<P: BundleProblem>(
        problem: &P,
        state: &P::State,
        loss: Loss,
        range: Range<usize>,
    ) -> f64 = cost_body
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
            add(to.rows.as_flattened_mut(), sum.rows.as_flattened());
            add(&mut to.gradient, &sum.gradient);
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

/// The first six columns, transposed, times the first N.
#[inline(always)]
fn add_outer<const N: usize>(rows: &mut [[f64; WIDTH]; 6], [u, v]: &[[f64; WIDTH]; 2]) {
    for (i, row) in rows.iter_mut().enumerate() {
        for k in 0..N {
            row[k] += u[i] * u[k] + v[i] * v[k];
        }
    }
}

#[inline(always)]
fn linearise_body<P: BundleProblem>(
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
                let mut columns = [[0.0; WIDTH]; 2];
                for (row, (pose, group)) in
                    columns.iter_mut().zip([(pu, &group[0]), (pv, &group[1])])
                {
                    row[..6].copy_from_slice(pose);
                    row[6..6 + dim].copy_from_slice(&group[..dim]);
                }
                if 6 + dim <= FEW {
                    add_outer::<FEW>(&mut sum.rows, &columns);
                } else {
                    add_outer::<WIDTH>(&mut sum.rows, &columns);
                }
                for i in 0..6 {
                    sum.gradient[i] += pu[i] * r[0] + pv[i] * r[1];
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

widest! {
    /// Fills a chunk's places and sums what goes into pose and group blocks.
    fn linearise_chunk<P: BundleProblem>(
        problem: &P,
        pattern: &Pattern,
        state: &P::State,
        loss: Loss,
        out: &mut ChunkOut<'_>,
    ) -> ChunkSums = linearise_body
}
