//! The task handle of a command: threads, memory, Ctrl-C, progress.

use crate::Failure;
use crate::args::ComputeArgs;
use relievo_task::{Isa, Task};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Sets up the one thread pool and Ctrl-C, and makes the handle.
pub(crate) fn start(compute: &ComputeArgs, seed: u64, isa: Isa) -> Result<Task, Failure> {
    let mut pool = rayon::ThreadPoolBuilder::new();
    if let Some(threads) = compute.threads {
        pool = pool.num_threads(usize::from(threads));
    }
    pool.build_global()
        .map_err(|e| Failure::Usage(format!("the thread pool could not be started: {e}")))?;
    let cancelled = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&cancelled);
    // A first Ctrl-C finishes the item at hand, a second one ends at once;
    // either leaves a folder that can be continued.
    let handler = move || {
        if flag.swap(true, Ordering::SeqCst) {
            #[expect(clippy::exit, reason = "the person asked twice")]
            std::process::exit(130);
        }
        eprintln!("relievo: stopping after the item at hand (again: at once)");
    };
    if ctrlc::set_handler(handler).is_err() {
        eprintln!("relievo: Ctrl-C will end the program at once; a run can still be continued");
    }
    let memory = compute.memory.unwrap_or_else(default_memory);
    Ok(Task::new(
        crate::progress::sink(compute.progress),
        cancelled,
        memory,
        seed,
        isa,
    ))
}

/// Three quarters of what the system says is available, at least 1 GiB.
fn default_memory() -> u64 {
    let available = fs_err::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|l| l.starts_with("MemAvailable:"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        });
    available
        .map_or(4 << 30, |kib| kib * 1024 / 4 * 3)
        .max(1 << 30)
}
