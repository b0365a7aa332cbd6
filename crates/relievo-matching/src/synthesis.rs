//! Matches between simulated views of two photos.
//!
//! Yu & Morel, "ASIFT", IPOL 2011, section 4: each simulated view of one photo
//! is matched with each of the other, so that copies of one point in several
//! views do not fail each other's ratio test; then matches that say the same
//! are merged.

use crate::brute_force::MatchOptions;
use crate::cells::Search;
use crate::match_sketched::match_sketched;
use crate::sketch::{Sketch, Sketched, sketch};
use crate::verify::{VerifyOptions, ViewSide, verify_pair};
use rayon::prelude::*;
use relievo_scene::{Camera, Features, Match, TwoViewGeometry, TwoViewKind, ViewId};
use relievo_task::{Cancelled, Task};
use std::collections::BTreeSet;
use std::sync::Arc;

relievo_task::options! {
    /// When and between which photos views are simulated.
    pub struct SynthesisOptions {
        /// A photo whose second-best pair has fewer inliers is also matched through simulated views; 0 never.
        synthesis_below: usize = 60, "inliers", "photos that were placed had 86 and more in ten sets";
        /// Photos that it is tried with.
        synthesis_partners: usize = 8, "photos", "judgement";
        /// Partners with `synthesis_below` inliers after which no more are tried.
        synthesis_enough: usize = 3, "photos", "judgement: two join a photo, one in reserve";
        /// Most photos that this is done for.
        synthesis_photos: usize = 8, "photos", "judgement: bounds the time of sets without overlap";
    }
}

/// Matches whose ends lie in the same cells of this share of the longer side
/// are one.
const CELL_SHARE: f32 = 1.0 / 1000.0;

/// The features of one simulated view, ready to be matched.
#[derive(Clone, Debug)]
pub struct SimulatedView {
    /// In pixels of the photo.
    pub features: Features,
    /// One a feature.
    sketches: Vec<Sketch>,
}

impl SimulatedView {
    /// Of these features.
    pub fn new(features: Features) -> Self {
        Self {
            sketches: sketch(&features.descriptors),
            features,
        }
    }

    fn sketched(&self) -> Sketched<'_> {
        Sketched {
            descriptors: &self.features.descriptors,
            sketches: &self.sketches,
        }
    }
}

/// One photo with the features of its simulated views.
#[derive(Clone, Copy, Debug)]
pub struct SimulatedSide<'f> {
    /// Its view.
    pub id: ViewId,
    /// Name of the photo; seeds follow from it.
    pub name: &'f str,
    /// Its simulated views.
    pub views: &'f [Arc<SimulatedView>],
    /// Its starting intrinsics.
    pub camera: &'f Camera,
}

/// A verified pair and the keypoints that its matches mean.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulatedPair {
    /// Geometry; indices into `a` and `b`.
    pub geometry: TwoViewGeometry,
    /// The features of a that the matches name, without descriptors.
    pub a: Features,
    /// The same of b.
    pub b: Features,
}

/// Matches every simulated view of `a` with every one of `b` (a < b) and
/// verifies the union; `None` where nothing explains it.
pub fn match_simulated(
    a: &SimulatedSide<'_>,
    b: &SimulatedSide<'_>,
    matching: &MatchOptions,
    verification: &VerifyOptions,
    task: &Task,
) -> Result<Option<SimulatedPair>, Cancelled> {
    let pairs: Vec<(usize, usize)> = (0..a.views.len())
        .flat_map(|i| (0..b.views.len()).map(move |j| (i, j)))
        .collect();
    let found: Vec<Vec<Match>> = pairs
        .par_iter()
        .map(|&(i, j)| {
            task.check()?;
            let (a, b) = (a.views[i].sketched(), b.views[j].sketched());
            Ok(match_sketched(a, b, Search::Thorough, matching, task.isa()))
        })
        .collect::<Result<_, Cancelled>>()?;
    let (mut left, mut right) = (Features::default(), Features::default());
    let mut matches = Vec::new();
    let mut taken = BTreeSet::new();
    for (&(i, j), found) in pairs.iter().zip(&found) {
        for m in found {
            let (p, q) = (m.a_idx as usize, m.b_idx as usize);
            let ends = (cell(a, i, p), cell(b, j, q));
            if taken.insert(ends) {
                let n = left.len() as u32;
                push(&mut left, &a.views[i].features, p);
                push(&mut right, &b.views[j].features, q);
                matches.push(Match { a_idx: n, b_idx: n });
            }
        }
    }
    let item = format!("{}\n{}", a.name, b.name);
    let seed = relievo_task::seed(task.run_seed(), "view synthesis", &item);
    let side = |features, camera| ViewSide { features, camera };
    let geometry = verify_pair(
        (a.id, b.id),
        &side(&left, a.camera),
        &side(&right, b.camera),
        &matches,
        verification,
        seed,
    );
    let fails = geometry.kind == TwoViewKind::Degenerate
        || geometry.inliers.len() < verification.min_inliers;
    Ok((!fails).then(|| only_inliers(geometry, &left, &right)))
}

/// Keeps the keypoints that the inliers name.
fn only_inliers(mut geometry: TwoViewGeometry, a: &Features, b: &Features) -> SimulatedPair {
    let (mut left, mut right) = (Features::default(), Features::default());
    for m in &mut geometry.inliers {
        let n = left.len() as u32;
        push(&mut left, a, m.a_idx as usize);
        push(&mut right, b, m.b_idx as usize);
        *m = Match { a_idx: n, b_idx: n };
    }
    left.descriptors.clear();
    right.descriptors.clear();
    SimulatedPair {
        geometry,
        a: left,
        b: right,
    }
}

fn push(to: &mut Features, from: &Features, idx: usize) {
    to.keypoints.push(from.keypoints[idx]);
    to.descriptors.push(from.descriptors[idx]);
    to.colors.push(from.colors[idx]);
}

fn cell(side: &SimulatedSide<'_>, view: usize, idx: usize) -> (i32, i32) {
    let longer = side.camera.width_px.max(side.camera.height_px) as f32;
    let k = &side.views[view].features.keypoints[idx];
    let size = (CELL_SHARE * longer).max(1.0);
    ((k.x_px / size) as i32, (k.y_px / size) as i32)
}
