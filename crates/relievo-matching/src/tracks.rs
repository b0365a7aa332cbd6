//! Tracks: verified matches joined across views.
//!
//! Union-find over keypoints as in Moulon & Monasse (CVMP 2012), but a join
//! that would put two keypoints of one view into one track is refused instead
//! of dropping the track afterwards; pairs with most inliers join first, so
//! that what is refused is the weaker evidence.

use relievo_scene::{Features, Observation, Track, TwoViewKind, ViewGraph, ViewId};
use std::cmp::Reverse;
use std::collections::BTreeMap;

relievo_task::options! {
    /// Options of [`build_tracks`].
    pub struct TrackOptions {
        /// Least views of a track.
        min_views: usize = 2, "views", "a point needs two rays";
    }
}

/// One keypoint of one view, as a union-find node.
type Node = u32;

/// Joins the inliers of all pairs that are neither degenerate nor watermarks.
///
/// Observations are ordered by view, at most one each; tracks by their first
/// observation; colours are the mean of the keypoints'. Keypoints outside
/// `features` are skipped.
pub fn build_tracks(
    graph: &ViewGraph,
    features: &BTreeMap<ViewId, &Features>,
    options: &TrackOptions,
) -> Vec<Track> {
    let mut base: BTreeMap<ViewId, u32> = BTreeMap::new();
    let mut nodes: Vec<Observation> = Vec::new();
    for (&view_id, f) in features {
        base.insert(view_id, nodes.len() as u32);
        nodes.extend((0..f.len() as u32).map(|point_idx| Observation { view_id, point_idx }));
    }
    let mut pairs: Vec<_> = graph
        .pairs
        .values()
        .filter(|p| !matches!(p.kind, TwoViewKind::Degenerate | TwoViewKind::Watermark))
        .filter(|p| features.contains_key(&p.a) && features.contains_key(&p.b))
        .collect();
    pairs.sort_by_key(|p| (Reverse(p.inliers.len()), p.a, p.b));
    let mut sets = Sets::new(&nodes);
    for pair in pairs {
        let (na, nb) = (features[&pair.a].len(), features[&pair.b].len());
        for m in &pair.inliers {
            if (m.a_idx as usize) < na && (m.b_idx as usize) < nb {
                sets.join(base[&pair.a] + m.a_idx, base[&pair.b] + m.b_idx);
            }
        }
    }
    let mut tracks: Vec<Track> = sets
        .members
        .into_iter()
        .filter(|m| m.len() >= options.min_views.max(2))
        .map(|mut members| {
            members.sort_unstable();
            let observations: Vec<Observation> =
                members.iter().map(|n| nodes[*n as usize]).collect();
            Track {
                color: mean_color(&observations, features),
                observations,
                position_in_world: None,
            }
        })
        .collect();
    tracks.sort_by_key(|t| t.observations[0]);
    tracks
}

fn mean_color(observations: &[Observation], features: &BTreeMap<ViewId, &Features>) -> [u8; 3] {
    let mut sum = [0_u32; 3];
    let mut count = 0;
    for o in observations {
        if let Some(color) = features[&o.view_id].colors.get(o.point_idx as usize) {
            count += 1;
            for (s, c) in sum.iter_mut().zip(color) {
                *s += u32::from(*c);
            }
        }
    }
    sum.map(|s| (s + count / 2).checked_div(count).unwrap_or(128) as u8)
}

/// Disjoint sets that hold at most one node per view.
struct Sets<'n> {
    nodes: &'n [Observation],
    /// Set of each node; `u32::MAX` for a node of its own.
    set_of: Vec<u32>,
    members: Vec<Vec<Node>>,
}

impl<'n> Sets<'n> {
    const ALONE: u32 = u32::MAX;

    fn new(nodes: &'n [Observation]) -> Self {
        Self {
            nodes,
            set_of: vec![Self::ALONE; nodes.len()],
            members: Vec::new(),
        }
    }

    fn set(&mut self, node: Node) -> u32 {
        if self.set_of[node as usize] == Self::ALONE {
            self.set_of[node as usize] = self.members.len() as u32;
            self.members.push(vec![node]);
        }
        self.set_of[node as usize]
    }

    /// Joins two nodes' sets unless they share a view.
    fn join(&mut self, a: Node, b: Node) {
        let (mut large, mut small) = (self.set(a), self.set(b));
        if large == small {
            return;
        }
        if self.members[large as usize].len() < self.members[small as usize].len() {
            (large, small) = (small, large);
        }
        let view = |n: &Node| self.nodes[*n as usize].view_id;
        let conflict = self.members[small as usize].iter().any(|s| {
            self.members[large as usize]
                .iter()
                .any(|l| view(l) == view(s))
        });
        if conflict {
            return;
        }
        let moved = std::mem::take(&mut self.members[small as usize]);
        for n in &moved {
            self.set_of[*n as usize] = large;
        }
        self.members[large as usize].extend(moved);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use relievo_scene::{Match, TwoViewGeometry};

    fn pair(a: u32, b: u32, matches: &[(u32, u32)]) -> ((ViewId, ViewId), TwoViewGeometry) {
        let (a, b) = (ViewId(a), ViewId(b));
        let inliers = matches
            .iter()
            .map(|&(a_idx, b_idx)| Match { a_idx, b_idx })
            .collect();
        (
            (a, b),
            TwoViewGeometry {
                a,
                b,
                kind: TwoViewKind::Calibrated,
                inliers,
                b_from_a: None,
                f: None,
                median_angle: 0.0,
            },
        )
    }

    fn features(n: usize) -> Features {
        Features {
            keypoints: vec![
                relievo_scene::Keypoint {
                    x_px: 1.0,
                    y_px: 1.0,
                    scale_px: 1.0,
                    angle: 0.0
                };
                n
            ],
            descriptors: vec![[0; 128]; n],
            colors: (0..n).map(|i| [10 * i as u8; 3]).collect(),
        }
    }

    fn build(pairs: Vec<((ViewId, ViewId), TwoViewGeometry)>) -> Vec<Vec<(u32, u32)>> {
        let f = features(4);
        let views = (1..=4).map(|v| (ViewId(v), &f)).collect();
        let graph = ViewGraph {
            pairs: pairs.into_iter().collect(),
        };
        build_tracks(&graph, &views, &TrackOptions::default())
            .iter()
            .map(|t| {
                t.observations
                    .iter()
                    .map(|o| (o.view_id.0, o.point_idx))
                    .collect()
            })
            .collect()
    }

    #[test]
    fn matches_chain_into_tracks() {
        let tracks = build(vec![
            pair(1, 2, &[(0, 1), (1, 0)]),
            pair(2, 3, &[(1, 2)]),
            pair(3, 4, &[(2, 3)]),
        ]);
        assert_eq!(
            tracks,
            vec![vec![(1, 0), (2, 1), (3, 2), (4, 3)], vec![(1, 1), (2, 0)]]
        );
    }

    #[test]
    fn the_weaker_pair_yields_where_one_view_would_be_seen_twice() {
        // 1:0-2:0-3:0 from strong pairs; the weak pair 1-3 says 1:1-3:0.
        let tracks = build(vec![
            pair(1, 2, &[(0, 0), (1, 1), (2, 2)]),
            pair(2, 3, &[(0, 0), (3, 3)]),
            pair(1, 3, &[(1, 0)]),
        ]);
        assert!(tracks.contains(&vec![(1, 0), (2, 0), (3, 0)]), "{tracks:?}");
        assert!(tracks.contains(&vec![(1, 1), (2, 1)]), "{tracks:?}");
    }

    #[test]
    fn watermarks_and_indices_out_of_range_are_left_out() {
        let mut logo = pair(1, 2, &[(0, 0)]);
        logo.1.kind = TwoViewKind::Watermark;
        assert!(build(vec![logo, pair(2, 3, &[(9, 0)])]).is_empty());
    }
}
