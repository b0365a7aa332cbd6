//! Cameras, views and tracks: a sparse reconstruction.

use crate::check::{Broken, ensure};
use crate::{Camera, CameraId, TrackId, ViewId};
use relievo_geometry::{Rigid3, Vec2, Vec3};
use std::collections::BTreeMap;

/// One view of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Its intrinsics.
    pub camera_id: CameraId,
    /// Name of the photo.
    pub name: String,
    /// Pose; `None` while not registered.
    pub cam_from_world: Option<Rigid3>,
    /// 2-D points in pixels; observations index into it.
    pub points_px: Vec<[f64; 2]>,
}

/// One 2-D point of one view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Observation {
    /// The view.
    pub view_id: ViewId,
    /// Index into [`View::points_px`] (the keypoint index).
    pub point_idx: u32,
}

/// One scene point and where it was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    /// At most one per view, ordered.
    pub observations: Vec<Observation>,
    /// Position; `None` while not triangulated.
    pub position_in_world: Option<Vec3>,
    /// sRGB.
    pub color: [u8; 3],
}

/// A sparse reconstruction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SparseModel {
    /// Intrinsics.
    pub cameras: BTreeMap<CameraId, Camera>,
    /// Views.
    pub views: BTreeMap<ViewId, View>,
    /// Points.
    pub tracks: BTreeMap<TrackId, Track>,
}

impl SparseModel {
    /// Views with a pose, in order of id.
    pub fn registered(&self) -> impl Iterator<Item = (ViewId, &View, Rigid3)> {
        self.views
            .iter()
            .filter_map(|(id, v)| v.cam_from_world.map(|p| (*id, v, p)))
    }

    /// The view called `name`.
    pub fn view_by_name(&self, name: &str) -> Option<(ViewId, &View)> {
        self.views
            .iter()
            .find(|(_, v)| v.name == name)
            .map(|(id, v)| (*id, v))
    }

    /// Pixel error of one observation; `None` without pose, point, or behind.
    pub fn reprojection_error_px(&self, track: &Track, obs: &Observation) -> Option<f64> {
        let view = self.views.get(&obs.view_id)?;
        let camera = self.cameras.get(&view.camera_id)?;
        let [x, y] = *view.points_px.get(obs.point_idx as usize)?;
        let p = view.cam_from_world?.apply(&track.position_in_world?);
        Some((camera.model.project(&p)? - Vec2::new(x, y)).norm())
    }

    /// Every id resolves, observations are ordered and inside, values finite.
    pub fn check(&self) -> Result<(), Broken> {
        for (id, camera) in &self.cameras {
            camera.check().map_err(|e| Broken {
                noun: "sparse model",
                what: format!("camera {id}: {e}"),
            })?;
        }
        for (id, view) in &self.views {
            ensure(
                "sparse model",
                self.cameras.contains_key(&view.camera_id),
                || format!("view {id} ({}) has no camera {}", view.name, view.camera_id),
            )?;
            ensure(
                "sparse model",
                view.cam_from_world.is_none_or(|p| p.is_finite()),
                || format!("pose of view {id} ({}) is not finite", view.name),
            )?;
        }
        for (id, track) in &self.tracks {
            let ordered = track
                .observations
                .windows(2)
                .all(|w| w[0].view_id < w[1].view_id);
            ensure("sparse model", ordered, || {
                format!("track {id}: observations not ordered")
            })?;
            let finite = track
                .position_in_world
                .is_none_or(|p| p.iter().all(|v| v.is_finite()));
            ensure("sparse model", finite, || {
                format!("track {id}: position not finite")
            })?;
            for o in &track.observations {
                let known = self
                    .views
                    .get(&o.view_id)
                    .is_some_and(|v| (o.point_idx as usize) < v.points_px.len());
                ensure("sparse model", known, || {
                    format!("track {id}: no point for {o:?}")
                })?;
            }
        }
        Ok(())
    }
}
