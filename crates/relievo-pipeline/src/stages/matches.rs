//! matches: which pairs overlap, and their verified matches.
//!
//! Pass 0 lists the pairs; pass 1 has one shard a photo, holding its pairs with
//! the photos after it by name; a shard that is stale because photos were added
//! keeps the pairs whose own features and cameras are what they were. Passes 2
//! and 3 are `view_synthesis`: which photos hardly match anything, and their
//! matches through simulated views. A person's list bounds all of them.

use super::features::{EXTENSION, entry_named, read, read_all};
use super::ingest::IngestTable;
use super::view_synthesis::Weak;
use super::{Setup, file_error, json_bytes, memory, read_json, view_synthesis};
use crate::error::PipelineError;
use crate::pair_list::{self, read_pairs};
use relievo_engine::{
    BoxError, Digest, Figures, Item, ItemWriter, Output, Parallelism, Stage, StageContext,
    digest_bytes, file_name,
};
use relievo_formats::native::matches::{self as format, StoredPair};
use relievo_matching::{
    MatchOptions, PairOptions, PairView, PreparedView, ScheduleOptions, VerifyOptions, ViewInput,
};
use relievo_scene::{Camera, Features, TwoViewKind, ViewGraph, ViewId};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The list of pairs, by name.
pub(super) const PAIRS_FILE: &str = "pairs.json";
/// Extension of a shard.
const SHARD: &str = ".pairs";

/// Four passes: the list, a shard a photo, the weak photos, their second try.
#[derive(Debug)]
pub struct Matches {
    setup: Arc<Setup>,
    cache: Mutex<Cache>,
    simulated: view_synthesis::Simulated,
    /// Pairs matched by this run; those of fresh and of earlier shards are not.
    matched: AtomicUsize,
}

/// Photos that were read, while they fit.
#[derive(Debug, Default)]
struct Cache {
    bytes: u64,
    /// Locked while somebody reads the photo.
    views: BTreeMap<String, Arc<Mutex<Option<Arc<View>>>>>,
}

/// What matching needs of a photo.
#[derive(Debug)]
struct View {
    features: Features,
    prepared: PreparedView,
    camera: Camera,
}

impl View {
    fn input<'f>(&'f self, name: &'f str) -> ViewInput<'f> {
        ViewInput {
            name,
            features: &self.features,
            camera: &self.camera,
            prepared: &self.prepared,
        }
    }
}

impl Matches {
    /// For one run.
    pub fn new(setup: Arc<Setup>) -> Self {
        Self {
            setup,
            cache: Mutex::default(),
            simulated: Mutex::default(),
            matched: AtomicUsize::new(0),
        }
    }

    /// Photos, kept while all fit an eighth of the memory. Those that another thread is
    /// just reading come last, so that threads that need the same ones share the work.
    fn views(
        &self,
        ctx: &StageContext,
        table: &IngestTable,
        names: &[&str],
    ) -> Result<Vec<Arc<View>>, PipelineError> {
        let slots: Vec<_> = {
            let mut cache = locked(&self.cache);
            let slot = |name: &&str| Arc::clone(cache.views.entry((*name).to_owned()).or_default());
            names.iter().map(slot).collect()
        };
        let mut found = vec![None; names.len()];
        for waits in [false, true] {
            for ((name, slot), found) in names.iter().zip(&slots).zip(&mut found) {
                let guard = match slot.try_lock() {
                    _ if found.is_some() => continue,
                    Ok(guard) => guard,
                    Err(_) if waits => locked(slot),
                    Err(_) => continue,
                };
                *found = Some(self.view(ctx, table, name, guard)?);
            }
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// What is in the slot, or what belongs there.
    fn view(
        &self,
        ctx: &StageContext,
        table: &IngestTable,
        name: &str,
        mut slot: MutexGuard<'_, Option<Arc<View>>>,
    ) -> Result<Arc<View>, PipelineError> {
        if let Some(view) = &*slot {
            return Ok(Arc::clone(view));
        }
        let output = ctx.output("features", &file_name(name, EXTENSION))?;
        let features = read(&output)?;
        let camera = *camera_of(table, name)?;
        let prepared = PreparedView::new(&features, &camera);
        let bytes = output.size + prepared.bytes() as u64;
        let view = Arc::new(View {
            features,
            prepared,
            camera,
        });
        let mut cache = locked(&self.cache);
        if cache.bytes + bytes < ctx.task().memory_bytes() / 8 {
            cache.bytes += bytes;
            *slot = Some(Arc::clone(&view));
        }
        Ok(view)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stage for Matches {
    fn name(&self) -> &'static str {
        "matches"
    }

    fn version(&self) -> u32 {
        10
    }

    fn depends_on(&self) -> &[&'static str] {
        &["ingest", "features"]
    }

    fn options(&self, _ctx: &StageContext) -> Result<Value, BoxError> {
        Ok(self.setup.key_json(&self.setup.options("matches")?))
    }

    fn external(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(
            "isa".to_owned(),
            crate::isa::describe(self.setup.settings.isa),
        )])
    }

    fn passes(&self, _ctx: &StageContext) -> u32 {
        4
    }

    fn items(&self, ctx: &StageContext, pass: u32) -> Result<Vec<Item>, BoxError> {
        let table = IngestTable::read(ctx)?;
        if pass == 0 {
            let mut key = ctx.key().outputs(&ctx.outputs("features")?);
            for e in &table.photos {
                let place = serde_json::json!([e.photo.geo, e.photo.time_s]);
                key = key.value(&e.photo.name, place);
            }
            if let Some(list) = &self.setup.settings.pairs {
                key = key.input("list of pairs", digest_bytes(&pair_list::bytes(list)?));
            }
            return Ok(vec![Item::new("pairs", key.finish())]);
        }
        if pass == 2 {
            let mut key = ctx.key().outputs(&ctx.outputs("features")?);
            for shard in own_outputs(ctx, SHARD)? {
                key = key.output(&shard);
            }
            if self.setup.settings.pairs.is_some() {
                key = key.output(&ctx.output("matches", PAIRS_FILE)?);
            }
            return Ok(vec![Item::new("weak", key.finish())]);
        }
        if pass == 3 {
            let weak: Vec<Weak> = read_json(ctx, "matches", view_synthesis::WEAK_FILE)?;
            return view_synthesis::items(&self.setup, ctx, &table, &weak);
        }
        let pairs: Vec<(String, String)> = read_json(ctx, "matches", PAIRS_FILE)?;
        let digests: BTreeMap<String, Digest> = ctx
            .outputs("features")?
            .into_iter()
            .map(|o| (o.item.clone(), o.digest))
            .collect();
        let mut partners: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (a, b) in &pairs {
            partners.entry(a).or_default().push(b);
        }
        partners
            .into_iter()
            .map(|(a, others)| {
                let mut key = ctx.key();
                for name in others.iter().copied().chain([a]) {
                    let camera = camera_of(&table, name)?;
                    let digest = digests.get(name).copied().unwrap_or(Digest([0; 32]));
                    key = key
                        .input(features_input(name), digest)
                        .value(camera_value(name), serde_json::to_value(camera)?);
                }
                Ok(Item::new(a, key.finish()).with_weight(others.len() as u64))
            })
            .collect()
    }

    fn parallelism(&self, ctx: &StageContext, pass: u32) -> Parallelism {
        let bytes = memory::of_matches(ctx, pass);
        if pass == 1 {
            Parallelism::Parallel {
                memory_bytes_per_item: bytes,
            }
        } else {
            Parallelism::OneAtATime {
                memory_bytes: bytes,
            }
        }
    }

    fn run_item(
        &self,
        ctx: &StageContext,
        item: &Item,
        out: &mut ItemWriter,
    ) -> Result<(), BoxError> {
        let table = IngestTable::read(ctx)?;
        if item.pass == 0 {
            let pairs = self.choose(ctx, &table)?;
            out.write(PAIRS_FILE, &json_bytes(&pairs)?)?;
            return Ok(());
        }
        if item.pass == 2 {
            let weak = view_synthesis::weak_photos(&self.setup, ctx, &table)?;
            out.write(view_synthesis::WEAK_FILE, &json_bytes(&weak)?)?;
            return Ok(());
        }
        if item.pass == 3 {
            let weak: Vec<Weak> = read_json(ctx, "matches", view_synthesis::WEAK_FILE)?;
            if let Some(w) = weak.iter().find(|w| w.name == item.name) {
                let bytes = view_synthesis::run(&self.setup, ctx, &table, w, &self.simulated)?;
                out.write(&file_name(&item.name, view_synthesis::EXTENSION), &bytes)?;
            }
            return Ok(());
        }
        let pairs: Vec<(String, String)> = read_json(ctx, "matches", PAIRS_FILE)?;
        let others: Vec<&str> = pairs
            .iter()
            .filter(|(a, _)| *a == item.name)
            .map(|(_, b)| b.as_str())
            .collect();
        let (kept, new) = kept_pairs(ctx, item, &others);
        self.matched.fetch_add(new.len(), Ordering::Relaxed);
        let mut found = self.match_shard(ctx, &table, &item.name, &new)?;
        found.extend(kept);
        let stored: Vec<StoredPair> = others.iter().filter_map(|o| found.remove(*o)).collect();
        out.write(&file_name(&item.name, SHARD), &format::encode(&stored))?;
        Ok(())
    }

    fn finish(&self, ctx: &StageContext, _out: &mut ItemWriter) -> Result<Figures, BoxError> {
        *locked(&self.cache) = Cache::default();
        locked(&self.simulated).clear();
        let table = IngestTable::read(ctx)?;
        let pairs: Vec<(String, String)> = read_json(ctx, "matches", PAIRS_FILE)?;
        let (_, graph) = read_matched(ctx, &table)?;
        let weak: Vec<Weak> = read_json(ctx, "matches", view_synthesis::WEAK_FILE)?;
        let inliers: usize = graph.pairs.values().map(|g| g.inliers.len()).sum();
        let mut figures = Figures::new();
        figures.insert("pairs_tried".into(), pairs.len().into());
        figures.insert("photos_tried_again".into(), weak.len().into());
        let now = self.matched.load(Ordering::Relaxed);
        figures.insert("pairs_matched_now".into(), now.into());
        figures.insert("pairs_verified".into(), graph.pairs.len().into());
        figures.insert("matches".into(), inliers.into());
        Ok(figures)
    }
}

impl Matches {
    /// The pairs to try, (a, b) with a before b by name.
    fn choose(
        &self,
        ctx: &StageContext,
        table: &IngestTable,
    ) -> Result<Vec<(String, String)>, BoxError> {
        if let Some(list) = &self.setup.settings.pairs {
            let names = table.photos.iter().map(|e| e.photo.name.as_str());
            let pairs = read_pairs(list, &names.collect())?;
            return Ok(pairs.into_iter().collect());
        }
        let options = self.setup.options("matches")?.get::<PairOptions>();
        let features = read_all(ctx, table)?;
        let names: BTreeMap<ViewId, &str> = table
            .photos
            .iter()
            .map(|e| (e.photo.view_id, e.photo.name.as_str()))
            .collect();
        let views: Vec<PairView<'_>> = table
            .photos
            .iter()
            .filter_map(|e| {
                let video = e.photo.name.rsplit_once('/').map_or("", |(v, _)| v);
                Some(PairView {
                    id: e.photo.view_id,
                    name: &e.photo.name,
                    geo: e.photo.geo,
                    sequence: e.photo.time_s.map(|t| (video, t)),
                    features: features.get(&e.photo.view_id)?,
                })
            })
            .collect();
        let chosen = relievo_matching::choose_pairs(&views, &options, ctx.task())?;
        Ok(chosen
            .into_iter()
            .filter_map(|(a, b)| Some((names.get(&a)?.to_string(), names.get(&b)?.to_string())))
            .collect())
    }

    /// Matches one photo with `others`; the verified pairs by the other's name.
    fn match_shard(
        &self,
        ctx: &StageContext,
        table: &IngestTable,
        name: &str,
        others: &[&str],
    ) -> Result<BTreeMap<String, StoredPair>, BoxError> {
        let mut stored = BTreeMap::new();
        if others.is_empty() {
            return Ok(stored);
        }
        let options = self.setup.options("matches")?;
        let a = entry_named(table, name)?.photo.view_id;
        // A batch bounds what is held: one batch of partners at a time.
        for batch in others.chunks(memory::BATCH) {
            let names: Vec<&str> = std::iter::once(name).chain(batch.iter().copied()).collect();
            let mut views = self.views(ctx, table, &names)?.into_iter();
            let own = views.next().ok_or("the photo is not there")?;
            let loaded = (batch.iter().zip(views))
                .map(|(other, view)| {
                    let entry = entry_named(table, other)?;
                    Ok((entry.photo.view_id, *other, view))
                })
                .collect::<Result<Vec<_>, PipelineError>>()?;
            let mut views: BTreeMap<ViewId, ViewInput<'_>> = loaded
                .iter()
                .map(|(id, name, view)| (*id, view.input(name)))
                .collect();
            views.insert(a, own.input(name));
            let pairs: Vec<(ViewId, ViewId)> = loaded.iter().map(|(id, ..)| (a, *id)).collect();
            let found = relievo_matching::match_and_verify(
                &pairs,
                &views,
                (
                    &options.get::<ScheduleOptions>(),
                    &options.get::<MatchOptions>(),
                    &options.get::<VerifyOptions>(),
                ),
                ctx.task(),
            )?;
            let names: BTreeMap<ViewId, &str> =
                loaded.iter().map(|(id, name, ..)| (*id, *name)).collect();
            let least = options.get::<VerifyOptions>().min_inliers;
            for geometry in found {
                let fails =
                    geometry.kind == TwoViewKind::Degenerate || geometry.inliers.len() < least;
                let Some(other) = names.get(&geometry.b) else {
                    continue;
                };
                if !fails {
                    let other = (*other).to_owned();
                    stored.insert(other.clone(), StoredPair { other, geometry });
                }
            }
        }
        Ok(stored)
    }
}

/// The verified pairs of an earlier run that nothing has changed, and the names
/// of `others` that have to be matched.
fn kept_pairs<'a>(
    ctx: &StageContext,
    item: &Item,
    others: &[&'a str],
) -> (BTreeMap<String, StoredPair>, Vec<&'a str>) {
    let nothing = || (BTreeMap::new(), others.to_vec());
    let Some(previous) = ctx.previous(item) else {
        return nothing();
    };
    let now = &item.key;
    let same = |name: &str| {
        let (features, camera) = (features_input(name), camera_value(name));
        let old = &previous.key;
        old.inputs.contains_key(&features)
            && old.inputs.get(&features) == now.inputs.get(&features)
            && old.values.get(&camera) == now.values.get(&camera)
    };
    if !same(&item.name) || !others.iter().any(|o| same(o)) {
        return nothing();
    }
    let bytes = previous.read(&file_name(&item.name, SHARD));
    let Some(stored) = bytes.and_then(|b| format::decode(&b).ok()) else {
        return nothing();
    };
    let (kept, new): (Vec<&str>, Vec<&str>) = others.iter().partition(|o| same(o));
    let stored = stored
        .into_iter()
        .filter(|p| kept.contains(&p.other.as_str()))
        .map(|p| (p.other.clone(), p))
        .collect();
    (stored, new)
}

/// How a photo's features stand in the key of a shard.
fn features_input(name: &str) -> String {
    format!("features/{name}")
}

/// How a photo's camera stands in the key of a shard.
fn camera_value(name: &str) -> String {
    format!("camera of {name}")
}

/// The starting intrinsics of a photo.
pub(super) fn camera_of<'a>(
    table: &'a IngestTable,
    name: &str,
) -> Result<&'a Camera, PipelineError> {
    let entry = entry_named(table, name)?;
    table
        .cameras
        .get(&entry.photo.camera_id)
        .ok_or_else(|| PipelineError::Data {
            stage: "ingest",
            what: format!("photo {name} has no camera"),
            hint: "run again with --force ingest".to_owned(),
        })
}

/// Files of this stage that end so, in order.
fn own_outputs(ctx: &StageContext, end: &str) -> Result<Vec<Output>, PipelineError> {
    let mut outputs = ctx.outputs("matches")?;
    outputs.retain(|o| o.name.ends_with(end));
    Ok(outputs)
}

/// Features and verified pairs of all photos, those found through simulated
/// views included.
pub(super) fn read_matched(
    ctx: &StageContext,
    table: &IngestTable,
) -> Result<(BTreeMap<ViewId, Features>, ViewGraph), PipelineError> {
    let mut features = read_all(ctx, table)?;
    let mut graph = read_shards(ctx, table)?;
    view_synthesis::merge(ctx, table, &mut features, &mut graph)?;
    Ok((features, graph))
}

/// The verified pairs of the shards.
pub(super) fn read_shards(
    ctx: &StageContext,
    table: &IngestTable,
) -> Result<ViewGraph, PipelineError> {
    let ids: BTreeMap<&str, ViewId> = table
        .photos
        .iter()
        .map(|e| (e.photo.name.as_str(), e.photo.view_id))
        .collect();
    let mut graph = ViewGraph::default();
    for output in &own_outputs(ctx, SHARD)? {
        let Some(&a) = ids.get(output.item.as_str()) else {
            continue;
        };
        let bytes = fs_err::read(&output.path)?;
        let pairs = format::decode(&bytes).map_err(|e| file_error(&output.path, &e))?;
        for pair in pairs {
            let Some(&b) = ids.get(pair.other.as_str()) else {
                continue;
            };
            let mut geometry = pair.geometry;
            (geometry.a, geometry.b) = (a, b);
            graph.pairs.insert((a, b), geometry);
        }
    }
    Ok(graph)
}
