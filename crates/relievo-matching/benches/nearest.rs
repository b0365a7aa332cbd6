//! Multiply-accumulates per second of the descriptor kernel, 8192 × 8192, and
//! the share of noisy copies that find their original.

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

/// Noisy copies in another order: row i is the original `(7 i + 3) mod n`.
fn copies(of: &[Descriptor]) -> Vec<Descriptor> {
    use rand_core::RngCore;
    let mut rng = relievo_task::rng(3, "bench", "noise");
    (0..of.len())
        .map(|i| {
            let mut noise = [0_u8; 128];
            rng.fill_bytes(&mut noise);
            let original = &of[(7 * i + 3) % of.len()];
            std::array::from_fn(|k| original[k].saturating_add(noise[k] / 16))
        })
        .collect()
}

fn main() {
    let a = descriptors(1);
    let b = copies(&a);
    for (isa, repeats) in [(Isa::Native, 20), (Isa::Portable, 1)] {
        let best = (0..repeats)
            .map(|_| {
                let start = Instant::now();
                std::hint::black_box(nearest_both(&a, &b, isa));
                start.elapsed().as_secs_f64()
            })
            .fold(f64::MAX, f64::min);
        // Copy i comes from original (7 i + 3) mod n.
        let (_, from_b) = nearest_both(&a, &b, isa);
        let right = from_b.iter().enumerate();
        let right = right.filter(|(i, n)| n.idx as usize == (7 * i + 3) % a.len());
        let found = 100.0 * right.count() as f64 / a.len() as f64;
        let rate = 8192.0 * 8192.0 * 128.0 / best / 1e9;
        let _ = writeln!(
            std::io::stdout(),
            "{isa:?}: {:.1} ms, {rate:.0} GMAC/s, {:.1} ns a pair of rows, truth found {found:.2} %",
            best * 1e3,
            best / (8192.0 * 8192.0) * 1e9
        );
    }
}
