//! Points of a growing model: create, continue, complete, merge, filter
//! (Schönberger & Frahm 2016, §4.2–4.4).
//!
//! Candidates are computed in parallel from the model as it is and applied one
//! after the other in a fixed order, each checked again when its turn comes.

use crate::model::Model;
use crate::scene::{NONE, Obs, Scene};
use relievo_geometry::Vec3;
use relievo_geometry::triangulation::{Sighting, reaches_angle, refine_point, triangulate_robust};
use relievo_task::ordered;

/// Keypoints a unit of work.
const CHUNK: usize = 256;

/// Limits of what counts as one point.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PointLimits {
    /// Largest reprojection error at 2000 px and more, pixels.
    pub(crate) max_error_px: f64,
    /// Smallest angle between two rays, radians.
    pub(crate) min_angle: f64,
}

impl PointLimits {
    fn max_px(&self, scene: &Scene<'_>, view: u32) -> f64 {
        self.max_error_px * scene.size_factor(view as usize, 0.5, 1.0)
    }
}

enum Candidate {
    Continue(u32, Obs),
    Create(Vec3, Vec<Obs>),
}

/// Keypoints of `view` without a point: join a point that a match belongs to,
/// or make a new one with matches that have none. Returns changed points.
pub(crate) fn triangulate_view(
    scene: &Scene<'_>,
    model: &mut Model,
    view: usize,
    limits: &PointLimits,
) -> Vec<u32> {
    let max_px = limits.max_px(scene, view as u32);
    let free: Vec<u32> = (0..scene.px[view].len() as u32)
        .filter(|&kp| {
            model.point_of[view][kp as usize] == NONE
                && !scene.matches(view, kp as usize).is_empty()
        })
        .collect();
    let seen: &Model = model;
    let candidates = ordered::map_chunks(free.len(), CHUNK, |range| {
        let mut out = Vec::new();
        for &kp in &free[range] {
            let me = Obs {
                view: view as u32,
                kp,
            };
            out.extend(candidate(scene, seen, me, max_px, limits));
        }
        out
    });
    let mut changed = Vec::new();
    for c in candidates.into_iter().flatten() {
        match c {
            Candidate::Continue(id, me) => {
                if model.add(id, me) {
                    changed.push(id);
                }
            }
            Candidate::Create(x, obs) => {
                let obs: Vec<Obs> = obs
                    .into_iter()
                    .filter(|&o| model.point_at(o) == NONE)
                    .collect();
                if obs.len() >= 2 && wide_enough(model, &obs, &x, limits.min_angle) {
                    changed.push(model.add_point(x, obs));
                }
            }
        }
    }
    changed.sort_unstable();
    changed.dedup();
    changed
}

fn candidate(
    scene: &Scene<'_>,
    model: &Model,
    me: Obs,
    max_px: f64,
    limits: &PointLimits,
) -> Option<Candidate> {
    let mut best: Option<(f64, u32)> = None;
    let mut free: Vec<Obs> = vec![me];
    for &o in scene.matches(me.view as usize, me.kp as usize) {
        if !model.is_registered(o.view) {
            continue;
        }
        let id = model.point_at(o);
        if id == NONE {
            if free.iter().all(|f| f.view != o.view) {
                free.push(o);
            }
        } else if !model.sees(id, me.view) {
            let e2 = model.squared_error(scene, me, &model.points[id as usize].x);
            if e2 < max_px * max_px && best.is_none_or(|b| e2 < b.0) {
                best = Some((e2, id));
            }
        }
    }
    if let Some((_, id)) = best {
        return Some(Candidate::Continue(id, me));
    }
    if free.len() < 2 {
        return None;
    }
    free.sort_unstable();
    let sightings: Vec<Sighting<'_>> = free
        .iter()
        .map(|&o| model.sighting(scene, o))
        .collect::<Option<_>>()?;
    let found = triangulate_robust(&sightings, max_px, limits.min_angle)?;
    let obs = found.inliers.iter().map(|&i| free[i]).collect();
    Some(Candidate::Create(found.x_in_world, obs))
}

fn centers(model: &Model, obs: &[Obs]) -> Vec<Vec3> {
    obs.iter()
        .filter_map(|o| model.poses[o.view as usize].map(|p| p.center()))
        .collect()
}

fn wide_enough(model: &Model, obs: &[Obs], x: &Vec3, min_angle: f64) -> bool {
    reaches_angle(&centers(model, obs), x, min_angle)
}

/// Adds matches of a point's observations that have no point and fit it.
/// Returns the number of observations added.
pub(crate) fn complete(
    scene: &Scene<'_>,
    model: &mut Model,
    ids: &[u32],
    limits: &PointLimits,
) -> usize {
    let seen: &Model = model;
    let found = ordered::map_chunks(ids.len(), CHUNK, |range| {
        let mut out: Vec<(u32, Obs)> = Vec::new();
        for &id in &ids[range] {
            let point = &seen.points[id as usize];
            for own in &point.obs {
                for &o in scene.matches(own.view as usize, own.kp as usize) {
                    if !seen.is_registered(o.view)
                        || seen.point_at(o) != NONE
                        || seen.sees(id, o.view)
                    {
                        continue;
                    }
                    let max = limits.max_px(scene, o.view);
                    if seen.squared_error(scene, o, &point.x) < max * max {
                        out.push((id, o));
                    }
                }
            }
        }
        out
    });
    let mut added = 0;
    for (id, o) in found.into_iter().flatten() {
        added += usize::from(model.add(id, o));
    }
    added
}

/// Joins points that matches connect and whose observations all fit one
/// position. Returns the number of merges.
pub(crate) fn merge(
    scene: &Scene<'_>,
    model: &mut Model,
    ids: &[u32],
    limits: &PointLimits,
) -> usize {
    let seen: &Model = model;
    let mut pairs: Vec<(u32, u32)> = ordered::map_chunks(ids.len(), CHUNK, |range| {
        let mut out: Vec<(u32, u32)> = Vec::new();
        for &id in &ids[range] {
            for own in &seen.points[id as usize].obs {
                for &o in scene.matches(own.view as usize, own.kp as usize) {
                    let other = seen.point_at(o);
                    if other != NONE && other != id && seen.is_registered(o.view) {
                        out.push((id.min(other), id.max(other)));
                    }
                }
            }
        }
        out
    })
    .concat();
    pairs.sort_unstable();
    pairs.dedup();
    let mut merges = 0;
    for (a, b) in pairs {
        let (pa, pb) = (&model.points[a as usize], &model.points[b as usize]);
        if pa.obs.is_empty() || pb.obs.is_empty() {
            continue;
        }
        // A view that sees both as different keypoints speaks against it.
        if pa.obs.iter().any(|o| model.sees(b, o.view)) {
            continue;
        }
        let (na, nb) = (pa.obs.len() as f64, pb.obs.len() as f64);
        let start = (pa.x * na + pb.x * nb) / (na + nb);
        let obs: Vec<Obs> = pa.obs.iter().chain(&pb.obs).copied().collect();
        let fits = |x: &Vec3, slack: f64| {
            obs.iter().all(|&o| {
                let max = slack * limits.max_px(scene, o.view);
                model.squared_error(scene, o, x) < max * max
            })
        };
        if !fits(&start, 4.0) {
            continue;
        }
        let Some(sightings) = obs
            .iter()
            .map(|&o| model.sighting(scene, o))
            .collect::<Option<Vec<_>>>()
        else {
            continue;
        };
        let x = refine_point(&sightings, &start, 3);
        if fits(&x, 1.0) {
            drop(sightings);
            model.delete(a);
            model.delete(b);
            let id = model.add_point(x, obs);
            merges += 1;
            // The new point keeps the smaller id's place in the order of work.
            model.points.swap(a as usize, id as usize);
            model.points.pop();
            for o in model.points[a as usize].obs.clone() {
                model.point_of[o.view as usize][o.kp as usize] = a;
            }
        }
    }
    merges
}

/// Removes observations with too large an error, and points that are then too
/// short or seen under too small an angle. Returns observations removed.
pub(crate) fn filter(
    scene: &Scene<'_>,
    model: &mut Model,
    ids: &[u32],
    limits: &PointLimits,
) -> usize {
    let all_centers: Vec<Option<Vec3>> =
        model.poses.iter().map(|p| p.map(|p| p.center())).collect();
    let seen: &Model = model;
    let verdicts = ordered::map_chunks(ids.len(), CHUNK, |range| {
        let mut out: Vec<(u32, Vec<Obs>, bool)> = Vec::new();
        for &id in &ids[range] {
            let point = &seen.points[id as usize];
            if point.obs.is_empty() {
                continue;
            }
            let bad = |o: &Obs| {
                let max = limits.max_px(scene, o.view);
                !(seen.squared_error(scene, *o, &point.x) < max * max)
            };
            let drop: Vec<Obs> = point.obs.iter().filter(|o| bad(o)).copied().collect();
            let centers: Vec<Vec3> = point
                .obs
                .iter()
                .filter(|o| !drop.contains(o))
                .filter_map(|o| all_centers[o.view as usize])
                .collect();
            let delete = centers.len() < 2 || !reaches_angle(&centers, &point.x, limits.min_angle);
            if delete || !drop.is_empty() {
                out.push((id, drop, delete));
            }
        }
        out
    });
    let mut removed = 0;
    for (id, drop, delete) in verdicts.into_iter().flatten() {
        if delete {
            removed += model.points[id as usize].obs.len();
            model.delete(id);
        } else {
            removed += drop.len();
            for o in drop {
                model.remove(id, o);
            }
        }
    }
    removed
}
