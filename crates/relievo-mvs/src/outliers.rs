//! Points that stand alone.

use crate::error::MvsError;
use crate::fused::Fused;
use crate::point_store::PointStore;
use crate::tiles::{Tile, tiles};
use rayon::prelude::*;
use relievo_spatial::KdTree;
use relievo_task::Task;

/// Neighbours that a point of a surface has nearby.
const NEIGHBOURS: usize = 4;
/// Points that tiles are chosen by.
const SAMPLES: usize = 1 << 16;

/// One bit a point.
#[derive(Debug)]
pub(crate) struct Kept(Vec<u64>);

impl Kept {
    fn new(points: usize, all: bool) -> Self {
        Self(vec![if all { u64::MAX } else { 0 }; points.div_ceil(64)])
    }

    fn keep(&mut self, index: u32) {
        self.0[index as usize / 64] |= 1 << (index % 64);
    }

    /// Whether the point stays.
    pub(crate) fn holds(&self, index: u32) -> bool {
        self.0[index as usize / 64] >> (index % 64) & 1 == 1
    }
}

/// The points whose fourth neighbour is no farther than `footprints` times the distance that two
/// pixels of their view have on the surface.
///
/// The measure is each point's own, so that near and far parts of a scene are judged alike; a
/// tile of space is asked together with all around it that a point in it may reach, so that the
/// division changes nothing. 0 keeps all.
pub(crate) fn near_others(
    points: &PointStore,
    footprints: f32,
    task: &Task,
) -> Result<Kept, MvsError> {
    if !(footprints > 0.0) || points.len() <= NEIGHBOURS {
        return Ok(Kept::new(points.len(), true));
    }
    let mut kept = Kept::new(points.len(), false);
    for (tile, reach) in division(points, footprints)? {
        task.check()?;
        let (mut positions, mut members) = (Vec::new(), Vec::new());
        let mut around = Vec::new();
        points.for_each(|index, p| {
            if tile.holds(&p.position) {
                positions.push(p.position);
                members.push((index, footprints * p.footprint));
            } else if tile.surrounds(&p.position, reach) {
                around.push(p.position);
            }
        })?;
        positions.append(&mut around);
        let tree = KdTree::new(&positions);
        let found: Vec<bool> = members
            .par_chunks(1024)
            .zip(positions.par_chunks(1024))
            .flat_map_iter(|(chunk, at)| {
                let mut near = Vec::new();
                chunk
                    .iter()
                    .zip(at)
                    .map(|((_, reach), p)| {
                        // The point itself is its own nearest.
                        tree.k_nearest_into(*p, NEIGHBOURS + 1, &mut near);
                        near.get(NEIGHBOURS)
                            .is_some_and(|n| n.distance_squared.sqrt() <= *reach)
                    })
                    .collect::<Vec<bool>>()
            })
            .collect();
        for ((index, _), _) in members.iter().zip(found).filter(|(_, keep)| *keep) {
            kept.keep(*index);
        }
    }
    Ok(kept)
}

/// Tiles that hold no more points than the store may, with the farthest that a point in each
/// looks for neighbours.
fn division(points: &PointStore, footprints: f32) -> Result<Vec<(Tile, f32)>, MvsError> {
    if points.all_held().is_some() {
        return Ok(tiles(&mut [], 1).into_iter().map(|t| (t, 0.0)).collect());
    }
    let step = points.len().div_ceil(SAMPLES).max(1);
    let mut samples = Vec::with_capacity(points.len() / step + 1);
    points.for_each(|index, p| {
        if (index as usize).is_multiple_of(step) && p.position.iter().all(|v| v.is_finite()) {
            samples.push(p.position);
        }
    })?;
    // Half of what is allowed, for what lies around.
    let most = points.most_held() / step / 2;
    let mut found: Vec<(Tile, f32)> = tiles(&mut samples, most)
        .into_iter()
        .map(|t| (t, 0.0))
        .collect();
    points.for_each(|_, p: &Fused| {
        if let Some((_, reach)) = found.iter_mut().find(|(t, _)| t.holds(&p.position)) {
            // A little more, for the rounding of distances.
            *reach = reach.max(1.001 * footprints * p.footprint);
        }
    })?;
    Ok(found)
}
