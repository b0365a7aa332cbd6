//! Points that stand alone.

use crate::fusion::Fused;
use rayon::prelude::*;
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
    let kept: Vec<bool> = points
        .par_chunks(1024)
        .flat_map_iter(|chunk| {
            let mut near = Vec::new();
            chunk
                .iter()
                .map(|p| {
                    // The point itself is its own nearest.
                    tree.k_nearest_into(p.position, NEIGHBOURS + 1, &mut near);
                    near.get(NEIGHBOURS)
                        .is_some_and(|n| n.distance_squared.sqrt() <= footprints * p.footprint)
                })
                .collect::<Vec<bool>>()
        })
        .collect();
    points
        .into_iter()
        .zip(kept)
        .filter(|(_, keep)| *keep)
        .map(|(p, _)| p)
        .collect()
}
