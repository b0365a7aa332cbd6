//! Medians, percentiles, means: as NumPy defines them.

use serde::Serialize;

/// Median, mean and maximum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// Median.
    pub med: f64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Maximum.
    pub max: f64,
}

/// Median, mean and 90th percentile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Tail {
    /// Median.
    pub median: f64,
    /// Arithmetic mean.
    pub mean: f64,
    /// 90th percentile.
    pub p90: f64,
}

impl Spread {
    /// Of `values` times `factor`; zeros where there are none.
    pub fn of(values: &[f64], factor: f64) -> Self {
        let mut sorted: Vec<f64> = values.iter().map(|v| v * factor).collect();
        sorted.sort_by(f64::total_cmp);
        Self {
            med: percentile(&sorted, 50.0),
            mean: mean(&sorted),
            max: sorted.last().copied().unwrap_or(0.0),
        }
    }
}

impl Tail {
    /// Of `values` times `factor`; `None` where there are none.
    pub fn of(values: &[f64], factor: f64) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let mut sorted: Vec<f64> = values.iter().map(|v| v * factor).collect();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            median: percentile(&sorted, 50.0),
            mean: mean(&sorted),
            p90: percentile(&sorted, 90.0),
        })
    }
}

/// Percentile of sorted values, linear between ranks; 0 where there are none.
pub fn percentile(sorted: &[f64], percent: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return 0.0;
    };
    let rank = percent / 100.0 * last as f64;
    let low = rank.floor() as usize;
    let (a, b) = (sorted[low], sorted[(low + 1).min(last)]);
    a + (b - a) * (rank - low as f64)
}

/// Arithmetic mean; 0 where there are none.
pub fn mean(values: &[f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    values.iter().sum::<f64>() / values.len() as f64
}

/// Share of values below `limit`; 0 where there are none.
pub fn share_below(values: &[f64], limit: f64) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    values.iter().filter(|v| **v < limit).count() as f64 / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_as_numpy() {
        let v = [1.0, 2.0, 4.0, 8.0];
        assert_eq!(percentile(&v, 50.0), 3.0);
        assert!((percentile(&v, 90.0) - 6.8).abs() < 1e-12);
        assert_eq!(percentile(&[], 50.0), 0.0);
        assert_eq!(percentile(&[5.0], 90.0), 5.0);
        assert_eq!(share_below(&v, 4.0), 0.5);
    }
}
