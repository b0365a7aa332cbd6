//! Robust estimation: LO-RANSAC with an adaptive stop.
//!
//! Samples come in PROSAC order while the data are ordered by quality (Chum &
//! Matas, CVPR 2005), hypotheses are rejected early by a sequential test
//! (Matas & Chum, ICCV 2005), scored by a truncated quadratic (MSAC: Torr &
//! Zisserman 2000), and every new best is refined by reweighted least squares
//! with the σ-marginalised weights of MAGSAC++ (Barath et al., CVPR 2020) over
//! a shrinking threshold (Lebeda et al., "Fixing the locally optimized
//! RANSAC", BMVC 2012). Where the loop ends without being confident, ARRSAC
//! ([`crate::ransac_arrsac`]) may search on.
//!
//! The same data, options and seed give the same bits.

use crate::ransac_arrsac::arrsac;
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Data, minimal solver, residual and refinement of one kind of model.
pub trait Estimator {
    /// What is estimated.
    type Model: Clone;
    /// Data in a minimal sample.
    const MIN_SAMPLE: usize;

    /// Number of data.
    fn len(&self) -> usize;

    /// True without data.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends every model through `sample` (`MIN_SAMPLE` distinct indices);
    /// nothing for a degenerate sample.
    fn solve(&self, sample: &[usize], models: &mut Vec<Self::Model>);

    /// Squared residual of datum `i`; the square of the unit of
    /// [`RansacOptions::threshold`]. Not finite counts as an outlier.
    fn squared_residual(&self, model: &Self::Model, i: usize) -> f64;

    /// Weighted least squares from `model` on `inliers`; one weight each.
    /// `None` where there are too few or the geometry is degenerate.
    fn refine(
        &self,
        model: &Self::Model,
        inliers: &[usize],
        weights: &[f64],
    ) -> Option<Self::Model>;
}

relievo_task::options! {
    /// Options of [`lo_ransac`].
    pub struct RansacOptions {
        /// Largest residual of an inlier, in the estimator's unit.
        threshold: f64 = 4.0, "px or rad", "COLMAP two-view geometry";
        /// Probability that a better model would have been sampled.
        confidence: f64 = 0.9999, "", "judgement: the loop is cheap once a good model is known";
        /// Most samples.
        max_iterations: usize = 2000, "samples", "five-point at 30 % inliers, 99 %";
        /// Least samples.
        min_iterations: usize = 30, "samples", "judgement";
        /// Models with fewer inliers are of no use: no more samples than it
        /// takes to meet one that has so many.
        min_inliers: usize = 0, "data", "set by callers that know it";
        /// Data are ordered best first; draw from the front first.
        prosac: bool = false, "", "set by callers that know an order";
        /// ARRSAC searches on where the loop ended without confidence and
        /// there are at least this many data; 0 never.
        arrsac_min_data: usize = 0, "data", "measured: docs/decisions.md";
    }
}

/// What [`lo_ransac`] found.
#[derive(Clone, Debug)]
pub struct RansacResult<M> {
    /// The refined model.
    pub model: M,
    /// Data within the threshold, ascending.
    pub inliers: Vec<usize>,
    /// Σ max(0, 1 − r²/t²): larger is better, at most the number of data.
    pub score: f64,
    /// Samples drawn.
    pub iterations: usize,
}

/// Estimates the model that most data agree with.
///
/// `None` where no sample gave a model with more than `MIN_SAMPLE` inliers,
/// or the threshold is not positive. A model may have fewer inliers than
/// [`RansacOptions::min_inliers`].
pub fn lo_ransac<E: Estimator>(
    estimator: &E,
    options: &RansacOptions,
    seed: u64,
) -> Option<RansacResult<E::Model>> {
    let n = estimator.len();
    if n < E::MIN_SAMPLE || !(options.threshold > 0.0) {
        return None;
    }
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let scorer = Scorer::new(estimator, options.threshold, &mut rng);
    let mut sampler = Sampler::new(n, E::MIN_SAMPLE, options.prosac);
    let mut sprt = Sprt::new();
    let mut best: Option<Scored<E::Model>> = None;
    let mut models = Vec::with_capacity(16);
    let least = options.min_iterations.min(options.max_iterations);
    let ratio = options.min_inliers as f64 / n as f64;
    let most = samples_for(ratio, E::MIN_SAMPLE, options.confidence).min(options.max_iterations);
    let mut needed = options.max_iterations;
    let mut iterations = 0;
    while iterations < needed.min(most).max(least) {
        iterations += 1;
        models.clear();
        estimator.solve(sampler.draw(&mut rng), &mut models);
        for model in models.drain(..) {
            let Some(score) = scorer.screen(&model, &mut sprt) else {
                continue;
            };
            if best.as_ref().is_some_and(|b| score <= b.score) {
                continue;
            }
            let refined = scorer.optimise(Scored { model, score });
            let inliers = scorer.count(&refined.model);
            if inliers > E::MIN_SAMPLE {
                let ratio = inliers as f64 / n as f64;
                sprt.inlier_ratio = ratio;
                needed = samples_for(ratio, E::MIN_SAMPLE, options.confidence)
                    .min(options.max_iterations);
                best = Some(refined);
            }
        }
    }
    let mut best = best?;
    let confident = needed < options.max_iterations;
    if !confident && options.arrsac_min_data > 0 && n >= options.arrsac_min_data {
        let seed = rng.next_u64();
        if let Some(model) = arrsac(estimator, &best.model, options.threshold, seed) {
            let score = scorer.score(&model);
            let candidate = scorer.optimise(Scored { model, score });
            if candidate.score > best.score {
                best = candidate;
            }
        }
    }
    let best = scorer.polish(best);
    let inliers = scorer.inliers(&best.model, 1.0);
    (inliers.len() > E::MIN_SAMPLE).then_some(RansacResult {
        model: best.model,
        inliers,
        score: best.score,
        iterations,
    })
}

/// Samples after which a sample of inliers only was drawn with `confidence`.
fn samples_for(inlier_ratio: f64, sample: usize, confidence: f64) -> usize {
    let good = inlier_ratio.clamp(0.0, 1.0).powi(sample as i32);
    if good >= 1.0 - 1e-12 {
        return 1;
    }
    let k = (1.0 - confidence.clamp(0.0, 1.0 - 1e-12)).ln() / (-good).ln_1p();
    if k.is_finite() && k < 1e12 {
        k.ceil() as usize
    } else {
        usize::MAX
    }
}

struct Scored<M> {
    model: M,
    score: f64,
}

/// The sequential probability ratio test, with running estimates of the
/// inlier ratio of good and of bad models.
struct Sprt {
    inlier_ratio: f64,
    bad_ratio: f64,
}

impl Sprt {
    /// A wrong rejection once in this many good models.
    const DECISION: f64 = 500.0;

    fn new() -> Self {
        Self {
            inlier_ratio: 0.0,
            bad_ratio: 0.02,
        }
    }
}

struct Scorer<'e, E: Estimator> {
    estimator: &'e E,
    squared_threshold: f64,
    /// A random order of the data, for the sequential test.
    order: Vec<u32>,
}

impl<'e, E: Estimator> Scorer<'e, E> {
    fn new(estimator: &'e E, threshold: f64, rng: &mut Xoshiro256PlusPlus) -> Self {
        let mut order: Vec<u32> = (0..estimator.len() as u32).collect();
        for i in (1..order.len()).rev() {
            order.swap(i, below(rng, i + 1));
        }
        Self {
            estimator,
            squared_threshold: threshold * threshold,
            order,
        }
    }

    #[inline]
    fn gain(&self, model: &E::Model, i: usize) -> f64 {
        let r2 = self.estimator.squared_residual(model, i);
        if r2 < self.squared_threshold {
            1.0 - r2 / self.squared_threshold
        } else {
            0.0
        }
    }

    /// The score, or `None` once the model is unlikely to be a good one.
    fn screen(&self, model: &E::Model, sprt: &mut Sprt) -> Option<f64> {
        if sprt.inlier_ratio <= 1.5 * sprt.bad_ratio {
            return Some(self.score(model));
        }
        let hit = sprt.bad_ratio / sprt.inlier_ratio;
        let miss = (1.0 - sprt.bad_ratio) / (1.0 - sprt.inlier_ratio).max(1e-3);
        let (mut ratio, mut score, mut hits) = (1.0, 0.0, 0_usize);
        for (seen, &i) in self.order.iter().enumerate() {
            let gain = self.gain(model, i as usize);
            if gain > 0.0 {
                score += gain;
                hits += 1;
                ratio *= hit;
            } else {
                ratio *= miss;
                if ratio > Sprt::DECISION {
                    let observed = hits as f64 / (seen + 1) as f64;
                    sprt.bad_ratio = (0.95 * sprt.bad_ratio + 0.05 * observed).clamp(0.005, 0.5);
                    return None;
                }
            }
        }
        Some(score)
    }

    fn score(&self, model: &E::Model) -> f64 {
        self.order
            .iter()
            .map(|&i| self.gain(model, i as usize))
            .sum()
    }

    fn count(&self, model: &E::Model) -> usize {
        (0..self.estimator.len())
            .filter(|&i| self.estimator.squared_residual(model, i) < self.squared_threshold)
            .count()
    }

    /// Data within `scale` times the threshold, ascending.
    fn inliers(&self, model: &E::Model, scale: f64) -> Vec<usize> {
        let limit = self.squared_threshold * scale * scale;
        (0..self.estimator.len())
            .filter(|&i| self.estimator.squared_residual(model, i) < limit)
            .collect()
    }

    /// Reweighted least squares over a shrinking threshold; the best model met.
    fn optimise(&self, start: Scored<E::Model>) -> Scored<E::Model> {
        let mut best = start;
        let mut current = best.model.clone();
        for scale in [1.5, 1.0, 0.7] {
            let Some(next) = self.step(&current, scale) else {
                break;
            };
            let score = self.score(&next);
            current = next.clone();
            if score > best.score {
                best = Scored { model: next, score };
            }
        }
        best
    }

    /// Repeats the refinement at the threshold until the score stays.
    fn polish(&self, start: Scored<E::Model>) -> Scored<E::Model> {
        let mut best = start;
        for _ in 0..5 {
            let Some(model) = self.step(&best.model, 1.0) else {
                break;
            };
            let score = self.score(&model);
            if !(score > best.score) {
                break;
            }
            let settled = score - best.score < 1e-4 * score;
            best = Scored { model, score };
            if settled {
                break;
            }
        }
        best
    }

    fn step(&self, model: &E::Model, scale: f64) -> Option<E::Model> {
        let inliers = self.inliers(model, scale);
        if inliers.len() <= E::MIN_SAMPLE {
            return None;
        }
        let limit = self.squared_threshold * scale * scale;
        let weights: Vec<f64> = inliers
            .iter()
            .map(|&i| marginal_weight(self.estimator.squared_residual(model, i), limit))
            .collect();
        self.estimator.refine(model, &inliers, &weights)
    }
}

/// MAGSAC++ weight of a residual below the threshold t = k σ_max, for three
/// degrees of freedom, where the incomplete gamma function is exponential:
/// exp(−r²/2σ²) − exp(−k²/2), scaled to 1 at r = 0. k = 3.04 (99 %).
#[inline]
fn marginal_weight(squared_residual: f64, squared_threshold: f64) -> f64 {
    const HALF_K2: f64 = 4.62;
    const FLOOR: f64 = 0.00985;
    (((-HALF_K2 * squared_residual / squared_threshold).exp() - FLOOR) / (1.0 - FLOOR)).max(0.0)
}

/// Uniform in `0..n`, n > 0 (Lemire's multiplication; bias below 2⁻³²).
#[inline]
fn below(rng: &mut Xoshiro256PlusPlus, n: usize) -> usize {
    ((u128::from(rng.next_u64()) * n as u128) >> 64) as usize
}

/// Draws samples without replacement; from a growing front of the data in
/// PROSAC order.
struct Sampler {
    n: usize,
    size: usize,
    prosac: bool,
    sample: Vec<usize>,
    /// Samples drawn, front size, and T_n, T'_n of the paper's §2.2.
    drawn: usize,
    front: usize,
    t_n: f64,
    t_prime: usize,
}

impl Sampler {
    /// Samples after which PROSAC has become RANSAC.
    const PROSAC_SAMPLES: f64 = 20_000.0;

    fn new(n: usize, size: usize, prosac: bool) -> Self {
        let mut t_n = Self::PROSAC_SAMPLES;
        for i in 0..size {
            t_n *= (size - i) as f64 / (n - i) as f64;
        }
        Self {
            n,
            size,
            prosac,
            sample: Vec::with_capacity(size),
            drawn: 0,
            front: size,
            t_n,
            t_prime: 1,
        }
    }

    fn draw(&mut self, rng: &mut Xoshiro256PlusPlus) -> &[usize] {
        self.drawn += 1;
        self.sample.clear();
        if !self.prosac {
            self.fill(rng, self.size, self.n);
            return &self.sample;
        }
        while self.drawn > self.t_prime && self.front < self.n {
            let next =
                self.t_n * (self.front + 1) as f64 / (self.front + 1 - self.size).max(1) as f64;
            self.t_prime += (next - self.t_n).ceil().max(1.0) as usize;
            self.t_n = next;
            self.front += 1;
        }
        if self.front < self.n && self.drawn <= self.t_prime {
            self.fill(rng, self.size - 1, self.front - 1);
            self.sample.push(self.front - 1);
        } else {
            self.fill(rng, self.size, self.n);
        }
        &self.sample
    }

    fn fill(&mut self, rng: &mut Xoshiro256PlusPlus, count: usize, n: usize) {
        while self.sample.len() < count {
            let i = below(rng, n);
            if !self.sample.contains(&i) {
                self.sample.push(i);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line y = a x + b through noisy points.
    struct Line(Vec<(f64, f64)>);

    impl Estimator for Line {
        type Model = (f64, f64);
        const MIN_SAMPLE: usize = 2;
        fn len(&self) -> usize {
            self.0.len()
        }
        fn solve(&self, sample: &[usize], models: &mut Vec<(f64, f64)>) {
            let (p, q) = (self.0[sample[0]], self.0[sample[1]]);
            let a = (q.1 - p.1) / (q.0 - p.0);
            if a.is_finite() {
                models.push((a, p.1 - a * p.0));
            }
        }
        fn squared_residual(&self, m: &(f64, f64), i: usize) -> f64 {
            (self.0[i].1 - m.0 * self.0[i].0 - m.1).powi(2)
        }
        fn refine(&self, _: &(f64, f64), inliers: &[usize], w: &[f64]) -> Option<(f64, f64)> {
            let (mut s, mut sx, mut sy, mut sxx, mut sxy) = (0.0, 0.0, 0.0, 0.0, 0.0);
            for (&i, w) in inliers.iter().zip(w) {
                let (x, y) = self.0[i];
                s += w;
                sx += w * x;
                sy += w * y;
                sxx += w * x * x;
                sxy += w * x * y;
            }
            let a = (s * sxy - sx * sy) / (s * sxx - sx * sx);
            a.is_finite().then_some((a, (sy - a * sx) / s))
        }
    }

    fn line(outliers: usize, total: usize, seed: u64) -> Line {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut unit = move || below(&mut rng, 1 << 20) as f64 / f64::from(1 << 20);
        Line(
            (0..total)
                .map(|i| {
                    let x = 10.0 * unit();
                    if i < total - outliers {
                        (x, 0.7 * x - 2.0 + 0.02 * (unit() - 0.5))
                    } else {
                        (x, 40.0 * (unit() - 0.5))
                    }
                })
                .collect(),
        )
    }

    fn options(prosac: bool) -> RansacOptions {
        RansacOptions {
            threshold: 0.05,
            prosac,
            ..RansacOptions::default()
        }
    }

    #[test]
    fn finds_the_line_among_outliers() {
        for (seed, prosac) in [(1, false), (2, false), (3, true), (4, true)] {
            let data = line(700, 1000, seed);
            let found = lo_ransac(&data, &options(prosac), seed).unwrap();
            assert!((found.model.0 - 0.7).abs() < 2e-3, "{:?}", found.model);
            assert!((found.model.1 + 2.0).abs() < 1e-2, "{:?}", found.model);
            assert!((300..330).contains(&found.inliers.len()));
            assert!(found.inliers.windows(2).all(|w| w[0] < w[1]));
        }
    }

    #[test]
    fn stops_early_on_clean_data_and_order_helps() {
        let clean = lo_ransac(&line(0, 500, 5), &options(false), 1).unwrap();
        assert_eq!(clean.iterations, RansacOptions::default().min_iterations);
        let hard = line(9500, 10_000, 6);
        let ordered = lo_ransac(&hard, &options(true), 1).unwrap();
        assert!((ordered.model.0 - 0.7).abs() < 5e-3);
    }

    #[test]
    fn what_would_be_of_no_use_is_not_searched_for() {
        let wanted = |min_inliers| RansacOptions {
            min_inliers,
            ..options(false)
        };
        let chance = line(100, 100, 8);
        let found = lo_ransac(&chance, &wanted(0), 1).unwrap();
        assert_eq!(found.iterations, RansacOptions::default().max_iterations);
        let found = lo_ransac(&chance, &wanted(50), 1);
        assert!(found.is_none_or(|f| f.iterations < 40 && f.inliers.len() < 50));
        let half = line(500, 1000, 9);
        let (all, useful) = (wanted(0), wanted(450));
        let bits = |o: &RansacOptions| lo_ransac(&half, o, 4).unwrap().model.0.to_bits();
        assert_eq!(bits(&all), bits(&useful));
    }

    #[test]
    fn same_seed_same_bits_and_hopeless_data_give_none() {
        let data = line(600, 900, 7);
        let run = || lo_ransac(&data, &options(false), 11).unwrap();
        assert_eq!(run().model.0.to_bits(), run().model.0.to_bits());
        assert_eq!(run().inliers, run().inliers);
        assert!(lo_ransac(&Line(vec![(0.0, 1.0)]), &options(false), 0).is_none());
        let nan = Line(vec![(f64::NAN, f64::NAN); 50]);
        assert!(lo_ransac(&nan, &options(true), 0).is_none());
        let same = Line(vec![(1.0, 1.0); 50]);
        assert!(lo_ransac(&same, &options(false), 0).is_none());
    }

    #[test]
    fn every_sample_is_distinct_and_prosac_starts_at_the_front() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
        let mut sampler = Sampler::new(1000, 5, true);
        for k in 0..3000 {
            let mut s = sampler.draw(&mut rng).to_vec();
            s.sort_unstable();
            s.dedup();
            assert_eq!(s.len(), 5);
            if k < 5 {
                assert!(s.iter().all(|&i| i < 20), "{s:?}");
            }
        }
    }
}
