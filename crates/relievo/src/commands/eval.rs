//! `relievo eval`.

use crate::args::{EvalArgs, EvalWhat};
use crate::{Done, Failure};
use relievo_eval::{
    DepthErrors, DepthFigures, EvalError, TextureQuery, TrueScene, combine_depth, score_depth_map,
};
use relievo_formats::{colmap, native};
use relievo_pipeline::PipelineError;
use relievo_pipeline::settings::Settings;
use relievo_task::Task;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub(crate) fn eval(what: EvalWhat) -> Result<Done, Failure> {
    match what {
        EvalWhat::Poses(a) => {
            let estimate = a.model.as_deref().unwrap_or(&a.estimate);
            print(
                &relievo_eval::eval_poses(estimate, &a.truth).map_err(|e| refuse(&e))?,
                a.json,
            )
        }
        EvalWhat::Cloud(a) => {
            let found = relievo_eval::eval_cloud(&a.estimate, &a.truth, a.model.as_deref());
            print(&found.map_err(|e| refuse(&e))?, a.json)
        }
        EvalWhat::Mesh(a) => {
            let found = relievo_eval::eval_mesh(&a.estimate, &a.truth, a.model.as_deref());
            print(&found.map_err(|e| refuse(&e))?, a.json)
        }
        EvalWhat::Depth(a) => print(&depth(&a)?, a.json),
        EvalWhat::Texture {
            common,
            images,
            only,
            scale,
        } => {
            let query = texture_query(&common, images, &only, scale)?;
            let found = relievo_eval::eval_texture(&common.estimate, &query, &Task::silent());
            print(&found.map_err(|e| refuse(&e))?, common.json)
        }
    }
}

/// Text, or JSON.
fn print(
    figures: &(impl std::fmt::Display + serde::Serialize),
    json: bool,
) -> Result<Done, Failure> {
    if json {
        let text = serde_json::to_string(figures).map_err(std::io::Error::other);
        println!("{}", text.map_err(PipelineError::from)?);
    } else {
        println!("{figures}");
    }
    Ok(Done::Whole)
}

fn refuse(error: &EvalError) -> Failure {
    let hint = error.hint().unwrap_or_default().to_owned();
    PipelineError::Input {
        what: error.to_string(),
        hint,
    }
    .into()
}

/// The depth maps of a work folder against the true surface.
fn depth(args: &EvalArgs) -> Result<DepthFigures, Failure> {
    let work = &args.estimate;
    let truth = TrueScene::read(&args.truth).map_err(|e| refuse(&e))?;
    let align = relievo_eval::files::truth_from_estimate(work, args.model.as_deref(), &truth)
        .map_err(|e| refuse(&e))?;
    let dir = work.join("sparse").join("model");
    let file = |path: &Path, what: String| PipelineError::File {
        path: path.to_owned(),
        what,
    };
    let model = colmap::read_model(&dir).map_err(|e| file(&dir, e.to_string()))?;
    let mut maps: BTreeMap<String, DepthErrors> = BTreeMap::new();
    for (_, view, pose) in model.registered() {
        let path = work
            .join("depth")
            .join(relievo_engine::file_name(&view.name, ".depth"));
        if !path.is_file() {
            continue;
        }
        let bytes = fs_err::read(&path).map_err(PipelineError::from)?;
        let map = native::depth::decode(&bytes).map_err(|e| file(&path, e.to_string()))?;
        let grey = undistorted_grey(work, &model, &view.name, &map);
        maps.insert(
            view.name.clone(),
            score_depth_map(&map, &pose, &align, &truth, grey.as_ref()).map_err(|e| refuse(&e))?,
        );
    }
    combine_depth(&maps, &truth).map_err(|e| refuse(&e))
}

/// The photo as the depth map sees it, where it can still be read.
fn undistorted_grey(
    work: &Path,
    model: &relievo_scene::SparseModel,
    name: &str,
    map: &relievo_scene::DepthMap,
) -> Option<relievo_image::Raster<u8>> {
    let table = relievo_pipeline::ingest_table::IngestTable::read_work(work).ok()?;
    let entry = table.photos.iter().find(|e| e.photo.name == name)?;
    let photo = relievo_media::decode_photo(&entry.source).ok()?;
    let (_, view) = model.view_by_name(name)?;
    let camera = model.cameras.get(&view.camera_id)?;
    let size = (map.camera.width_px, map.camera.height_px);
    let picture = relievo_image::undistort(&photo.rgb, &camera.model, &map.camera.model, size);
    Some(relievo_image::luma(&picture))
}

/// Cameras and photos for the texture score: of the truth, where it has
/// cameras in the estimate's frame (`--model`), else of the work folder
/// itself.
fn texture_query(
    common: &EvalArgs,
    images: Option<PathBuf>,
    only: &[String],
    scale: f64,
) -> Result<TextureQuery, Failure> {
    let cameras = common.model.clone().unwrap_or_else(|| {
        if common.estimate.is_dir() {
            common.estimate.clone()
        } else {
            common.truth.clone()
        }
    });
    let beside = [common.truth.join("images"), common.truth.clone()];
    let images = images
        .or_else(|| beside.into_iter().find(|p| p.is_dir()))
        .ok_or_else(|| Failure::Usage("give the folder of the photos with --images".to_owned()))?;
    let mut only: BTreeSet<String> = only.iter().cloned().collect();
    if only.is_empty()
        && let Some(settings) = Settings::read_work(&common.estimate)?
    {
        only.extend(settings.hold_out);
    }
    if !(scale > 0.0 && scale <= 4.0) {
        return Err(Failure::Usage("--scale takes a number in 0..4".to_owned()));
    }
    Ok(TextureQuery {
        cameras,
        images,
        only,
        scale,
        transform: None,
    })
}
