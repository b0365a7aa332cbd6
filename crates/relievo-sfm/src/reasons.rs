//! Why a photo has no pose, in words for its photographer.

use crate::next_view::visible;
use crate::scene::Scene;
use crate::state::State;
use crate::{SfmOptions, UnregisteredReason};
use relievo_scene::{ViewGraph, ViewId};
use std::collections::{BTreeMap, BTreeSet};

/// Views whose pairs are all left out of `kept`, with how many they had.
pub(crate) fn without_pairs(scene: &Scene<'_>, kept: &ViewGraph) -> BTreeMap<ViewId, usize> {
    let mut had: BTreeMap<ViewId, usize> = BTreeMap::new();
    for p in &scene.pairs {
        for v in [p.a, p.b] {
            *had.entry(scene.ids[v]).or_default() += 1;
        }
    }
    let have: BTreeSet<ViewId> = kept.pairs.keys().flat_map(|&(a, b)| [a, b]).collect();
    had.retain(|id, _| !have.contains(id));
    had
}

/// One reason for every view that the best model (`state.done[0]`) lacks.
pub(crate) fn explain(
    scene: &Scene<'_>,
    state: &State,
    options: &SfmOptions,
    out: &mut BTreeMap<ViewId, UnregisteredReason>,
) {
    let Some(best) = state.done.first().map(|b| &b.model) else {
        return;
    };
    for v in 0..scene.num_views() {
        if best.poses[v].is_some() {
            continue;
        }
        let other = state.done.iter().position(|b| b.model.poses[v].is_some());
        let mut partners: Vec<(usize, usize)> = scene
            .pairs
            .iter()
            .filter_map(|p| match (p.a == v, p.b == v) {
                (true, _) => Some((p.geometry.inliers.len(), p.b)),
                (_, true) => Some((p.geometry.inliers.len(), p.a)),
                _ => None,
            })
            .collect();
        let matched = !partners.is_empty();
        partners.retain(|(_, w)| best.poses[*w].is_some());
        partners.sort_by(|p, q| q.0.cmp(&p.0).then(p.1.cmp(&q.1)));
        let mut kps: Vec<u32> = visible(scene, best, v).iter().map(|s| s.kp).collect();
        kps.dedup();
        let (inliers, matches) = state.rejected[v];
        let reason = if let Some(model) = other {
            UnregisteredReason::OtherModel { model }
        } else if !matched {
            UnregisteredReason::NoMatches
        } else if kps.len() < options.register_min_inliers {
            UnregisteredReason::TooFewMatches {
                points: kps.len(),
                photos: partners.len(),
                best: partners
                    .first()
                    .map_or("none", |p| scene.names[p.1])
                    .to_owned(),
                needed: options.register_min_inliers,
            }
        } else if matches > 0 {
            UnregisteredReason::PoseInconsistent {
                inliers: inliers as usize,
                points: matches as usize,
            }
        } else {
            UnregisteredReason::TooFewPoints { points: kps.len() }
        };
        out.insert(scene.ids[v], reason);
    }
}
