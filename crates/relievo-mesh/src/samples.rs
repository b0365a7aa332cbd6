//! Points merged to one sample a finest cell, and how dense they lie.

use crate::octree::{Level, NONE, Octree, decode, encode};
use crate::transfer::{corner_weights, restrict};
use rayon::prelude::*;
use relievo_scene::PointCloud;

/// The root cube, in the cloud's frame and unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cube {
    /// Its lowest corner.
    pub(crate) origin: [f64; 3],
    /// Edge of a finest cell.
    pub(crate) cell: f64,
    /// Finest level.
    pub(crate) depth: u32,
}

/// Samples in Morton order, one a finest cell.
#[derive(Default)]
pub(crate) struct Samples {
    /// Morton keys at the finest level.
    pub(crate) keys: Vec<u64>,
    /// Position inside the finest cell, 0 … 1.
    pub(crate) local: Vec<[f32; 3]>,
    /// Mean of the unit normals; shorter where they disagree.
    pub(crate) normals: Vec<[f32; 3]>,
    /// Mean colour, linear; empty where the cloud has none.
    pub(crate) colors: Vec<[f32; 3]>,
    /// Points in the sample.
    pub(crate) counts: Vec<f32>,
    /// Area the sample stands for, in squared finest cells.
    pub(crate) areas: Vec<f32>,
    /// The level whose cells suit the density here; fractional.
    pub(crate) depths: Vec<f32>,
    /// Points of the cloud that went in.
    pub(crate) points: usize,
}

impl Samples {
    /// Merges the points of `cloud` inside `cube` that have a normal.
    pub(crate) fn merge(cloud: &PointCloud, cube: &Cube) -> Self {
        let side = f64::from(1u32 << cube.depth);
        let place = |i: usize| -> Option<([u32; 3], [f32; 3])> {
            unit(cloud.normals[i])?;
            let mut at = [0; 3];
            let mut local = [0.0; 3];
            for axis in 0..3 {
                let x = (f64::from(cloud.positions[i][axis]) - cube.origin[axis]) / cube.cell;
                if !(x >= 0.0 && x < side) {
                    return None;
                }
                at[axis] = x as u32;
                local[axis] = (x - x.floor()) as f32;
            }
            Some((at, local))
        };
        let mut order: Vec<(u64, u32)> = (0..cloud.len())
            .into_par_iter()
            .filter_map(|i| place(i).map(|(at, _)| (encode(at), i as u32)))
            .collect();
        order.par_sort_unstable();
        let mut starts: Vec<usize> = (0..order.len())
            .filter(|&i| i == 0 || order[i - 1].0 != order[i].0)
            .collect();
        let merged = starts.len();
        starts.push(order.len());
        let with_colors = cloud.colors.len() == cloud.len();
        let curve = linear_of_srgb();
        let rows: Vec<([f32; 3], [f32; 3], [f32; 3])> = (0..merged)
            .into_par_iter()
            .map(|s| {
                let (mut local, mut normal, mut color) = ([0.0; 3], [0.0; 3], [0.0; 3]);
                let members = &order[starts[s]..starts[s + 1]];
                for &(_, i) in members {
                    let i = i as usize;
                    let (Some((_, at)), Some(n)) = (place(i), unit(cloud.normals[i])) else {
                        continue;
                    };
                    for axis in 0..3 {
                        local[axis] += at[axis];
                        normal[axis] += n[axis];
                        if with_colors {
                            color[axis] += curve[cloud.colors[i][axis] as usize];
                        }
                    }
                }
                let share = 1.0 / members.len() as f32;
                (
                    local.map(|x| x * share),
                    normal.map(|x| x * share),
                    color.map(|x| x * share),
                )
            })
            .collect();
        Self {
            keys: starts[..merged].iter().map(|&s| order[s].0).collect(),
            local: rows.iter().map(|r| r.0).collect(),
            normals: rows.iter().map(|r| r.1).collect(),
            colors: if with_colors {
                rows.iter().map(|r| r.2).collect()
            } else {
                Vec::new()
            },
            counts: (0..merged)
                .map(|s| (starts[s + 1] - starts[s]) as f32)
                .collect(),
            areas: Vec::new(),
            depths: Vec::new(),
            points: order.len(),
        }
    }

    /// Number of samples.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Position of sample i inside its cell `above` levels over the finest.
    #[inline]
    pub(crate) fn local_at(&self, i: usize, above: u32) -> [f32; 3] {
        if above == 0 {
            return self.local[i];
        }
        let at = decode(self.keys[i]);
        let mask = (1u32 << above) - 1;
        let scale = 1.0 / (1u32 << above) as f32;
        [0, 1, 2].map(|axis| ((at[axis] & mask) as f32 + self.local[i][axis]) * scale)
    }

    /// Fills `areas` and `depths`: a kernel density estimate two levels over
    /// the finest, coarser where that holds too few points (Kazhdan & Hoppe
    /// 2013, §3.2).
    pub(crate) fn measure(&mut self, depth: u32, base: u32, per_node: f32) {
        let kernel = depth.saturating_sub(2).max(1);
        let tree = Octree::build(&self.keys, depth, |_| depth, base.min(kernel), kernel);
        let counts = self.count_levels(&tree, depth);
        let least = per_node.max(3.0);
        let mut found = vec![0.0f32; self.len()];
        tree.walk(&self.keys, depth, |i, cells| {
            let level = &tree.levels[i];
            let above = depth - level.depth;
            let area = 4.0f32.powi(above as i32);
            let samples = &*self;
            found.par_iter_mut().enumerate().for_each(|(s, density)| {
                let cell = cells[s];
                if cell == NONE {
                    return;
                }
                let weights = corner_weights(samples.local_at(s, above));
                let near: f32 = level.cell_vertices[cell as usize]
                    .iter()
                    .zip(weights)
                    .map(|(&v, w)| counts[i][v as usize][0] * w)
                    .sum();
                // The kernel's mean over a plane is 2/3 of a cell's face.
                if near >= least || *density == 0.0 {
                    *density = 1.5 * near / area;
                }
            });
        });
        self.areas = (0..self.len()).map(|i| self.counts[i] / found[i]).collect();
        self.depths = found
            .iter()
            .map(|&density| {
                let suited = depth as f32 + 0.5 * (density / per_node).log2();
                // The finer of two levels takes part from halfway on, so that
                // cells are at most √2 finer than the points ask for.
                let level = suited.floor();
                let finer = (2.0 * (suited - level) - 1.0).max(0.0);
                (level + finer).clamp(1.0, depth as f32)
            })
            .collect();
    }

    /// Trilinear splat of the counts on each level of a tree that is complete
    /// around the samples.
    fn count_levels(&self, tree: &Octree, depth: u32) -> Vec<Vec<[f32; 1]>> {
        let last = tree.levels.len() - 1;
        let mut occupied = Occupied::default();
        tree.walk(&self.keys, depth, |i, cells| {
            if i == last {
                occupied = Occupied::new(cells, tree.levels[i].cells());
            }
        });
        let above = depth - tree.levels[last].depth;
        let mut all = vec![Vec::new(); tree.levels.len()];
        all[last] = occupied.splat(&tree.levels[last], |i| {
            (self.local_at(i, above), [self.counts[i]])
        });
        for i in (0..last).rev() {
            all[i] = restrict(&tree.levels[i], &tree.levels[i + 1], &all[i + 1]);
        }
        all
    }
}

/// Which cells of a level hold samples.
#[derive(Default)]
pub(crate) struct Occupied {
    /// Row in `ranges` of each cell, or [`NONE`].
    pub(crate) rows: Vec<u32>,
    /// First sample and one past the last, cells ascending.
    pub(crate) ranges: Vec<(u32, u32)>,
}

impl Occupied {
    pub(crate) fn new(cells_of_samples: &[u32], cells: usize) -> Self {
        let mut rows = vec![NONE; cells];
        let mut ranges = Vec::new();
        let mut start = 0;
        for run in cells_of_samples.chunk_by(|a, b| a == b) {
            let end = start + run.len() as u32;
            if run[0] != NONE {
                rows[run[0] as usize] = ranges.len() as u32;
                ranges.push((start, end));
            }
            start = end;
        }
        Self { rows, ranges }
    }

    /// Σ weight · value over the samples around each vertex.
    pub(crate) fn splat<const K: usize>(
        &self,
        level: &Level,
        sample: impl Fn(usize) -> ([f32; 3], [f32; K]) + Sync,
    ) -> Vec<[f32; K]> {
        level
            .vertex_cells
            .par_iter()
            .map(|around| {
                let mut sum = [0.0; K];
                for (q, &cell) in around.iter().enumerate() {
                    if cell == NONE || self.rows[cell as usize] == NONE {
                        continue;
                    }
                    let (start, end) = self.ranges[self.rows[cell as usize] as usize];
                    for i in start..end {
                        let (at, value) = sample(i as usize);
                        let weight = corner_weights(at)[7 - q];
                        for k in 0..K {
                            sum[k] += weight * value[k];
                        }
                    }
                }
                sum
            })
            .collect()
    }
}

/// The unit vector along `n`; `None` where it has no direction.
fn unit(n: [f32; 3]) -> Option<[f32; 3]> {
    let length = n.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    (length.is_finite() && length > 1e-12).then(|| n.map(|x| (f64::from(x) / length) as f32))
}

/// Linear intensity of each sRGB value.
fn linear_of_srgb() -> [f32; 256] {
    std::array::from_fn(|i| {
        let v = i as f32 / 255.0;
        if v <= 0.04045 {
            v / 12.92
        } else {
            ((v + 0.055) / 1.055).powf(2.4)
        }
    })
}

/// sRGB value of a linear intensity.
pub(crate) fn srgb_of_linear(v: f32) -> u8 {
    let v = v.clamp(0.0, 1.0);
    let s = if v <= 0.003_130_8 {
        v * 12.92
    } else {
        1.055 * v.powf(1.0 / 2.4) - 0.055
    };
    (s * 255.0).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn srgb_comes_back() {
        let curve = linear_of_srgb();
        for i in 0..=255u8 {
            assert_eq!(srgb_of_linear(curve[i as usize]), i);
        }
    }

    #[test]
    fn a_lattice_has_its_own_density() {
        // Two points a finest cell along x and y, on an oblique plane.
        let mut cloud = PointCloud::default();
        for i in 0..120 {
            for j in 0..120 {
                let (x, y) = (2.03 + i as f32 * 0.5, 2.06 + j as f32 * 0.5);
                cloud.positions.push([x, y, 30.0 + 0.2 * x - 0.1 * y]);
                cloud.normals.push([-0.2, 0.1, 1.0]);
            }
        }
        let cube = Cube {
            origin: [0.0; 3],
            cell: 1.0,
            depth: 6,
        };
        let mut samples = Samples::merge(&cloud, &cube);
        assert_eq!(samples.points, 14400);
        samples.measure(6, 3, 1.5);
        let total: f64 = samples.areas.iter().map(|&a| f64::from(a)).sum();
        let truth = 60.0 * 60.0 * (1.0f64 + 0.04 + 0.01).sqrt();
        assert!(
            (total / truth - 1.0).abs() < 0.15,
            "{total} against {truth}"
        );
        let deep = samples.depths.iter().filter(|d| **d > 5.9).count();
        assert!(deep > samples.len() * 9 / 10);
    }
}
