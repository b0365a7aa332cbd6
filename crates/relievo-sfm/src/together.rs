//! Photos that share too little with the rest of a model to have a place in it.

use crate::model::{Model, Point};

/// Keeps the largest part of a model whose photos each share `least` points with the others of
/// the part. All photos positioned at once may come in pieces that a handful of points ties
/// together, each right in itself and anywhere beside the other.
///
/// Returns the photos that lose their place, each with the points that it shares with the part.
pub(crate) fn keep_together(model: &mut Model, least: usize) -> Vec<(u32, usize)> {
    let mut left = model.order.clone();
    let mut best: Vec<u32> = Vec::new();
    while left.len() > best.len() {
        let part = part_of(model, &left, least);
        left.retain(|v| !part.contains(v));
        if part.len() > best.len() {
            best = part;
        }
    }
    let mut within = vec![false; model.poses.len()];
    for &v in &best {
        within[v as usize] = true;
    }
    let apart = model.order.iter().filter(|&&v| !within[v as usize]);
    let apart: Vec<(u32, usize)> = apart.map(|&v| (v, shared(model, v, &within))).collect();
    for &(v, _) in &apart {
        model.unregister(v as usize);
    }
    apart
}

/// Points that a view sees.
fn seen(model: &Model, view: u32) -> impl Iterator<Item = &Point> {
    let of_view = model.point_of[view as usize].iter();
    of_view.filter_map(|&id| model.points.get(id as usize))
}

/// Points that a view shares with those `within`.
fn shared(model: &Model, view: u32, within: &[bool]) -> usize {
    let shared = |p: &&Point| p.obs.iter().any(|o| within[o.view as usize]);
    seen(model, view).filter(shared).count()
}

/// Those of `views` that hang together with the one that sees most points.
fn part_of(model: &Model, views: &[u32], least: usize) -> Vec<u32> {
    let Some(&first) = views.iter().max_by_key(|&&v| (seen(model, v).count(), v)) else {
        return Vec::new();
    };
    let mut within = vec![false; model.poses.len()];
    within[first as usize] = true;
    loop {
        let joins = |v: &&u32| !within[**v as usize] && shared(model, **v, &within) >= least;
        let joining: Vec<u32> = views.iter().filter(joins).copied().collect();
        if joining.is_empty() {
            let part = views.iter().filter(|v| within[**v as usize]);
            return part.copied().collect();
        }
        for v in joining {
            within[v as usize] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::{NONE, Obs};
    use relievo_geometry::{Rigid3, Vec3};

    /// Views of 40 keypoints each; `shared` says how many points each pair has.
    fn model(views: u32, shared: &[(u32, u32, u32)]) -> Model {
        let mut model = Model {
            poses: vec![None; views as usize],
            cameras: Vec::new(),
            points: Vec::new(),
            point_of: vec![vec![NONE; 40]; views as usize],
            order: Vec::new(),
        };
        (0..views).for_each(|v| model.register(v as usize, Rigid3::identity()));
        let mut used = vec![0; views as usize];
        for &(a, b, count) in shared {
            for _ in 0..count {
                let mut next = |view: u32| {
                    used[view as usize] += 1;
                    let kp = used[view as usize] - 1;
                    Obs { view, kp }
                };
                let obs = vec![next(a), next(b)];
                model.add_point(Vec3::zeros(), obs);
            }
        }
        model
    }

    #[test]
    fn the_largest_part_stays() {
        let pieces = [(0, 1, 20), (1, 2, 15), (3, 4, 30), (2, 3, 3)];
        let mut loose = model(5, &pieces);
        let apart = keep_together(&mut loose, 15);
        assert_eq!(loose.order, [0, 1, 2]);
        assert_eq!(apart, [(3, 3), (4, 0)]);
        // Little from each, enough from all.
        let mut tied = model(
            4,
            &[(0, 1, 20), (1, 2, 15), (3, 0, 5), (3, 1, 5), (3, 2, 5)],
        );
        assert!(keep_together(&mut tied, 15).is_empty());
        assert_eq!(tied.order, [0, 1, 2, 3]);
    }
}
