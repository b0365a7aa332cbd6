//! Which distortion terms the mapper frees, and what comes of it.

mod common;

use common::{fixed, input, tolerance};
use relievo_geometry::{CameraModel, CameraModelKind};
use relievo_scene::{Camera, CameraId};
use relievo_sfm::{
    Distortion, Named, NoCheckpoint, SfmOptions, SfmResult, reconstruct, reconstruct_named,
};
use relievo_synth::scene::{Motion, Scene, SceneOptions, Shape};
use relievo_synth::{assert_model_near, pose_errors};
use relievo_task::Task;
use std::collections::BTreeMap;

/// A camera of 90° that turns around itself inside a wall: what it shows fills the picture.
fn scene(views: usize, model: CameraModel, seed: u64) -> Scene {
    Scene::new(&SceneOptions {
        views,
        points: 1600,
        shape: Shape::Wall(4.0),
        motion: Motion::Round(1.5),
        camera: Camera {
            model,
            width_px: 1000,
            height_px: 750,
            has_prior_focal: true,
        },
        outlier_ratio: 0.05,
        seed,
        ..SceneOptions::default()
    })
}

fn map(scene: &Scene, distortion: Distortion) -> SfmResult {
    map_named(scene, distortion, &BTreeMap::new())
}

fn map_named(
    scene: &Scene,
    distortion: Distortion,
    named: &BTreeMap<CameraId, Named>,
) -> SfmResult {
    let start = Camera {
        model: CameraModel::SimpleRadial {
            f: 1.02 * scene.camera().model.mean_focal_px(),
            cx: 0.5 * f64::from(scene.camera().width_px),
            cy: 0.5 * f64::from(scene.camera().height_px),
            k: 0.0,
        },
        ..scene.camera()
    };
    // Relative poses are to come from the matches.
    let mut graph = scene.view_graph();
    for pair in graph.pairs.values_mut() {
        pair.b_from_a = None;
        pair.f = None;
    }
    let options = SfmOptions {
        distortion,
        ..SfmOptions::default()
    };
    let input = input(scene, &graph, start);
    reconstruct_named(&input, named, &options, &Task::silent(), &mut NoCheckpoint).expect("a model")
}

fn kind(result: &SfmResult) -> CameraModelKind {
    let mut cameras = result.models[0].cameras.values();
    cameras.next().expect("a camera").model.kind()
}

/// Root mean square of the centres' errors.
fn error(result: &SfmResult, scene: &Scene) -> f64 {
    let errors = pose_errors(&result.models[0], &scene.truth).expect("a similarity");
    let squares: f64 = errors.centers.iter().map(|e| e * e).sum();
    (squares / errors.centers.len() as f64).sqrt()
}

fn opencv(k1: f64, k2: f64, p1: f64, p2: f64) -> CameraModel {
    CameraModel::OpenCv {
        fx: 500.0,
        fy: 500.0,
        cx: 500.0,
        cy: 375.0,
        k1,
        k2,
        p1,
        p2,
    }
}

/// The richer model is taken and the cameras come to stand better than without.
fn gains(model: CameraModel, expected: CameraModelKind) {
    let scene = scene(18, model, 3);
    let (rich, poor) = (
        map(&scene, Distortion::Auto),
        map(&scene, Distortion::Given),
    );
    assert_eq!(kind(&rich), expected);
    assert_eq!(kind(&poor), CameraModelKind::SimpleRadial);
    let (with, without) = (error(&rich, &scene), error(&poor, &scene));
    assert!(with < 0.7 * without, "{with} {without}");
    assert_model_near(
        &rich.models[0],
        &scene.truth,
        tolerance(1e-2, 0.5, 18, 1000),
    );
}

#[test]
fn a_second_radial_term_is_found() {
    gains(opencv(-0.2, 0.06, 0.0, 0.0), CameraModelKind::Radial);
}

#[test]
fn a_camera_whose_model_is_named_keeps_it() {
    let scene = scene(18, opencv(-0.2, 0.06, 0.0, 0.0), 3);
    for (camera, expected) in [
        (1, CameraModelKind::SimpleRadial),
        (2, CameraModelKind::Radial),
    ] {
        let named = BTreeMap::from([(CameraId(camera), Named::Model)]);
        let result = map_named(&scene, Distortion::Auto, &named);
        assert_eq!(kind(&result), expected, "camera {camera} is named");
    }
}

#[test]
fn decentring_is_found() {
    gains(opencv(-0.05, 0.0, 0.004, -0.006), CameraModelKind::OpenCv);
}

/// What there is not is not freed, and the trial leaves no trace.
#[test]
fn a_simple_camera_stays_as_it_is() {
    for (seed, k) in [(1, 0.0), (2, -0.1), (3, 0.05)] {
        let scene = scene(18, opencv(k, 0.0, 0.0, 0.0), seed);
        let (tried, given) = (
            map(&scene, Distortion::Auto),
            map(&scene, Distortion::Given),
        );
        assert_eq!(kind(&tried), CameraModelKind::SimpleRadial);
        assert_eq!(tried.models, given.models);
    }
}

/// Of the same camera, two or three photos stay simple and a dozen do not.
#[test]
fn few_photos_never_get_more_terms() {
    // What is seen fills a good part of the picture: at the corners k2 would not be known.
    let camera = Camera {
        model: CameraModel::Radial {
            f: 1000.0,
            cx: 280.0,
            cy: 280.0,
            k1: -0.3,
            k2: 1.9,
        },
        width_px: 560,
        height_px: 560,
        has_prior_focal: true,
    };
    for views in [2, 3, 12] {
        let scene = Scene::new(&SceneOptions {
            views,
            points: 900,
            motion: Motion::Orbit(0.2 * views as f64),
            camera,
            noise_px: 0.1,
            ..SceneOptions::default()
        });
        let result = map(&scene, Distortion::Auto);
        assert_eq!(result.models[0].registered().count(), views);
        let expected = if views < 5 {
            CameraModelKind::SimpleRadial
        } else {
            CameraModelKind::Radial
        };
        assert_eq!(kind(&result), expected, "{views}");
    }
}

/// Nor do cameras whose values are to stay.
#[test]
fn fixed_intrinsics_stay_as_they_are() {
    let scene = scene(18, opencv(-0.2, 0.06, 0.0, 0.0), 3);
    let mut camera = scene.camera();
    camera.model = CameraModel::SimpleRadial {
        f: 500.0,
        cx: 500.0,
        cy: 375.0,
        k: -0.15,
    };
    let graph = scene.view_graph();
    let input = input(&scene, &graph, camera);
    let result = reconstruct(&input, &fixed(), &Task::silent(), &mut NoCheckpoint).unwrap();
    assert_eq!(result.models[0].cameras.values().next(), Some(&camera));
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let scene = scene(18, opencv(-0.05, 0.0, 0.004, -0.006), 3);
    let run = |threads| {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap()
            .install(|| map(&scene, Distortion::Auto))
    };
    let (one, two) = (run(1), run(2));
    assert_eq!(kind(&one), CameraModelKind::OpenCv);
    assert_eq!(one.models, two.models);
    assert_eq!(one.covariances, two.covariances);
}
