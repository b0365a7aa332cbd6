//! The origin of an imported model near its photos.
//!
//! Clouds and surfaces are single floats: steps of half a metre where northings are given in
//! millions of metres.

use relievo_geometry::Vec3;
use relievo_scene::SparseModel;
use relievo_task::Warning;

/// Extents of the scene between it and the origin, from which on that is moved: single floats
/// then step by a thirty-thousandth of the extent.
const FAR: f64 = 300.0;

/// Moves the origin to the middle of the cameras where it is far from them; where that was in the
/// frame given.
pub(super) fn move_near(model: &mut SparseModel) -> Option<Vec3> {
    let centers: Vec<Vec3> = model.registered().map(|(_, _, p)| p.center()).collect();
    let middle = Vec3::from_fn(|k, _| median(centers.iter().map(|c| c[k]).collect()));
    // Most photos may be of one place, one pose anywhere, and points far off or nowhere.
    let points = model.tracks.values().filter_map(|t| t.position_in_world);
    let off = |p: &Vec3| (p - middle).norm();
    let extent = quantile(centers.iter().map(off).collect(), 0.9);
    let extent = extent.max(median(points.map(|p| off(&p)).collect()));
    if !(middle.norm() > FAR * extent && extent > 0.0) {
        return None;
    }
    // Round numbers, so that nobody has to carry many decimals on.
    let digits = extent.log10().floor() as i32;
    let (more, less) = (10_f64.powi(digits.max(0)), 10_f64.powi((-digits).max(0)));
    let origin = middle.map(|v| (v * less / more).round() * more / less);
    for view in model.views.values_mut() {
        if let Some(pose) = &mut view.cam_from_world {
            pose.translation += pose.rotation * origin;
        }
    }
    for track in model.tracks.values_mut() {
        if let Some(point) = &mut track.position_in_world {
            *point -= origin;
        }
    }
    Some(origin)
}

/// Says so.
pub(super) fn warning(origin: &Vec3) -> Warning {
    Warning::new(
        "origin-moved",
        "",
        format!(
            "the model lies far from its origin; the work folder counts from ({}, {}, {})",
            origin.x, origin.y, origin.z
        ),
        "they are the `origin` of sparse/georef.json; positions in PLY files are less by them",
    )
}

/// Brings positions that were given in the frame of the model to the work folder's; those that
/// lie there already stay.
pub(super) fn bring(positions: &mut [[f32; 3]], origin: [f64; 3]) {
    let origin = Vec3::from(origin);
    let at = |k: usize| median(positions.iter().map(|p| f64::from(p[k])).collect());
    let middle = Vec3::new(at(0), at(1), at(2));
    if (middle - origin).norm() >= middle.norm() {
        return;
    }
    for p in positions {
        for (v, o) in p.iter_mut().zip(origin.iter()) {
            *v = (f64::from(*v) - o) as f32;
        }
    }
}

fn median(values: Vec<f64>) -> f64 {
    quantile(values, 0.5)
}

/// 0 of nothing.
fn quantile(mut values: Vec<f64>, part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() as f64 * part) as usize;
    values.get(at).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use relievo_geometry::{Mat3, Rigid3};
    use relievo_scene::{CameraId, Track, TrackId, View, ViewId};

    fn model(offset: Vec3) -> SparseModel {
        let mut model = SparseModel::default();
        for k in 0..6_u32 {
            let turn = f64::from(k) * 0.9;
            let center = offset + Vec3::new(30.0 * turn.cos(), 30.0 * turn.sin(), 2.0);
            let (sin, cos) = turn.sin_cos();
            let rotation = Mat3::new(cos, sin, 0.0, 0.0, 0.0, 1.0, sin, -cos, 0.0);
            let pose = Rigid3::from_matrix(&rotation, -(rotation * center));
            let view = View {
                name: format!("{k}.jpg"),
                camera_id: CameraId(1),
                cam_from_world: Some(pose),
                points_px: Vec::new(),
            };
            model.views.insert(ViewId(k + 1), view);
        }
        let track = Track {
            observations: Vec::new(),
            position_in_world: Some(offset + Vec3::new(1.0, 2.0, 3.0)),
            color: [0; 3],
        };
        model.tracks.insert(TrackId(1), track);
        model
    }

    #[test]
    fn a_far_origin_comes_near_and_nothing_moves_against_the_cameras() {
        let given = model(Vec3::new(500_000.0, 5_400_000.0, 300.0));
        let mut moved = given.clone();
        let origin = move_near(&mut moved).expect("it is far");
        assert!(origin.iter().all(|v| (v / 10.0).fract() == 0.0), "{origin}");
        for (id, view) in &moved.views {
            let pose = view.cam_from_world.unwrap();
            assert!(pose.center().norm() < 100.0, "{}", pose.center());
            let before = given.views[id].cam_from_world.unwrap();
            for (new, old) in moved.tracks.values().zip(given.tracks.values()) {
                let [new, old] = [(pose, new), (before, old)]
                    .map(|(pose, track)| pose.apply(&track.position_in_world.unwrap()));
                assert!((new - old).norm() < 1e-7, "{new} {old}");
            }
        }
    }

    #[test]
    fn one_pose_at_zero_does_not_hold_the_origin() {
        let offset = Vec3::new(500_000.0, 5_400_000.0, 300.0);
        let mut given = model(offset);
        let more = model(offset).views.into_values();
        let ids = (7..).map(ViewId);
        given.views.extend(ids.zip(more));
        let lost = given.views.get_mut(&ViewId(3)).unwrap();
        lost.cam_from_world = Some(Rigid3::default());
        assert!(move_near(&mut given).is_some());
    }

    #[test]
    fn a_burst_from_one_place_is_not_far_from_anything() {
        // All but one photo from one place, which is 2 m from the origin.
        let mut burst = model(Vec3::new(0.0, 0.0, 0.0));
        for (k, view) in burst.views.values_mut().enumerate() {
            let pose = view.cam_from_world.as_mut().unwrap();
            let x = if k == 0 { 3.0 } else { 2.0 };
            pose.translation = -(pose.rotation * Vec3::new(x, 0.0, 1e-4 * k as f64));
        }
        let before = burst.clone();
        assert_eq!(move_near(&mut burst), None);
        assert_eq!(burst, before);
    }

    #[test]
    fn positions_come_along_once() {
        let origin = [512.0, 4096.0, 16.0];
        let mut given = vec![[513.0, 4098.0, 19.0], [511.0, 4095.0, 14.0]];
        bring(&mut given, origin);
        let near = vec![[1.0, 2.0, 3.0], [-1.0, -1.0, -2.0]];
        assert_eq!(given, near);
        bring(&mut given, origin);
        assert_eq!(given, near);
        bring(&mut given, [0.0; 3]);
        assert_eq!(given, near);
        bring(&mut [], origin);
    }

    #[test]
    fn an_origin_among_the_photos_stays() {
        let mut near = model(Vec3::new(200.0, -100.0, 5.0));
        let before = near.clone();
        assert_eq!(move_near(&mut near), None);
        assert_eq!(near, before);
    }
}
