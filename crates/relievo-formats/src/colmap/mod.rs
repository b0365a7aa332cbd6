//! COLMAP's sparse models, binary and text, to and from [`SparseModel`], and
//! the arrays of its dense workspace.
//!
//! Ids are kept: camera, image and point ids are [`CameraId`], [`ViewId`] and
//! [`TrackId`]. Poses are `cam_from_world`, quaternions w first, points2D are
//! [`View::points_px`] with the centre of the top-left pixel at (0.5, 0.5) in
//! both. Only registered views and triangulated tracks are written, as COLMAP
//! does; every camera is. The error of a point is computed on writing (mean
//! over its observations, −1 where there is none).
//!
//! The format: <https://colmap.github.io/format.html>. A model written here
//! has no rigs or frames files; COLMAP then takes every image as its own frame.

mod binary;
mod dense;
mod text;

pub use binary::{decode_model_binary, encode_cameras_bin, encode_images_bin, encode_points3d_bin};
pub use dense::{decode_dense_array, encode_dense_array};
pub use text::{decode_model_text, encode_cameras_txt, encode_images_txt, encode_points3d_txt};

use crate::FormatError;
use nalgebra::{Quaternion, UnitQuaternion};
use relievo_geometry::{CameraModel, CameraModelKind, Rigid3, Vec3};
use relievo_scene::{Camera, CameraId, Observation, SparseModel, Track, TrackId, View, ViewId};
use std::collections::BTreeMap;
use std::path::Path;

/// Reads the model in `dir`: binary where `cameras.bin` exists, else text.
pub fn read_model(dir: &Path) -> Result<SparseModel, FormatError> {
    let read = |name: &str| fs_err::read(dir.join(name));
    // A model of poses alone often comes without points.
    let points = |name: &str| match read(name) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    };
    if dir.join("cameras.bin").is_file() {
        let none = 0_u64.to_le_bytes().to_vec();
        decode_model_binary(
            &read("cameras.bin")?,
            &read("images.bin")?,
            &points("points3D.bin")?.unwrap_or(none),
        )
        .map_err(|e| e.in_file(dir))
    } else if dir.join("cameras.txt").is_file() {
        let points = points("points3D.txt")?.unwrap_or_default();
        decode_model_text(&read("cameras.txt")?, &read("images.txt")?, &points)
            .map_err(|e| e.in_file(dir))
    } else {
        Err(FormatError::Missing {
            dir: dir.to_owned(),
            what: "COLMAP model",
            expected: "cameras.bin, images.bin and points3D.bin, or the same as .txt",
        })
    }
}

/// Writes `cameras.bin`, `images.bin` and `points3D.bin` into `dir`, which is
/// made where it is missing. Not atomic.
pub fn write_model_binary(model: &SparseModel, dir: &Path) -> Result<(), FormatError> {
    fs_err::create_dir_all(dir)?;
    fs_err::write(dir.join("cameras.bin"), encode_cameras_bin(model))?;
    fs_err::write(dir.join("images.bin"), encode_images_bin(model))?;
    fs_err::write(dir.join("points3D.bin"), encode_points3d_bin(model))?;
    Ok(())
}

/// Writes `cameras.txt`, `images.txt` and `points3D.txt` into `dir`, which is
/// made where it is missing. Numbers read back to the same bits. Not atomic.
pub fn write_model_text(model: &SparseModel, dir: &Path) -> Result<(), FormatError> {
    fs_err::create_dir_all(dir)?;
    fs_err::write(dir.join("cameras.txt"), encode_cameras_txt(model))?;
    fs_err::write(dir.join("images.txt"), encode_images_txt(model))?;
    fs_err::write(dir.join("points3D.txt"), encode_points3d_txt(model))?;
    Ok(())
}

const FORMAT: &str = "COLMAP model";

fn malformed(what: &'static str, at: usize, found: impl Into<String>) -> FormatError {
    FormatError::Malformed {
        format: FORMAT,
        what,
        at: at as u64,
        found: found.into(),
    }
}

/// An error where the id is taken: one of both would be lost.
fn insert_once<K: Ord, V>(
    map: &mut BTreeMap<K, V>,
    id: K,
    value: V,
    (what, at): (&'static str, usize),
) -> Result<(), FormatError> {
    match map.insert(id, value) {
        None => Ok(()),
        Some(_) => Err(malformed(what, at, "an id that was there before")),
    }
}

fn unsupported_model(name: &str) -> FormatError {
    FormatError::Unsupported {
        format: FORMAT,
        feature: format!("camera model {name}"),
        remedy: "undistort the photos first, or use SIMPLE_PINHOLE, PINHOLE, SIMPLE_RADIAL, \
                 RADIAL or OPENCV",
    }
}

fn camera(
    kind: CameraModelKind,
    params: &[f64],
    width: u64,
    height: u64,
    at: usize,
) -> Result<Camera, FormatError> {
    let model = CameraModel::from_params(kind, params)
        .ok_or_else(|| malformed("camera", at, "a wrong number of parameters"))?;
    let size = |v: u64| {
        u32::try_from(v).map_err(|_| malformed("camera", at, format!("a picture size of {v}")))
    };
    let camera = Camera {
        model,
        width_px: size(width)?,
        height_px: size(height)?,
        has_prior_focal: true,
    };
    camera.check()?;
    Ok(camera)
}

/// A unit quaternion is kept to the bit, so that a pose is written back
/// unchanged.
fn pose(wxyz: [f64; 4], t: [f64; 3], at: usize) -> Result<Rigid3, FormatError> {
    let q = Quaternion::new(wxyz[0], wxyz[1], wxyz[2], wxyz[3]);
    let norm2 = q.norm_squared();
    if !(norm2.is_finite() && norm2 > 1e-12 && t.iter().all(|v| v.is_finite())) {
        return Err(malformed(
            "image",
            at,
            format!("pose {wxyz:?} {t:?} is not a rigid motion"),
        ));
    }
    let rotation = if (norm2 - 1.0).abs() < 1e-14 {
        UnitQuaternion::new_unchecked(q)
    } else {
        UnitQuaternion::new_normalize(q)
    };
    Ok(Rigid3::new(rotation, Vec3::from(t)))
}

fn wxyz(pose: &Rigid3) -> [f64; 4] {
    let q = pose.rotation.coords;
    [q.w, q.x, q.y, q.z]
}

/// Observations in order of view; COLMAP allows several of one view in a
/// track, of which the one with the lowest index is kept.
fn track(observations: Vec<Observation>, position: [f64; 3], color: [u8; 3]) -> Track {
    let mut observations = observations;
    observations.sort_unstable();
    observations.dedup_by_key(|o| o.view_id);
    Track {
        observations,
        position_in_world: Some(Vec3::from(position)),
        color,
    }
}

fn assemble(
    cameras: BTreeMap<CameraId, Camera>,
    views: BTreeMap<ViewId, View>,
    tracks: BTreeMap<TrackId, Track>,
) -> Result<SparseModel, FormatError> {
    let model = SparseModel {
        cameras,
        views,
        tracks,
    };
    model.check()?;
    Ok(model)
}

/// A triangulated track as it is written: only observations of registered
/// views, and their mean reprojection error.
struct WrittenTrack<'a> {
    id: TrackId,
    track: &'a Track,
    position: Vec3,
    observations: Vec<Observation>,
    error_px: f64,
}

fn written_tracks(model: &SparseModel) -> impl Iterator<Item = WrittenTrack<'_>> {
    model.tracks.iter().filter_map(|(&id, track)| {
        let position = track.position_in_world?;
        let observations: Vec<Observation> = track
            .observations
            .iter()
            .filter(|o| {
                model.views.get(&o.view_id).is_some_and(|v| {
                    v.cam_from_world.is_some() && (o.point_idx as usize) < v.points_px.len()
                })
            })
            .copied()
            .collect();
        let errors: Vec<f64> = observations
            .iter()
            .filter_map(|o| model.reprojection_error_px(track, o))
            .collect();
        let error_px = if errors.is_empty() {
            -1.0
        } else {
            errors.iter().sum::<f64>() / errors.len() as f64
        };
        Some(WrittenTrack {
            id,
            track,
            position,
            observations,
            error_px,
        })
    })
}

/// The point id of every 2-D point of every registered view; `u64::MAX`
/// (COLMAP's −1) where it belongs to no point.
fn point_ids(model: &SparseModel) -> BTreeMap<ViewId, Vec<u64>> {
    let mut ids: BTreeMap<ViewId, Vec<u64>> = model
        .registered()
        .map(|(id, view, _)| (id, vec![u64::MAX; view.points_px.len()]))
        .collect();
    for written in written_tracks(model) {
        for o in &written.observations {
            if let Some(row) = ids.get_mut(&o.view_id) {
                row[o.point_idx as usize] = written.id.0;
            }
        }
    }
    ids
}
