//! Points that stand alone.

use crate::error::MvsError;
use crate::fused::Fused;
use crate::point_store::PointStore;
use rayon::prelude::*;
use relievo_spatial::KdTree;
use relievo_task::Task;

/// Neighbours that a point of a surface has nearby.
const NEIGHBOURS: usize = 4;

/// Points that a tree is made of at most: a million take some 60 MB.
const BLOCK: usize = 1 << 20;
/// Points of one unit of parallel work.
const CHUNK: usize = 1024;

/// One bit a point.
#[derive(Clone, Debug)]
pub(crate) struct Kept(Vec<u64>);

impl Kept {
    fn new(points: usize, all: bool) -> Self {
        Self(vec![if all { u64::MAX } else { 0 }; points.div_ceil(64)])
    }

    fn keep(&mut self, index: usize) {
        self.0[index / 64] |= 1 << (index % 64);
    }

    fn drop(&mut self, index: usize) {
        self.0[index / 64] &= !(1 << (index % 64));
    }

    /// Whether the point stays.
    pub(crate) fn holds(&self, index: usize) -> bool {
        self.0[index / 64] >> (index % 64) & 1 == 1
    }
}

/// The points whose fourth neighbour is no farther than `footprints` times the distance that two
/// pixels of their view have on the surface; 0 keeps all.
///
/// The measure is each point's own, so that near and far parts of a scene are judged alike. A block
/// of points is asked first: a view's points follow one another,
/// so that nearly all find their neighbours there. The few that do not ask all blocks, as
/// many at a time as may be held, and the least distances of all are the least of all blocks: no
/// division changes anything.
pub(crate) fn near_others(
    points: &PointStore<Fused>,
    footprints: f32,
    task: &Task,
) -> Result<Kept, MvsError> {
    if !(footprints > 0.0) || points.len() <= NEIGHBOURS {
        return Ok(Kept::new(points.len(), true));
    }
    let mut kept = Kept::new(points.len(), false);
    let most = points.most_held().min(BLOCK);
    points.for_each_block(most, |first, block| {
        task.check()?;
        let tree = tree(block);
        let lonely: Vec<Vec<usize>> = block
            .par_chunks(CHUNK)
            .enumerate()
            .map(|(k, chunk)| {
                let own = (k * CHUNK..).zip(chunk);
                let unsure = own.filter(|(i, p)| !has_neighbours_in_row(block, *i, p, footprints));
                let asked = unsure.map(|(i, p)| {
                    let mut a = Asking::new(first + i, p, footprints);
                    a.ask(&tree);
                    a
                });
                let lonely = asked.filter(|a| !a.has_neighbours());
                lonely.map(|a| a.index).collect()
            })
            .collect();
        (first..first + block.len()).for_each(|i| kept.keep(i));
        for i in lonely.into_iter().flatten() {
            kept.drop(i);
        }
        Ok(())
    })?;
    let mut from = 0;
    while points.len() > most && from < points.len() {
        let (mut some, next) = lonely(points, &kept, from, footprints)?;
        from = next;
        if some.is_empty() {
            continue;
        }
        points.for_each_block(most, |_, block| {
            task.check()?;
            let tree = tree(block);
            some.par_iter_mut()
                .with_min_len(CHUNK)
                .for_each(|a| a.ask(&tree));
            Ok(())
        })?;
        for a in some.iter().filter(|a| a.has_neighbours()) {
            kept.keep(a.index);
        }
    }
    Ok(kept)
}

/// The points from index `from` on that are not kept, as many as may be held; the index behind
/// the last that was looked at.
fn lonely(
    points: &PointStore<Fused>,
    kept: &Kept,
    from: usize,
    footprints: f32,
) -> Result<(Vec<Asking>, usize), MvsError> {
    let most = points.most_held();
    let mut found: Vec<Asking> = Vec::new();
    let mut next = from;
    points.for_each_block(most, |first, block| {
        for (i, p) in (first..).zip(block).skip(from.saturating_sub(first)) {
            if found.len() == most {
                break;
            }
            if !kept.holds(i) {
                found.push(Asking::new(i, p, footprints));
            }
            next = i + 1;
        }
        Ok(())
    })?;
    Ok((found, next))
}

/// True where enough points before and behind point `index` of the block are near: a view's points
/// follow one another in rows, so that most are spared the tree, which would say the same.
fn has_neighbours_in_row(block: &[Fused], index: usize, p: &Fused, footprints: f32) -> bool {
    // A hair less than the tree's limit: it may round otherwise.
    let limit = 0.9999 * (footprints * p.footprint).powi(2);
    let near = |other: &&Fused| {
        let d = [0, 1, 2].map(|a| other.position[a] - p.position[a]);
        d[0] * d[0] + d[1] * d[1] + d[2] * d[2] <= limit
    };
    let before = &block[index.saturating_sub(NEIGHBOURS)..index];
    let behind = &block[index + 1..(index + 1 + NEIGHBOURS).min(block.len())];
    before.iter().chain(behind).filter(near).count() >= NEIGHBOURS
}

fn tree(block: &[Fused]) -> KdTree {
    let positions: Vec<[f32; 3]> = block.iter().map(|p| p.position).collect();
    KdTree::new(&positions)
}

/// A point and the least squared distances to others so far, itself among them.
#[derive(Clone, Copy, Debug)]
struct Asking {
    index: usize,
    position: [f32; 3],
    reach: f32,
    nearest: [f32; NEIGHBOURS + 1],
}

impl Asking {
    fn new(index: usize, p: &Fused, footprints: f32) -> Self {
        Self {
            index,
            position: p.position,
            reach: footprints * p.footprint,
            nearest: [f32::INFINITY; NEIGHBOURS + 1],
        }
    }

    fn has_neighbours(&self) -> bool {
        self.nearest[NEIGHBOURS].sqrt() <= self.reach
    }

    /// Takes in the nearest of a block.
    fn ask(&mut self, tree: &KdTree) {
        for n in tree.k_nearest(self.position, NEIGHBOURS + 1) {
            self.add(n.distance_squared);
        }
    }

    fn add(&mut self, distance_squared: f32) {
        let at = self.nearest.partition_point(|d| *d <= distance_squared);
        if at <= NEIGHBOURS {
            self.nearest.copy_within(at..NEIGHBOURS, at + 1);
            self.nearest[at] = distance_squared;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rows_tell_is_what_all_distances_tell() {
        // Rows a footprint apart, every so manyth point lifted off or far from its own row, and a
        // line of points whose neighbours are at the limit.
        let footprint = 0.01_f32;
        let at = |x: f32, y: f32, z: f32| Fused {
            position: [x, y, z],
            footprint,
            normal: [0.0, 0.0, 1.0],
            color: [0; 3],
            confidence: 1,
            view: 0,
            agreeing: 1,
        };
        let mut all: Vec<Fused> = (0..3000)
            .map(|i| {
                let (x, y) = ((i % 60) as f32 * footprint, (i / 60) as f32 * footprint);
                let off = if i % 37 == 0 {
                    (i % 13) as f32 * footprint
                } else {
                    0.0
                };
                at(x, y, off)
            })
            .collect();
        all.extend((0..40).map(|i| at(5.0 + 2.5 * i as f32 * footprint, 0.0, 0.0)));
        all.extend((0..40).map(|i| at(9.0 + 3.5 * i as f32 * footprint, 0.0, 0.0)));
        let kept = |most_held: usize| {
            let folder = std::env::temp_dir();
            let mut points = PointStore::new(&folder, most_held);
            for some in all.chunks(200) {
                points.add(some).unwrap();
            }
            near_others(&points, 5.0, &Task::silent()).unwrap()
        };
        let whole = kept(usize::MAX);
        // Blocks in which whole rows lack their neighbours, and few may ask at a time.
        let in_parts = kept(150);
        let kept = whole;
        let mut dropped = 0;
        for (i, p) in all.iter().enumerate() {
            let mut squared: Vec<f32> = all
                .iter()
                .map(|o| {
                    (0..3)
                        .map(|a| (o.position[a] - p.position[a]).powi(2))
                        .sum()
                })
                .collect();
            squared.sort_by(f32::total_cmp);
            let near = squared[NEIGHBOURS].sqrt() <= 5.0 * footprint;
            // Rounding decides at the limit itself.
            if (squared[NEIGHBOURS].sqrt() / (5.0 * footprint) - 1.0).abs() > 1e-4 {
                assert_eq!(kept.holds(i), near, "point {i}");
            }
            assert_eq!(in_parts.holds(i), kept.holds(i), "point {i}");
            dropped += usize::from(!kept.holds(i));
        }
        assert!((40..400).contains(&dropped), "{dropped}");
    }
}
