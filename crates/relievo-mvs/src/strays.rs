//! Points right before or behind the surface that the points around them show.
//!
//! They stand a pixel or two off, mostly alone, and double the surface. Where a view sees it
//! closer than the one that made its points, or its depth is off by more than the others
//! forgive, its pixels are left over and make points with those views that agree with them.
//! The test is our own; figures are in `docs/decisions.md`.

use crate::error::MvsError;
use rayon::prelude::*;
use relievo_geometry::Vec3;
use relievo_scene::PointCloud;
use relievo_spatial::{KdTree, Neighbor};
use relievo_task::Task;

/// Nearest points asked.
const ASKED: usize = 10;
/// How many of them, surer than the point, must lie on one side.
const MOST: usize = 3;
/// Farther ones, in footprints of the point, say nothing.
const REACH: f32 = 6.0;
/// Least cosine between the normals of one surface.
const ALIKE: f64 = 0.7;
/// Surer points stay, and need no search.
const SURE: u8 = 150;
/// Points asked between looks at whether to stop.
const CHUNK: usize = 1 << 16;

/// For each point of the cloud, whether it stays: false where three of the ten nearest points
/// are surer, face as it does and lie on one side of it, farther than `off` footprints along the
/// normals of both. `footprints`: distance between two pixels on the surface, one a point. 0 keeps
/// all.
///
/// On an edge, a corner or a curve the planes of the points around run through the point, and in
/// noise those points lie on both sides. Of two layers one footprint apart the surer one stays,
/// and both where none is.
pub(crate) fn no_strays(
    cloud: &PointCloud,
    footprints: &[f32],
    off: f32,
    task: &Task,
) -> Result<Option<Vec<bool>>, MvsError> {
    if !(off > 0.0) || cloud.len() <= ASKED {
        return Ok(None);
    }
    let tree = KdTree::new(&cloud.positions);
    let mut keep = vec![true; cloud.len()];
    for (k, some) in keep.chunks_mut(CHUNK).enumerate() {
        task.check()?;
        some.par_iter_mut()
            .enumerate()
            .with_min_len(256)
            .for_each_init(Vec::new, |near, (i, keep)| {
                let i = k * CHUNK + i;
                if cloud.confidence[i] < SURE {
                    tree.k_nearest_into(cloud.positions[i], ASKED + 1, near);
                    *keep = !is_stray(cloud, i, near, footprints[i], off);
                }
            });
    }
    Ok(keep.contains(&false).then_some(keep))
}

fn is_stray(cloud: &PointCloud, i: usize, near: &[Neighbor], footprint: f32, off: f32) -> bool {
    let at = |k: usize| Vec3::from(cloud.positions[k].map(f64::from));
    let normal = |k: usize| Vec3::from(cloud.normals[k].map(f64::from));
    let (own, facing) = (at(i), normal(i));
    let reach = (REACH * footprint).powi(2);
    let off = f64::from(off * footprint);
    let (mut before, mut behind) = (0, 0);
    let others = near.iter().filter(|n| n.distance_squared <= reach);
    for k in others.map(|n| n.index as usize).filter(|k| *k != i) {
        let there = normal(k);
        if cloud.confidence[k] <= cloud.confidence[i] || there.dot(&facing) < ALIKE {
            continue;
        }
        let to = at(k) - own;
        let along = [to.dot(&facing), to.dot(&there)];
        before += usize::from(along.iter().all(|a| *a > off));
        behind += usize::from(along.iter().all(|a| *a < -off));
    }
    before.max(behind) >= MOST
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plane z = 0 of 20 x 20 points a footprint apart, and these, less sure.
    fn plane_and(others: &[([f32; 3], [f32; 3])]) -> PointCloud {
        let mut cloud = PointCloud::default();
        for k in 0..400 {
            cloud
                .positions
                .push([(k % 20) as f32, (k / 20) as f32, 0.0]);
            cloud.normals.push([0.0, 0.0, 1.0]);
            cloud.confidence.push(100);
        }
        for (position, normal) in others {
            cloud.positions.push(*position);
            cloud.normals.push(*normal);
            cloud.confidence.push(60);
        }
        cloud
    }

    fn dropped(cloud: &PointCloud) -> Vec<usize> {
        let keep = no_strays(cloud, &vec![1.0; cloud.len()], 0.5, &Task::silent()).unwrap();
        let keep = keep.unwrap_or_else(|| vec![true; cloud.len()]);
        (0..keep.len()).filter(|k| !keep[*k]).collect()
    }

    #[test]
    fn one_before_and_one_behind_go() {
        let up = [0.0, 0.0, 1.0];
        let mut cloud = plane_and(&[
            ([5.5, 5.5, 0.8], up),
            ([12.5, 5.5, -1.5], up),
            ([5.5, 12.5, 0.4], up),
            ([12.5, 12.5, 0.8], [0.0, 0.0, -1.0]),
        ]);
        assert_eq!(dropped(&cloud), [400, 401]);
        cloud.confidence[401] = SURE;
        assert_eq!(dropped(&cloud), [400]);
    }

    #[test]
    fn of_two_layers_the_surer_stays() {
        let grid = (0..400).map(|k| [(k % 20) as f32 + 0.5, (k / 20) as f32 + 0.5, 0.8]);
        let layer: Vec<_> = grid.map(|at| (at, [0.0, 0.0, 1.0])).collect();
        let mut cloud = plane_and(&layer);
        let mut gone = dropped(&cloud);
        assert!(gone.len() > 350 && gone.iter().all(|k| *k >= 400));
        cloud.confidence = [vec![60; 400], vec![100; 400]].concat();
        gone = dropped(&cloud);
        assert!(gone.len() > 350 && gone.iter().all(|k| *k < 400));
        cloud.confidence.fill(100);
        assert_eq!(dropped(&cloud), Vec::<usize>::new());
    }

    #[test]
    fn a_ridge_stays() {
        let slope = 0.6_f32;
        let mut roof = plane_and(&[]);
        for (position, normal) in roof.positions.iter_mut().zip(&mut roof.normals) {
            let side = (position[0] - 10.0).signum();
            position[2] = -slope * (position[0] - 10.0).abs();
            let length = slope.hypot(1.0);
            *normal = [side * slope / length, 0.0, 1.0 / length];
        }
        for y in 0..20 {
            roof.positions.push([10.0, y as f32 + 0.5, 0.0]);
            roof.normals.push([0.0, 0.0, 1.0]);
            roof.confidence.push(60);
        }
        assert_eq!(dropped(&roof), Vec::<usize>::new());
    }

    #[test]
    fn a_step_and_an_edge_stay_but_for_corners() {
        // A step of two footprints, and a wall that rises from the plane's side.
        let up = [0.0, 0.0, 1.0];
        let mut others = Vec::new();
        for k in 0..60 {
            others.push(([20.0 + (k % 3) as f32, (k / 3) as f32, 2.0], up));
            others.push(([-0.1, (k / 3) as f32, (k % 3) as f32], [1.0, 0.0, 0.0]));
        }
        // Only the step's two corners have fewer points of their own around than surer ones below.
        assert_eq!(dropped(&plane_and(&others)), [400, 514]);
    }
}
