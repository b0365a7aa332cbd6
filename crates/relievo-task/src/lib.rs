//! What every long computation needs and no file does: progress, cancellation,
//! warnings, a memory budget, seeds, and parallel loops whose result does not
//! depend on the number of threads.
//!
//! Enters: a [`Task`] handle, cheap to clone, passed by reference into every
//! algorithm. Leaves: progress events to a [`ProgressSink`], a list of
//! [`Warning`]s. Nothing here opens a file.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`task`] | the handle: cancellation, budget, seed, progress |
//! | [`warnings`] | partial failures, collected for the report |
//! | [`ordered`] | parallel map and reductions with a fixed order |
//! | [`mod@seed`] | seeds by (run seed, stage, item) |
//! | [`mod@options`] | the macro that declares an option table next to its algorithm |

pub mod options;
pub mod ordered;
pub mod seed;
pub mod task;
pub mod warnings;

pub use options::{OptionRow, OptionTable};
pub use seed::{Rng, RngCore, rng, seed};
pub use task::{Cancelled, Isa, Progress, ProgressSink, SilentSink, Task};
pub use warnings::{Warning, Warnings};
