//! `relievo import`: somebody else's poses, points or surface.

mod checks;
mod origin;

use crate::error::PipelineError;
use crate::ingest_table::{IngestTable, PhotoEntry};
use crate::input_scan::{InputKind, InputScan};
use crate::run::store_settings;
use crate::settings::Settings;
use crate::stages::sparse::{IMPORTED_POSES, describe_imported, write_model};
use crate::stages::{cloud, ingest, json_bytes, mesh};
use relievo_engine::{Figures, Work, WorkLock, import_stage};
use relievo_formats::{FormatError, colmap};
use relievo_scene::{CameraId, Photo, SparseModel, Track, TrackId, ViewId};
use relievo_task::{Task, Warning};
use std::collections::BTreeMap;
use std::path::Path;

/// Makes a work folder from a COLMAP model and its photos. A model without
/// points gets them triangulated by the sparse stage, under its poses.
pub fn import_colmap(
    model_dir: &Path,
    images: &Path,
    work: &Path,
    task: &Task,
) -> Result<Vec<Warning>, PipelineError> {
    let mut model = colmap::read_model(model_dir).map_err(|e| refuse(model_dir, &e, remedy(&e)))?;
    if model.views.len() < 2 {
        return Err(PipelineError::Input {
            what: format!(
                "{}: the model has {} photos with a pose; depth is measured between two and more",
                model_dir.display(),
                model.views.len()
            ),
            hint: "give a model of at least two photos that show the same things".to_owned(),
        });
    }
    checks::named_once(&model, model_dir)?;
    let folded = checks::folded_pictures(&model, model_dir)?;
    model = numbered_by_name(model);
    let origin = origin::move_near(&mut model);
    let behind = checks::points_behind(&model, model_dir)?;
    let settings = Settings {
        inputs: vec![std::path::absolute(images)?],
        ..Settings::default()
    };
    let scan = InputScan::new(&settings)?;
    let (mut table, mut warnings) = table_of(&model, &scan, images)?;
    table.origin = origin.map_or([0.0; 3], Into::into);
    warnings.extend(origin.as_ref().map(origin::warning));
    warnings.extend(behind);
    warnings.extend(folded);
    let known: Vec<ViewId> = table.photos.iter().map(|p| p.photo.view_id).collect();
    model.views.retain(|id, _| known.contains(id));
    for track in model.tracks.values_mut() {
        track.observations.retain(|o| known.contains(&o.view_id));
    }
    model.tracks.retain(|_, t| t.position_in_world.is_some());
    // Points that no photo is said to see tell nothing of the photos.
    let with_points = model.tracks.values().any(|t| !t.observations.is_empty());
    if !with_points {
        model.tracks.clear();
    }
    let opened = Work::create(work)?;
    let lock = opened.lock("relievo import colmap")?;
    store_settings(work, &settings)?;
    let source = model_dir.display().to_string();
    import_stage(&opened, &lock, "ingest", &source, warnings.clone(), |out| {
        out.write(ingest::TABLE_FILE, &json_bytes(&table)?)?;
        if !with_points {
            write_model(out, IMPORTED_POSES, &model)?;
        }
        Ok(figures("photos", table.photos.len()))
    })?;
    if with_points {
        let beside = describe_imported(&table, &model, None, task.run_seed())?;
        import_stage(&opened, &lock, "sparse", &source, Vec::new(), |out| {
            write_model(out, "model", &model)?;
            for (name, bytes) in &beside {
                out.write(name, bytes)?;
            }
            Ok(figures("points", model.tracks.len()))
        })?;
    }
    Ok(warnings)
}

/// The model with ids of our own, in the order of names: those of other programs come from their
/// databases, and what depends on an order must not depend on them.
fn numbered_by_name(model: SparseModel) -> SparseModel {
    let mut names: Vec<(String, ViewId)> = model
        .views
        .iter()
        .map(|(id, v)| (v.name.clone(), *id))
        .collect();
    names.sort();
    let views: BTreeMap<ViewId, ViewId> = (1..)
        .zip(&names)
        .map(|(new, (_, old))| (*old, ViewId(new)))
        .collect();
    let mut cameras: BTreeMap<CameraId, CameraId> = BTreeMap::new();
    for (_, old) in &names {
        let next = CameraId(cameras.len() as u32 + 1);
        cameras.entry(model.views[old].camera_id).or_insert(next);
    }
    let mut tracks: Vec<Track> = model.tracks.into_values().collect();
    for track in &mut tracks {
        track.observations.retain_mut(|o| {
            let known = views.get(&o.view_id).map(|new| o.view_id = *new);
            known.is_some()
        });
        track.observations.sort_unstable();
    }
    tracks.sort_by(|a, b| a.observations.cmp(&b.observations));
    SparseModel {
        cameras: model
            .cameras
            .into_iter()
            .filter_map(|(old, camera)| Some((*cameras.get(&old)?, camera)))
            .collect(),
        views: model
            .views
            .into_iter()
            .map(|(old, mut view)| {
                view.camera_id = cameras[&view.camera_id];
                (views[&old], view)
            })
            .collect(),
        tracks: (1..).map(TrackId).zip(tracks).collect(),
    }
}

/// What to do about a model that does not read.
fn remedy(error: &FormatError) -> &'static str {
    match error {
        FormatError::File { source, .. } => remedy(source),
        FormatError::Missing { .. } | FormatError::Io(_) => {
            "give the folder with cameras, images and points3D (.bin or .txt) with --model"
        }
        FormatError::Unsupported { .. } => {
            "`colmap image_undistorter` makes undistorted photos and a PINHOLE model of them: give \
             both"
        }
        _ => {
            "leave out or correct what is named, or let the program that made the model write it \
             anew"
        }
    }
}

/// True where the poses of a work folder were imported without points.
pub fn has_imported_poses(work: &Path) -> bool {
    work.join("ingest").join(IMPORTED_POSES).is_dir()
}

fn figures(name: &str, count: usize) -> Figures {
    let mut figures = Figures::new();
    figures.insert(name.to_owned(), count.into());
    figures
}

/// The photos that the model names, with the model's ids.
fn table_of(
    model: &SparseModel,
    scan: &InputScan,
    images: &Path,
) -> Result<(IngestTable, Vec<Warning>), PipelineError> {
    let mut table = IngestTable {
        cameras: model.cameras.clone(),
        ..IngestTable::default()
    };
    let mut warnings = Vec::new();
    for (id, view) in &model.views {
        table.given += 1;
        table.expected += 1;
        let Some(file) = scan.file(&view.name).filter(|f| f.kind == InputKind::Photo) else {
            warnings.push(Warning::new(
                "photo-missing",
                &view.name,
                format!(
                    "the model names it, but it is not under {}",
                    images.display()
                ),
                "give the folder from which the names in the model count",
            ));
            continue;
        };
        let info = relievo_media::probe_photo(&file.path).map_err(|e| PipelineError::File {
            path: file.path.clone(),
            what: e.to_string(),
        })?;
        let camera = model.cameras.get(&view.camera_id);
        if camera.is_none_or(|c| (c.width_px, c.height_px) != (info.width_px, info.height_px)) {
            let size = camera.map_or((0, 0), |c| (c.width_px, c.height_px));
            return Err(PipelineError::Input {
                what: format!(
                    "{}: the photo is {} × {} pixels, its camera in the model {} × {}",
                    view.name, info.width_px, info.height_px, size.0, size.1
                ),
                hint: "give the photos that the model was computed from".to_owned(),
            });
        }
        table.photos.push(PhotoEntry {
            photo: Photo {
                view_id: *id,
                name: view.name.clone(),
                digest: file.digest.to_string(),
                mask_digest: None,
                width_px: info.width_px,
                height_px: info.height_px,
                orientation: info.exif.orientation,
                camera_id: view.camera_id,
                device: info.exif.device(),
                sharpness: 0.0,
                geo: info.exif.geo,
                taken: info.exif.taken.clone(),
                time_s: None,
                held_out: false,
            },
            source: file.path.clone(),
            mask: None,
        });
    }
    if table.photos.len() < 2 {
        return Err(PipelineError::Input {
            what: format!(
                "{} of the {} photos of the model are under {}",
                table.photos.len(),
                model.views.len(),
                images.display()
            ),
            hint: "give the folder from which the names in the model count".to_owned(),
        });
    }
    table.photos.sort_by(|a, b| a.photo.name.cmp(&b.photo.name));
    Ok((table, warnings))
}

/// Puts a point cloud in place of the cloud stage's. Points without normals
/// are refused: the surface follows them.
pub fn import_cloud(file: &Path, work: &Path) -> Result<usize, PipelineError> {
    let mut cloud = relievo_formats::ply::read_cloud(file)
        .map_err(|e| refuse(file, &e, "give a PLY with x y z nx ny nz"))?;
    if cloud.is_empty() || cloud.normals.iter().all(|n| n.iter().all(|v| *v == 0.0)) {
        return Err(PipelineError::Input {
            what: format!(
                "{}: {} points, without normals",
                file.display(),
                cloud.len()
            ),
            hint: "give a PLY with x y z nx ny nz; CloudCompare or MeshLab compute normals"
                .to_owned(),
        });
    }
    let (opened, lock) = open(work, "relievo import cloud")?;
    origin::bring(&mut cloud.positions, origin_of(work)?);
    let n = cloud.len();
    import_stage(
        &opened,
        &lock,
        "cloud",
        &file.display().to_string(),
        Vec::new(),
        |out| {
            out.write(
                cloud::CLOUD_FILE,
                &relievo_formats::ply::encode_cloud(&cloud),
            )?;
            Ok(figures("points", n))
        },
    )?;
    Ok(n)
}

/// Puts a surface in place of the mesh stage's.
pub fn import_mesh(file: &Path, work: &Path) -> Result<usize, PipelineError> {
    let mut surface = relievo_formats::ply::read_mesh(file)
        .map_err(|e| refuse(file, &e, "give a PLY with triangles"))?;
    surface.check().map_err(|e| PipelineError::File {
        path: file.to_owned(),
        what: e.to_string(),
    })?;
    if surface.triangles.is_empty() {
        return Err(PipelineError::Input {
            what: format!("{}: it has no triangles", file.display()),
            hint: "for points use `relievo import cloud`".to_owned(),
        });
    }
    if surface.normals.is_empty() {
        relievo_mesh::compute_normals(&mut surface);
    }
    let (opened, lock) = open(work, "relievo import mesh")?;
    origin::bring(&mut surface.positions, origin_of(work)?);
    let n = surface.triangles.len();
    import_stage(
        &opened,
        &lock,
        "mesh",
        &file.display().to_string(),
        Vec::new(),
        |out| {
            out.write(
                mesh::MESH_FILE,
                &relievo_formats::ply::encode_mesh(&surface),
            )?;
            Ok(figures("faces", n))
        },
    )?;
    Ok(n)
}

/// Where the work folder's origin lies in the frame of its imported model.
fn origin_of(work: &Path) -> Result<[f64; 3], PipelineError> {
    let is_known = work.join("ingest").join(ingest::TABLE_FILE).is_file();
    if !is_known {
        return Ok([0.0; 3]);
    }
    Ok(IngestTable::read_work(work)?.origin)
}

/// What was given does not read; the hint says what can be given.
fn refuse(path: &Path, error: &dyn std::error::Error, hint: &str) -> PipelineError {
    PipelineError::Input {
        what: PipelineError::file(path, error).to_string(),
        hint: hint.to_owned(),
    }
}

fn open(work: &Path, command: &str) -> Result<(Work, WorkLock), PipelineError> {
    let opened = Work::create(work)?;
    let lock = opened.lock(command)?;
    if Settings::read_work(work)?.is_none() {
        store_settings(work, &Settings::default())?;
    }
    Ok((opened, lock))
}
