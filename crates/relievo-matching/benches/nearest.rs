//! Multiply-accumulates per second of the descriptor kernel, 8192 × 8192.

use relievo_matching::nearest::{Descriptor, nearest_both};
use relievo_task::Isa;
use std::io::Write;
use std::time::Instant;

fn descriptors(seed: u64) -> Vec<Descriptor> {
    use rand_core::RngCore;
    let mut rng = relievo_task::rng(seed, "bench", "nearest");
    (0..8192)
        .map(|_| {
            let mut d = [0; 128];
            rng.fill_bytes(&mut d);
            d.map(|v| v / 4)
        })
        .collect()
}

fn main() {
    let (a, b) = (descriptors(1), descriptors(2));
    for (isa, repeats) in [(Isa::Native, 20), (Isa::Portable, 1)] {
        let best = (0..repeats)
            .map(|_| {
                let start = Instant::now();
                std::hint::black_box(nearest_both(&a, &b, isa));
                start.elapsed().as_secs_f64()
            })
            .fold(f64::MAX, f64::min);
        let rate = 8192.0 * 8192.0 * 128.0 / best / 1e9;
        let _ = writeln!(
            std::io::stdout(),
            "{isa:?}: {:.1} ms, {rate:.0} GMAC/s",
            best * 1e3
        );
    }
}
