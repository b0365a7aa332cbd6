//! Tracks over all pairs, before there is a model.

use crate::rotation_averaging::Sets;
use crate::scene::{Obs, Pair, Scene};

/// Two keypoints of one view in the same track may lie this far apart, px; the
/// first is kept (GLOMAP: 10).
const SAME_PLACE_PX: f64 = 10.0;

/// Sets of keypoints that matches of `pairs` connect, seen by at least `least`
/// views, the longest first; those that hold two different places of a view are
/// left out.
pub(crate) fn tracks(scene: &Scene<'_>, pairs: &[&Pair<'_>], least: usize) -> Vec<Vec<Obs>> {
    let mut starts = vec![0_usize];
    for px in &scene.px {
        starts.push(starts[starts.len() - 1] + px.len());
    }
    let mut sets = Sets::new(starts[starts.len() - 1]);
    let mut used = vec![false; starts[starts.len() - 1]];
    for p in pairs {
        for m in &p.geometry.inliers {
            let (a, b) = (
                starts[p.a] + m.a_idx as usize,
                starts[p.b] + m.b_idx as usize,
            );
            sets.join(a, b);
            (used[a], used[b]) = (true, true);
        }
    }
    let mut members: Vec<(u32, Obs)> = Vec::new();
    for view in 0..scene.num_views() {
        for kp in 0..scene.px[view].len() {
            if used[starts[view] + kp] {
                let obs = Obs {
                    view: view as u32,
                    kp: kp as u32,
                };
                members.push((sets.find(starts[view] + kp) as u32, obs));
            }
        }
    }
    members.sort_unstable();
    let mut out: Vec<Vec<Obs>> = members
        .chunk_by(|p, q| p.0 == q.0)
        .filter_map(|set| one_place_a_view(scene, set))
        .filter(|t| t.len() >= least)
        .collect();
    out.sort_by(|p, q| q.len().cmp(&p.len()).then(p[0].cmp(&q[0])));
    out
}

fn one_place_a_view(scene: &Scene<'_>, set: &[(u32, Obs)]) -> Option<Vec<Obs>> {
    let mut track: Vec<Obs> = Vec::with_capacity(set.len());
    for &(_, o) in set {
        match track.last() {
            Some(last) if last.view == o.view => {
                if (scene.pixel(*last) - scene.pixel(o)).norm() > SAME_PLACE_PX {
                    return None;
                }
            }
            _ => track.push(o),
        }
    }
    Some(track)
}
