//! Offers of a block side by side: a lane is filled with any pixel of the block
//! and any of its hypotheses.
//!
//! The pixels of a block have different numbers of offers: where most have one
//! and a few have four, judging all lanes hypothesis by hypothesis would leave
//! most lanes idle. A pixel's costs are the same in whatever lane they are
//! computed.

use super::half_field::{F, I, LANES, Planes, each};
use super::ncc::{Kernel, Patch};
use super::offers::Distinct;
use super::view_choice::{CostMatrix, MAX_HYPOTHESES};

/// 16 offers, one per lane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gather {
    /// Pixel of the block and hypothesis of each lane; hypotheses ascend.
    pixel: I,
    hypothesis: I,
    /// Where each pixel's offer is; -1 where another gather has it, or none.
    lane: [I; MAX_HYPOTHESES],
    /// Lanes that are filled; the others repeat the first one.
    count: usize,
}

impl Gather {
    /// All offers but the first hypothesis, which every pixel has.
    #[inline(always)]
    pub(crate) fn all(tried: &Distinct) -> impl Iterator<Item = Self> {
        let (mut h, mut l) = (1, 0);
        std::iter::from_fn(move || {
            let mut out = Self {
                pixel: [0; LANES],
                hypothesis: [0; LANES],
                lane: [[-1; LANES]; MAX_HYPOTHESES],
                count: 0,
            };
            while h < tried.count && out.count < LANES {
                if tried.times[h][l] > 0.0 {
                    out.pixel[out.count] = l as i32;
                    out.hypothesis[out.count] = h as i32;
                    out.lane[h][l] = out.count as i32;
                    out.count += 1;
                }
                l += 1;
                (h, l) = if l == LANES { (h + 1, 0) } else { (h, l) };
            }
            for k in out.count..LANES {
                out.pixel[k] = out.pixel[0];
                out.hypothesis[k] = out.hypothesis[0];
            }
            (out.count > 0).then_some(out)
        })
    }

    /// The hypotheses that are in some lane, and more between them.
    #[inline(always)]
    fn hypotheses(&self) -> std::ops::RangeInclusive<usize> {
        let last = self.hypothesis[self.count.max(1) - 1] as usize;
        self.hypothesis[0] as usize..=last.min(MAX_HYPOTHESES - 1)
    }

    /// The planes of the lanes.
    #[inline(always)]
    pub(crate) fn planes(&self, kernel: Kernel, of: &[Planes; MAX_HYPOTHESES]) -> Planes {
        let mut out = Planes::ZERO;
        for h in self.hypotheses() {
            let moved = Planes {
                q: self.values(kernel, &of[h].q),
                gx: self.values(kernel, &of[h].gx),
                gy: self.values(kernel, &of[h].gy),
            };
            out.replace(&each(|k| self.hypothesis[k] == h as i32), &moved);
        }
        out
    }

    /// A value of the block's pixels, for the lanes.
    #[inline(always)]
    pub(crate) fn values(&self, kernel: Kernel, of: &F) -> F {
        kernel.permute(of, &self.pixel)
    }

    /// The patches of the lanes.
    #[inline(always)]
    pub(crate) fn patches(&self, kernel: Kernel, of: &Patch, to: &mut Patch) {
        for (to, of) in to.w.iter_mut().zip(&of.w) {
            *to = self.values(kernel, of);
        }
        for (to, of) in to.wr.iter_mut().zip(&of.wr) {
            *to = self.values(kernel, of);
        }
        to.mean = self.values(kernel, &of.mean);
        to.variance = self.values(kernel, &of.variance);
        to.center = each(|k| of.center[self.pixel[k] as usize % LANES]);
    }

    /// Writes what the lanes cost in a source where it belongs.
    #[inline(always)]
    pub(crate) fn scatter(
        &self,
        kernel: Kernel,
        costs: &F,
        source_idx: usize,
        to: &mut CostMatrix,
    ) {
        for h in self.hypotheses() {
            let back = kernel.permute(costs, &self.lane[h]);
            let to = &mut to[h][source_idx];
            for l in 0..LANES {
                to[l] = if self.lane[h][l] >= 0 { back[l] } else { to[l] };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch_match::ncc::kernels;
    use crate::patch_match::view_choice::MAX_SOURCES;

    #[test]
    fn every_offer_has_one_lane_and_its_cost_comes_back() {
        let mut tried = Distinct {
            planes: [Planes::ZERO; MAX_HYPOTHESES],
            times: [[0.0; LANES]; MAX_HYPOTHESES],
            count: 4,
        };
        let mut offered = 0_usize;
        for h in 1..tried.count {
            for l in 0..LANES {
                tried.planes[h].q[l] = (100 * h + l) as f32;
                if (h * 7 + l * 5) % 3 < 2 {
                    tried.times[h][l] = 2.0;
                    offered += 1;
                }
            }
        }
        let mut costs: CostMatrix = [[[9.0; LANES]; MAX_SOURCES]; MAX_HYPOTHESES];
        for kernel in kernels() {
            let mut groups = 0;
            for row in costs.as_flattened_mut() {
                *row = [9.0; LANES];
            }
            for gather in Gather::all(&tried) {
                let planes = gather.planes(kernel, &tried.planes);
                gather.scatter(kernel, &planes.q, 2, &mut costs);
                groups += 1;
            }
            check(&tried, &costs);
            assert_eq!(groups, offered.div_ceil(LANES));
        }
    }

    fn check(tried: &Distinct, costs: &CostMatrix) {
        for h in 0..MAX_HYPOTHESES {
            for l in 0..LANES {
                let asked = (1..tried.count).contains(&h) && tried.times[h][l] > 0.0;
                let want = if asked { (100 * h + l) as f32 } else { 9.0 };
                assert_eq!(costs[h][2][l], want, "{h} {l}");
                assert_eq!(costs[h][1][l], 9.0);
            }
        }
    }

    #[test]
    fn nothing_is_gathered_where_nothing_is_offered() {
        let tried = Distinct {
            planes: [Planes::ZERO; MAX_HYPOTHESES],
            times: [[0.0; LANES]; MAX_HYPOTHESES],
            count: 3,
        };
        assert_eq!(Gather::all(&tried).count(), 0);
    }
}
