//! `mapper = auto`: when both mappers are tried, and whose model is kept.

mod common;

use common::{fixed, input, tolerance};
use relievo_scene::{Match, ViewGraph, ViewId};
use relievo_sfm::{
    Checkpoint, MapperKind, MemoryCheckpoint, NoCheckpoint, SfmError, SfmOptions, SfmResult,
    reconstruct,
};
use relievo_synth::assert_model_near;
use relievo_synth::scene::{Motion, Scene, SceneOptions};
use relievo_task::Task;

fn map(scene: &Scene, graph: &ViewGraph, mapper: MapperKind) -> SfmResult {
    let options = SfmOptions { mapper, ..fixed() };
    let input = input(scene, graph, scene.camera());
    reconstruct(&input, &options, &Task::silent(), &mut NoCheckpoint).expect("a model")
}

/// True for a model that began with all photos at once.
fn is_global(result: &SfmResult) -> bool {
    result.figures[0].initial_pair.is_none()
}

/// The last photo shares with others what these do not share with each other, as a picture
/// from another season does: there is no point to place it by, one after the other.
fn with_a_lonely_photo() -> (Scene, ViewGraph, ViewId) {
    let scene = Scene::new(&SceneOptions {
        points: 1200,
        noise_px: 0.3,
        ..SceneOptions::default()
    });
    let lonely = ViewId(8);
    let mut graph = scene.view_graph();
    for ((a, b), pair) in &mut graph.pairs {
        let of_lonely = |m: &Match| {
            let track = scene.point_of[a][m.a_idx as usize];
            track.is_some_and(|t| t.0.is_multiple_of(3))
        };
        let with_lonely = *a == lonely || *b == lonely;
        pair.inliers.retain(|m| of_lonely(m) == with_lonely);
    }
    (scene, graph, lonely)
}

/// No pair is wide enough to begin with; all of them together are.
#[test]
fn all_at_once_begins_where_no_pair_can() {
    let scene = Scene::new(&SceneOptions {
        views: 60,
        points: 800,
        motion: Motion::Orbit(1.6),
        noise_px: 0.3,
        ..SceneOptions::default()
    });
    let mut graph = scene.view_graph();
    // 1.6 degrees a step.
    graph.pairs.retain(|(a, b), _| b.0 - a.0 == 1);
    // The widest pair, less than two degrees, is to have a quarter of this.
    let options = |mapper| SfmOptions {
        mapper,
        init_min_angle_deg: 40.0,
        ..fixed()
    };
    let input = input(&scene, &graph, scene.camera());
    let run = |mapper| {
        let options = options(mapper);
        reconstruct(&input, &options, &Task::silent(), &mut NoCheckpoint)
    };
    let none = run(MapperKind::Incremental);
    assert!(matches!(none, Err(SfmError::NoInitialPair { .. })));
    let result = run(MapperKind::Auto).expect("a model");
    assert!(is_global(&result));
    assert_model_near(
        &result.models[0],
        &scene.truth,
        tolerance(2e-2, 0.5, 55, 500),
    );
}

#[test]
fn all_at_once_places_what_no_point_connects() {
    let (scene, graph, lonely) = with_a_lonely_photo();
    let left_out = map(&scene, &graph, MapperKind::Incremental);
    assert_eq!(left_out.unregistered.keys().collect::<Vec<_>>(), [&lonely]);
    let result = map(&scene, &graph, MapperKind::Auto);
    assert!(result.unregistered.is_empty() && is_global(&result));
    assert_model_near(
        &result.models[0],
        &scene.truth,
        tolerance(1e-2, 0.2, 8, 500),
    );
}

#[test]
fn one_after_the_other_is_kept_where_it_leaves_nothing_out() {
    let scene = Scene::new(&SceneOptions::default());
    let graph = scene.view_graph();
    let result = map(&scene, &graph, MapperKind::Auto);
    assert!(result.unregistered.is_empty() && !is_global(&result));
}

/// Matches that lead nowhere make the mapper try both; neither places the photo, and the
/// others stay as they were.
#[test]
fn a_photo_that_fits_nowhere_costs_the_others_nothing() {
    let (scene, mut graph, lonely) = with_a_lonely_photo();
    for ((a, b), pair) in &mut graph.pairs {
        if *a == lonely || *b == lonely {
            // Each keypoint is matched to what another one shows.
            let ends: Vec<u32> = pair.inliers.iter().map(|m| m.b_idx).collect();
            let n = ends.len();
            for (i, m) in pair.inliers.iter_mut().enumerate() {
                m.b_idx = ends[(i * 7 + n / 2) % n];
            }
        }
    }
    let result = map(&scene, &graph, MapperKind::Auto);
    assert_eq!(result.unregistered.keys().collect::<Vec<_>>(), [&lonely]);
    assert_model_near(
        &result.models[0],
        &scene.truth,
        tolerance(5e-3, 0.1, 7, 300),
    );
}

/// Every state that a run writes down.
#[derive(Default)]
struct Recorded(Vec<Vec<u8>>);

impl Checkpoint for Recorded {
    fn load(&mut self) -> Option<Vec<u8>> {
        None
    }
    fn save(&mut self, state: &[u8]) {
        self.0.push(state.to_vec());
    }
}

#[test]
fn a_run_that_tries_both_resumes_from_anywhere() {
    let (scene, graph, _) = with_a_lonely_photo();
    let input = input(&scene, &graph, scene.camera());
    let run = |mapper, checkpoint: &mut dyn Checkpoint| {
        let options = SfmOptions { mapper, ..fixed() };
        reconstruct(&input, &options, &Task::silent(), checkpoint).expect("a model")
    };
    let (mut first, mut both) = (Recorded::default(), Recorded::default());
    run(MapperKind::Incremental, &mut first);
    let whole = run(MapperKind::Auto, &mut both);
    assert!(is_global(&whole));
    assert!(both.0.len() > first.0.len(), "none of the second attempt");
    for (k, state) in both.0.into_iter().enumerate() {
        let resumed = run(MapperKind::Auto, &mut MemoryCheckpoint(Some(state)));
        assert_eq!(resumed.models, whole.models, "from state {k}");
        assert_eq!(resumed.figures, whole.figures, "from state {k}");
    }
}
