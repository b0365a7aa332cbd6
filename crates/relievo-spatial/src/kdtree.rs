//! Nearest neighbours in 3-D.

use kiddo::{ImmutableKdTree, SquaredEuclidean};
use rayon::prelude::*;
use std::num::NonZero;

/// One answer of a query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbor {
    /// Index into the points the tree was built from.
    pub index: u32,
    /// Squared distance to the query.
    pub distance_squared: f32,
}

/// A static kd-tree over `[f32; 3]`, on kiddo's `ImmutableKdTree`.
///
/// Answers depend on the points and the query alone: equal distances are
/// ordered by index, and where a cut falls among equally far points the lowest
/// indices stay. Points that are not finite are never found; an empty tree and
/// a query that is not finite find nothing. Points at the same place are kept
/// once inside the tree, so any number of duplicates costs nothing.
#[derive(Debug)]
pub struct KdTree {
    tree: Option<ImmutableKdTree<f32, 3>>,
    /// Point indices, grouped by place, ascending within a group.
    order: Vec<u32>,
    /// `order[starts[g]..starts[g + 1]]` lie at place g of the tree.
    starts: Vec<u32>,
}

impl KdTree {
    /// Builds the tree; O(n log n), parallel.
    pub fn new(points: &[[f32; 3]]) -> Self {
        // Adding zero turns −0 into +0, so that equal places have equal bits.
        let bits = |i: u32| points[i as usize].map(|v| (v + 0.0).to_bits());
        let mut order: Vec<u32> = (0..points.len() as u32)
            .filter(|&i| points[i as usize].iter().all(|v| v.is_finite()))
            .collect();
        order.par_sort_unstable_by_key(|&i| (bits(i), i));
        let mut starts = Vec::new();
        let mut places = Vec::new();
        for (k, &i) in order.iter().enumerate() {
            if k == 0 || bits(order[k - 1]) != bits(i) {
                starts.push(k as u32);
                places.push(points[i as usize]);
            }
        }
        starts.push(order.len() as u32);
        let tree = if places.is_empty() {
            None
        } else {
            ImmutableKdTree::new_from_slice(&places).ok()
        };
        Self {
            tree,
            order,
            starts,
        }
    }

    /// Number of points that can be found.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// True where nothing can be found.
    pub fn is_empty(&self) -> bool {
        self.tree.is_none()
    }

    fn group(&self, place: u32) -> &[u32] {
        let place = place as usize;
        &self.order[self.starts[place] as usize..self.starts[place + 1] as usize]
    }

    /// The nearest point.
    pub fn nearest(&self, query: [f32; 3]) -> Option<Neighbor> {
        let tree = self.usable(query)?;
        let best = tree
            .query(&query)
            .nearest_one::<SquaredEuclidean<f32>>()
            .execute();
        if !best.distance.is_finite() {
            return None;
        }
        let mut index = self.group(best.item)[0];
        for tie in tree
            .query(&query)
            .within::<SquaredEuclidean<f32>>(best.distance)
            .unsorted()
            .execute()
        {
            if tie.distance <= best.distance {
                index = index.min(self.group(tie.item)[0]);
            }
        }
        Some(Neighbor {
            index,
            distance_squared: best.distance,
        })
    }

    /// The k nearest points, nearest first; fewer where there are fewer.
    pub fn k_nearest(&self, query: [f32; 3], k: usize) -> Vec<Neighbor> {
        let mut found = Vec::new();
        self.k_nearest_into(query, k, &mut found);
        found
    }

    /// [`KdTree::k_nearest`] into a buffer that is cleared first.
    pub fn k_nearest_into(&self, query: [f32; 3], k: usize, found: &mut Vec<Neighbor>) {
        found.clear();
        let (Some(tree), Some(ask)) = (self.usable(query), NonZero::new(k.saturating_add(1)))
        else {
            return;
        };
        if k == 0 {
            return;
        }
        let places = tree
            .query(&query)
            .nearest_n::<SquaredEuclidean<f32>>(ask)
            .execute();
        let cut_on_tie = places.len() > k && places[k].distance <= places[k - 1].distance;
        if cut_on_tie {
            let radius = places[k - 1].distance;
            let ties = tree
                .query(&query)
                .within::<SquaredEuclidean<f32>>(radius)
                .unsorted()
                .execute();
            self.expand(ties.iter().map(|t| (t.item, t.distance)), k, found);
        } else {
            self.expand(
                places.iter().take(k).map(|t| (t.item, t.distance)),
                k,
                found,
            );
        }
        found.truncate(k);
    }

    /// All points at most `radius` away, nearest first.
    pub fn within(&self, query: [f32; 3], radius: f32) -> Vec<Neighbor> {
        let mut found = Vec::new();
        self.within_into(query, radius, &mut found);
        found
    }

    /// [`KdTree::within`] into a buffer that is cleared first.
    pub fn within_into(&self, query: [f32; 3], radius: f32, found: &mut Vec<Neighbor>) {
        found.clear();
        let Some(tree) = self.usable(query) else {
            return;
        };
        if radius.is_nan() || radius < 0.0 {
            return;
        }
        let places = tree
            .query(&query)
            .within::<SquaredEuclidean<f32>>(radius * radius)
            .unsorted()
            .execute();
        self.expand(
            places.iter().map(|t| (t.item, t.distance)),
            usize::MAX,
            found,
        );
    }

    /// [`KdTree::nearest`] of many queries, in parallel.
    pub fn nearest_batch(&self, queries: &[[f32; 3]]) -> Vec<Option<Neighbor>> {
        queries
            .par_iter()
            .with_min_len(256)
            .map(|&q| self.nearest(q))
            .collect()
    }

    /// [`KdTree::k_nearest`] of many queries, in parallel.
    pub fn k_nearest_batch(&self, queries: &[[f32; 3]], k: usize) -> Vec<Vec<Neighbor>> {
        queries
            .par_iter()
            .with_min_len(256)
            .map(|&q| self.k_nearest(q, k))
            .collect()
    }

    fn usable(&self, query: [f32; 3]) -> Option<&ImmutableKdTree<f32, 3>> {
        if query.iter().all(|v| v.is_finite()) {
            self.tree.as_ref()
        } else {
            None
        }
    }

    /// Points of the places, by (distance, index); at most `per_place` of one
    /// place, the lowest.
    fn expand(
        &self,
        places: impl Iterator<Item = (u32, f32)>,
        per_place: usize,
        found: &mut Vec<Neighbor>,
    ) {
        for (place, distance_squared) in places {
            if distance_squared.is_finite() {
                let group = self.group(place);
                found.extend(group.iter().take(per_place).map(|&index| Neighbor {
                    index,
                    distance_squared,
                }));
            }
        }
        found.sort_unstable_by(|a, b| {
            a.distance_squared
                .total_cmp(&b.distance_squared)
                .then(a.index.cmp(&b.index))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cloud(n: u32) -> Vec<[f32; 3]> {
        (0..n)
            .map(|i| {
                let h =
                    |k: u32| (i.wrapping_mul(2_654_435_761).wrapping_mul(k) >> 20) as f32 / 64.0;
                // A coarse grid: many equal coordinates, ties and duplicates.
                [h(1).floor(), h(7).floor(), h(13).floor() * 0.1]
            })
            .collect()
    }

    fn brute(points: &[[f32; 3]], q: [f32; 3]) -> Vec<Neighbor> {
        let mut all: Vec<Neighbor> = points
            .iter()
            .enumerate()
            .map(|(i, p)| Neighbor {
                index: i as u32,
                distance_squared: (0..3).map(|k| (p[k] - q[k]).powi(2)).sum(),
            })
            .filter(|n| n.distance_squared.is_finite())
            .collect();
        all.sort_by(|a, b| {
            a.distance_squared
                .total_cmp(&b.distance_squared)
                .then(a.index.cmp(&b.index))
        });
        all
    }

    #[test]
    fn agrees_with_brute_force_among_ties_and_duplicates() {
        let mut points = cloud(3000);
        points[17] = [f32::NAN, 0.0, 0.0];
        let tree = KdTree::new(&points);
        assert_eq!(tree.len(), 2999);
        for i in (0..3000).step_by(37) {
            let mut q = points[i];
            if i % 2 == 0 {
                q[0] += 0.3;
            }
            if !q[0].is_finite() {
                continue;
            }
            let all = brute(&points, q);
            let indices = |n: &[Neighbor]| n.iter().map(|n| n.index).collect::<Vec<_>>();
            assert_eq!(tree.nearest(q).unwrap().index, all[0].index);
            assert_eq!(indices(&tree.k_nearest(q, 9)), indices(&all[..9]));
            let near: Vec<_> = all
                .iter()
                .filter(|n| n.distance_squared <= 9.0)
                .copied()
                .collect();
            assert_eq!(indices(&tree.within(q, 3.0)), indices(&near));
        }
    }

    #[test]
    fn a_million_duplicates_answer_with_the_lowest() {
        let tree = KdTree::new(&vec![[1.0, 2.0, -0.0]; 1_000_000]);
        assert_eq!(tree.nearest([0.0; 3]).unwrap().index, 0);
        let first: Vec<u32> = tree
            .k_nearest([0.0; 3], 4)
            .iter()
            .map(|n| n.index)
            .collect();
        assert_eq!(first, [0, 1, 2, 3]);
    }

    #[test]
    fn nothing_is_found_where_nothing_is() {
        let empty = KdTree::new(&[]);
        assert!(empty.is_empty() && empty.nearest([0.0; 3]).is_none());
        assert!(empty.k_nearest([0.0; 3], 3).is_empty());
        let tree = KdTree::new(&[[0.0; 3], [f32::INFINITY, 0.0, 0.0]]);
        assert!(tree.nearest([f32::NAN, 0.0, 0.0]).is_none());
        assert!(tree.within([0.0; 3], f32::NAN).is_empty());
        assert!(tree.k_nearest([0.0; 3], 0).is_empty());
        assert_eq!(tree.k_nearest([0.0; 3], 5).len(), 1);
        assert_eq!(tree.nearest_batch(&[[1.0; 3]; 3]).len(), 3);
    }
}
