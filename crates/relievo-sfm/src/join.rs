//! Joining models that show parts of one place.
//!
//! Where photos overlap too little, no single one sees enough of a model to be
//! registered, and what is left becomes a model of its own. All photos of that model
//! together may well tell how it lies: points of both that matches say are one give a
//! similarity (`twins`). The joined model is adjusted, grows on, and is kept where
//! - matches between its parts fit it and few contradict it,
//! - photos of one part do not see through the points of the other (`seen_through`),
//! - no photo is lost and held-out observations fit about as well as before.
//!
//! Otherwise both models stay as they are.

use crate::adjust::{Intrinsics, adjust};
use crate::held_out::held_out;
use crate::incremental::Mapper;
use crate::links::evidence;
use crate::model::Model;
use crate::refine::{clean_up, everything, global, limits};
use crate::scene::{NONE, Obs, Scene};
use crate::seen_through::sights;
use crate::state::Built;
use crate::twins::{Twin, Twins};
use crate::{SfmError, SfmOptions};
use relievo_geometry::Sim3;
use relievo_optim::{BundleOptions, Estimator, Loss, RansacOptions, lo_ransac};
use relievo_task::{Cancelled, Task, seed};

/// Largest reprojection error of a point of the other model, in units of that of the
/// model's own points: both have drifted.
const SLACK: f64 = 4.0;

/// Fewest photos of each model, and pairs between them, that hold them together.
const MIN_VIEWS: usize = 2;
const MIN_PAIRS: usize = 3;

/// Camera centres that two halves of the twins place farther apart than this part of
/// their distance from the twins are not told by them.
const MAX_SPREAD: f64 = 0.1;

/// Matches that contradict a join, in units of those that support it.
const MAX_DOUBT: f64 = 0.5;

/// Points compared that tell something, and the part more of them that may be seen
/// through than within the models: halves of right models of six sets came to at most
/// 0.007, facades with other surroundings to 0.09.
const MIN_COMPARED: usize = 20;
const MAX_MORE_THROUGH: f64 = 0.03;

/// Held-out error that a joined model may have, as a part of that of its parts.
const JOINED_ERROR: f64 = 1.1;

/// Adjustments after which two models are one.
const ROUNDS: usize = 3;

impl Mapper<'_, '_> {
    /// Joins models as long as any two of them fit each other, the largest first.
    ///
    /// An interrupted run joins from the beginning.
    pub(crate) fn join_models(&mut self) -> Result<(), SfmError> {
        let size = |b: &Built| (b.model.order.len(), b.model.num_points());
        let mut models = std::mem::take(&mut self.state.done);
        models.sort_by_key(|b| std::cmp::Reverse(size(b)));
        'again: loop {
            for i in 0..models.len() {
                for j in i + 1..models.len() {
                    if let Some(joined) = self.join(&models, i, j)? {
                        models[i] = joined;
                        models.remove(j);
                        models.sort_by_key(|b| std::cmp::Reverse(size(b)));
                        continue 'again;
                    }
                }
            }
            break;
        }
        self.state.done = models;
        Ok(())
    }

    /// Models `i` and the smaller `j` as one, where they fit.
    fn join(&mut self, models: &[Built], i: usize, j: usize) -> Result<Option<Built>, SfmError> {
        let (scene, options, task) = (self.scene, self.options, self.task);
        let (large, small) = (&models[i], &models[j]);
        let Some(mut model) = placed(scene, &large.model, &small.model, options, task)? else {
            return Ok(None);
        };
        let iterations = global(scene, &mut model, options, ROUNDS, task)? as u64;
        if !holds(scene, &model, &small.model) {
            return Ok(None);
        }
        let mut joined = Built {
            model,
            iterations: large.iterations + small.iterations + iterations,
            global_adjustments: large.global_adjustments + small.global_adjustments + 1,
            local_adjustments: large.local_adjustments + small.local_adjustments,
            rings_closed: large.rings_closed + small.rings_closed,
            joined: large.joined + small.joined + 1,
            ..large.clone()
        };
        // Photos that saw too little of either may see enough of both.
        let others = (0..models.len()).filter(|&k| k != i && k != j);
        self.state.done = others.map(|k| models[k].clone()).collect();
        let rejected = self.state.rejected.clone();
        self.set_growing(joined);
        while self.grow()? {}
        self.state.done.clear();
        let Some(grown) = self.state.growing.take() else {
            return Ok(None);
        };
        joined = grown.built;
        joined.finish(scene, options, task)?;
        let parts = [&large.model, &small.model];
        let kept = |&v: &u32| joined.model.is_registered(v);
        if parts.iter().all(|m| m.order.iter().all(kept))
            && holds(scene, &joined.model, &small.model)
            && self.fits_as_well(&joined.model, &parts)?
        {
            return Ok(Some(joined));
        }
        self.state.rejected = rejected;
        Ok(None)
    }

    fn fits_as_well(&self, joined: &Model, parts: &[&Model]) -> Result<bool, Cancelled> {
        let error = |m: &Model| held_out(self.scene, m, self.options, self.task);
        let (mut before, mut count) = (0.0, 0);
        for part in parts {
            let (sum, held) = error(part)?;
            before += sum;
            count += held;
        }
        let (after, held) = error(joined)?;
        Ok(after * count as f64 <= JOINED_ERROR * before * held as f64)
    }
}

/// Both models in the frame of `large`, not adjusted; `None` where their twins do not
/// tell how they lie.
fn placed(
    scene: &Scene<'_>,
    large: &Model,
    small: &Model,
    options: &SfmOptions,
    task: &Task,
) -> Result<Option<Model>, Cancelled> {
    let least = options.register_relaxed_min_inliers;
    if twins(scene, large, small).len() < least {
        return Ok(None);
    }
    let mut small = small.clone();
    if share_cameras(scene, large, &mut small) {
        let bundle = BundleOptions {
            max_iterations: options.global_iterations,
            tolerance: options.growth_tolerance,
            loss: Loss::SoftL1(options.max_error_px),
            ..BundleOptions::default()
        };
        let mut what = everything(scene, &small, options, bundle);
        what.intrinsics.fill(Intrinsics::Fixed);
        adjust(scene, &mut small, &what, task)?;
    }
    let twins = Twins {
        scene,
        a: large,
        b: &small,
        list: twins(scene, large, &small),
    };
    let Some(large_from_small) = similarity(&twins, least, options, task) else {
        return Ok(None);
    };
    let mut model = large.clone();
    model.cameras.clone_from(&small.cameras);
    for &v in &small.order {
        if let Some(pose) = &small.poses[v as usize] {
            model.register(v as usize, large_from_small.transform_pose(pose));
        }
    }
    for (_, p) in small.alive() {
        model.add_point(large_from_small.apply(&p.x), p.obs.clone());
    }
    clean_up(scene, &mut model, &limits(options));
    Ok(Some(model))
}

/// Gives `small` the values that `large` found for the cameras of its photos; true where
/// this changes a camera that `small` uses.
fn share_cameras(scene: &Scene<'_>, large: &Model, small: &mut Model) -> bool {
    let mut changed = false;
    for &v in &large.order {
        let c = scene.camera_of[v as usize];
        if small.cameras[c].model != large.cameras[c].model {
            small.cameras[c].model = large.cameras[c].model;
            changed |= small
                .order
                .iter()
                .any(|&w| scene.camera_of[w as usize] == c);
        }
    }
    changed
}

/// Pairs of points that matches say are one, each once.
fn twins(scene: &Scene<'_>, a: &Model, b: &Model) -> Vec<Twin> {
    let mut out = Vec::new();
    for pair in &scene.pairs {
        let (va, vb) = (pair.a as u32, pair.b as u32);
        let straight = a.is_registered(va) && b.is_registered(vb);
        let crossed = a.is_registered(vb) && b.is_registered(va);
        if !straight && !crossed {
            continue;
        }
        for m in &pair.geometry.inliers {
            let first = Obs {
                view: va,
                kp: m.a_idx,
            };
            let second = Obs {
                view: vb,
                kp: m.b_idx,
            };
            let (in_a, in_b) = if straight {
                (first, second)
            } else {
                (second, first)
            };
            let (p, q) = (a.point_at(in_a), b.point_at(in_b));
            if p != NONE && q != NONE {
                out.push(Twin { p, q, in_a, in_b });
            }
        }
    }
    out.sort_unstable();
    out.dedup_by_key(|t| (t.p, t.q));
    out
}

/// `large_from_small`, where enough twins meet, of several photos, and they tell it well.
fn similarity(twins: &Twins<'_>, least: usize, options: &SfmOptions, task: &Task) -> Option<Sim3> {
    let scene = twins.scene;
    let views = || twins.a.order.iter().chain(&twins.b.order);
    let size = |v: &u32| scene.size_factor(*v as usize, 0.5, 1.0);
    let ransac = RansacOptions {
        threshold: SLACK * options.max_error_px * views().map(size).fold(0.0, f64::max),
        min_inliers: least,
        ..RansacOptions::default()
    };
    let first = |m: &Model| scene.names[m.order[0] as usize];
    let names = format!("{} {}", first(twins.a), first(twins.b));
    let found = lo_ransac(twins, &ransac, seed(task.run_seed(), "join", &names))?;
    let met: Vec<&Twin> = found.inliers.iter().map(|&i| &twins.list[i]).collect();
    let different = |mut ids: Vec<(u32, u32)>| {
        ids.sort_unstable();
        ids.dedup();
        ids.len()
    };
    let count = |key: fn(&Twin) -> (u32, u32)| different(met.iter().map(|t| key(t)).collect());
    let enough = count(|t| (t.p, 0)).min(count(|t| (t.q, 0))) >= least
        && met.len() as f64 >= options.register_min_inlier_ratio * twins.len() as f64
        && count(|t| (t.in_a.view, 0)).min(count(|t| (t.in_b.view, 0))) >= MIN_VIEWS
        && count(|t| (t.in_a.view, t.in_b.view)) >= MIN_PAIRS;
    (enough && told_by_halves(twins, &found.model, &found.inliers)).then_some(found.model)
}

/// Whether every second twin and the others place the smaller model alike.
fn told_by_halves(twins: &Twins<'_>, large_from_small: &Sim3, inliers: &[usize]) -> bool {
    let half = |first: usize| {
        let picked: Vec<usize> = inliers.iter().copied().skip(first).step_by(2).collect();
        twins.fit(&picked)
    };
    let (Some(even), Some(odd)) = (half(0), half(1)) else {
        return false;
    };
    let place = |&i: &usize| twins.a.points[twins.list[i].p as usize].x;
    let middle = inliers.iter().map(place).sum::<relievo_geometry::Vec3>() / inliers.len() as f64;
    let centers = twins
        .b
        .order
        .iter()
        .filter_map(|&v| twins.b.poses[v as usize]);
    centers.into_iter().map(|p| p.center()).all(|c| {
        let apart = (even.apply(&c) - odd.apply(&c)).norm();
        apart <= MAX_SPREAD * (large_from_small.apply(&c) - middle).norm()
    })
}

/// Whether matches and points speak for `model`, which holds `small` beside another one.
fn holds(scene: &Scene<'_>, model: &Model, small: &Model) -> bool {
    let side: Vec<bool> = small.poses.iter().map(Option::is_some).collect();
    let (mut supported, mut contradicted) = (0, 0);
    for (pair, e) in scene.pairs.iter().zip(evidence(scene, model)) {
        if side[pair.a] != side[pair.b] {
            if e.supports() {
                supported += e.fit;
            } else {
                contradicted += e.unfit;
            }
        }
    }
    let (across, within) = sights(scene, model, &side);
    supported > 0
        && contradicted as f64 <= MAX_DOUBT * supported as f64
        && (across.compared() < MIN_COMPARED || across.share() <= within.share() + MAX_MORE_THROUGH)
}
