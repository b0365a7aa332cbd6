//! Bundle adjustment of a model: the residuals, their Jacobians, the gauge.
//!
//! A pose moves by x_cam ← exp(δω) (R X + t) + δt: the derivative by δω is
//! −J [x_cam]ₓ, by δt is J, by X is J R, with J the 2×3 derivative of the
//! projection. So a camera turns about itself; were it to turn about the world's
//! origin, a far one would move with every turn, and adjustments of long chains
//! crawl. The first variable view and the longest component of another
//! one's translation are held where fewer than two views are constant.

use crate::model::Model;
use crate::scene::Scene;
use nalgebra::UnitQuaternion;
use relievo_geometry::{CameraModel, CameraModelKind, Mat3, Rigid3, Vec2, Vec3};
use relievo_optim::{
    BundleOptions, BundleProblem, BundleStructure, FIXED, GroupPrior, ObservationRows, minimise,
};
use relievo_task::{Cancelled, Task};

/// Which intrinsic values move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intrinsics {
    /// None.
    Fixed,
    /// Focal length(s).
    Focal,
    /// Focal length(s) and distortion.
    FocalDistortion,
    /// All, principal point included.
    All,
}

/// What one adjustment moves.
#[derive(Clone, Debug)]
pub(crate) struct Adjustment {
    /// Views whose pose moves; others that see the points are constant.
    pub(crate) views: Vec<usize>,
    /// Points that move; the rest does not take part.
    pub(crate) points: Vec<u32>,
    /// Per camera.
    pub(crate) intrinsics: Vec<Intrinsics>,
    /// Observations left out: those whose hash falls in this part (for the
    /// held-out test).
    pub(crate) hold_out: bool,
    /// Pull of the intrinsics to their present values.
    pub(crate) prior: bool,
    /// What cameras are pulled to; none where the list ends.
    pub(crate) given: Vec<Option<Given>>,
    pub(crate) options: BundleOptions,
}

/// What EXIF or a person says of a camera, as a measurement beside those of the photos.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given {
    /// Focal length in pixels.
    pub(crate) focal_px: f64,
    /// Its σ as a part of it; radial distortion has [`DISTORTION_SIGMA`] times as much.
    pub(crate) sigma: f64,
    /// Whether radial distortion is pulled to where it started, too.
    pub(crate) distortion: bool,
    /// σ of a residual in pixels, against which the pull is weighed.
    pub(crate) residual_px: f64,
}

/// σ of radial distortion where the focal length is not known any better, in parts of the relative
/// σ of what is said of that.
const DISTORTION_SIGMA: f64 = 2.5;

/// Parameter columns that move; of `square` pixels fy goes with fx.
fn free_columns(kind: CameraModelKind, which: Intrinsics, square: bool) -> Vec<usize> {
    let wanted = |name: &str| match which {
        _ if square && name == "fy" => false,
        Intrinsics::Fixed => false,
        Intrinsics::Focal => name.starts_with('f'),
        Intrinsics::FocalDistortion => !name.starts_with('c'),
        Intrinsics::All => true,
    };
    let names = kind.param_names();
    (0..names.len()).filter(|&k| wanted(names[k])).collect()
}

fn single_focal(kind: CameraModelKind) -> bool {
    kind.param_names().contains(&"f")
}

/// Poses by slot (the views that move first, then those that are constant), cameras,
/// points.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) poses: Vec<Rigid3>,
    pub(crate) matrices: Vec<Mat3>,
    pub(crate) cameras: Vec<CameraModel>,
    pub(crate) points: Vec<Vec3>,
}

pub(crate) struct Problem {
    pub(crate) structure: BundleStructure,
    /// Per observation: pose slot, camera, pixel.
    pub(crate) observations: Vec<(u32, u32, Vec2)>,
    /// Pose block of each pose slot.
    pub(crate) block_of: Vec<u32>,
    /// Group block of each camera and its free columns.
    pub(crate) group_of: Vec<u32>,
    pub(crate) columns: Vec<Vec<usize>>,
    /// Column that moves as the first one does, by camera: fy with fx.
    pub(crate) tied: Vec<Option<usize>>,
    /// Pose block and translation component that hold the scale.
    pub(crate) held: Option<(u32, usize)>,
    pub(crate) priors: Vec<(usize, usize, f64, f64)>,
}

impl Problem {
    fn project(&self, state: &State, l: usize, o: usize) -> Option<[f64; 2]> {
        let (slot, camera, px) = self.observations[o];
        let p = state.matrices[slot as usize] * state.points[l]
            + state.poses[slot as usize].translation;
        let r = state.cameras[camera as usize].project(&p)? - px;
        Some([r.x, r.y])
    }
}

impl BundleProblem for Problem {
    type State = State;

    fn structure(&self) -> &BundleStructure {
        &self.structure
    }

    fn residual(&self, state: &State, l: usize, o: usize) -> Option<[f64; 2]> {
        self.project(state, l, o)
    }

    fn linearise(&self, state: &State, l: usize, o: usize, rows: &mut ObservationRows) -> bool {
        let (slot, camera, px) = self.observations[o];
        let rotation = &state.matrices[slot as usize];
        let p = rotation * state.points[l] + state.poses[slot as usize].translation;
        let Some((at, j, by_params)) = state.cameras[camera as usize].project_with_jacobians(&p)
        else {
            return false;
        };
        rows.r = [at.x - px.x, at.y - px.y];
        let jr = j * rotation;
        for row in 0..2 {
            let (a, b, c) = (j[(row, 0)], j[(row, 1)], j[(row, 2)]);
            // a · −[p]ₓ = p × a.
            rows.pose[row * 6] = p.y * c - p.z * b;
            rows.pose[row * 6 + 1] = p.z * a - p.x * c;
            rows.pose[row * 6 + 2] = p.x * b - p.y * a;
            rows.pose[row * 6 + 3] = a;
            rows.pose[row * 6 + 4] = b;
            rows.pose[row * 6 + 5] = c;
            for k in 0..3 {
                rows.landmark[row * 3 + k] = jr[(row, k)];
            }
            for (k, &column) in self.columns[camera as usize].iter().enumerate() {
                rows.group[row][k] = by_params[(row, column)];
            }
            if let Some(column) = self.tied[camera as usize] {
                rows.group[row][0] += by_params[(row, column)];
            }
        }
        if let Some((block, k)) = self.held
            && self.block_of[slot as usize] == block
        {
            rows.pose[3 + k] = 0.0;
            rows.pose[9 + k] = 0.0;
        }
        true
    }

    fn step(&self, state: &State, blocks: &[f64], landmarks: &[f64]) -> State {
        let mut next = state.clone();
        for (slot, &block) in self.block_of.iter().enumerate() {
            if block == FIXED {
                continue;
            }
            let d = &blocks[block as usize * 6..][..6];
            let pose = &mut next.poses[slot];
            let turn = UnitQuaternion::from_scaled_axis(Vec3::new(d[0], d[1], d[2]));
            pose.rotation = UnitQuaternion::new_normalize((turn * pose.rotation).into_inner());
            pose.translation = turn * pose.translation + Vec3::new(d[3], d[4], d[5]);
            next.matrices[slot] = pose.matrix();
        }
        for (camera, &group) in self.group_of.iter().enumerate() {
            if group == FIXED {
                continue;
            }
            let at = self.structure.group_offset(group as usize);
            let mut params = next.cameras[camera].params();
            for (k, &column) in self.columns[camera].iter().enumerate() {
                params[column] += blocks[at + k];
            }
            if let Some(column) = self.tied[camera] {
                params[column] += blocks[at];
            }
            let (old, kind) = (next.cameras[camera], next.cameras[camera].kind());
            next.cameras[camera] = CameraModel::from_params(kind, &params).unwrap_or(old);
        }
        for (x, d) in next.points.iter_mut().zip(landmarks.chunks_exact(3)) {
            *x += Vec3::new(d[0], d[1], d[2]);
        }
        next
    }

    fn priors(&self, state: &State) -> Vec<GroupPrior> {
        self.priors
            .iter()
            .map(|&(camera, dim, mean, sigma)| GroupPrior {
                group_idx: self.group_of[camera] as usize,
                dim,
                residual: state.cameras[camera].params()[self.columns[camera][dim]] - mean,
                weight: 1.0 / (sigma * sigma),
            })
            .collect()
    }
}

/// True for one in ten observations of points seen by four or more, decided by
/// a hash of view and keypoint.
pub(crate) fn is_held_out(view: u32, kp: u32, track_length: usize) -> bool {
    let mut h = (u64::from(view) << 32 | u64::from(kp)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    h ^= h >> 29;
    h = h.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    track_length >= 4 && (h >> 32) % 10 == 0
}

/// Pose block of each slot, and the pose block and translation component that
/// hold the scale. The first `variable` poses move, the others are constant.
fn fix_gauge(poses: &[Rigid3], variable: usize) -> (Vec<u32>, Option<(u32, usize)>) {
    let constant = poses.len() - variable;
    let mut block_of = vec![FIXED; poses.len()];
    let (mut next, mut held) = (0, None);
    for s in 0..variable {
        if constant == 0 && s == 0 {
            continue;
        }
        block_of[s] = next;
        next += 1;
    }
    if constant <= 1 && variable >= 2 - constant {
        // Scale: the view farthest from the constant one keeps the longest
        // component of its baseline.
        let anchor_slot = if constant == 0 { 0 } else { variable };
        let anchor = poses[anchor_slot].center();
        let far = (0..variable)
            .filter(|&s| block_of[s] != FIXED)
            .map(|s| (s, (poses[s].center() - anchor).norm()))
            .max_by(|p, q| p.1.total_cmp(&q.1).then(q.0.cmp(&p.0)));
        if let Some((s, _)) = far {
            let baseline = poses[s].rotation * (poses[s].center() - anchor);
            held = Some((block_of[s], baseline.iamax()));
        }
    }
    (block_of, held)
}

/// Mean and σ of a value of a camera that is held to what it was at `first`; by name, as
/// it may have got a richer model since.
fn pull(first: &CameraModel, name: &str, given: &Given) -> Option<(f64, f64)> {
    let at_first = |name: &str| {
        let names = first.kind().param_names();
        let at = names.iter().position(|n| *n == name)?;
        first.params().get(at).copied()
    };
    if name.starts_with('f') {
        let mean = at_first(name).unwrap_or(given.focal_px);
        return Some((mean, given.sigma * mean));
    }
    // The one term of SIMPLE_RADIAL is the first of the others.
    let alone = || at_first("k").filter(|_| name == "k1");
    let mean = at_first(name).or_else(alone).unwrap_or(0.0);
    let pulled = given.distortion && name.starts_with('k');
    pulled.then_some((mean, DISTORTION_SIGMA * given.sigma))
}

/// The problem, where it starts, and the points that take part.
pub(crate) fn build(
    scene: &Scene<'_>,
    model: &Model,
    what: &Adjustment,
) -> (Problem, State, Vec<u32>) {
    let mut slot_of = vec![FIXED; scene.num_views()];
    let mut slots: Vec<usize> = Vec::new();
    let mut slot = |v: usize, slots: &mut Vec<usize>| {
        if slot_of[v] == FIXED {
            slot_of[v] = slots.len() as u32;
            slots.push(v);
        }
        slot_of[v]
    };
    for &v in &what.views {
        slot(v, &mut slots);
    }
    let variable = slots.len();
    let mut observations = Vec::new();
    let mut starts = vec![0_u32];
    let mut kept = Vec::with_capacity(what.points.len());
    for &id in &what.points {
        let point = &model.points[id as usize];
        let first = observations.len();
        for o in &point.obs {
            let v = o.view as usize;
            if model.poses[v].is_none()
                || (what.hold_out && is_held_out(o.view, o.kp, point.obs.len()))
            {
                continue;
            }
            let s = slot(v, &mut slots);
            observations.push((s, scene.camera_of[v] as u32, scene.pixel(*o)));
        }
        if observations.len() - first < 2 {
            observations.truncate(first);
            continue;
        }
        starts.push(observations.len() as u32);
        kept.push(id);
    }
    let poses: Vec<Rigid3> = slots
        .iter()
        .map(|&v| model.poses[v].unwrap_or_default())
        .collect();
    let (block_of, held) = fix_gauge(&poses, variable);
    let mut used = vec![false; model.cameras.len()];
    for (_, camera, _) in &observations {
        used[*camera as usize] = true;
    }
    let (mut group_of, mut columns, mut dims) = (Vec::new(), Vec::new(), Vec::new());
    let (mut tied, mut priors) = (Vec::new(), Vec::new());
    for (c, camera) in model.cameras.iter().enumerate() {
        let square = single_focal(scene.cameras[c].model.kind());
        let free = if used[c] {
            free_columns(camera.model.kind(), what.intrinsics[c], square)
        } else {
            Vec::new()
        };
        let names = camera.model.kind().param_names();
        let fy = names.iter().position(|n| *n == "fy");
        tied.push(fy.filter(|_| square && !free.is_empty()));
        if free.is_empty() {
            group_of.push(FIXED);
        } else {
            group_of.push(dims.len() as u32);
            dims.push(free.len());
            if what.prior {
                let params = camera.model.params();
                for (dim, &k) in free.iter().enumerate() {
                    let sigma = match names[k].as_bytes()[0] {
                        b'f' => 0.2 * params[k],
                        b'c' => 0.02 * f64::from(camera.width_px.max(camera.height_px)),
                        _ => 0.1,
                    };
                    priors.push((c, dim, params[k], sigma));
                }
            }
            if let Some(Some(given)) = what.given.get(c) {
                let pulled = free.iter().enumerate().filter_map(|(dim, &k)| {
                    let (mean, sigma) = pull(&scene.cameras[c].model, names[k], given)?;
                    Some((c, dim, mean, sigma / given.residual_px))
                });
                priors.extend(pulled);
            }
        }
        columns.push(free);
    }
    let structure = BundleStructure {
        num_poses: block_of.iter().filter(|&&b| b != FIXED).count(),
        group_dims: dims,
        landmark_starts: starts,
        observation_pose: observations
            .iter()
            .map(|o| block_of[o.0 as usize])
            .collect(),
        observation_group: observations
            .iter()
            .map(|o| group_of[o.1 as usize])
            .collect(),
    };
    let state = State {
        matrices: poses.iter().map(Rigid3::matrix).collect(),
        poses,
        cameras: model.cameras.iter().map(|c| c.model).collect(),
        points: kept.iter().map(|&id| model.points[id as usize].x).collect(),
    };
    let problem = Problem {
        structure,
        observations,
        block_of,
        group_of,
        columns,
        tied,
        held,
        priors,
    };
    (problem, state, kept)
}

/// Focal length within 0.1 to 15 of the longer side, distortion within reason.
pub(crate) fn plausible(camera: &relievo_scene::Camera) -> bool {
    let side = f64::from(camera.width_px.max(camera.height_px));
    let (fx, fy) = camera.model.focal_px();
    let c = camera.model.principal_point_px();
    let names = camera.model.kind().param_names();
    let params = camera.model.params();
    let distortion = names
        .iter()
        .zip(&params)
        .all(|(n, v)| !(n.starts_with('k') || n.starts_with('p')) || v.abs() < 2.0);
    [fx, fy].iter().all(|f| *f > 0.1 * side && *f < 15.0 * side)
        && c.x > 0.0
        && c.y > 0.0
        && c.x < f64::from(camera.width_px)
        && c.y < f64::from(camera.height_px)
        && distortion
}

/// Runs one adjustment and stores the result in `model`; iterations used.
///
/// A camera whose values become implausible keeps its old ones: the adjustment
/// is repeated with that camera fixed.
pub(crate) fn adjust(
    scene: &Scene<'_>,
    model: &mut Model,
    what: &Adjustment,
    task: &Task,
) -> Result<usize, Cancelled> {
    let mut what = what.clone();
    let mut iterations = 0;
    loop {
        let (problem, state, kept) = build(scene, model, &what);
        if kept.is_empty() {
            return Ok(iterations);
        }
        let summary = minimise(&problem, state, &what.options, task)?;
        iterations += summary.iterations;
        let state = summary.state;
        let mut again = false;
        for (c, m) in state.cameras.iter().enumerate() {
            let moved = relievo_scene::Camera {
                model: *m,
                ..model.cameras[c]
            };
            if what.intrinsics[c] != Intrinsics::Fixed && !plausible(&moved) {
                what.intrinsics[c] = Intrinsics::Fixed;
                again = true;
            }
        }
        if again {
            continue;
        }
        for (c, m) in state.cameras.iter().enumerate() {
            model.cameras[c].model = *m;
        }
        for (s, &v) in what.views.iter().enumerate() {
            model.poses[v] = Some(state.poses[s]);
        }
        for (x, &id) in state.points.iter().zip(&kept) {
            model.points[id as usize].x = *x;
        }
        return Ok(iterations);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_camera_is_pulled_to_what_it_began_with_by_name() {
        let pinhole = CameraModel::Pinhole {
            fx: 1000.0,
            fy: 1200.0,
            cx: 500.0,
            cy: 400.0,
        };
        let given = |focal_px, distortion| Given {
            sigma: 0.02,
            focal_px,
            distortion,
            residual_px: 1.0,
        };
        assert_eq!(
            pull(&pinhole, "fx", &given(1100.0, true)),
            Some((1000.0, 20.0))
        );
        assert_eq!(
            pull(&pinhole, "fy", &given(1100.0, true)),
            Some((1200.0, 24.0))
        );
        assert_eq!(pull(&pinhole, "cx", &given(1100.0, true)), None);
        let simple = CameraModel::SimpleRadial {
            f: 1000.0,
            cx: 500.0,
            cy: 400.0,
            k: -0.1,
        };
        // The same camera has got more terms since.
        assert_eq!(
            pull(&simple, "fy", &given(1000.0, true)),
            Some((1000.0, 20.0))
        );
        assert_eq!(
            pull(&simple, "k1", &given(1000.0, true)),
            Some((-0.1, 0.05))
        );
        assert_eq!(pull(&simple, "k2", &given(1000.0, true)), Some((0.0, 0.05)));
        assert_eq!(pull(&simple, "k1", &given(1000.0, false)), None);
        assert_eq!(pull(&simple, "p1", &given(1000.0, true)), None);
    }

    /// Every column of the analytic Jacobian against central differences, at
    /// non-zero distortion and a general rotation.
    #[test]
    fn jacobians_agree_with_central_differences() {
        let opencv = CameraModel::OpenCv {
            fx: 900.0,
            fy: 880.0,
            cx: 500.0,
            cy: 410.0,
            k1: -0.08,
            k2: 0.02,
            p1: 0.003,
            p2: -0.004,
        };
        let simple = CameraModel::SimpleRadial {
            f: 900.0,
            cx: 500.0,
            cy: 410.0,
            k: -0.08,
        };
        let cameras = [simple, opencv, opencv];
        for (camera, square) in cameras.into_iter().zip([false, false, true]) {
            let columns = free_columns(camera.kind(), Intrinsics::All, square);
            let pose = Rigid3::new(
                UnitQuaternion::from_euler_angles(0.4, -0.7, 1.1),
                Vec3::new(0.3, -0.2, 4.0),
            );
            let problem = Problem {
                structure: BundleStructure {
                    num_poses: 1,
                    group_dims: vec![columns.len()],
                    landmark_starts: vec![0, 1],
                    observation_pose: vec![0],
                    observation_group: vec![0],
                },
                observations: vec![(0, 0, Vec2::new(480.0, 400.0))],
                block_of: vec![0],
                group_of: vec![0],
                columns: vec![columns.clone()],
                tied: vec![square.then_some(1)],
                held: None,
                priors: Vec::new(),
            };
            let state = State {
                matrices: vec![pose.matrix()],
                poses: vec![pose],
                cameras: vec![camera],
                points: vec![Vec3::new(0.5, -0.6, 0.4)],
            };
            let mut rows = ObservationRows::default();
            assert!(problem.linearise(&state, 0, 0, &mut rows));
            let numeric = |block: Option<usize>, landmark: Option<usize>| {
                let at = |h: f64| {
                    let mut b = vec![0.0; 6 + columns.len()];
                    let mut l = vec![0.0; 3];
                    if let Some(k) = block {
                        b[k] = h;
                    }
                    if let Some(k) = landmark {
                        l[k] = h;
                    }
                    problem
                        .residual(&problem.step(&state, &b, &l), 0, 0)
                        .unwrap()
                };
                let (p, m) = (at(1e-6), at(-1e-6));
                [(p[0] - m[0]) / 2e-6, (p[1] - m[1]) / 2e-6]
            };
            for row in 0..2 {
                for k in 0..6 {
                    let n = numeric(Some(k), None)[row];
                    assert!((n - rows.pose[row * 6 + k]).abs() < 1e-4, "pose {k}");
                }
                for k in 0..columns.len() {
                    let n = numeric(Some(6 + k), None)[row];
                    assert!((n - rows.group[row][k]).abs() < 1e-4, "parameter {k}");
                }
                for k in 0..3 {
                    let n = numeric(None, Some(k))[row];
                    assert!((n - rows.landmark[row * 3 + k]).abs() < 1e-4, "point {k}");
                }
            }
        }
    }
}
