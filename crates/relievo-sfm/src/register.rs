//! Registers one photo in a model.

use crate::SfmOptions;
use crate::absolute_pose::{AbsolutePose, PoseData, estimate};
use crate::model::Model;
use crate::next_view::visible;
use crate::scene::Scene;
use relievo_geometry::{CameraModel, Vec2, Vec3};
use relievo_task::{Task, seed};

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) inliers: usize,
    pub(crate) matches: usize,
    pub(crate) registered: bool,
}

/// Focal lengths tried for the first photo of a camera without a prior, as
/// parts of the present guess: 0.4 to 2.5 in steps of 14 %.
fn focal_factors() -> impl Iterator<Item = f64> {
    (-7..=7).map(|k| 1.14_f64.powi(k))
}

fn with_focal(camera: &CameraModel, factor: f64) -> CameraModel {
    let kind = camera.kind();
    let mut params = camera.params();
    for (value, name) in params.iter_mut().zip(kind.param_names()) {
        if name.starts_with('f') {
            *value *= factor;
        }
    }
    CameraModel::from_params(kind, &params).unwrap_or(*camera)
}

/// Estimates the pose of `view`; registers it where enough points agree.
pub(crate) fn register(
    scene: &Scene<'_>,
    model: &mut Model,
    view: usize,
    relaxed: bool,
    trial: u32,
    options: &SfmOptions,
    task: &Task,
) -> Attempt {
    let seen = visible(scene, model, view);
    let px: Vec<Vec2> = seen.iter().map(|s| scene.px[view][s.kp as usize]).collect();
    let points: Vec<Vec3> = seen
        .iter()
        .map(|s| model.points[s.point as usize].x)
        .collect();
    let camera_idx = scene.camera_of[view];
    let camera = model.cameras[camera_idx].model;
    let max_px = options.register_max_error_px * scene.size_factor(view, 0.5, 2.0);
    let seed = seed(
        task.run_seed(),
        "sparse-pose",
        &format!("{}/{trial}", scene.names[view]),
    );
    let first_of_camera = !model
        .order
        .iter()
        .any(|&v| scene.camera_of[v as usize] == camera_idx);
    let unknown_focal =
        first_of_camera && !options.fix_intrinsics && !scene.cameras[camera_idx].has_prior_focal;
    let mut best: Option<(AbsolutePose, CameraModel)> = None;
    let mut consider = |model: CameraModel| {
        let found = estimate(&PoseData::new(&model, &px, &points), max_px, seed);
        if let Some(found) = found
            && best
                .as_ref()
                .is_none_or(|b| found.inliers.len() > b.0.inliers.len())
        {
            best = Some((found, model));
        }
    };
    if unknown_focal {
        // Of equals the nearest to what is thought: a plane seen frontally fits them all.
        let mut factors: Vec<f64> = focal_factors().collect();
        factors.sort_by(|a, b| a.ln().abs().total_cmp(&b.ln().abs()));
        for factor in factors {
            consider(with_focal(&camera, factor));
        }
    } else {
        consider(camera);
    }
    let mut attempt = Attempt {
        inliers: 0,
        matches: seen.len(),
        registered: false,
    };
    if let Some((pose, chosen)) = best {
        attempt.inliers = pose.inliers.len();
        let (needed, ratio) = if relaxed {
            (
                options.register_relaxed_min_inliers,
                0.6 * options.register_min_inlier_ratio,
            )
        } else {
            (
                options.register_min_inliers,
                options.register_min_inlier_ratio,
            )
        };
        if attempt.inliers >= needed && attempt.inliers as f64 >= ratio * seen.len() as f64 {
            attempt.registered = true;
            model.cameras[camera_idx].model = chosen;
            model.register(view, pose.cam_from_world);
        }
    }
    attempt
}
