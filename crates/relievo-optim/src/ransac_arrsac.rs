//! ARRSAC as the search for few inliers among many data.
//!
//! Raguram, Frahm & Pollefeys, ECCV 2008, by the `arrsac` crate. It evaluates
//! hypotheses breadth-first on blocks of data and samples new ones from the
//! inliers of the best, which finds models where plain sampling is hopeless
//! (80–90 % outliers). It has no adaptive stop and no refinement, so it costs
//! the same on easy data; [`crate::ransac::lo_ransac`] therefore calls it
//! last, and refines what it returns.

use crate::ransac::Estimator;
use arrsac::Arrsac;
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use sample_consensus::Consensus;
use std::cell::Cell;

/// One hypothesis, with the data that its residuals need.
struct Hypothesis<'e, E: Estimator> {
    estimator: &'e E,
    model: E::Model,
}

impl<E: Estimator> sample_consensus::Model<u32> for Hypothesis<'_, E> {
    fn residual(&self, i: &u32) -> f64 {
        self.estimator.squared_residual(&self.model, *i as usize)
    }
}

struct Adapter<'e, E: Estimator> {
    estimator: &'e E,
    /// Handed out once, beside the first sample's models.
    start: Cell<Option<E::Model>>,
}

impl<'e, E: Estimator> sample_consensus::Estimator<u32> for Adapter<'e, E> {
    type Model = Hypothesis<'e, E>;
    type ModelIter = Vec<Hypothesis<'e, E>>;
    const MIN_SAMPLES: usize = E::MIN_SAMPLE;

    fn estimate<I: Iterator<Item = u32> + Clone>(&self, data: I) -> Self::ModelIter {
        let sample: Vec<usize> = data.map(|i| i as usize).collect();
        let mut models = Vec::new();
        self.estimator.solve(&sample, &mut models);
        models.extend(self.start.take());
        models
            .into_iter()
            .map(|model| Hypothesis {
                estimator: self.estimator,
                model,
            })
            .collect()
    }
}

const BLOCK: usize = 128;
const FIRST_BLOCKS: usize = 4;

/// The model ARRSAC settles on, unrefined; `None` where none survives.
///
/// `start` competes with its hypotheses. The crate panics where its best
/// hypothesis has fewer inliers among the first blocks than a sample has data
/// (its guard for that does nothing), so `start` must have as many, else
/// `None`. 1,024 hypotheses at first and 128 a block of 128 data: enough for
/// 10 % inliers with five-point samples.
pub fn arrsac<E: Estimator>(
    estimator: &E,
    start: &E::Model,
    threshold: f64,
    seed: u64,
) -> Option<E::Model> {
    let n = estimator.len();
    let squared_threshold = threshold * threshold;
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    // It takes the first data for the first blocks: shuffle.
    let mut order: Vec<u32> = (0..n as u32).collect();
    for i in (1..n).rev() {
        let j = ((u128::from(rng.next_u64()) * (i as u128 + 1)) >> 64) as usize;
        order.swap(i, j);
    }
    let hits = order
        .iter()
        .take(BLOCK * FIRST_BLOCKS)
        .filter(|&&i| estimator.squared_residual(start, i as usize) < squared_threshold)
        .count();
    if hits <= E::MIN_SAMPLE {
        return None;
    }
    let adapter = Adapter {
        estimator,
        start: Cell::new(Some(start.clone())),
    };
    Arrsac::new(squared_threshold, rng)
        .initialization_hypotheses(1024)
        .initialization_blocks(FIRST_BLOCKS)
        .max_candidate_hypotheses(1 << 13)
        .estimations_per_block(BLOCK)
        .block_size(BLOCK)
        .model(&adapter, order.iter().copied())
        .map(|h| h.model)
}
