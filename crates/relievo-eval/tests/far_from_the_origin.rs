//! Scans in a country's coordinates, where an f32 counts in centimetres.

#![allow(clippy::unwrap_used, reason = "functions that tests share")]

use nalgebra::UnitQuaternion;
use relievo_eval::benchmark::{self, SurfaceScore};
use relievo_eval::{Alignment, SurfaceFigures, eval_cloud, eval_mesh};
use relievo_formats::{colmap, ply};
use relievo_geometry::{CameraModel, Rigid3, Sim3, Vec3};
use relievo_image::Raster;
use relievo_scene::{Camera, CameraId, SparseModel, TriMesh, View, ViewId};
use std::path::Path;

const PLACE: Vec3 = Vec3::new(500_000.123, 5_000_000.321, 100.0);
/// Grid lines of the surface, a centimetre apart.
const N: u32 = 101;

/// A flat square of one unit in doubles, moved by `off`; its triangles, or corners alone.
fn write_square(path: &Path, off: Vec3, faces: bool) {
    let faces = if faces { 2 * (N - 1) * (N - 1) } else { 0 };
    let mut bytes = format!(
        "ply\nformat binary_little_endian 1.0\nelement vertex {}\nproperty double x\n\
         property double y\nproperty double z\nelement face {faces}\n\
         property list uchar int vertex_indices\nend_header\n",
        N * N
    )
    .into_bytes();
    for (i, j) in (0..N).flat_map(|i| (0..N).map(move |j| (i, j))) {
        let p = PLACE + off + Vec3::new(f64::from(i) / 100.0, f64::from(j) / 100.0, 0.0);
        p.iter().for_each(|v| bytes.extend(v.to_le_bytes()));
    }
    for k in 0..faces {
        let (i, j) = (k / 2 % (N - 1), k / 2 / (N - 1));
        let at = |di: u32, dj: u32| (i + di) * N + j + dj;
        let third = if k % 2 == 0 { at(1, 0) } else { at(0, 1) };
        bytes.push(3);
        let corners = [at(0, 0), third, at(1, 1)];
        bytes.extend(corners.iter().flat_map(|v| v.to_le_bytes()));
    }
    fs_err::write(path, bytes).unwrap();
}

/// A millimetre off, everywhere.
fn is_a_millimetre(f: &SurfaceFigures) {
    let a = f.accuracy_mm.unwrap();
    for v in [a.median, a.mean, a.p90, f.completeness_mm.median] {
        assert!((v - 1.0).abs() < 1e-2, "{f}");
    }
    let (tight, loose) = (f.by_threshold_mm["0.5"], f.by_threshold_mm["2"]);
    assert!(
        tight.f == 0.0 && loose.precision == 1.0 && loose.recall > 0.999,
        "{f}"
    );
}

#[test]
fn a_millimetre_is_seen_at_five_thousand_kilometres() {
    let dir = tempfile::tempdir().unwrap();
    let (truth, moved) = (dir.path().join("truth.ply"), dir.path().join("moved.ply"));
    let up = Vec3::new(0.0, 0.0, 1e-3);
    write_square(&truth, Vec3::zeros(), true);
    write_square(&moved, up, true);
    is_a_millimetre(&eval_mesh(&moved, &truth, Alignment::OwnCameras).unwrap());
    write_square(&truth, Vec3::zeros(), false);
    // Also along an axis of large coordinates, where an f32 would count by half a unit.
    for off in [up, Vec3::new(0.0, 1e-3, 0.0)] {
        write_square(&moved, off, false);
        is_a_millimetre(&eval_cloud(&moved, &truth, Alignment::OwnCameras).unwrap());
    }
}

/// Five cameras over the square, and a COLMAP truth with the square as its scan.
#[test]
fn cameras_bring_a_model_to_a_scan_far_away() {
    let dir = tempfile::tempdir().unwrap();
    let mut truth = SparseModel::default();
    let camera = Camera {
        model: CameraModel::SimplePinhole {
            f: 60.0,
            cx: 32.0,
            cy: 24.0,
        },
        width_px: 64,
        height_px: 48,
        has_prior_focal: true,
    };
    truth.cameras.insert(CameraId(1), camera);
    let images = dir.path().join("images");
    fs_err::create_dir_all(&images).unwrap();
    let png = relievo_media::encode_png_rgb(&Raster::filled(64, 48, [90; 3])).unwrap();
    for i in 0..5_u32 {
        let k = f64::from(i);
        let turn = UnitQuaternion::from_euler_angles(3.0, 0.1 * k, 0.2);
        let center = PLACE + Vec3::new(0.3 * k, 0.05 * k * k, 1.0 + 0.1 * (2.0 * k).sin());
        let name = format!("{i}.png");
        fs_err::write(images.join(&name), &png).unwrap();
        let view = View {
            camera_id: CameraId(1),
            name,
            cam_from_world: Some(Rigid3::new(turn, -(turn * center))),
            points_px: Vec::new(),
        };
        truth.views.insert(ViewId(i + 1), view);
    }
    let gt = dir.path().join("gt");
    fs_err::create_dir_all(&gt).unwrap();
    colmap::write_model_text(&truth, &gt).unwrap();
    write_square(&gt.join("scan.ply"), Vec3::zeros(), true);

    // The estimate is small and near its own origin.
    let there = Sim3 {
        scale: 0.5,
        rotation: UnitQuaternion::from_euler_angles(0.4, -0.7, 1.1),
        translation: Vec3::zeros(),
    };
    let there = Sim3 {
        translation: Vec3::new(1.0, 2.0, 3.0) - there.apply(&PLACE),
        ..there
    };
    let mut estimate = truth.clone();
    for view in estimate.views.values_mut() {
        view.cam_from_world = view.cam_from_world.map(|p| there.transform_pose(&p));
    }
    let model = dir.path().join("model");
    fs_err::create_dir_all(&model).unwrap();
    colmap::write_model_text(&estimate, &model).unwrap();
    let mut cloud = TriMesh::default();
    for (i, j) in (0..N).flat_map(|i| (0..N).map(move |j| (i, j))) {
        let p = Vec3::new(f64::from(i) / 100.0, f64::from(j) / 100.0, 1e-3);
        let q = there.apply(&(PLACE + p));
        cloud.positions.push([q.x as f32, q.y as f32, q.z as f32]);
    }
    let file = dir.path().join("cloud.ply");
    ply::write_mesh(&cloud, &file).unwrap();
    let set = benchmark::open(dir.path()).unwrap();
    let Some(SurfaceScore::Surface(f)) = set.score_cloud(&file, Some(&model)).unwrap() else {
        panic!("a scan is a surface");
    };
    let a = f.accuracy_mm.unwrap();
    assert!(
        (a.median - 1.0).abs() < 0.02 && (a.p90 - 1.0).abs() < 0.02,
        "{f}"
    );
}
