//! `relievo eval`.

use super::eval_texture::texture_query;
use super::stale::Dated;
use crate::args::{EvalArgs, EvalWhat, SurfaceArgs};
use crate::{Done, Failure};
use relievo_eval::benchmark::{self, DataSet, SurfaceScore};
use relievo_eval::{
    Alignment, ConsistencyFigures, DepthErrors, DepthFigures, EvalError, HalfPhoto, SeenBy,
    TrueScene, combine_depth, files, score_depth_map,
};
use relievo_formats::{colmap, native};
use relievo_geometry::Rigid3;
use relievo_pipeline::PipelineError;
use relievo_pipeline::ingest_table::IngestTable;
use relievo_pipeline::stages::ingest::TABLE_FILE;
use relievo_scene::{Camera, DepthMap};
use relievo_task::Task;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub(crate) fn eval(what: EvalWhat) -> Result<Done, Failure> {
    match what {
        EvalWhat::Poses(a) => {
            let estimate = a.model.as_deref().unwrap_or(&a.estimate);
            let (truth, given) = (truth_of(&a)?, given(estimate)?);
            let found = relievo_eval::eval_poses(estimate, truth, given.as_deref());
            print(&found.map_err(|e| refuse(&e))?, &a, "sparse")
        }
        EvalWhat::Cloud(a) if a.common.truth.is_none() => {
            print(&consistency(&a.common)?, &a.common, "cloud")
        }
        EvalWhat::Cloud(SurfaceArgs { common, same_frame }) => {
            let (estimate, truth) = (&common.estimate, truth_of(&common)?);
            let file = "cloud/dense.ply";
            if let Some(score) = by_protocol(&common, same_frame, file, DataSet::score_cloud)? {
                return print(&score, &common, "cloud");
            }
            let found = relievo_eval::eval_cloud(estimate, truth, alignment(&common, same_frame));
            print(&found.map_err(|e| refuse(&e))?, &common, "cloud")
        }
        EvalWhat::Mesh(SurfaceArgs { common, same_frame }) => {
            let (estimate, truth) = (&common.estimate, truth_of(&common)?);
            let file = "mesh/surface.ply";
            if let Some(score) = by_protocol(&common, same_frame, file, DataSet::score_mesh)? {
                return print(&score, &common, "mesh");
            }
            let found = relievo_eval::eval_mesh(estimate, truth, alignment(&common, same_frame));
            print(&found.map_err(|e| refuse(&e))?, &common, "mesh")
        }
        EvalWhat::Depth(a) => {
            let figures = depth(&a.estimate, truth_of(&a)?, a.model.as_deref())?;
            print(&figures, &a, "depth")
        }
        EvalWhat::Runs { a, b, json } => super::eval_runs::runs(&a, &b, json),
        EvalWhat::Texture {
            common,
            images,
            only,
            scale,
        } => {
            let query = texture_query(&common, images, &only, scale)?;
            let found = relievo_eval::eval_texture(&common.estimate, &query, &Task::silent());
            let found = found.map_err(|e| refuse(&e))?;
            for name in query
                .only
                .iter()
                .filter(|n| !found.per_photo.contains_key(*n))
            {
                eprintln!("note: {name} was held out and not placed; it is left out");
            }
            print(&found, &common, "export")
        }
    }
}

fn truth_of(args: &EvalArgs) -> Result<&Path, Failure> {
    let missing = || Failure::Usage("this needs the truth: give it with --truth".to_owned());
    args.truth.as_deref().ok_or_else(missing)
}

/// What brings the estimate into the truth's frame. Of two bare files nothing can, which is
/// said.
fn alignment(args: &EvalArgs, same_frame: bool) -> Alignment<'_> {
    let bare = |p: &PathBuf| p.is_file();
    match &args.model {
        _ if same_frame => Alignment::SameFrame,
        Some(model) => Alignment::Cameras(model),
        None => {
            if bare(&args.estimate) && args.truth.as_ref().is_some_and(bare) {
                eprintln!(
                    "note: both are files without cameras: they are taken to lie in one frame, \
                     nothing was aligned"
                );
            }
            Alignment::OwnCameras
        }
    }
}

/// How a data set scores a cloud or a mesh, by the cameras of a model or as it lies.
type Protocol = fn(&DataSet, &Path, Option<&Path>) -> Result<Option<SurfaceScore>, EvalError>;

/// Scores a file whose cameras are known by the protocol of the data set in
/// the folder given as truth; `None` for a rendered set or a file, which need
/// no protocol, and for a set without surface.
fn by_protocol(
    args: &EvalArgs,
    same_frame: bool,
    inside: &str,
    score: Protocol,
) -> Result<Option<SurfaceScore>, Failure> {
    let truth = truth_of(args)?;
    let model = args.model.as_deref().unwrap_or(&args.estimate);
    let rendered = ["mesh.ply", "gt/mesh.ply"].map(|f| truth.join(f).is_file());
    if !truth.is_dir() || rendered.contains(&true) {
        return Ok(None);
    }
    let set = benchmark::open(truth).map_err(|e| refuse(&e))?;
    if !model.is_dir() && !same_frame {
        let path = model.to_owned();
        return Err(refuse(&EvalError::NoCameras { path }));
    }
    let file = files::file_of(&args.estimate, inside).map_err(|e| refuse(&e))?;
    let model = (!same_frame).then_some(model);
    score(&set, &file, model).map_err(|e| refuse(&e))
}

/// Text, or JSON, of what `stage` made.
fn print(
    figures: &(impl std::fmt::Display + serde::Serialize),
    args: &EvalArgs,
    stage: &str,
) -> Result<Done, Failure> {
    let figures = Dated::new(figures, args, stage);
    if args.json {
        let text = serde_json::to_string(&figures).map_err(std::io::Error::other);
        println!("{}", text.map_err(PipelineError::from)?);
    } else {
        println!("{}", figures.figures);
    }
    Ok(Done::Whole)
}

pub(crate) fn refuse(error: &EvalError) -> Failure {
    let hint = error.hint().unwrap_or_default().to_owned();
    PipelineError::Input {
        what: error.to_string(),
        hint,
    }
    .into()
}

/// The depth maps of a work folder against the true surface.
pub(crate) fn depth(
    work: &Path,
    truth: &Path,
    cameras: Option<&Path>,
) -> Result<DepthFigures, Failure> {
    let path = truth;
    let truth = TrueScene::read(path).map_err(|e| refuse(&e))?;
    if truth.cameras.is_empty() {
        let what = format!("{}: a surface without cameras", path.display());
        let hint = "depth maps are aligned by their cameras: give a rendered set's folder";
        return Err(PipelineError::Input {
            what,
            hint: hint.to_owned(),
        }
        .into());
    }
    let alignment = cameras.map_or(Alignment::OwnCameras, Alignment::Cameras);
    let align = files::truth_from_estimate(work, alignment, &truth).map_err(|e| refuse(&e))?;
    let dir = work.join("sparse").join("model");
    let file = |path: &Path, what: String| PipelineError::File {
        path: path.to_owned(),
        what,
    };
    let model = colmap::read_model(&dir).map_err(|e| file(&dir, e.to_string()))?;
    let mut maps: BTreeMap<String, DepthErrors> = BTreeMap::new();
    let (mut without, mut size) = (Vec::new(), None);
    // Held-out photos have a pose and are to have no map.
    let table = IngestTable::read_work(work)?;
    let held_out: BTreeSet<String> = table
        .photos
        .into_iter()
        .filter(|e| e.photo.held_out)
        .map(|e| e.photo.name)
        .collect();
    let file_name = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
    let took_part = model.registered().map(|(_, view, _)| &view.name);
    let took_part = took_part.filter(|n| !held_out.contains(*n));
    let took_part = took_part.map(|n| file_name(n)).collect();
    let seen_by = SeenBy::new(&truth, &took_part).map_err(|e| refuse(&e))?;
    let mut score = |name: &str, pose: &Rigid3, map: &DepthMap| -> Result<(), Failure> {
        let grey = undistorted_grey(work, &model, name, map);
        let own = file_name(name);
        let seen = Some((&seen_by, own.as_str()));
        let scored = score_depth_map(map, pose, &align, &truth, grey.as_ref(), seen);
        maps.insert(name.to_owned(), scored.map_err(|e| refuse(&e))?);
        Ok(())
    };
    for (_, view, pose) in model.registered() {
        let path = work
            .join("depth")
            .join(relievo_engine::file_name(&view.name, ".depth"));
        if !path.is_file() && held_out.contains(&view.name) {
            continue;
        }
        if !path.is_file() {
            without.push((view, pose));
            continue;
        }
        let bytes = fs_err::read(&path).map_err(PipelineError::from)?;
        let map = native::depth::decode(&bytes).map_err(|e| file(&path, e.to_string()))?;
        let lens = model.cameras.get(&view.camera_id);
        size = size.or(lens.map(|c| f64::from(map.camera.width_px) / f64::from(c.width_px)));
        score(&view.name, &pose, &map)?;
    }
    let Some(scale) = size else {
        return Err(PipelineError::Input {
            what: format!("{}: there are no depth maps", work.display()),
            hint: "`relievo run -o WORK --until depth` makes them".to_owned(),
        }
        .into());
    };
    // A photo with a pose and without a map: nothing of it was measured.
    for (view, pose) in without {
        if let Some(lens) = model.cameras.get(&view.camera_id) {
            let full = (lens.width_px, lens.height_px);
            let px = |v: u32| ((f64::from(v) * scale).round() as u32).max(1);
            let (width_px, height_px) = (px(full.0), px(full.1));
            let target = relievo_image::undistorted_model(&lens.model, full, (width_px, height_px));
            let camera = Camera {
                model: target,
                width_px,
                height_px,
                ..*lens
            };
            score(&view.name, &pose, &DepthMap::new(camera))?;
        }
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
    let table = IngestTable::read_work(work).ok()?;
    let entry = table.photos.iter().find(|e| e.photo.name == name)?;
    let photo = relievo_media::decode_photo(&entry.source).ok()?;
    let (_, view) = model.view_by_name(name)?;
    let camera = model.cameras.get(&view.camera_id)?;
    let size = (map.camera.width_px, map.camera.height_px);
    let picture = relievo_image::undistort(&photo.rgb, &camera.model, &map.camera.model, size);
    Some(relievo_image::luma(&picture))
}

/// The cloud of a work folder against its own photos. A PLY as the estimate
/// takes cameras and photos from the work folder given with `--model`.
fn consistency(args: &EvalArgs) -> Result<ConsistencyFigures, Failure> {
    let file = |path: &Path, what: String| PipelineError::File {
        path: path.to_owned(),
        what,
    };
    let work = args.model.as_ref().unwrap_or(&args.estimate);
    let cloud = files::file_of(&args.estimate, "cloud/dense.ply").map_err(|e| refuse(&e))?;
    if !work.join("ingest").is_dir() {
        return Err(Failure::Usage(
            "give --truth, or the work folder with the photos of this cloud as --model".to_owned(),
        ));
    }
    let points = files::read_oriented_points(&cloud).map_err(|e| refuse(&e))?;
    let dir = work.join("sparse").join("model");
    let model = colmap::read_model(&dir).map_err(|e| file(&dir, e.to_string()))?;
    let sources = sources(work)?;
    let mut photos = Vec::new();
    for (_, view, pose) in model.registered() {
        let (Some(camera), Some(source)) =
            (model.cameras.get(&view.camera_id), sources.get(&view.name))
        else {
            continue;
        };
        let photo = relievo_media::decode_photo(source).map_err(|e| file(source, e.to_string()))?;
        let full = (camera.width_px, camera.height_px);
        let half = (full.0.div_ceil(2), full.1.div_ceil(2));
        let target = relievo_image::undistorted_model(&camera.model, full, half);
        let picture = relievo_image::undistort(&photo.rgb, &camera.model, &target, half);
        photos.push(HalfPhoto {
            model: target,
            cam_from_world: pose,
            grey: relievo_image::luma(&picture),
        });
    }
    let sparse: Vec<[f32; 3]> = model
        .tracks
        .values()
        .filter_map(|t| t.position_in_world)
        .map(|x| <[f32; 3]>::from(x.map(|v| v as f32)))
        .collect();
    relievo_eval::photo_consistency(&points, &photos, &sparse).map_err(|e| refuse(&e))
}

/// Names of the photos that a work folder's run was given, also of those that it left out, or
/// of the key frames that it took of a video; `None` of what is no work folder.
pub(crate) fn given(work: &Path) -> Result<Option<Vec<String>>, Failure> {
    if !work.join("ingest").join(TABLE_FILE).is_file() {
        return Ok(None);
    }
    let table = IngestTable::read_work(work)?;
    let is_video = table.photos.iter().any(|e| e.photo.time_s.is_some());
    let left_out = table.rejected.into_iter().filter(|_| !is_video);
    let left_out = left_out.map(|r| r.name);
    let names = table.photos.into_iter().map(|e| e.photo.name);
    Ok(Some(names.chain(left_out).collect()))
}

/// Where the photos of a work folder lie, by name.
pub(crate) fn sources(work: &Path) -> Result<BTreeMap<String, PathBuf>, Failure> {
    let rows = IngestTable::read_work(work)?.photos.into_iter();
    Ok(rows.map(|e| (e.photo.name, e.source)).collect())
}
