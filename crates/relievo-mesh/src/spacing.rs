//! Point spacing.

use kiddo::{ImmutableKdTree, SquaredEuclidean};
use relievo_scene::PointCloud;
use relievo_task::ordered;
use std::num::NonZero;

/// Distance to the neighbour that this many come before, in [`point_spacing`].
const NEIGHBOURS: usize = 6;
/// Points asked in [`point_spacing`].
const ASKED: usize = 20_000;

/// Typical distance between neighbouring points on the surface, in the
/// cloud's unit: the median over evenly chosen points of r₆·√(π/6), r₆ being
/// the distance to the sixth neighbour. A square lattice of spacing s gives
/// about s. `None` without seven distinct finite points.
pub fn point_spacing(cloud: &PointCloud) -> Option<f32> {
    let points: Vec<[f32; 3]> = cloud
        .positions
        .iter()
        .copied()
        .filter(|p| p.iter().all(|x| x.is_finite()))
        .collect();
    spacing_of(&points)
}

/// [`point_spacing`] of finite points.
pub(crate) fn spacing_of(points: &[[f32; 3]]) -> Option<f32> {
    if points.len() <= NEIGHBOURS {
        return None;
    }
    let tree: ImmutableKdTree<f32, 3> = ImmutableKdTree::new_from_slice(points).ok()?;
    let step = points.len().div_ceil(ASKED);
    let asked: Vec<[f32; 3]> = points.iter().copied().step_by(step).collect();
    let wanted = NonZero::new(NEIGHBOURS + 1)?;
    let mut squared: Vec<f32> = ordered::map_chunks(asked.len(), 256, |range| {
        range
            .filter_map(|i| {
                let found = tree
                    .query(&asked[i])
                    .nearest_n::<SquaredEuclidean<f32>>(wanted)
                    .execute();
                found.last().map(|f| f.distance)
            })
            .collect::<Vec<f32>>()
    })
    .concat();
    squared.retain(|d| *d > 0.0);
    if squared.is_empty() {
        return None;
    }
    squared.sort_unstable_by(f32::total_cmp);
    let median = squared[squared.len() / 2].sqrt();
    let spacing = median * (std::f32::consts::PI / NEIGHBOURS as f32).sqrt();
    (spacing.is_finite() && spacing > 0.0).then_some(spacing)
}
