//! Links between groups of photos that more matches contradict than support.
//!
//! Matches of places that look alike, or of nothing, may join two groups of
//! photos wrongly that are each right. Triplets do not tell where the groups have
//! no photo in common, but the finished model does: right matches between the
//! groups do not fit it. So the model's pairs are divided into those whose matches
//! mostly keep to their epipolar lines and those whose do not. Each edge of the
//! spanning tree of the strongest supported pairs cuts the photos in two; where
//! the matches of contradicted pairs across a cut outnumber those of supported ones,
//! the link is doubtful. Ends of a ring that drifted apart show in the same way.
//!
//! On sets whose poses are right, contradicted matches across a cut came to at most a
//! third of the supported ones; on folded models of dinoSparseRing to two and a half
//! times and more (docs/decisions.md).

use crate::model::Model;
use crate::rotation_averaging::Sets;
use crate::scene::{Pair, Scene};
use relievo_geometry::Rigid3;
use relievo_geometry::epipolar::{Sampson, essential_from_pose};
use relievo_task::ordered;

/// Largest distance from the epipolar line of a match that supports the model, px
/// at 2000 px, and the least; twice that of verification.
const NEAR_PX: f64 = 5.0;
const LEAST_NEAR_PX: f64 = 4.0;

/// Matches of a pair that are looked at.
const LOOKED_AT: usize = 300;

/// Two groups of photos, and what holds them together.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Link {
    /// Views of the smaller group, ascending.
    pub(crate) views: Vec<usize>,
    /// Positions of the pairs between the groups that support the model.
    pub(crate) pairs: Vec<usize>,
    /// Matches between the groups that fit the model, of pairs that do.
    pub(crate) supported: usize,
    /// Matches between the groups that do not, of pairs that do not.
    pub(crate) contradicted: usize,
}

impl Link {
    /// What speaks against it, in units of what speaks for it.
    fn doubt(&self) -> f64 {
        self.contradicted as f64 / self.supported.max(1) as f64
    }
}

/// What the matches of a pair say of a model.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Evidence {
    pub(crate) fit: usize,
    pub(crate) unfit: usize,
}

impl Evidence {
    pub(crate) fn supports(self) -> bool {
        self.fit > self.unfit
    }
}

/// By pair; nothing where a view has no pose.
pub(crate) fn evidence(scene: &Scene<'_>, model: &Model) -> Vec<Evidence> {
    ordered::map(&scene.pairs, |pair| {
        let poses = (&model.poses[pair.a], &model.poses[pair.b]);
        let (Some(a), Some(b)) = poses else {
            return Evidence::default();
        };
        of_pair(scene, model, pair, &(*b * a.inverse()))
    })
}

fn of_pair(scene: &Scene<'_>, model: &Model, pair: &Pair<'_>, b_from_a: &Rigid3) -> Evidence {
    let focal = |v: usize| model.cameras[scene.camera_of[v]].model.mean_focal_px();
    let sampson = Sampson::new(focal(pair.a), focal(pair.b));
    let e = essential_from_pose(b_from_a);
    let size = scene.size_factor(pair.a, 0.1, 10.0);
    let size = size.max(scene.size_factor(pair.b, 0.1, 10.0));
    let near = (NEAR_PX * size).max(LEAST_NEAR_PX);
    let matches = &pair.geometry.inliers;
    let step = matches.len().div_ceil(LOOKED_AT).max(1);
    let ray = |v: usize, kp: u32| {
        let camera = &model.cameras[scene.camera_of[v]].model;
        camera.unproject(&scene.px[v][kp as usize])
    };
    let (mut seen, mut unfit) = (0, 0);
    for m in matches.iter().step_by(step) {
        let (a, b) = (ray(pair.a, m.a_idx), ray(pair.b, m.b_idx));
        // Without a baseline nothing is told: not a number counts as fit.
        unfit += usize::from(sampson.squared(&e, &a, &b) > near * near);
        seen += 1;
    }
    let unfit = unfit * matches.len() / seen.max(1);
    Evidence {
        fit: matches.len() - unfit,
        unfit,
    }
}

/// Matches that fit the model, of all pairs.
pub(crate) fn support(scene: &Scene<'_>, model: &Model) -> usize {
    evidence(scene, model).iter().map(|e| e.fit).sum()
}

/// The most doubtful link of a model, where more than `least` times as many matches
/// contradict it as support it.
pub(crate) fn most_doubtful(scene: &Scene<'_>, model: &Model, least: f64) -> Option<Link> {
    let evidence = evidence(scene, model);
    let unfit = |e: &&Evidence| !e.supports();
    let against: usize = evidence.iter().filter(unfit).map(|e| e.unfit).sum();
    let tree = strongest_tree(scene, &evidence);
    let mut worst: Option<Link> = None;
    // No link is weaker than its tree edge.
    let weak = |k: &&usize| least * (evidence[**k].fit as f64) < against as f64;
    for cut in tree.iter().filter(weak) {
        let link = link(scene, &evidence, &tree, *cut);
        let excess = |l: &Link| l.contradicted as f64 - least * l.supported as f64;
        if link.doubt() > least && worst.as_ref().is_none_or(|w| excess(&link) > excess(w)) {
            worst = Some(link);
        }
    }
    worst
}

/// Positions of the pairs of the spanning forest with the most fitting matches.
fn strongest_tree(scene: &Scene<'_>, evidence: &[Evidence]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..evidence.len())
        .filter(|&k| evidence[k].supports())
        .collect();
    order.sort_by_key(|&k| (std::cmp::Reverse(evidence[k].fit), k));
    let mut sets = Sets::new(scene.num_views());
    order.retain(|&k| sets.join(scene.pairs[k].a, scene.pairs[k].b));
    order
}

/// The two sides of tree edge `cut`.
fn link(scene: &Scene<'_>, evidence: &[Evidence], tree: &[usize], cut: usize) -> Link {
    let mut sets = Sets::new(scene.num_views());
    for &k in tree.iter().filter(|&&k| k != cut) {
        sets.join(scene.pairs[k].a, scene.pairs[k].b);
    }
    let ends = (scene.pairs[cut].a, scene.pairs[cut].b);
    let roots = (sets.find(ends.0), sets.find(ends.1));
    let group = |sets: &mut Sets, root: usize| -> Vec<usize> {
        (0..scene.num_views())
            .filter(|&v| sets.find(v) == root)
            .collect()
    };
    let (a, b) = (group(&mut sets, roots.0), group(&mut sets, roots.1));
    let mut link = Link {
        views: if b.len() < a.len() { b } else { a },
        pairs: Vec::new(),
        supported: 0,
        contradicted: 0,
    };
    for (k, (pair, e)) in scene.pairs.iter().zip(evidence).enumerate() {
        let ends = (sets.find(pair.a), sets.find(pair.b));
        if ends != roots && ends != (roots.1, roots.0) {
            continue;
        }
        if e.supports() {
            link.pairs.push(k);
            link.supported += e.fit;
        } else {
            link.contradicted += e.unfit;
        }
    }
    link
}
