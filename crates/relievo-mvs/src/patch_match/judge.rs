//! What a plane costs the pixels of a block: photo-consistency, agreement with
//! the sources' maps, and the pull of a planar prior (ACMP, Xu & Tao, AAAI 2020,
//! section 3).

use super::half_field::{F, I, LANES, Planes, each, load};
use super::level::LaneSources;
use super::ncc::{Patch, ncc_cost};
use super::propagation::{Block, Sweep};
use super::view_choice::fast_exp;
use std::cell::Cell;

/// 16 pixels of one row whose planes are scored.
#[derive(Clone, Copy)]
pub(crate) struct Pixels<'a> {
    pub(crate) sweep: &'a Sweep<'a>,
    pub(crate) patch: &'a Patch,
    /// Comparisons with a source so far, 16 pixels at a time.
    pub(crate) compared: &'a Cell<u64>,
    /// Centres.
    pub(crate) px: F,
    pub(crate) py: f32,
}

impl<'a> Pixels<'a> {
    /// Those of `block`, whose patches are in `patch`.
    #[inline(always)]
    pub(crate) fn new(
        sweep: &'a Sweep<'a>,
        block: &Block,
        patch: &'a Patch,
        compared: &'a Cell<u64>,
    ) -> Self {
        Self {
            sweep,
            patch,
            compared,
            px: each(|l| (block.x + 2 * l) as f32 + 0.5),
            py: block.y as f32 + 0.5,
        }
    }

    /// All looking into the same source.
    #[inline(always)]
    pub(crate) fn toward(&self, source_idx: usize) -> LaneSources {
        LaneSources::uniform(self.sweep.level, &self.px, self.py, source_idx)
    }

    /// (1 − NCC, weighted geometric error) in the sources of `lanes`.
    #[inline(always)]
    pub(crate) fn costs(&self, planes: &Planes, lanes: &LaneSources, source_idx: &I) -> (F, F) {
        self.compared.set(self.compared.get() + 1);
        let mut warp = lanes.warp(planes);
        self.sweep.level.drop_masked(source_idx, &mut warp);
        let photo = ncc_cost(
            self.sweep.kernel,
            self.patch,
            &warp,
            &lanes.target,
            &self.sweep.level.arena,
            self.sweep.options.noise * self.sweep.options.noise,
        );
        let geometric = match self.sweep.depths {
            Some(depths) => {
                let mut g = depths.errors(
                    self.sweep.kernel,
                    lanes,
                    &warp,
                    source_idx,
                    (&self.px, self.py),
                );
                for v in &mut g {
                    *v = self.sweep.options.geometric_weight
                        * v.min(self.sweep.options.geometric_limit_px);
                }
                g
            }
            None => [0.0; LANES],
        };
        (photo, geometric)
    }
}

/// What a block's pixels pay for a plane.
pub(crate) struct Judge<'a> {
    pub(crate) sweep: &'a Sweep<'a>,
    pub(crate) pixels: Pixels<'a>,
    /// Pull of the prior, 0 where texture decides.
    pub(crate) prior: Planes,
    pub(crate) prior_pull: F,
    pub(crate) prior_width: F,
}

impl Judge<'_> {
    /// What the prior takes off the cost of a plane near to it.
    #[inline(always)]
    pub(crate) fn bonus(&self, planes: &Planes) -> F {
        let mut out = [0.0; LANES];
        for l in 0..LANES {
            let dq = (planes.q[l] - self.prior.q[l]) * self.prior_width[l];
            let s = 5.0 / self.prior.q[l].max(1e-12);
            let (fx, fy) = self.sweep.focal;
            let sx = (planes.gx[l] - self.prior.gx[l]) * fx * s;
            let sy = (planes.gy[l] - self.prior.gy[l]) * fy * s;
            out[l] = self.prior_pull[l] * fast_exp(-0.5 * (dq * dq + sx * sx + sy * sy));
        }
        out
    }
}

/// Grey-level variance at which a planar prior has half its pull.
const WEAK_VARIANCE: f32 = 12.0;
/// What a prior takes off the cost where there is no texture at all.
const PRIOR_PULL: f32 = 0.3;
/// A prior that takes off less than this is not tried.
pub(crate) const LEAST_PULL: f32 = 0.03;

#[inline(always)]
pub(crate) fn judge<'a>(
    sweep: &'a Sweep<'a>,
    block: &Block,
    pixels: Pixels<'a>,
    first: &LaneSources,
) -> Judge<'a> {
    let mut out = Judge {
        sweep,
        pixels,
        prior: Planes::ZERO,
        prior_pull: [0.0; LANES],
        prior_width: [0.0; LANES],
    };
    if let Some(prior) = sweep.prior {
        let colour = (block.x + block.y) & 1;
        out.prior = prior.halves[colour].rows[block.y].planes(block.at);
        let given: F = load(&prior.halves[colour].rows[block.y].cost, block.at);
        let per_px = first.inverse_depth_per_px(&out.prior.q);
        for l in 0..LANES {
            let has = out.prior.q[l] > 0.0 && per_px[l] > 0.0;
            out.prior_width[l] = if has { 0.5 / per_px[l] } else { 0.0 };
            let by_texture = PRIOR_PULL / (1.0 + pixels.patch.variance[l] / WEAK_VARIANCE);
            let pull = if given[l] < 0.0 {
                -given[l]
            } else {
                by_texture
            };
            out.prior_pull[l] = if has { pull } else { 0.0 };
        }
    }
    out
}

/// True where a plane is in range and not seen edge-on.
#[inline(always)]
pub(crate) fn admissible(sweep: &Sweep<'_>, p: &Planes) -> [bool; LANES] {
    /// tan 80°
    const STEEPEST: f32 = 5.67;
    let mut ok = [false; LANES];
    for l in 0..LANES {
        let limit = STEEPEST * p.q[l];
        ok[l] = (p.q[l] >= sweep.range.0)
            & (p.q[l] <= sweep.range.1)
            & ((p.gx[l] * sweep.focal.0).abs() <= limit)
            & ((p.gy[l] * sweep.focal.1).abs() <= limit);
    }
    ok
}
