//! Levenberg–Marquardt on a bundle problem, by the Schur complement.
//!
//! Robust losses act by iterative reweighting; the step is accepted by the
//! robust cost, and every second one goes farther where reweighting was too stiff.
//! Damping by Nielsen's rule (Madsen, Nielsen & Tingleff 2004,
//! §3.2). Triggs et al., "Bundle adjustment — a modern synthesis", 2000.

use crate::bundle::{BundleProblem, BundleStructure};
use crate::loss::Loss;
use crate::reduced_solve::{Factoriser, solve};
use crate::schur::{Linearisation, Pattern, Reduced, back_substitute, cost, linearise, reduce};
use relievo_task::{Cancelled, Task};

/// How the reduced camera system is solved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Solver {
    /// By the work that each would be.
    #[default]
    Auto,
    /// Dense or sparse factorisation.
    Cholesky,
    /// Iteratively.
    ConjugateGradients,
}

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
    /// For the reduced camera system.
    pub solver: Solver,
}

impl Default for BundleOptions {
    fn default() -> Self {
        Self {
            max_iterations: 50,
            tolerance: 1e-6,
            block_tolerance: 0.0,
            loss: Loss::Squared,
            initial_lambda: 1e-4,
            solver: Solver::Auto,
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
    let factoriser = Factoriser::new(&pattern, options.solver);
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
    let mut reach = 1.0;
    loop {
        task.check()?;
        let reduced = reduce(problem, &pattern, &out.state, &lin, lambda);
        let trial = solve(&factoriser, &pattern, &reduced).map(|blocks| {
            let (landmarks, predicted) =
                back_substitute(problem, &pattern, &lin, &reduced, &blocks, lambda);
            let moved = block_step_sigmas(problem.structure(), &reduced, &blocks, out.final_cost);
            let stepped = |reach: f64| {
                let scaled = |step: &[f64]| step.iter().map(|x| reach * x).collect::<Vec<_>>();
                let state = problem.step(&out.state, &scaled(&blocks), &scaled(&landmarks));
                let cost = cost(problem, &state, options.loss);
                (state, cost)
            };
            let (mut state, mut new_cost) = stepped(reach);
            if reach > 1.0 && !(new_cost < out.final_cost - 0.5 * predicted) {
                reach = 1.0;
                (state, new_cost) = stepped(reach);
            }
            (state, new_cost, predicted, moved)
        });
        match trial {
            Some((state, new_cost, predicted, moved)) if new_cost < out.final_cost => {
                let decrease = out.final_cost - new_cost;
                let gain = decrease / predicted.max(1e-300);
                lambda = (lambda * (1.0 - (2.0 * gain - 1.0).powi(3)).max(1.0 / 3.0)).max(1e-12);
                nu = 2.0;
                reach = if reach > 1.0 { 1.0 } else { further(gain) };
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
                reach = 1.0;
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

/// How far the next step goes, in lengths of its own.
///
/// Along a step t the cost falls by g t − ½ h t²; reweighting takes h to be g, a
/// robust loss makes it less. The gain of the whole step, actual over predicted, is
/// 2 − h/g, and the minimum lies at t = g/h. What is slow this way are landmarks that
/// creep, and they creep on likewise.
fn further(gain: f64) -> f64 {
    const LEAST_GAIN: f64 = 1.5;
    const FARTHEST: f64 = 4.0;
    if !(gain >= LEAST_GAIN) {
        return 1.0;
    }
    (1.0 / (2.0 - gain).max(1.0 / FARTHEST)).min(FARTHEST)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a cost g t − ½ h t² less along a step, where the model takes h to be g.
    #[test]
    fn a_step_reaches_as_far_as_its_gain_says() {
        for bend in [0.3, 0.4, 0.45] {
            let gain = (1.0 - 0.5 * bend) / 0.5;
            assert!((further(gain) - 1.0 / bend).abs() < 1e-12);
        }
        assert_eq!(further(1.0), 1.0);
        assert_eq!(further(1.9), 4.0);
        assert_eq!(further(2.5), 4.0);
        assert_eq!(further(f64::NAN), 1.0);
    }
}
