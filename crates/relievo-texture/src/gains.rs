//! One gain per view and channel, so that photos of different exposure agree.
//!
//! Least squares on the logarithms of the mean colours of faces that two views
//! share, reweighted (Cauchy) against moving things and highlights. sRGB is
//! close to a power law, so a change of exposure is a factor there too.

use crate::candidates::Candidates;
use nalgebra::{DMatrix, DVector};
use relievo_task::ordered;

/// Darker or brighter means are not trusted.
const TRUSTED: std::ops::RangeInclusive<u8> = 12..=243;
/// Most faces looked at.
const MOST_FACES: usize = 150_000;
/// Cauchy scale, in log units.
const SCALE: f64 = 0.08;

/// Factors per view and channel; their geometric mean is about 1. 1 for a view
/// that shares nothing with others.
pub(crate) fn view_gains(candidates: &Candidates, num_views: usize) -> Vec<[f32; 3]> {
    let mut logs = vec![[0.0_f64; 3]; num_views];
    if num_views < 2 {
        return vec![[1.0; 3]; num_views];
    }
    let stride = candidates.num_faces().div_ceil(MOST_FACES).max(1);
    let samples = candidates.num_faces().div_ceil(stride);
    for round in 0..4 {
        // Per channel: weights between views and weighted differences.
        let pairs = num_views * num_views;
        let sums = ordered::map_reduce(
            samples,
            10_000,
            |range| {
                let mut sums = vec![[0.0_f64; 2]; 3 * pairs];
                for s in range {
                    accumulate(
                        &mut sums,
                        candidates.of(s * stride),
                        &logs,
                        num_views,
                        round,
                    );
                }
                sums
            },
            |mut a, b| {
                for (x, y) in a.iter_mut().zip(&b) {
                    x[0] += y[0];
                    x[1] += y[1];
                }
                a
            },
        );
        let Some(sums) = sums else { break };
        for channel in 0..3 {
            let of = &sums[channel * pairs..(channel + 1) * pairs];
            if let Some(x) = solve(of, num_views) {
                for (log, x) in logs.iter_mut().zip(x.iter()) {
                    log[channel] = x.clamp(-1.6, 1.6);
                }
            }
        }
    }
    logs.iter().map(|l| l.map(|v| v.exp() as f32)).collect()
}

fn accumulate(
    sums: &mut [[f64; 2]],
    list: &[crate::candidates::Candidate],
    logs: &[[f64; 3]],
    num_views: usize,
    round: usize,
) {
    for (i, a) in list.iter().enumerate() {
        for b in &list[i + 1..] {
            let usable =
                (0..3).all(|k| TRUSTED.contains(&a.color[k]) && TRUSTED.contains(&b.color[k]));
            if !usable {
                continue;
            }
            let (u, v) = (a.view as usize, b.view as usize);
            for k in 0..3 {
                // log g_u − log g_v should be this.
                let d = (f64::from(b.color[k]) / f64::from(a.color[k])).ln();
                let r = logs[u][k] - logs[v][k] - d;
                let scale = if round == 0 { 4.0 * SCALE } else { SCALE };
                let w = 1.0 / (1.0 + (r / scale).powi(2));
                let at = &mut sums[(k * num_views + u) * num_views + v];
                at[0] += w;
                at[1] += w * d;
            }
        }
    }
}

fn solve(pairs: &[[f64; 2]], n: usize) -> Option<DVector<f64>> {
    let mut a = DMatrix::zeros(n, n);
    let mut b = DVector::zeros(n);
    for u in 0..n {
        for v in 0..n {
            let [w, wd] = pairs[u * n + v];
            // Many faces say the same thing; their number is no certainty.
            if w <= 0.0 {
                continue;
            }
            let s = w.sqrt() / w;
            let (w, wd) = (w * s, wd * s);
            a[(u, u)] += w;
            a[(v, v)] += w;
            a[(u, v)] -= w;
            a[(v, u)] -= w;
            b[u] += wd;
            b[v] -= wd;
        }
    }
    let trace = (0..n).map(|i| a[(i, i)]).fold(0.0, f64::max);
    for i in 0..n {
        a[(i, i)] += 1e-4 * trace + 1e-9;
    }
    a.cholesky().map(|c| c.solve(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Seen;

    #[test]
    fn exposures_are_recovered_among_outliers() {
        let truth = [1.0_f32, 0.8, 1.3, 1.1];
        let by_view: Vec<Vec<Seen>> = truth
            .iter()
            .enumerate()
            .map(|(v, g)| {
                (0..4000_u32)
                    .filter(|f| !(f + v as u32).is_multiple_of(3))
                    .map(|face| {
                        let base = 60.0 + (face % 97) as f32;
                        let mut c = base * g;
                        if (face * 7 + v as u32).is_multiple_of(11) {
                            c = 200.0;
                        }
                        Seen {
                            face,
                            quality: 1.0,
                            color: [c as u8; 3],
                        }
                    })
                    .collect()
            })
            .collect();
        let gains = view_gains(&Candidates::gather(4000, &by_view), 4);
        for v in 1..4 {
            let relative = gains[v][1] * truth[v] / (gains[0][1] * truth[0]);
            assert!((relative - 1.0).abs() < 0.02, "{v}: {relative}");
        }
    }
}
