//! Which distortion terms a camera has: k to begin with, then k1 and k2 (RADIAL), then
//! p1 and p2, too (OPENCV).
//!
//! A richer model is taken where the photos determine it and observations that took no
//! part say that it is right. More terms fit better whatever is true, so that the error
//! of the observations that are fitted says nothing.
//!
//! OPENCV has two focal lengths; those of a camera that began with one stay equal
//! (`adjust`): pixels are square, and photos without roll hardly tell the second.

use crate::adjust::{Adjustment, Intrinsics, adjust, build};
use crate::covariance::{IntrinsicsSigma, intrinsics_sigmas};
use crate::finish::{MIN_VIEWS, TRIAL_PRECISION};
use crate::held_out::held_out_costs;
use crate::model::Model;
use crate::scene::Scene;
use crate::{Distortion, SfmOptions};
use nalgebra::{DMatrix, DVector};
use relievo_geometry::{CameraModel, CameraModelKind, Vec2};
use relievo_optim::{FIXED, Solver, group_estimate};
use relievo_scene::Camera;
use relievo_task::{Cancelled, Task};
use std::collections::BTreeMap;

/// How many σ one of the new terms must differ from zero, and the held-out error must
/// fall: far and twice as likely as chance allows.
const SIGNIFICANT_TERM: f64 = 3.0;
const SIGNIFICANT_FALL: f64 = 2.0;
/// Least part by which the held-out error must fall: less is not worth another model.
const LEAST_FALL: f64 = 0.01;
/// Part of that which one linearisation must promise to make a trial worth its time.
const PROMISE: f64 = 0.5;

/// What the trials came to.
#[derive(Debug, Default)]
pub(crate) struct Tried {
    /// A camera has a richer model now.
    pub(crate) richer: bool,
    pub(crate) iterations: usize,
    pub(crate) adjustments: usize,
}

/// Gives cameras with enough photos, whose model nobody named, the richer models that pay.
/// The model goes on from the trial whose choice was taken, or stays to the bit.
pub(crate) fn decide_distortion(
    scene: &Scene<'_>,
    model: &mut Model,
    what: &Adjustment,
    options: &SfmOptions,
    task: &Task,
) -> Result<Tried, Cancelled> {
    let mut out = Tried::default();
    let mut views = vec![0_usize; model.cameras.len()];
    for &v in &model.order {
        views[scene.camera_of[v as usize]] += 1;
    }
    let candidate = |c: &usize| {
        let free = [Intrinsics::FocalDistortion, Intrinsics::All].contains(&what.intrinsics[*c]);
        free && views[*c] >= MIN_VIEWS && scene.named[*c].is_none()
    };
    let candidates: Vec<usize> = (0..views.len()).filter(candidate).collect();
    if options.distortion == Distortion::Given || candidates.is_empty() {
        return Ok(out);
    }
    let mut trial = what.clone();
    trial.hold_out = true;
    trial.options.tolerance = 1e-6;
    trial.options.block_tolerance *= TRIAL_PRECISION;
    let Some(promised) = promised(scene, model, &trial, &candidates) else {
        return Ok(out);
    };
    let mut run = |model: &mut Model| {
        out.iterations += adjust(scene, model, &trial, task)?;
        out.adjustments += 1;
        Ok(())
    };
    let mut poor = model.clone();
    let mut settled = false;
    for kind in [CameraModelKind::Radial, CameraModelKind::OpenCv] {
        let promises = |c: &&usize| {
            let now = &poor.cameras[**c].model;
            let (k2, all) = promised[**c];
            let fall = match (kind, now.kind()) {
                (CameraModelKind::Radial, _) => k2,
                (_, CameraModelKind::Radial) => all - k2,
                _ => all,
            };
            enriched(now, kind).is_some() && fall > PROMISE * LEAST_FALL
        };
        let wanted: Vec<usize> = candidates.iter().filter(promises).copied().collect();
        if wanted.is_empty() {
            continue;
        }
        if !settled {
            run(&mut poor)?;
            settled = true;
        }
        let mut rich = poor.clone();
        for &c in &wanted {
            if let Some(model) = enriched(&poor.cameras[c].model, kind) {
                rich.cameras[c].model = model;
            }
        }
        run(&mut rich)?;
        let loss = what.options.loss;
        let (sigmas, _) = intrinsics_sigmas(scene, &rich, &trial, loss);
        let costs = |m: &Model| held_out_costs(scene, m, &what.points, loss);
        let (before, after) = (costs(&poor), costs(&rich));
        let pays = |c: &usize| {
            let (camera, old) = (&rich.cameras[*c], poor.cameras[*c].model.kind());
            sigmas[*c].is_some_and(|s| determined(camera, &s, old, options))
                && !folds(camera)
                && falls(&before, &after, *c)
        };
        let accepted: Vec<usize> = wanted.iter().copied().filter(pays).collect();
        if accepted.is_empty() {
            continue;
        }
        out.richer = true;
        if accepted.len() == wanted.len() {
            poor = rich;
        } else {
            for c in accepted {
                poor.cameras[c].model = rich.cameras[c].model;
            }
            run(&mut poor)?;
        }
    }
    if out.richer {
        *model = poor;
    }
    Ok(out)
}

/// The same camera with more terms, which are zero; `None` where `kind` has no more.
fn enriched(camera: &CameraModel, kind: CameraModelKind) -> Option<CameraModel> {
    let c = camera.principal_point_px();
    let (fx, fy) = camera.focal_px();
    let (k1, k2) = match *camera {
        CameraModel::SimpleRadial { k, .. } => (k, 0.0),
        CameraModel::Radial { k1, k2, .. } if kind == CameraModelKind::OpenCv => (k1, k2),
        _ => return None,
    };
    match kind {
        CameraModelKind::Radial => CameraModel::from_params(kind, &[fx, c.x, c.y, k1, k2]),
        CameraModelKind::OpenCv => {
            CameraModel::from_params(kind, &[fx, fy, c.x, c.y, k1, k2, 0.0, 0.0])
        }
        _ => None,
    }
}

/// True for terms that OPENCV adds to `old`.
fn is_new(name: &str, old: CameraModelKind) -> bool {
    match name {
        "k2" => old == CameraModelKind::SimpleRadial,
        _ => name.starts_with('p'),
    }
}

/// By camera, the part of the cost of its observations that freeing k2 and that freeing
/// all new terms of OPENCV promises to take away: ½ δᵀΣ⁻¹δ of their step δ from a minimum
/// without them (the score test; Rao 1948). `None` where they are not determined.
fn promised(
    scene: &Scene<'_>,
    model: &Model,
    trial: &Adjustment,
    candidates: &[usize],
) -> Option<Vec<(f64, f64)>> {
    let mut rich = model.clone();
    for &c in candidates {
        let camera = &mut rich.cameras[c].model;
        *camera = enriched(camera, CameraModelKind::OpenCv).unwrap_or(*camera);
    }
    let (problem, state, _) = build(scene, &rich, trial);
    let known = group_estimate(&problem, &state, trial.options.loss, Solver::Auto)?;
    let s = &problem.structure;
    let size: usize = s.group_dims.iter().sum();
    let mut seen = vec![0_usize; model.cameras.len()];
    for (_, camera, _) in &problem.observations {
        seen[*camera as usize] += 1;
    }
    let mut out = vec![(0.0, 0.0); model.cameras.len()];
    for &c in candidates.iter().filter(|&&c| problem.group_of[c] != FIXED) {
        let first = s.group_offset(problem.group_of[c] as usize) - 6 * s.num_poses;
        let names = state.cameras[c].kind().param_names();
        let old = model.cameras[c].model.kind();
        let columns = problem.columns[c].iter().enumerate();
        let new: Vec<usize> = columns
            .filter(|(_, column)| is_new(names[**column], old))
            .map(|(k, _)| first + k)
            .collect();
        let n = new.len();
        let covariance = DMatrix::from_fn(n, n, |i, k| {
            known.covariance[new[i] * size + new[k]] / known.variance
        });
        let step = DVector::from_iterator(n, new.iter().map(|&k| known.step[k]));
        let Some(information) = covariance.try_inverse() else {
            continue;
        };
        let gradient = &information * &step;
        let cost = known.cost * seen[c] as f64 / problem.observations.len() as f64;
        let k2 = if old == CameraModelKind::SimpleRadial && n > 0 {
            0.5 * gradient[0].powi(2) / information[(0, 0)]
        } else {
            0.0
        };
        out[c] = (k2 / cost, 0.5 * step.dot(&gradient) / cost);
    }
    Some(out)
}

/// Distance of the farthest corner from the principal point, in focal lengths.
fn corner(camera: &Camera) -> f64 {
    let (w, h) = (f64::from(camera.width_px), f64::from(camera.height_px));
    let c = camera.model.principal_point_px();
    let far = |at: f64, size: f64| at.max(size - at);
    Vec2::new(far(c.x, w), far(c.y, h)).norm() / camera.model.mean_focal_px()
}

/// True where the terms that `old` did not have are known, one of them is not zero, and the
/// focal length stays determined beside them.
fn determined(
    camera: &Camera,
    sigma: &IntrinsicsSigma,
    old: CameraModelKind,
    options: &SfmOptions,
) -> bool {
    let (names, params) = (camera.model.kind().param_names(), camera.model.params());
    let (r, f) = (corner(camera), camera.model.mean_focal_px());
    // What a term of one moves a corner by.
    let reach = |name: &str| match name {
        "k2" => f * r.powi(5),
        "p1" | "p2" => 3.0 * f * r * r,
        _ => 0.0,
    };
    let new = || (0..names.len()).filter(|&k| is_new(names[k], old));
    let most = options.principal_point_max_sigma * f64::from(camera.width_px);
    sigma.focal < options.distortion_max_sigma
        && new().all(|k| reach(names[k]) * sigma.params[k] < most)
        && new().any(|k| params[k].abs() > SIGNIFICANT_TERM * sigma.params[k])
}

/// True where the distortion turns back on itself inside the picture: no pixel there has
/// one ray.
fn folds(camera: &Camera) -> bool {
    const SAMPLES: i32 = 32;
    let end = corner(camera);
    let radius = |k: i32| {
        let r = end * f64::from(k) / f64::from(SAMPLES);
        let (k1, k2) = match camera.model {
            CameraModel::Radial { k1, k2, .. } | CameraModel::OpenCv { k1, k2, .. } => (k1, k2),
            _ => (0.0, 0.0),
        };
        r * (1.0 + r * r * (k1 + r * r * k2))
    };
    (0..SAMPLES).any(|k| radius(k + 1) <= radius(k))
}

/// True where the held-out error of a camera falls by enough: over the points that it
/// sees (observations of one point are no independent witnesses), by more than chance.
fn falls(before: &[(u32, usize, f64)], after: &[(u32, usize, f64)], camera: usize) -> bool {
    let mut by_point: BTreeMap<u32, f64> = BTreeMap::new();
    let mut total = 0.0;
    for (b, a) in before.iter().zip(after).filter(|(b, _)| b.1 == camera) {
        *by_point.entry(b.0).or_default() += b.2 - a.2;
        total += b.2;
    }
    let n = by_point.len() as f64;
    let fall: f64 = by_point.values().sum();
    let mean = fall / n.max(1.0);
    let squares: f64 = by_point.values().map(|d| (d - mean).powi(2)).sum();
    let error = (squares * n / (n - 1.0).max(1.0)).sqrt();
    fall > SIGNIFICANT_FALL * error && fall > LEAST_FALL * total
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Costs of 400 points with two observations each, before and after, where each falls by
    /// `gain` and a swing that both observations of a point share.
    fn costs(gain: f64, swing: f64) -> [Vec<(u32, usize, f64)>; 2] {
        let row = |o: u32, cost: f64| (o / 2, 0, cost);
        let after = |o: u32| 1.0 - gain - swing * (f64::from(o / 2) * 2.4).sin();
        let before = (0..800).map(|o| row(o, 1.0)).collect();
        [before, (0..800).map(|o| row(o, after(o))).collect()]
    }

    #[test]
    fn a_fall_must_be_more_than_chance_and_worth_it() {
        let falls = |gain, swing| {
            let [before, after] = costs(gain, swing);
            assert!(!super::falls(&before, &after, 1), "another camera's");
            super::falls(&before, &after, 0)
        };
        assert!(falls(0.02, 0.1));
        assert!(!falls(0.005, 0.01), "too little");
        // σ of the mean is .5 / √2 / √400 = .018 over points; over observations, as if
        // they were independent, it would be .0125.
        assert!(!falls(0.03, 0.5), "may be chance");
        assert!(falls(0.04, 0.5));
        assert!(!falls(-0.02, 0.1));
    }

    #[test]
    fn distortion_that_turns_back_folds() {
        let camera = |k1, k2| Camera {
            model: CameraModel::Radial {
                f: 500.0,
                cx: 500.0,
                cy: 375.0,
                k1,
                k2,
            },
            width_px: 1000,
            height_px: 750,
            has_prior_focal: true,
        };
        // The corner is 1.25 focal lengths out; r − r³/3 turns back at 1.
        assert!(folds(&camera(-1.0 / 3.0, 0.0)));
        assert!(!folds(&camera(-0.2, 0.0)));
        assert!(!folds(&camera(-1.0 / 3.0, 0.1)));
    }
}
