//! How far a model is from the truth, after Sim(3) alignment.

use relievo_geometry::{Sim3, umeyama};
use relievo_scene::SparseModel;

/// What [`assert_model_near`] demands.
#[derive(Clone, Copy, Debug)]
pub struct ModelTolerance {
    /// Largest distance of a camera centre from its true place, as a part of
    /// the true extent of the camera centres.
    pub center: f64,
    /// Largest rotation error in degrees.
    pub rotation_deg: f64,
    /// Least registered views.
    pub min_views: usize,
    /// Least triangulated tracks.
    pub min_tracks: usize,
}

/// Pose errors of the views that both models register, by name.
#[derive(Clone, Debug)]
pub struct PoseErrors {
    /// `truth_from_estimate`.
    pub alignment: Sim3,
    /// Distances of centres, in units of the truth, in order of name.
    pub centers: Vec<f64>,
    /// Angles in radians, in order of name.
    pub rotations: Vec<f64>,
    /// Largest distance of a true centre from their mean.
    pub extent: f64,
}

/// Aligns the camera centres of `estimate` to `truth` (similarity, least
/// squares) and measures what remains. `None` with fewer than three views in
/// common or all centres in one place.
pub fn pose_errors(estimate: &SparseModel, truth: &SparseModel) -> Option<PoseErrors> {
    let mut pairs = Vec::new();
    for (_, view, cam_from_world) in estimate.registered() {
        let Some((_, other)) = truth.view_by_name(&view.name) else {
            continue;
        };
        if let Some(true_pose) = other.cam_from_world {
            pairs.push((view.name.clone(), cam_from_world, true_pose));
        }
    }
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    let from: Vec<_> = pairs.iter().map(|(_, e, _)| e.center()).collect();
    let to: Vec<_> = pairs.iter().map(|(_, _, t)| t.center()).collect();
    let alignment = umeyama(&from, &to, true)?;
    let mean = to
        .iter()
        .fold(relievo_geometry::Vec3::zeros(), |a, b| a + b)
        / to.len() as f64;
    let extent = to.iter().map(|c| (c - mean).norm()).fold(0.0, f64::max);
    let mut centers = Vec::new();
    let mut rotations = Vec::new();
    for (_, estimated, true_pose) in &pairs {
        let aligned = alignment.transform_pose(estimated);
        centers.push((aligned.center() - true_pose.center()).norm());
        rotations.push(aligned.rotation.angle_to(&true_pose.rotation));
    }
    Some(PoseErrors {
        alignment,
        centers,
        rotations,
        extent,
    })
}

/// Panics unless `estimate` is the truth within `tolerance` after alignment.
pub fn assert_model_near(estimate: &SparseModel, truth: &SparseModel, tolerance: ModelTolerance) {
    if let Err(broken) = estimate.check() {
        panic!("{broken}");
    }
    let registered = estimate.registered().count();
    assert!(
        registered >= tolerance.min_views,
        "{registered} views registered, {} wanted",
        tolerance.min_views
    );
    let tracks = estimate
        .tracks
        .values()
        .filter(|t| t.position_in_world.is_some())
        .count();
    assert!(
        tracks >= tolerance.min_tracks,
        "{tracks} tracks triangulated, {} wanted",
        tolerance.min_tracks
    );
    let errors = pose_errors(estimate, truth).expect("three views in common with the truth");
    let worst_center = errors.centers.iter().copied().fold(0.0, f64::max) / errors.extent;
    let worst_rotation = errors
        .rotations
        .iter()
        .copied()
        .fold(0.0, f64::max)
        .to_degrees();
    assert!(
        worst_center <= tolerance.center && worst_rotation <= tolerance.rotation_deg,
        "worst centre error {worst_center:.2e} of the extent (at most {:.2e}), \
         worst rotation {worst_rotation:.4}° (at most {}°)",
        tolerance.center,
        tolerance.rotation_deg
    );
}
