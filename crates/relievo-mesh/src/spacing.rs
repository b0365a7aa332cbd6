//! Point spacing, and the box of the points that matter.

use crate::topology::Sets;
use rayon::prelude::*;
use relievo_scene::PointCloud;
use relievo_spatial::KdTree;

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

/// Spacing around each asked point, as in [`point_spacing`]; 0 where seven
/// points coincide.
pub(crate) fn local_spacing(tree: &KdTree, points: &[[f32; 3]], asked: &[u32]) -> Vec<f32> {
    asked
        .par_iter()
        .map_init(Vec::new, |found, &i| {
            tree.k_nearest_into(points[i as usize], NEIGHBOURS + 1, found);
            found.last().map_or(0.0, |f| {
                (f.distance_squared * (std::f32::consts::PI / NEIGHBOURS as f32)).sqrt()
            })
        })
        .collect()
}

/// [`point_spacing`] of finite points.
pub(crate) fn spacing_of(points: &[[f32; 3]]) -> Option<f32> {
    if points.len() <= NEIGHBOURS {
        return None;
    }
    let tree = KdTree::new(points);
    let step = points.len().div_ceil(ASKED);
    let asked: Vec<u32> = (0..points.len() as u32).step_by(step).collect();
    let mut found = local_spacing(&tree, points, &asked);
    found.retain(|s| s.is_finite() && *s > 0.0);
    if found.is_empty() {
        return None;
    }
    let half = found.len() / 2;
    Some(*found.select_nth_unstable_by(half, f32::total_cmp).1)
}

/// Edge of the grid in which clusters are found, in point spacings.
const CLUSTER_CELL: f64 = 16.0;

/// Lowest and highest corner of the clusters with at least `share` of the
/// points each, or of the largest one. Clusters are connected cells of a grid
/// of 16 point spacings. So a stray point a kilometre away does not stretch
/// the cube.
pub(crate) fn robust_bounds(points: &[[f32; 3]], spacing: f32, share: f32) -> [[f64; 3]; 2] {
    let cell = CLUSTER_CELL * f64::from(spacing);
    let middle: [f64; 3] = [0, 1, 2].map(|k| {
        let mut x: Vec<f32> = points.iter().map(|p| p[k]).collect();
        let half = x.len() / 2;
        f64::from(*x.select_nth_unstable_by(half, f32::total_cmp).1)
    });
    // 20 bits an axis; what is farther out is no part of the scene.
    let key = |p: &[f32; 3]| -> Option<u64> {
        let mut key = 0;
        for k in 0..3 {
            let at = ((f64::from(p[k]) - middle[k]) / cell).floor() + f64::from(1 << 19);
            if !(at >= 1.0 && at < f64::from((1 << 20) - 1)) {
                return None;
            }
            key = key << 20 | at as u64;
        }
        Some(key)
    };
    let mut keys: Vec<u64> = points.iter().filter_map(key).collect();
    keys.par_sort_unstable();
    let runs: Vec<(u64, usize)> = keys
        .chunk_by(|a, b| a == b)
        .map(|r| (r[0], r.len()))
        .collect();
    let mut sets = Sets::new(runs.len());
    for (i, &(at, _)) in runs.iter().enumerate() {
        for n in 0..27i64 {
            let step = ((n / 9 - 1) << 40) + ((n / 3 % 3 - 1) << 20) + (n % 3 - 1);
            if step > 0
                && let Ok(j) = runs.binary_search_by_key(&at.wrapping_add_signed(step), |r| r.0)
            {
                sets.join(i as u32, j as u32);
            }
        }
    }
    let mut sizes = vec![0usize; runs.len()];
    for (i, &(_, count)) in runs.iter().enumerate() {
        sizes[sets.find(i as u32) as usize] += count;
    }
    let largest = sizes.iter().copied().max().unwrap_or(0);
    let least = ((f64::from(share) * points.len() as f64) as usize).clamp(1, largest.max(1));
    let kept: Vec<bool> = (0..runs.len() as u32)
        .map(|i| sizes[sets.find(i) as usize] >= least)
        .collect();
    let mut bounds = [[f64::INFINITY; 3], [f64::NEG_INFINITY; 3]];
    for p in points {
        let row = key(p).and_then(|k| runs.binary_search_by_key(&k, |r| r.0).ok());
        if row.is_some_and(|r| kept[r]) {
            for k in 0..3 {
                bounds[0][k] = bounds[0][k].min(f64::from(p[k]));
                bounds[1][k] = bounds[1][k].max(f64::from(p[k]));
            }
        }
    }
    bounds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lattice(side: usize) -> Vec<[f32; 3]> {
        (0..side * side)
            .map(|i| [(i % side) as f32 * 0.1, (i / side) as f32 * 0.1, 7.0])
            .collect()
    }

    #[test]
    fn a_lattice_has_its_spacing() {
        let spacing = spacing_of(&lattice(60)).unwrap();
        assert!((spacing / 0.1 - 1.0).abs() < 0.1, "{spacing}");
        assert_eq!(spacing_of(&[[1.0; 3]; 500]), None);
    }

    #[test]
    fn strays_do_not_stretch_the_box() {
        let mut points = lattice(60);
        points.extend([[1e6, 0.0, 0.0], [0.0, -900.0, 0.0], [f32::MAX, 0.0, 0.0]]);
        // A second, smaller piece of the scene, far from the first.
        points.extend(lattice(20).iter().map(|p| [p[0] + 50.0, p[1], p[2]]));
        let [low, high] = robust_bounds(&points, 0.1, 0.002);
        assert_eq!(low.map(|x| x as f32), [0.0, 0.0, 7.0]);
        assert!((high[0] - 51.9).abs() < 1e-3 && (high[1] - 5.9).abs() < 1e-3);
    }
}
