//! Models that show parts of one place become one; others do not.

mod common;

use common::{fixed, input, tolerance};
use rand_core::SeedableRng;
use relievo_geometry::Vec3;
use relievo_scene::{Match, TwoViewGeometry, TwoViewKind, ViewGraph, ViewId};
use relievo_sfm::{
    MemoryCheckpoint, NoCheckpoint, SfmOptions, SfmResult, UnregisteredReason, reconstruct,
};
use relievo_synth::assert_model_near;
use relievo_synth::scene::{Motion, Scene, SceneOptions, uniform};
use relievo_task::{Rng, Task};

/// Photos of each part.
const PART: u32 = 7;

fn first(v: ViewId) -> bool {
    v.0 <= PART
}

fn map(scene: &Scene, graph: &ViewGraph, options: &SfmOptions) -> SfmResult {
    let input = input(scene, graph, scene.camera());
    reconstruct(&input, options, &Task::silent(), &mut NoCheckpoint).expect("a model")
}

fn sizes(result: &SfmResult) -> Vec<usize> {
    result.figures.iter().map(|f| f.registered).collect()
}

/// Photos 1 to 7 and 8 to 14 match well among each other; photo v of the first and
/// v + 7 share `matches` points, others than any two others do. No photo sees enough of
/// the other part to be registered with it.
fn weakly_linked(scene: &Scene, graph: &mut ViewGraph, shared: u64, matches: usize) {
    graph.pairs.retain(|(a, b), _| first(*a) == first(*b));
    for v in 1..=PART {
        let (a, b) = (ViewId(v), ViewId(v + PART));
        let mut inliers: Vec<Match> = Vec::new();
        for (k, id) in scene.point_of[&a].iter().enumerate() {
            let Some(id) =
                id.filter(|id| id.0 <= shared && id.0 % u64::from(PART) == u64::from(v) % 7)
            else {
                continue;
            };
            let there = scene.point_of[&b].iter().position(|o| *o == Some(id));
            inliers.extend(there.map(|j| Match {
                a_idx: k as u32,
                b_idx: j as u32,
            }));
        }
        inliers.truncate(matches);
        assert_eq!(inliers.len(), matches);
        let pair = TwoViewGeometry {
            a,
            b,
            kind: TwoViewKind::Uncalibrated,
            inliers,
            b_from_a: None,
            f: None,
            median_angle: 0.0,
        };
        graph.pairs.insert((a, b), pair);
    }
}

#[test]
fn two_halves_with_weak_links_become_one_model() {
    let scene = Scene::new(&SceneOptions {
        views: 14,
        points: 700,
        motion: Motion::Orbit(2.4),
        outlier_ratio: 0.05,
        ..SceneOptions::default()
    });
    let mut graph = scene.view_graph();
    weakly_linked(&scene, &mut graph, 700, 12);
    for options in [fixed(), SfmOptions::default()] {
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.unwrap().install(|| map(&scene, &graph, &options))
        };
        let result = run(1);
        assert_eq!(sizes(&result), [14]);
        assert_eq!(result.figures[0].models_joined, 1);
        assert!(result.unregistered.is_empty());
        assert_model_near(
            &result.models[0],
            &scene.truth,
            tolerance(5e-3, 0.3, 14, 600),
        );
        assert_eq!(result.models, run(3).models);
        // From where the second half was finished.
        let input = input(&scene, &graph, scene.camera());
        let mut last = MemoryCheckpoint::default();
        for _ in 0..2 {
            let again = reconstruct(&input, &options, &Task::silent(), &mut last).expect("a model");
            assert_eq!(again.models, result.models);
        }
    }
    // What lies elsewhere in the other half is no link.
    for pair in graph
        .pairs
        .values_mut()
        .filter(|p| first(p.a) != first(p.b))
    {
        let there: Vec<u32> = pair.inliers.iter().map(|m| m.b_idx).collect();
        for (m, b_idx) in pair.inliers.iter_mut().zip(there.iter().cycle().skip(5)) {
            m.b_idx = *b_idx;
        }
    }
    assert_eq!(sizes(&map(&scene, &graph, &fixed())), [7, 7]);
}

/// A facade at z = 0, and below it a wall at `depth`.
fn facade(depth: f64, seed: u64) -> Vec<Vec3> {
    let mut points = Vec::new();
    let mut random = |seed, n, low: f64, z| {
        let mut rng = Rng::seed_from_u64(seed);
        for _ in 0..n {
            let (x, y) = (2.0 * uniform(&mut rng) - 1.0, uniform(&mut rng));
            points.push(Vec3::new(x, low + 0.9 * y, z + 0.02 * uniform(&mut rng)));
        }
    };
    random(1, 300, -0.95, 0.0);
    random(seed, 300, 0.05, depth);
    points
}

/// Photos 1 to 7 of `a`, 8 to 14 of `b`, each from all over the same arc.
fn beside(a: &[Vec3], b: &[Vec3]) -> (Scene, ViewGraph) {
    let options = SceneOptions {
        views: PART as usize,
        ..SceneOptions::default()
    };
    let mut both = Scene::of_points(&options, a);
    let other = Scene::of_points(&SceneOptions { seed: 9, ..options }, b);
    let mut graph = both.view_graph();
    for (&(a, b), pair) in &other.view_graph().pairs {
        let (a, b) = (ViewId(a.0 + PART), ViewId(b.0 + PART));
        graph.pairs.insert(
            (a, b),
            TwoViewGeometry {
                a,
                b,
                ..pair.clone()
            },
        );
    }
    for (id, mut view) in other.truth.views {
        view.name = format!("other/{}", view.name);
        both.truth.views.insert(ViewId(id.0 + PART), view);
    }
    let moved = |id: ViewId| ViewId(id.0 + PART);
    both.features
        .extend(other.features.into_iter().map(|(id, f)| (moved(id), f)));
    both.point_of
        .extend(other.point_of.into_iter().map(|(id, p)| (moved(id), p)));
    (both, graph)
}

#[test]
fn places_with_the_same_facade_are_joined_only_if_their_surroundings_agree() {
    let recess = facade(1.2, 2);
    // The same place, whatever was found in it; and others.
    for (other, one) in [
        (recess.clone(), true),
        (facade(1.2, 3), true),
        (facade(-1.2, 3), false),
        (facade(-0.6, 3), false),
    ] {
        let (scene, mut graph) = beside(&recess, &other);
        weakly_linked(&scene, &mut graph, 300, 14);
        let result = map(&scene, &graph, &fixed());
        if one {
            assert_eq!(sizes(&result), [14]);
            assert_model_near(
                &result.models[0],
                &scene.truth,
                tolerance(5e-3, 0.3, 14, 600),
            );
        } else {
            assert_eq!(sizes(&result), [7, 7]);
            for why in result.unregistered.values() {
                assert_eq!(*why, UnregisteredReason::OtherModel { model: 1 });
            }
        }
    }
}
