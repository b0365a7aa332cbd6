//! Posterior covariances at the minimum of a bundle problem.
//!
//! With S the reduced system, the blocks have the covariance σ² S⁻¹. A landmark follows
//! them and keeps an error of its own: δₗ = −V⁻¹Wᵀ δ + ε, where ε has the covariance
//! σ² V⁻¹ and is independent of δ (Triggs et al., "Bundle adjustment — a modern
//! synthesis", 2000, §6).
//!
//! σ² is what Huber's asymptotic covariance of an M-estimate ("Robust Statistics", 1981,
//! §7.6) multiplies on the inverse of the reweighted normal equations.
//!
//! A problem that nothing ties to the world fixes its gauge by holding parameters. From
//! there any other gauge is reached by an S-transformation (Baarda 1973; Triggs et al.,
//! §9): δ' = δ − G g, where the columns of G are the directions along which no residual
//! changes, and g = L δ is the part of δ that the new gauge does not allow.

use crate::bundle::{BundleProblem, BundleStructure, FIXED, MAX_GROUP_DIM};
use crate::bundle_lm::Solver;
use crate::loss::Loss;
use crate::reduced_solve::{Factoriser, inverse_tail};
use crate::schur::{Linearisation, Pattern, Reduced, linearise, reduce, times, times_6};
use relievo_task::ordered;

/// Directions of a gauge: those of a similarity.
pub const GAUGE: usize = 7;

/// Most block parameters of which all covariances are given, those of some 250 poses:
/// the full inverse takes 18 MB, its computation five times that.
pub const MOST_PARAMS: usize = 1500;

/// Landmarks a unit of work; a constant, so that sums have one order.
const CHUNK: usize = 1024;

/// How each of N parameters moves along the directions of the gauge.
pub type Directions<const N: usize> = [[f64; GAUGE]; N];

/// Covariances of all blocks and landmarks in a gauge of one's choice.
pub struct BundleCovariance {
    pattern: Pattern,
    lin: Linearisation,
    /// V⁻¹ per landmark.
    inverse: Vec<[f64; 6]>,
    variance: f64,
    size: usize,
    /// Of the blocks in the problem's own gauge, row-major, C.
    blocks: Vec<f64>,
    /// C Lᵀ, and the covariance L C Lᵀ of g.
    along: Vec<[f64; GAUGE]>,
    of_gauge: Directions<GAUGE>,
}

/// σ² of [`covariance`]; `None` where there are fewer residuals than unknowns.
fn variance<P: BundleProblem>(problem: &P, state: &P::State, loss: Loss) -> Option<f64> {
    let s = problem.structure();
    // Of all observations: |ψ|², the weight, and ψ' averaged over both rows.
    let part = |range: std::ops::Range<usize>| {
        let mut sums = [0.0; 4];
        for l in range {
            for o in s.observations(l) {
                let Some([u, v]) = problem.residual(state, l, o) else {
                    continue;
                };
                let r2 = u * u + v * v;
                let weight = loss.evaluate(r2).1;
                let more = [
                    r2 * weight * weight,
                    weight,
                    weight + r2 * loss.curvature(r2),
                    1.0,
                ];
                sums = std::array::from_fn(|k| sums[k] + more[k]);
            }
        }
        sums
    };
    let add = |a: [f64; 4], b: [f64; 4]| std::array::from_fn(|k| a[k] + b[k]);
    let [psi2, weight, slope, n] = ordered::map_reduce(s.num_landmarks(), CHUNK, part, add)?;
    let unknowns = s.num_block_params() + 3 * s.num_landmarks();
    let freedom = (2 * s.num_observations()).checked_sub(unknowns)?.max(1);
    (slope > 0.0).then(|| psi2 / freedom as f64 * weight * n / (slope * slope))
}

fn normal_equations<P: BundleProblem>(
    problem: &P,
    state: &P::State,
    loss: Loss,
) -> (Pattern, Linearisation, Reduced) {
    let pattern = Pattern::new(problem.structure());
    let mut lin = Linearisation::default();
    linearise(problem, &pattern, state, loss, &mut lin);
    let reduced = reduce(problem, &pattern, state, &lin, 1e-10);
    (pattern, lin, reduced)
}

/// What one linearisation says of the group parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupEstimate {
    /// Posterior covariance, row-major.
    pub covariance: Vec<f64>,
    /// The undamped step towards the minimum.
    pub step: Vec<f64>,
    /// ½ Σ ρ before that step.
    pub cost: f64,
    /// σ² of the residuals, which `covariance` is multiplied with.
    pub variance: f64,
}

/// The group parameters at `state`; `None` where they are not determined.
///
/// The gauge must be fixed by the problem. The reduced system is solved for each
/// of the group parameters.
pub fn group_estimate<P: BundleProblem>(
    problem: &P,
    state: &P::State,
    loss: Loss,
    solver: Solver,
) -> Option<GroupEstimate> {
    let variance = variance(problem, state, loss)?;
    let (pattern, lin, reduced) = normal_equations(problem, state, loss);
    let factoriser = Factoriser::new(&pattern, solver);
    let poses = problem.structure().num_poses * 6;
    let (mut covariance, step) = inverse_tail(&factoriser, &pattern, &reduced, poses)?;
    for v in &mut covariance {
        *v *= variance;
    }
    Some(GroupEstimate {
        covariance,
        step,
        cost: lin.cost,
        variance,
    })
}

/// Posterior covariances of everything at `state`; `None` where the blocks are not
/// determined or more than [`MOST_PARAMS`].
///
/// The problem must fix its gauge, by constant poses or by parameters that nothing
/// depends on, which count as held.
pub fn covariance<P: BundleProblem>(
    problem: &P,
    state: &P::State,
    loss: Loss,
) -> Option<BundleCovariance> {
    let size = problem.structure().num_block_params();
    if size > MOST_PARAMS {
        return None;
    }
    let variance = variance(problem, state, loss)?;
    let (pattern, lin, reduced) = normal_equations(problem, state, loss);
    let factoriser = Factoriser::new(&pattern, Solver::Cholesky);
    let (mut blocks, _) = inverse_tail(&factoriser, &pattern, &reduced, 0)?;
    for v in &mut blocks {
        *v *= variance;
    }
    for (p, sum) in lin.poses.iter().enumerate() {
        for k in (0..6).filter(|&k| sum.rows[k][k] == 0.0) {
            blocks[(6 * p + k) * (size + 1)] = 0.0;
        }
    }
    Some(BundleCovariance {
        pattern,
        lin,
        inverse: reduced.inverse,
        variance,
        size,
        blocks,
        along: vec![[0.0; GAUGE]; size],
        of_gauge: [[0.0; GAUGE]; GAUGE],
    })
}

impl BundleCovariance {
    /// Changes the gauge: `step` holds for each block parameter what moving it by one adds
    /// to g, the columns of L.
    pub fn set_gauge(&mut self, step: &[[f64; GAUGE]]) {
        for (to, row) in self
            .along
            .iter_mut()
            .zip(self.blocks.chunks_exact(self.size))
        {
            *to = [0.0; GAUGE];
            for (c, l) in row.iter().zip(step) {
                for k in 0..GAUGE {
                    to[k] += c * l[k];
                }
            }
        }
        self.of_gauge = [[0.0; GAUGE]; GAUGE];
        for (l, f) in step.iter().zip(&self.along) {
            for i in 0..GAUGE {
                for k in 0..GAUGE {
                    self.of_gauge[i][k] += l[i] * f[k];
                }
            }
        }
    }

    /// Variance of group parameter `dim` of `group`, which no gauge changes.
    pub fn group_variance(&self, s: &BundleStructure, group: usize, dim: usize) -> f64 {
        self.blocks[(s.group_offset(group) + dim) * (self.size + 1)]
    }

    /// 6×6 covariance of pose `block`, or of a constant one ([`FIXED`]), that moves by
    /// `directions`.
    pub fn pose(&self, block: u32, directions: &Directions<6>) -> [[f64; 6]; 6] {
        let mut out = [[0.0; 6]; 6];
        for i in 0..6 {
            for k in 0..6 {
                out[i][k] = self.turned(&directions[i], &directions[k]);
                if block != FIXED {
                    let (a, b) = (block as usize * 6 + i, block as usize * 6 + k);
                    out[i][k] += self.blocks[a * self.size + b]
                        - dot(&self.along[a], &directions[k])
                        - dot(&directions[i], &self.along[b]);
                }
            }
        }
        out
    }

    /// Covariance (xx xy xz yy yz zz) of every landmark, each moving by its `directions`;
    /// `None` where its observations do not determine it.
    pub fn landmarks(
        &self,
        s: &BundleStructure,
        directions: impl Fn(usize) -> Directions<3> + Sync + Send,
    ) -> Vec<Option<[f64; 6]>> {
        ordered::map_chunks(s.num_landmarks(), CHUNK, |range| {
            let mut follows = Vec::new();
            let of = |l| self.landmark(s, l, &directions(l), &mut follows);
            range.map(of).collect::<Vec<_>>()
        })
        .concat()
    }

    fn landmark(
        &self,
        s: &BundleStructure,
        l: usize,
        directions: &Directions<3>,
        follows: &mut Vec<Follow>,
    ) -> Option<[f64; 6]> {
        let v = &self.inverse[l];
        if *v == [0.0; 6] {
            return None;
        }
        self.follow(s, l, follows);
        let mut sum = [[0.0; 3]; 3];
        // −A C Lᵀ.
        let mut along = [[0.0; GAUGE]; 3];
        for (at, p) in follows.iter().enumerate() {
            for (row, f) in along.iter_mut().zip(&p.rows) {
                for (x, c) in f.iter().zip(&self.along[p.at..p.at + p.dim]) {
                    for k in 0..GAUGE {
                        row[k] += x * c[k];
                    }
                }
            }
            for q in &follows[at..] {
                let product = self.between(p, q);
                for i in 0..3 {
                    for k in 0..3 {
                        sum[i][k] += product[i][k];
                        if p.at != q.at {
                            sum[k][i] += product[i][k];
                        }
                    }
                }
            }
        }
        let places = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)];
        Some(std::array::from_fn(|n| {
            let (i, k) = places[n];
            self.variance * v[n]
                + sum[i][k]
                + dot(&along[i], &directions[k])
                + dot(&directions[i], &along[k])
                + self.turned(&directions[i], &directions[k])
        }))
    }

    /// V⁻¹Wᵀ = −A of a landmark, block by block.
    fn follow(&self, s: &BundleStructure, l: usize, out: &mut Vec<Follow>) {
        out.clear();
        let v = &self.inverse[l];
        for o in s
            .observations(l)
            .filter(|&o| s.observation_pose[o] != FIXED)
        {
            let t = times_6(v, &self.lin.w[o]);
            let mut rows = [[0.0; MAX_GROUP_DIM]; 3];
            for (row, t) in rows.iter_mut().zip(t.chunks_exact(6)) {
                row[..6].copy_from_slice(t);
            }
            let at = s.observation_pose[o] as usize * 6;
            out.push(Follow { at, dim: 6, rows });
        }
        let m = self.pattern.max_group_dim;
        for link in self.pattern.links(l) {
            let group = self.pattern.link_group[link] as usize;
            let dim = s.group_dims[group];
            let w = &self.lin.link_w[link * m * 3..][..m * 3];
            let mut rows = [[0.0; MAX_GROUP_DIM]; 3];
            for a in 0..dim {
                let t = times(v, &[w[a], w[m + a], w[2 * m + a]]);
                (0..3).for_each(|k| rows[k][a] = t[k]);
            }
            let at = s.group_offset(group);
            out.push(Follow { at, dim, rows });
        }
    }

    /// A C Aᵀ of two blocks.
    fn between(&self, p: &Follow, q: &Follow) -> [[f64; 3]; 3] {
        let mut t = [[0.0; MAX_GROUP_DIM]; 3];
        for a in 0..p.dim {
            let c = &self.blocks[(p.at + a) * self.size + q.at..][..q.dim];
            for (row, f) in t.iter_mut().zip(&p.rows) {
                for (x, c) in row.iter_mut().zip(c) {
                    *x += f[a] * c;
                }
            }
        }
        let product = |i: usize, k: usize| (0..q.dim).map(|b| t[i][b] * q.rows[k][b]).sum();
        std::array::from_fn(|i| std::array::from_fn(|k| product(i, k)))
    }

    /// a L C Lᵀ bᵀ.
    fn turned(&self, a: &[f64; GAUGE], b: &[f64; GAUGE]) -> f64 {
        (0..GAUGE).map(|i| a[i] * dot(&self.of_gauge[i], b)).sum()
    }
}

/// What one block adds to a landmark's step.
struct Follow {
    at: usize,
    dim: usize,
    rows: [[f64; MAX_GROUP_DIM]; 3],
}

fn dot(a: &[f64; GAUGE], b: &[f64; GAUGE]) -> f64 {
    (0..GAUGE).map(|k| a[k] * b[k]).sum()
}
