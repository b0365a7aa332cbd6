//! The reduced camera system of a bundle problem (Schur complement; Brown
//! 1958; Triggs et al. 2000, §6).
//!
//! With H = [U W; Wᵀ V] split into blocks (poses, groups) and landmarks,
//! S = U − W V⁻¹ Wᵀ. V is block diagonal. A small S is summed over parts of the
//! landmarks. A large one is assembled by *rows*: every block row walks its own
//! observations and writes to nobody else's memory. Either way parts run in parallel
//! and the sums have one order on any number of threads.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`pattern`] | which blocks touch which |
//! | [`linearise`] | H and its gradient at a state; the cost |
//! | [`reduce`] | S, by rows |
//! | [`by_landmark`] | its elimination where S is small |
//! | [`back_substitute`] | the landmarks' step |
//! | [`wide`] | the same code for wider registers |

mod back_substitute;
mod by_landmark;
mod linearise;
mod pattern;
mod reduce;
mod wide;

pub(crate) use back_substitute::back_substitute;
pub(crate) use linearise::{Linearisation, cost, linearise};
pub(crate) use pattern::Pattern;
pub(crate) use reduce::{Reduced, reduce, times_6};

/// Landmarks a unit of work; a constant, so that sums have one order.
const LANDMARK_CHUNK: usize = 256;

/// Smallest and largest diagonal entry that damping multiplies.
const MIN_DIAGONAL: f64 = 1e-9;
const MAX_DIAGONAL: f64 = 1e32;

fn damping(diagonal: f64) -> f64 {
    diagonal.clamp(MIN_DIAGONAL, MAX_DIAGONAL)
}

/// A symmetric 3×3 (xx xy xz yy yz zz) times x.
#[inline]
pub(crate) fn times(v: &[f64; 6], x: &[f64]) -> [f64; 3] {
    [
        v[0] * x[0] + v[1] * x[1] + v[2] * x[2],
        v[1] * x[0] + v[3] * x[1] + v[4] * x[2],
        v[2] * x[0] + v[4] * x[1] + v[5] * x[2],
    ]
}
