//! Refinement of a block's planes in the chosen sources: random and perturbed
//! planes, then the vertex of a parabola.

use super::half_field::{F, LANES, NO_COST, Planes, each};
use super::judge::{Judge, admissible};
use super::level::LaneSources;
use super::propagation::{Block, Search, Sweep};
use super::view_choice::{Choice, MAX_SOURCES};

/// The chosen sources of 16 pixels.
struct Bench<'a> {
    judge: &'a Judge<'a>,
    choice: &'a Choice,
    lanes: &'a [LaneSources],
}

impl Bench<'_> {
    /// Weighted cost over the chosen sources; no more of it than shows that no
    /// lane comes below `limit`.
    #[inline(always)]
    fn total(&self, planes: &Planes, limit: &F) -> F {
        let bonus = self.judge.bonus(planes);
        let mut cost: F = each(|l| -bonus[l]);
        for (k, lane) in self.lanes.iter().enumerate() {
            let mut below = false;
            for l in 0..LANES {
                below |= cost[l] < limit[l];
            }
            if !below {
                break;
            }
            let (photo, geometric) = self.judge.pixels.costs(planes, lane, &self.choice.slots[k]);
            for l in 0..LANES {
                cost[l] += self.choice.slot_weight[k][l] * (photo[l] + geometric[l]);
            }
        }
        let ok = admissible(self.judge.sweep, planes);
        for l in 0..LANES {
            cost[l] = if ok[l] { cost[l] } else { NO_COST };
        }
        cost
    }
}

/// Random and perturbed planes in the chosen sources only.
#[inline(always)]
pub(crate) fn refine(
    sweep: &Sweep<'_>,
    block: &Block,
    judge: &Judge<'_>,
    choice: &Choice,
    best: &mut Planes,
    best_cost: &mut F,
) {
    let keep = sweep
        .options
        .views_per_pixel
        .min(sweep.level.sources.len())
        .min(MAX_SOURCES);
    let mut lanes = Vec::with_capacity(MAX_SOURCES);
    for k in 0..keep {
        lanes.push(LaneSources::new(
            sweep.level,
            sweep.kernel,
            block.x,
            block.y,
            &choice.slots[k],
        ));
    }
    let Some(first) = lanes.first() else { return };
    let bench = Bench {
        judge,
        choice,
        lanes: &lanes,
    };
    let steps: &[Step] = match sweep.search {
        Search::Wide => &[
            Step::Random,
            Step::RandomDepth,
            Step::Near(2.0, 0.0),
            Step::Near(0.0, 0.5),
            Step::Near(0.5, 0.2),
        ],
        Search::Near => &[
            Step::Near(0.7, 0.0),
            Step::Near(0.0, 0.4),
            Step::Near(0.25, 0.15),
            Step::Near(0.1, 0.05),
        ],
        Search::Nearest if sweep.polish => &[],
        Search::Nearest => &[Step::Near(0.1, 0.05)],
    };
    for (k, step) in steps.iter().enumerate() {
        let per_px = first.inverse_depth_per_px(&best.q);
        let candidate = step.apply(sweep, block, k, best, &per_px);
        let cost = bench.total(&candidate, best_cost);
        keep_better(&candidate, &cost, best, best_cost);
    }
    if sweep.polish {
        polish(first, best, best_cost, &bench);
    }
}

/// Takes the candidate where it costs less.
#[inline(always)]
fn keep_better(candidate: &Planes, cost: &F, best: &mut Planes, best_cost: &mut F) {
    let mut take = [false; LANES];
    for l in 0..LANES {
        take[l] = cost[l] < best_cost[l];
        best_cost[l] = if take[l] { cost[l] } else { best_cost[l] };
    }
    best.replace(&take, candidate);
}

/// The vertex of the parabola through the costs at ± 0.3 px of disparity.
#[inline(always)]
fn polish(first: &LaneSources, best: &mut Planes, best_cost: &mut F, bench: &Bench<'_>) {
    const STEP_PX: f32 = 0.3;
    const ALL: F = [f32::MAX; LANES];
    let per_px = first.inverse_depth_per_px(&best.q);
    let moved = |by: &F| {
        let mut p = *best;
        for l in 0..LANES {
            p.q[l] += by[l] * STEP_PX * per_px[l];
        }
        p
    };
    let minus = bench.total(&moved(&[-1.0; LANES]), &ALL);
    let plus = bench.total(&moved(&[1.0; LANES]), &ALL);
    let mut vertex = [0.0; LANES];
    for l in 0..LANES {
        let bend = minus[l] + plus[l] - 2.0 * best_cost[l];
        let at = 0.5 * (minus[l] - plus[l]) / bend;
        vertex[l] = if bend > 1e-6 {
            at.clamp(-1.0, 1.0)
        } else {
            0.0
        };
    }
    let candidate = moved(&vertex);
    let cost = bench.total(&candidate, best_cost);
    keep_better(&candidate, &cost, best, best_cost);
}

/// A new plane from the present one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Depth and slope anew.
    Random,
    /// Depth anew.
    RandomDepth,
    /// Within so many pixels of disparity, and so much slope.
    Near(f32, f32),
}

impl Step {
    #[inline(always)]
    pub(crate) fn apply(
        self,
        sweep: &Sweep<'_>,
        block: &Block,
        k: usize,
        now: &Planes,
        per_px: &F,
    ) -> Planes {
        let salt = (sweep.iteration * 8 + k) as u32;
        let [a, b, c] = random(sweep.seed, block.x, block.y, salt);
        let (fx, fy) = sweep.focal;
        let mut out = Planes::ZERO;
        for l in 0..LANES {
            let anywhere = sweep.range.0 + (0.5 + 0.5 * a[l]) * (sweep.range.1 - sweep.range.0);
            let (q, slope, fresh) = match self {
                Self::Random => (anywhere, 0.0, true),
                Self::RandomDepth => (anywhere, 0.0, false),
                Self::Near(px, slope) => (now.q[l] + a[l] * px * per_px[l], slope, false),
            };
            // The same normal at another depth.
            let scale = if fresh { 0.0 } else { q / now.q[l].max(1e-12) };
            let spread = if fresh { 1.5 } else { slope };
            out.q[l] = q;
            out.gx[l] = now.gx[l] * scale + q * spread * b[l] / fx;
            out.gy[l] = now.gy[l] * scale + q * spread * c[l] / fy;
        }
        out
    }
}

/// Three numbers in −1 … 1 per pixel, by what is computed and never by whom.
#[inline(always)]
fn random(seed: u64, x: usize, y: usize, salt: u32) -> [F; 3] {
    let mut out = [[0.0; LANES]; 3];
    let start = (seed as u32)
        ^ ((seed >> 32) as u32).rotate_left(16)
        ^ salt.wrapping_mul(0xC2B2_AE3D)
        ^ (y as u32).wrapping_mul(0x85EB_CA77);
    for (k, values) in out.iter_mut().enumerate() {
        for l in 0..LANES {
            let mut h = start
                .wrapping_add(((x + 2 * l) as u32).wrapping_mul(0x9E37_79B1))
                .wrapping_add((k as u32).wrapping_mul(0x27D4_EB2F));
            h ^= h >> 16;
            h = h.wrapping_mul(0x7FEB_352D);
            h ^= h >> 15;
            h = h.wrapping_mul(0x846C_A68B);
            h ^= h >> 16;
            values[l] = (h >> 8) as f32 * (2.0 / 16_777_216.0) - 1.0;
        }
    }
    out
}
