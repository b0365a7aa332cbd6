//! sparse: cameras and points. Writes `sparse/model/` in COLMAP's format.

use super::ingest::IngestTable;
use super::matches::read_matched;
use super::sparse_warnings as warnings;
use super::{Setup, json_bytes, memory};
use crate::certainty::{self, Certainty};
use crate::error::PipelineError;
use crate::georef::georeference;
use crate::scene_kind::scene_kind;
use crate::settings::{CameraSpec, Preset};
use relievo_engine::{
    BoxError, EngineError, Figures, Item, ItemWriter, Key, Parallelism, Stage, StageContext,
};
use relievo_formats::colmap;
use relievo_scene::{CameraId, SparseModel, ViewId};
use relievo_sfm::{Checkpoint, Named, SfmInput, SfmOptions, SfmView, UnregisteredReason};
use relievo_task::Warning;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the mapper did.
const FIGURES_FILE: &str = "figures.json";
/// What is being captured.
pub const SCENE_FILE: &str = "scene.json";
/// How the model lies in the world.
pub const GEOREF_FILE: &str = "georef.json";
/// Outcome per photo.
pub const PHOTOS_FILE: &str = "photos.json";
/// Folder inside `ingest/` with poses that were imported without points.
pub const IMPORTED_POSES: &str = "poses";

/// Fewest points that make a photo count as registered, and their error.
const COUNTED_POINTS: usize = 30;
const COUNTED_ERROR_PX: f64 = 2.0;

/// What became of one photo; a row of `sparse/photos.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhotoOutcome {
    /// Name.
    pub name: String,
    /// In the best model, with at least 30 points under 2 px.
    pub registered: bool,
    /// Model points that it sees.
    pub points: usize,
    /// Mean reprojection error of these, px.
    pub error_px: Option<f64>,
    /// Why it is not registered; empty where it is.
    pub reason: String,
    /// What to do about it.
    pub hint: String,
}

/// One item: the whole mapping, with checkpoints inside.
#[derive(Debug)]
pub struct Sparse(pub Arc<Setup>);

impl Stage for Sparse {
    fn name(&self) -> &'static str {
        "sparse"
    }

    fn version(&self) -> u32 {
        20
    }

    fn depends_on(&self) -> &[&'static str] {
        &["ingest", "features", "matches"]
    }

    fn options(&self, _ctx: &StageContext) -> Result<Value, BoxError> {
        let mut options = self.0.key_json(&self.0.options("sparse")?);
        options["scale"] = self.0.settings.scale.into();
        Ok(options)
    }

    fn items(&self, ctx: &StageContext, _pass: u32) -> Result<Vec<Item>, BoxError> {
        let table = IngestTable::read(ctx)?;
        let mut key = ctx
            .key()
            .outputs(&ctx.outputs("features")?)
            .outputs(&ctx.outputs("matches")?)
            .value("cameras", serde_json::to_value(&table.cameras)?);
        for output in ctx.outputs("ingest")? {
            if output.name.starts_with(IMPORTED_POSES) {
                key = key.output(&output);
            }
        }
        for e in &table.photos {
            key = key.value(format!("camera of {}", e.photo.name), e.photo.camera_id.0);
        }
        if table.origin != [0.0; 3] {
            key = key.value("origin", serde_json::to_value(table.origin)?);
        }
        let named = self.named(&table);
        if !named.is_empty() {
            key = key.value("cameras named", serde_json::to_value(named)?);
        }
        Ok(vec![Item::new("model", key.finish())])
    }

    fn parallelism(&self, ctx: &StageContext, _pass: u32) -> Parallelism {
        Parallelism::OneAtATime {
            memory_bytes: memory::of_sparse(ctx),
        }
    }

    fn run_item(
        &self,
        ctx: &StageContext,
        item: &Item,
        out: &mut ItemWriter,
    ) -> Result<(), BoxError> {
        let table = IngestTable::read(ctx)?;
        let (features, graph) = read_matched(ctx, &table)?;
        let options = self.0.options("sparse")?.get::<SfmOptions>();
        let views = table
            .photos
            .iter()
            .filter_map(|e| {
                let f = features.get(&e.photo.view_id)?;
                let view = SfmView {
                    name: &e.photo.name,
                    camera_id: e.photo.camera_id,
                    keypoints: &f.keypoints,
                    colors: &f.colors,
                };
                Some((e.photo.view_id, view))
            })
            .collect();
        let input = SfmInput {
            views,
            cameras: table.cameras.clone(),
            graph: &graph,
        };
        let poses = ctx.find_output("ingest", &format!("{IMPORTED_POSES}/images.bin"))?;
        if let Some(poses) = poses {
            let dir = poses.path.parent().unwrap_or(&poses.path);
            let given = colmap::read_model(dir).map_err(|e| super::file_error(dir, &e))?;
            let model = relievo_sfm::triangulate_under_poses(&input, &given, &options, ctx.task())?;
            let outcome = Outcome {
                unregistered: BTreeMap::new(),
                imported: true,
            };
            return self.store(ctx, &table, &model, &outcome, out);
        }
        let mut checkpoint = StageCheckpoint {
            ctx,
            key: &item.key,
        };
        let named = self.named(&table);
        let result =
            relievo_sfm::reconstruct_named(&input, &named, &options, ctx.task(), &mut checkpoint)
                .map_err(|e| explain(&e, &table))?;
        for (i, model) in result.models.iter().enumerate().skip(1) {
            write_model(out, &format!("other/{i}"), model)?;
        }
        if result.models.len() > 1 {
            let text = format!(
                "the photos fall into {} parts that no photo connects; the largest was used",
                result.models.len()
            );
            ctx.task().warn(Warning::new(
                "several-models",
                "",
                text,
                "the others are in sparse/other; photos that show two parts would join them",
            ));
        }
        if let Some(link) = &result.doubtful {
            warnings::of_link(link, ctx);
        }
        for camera in &result.contradicted {
            warnings::of_contradiction(&table, *camera, ctx);
        }
        for (camera, known) in &result.figures[0].focal_lengths {
            warnings::of_focal_length(&table, *camera, known, ctx);
        }
        if let Ok(known) = &result.covariances {
            warnings::of_poses(&result.models[0], known, ctx);
        }
        out.write(FIGURES_FILE, &json_bytes(&result.figures[0])?)?;
        for (name, bytes) in certainty::files(&result.models[0], &result.covariances)? {
            out.write(name, &bytes)?;
        }
        let outcome = Outcome {
            unregistered: result.unregistered,
            imported: false,
        };
        self.store(ctx, &table, &result.models[0], &outcome, out)
    }

    fn finish(&self, ctx: &StageContext, _out: &mut ItemWriter) -> Result<Figures, BoxError> {
        let rows: Vec<PhotoOutcome> = super::read_json(ctx, "sparse", PHOTOS_FILE)?;
        let scene: crate::scene_kind::SceneKind = super::read_json(ctx, "sparse", SCENE_FILE)?;
        let model = super::read_model(ctx)?;
        let points = model.tracks.len();
        let observations: usize = model.tracks.values().map(|t| t.observations.len()).sum();
        let mut figures = Figures::new();
        let registered = rows.iter().filter(|r| r.registered).count();
        figures.insert("registered".into(), registered.into());
        figures.insert("points".into(), points.into());
        let length = observations as f64 / points.max(1) as f64;
        figures.insert("mean_track_length".into(), round(length, 3).into());
        figures.insert("mean_error_px".into(), round(mean_error(&model), 4).into());
        if ctx.find_output("sparse", FIGURES_FILE)?.is_some() {
            let mapper: Figures = super::read_json(ctx, "sparse", FIGURES_FILE)?;
            // What the mapper mended is worth telling.
            for name in ["rings_closed", "models_joined", "pairs_left_out"] {
                if let Some(n) = mapper.get(name).filter(|n| n.as_u64() > Some(0)) {
                    figures.insert(name.into(), n.clone());
                }
            }
        }
        if ctx.find_output("sparse", certainty::POSES_FILE)?.is_some() {
            let known: Certainty = super::read_json(ctx, "sparse", certainty::POSES_FILE)?;
            known.figures(&mut figures);
        }
        figures.insert("captured".into(), scene.kind.name().into());
        if self.0.settings.preset == Preset::Auto {
            figures.insert("captured_because".into(), scene.reason.into());
        }
        Ok(figures)
    }
}

struct Outcome {
    unregistered: BTreeMap<ViewId, UnregisteredReason>,
    imported: bool,
}

impl Sparse {
    fn named(&self, table: &IngestTable) -> BTreeMap<CameraId, Named> {
        let photos = table.photos.iter().map(|e| &e.photo);
        let photos = photos.map(|p| (p.name.as_str(), p.camera_id));
        named(&self.0.settings.cameras, photos)
    }

    /// Model, outcome per photo, kind of scene, place in the world.
    fn store(
        &self,
        ctx: &StageContext,
        table: &IngestTable,
        model: &SparseModel,
        outcome: &Outcome,
        out: &mut ItemWriter,
    ) -> Result<(), BoxError> {
        write_model(out, "model", model)?;
        let rows = photo_outcomes(table, model, outcome);
        for row in rows.iter().filter(|r| !r.registered) {
            let text = format!("not placed in the model: {}", row.reason);
            ctx.task().warn(Warning::new(
                "photo-not-registered",
                &row.name,
                text,
                &row.hint,
            ));
        }
        out.write(PHOTOS_FILE, &json_bytes(&rows)?)?;
        out.write(SCENE_FILE, &json_bytes(&scene_kind(model))?)?;
        let seed = ctx.task().run_seed();
        let georef = georeference(
            model,
            self.0.settings.scale,
            outcome.imported,
            table.origin,
            seed,
        );
        out.write(GEOREF_FILE, &json_bytes(&georef)?)?;
        Ok(())
    }
}

/// What `--camera` says of the cameras; of each, the last that fits its photos, as ingest takes it.
fn named<'a>(
    specs: &[CameraSpec],
    photos: impl Iterator<Item = (&'a str, CameraId)>,
) -> BTreeMap<CameraId, Named> {
    let matcher = |spec: &CameraSpec| {
        let glob = globset::Glob::new(spec.glob.as_deref()?).ok()?;
        Some(glob.compile_matcher())
    };
    let globs: Vec<_> = specs.iter().map(matcher).collect();
    let spec_of = |name: &str| {
        let fits = |(spec, glob): &(&CameraSpec, &Option<globset::GlobMatcher>)| {
            spec.glob.is_none() || glob.as_ref().is_some_and(|g| g.is_match(name))
        };
        specs.iter().zip(&globs).rev().find(fits)
    };
    let of_photo = |(name, camera)| {
        let (spec, _) = spec_of(name)?;
        Some((camera, spec.model().map_or(Named::Model, |_| Named::Values)))
    };
    photos.filter_map(of_photo).collect()
}

/// The files of an imported sparse model beside the model itself.
pub fn describe_imported(
    table: &IngestTable,
    model: &SparseModel,
    scale: Option<f64>,
    seed: u64,
) -> Result<Vec<(&'static str, Vec<u8>)>, PipelineError> {
    let outcome = Outcome {
        unregistered: BTreeMap::new(),
        imported: true,
    };
    let rows = photo_outcomes(table, model, &outcome);
    Ok(vec![
        (PHOTOS_FILE, json_bytes(&rows)?),
        (SCENE_FILE, json_bytes(&scene_kind(model))?),
        (
            GEOREF_FILE,
            json_bytes(&georeference(model, scale, true, table.origin, seed))?,
        ),
    ])
}

/// Writes a model in COLMAP's format into a folder of the stage.
pub(crate) fn write_model(
    out: &mut ItemWriter,
    dir: &str,
    model: &SparseModel,
) -> Result<(), EngineError> {
    out.write(
        &format!("{dir}/cameras.bin"),
        &colmap::encode_cameras_bin(model),
    )?;
    out.write(
        &format!("{dir}/images.bin"),
        &colmap::encode_images_bin(model),
    )?;
    out.write(
        &format!("{dir}/points3D.bin"),
        &colmap::encode_points3d_bin(model),
    )?;
    Ok(())
}

fn photo_outcomes(
    table: &IngestTable,
    model: &SparseModel,
    outcome: &Outcome,
) -> Vec<PhotoOutcome> {
    let mut errors: BTreeMap<ViewId, Vec<f64>> = BTreeMap::new();
    for track in model.tracks.values() {
        for o in &track.observations {
            if let Some(e) = model.reprojection_error_px(track, o) {
                errors.entry(o.view_id).or_default().push(e);
            }
        }
    }
    let ids: BTreeMap<&str, ViewId> = model
        .views
        .iter()
        .map(|(id, v)| (v.name.as_str(), *id))
        .collect();
    let none = Vec::new();
    table
        .photos
        .iter()
        .map(|e| {
            let id = ids.get(e.photo.name.as_str());
            let posed = id
                .and_then(|id| model.views.get(id))
                .is_some_and(|v| v.cam_from_world.is_some());
            let seen = id.and_then(|id| errors.get(id)).unwrap_or(&none);
            let good = seen.iter().filter(|e| **e < COUNTED_ERROR_PX).count();
            // Given poses count as they are.
            let registered = posed && (good >= COUNTED_POINTS || outcome.imported);
            let reason = outcome.unregistered.get(&e.photo.view_id);
            let (text, hint) = match (registered, reason) {
                (true, _) => (String::new(), String::new()),
                (false, Some(r)) => (r.to_string(), r.hint().to_owned()),
                (false, None) if posed => (
                    format!("only {good} points of it are accurate"),
                    UnregisteredReason::TooFewPoints { points: good }
                        .hint()
                        .to_owned(),
                ),
                (false, None) => ("the model has no pose for it".to_owned(), String::new()),
            };
            PhotoOutcome {
                name: e.photo.name.clone(),
                registered,
                points: seen.len(),
                error_px: (!seen.is_empty())
                    .then(|| round(seen.iter().sum::<f64>() / seen.len() as f64, 4)),
                reason: text,
                hint,
            }
        })
        .collect()
}

/// Mean over the points of the mean reprojection error of their observations,
/// px; the figure that COLMAP prints for a model.
fn mean_error(model: &SparseModel) -> f64 {
    let (mut sum, mut points) = (0.0, 0_usize);
    for track in model.tracks.values() {
        let errors: Vec<f64> = track
            .observations
            .iter()
            .filter_map(|o| model.reprojection_error_px(track, o))
            .collect();
        if !errors.is_empty() {
            sum += errors.iter().sum::<f64>() / errors.len() as f64;
            points += 1;
        }
    }
    sum / points.max(1) as f64
}

pub(crate) fn round(v: f64, digits: i32) -> f64 {
    let unit = 10_f64.powi(digits);
    (v * unit).round() / unit
}

/// The mapper's refusal in the pipeline's terms.
fn explain(error: &relievo_sfm::SfmError, table: &IngestTable) -> PipelineError {
    use relievo_sfm::SfmError;
    let names: Vec<&str> = table.photos.iter().map(|e| e.photo.name.as_str()).collect();
    let (first, more) = names.split_at(names.len().min(3));
    let and_more = if more.is_empty() { "" } else { ", …" };
    let (photo, add) = match error {
        SfmError::Cancelled(_) => return PipelineError::Cancelled,
        SfmError::PureRotation { .. } => (
            "the camera only turned on the spot between the photos".to_owned(),
            "add photos taken a step or more to the side of those given",
        ),
        SfmError::NoInitialPair { .. } => (
            "no two photos show enough of the same thing from clearly different places".to_owned(),
            "add photos between those given",
        ),
        _ => (
            UnregisteredReason::NoMatches.to_string(),
            "add photos between those given",
        ),
    };
    PipelineError::NotPlaced {
        what: error.to_string(),
        photo,
        hint: format!(
            "{add} ({}{and_more}); what was found in them is kept",
            first.join(", ")
        ),
    }
}

/// The mapper's state in the stage's folder.
struct StageCheckpoint<'a> {
    ctx: &'a StageContext,
    key: &'a Key,
}

impl Checkpoint for StageCheckpoint<'_> {
    fn load(&mut self) -> Option<Vec<u8>> {
        self.ctx.load_checkpoint("mapper", self.key)
    }

    fn save(&mut self, state: &[u8]) {
        // A checkpoint that cannot be written costs time later, nothing else;
        // a full disk will be said when the model is stored.
        let _ = self.ctx.save_checkpoint("mapper", self.key, state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cameras_whose_values_are_given_count_as_known() {
        let photos = [("dslr/1.jpg", 1), ("dslr/2.jpg", 1), ("phone/1.jpg", 2)];
        let photos = photos.map(|(name, camera)| (name, CameraId(camera)));
        let named = |specs: &[&str]| -> Vec<(u32, Named)> {
            let specs: Vec<CameraSpec> = specs.iter().map(|s| s.parse().unwrap()).collect();
            let named = named(&specs, photos.into_iter());
            named.into_iter().map(|(id, said)| (id.0, said)).collect()
        };
        let values = "dslr/*=PINHOLE:900,900,500,400";
        assert_eq!(named(&[]), []);
        assert_eq!(named(&[values]), [(1, Named::Values)]);
        let all = [(1, Named::Model), (2, Named::Model)];
        assert_eq!(named(&["OPENCV"]), all);
        assert_eq!(named(&[values, "OPENCV"]), all, "the last that fits");
        assert_eq!(
            named(&["OPENCV", values]),
            [(1, Named::Values), (2, Named::Model)]
        );
    }
}
