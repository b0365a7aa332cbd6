//! Local and global refinement of a model.

use crate::SfmOptions;
use crate::adjust::{Adjustment, Intrinsics, adjust};
use crate::grow_points::{PointLimits, complete, filter, merge, triangulate_view};
use crate::model::Model;
use crate::scene::{NONE, Scene};
use relievo_optim::{BundleOptions, Loss};
use relievo_task::{Cancelled, Task};

/// Loss of adjustments while the model grows: gross errors are filtered
/// between them, so it only has to bound their pull.
const GROWTH_LOSS_PX: f64 = 2.0;

pub(crate) fn limits(options: &SfmOptions) -> PointLimits {
    PointLimits {
        max_error_px: options.max_error_px,
        min_angle: options.min_angle_deg.to_radians(),
    }
}

/// What may move of each camera that has a photo in the model, by the number of all its
/// photos: the focal length from three on, distortion from four (from three at the end).
pub(crate) fn free_intrinsics(
    scene: &Scene<'_>,
    model: &Model,
    options: &SfmOptions,
) -> Vec<Intrinsics> {
    let mut views = vec![0_usize; model.cameras.len()];
    for &v in &model.order {
        views[scene.camera_of[v as usize]] += 1;
    }
    let total = model.order.len();
    views
        .into_iter()
        .map(|n| match (n, total) {
            _ if options.fix_intrinsics => Intrinsics::Fixed,
            (0, _) | (_, 0..=2) => Intrinsics::Fixed,
            (_, 3) => Intrinsics::Focal,
            _ => Intrinsics::FocalDistortion,
        })
        .collect()
}

fn alive(model: &Model) -> Vec<u32> {
    model.alive().map(|p| p.0).collect()
}

/// An adjustment of everything.
pub(crate) fn everything(
    scene: &Scene<'_>,
    model: &Model,
    options: &SfmOptions,
    bundle: BundleOptions,
) -> Adjustment {
    Adjustment {
        views: model.order.iter().map(|&v| v as usize).collect(),
        points: alive(model),
        intrinsics: free_intrinsics(scene, model, options),
        hold_out: false,
        prior: true,
        given: Vec::new(),
        options: bundle,
    }
}

/// Adjusts everything and cleans up, until little changes or `rounds` are
/// over. Returns the iterations.
pub(crate) fn global(
    scene: &Scene<'_>,
    model: &mut Model,
    options: &SfmOptions,
    rounds: usize,
    task: &Task,
) -> Result<usize, Cancelled> {
    let limits = limits(options);
    let mut iterations = 0;
    for _ in 0..rounds {
        let bundle = BundleOptions {
            max_iterations: options.global_iterations,
            tolerance: options.growth_tolerance,
            loss: Loss::SoftL1(GROWTH_LOSS_PX),
            ..BundleOptions::default()
        };
        let what = everything(scene, model, options, bundle);
        iterations += adjust(scene, model, &what, task)?;
        let before = model.num_observations();
        let removed = filter(scene, model, &what.points, &limits);
        let changed = removed + clean_up(scene, model, &limits);
        if (changed as f64) < 0.005 * before as f64 {
            break;
        }
    }
    model.compact();
    Ok(iterations)
}

/// Completes, merges and triangulates again; returns what changed.
pub(crate) fn clean_up(scene: &Scene<'_>, model: &mut Model, limits: &PointLimits) -> usize {
    let mut changed = complete(scene, model, &alive(model), limits);
    changed += merge(scene, model, &alive(model), limits);
    for v in model.order.clone() {
        changed += triangulate_view(scene, model, v as usize, limits).len();
    }
    changed
}

/// Adjusts the views that share most points with `view`, and the points that
/// they see. Returns the iterations.
pub(crate) fn local(
    scene: &Scene<'_>,
    model: &mut Model,
    view: usize,
    changed: &[u32],
    options: &SfmOptions,
    task: &Task,
) -> Result<usize, Cancelled> {
    let limits = limits(options);
    let mut shared = vec![0_usize; scene.num_views()];
    let own: Vec<u32> = model.point_of[view]
        .iter()
        .copied()
        .filter(|&p| p != NONE)
        .collect();
    for &id in &own {
        for o in &model.points[id as usize].obs {
            shared[o.view as usize] += 1;
        }
    }
    let mut others: Vec<usize> = (0..scene.num_views())
        .filter(|&v| v != view && shared[v] > 0)
        .collect();
    others.sort_by(|&p, &q| shared[q].cmp(&shared[p]).then(p.cmp(&q)));
    others.truncate(options.local_views.saturating_sub(1));
    let mut views = vec![view];
    views.extend(others);
    // Points seen by the new view, and those that tie the others together.
    let mut points = own;
    let mut counts: std::collections::BTreeMap<u32, u32> = std::collections::BTreeMap::new();
    for &v in &views[1..] {
        for &id in &model.point_of[v] {
            if id != NONE {
                *counts.entry(id).or_default() += 1;
            }
        }
    }
    points.extend(
        counts
            .into_iter()
            .filter(|(_, n)| *n >= 2)
            .map(|(id, _)| id),
    );
    points.extend_from_slice(changed);
    points.retain(|&id| !model.points[id as usize].obs.is_empty());
    points.sort_unstable();
    points.dedup();
    // Intrinsics move only where all photos of the camera take part.
    let intrinsics = free_intrinsics(scene, model, options)
        .into_iter()
        .enumerate()
        .map(|(c, free)| {
            let inside =
                |v: &u32| scene.camera_of[*v as usize] != c || views.contains(&(*v as usize));
            if model.order.iter().all(inside) {
                free
            } else {
                Intrinsics::Fixed
            }
        })
        .collect();
    let what = Adjustment {
        views,
        points,
        intrinsics,
        hold_out: false,
        prior: true,
        given: Vec::new(),
        options: BundleOptions {
            max_iterations: options.local_iterations,
            tolerance: 10.0 * options.growth_tolerance,
            loss: Loss::SoftL1(GROWTH_LOSS_PX),
            ..BundleOptions::default()
        },
    };
    let iterations = adjust(scene, model, &what, task)?;
    filter(scene, model, &what.points, &limits);
    let left: Vec<u32> = what
        .points
        .iter()
        .copied()
        .filter(|&id| !model.points[id as usize].obs.is_empty())
        .collect();
    complete(scene, model, &left, &limits);
    merge(scene, model, &left, &limits);
    Ok(iterations)
}
