//! Second and third part of matches: photos that hardly match anything are
//! matched once more through simulated views, on demand (as MODS: Mishkin,
//! Matas & Perdoch, "MODS: Fast and robust method for two-view matching",
//! CVIU 2015).
//!
//! A photo that is joined to fewer than two others is looked at, its likeliest
//! partners with it; their simulated views are matched with each other, so that
//! what it shows also stands in the partners' tracks. Stronger tilts are simulated
//! only for photos that weaker ones leave without enough well-joined partners. Where a
//! person listed the pairs, no others are tried.

use super::ingest::IngestTable;
use super::matches::{PAIRS_FILE, camera_of, read_shards};
use super::{Setup, file_error, read_json};
use crate::error::PipelineError;
use crate::photos;
use crate::stages::features::{entry_named, read_all};
use relievo_engine::{BoxError, Item, StageContext};
use relievo_features::{AffineOptions, TILT_LEVELS, simulated_views};
use relievo_formats::native::matches::StoredPair;
use relievo_formats::native::synthesis::{self as format, Ends, SynthesisPair};
use relievo_matching::{
    MatchOptions, SimulatedPair, SimulatedSide, SimulatedView, SynthesisOptions, VerifyOptions,
    match_simulated, overlap_score,
};
use relievo_scene::{Features, Keypoint, Match, ViewGraph, ViewId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// Extension of the result of one photo.
pub(super) const EXTENSION: &str = ".synthesis";
/// The photos that need it, with their partners.
pub(super) const WEAK_FILE: &str = "weak.json";
/// Partners taken for how many inliers the pair has.
const MATCHED_PARTNERS: usize = 4;
/// Partners taken before and after in order of name.
const NEIGHBOURS: usize = 2;
/// Features that are compared to find likely partners.
const OVERLAP_FEATURES: usize = 1000;
/// Keypoints nearer than this in a picture of 1,600 px are one.
const SAME_PX: f32 = 0.75;

/// A photo and those that it is tried with, by name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Weak {
    pub(super) name: String,
    pub(super) partners: Vec<String>,
}

/// With which others each photo may be matched: those of the person's list, or all.
struct Allowed(Option<BTreeMap<String, BTreeSet<String>>>);

impl Allowed {
    fn read(setup: &Setup, ctx: &StageContext) -> Result<Self, PipelineError> {
        if setup.settings.pairs.is_none() {
            return Ok(Self(None));
        }
        Ok(Self::listed(read_json(ctx, "matches", PAIRS_FILE)?))
    }

    fn listed(pairs: Vec<(String, String)>) -> Self {
        let mut others: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (a, b) in pairs {
            others.entry(a.clone()).or_default().insert(b.clone());
            others.entry(b).or_default().insert(a);
        }
        Self(Some(others))
    }

    fn pair(&self, a: &str, b: &str) -> bool {
        let listed = |others: &BTreeMap<String, BTreeSet<String>>| {
            others.get(a).is_some_and(|others| others.contains(b))
        };
        self.0.as_ref().is_none_or(listed)
    }

    fn any_with(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|all| all.contains_key(name))
    }
}

/// The photos joined to fewer than two others, best joined first, with their
/// partners.
pub(super) fn weak_photos(
    setup: &Setup,
    ctx: &StageContext,
    table: &IngestTable,
) -> Result<Vec<Weak>, BoxError> {
    let tables = setup.options("matches")?;
    let options = tables.get::<SynthesisOptions>();
    let graph = read_shards(ctx, table)?;
    let mut joined: BTreeMap<ViewId, Vec<(usize, ViewId)>> = BTreeMap::new();
    for ((a, b), g) in &graph.pairs {
        joined.entry(*a).or_default().push((g.inliers.len(), *b));
        joined.entry(*b).or_default().push((g.inliers.len(), *a));
    }
    // Of two photos each can have one partner only.
    let which = usize::from(table.photos.len() > 2);
    let mut weak: Vec<(usize, usize)> = Vec::new();
    for (i, e) in table.photos.iter().enumerate() {
        let mut all = joined.remove(&e.photo.view_id).unwrap_or_default();
        all.sort_unstable_by(|x, y| y.cmp(x));
        if all.get(which).map_or(0, |p| p.0) < options.synthesis_below {
            weak.push((all.first().map_or(0, |p| p.0), i));
        }
        joined.insert(e.photo.view_id, all);
    }
    if weak.is_empty() || table.photos.len() < 2 {
        return Ok(Vec::new());
    }
    let allowed = Allowed::read(setup, ctx)?;
    weak.retain(|&(_, i)| allowed.any_with(&table.photos[i].photo.name));
    weak.sort_by_key(|&(inliers, i)| (std::cmp::Reverse(inliers), i));
    weak.truncate(options.synthesis_photos);
    let features = read_all(ctx, table)?;
    let matching = tables.get::<MatchOptions>();
    Ok(weak
        .into_iter()
        .map(|(_, i)| {
            let own = &table.photos[i].photo;
            let may = |j: &usize| allowed.pair(&own.name, &table.photos[*j].photo.name);
            let mut order: Vec<usize> = joined[&own.view_id]
                .iter()
                .filter_map(|(_, id)| table.photos.iter().position(|e| e.photo.view_id == *id))
                .take(MATCHED_PARTNERS)
                .collect();
            for step in 1..=NEIGHBOURS {
                order.extend(i.checked_sub(step));
                order.extend(Some(i + step).filter(|j| *j < table.photos.len()));
            }
            let mut likely: Vec<(usize, usize)> = (0..table.photos.len())
                .filter(|j| *j != i && may(j))
                .map(|j| {
                    let (a, b) = (own.view_id, table.photos[j].photo.view_id);
                    let score = overlap_score(
                        &features[&a],
                        &features[&b],
                        OVERLAP_FEATURES,
                        &matching,
                        ctx.task().isa(),
                    );
                    (score, j)
                })
                .collect();
            likely.sort_by_key(|&(score, j)| (std::cmp::Reverse(score), j));
            order.extend(likely.into_iter().map(|l| l.1));
            let mut partners: Vec<String> = Vec::new();
            for j in order.into_iter().filter(may) {
                let name = &table.photos[j].photo.name;
                if partners.len() < options.synthesis_partners && !partners.contains(name) {
                    partners.push(name.clone());
                }
            }
            Weak {
                name: own.name.clone(),
                partners,
            }
        })
        .collect())
}

/// An item a weak photo.
pub(super) fn items(
    setup: &Setup,
    ctx: &StageContext,
    table: &IngestTable,
    weak: &[Weak],
) -> Result<Vec<Item>, BoxError> {
    let allowed = Allowed::read(setup, ctx)?;
    weak.iter()
        .map(|w| {
            let mut key = ctx.key();
            for name in w.partners.iter().chain([&w.name]) {
                let entry = entry_named(table, name)?;
                let camera = serde_json::to_value(camera_of(table, name)?)?;
                key = key
                    .input(name, IngestTable::digest(entry))
                    .value(format!("mask of {name}"), entry.photo.mask_digest.clone())
                    .value(format!("camera of {name}"), camera);
            }
            if allowed.0.is_some() {
                // The photo's own pairs are its partners.
                let mut among: Vec<[&String; 2]> = Vec::new();
                for (k, a) in w.partners.iter().enumerate() {
                    let others = w.partners[k + 1..].iter();
                    among.extend(others.filter(|b| allowed.pair(a, b)).map(|b| [a, b]));
                }
                key = key.value("pairs of partners", serde_json::to_value(among)?);
            }
            let weight = 1000 * w.partners.len() as u64;
            Ok(Item::new(&w.name, key.finish()).with_weight(weight))
        })
        .collect()
}

/// Simulated views of the photos by name and level: weak photos share partners. At
/// most [`CACHED`] lists are kept.
pub(super) type Simulated = Mutex<BTreeMap<(String, usize), Vec<Arc<SimulatedView>>>>;

/// About 2 MB each.
const CACHED: usize = 100;

/// The views of a photo at one level.
fn simulate(
    setup: &Setup,
    ctx: &StageContext,
    table: &IngestTable,
    (name, level): (&str, usize),
    cache: &Simulated,
) -> Result<Vec<Arc<SimulatedView>>, BoxError> {
    let lock = || cache.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (name.to_owned(), level);
    let known = lock().get(&key).cloned();
    if let Some(found) = known {
        return Ok(found);
    }
    let options = setup.options("matches")?.get::<AffineOptions>();
    // The views are kept: the photo need not be.
    let entry = entry_named(table, name)?;
    let photo = photos::decode_known(entry)?;
    let mask = entry.mask.as_deref().map(photos::decode_mask).transpose()?;
    let isa = setup.settings.isa;
    let found = simulated_views(&photo, mask.as_ref(), level, &options, isa, ctx.task())?;
    let views: Vec<Arc<SimulatedView>> = found
        .into_iter()
        .map(|features| Arc::new(SimulatedView::new(features)))
        .collect();
    let mut kept = lock();
    if kept.len() < CACHED {
        kept.insert(key, views.clone());
    }
    Ok(views)
}

/// The pairs among a weak photo and its partners.
pub(super) fn run(
    setup: &Setup,
    ctx: &StageContext,
    table: &IngestTable,
    weak: &Weak,
    cache: &Simulated,
) -> Result<Vec<u8>, BoxError> {
    let tables = setup.options("matches")?;
    let matching = tables.get::<MatchOptions>();
    let verification = tables.get::<VerifyOptions>();
    let options = tables.get::<SynthesisOptions>();
    let allowed = Allowed::read(setup, ctx)?;
    let mut names: Vec<&String> = weak.partners.iter().chain([&weak.name]).collect();
    names.sort();
    let own = names.iter().position(|n| **n == weak.name).unwrap_or(0);
    let matched = |a: &SimulatedSide<'_>, b: &SimulatedSide<'_>| {
        match_simulated(a, b, &matching, &verification, ctx.task())
    };
    // The levels that were simulated, and all their views.
    let mut views: BTreeMap<usize, (usize, Vec<Arc<SimulatedView>>)> = BTreeMap::new();
    let mut found = Vec::new();
    // What the photo itself matches, and where that lies in its partners.
    let mut met: BTreeMap<usize, Vec<Arc<SimulatedView>>> = BTreeMap::new();
    for level in 0..TILT_LEVELS {
        found.clear();
        met.clear();
        let mut joined = 0;
        // The likeliest partners first.
        for partner in &weak.partners {
            let k = names.iter().position(|n| *n == partner).unwrap_or(own);
            if k == own || joined >= options.synthesis_enough {
                continue;
            }
            for k in [own, k] {
                let (levels, views) = views.entry(k).or_default();
                while *levels <= level {
                    views.extend(simulate(setup, ctx, table, (names[k], *levels), cache)?);
                    *levels += 1;
                }
            }
            let (i, j) = (own.min(k), own.max(k));
            let a = side(table, names[i], &views[&i].1)?;
            let b = side(table, names[j], &views[&j].1)?;
            if let Some(pair) = matched(&a, &b)? {
                joined += usize::from(pair.geometry.inliers.len() >= options.synthesis_below);
                let theirs = if k == i { &pair.a } else { &pair.b };
                met.insert(k, near(&views[&k].1, theirs, radius(table, names[k])?));
                found.push(stored(names[i], names[j], pair));
            }
        }
        if joined >= options.synthesis_enough {
            break;
        }
    }
    // The same places in pairs of partners, so that they become points that the
    // photo can be placed by.
    let partners: Vec<usize> = met.keys().copied().collect();
    for (n, &i) in partners.iter().enumerate() {
        for &j in &partners[n + 1..] {
            if !allowed.pair(names[i], names[j]) {
                continue;
            }
            let (a, b) = (
                side(table, names[i], &met[&i])?,
                side(table, names[j], &met[&j])?,
            );
            found.extend(matched(&a, &b)?.map(|p| stored(names[i], names[j], p)));
        }
    }
    Ok(format::encode(&found))
}

fn side<'s>(
    table: &'s IngestTable,
    name: &'s str,
    views: &'s [Arc<SimulatedView>],
) -> Result<SimulatedSide<'s>, PipelineError> {
    Ok(SimulatedSide {
        id: entry_named(table, name)?.photo.view_id,
        name,
        views,
        camera: camera_of(table, name)?,
    })
}

fn stored(first: &str, other: &str, pair: SimulatedPair) -> SynthesisPair {
    SynthesisPair {
        first: first.to_owned(),
        pair: StoredPair {
            other: other.to_owned(),
            geometry: pair.geometry,
        },
        a: ends(pair.a),
        b: ends(pair.b),
    }
}

/// Keypoints of a photo nearer than this are one, px.
fn radius(table: &IngestTable, name: &str) -> Result<f32, PipelineError> {
    let camera = camera_of(table, name)?;
    Ok(SAME_PX * camera.width_px.max(camera.height_px) as f32 / 1600.0)
}

/// The features of each view that lie within `radius` of one of `at`.
fn near(views: &[Arc<SimulatedView>], at: &Features, radius: f32) -> Vec<Arc<SimulatedView>> {
    let places = Places::new(at, radius);
    views
        .iter()
        .map(|view| {
            let view = &view.features;
            let mut kept = Features::default();
            for (i, k) in view.keypoints.iter().enumerate() {
                if places.nearest(at, k).is_some() {
                    kept.keypoints.push(*k);
                    kept.descriptors.push(view.descriptors[i]);
                    kept.colors.push(view.colors[i]);
                }
            }
            Arc::new(SimulatedView::new(kept))
        })
        .collect()
}

fn ends(features: Features) -> Ends {
    Ends {
        keypoints: features.keypoints,
        colors: features.colors,
    }
}

/// Adds what the simulated views gave to features and graph: keypoints behind
/// those that are there (or the same, where one lies at that place), matches to
/// the pair's own.
pub(super) fn merge(
    ctx: &StageContext,
    table: &IngestTable,
    features: &mut BTreeMap<ViewId, Features>,
    graph: &mut ViewGraph,
) -> Result<(), PipelineError> {
    let outputs = ctx.outputs("matches")?;
    let mut places: BTreeMap<ViewId, Places> = BTreeMap::new();
    for output in outputs.iter().filter(|o| o.name.ends_with(EXTENSION)) {
        let bytes = fs_err::read(&output.path)?;
        let pairs = format::decode(&bytes).map_err(|e| file_error(&output.path, &e))?;
        for p in pairs {
            let (a, b) = (
                entry_named(table, &p.first)?.photo.view_id,
                entry_named(table, &p.pair.other)?.photo.view_id,
            );
            let mut numbers = [Vec::new(), Vec::new()];
            for (k, (id, name, ends)) in [(a, &p.first, &p.a), (b, &p.pair.other, &p.b)]
                .into_iter()
                .enumerate()
            {
                let radius = radius(table, name)?;
                let Some(own) = features.get_mut(&id) else {
                    continue;
                };
                let places = places.entry(id).or_insert_with(|| Places::new(own, radius));
                numbers[k] = (0..ends.keypoints.len())
                    .map(|i| places.number(own, ends, i))
                    .collect();
            }
            let mut geometry = p.pair.geometry;
            (geometry.a, geometry.b) = (a, b);
            for m in &mut geometry.inliers {
                *m = Match {
                    a_idx: numbers[0][m.a_idx as usize],
                    b_idx: numbers[1][m.b_idx as usize],
                };
            }
            if let Some(known) = graph.pairs.get_mut(&(a, b)) {
                let more = geometry.inliers.len() > known.inliers.len();
                let mut all = std::mem::take(&mut known.inliers);
                all.append(&mut geometry.inliers);
                if more {
                    *known = geometry;
                }
                known.inliers = one_to_one(all);
            } else {
                geometry.inliers = one_to_one(std::mem::take(&mut geometry.inliers));
                graph.pairs.insert((a, b), geometry);
            }
        }
    }
    Ok(())
}

/// The first match of each keypoint, ordered by `a_idx`.
fn one_to_one(matches: Vec<Match>) -> Vec<Match> {
    let (mut left, mut right) = (BTreeMap::new(), BTreeSet::new());
    for m in matches {
        if !left.contains_key(&m.a_idx) && right.insert(m.b_idx) {
            left.insert(m.a_idx, m);
        }
    }
    left.into_values().collect()
}

/// Keypoints of one view by place.
struct Places {
    radius: f32,
    cells: BTreeMap<(i32, i32), Vec<u32>>,
}

impl Places {
    fn new(features: &Features, radius: f32) -> Self {
        let mut places = Self {
            radius,
            cells: BTreeMap::new(),
        };
        for (i, k) in features.keypoints.iter().enumerate() {
            let cell = places.cell(k.x_px, k.y_px);
            places.cells.entry(cell).or_default().push(i as u32);
        }
        places
    }

    fn cell(&self, x: f32, y: f32) -> (i32, i32) {
        ((x / self.radius) as i32, (y / self.radius) as i32)
    }

    /// The keypoint of `features` (those it was made of, and added since)
    /// nearest to `k`, where one is within the radius.
    fn nearest(&self, features: &Features, k: &Keypoint) -> Option<u32> {
        let (cx, cy) = self.cell(k.x_px, k.y_px);
        let mut best: Option<(f32, u32)> = None;
        for cell in (cy - 1..=cy + 1).flat_map(|y| (cx - 1..=cx + 1).map(move |x| (x, y))) {
            for &j in self.cells.get(&cell).into_iter().flatten() {
                let other = &features.keypoints[j as usize];
                let d = (other.x_px - k.x_px).hypot(other.y_px - k.y_px);
                if d <= self.radius && best.is_none_or(|b| (d, j) < b) {
                    best = Some((d, j));
                }
            }
        }
        best.map(|b| b.1)
    }

    /// The keypoint of `features` at the place of `ends`' i-th, added if there
    /// is none.
    fn number(&mut self, features: &mut Features, ends: &Ends, i: usize) -> u32 {
        let k = ends.keypoints[i];
        if let Some(j) = self.nearest(features, &k) {
            return j;
        }
        let n = features.len() as u32;
        features.keypoints.push(k);
        features
            .descriptors
            .push([0; relievo_scene::DESCRIPTOR_LEN]);
        features.colors.push(ends.colors[i]);
        let cell = self.cell(k.x_px, k.y_px);
        self.cells.entry(cell).or_default().push(n);
        n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_allows_its_pairs_either_way_and_no_others() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let list = Allowed::listed(vec![pair("a", "b"), pair("b", "c")]);
        assert!(list.pair("a", "b") && list.pair("c", "b"));
        assert!(!list.pair("a", "c") && !list.pair("a", "d"));
        assert!(list.any_with("c") && !list.any_with("d"));
        let all = Allowed(None);
        assert!(all.pair("a", "c") && all.any_with("d"));
    }

    #[test]
    fn keypoints_at_one_place_are_one_and_matches_stay_one_to_one() {
        let keypoint = |x: f32| Keypoint {
            x_px: x,
            y_px: 10.0,
            scale_px: 2.0,
            angle: 0.0,
        };
        let mut features = Features {
            keypoints: vec![keypoint(10.0), keypoint(12.1)],
            descriptors: vec![[0; relievo_scene::DESCRIPTOR_LEN]; 2],
            colors: vec![[0; 3]; 2],
        };
        let ends = Ends {
            keypoints: [11.5, 30.0, 30.4].map(keypoint).to_vec(),
            colors: vec![[7; 3]; 3],
        };
        let mut places = Places::new(&features, 1.0);
        let numbers: Vec<u32> = (0..3)
            .map(|i| places.number(&mut features, &ends, i))
            .collect();
        assert_eq!(numbers, [1, 2, 2]);
        assert_eq!(features.len(), 3);
        features.check().unwrap();
        let m = |a_idx, b_idx| Match { a_idx, b_idx };
        assert_eq!(
            one_to_one(vec![m(4, 1), m(2, 1), m(4, 3), m(1, 9)]),
            [m(1, 9), m(4, 1)]
        );
    }
}
