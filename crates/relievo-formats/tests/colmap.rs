//! COLMAP models: round trips and hostile files.

#![expect(clippy::unwrap_used, reason = "helpers of tests unwrap as tests do")]

mod hostile;

use hostile::mutations;
use nalgebra::UnitQuaternion;
use relievo_formats::colmap;
use relievo_geometry::{CameraModel, CameraModelKind, Rigid3, Vec3};
use relievo_scene::{Camera, CameraId, Observation, SparseModel, Track, TrackId, View, ViewId};

/// Five models of camera, a row of views, points seen by all of them.
fn scene() -> SparseModel {
    let mut model = SparseModel::default();
    for (i, kind) in CameraModelKind::ALL.into_iter().enumerate() {
        let params: Vec<f64> = kind
            .param_names()
            .iter()
            .map(|n| match *n {
                "cx" => 320.5,
                "cy" => 240.25,
                "f" | "fx" => 700.125,
                "fy" => 701.0,
                _ => -0.01 / 3.0,
            })
            .collect();
        let camera = Camera {
            model: CameraModel::from_params(kind, &params).unwrap(),
            width_px: 640,
            height_px: 480,
            has_prior_focal: true,
        };
        model.cameras.insert(CameraId(i as u32 + 1), camera);
    }
    let point = |k: u64| {
        let k = k as f64;
        Vec3::new((k * 1.7).sin(), (k * 2.3).cos(), 4.0 + (k * 0.9).sin())
    };
    for v in 0..5_u32 {
        let pose = Rigid3::new(
            UnitQuaternion::from_euler_angles(0.01 * f64::from(v), -0.05 * f64::from(v), 0.3),
            Vec3::new(0.1 * f64::from(v), 0.0, 0.2),
        );
        let camera = model.cameras[&CameraId(v + 1)];
        let points_px = (0..40)
            .map(|k| {
                let px = camera.model.project(&pose.apply(&point(k))).unwrap();
                [px.x + 0.3, px.y]
            })
            .collect();
        let view = View {
            camera_id: CameraId(v + 1),
            name: format!("folder {v}/photo é.jpg"),
            cam_from_world: Some(pose),
            points_px,
        };
        model.views.insert(ViewId(7 * v + 3), view);
    }
    for k in 0..40 {
        let track = Track {
            observations: (0..5)
                .map(|v| Observation {
                    view_id: ViewId(7 * v + 3),
                    point_idx: k as u32,
                })
                .collect(),
            position_in_world: Some(point(k)),
            color: [k as u8, 2, 3],
        };
        model.tracks.insert(TrackId(1000 - k), track);
    }
    model
}

#[test]
fn both_encodings_read_back_to_the_same_bits() {
    let model = scene();
    let dir = tempfile::tempdir().unwrap();
    colmap::write_model_binary(&model, dir.path()).unwrap();
    assert_eq!(colmap::read_model(dir.path()).unwrap(), model);
    let dir = tempfile::tempdir().unwrap();
    colmap::write_model_text(&model, dir.path()).unwrap();
    assert_eq!(colmap::read_model(dir.path()).unwrap(), model);
}

#[test]
fn the_error_of_a_point_is_its_mean_reprojection_error() {
    let text = colmap::encode_points3d_txt(&scene());
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        let error: f64 = line.split(' ').nth(7).unwrap().parse().unwrap();
        assert!((error - 0.3).abs() < 1e-9, "{line}");
    }
}

#[test]
fn unregistered_views_and_their_observations_are_left_out() {
    let mut model = scene();
    model.views.get_mut(&ViewId(3)).unwrap().cam_from_world = None;
    model
        .tracks
        .get_mut(&TrackId(999))
        .unwrap()
        .position_in_world = None;
    let read = colmap::decode_model_binary(
        &colmap::encode_cameras_bin(&model),
        &colmap::encode_images_bin(&model),
        &colmap::encode_points3d_bin(&model),
    )
    .unwrap();
    assert_eq!(read.views.len(), 4);
    assert_eq!(read.tracks.len(), 39);
    assert!(read.tracks.values().all(|t| t.observations.len() == 4));
}

#[test]
fn poses_alone_are_a_model() {
    let cameras = b"# c\n1 PINHOLE 640 480 500 500 320 240\n";
    let images = b"# i\n1 1 0 0 0 0 0 0 1 a b.png\n\n2 1 0 0 0 1 0 0 1 c.png\n";
    let model = colmap::decode_model_text(cameras, images, b"").unwrap();
    let names: Vec<&str> = model.views.values().map(|v| v.name.as_str()).collect();
    assert_eq!(names, ["a b.png", "c.png"]);
}

#[test]
fn an_unknown_camera_model_is_named() {
    let error = colmap::decode_model_text(b"1 FISHEYE 6 4 5 3 2 0", b"", b"").unwrap_err();
    assert!(error.to_string().contains("FISHEYE"), "{error}");
}

#[test]
fn hostile_models_are_refused_without_allocating() {
    let model = scene();
    let cameras = colmap::encode_cameras_bin(&model);
    let images = colmap::encode_images_bin(&model);
    let points = colmap::encode_points3d_bin(&model);
    let huge = [0xff; 8];
    assert!(colmap::decode_model_binary(&huge, &images, &points).is_err());
    assert!(colmap::decode_model_binary(&cameras, &huge, &points).is_err());
    assert!(colmap::decode_model_binary(&cameras, &images, &huge).is_err());
    for bytes in mutations(&images, 400) {
        if let Ok(m) = colmap::decode_model_binary(&cameras, &bytes, &points) {
            m.check().unwrap();
        }
    }
    for bytes in mutations(&points, 400) {
        let _ = colmap::decode_model_binary(&cameras, &images, &bytes);
    }
    for bytes in mutations(&cameras, 400) {
        let _ = colmap::decode_model_binary(&bytes, &images, &points);
    }
    let images = colmap::encode_images_txt(&model);
    for bytes in mutations(images.as_bytes(), 200) {
        let cameras = colmap::encode_cameras_txt(&model);
        let _ = colmap::decode_model_text(cameras.as_bytes(), &bytes, b"");
    }
}
