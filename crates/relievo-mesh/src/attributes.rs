//! Colour and density of the points, at every vertex of the tree.

use crate::octree::{NONE, Octree};
use crate::samples::{Occupied, Samples};
use crate::transfer::{prolong, restrict};
use rayon::prelude::*;

/// Weight, in points, of the coarser level's colour beside a level's own.
const COARSER: f32 = 0.1;

/// Per level and vertex: points per squared finest cell, then linear red,
/// green, blue (0 where the cloud has no colours). Near points from the level
/// itself, elsewhere from the levels above.
pub(crate) fn attributes(
    tree: &Octree,
    samples: &Samples,
    depth: u32,
    per_node: f32,
) -> Vec<Vec<[f32; 4]>> {
    let levels = &tree.levels;
    // Points splatted on the finest cells that hold them, then summed upwards.
    let mut sums: Vec<Vec<[f32; 4]>> = Vec::with_capacity(levels.len());
    tree.walk(&samples.keys, depth, |i, cells| {
        let level = &levels[i];
        let here: Vec<u32> = cells
            .par_iter()
            .map(|&c| {
                if c == NONE || level.children[c as usize] != NONE {
                    NONE
                } else {
                    c
                }
            })
            .collect();
        let above = depth - level.depth;
        sums.push(Occupied::new(&here, level.cells()).splat(level, |s| {
            let count = samples.counts[s];
            let [r, g, b] = samples
                .colors
                .get(s)
                .map_or([0.0; 3], |c| c.map(|x| x * count));
            (samples.local_at(s, above), [count, r, g, b])
        }));
    });
    for i in (1..levels.len()).rev() {
        let up = restrict(&levels[i - 1], &levels[i], &sums[i]);
        sums[i - 1].par_iter_mut().zip(&up).for_each(|(a, b)| {
            for k in 0..4 {
                a[k] += b[k];
            }
        });
    }
    let least = per_node.max(3.0);
    for i in 0..levels.len() {
        let coarser = if i == 0 {
            vec![[0.0; 4]; levels[0].vertices()]
        } else {
            prolong(&levels[i - 1], &levels[i], &sums[i - 1])
        };
        let above = depth - levels[i].depth;
        let area = 4.0f32.powi(above as i32);
        sums[i].par_iter_mut().zip(&coarser).for_each(|(a, c)| {
            let count = a[0];
            // As in the samples' own density: two levels over the finest.
            let known = above >= 2 && count >= least;
            a[0] = if known || i == 0 {
                1.5 * count / area
            } else {
                c[0]
            };
            for k in 1..4 {
                a[k] = (a[k] + COARSER * c[k]) / (count + COARSER);
            }
        });
    }
    sums
}
