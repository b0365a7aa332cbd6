//! The global mapper (Pan et al., "Global structure-from-motion revisited",
//! ECCV 2024): rotations of all pairs averaged, then all centres and points
//! positioned at once, then bundle adjustment. No photo comes first, so that no
//! drift grows; what it leaves out is registered as in the incremental mapper.

use crate::SfmOptions;
use crate::adjust::{Intrinsics, adjust};
use crate::global_positioning::{Rays, global_positions};
use crate::global_tracks::tracks;
use crate::grow_points::{PointLimits, filter};
use crate::model::Model;
use crate::refine::{everything, global, limits};
use crate::relative_pose::refined_pose;
use crate::rotation_averaging::{RotationEdge, angle, average_rotations};
use crate::scene::{NONE, Obs, Pair, Scene};
use crate::state::Built;
use nalgebra::UnitQuaternion;
use relievo_geometry::triangulation::{Sighting, triangulate_linear};
use relievo_geometry::{Rigid3, Vec3};
use relievo_optim::{BundleOptions, Loss};
use relievo_scene::{Camera, TwoViewKind};
use relievo_task::{Cancelled, Task, ordered};

/// Pairs with fewer inliers do not take part.
const MIN_INLIERS: usize = 15;
/// Views that make a track worth positioning.
const TRACK_VIEWS: usize = 3;
/// Tracks are positioned, the longest first, until each view has this many.
const TRACKS_PER_VIEW: usize = 400;
/// Error limits of the first adjustments, in units of the last ones'.
const LOOSENESS: [f64; 3] = [8.0, 3.0, 1.0];

/// A model of the largest connected part of the views that are not `taken`;
/// `None` where it has too few.
pub(crate) fn start(
    scene: &Scene<'_>,
    cameras: &[Camera],
    taken: &[bool],
    options: &SfmOptions,
    task: &Task,
) -> Result<Option<Built>, Cancelled> {
    let pairs: Vec<&Pair<'_>> = scene
        .pairs
        .iter()
        .filter(|p| !taken[p.a] && !taken[p.b] && p.geometry.inliers.len() >= MIN_INLIERS)
        .collect();
    let edges: Vec<Option<RotationEdge>> = ordered::map(&pairs, |pair| edge(scene, cameras, pair));
    task.check()?;
    let known: Vec<RotationEdge> = edges.iter().flatten().copied().collect();
    let rotations = average_rotations(scene.num_views(), &known);
    let right = |e: &RotationEdge| angle(e, &rotations).is_some_and(|a| a < RIGHT);
    let pairs: Vec<&Pair<'_>> = pairs
        .iter()
        .zip(&edges)
        .filter(|(_, e)| e.as_ref().is_some_and(right))
        .map(|(p, _)| *p)
        .collect();
    let mut model = Model::new(scene, cameras);
    let all = tracks(scene, &pairs, TRACK_VIEWS);
    let chosen = choose(scene.num_views(), &all);
    if !position(scene, &mut model, &all, &chosen, &rotations, task)? {
        return Ok(None);
    }
    create_points(scene, &mut model, &all);
    let iterations = settle(scene, &mut model, options, task)?;
    if model.order.len() < TRACK_VIEWS {
        return Ok(None);
    }
    Ok(Some(Built {
        model,
        initial: (NONE, NONE),
        global_adjustments: LOOSENESS.len() as u64 + 1,
        local_adjustments: 0,
        iterations: iterations as u64,
        rings_closed: 0,
        joined: 0,
        principal_points: Vec::new(),
    }))
}

/// Pairs that differ less from the averaged rotations give tracks, radians.
const RIGHT: f64 = 5.0 * std::f64::consts::PI / 180.0;

fn edge(scene: &Scene<'_>, cameras: &[Camera], pair: &Pair<'_>) -> Option<RotationEdge> {
    let turned = pair.geometry.kind == TwoViewKind::PureRotation;
    let pose = if turned {
        pair.geometry.b_from_a?
    } else {
        refined_pose(scene, cameras, pair)?
    };
    Some(RotationEdge {
        a: pair.a,
        b: pair.b,
        b_from_a: pose.rotation,
        weight: (pair.geometry.inliers.len() as f64).sqrt(),
    })
}

/// Positions in `tracks` (longest first) of those that views still need.
fn choose(views: usize, tracks: &[Vec<Obs>]) -> Vec<usize> {
    let mut has = vec![0_usize; views];
    let mut chosen = Vec::new();
    for (k, track) in tracks.iter().enumerate() {
        if track.iter().any(|o| has[o.view as usize] < TRACKS_PER_VIEW) {
            for o in track {
                has[o.view as usize] += 1;
            }
            chosen.push(k);
        }
    }
    chosen
}

/// Registers every view with a rotation and rays; false where these do not
/// suffice.
fn position(
    scene: &Scene<'_>,
    model: &mut Model,
    tracks: &[Vec<Obs>],
    chosen: &[usize],
    rotations: &[Option<UnitQuaternion<f64>>],
    task: &Task,
) -> Result<bool, Cancelled> {
    let mut seen = vec![false; scene.num_views()];
    for o in chosen.iter().flat_map(|&k| &tracks[k]) {
        seen[o.view as usize] = rotations[o.view as usize].is_some();
    }
    let views: Vec<usize> = (0..scene.num_views()).filter(|&v| seen[v]).collect();
    if views.len() < TRACK_VIEWS {
        return Ok(false);
    }
    let mut rays = Rays {
        starts: vec![0],
        ..Rays::default()
    };
    for &k in chosen {
        for o in &tracks[k] {
            let v = o.view as usize;
            let (Ok(at), Some(rotation)) = (views.binary_search(&v), rotations[v]) else {
                continue;
            };
            let bearing = model.cameras[scene.camera_of[v]]
                .model
                .unproject(&scene.pixel(*o));
            let ray = rotation.inverse() * Vec3::new(bearing.x, bearing.y, 1.0).normalize();
            rays.views.push(at as u32);
            rays.directions.push(ray);
        }
        rays.starts.push(rays.views.len() as u32);
    }
    let Some(found) = global_positions(views.len(), &rays, task)? else {
        return Ok(false);
    };
    // A ring of cameras gets a radius of about 1.
    let n = views.len() as f64;
    let middle = found.centers.iter().sum::<Vec3>() / n;
    let size = found
        .centers
        .iter()
        .map(|c| (c - middle).norm())
        .sum::<f64>()
        / n;
    if !(size > 0.0) {
        return Ok(false);
    }
    for (&v, c) in views.iter().zip(&found.centers) {
        if let Some(rotation) = rotations[v] {
            let center = (c - middle) / size;
            model.register(v, Rigid3::new(rotation, -(rotation * center)));
        }
    }
    Ok(true)
}

/// A point for each track, wherever its rays meet best.
fn create_points(scene: &Scene<'_>, model: &mut Model, tracks: &[Vec<Obs>]) {
    let seen: &Model = model;
    let places: Vec<Option<(Vec3, Vec<Obs>)>> = ordered::map(tracks, |track| {
        let obs: Vec<Obs> = track
            .iter()
            .copied()
            .filter(|o| seen.is_registered(o.view))
            .collect();
        let sightings: Vec<Sighting<'_>> = obs
            .iter()
            .map(|&o| seen.sighting(scene, o))
            .collect::<Option<_>>()?;
        let x = (obs.len() >= 2).then(|| triangulate_linear(&sightings))??;
        Some((x, obs))
    });
    for (x, obs) in places.into_iter().flatten() {
        model.add_point(x, obs);
    }
}

/// Adjusts under ever tighter limits. Returns the iterations.
fn settle(
    scene: &Scene<'_>,
    model: &mut Model,
    options: &SfmOptions,
    task: &Task,
) -> Result<usize, Cancelled> {
    let last = limits(options);
    let mut iterations = 0;
    for (round, looseness) in LOOSENESS.into_iter().enumerate() {
        let bundle = BundleOptions {
            max_iterations: 2 * options.global_iterations,
            tolerance: options.growth_tolerance,
            loss: Loss::SoftL1(looseness * options.loss_scale_px),
            ..BundleOptions::default()
        };
        let mut what = everything(scene, model, options, bundle);
        if round == 0 {
            // Directions first; the focal length must not make up for them.
            what.intrinsics.fill(Intrinsics::Fixed);
        }
        iterations += adjust(scene, model, &what, task)?;
        let loose = PointLimits {
            max_error_px: looseness * last.max_error_px,
            ..last
        };
        filter(scene, model, &what.points, &loose);
        for v in model.order.clone() {
            if model.points_in(v as usize) < options.register_min_inliers {
                model.unregister(v as usize);
            }
        }
        model.compact();
    }
    if model.order.len() >= TRACK_VIEWS {
        iterations += global(scene, model, options, 2, task)?;
    }
    Ok(iterations)
}
