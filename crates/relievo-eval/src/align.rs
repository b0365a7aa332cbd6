//! The similarity between an estimate and the truth, from camera centres.

use crate::cameras::Cameras;
use crate::error::EvalError;
use crate::statistics::percentile;
use nalgebra::{Unit, UnitQuaternion};
use relievo_geometry::{Mat3, Sim3, Vec3, umeyama};
use relievo_task::RngCore;

/// Random triples tried, beside all cameras at once.
const ROUNDS: usize = 400;
/// Centres whose second principal spread is below this part of the first lie on a line.
const LINE: f64 = 0.01;
/// Centres closer together than this part of their distance from the origin lie in one place.
const ONE_PLACE: f64 = 1e-9;

/// Pairs of camera centres (estimated, true) by name.
pub(crate) fn common_centers(
    estimate: &Cameras,
    truth: &Cameras,
) -> Result<(Vec<Vec3>, Vec<Vec3>), EvalError> {
    let pairs: Vec<(Vec3, Vec3)> = estimate
        .iter()
        .filter_map(|(name, e)| {
            Some((
                e.cam_from_world.center(),
                truth.get(name)?.cam_from_world.center(),
            ))
        })
        .collect();
    if pairs.len() < 3 {
        return Err(EvalError::FewCommon {
            estimated: estimate.len(),
            true_: truth.len(),
            common: pairs.len(),
        });
    }
    Ok(pairs.into_iter().unzip())
}

/// Umeyama's similarity over all common cameras. Centres on a line leave the turn about
/// it open: the cameras' rotations settle it.
pub(crate) fn similarity(estimate: &Cameras, truth: &Cameras) -> Result<Sim3, EvalError> {
    let (from, to) = common_centers(estimate, truth)?;
    if [&from, &to].into_iter().any(|c| in_one_place(c)) {
        return Err(EvalError::NoSimilarity);
    }
    let t = umeyama(&from, &to, true).ok_or(EvalError::NoSimilarity)?;
    Ok(turned_about_line(t, estimate, truth, &to))
}

fn in_one_place(centers: &[Vec3]) -> bool {
    let mean = centers.iter().sum::<Vec3>() / centers.len() as f64;
    let far = |from: Vec3| {
        centers
            .iter()
            .map(|c| (c - from).norm())
            .fold(0.0, f64::max)
    };
    far(mean) <= ONE_PLACE * far(Vec3::zeros())
}

/// `t`, where the true centres lie on a line followed by the turn about it that brings
/// the rotations nearest to the true ones: the maximum of Σ tr(Qᵀ TᵢᵀEᵢRᵀ) over turns Q.
fn turned_about_line(t: Sim3, estimate: &Cameras, truth: &Cameras, centers: &[Vec3]) -> Sim3 {
    let mean = centers.iter().sum::<Vec3>() / centers.len() as f64;
    let spread: Mat3 = centers
        .iter()
        .map(|c| (c - mean) * (c - mean).transpose())
        .sum();
    let svd = spread.svd(true, false);
    let along = svd.singular_values;
    let Some(u) = svd.u.filter(|_| along[1] < LINE * LINE * along[0]) else {
        return t;
    };
    let axis = Unit::new_normalize(u.column(0).into_owned());
    let aligned = t.rotation.to_rotation_matrix().into_inner();
    let pairs = estimate
        .iter()
        .filter_map(|(name, e)| Some((e, truth.get(name)?)));
    let m: Mat3 = pairs
        .map(|(e, t)| {
            t.cam_from_world.matrix().transpose() * e.cam_from_world.matrix() * aligned.transpose()
        })
        .sum();
    let sine = (axis.cross_matrix().transpose() * m).trace();
    let cosine = m.trace() - axis.dot(&(m * axis.into_inner()));
    let turn = UnitQuaternion::from_axis_angle(&axis, sine.atan2(cosine));
    Sim3 {
        rotation: turn * t.rotation,
        translation: turn * (t.translation - mean) + mean,
        ..t
    }
}

/// `truth_from_estimate`, robust: the best of all cameras and 400 random
/// triples by truncated distance, then least squares on the cameras within
/// three times the median error, five times over. Refused where fewer than half
/// of the cameras come within a tenth of their spread.
pub fn align_cameras(estimate: &Cameras, truth: &Cameras) -> Result<Sim3, EvalError> {
    let (a, b) = common_centers(estimate, truth)?;
    if [&a, &b].into_iter().any(|c| in_one_place(c)) {
        return Err(EvalError::NoSimilarity);
    }
    let n = a.len();
    let center = b.iter().sum::<Vec3>() / n as f64;
    let spread = b.iter().map(|p| (p - center).norm()).sum::<f64>() / n as f64;
    let errors = |t: &Sim3| -> Vec<f64> {
        a.iter()
            .zip(&b)
            .map(|(a, b)| (t.apply(a) - b).norm())
            .collect()
    };
    let mut rng = relievo_task::rng(0, "eval", "align");
    let mut best: Option<(f64, Sim3)> = None;
    for round in 0..=ROUNDS {
        let found = if round == 0 {
            umeyama(&a, &b, true)
        } else {
            let pick = triple(&mut rng, n);
            umeyama(&pick.map(|i| a[i]), &pick.map(|i| b[i]), true)
        };
        let Some(t) = found else { continue };
        let cost: f64 = errors(&t).iter().map(|e| e.min(0.1 * spread)).sum();
        if cost.is_finite() && best.as_ref().is_none_or(|(c, _)| cost < *c) {
            best = Some((cost, t));
        }
    }
    let (_, mut t) = best.ok_or(EvalError::NoSimilarity)?;
    for _ in 0..5 {
        let e = errors(&t);
        let mut sorted = e.clone();
        sorted.sort_by(f64::total_cmp);
        let limit = (3.0 * percentile(&sorted, 50.0)).max(1e-9);
        let keep: Vec<usize> = (0..n).filter(|&i| e[i] <= limit).collect();
        let pick = |p: &[Vec3]| keep.iter().map(|&i| p[i]).collect::<Vec<_>>();
        match umeyama(&pick(&a), &pick(&b), true) {
            Some(better) => t = better,
            None => break,
        }
    }
    let close = errors(&t).iter().filter(|e| **e < 0.1 * spread).count();
    if 2 * close < n {
        return Err(EvalError::NoAgreement { close, common: n });
    }
    Ok(turned_about_line(t, estimate, truth, &b))
}

/// Three different indices below n ≥ 3.
fn triple(rng: &mut relievo_task::Rng, n: usize) -> [usize; 3] {
    let mut draw = |k: usize| (rng.next_u64() % k as u64) as usize;
    let i = draw(n);
    let mut j = draw(n - 1);
    j += usize::from(j >= i);
    let mut k = draw(n - 2);
    let (low, high) = (i.min(j), i.max(j));
    k += usize::from(k >= low);
    k += usize::from(k >= high);
    [i, j, k]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triples_are_distinct_and_reach_every_index() {
        let mut rng = relievo_task::rng(0, "eval", "test");
        for n in [3, 4, 9] {
            let mut seen = vec![0; n];
            for _ in 0..300 {
                let [a, b, c] = triple(&mut rng, n);
                assert!(a != b && b != c && a != c && a < n && b < n && c < n);
                for i in [a, b, c] {
                    seen[i] += 1;
                }
            }
            assert!(seen.iter().all(|s| *s > 20), "{seen:?}");
        }
    }
}
