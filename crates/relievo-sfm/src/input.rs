//! What enters the mapper.

use relievo_scene::{Camera, CameraId, Keypoint, ViewGraph, ViewId};
use serde::Serialize;
use std::collections::BTreeMap;

/// One photo as the mapper sees it.
#[derive(Clone, Copy, Debug)]
pub struct SfmView<'a> {
    /// Name of the photo; seeds depend on it, and messages quote it.
    pub name: &'a str,
    /// Camera group; all views of one group share their intrinsics.
    pub camera_id: CameraId,
    /// Keypoints, in pixels of the full-size upright photo.
    pub keypoints: &'a [Keypoint],
    /// sRGB colour of each keypoint; may be empty (points are then grey).
    pub colors: &'a [[u8; 3]],
}

/// Photos, starting intrinsics and verified pairs.
#[derive(Clone, Debug)]
pub struct SfmInput<'a> {
    /// The photos that take part.
    pub views: BTreeMap<ViewId, SfmView<'a>>,
    /// Starting intrinsics by group.
    pub cameras: BTreeMap<CameraId, Camera>,
    /// Verified pairs; match indices point into `keypoints`.
    pub graph: &'a ViewGraph,
}

/// What a person said of a camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Named {
    /// Its model, which stays: no further distortion terms.
    Model,
    /// The model's values, too; they count as known better than those of EXIF.
    Values,
}

#[cfg(test)]
impl<'a> SfmInput<'a> {
    /// What a rendered scene gives, photos without names.
    pub(crate) fn of(scene: &'a relievo_synth::scene::Scene, graph: &'a ViewGraph) -> Self {
        let view = |(id, v): (&ViewId, &relievo_scene::View)| {
            let f = &scene.features[id];
            let view = SfmView {
                name: "",
                camera_id: v.camera_id,
                keypoints: &f.keypoints,
                colors: &f.colors,
            };
            (*id, view)
        };
        Self {
            views: scene.truth.views.iter().map(view).collect(),
            cameras: scene.truth.cameras.clone(),
            graph,
        }
    }
}
