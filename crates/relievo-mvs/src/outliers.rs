//! Points that stand alone.

use crate::fusion::Fused;
use relievo_spatial::KdTree;

/// Neighbours that a point of a surface has nearby.
const NEIGHBOURS: usize = 4;

/// Drops points whose fourth neighbour is farther than `footprints` times the
/// distance that two pixels of their view have on the surface.
///
/// The measure is each point's own, so that near and far parts of a scene are
/// judged alike. 0 keeps all.
pub(crate) fn without_outliers(points: Vec<Fused>, footprints: f32) -> Vec<Fused> {
    if !(footprints > 0.0) || points.len() <= NEIGHBOURS {
        return points;
    }
    let positions: Vec<[f32; 3]> = points.iter().map(|p| p.position).collect();
    let tree = KdTree::new(&positions);
    // The point itself is its own nearest.
    let found = tree.k_nearest_batch(&positions, NEIGHBOURS + 1);
    points
        .into_iter()
        .zip(found)
        .filter(|(p, near)| {
            near.len() > NEIGHBOURS
                && near[NEIGHBOURS].distance_squared.sqrt() <= footprints * p.footprint
        })
        .map(|(p, _)| p)
        .collect()
}
