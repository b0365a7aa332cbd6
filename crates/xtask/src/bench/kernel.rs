//! The depth kernel with nothing around it: the most that the depth stage could do with
//! this kernel on this machine.

use super::timed::own_cpu_s;
use relievo_image::Raster;
use relievo_mvs::patch_match::cost_search::best_shifts;
use relievo_task::Isa;

/// Pictures so small that they stay in the cache.
const SIDE_PX: usize = 320;
/// Shifts that are tried in turn, each half a pixel: neighbours in the cache, too.
const SHIFTS: usize = 128;
const REPEATS: usize = 4;

/// Million evaluations of the weighted NCC a second of processor time, on as
/// many threads as the machine has, all busy.
pub(crate) fn million_per_cpu_second() -> f64 {
    let picture = |shift: usize| {
        Raster::from_fn(SIDE_PX, SIDE_PX, |x, y| {
            (((x + shift) * 37) ^ (y * 101)) as u8
        })
    };
    let (reference, source) = (picture(0), picture(3));
    let shifts: Vec<f32> = (0..SHIFTS).map(|i| 0.5 * i as f32 - 32.0).collect();
    million_a_cpu_second(|| best_shifts(&reference, &source, &shifts, Isa::Native).0)
}

/// Samples of an evaluation.
const SAMPLES: usize = 21;
/// Words that samples are taken from: 32 KiB, about a first cache.
const WORDS: usize = 1 << 13;

/// The same if an evaluation were nothing but loading the places of its samples and the words
/// there, one by one.
pub(crate) fn million_by_loads() -> f64 {
    /// Evaluations of a call.
    const EVALUATIONS: usize = 1 << 20;
    let words: Box<[u32; WORDS]> = Box::new(std::array::from_fn(|i| i as u32));
    let mixed = |i: usize| (i as u32).wrapping_mul(0x9e37_79b1) >> 8;
    let places: Vec<u32> = (0..SAMPLES * 64).map(mixed).collect();
    million_a_cpu_second(|| {
        let mut sum = [0_u32; SAMPLES];
        for _ in 0..EVALUATIONS / 64 {
            for of_one in std::hint::black_box(&places).chunks_exact(SAMPLES) {
                for (sum, place) in sum.iter_mut().zip(of_one) {
                    *sum = sum.wrapping_add(words[*place as usize % WORDS]);
                }
            }
        }
        std::hint::black_box(sum);
        EVALUATIONS
    })
}

/// How many million of what `work` counts a second of processor time holds, on all threads.
fn million_a_cpu_second(work: impl Fn() -> usize + Sync) -> f64 {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let once = || -> usize {
        std::thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(&work)).collect();
            running.into_iter().filter_map(|r| r.join().ok()).sum()
        })
    };
    let before = own_cpu_s();
    let evaluations: usize = (0..REPEATS).map(|_| once()).sum();
    1e-6 * evaluations as f64 / (own_cpu_s() - before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_does_something_in_a_second() {
        let rate = million_per_cpu_second();
        assert!(rate > 0.1 && rate.is_finite(), "{rate}");
        let most = million_by_loads();
        assert!(most > 1.0 && most.is_finite(), "{most}");
    }
}
