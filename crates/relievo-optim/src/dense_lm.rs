//! Levenberg–Marquardt for a handful of parameters.
//!
//! Marquardt 1963, damping by Nielsen's rule (Madsen, Nielsen & Tingleff 2004,
//! §3.2) on the diagonal of JᵀJ.

use nalgebra::{Const, DimMin, SMatrix, SVector};

/// A least-squares problem in N local parameters.
pub trait DenseProblem<const N: usize> {
    /// What is estimated.
    type State: Clone;

    /// Cost ½ Σ ρ, JᵀJ and Jᵀr at `state`; `None` where it cannot be evaluated.
    fn linearise(&self, state: &Self::State) -> Option<(f64, SMatrix<f64, N, N>, SVector<f64, N>)>;

    /// Cost ½ Σ ρ at `state`; not finite refuses the step.
    fn cost(&self, state: &Self::State) -> f64;

    /// `state` moved by `delta`.
    fn step(&self, state: &Self::State, delta: &SVector<f64, N>) -> Self::State;
}

/// Minimises from `state`; returns the best state and its cost.
pub fn dense_lm<const N: usize, P: DenseProblem<N>>(
    problem: &P,
    mut state: P::State,
    max_iterations: usize,
    tolerance: f64,
) -> Option<(P::State, f64)>
where
    Const<N>: DimMin<Const<N>, Output = Const<N>>,
{
    let (mut cost, mut h, mut g) = problem.linearise(&state)?;
    let (mut lambda, mut nu) = (1e-4, 2.0);
    for _ in 0..max_iterations {
        if !cost.is_finite() {
            return None;
        }
        let mut damped = h;
        for k in 0..N {
            damped[(k, k)] += lambda * h[(k, k)].clamp(1e-12, 1e32);
        }
        let step = damped.cholesky().map(|c| -c.solve(&g));
        let next = step
            .filter(|d| d.iter().all(|v| v.is_finite()))
            .map(|delta| {
                let candidate = problem.step(&state, &delta);
                let new_cost = problem.cost(&candidate);
                let predicted: f64 = (0..N)
                    .map(|k| {
                        0.5 * delta[k] * (lambda * h[(k, k)].clamp(1e-12, 1e32) * delta[k] - g[k])
                    })
                    .sum();
                (candidate, new_cost, predicted)
            });
        match next {
            Some((candidate, new_cost, predicted)) if new_cost < cost => {
                let gain = (cost - new_cost) / predicted.max(1e-300);
                lambda *= (1.0 - (2.0 * gain - 1.0).powi(3)).max(1.0 / 3.0);
                nu = 2.0;
                let done = cost - new_cost <= tolerance * cost;
                state = candidate;
                let Some(at) = problem.linearise(&state) else {
                    return Some((state, new_cost));
                };
                (cost, h, g) = at;
                if done {
                    break;
                }
            }
            _ => {
                lambda *= nu;
                nu *= 2.0;
                if lambda > 1e12 {
                    break;
                }
            }
        }
    }
    Some((state, cost))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::{Matrix2, Vector2};

    struct Rosenbrock;
    impl DenseProblem<2> for Rosenbrock {
        type State = Vector2<f64>;
        fn linearise(&self, x: &Vector2<f64>) -> Option<(f64, Matrix2<f64>, Vector2<f64>)> {
            let r = Vector2::new(10.0 * (x.y - x.x * x.x), 1.0 - x.x);
            let j = Matrix2::new(-20.0 * x.x, 10.0, -1.0, 0.0);
            Some((0.5 * r.norm_squared(), j.transpose() * j, j.transpose() * r))
        }
        fn cost(&self, x: &Vector2<f64>) -> f64 {
            self.linearise(x).map_or(f64::NAN, |l| l.0)
        }
        fn step(&self, x: &Vector2<f64>, d: &Vector2<f64>) -> Vector2<f64> {
            x + d
        }
    }

    #[test]
    fn the_banana_valley_is_followed_to_its_end() {
        let (x, cost) = dense_lm(&Rosenbrock, Vector2::new(-1.2, 1.0), 200, 0.0).unwrap();
        assert!(cost < 1e-20, "{cost}");
        assert!((x - Vector2::new(1.0, 1.0)).norm() < 1e-9);
    }
}
