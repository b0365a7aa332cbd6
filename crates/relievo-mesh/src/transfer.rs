//! Trilinear functions from one level of the tree to the next.

use crate::octree::{Level, NONE};
use rayon::prelude::*;

/// Weights of the eight corners at a position inside a cell.
#[inline]
pub(crate) fn corner_weights(at: [f32; 3]) -> [f32; 8] {
    let [x, y, z] = at;
    let (u, v, w) = (1.0 - x, 1.0 - y, 1.0 - z);
    let (a, b, c, d) = (u * v, x * v, u * y, x * y);
    [a * w, b * w, c * w, d * w, a * z, b * z, c * z, d * z]
}

/// Values at the finer level's vertices of the function given at the coarser
/// one's. Means of pairs only, so that a value between two never leaves their
/// range: contouring relies on it.
pub(crate) fn prolong<const K: usize>(
    coarse: &Level,
    fine: &Level,
    values: &[[f32; K]],
) -> Vec<[f32; K]> {
    (0..fine.vertices() as u32)
        .into_par_iter()
        .map(|v| {
            let (cell, corner) = fine.owner(v);
            let corners = &coarse.cell_vertices[fine.parent(cell) as usize];
            let mut at: [[f32; K]; 8] = corners.map(|c| values[c as usize]);
            let mut count = 8;
            for axis in 0..3 {
                let t = (cell >> axis & 1) + (corner >> axis & 1);
                count /= 2;
                for k in 0..count {
                    let (a, b) = (at[2 * k], at[2 * k + 1]);
                    at[k] = match t {
                        0 => a,
                        1 => std::array::from_fn(|i| 0.5 * (a[i] + b[i])),
                        _ => b,
                    };
                }
            }
            at[0]
        })
        .collect()
}

/// The transpose of [`prolong`]: a coarse hat function is the sum of finer
/// ones with weights 1, ½, ¼, ⅛.
pub(crate) fn restrict<const K: usize>(
    coarse: &Level,
    fine: &Level,
    values: &[[f32; K]],
) -> Vec<[f32; K]> {
    coarse
        .vertex_cells
        .par_iter()
        .map(|around| {
            let mut sum = [0.0; K];
            if around
                .iter()
                .all(|&c| c == NONE || coarse.children[c as usize] == NONE)
            {
                return sum;
            }
            for k in 0..27i32 {
                let offset = [k % 3 - 1, k / 3 % 3 - 1, k / 9 - 1];
                let Some(v) = fine_vertex(coarse, fine, around, offset) else {
                    continue;
                };
                let weight = offset
                    .iter()
                    .fold(1.0, |w, &o| if o == 0 { w } else { 0.5 * w });
                for i in 0..K {
                    sum[i] += weight * values[v as usize][i];
                }
            }
            sum
        })
        .collect()
}

/// The vertex `offset` fine steps from the coarse vertex that `around` surrounds.
fn fine_vertex(coarse: &Level, fine: &Level, around: &[u32; 8], offset: [i32; 3]) -> Option<u32> {
    for q in (0..8u32).rev() {
        let side = |axis: usize| (q >> axis & 1) as i32;
        if (0..3).any(|axis| offset[axis] != 0 && (offset[axis] > 0) != (side(axis) == 1)) {
            continue;
        }
        let cell = around[q as usize];
        if cell == NONE || coarse.children[cell as usize] == NONE {
            continue;
        }
        let (mut octant, mut corner) = (0u32, 0u32);
        for axis in 0..3 {
            // Position in the cell, in halves: the vertex is at 0 or 2.
            let t = 2 * (1 - side(axis)) + offset[axis];
            octant |= u32::from(t == 2) << axis;
            corner |= u32::from(t >= 1) << axis;
        }
        let child = coarse.children[cell as usize] * 8 + octant;
        return Some(fine.cell_vertices[child as usize][corner as usize]);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::octree::{Octree, encode};

    fn tree() -> Octree {
        let mut keys: Vec<u64> = [[3, 4, 5], [20, 21, 9], [12, 16, 15]]
            .into_iter()
            .map(encode)
            .collect();
        keys.sort_unstable();
        Octree::build(&keys, 5, |_| 5, 2, 5)
    }

    #[test]
    fn a_linear_function_stays_itself() {
        let tree = tree();
        for pair in tree.levels.windows(2) {
            let f = |level: &Level, v: u32| {
                let p = level
                    .vertex_position(v)
                    .map(|x| x as f32 / (1 << level.depth) as f32);
                [p[0] + 2.0 * p[1] - 3.0 * p[2]]
            };
            let at = |level: &Level| {
                (0..level.vertices() as u32)
                    .map(|v| f(level, v))
                    .collect::<Vec<_>>()
            };
            let fine = prolong(&pair[0], &pair[1], &at(&pair[0]));
            for (a, b) in fine.iter().zip(at(&pair[1])) {
                assert!((a[0] - b[0]).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn restriction_is_the_transpose() {
        let tree = tree();
        let (coarse, fine) = (&tree.levels[3], &tree.levels[4]);
        let noise = |i: usize, m: f32| [((i as f32 * m).sin() * 43.0).fract()];
        let x: Vec<_> = (0..coarse.vertices()).map(|i| noise(i, 1.3)).collect();
        let y: Vec<_> = (0..fine.vertices()).map(|i| noise(i, 2.7)).collect();
        let dot = |a: &[[f32; 1]], b: &[[f32; 1]]| -> f64 {
            a.iter()
                .zip(b)
                .map(|(a, b)| f64::from(a[0]) * f64::from(b[0]))
                .sum()
        };
        let (left, right) = (
            dot(&prolong(coarse, fine, &x), &y),
            dot(&x, &restrict(coarse, fine, &y)),
        );
        assert!(
            (left - right).abs() < 1e-3 * left.abs().max(1.0),
            "{left} {right}"
        );
    }
}
