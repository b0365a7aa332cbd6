//! The NCC kernel on its own, for `benches/cost.rs`.

use super::half_field::{LANES, each};
use super::ncc::{BilateralWeights, Kernel, LaneWork, Patch, Warp, ncc_cost};
use super::packed_image::{Arena, PaddedBytes};
use relievo_image::Raster;
use relievo_task::Isa;

/// Pixels next to the border that are left out.
const BORDER: usize = 32;

/// For every second pixel of every fourth row the index of the shift along x
/// under which `source` looks most like `reference` there, and how many costs
/// were evaluated for it.
#[doc(hidden)]
pub fn best_shifts(
    reference: &Raster<u8>,
    source: &Raster<u8>,
    shifts_px: &[f32],
    isa: Isa,
) -> (usize, Vec<usize>) {
    let kernel = Kernel::detect(isa);
    let (mut evaluations, mut best) = (0, Vec::new());
    kernel.run(Search {
        kernel,
        reference,
        source,
        shifts_px,
        evaluations: &mut evaluations,
        best: &mut best,
    });
    (evaluations, best)
}

/// [`best_shifts`], compiled for the kernel's instruction set.
struct Search<'a> {
    kernel: Kernel,
    reference: &'a Raster<u8>,
    source: &'a Raster<u8>,
    shifts_px: &'a [f32],
    evaluations: &'a mut usize,
    best: &'a mut Vec<usize>,
}

impl LaneWork for Search<'_> {
    #[inline(always)]
    fn run(self) {
        let weights = BilateralWeights::new(9.0, 5.0);
        let padded = PaddedBytes::new(self.reference);
        let arena = Arena::new(std::slice::from_ref(self.source));
        let target = arena.target(0);
        let mut patch = Patch::ZERO;
        let (width, height) = (self.reference.width(), self.reference.height());
        for y in (BORDER..height.saturating_sub(BORDER)).step_by(4) {
            for x in (BORDER..width.saturating_sub(BORDER + 2 * LANES)).step_by(2 * LANES) {
                patch.load(self.kernel, &padded, x, y, &weights);
                let (mut least, mut at) = ([f32::INFINITY; LANES], [0; LANES]);
                for (i, shift) in self.shifts_px.iter().enumerate() {
                    let warp = Warp {
                        u: each(|l| (x + 2 * l) as f32 + 0.5 + shift),
                        v: [y as f32 + 0.5; LANES],
                        ux: [1.0; LANES],
                        vx: [0.0; LANES],
                        uy: [0.0; LANES],
                        vy: [1.0; LANES],
                        inside: [true; LANES],
                    };
                    let cost = ncc_cost(self.kernel, &patch, &warp, &target, &arena, 1.0);
                    for l in 0..LANES {
                        if cost[l] < least[l] {
                            (least[l], at[l]) = (cost[l], i);
                        }
                    }
                    *self.evaluations += LANES;
                }
                self.best.extend(at);
            }
        }
    }
}
