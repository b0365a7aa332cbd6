//! depth: a depth map per view, in passes; pass k reads only pass k − 1.

use super::ingest::IngestTable;
use super::{Setup, file_error, json_bytes, memory, read_model};
use crate::error::PipelineError;
use rayon::prelude::*;
use relievo_engine::{
    BoxError, Digest, Figures, Item, ItemWriter, Output, Parallelism, Stage, StageContext,
    file_name,
};
use relievo_formats::native::depth as format;
use relievo_mvs::{
    DepthOptions, DepthPlan, GeometricPass, MvsError, StereoView, ViewSelectionOptions,
};
use relievo_scene::{Camera, DepthMap, SparseModel, View, ViewId};
use relievo_task::Warning;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// Extension of a depth map.
pub const EXTENSION: &str = ".depth";

/// Extension of the number of comparisons that a map took in a pass.
const COMPARISONS: &str = ".comparisons.json";

/// One item per view and pass.
#[derive(Debug)]
pub struct Depth {
    setup: Arc<Setup>,
    plan: Mutex<Option<(Vec<Digest>, Arc<Plan>)>>,
    views: Mutex<Views>,
}

/// Prepared pictures of the model `of`, kept between items.
#[derive(Debug, Default)]
struct Views {
    of: Vec<Digest>,
    clock: u64,
    kept: BTreeMap<ViewId, (u64, Arc<StereoView>)>,
}

impl Views {
    fn get(&mut self, id: ViewId) -> Option<Arc<StereoView>> {
        self.clock += 1;
        let (used, view) = self.kept.get_mut(&id)?;
        *used = self.clock;
        Some(Arc::clone(view))
    }

    /// Keeps a view; those not used for longest go where all take more than `budget_bytes`.
    fn keep(&mut self, view: &Arc<StereoView>, budget_bytes: u64) {
        // Grey values, and which of them count.
        let size = |view: &StereoView| 2 * view.gray.as_slice().len() as u64;
        self.clock += 1;
        self.kept.insert(view.id, (self.clock, Arc::clone(view)));
        let mut used: u64 = self.kept.values().map(|(_, v)| size(v)).sum();
        while used > budget_bytes {
            let oldest = self.kept.iter().min_by_key(|(_, (used, _))| *used);
            let Some(id) = oldest.map(|(id, _)| *id) else {
                return;
            };
            used -= self.kept.remove(&id).map_or(0, |(_, v)| size(&v));
        }
    }
}

/// The model, and what is to be done with it.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) model: SparseModel,
    pub(super) views: BTreeMap<ViewId, DepthPlan>,
}

impl Plan {
    /// Expected work of a pass that refines the map of a view.
    fn weight(&self, view: &View) -> u64 {
        let camera = self.model.cameras.get(&view.camera_id);
        camera.map_or(1, |c| {
            (u64::from(c.width_px) * u64::from(c.height_px) / 10_000).max(1)
        })
    }
}

impl Depth {
    /// For one run.
    pub fn new(setup: Arc<Setup>) -> Self {
        Self {
            setup,
            plan: Mutex::default(),
            views: Mutex::default(),
        }
    }

    /// View selection, computed once for a model.
    fn plan(&self, ctx: &StageContext) -> Result<Arc<Plan>, PipelineError> {
        let table = ctx.output("ingest", super::ingest::TABLE_FILE)?.digest;
        let mut of: Vec<Digest> = model_outputs(ctx)?.iter().map(|o| o.digest).collect();
        of.push(table);
        let mut slot = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, plan)) = &*slot
            && *known == of
        {
            return Ok(Arc::clone(plan));
        }
        let options = self.setup.options_for_scene("depth", ctx)?;
        let model = read_model(ctx)?;
        let excluded = held_out(&IngestTable::read(ctx)?, &model);
        let views =
            relievo_mvs::select_views(&model, &excluded, &options.get::<ViewSelectionOptions>());
        let plan = Arc::new(Plan { model, views });
        *slot = Some((of, Arc::clone(&plan)));
        Ok(plan)
    }

    fn options_of(&self, ctx: &StageContext) -> Result<DepthOptions, PipelineError> {
        Ok(self
            .setup
            .options_for_scene("depth", ctx)?
            .get::<DepthOptions>())
    }

    /// Most sources whose pictures are held beside a view's.
    fn listed(&self, ctx: &StageContext) -> u64 {
        let options = self.setup.options_for_scene("depth", ctx);
        options.map_or(0, |o| o.get::<ViewSelectionOptions>().listed_sources as u64)
    }

    /// The undistorted picture of a view at depth resolution.
    fn stereo_view(
        &self,
        ctx: &StageContext,
        plan: &Plan,
        id: ViewId,
        options: &DepthOptions,
    ) -> Result<Arc<StereoView>, PipelineError> {
        let of: Vec<Digest> = model_outputs(ctx)?.iter().map(|o| o.digest).collect();
        let lock = || self.views.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut views = lock();
            if views.of != of {
                *views = Views {
                    of,
                    ..Views::default()
                };
            }
            if let Some(found) = views.get(id) {
                return Ok(found);
            }
        }
        let undistorted = undistorted(&self.setup, ctx, &plan.model, id, options)?;
        let view = Arc::new(StereoView {
            id,
            camera: undistorted.camera,
            cam_from_world: undistorted.cam_from_world,
            gray: relievo_image::luma(&undistorted.color),
            valid: Some(undistorted.valid),
        });
        let budget = ctx.task().memory_bytes();
        let pixels = largest_px(&plan.model, options).0;
        let spare = budget.saturating_sub(memory::of_depth(pixels, self.listed(ctx)));
        lock().keep(&view, spare.min(budget / 8));
        Ok(view)
    }
}

impl Stage for Depth {
    fn name(&self) -> &'static str {
        "depth"
    }

    fn version(&self) -> u32 {
        8
    }

    fn depends_on(&self) -> &[&'static str] {
        &["ingest", "sparse"]
    }

    fn options(&self, ctx: &StageContext) -> Result<Value, BoxError> {
        Ok(self
            .setup
            .key_json(&self.setup.options_for_scene("depth", ctx)?))
    }

    fn external(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(
            "isa".to_owned(),
            crate::isa::describe(self.setup.settings.isa),
        )])
    }

    fn passes(&self, ctx: &StageContext) -> u32 {
        self.options_of(ctx)
            .map_or(1, |o| 1 + o.geometric_passes as u32)
    }

    fn items(&self, ctx: &StageContext, pass: u32) -> Result<Vec<Item>, BoxError> {
        let plan = self.plan(ctx)?;
        let table = IngestTable::read(ctx)?;
        let digests: BTreeMap<&str, (Digest, Option<&str>)> = table
            .photos
            .iter()
            .map(|e| {
                let mask = e.photo.mask_digest.as_deref();
                (e.photo.name.as_str(), (IngestTable::digest(e), mask))
            })
            .collect();
        let before: BTreeMap<String, Output> = match pass {
            0 => BTreeMap::new(),
            k => maps_of(ctx, k - 1).map(|o| (o.item.clone(), o)).collect(),
        };
        let model = model_outputs(ctx)?;
        let mut items = Vec::new();
        for (id, view_plan) in &plan.views {
            let Some(view) = plan.model.views.get(id) else {
                continue;
            };
            let mut key = ctx.key().outputs(&model).value("pass", pass);
            let mut sources = Vec::new();
            for (i, other) in [id].into_iter().chain(&view_plan.sources).enumerate() {
                let Some(other) = plan.model.views.get(other) else {
                    continue;
                };
                if let Some((digest, mask)) = digests.get(other.name.as_str()) {
                    key = key.input(&other.name, *digest);
                    if let Some(mask) = mask {
                        key = key.value(format!("mask of {}", other.name), *mask);
                    }
                }
                if let Some(output) = before.get(&other.name) {
                    key = key.output(output);
                }
                if i > 0 {
                    sources.push(other.name.clone());
                }
            }
            // The first pass goes through all levels, later ones refine (Herz-Jesus: 93 and 43 s).
            let weight = plan.weight(view) * if pass == 0 { 2 } else { 1 };
            let key = key.value("sources", sources).finish();
            items.push(Item::new(&view.name, key).with_weight(weight));
        }
        Ok(items)
    }

    fn weight_after(&self, ctx: &StageContext, pass: u32) -> u64 {
        let later = u64::from(self.passes(ctx).saturating_sub(pass + 1));
        let of_pass = self.plan(ctx).map_or(0, |plan| {
            let views = plan.views.keys().filter_map(|id| plan.model.views.get(id));
            views.map(|view| plan.weight(view)).sum()
        });
        later * of_pass
    }

    fn parallelism(&self, ctx: &StageContext, _pass: u32) -> Parallelism {
        let known = self.plan(ctx).ok().zip(self.options_of(ctx).ok());
        let pixels = known.map_or(0, |(p, options)| largest_px(&p.model, &options).0);
        Parallelism::OneAtATime {
            memory_bytes: memory::of_depth(pixels, self.listed(ctx)),
        }
    }

    fn run_item(
        &self,
        ctx: &StageContext,
        item: &Item,
        out: &mut ItemWriter,
    ) -> Result<(), BoxError> {
        let plan = self.plan(ctx)?;
        let options = self.options_of(ctx)?;
        let (id, _) = plan
            .model
            .view_by_name(&item.name)
            .ok_or_else(|| missing(&item.name))?;
        let view_plan = plan.views.get(&id).ok_or_else(|| missing(&item.name))?;
        let reference = self.stereo_view(ctx, &plan, id, &options)?;
        let sources = view_plan
            .sources
            .iter()
            .map(|s| self.stereo_view(ctx, &plan, *s, &options))
            .collect::<Result<Vec<_>, _>>()?;
        let sources: Vec<&StereoView> = sources.iter().map(AsRef::as_ref).collect();
        let seed = ctx.seed(&format!("{}/{}", item.name, item.pass));
        let last = item.pass + 1 == self.passes(ctx);
        let estimate = if item.pass == 0 {
            relievo_mvs::estimate_depth_photometric(
                &reference,
                &sources,
                view_plan,
                &options,
                seed,
                ctx.task(),
            )
            .map_err(with_remedy)?
        } else {
            let before: BTreeMap<String, Output> = maps_of(ctx, item.pass - 1)
                .map(|o| (o.item.clone(), o))
                .collect();
            let load = |id: &ViewId| -> Result<Option<DepthMap>, PipelineError> {
                let view = plan.model.views.get(id);
                view.and_then(|v| before.get(&v.name)).map(read).transpose()
            };
            let own = load(&id)?.ok_or_else(|| missing(&item.name))?;
            // A source without plan has no map; it takes no part here.
            let has_map = |view: &ViewId| {
                let view = plan.model.views.get(view);
                view.is_some_and(|v| before.contains_key(&v.name))
            };
            let with_maps: Vec<&StereoView> = sources
                .iter()
                .copied()
                .filter(|view| has_map(&view.id))
                .take(options.max_sources.max(1))
                .collect();
            let loaded: Vec<Option<DepthMap>> = with_maps
                .par_iter()
                .map(|view| load(&view.id))
                .collect::<Result<_, _>>()?;
            let maps: Vec<&DepthMap> = loaded.iter().flatten().collect();
            let pass = GeometricPass {
                previous: &own,
                source_maps: &maps,
                is_last: last,
            };
            relievo_mvs::estimate_depth_geometric(
                &reference,
                &with_maps,
                pass,
                view_plan,
                &options,
                seed,
                ctx.task(),
            )
            .map_err(with_remedy)?
        };
        let name = format!("pass{}/{}", item.pass, file_name(&item.name, COMPARISONS));
        out.write_transient(&name, &json_bytes(&estimate.comparisons)?)?;
        let mut map = estimate.map;
        relievo_mvs::clear_unexposed(&mut map, &reference.gray);
        if last && options.clear_sky {
            relievo_mvs::clear_sky(&mut map, &reference, &sources);
        }
        let bytes = format::encode(&map);
        if last {
            out.write(&file_name(&item.name, EXTENSION), &bytes)?;
        } else {
            let name = format!("pass{}/{}", item.pass, file_name(&item.name, EXTENSION));
            out.write_transient(&name, &bytes)?;
        }
        Ok(())
    }

    fn finish(&self, ctx: &StageContext, _out: &mut ItemWriter) -> Result<Figures, BoxError> {
        let plan = self.plan(ctx)?;
        let last = self.passes(ctx) - 1;
        let (mut pixels, mut confirmed, mut maps) = (0_usize, 0_usize, 0_usize);
        for output in maps_of(ctx, last) {
            let map = read(&output)?.confirmed();
            pixels += map.depth.as_slice().len();
            confirmed += map.depth.as_slice().iter().filter(|d| **d > 0.0).count();
            maps += 1;
        }
        for (id, view, _) in plan.model.registered() {
            if !plan.views.contains_key(&id) && !self.setup.settings.hold_out.contains(&view.name) {
                ctx.task().warn(Warning::new(
                    "photo-no-depth",
                    &view.name,
                    "too little of it is seen by other photos to measure depth",
                    "take more photos around it",
                ));
            }
        }
        if maps == 0 {
            let held_out = held_out(&IngestTable::read(ctx)?, &plan.model).len();
            let taking_part = plan.model.registered().count().saturating_sub(held_out);
            if held_out > 0 && taking_part < 2 {
                return Err(Box::new(PipelineError::Data {
                    stage: "depth",
                    what: format!("{held_out} photos are held out, {taking_part} take part"),
                    hint: "depth is measured between two photos and more: hold out fewer"
                        .to_owned(),
                }));
            }
            return Err(Box::new(PipelineError::Data {
                stage: "depth",
                what: "no two photos see the same surface well enough to measure depth".to_owned(),
                hint: "the cameras are in sparse/model; take more photos with more overlap"
                    .to_owned(),
            }));
        }
        let mut figures = Figures::new();
        figures.insert("maps".into(), maps.into());
        figures.insert("pixels".into(), pixels.into());
        let share = super::sparse::round(confirmed as f64 / pixels.max(1) as f64, 4);
        figures.insert("confirmed_share".into(), share.into());
        if let Some(all) = comparisons(ctx, last, maps) {
            let a_pixel = super::sparse::round(all as f64 / pixels.max(1) as f64, 1);
            figures.insert("comparisons_a_pixel".into(), a_pixel.into());
        }
        Ok(figures)
    }
}

/// The maps of a pass.
fn maps_of(ctx: &StageContext, pass: u32) -> impl Iterator<Item = Output> {
    let is_map = |o: &Output| o.name.ends_with(EXTENSION);
    ctx.pass_outputs(pass).into_iter().filter(is_map)
}

/// Comparisons of patches in the passes up to `last`; none where they are not known of each of
/// `maps` maps in every pass, because some are of an earlier run.
fn comparisons(ctx: &StageContext, last: u32, maps: usize) -> Option<u64> {
    let mut sum = 0;
    for pass in 0..=last {
        let all = ctx.pass_outputs(pass);
        let numbers: Vec<&Output> = all
            .iter()
            .filter(|o| o.name.ends_with(COMPARISONS))
            .collect();
        if numbers.len() != maps {
            return None;
        }
        for number in numbers {
            sum += serde_json::from_slice::<u64>(&fs_err::read(&number.path).ok()?).ok()?;
        }
    }
    Some(sum)
}

/// What to do about pictures that are too large.
fn with_remedy(error: MvsError) -> BoxError {
    if !matches!(error, MvsError::TooLarge { .. }) {
        return Box::new(error);
    }
    Box::new(PipelineError::Data {
        stage: "depth",
        what: error.to_string(),
        hint: "take smaller depth maps with --set depth.scale=0.5, or fewer sources with --set \
               depth.max_sources=4"
            .to_owned(),
    })
}

fn missing(name: &str) -> PipelineError {
    PipelineError::Data {
        stage: "depth",
        what: format!("view {name} is not in the model"),
        hint: "run again with --force sparse".to_owned(),
    }
}

/// Pixels of the largest depth map and of the largest photo.
pub(super) fn largest_px(model: &SparseModel, options: &DepthOptions) -> (u64, u64) {
    let product = |(w, h)| u64::from(w) * u64::from(h);
    let cameras = || model.cameras.values().map(|c| (c.width_px, c.height_px));
    let maps = cameras().map(|(w, h)| product(options.size_px(w, h)));
    (
        maps.max().unwrap_or(0),
        cameras().map(product).max().unwrap_or(0),
    )
}

/// Views that are posed but kept out of depth and texture.
pub(super) fn held_out(table: &IngestTable, model: &SparseModel) -> BTreeSet<ViewId> {
    let names: BTreeSet<&str> = table
        .photos
        .iter()
        .filter(|e| e.photo.held_out)
        .map(|e| e.photo.name.as_str())
        .collect();
    model
        .views
        .iter()
        .filter(|(_, v)| names.contains(v.name.as_str()))
        .map(|(id, _)| *id)
        .collect()
}

/// The three files of the best model.
pub(super) fn model_outputs(ctx: &StageContext) -> Result<Vec<Output>, PipelineError> {
    let mut all = ctx.outputs("sparse")?;
    all.retain(|o| o.name.starts_with("model/"));
    Ok(all)
}

/// Reads a depth map.
pub(super) fn read(output: &Output) -> Result<DepthMap, PipelineError> {
    let bytes = fs_err::read(&output.path)?;
    format::decode(&bytes).map_err(|e| file_error(&output.path, &e))
}

/// A view's picture without distortion, at depth resolution.
pub(super) struct Undistorted {
    pub(super) camera: Camera,
    pub(super) cam_from_world: relievo_geometry::Rigid3,
    pub(super) color: relievo_image::Raster<[u8; 3]>,
    pub(super) valid: relievo_image::Raster<u8>,
}

/// Undistorts the photo of view `id` to the size of its depth map.
pub(super) fn undistorted(
    setup: &Setup,
    ctx: &StageContext,
    model: &SparseModel,
    id: ViewId,
    options: &DepthOptions,
) -> Result<Undistorted, PipelineError> {
    let view = model
        .views
        .get(&id)
        .ok_or_else(|| missing(&id.to_string()))?;
    let camera = model
        .cameras
        .get(&view.camera_id)
        .ok_or_else(|| missing(&view.name))?;
    let pose = view.cam_from_world.ok_or_else(|| missing(&view.name))?;
    let table = IngestTable::read(ctx)?;
    let entry = super::features::entry_named(&table, &view.name)?;
    let store = setup.photos(ctx)?;
    let photo = store.photo_once(entry.photo.view_id)?;
    let photo_size = (camera.width_px, camera.height_px);
    if (photo.width() as u32, photo.height() as u32) != photo_size {
        return Err(PipelineError::Data {
            stage: "depth",
            what: format!(
                "photo {} is {} × {} pixels, but its camera says {} × {}",
                view.name,
                photo.width(),
                photo.height(),
                photo_size.0,
                photo_size.1
            ),
            hint: "give the photos that the poses were computed from".to_owned(),
        });
    }
    let mask = store.mask(entry.photo.view_id)?;
    let size = options.size_px(camera.width_px, camera.height_px);
    let target = relievo_image::undistorted_model(&camera.model, photo_size, size);
    let color = relievo_image::undistort(&photo, &camera.model, &target, size);
    let valid =
        relievo_image::undistorted_mask(mask.as_ref(), &camera.model, photo_size, &target, size);
    let camera = Camera {
        model: target,
        width_px: size.0,
        height_px: size.1,
        has_prior_focal: true,
    };
    Ok(Undistorted {
        camera,
        cam_from_world: pose,
        color,
        valid,
    })
}
