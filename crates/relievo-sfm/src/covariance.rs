//! How well the photos determine poses, points and intrinsics.
//!
//! Photos alone leave a similarity open, so that a covariance means nothing before it is
//! said what is held. Here it is the poses as a whole (inner constraints; Triggs et al.
//! 2000, §9): of all similarities the one is meant that brings estimated and true poses
//! closest, Σ |δc|² + d² |δω|², c being the centres, ω the rotations, and d the median
//! distance between a photo and a point that it sees. Other than the centres alone, this
//! holds two photos and those on a line, too.

use crate::adjust::{Adjustment, Problem, State, build};
use crate::model::Model;
use crate::scene::Scene;
use crate::{ModelCovariances, NoCovariances, PoseCovariance};
use nalgebra::SMatrix;
use relievo_geometry::{MAX_PARAMS, Mat3, Rigid3, Sim3, Vec3};
use relievo_optim::{
    Directions, FIXED, GAUGE, Loss, MOST_PARAMS, Solver, covariance, group_estimate,
};
use relievo_scene::ViewId;
use std::collections::BTreeMap;

/// Posterior standard deviations of a camera's intrinsics.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct IntrinsicsSigma {
    /// Of every parameter; 0 where it is held.
    pub(crate) params: [f64; MAX_PARAMS],
    /// Of the focal length (the worse axis), as a part of it.
    pub(crate) focal: f64,
    /// Of the principal point (the worse axis) in pixels, where it is free.
    pub(crate) principal_point_px: Option<f64>,
}

/// How well the photos determine the intrinsics of each camera that is free in
/// `what`; none where they do not at all. And the standard deviation of a residual, px.
pub(crate) fn intrinsics_sigmas(
    scene: &Scene<'_>,
    model: &Model,
    what: &Adjustment,
    loss: Loss,
) -> (Vec<Option<IntrinsicsSigma>>, f64) {
    let (problem, state, _) = build(scene, model, what);
    let size: usize = problem.structure.group_dims.iter().sum();
    let first = 6 * problem.structure.num_poses;
    let known = group_estimate(&problem, &state, loss, Solver::Auto);
    let sigmas = sigmas(&problem, &state, |group, dim| {
        let at = problem.structure.group_offset(group) - first + dim;
        Some(known.as_ref()?.covariance[at * (size + 1)])
    });
    let residual = known.map_or(1.0, |k| k.variance.sqrt());
    (sigmas, residual)
}

/// The same from the variance of parameter `dim` of a group.
fn sigmas(
    problem: &Problem,
    state: &State,
    variance: impl Fn(usize, usize) -> Option<f64>,
) -> Vec<Option<IntrinsicsSigma>> {
    let of = |c: usize| {
        let group = problem.group_of[c];
        if group == FIXED {
            return None;
        }
        let camera = &state.cameras[c];
        let (names, params) = (camera.kind().param_names(), camera.params());
        let sigma = |k| {
            variance(group as usize, k)
                .filter(|v| *v >= 0.0)
                .map(f64::sqrt)
        };
        let mut out = IntrinsicsSigma {
            params: [0.0; MAX_PARAMS],
            focal: 0.0,
            principal_point_px: None,
        };
        for (k, &column) in problem.columns[c].iter().enumerate() {
            let sigma = sigma(k)?;
            out.params[column] = sigma;
            if names[column].starts_with('f') {
                out.focal = out.focal.max(sigma / params[column]);
            } else if names[column].starts_with('c') {
                let before = out.principal_point_px.unwrap_or(0.0);
                out.principal_point_px = Some(before.max(sigma));
            }
        }
        Some(out)
    };
    (0..state.cameras.len()).map(of).collect()
}

/// Covariances of all poses and points that take part in `what`, in the model's frame
/// turned by `frame`, and the standard deviations of the intrinsics.
pub(crate) fn posterior(
    scene: &Scene<'_>,
    model: &Model,
    what: &Adjustment,
    loss: Loss,
    frame: &Sim3,
) -> (
    Result<ModelCovariances, NoCovariances>,
    Vec<Option<IntrinsicsSigma>>,
) {
    let (problem, state, kept) = build(scene, model, what);
    let none = || vec![None; state.cameras.len()];
    if problem.structure.num_block_params() > MOST_PARAMS {
        let too_many = NoCovariances::TooManyPhotos {
            photos: what.views.len(),
            most: MOST_PARAMS / 6,
        };
        return (Err(too_many), intrinsics_sigmas(scene, model, what, loss).0);
    }
    let Some(mut covariance) = covariance(&problem, &state, loss) else {
        return (Err(NoCovariances::Undetermined), none());
    };
    let s = &problem.structure;
    let sigmas = sigmas(&problem, &state, |group, dim| {
        Some(covariance.group_variance(s, group, dim))
    });
    let gauge = Gauge::new(&problem, &state);
    let Some(step) = gauge.step(&problem, &state) else {
        return (Err(NoCovariances::Undetermined), sigmas);
    };
    covariance.set_gauge(&step);
    let turn = frame.scale * frame.rotation.to_rotation_matrix().into_inner();
    let poses = what.views.iter().enumerate().map(|(slot, &v)| {
        let own = covariance.pose(problem.block_of[slot], &gauge.of_pose(&state, slot));
        let own = in_world(&own, &(turn * state.matrices[slot].transpose()));
        (scene.ids[v], own)
    });
    let poses: BTreeMap<ViewId, PoseCovariance> = poses.collect();
    let is_finite = |c: &PoseCovariance| c.0.iter().flatten().all(|v| v.is_finite());
    if !poses.values().all(is_finite) {
        return (Err(NoCovariances::Undetermined), sigmas);
    }
    let mut points = vec![None; what.points.len()];
    let of_kept = covariance.landmarks(s, |l| gauge.of_point(&state.points[l]));
    for (id, c) in kept.iter().zip(of_kept) {
        // Both ascend.
        if let Ok(at) = what.points.binary_search(id) {
            points[at] = c.map(|c| turned(&c, &turn));
        }
    }
    let out = ModelCovariances {
        distance: frame.scale * gauge.distance,
        poses,
        points,
    };
    (Ok(out), sigmas)
}

/// From (rotation, translation) in the camera to (rotation in the camera, centre in the
/// world): δc = −Rᵀ δt.
fn in_world(own: &[[f64; 6]; 6], turn: &Mat3) -> PoseCovariance {
    let mut change = SMatrix::<f64, 6, 6>::identity();
    change.fixed_view_mut::<3, 3>(3, 3).copy_from(&-turn);
    let own = SMatrix::<f64, 6, 6>::from_fn(|i, k| own[i][k]);
    let out = change * own * change.transpose();
    PoseCovariance(std::array::from_fn(|i| {
        std::array::from_fn(|k| out[(i, k)])
    }))
}

fn turned(c: &[f64; 6], turn: &Mat3) -> [f64; 6] {
    let c = Mat3::new(c[0], c[1], c[2], c[1], c[3], c[4], c[2], c[4], c[5]);
    let out = turn * c * turn.transpose();
    [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)].map(|at| out[at])
}

/// The similarities: three shifts, three turns, growth, about the middle of the centres.
struct Gauge {
    middle: Vec3,
    /// Median distance between a camera and a point that it sees.
    distance: f64,
}

impl Gauge {
    fn new(problem: &Problem, state: &State) -> Self {
        let centers: Vec<Vec3> = state.poses.iter().map(Rigid3::center).collect();
        let s = &problem.structure;
        let mut distances: Vec<f64> = (0..s.num_landmarks())
            .flat_map(|l| s.observations(l).map(move |o| (l, o)))
            .map(|(l, o)| (state.points[l] - centers[problem.observations[o].0 as usize]).norm())
            .collect();
        let half = distances.len() / 2;
        let distance = if distances.is_empty() {
            1.0
        } else {
            *distances.select_nth_unstable_by(half, f64::total_cmp).1
        };
        Self {
            middle: centers.iter().sum::<Vec3>() / centers.len().max(1) as f64,
            distance,
        }
    }

    /// How a pose moves (δω, δt of `adjust`) along each direction.
    fn of_pose(&self, state: &State, slot: usize) -> Directions<6> {
        let arm = state.poses[slot].center() - self.middle;
        let rotation = &state.matrices[slot];
        let mut out = [[0.0; GAUGE]; 6];
        for k in 0..3 {
            let axis = Vec3::ith(k, 1.0);
            let (turn, shift) = (rotation * axis, rotation * axis.cross(&arm));
            for i in 0..3 {
                out[3 + i][k] = -turn[i];
                out[i][3 + k] = -turn[i];
                out[3 + i][3 + k] = -shift[i];
            }
        }
        let growth = rotation * arm;
        (0..3).for_each(|i| out[3 + i][6] = -growth[i]);
        out
    }

    fn of_point(&self, x: &Vec3) -> Directions<3> {
        let arm = x - self.middle;
        let mut out = [[0.0; GAUGE]; 3];
        for k in 0..3 {
            let turn = Vec3::ith(k, 1.0).cross(&arm);
            out[k][k] = 1.0;
            (0..3).for_each(|i| out[i][3 + k] = turn[i]);
            out[k][6] = arm[k];
        }
        out
    }

    /// What each pose parameter adds to the similarity that is taken out: (Σ GᵀMG)⁻¹ GᵀM,
    /// with M the weights of rotations (d²) and shifts (1). `None` where all centres are
    /// one.
    fn step(&self, problem: &Problem, state: &State) -> Option<Vec<[f64; GAUGE]>> {
        let weight = |i: usize| if i < 3 { self.distance.powi(2) } else { 1.0 };
        let mut normal = SMatrix::<f64, GAUGE, GAUGE>::zeros();
        let mut out = vec![[0.0; GAUGE]; problem.structure.num_block_params()];
        for slot in 0..state.poses.len() {
            let directions = self.of_pose(state, slot);
            for (i, row) in directions.iter().enumerate() {
                let g = SMatrix::<f64, GAUGE, 1>::from_column_slice(row) * weight(i);
                normal += g * SMatrix::<f64, 1, GAUGE>::from_row_slice(row);
                if problem.block_of[slot] != FIXED {
                    out[problem.block_of[slot] as usize * 6 + i] = g.into();
                }
            }
        }
        let inverse = normal.cholesky()?.inverse();
        for row in &mut out {
            *row = (inverse * SMatrix::<f64, GAUGE, 1>::from_column_slice(row)).into();
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::{DMatrix, UnitQuaternion};
    use relievo_geometry::{CameraModel, Vec2};
    use relievo_optim::{BundleProblem, BundleStructure, ObservationRows};

    const VIEWS: usize = 3;
    const POINTS: usize = 14;

    /// Three views of a few points; `block_of` and `held` fix the gauge, or nothing does.
    fn problem(block_of: Vec<u32>, held: Option<(u32, usize)>) -> (Problem, State) {
        let camera = CameraModel::SimpleRadial {
            f: 800.0,
            cx: 400.0,
            cy: 300.0,
            k: -0.05,
        };
        let wave = |i: usize, k: f64| (1.7 * i as f64 + k).sin();
        let pose = |v: usize| {
            let turn = UnitQuaternion::from_euler_angles(0.1 * v as f64, 0.3 * v as f64 - 0.3, 0.2);
            Rigid3::new(
                turn,
                Vec3::new(wave(v, 0.3), 0.4 * wave(v, 2.0), 4.0 + wave(v, 1.0)),
            )
        };
        let poses: Vec<Rigid3> = (0..VIEWS).map(pose).collect();
        let point = |l: usize| Vec3::new(wave(l, 0.0), wave(3 * l, 1.0), 0.7 * wave(5 * l, 2.0));
        let points: Vec<Vec3> = (0..POINTS).map(point).collect();
        let mut observations = Vec::new();
        for (l, x) in points.iter().enumerate() {
            for (v, pose) in poses.iter().enumerate() {
                let noise = Vec2::new(wave(l + 7 * v, 0.1), wave(2 * l + 5 * v, 0.2));
                let px = camera.project(&pose.apply(x)).unwrap() + 0.3 * noise;
                observations.push((v as u32, 0, px));
            }
        }
        let problem = Problem {
            structure: BundleStructure {
                num_poses: block_of.iter().filter(|&&b| b != FIXED).count(),
                group_dims: vec![2],
                landmark_starts: (0..=POINTS).map(|l| (l * VIEWS) as u32).collect(),
                observation_pose: observations
                    .iter()
                    .map(|o| block_of[o.0 as usize])
                    .collect(),
                observation_group: vec![0; observations.len()],
            },
            observations,
            block_of,
            group_of: vec![0],
            columns: vec![vec![0, 3]],
            tied: vec![None],
            held,
            priors: Vec::new(),
        };
        let state = State {
            matrices: poses.iter().map(Rigid3::matrix).collect(),
            poses,
            cameras: vec![camera],
            points,
        };
        (problem, state)
    }

    /// The inverse of the full normal matrix bordered by the inner constraints, times σ².
    fn brute_force() -> DMatrix<f64> {
        let (free, state) = problem(vec![0, 1, 2], None);
        let blocks = free.structure.num_block_params();
        let n = blocks + 3 * POINTS;
        let mut bordered = DMatrix::<f64>::zeros(n + GAUGE, n + GAUGE);
        let mut squared = 0.0;
        for o in 0..free.observations.len() {
            let (l, v) = (o / VIEWS, o % VIEWS);
            let mut rows = ObservationRows::default();
            assert!(free.linearise(&state, l, o, &mut rows));
            for i in 0..2 {
                let mut j = DMatrix::<f64>::zeros(1, n);
                (0..6).for_each(|k| j[6 * v + k] = rows.pose[6 * i + k]);
                (0..2).for_each(|k| j[6 * VIEWS + k] = rows.group[i][k]);
                (0..3).for_each(|k| j[blocks + 3 * l + k] = rows.landmark[3 * i + k]);
                let mut to = bordered.view_mut((0, 0), (n, n));
                to += j.transpose() * &j;
                squared += rows.r[i] * rows.r[i];
            }
        }
        let gauge = Gauge::new(&free, &state);
        for v in 0..VIEWS {
            for (i, row) in gauge.of_pose(&state, v).iter().enumerate() {
                for (k, g) in row.iter().enumerate() {
                    let weight = if i < 3 { gauge.distance.powi(2) } else { 1.0 };
                    bordered[(6 * v + i, n + k)] = weight * g;
                    bordered[(n + k, 6 * v + i)] = weight * g;
                }
            }
        }
        let freedom = 2 * free.observations.len() - (n - GAUGE);
        bordered.try_inverse().unwrap() * (squared / freedom as f64)
    }

    #[test]
    fn covariances_are_those_of_the_bordered_normal_matrix() {
        let full = brute_force();
        // View 1 constant, the second component of view 2's place held.
        let (fixed, state) = problem(vec![0, FIXED, 1], Some((1, 1)));
        let mut ours = covariance(&fixed, &state, Loss::Squared).unwrap();
        let gauge = Gauge::new(&fixed, &state);
        ours.set_gauge(&gauge.step(&fixed, &state).unwrap());
        // The held parameter is counted as an unknown, the gauge's seven are not.
        let unknowns = fixed.structure.num_block_params() + 3 * POINTS;
        let residuals = 2 * fixed.observations.len();
        let scale = (residuals - (unknowns - 1)) as f64 / (residuals - unknowns) as f64;
        let near = |a: f64, i: usize, k: usize| {
            let size = (full[(i, i)] * full[(k, k)]).sqrt();
            assert!(
                (a / scale - full[(i, k)]).abs() < 1e-4 * size,
                "{i} {k}: {a} {size}"
            );
        };
        for v in 0..VIEWS {
            let of = ours.pose(fixed.block_of[v], &gauge.of_pose(&state, v));
            for i in 0..6 {
                (0..6).for_each(|k| near(of[i][k], 6 * v + i, 6 * v + k));
            }
        }
        let landmarks = ours.landmarks(&fixed.structure, |l| gauge.of_point(&state.points[l]));
        for (l, of) in landmarks.iter().enumerate() {
            let at = 6 * VIEWS + 2 + 3 * l;
            for (c, (i, k)) in
                of.unwrap()
                    .iter()
                    .zip([(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)])
            {
                near(*c, at + i, at + k);
            }
        }
        for dim in 0..2 {
            near(
                ours.group_variance(&fixed.structure, 0, dim),
                18 + dim,
                18 + dim,
            );
        }
    }

    #[test]
    fn nothing_changes_along_the_directions() {
        let (problem, state) = problem(vec![0, 1, 2], None);
        let gauge = Gauge::new(&problem, &state);
        for k in 0..GAUGE {
            let h = 1e-5;
            let mut blocks = vec![0.0; problem.structure.num_block_params()];
            for v in 0..VIEWS {
                for (i, row) in gauge.of_pose(&state, v).iter().enumerate() {
                    blocks[6 * v + i] = h * row[k];
                }
            }
            let of = |l: usize| gauge.of_point(&state.points[l]).map(|row| h * row[k]);
            let points: Vec<f64> = (0..POINTS).flat_map(of).collect();
            let moved = problem.step(&state, &blocks, &points);
            for o in 0..problem.observations.len() {
                let residual = |s| problem.residual(s, o / VIEWS, o).unwrap();
                let (a, b) = (residual(&state), residual(&moved));
                let change = (a[0] - b[0]).hypot(a[1] - b[1]);
                // Second order in h; a pixel of movement would be 1e-2 and more.
                assert!(change < 1e-6, "{k}: {change}");
            }
        }
    }
}
