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
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let once = || -> usize {
        let work = || best_shifts(&reference, &source, &shifts, Isa::Native).0;
        std::thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
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
    }
}
