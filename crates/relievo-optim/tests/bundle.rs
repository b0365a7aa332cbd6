//! The Schur solver on linear problems, where one undamped step is the exact
//! least-squares solution: its gradient has to vanish. Dense and sparse.

use nalgebra::{DMatrix, DVector};
use relievo_optim::{
    BundleOptions, BundleProblem, BundleStructure, Loss, ObservationRows, Solver, covariance,
    group_estimate, minimise,
};
use relievo_task::{Task, rng, seed::RngCore};

#[derive(Clone)]
struct Linear {
    structure: BundleStructure,
    rows: Vec<ObservationRows>,
}

#[derive(Clone)]
struct State {
    blocks: Vec<f64>,
    landmarks: Vec<f64>,
}

impl Linear {
    /// Landmark l is seen by `span` consecutive poses.
    fn new(poses: usize, landmarks: usize, span: usize, groups: usize) -> (Self, State) {
        let mut rng = rng(0, "bundle", "linear");
        let mut next = || (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64 * 2.0 - 1.0;
        let mut s = BundleStructure {
            num_poses: poses,
            group_dims: vec![3; groups],
            landmark_starts: vec![0],
            ..BundleStructure::default()
        };
        let mut rows = Vec::new();
        for l in 0..landmarks {
            for k in 0..span {
                let p = (l + k) % poses;
                s.observation_pose.push(p as u32);
                s.observation_group.push((p % groups) as u32);
                let mut row = ObservationRows {
                    r: [next(), next()],
                    ..ObservationRows::default()
                };
                row.landmark.iter_mut().for_each(|x| *x = next());
                row.pose.iter_mut().for_each(|x| *x = next());
                for r in &mut row.group {
                    r[..3].iter_mut().for_each(|x| *x = next());
                }
                rows.push(row);
            }
            s.landmark_starts.push(rows.len() as u32);
        }
        let state = State {
            blocks: vec![0.0; s.num_block_params()],
            landmarks: vec![0.0; 3 * landmarks],
        };
        (Self { structure: s, rows }, state)
    }

    /// Columns of the observation: (block parameter or landmark, values).
    fn at(&self, state: &State, l: usize, o: usize) -> [f64; 2] {
        let row = &self.rows[o];
        let p = self.structure.observation_pose[o] as usize * 6;
        let g = self
            .structure
            .group_offset(self.structure.observation_group[o] as usize);
        [0, 1].map(|i| {
            let pose: f64 = (0..6)
                .map(|k| row.pose[i * 6 + k] * state.blocks[p + k])
                .sum();
            let group: f64 = (0..3).map(|k| row.group[i][k] * state.blocks[g + k]).sum();
            let landmark: f64 = (0..3)
                .map(|k| row.landmark[i * 3 + k] * state.landmarks[l * 3 + k])
                .sum();
            row.r[i] + pose + group + landmark
        })
    }
}

impl BundleProblem for Linear {
    type State = State;
    fn structure(&self) -> &BundleStructure {
        &self.structure
    }
    fn residual(&self, state: &State, l: usize, o: usize) -> Option<[f64; 2]> {
        Some(self.at(state, l, o))
    }
    fn linearise(&self, state: &State, l: usize, o: usize, rows: &mut ObservationRows) -> bool {
        *rows = self.rows[o];
        rows.r = self.at(state, l, o);
        true
    }
    fn step(&self, state: &State, blocks: &[f64], landmarks: &[f64]) -> State {
        let add = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x + y).collect();
        State {
            blocks: add(&state.blocks, blocks),
            landmarks: add(&state.landmarks, landmarks),
        }
    }
}

fn largest_gradient(problem: &Linear, state: &State) -> f64 {
    let s = &problem.structure;
    let mut blocks = vec![0.0; state.blocks.len()];
    let mut landmarks = vec![0.0; state.landmarks.len()];
    for l in 0..s.num_landmarks() {
        for o in s.observations(l) {
            let r = problem.at(state, l, o);
            let row = &problem.rows[o];
            let p = s.observation_pose[o] as usize * 6;
            let g = s.group_offset(s.observation_group[o] as usize);
            for i in 0..2 {
                for k in 0..6 {
                    blocks[p + k] += row.pose[i * 6 + k] * r[i];
                }
                for k in 0..3 {
                    blocks[g + k] += row.group[i][k] * r[i];
                    landmarks[l * 3 + k] += row.landmark[i * 3 + k] * r[i];
                }
            }
        }
    }
    blocks
        .iter()
        .chain(&landmarks)
        .fold(0.0, |m: f64, v| m.max(v.abs()))
}

fn solves(poses: usize, landmarks: usize, span: usize, groups: usize, solver: Solver) {
    let (problem, start) = Linear::new(poses, landmarks, span, groups);
    assert!(largest_gradient(&problem, &start) > 1.0);
    let options = BundleOptions {
        initial_lambda: 1e-10,
        tolerance: 1e-15,
        block_tolerance: 0.0,
        loss: Loss::Squared,
        max_iterations: 20,
        solver,
    };
    let end = minimise(&problem, start, &options, &Task::silent()).expect("not cancelled");
    let gradient = largest_gradient(&problem, &end.state);
    assert!(gradient < 1e-6, "gradient {gradient}");
    assert!(end.final_cost < end.initial_cost);
}

#[test]
fn a_dense_system_is_solved() {
    for solver in [Solver::Auto, Solver::ConjugateGradients] {
        solves(6, 700, 4, 2, solver);
    }
}

#[test]
fn a_sparse_system_is_solved() {
    // 160 poses in a ring, each tied to a few neighbours only.
    for solver in [Solver::Auto, Solver::ConjugateGradients] {
        solves(160, 1600, 4, 1, solver);
    }
}

#[test]
fn a_large_system_is_solved() {
    // More than is summed landmark after landmark.
    for solver in [Solver::Cholesky, Solver::ConjugateGradients] {
        solves(320, 3200, 8, 2, solver);
    }
}

#[test]
fn covariances_are_those_of_any_solver() {
    for poses in [9, 160] {
        let (problem, state) = Linear::new(poses, 10 * poses, 4, 2);
        let of = |solver| {
            group_estimate(&problem, &state, Loss::Squared, solver)
                .unwrap()
                .covariance
        };
        let (exact, iterative) = (of(Solver::Cholesky), of(Solver::ConjugateGradients));
        let size = exact.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        assert_eq!(exact.len(), 36);
        for (i, (a, b)) in exact.iter().zip(&iterative).enumerate() {
            assert!((a - b).abs() < 1e-4 * size, "{poses} {i}: {a} {b}");
            assert!(
                (a - exact[i % 6 * 6 + i / 6]).abs() < 1e-9 * size,
                "symmetric"
            );
        }
    }
}

/// Blocks and landmarks, in the problem's gauge and in another, against the inverse of the
/// full normal matrix.
#[test]
fn covariances_are_those_of_the_full_inverse() {
    let (problem, state) = Linear::new(3, 40, 3, 2);
    let s = &problem.structure;
    let blocks = s.num_block_params();
    let n = blocks + 3 * s.num_landmarks();
    let mut jacobian = DMatrix::<f64>::zeros(2 * s.num_observations(), n);
    let mut squared = 0.0;
    for l in 0..s.num_landmarks() {
        for o in s.observations(l) {
            let row = &problem.rows[o];
            let p = s.observation_pose[o] as usize * 6;
            let g = s.group_offset(s.observation_group[o] as usize);
            for i in 0..2 {
                squared += row.r[i] * row.r[i];
                (0..6).for_each(|k| jacobian[(2 * o + i, p + k)] = row.pose[6 * i + k]);
                (0..3).for_each(|k| jacobian[(2 * o + i, g + k)] = row.group[i][k]);
                for k in 0..3 {
                    jacobian[(2 * o + i, blocks + 3 * l + k)] = row.landmark[3 * i + k];
                }
            }
        }
    }
    let residuals = problem.rows.iter().flat_map(|row| row.r);
    let residuals = DVector::from_iterator(2 * s.num_observations(), residuals);
    let variance = squared / (2 * s.num_observations() - n) as f64;
    let inverse = (jacobian.transpose() * &jacobian).try_inverse().unwrap();
    let solution = -(&inverse * jacobian.transpose() * residuals);
    let full = inverse * variance;
    // Any directions, and any rule of what they take away.
    let wave = |i: usize, k: usize| ((3 * i + 7 * k) as f64).sin();
    let directions = DMatrix::from_fn(n, 7, wave);
    let rule = DMatrix::from_fn(7, n, |k, i| if i < blocks { 0.1 * wave(k, i) } else { 0.0 });
    let mut ours = covariance(&problem, &state, Loss::Squared).unwrap();
    for turned in [false, true] {
        let mut there = full.clone();
        if turned {
            let step: Vec<_> = (0..blocks)
                .map(|i| std::array::from_fn(|k| rule[(k, i)]))
                .collect();
            ours.set_gauge(&step);
            let change = DMatrix::identity(n, n) - &directions * &rule;
            there = &change * full.clone() * change.transpose();
        }
        let direction =
            |i: usize| std::array::from_fn(|k| if turned { directions[(i, k)] } else { 0.0 });
        let near = |a: f64, i: usize, k: usize| {
            let b = there[(i, k)];
            assert!(
                (a - b).abs() < 1e-6 * there[(i, i)].max(there[(k, k)]),
                "{i} {k}: {a} {b}"
            );
        };
        for p in 0..3 {
            let of = ours.pose(p as u32, &std::array::from_fn(|k| direction(6 * p + k)));
            (0..36).for_each(|k| near(of[k / 6][k % 6], 6 * p + k / 6, 6 * p + k % 6));
        }
        let at = |l: usize| blocks + 3 * l;
        let landmarks = ours.landmarks(s, |l| std::array::from_fn(|k| direction(at(l) + k)));
        for (l, of) in landmarks.iter().enumerate() {
            let of = of.unwrap();
            for (v, (i, k)) in of
                .iter()
                .zip([(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)])
            {
                near(*v, at(l) + i, at(l) + k);
            }
        }
        if !turned {
            let of = group_estimate(&problem, &state, Loss::Squared, Solver::Auto).unwrap();
            for (k, step) in of.step.iter().enumerate() {
                assert!((step - solution[18 + k]).abs() < 1e-6, "{k}: {step}");
            }
            near(ours.group_variance(s, 1, 2), blocks - 1, blocks - 1);
        }
    }
}

/// Huber's covariance of the mean of noise under a heavy-tailed loss is its spread.
#[test]
fn covariances_are_those_of_robust_estimates() {
    let (problem, state) = Linear::new(4, 200, 4, 1);
    let mut rng = rng(1, "bundle", "noise");
    let mut normal = || {
        let mut uniform = || (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        let (radius, angle) = ((-2.0 * (1.0 - uniform()).ln()).sqrt(), uniform());
        0.5 * radius * (std::f64::consts::TAU * angle).cos()
    };
    let loss = Loss::Cauchy(1.0);
    let options = BundleOptions {
        loss,
        tolerance: 1e-12,
        ..BundleOptions::default()
    };
    let (mut spread, mut count) = (0.0, 0.0);
    for _ in 0..40 {
        let mut noisy = problem.clone();
        for row in &mut noisy.rows {
            row.r = [normal(), normal()];
        }
        let end = minimise(&noisy, state.clone(), &options, &Task::silent()).unwrap();
        let of = group_estimate(&noisy, &end.state, loss, Solver::Auto)
            .unwrap()
            .covariance;
        for k in 0..3 {
            spread += end.state.blocks[24 + k].powi(2) / of[4 * k];
            count += 1.0;
        }
    }
    // 120 values: the spread itself is known to a tenth or so.
    let ratio = f64::sqrt(spread / count);
    assert!((0.85..1.15).contains(&ratio), "{ratio}");
}

#[test]
fn the_bits_do_not_depend_on_threads() {
    let run = |threads: usize, solver: Solver| {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap()
            .install(|| {
                let (problem, start) = Linear::new(40, 1500, 4, 3);
                let options = BundleOptions {
                    loss: Loss::Cauchy(0.5),
                    max_iterations: 5,
                    solver,
                    ..BundleOptions::default()
                };
                let end = minimise(&problem, start, &options, &Task::silent()).unwrap();
                (end.final_cost.to_bits(), end.state.blocks)
            })
    };
    for solver in [Solver::Cholesky, Solver::ConjugateGradients] {
        assert_eq!(run(1, solver), run(3, solver));
    }
}

/// A heavy-tailed loss lets landmarks creep on; the blocks stand still before.
#[test]
fn blocks_that_stand_still_end_it() {
    let run = |block_tolerance: f64| {
        let (problem, start) = Linear::new(6, 3000, 4, 2);
        let options = BundleOptions {
            loss: Loss::Cauchy(0.5),
            max_iterations: 200,
            tolerance: 1e-13,
            block_tolerance,
            ..BundleOptions::default()
        };
        minimise(&problem, start, &options, &Task::silent()).unwrap()
    };
    let (to_the_end, early) = (run(0.0), run(0.005));
    assert!(early.converged);
    assert!(
        2 * early.iterations < to_the_end.iterations,
        "{} of {}",
        early.iterations,
        to_the_end.iterations
    );
    // Steps of their own length only take 20.
    assert!(early.iterations < 17, "{}", early.iterations);
    let off = early.state.blocks.iter().zip(&to_the_end.state.blocks);
    let off = off.fold(0.0, |m: f64, (a, b)| m.max((a - b).abs()));
    // About 4000 observations a pose with residuals of about 1.
    assert!(off < 0.005, "{off}");
}
