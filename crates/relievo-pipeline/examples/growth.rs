//! How time and memory grow with the number of photos: `growth VIEWS`.
//!
//! A camera drives round a block and looks at its houses: every view sees about
//! 2,000 points, half of them also seen by the second view after it; a third of
//! the keypoints belongs to nothing. Features are synthesised, then pairs are
//! chosen, matched, verified and mapped as in a run. Prints a row of a table.

#![expect(clippy::print_stdout, reason = "a program that prints its figures")]

use relievo_geometry::{Mat3, Rigid3, Vec2, Vec3};
use relievo_matching::{
    MatchOptions, PairOptions, PairView, PreparedView, ScheduleOptions, VerifyOptions, ViewInput,
    choose_pairs, match_and_verify,
};
use relievo_scene::{
    Camera, CameraId, DESCRIPTOR_LEN, Features, Keypoint, TwoViewKind, ViewGraph, ViewId,
};
use relievo_sfm::{NoCheckpoint, SfmInput, SfmOptions, SfmView, reconstruct};
use relievo_synth::scene::{SceneOptions, normal, uniform};
use relievo_task::{Rng, Task};
use std::collections::BTreeMap;
use std::time::Instant;

/// Points that a view sees.
const SEEN: usize = 2000;
/// Keypoints of a view that are not of a point.
const CLUTTER: usize = 1000;
/// Distance between views; houses are 4 away, a picture is 4 wide.
const STEP: f64 = 1.0;

type Descriptor = [u8; DESCRIPTOR_LEN];

fn descriptor(base: Option<&Descriptor>, rng: &mut Rng) -> Descriptor {
    let mut v = [0.0; DESCRIPTOR_LEN];
    for (k, v) in v.iter_mut().enumerate() {
        *v = match base {
            None => uniform(rng).powi(3),
            Some(b) => (f64::from(b[k]) + 8.0 * normal(rng)).max(0.0),
        };
    }
    let norm = v.iter().map(|x| x * x).sum::<f64>().sqrt();
    v.map(|x| (512.0 * x / norm + 0.5).min(255.0) as u8)
}

/// Looks outwards at `angle` of a circle.
fn pose(angle: f64, radius: f64, rng: &mut Rng) -> Rigid3 {
    let (s, c) = angle.sin_cos();
    let z = Vec3::new(c, 0.0, s);
    let y = Vec3::y();
    let rotation = Mat3::from_rows(&[y.cross(&z).transpose(), y.transpose(), z.transpose()]);
    let center = z * radius + 0.1 * Vec3::new(normal(rng), normal(rng), normal(rng));
    Rigid3::from_matrix(&rotation, -(rotation * center))
}

fn features(views: usize, camera: &Camera) -> BTreeMap<ViewId, Features> {
    let mut rng = relievo_task::rng(1, "growth", "scene");
    let radius = views as f64 * STEP / std::f64::consts::TAU;
    // A picture of 4 by 3 at distance 4 holds a strip of 4 of the houses.
    let count = (SEEN as f64 * views as f64 * STEP / 4.0 * (radius + 4.0) / radius) as usize;
    let points: Vec<(f64, Vec3, Descriptor)> = (0..count)
        .map(|_| {
            let angle = std::f64::consts::TAU * uniform(&mut rng);
            let (s, c) = angle.sin_cos();
            let depth = radius + 4.0 + 0.5 * uniform(&mut rng);
            let height = 3.0 * uniform(&mut rng) - 1.5;
            let x = Vec3::new(c * depth, height, s * depth);
            (angle, x, descriptor(None, &mut rng))
        })
        .collect();
    (0..views)
        .map(|v| {
            let angle = std::f64::consts::TAU * v as f64 / views as f64;
            let pose = pose(angle, radius, &mut rng);
            let mut f = Features::default();
            let mut add = |px: Vec2, d: Descriptor| {
                f.keypoints.push(Keypoint {
                    x_px: px.x as f32,
                    y_px: px.y as f32,
                    scale_px: 2.0,
                    angle: 0.0,
                });
                f.descriptors.push(d);
                f.colors.push([128; 3]);
            };
            for (at, x, d) in &points {
                let away = (at - angle + std::f64::consts::PI).rem_euclid(std::f64::consts::TAU)
                    - std::f64::consts::PI;
                if away.abs() * radius > 3.0 {
                    continue;
                }
                let noise = 0.5 * Vec2::new(normal(&mut rng), normal(&mut rng));
                let Some(px) = camera.model.project(&pose.apply(x)).map(|p| p + noise) else {
                    continue;
                };
                if px.x >= 0.0 && px.y >= 0.0 && px.x < 1000.0 && px.y < 750.0 {
                    add(px, descriptor(Some(d), &mut rng));
                }
            }
            for _ in 0..CLUTTER {
                let px = Vec2::new(1000.0 * uniform(&mut rng), 750.0 * uniform(&mut rng));
                add(px, descriptor(None, &mut rng));
            }
            (ViewId(v as u32 + 1), f)
        })
        .collect()
}

fn peak_mib() -> f64 {
    let status = fs_err::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM"));
    let kib = line.and_then(|l| l.split_whitespace().nth(1)?.parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / 1024.0
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let views: usize = std::env::args().nth(1).ok_or("growth VIEWS")?.parse()?;
    // 1000 by 750 pixels, a focal length of 1000.
    let (camera, task) = (SceneOptions::default().camera, Task::silent());
    let features = features(views, &camera);
    let names: BTreeMap<ViewId, String> = features
        .keys()
        .map(|v| (*v, format!("{:05}.jpg", v.0)))
        .collect();
    let before = peak_mib();
    let started = Instant::now();
    let looks: Vec<PairView<'_>> = features
        .iter()
        .map(|(id, features)| PairView {
            id: *id,
            name: &names[id],
            geo: None,
            sequence: None,
            features,
        })
        .collect();
    let pairs = choose_pairs(&looks, &PairOptions::default(), &task)?;
    let chosen = Instant::now();
    let prepared: BTreeMap<ViewId, PreparedView> = features
        .iter()
        .map(|(id, f)| (*id, PreparedView::new(f, &camera)))
        .collect();
    let inputs: BTreeMap<ViewId, ViewInput<'_>> = features
        .iter()
        .map(|(id, features)| {
            let input = ViewInput {
                name: &names[id],
                features,
                camera: &camera,
                prepared: &prepared[id],
            };
            (*id, input)
        })
        .collect();
    let options = (
        &ScheduleOptions::default(),
        &MatchOptions::default(),
        &VerifyOptions::default(),
    );
    let found = match_and_verify(&pairs, &inputs, options, &task)?;
    let mut graph = ViewGraph::default();
    for g in found {
        if g.kind != TwoViewKind::Degenerate {
            graph.pairs.insert((g.a, g.b), g);
        }
    }
    let matched = Instant::now();
    let views_in = features
        .iter()
        .map(|(id, f)| {
            let view = SfmView {
                name: &names[id],
                camera_id: CameraId(1),
                keypoints: &f.keypoints,
                colors: &f.colors,
            };
            (*id, view)
        })
        .collect();
    let input = SfmInput {
        views: views_in,
        cameras: BTreeMap::from([(CameraId(1), camera)]),
        graph: &graph,
    };
    let result = reconstruct(&input, &SfmOptions::default(), &task, &mut NoCheckpoint)?;
    let mapped = Instant::now();
    let per_view = |from: Instant, to: Instant| 1e3 * (to - from).as_secs_f64() / views as f64;
    println!(
        "| {views} | {} | {} | {} | {:.1} | {:.1} | {:.1} | {:.0} | {:.0} |",
        pairs.len(),
        graph.pairs.len(),
        result.figures[0].registered,
        per_view(started, chosen),
        per_view(chosen, matched),
        per_view(matched, mapped),
        before,
        peak_mib(),
    );
    Ok(())
}
