//! Processor time and peak memory of this process.

use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, clock_gettime};

/// Processor time so far, seconds: of all threads, and of helper programs that have ended.
pub fn cpu_seconds() -> f64 {
    let t = clock_gettime(ClockId::ProcessCPUTime);
    t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9 + ended_children_seconds()
}

/// Of children that were waited for, by hundredths; 0 where unknown.
fn ended_children_seconds() -> f64 {
    let Ok(stat) = fs_err::read_to_string("/proc/self/stat") else {
        return 0.0;
    };
    // The name before it may hold anything, brackets too; `cutime` and `cstime` are
    // fields 16 and 17 (proc(5)), the state after the name is field 3.
    let after_name = stat.rfind(')').map_or("", |k| &stat[k + 1..]);
    let ticks: f64 = after_name
        .split_whitespace()
        .skip(13)
        .take(2)
        .filter_map(|v| v.parse::<f64>().ok())
        .sum();
    ticks / clock_ticks_per_second() as f64
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helper_programs_count_once_they_have_ended() {
        let children = ended_children_seconds();
        let busy = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";
        let status = std::process::Command::new("sh").args(["-c", busy]).status();
        assert!(status.unwrap().success());
        assert!(ended_children_seconds() > children + 0.02);
        assert!(cpu_seconds() > children + 0.02);
    }
}
