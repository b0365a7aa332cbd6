//! Joint view selection over all hypotheses of a pixel (ACMH, Xu & Tao, CVPR
//! 2019, section 3.2).
//!
//! A source that is right for the pixel gives a low cost to at least some of
//! the hypotheses that its neighbours propagate, and a high cost to few.

use super::half_field::{F, I, LANES, U};

/// Most sources of a view.
pub(crate) const MAX_SOURCES: usize = 8;
/// Most hypotheses judged together.
pub(crate) const MAX_HYPOTHESES: usize = 10;

/// `costs[h][v]`: 1 − NCC of hypothesis h in source v.
pub(crate) type CostMatrix = [[F; MAX_SOURCES]; MAX_HYPOTHESES];

/// β of ACMH, equation 3: fall-off of a cost's credit.
const BETA: f32 = 0.3;
/// τ₀ and α of the good-cost threshold, τ₁ of the bad one (section 3.2).
const GOOD: f32 = 0.8;
const GOOD_DECAY: f32 = 90.0;
const BAD: f32 = 1.2;

/// Weights of the sources: `weight[v]`, 0 for those not chosen, sum 1.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) weight: [F; MAX_SOURCES],
    pub(crate) chosen: U,
    /// The k-th best source of each lane and its weight (0 = fewer).
    pub(crate) slots: [I; MAX_SOURCES],
    pub(crate) slot_weight: [F; MAX_SOURCES],
}

impl Choice {
    /// The sources of the bits of `chosen`, alike.
    #[inline(always)]
    pub(crate) fn equal(chosen: &U, sources: usize) -> Self {
        let mut out = Self {
            weight: [[0.0; LANES]; MAX_SOURCES],
            chosen: *chosen,
            slots: [[0; LANES]; MAX_SOURCES],
            slot_weight: [[0.0; LANES]; MAX_SOURCES],
        };
        let mut count: I = [0; LANES];
        for v in 0..sources.min(MAX_SOURCES) {
            for k in 0..=v {
                for l in 0..LANES {
                    let here = ((chosen[l] >> v) & 1 == 1) & (count[l] == k as i32);
                    out.slots[k][l] = if here { v as i32 } else { out.slots[k][l] };
                }
            }
            for l in 0..LANES {
                count[l] += ((chosen[l] >> v) & 1) as i32;
            }
        }
        for l in 0..LANES {
            let weight = 1.0 / count[l].max(1) as f32;
            for v in 0..sources.min(MAX_SOURCES) {
                out.weight[v][l] = if (chosen[l] >> v) & 1 == 1 {
                    weight
                } else {
                    0.0
                };
                out.slot_weight[v][l] = if (v as i32) < count[l] { weight } else { 0.0 };
            }
        }
        out
    }
}

/// Chooses up to `keep` of `sources` from the costs of the hypotheses
/// `0..hypotheses`, of which the first is the pixel's present one; each counts
/// `times`. `neighbours`: what the four nearest pixels chose.
#[inline(always)]
pub(crate) fn choose_sources(
    costs: &CostMatrix,
    times: &[F; MAX_HYPOTHESES],
    hypotheses: usize,
    neighbours: &[U; 4],
    sources: usize,
    keep: usize,
    iteration: usize,
) -> Choice {
    let good_below = GOOD * (-((iteration * iteration) as f32) / GOOD_DECAY).exp();
    let at_threshold = (-good_below * good_below / (2.0 * BETA * BETA)).exp();
    let mut score = [[0.0_f32; LANES]; MAX_SOURCES];
    for v in 0..sources {
        let mut good = [0.0_f32; LANES];
        let mut bad = [0.0_f32; LANES];
        let mut credit = [0.0_f32; LANES];
        let mut least = [2.0_f32; LANES];
        for h in 0..hypotheses {
            let m = &costs[h][v];
            for l in 0..LANES {
                let c = fast_exp(-m[l] * m[l] * (0.5 / (BETA * BETA)));
                let is_good = m[l] < good_below;
                let n = times[h][l];
                good[l] += if is_good { n } else { 0.0 };
                credit[l] += if is_good { n * c } else { 0.0 };
                bad[l] += if m[l] > BAD { n } else { 0.0 };
                least[l] = least[l].min(m[l]);
            }
        }
        for l in 0..LANES {
            let mut prior = 0.0;
            for n in neighbours {
                prior += if (n[l] >> v) & 1 == 1 { 0.225 } else { 0.025 };
            }
            let mean = if good[l] > 2.0 {
                credit[l] / good[l].max(1.0)
            } else {
                at_threshold
            };
            let base = if bad[l] < 3.0 { mean * prior } else { 0.0 };
            // Where every source is bad, the present hypothesis decides.
            let rescue = 1e-4 * fast_exp(-costs[0][v][l]) * (2.001 - least[l]);
            score[v][l] = base + rescue;
        }
    }
    let mut out = Choice {
        weight: [[0.0; LANES]; MAX_SOURCES],
        chosen: [0; LANES],
        slots: [[0; LANES]; MAX_SOURCES],
        slot_weight: [[0.0; LANES]; MAX_SOURCES],
    };
    let mut sum = [0.0_f32; LANES];
    for k in 0..keep.min(sources) {
        let mut best = [-1.0_f32; LANES];
        let mut which = [0_i32; LANES];
        for v in 0..sources {
            for l in 0..LANES {
                let free = (out.chosen[l] >> v) & 1 == 0;
                let take = free & (score[v][l] > best[l]);
                best[l] = if take { score[v][l] } else { best[l] };
                which[l] = if take { v as i32 } else { which[l] };
            }
        }
        for l in 0..LANES {
            // A source far below the best one only adds noise.
            let weight = if k == 0 || best[l] > 0.2 * out.slot_weight[0][l] {
                best[l].max(0.0)
            } else {
                0.0
            };
            let bit = if weight > 0.0 { 1 << which[l] } else { 0 };
            out.slots[k][l] = which[l];
            out.slot_weight[k][l] = weight;
            out.chosen[l] |= bit;
            sum[l] += weight;
        }
    }
    for l in 0..LANES {
        sum[l] = 1.0 / sum[l].max(1e-30);
    }
    for k in 0..keep.min(sources) {
        for l in 0..LANES {
            out.slot_weight[k][l] *= sum[l];
        }
        for v in 0..sources {
            for l in 0..LANES {
                let mine = out.slots[k][l] == v as i32;
                out.weight[v][l] += if mine { out.slot_weight[k][l] } else { 0.0 };
            }
        }
    }
    out
}

/// eˣ for x ≤ 0, relative error below 1e-4; vectorises, unlike libm's.
#[inline(always)]
pub(crate) fn fast_exp(x: f32) -> f32 {
    // Adding 1.5 · 2²³ rounds to an integer, which stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let y = x * std::f32::consts::LOG2_E;
    let y = if y > -120.0 { y } else { -120.0 };
    let t = y + ROUND;
    let f = y - (t - ROUND);
    // 2^f on [-0.5, 0.5], Taylor to the fourth order.
    let p = 1.0
        + f * (std::f32::consts::LN_2 + f * (0.240_226_5 + f * (0.055_504_11 + f * 0.009_618_13)));
    let exponent = t.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    f32::from_bits(exponent) * p
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_exp_is_close_to_exp() {
        for i in 0..4000 {
            let x = -(i as f32) * 0.01;
            let (a, b) = (fast_exp(x), x.exp());
            assert!((a - b).abs() <= 2e-4 * b + 1e-30, "{x}: {a} {b}");
        }
    }

    #[test]
    fn a_source_that_sees_something_else_is_left_out() {
        let mut costs: CostMatrix = [[[2.0; LANES]; MAX_SOURCES]; MAX_HYPOTHESES];
        for h in 0..9 {
            for v in [0, 2, 3] {
                costs[h][v] = [0.05 + 0.01 * h as f32; LANES];
            }
            costs[h][1] = [1.5; LANES];
        }
        let times = [[1.0; LANES]; MAX_HYPOTHESES];
        let choice = choose_sources(&costs, &times, 9, &[[0b1111; LANES]; 4], 4, 3, 0);
        assert_eq!(choice.chosen, [0b1101; LANES]);
        let sum: f32 = (0..4).map(|v| choice.weight[v][0]).sum();
        assert!((sum - 1.0).abs() < 1e-5);
        assert_eq!(choice.weight[1][0], 0.0);
    }
}
