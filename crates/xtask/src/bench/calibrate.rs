//! A fixed piece of work on one thread. Its CPU time says how fast the machine
//! is just now (clock, neighbours on the same core): a run is compared by the
//! ratio of its CPU time to this, never by wall time.

use super::timed::own_cpu_s;

/// Of three, a busy neighbour still moved the least by 40 %; a run's own CPU
/// time moved by 3 %.
const TRIES: usize = 15;

/// CPU seconds of the kernel: the least of several tries.
pub(crate) fn seconds() -> f64 {
    (0..TRIES)
        .map(|_| {
            let before = own_cpu_s();
            std::hint::black_box(relievo_synth::calibration::kernel());
            own_cpu_s() - before
        })
        .fold(f64::INFINITY, f64::min)
}
