//! From the blocks' step to the landmarks'.

use super::linearise::Linearisation;
use super::pattern::Pattern;
use super::reduce::Reduced;
use super::{LANDMARK_CHUNK, damping, times};
use crate::bundle::{BundleProblem, FIXED};
use relievo_task::ordered;

/// The landmarks' step for a step of the blocks, and the decrease of the cost
/// that the quadratic model predicts for both.
pub(crate) fn back_substitute<P: BundleProblem>(
    problem: &P,
    pattern: &Pattern,
    lin: &Linearisation,
    reduced: &Reduced,
    blocks: &[f64],
    lambda: f64,
) -> (Vec<f64>, f64) {
    let s = problem.structure();
    let m = pattern.max_group_dim;
    let parts = ordered::map_chunks(s.num_landmarks(), LANDMARK_CHUNK, |range| {
        let mut steps = Vec::with_capacity(range.len() * 3);
        let mut decrease = 0.0;
        for l in range {
            let v = &lin.landmarks[l];
            let mut rhs = [v[6], v[7], v[8]];
            for o in s.observations(l) {
                let p = s.observation_pose[o];
                if p == FIXED {
                    continue;
                }
                let d = &blocks[p as usize * 6..][..6];
                let w = &lin.w[o];
                for k in 0..3 {
                    for a in 0..6 {
                        rhs[k] += w[k * 6 + a] * d[a];
                    }
                }
            }
            for link in pattern.links(l) {
                let g = pattern.link_group[link] as usize;
                let d = &blocks[pattern.offsets[s.num_poses + g]..][..s.group_dims[g]];
                let w = &lin.link_w[link * m * 3..][..m * 3];
                for k in 0..3 {
                    for (a, da) in d.iter().enumerate() {
                        rhs[k] += w[k * m + a] * da;
                    }
                }
            }
            let step = times(&reduced.inverse[l], &rhs).map(|x| -x);
            for (k, diagonal) in [v[0], v[3], v[5]].into_iter().enumerate() {
                decrease += 0.5 * step[k] * (lambda * damping(diagonal) * step[k] - v[6 + k]);
            }
            steps.extend_from_slice(&step);
        }
        (steps, decrease)
    });
    let mut steps = Vec::with_capacity(s.num_landmarks() * 3);
    let mut decrease = 0.0;
    for (part, d) in parts {
        steps.extend_from_slice(&part);
        decrease += d;
    }
    for (k, d) in blocks.iter().enumerate() {
        decrease += 0.5 * d * (lambda * reduced.block_diagonal[k] * d - reduced.block_gradient[k]);
    }
    (steps, decrease)
}
