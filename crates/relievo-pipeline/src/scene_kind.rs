//! What is being captured, from the camera rays: `--preset auto`.
//!
//! The optical axes of photos around an object meet in front of the cameras,
//! near one point, and most of what they show lies nearer to that point than
//! the cameras. In a room they look outwards, or across it: what they show lies
//! beyond the ring of cameras. From the street or the air they look one way:
//! the mean viewing direction is long.

use crate::settings::Preset;
use relievo_geometry::{Mat3, Vec3};
use relievo_scene::SparseModel;
use serde::{Deserialize, Serialize};

/// Mean viewing direction longer than this: the photos look one way.
const ONE_WAY: f64 = 0.8;
/// Share of cameras whose axis passes the common point in front.
const INWARD_SHARE: f64 = 0.75;
/// Share of the points beyond the ring of cameras that makes it a room.
const BEYOND_SHARE: f64 = 0.5;
/// Angle between an axis and the direction of the common point.
const INWARD_ANGLE_DEG: f64 = 25.0;

/// The decision and what it rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SceneKind {
    /// Object, room or outdoor; never auto.
    pub kind: Preset,
    /// In a sentence.
    pub reason: String,
    /// Length of the mean unit viewing direction, 0 … 1.
    pub mean_direction: f64,
    /// Share of cameras that look at the point where the axes meet.
    pub inward_share: f64,
    /// Steps of 30° of azimuth around that point that have a camera, 0 … 12.
    pub azimuth_steps: usize,
    /// Share of the points that lie further from the point where the axes meet
    /// than the median camera.
    pub beyond_share: f64,
}

/// Decides from the registered views of `model`.
pub fn scene_kind(model: &SparseModel) -> SceneKind {
    let cameras: Vec<(Vec3, Vec3)> = model
        .registered()
        .map(|(_, _, pose)| (pose.center(), pose.rotation.inverse() * Vec3::z()))
        .collect();
    let n = cameras.len().max(1) as f64;
    let mean_direction = cameras
        .iter()
        .fold(Vec3::zeros(), |sum, (_, d)| sum + d)
        .norm()
        / n;
    let meeting = axes_meet(&cameras);
    let inward = |(c, d): &(Vec3, Vec3)| {
        let to = meeting? - c;
        let cos = to.dot(d) / to.norm().max(1e-12);
        Some(cos > INWARD_ANGLE_DEG.to_radians().cos())
    };
    let inward_share = cameras.iter().filter(|c| inward(c) == Some(true)).count() as f64 / n;
    let azimuth_steps = meeting.map_or(0, |m| azimuth_steps(&cameras, m));
    let beyond_share = meeting.map_or(0.0, |m| beyond_share(model, &cameras, m));
    let (kind, reason) = if mean_direction < ONE_WAY && beyond_share >= BEYOND_SHARE {
        (Preset::Room, "the cameras are surrounded by what they show")
    } else if inward_share >= INWARD_SHARE && (mean_direction < ONE_WAY || azimuth_steps >= 8) {
        (
            Preset::Object,
            "the cameras look at one point from around it",
        )
    } else if mean_direction >= ONE_WAY || inward_share >= INWARD_SHARE {
        (Preset::Outdoor, "the cameras look one way")
    } else {
        (Preset::Room, "the cameras look outwards in many directions")
    };
    SceneKind {
        kind,
        reason: reason.to_owned(),
        mean_direction,
        inward_share,
        azimuth_steps,
        beyond_share,
    }
}

/// Share of the points further from `point` than the median camera.
fn beyond_share(model: &SparseModel, cameras: &[(Vec3, Vec3)], point: Vec3) -> f64 {
    let mut ring: Vec<f64> = cameras.iter().map(|(c, _)| (c - point).norm()).collect();
    ring.sort_by(f64::total_cmp);
    let radius = ring.get(ring.len() / 2).copied().unwrap_or(0.0);
    let (mut beyond, mut all) = (0_usize, 0_usize);
    for p in model.tracks.values().filter_map(|t| t.position_in_world) {
        all += 1;
        beyond += usize::from((p - point).norm() > radius);
    }
    beyond as f64 / all.max(1) as f64
}

/// The point nearest to all optical axes (least squares); `None` where they
/// are parallel.
fn axes_meet(cameras: &[(Vec3, Vec3)]) -> Option<Vec3> {
    let (mut a, mut b) = (Mat3::zeros(), Vec3::zeros());
    for (c, d) in cameras {
        let across = Mat3::identity() - d * d.transpose();
        a += across;
        b += across * c;
    }
    let n = cameras.len() as f64;
    let weakest = a.symmetric_eigenvalues().min();
    if cameras.len() < 2 || weakest < 1e-4 * n {
        return None;
    }
    a.try_inverse().map(|inverse| inverse * b)
}

/// Occupied 30° steps around `point`, in the plane across the mean of the
/// directions towards the cameras' up (minus their y axis is close to it).
fn azimuth_steps(cameras: &[(Vec3, Vec3)], point: Vec3) -> usize {
    let offsets: Vec<Vec3> = cameras.iter().map(|(c, _)| c - point).collect();
    let mut spread = Mat3::zeros();
    let mean = offsets.iter().sum::<Vec3>() / offsets.len().max(1) as f64;
    for o in &offsets {
        spread += (o - mean) * (o - mean).transpose();
    }
    // The two directions in which the cameras spread most.
    let eigen = spread.symmetric_eigen();
    let mut order = [0, 1, 2];
    order.sort_by(|&i, &j| eigen.eigenvalues[j].total_cmp(&eigen.eigenvalues[i]));
    let (u, v) = (
        eigen.eigenvectors.column(order[0]),
        eigen.eigenvectors.column(order[1]),
    );
    let mut seen = [false; 12];
    for o in &offsets {
        let angle = o.dot(&v).atan2(o.dot(&u)).rem_euclid(std::f64::consts::TAU);
        seen[((angle / std::f64::consts::TAU * 12.0) as usize).min(11)] = true;
    }
    seen.iter().filter(|s| **s).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use relievo_geometry::{CameraModel, Rigid3};
    use relievo_scene::{Camera, CameraId, View, ViewId};

    fn model(cameras: impl Iterator<Item = (Vec3, Vec3)>) -> SparseModel {
        let mut m = SparseModel::default();
        let model = CameraModel::SimplePinhole {
            f: 500.0,
            cx: 320.0,
            cy: 240.0,
        };
        let camera = Camera {
            model,
            width_px: 640,
            height_px: 480,
            has_prior_focal: true,
        };
        m.cameras.insert(CameraId(1), camera);
        for (i, (center, towards)) in cameras.enumerate() {
            let z = (towards - center).normalize();
            let x = Vec3::z().cross(&z).normalize();
            let y = z.cross(&x);
            let r = Mat3::from_rows(&[x.transpose(), y.transpose(), z.transpose()]);
            let pose = Rigid3::from_matrix(&r, -(r * center));
            let view = View {
                camera_id: CameraId(1),
                name: format!("{i}"),
                cam_from_world: Some(pose),
                points_px: Vec::new(),
            };
            m.views.insert(ViewId(i as u32 + 1), view);
        }
        m
    }

    fn ring(n: usize, from_deg: f64, to_deg: f64) -> impl Iterator<Item = Vec3> {
        (0..n).map(move |i| {
            let a = (from_deg + (to_deg - from_deg) * i as f64 / n as f64).to_radians();
            Vec3::new(a.cos(), a.sin(), 0.3)
        })
    }

    #[test]
    fn around_inside_and_in_front_are_told_apart() {
        let object = model(ring(24, 0.0, 360.0).map(|c| (c, Vec3::zeros())));
        assert_eq!(scene_kind(&object).kind, Preset::Object);
        let room = model(ring(24, 0.0, 360.0).map(|c| (c * 0.5, c * 3.0)));
        assert_eq!(scene_kind(&room).kind, Preset::Room);
        let facade = model((0..10).map(|i| {
            let x = f64::from(i) * 0.5;
            (Vec3::new(x, 0.0, 0.0), Vec3::new(x, 10.0, 1.0))
        }));
        assert_eq!(scene_kind(&facade).kind, Preset::Outdoor);
    }

    #[test]
    fn no_camera_at_all_is_no_panic() {
        scene_kind(&SparseModel::default());
    }
}
