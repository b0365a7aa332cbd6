//! The screened Poisson equation on the octree, trilinear elements, cascadic:
//! each level starts from the one above and keeps its values where the level
//! ends (Kazhdan & Hoppe 2013, §3 and §4).
//!
//! Minimised is ∫|∇χ − V|² + Σ α aᵢ χ(pᵢ)²/h, with V = Σ aᵢ nᵢ δ(x − pᵢ)
//! smoothed by the hat function of the sample's own level, aᵢ the area of
//! sample i and h the level's cell: the screening doubles with each level, as
//! in §4.3 there, so that the two terms stay in balance. χ is about −½ inside
//! and +½ outside.

use crate::MeshError;
use crate::octree::{Level, NONE, Octree, VertexKind};
use crate::samples::{Occupied, Samples};
use crate::transfer::{corner_weights, prolong, restrict};
use rayon::prelude::*;
use relievo_task::{Task, ordered};
use std::sync::atomic::{AtomicU32, Ordering};

/// Vertices of one unit of parallel work.
const CHUNK: usize = 2048;
/// A level with fewer unknowns is swept until this many were visited.
const LEAST_WORK: usize = 200_000;

/// What the solver is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SolverSettings {
    /// α.
    pub(crate) point_weight: f32,
    /// Gauss–Seidel sweeps on a large level.
    pub(crate) sweeps: u32,
    /// Finest level of the samples' keys.
    pub(crate) depth: u32,
}

/// χ at the vertices of each level.
pub(crate) struct Solution {
    /// By level.
    pub(crate) values: Vec<Vec<f32>>,
    /// Mean of χ at the samples, weighted by area.
    pub(crate) iso: f32,
    /// Unknowns, all levels.
    pub(crate) unknowns: usize,
}

/// Position in the cell; normal times area.
type Splat = ([f32; 3], [f32; 3]);

/// The samples as one level sees them: one a cell.
struct LevelData {
    occupied: Occupied,
    /// Position in the cell and weight of the screening.
    screen: Vec<[f32; 4]>,
    /// Position in the cell and normal times area, both of the samples that
    /// are splatted on this level.
    splat: Vec<Splat>,
}

impl LevelData {
    fn new(level: &Level, cells: &[u32], samples: &Samples, settings: &SolverSettings) -> Self {
        let occupied = Occupied::new(cells, level.cells());
        let above = settings.depth - level.depth;
        let scale = 0.25f32.powi(above as i32);
        let here = level.depth as f32;
        let rows: Vec<([f32; 4], Splat)> = occupied
            .ranges
            .par_iter()
            .map(|&(start, end)| {
                let mut screen = [0.0f32; 4];
                let (mut at, mut vector, mut total) = ([0.0f32; 3], [0.0f32; 3], 0.0f32);
                for i in start as usize..end as usize {
                    let area = samples.areas[i] * scale;
                    let local = samples.local_at(i, above);
                    // Linear blend between the two levels next to the sample's own.
                    let share = (1.0 - (samples.depths[i] - here).abs()).max(0.0);
                    total += share * area;
                    screen[3] += area;
                    for axis in 0..3 {
                        screen[axis] += area * local[axis];
                        at[axis] += share * area * local[axis];
                        vector[axis] += share * area * samples.normals[i][axis];
                    }
                }
                for axis in 0..3 {
                    screen[axis] /= screen[3];
                    at[axis] = if total > 0.0 { at[axis] / total } else { 0.5 };
                }
                // A sample of a sparse region stands for many cells of a fine level.
                screen[3] = settings.point_weight * screen[3].min(2.0);
                (screen, (at, vector))
            })
            .collect();
        Self {
            screen: rows.iter().map(|r| r.0).collect(),
            splat: rows.iter().map(|r| r.1).collect(),
            occupied,
        }
    }

    /// V·h at the vertices: the part splatted on this level.
    fn field(&self, level: &Level) -> Vec<[f32; 3]> {
        level
            .vertex_cells
            .par_iter()
            .map(|around| {
                let mut sum = [0.0; 3];
                for (q, &cell) in around.iter().enumerate() {
                    if cell != NONE && self.occupied.rows[cell as usize] != NONE {
                        let (at, v) = self.splat[self.occupied.rows[cell as usize] as usize];
                        let weight = corner_weights(at)[7 - q];
                        for axis in 0..3 {
                            sum[axis] += weight * v[axis];
                        }
                    }
                }
                sum
            })
            .collect()
    }
}

/// Solves for χ.
pub(crate) fn solve(
    tree: &Octree,
    samples: &Samples,
    settings: &SolverSettings,
    task: &Task,
) -> Result<Solution, MeshError> {
    let levels = &tree.levels;
    let progress = task.progress("surface: levels solved", levels.len() as u64);
    let mut data = Vec::with_capacity(levels.len());
    tree.walk(&samples.keys, settings.depth, |i, cells| {
        data.push(LevelData::new(&levels[i], cells, samples, settings));
    });
    // Fine to coarse: what finer splats put on this level's functions.
    let mut from_finer: Vec<Vec<[f32; 1]>> = levels.iter().map(|_| Vec::new()).collect();
    for i in (1..levels.len()).rev() {
        task.check()?;
        let mut load = divergence(&levels[i], &data[i].field(&levels[i]), false);
        if let Some(finer) = from_finer.get(i).filter(|f| !f.is_empty()) {
            load.par_iter_mut()
                .zip(finer)
                .for_each(|(a, b)| a[0] += b[0]);
        }
        let mut up = restrict(&levels[i - 1], &levels[i], &load);
        up.par_iter_mut().for_each(|x| x[0] *= 0.5);
        from_finer[i - 1] = up;
    }
    // Coarse to fine.
    let mut field: Vec<[f32; 3]> = Vec::new();
    let mut values: Vec<Vec<f32>> = Vec::with_capacity(levels.len());
    let mut unknowns = 0;
    for (i, level) in levels.iter().enumerate() {
        task.check()?;
        let own = data[i].field(level);
        let mut start = vec![[0.0f32; 1]; level.vertices()];
        if i == 0 {
            field = own;
        } else {
            field = prolong(&levels[i - 1], level, &field);
            field.par_iter_mut().zip(&own).for_each(|(f, o)| {
                for axis in 0..3 {
                    f[axis] = 0.5 * f[axis] + o[axis];
                }
            });
            let above: &[[f32; 1]] = bytemuck::cast_slice(&values[i - 1]);
            start = prolong(&levels[i - 1], level, above);
        }
        let mut load = divergence(level, &field, true);
        let finer = std::mem::take(&mut from_finer[i]);
        load.par_iter_mut()
            .zip(&finer)
            .for_each(|(a, b)| a[0] += b[0]);
        let (solved, count) = relax(level, &data[i], start, &load, settings, task)?;
        unknowns += count;
        values.push(solved);
        progress.add(1);
    }
    let iso = mean_at_samples(tree, samples, &values, settings.depth);
    Ok(Solution {
        values,
        iso,
        unknowns,
    })
}

/// ∫∇φ·V for the vertices' hat functions, in units of the cell; with
/// `unknowns_only`, 0 at hanging vertices.
fn divergence(level: &Level, field: &[[f32; 3]], unknowns_only: bool) -> Vec<[f32; 1]> {
    // ∫ φa φb and ∫ φa' φb of the hats on a unit interval.
    const MASS: [[f32; 2]; 2] = [[1.0 / 3.0, 1.0 / 6.0], [1.0 / 6.0, 1.0 / 3.0]];
    const SLOPE: [f32; 2] = [-0.5, 0.5];
    let element: [[[f32; 3]; 8]; 8] = std::array::from_fn(|a| {
        std::array::from_fn(|b| {
            let bit = |k: usize, axis: usize| k >> axis & 1;
            let mass = |axis: usize| MASS[bit(a, axis)][bit(b, axis)];
            let slope = |axis: usize| SLOPE[bit(a, axis)];
            [
                slope(0) * mass(1) * mass(2),
                mass(0) * slope(1) * mass(2),
                mass(0) * mass(1) * slope(2),
            ]
        })
    });
    level
        .vertex_cells
        .par_iter()
        .zip(&level.kinds)
        .map(|(around, kind)| {
            if unknowns_only && *kind == VertexKind::Hanging {
                return [0.0];
            }
            let mut sum = 0.0;
            for (q, &cell) in around.iter().enumerate() {
                if cell == NONE {
                    continue;
                }
                let row = &element[7 - q];
                for (b, &v) in level.cell_vertices[cell as usize].iter().enumerate() {
                    let f = field[v as usize];
                    sum += row[b][0] * f[0] + row[b][1] * f[1] + row[b][2] * f[2];
                }
            }
            [sum]
        })
        .collect()
}

/// Eight-colour Gauss–Seidel: vertices of one parity class do not meet in the
/// stencil, so their order and the number of threads do not matter.
fn relax(
    level: &Level,
    data: &LevelData,
    start: Vec<[f32; 1]>,
    load: &[[f32; 1]],
    settings: &SolverSettings,
    task: &Task,
) -> Result<(Vec<f32>, usize), MeshError> {
    let mut colours: [Vec<u32>; 8] = std::array::from_fn(|_| Vec::new());
    for v in 0..level.vertices() as u32 {
        if level.kinds[v as usize] != VertexKind::Hanging {
            let (cell, corner) = level.owner(v);
            colours[((cell ^ corner) & 7) as usize].push(v);
        }
    }
    let unknowns: usize = colours.iter().map(Vec::len).sum();
    let values: Vec<AtomicU32> = start
        .into_par_iter()
        .map(|x| AtomicU32::new(x[0].to_bits()))
        .collect();
    let read = |v: u32| f32::from_bits(values[v as usize].load(Ordering::Relaxed));
    let sweeps = (settings.sweeps as usize)
        .max(LEAST_WORK / unknowns.max(1))
        .min(settings.sweeps as usize * 16);
    for _ in 0..sweeps {
        task.check()?;
        for colour in &colours {
            colour.par_chunks(CHUNK).for_each(|chunk| {
                for &v in chunk {
                    let (off_diagonal, diagonal) = row(level, data, v, read);
                    if diagonal > 0.0 {
                        let x = (load[v as usize][0] - off_diagonal) / diagonal;
                        values[v as usize].store(x.to_bits(), Ordering::Relaxed);
                    }
                }
            });
        }
    }
    let values = values
        .into_par_iter()
        .map(|x| f32::from_bits(x.into_inner()))
        .collect();
    Ok((values, unknowns))
}

/// Σ A·u without the diagonal, and the diagonal, of vertex v.
#[inline]
fn row(level: &Level, data: &LevelData, v: u32, read: impl Fn(u32) -> f32) -> (f32, f32) {
    let around = &level.vertex_cells[v as usize];
    let (mut sum, mut diagonal);
    if level.kinds[v as usize] == VertexKind::Interior {
        // The 27-point stencil: 8/3, faces 0, edges −1/6, corners −1/12.
        let corners = |q: usize| &level.cell_vertices[around[q] as usize];
        let mut far = 0.0;
        let mut near = 0.0;
        for q in 0..8 {
            far += read(corners(q)[q]);
        }
        for axis in 0..3 {
            let (b, c) = (1usize << ((axis + 1) % 3), 1usize << ((axis + 2) % 3));
            // v is corner 7 − q of cell q; its edge neighbours lie on the
            // face of the upper cell along `axis`.
            for q in [0, b, c, b | c] {
                near += read(corners(q | 1 << axis)[q]);
            }
        }
        sum = -near / 6.0 - far / 12.0;
        diagonal = 8.0 / 3.0;
    } else {
        (sum, diagonal) = (0.0, 0.0);
        for (q, &cell) in around.iter().enumerate() {
            if cell == NONE {
                continue;
            }
            diagonal += 1.0 / 3.0;
            for (b, &other) in level.cell_vertices[cell as usize].iter().enumerate() {
                // Element stiffness by how many axes the corners differ in.
                if (b ^ (7 - q)).count_ones() > 1 {
                    sum -= read(other) / 12.0;
                }
            }
        }
    }
    for (q, &cell) in around.iter().enumerate() {
        if cell == NONE {
            continue;
        }
        let occupied = data.occupied.rows[cell as usize];
        if occupied == NONE {
            continue;
        }
        let [x, y, z, weight] = data.screen[occupied as usize];
        let weights = corner_weights([x, y, z]);
        let own = weights[7 - q];
        let mut at_sample = 0.0;
        for (b, &other) in level.cell_vertices[cell as usize].iter().enumerate() {
            if b != 7 - q {
                at_sample += weights[b] * read(other);
            }
        }
        sum += weight * own * at_sample;
        diagonal += weight * own * own;
    }
    (sum, diagonal)
}

/// Mean of χ over the samples, each on its finest level, weighted by area.
fn mean_at_samples(tree: &Octree, samples: &Samples, values: &[Vec<f32>], depth: u32) -> f32 {
    let mut found = vec![0.0f32; samples.len()];
    tree.walk(&samples.keys, depth, |i, cells| {
        let level = &tree.levels[i];
        found.par_iter_mut().enumerate().for_each(|(s, value)| {
            if cells[s] != NONE {
                let weights = corner_weights(samples.local_at(s, depth - level.depth));
                *value = level.cell_vertices[cells[s] as usize]
                    .iter()
                    .zip(weights)
                    .map(|(&v, w)| values[i][v as usize] * w)
                    .sum();
            }
        });
    });
    let area = |i: usize| f64::from(samples.areas[i]);
    let total = ordered::sum(samples.len(), area);
    let sum = ordered::sum(samples.len(), |i| f64::from(found[i]) * area(i));
    (sum / total) as f32
}
