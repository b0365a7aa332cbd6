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
/// so that nearly all find their neighbours there. The few that do not ask all other blocks,
/// and the least distances of all are the least of all blocks: no division changes anything.
pub(crate) fn near_others(
    points: &PointStore<Fused>,
    footprints: f32,
    task: &Task,
) -> Result<Kept, MvsError> {
    if !(footprints > 0.0) || points.len() <= NEIGHBOURS {
        return Ok(Kept::new(points.len(), true));
    }
    let mut kept = Kept::new(points.len(), false);
    let mut asking: Vec<Asking> = Vec::new();
    let most = points.most_held().min(BLOCK);
    points.for_each_block(most, |first, block| {
        task.check()?;
        let tree = tree(block);
        let lonely: Vec<Vec<Asking>> = block
            .par_chunks(CHUNK)
            .enumerate()
            .map(|(k, chunk)| {
                let own = chunk.iter().enumerate();
                let asking = own.map(|(i, p)| Asking::new(first + k * CHUNK + i, p, footprints));
                let asked = asking.map(|mut a| {
                    a.ask(&tree);
                    a
                });
                asked.filter(|a| !a.has_neighbours()).collect()
            })
            .collect();
        (first..first + block.len()).for_each(|i| kept.keep(i));
        for a in lonely.into_iter().flatten() {
            kept.drop(a.index);
            if block.len() < points.len() {
                asking.push(a);
            }
        }
        Ok(())
    })?;
    for some in asking.chunks_mut(points.most_held()) {
        points.for_each_block(most, |first, block| {
            task.check()?;
            // Those of this block have asked it.
            let before = some.partition_point(|a| a.index < first);
            let behind = some.partition_point(|a| a.index < first + block.len());
            let (others, rest) = some.split_at_mut(behind);
            let tree = tree(block);
            others[..before]
                .par_iter_mut()
                .chain(rest)
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
