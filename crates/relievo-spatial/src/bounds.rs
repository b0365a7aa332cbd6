//! Bounds that a few stray points cannot blow up.

use crate::kdtree::KdTree;

/// An axis-aligned box.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aabb {
    /// Least corner.
    pub min: [f32; 3],
    /// Greatest corner.
    pub max: [f32; 3],
}

impl Aabb {
    /// The box of the finite points; `None` without any.
    pub fn of(points: &[[f32; 3]]) -> Option<Self> {
        let mut found: Option<Self> = None;
        for p in points.iter().filter(|p| p.iter().all(|v| v.is_finite())) {
            let b = found.get_or_insert(Self { min: *p, max: *p });
            for k in 0..3 {
                b.min[k] = b.min[k].min(p[k]);
                b.max[k] = b.max[k].max(p[k]);
            }
        }
        found
    }

    /// Middle of the box.
    pub fn center(&self) -> [f32; 3] {
        std::array::from_fn(|k| 0.5 * (self.min[k] + self.max[k]))
    }

    /// Side lengths.
    pub fn size(&self) -> [f32; 3] {
        std::array::from_fn(|k| self.max[k] - self.min[k])
    }

    /// Length of the diagonal.
    pub fn diagonal(&self) -> f32 {
        let s = self.size();
        (s[0] * s[0] + s[1] * s[1] + s[2] * s[2]).sqrt()
    }

    /// Grown by `margin` times the longest side on every side.
    #[must_use]
    pub fn grown(&self, margin: f32) -> Self {
        let m = margin * self.size().into_iter().fold(0.0, f32::max);
        Self {
            min: self.min.map(|v| v - m),
            max: self.max.map(|v| v + m),
        }
    }

    /// True for a point inside or on the border.
    pub fn contains(&self, p: [f32; 3]) -> bool {
        (0..3).all(|k| p[k] >= self.min[k] && p[k] <= self.max[k])
    }
}

/// Box between the `q` and `1 − q` quantiles of each axis (0 ≤ q < 0.5) over
/// the finite points; `None` without any.
pub fn quantile_bounds(points: &[[f32; 3]], q: f64) -> Option<Aabb> {
    let mut b = Aabb {
        min: [0.0; 3],
        max: [0.0; 3],
    };
    for k in 0..3 {
        let mut values: Vec<f32> = points
            .iter()
            .filter(|p| p.iter().all(|v| v.is_finite()))
            .map(|p| p[k])
            .collect();
        if values.is_empty() {
            return None;
        }
        let last = values.len() - 1;
        let low = ((last as f64 * q.clamp(0.0, 0.5)) as usize).min(last);
        let high = last - low;
        let (_, &mut max, _) = values.select_nth_unstable_by(high, f32::total_cmp);
        let (_, &mut min, _) = values.select_nth_unstable_by(low, f32::total_cmp);
        (b.min[k], b.max[k]) = (min.min(max), max);
    }
    Some(b)
}

/// Box of the points that belong to a crowd: those whose distance to their
/// `k`-th neighbour is at most `factor` times the median of that distance.
///
/// Isolated points and small far clusters of fewer than `k` points drop out;
/// thin structures stay. The distances are taken on at most 20 000 evenly
/// strided points as queries, the box on these. `None` without finite points.
pub fn crowd_bounds(points: &[[f32; 3]], k: usize, factor: f32) -> Option<Aabb> {
    let finite: Vec<[f32; 3]> = points
        .iter()
        .filter(|p| p.iter().all(|v| v.is_finite()))
        .copied()
        .collect();
    let stride = finite.len().div_ceil(20_000).max(1);
    let queries: Vec<[f32; 3]> = finite.iter().step_by(stride).copied().collect();
    let tree = KdTree::new(&queries);
    let reach: Vec<f32> = tree
        .k_nearest_batch(&queries, k + 1)
        .iter()
        .map(|n| {
            n.last()
                .map_or(f32::INFINITY, |n| n.distance_squared.sqrt())
        })
        .collect();
    let mut sorted = reach.clone();
    let middle = sorted.len() / 2;
    if sorted.is_empty() {
        return None;
    }
    let median = *sorted.select_nth_unstable_by(middle, f32::total_cmp).1;
    let crowd: Vec<[f32; 3]> = queries
        .iter()
        .zip(&reach)
        .filter(|(_, r)| **r <= factor * median)
        .map(|(p, _)| *p)
        .collect();
    Aabb::of(&crowd)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ball() -> Vec<[f32; 3]> {
        let mut points: Vec<[f32; 3]> = (0..5000)
            .map(|i| {
                let t = i as f32;
                [(t * 0.7).sin(), (t * 1.3).cos(), (t * 2.9).sin()]
            })
            .collect();
        points.push([1e6, 0.0, 0.0]);
        points.push([f32::NAN, 0.0, 0.0]);
        points.push([0.0, -4e5, 0.0]);
        points
    }

    #[test]
    fn strays_do_not_move_robust_bounds() {
        let points = ball();
        assert!(Aabb::of(&points).unwrap().diagonal() > 1e5);
        for b in [
            quantile_bounds(&points, 0.002).unwrap(),
            crowd_bounds(&points, 8, 5.0).unwrap(),
        ] {
            assert!(b.max[0] > 0.95 && b.max[0] < 1.01, "{b:?}");
            assert!(b.min[1] < -0.95 && b.min[1] > -1.01, "{b:?}");
        }
    }

    #[test]
    fn no_points_have_no_bounds() {
        assert!(quantile_bounds(&[], 0.1).is_none());
        assert!(crowd_bounds(&[[f32::NAN; 3]], 8, 3.0).is_none());
        let one = quantile_bounds(&[[1.0, 2.0, 3.0]], 0.01).unwrap();
        assert_eq!(one.min, one.max);
    }
}
