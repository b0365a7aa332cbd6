//! Processor time and peak memory of this process.

use rustix::time::{ClockId, clock_gettime};

/// Processor time of all threads so far, seconds.
pub fn cpu_seconds() -> f64 {
    let t = clock_gettime(ClockId::ProcessCPUTime);
    t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9
}

/// Starts a new measurement of the peak; where the system does not allow it,
/// the peak remains that of the whole process.
pub fn reset_peak_memory() {
    let _ = fs_err::write("/proc/self/clear_refs", "5");
}

/// Largest resident memory since the last reset, MiB; 0 where unknown.
pub fn peak_memory_mib() -> f64 {
    let Ok(status) = fs_err::read_to_string("/proc/self/status") else {
        return 0.0;
    };
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| {
            rest.trim()
                .trim_end_matches("kB")
                .trim()
                .parse::<f64>()
                .ok()
        })
        .map_or(0.0, |kib| kib / 1024.0)
}
