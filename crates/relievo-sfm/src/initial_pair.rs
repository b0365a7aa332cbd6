//! The pair from which a model starts.
//!
//! Pairs are ranked by their inliers, the angle between their rays and whether
//! they show more than a plane; the best are reconstructed and adjusted, and
//! the one with most accurate points under a sufficient angle wins.

use crate::SfmOptions;
use crate::adjust::{Adjustment, Intrinsics, adjust};
use crate::grow_points::{PointLimits, filter};
use crate::model::{Model, Point};
use crate::relative_pose::relative_pose;
use crate::scene::{Pair, Scene};
use relievo_geometry::Rigid3;
use relievo_geometry::triangulation::{Sighting, triangulate_linear, triangulation_angle};
use relievo_optim::{BundleOptions, Loss};
use relievo_scene::{Camera, TwoViewKind};
use relievo_task::{Cancelled, Task, ordered};

/// A reconstructed pair.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) a: usize,
    pub(crate) b: usize,
    pub(crate) model: Model,
    pub(crate) points: usize,
    pub(crate) median_angle: f64,
    pub(crate) iterations: usize,
    planar: bool,
}

impl Start {
    /// Points, discounted for a small angle or a plane.
    fn quality(&self, min_angle: f64) -> f64 {
        let angle = (self.median_angle / min_angle).min(1.0);
        self.points as f64 * angle * if self.planar { 0.5 } else { 1.0 }
    }
}

/// Halvings of what is asked of a first pair before there is none.
pub(crate) const HALVINGS: i32 = 2;

/// Whether a model that did not grow from a first pair shows what would be asked of one: points,
/// and a median widest angle between the rays of each. Photos that hardly moved fit any depths.
pub(crate) fn stands(model: &Model, options: &SfmOptions) -> bool {
    /// Photos of a point that are asked.
    const MOST: usize = 16;
    let part = 0.5_f64.powi(HALVINGS);
    let widest = |(_, p): (u32, &Point)| {
        let step = p.obs.len().div_ceil(MOST);
        let poses = p.obs.iter().step_by(step);
        let poses = poses.filter_map(|o| model.poses[o.view as usize].as_ref());
        let centers: Vec<_> = poses.map(Rigid3::center).collect();
        let pairs = (0..centers.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
        let angle = |(a, b): (usize, usize)| triangulation_angle(&centers[a], &centers[b], &p.x);
        pairs.map(angle).fold(0.0, f64::max)
    };
    let mut angles: Vec<f64> = model.alive().map(widest).collect();
    angles.sort_by(f64::total_cmp);
    let median = angles.get(angles.len() / 2).copied().unwrap_or(0.0);
    angles.len() as f64 >= part * options.init_min_points as f64
        && median >= part * options.init_min_angle_deg.to_radians()
}

/// Pairs worth trying, best guess first.
pub(crate) fn rank<'s, 'a>(
    scene: &'s Scene<'a>,
    cameras: &[Camera],
    allowed: impl Fn(&Pair<'a>) -> bool,
    min_angle: f64,
) -> Vec<&'s Pair<'a>> {
    let mut ranked: Vec<(f64, &Pair<'a>)> = scene
        .pairs
        .iter()
        .filter(|p| p.geometry.kind != TwoViewKind::PureRotation && allowed(p))
        .map(|p| {
            let kind = if p.geometry.kind == TwoViewKind::Planar {
                0.5
            } else {
                1.0
            };
            // Matches of the pair that live on in further views make it grow.
            let angle = rough_angle(scene, cameras, p);
            let angle = (angle / min_angle).clamp(0.05, 1.0);
            (p.geometry.inliers.len() as f64 * kind * angle, p)
        })
        .collect();
    ranked.sort_by(|p, q| {
        q.0.total_cmp(&p.0)
            .then((p.1.a, p.1.b).cmp(&(q.1.a, q.1.b)))
    });
    ranked.into_iter().map(|(_, p)| p).collect()
}

/// The pair's own median angle, or a guess from how far matches move.
fn rough_angle(scene: &Scene<'_>, cameras: &[Camera], pair: &Pair<'_>) -> f64 {
    if pair.geometry.median_angle > 0.0 {
        return pair.geometry.median_angle;
    }
    let f = cameras[scene.camera_of[pair.a]].model.mean_focal_px();
    let mut moves: Vec<f64> = pair
        .geometry
        .inliers
        .iter()
        .map(|m| (scene.px[pair.a][m.a_idx as usize] - scene.px[pair.b][m.b_idx as usize]).norm())
        .collect();
    moves.sort_by(f64::total_cmp);
    let spread = moves[moves.len() * 9 / 10] - moves[moves.len() / 10];
    (spread / f).atan()
}

/// The best of `pairs`, reconstructed; `None` where none gives any point.
pub(crate) fn best_start(
    scene: &Scene<'_>,
    cameras: &[Camera],
    pairs: &[&Pair<'_>],
    options: &SfmOptions,
    limits: &PointLimits,
    task: &Task,
) -> Result<Vec<Start>, Cancelled> {
    let min_angle = options.init_min_angle_deg.to_radians();
    let mut starts: Vec<Start> = ordered::try_map(pairs, |pair| {
        start(scene, cameras, pair, options, limits, task)
    })?
    .into_iter()
    .flatten()
    .collect();
    starts.sort_by(|p, q| {
        q.quality(min_angle)
            .total_cmp(&p.quality(min_angle))
            .then((p.a, p.b).cmp(&(q.a, q.b)))
    });
    Ok(starts)
}

fn start(
    scene: &Scene<'_>,
    cameras: &[Camera],
    pair: &Pair<'_>,
    options: &SfmOptions,
    limits: &PointLimits,
    task: &Task,
) -> Result<Option<Start>, Cancelled> {
    let (a, b) = (pair.a, pair.b);
    let Some(pose_b) = relative_pose(scene, cameras, pair) else {
        return Ok(None);
    };
    let mut model = Model::new(scene, cameras);
    model.register(a, Rigid3::identity());
    model.register(b, pose_b);
    // Looser before the adjustment, since the relative pose is still rough.
    let loose = PointLimits {
        max_error_px: 4.0 * limits.max_error_px,
        min_angle: 0.5 * limits.min_angle,
    };
    create_points(scene, &mut model, pair);
    let ids: Vec<u32> = model.alive().map(|p| p.0).collect();
    filter(scene, &mut model, &ids, &loose);
    let mut iterations = 0;
    for round in 0..2 {
        let points: Vec<u32> = model.alive().map(|p| p.0).collect();
        if points.len() < 8 {
            return Ok(None);
        }
        let what = Adjustment {
            views: vec![a, b],
            points: points.clone(),
            intrinsics: vec![Intrinsics::Fixed; cameras.len()],
            hold_out: false,
            prior: false,
            given: Vec::new(),
            options: BundleOptions {
                max_iterations: if round == 0 { 20 } else { 10 },
                tolerance: options.growth_tolerance,
                loss: Loss::Cauchy(options.loss_scale_px * 2.0),
                ..BundleOptions::default()
            },
        };
        iterations += adjust(scene, &mut model, &what, task)?;
        if round == 0 {
            filter(scene, &mut model, &points, &loose);
            create_points(scene, &mut model, pair);
        }
        let points: Vec<u32> = model.alive().map(|p| p.0).collect();
        filter(scene, &mut model, &points, limits);
    }
    model.compact();
    let (ca, cb) = match (&model.poses[a], &model.poses[b]) {
        (Some(p), Some(q)) => (p.center(), q.center()),
        _ => return Ok(None),
    };
    let mut angles: Vec<f64> = model
        .points
        .iter()
        .map(|p| triangulation_angle(&ca, &cb, &p.x))
        .collect();
    angles.sort_by(f64::total_cmp);
    let Some(&median_angle) = angles.get(angles.len() / 2) else {
        return Ok(None);
    };
    Ok(Some(Start {
        a,
        b,
        points: angles.len(),
        median_angle,
        iterations,
        planar: pair.geometry.kind == TwoViewKind::Planar,
        model,
    }))
}

/// Points for all inliers that have none.
fn create_points(scene: &Scene<'_>, model: &mut Model, pair: &Pair<'_>) {
    use crate::scene::{NONE, Obs};
    for m in &pair.geometry.inliers {
        let obs = [
            Obs {
                view: pair.a as u32,
                kp: m.a_idx,
            },
            Obs {
                view: pair.b as u32,
                kp: m.b_idx,
            },
        ];
        if obs.iter().any(|&o| model.point_at(o) != NONE) {
            continue;
        }
        let sightings: Option<Vec<Sighting<'_>>> =
            obs.iter().map(|&o| model.sighting(scene, o)).collect();
        if let Some(x) = sightings.and_then(|s| triangulate_linear(&s)) {
            model.add_point(x, obs.to_vec());
        }
    }
}
