//! Verification on scenes with truth: exact, noisy, outliers, degenerate.

use relievo_geometry::{CameraModel, Rigid3};
use relievo_matching::{
    MatchOptions, PreparedView, ScheduleOptions, TrackOptions, VerifyOptions, ViewInput, ViewSide,
    build_tracks, match_and_verify, verify_pair,
};
use relievo_scene::{Camera, Features, Match, TwoViewGeometry, TwoViewKind, ViewGraph, ViewId};
use relievo_synth::{Motion, Scene, SceneOptions, Shape, assert_all_busy, on_threads};
use relievo_task::Task;
use std::collections::BTreeMap;

const A: ViewId = ViewId(1);
const B: ViewId = ViewId(2);

/// Two views of 400 points, 0.5 px noise.
fn scene(shape: Shape, motion: Motion, outlier_ratio: f64, seed: u64) -> Scene {
    Scene::new(&SceneOptions {
        views: 2,
        points: 400,
        shape,
        motion,
        outlier_ratio,
        seed,
        ..SceneOptions::default()
    })
}

fn verify_with(scene: &Scene, camera: &Camera, matches: &[Match]) -> TwoViewGeometry {
    let side = |v| ViewSide {
        features: &scene.features[&v],
        camera,
    };
    let (a, b) = (side(A), side(B));
    let found = verify_pair((A, B), &a, &b, matches, &VerifyOptions::default(), 7);
    found.check().expect("a consistent geometry");
    found
}

fn verify(scene: &Scene) -> TwoViewGeometry {
    verify_with(scene, &scene.camera(), &scene.matches(A, B).matches)
}

/// (rotation, direction of translation) errors in degrees.
fn errors_deg(found: &Rigid3, truth: &Rigid3) -> (f64, f64) {
    (
        found.rotation.angle_to(&truth.rotation).to_degrees(),
        found.translation.angle(&truth.translation).to_degrees(),
    )
}

fn wrong_part(scene: &Scene, found: &TwoViewGeometry) -> f64 {
    let wrong = found.inliers.iter().filter(|m| !scene.is_true(A, B, **m));
    wrong.count() as f64 / found.inliers.len() as f64
}

#[test]
fn the_pose_is_found_among_outliers() {
    for (outliers, rotation, direction) in [(0.0, 0.3, 1.0), (0.6, 0.8, 1.5), (0.7, 1.0, 2.5)] {
        for seed in 0..4 {
            let scene = scene(Shape::Cloud, Motion::Orbit(0.5), outliers, seed);
            let found = verify(&scene);
            assert_eq!(
                found.kind,
                TwoViewKind::Calibrated,
                "{outliers} seed {seed}"
            );
            let (r, t) = errors_deg(&found.b_from_a.unwrap(), &scene.b_from_a(A, B));
            assert!(
                r < rotation && t < direction,
                "{outliers} seed {seed}: {r} {t}"
            );
            assert!(wrong_part(&scene, &found) < 0.1);
            assert!(found.inliers.len() as f64 > 0.9 * 380.0 * (1.0 - outliers));
            let angle = found.median_angle;
            assert!((angle - 0.5).abs() < 0.1, "median angle {angle}");
        }
    }
}

#[test]
fn forward_motion_keeps_its_direction() {
    for seed in 0..3 {
        let scene = scene(Shape::Cloud, Motion::Forward, 0.3, seed);
        let found = verify(&scene);
        let (r, t) = errors_deg(&found.b_from_a.unwrap(), &scene.b_from_a(A, B));
        assert_eq!(found.kind, TwoViewKind::Calibrated);
        assert!(r < 0.5 && t < 2.0, "seed {seed}: {r} {t}");
    }
}

#[test]
fn planes_are_told_and_still_give_the_pose() {
    for seed in 0..4 {
        let scene = scene(Shape::Plane, Motion::Orbit(0.6), 0.4, seed);
        let found = verify(&scene);
        assert_eq!(found.kind, TwoViewKind::Planar);
        let (r, t) = errors_deg(&found.b_from_a.unwrap(), &scene.b_from_a(A, B));
        assert!(r < 1.0 && t < 3.0, "seed {seed}: {r} {t}");
        assert!(found.inliers.len() > 180);
    }
}

#[test]
fn turning_on_the_spot_is_no_baseline() {
    for seed in 0..4 {
        for (shape, outliers) in [(Shape::Cloud, 0.0), (Shape::Corner, 0.5)] {
            let scene = scene(shape, Motion::Rotation(0.3), outliers, seed);
            let found = verify(&scene);
            assert_eq!(
                found.kind,
                TwoViewKind::PureRotation,
                "{shape:?} seed {seed}"
            );
            let pose = found.b_from_a.unwrap();
            assert_eq!(pose.translation.norm(), 0.0);
            assert_eq!(found.median_angle, 0.0);
            let truth = scene.b_from_a(A, B);
            assert!(pose.rotation.angle_to(&truth.rotation).to_degrees() < 0.1);
            assert!(wrong_part(&scene, &found) < 0.1);
        }
    }
}

#[test]
fn a_far_background_does_not_hide_the_baseline() {
    let near = scene(Shape::Cloud, Motion::Orbit(0.5), 0.0, 11);
    let truth = near.b_from_a(A, B);
    let camera = near.camera();
    let mut both = near.clone();
    // Directions at infinity, seen by both, five for each near point.
    let mut matches: Vec<Match> = near.matches(A, B).matches;
    matches.truncate(60);
    for k in 0..300 {
        let s = f64::from(k);
        let ray = relievo_geometry::Vec3::new(0.45 * (s * 1.3).sin(), 0.3 * (s * 2.9).cos(), 1.0);
        let seen = [Some(ray), Some(truth.rotation * ray)]
            .map(|r| r.and_then(|r| camera.model.project(&r)));
        let [Some(pa), Some(pb)] = seen else { continue };
        let mut place = |v: ViewId, p: relievo_geometry::Vec2| {
            let f = both.features.get_mut(&v).unwrap();
            f.keypoints.push(relievo_scene::Keypoint {
                x_px: p.x as f32,
                y_px: p.y as f32,
                scale_px: 2.0,
                angle: 0.0,
            });
            f.descriptors.push([40; 128]);
            f.colors.push([0; 3]);
            f.len() as u32 - 1
        };
        matches.push(Match {
            a_idx: place(A, pa),
            b_idx: place(B, pb),
        });
    }
    let found = verify_with(&both, &camera, &matches);
    assert_eq!(found.kind, TwoViewKind::Calibrated);
    let (r, t) = errors_deg(&found.b_from_a.unwrap(), &truth);
    assert!(r < 0.2 && t < 3.0, "{:?} {r} {t}", found.kind);
}

#[test]
fn copies_of_one_photo_are_no_baseline() {
    let mut scene = scene(Shape::Cloud, Motion::Orbit(0.5), 0.0, 1);
    let copy = scene.features[&A].clone();
    let matches: Vec<Match> = (0..copy.len() as u32)
        .map(|i| Match { a_idx: i, b_idx: i })
        .collect();
    scene.features.insert(B, copy);
    for trusted in [true, false] {
        let camera = Camera {
            has_prior_focal: trusted,
            ..scene.camera()
        };
        let found = verify_with(&scene, &camera, &matches);
        assert_eq!(found.kind, TwoViewKind::PureRotation);
        assert!(found.b_from_a.unwrap().rotation.angle() < 1e-6);
    }
}

#[test]
fn a_wrong_guess_of_the_focal_length_keeps_the_matches() {
    for factor in [0.7, 1.0, 1.3] {
        for seed in 0..3 {
            let scene = scene(Shape::Cloud, Motion::Orbit(0.5), 0.5, seed);
            let truth = scene.camera();
            let camera = Camera {
                model: CameraModel::SimpleRadial {
                    f: factor * truth.model.mean_focal_px(),
                    cx: 500.0,
                    cy: 375.0,
                    k: 0.0,
                },
                has_prior_focal: false,
                ..truth
            };
            let found = verify_with(&scene, &camera, &scene.matches(A, B).matches);
            assert_eq!(found.kind, TwoViewKind::Uncalibrated, "{factor} {seed}");
            assert!(found.inliers.len() > 175, "{}", found.inliers.len());
            assert!(wrong_part(&scene, &found) < 0.1);
            let (r, _) = errors_deg(&found.b_from_a.unwrap(), &scene.b_from_a(A, B));
            assert!(r < 12.0, "{factor} seed {seed}: {r}");
            // A wrong focal length that claims to be known is noticed too.
            let claimed = Camera {
                has_prior_focal: true,
                ..camera
            };
            let found = verify_with(&scene, &claimed, &scene.matches(A, B).matches);
            assert!(found.inliers.len() > 150, "{}", found.inliers.len());
        }
    }
}

#[test]
fn turning_with_a_wrong_focal_length_is_no_baseline() {
    for factor in [0.75, 1.3] {
        let scene = scene(Shape::Cloud, Motion::Rotation(0.3), 0.2, 3);
        let camera = Camera {
            model: CameraModel::SimplePinhole {
                f: factor * 1000.0,
                cx: 500.0,
                cy: 375.0,
            },
            has_prior_focal: false,
            ..scene.camera()
        };
        let found = verify_with(&scene, &camera, &scene.matches(A, B).matches);
        assert_eq!(found.kind, TwoViewKind::PureRotation, "{factor}");
    }
}

/// Puts `count` matched keypoints at fixed places in the lower border of both.
fn stamp(scene: &mut Scene, matches: &mut Vec<Match>, count: u32) {
    let mut first = [0; 2];
    for (k, v) in [A, B].into_iter().enumerate() {
        let f = scene
            .features
            .get_mut(&v)
            .expect("both views have features");
        first[k] = f.len() as u32;
        for i in 0..count {
            f.keypoints.push(relievo_scene::Keypoint {
                x_px: 700.0 + 7.0 * (i % 20) as f32,
                y_px: 700.0 + 9.0 * (i / 20) as f32,
                scale_px: 2.0,
                angle: 0.0,
            });
            f.descriptors.push([64; 128]);
            f.colors.push([255; 3]);
        }
    }
    matches.extend((0..count).map(|i| Match {
        a_idx: first[0] + i,
        b_idx: first[1] + i,
    }));
}

#[test]
fn a_watermark_is_not_a_pair_and_hides_none() {
    let mut alone = scene(Shape::Cloud, Motion::Orbit(0.5), 0.0, 5);
    let mut matches: Vec<Match> = Vec::new();
    stamp(&mut alone, &mut matches, 80);
    let found = verify_with(&alone, &alone.camera(), &matches);
    assert!(
        matches!(found.kind, TwoViewKind::Watermark),
        "{:?}",
        found.kind
    );

    let mut both = scene(Shape::Cloud, Motion::Orbit(0.5), 0.0, 6);
    let mut matches = both.matches(A, B).matches;
    matches.truncate(90);
    let real = matches.clone();
    stamp(&mut both, &mut matches, 80);
    let found = verify_with(&both, &both.camera(), &matches);
    let kept = found.inliers.iter().filter(|m| real.contains(m)).count();
    assert!(kept > 80, "{:?} {kept}", found.kind);
    let (r, t) = errors_deg(&found.b_from_a.unwrap(), &both.b_from_a(A, B));
    assert!(r < 1.0 && t < 3.0, "{r} {t}");
}

#[test]
fn few_wrong_or_poisoned_matches_give_no_pair() {
    let good = scene(Shape::Cloud, Motion::Orbit(0.5), 0.0, 8);
    let mut matches = good.matches(A, B).matches;
    for n in [0, 1, 4, 5, 7, 14] {
        let found = verify_with(&good, &good.camera(), &matches[..n]);
        assert_eq!(found.kind, TwoViewKind::Degenerate);
        assert!(found.inliers.is_empty() && found.b_from_a.is_none());
    }
    let wrong = scene(Shape::Cloud, Motion::Orbit(0.5), 1.0, 9);
    for trusted in [true, false] {
        let camera = Camera {
            has_prior_focal: trusted,
            ..wrong.camera()
        };
        let found = verify_with(&wrong, &camera, &wrong.matches(A, B).matches);
        assert_eq!(
            found.kind,
            TwoViewKind::Degenerate,
            "{}",
            found.inliers.len()
        );
    }
    // Indices out of range, NaN keypoints: the rest still verifies.
    let mut poisoned = good.clone();
    for k in &mut poisoned.features.get_mut(&A).unwrap().keypoints[..40] {
        k.x_px = f32::NAN;
    }
    matches.push(Match {
        a_idx: 1_000_000,
        b_idx: 0,
    });
    let found = verify_with(&poisoned, &good.camera(), &matches);
    assert_eq!(found.kind, TwoViewKind::Calibrated);
    assert!(found.inliers.iter().all(|m| m.a_idx >= 40));
    let all_nan: Features = {
        let mut f = good.features[&A].clone();
        for k in &mut f.keypoints {
            k.y_px = f32::INFINITY;
        }
        f
    };
    poisoned.features.insert(A, all_nan);
    let found = verify_with(&poisoned, &good.camera(), &matches);
    assert_eq!(found.kind, TwoViewKind::Degenerate);
    // Everything in one place.
    let mut point = good.clone();
    for f in point.features.values_mut() {
        for k in &mut f.keypoints {
            (k.x_px, k.y_px) = (300.0, 300.0);
        }
    }
    let found = verify_with(&point, &good.camera(), &matches);
    assert!(matches!(
        found.kind,
        TwoViewKind::Degenerate | TwoViewKind::PureRotation
    ));
}

/// What matching needs beside the features.
struct Prepared {
    names: Vec<String>,
    camera: Camera,
    views: Vec<PreparedView>,
}

impl Prepared {
    fn new(scene: &Scene) -> Self {
        let camera = scene.camera();
        let prepare = |f| PreparedView::new(f, &camera);
        Self {
            names: scene.truth.views.values().map(|v| v.name.clone()).collect(),
            views: scene.features.values().map(prepare).collect(),
            camera,
        }
    }

    /// All views, and all pairs of them.
    fn views_and_pairs<'p>(
        &'p self,
        scene: &'p Scene,
    ) -> (BTreeMap<ViewId, ViewInput<'p>>, Vec<(ViewId, ViewId)>) {
        let mut views = BTreeMap::new();
        for (k, (id, features)) in scene.features.iter().enumerate() {
            let input = ViewInput {
                name: &self.names[k],
                features,
                camera: &self.camera,
                prepared: &self.views[k],
            };
            views.insert(*id, input);
        }
        let ids: Vec<ViewId> = views.keys().copied().collect();
        let mut pairs = Vec::new();
        for (k, a) in ids.iter().enumerate() {
            pairs.extend(ids[k + 1..].iter().map(|b| (*a, *b)));
        }
        (views, pairs)
    }
}

#[test]
fn both_threads_match_pairs() {
    let scene = Scene::new(&SceneOptions {
        views: 10,
        points: 1500,
        clutter: 500,
        ..SceneOptions::default()
    });
    let prepared = Prepared::new(&scene);
    let (views, pairs) = prepared.views_and_pairs(&scene);
    let options = (
        &ScheduleOptions::default(),
        &MatchOptions::default(),
        &VerifyOptions::default(),
    );
    let work = || match_and_verify(&pairs, &views, options, &Task::silent()).unwrap();
    let (two, seconds) = on_threads(2, work);
    assert_eq!(two, on_threads(1, work).0);
    assert_all_busy(&seconds, 0.6);
}

#[test]
fn pairs_match_verify_and_join_into_true_tracks_on_any_thread_count() {
    let scene = Scene::new(&SceneOptions {
        views: 4,
        points: 250,
        clutter: 100,
        detection: 0.9,
        ..SceneOptions::default()
    });
    let prepared = Prepared::new(&scene);
    let (views, pairs) = prepared.views_and_pairs(&scene);
    let run = |threads, few: usize, overlap_matches| {
        let schedule = ScheduleOptions {
            overlap_features: few / 2,
            overlap_matches,
            coarse_features: few,
            ..ScheduleOptions::default()
        };
        let options = (
            &schedule,
            &MatchOptions::default(),
            &VerifyOptions::default(),
        );
        let work = || match_and_verify(&pairs, &views, options, &Task::silent()).unwrap();
        on_threads(threads, work).0
    };
    let found = run(1, 0, 4);
    assert_eq!(found, run(3, 0, 4));
    assert_eq!(found.len(), 6);
    let count = |all: &[TwoViewGeometry]| all.iter().map(|p| p.inliers.len()).sum::<usize>();
    // The schedule loses nothing and invents nothing.
    let scheduled = run(2, 150, 4);
    assert_eq!(scheduled, run(1, 150, 4));
    assert!(100 * count(&scheduled) >= 99 * count(&found));
    // It is taken: where more overlap is asked for than there is, no pair is.
    assert_eq!(count(&run(1, 150, 10_000)), 0);
    for p in &scheduled {
        p.check().unwrap();
        let wrong = p.inliers.iter().filter(|m| !scene.is_true(p.a, p.b, **m));
        assert!(wrong.count() <= p.inliers.len() / 50);
    }
    let graph = ViewGraph {
        pairs: found.into_iter().map(|p| ((p.a, p.b), p)).collect(),
    };
    let features = scene.features.iter().map(|(id, f)| (*id, f)).collect();
    let tracks = build_tracks(&graph, &features, &TrackOptions::default());
    assert!(tracks.len() > 200, "{}", tracks.len());
    for t in &tracks {
        assert!(
            t.observations
                .windows(2)
                .all(|w| w[0].view_id < w[1].view_id)
        );
        let owner =
            |o: &relievo_scene::Observation| scene.point_of[&o.view_id][o.point_idx as usize];
        let first = owner(&t.observations[0]);
        assert!(first.is_some() && t.observations.iter().all(|o| owner(o) == first));
    }
}
