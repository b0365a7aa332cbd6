//! Parallel loops with a fixed order of results.
//!
//! Chunk sizes are arguments and therefore constants of the algorithm, never
//! derived from the thread count; partial results are combined from left to
//! right on one thread. So a float sum is the same bits on any machine load
//! and any number of threads.

use rayon::prelude::*;
use std::ops::Range;

/// Maps fixed chunks of `0..len` in parallel, then combines the partial
/// results from left to right. `None` for an empty range.
pub fn map_reduce<A: Send>(
    len: usize,
    chunk: usize,
    map: impl Fn(Range<usize>) -> A + Sync + Send,
    combine: impl FnMut(A, A) -> A,
) -> Option<A> {
    map_chunks(len, chunk, map).into_iter().reduce(combine)
}

/// Maps fixed chunks of `0..len` in parallel; results in chunk order.
pub fn map_chunks<A: Send>(
    len: usize,
    chunk: usize,
    map: impl Fn(Range<usize>) -> A + Sync + Send,
) -> Vec<A> {
    assert!(chunk > 0, "chunk size must be positive");
    (0..len.div_ceil(chunk))
        .into_par_iter()
        .map(|k| map(k * chunk..((k + 1) * chunk).min(len)))
        .collect()
}

/// Sum of `f(i)` over `0..len`, added in a fixed order.
pub fn sum(len: usize, f: impl Fn(usize) -> f64 + Sync + Send) -> f64 {
    map_reduce(len, 4096, |range| range.map(&f).sum::<f64>(), |a, b| a + b).unwrap_or(0.0)
}

/// `items.par_iter().map(f)` collected in order, one item a unit of work.
pub fn map<T: Sync, A: Send>(items: &[T], f: impl Fn(&T) -> A + Sync + Send) -> Vec<A> {
    items.par_iter().with_max_len(1).map(f).collect()
}

/// Like [`map`], stopping at the first error in item order.
pub fn try_map<T: Sync, A: Send, E: Send>(
    items: &[T],
    f: impl Fn(&T) -> Result<A, E> + Sync + Send,
) -> Result<Vec<A>, E> {
    map(items, f).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sum_is_the_same_bits_on_any_thread_count() {
        let values: Vec<f64> = (0..100_000)
            .map(|i| (f64::from(i) * 0.1).sin() * 1e3)
            .collect();
        let run = |threads| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap()
                .install(|| sum(values.len(), |i| values[i]).to_bits())
        };
        assert_eq!(run(1), run(2));
        assert_eq!(run(1), run(5));
    }

    #[test]
    fn chunks_cover_the_range_once() {
        let parts = map_chunks(10, 4, |r| r);
        assert_eq!(parts, vec![0..4, 4..8, 8..10]);
        assert!(map_reduce(0, 4, |r| r.len(), |a, b| a + b).is_none());
    }
}
