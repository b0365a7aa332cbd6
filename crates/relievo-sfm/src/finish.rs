//! The last adjustments of a model: a heavy-tailed loss, and the principal
//! point and further distortion where the photos determine them.

use crate::adjust::{Adjustment, Given, Intrinsics, adjust};
use crate::covariance::{intrinsics_sigmas, posterior};
use crate::distortion::decide_distortion;
use crate::grow_points::filter;
use crate::held_out::held_out_cost;
use crate::model::Model;
use crate::refine::{clean_up, everything, limits};
use crate::scene::Scene;
use crate::state::Built;
use crate::{FocalLength, ModelCovariances, Named, NoCovariances, PrincipalPoint, SfmOptions};
use relievo_geometry::Sim3;
use relievo_optim::{BundleOptions, Loss};
use relievo_scene::CameraId;
use relievo_task::{Cancelled, Task};
use std::collections::{BTreeMap, BTreeSet};

/// Fewest photos of a camera whose principal point, or further distortion, may be refined.
pub(crate) const MIN_VIEWS: usize = 5;

/// Part of the held-out error that may be left where a principal point moves
/// far.
const FAR_MOVE_ERROR: f64 = 0.9;

/// σ of a focal length that a person names, as a part of it.
const NAMED_SIGMA: f64 = 0.003;

/// Standard deviations that a focal length lies from that of EXIF where it contradicts it.
const CONTRADICTION: f64 = 3.0;

/// Standard deviation of a focal length, as a part of that of EXIF, under which EXIF adds
/// nothing: a hundredth of the weight.
const LEAST_EXIF_SHARE: f64 = 0.1;

/// Part of the final block tolerance at which trials with and without free
/// parameters end: what is compared must have settled better than what is only used.
pub(crate) const TRIAL_PRECISION: f64 = 0.2;

/// What the last adjustments did.
#[derive(Clone, Debug, Default, PartialEq)]
struct Finish {
    iterations: usize,
    adjustments: usize,
    /// Camera and σ in pixels of each principal point that was refined.
    principal_points: Vec<(usize, f64)>,
}

impl Built {
    /// Adjusts the model to the end, and counts what that took.
    pub(crate) fn finish(
        &mut self,
        scene: &Scene<'_>,
        options: &SfmOptions,
        task: &Task,
    ) -> Result<(), Cancelled> {
        let done = finish(scene, &mut self.model, options, task)?;
        self.iterations += done.iterations as u64;
        self.global_adjustments += done.adjustments as u64;
        let refined = done.principal_points.into_iter();
        self.principal_points = refined.map(|(c, sigma)| (c as u32, sigma)).collect();
        Ok(())
    }
}

/// Adjusts to the end. Photos left with too few points lose their pose.
fn finish(
    scene: &Scene<'_>,
    model: &mut Model,
    options: &SfmOptions,
    task: &Task,
) -> Result<Finish, Cancelled> {
    let limits = limits(options);
    let loss = Loss::Cauchy(options.loss_scale_px);
    let mut out = Finish::default();
    let bundle = |max_iterations, tolerance| BundleOptions {
        max_iterations,
        tolerance,
        block_tolerance: options.final_block_tolerance,
        loss,
        ..BundleOptions::default()
    };
    for _ in 0..3 {
        let what = everything(
            scene,
            model,
            options,
            bundle(options.global_iterations, options.growth_tolerance),
        );
        out.iterations += adjust(scene, model, &what, task)?;
        out.adjustments += 1;
        let before = model.num_observations();
        let removed = filter(scene, model, &what.points, &limits);
        let changed = removed + clean_up(scene, model, &limits);
        drop_poor_views(model, options);
        if (changed as f64) < 0.002 * before as f64 {
            break;
        }
    }
    let mut what = everything(
        scene,
        model,
        options,
        bundle(options.final_iterations, options.final_tolerance),
    );
    what.prior = false;
    free_distortion(scene, model, &mut what, options);
    hold_to_exif(scene, model, &mut what, options);
    decide_principal_points(scene, model, &mut what, options, task, &mut out)?;
    let tried = decide_distortion(scene, model, &what, options, task)?;
    out.iterations += tried.iterations;
    out.adjustments += tried.adjustments;
    if tried.richer {
        // What the poorer model bent away from its place may fit now.
        filter(scene, model, &what.points, &limits);
        clean_up(scene, model, &limits);
        drop_poor_views(model, options);
        what.points = model.alive().map(|p| p.0).collect();
        what.views = model.order.iter().map(|&v| v as usize).collect();
    }
    out.iterations += adjust(scene, model, &what, task)?;
    out.adjustments += 1;
    // Once more without what the accurate model shows to be wrong.
    if filter(scene, model, &what.points, &limits) > 0 {
        drop_poor_views(model, options);
        what.points
            .retain(|&id| !model.points[id as usize].obs.is_empty());
        what.views = model.order.iter().map(|&v| v as usize).collect();
        out.iterations += adjust(scene, model, &what, task)?;
        out.adjustments += 1;
    }
    model.compact();
    Ok(out)
}

/// Photos with too few points lose their pose; two photos always stay.
pub(crate) fn drop_poor_views(model: &mut Model, options: &SfmOptions) {
    for v in model.order.clone() {
        if model.order.len() > 2
            && model.points_in(v as usize) < options.register_relaxed_min_inliers
        {
            model.unregister(v as usize);
        }
    }
}

/// Pulls cameras to what EXIF or a person says of them, where this tells more than the photos do
/// or is worth counting beside them. Cameras that move along a line without turning see a scene
/// of half the depth through half the focal length alike, and nothing stops a free one. A
/// focal length that the photos know, and contradict, is theirs.
fn hold_to_exif(scene: &Scene<'_>, model: &Model, what: &mut Adjustment, options: &SfmOptions) {
    let given = |c: usize| {
        let camera = &scene.cameras[c];
        let free = what.intrinsics[c] != Intrinsics::Fixed && camera.has_prior_focal;
        free.then(|| camera.model.mean_focal_px())
    };
    let given: Vec<Option<f64>> = (0..model.cameras.len()).map(given).collect();
    if given.iter().all(Option::is_none) {
        return;
    }
    let loss = what.options.loss;
    let (mut sigmas, residual_px) = intrinsics_sigmas(scene, model, what, loss);
    if sigmas.iter().all(Option::is_none) {
        // One camera that nothing determines hides what is known of the others.
        for c in (0..given.len()).filter(|&c| given[c].is_some()) {
            let mut alone = what.clone();
            let held = (0..given.len()).filter(|&o| o != c);
            held.for_each(|o| alone.intrinsics[o] = Intrinsics::Fixed);
            sigmas[c] = intrinsics_sigmas(scene, model, &alone, loss).0[c];
        }
    }
    let pull = |c: usize| {
        let focal_px = given[c]?;
        let sigma = sigmas[c].map_or(f64::INFINITY, |s| s.focal);
        let said = match scene.named[c] {
            Some(Named::Values) => options.focal_prior_sigma.min(NAMED_SIGMA),
            _ => options.focal_prior_sigma,
        };
        let unsure = sigma > said;
        let counts = sigma > LEAST_EXIF_SHARE * said;
        let off = (model.cameras[c].model.mean_focal_px() / focal_px - 1.0).abs();
        let agrees = off < CONTRADICTION * sigma.hypot(said);
        (counts && agrees).then_some(Given {
            focal_px,
            sigma: said,
            distortion: unsure,
            residual_px,
        })
    };
    what.given = (0..given.len()).map(pull).collect();
}

/// Frees the distortion of cameras with few photos, where the focal length
/// stays determined beside it: held at a wrong value it bends the focal length
/// (by up to 4 % in three rendered photos, freed 0.3 %).
fn free_distortion(scene: &Scene<'_>, model: &Model, what: &mut Adjustment, options: &SfmOptions) {
    if !what.intrinsics.contains(&Intrinsics::Focal) {
        return;
    }
    let mut free = what.clone();
    free.intrinsics.iter_mut().for_each(with_distortion);
    let (sigmas, _) = intrinsics_sigmas(scene, model, &free, what.options.loss);
    for (now, sigma) in what.intrinsics.iter_mut().zip(sigmas) {
        if sigma.is_some_and(|s| s.focal < options.distortion_max_sigma) {
            with_distortion(now);
        }
    }
}

fn with_distortion(free: &mut Intrinsics) {
    if *free == Intrinsics::Focal {
        *free = Intrinsics::FocalDistortion;
    }
}

/// Frees the principal points that the photos determine. The model goes on from
/// the trial whose choice was taken.
fn decide_principal_points(
    scene: &Scene<'_>,
    model: &mut Model,
    what: &mut Adjustment,
    options: &SfmOptions,
    task: &Task,
    out: &mut Finish,
) -> Result<(), Cancelled> {
    let cameras = model.cameras.len();
    let mut views = vec![0_usize; cameras];
    for &v in &model.order {
        views[scene.camera_of[v as usize]] += 1;
    }
    let candidate = |c: usize| {
        what.intrinsics[c] == Intrinsics::FocalDistortion
            && options.principal_point != PrincipalPoint::Fixed
            && (views[c] >= MIN_VIEWS || options.principal_point == PrincipalPoint::Refined)
    };
    let wanted: Vec<bool> = (0..cameras).map(candidate).collect();
    if !wanted.contains(&true) {
        return Ok(());
    }
    let mut fixed = what.clone();
    fixed.hold_out = true;
    fixed.options.tolerance = 1e-6;
    fixed.options.block_tolerance *= TRIAL_PRECISION;
    let mut free = fixed.clone();
    for (c, _) in wanted.iter().enumerate().filter(|(_, w)| **w) {
        free.intrinsics[c] = Intrinsics::All;
    }
    let mut with_fixed = model.clone();
    out.iterations += adjust(scene, &mut with_fixed, &fixed, task)?;
    let mut with_free = with_fixed.clone();
    out.iterations += adjust(scene, &mut with_free, &free, task)?;
    out.adjustments += 2;
    let (sigmas, _) = intrinsics_sigmas(scene, &with_free, &free, what.options.loss);
    let error_fixed = held_out_cost(scene, &with_fixed, &what.points, what.options.loss);
    let error_free = held_out_cost(scene, &with_free, &what.points, what.options.loss);
    for c in (0..cameras).filter(|&c| wanted[c]) {
        let Some(sigma) = sigmas[c].and_then(|s| s.principal_point_px) else {
            continue;
        };
        let camera = &model.cameras[c];
        let determined = sigma < options.principal_point_max_sigma * f64::from(camera.width_px);
        let moved = with_free.cameras[c].model.principal_point_px()
            - with_fixed.cameras[c].model.principal_point_px();
        let far = moved.amax() > options.principal_point_far * f64::from(camera.width_px);
        let most = if far { FAR_MOVE_ERROR } else { 1.0 };
        let better = error_free[c].0 < most * error_fixed[c].0;
        if (determined && better) || options.principal_point == PrincipalPoint::Refined {
            what.intrinsics[c] = Intrinsics::All;
            out.principal_points.push((c, sigma));
        }
    }
    let all = (0..cameras).all(|c| !wanted[c] || what.intrinsics[c] == Intrinsics::All);
    *model = if all { with_free } else { with_fixed };
    Ok(())
}

/// What is known of the focal length of each camera that has a photo in a
/// finished model, and, in `frame` if one is given, of its poses and points.
pub(crate) fn certainty(
    scene: &Scene<'_>,
    built: &Built,
    options: &SfmOptions,
    frame: Option<&Sim3>,
) -> (
    BTreeMap<CameraId, FocalLength>,
    Option<Result<ModelCovariances, NoCovariances>>,
) {
    let model = &built.model;
    let loss = Loss::Cauchy(options.loss_scale_px);
    let mut what = everything(scene, model, options, BundleOptions::default());
    what.prior = false;
    // Distortion that was held for want of photos is not known any better.
    what.intrinsics.iter_mut().for_each(with_distortion);
    for &(c, _) in &built.principal_points {
        what.intrinsics[c as usize] = Intrinsics::All;
    }
    let free: Vec<bool> = what
        .intrinsics
        .iter()
        .map(|i| *i != Intrinsics::Fixed)
        .collect();
    let known = |what: &Adjustment| {
        if let Some(frame) = frame {
            let (covariances, sigmas) = posterior(scene, model, what, loss, frame);
            (Some(covariances), sigmas)
        } else if free.contains(&true) {
            (None, intrinsics_sigmas(scene, model, what, loss).0)
        } else {
            (None, vec![None; model.cameras.len()])
        }
    };
    let (mut covariances, mut sigmas) = known(&what);
    // Those that were pulled to EXIF are known better.
    let mut pulled = everything(scene, model, options, what.options);
    pulled.prior = false;
    pulled.options.loss = loss;
    hold_to_exif(scene, model, &mut pulled, options);
    if pulled.given.iter().any(Option::is_some) {
        what.given = pulled.given;
        (covariances, sigmas) = known(&what);
    }
    let used: BTreeSet<usize> = model
        .order
        .iter()
        .map(|&v| scene.camera_of[v as usize])
        .collect();
    let of = |&c: &usize| {
        let known = if free[c] {
            FocalLength::Refined {
                sigma: sigmas[c].map(|s| s.focal),
            }
        } else if options.fix_intrinsics || model.cameras[c].has_prior_focal {
            FocalLength::Given
        } else {
            FocalLength::Guessed
        };
        (scene.camera_ids[c], known)
    };
    (used.iter().map(of).collect(), covariances)
}
