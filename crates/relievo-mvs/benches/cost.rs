//! Evaluations per second of the PatchMatch cost on one thread, and the share
//! of pixels whose cheapest shift is the true one.

use relievo_image::Raster;
use relievo_mvs::patch_match::cost_search::best_shifts;
use relievo_task::Isa;
use std::io::Write;
use std::time::Instant;

/// Of the second picture, pixels.
const SHIFT: f64 = 3.25;
const REPEATS: usize = 5;

/// Waves of several lengths, seen from this far to the side.
fn picture(shift: f64) -> Raster<u8> {
    Raster::from_fn(640, 480, |x, y| {
        let (x, y) = (x as f64 - shift, y as f64);
        let wave = (0.31 * x + 0.7 * (0.11 * y).sin()).sin()
            + (0.83 * x - 0.37 * y).sin()
            + (0.19 * y + 1.3 * (0.05 * x).cos()).cos();
        (127.5 + 40.0 * wave).round() as u8
    })
}

fn main() {
    let (reference, source) = (picture(0.0), picture(SHIFT));
    let shifts: Vec<f32> = (-40..=40).map(|i| i as f32 * 0.25).collect();
    for isa in [Isa::Native, Isa::Portable] {
        let mut least = f64::INFINITY;
        let (mut evaluations, mut best) = (0, Vec::new());
        for _ in 0..REPEATS {
            let start = Instant::now();
            (evaluations, best) = best_shifts(&reference, &source, &shifts, isa);
            least = least.min(start.elapsed().as_secs_f64());
        }
        let right = |i: &&usize| (f64::from(shifts[**i]) - SHIFT).abs() < 1e-6;
        let found = 100.0 * best.iter().filter(right).count() as f64 / best.len() as f64;
        let _ = writeln!(
            std::io::stdout(),
            "{isa:?}: {:.1} million evaluations a second, {:.1} ns each, truth found {found:.2} %",
            evaluations as f64 / least / 1e6,
            least / evaluations as f64 * 1e9
        );
    }
}
