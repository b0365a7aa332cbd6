//! Work on so many threads, and how much each of them did.

/// Runs `work` on a pool of `threads`; what it returns, and the seconds of processor time
/// that each thread of the pool took (Linux; empty elsewhere).
///
/// # Panics
///
/// Where no thread can be started.
#[expect(clippy::expect_used, reason = "for tests")]
pub fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> (T, Vec<f64>) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.expect("threads");
    let done = pool.install(work);
    let seconds = pool.broadcast(|_| seconds_of_this_thread());
    (done, seconds.into_iter().flatten().collect())
}

fn seconds_of_this_thread() -> Option<f64> {
    let text = fs_err::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds: f64 = text.split_whitespace().next()?.parse().ok()?;
    Some(1e-9 * nanoseconds)
}

/// Panics where the thread that did least did not do `share` of what the busiest one did,
/// and on Linux where no thread is known.
pub fn assert_all_busy(seconds: &[f64], share: f64) {
    assert!(
        !seconds.is_empty() || !cfg!(target_os = "linux"),
        "no thread"
    );
    let most = seconds.iter().copied().fold(0.0, f64::max);
    let least = seconds.iter().copied().fold(most, f64::min);
    assert!(least >= share * most, "seconds by thread: {seconds:?}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibration::kernel;
    use rayon::prelude::*;

    #[test]
    fn an_idle_thread_is_seen() {
        let many = || -> Vec<f64> { (0..8).into_par_iter().map(|_| kernel()).collect() };
        let (sums, busy) = on_threads(2, many);
        assert!(sums[0] > 0.0);
        assert_all_busy(&busy, 0.3);
        let (_, one) = on_threads(2, kernel);
        let idle = std::panic::catch_unwind(|| assert_all_busy(&one, 0.3));
        assert!(idle.is_err() || !cfg!(target_os = "linux"), "{one:?}");
    }
}
