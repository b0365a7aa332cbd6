//! A fixed piece of work on one thread: CPU times are compared as multiples of
//! it, because wall time on a shared machine says nothing.

use rustix::time::{ClockId, clock_gettime};

/// CPU seconds of the kernel on this thread: the least of fifteen.
pub fn seconds() -> f64 {
    let now = || {
        let t = clock_gettime(ClockId::ThreadCPUTime);
        t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9
    };
    (0..15)
        .map(|_| {
            let before = now();
            std::hint::black_box(relievo_synth::calibration::kernel());
            now() - before
        })
        .fold(f64::INFINITY, f64::min)
}
