//! The similarity between an estimate and the truth, from camera centres.

use crate::cameras::Cameras;
use crate::error::EvalError;
use crate::statistics::percentile;
use relievo_geometry::{Sim3, Vec3, umeyama};
use relievo_task::RngCore;

/// Random triples tried, beside all cameras at once.
const ROUNDS: usize = 400;

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

/// `truth_from_estimate`, robust: the best of all cameras and 400 random
/// triples by truncated distance, then least squares on the cameras within
/// three times the median error, five times over. Refused where fewer than half
/// of the cameras come within a tenth of their spread.
pub fn align_cameras(estimate: &Cameras, truth: &Cameras) -> Result<Sim3, EvalError> {
    let (a, b) = common_centers(estimate, truth)?;
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
    Ok(t)
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
