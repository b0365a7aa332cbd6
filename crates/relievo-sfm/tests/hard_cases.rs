//! What real sets do to mappers: the right answer, by both of them.

mod common;

use common::{fixed, input, tolerance};
use relievo_geometry::{CameraModel, Mat3};
use relievo_matching::{VerifyOptions, ViewSide, verify_pair};
use relievo_scene::{Camera, CameraId, Match, TwoViewKind, ViewGraph, ViewId};
use relievo_sfm::{
    FocalLength, MapperKind, Named, NoCheckpoint, SfmInput, SfmOptions, SfmResult,
    UnregisteredReason, reconstruct, reconstruct_named,
};
use relievo_synth::scene::{Motion, Scene, SceneOptions, Shape};
use relievo_synth::{assert_model_near, pose_errors};
use relievo_task::Task;

const MAPPERS: [MapperKind; 2] = [MapperKind::Incremental, MapperKind::Global];

fn map(input: &SfmInput<'_>, options: &SfmOptions) -> SfmResult {
    reconstruct(input, options, &Task::silent(), &mut NoCheckpoint).expect("a model")
}

fn with(mapper: MapperKind, options: &SfmOptions) -> SfmOptions {
    SfmOptions {
        mapper,
        ..options.clone()
    }
}

/// A ring of views around points, with noise and wrong matches.
fn ring(outlier_ratio: f64) -> Scene {
    Scene::new(&SceneOptions {
        views: 16,
        points: 900,
        motion: Motion::Orbit(2.4),
        outlier_ratio,
        detection: 0.8,
        ..SceneOptions::default()
    })
}

#[test]
fn both_mappers_find_the_scene_among_wrong_matches() {
    let scene = ring(0.15);
    let graph = scene.view_graph();
    for mapper in MAPPERS {
        let result = map(
            &input(&scene, &graph, scene.camera()),
            &with(mapper, &fixed()),
        );
        assert!(result.unregistered.is_empty(), "{mapper:?}");
        let near = tolerance(3e-3, 0.1, 16, 700);
        assert_model_near(&result.models[0], &scene.truth, near);
    }
}

#[test]
fn a_focal_length_that_is_a_third_off_is_corrected() {
    let scene = ring(0.05);
    for factor in [0.7, 1.3] {
        let guess = Camera {
            model: CameraModel::SimpleRadial {
                f: 1000.0 * factor,
                cx: 500.0,
                cy: 375.0,
                k: 0.0,
            },
            ..scene.camera()
        };
        // Verification does not trust it: E would lose matches.
        let mut graph = scene.view_graph();
        for pair in graph.pairs.values_mut() {
            pair.kind = TwoViewKind::Uncalibrated;
            pair.b_from_a = None;
        }
        for mapper in MAPPERS {
            let options = with(mapper, &SfmOptions::default());
            let result = map(&input(&scene, &graph, guess), &options);
            let near = tolerance(2e-2, 1.0, 16, 600);
            assert_model_near(&result.models[0], &scene.truth, near);
            let camera = result.models[0].cameras.values().next().unwrap();
            let f = camera.model.mean_focal_px();
            assert!((f / 1000.0 - 1.0).abs() < 0.01, "{mapper:?} {factor}: {f}");
        }
    }
}

/// What is found of f and k of a camera that starts at 1.2 f without
/// distortion, and what is known of its focal length.
fn self_calibrated(scene: &SceneOptions, k: f64) -> (f64, f64, FocalLength) {
    let camera = |f, k| camera(f, k, false);
    let scene = Scene::new(&SceneOptions {
        camera: camera(1000.0, k),
        points: 2000,
        ..scene.clone()
    });
    let mut graph = scene.view_graph();
    for pair in graph.pairs.values_mut() {
        pair.b_from_a = None;
        pair.f = None;
    }
    let guess = camera(1200.0, 0.0);
    let result = map(&input(&scene, &graph, guess), &SfmOptions::default());
    let params = result.models[0].cameras[&CameraId(1)].model.params();
    let known = result.figures[0].focal_lengths[&CameraId(1)];
    (params[0] / 1000.0, params[3], known)
}

#[test]
fn three_photos_tell_focal_length_and_distortion_or_say_that_they_cannot() {
    let around = SceneOptions {
        views: 3,
        noise_px: 0.2,
        motion: Motion::Orbit(0.8),
        ..SceneOptions::default()
    };
    for k in [0.0, -0.06, 0.04] {
        let (f, found, known) = self_calibrated(&around, k);
        let FocalLength::Refined { sigma: Some(sigma) } = known else {
            panic!("{known:?}")
        };
        assert!(
            sigma < 0.005 && (f - 1.0).abs() < 4.0 * sigma,
            "{f} ± {sigma}"
        );
        assert!((found - k).abs() < 0.02, "{found} for {k}: {f} ± {sigma}");
    }
    // Straight ahead the focal length is only seen through the depths.
    let ahead = SceneOptions {
        motion: Motion::Forward,
        ..around.clone()
    };
    let (_, _, known) = self_calibrated(&ahead, -0.06);
    let FocalLength::Refined { sigma } = known else {
        panic!("{known:?}")
    };
    assert!(sigma.is_none_or(|s| s > 0.01), "{sigma:?}");
    // Nothing but a guess.
    let two = SceneOptions { views: 2, ..around };
    assert_eq!(self_calibrated(&two, 0.0).2, FocalLength::Guessed);
}

/// Every second view is made one of another camera, whose pictures are half as
/// large.
fn second_camera(scene: &mut Scene, graph: &mut ViewGraph) -> Camera {
    let half = |v: ViewId| v.0.is_multiple_of(2);
    for (id, features) in &mut scene.features {
        for k in features.keypoints.iter_mut().filter(|_| half(*id)) {
            (k.x_px, k.y_px) = (0.5 * k.x_px, 0.5 * k.y_px);
        }
    }
    let shrink = |v: ViewId| {
        let s = if half(v) { 2.0 } else { 1.0 };
        Mat3::new(s, 0.0, 0.0, 0.0, s, 0.0, 0.0, 0.0, 1.0)
    };
    for ((a, b), pair) in &mut graph.pairs {
        pair.f = pair.f.map(|f| shrink(*b) * f * shrink(*a));
    }
    for (id, view) in &mut scene.truth.views {
        if half(*id) {
            view.camera_id = CameraId(2);
            view.points_px.iter_mut().flatten().for_each(|v| *v *= 0.5);
        }
    }
    let small = Camera {
        model: CameraModel::SimpleRadial {
            f: 500.0,
            cx: 250.0,
            cy: 187.5,
            k: 0.0,
        },
        width_px: 500,
        height_px: 375,
        has_prior_focal: true,
    };
    scene.truth.cameras.insert(CameraId(2), small);
    small
}

#[test]
fn photos_of_two_cameras_are_one_model() {
    let mut scene = ring(0.05);
    let mut graph = scene.view_graph();
    let small = second_camera(&mut scene, &mut graph);
    let large = scene.camera();
    for mapper in MAPPERS {
        let mut input = input(&scene, &graph, large);
        input.cameras.insert(CameraId(2), small);
        let result = map(&input, &with(mapper, &SfmOptions::default()));
        assert_eq!(result.models[0].cameras.len(), 2);
        let near = tolerance(1e-2, 0.5, 16, 600);
        assert_model_near(&result.models[0], &scene.truth, near);
    }
}

/// Views that look alike: what view v + 6 shows at some places is what view
/// v + 1 shows there, so that v and v + 6 agree on a wrong pose.
fn look_alikes(scene: &mut Scene, graph: &mut ViewGraph, matches: usize) -> usize {
    let mut wrong = 0;
    for v in 1..=10_u32 {
        let (a, next, far) = (ViewId(v), ViewId(v + 1), ViewId(v + 6));
        let Some(pair) = graph.pairs.get(&(a, next)) else {
            continue;
        };
        let mut pair = pair.clone();
        pair.inliers.truncate(matches);
        let seen = scene.features[&next].clone();
        let Some(features) = scene.features.get_mut(&far) else {
            continue;
        };
        for m in &mut pair.inliers {
            features.keypoints.push(seen.keypoints[m.b_idx as usize]);
            features.colors.push([128; 3]);
            features
                .descriptors
                .push(seen.descriptors[m.b_idx as usize]);
            *m = Match {
                a_idx: m.a_idx,
                b_idx: features.keypoints.len() as u32 - 1,
            };
        }
        pair.b = far;
        graph.pairs.insert((a, far), pair);
        wrong += 1;
    }
    wrong
}

#[test]
fn repeated_structure_does_not_fold_the_model() {
    let mut scene = Scene::new(&SceneOptions {
        views: 16,
        points: 900,
        motion: Motion::Orbit(4.0),
        detection: 0.5,
        ..SceneOptions::default()
    });
    let mut graph = scene.view_graph();
    // Only neighbours see the same side, by hardly more matches than look-alikes.
    graph.pairs.retain(|(a, b), pair| {
        pair.inliers.truncate(120);
        b.0 - a.0 <= 4
    });
    assert_eq!(look_alikes(&mut scene, &mut graph, 100), 10);
    for mapper in MAPPERS {
        for options in [fixed(), SfmOptions::default()] {
            let result = map(
                &input(&scene, &graph, scene.camera()),
                &with(mapper, &options),
            );
            let what = format!("{mapper:?}, fixed: {}", options.fix_intrinsics);
            assert!(result.unregistered.is_empty(), "{what}");
            let near = tolerance(2e-2, 0.5, 16, 200);
            assert_model_near(&result.models[0], &scene.truth, near);
        }
    }
}

#[test]
fn the_global_mapper_gives_the_same_bits_on_any_number_of_threads() {
    let scene = ring(0.1);
    let graph = scene.view_graph();
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let options = with(MapperKind::Global, &SfmOptions::default());
        pool.unwrap()
            .install(|| map(&input(&scene, &graph, scene.camera()), &options))
    };
    assert_eq!(run(1).models, run(3).models);
}

/// From view `far` on, what view `like` shows at the places that `partners` match.
fn impostor(
    scene: &mut Scene,
    graph: &mut ViewGraph,
    (like, far): (u32, u32),
    partners: &[u32],
    matches: usize,
) {
    let (like, far) = (ViewId(like), ViewId(far));
    let mut copies = std::collections::BTreeMap::new();
    for &a in partners {
        let a = ViewId(a);
        let swapped = like < a;
        let mut pair = graph.pairs[&(a.min(like), a.max(like))].clone();
        let seen = scene.features[&like].clone();
        let features = scene.features.get_mut(&far).expect("the view is there");
        pair.inliers.truncate(matches);
        for m in &mut pair.inliers {
            let (own, theirs) = if swapped {
                (m.b_idx, m.a_idx)
            } else {
                (m.a_idx, m.b_idx)
            };
            let b_idx = *copies.entry(theirs).or_insert_with(|| {
                features.keypoints.push(seen.keypoints[theirs as usize]);
                features.colors.push([128; 3]);
                features.descriptors.push(seen.descriptors[theirs as usize]);
                features.keypoints.len() as u32 - 1
            });
            *m = Match { a_idx: own, b_idx };
        }
        if swapped {
            pair.b_from_a = pair.b_from_a.map(|p| p.inverse());
            pair.f = pair.f.map(|f| f.transpose());
        }
        (pair.a, pair.b) = (a, far);
        graph.pairs.insert((a, far), pair);
    }
}

/// Photos all round a block, each of which overlaps with three before it: errors add up,
/// and the first and the last ones meet somewhere else.
#[test]
fn a_ring_that_drifted_apart_is_closed() {
    let radius = 120.0 / std::f64::consts::TAU;
    let scene = Scene::new(&SceneOptions {
        views: 120,
        points: 9000,
        shape: Shape::Wall(radius + 4.0),
        motion: Motion::Round(radius),
        noise_px: 1.0,
        ..SceneOptions::default()
    });
    let graph = scene.view_graph();
    let map = |check_links| {
        let options = SfmOptions {
            check_links,
            mapper: MapperKind::Incremental,
            ..SfmOptions::default()
        };
        map(&input(&scene, &graph, scene.camera()), &options)
    };
    let farthest = |result: &SfmResult| {
        let errors = pose_errors(&result.models[0], &scene.truth).expect("a similarity");
        assert!(result.unregistered.is_empty());
        errors.centers.iter().copied().fold(0.0, f64::max)
    };
    let (open, closed) = (map(false), map(true));
    assert_eq!(closed.figures[0].rings_closed, 1);
    assert_eq!(closed.doubtful, None);
    let (open, closed) = (farthest(&open), farthest(&closed));
    assert!(open > 2.0 && closed < 0.3, "{open} {closed}");
}

/// One view of a group looks like one of another group, and the model is first built
/// on that; more matches between the groups say otherwise.
#[test]
fn a_wrong_link_between_groups_is_mended() {
    let mut scene = Scene::new(&SceneOptions {
        views: 16,
        points: 900,
        motion: Motion::Orbit(4.0),
        detection: 0.6,
        ..SceneOptions::default()
    });
    let mut graph = scene.view_graph();
    graph.pairs.retain(|(a, b), pair| {
        let across = a.0 <= 8 && b.0 > 8;
        pair.inliers.truncate(if across { 26 } else { 150 });
        b.0 - a.0 <= 4
    });
    impostor(&mut scene, &mut graph, (5, 13), &[3, 4, 6], 60);
    for mapper in MAPPERS {
        let map = |check_links| {
            let options = SfmOptions {
                check_links,
                ..with(mapper, &fixed())
            };
            map(&input(&scene, &graph, scene.camera()), &options)
        };
        let off = |result: &SfmResult| {
            pose_errors(&result.models[0], &scene.truth).map_or(f64::MAX, |e| {
                e.rotations.iter().copied().fold(0.0, f64::max)
            })
        };
        let (unchecked, checked) = (map(false), map(true));
        // Photo after photo, the group follows the impostor.
        let folds = mapper == MapperKind::Incremental;
        assert_eq!(off(&unchecked) > 0.3, folds, "{mapper:?}");
        assert_eq!(checked.figures[0].pairs_left_out, if folds { 3 } else { 0 });
        assert_eq!(checked.doubtful, None);
        assert!(checked.unregistered.is_empty(), "{mapper:?}");
        let near = tolerance(2e-2, 0.5, 16, 200);
        assert_model_near(&checked.models[0], &scene.truth, near);
    }
}

/// Nothing is found in the upper half of any photo.
#[test]
fn photos_of_which_one_half_is_sky_are_mapped() {
    let scene = Scene::new(&SceneOptions {
        views: 12,
        points: 1600,
        motion: Motion::Orbit(1.6),
        outlier_ratio: 0.05,
        ..SceneOptions::default()
    });
    let horizon = 375.0;
    let mut graph = scene.view_graph();
    for ((a, b), pair) in &mut graph.pairs {
        let ground = |v: &ViewId, i: u32| scene.features[v].keypoints[i as usize].y_px > horizon;
        pair.inliers
            .retain(|m| ground(a, m.a_idx) && ground(b, m.b_idx));
    }
    for mapper in MAPPERS {
        for options in [fixed(), SfmOptions::default()] {
            let input = input(&scene, &graph, scene.camera());
            let result = map(&input, &with(mapper, &options));
            assert!(result.unregistered.is_empty(), "{mapper:?}");
            let near = tolerance(1e-2, 0.5, 12, 500);
            assert_model_near(&result.models[0], &scene.truth, near);
        }
    }
}

/// EXIF says so, and verification and both mappers go by it.
#[test]
fn an_exif_focal_length_that_is_a_third_off_is_corrected() {
    let scene = ring(0.3);
    for factor in [0.7, 1.3] {
        let exif = Camera {
            model: CameraModel::SimpleRadial {
                f: 1000.0 * factor,
                cx: 500.0,
                cy: 375.0,
                k: 0.0,
            },
            ..scene.camera()
        };
        assert!(exif.has_prior_focal);
        let mut graph = ViewGraph::default();
        for &(a, b) in scene.view_graph().pairs.keys() {
            let side = |v: ViewId| ViewSide {
                features: &scene.features[&v],
                camera: &exif,
            };
            let matches = scene.matches(a, b).matches;
            let options = VerifyOptions::default();
            let pair = verify_pair((a, b), &side(a), &side(b), &matches, &options, 7);
            graph.pairs.insert((a, b), pair);
        }
        for mapper in MAPPERS {
            let options = with(mapper, &SfmOptions::default());
            let result = map(&input(&scene, &graph, exif), &options);
            let near = tolerance(2e-2, 1.0, 16, 600);
            assert_model_near(&result.models[0], &scene.truth, near);
            let camera = result.models[0].cameras.values().next().unwrap();
            let f = camera.model.mean_focal_px();
            assert!((f / 1000.0 - 1.0).abs() < 0.01, "{mapper:?} {factor}: {f}");
        }
    }
}

/// A camera of focal length 1000 px as it may begin.
fn camera(f: f64, k: f64, has_prior_focal: bool) -> Camera {
    Camera {
        model: CameraModel::SimpleRadial {
            f,
            cx: 500.0,
            cy: 375.0,
            k,
        },
        width_px: 1000,
        height_px: 750,
        has_prior_focal,
    }
}

/// Root mean square of the centres' errors and focal length, with free intrinsics and with
/// fixed ones, from the camera `start`; free, it knows the focal length as
/// well as EXIF does at least, where there is that.
fn free_and_fixed(scene: &SceneOptions, start: Camera) -> [(f64, f64); 2] {
    let scene = Scene::new(&SceneOptions {
        noise_px: 0.5,
        points: 1500,
        ..scene.clone()
    });
    let mut graph = scene.view_graph();
    if !start.has_prior_focal {
        for pair in graph.pairs.values_mut() {
            pair.kind = TwoViewKind::Uncalibrated;
            pair.b_from_a = None;
        }
    }
    [false, true].map(|fix_intrinsics| {
        let options = SfmOptions {
            fix_intrinsics,
            ..SfmOptions::default()
        };
        let result = map(&input(&scene, &graph, start), &options);
        let errors = pose_errors(&result.models[0], &scene.truth).expect("a similarity");
        let squares: f64 = errors.centers.iter().map(|e| e * e).sum();
        let camera = &result.models[0].cameras[&CameraId(1)];
        let known = result.figures[0].focal_lengths[&CameraId(1)];
        let as_exif = |s: f64| s < 0.0201 || !start.has_prior_focal;
        assert!(
            match known {
                FocalLength::Refined { sigma } => !fix_intrinsics && sigma.is_some_and(as_exif),
                _ => fix_intrinsics,
            },
            "{known:?}"
        );
        (
            (squares / errors.centers.len() as f64).sqrt(),
            camera.model.mean_focal_px(),
        )
    })
}

/// Whether EXIF is exactly right or off by its standard deviation.
#[test]
fn free_intrinsics_make_weak_geometry_no_worse() {
    for (motion, views) in [
        (Motion::Forward, 3),
        (Motion::Forward, 4),
        (Motion::Forward, 6),
        // Depth and focal length cannot be told apart at all.
        (Motion::Sideways, 3),
        (Motion::Sideways, 5),
        (Motion::Orbit(0.15), 3),
    ] {
        for (off, near) in [(0.0, 0.006), (0.02, 0.022)] {
            let run = |seed: u64| {
                let scene = SceneOptions {
                    views,
                    motion,
                    seed,
                    ..SceneOptions::default()
                };
                let way = if seed.is_multiple_of(2) { off } else { -off };
                free_and_fixed(&scene, camera(1000.0 * (1.0 + way), 0.0, true))
            };
            let runs: Vec<_> = (1..=5).map(run).collect();
            let mean = |k: usize| runs.iter().map(|r| r[k].0).sum::<f64>() / runs.len() as f64;
            let what = format!("{motion:?} {views} {off}: {runs:?}");
            assert!(mean(0) <= 1.01 * mean(1), "{what}");
            let right = |r: &[(f64, f64); 2]| (r[0].1 / 1000.0 - 1.0).abs() < near;
            assert!(runs.iter().all(right), "{what}");
        }
    }
}

/// Along a line, without a turn, nothing is known of the focal length but what was said.
#[test]
fn only_values_that_a_person_names_are_surer_than_exif() {
    let scene = Scene::new(&SceneOptions {
        views: 5,
        points: 1500,
        motion: Motion::Sideways,
        ..SceneOptions::default()
    });
    let graph = scene.view_graph();
    let sigma = |named: Option<(u32, Named)>| {
        let named = named.into_iter().map(|(id, said)| (CameraId(id), said));
        let (input, options) = (input(&scene, &graph, scene.camera()), SfmOptions::default());
        let (named, task) = (named.collect(), Task::silent());
        let result = reconstruct_named(&input, &named, &options, &task, &mut NoCheckpoint);
        let known = result.expect("a model").figures[0].focal_lengths[&CameraId(1)];
        let FocalLength::Refined { sigma: Some(sigma) } = known else {
            panic!("{known:?}")
        };
        sigma
    };
    for as_exif in [None, Some((1, Named::Model)), Some((2, Named::Values))] {
        let sigma = sigma(as_exif);
        assert!(sigma > 0.01, "{as_exif:?}: {sigma}");
    }
    let named = sigma(Some((1, Named::Values)));
    assert!(named < 0.0031, "{named}");
}

/// Without EXIF, and with a distortion that nobody knew of.
#[test]
fn free_intrinsics_of_few_photos_are_no_worse_than_guesses() {
    for (motion, views) in [
        (Motion::Forward, 4),
        (Motion::Sideways, 3),
        (Motion::Sideways, 5),
        (Motion::Orbit(0.15), 3),
        (Motion::Orbit(0.3), 3),
    ] {
        for (has_exif, guess, k) in [
            (false, 1200.0, 0.0),
            (true, 1000.0, -0.04),
            (false, 1200.0, -0.04),
        ] {
            let run = |seed: u64| {
                let truth = camera(1000.0, k, has_exif);
                let scene = SceneOptions {
                    camera: truth,
                    views,
                    motion,
                    seed,
                    ..SceneOptions::default()
                };
                free_and_fixed(&scene, camera(guess, 0.0, has_exif))
            };
            let runs: Vec<_> = (1..=5).map(run).collect();
            let mean = |k: usize| runs.iter().map(|r| r[k].0).sum::<f64>() / runs.len() as f64;
            // Where nothing is known of the focal length, a wrong one may fit centres by luck.
            let most = if has_exif { 1.01 } else { 1.15 };
            let what = format!("{motion:?} {views} {has_exif} {k}: {runs:?}");
            assert!(mean(0) <= most * mean(1), "{what}");
        }
    }
}

/// On a short arc three photos know the focal length well enough to see that.
#[test]
fn exif_that_the_photos_contradict_is_not_held_to() {
    for factor in [0.75, 1.3] {
        let scene = SceneOptions {
            views: 3,
            motion: Motion::Orbit(0.3),
            ..SceneOptions::default()
        };
        let [free, fixed] = free_and_fixed(&scene, camera(1000.0 * factor, 0.0, true));
        let off = |f: f64| (f / 1000.0 - 1.0).abs();
        assert!(
            off(free.1) < 0.05 && free.0 < fixed.0,
            "{factor}: {free:?} {fixed:?}"
        );
    }
}

/// A principal point is freed where the photos determine it, and where they do not it stays
/// where it was, whatever it is.
#[test]
fn a_principal_point_moves_only_where_it_is_determined() {
    let off_center = |dx: f64, dy: f64| Camera {
        model: CameraModel::SimpleRadial {
            f: 1000.0,
            cx: 500.0 + dx,
            cy: 375.0 + dy,
            k: 0.0,
        },
        ..camera(1000.0, 0.0, true)
    };
    let found = |motion, views, truth: Camera| {
        let scene = Scene::new(&SceneOptions {
            camera: truth,
            views,
            motion,
            points: 2000,
            noise_px: 0.3,
            ..SceneOptions::default()
        });
        let graph = scene.view_graph();
        let start = off_center(0.0, 0.0);
        let result = map(&input(&scene, &graph, start), &SfmOptions::default());
        result.models[0].cameras[&CameraId(1)]
            .model
            .principal_point_px()
    };
    for (dx, dy) in [(14.0, -9.0), (0.0, 0.0)] {
        let truth = off_center(dx, dy);
        let near = (found(Motion::Orbit(5.0), 24, truth) - truth.model.principal_point_px()).amax();
        assert!(near < 3.0, "{near} px off");
        for (motion, views) in [(Motion::Sideways, 8), (Motion::Orbit(0.15), 5)] {
            let kept = found(motion, views, truth);
            assert!(
                kept == off_center(0.0, 0.0).model.principal_point_px(),
                "{kept:?}"
            );
        }
    }
}

/// Two photos leave intrinsics as they are.
#[test]
fn nothing_is_freed_for_two_photos() {
    let scene = Scene::new(&SceneOptions {
        views: 2,
        ..SceneOptions::default()
    });
    let graph = scene.view_graph();
    let input = input(&scene, &graph, scene.camera());
    let (free, held) = (map(&input, &SfmOptions::default()), map(&input, &fixed()));
    assert_eq!(free.models, held.models);
    let known = free.figures[0].focal_lengths[&CameraId(1)];
    assert_eq!(known, FocalLength::Given);
}

/// The only photo of another camera agrees with a pose, but not well enough to keep it:
/// the focal length of that pose goes with it.
#[test]
fn a_rejected_photo_gives_its_camera_back() {
    let mut scene = Scene::new(&SceneOptions {
        noise_px: 0.3,
        ..SceneOptions::default()
    });
    let last = ViewId(8);
    // Each keypoint three pixels off: within the error of a pose, not of a point.
    let features = scene.features.get_mut(&last).unwrap();
    for (i, k) in features.keypoints.iter_mut().enumerate() {
        let (s, c) = (2.4 * i as f32).sin_cos();
        (k.x_px, k.y_px) = (k.x_px + 3.2 * c, k.y_px + 3.2 * s);
    }
    let mut graph = scene.view_graph();
    for ((_, b), pair) in &mut graph.pairs {
        if *b == last {
            let few =
                |m: &Match| scene.point_of[&last][m.b_idx as usize].is_some_and(|t| t.0 <= 46);
            pair.inliers.retain(few);
            pair.kind = TwoViewKind::Uncalibrated;
        }
    }
    let guess = Camera {
        model: CameraModel::SimpleRadial {
            f: 1500.0,
            cx: 500.0,
            cy: 375.0,
            k: 0.0,
        },
        has_prior_focal: false,
        ..scene.camera()
    };
    let mut input = input(&scene, &graph, scene.camera());
    input.cameras.insert(CameraId(2), guess);
    input.views.get_mut(&last).unwrap().camera_id = CameraId(2);
    let options = with(MapperKind::Incremental, &SfmOptions::default());
    let result = map(&input, &options);
    let why = &result.unregistered[&last];
    assert!(
        matches!(why, UnregisteredReason::PoseInconsistent { .. }),
        "{why:?}"
    );
    assert_eq!(result.models[0].cameras[&CameraId(2)].model, guess.model);
}
