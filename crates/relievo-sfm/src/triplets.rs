//! Pairs that triplets of views speak against: loop constraints as in Zach,
//! Klopschitz & Pollefeys, "Disambiguating visual relations using loop
//! constraints", CVPR 2010, on matches instead of rotations, which need focal
//! lengths that are not known yet.
//!
//! Two places that look alike give matches that agree with each other, but not
//! with the way around a third view: a keypoint of a has one partner in b, and
//! another by way of c.

use crate::scene::{Pair, Scene};
use relievo_scene::ViewGraph;
use relievo_task::ordered;

/// Two keypoints this near to each other are one place, px at 2000 px.
const SAME_PLACE_PX: f64 = 4.0;
/// Matches of a pair that are looked at.
const LOOKED_AT: usize = 100;
/// Fewest ways around that can speak against a pair.
const LEAST: usize = 20;
/// Part of the ways around that lead a right pair's matches where they lead.
const RIGHT: f64 = 0.2;

/// The graph without doubtful pairs; `None` where there are none.
pub(crate) fn without_doubtful(scene: &Scene<'_>) -> Option<ViewGraph> {
    let doubtful = ordered::map(&scene.pairs, |pair| is_doubtful(scene, pair));
    if !doubtful.contains(&true) {
        return None;
    }
    Some(scene.graph_of(|k| !doubtful[k]))
}

fn is_doubtful(scene: &Scene<'_>, pair: &Pair<'_>) -> bool {
    let inliers = &pair.geometry.inliers;
    let step = inliers.len().div_ceil(LOOKED_AT).max(1);
    let same = SAME_PLACE_PX * scene.size_factor(pair.b, 0.5, 2.0);
    let (mut ways, mut lead_there) = (0_usize, 0_usize);
    for m in inliers.iter().step_by(step) {
        let direct = scene.px[pair.b][m.b_idx as usize];
        for c in scene.matches(pair.a, m.a_idx as usize) {
            if c.view as usize == pair.b {
                continue;
            }
            let round = scene.matches(c.view as usize, c.kp as usize);
            for o in round.iter().filter(|o| o.view as usize == pair.b) {
                ways += 1;
                lead_there += usize::from((scene.pixel(*o) - direct).norm() < same);
            }
        }
    }
    ways >= LEAST && (lead_there as f64) < RIGHT * ways as f64
}
