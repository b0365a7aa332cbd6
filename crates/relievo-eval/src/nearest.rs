//! The nearest of many points, for queries that may be far from all of them.

use relievo_scene::TriMesh;
use relievo_spatial::bounds::{Aabb, quantile_bounds};
use relievo_spatial::{KdTree, TriangleBvh};
use std::sync::OnceLock;

/// How far from the main part of the points a kd-tree is still fast, in its longest side.
const NEAR: f32 = 2.0;

/// Points to be found by nearness.
///
/// From far away every branch of a kd-tree is about as near, so that it visits them
/// all; boxes still tell. They are built when the first far query comes.
#[derive(Debug)]
pub(crate) struct Nearest {
    points: Vec<[f32; 3]>,
    tree: KdTree,
    around: Option<Aabb>,
    boxes: OnceLock<TriangleBvh>,
}

impl Nearest {
    pub(crate) fn new(points: &[[f64; 3]]) -> Self {
        let points: Vec<[f32; 3]> = points.iter().map(|p| p.map(|v| v as f32)).collect();
        Self {
            tree: KdTree::new(&points),
            around: quantile_bounds(&points, 0.01).map(|b| b.grown(NEAR)),
            points,
            boxes: OnceLock::new(),
        }
    }

    /// Index of the nearest point; `None` without points.
    pub(crate) fn of(&self, query: [f32; 3]) -> Option<usize> {
        if self.around.is_none_or(|b| b.contains(query)) {
            return self.tree.nearest(query).map(|n| n.index as usize);
        }
        let boxes = self.boxes.get_or_init(|| {
            TriangleBvh::new(&TriMesh {
                triangles: (0..self.points.len() as u32).map(|i| [i; 3]).collect(),
                positions: self.points.clone(),
                ..TriMesh::default()
            })
        });
        boxes.closest(query).map(|c| c.face as usize)
    }
}

/// How many of `points` lie in the box around all of `of` but the outermost hundredth on
/// every side, grown by half: a few stray points do not widen it.
pub(crate) fn count_near(points: &[[f32; 3]], of: &[[f32; 3]]) -> usize {
    let around = quantile_bounds(of, 0.01).map(|b| b.grown(0.5));
    let near = points
        .iter()
        .filter(|p| around.is_some_and(|b| b.contains(**p)));
    near.count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn far_queries_find_the_nearest_point_too() {
        let places: Vec<[f64; 3]> = (0..500_u16)
            .map(|i| [i % 10, i % 7, i % 11].map(f64::from))
            .chain([[900.0, 0.0, 0.0]])
            .collect();
        let nearest = Nearest::new(&places);
        let queries = [
            [4.2, 3.1, 5.9],
            [400.0, 3.0, -70.0],
            [-60.0, 80.0, 500.0],
            [800.0, 3.0, 1.0],
            [25.0, 3.0, 1.0],
        ];
        for query in queries {
            let distance = |p: &[f64; 3]| {
                (0..3)
                    .map(|k| (p[k] - f64::from(query[k])).powi(2))
                    .sum::<f64>()
            };
            let least = places.iter().map(distance).fold(f64::INFINITY, f64::min);
            let found = nearest.of(query).unwrap();
            assert!((distance(&places[found]) - least).abs() < 1e-6 * least);
        }
        assert_eq!(Nearest::new(&[]).of([0.0; 3]), None);
    }
}
