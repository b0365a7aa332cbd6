//! The error of observations that took no part in an adjustment.

use crate::SfmOptions;
use crate::adjust::{adjust, is_held_out};
use crate::model::Model;
use crate::refine::everything;
use crate::scene::{Obs, Scene};
use relievo_optim::{BundleOptions, Loss};
use relievo_task::{Cancelled, Task};

/// Mean ρ of observations that were held out of a last adjustment; infinite
/// where there are none.
pub(crate) fn held_out_error(
    scene: &Scene<'_>,
    model: &Model,
    options: &SfmOptions,
    task: &Task,
) -> Result<f64, Cancelled> {
    let (sum, held) = held_out(scene, model, options, task)?;
    Ok(if held > 0 {
        sum / held as f64
    } else {
        f64::INFINITY
    })
}

/// Σ ρ of observations that were held out of a last adjustment, and their number.
pub(crate) fn held_out(
    scene: &Scene<'_>,
    model: &Model,
    options: &SfmOptions,
    task: &Task,
) -> Result<(f64, usize), Cancelled> {
    let loss = Loss::Cauchy(options.loss_scale_px);
    let bundle = BundleOptions {
        max_iterations: options.final_iterations,
        tolerance: 1e-6,
        block_tolerance: options.final_block_tolerance,
        loss,
        ..BundleOptions::default()
    };
    let mut what = everything(scene, model, options, bundle);
    what.hold_out = true;
    let mut trial = model.clone();
    adjust(scene, &mut trial, &what, task)?;
    let costs = held_out_costs(scene, &trial, &what.points, loss);
    Ok((costs.iter().map(|c| c.2).sum(), costs.len()))
}

/// Σ ρ of the held-out observations and their number, by camera.
pub(crate) fn held_out_cost(
    scene: &Scene<'_>,
    model: &Model,
    points: &[u32],
    loss: Loss,
) -> Vec<(f64, usize)> {
    let mut sums = vec![(0.0, 0); model.cameras.len()];
    for (_, camera, cost) in held_out_costs(scene, model, points, loss) {
        sums[camera].0 += cost;
        sums[camera].1 += 1;
    }
    sums
}

/// Point, camera and ρ of every held-out observation, point after point.
pub(crate) fn held_out_costs(
    scene: &Scene<'_>,
    model: &Model,
    points: &[u32],
    loss: Loss,
) -> Vec<(u32, usize, f64)> {
    let mut out = Vec::new();
    for &id in points {
        let p = &model.points[id as usize];
        let is_out = |o: &&Obs| is_held_out(o.view, o.kp, p.obs.len());
        let held: Vec<Obs> = p.obs.iter().filter(is_out).copied().collect();
        // A point that lost most of its observations says nothing.
        if p.obs.len() - held.len() < 3 {
            continue;
        }
        for o in held {
            let e2 = model.squared_error(scene, o, &p.x).min(1e4);
            out.push((id, scene.camera_of[o.view as usize], loss.evaluate(e2).0));
        }
    }
    out
}
