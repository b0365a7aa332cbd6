//! Depth, normals and confidence of a work folder, in the field's formats.
//!
//! NumPy: `NAME.npy` (z-depth, (h, w)), `NAME.normal.npy` (x, y, z in the camera
//! frame, (h, w, 3)) and `NAME.confidence.npy` (0 … 1, (h, w)), and in `sparse/`
//! the cameras that they live in. COLMAP: the folder that its dense stage works
//! in, which holds the undistorted photos, too:
//!
//! ```text
//! images/NAME                             undistorted, as large as the maps
//! sparse/{cameras,images,points3D}.bin    PINHOLE cameras, poses, points
//! stereo/{depth,normal,confidence}_maps/NAME.geometric.bin
//! stereo/{fusion,patch-match}.cfg         the photos that have maps; their sources
//! ```
//!
//! Depth 0, normal (0, 0, 0) and confidence 0 where nothing was measured that another
//! map confirms.

use crate::error::PipelineError;
use crate::ingest_table::{IngestTable, PhotoEntry};
use crate::stages::depth::EXTENSION;
use relievo_engine::{StageRecord, file_name, write_atomic};
use relievo_formats::{colmap, native, npy};
use relievo_image::{Raster, Rgb8};
use relievo_scene::{Camera, CameraId, DepthMap, SparseModel, View, ViewId};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Quality of undistorted JPEGs.
const JPEG_QUALITY: u8 = 95;

/// Writes the arrays for NumPy and their cameras into `target`.
pub(super) fn write_arrays(work: &Path, target: &Path) -> Result<(), PipelineError> {
    let model = model_of(work)?;
    let mut undistorted = Undistorted::default();
    for (id, view, path) in maps_of(work, &model)? {
        let map = read_map(&path)?;
        undistorted.add(&model, id, view.name.clone(), &map.camera);
        let write = |kind: &str, bytes: Vec<u8>| {
            let name = file_name(&view.name, &format!("{kind}.npy"));
            write_in(target, &name, &bytes)
        };
        write("", npy::encode_npy(&map.depth))?;
        write(".normal", npy::encode_npy_vectors(&normals(&map)))?;
        write(".confidence", npy::encode_npy(&confidence(&map)))?;
    }
    undistorted.write(&model, &target.join("sparse"))
}

/// Writes the folder of COLMAP's dense stage into `target`.
pub(super) fn write_colmap_dense(work: &Path, target: &Path) -> Result<(), PipelineError> {
    let model = model_of(work)?;
    let maps = maps_of(work, &model)?;
    let table = IngestTable::read_work(work)?;
    let kind = input_type(work)?;
    let mut undistorted = Undistorted::default();
    let mut names = Vec::new();
    for (id, view, path) in maps {
        let map = read_map(&path)?;
        let picture = picture(work, &table, &model, view, &map.camera)?;
        let (name, bytes) = encode_picture(&view.name, &picture)?;
        write_in(target, &format!("images/{name}"), &bytes)?;
        let normal = normals(&map);
        let [x, y, z] = [0, 1, 2].map(|k| normal.map(|n| n[k]));
        for (folder, channels) in [
            ("depth_maps", vec![map.depth.clone()]),
            ("normal_maps", vec![x, y, z]),
            ("confidence_maps", vec![confidence(&map)]),
        ] {
            let file = format!("stereo/{folder}/{name}.{kind}.bin");
            write_in(target, &file, &colmap::encode_dense_array(&channels))?;
        }
        undistorted.add(&model, id, name.clone(), &map.camera);
        names.push(name);
    }
    let lines = |after: &str| -> String { names.iter().map(|n| n.clone() + after).collect() };
    let sources = lines("\n__auto__, 20\n");
    write_in(target, "stereo/fusion.cfg", lines("\n").as_bytes())?;
    write_in(target, "stereo/patch-match.cfg", sources.as_bytes())?;
    undistorted.write(&model, &target.join("sparse"))
}

/// Views that have a map, with their new names and cameras.
#[derive(Default)]
struct Undistorted {
    cameras: Vec<Camera>,
    views: BTreeMap<ViewId, (String, CameraId)>,
}

impl Undistorted {
    fn add(&mut self, model: &SparseModel, id: ViewId, name: String, camera: &Camera) {
        debug_assert!(model.views.contains_key(&id));
        let known = self.cameras.iter().position(|c| c == camera);
        let at = known.unwrap_or_else(|| {
            self.cameras.push(*camera);
            self.cameras.len() - 1
        });
        self.views.insert(id, (name, CameraId(at as u32 + 1)));
    }

    /// The model of these views alone: the poses and points of `model`, seen by
    /// pinhole cameras. Points that fewer than two of them see are left out.
    fn model(&self, model: &SparseModel) -> SparseModel {
        let cameras = (1..).map(CameraId).zip(self.cameras.iter().copied());
        let mut made = SparseModel {
            cameras: cameras.collect(),
            ..SparseModel::default()
        };
        for (id, (name, camera_id)) in &self.views {
            let Some(view) = model.views.get(id) else {
                continue;
            };
            let (from, to) = (
                model.cameras.get(&view.camera_id),
                made.cameras.get(camera_id),
            );
            let (Some(from), Some(to)) = (from, to) else {
                continue;
            };
            let (fx, fy) = to.model.focal_px();
            let c = to.model.principal_point_px();
            let moved = |p: &[f64; 2]| {
                let n = from.model.unproject(&(*p).into());
                [fx * n.x + c.x, fy * n.y + c.y]
            };
            let view = View {
                camera_id: *camera_id,
                name: name.clone(),
                cam_from_world: view.cam_from_world,
                points_px: view.points_px.iter().map(moved).collect(),
            };
            made.views.insert(*id, view);
        }
        for (id, track) in &model.tracks {
            let mut track = track.clone();
            track
                .observations
                .retain(|o| made.views.contains_key(&o.view_id));
            if track.observations.len() >= 2 {
                made.tracks.insert(*id, track);
            }
        }
        made
    }

    fn write(&self, model: &SparseModel, dir: &Path) -> Result<(), PipelineError> {
        let made = self.model(model);
        write_in(dir, "cameras.bin", &colmap::encode_cameras_bin(&made))?;
        write_in(dir, "images.bin", &colmap::encode_images_bin(&made))?;
        write_in(dir, "points3D.bin", &colmap::encode_points3d_bin(&made))
    }
}

fn model_of(work: &Path) -> Result<SparseModel, PipelineError> {
    let dir = work.join("sparse").join("model");
    if !dir.join("cameras.bin").is_file() {
        return Err(none(work));
    }
    colmap::read_model(&dir).map_err(|e| PipelineError::file(&dir, &e))
}

/// Views with a map, in order of name; an error where there are none.
fn maps_of<'a>(
    work: &Path,
    model: &'a SparseModel,
) -> Result<Vec<(ViewId, &'a View, PathBuf)>, PipelineError> {
    let dir = work.join("depth");
    let mut found: Vec<_> = model
        .registered()
        .map(|(id, view, _)| (id, view, dir.join(file_name(&view.name, EXTENSION))))
        .filter(|(_, _, path)| path.is_file())
        .collect();
    found.sort_by(|a, b| a.1.name.cmp(&b.1.name));
    if found.is_empty() {
        return Err(none(work));
    }
    Ok(found)
}

fn none(work: &Path) -> PipelineError {
    PipelineError::Data {
        stage: "depth",
        what: format!("{}: there are no depth maps", work.display()),
        hint: format!(
            "they were not made yet, or cleaned; `relievo run -o {} --force depth` makes them",
            work.display()
        ),
    }
}

fn read_map(path: &Path) -> Result<DepthMap, PipelineError> {
    let map = native::depth::decode(&fs_err::read(path)?).map_err(|e| PipelineError::Input {
        what: PipelineError::file(path, &e).to_string(),
        hint: "`relievo run` with --force depth makes it anew".to_owned(),
    })?;
    Ok(map.confirmed())
}

/// COLMAP's word for maps that agree with each other, and for those that were not
/// asked to.
fn input_type(work: &Path) -> Result<&'static str, PipelineError> {
    let record = StageRecord::read(&work.join("depth"))?;
    let passes = record.and_then(|r| r.parts.options["geometric_passes"].as_u64());
    Ok(if passes == Some(0) {
        "photometric"
    } else {
        "geometric"
    })
}

/// Unit normals in the camera frame, towards the camera; 0 where there is no depth.
fn normals(map: &DepthMap) -> Raster<[f32; 3]> {
    let depth = map.depth.as_slice();
    let packed = map.normal.as_slice().iter().zip(depth);
    let unit = packed.map(|(n, d)| if *d > 0.0 { n.unpack() } else { [0.0; 3] });
    Raster::from_vec(map.depth.width(), map.depth.height(), unit.collect())
}

/// 0 … 1.
fn confidence(map: &DepthMap) -> Raster<f32> {
    map.confidence.map(|c| f32::from(*c) / 255.0)
}

/// The photo of a view as `camera`, its map's, sees it.
fn picture(
    work: &Path,
    table: &IngestTable,
    model: &SparseModel,
    view: &View,
    camera: &Camera,
) -> Result<Raster<Rgb8>, PipelineError> {
    let gone = |what: String| PipelineError::Input {
        what,
        hint: format!(
            "put the photo back, or take the maps alone: relievo export {} --format depth",
            work.display()
        ),
    };
    let named = |e: &&PhotoEntry| e.photo.name == view.name;
    let entry = table.photos.iter().find(named);
    let entry = entry.ok_or_else(|| gone(format!("there is no photo {}", view.name)))?;
    let photo = crate::photos::decode(&entry.source).map_err(|e| gone(e.to_string()))?;
    let lens = model.cameras.get(&view.camera_id);
    let size = (photo.width() as u32, photo.height() as u32);
    let lens = lens
        .filter(|c| (c.width_px, c.height_px) == size)
        .ok_or_else(|| {
            let (w, h) = size;
            let path = entry.source.display();
            gone(format!(
                "{path}: is {w} × {h} pixels now, its camera is not"
            ))
        })?;
    let size = (camera.width_px, camera.height_px);
    Ok(relievo_image::undistort(
        &photo,
        &lens.model,
        &camera.model,
        size,
    ))
}

/// The file and its name: JPEG and PNG stay what they are, what else is read
/// becomes `NAME.png`.
fn encode_picture(name: &str, picture: &Raster<Rgb8>) -> Result<(String, Vec<u8>), PipelineError> {
    let ending = Path::new(name)
        .extension()
        .map(|e| e.to_string_lossy().to_lowercase());
    let fail = |e: &dyn std::error::Error| PipelineError::file(Path::new(name), e);
    Ok(match ending.as_deref() {
        Some("jpg" | "jpeg" | "jpe") => {
            let bytes = relievo_media::encode_jpeg(picture, JPEG_QUALITY);
            (name.to_owned(), bytes.map_err(|e| fail(&e))?)
        }
        other => {
            let bytes = relievo_media::encode_png_rgb(picture).map_err(|e| fail(&e))?;
            let more = if other == Some("png") { "" } else { ".png" };
            (format!("{name}{more}"), bytes)
        }
    })
}

fn write_in(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), PipelineError> {
    let path = folder.join(name);
    super::write::make_parent(&path)?;
    Ok(write_atomic(&path, bytes)?)
}
