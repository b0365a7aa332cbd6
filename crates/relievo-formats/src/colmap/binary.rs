//! `cameras.bin`, `images.bin`, `points3D.bin`.

use super::{
    FORMAT, assemble, camera, insert_once, point_ids, pose, track, unsupported_model,
    written_tracks, wxyz,
};
use crate::FormatError;
use crate::cursor::Cursor;
use relievo_geometry::CameraModelKind;
use relievo_scene::{Camera, CameraId, Observation, SparseModel, Track, TrackId, View, ViewId};
use std::collections::BTreeMap;

/// `cameras.bin`.
pub fn encode_cameras_bin(model: &SparseModel) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend((model.cameras.len() as u64).to_le_bytes());
    for (id, camera) in &model.cameras {
        out.extend(id.0.to_le_bytes());
        out.extend(camera.model.kind().colmap_id().to_le_bytes());
        out.extend(u64::from(camera.width_px).to_le_bytes());
        out.extend(u64::from(camera.height_px).to_le_bytes());
        for p in camera.model.params() {
            out.extend(p.to_le_bytes());
        }
    }
    out
}

/// `images.bin`: the registered views.
pub fn encode_images_bin(model: &SparseModel) -> Vec<u8> {
    let ids = point_ids(model);
    let mut out = Vec::new();
    out.extend((ids.len() as u64).to_le_bytes());
    for (id, view, pose) in model.registered() {
        out.extend(id.0.to_le_bytes());
        for v in wxyz(&pose) {
            out.extend(v.to_le_bytes());
        }
        for v in pose.translation.iter() {
            out.extend(v.to_le_bytes());
        }
        out.extend(view.camera_id.0.to_le_bytes());
        out.extend(view.name.bytes().filter(|&b| b != 0));
        out.push(0);
        out.extend((view.points_px.len() as u64).to_le_bytes());
        for ([x, y], point) in view.points_px.iter().zip(&ids[&id]) {
            out.extend(x.to_le_bytes());
            out.extend(y.to_le_bytes());
            out.extend(point.to_le_bytes());
        }
    }
    out
}

/// `points3D.bin`: the triangulated tracks.
pub fn encode_points3d_bin(model: &SparseModel) -> Vec<u8> {
    let mut out = 0_u64.to_le_bytes().to_vec();
    let mut count = 0_u64;
    for w in written_tracks(model) {
        count += 1;
        out.extend(w.id.0.to_le_bytes());
        for v in w.position.iter() {
            out.extend(v.to_le_bytes());
        }
        out.extend(w.track.color);
        out.extend(w.error_px.to_le_bytes());
        out.extend((w.observations.len() as u64).to_le_bytes());
        for o in &w.observations {
            out.extend(o.view_id.0.to_le_bytes());
            out.extend(o.point_idx.to_le_bytes());
        }
    }
    out[..8].copy_from_slice(&count.to_le_bytes());
    out
}

/// The model in the bytes of the three files.
pub fn decode_model_binary(
    cameras: &[u8],
    images: &[u8],
    points3d: &[u8],
) -> Result<SparseModel, FormatError> {
    assemble(
        decode_cameras(cameras)?,
        decode_images(images)?,
        decode_points(points3d)?,
    )
}

fn decode_cameras(data: &[u8]) -> Result<BTreeMap<CameraId, Camera>, FormatError> {
    let mut c = Cursor::new(FORMAT, data);
    let n = c.count_u64(48, "cameras")?;
    let mut cameras = BTreeMap::new();
    for _ in 0..n {
        let id = CameraId(c.u32("camera id")?);
        let model_id = c.u32("camera model")? as i32;
        let kind = CameraModelKind::from_colmap_id(model_id)
            .ok_or_else(|| unsupported_model(&format!("number {model_id}")))?;
        let width = c.u64("camera width")?;
        let height = c.u64("camera height")?;
        let mut params = Vec::with_capacity(kind.num_params());
        for _ in 0..kind.num_params() {
            params.push(c.f64("camera parameter")?);
        }
        let camera = camera(kind, &params, width, height, c.at())?;
        insert_once(&mut cameras, id, camera, ("camera", c.at()))?;
    }
    Ok(cameras)
}

fn decode_images(data: &[u8]) -> Result<BTreeMap<ViewId, View>, FormatError> {
    let mut c = Cursor::new(FORMAT, data);
    let n = c.count_u64(73, "images")?;
    let mut views = BTreeMap::new();
    for _ in 0..n {
        let id = ViewId(c.u32("image id")?);
        let mut q = [0.0; 4];
        for v in &mut q {
            *v = c.f64("image rotation")?;
        }
        let mut t = [0.0; 3];
        for v in &mut t {
            *v = c.f64("image translation")?;
        }
        let camera_id = CameraId(c.u32("camera id of an image")?);
        let name = c.c_string("image name")?;
        let points = c.count_u64(24, "points2D")?;
        let mut points_px = Vec::with_capacity(points);
        for _ in 0..points {
            points_px.push([c.f64("points2D")?, c.f64("points2D")?]);
            // The tracks of points3D.bin say the same and are what counts.
            c.u64("points2D")?;
        }
        let view = View {
            camera_id,
            name,
            cam_from_world: Some(pose(q, t, c.at())?),
            points_px,
        };
        insert_once(&mut views, id, view, ("image", c.at()))?;
    }
    Ok(views)
}

fn decode_points(data: &[u8]) -> Result<BTreeMap<TrackId, Track>, FormatError> {
    let mut c = Cursor::new(FORMAT, data);
    let n = c.count_u64(51, "points3D")?;
    let mut tracks = BTreeMap::new();
    for _ in 0..n {
        let id = TrackId(c.u64("point id")?);
        let position = [
            c.f64("point position")?,
            c.f64("point position")?,
            c.f64("point position")?,
        ];
        let color = c.array("point colour")?;
        c.f64("point error")?;
        let len = c.count_u64(8, "track elements")?;
        let mut observations = Vec::with_capacity(len);
        for _ in 0..len {
            observations.push(Observation {
                view_id: ViewId(c.u32("track element")?),
                point_idx: c.u32("track element")?,
            });
        }
        let track = track(observations, position, color);
        insert_once(&mut tracks, id, track, ("point", c.at()))?;
    }
    Ok(tracks)
}
