//! Predicted covariances against the spread of many models of one scene, each from fresh
//! noise.

mod common;

use common::{fixed, input, tolerance};
use nalgebra::SMatrix;
use relievo_geometry::{Sim3, Vec3};
use relievo_scene::{Keypoint, SparseModel, ViewId};
use relievo_sfm::{NoCheckpoint, SfmOptions, SfmResult, reconstruct};
use relievo_synth::assert_model_near;
use relievo_synth::scene::{Motion, Scene, SceneOptions};
use relievo_task::{Rng, Task, rng, seed::RngCore};
use std::collections::BTreeMap;

const RUNS: usize = 60;
const NOISE_PX: f64 = 0.5;

/// A model and its covariances.
fn map(scene: &Scene, options: &SfmOptions) -> SfmResult {
    let graph = scene.view_graph();
    let input = input(scene, &graph, scene.camera());
    reconstruct(&input, options, &Task::silent(), &mut NoCheckpoint).expect("a model")
}

fn normal(rng: &mut Rng) -> f64 {
    let mut uniform = || (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    let radius = (-2.0 * (1.0 - uniform()).ln()).sqrt();
    radius * (std::f64::consts::TAU * uniform()).cos()
}

fn noisy(scene: &Scene, run: usize) -> Scene {
    let mut out = scene.clone();
    let mut rng = rng(run as u64, "covariance", "noise");
    let mut move_px = |k: &mut Keypoint| {
        k.x_px += (NOISE_PX * normal(&mut rng)) as f32;
        k.y_px += (NOISE_PX * normal(&mut rng)) as f32;
    };
    for f in out.features.values_mut() {
        f.keypoints.iter_mut().for_each(&mut move_px);
    }
    out
}

type Turns = SMatrix<f64, 6, 7>;

/// Rotation (camera frame) and centre of each photo, and the points, less the truth, in
/// units of the truth, after the similarity that makes Σ |δc|² + d² |δω|² least.
fn errors(
    model: &SparseModel,
    truth: &SparseModel,
    distance: f64,
) -> (
    BTreeMap<ViewId, SMatrix<f64, 6, 1>>,
    BTreeMap<u32, Vec3>,
    Sim3,
) {
    let pose = |m: &SparseModel, v: &ViewId| m.views[v].cam_from_world.expect("a pose");
    let views: Vec<ViewId> = model.registered().map(|(id, ..)| id).collect();
    let centers =
        |m: &SparseModel| -> Vec<Vec3> { views.iter().map(|v| pose(m, v).center()).collect() };
    let to = centers(truth);
    let from = centers(model);
    let mean = |all: &[Vec3]| all.iter().sum::<Vec3>() / all.len() as f64;
    let size = |all: &[Vec3]| {
        all.iter()
            .map(|c| (c - mean(all)).norm_squared())
            .sum::<f64>()
    };
    let middle = mean(&to);
    // Near enough for the rest to be linear, wherever the centres are.
    let rotation = pose(truth, &views[0]).rotation.inverse() * pose(model, &views[0]).rotation;
    let scale = (size(&to) / size(&from)).sqrt();
    let align = Sim3 {
        scale,
        rotation,
        translation: middle - scale * (rotation * mean(&from)),
    };
    let d = align.scale * distance;
    let (mut off, mut ways) = (BTreeMap::new(), BTreeMap::new());
    let (mut normal, mut right) = (SMatrix::<f64, 7, 7>::zeros(), SMatrix::<f64, 7, 1>::zeros());
    for (v, center) in views.iter().zip(&to) {
        let (is, should) = (align.transform_pose(&pose(model, v)), pose(truth, v));
        let turn = (is.rotation * should.rotation.inverse()).scaled_axis();
        let shift = is.center() - center;
        let e = SMatrix::<f64, 6, 1>::from_fn(|k, _| if k < 3 { turn[k] } else { shift[k - 3] });
        let mut g = Turns::zeros();
        for k in 0..3 {
            let axis = Vec3::ith(k, 1.0);
            g[(3 + k, k)] = 1.0;
            g.fixed_view_mut::<3, 1>(0, 3 + k)
                .copy_from(&-(should.matrix() * axis));
            g.fixed_view_mut::<3, 1>(3, 3 + k)
                .copy_from(&axis.cross(&(center - middle)));
        }
        g.fixed_view_mut::<3, 1>(3, 6).copy_from(&(center - middle));
        let weigh = SMatrix::<f64, 6, 6>::from_fn(|i, k| match (i == k, i < 3) {
            (true, true) => d * d,
            (true, false) => 1.0,
            _ => 0.0,
        });
        normal += g.transpose() * weigh * g;
        right += g.transpose() * weigh * e;
        off.insert(*v, e);
        ways.insert(*v, g);
    }
    let more = normal.try_inverse().expect("a fixed gauge") * right;
    for (v, e) in &mut off {
        *e -= ways[v] * more;
    }
    let by_color = points(truth);
    let mut points_off = BTreeMap::new();
    for (key, x) in points(model) {
        let (is, should) = (align.apply(&x), by_color[&key]);
        let arm = should - middle;
        let shift = Vec3::new(more[0], more[1], more[2]);
        let turn = Vec3::new(more[3], more[4], more[5]);
        points_off.insert(key, is - should - shift - turn.cross(&arm) - more[6] * arm);
    }
    (off, points_off, align)
}

/// Points by colour, which tells them apart.
fn points(model: &SparseModel) -> BTreeMap<u32, Vec3> {
    points_in_order(model).into_iter().collect()
}

fn points_in_order(model: &SparseModel) -> Vec<(u32, Vec3)> {
    let key = |c: [u8; 3]| u32::from_le_bytes([c[0], c[1], c[2], 0]);
    let of = |t: &relievo_scene::Track| Some((key(t.color), t.position_in_world?));
    model.tracks.values().filter_map(of).collect()
}

/// Means over all runs of squared errors and of what was predicted: rotations, centres,
/// points, each per photo or point.
#[derive(Default)]
struct Sums {
    rotations: BTreeMap<ViewId, [f64; 2]>,
    centers: BTreeMap<ViewId, [f64; 2]>,
    points: BTreeMap<u32, [f64; 2]>,
}

fn simulate(scene: &Scene, options: &SfmOptions) -> Sums {
    let mut sums = Sums::default();
    for run in 0..RUNS {
        let scene = noisy(scene, run);
        let result = map(&scene, options);
        let known = result.covariances.expect("covariances");
        let model = &result.models[0];
        let whole = tolerance(0.05, 180.1, scene.truth.views.len(), 200);
        assert_model_near(model, &scene.truth, whole);
        assert_eq!(known.poses.len(), scene.truth.views.len());
        assert_eq!(known.points.len(), model.tracks.len());
        let (poses, points_off, align) = errors(model, &scene.truth, known.distance);
        let scale2 = align.scale * align.scale;
        for (v, e) in &poses {
            let predicted = &known.poses[v];
            let (turn, shift) = (e.fixed_rows::<3>(0), e.fixed_rows::<3>(3));
            let add = |to: &mut [f64; 2], e2: f64, p: f64| {
                to[0] += e2;
                to[1] += p;
            };
            let rotation = predicted.rotation_sigma().powi(2);
            add(
                sums.rotations.entry(*v).or_default(),
                turn.norm_squared(),
                rotation,
            );
            let center = scale2 * predicted.position_sigma().powi(2);
            add(
                sums.centers.entry(*v).or_default(),
                shift.norm_squared(),
                center,
            );
        }
        for ((key, _), c) in points_in_order(model).iter().zip(&known.points) {
            let c = c.expect("a point that two photos see");
            let to = sums.points.entry(*key).or_default();
            to[0] += points_off[key].norm_squared();
            to[1] += scale2 * (c[0] + c[3] + c[5]);
        }
    }
    sums
}

/// Median of predicted over actual σ.
fn ratio<K>(sums: &BTreeMap<K, [f64; 2]>) -> f64 {
    let mut all: Vec<f64> = sums.values().map(|s| (s[1] / s[0]).sqrt()).collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn agree(scene: &Scene, options: &SfmOptions) {
    let sums = simulate(scene, options);
    for (what, ratio) in [
        ("rotations", ratio(&sums.rotations)),
        ("centres", ratio(&sums.centers)),
        ("points", ratio(&sums.points)),
    ] {
        assert!((0.85..1.18).contains(&ratio), "{what}: {ratio}");
    }
}

fn scene(views: usize, motion: Motion) -> Scene {
    Scene::new(&SceneOptions {
        views,
        points: 240,
        motion,
        noise_px: 0.0,
        ..SceneOptions::default()
    })
}

#[test]
fn sigmas_of_known_cameras_are_the_spread() {
    agree(&scene(7, Motion::Orbit(1.2)), &fixed());
}

#[test]
fn sigmas_of_unknown_cameras_are_the_spread() {
    agree(&scene(7, Motion::Orbit(1.2)), &SfmOptions::default());
}

#[test]
fn sigmas_of_centres_on_a_line_are_the_spread() {
    agree(&scene(6, Motion::Forward), &fixed());
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let scene = noisy(&scene(6, Motion::Orbit(1.0)), 0);
    let run = |threads| {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap()
            .install(|| map(&scene, &SfmOptions::default()).covariances.unwrap())
    };
    assert_eq!(run(1), run(2));
}

/// Two photos determine themselves but for a similarity; more photos, better.
#[test]
fn sigmas_fall_with_photos() {
    let of = |views: usize| {
        let full = noisy(&scene(12, Motion::Orbit(1.2)), 1);
        let mut graph = full.view_graph();
        let step = 11 / (views - 1);
        let kept = |v: &ViewId| ((v.0 - 1) as usize).is_multiple_of(step);
        graph.pairs.retain(|(a, b), _| kept(a) && kept(b));
        let input = input(&full, &graph, full.camera());
        let result = reconstruct(&input, &fixed(), &Task::silent(), &mut NoCheckpoint).unwrap();
        let known = result.covariances.unwrap();
        assert_eq!(known.poses.len(), views);
        let mean = |c: &[Option<[f64; 6]>]| {
            let all: Vec<f64> = c.iter().flatten().map(|c| c[0] + c[3] + c[5]).collect();
            all.iter().sum::<f64>() / all.len() as f64
        };
        (mean(&known.points).sqrt() / known.distance, known.poses)
    };
    let (two, poses) = of(2);
    assert!(
        poses
            .values()
            .all(|p| p.rotation_sigma() > 0.0 && p.rotation_sigma() < 0.01)
    );
    let twelve = of(12).0;
    assert!(twelve < 0.6 * two, "{twelve} {two}");
}
