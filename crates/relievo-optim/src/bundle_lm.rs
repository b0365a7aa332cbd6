//! Levenberg–Marquardt on a bundle problem, by the Schur complement.
//!
//! Robust losses act by iterative reweighting; the step is accepted by the
//! robust cost. Damping by Nielsen's rule (Madsen, Nielsen & Tingleff 2004,
//! §3.2). Triggs et al., "Bundle adjustment — a modern synthesis", 2000.

use crate::bundle::{BundleProblem, BundleStructure};
use crate::loss::Loss;
use crate::reduced_solve::{Factoriser, inverse_tail, solve};
use crate::schur::{Linearisation, Pattern, Reduced, back_substitute, cost, linearise, reduce};
use relievo_task::{Cancelled, Task};

/// When to stop, and what an error costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BundleOptions {
    /// Most iterations (linearisations).
    pub max_iterations: usize,
    /// Relative decrease of the cost that ends it.
    pub tolerance: f64,
    /// Two steps in a row that move the blocks less than this, in root mean
    /// square of their standard deviations, end it, too. What is left then is
    /// single landmarks that creep along a robust loss. 0 for never.
    pub block_tolerance: f64,
    /// The loss of each residual.
    pub loss: Loss,
    /// Starting damping.
    pub initial_lambda: f64,
}

impl Default for BundleOptions {
    fn default() -> Self {
        Self {
            max_iterations: 50,
            tolerance: 1e-6,
            block_tolerance: 0.0,
            loss: Loss::Squared,
            initial_lambda: 1e-4,
        }
    }
}

/// Result of [`minimise`].
#[derive(Clone, Debug)]
pub struct BundleSummary<S> {
    /// Best state.
    pub state: S,
    /// ½ Σ ρ before.
    pub initial_cost: f64,
    /// ½ Σ ρ after.
    pub final_cost: f64,
    /// Linearisations.
    pub iterations: usize,
    /// False when it ended by `max_iterations`.
    pub converged: bool,
}

/// Minimises ½ Σ ρ(|r|²) from `state`.
pub fn minimise<P: BundleProblem>(
    problem: &P,
    state: P::State,
    options: &BundleOptions,
    task: &Task,
) -> Result<BundleSummary<P::State>, Cancelled> {
    let pattern = Pattern::new(problem.structure());
    let factoriser = Factoriser::new(&pattern);
    let mut lin = Linearisation::default();
    linearise(problem, &pattern, &state, options.loss, &mut lin);
    let mut out = BundleSummary {
        state,
        initial_cost: lin.cost,
        final_cost: lin.cost,
        iterations: 1,
        converged: false,
    };
    let (mut lambda, mut nu) = (options.initial_lambda, 2.0);
    let (mut refused, mut small) = (0, 0);
    loop {
        task.check()?;
        let reduced = reduce(problem, &pattern, &out.state, &lin, lambda);
        let trial = solve(&factoriser, &pattern, &reduced).map(|blocks| {
            let (landmarks, predicted) =
                back_substitute(problem, &pattern, &lin, &reduced, &blocks, lambda);
            let state = problem.step(&out.state, &blocks, &landmarks);
            let new_cost = cost(problem, &state, options.loss);
            let moved = block_step_sigmas(problem.structure(), &reduced, &blocks, out.final_cost);
            (state, new_cost, predicted, moved)
        });
        match trial {
            Some((state, new_cost, predicted, moved)) if new_cost < out.final_cost => {
                let decrease = out.final_cost - new_cost;
                let gain = decrease / predicted.max(1e-300);
                lambda = (lambda * (1.0 - (2.0 * gain - 1.0).powi(3)).max(1.0 / 3.0)).max(1e-12);
                nu = 2.0;
                refused = 0;
                small = if moved < options.block_tolerance {
                    small + 1
                } else {
                    0
                };
                out.converged = small > 1 || decrease <= options.tolerance * out.final_cost;
                out.final_cost = new_cost;
                out.state = state;
                problem.stepped(new_cost);
                if out.converged || out.iterations >= options.max_iterations {
                    break;
                }
                linearise(problem, &pattern, &out.state, options.loss, &mut lin);
                out.iterations += 1;
            }
            Some((_, _, predicted, _)) if predicted <= options.tolerance * out.final_cost => {
                out.converged = true;
                break;
            }
            _ => {
                lambda *= nu;
                nu *= 2.0;
                refused += 1;
                if refused > 12 || lambda > 1e10 {
                    out.converged = true;
                    break;
                }
            }
        }
    }
    Ok(out)
}

/// Length of a step of the blocks in the metric of the reduced system (before
/// the step: −bᵀδ = δᵀSδ), a part of their standard deviations; root mean
/// square over the parameters.
fn block_step_sigmas(s: &BundleStructure, reduced: &Reduced, blocks: &[f64], cost: f64) -> f64 {
    let unknowns = blocks.len() + 3 * s.num_landmarks();
    let freedom = (2 * s.num_observations()).saturating_sub(unknowns).max(1);
    let variance = 2.0 * cost / freedom as f64;
    let length: f64 = blocks
        .iter()
        .zip(&reduced.gradient)
        .map(|(d, b)| -d * b)
        .sum();
    (length.max(0.0) / (variance * blocks.len().max(1) as f64)).sqrt()
}

/// Posterior covariance of all group parameters at `state`, row-major, scaled
/// by the variance of the (weighted) residuals; `None` where they are not
/// determined.
///
/// The gauge must be fixed by the problem. Sizes up to a few thousand block
/// parameters: the reduced system is inverted densely.
pub fn group_covariance<P: BundleProblem>(
    problem: &P,
    state: &P::State,
    loss: Loss,
) -> Option<Vec<f64>> {
    let s = problem.structure();
    let pattern = Pattern::new(s);
    let mut lin = Linearisation::default();
    linearise(problem, &pattern, state, loss, &mut lin);
    let reduced = reduce(problem, &pattern, state, &lin, 1e-10);
    let unknowns = pattern.size() + 3 * s.num_landmarks();
    let freedom = (2 * s.num_observations()).checked_sub(unknowns)?.max(1);
    let variance = 2.0 * lin.cost / freedom as f64;
    let mut covariance = inverse_tail(&pattern, &reduced, s.num_poses * 6)?;
    for v in &mut covariance {
        *v *= variance;
    }
    Some(covariance)
}
