//! A fixed piece of work on one thread: CPU times are compared as multiples of
//! it, because wall time on a shared machine says nothing.

use rustix::time::{ClockId, clock_gettime};

/// CPU seconds of the kernel on this thread: the least of three.
pub fn seconds() -> f64 {
    let now = || {
        let t = clock_gettime(ClockId::ThreadCPUTime);
        t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9
    };
    (0..3)
        .map(|_| {
            let before = now();
            std::hint::black_box(kernel());
            now() - before
        })
        .fold(f64::INFINITY, f64::min)
}

/// The kernel of `scripts/bench`: a walk over a 4 MB table that can be neither
/// predicted nor left out.
fn kernel() -> f64 {
    let table: Vec<f32> = (0..1 << 20).map(|i| (i % 251) as f32 * 0.5).collect();
    let (mut at, mut sum) = (1_u64, 0.0_f64);
    for _ in 0..2_000_000 {
        at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let start = (at >> 44) as usize % (table.len() - 16);
        let mut dot = [0.0_f32; 8];
        for k in 0..8 {
            dot[k] = table[start + k].mul_add(table[start + k + 8], dot[k]);
        }
        sum += f64::from(dot.iter().sum::<f32>()).sqrt();
    }
    sum
}
