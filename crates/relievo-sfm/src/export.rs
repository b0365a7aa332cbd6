//! From the mapper's model to the noun, in a fixed frame.

use crate::model::Model;
use crate::scene::Scene;
use relievo_geometry::{Sim3, Vec3};
use relievo_scene::{Observation, SparseModel, Track, TrackId, View};
use std::collections::BTreeMap;

/// Diagonal of the box around the camera centres, after normalisation.
const EXTENT: f64 = 10.0;

/// Origin to the centroid of the camera centres, diagonal of their box to 10.
pub(crate) fn normalising(model: &Model) -> Sim3 {
    let centers: Vec<Vec3> = model
        .order
        .iter()
        .filter_map(|&v| model.poses[v as usize].map(|p| p.center()))
        .collect();
    let Some(first) = centers.first() else {
        return Sim3::identity();
    };
    let (mut lo, mut hi, mut sum) = (*first, *first, Vec3::zeros());
    for c in &centers {
        lo = lo.inf(c);
        hi = hi.sup(c);
        sum += c;
    }
    let size = (hi - lo).norm();
    let scale = if size > 0.0 { EXTENT / size } else { 1.0 };
    Sim3 {
        scale,
        translation: -(sum / centers.len() as f64) * scale,
        ..Sim3::identity()
    }
}

/// All photos of the scene; tracks in the order of the model's points.
pub(crate) fn to_sparse_model(scene: &Scene<'_>, model: &Model, frame: &Sim3) -> SparseModel {
    let mut out = SparseModel::default();
    for (id, camera) in scene.camera_ids.iter().zip(&model.cameras) {
        out.cameras.insert(*id, *camera);
    }
    for v in 0..scene.num_views() {
        out.views.insert(
            scene.ids[v],
            View {
                camera_id: scene.camera_ids[scene.camera_of[v]],
                name: scene.names[v].to_owned(),
                cam_from_world: model.poses[v].map(|p| frame.transform_pose(&p)),
                points_px: scene.px[v].iter().map(|p| [p.x, p.y]).collect(),
            },
        );
    }
    out.tracks = tracks(scene, model, frame);
    out
}

/// Tracks numbered from 1.
pub(crate) fn tracks(scene: &Scene<'_>, model: &Model, frame: &Sim3) -> BTreeMap<TrackId, Track> {
    let mut out = BTreeMap::new();
    for (_, point) in model.alive() {
        let mut sum = [0_u32; 3];
        let mut n = 0;
        let mut observations = Vec::with_capacity(point.obs.len());
        for o in &point.obs {
            if let Some(c) = scene.colors[o.view as usize].get(o.kp as usize) {
                for k in 0..3 {
                    sum[k] += u32::from(c[k]);
                }
                n += 1;
            }
            observations.push(Observation {
                view_id: scene.ids[o.view as usize],
                point_idx: o.kp,
            });
        }
        let color = if n == 0 {
            [128; 3]
        } else {
            sum.map(|s| ((s + n / 2) / n) as u8)
        };
        out.insert(
            TrackId(out.len() as u64 + 1),
            Track {
                observations,
                position_in_world: Some(frame.apply(&point.x)),
                color,
            },
        );
    }
    out
}
