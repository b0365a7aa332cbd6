//! The mapper on seeded scenes: exact, noisy with outliers, unknown intrinsics,
//! plane, rotation, two parts, interruption, threads.

mod common;

use common::{fixed, input, tolerance};
use relievo_geometry::CameraModel;
use relievo_scene::{Camera, CameraId, SparseModel, ViewGraph, ViewId};
use relievo_sfm::{
    Checkpoint, MemoryCheckpoint, NoCheckpoint, SfmError, SfmOptions, SfmResult,
    UnregisteredReason, reconstruct, triangulate_under_poses,
};
use relievo_synth::scene::{Motion, Scene, SceneOptions, Shape};
use relievo_synth::{assert_all_busy, assert_model_near, on_threads};
use relievo_task::Task;
use std::collections::BTreeMap;

fn map(scene: &Scene, camera: Camera, options: &SfmOptions) -> Result<SfmResult, SfmError> {
    let graph = scene.view_graph();
    reconstruct(
        &input(scene, &graph, camera),
        options,
        &Task::silent(),
        &mut NoCheckpoint,
    )
}

#[test]
fn exact_matches_give_the_exact_model() {
    let scene = Scene::new(&SceneOptions {
        noise_px: 0.0,
        ..SceneOptions::default()
    });
    let result = map(&scene, scene.camera(), &fixed()).unwrap();
    assert!(result.unregistered.is_empty());
    // Keypoints are f32, so that "exact" is about 3e-5 px.
    assert_model_near(
        &result.models[0],
        &scene.truth,
        tolerance(1e-5, 1e-3, 8, 400),
    );
}

#[test]
fn noise_and_wrong_matches_are_borne() {
    let scene = Scene::new(&SceneOptions {
        views: 12,
        points: 800,
        outlier_ratio: 0.15,
        clutter: 100,
        detection: 0.8,
        ..SceneOptions::default()
    });
    let result = map(&scene, scene.camera(), &fixed()).unwrap();
    assert_model_near(
        &result.models[0],
        &scene.truth,
        tolerance(2e-3, 0.1, 12, 500),
    );
}

#[test]
fn unknown_intrinsics_are_found() {
    let truth = Camera {
        model: CameraModel::SimpleRadial {
            f: 1000.0,
            cx: 509.0,
            cy: 370.0,
            k: -0.05,
        },
        width_px: 1000,
        height_px: 750,
        has_prior_focal: false,
    };
    let scene = Scene::new(&SceneOptions {
        views: 14,
        points: 1200,
        camera: truth,
        outlier_ratio: 0.05,
        ..SceneOptions::default()
    });
    let guess = Camera {
        model: CameraModel::SimpleRadial {
            f: 1200.0,
            cx: 500.0,
            cy: 375.0,
            k: 0.0,
        },
        ..truth
    };
    // The graph's own relative poses are the truth's: take them away.
    let mut graph = scene.view_graph();
    for pair in graph.pairs.values_mut() {
        pair.b_from_a = None;
        pair.f = None;
    }
    let result = reconstruct(
        &input(&scene, &graph, guess),
        &SfmOptions::default(),
        &Task::silent(),
        &mut NoCheckpoint,
    )
    .unwrap();
    // Half a degree is the principal point, which may stay where it was.
    assert_model_near(
        &result.models[0],
        &scene.truth,
        tolerance(4e-3, 0.8, 14, 800),
    );
    let camera = result.models[0].cameras.values().next().unwrap();
    let params = camera.model.params();
    assert!((params[0] / 1000.0 - 1.0).abs() < 0.01, "{params:?}");
    assert!((params[3] + 0.05).abs() < 0.01, "{params:?}");
}

#[test]
fn a_plane_is_mapped_with_known_intrinsics() {
    let scene = Scene::new(&SceneOptions {
        shape: Shape::Plane,
        ..SceneOptions::default()
    });
    let result = map(&scene, scene.camera(), &fixed()).unwrap();
    assert_model_near(
        &result.models[0],
        &scene.truth,
        tolerance(1e-2, 0.3, 8, 300),
    );
}

/// A plane leaves focal length and distortion open to trade against the poses.
#[test]
fn a_plane_is_mapped_with_free_intrinsics() {
    for known in [true, false] {
        let scene = Scene::new(&SceneOptions {
            shape: Shape::Plane,
            views: 12,
            points: 1000,
            ..SceneOptions::default()
        });
        let camera = Camera {
            has_prior_focal: known,
            ..scene.camera()
        };
        let result = map(&scene, camera, &SfmOptions::default()).unwrap();
        assert_model_near(
            &result.models[0],
            &scene.truth,
            tolerance(1e-2, 0.5, 12, 700),
        );
        let f = result.models[0].cameras.values().next().unwrap();
        let f = f.model.mean_focal_px();
        assert!((f / 1000.0 - 1.0).abs() < 0.02, "{known}: {f}");
    }
}

#[test]
fn what_cannot_be_mapped_says_why() {
    let turning = Scene::new(&SceneOptions {
        motion: Motion::Rotation(0.5),
        ..SceneOptions::default()
    });
    let error = map(&turning, turning.camera(), &fixed()).unwrap_err();
    assert!(matches!(error, SfmError::PureRotation { .. }), "{error}");

    let one = Scene::new(&SceneOptions {
        views: 1,
        ..SceneOptions::default()
    });
    let error = map(&one, one.camera(), &fixed()).unwrap_err();
    assert!(
        matches!(error, SfmError::TooFewViews { views: 1 }),
        "{error}"
    );

    let scene = Scene::new(&SceneOptions::default());
    let nothing = ViewGraph::default();
    let error = reconstruct(
        &input(&scene, &nothing, scene.camera()),
        &fixed(),
        &Task::silent(),
        &mut NoCheckpoint,
    )
    .unwrap_err();
    assert!(matches!(error, SfmError::NoPairs { views: 8 }), "{error}");
}

#[test]
fn two_photos_make_a_model() {
    let scene = Scene::new(&SceneOptions {
        views: 2,
        motion: Motion::Orbit(0.4),
        ..SceneOptions::default()
    });
    let result = map(&scene, scene.camera(), &fixed()).unwrap();
    assert_eq!(result.figures[0].registered, 2);
    assert!(result.figures[0].mean_error_px < 1.0);
}

#[test]
fn parts_that_share_nothing_become_two_models() {
    let scene = Scene::new(&SceneOptions {
        views: 12,
        ..SceneOptions::default()
    });
    let mut graph = scene.view_graph();
    let part = |v: ViewId| v.0 <= 7;
    graph.pairs.retain(|(a, b), _| part(*a) == part(*b));
    let result = reconstruct(
        &input(&scene, &graph, scene.camera()),
        &fixed(),
        &Task::silent(),
        &mut NoCheckpoint,
    )
    .unwrap();
    let sizes: Vec<usize> = result.figures.iter().map(|f| f.registered).collect();
    assert_eq!(sizes, vec![7, 5]);
    assert_eq!(result.unregistered.len(), 5);
    for why in result.unregistered.values() {
        assert_eq!(*why, UnregisteredReason::OtherModel { model: 1 });
    }
}

/// The matches with the last photo lead elsewhere in it from every other one.
#[test]
fn matches_that_contradict_each_other_are_told_as_that() {
    let scene = noisy();
    let last = ViewId(12);
    let mut graph = scene.view_graph();
    for ((a, b), pair) in &mut graph.pairs {
        if *b == last {
            let mut there: Vec<u32> = pair.inliers.iter().map(|m| m.b_idx).collect();
            let by = 17 * a.0 as usize % there.len();
            there.rotate_left(by);
            for (m, b_idx) in pair.inliers.iter_mut().zip(there) {
                m.b_idx = b_idx;
            }
        }
    }
    let input = input(&scene, &graph, scene.camera());
    let result = reconstruct(&input, &fixed(), &Task::silent(), &mut NoCheckpoint).unwrap();
    let why = UnregisteredReason::DoubtfulMatches { photos: 11 };
    assert_eq!(result.unregistered, BTreeMap::from([(last, why)]));
}

/// Stops the run after a number of saved states.
struct Stopping {
    left: usize,
    saved: Option<Vec<u8>>,
    cancel: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

impl Checkpoint for Stopping {
    fn load(&mut self) -> Option<Vec<u8>> {
        None
    }
    fn save(&mut self, state: &[u8]) {
        if self.left > 0 {
            self.left -= 1;
            self.saved = Some(state.to_vec());
            if self.left == 0 {
                self.cancel
                    .store(true, std::sync::atomic::Ordering::Relaxed);
            }
        }
    }
}

fn noisy() -> Scene {
    Scene::new(&SceneOptions {
        views: 12,
        points: 400,
        outlier_ratio: 0.1,
        ..SceneOptions::default()
    })
}

#[test]
fn an_interrupted_run_continues_to_the_same_bits() {
    let scene = noisy();
    let graph = scene.view_graph();
    let input = input(&scene, &graph, scene.camera());
    let options = SfmOptions::default();
    let whole = reconstruct(&input, &options, &Task::silent(), &mut NoCheckpoint).unwrap();
    for left in [1, 3, 6] {
        let cancel = std::sync::Arc::<std::sync::atomic::AtomicBool>::default();
        let task = Task::new(
            Box::new(relievo_task::SilentSink),
            cancel.clone(),
            1 << 30,
            0,
            relievo_task::Isa::Native,
        );
        let mut stop = Stopping {
            left,
            saved: None,
            cancel,
        };
        let stopped = reconstruct(&input, &options, &task, &mut stop);
        assert!(
            matches!(stopped, Err(SfmError::Cancelled(_))),
            "after {left}"
        );
        let mut rest = MemoryCheckpoint(stop.saved);
        let resumed = reconstruct(&input, &options, &Task::silent(), &mut rest).unwrap();
        assert_eq!(resumed.models, whole.models, "after {left}");
        assert_eq!(resumed.figures, whole.figures, "after {left}");
    }
    // Damaged bytes and another input's state are ignored.
    let mut garbage = MemoryCheckpoint(Some(vec![7; 1000]));
    let again = reconstruct(&input, &options, &Task::silent(), &mut garbage).unwrap();
    assert_eq!(again.models, whole.models);
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let scene = noisy();
    let run = |threads| -> Vec<SparseModel> {
        let work = || map(&scene, scene.camera(), &SfmOptions::default()).unwrap();
        on_threads(threads, work).0.models
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(5));
}

#[test]
fn both_threads_are_kept_busy() {
    let scene = Scene::new(&SceneOptions {
        views: 24,
        points: 4000,
        motion: Motion::Orbit(3.0),
        detection: 0.7,
        ..SceneOptions::default()
    });
    let work = || map(&scene, scene.camera(), &SfmOptions::default()).unwrap();
    let (two, seconds) = on_threads(2, work);
    assert_all_busy(&seconds, 0.4);
    assert_eq!(two.models, on_threads(1, work).0.models);
}

#[test]
fn points_are_made_for_given_poses() {
    let scene = noisy();
    let graph = scene.view_graph();
    let mut model = scene.truth.clone();
    model.tracks.clear();
    // The model's ids are its own.
    model.views = model
        .views
        .into_iter()
        .map(|(id, v)| (ViewId(100 - id.0), v))
        .collect();
    let made = triangulate_under_poses(
        &input(&scene, &graph, scene.camera()),
        &model,
        &SfmOptions::default(),
        &Task::silent(),
    )
    .unwrap();
    made.check().unwrap();
    assert!(made.tracks.len() > 350, "{}", made.tracks.len());
    let mut errors: Vec<f64> = Vec::new();
    for track in made.tracks.values() {
        for o in &track.observations {
            errors.push(made.reprojection_error_px(track, o).unwrap());
        }
    }
    errors.sort_by(f64::total_cmp);
    assert!(errors[errors.len() / 2] < 1.0);
    for (id, view) in &model.views {
        assert_eq!(made.views[id].cam_from_world, view.cam_from_world);
    }
    assert_eq!(made.cameras, model.cameras);
}

#[test]
fn an_unknown_camera_is_refused() {
    let scene = noisy();
    let graph = scene.view_graph();
    let mut input = input(&scene, &graph, scene.camera());
    input.cameras = BTreeMap::from([(CameraId(999), scene.camera())]);
    let error = reconstruct(&input, &fixed(), &Task::silent(), &mut NoCheckpoint).unwrap_err();
    assert!(matches!(error, SfmError::Inconsistent { .. }), "{error}");
}
