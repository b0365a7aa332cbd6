//! Agarwal et al., "Bundle adjustment in the large", ECCV 2010: a problem file
//! of cameras, points and observations, and how far our solver gets on it.
//!
//! P = R X + t, p = −P / P_z, r = ‖p‖, u = f (1 + k₁ r² + k₂ r⁴) p.

use crate::error::EvalError;
use nalgebra::{Matrix2, Matrix2x3, UnitQuaternion, Vector2};
use relievo_geometry::{Mat3, Vec2, Vec3};
use relievo_optim::{BundleOptions, BundleProblem, BundleStructure, ObservationRows, minimise};
use relievo_task::Task;
use serde::Serialize;
use std::fmt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// A camera of the problem.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BalCamera {
    /// Camera from world.
    pub rotation: UnitQuaternion<f64>,
    /// Camera from world.
    pub translation: Vec3,
    /// f, k₁, k₂.
    pub intrinsics: [f64; 3],
}

/// Values of all parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct BalState {
    /// Cameras.
    pub cameras: Vec<BalCamera>,
    /// Points.
    pub points: Vec<Vec3>,
}

/// A problem: its values at the start and what was observed.
#[derive(Debug)]
pub struct BalProblem {
    /// The start.
    pub start: BalState,
    observed: Vec<Vec2>,
    structure: BundleStructure,
    /// When each step of the last solution was taken, and its cost.
    steps: Mutex<Vec<(Instant, f64)>>,
}

/// What came of solving it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BalFigures {
    /// Cameras.
    pub cameras: usize,
    /// Points.
    pub points: usize,
    /// Observations.
    pub observations: usize,
    /// ½ Σ r² at the start, px².
    pub initial_cost: f64,
    /// ½ Σ r² at the end.
    pub final_cost: f64,
    /// √(Σ r² / observations) at the end, pixels.
    pub rms_px: f64,
    /// Linearisations.
    pub iterations: usize,
    /// False when it ended by their number.
    pub converged: bool,
    /// Seconds.
    pub wall_s: f64,
    /// Seconds until the cost was within a thousandth of its end.
    pub near_final_s: f64,
}

impl fmt::Display for BalFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cameras, {} points, {} observations\n  cost {:.6e} to {:.6e} ({:.4} px RMS) in {} \
             iterations, {:.2} s{}",
            self.cameras,
            self.points,
            self.observations,
            self.initial_cost,
            self.final_cost,
            self.rms_px,
            self.iterations,
            self.wall_s,
            if self.converged {
                ""
            } else {
                ", not converged"
            }
        )
    }
}

/// Up to 50 iterations on the squared loss, as the published figures.
pub fn options() -> BundleOptions {
    BundleOptions::default()
}

/// True for a file that begins like a problem: three counts.
pub fn is_problem(path: &Path) -> bool {
    path.is_file()
        && path
            .file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with("problem-"))
}

/// Reads a problem file (plain text).
pub fn read(path: &Path) -> Result<BalProblem, EvalError> {
    let fail = |what| EvalError::Truth {
        path: path.to_owned(),
        what,
    };
    let text = fs_err::read_to_string(path)?;
    let mut numbers = text.split_ascii_whitespace().map(str::parse::<f64>);
    let mut next = || match numbers.next() {
        Some(Ok(v)) if v.is_finite() => Ok(v),
        Some(_) => Err(fail("holds something that is not a finite number")),
        None => Err(fail("ends too early")),
    };
    let whole = |v: f64| (v >= 0.0 && v.fract() == 0.0 && v < 1e9).then_some(v as usize);
    let mut count = || next().map(|v| whole(v).filter(|&n| n > 0));
    let (n_cameras, n_points, n_observations) = (count()?, count()?, count()?);
    let (Some(n_cameras), Some(n_points), Some(n_observations)) =
        (n_cameras, n_points, n_observations)
    else {
        return Err(fail("does not begin with its three counts"));
    };
    // Each takes some characters of the file.
    if n_cameras.max(n_points).max(n_observations) > text.len() {
        return Err(fail("ends too early"));
    }
    let mut rows = Vec::with_capacity(n_observations);
    for _ in 0..n_observations {
        let (camera, point) = (whole(next()?), whole(next()?));
        let there = |idx: Option<usize>, count| idx.filter(|&i| i < count);
        let (Some(camera), Some(point)) = (there(camera, n_cameras), there(point, n_points)) else {
            return Err(fail("observes a camera or point that is not there"));
        };
        rows.push((point, camera, Vec2::new(next()?, next()?)));
    }
    let mut cameras = Vec::with_capacity(n_cameras);
    for _ in 0..n_cameras {
        let w = Vec3::new(next()?, next()?, next()?);
        cameras.push(BalCamera {
            rotation: UnitQuaternion::from_scaled_axis(w),
            translation: Vec3::new(next()?, next()?, next()?),
            intrinsics: [next()?, next()?, next()?],
        });
    }
    let mut points = Vec::with_capacity(n_points);
    for _ in 0..n_points {
        points.push(Vec3::new(next()?, next()?, next()?));
    }
    if numbers.next().is_some() {
        return Err(fail("goes on after its last point"));
    }
    rows.sort_by_key(|(point, camera, _)| (*point, *camera));
    Ok(BalProblem::new(BalState { cameras, points }, &rows))
}

impl BalProblem {
    /// Cameras, points, observations.
    pub fn size(&self) -> (usize, usize, usize) {
        let (cameras, points) = (self.start.cameras.len(), self.start.points.len());
        (cameras, points, self.observed.len())
    }

    /// From values and observations (point, camera, pixel), sorted by point.
    pub fn new(start: BalState, rows: &[(usize, usize, Vec2)]) -> Self {
        let landmark_starts = (0..=start.points.len())
            .map(|p| rows.partition_point(|r| r.0 < p) as u32)
            .collect();
        let views: Vec<u32> = rows.iter().map(|r| r.1 as u32).collect();
        let structure = BundleStructure {
            num_poses: start.cameras.len(),
            group_dims: vec![3; start.cameras.len()],
            landmark_starts,
            observation_pose: views.clone(),
            observation_group: views,
        };
        Self {
            start,
            observed: rows.iter().map(|r| r.2).collect(),
            structure,
            steps: Mutex::default(),
        }
    }

    /// Runs our bundle adjustment on it.
    pub fn solve(&self, options: &BundleOptions, task: &Task) -> Result<BalFigures, EvalError> {
        let lock = || self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        lock().clear();
        let started = Instant::now();
        let summary = minimise(self, self.start.clone(), options, task)?;
        let ended = Instant::now();
        let near = |step: &&(Instant, f64)| step.1 <= 1.001 * summary.final_cost;
        let near_final = lock().iter().find(near).map_or(ended, |s| s.0);
        let n = self.observed.len();
        Ok(BalFigures {
            cameras: self.start.cameras.len(),
            points: self.start.points.len(),
            observations: n,
            initial_cost: summary.initial_cost,
            final_cost: summary.final_cost,
            rms_px: (2.0 * summary.final_cost / n.max(1) as f64).sqrt(),
            iterations: summary.iterations,
            converged: summary.converged,
            wall_s: (ended - started).as_secs_f64(),
            near_final_s: (near_final - started).as_secs_f64(),
        })
    }
}

/// Pixel of a point in a camera; `None` in its focal plane.
pub fn project(camera: &BalCamera, x: &Vec3) -> Option<Vec2> {
    let p3 = camera.rotation * x + camera.translation;
    let p = -p3.xy() / p3.z;
    let [f, k1, k2] = camera.intrinsics;
    let r2 = p.norm_squared();
    let u = p * (f * (1.0 + r2 * (k1 + k2 * r2)));
    u.iter().all(|v| v.is_finite()).then_some(u)
}

impl BundleProblem for BalProblem {
    type State = BalState;

    fn structure(&self) -> &BundleStructure {
        &self.structure
    }

    fn stepped(&self, cost: f64) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        steps.push((Instant::now(), cost));
    }

    fn residual(&self, state: &BalState, l: usize, o: usize) -> Option<[f64; 2]> {
        let camera = &state.cameras[self.structure.observation_pose[o] as usize];
        Some((project(camera, &state.points[l])? - self.observed[o]).into())
    }

    fn linearise(&self, state: &BalState, l: usize, o: usize, rows: &mut ObservationRows) -> bool {
        let camera = &state.cameras[self.structure.observation_pose[o] as usize];
        let rotated = camera.rotation * state.points[l];
        let p3 = rotated + camera.translation;
        let [f, k1, k2] = camera.intrinsics;
        let p: Vector2<f64> = -p3.xy() / p3.z;
        let r2 = p.norm_squared();
        let d = 1.0 + r2 * (k1 + k2 * r2);
        let r = p * (f * d) - self.observed[o];
        if !r.iter().all(|v| v.is_finite()) {
            return false;
        }
        rows.r = r.into();
        let by_p: Matrix2<f64> =
            Matrix2::identity() * (f * d) + p * p.transpose() * (2.0 * f * (k1 + 2.0 * k2 * r2));
        let by_p3: Matrix2x3<f64> = by_p * Matrix2x3::new(1.0, 0.0, p.x, 0.0, 1.0, p.y) / -p3.z;
        let rotation: Mat3 = *camera.rotation.to_rotation_matrix().matrix();
        let by_x = by_p3 * rotation;
        // R ← exp(ω) R moves P by ω × RX.
        let by_turn = -by_p3 * rotated.cross_matrix();
        for i in 0..2 {
            for k in 0..3 {
                rows.landmark[3 * i + k] = by_x[(i, k)];
                rows.pose[6 * i + k] = by_turn[(i, k)];
                rows.pose[6 * i + 3 + k] = by_p3[(i, k)];
            }
            rows.group[i][0] = d * p[i];
            rows.group[i][1] = f * r2 * p[i];
            rows.group[i][2] = f * r2 * r2 * p[i];
        }
        true
    }

    fn step(&self, state: &BalState, blocks: &[f64], landmarks: &[f64]) -> BalState {
        let mut next = state.clone();
        for (i, c) in next.cameras.iter_mut().enumerate() {
            let b = &blocks[6 * i..6 * i + 6];
            let turn = UnitQuaternion::from_scaled_axis(Vec3::new(b[0], b[1], b[2]));
            c.rotation = turn * c.rotation;
            c.translation += Vec3::new(b[3], b[4], b[5]);
            let at = self.structure.group_offset(i);
            for (v, d) in c.intrinsics.iter_mut().zip(&blocks[at..at + 3]) {
                *v += d;
            }
        }
        for (p, d) in next.points.iter_mut().zip(landmarks.chunks_exact(3)) {
            *p += Vec3::new(d[0], d[1], d[2]);
        }
        next
    }
}
