//! A flat true surface, and estimates with known errors.

#![allow(clippy::unwrap_used, reason = "functions that tests share")]

use relievo_eval::*;
use relievo_geometry::{CameraModel, Rigid3, Sim3, Vec3};
use relievo_image::Raster;
use relievo_scene::{Camera, DepthMap, TriMesh};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// A square of one unit at height z, as a grid.
fn square(z: f32) -> TriMesh {
    let n = 20_u32;
    let at = |i: u32, j: u32| i * (n + 1) + j;
    let mut mesh = TriMesh::default();
    for i in 0..=n {
        for j in 0..=n {
            mesh.positions
                .push([i as f32 / n as f32, j as f32 / n as f32, z]);
        }
    }
    for i in 0..n {
        for j in 0..n {
            mesh.triangles
                .push([at(i, j), at(i + 1, j), at(i + 1, j + 1)]);
            mesh.triangles
                .push([at(i, j), at(i + 1, j + 1), at(i, j + 1)]);
        }
    }
    mesh
}

/// Read once for all tests: its reference has a million samples.
static TRUTH: LazyLock<TrueScene> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("truth.ply");
    relievo_formats::ply::write_mesh(&square(0.0), &path).unwrap();
    TrueScene::read(&path).unwrap()
});

#[test]
fn an_offset_cloud_is_as_far_as_it_was_moved() {
    let truth = &*TRUTH;
    let n = 400;
    let cloud: Vec<[f32; 3]> = (0..n * n)
        .map(|k| [(k / n) as f32 / n as f32, (k % n) as f32 / n as f32, 0.0015])
        .collect();
    let f = score_cloud(&cloud, truth, &Sim3::identity()).unwrap();
    assert_eq!(f.points, n * n, "one point a voxel");
    let a = f.accuracy_mm.unwrap();
    assert!(
        (a.median - 1.5).abs() < 1e-3 && (a.p90 - 1.5).abs() < 1e-3,
        "{f}"
    );
    assert_eq!(f.by_threshold_mm["1"].precision, 0.0);
    assert_eq!(f.by_threshold_mm["2"].precision, 1.0);
    // Spacing 2.5 mm: the farthest true point is 1.77 mm aside, 2.32 in all.
    assert!(
        f.completeness_mm.median > 1.5 && f.completeness_mm.p90 < 2.33,
        "{f}"
    );

    // The same in another frame, scaled by 1000.
    let world = Sim3 {
        scale: 1e-3,
        translation: Vec3::new(0.0, 0.0, -0.0015),
        ..Sim3::identity()
    };
    let large: Vec<[f32; 3]> = cloud.iter().map(|p| p.map(|v| v * 1000.0)).collect();
    let f = score_cloud(&large, truth, &world).unwrap();
    assert!(f.accuracy_mm.unwrap().p90 < 1e-3, "{f}");

    // Copies earn nothing; points that are not numbers do no harm.
    let mut many: Vec<[f32; 3]> = cloud.iter().chain(&cloud).copied().collect();
    many.push([f32::NAN, 0.0, 0.0]);
    assert_eq!(
        score_cloud(&many, truth, &Sim3::identity()).unwrap().points,
        n * n
    );
    assert!(matches!(
        score_cloud(&[], truth, &Sim3::identity()),
        Err(EvalError::Empty { .. })
    ));
}

#[test]
fn a_mesh_is_a_surface_and_not_its_samples() {
    let truth = &*TRUTH;
    let f = score_mesh(&square(0.0), truth, &Sim3::identity()).unwrap();
    assert!(f.by_threshold_mm["0.5"].f > 0.999, "{f}");
    assert!(f.normal_consistency.unwrap() > 0.9999);
    let topology = f.topology.unwrap();
    assert_eq!(
        (
            topology.open_edges,
            topology.components,
            topology.euler_number
        ),
        (80, 1, 1)
    );
    // Half of it: half the truth is missed.
    let mut half = square(0.0);
    half.triangles.truncate(400);
    let f = score_mesh(&half, truth, &Sim3::identity()).unwrap();
    let row = f.by_threshold_mm["1"];
    assert!(
        (row.recall - 0.5).abs() < 0.01 && row.precision > 0.999,
        "{f}"
    );
    let mut broken = square(0.0);
    broken.positions[3][1] = f32::NAN;
    assert!(matches!(
        score_mesh(&broken, truth, &Sim3::identity()),
        Err(EvalError::NotFinite { .. })
    ));
    assert!(matches!(
        score_mesh(&TriMesh::default(), truth, &Sim3::identity()),
        Err(EvalError::Empty { .. })
    ));
}

#[test]
fn a_cloud_in_another_unit_is_refused() {
    let n = 100;
    let at = |k: usize, size: f32| {
        let place = |i: usize| size * (i as f32 / n as f32 + 0.1);
        [place(k / n), place(k % n), 0.0]
    };
    for size in [0.001, 1000.0] {
        let cloud: Vec<[f32; 3]> = (0..n * n).map(|k| at(k, size)).collect();
        let refused = score_cloud(&cloud, &TRUTH, &Sim3::identity());
        assert!(
            matches!(refused, Err(EvalError::OtherFrame { .. })),
            "{size}: {refused:?}"
        );
    }
}

#[test]
fn a_depth_map_is_compared_in_its_own_camera() {
    let truth = &*TRUTH;
    let camera = Camera {
        model: CameraModel::Pinhole {
            fx: 100.0,
            fy: 100.0,
            cx: 40.0,
            cy: 30.0,
        },
        width_px: 80,
        height_px: 60,
        has_prior_focal: true,
    };
    // Two units in front of the square's middle, looking along +z; the model
    // is half as large as the truth.
    let world = Sim3 {
        scale: 2.0,
        ..Sim3::identity()
    };
    let pose = Rigid3 {
        translation: -Vec3::new(0.25, 0.25, -1.0),
        ..Rigid3::identity()
    };
    let mut map = DepthMap::new(camera);
    map.depth = Raster::from_fn(80, 60, |x, _| if x < 40 { 1.001 } else { 0.0 });
    let grey = Raster::filled(80, 60, 90_u8);
    let errors = score_depth_map(&map, &pose, &world, truth, Some(&grey), None).unwrap();
    assert!(
        errors.true_pixels.abs_diff(50 * 50) < 200,
        "{}",
        errors.true_pixels
    );
    let f = combine_depth(&BTreeMap::from([("a".to_owned(), errors)]), truth).unwrap();
    assert!(
        (f.median_mm - 2.0).abs() < 1e-2 && (f.rel_median - 0.001).abs() < 1e-5,
        "{f}"
    );
    assert!((f.coverage - 0.5).abs() < 0.02 && f.within_1_percent == 1.0);
    assert!(f.textured.is_none() && f.weak.unwrap().pixels > 2000);
    map.depth = Raster::new(80, 60);
    let none = score_depth_map(&map, &pose, &world, truth, None, None).unwrap();
    assert!(combine_depth(&BTreeMap::from([("a".to_owned(), none)]), truth).is_err());
}

#[test]
fn truth_that_is_none_is_said() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().join("no"), dir.path().to_owned()] {
        let error = TrueScene::read(&path).unwrap_err();
        assert!(error.to_string().contains(path.to_str().unwrap()) && error.hint().is_some());
    }
}

#[test]
fn a_cloud_in_another_frame_or_a_truth_with_nan_is_no_number() {
    let truth = &*TRUTH;
    let away: Vec<[f32; 3]> = (0..1000).map(|k| [20.0 + k as f32, 5.0, 3.0]).collect();
    assert!(matches!(
        score_cloud(&away, truth, &Sim3::identity()),
        Err(EvalError::OtherFrame { .. })
    ));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("truth.ply");
    let mut mesh = square(0.0);
    mesh.positions[7][2] = f32::NAN;
    relievo_formats::ply::write_mesh(&mesh, &path).unwrap();
    let error = TrueScene::read(&path).unwrap_err().to_string();
    assert!(error.contains("finite"), "{error}");
}

#[test]
fn stray_points_of_the_truth_change_neither_thresholds_nor_the_frame_check() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("truth.ply");
    let read = |strays: bool| {
        let mut cloud = TriMesh::default();
        for k in 0..10_000_u16 {
            let place = [f32::from(k % 100) / 100.0, f32::from(k / 100) / 100.0, 0.0];
            cloud.positions.push(place);
        }
        if strays {
            cloud
                .positions
                .extend([[1000.0, 0.0, 0.0], [0.0, -1000.0, 0.0]]);
        }
        relievo_formats::ply::write_mesh(&cloud, &path).unwrap();
        TrueScene::read(&path).unwrap()
    };
    let (plain, strayed) = (read(false), read(true));
    assert_eq!(plain.thresholds(), strayed.thresholds());
    let away: Vec<[f32; 3]> = (0..1000_u16)
        .map(|k| [20.0 + f32::from(k) / 100.0, 5.0, 3.0])
        .collect();
    for truth in [&plain, &strayed] {
        let found = score_cloud(&away, truth, &Sim3::identity());
        assert!(matches!(found, Err(EvalError::OtherFrame { .. })));
    }
}
