//! Which views serve a view as sources, and the range of its depths.
//!
//! Pairs are scored by the points they share, each weighted by its
//! triangulation angle (a flat-topped variant of Yao et al., "MVSNet", ECCV
//! 2018, section 4.1) and by how finely the source resolves it, and counted by
//! cells of the picture, so that sources cover it; then sources are taken
//! greedily so that they do not all look from the same side.

use relievo_geometry::Vec3;
use relievo_scene::{Camera, SparseModel, ViewId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

relievo_task::options! {
    /// Options of the view selection.
    pub struct ViewSelectionOptions {
        /// Most sources listed per view.
        listed_sources: usize = 10, "views", "COLMAP uses 20, OpenMVS 8";
        /// Fewest points two views must share.
        min_shared_points: usize = 8, "points", "judgement";
        /// Triangulation angle that counts in full from here.
        best_angle_min_deg: f64 = 8.0, "deg", "PLANS: peak at 10 to 15 deg";
        /// Triangulation angle that counts in full up to here.
        best_angle_max_deg: f64 = 16.0, "deg", "PLANS: peak at 10 to 15 deg";
        /// Fall-off beyond the best angles.
        angle_fall_off_deg: f64 = 15.0, "deg", "judgement: NCC still holds at 40 deg";
        /// Pairs under this median angle are not used.
        min_angle_deg: f64 = 1.0, "deg", "COLMAP PatchMatch: 1 deg";
        /// Pairs over this median angle are not used.
        max_angle_deg: f64 = 65.0, "deg", "OpenMVS: 65; patches seen from two sides agree by chance: docs/decisions.md";
        /// Two sources nearer to each other than this, seen from the surface, count little together.
        separation_deg: f64 = 5.0, "deg", "judgement";
        /// The depth range reaches this much beyond the sparse points on both sides, in inverse depth.
        depth_margin: f64 = 0.25, "of the range", "judgement";
    }
}

/// How the depth of one view is to be estimated.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DepthPlan {
    /// Best first.
    pub sources: Vec<ViewId>,
    /// Least z-depth to look for, model units.
    pub depth_min: f64,
    /// Greatest z-depth to look for, model units.
    pub depth_max: f64,
    /// World positions of the triangulated points that this view observes.
    pub sparse_in_world: Vec<[f64; 3]>,
}

/// Cells along one side of the picture.
const CELLS: usize = 8;

struct Seen {
    track_idx: usize,
    depth: f64,
    cell: usize,
}

struct Posed<'a> {
    id: ViewId,
    camera: &'a Camera,
    center: Vec3,
    seen: Vec<Seen>,
}

/// Sources, depth range and sparse points of every registered view that is not
/// `excluded` (held-out views are neither references nor sources). A view
/// that shares too few points with every other has no entry.
pub fn select_views(
    model: &SparseModel,
    excluded: &BTreeSet<ViewId>,
    options: &ViewSelectionOptions,
) -> BTreeMap<ViewId, DepthPlan> {
    let positions: Vec<Option<Vec3>> = model
        .tracks
        .values()
        .map(|t| {
            t.position_in_world
                .filter(|p| p.iter().all(|v| v.is_finite()))
        })
        .collect();
    let views = posed_views(model, excluded, &positions);
    // Which views (by index) see each track, to visit only pairs that share.
    let mut seen_by = vec![Vec::new(); positions.len()];
    for (view_idx, view) in views.iter().enumerate() {
        for (k, s) in view.seen.iter().enumerate() {
            seen_by[s.track_idx].push((view_idx, k));
        }
    }
    views
        .iter()
        .enumerate()
        .filter_map(|(view_idx, view)| {
            let pairs = score_pairs(view_idx, &views, &seen_by, &positions, options);
            let points: Vec<Vec3> = view
                .seen
                .iter()
                .filter_map(|s| positions[s.track_idx])
                .collect();
            let sources = take_greedily(&pairs, &views, median_point(&points)?, options);
            if sources.is_empty() {
                return None;
            }
            let (depth_min, depth_max) = depth_range(view, options.depth_margin)?;
            Some((
                view.id,
                DepthPlan {
                    sources,
                    depth_min,
                    depth_max,
                    sparse_in_world: points.iter().map(|p| [p.x, p.y, p.z]).collect(),
                },
            ))
        })
        .collect()
}

fn posed_views<'a>(
    model: &'a SparseModel,
    excluded: &BTreeSet<ViewId>,
    positions: &[Option<Vec3>],
) -> Vec<Posed<'a>> {
    let mut views: Vec<Posed<'a>> = Vec::new();
    let mut index = BTreeMap::new();
    for (id, view, pose) in model.registered() {
        let Some(camera) = model.cameras.get(&view.camera_id) else {
            continue;
        };
        if excluded.contains(&id) || !pose.is_finite() {
            continue;
        }
        index.insert(id, (views.len(), pose, view));
        views.push(Posed {
            id,
            camera,
            center: pose.center(),
            seen: Vec::new(),
        });
    }
    for (track_idx, track) in model.tracks.values().enumerate() {
        let Some(position) = positions[track_idx] else {
            continue;
        };
        for o in &track.observations {
            let Some(&(view_idx, pose, view)) = index.get(&o.view_id) else {
                continue;
            };
            let depth = pose.apply(&position).z;
            let Some(&[x, y]) = view.points_px.get(o.point_idx as usize) else {
                continue;
            };
            if !(depth > 0.0) {
                continue;
            }
            let camera = views[view_idx].camera;
            let cell =
                |v: f64, size: u32| ((v / f64::from(size) * CELLS as f64) as usize).min(CELLS - 1);
            views[view_idx].seen.push(Seen {
                track_idx,
                depth,
                cell: cell(y, camera.height_px) * CELLS + cell(x, camera.width_px),
            });
        }
    }
    views
}

/// (view index, score) of every view that may serve view `a`.
fn score_pairs(
    a: usize,
    views: &[Posed<'_>],
    seen_by: &[Vec<(usize, usize)>],
    positions: &[Option<Vec3>],
    options: &ViewSelectionOptions,
) -> Vec<(usize, f64)> {
    struct Shared {
        cells: Vec<f64>,
        angles: Vec<f64>,
    }
    let mut shared: BTreeMap<usize, Shared> = BTreeMap::new();
    let focal = |v: &Posed<'_>| v.camera.model.focal_px().0;
    for s in &views[a].seen {
        let Some(position) = positions[s.track_idx] else {
            continue;
        };
        let ray_a = views[a].center - position;
        for &(b, k) in &seen_by[s.track_idx] {
            if b == a {
                continue;
            }
            let ray_b = views[b].center - position;
            let angle = ray_a.angle(&ray_b).to_degrees();
            if !angle.is_finite() {
                continue;
            }
            let by_angle = if angle < options.best_angle_min_deg {
                (angle / options.best_angle_min_deg).powi(2)
            } else {
                let over =
                    (angle - options.best_angle_max_deg).max(0.0) / options.angle_fall_off_deg;
                (-0.5 * over * over).exp()
            };
            // Pixels of b per pixel of a on the surface.
            let finer = focal(&views[b]) / views[b].seen[k].depth * s.depth / focal(&views[a]);
            let by_scale = finer.min(1.5 / finer).clamp(0.0, 1.0);
            let pair = shared.entry(b).or_insert_with(|| Shared {
                cells: vec![0.0; CELLS * CELLS],
                angles: Vec::new(),
            });
            pair.cells[s.cell] += by_angle * by_scale;
            pair.angles.push(angle);
        }
    }
    shared
        .into_iter()
        .filter_map(|(b, mut pair)| {
            if pair.angles.len() < options.min_shared_points.max(1) {
                return None;
            }
            pair.angles.sort_by(f64::total_cmp);
            let median = pair.angles[pair.angles.len() / 2];
            let score: f64 = pair.cells.iter().map(|c| (1.0 + c).ln()).sum();
            let range = options.min_angle_deg..=options.max_angle_deg;
            (range.contains(&median) && score > 0.0).then_some((b, score))
        })
        .collect()
}

fn take_greedily(
    pairs: &[(usize, f64)],
    views: &[Posed<'_>],
    target: Vec3,
    options: &ViewSelectionOptions,
) -> Vec<ViewId> {
    let mut left = pairs.to_vec();
    let mut taken: Vec<usize> = Vec::new();
    while taken.len() < options.listed_sources && !left.is_empty() {
        let value = |&(b, score): &(usize, f64)| {
            taken.iter().fold(score, |v, &t| {
                let apart = (views[b].center - target)
                    .angle(&(views[t].center - target))
                    .to_degrees()
                    / options.separation_deg;
                v * (1.0 - 0.7 * (-apart * apart).exp())
            })
        };
        // Ties go to the lower id: strictly greater replaces.
        let mut best = 0;
        for k in 1..left.len() {
            if value(&left[k]) > value(&left[best]) {
                best = k;
            }
        }
        taken.push(left.remove(best).0);
    }
    taken.into_iter().map(|b| views[b].id).collect()
}

fn median_point(points: &[Vec3]) -> Option<Vec3> {
    if points.is_empty() {
        return None;
    }
    let axis = |k: usize| {
        let mut values: Vec<f64> = points.iter().map(|p| p[k]).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Some(Vec3::new(axis(0), axis(1), axis(2)))
}

fn depth_range(view: &Posed<'_>, margin: f64) -> Option<(f64, f64)> {
    let mut q: Vec<f64> = view.seen.iter().map(|s| 1.0 / s.depth).collect();
    q.sort_by(f64::total_cmp);
    let last = q.len().checked_sub(1)?;
    let cut = (q.len() as f64 * 0.005) as usize;
    let (low, high) = (q[cut.min(last)], q[last - cut.min(last)]);
    let more = margin * (high - low) + 0.05 * high;
    let (low, high) = ((low - more).max(0.3 * low), high + more);
    (low > 0.0 && high.is_finite()).then(|| (1.0 / high, 1.0 / low))
}
