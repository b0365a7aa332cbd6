//! Scenes as the mappers are given them.

use relievo_scene::{Camera, ViewGraph};
use relievo_sfm::{SfmInput, SfmOptions, SfmView};
use relievo_synth::ModelTolerance;
use relievo_synth::scene::Scene;

/// What a mapper is given of a scene, every camera starting as `camera`.
pub(crate) fn input<'a>(scene: &'a Scene, graph: &'a ViewGraph, camera: Camera) -> SfmInput<'a> {
    let views = scene
        .truth
        .views
        .iter()
        .map(|(id, v)| {
            let f = &scene.features[id];
            let view = SfmView {
                name: &v.name,
                camera_id: v.camera_id,
                keypoints: &f.keypoints,
                colors: &f.colors,
            };
            (*id, view)
        })
        .collect();
    SfmInput {
        views,
        cameras: scene.truth.cameras.keys().map(|id| (*id, camera)).collect(),
        graph,
    }
}

/// Intrinsics stay.
pub(crate) fn fixed() -> SfmOptions {
    SfmOptions {
        fix_intrinsics: true,
        ..SfmOptions::default()
    }
}

/// See [`ModelTolerance`].
pub(crate) fn tolerance(
    center: f64,
    rotation_deg: f64,
    views: usize,
    tracks: usize,
) -> ModelTolerance {
    ModelTolerance {
        center,
        rotation_deg,
        min_views: views,
        min_tracks: tracks,
    }
}
