//! Points for poses that are known.

use crate::grow_points::{complete, filter, merge, triangulate_view};
use crate::model::Model;
use crate::refine::limits;
use crate::scene::Scene;
use crate::{SfmError, SfmInput, SfmOptions, export};
use relievo_geometry::triangulation::{Sighting, refine_point};
use relievo_geometry::{Sim3, Vec3};
use relievo_scene::{CameraId, SparseModel, ViewId};
use relievo_task::{Task, ordered};
use std::collections::BTreeMap;

/// Triangulates the matches of `input` under the poses and intrinsics of
/// `model`, which are kept as they are; so are its frame and scale.
///
/// Views are paired by name; the ids, views and cameras of `model` stay, and
/// views of `model` that `input` lacks keep their pose and get no points.
/// Views of `input` that `model` lacks are left out. Tracks of `model` are
/// replaced; `points_px` of paired views become all keypoints of `input`.
pub fn triangulate_under_poses(
    input: &SfmInput<'_>,
    model: &SparseModel,
    options: &SfmOptions,
    task: &Task,
) -> Result<SparseModel, SfmError> {
    task.check()?;
    let by_name: BTreeMap<&str, ViewId> = model
        .views
        .iter()
        .map(|(id, v)| (v.name.as_str(), *id))
        .collect();
    // Every paired view gets the camera that the model gives it.
    let mut own = SfmInput {
        views: BTreeMap::new(),
        cameras: model.cameras.clone(),
        graph: input.graph,
    };
    let mut pose_of: BTreeMap<ViewId, ViewId> = BTreeMap::new();
    for (id, view) in &input.views {
        if let Some(theirs) = by_name.get(view.name) {
            let mut view = *view;
            view.camera_id = model.views[theirs].camera_id;
            own.views.insert(*id, view);
            pose_of.insert(*id, *theirs);
        }
    }
    let camera_ids: Vec<CameraId> = own.cameras.keys().copied().collect();
    let scene = Scene::new(&own)?;
    let mut mapper = Model::new(&scene, &scene.cameras);
    debug_assert_eq!(camera_ids, scene.camera_ids);
    for v in 0..scene.num_views() {
        let theirs = &model.views[&pose_of[&scene.ids[v]]];
        if let Some(pose) = theirs.cam_from_world {
            mapper.register(v, pose);
        }
    }
    let limits = limits(options);
    let progress = task.progress("photos triangulated", mapper.order.len() as u64);
    for v in mapper.order.clone() {
        task.check()?;
        triangulate_view(&scene, &mut mapper, v as usize, &limits);
        progress.add(1);
    }
    for _ in 0..2 {
        task.check()?;
        let ids = |m: &Model| m.alive().map(|p| p.0).collect::<Vec<u32>>();
        let now = ids(&mapper);
        complete(&scene, &mut mapper, &now, &limits);
        let now = ids(&mapper);
        merge(&scene, &mut mapper, &now, &limits);
        refine_all(&scene, &mut mapper);
        let now = ids(&mapper);
        filter(&scene, &mut mapper, &now, &limits);
        mapper.compact();
    }
    let mut out = model.clone();
    for (ours, theirs) in &pose_of {
        if let Some(view) = out.views.get_mut(theirs) {
            view.points_px = own.views[ours]
                .keypoints
                .iter()
                .map(|k| [f64::from(k.x_px), f64::from(k.y_px)])
                .collect();
        }
    }
    for (id, view) in &mut out.views {
        if !pose_of.values().any(|v| v == id) {
            view.points_px.clear();
        }
    }
    out.tracks = export::tracks(&scene, &mapper, &Sim3::identity());
    for track in out.tracks.values_mut() {
        for o in &mut track.observations {
            o.view_id = pose_of[&o.view_id];
        }
        track.observations.sort_unstable();
    }
    Ok(out)
}

/// Every point at the least sum of squared reprojection errors.
fn refine_all(scene: &Scene<'_>, model: &mut Model) {
    let seen: &Model = model;
    let moved: Vec<Option<Vec3>> = ordered::map_chunks(seen.points.len(), 256, |range| {
        range
            .map(|id| {
                let p = &seen.points[id];
                let sightings: Option<Vec<Sighting<'_>>> =
                    p.obs.iter().map(|&o| seen.sighting(scene, o)).collect();
                sightings
                    .filter(|s| !s.is_empty())
                    .map(|s| refine_point(&s, &p.x, 8))
            })
            .collect::<Vec<_>>()
    })
    .concat();
    for (p, x) in model.points.iter_mut().zip(moved) {
        if let Some(x) = x {
            p.x = x;
        }
    }
}
