//! The NCC kernel on its own, for `benches/cost.rs`.

use super::half_field::LANES;
use super::ncc::{BilateralWeights, Kernel, Patch, Warp, ncc_cost};
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
    let (padded, weights) = (PaddedBytes::new(reference), BilateralWeights::new(9.0, 5.0));
    let arena = Arena::new(std::slice::from_ref(source));
    let target = arena.target(0);
    let (mut evaluations, mut best) = (0, Vec::new());
    let mut patch = Patch::ZERO;
    for y in (BORDER..reference.height().saturating_sub(BORDER)).step_by(4) {
        for x in (BORDER..reference.width().saturating_sub(BORDER + 2 * LANES)).step_by(2 * LANES) {
            patch.load(kernel, &padded, x, y, &weights);
            let (mut least, mut at) = ([f32::INFINITY; LANES], [0; LANES]);
            for (i, shift) in shifts_px.iter().enumerate() {
                let warp = Warp {
                    u: std::array::from_fn(|l| (x + 2 * l) as f32 + 0.5 + shift),
                    v: [y as f32 + 0.5; LANES],
                    ux: [1.0; LANES],
                    vx: [0.0; LANES],
                    uy: [0.0; LANES],
                    vy: [1.0; LANES],
                    inside: [true; LANES],
                };
                let cost = ncc_cost(kernel, &patch, &warp, &target, &arena, 1.0);
                for l in 0..LANES {
                    if cost[l] < least[l] {
                        (least[l], at[l]) = (cost[l], i);
                    }
                }
                evaluations += LANES;
            }
            best.extend(at);
        }
    }
    (evaluations, best)
}
