//! Hard cases from putative matches on: pairs are verified as a run verifies them, and
//! what that says of them is all that the mappers are told.

mod common;

use common::{fixed, input, tolerance};
use relievo_geometry::CameraModel;
use relievo_matching::{VerifyOptions, ViewSide, verify_pair};
use relievo_scene::{Camera, CameraId, SparseModel, TwoViewKind, ViewGraph, ViewId};
use relievo_sfm::{
    MapperKind, NoCheckpoint, SfmError, SfmInput, SfmOptions, SfmResult, UnregisteredReason,
    reconstruct,
};
use relievo_synth::assert_model_near;
use relievo_synth::scene::{Motion, Scene, SceneOptions, Shape};
use relievo_task::Task;

const MAPPERS: [MapperKind; 2] = [MapperKind::Incremental, MapperKind::Global];

/// The pairs that verification keeps.
fn verified(scene: &Scene) -> ViewGraph {
    let options = VerifyOptions::default();
    let ids: Vec<ViewId> = scene.truth.views.keys().copied().collect();
    let mut graph = ViewGraph::default();
    for (k, &a) in ids.iter().enumerate() {
        for &b in &ids[k + 1..] {
            let side = |v: ViewId| ViewSide {
                features: &scene.features[&v],
                camera: &scene.truth.cameras[&scene.truth.views[&v].camera_id],
            };
            let matches = scene.matches(a, b).matches;
            let pair = verify_pair((a, b), &side(a), &side(b), &matches, &options, 7);
            if pair.kind != TwoViewKind::Degenerate && pair.inliers.len() >= options.min_inliers {
                graph.pairs.insert((a, b), pair);
            }
        }
    }
    graph
}

fn run(input: &SfmInput<'_>, mapper: MapperKind) -> Result<SfmResult, SfmError> {
    let options = SfmOptions { mapper, ..fixed() };
    reconstruct(input, &options, &Task::silent(), &mut NoCheckpoint)
}

/// Largest error of a relative rotation, in degrees: it needs no alignment.
fn relative_rotations_deg(estimate: &SparseModel, truth: &SparseModel) -> f64 {
    let poses: Vec<_> = estimate
        .registered()
        .map(|(_, view, pose)| {
            let (_, true_view) = truth.view_by_name(&view.name).expect("a true view");
            (pose, true_view.cam_from_world.expect("a true pose"))
        })
        .collect();
    let mut worst: f64 = 0.0;
    for (k, (p, p_true)) in poses.iter().enumerate() {
        for (q, q_true) in &poses[k + 1..] {
            let found = q.rotation * p.rotation.inverse();
            let wanted = q_true.rotation * p_true.rotation.inverse();
            worst = worst.max(found.angle_to(&wanted).to_degrees());
        }
    }
    worst
}

#[test]
fn three_of_five_matches_may_be_wrong() {
    for (shape, motion) in [
        (Shape::Cloud, Motion::Orbit(1.8)),
        (Shape::Plane, Motion::Orbit(1.0)),
    ] {
        let scene = Scene::new(&SceneOptions {
            views: 10,
            points: 900,
            shape,
            motion,
            outlier_ratio: 0.6,
            ..SceneOptions::default()
        });
        let graph = verified(&scene);
        for mapper in MAPPERS {
            let result = run(&input(&scene, &graph, scene.camera()), mapper).expect("a model");
            assert!(result.unregistered.is_empty(), "{shape:?} {mapper:?}");
            let near = tolerance(1e-2, 0.3, 10, 500);
            assert_model_near(&result.models[0], &scene.truth, near);
        }
    }
}

/// Centres on a line leave an alignment free to turn around it: rotations are compared
/// with each other.
#[test]
fn a_drive_forwards_keeps_its_direction() {
    let scene = Scene::new(&SceneOptions {
        views: 10,
        points: 900,
        motion: Motion::Forward,
        outlier_ratio: 0.3,
        ..SceneOptions::default()
    });
    let graph = verified(&scene);
    for mapper in MAPPERS {
        let result = run(&input(&scene, &graph, scene.camera()), mapper).expect("a model");
        assert!(result.unregistered.is_empty(), "{mapper:?}");
        let any_turn = tolerance(1e-2, 180.1, 10, 300);
        assert_model_near(&result.models[0], &scene.truth, any_turn);
        let worst = relative_rotations_deg(&result.models[0], &scene.truth);
        assert!(worst < 0.1, "{mapper:?}: {worst}");
    }
}

#[test]
fn turning_on_the_spot_is_told() {
    let scene = Scene::new(&SceneOptions {
        motion: Motion::Rotation(0.5),
        outlier_ratio: 0.3,
        ..SceneOptions::default()
    });
    let graph = verified(&scene);
    for mapper in MAPPERS {
        let error = run(&input(&scene, &graph, scene.camera()), mapper).expect_err("no baseline");
        assert!(matches!(error, SfmError::PureRotation { .. }), "{error}");
    }
}

/// Nothing of one place is in the photos of the other; both come out right.
#[test]
fn two_places_are_two_right_models() {
    let place = |seed, views| {
        Scene::new(&SceneOptions {
            views,
            points: 700,
            outlier_ratio: 0.3,
            seed,
            ..SceneOptions::default()
        })
    };
    let (first, mut second) = (place(1, 9), place(2, 6));
    // Ids and names of the second follow those of the first.
    let moved = |v: ViewId| ViewId(v.0 + 9);
    second.truth.views = std::mem::take(&mut second.truth.views)
        .into_iter()
        .map(|(v, mut view)| {
            view.name = format!("b{}", view.name);
            (moved(v), view)
        })
        .collect();
    for track in second.truth.tracks.values_mut() {
        for o in &mut track.observations {
            o.view_id = moved(o.view_id);
        }
    }
    second.features = std::mem::take(&mut second.features)
        .into_iter()
        .map(|(v, f)| (moved(v), f))
        .collect();
    second.point_of = std::mem::take(&mut second.point_of)
        .into_iter()
        .map(|(v, p)| (moved(v), p))
        .collect();
    let mut graph = verified(&first);
    graph.pairs.extend(verified(&second).pairs);
    let mut both = input(&first, &graph, first.camera());
    both.views
        .extend(input(&second, &graph, second.camera()).views);
    for mapper in MAPPERS {
        let result = run(&both, mapper).expect("two models");
        assert_eq!(result.models.len(), 2, "{mapper:?}");
        for (model, (scene, views)) in result.models.iter().zip([(&first, 9), (&second, 6)]) {
            let near = tolerance(1e-2, 0.3, views, 400);
            assert_model_near(model, &scene.truth, near);
        }
        let told = result.unregistered.values();
        assert!(
            told.clone()
                .all(|why| *why == UnregisteredReason::OtherModel { model: 1 })
        );
        assert_eq!(told.count(), 6);
    }
}

/// Every second photo is of a camera that sees wider and has other pixels.
#[test]
fn cameras_of_two_kinds_share_a_model() {
    let options = SceneOptions {
        views: 12,
        points: 900,
        outlier_ratio: 0.3,
        ..SceneOptions::default()
    };
    let wide = Camera {
        model: CameraModel::SimpleRadial {
            f: 620.0,
            cx: 410.0,
            cy: 290.0,
            k: -0.06,
        },
        width_px: 800,
        height_px: 600,
        has_prior_focal: true,
    };
    let mut scene = Scene::new(&options);
    let other = Scene::new(&SceneOptions {
        camera: wide,
        ..options
    });
    scene.truth.cameras.insert(CameraId(2), wide);
    let second = |v: ViewId| v.0.is_multiple_of(2);
    for (v, view) in &mut scene.truth.views {
        if second(*v) {
            *view = other.truth.views[v].clone();
            view.camera_id = CameraId(2);
            scene.features.insert(*v, other.features[v].clone());
            scene.point_of.insert(*v, other.point_of[v].clone());
        }
    }
    for (id, track) in &mut scene.truth.tracks {
        track.observations.retain(|o| !second(o.view_id));
        let theirs = other.truth.tracks[id].observations.iter();
        track
            .observations
            .extend(theirs.filter(|o| second(o.view_id)));
    }
    let graph = verified(&scene);
    let mut input = input(&scene, &graph, scene.camera());
    input.cameras.insert(CameraId(2), wide);
    for mapper in MAPPERS {
        let result = run(&input, mapper).expect("a model");
        assert!(result.unregistered.is_empty(), "{mapper:?}");
        let near = tolerance(5e-3, 0.2, 12, 600);
        assert_model_near(&result.models[0], &scene.truth, near);
    }
}
