//! cloud: one dense point cloud from all depth maps.

use super::depth::{EXTENSION, held_out, largest_px, model_outputs, read, undistorted};
use super::ingest::IngestTable;
use super::{Setup, memory, read_model};
use crate::error::PipelineError;
use relievo_engine::{
    BoxError, Figures, Item, ItemWriter, Output, Parallelism, Stage, StageContext, file_name,
};
use relievo_mvs::{
    DepthOptions, DepthPlan, FusionOptions, FusionView, FusionViews, MvsError, ViewSelectionOptions,
};
use relievo_scene::{SparseModel, ViewId};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

/// The cloud.
pub const CLOUD_FILE: &str = "dense.ply";
/// Which views saw each point.
pub const VIEWS_FILE: &str = "dense.views";

relievo_task::options! {
    /// Options of the stage itself.
    pub struct CloudStageOptions {
        /// Fewer points than this are no surface.
        min_points: usize = 100, "points", "the least that Poisson is tried from";
    }
}

/// One item.
#[derive(Debug)]
pub struct Cloud(pub Arc<Setup>);

impl Cloud {
    /// Who is asked about the points of each view: the sources of its depth.
    fn plans(
        &self,
        ctx: &StageContext,
        model: &SparseModel,
    ) -> Result<BTreeMap<ViewId, DepthPlan>, PipelineError> {
        let options = self.0.options_for_scene("depth", ctx)?;
        let excluded = held_out(&IngestTable::read(ctx)?, model);
        let selection = options.get::<ViewSelectionOptions>();
        Ok(relievo_mvs::select_views(model, &excluded, &selection))
    }
}

impl Stage for Cloud {
    fn name(&self) -> &'static str {
        "cloud"
    }

    fn version(&self) -> u32 {
        8
    }

    fn depends_on(&self) -> &[&'static str] {
        &["ingest", "sparse", "depth"]
    }

    fn options(&self, ctx: &StageContext) -> Result<Value, BoxError> {
        Ok(self.0.options_for_scene("cloud", ctx)?.to_json())
    }

    fn items(&self, ctx: &StageContext, _pass: u32) -> Result<Vec<Item>, BoxError> {
        let mut key = ctx.key().outputs(&model_outputs(ctx)?);
        for output in ctx.outputs("depth")? {
            key = key.output(&output);
        }
        // The options of depth say who is asked, and not all of that shows in the maps.
        let asked = self.plans(ctx, &read_model(ctx)?)?;
        for (view, plan) in asked {
            let sources: Vec<u32> = plan.sources.iter().map(|s| s.0).collect();
            key = key.value(format!("sources of {view}"), sources);
        }
        for e in &IngestTable::read(ctx)?.photos {
            key = key.input(&e.photo.name, IngestTable::digest(e));
            if let Some(mask) = &e.photo.mask_digest {
                key = key.value(format!("mask of {}", e.photo.name), mask.as_str());
            }
        }
        Ok(vec![Item::new("cloud", key.finish())])
    }

    fn parallelism(&self, ctx: &StageContext, _pass: u32) -> Parallelism {
        let pixels = self
            .0
            .options_for_scene("depth", ctx)
            .ok()
            .zip(read_model(ctx).ok());
        let (map_px, photo_px) = pixels.map_or((0, 0), |(options, model)| {
            largest_px(&model, &options.get::<DepthOptions>())
        });
        let views = self
            .0
            .options_for_scene("cloud", ctx)
            .map_or(1, |o| 1 + o.get::<FusionOptions>().max_neighbours as u64);
        Parallelism::OneAtATime {
            memory_bytes: memory::of_cloud(views, map_px, photo_px),
        }
    }

    fn run_item(
        &self,
        ctx: &StageContext,
        _item: &Item,
        out: &mut ItemWriter,
    ) -> Result<(), BoxError> {
        let depth_options = self.0.options_for_scene("depth", ctx)?;
        let model = read_model(ctx)?;
        let plans = self.plans(ctx, &model)?;
        let maps: BTreeMap<ViewId, Output> = ctx
            .outputs("depth")?
            .into_iter()
            .filter_map(|o| {
                let (id, view) = model.view_by_name(&o.item)?;
                (o.name == file_name(&view.name, EXTENSION)).then_some((id, o))
            })
            .collect();
        let neighbours = plans
            .into_iter()
            .filter(|(id, _)| maps.contains_key(id))
            .map(|(id, p)| {
                let known = p
                    .sources
                    .into_iter()
                    .filter(|s| maps.contains_key(s))
                    .collect();
                (id, known)
            })
            .collect();
        let views = Views {
            setup: &self.0,
            ctx,
            model: &model,
            maps,
            options: depth_options.get::<DepthOptions>(),
        };
        let options = self.0.options_for_scene("cloud", ctx)?;
        let cloud = relievo_mvs::fuse(
            &views,
            &neighbours,
            &options.get::<FusionOptions>(),
            out.dir(),
            ctx.task(),
        )
        .map_err(with_remedy)?;
        if cloud.len() < options.get::<CloudStageOptions>().min_points {
            return Err(Box::new(PipelineError::Data {
                stage: "cloud",
                what: format!("only {} points agree between the photos", cloud.len()),
                hint: "sharper photos with more overlap and texture are needed; the cameras and \
                       depth maps are kept"
                    .to_owned(),
            }));
        }
        out.write(CLOUD_FILE, &relievo_formats::ply::encode_cloud(&cloud))?;
        out.write(
            VIEWS_FILE,
            &relievo_formats::native::cloud_views::encode(&cloud),
        )?;
        Ok(())
    }

    fn finish(&self, ctx: &StageContext, _out: &mut ItemWriter) -> Result<Figures, BoxError> {
        let path = ctx.output("cloud", CLOUD_FILE)?.path;
        let mut header = Vec::new();
        fs_err::File::open(&path)?
            .take(1 << 12)
            .read_to_end(&mut header)?;
        let points = relievo_formats::ply::count_vertices(&header)
            .map_err(|e| super::file_error(&path, &e))?;
        let mut figures = Figures::new();
        figures.insert("points".into(), points.into());
        Ok(figures)
    }
}

/// What to do about a cloud that the machine cannot hold.
fn with_remedy(error: MvsError) -> BoxError {
    let hint = match &error {
        MvsError::CloudTooLarge { .. } => {
            "allow more with --memory, take smaller depth maps with --set depth.scale=0.35, or fewer points with \
             --set cloud.spacing_footprints=1; the depth maps are kept"
        }
        MvsError::Scratch(_) => "free some disk, or allow more with --memory",
        _ => return Box::new(error),
    };
    let what = match std::error::Error::source(&error) {
        Some(why) => format!("{error}: {why}"),
        None => error.to_string(),
    };
    Box::new(PipelineError::Data {
        stage: "cloud",
        what,
        hint: hint.to_owned(),
    })
}

/// Depth maps and pictures from the work folder.
struct Views<'a> {
    setup: &'a Setup,
    ctx: &'a StageContext,
    model: &'a SparseModel,
    maps: BTreeMap<ViewId, Output>,
    options: DepthOptions,
}

impl FusionViews for Views<'_> {
    fn load(&self, id: ViewId) -> Result<FusionView, BoxError> {
        let output = self.maps.get(&id).ok_or_else(|| PipelineError::Data {
            stage: "cloud",
            what: format!("view {id} has no depth map"),
            hint: "run again with --force depth".to_owned(),
        })?;
        let picture = undistorted(self.setup, self.ctx, self.model, id, &self.options)?;
        Ok(FusionView {
            map: read(output)?,
            cam_from_world: picture.cam_from_world,
            color: picture.color,
        })
    }
}
