//! Every layout: truth against itself scores 100 %, and a known error scores
//! what is worked out by hand.

#![allow(clippy::unwrap_used, reason = "functions that tests share")]

use nalgebra::UnitQuaternion;
use relievo_eval::benchmark::{self, DataSet, bal, eth3d, eth3d_surface};
use relievo_eval::{Cameras, EvalError, eval_poses, read_cameras, read_truth, score_poses};
use relievo_geometry::{CameraModel, Rigid3, Sim3, Vec2, Vec3};
use relievo_optim::BundleOptions;
use relievo_scene::{Camera, CameraId, PointCloud, SparseModel, View, ViewId};
use relievo_task::Task;
use std::fmt::Write;
use std::path::Path;

const N: usize = 6;

/// Six cameras on an arc, looking in; names `0000.png` onwards.
fn model() -> SparseModel {
    let mut model = SparseModel::default();
    let camera = Camera {
        model: CameraModel::Pinhole {
            fx: 60.0,
            fy: 61.0,
            cx: 32.0,
            cy: 24.0,
        },
        width_px: 64,
        height_px: 48,
        has_prior_focal: true,
    };
    model.cameras.insert(CameraId(1), camera);
    for i in 0..N {
        let turn = UnitQuaternion::from_euler_angles(0.1 * i as f64, 0.4 * i as f64, -0.05);
        let center = Vec3::new(
            (0.4 * i as f64).sin(),
            0.2 * i as f64,
            (0.3 * i as f64).cos(),
        );
        let view = View {
            camera_id: CameraId(1),
            name: format!("{i:04}.png"),
            cam_from_world: Some(Rigid3::new(turn, -(turn * center))),
            points_px: Vec::new(),
        };
        model.views.insert(ViewId(i as u32 + 1), view);
    }
    model
}

fn photos(folder: &Path) {
    fs_err::create_dir_all(folder).unwrap();
    let picture = relievo_image::Raster::filled(64, 48, [90_u8; 3]);
    let png = relievo_media::encode_png_rgb(&picture).unwrap();
    for i in 0..N {
        fs_err::write(folder.join(format!("{i:04}.png")), &png).unwrap();
    }
}

/// Camera 2 turned by 0.6° about its own centre. Its five pairs are off by
/// 0.6°, where it is the second of the pair also in direction (not more); the
/// ten others are exact. Recall rises from 10/15 at 0 to 11/15 at 0.6° and then
/// at once to 1: AUC@1° = 0.6 · (10/15 + 11/15)/2 + 0.4 = 0.82.
fn turned(truth: &Cameras) -> Cameras {
    turned_named(truth, "0002.png")
}

fn turned_named(truth: &Cameras, name: &str) -> Cameras {
    let mut moved = truth.clone();
    let c = moved.get_mut(name).unwrap();
    let turn = UnitQuaternion::from_euler_angles(0.0, 0.0, 0.6_f64.to_radians());
    c.cam_from_world = Rigid3::new(turn, Vec3::zeros()) * c.cam_from_world;
    moved
}

fn check(set: &DataSet, layout: &str) {
    assert_eq!(set.layout, layout);
    assert_eq!((set.cameras.len(), set.inputs.is_empty()), (N, false));
    let own = score_poses(&set.cameras, &set.cameras).unwrap();
    assert!((own.auc["0.5"] - 100.0).abs() < 1e-3, "{layout}: {own}");
    assert!(
        own.pos_mm.max < 1e-6 && own.rot_deg.max < 1e-5,
        "{layout}: {own}"
    );
    let off = score_poses(&turned(&set.cameras), &set.cameras).unwrap();
    assert!((off.rot_deg.max - 0.6).abs() < 1e-4, "{layout}: {off}");
    assert!((off.auc["1"] - 82.0).abs() < 1e-2, "{layout}: {off}");
    assert!(off.pos_mm.max < 1e-6, "{layout}: {off}");
    // The layout keeps the poses: against those it was written from.
    let given = relievo_eval::cameras_of_model(&model()).unwrap();
    let kept = score_poses(&set.cameras, &given).unwrap();
    assert!(
        kept.pos_mm.max < 1e-3 && kept.rot_deg.max < 1e-4,
        "{layout}: {kept}"
    );
    assert!((kept.auc["0.5"] - 100.0).abs() < 0.1, "{layout}: {kept}");
}

#[test]
fn colmap_truth() {
    let dir = tempfile::tempdir().unwrap();
    photos(&dir.path().join("images"));
    let place = dir.path().join("sparse/0");
    relievo_formats::colmap::write_model_text(&model(), &place).unwrap();
    check(&benchmark::open(dir.path()).unwrap(), "colmap");
}

/// As `relievo bench` leaves them out, and by what a run was given.
#[test]
fn true_cameras_without_a_photo_do_not_count() {
    let dir = tempfile::tempdir().unwrap();
    photos(&dir.path().join("images"));
    fs_err::remove_file(dir.path().join("images/0005.png")).unwrap();
    let gt = dir.path().join("gt");
    relievo_formats::colmap::write_model_text(&model(), &gt).unwrap();
    let mut set = benchmark::open(dir.path()).unwrap();
    assert_eq!((set.cameras.len(), set.keep_given()), (N, 1));
    assert_eq!(read_truth(dir.path()).unwrap(), set.cameras);
    // The model alone knows no photos, but a run knows its own.
    let count = |truth: &Path, given: Option<&[String]>| {
        let found = eval_poses(&gt, truth, given).unwrap();
        (found.reg, found.gt)
    };
    assert_eq!(count(&gt, None), (N, N));
    assert_eq!(count(dir.path(), None), (N - 1, N - 1));
    let given: Vec<String> = (0..4).map(|i| format!("left/{i:04}.png")).collect();
    assert_eq!(count(&gt, Some(&given)), (4, 4));
    assert_eq!(count(&gt, Some(&["other.png".to_owned()])), (N, N));
    // A work folder is read as what its run found.
    let work = dir.path().join("w.relievo");
    let mut found = model();
    found.views.retain(|id, _| id.0 <= 3);
    relievo_formats::colmap::write_model_binary(&found, &work.join("sparse/model")).unwrap();
    for read in [read_cameras, read_truth] {
        assert_eq!(read(&work).unwrap().len(), 3);
    }
}

/// A plane as the scan beside the model, every 10 mm a point.
#[test]
fn colmap_truth_with_a_scan() {
    let dir = tempfile::tempdir().unwrap();
    photos(&dir.path().join("images"));
    relievo_formats::colmap::write_model_text(&model(), &dir.path().join("gt")).unwrap();
    let wall = |off: f32| -> Vec<[f32; 3]> {
        let places = (0..10_201).map(|i| [i % 101, i / 101]);
        places
            .map(|[i, j]| [0.01 * i as f32, 0.01 * j as f32, off])
            .collect()
    };
    let scan = PointCloud {
        positions: wall(0.0),
        normals: vec![[0.0, 0.0, 1.0]; 10_201],
        colors: vec![[128; 3]; 10_201],
        confidence: vec![255; 10_201],
        ..PointCloud::default()
    };
    relievo_formats::ply::write_cloud(&scan, &dir.path().join("gt/scan.ply")).unwrap();
    let set = benchmark::open(dir.path()).unwrap();
    check(&set, "colmap");
    let benchmark::Surface::Mesh(place) = &set.surface else {
        panic!("no surface");
    };
    let truth = relievo_eval::TrueScene::read(place).unwrap();
    let score = |off| relievo_eval::score_cloud(&wall(off), &truth, &Sim3::identity()).unwrap();
    let own = score(0.0);
    assert!(own.by_threshold_mm.values().all(|t| t.f > 0.9999), "{own}");
    // 1.5 mm above every point: none within 1 mm, all within 2 mm.
    let off = score(0.0015);
    let at = |t: &str| {
        (
            off.by_threshold_mm[t].precision,
            off.by_threshold_mm[t].recall,
        )
    };
    assert_eq!((at("1"), at("2")), ((0.0, 0.0), (1.0, 1.0)), "{off}");
}

/// Our own rendered set lies beside the crates.
#[test]
fn rendered() {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets/demo");
    let set = benchmark::open(&demo).unwrap();
    assert_eq!((set.layout, set.cameras.len()), ("rendered", 12));
    let own = score_poses(&set.cameras, &set.cameras).unwrap();
    assert!((own.auc["0.5"] - 100.0).abs() < 1e-3, "{own}");
    // 11 of 66 pairs are 0.6° off: recall rises from 55/66 at 0 to 56/66 there and at
    // once to 1, as in `turned`: AUC@1° = 0.6 · (55 + 56)/2/66 + 0.4.
    let off = score_poses(&turned_named(&set.cameras, "0003.jpg"), &set.cameras).unwrap();
    let by_hand = 100.0 * (0.6 * (55.0 + 56.0) / 2.0 / 66.0 + 0.4);
    assert!((off.auc["1"] - by_hand).abs() < 1e-2, "{by_hand}: {off}");

    let benchmark::Surface::Mesh(place) = &set.surface else {
        panic!("no surface");
    };
    let truth = relievo_eval::TrueScene::read(place).unwrap();
    let score = |off: f64| {
        let points = truth.points.iter().zip(&truth.normals);
        let moved: Vec<[f32; 3]> = points
            .map(|(p, n)| std::array::from_fn(|k| (p[k] + off * n[k]) as f32))
            .collect();
        relievo_eval::score_cloud(&moved, &truth, &Sim3::identity()).unwrap()
    };
    let own = score(0.0);
    assert!(own.by_threshold_mm.values().all(|t| t.f > 0.9999), "{own}");
    // 1.5 mm above every point: none within 1 mm, all within 2 mm, but where
    // another face is nearer.
    let off = score(0.0015);
    let at = |t: &str| off.by_threshold_mm[t].precision;
    assert!(at("1") < 0.03 && at("2") > 0.999, "{off}");
    let median = off.accuracy_mm.unwrap().median;
    assert!((median - 1.5).abs() < 0.02, "{median}");
}

#[test]
fn strecha() {
    let dir = tempfile::tempdir().unwrap();
    photos(&dir.path().join("images"));
    let gt = dir.path().join("gt_dense_cameras");
    fs_err::create_dir_all(&gt).unwrap();
    for (_, view, pose) in model().registered() {
        let r = pose.matrix().transpose();
        let c = pose.center();
        let mut text = "60 0 32 0 61 24 0 0 1\n0 0 0\n".to_owned();
        for i in 0..3 {
            let _ = writeln!(text, "{} {} {}", r[(i, 0)], r[(i, 1)], r[(i, 2)]);
        }
        let _ = writeln!(text, "{} {} {}\n64 48", c.x, c.y, c.z);
        fs_err::write(gt.join(format!("{}.camera", view.name)), text).unwrap();
    }
    let set = benchmark::open(dir.path()).unwrap();
    check(&set, "strecha");
    // What somebody made of the photos is a result, and no truth.
    let mut made = model();
    made.views.retain(|id, _| id.0 != 3);
    let place = dir.path().join("sparse/0");
    relievo_formats::colmap::write_model_text(&made, &place).unwrap();
    assert_eq!(benchmark::open(dir.path()).unwrap().layout, "strecha");
    assert_eq!(read_truth(dir.path()).unwrap(), set.cameras);
    assert_eq!(read_cameras(dir.path()).unwrap().len(), N - 1);
    let found = eval_poses(dir.path(), dir.path(), None).unwrap();
    assert_eq!((found.reg, found.gt), (N - 1, N));
    fs_err::write(gt.join("z.png.camera"), "1 2 x").unwrap();
    let error = benchmark::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("z.png.camera"), "{error}");
}

#[test]
fn middlebury() {
    let dir = tempfile::tempdir().unwrap();
    photos(dir.path());
    let mut text = format!("{N}\n");
    for (_, view, pose) in model().registered() {
        let (r, t) = (pose.matrix(), pose.translation);
        let _ = write!(text, "{} 60 0 31.5 0 61 23.5 0 0 1", view.name);
        for v in r.transpose().iter().chain(t.iter()) {
            let _ = write!(text, " {v}");
        }
        text.push('\n');
    }
    let par = dir.path().join("wall_par.txt");
    fs_err::write(&par, &text).unwrap();
    let set = benchmark::open(dir.path()).unwrap();
    check(&set, "middlebury");
    let c = set.cameras["0000.png"].camera;
    assert_eq!(c.model.principal_point_px(), Vec2::new(32.0, 24.0));
    assert_eq!((c.width_px, c.height_px), (64, 48));
    fs_err::write(&par, text.replacen('6', "7", 1)).unwrap();
    assert!(benchmark::open(dir.path()).is_err(), "a wrong count");
}

#[test]
fn nerfstudio() {
    let dir = tempfile::tempdir().unwrap();
    photos(&dir.path().join("images"));
    let text = relievo_formats::nerfstudio::encode_transforms(&model(), |n| format!("images/{n}"));
    fs_err::write(dir.path().join("transforms.json"), text).unwrap();
    let set = benchmark::open(dir.path()).unwrap();
    check(&set, "nerfstudio");
    assert_eq!(
        set.cameras["0003.png"].camera.model.focal_px(),
        (60.0, 61.0)
    );
    let file = dir.path().join("transforms.json");
    let good: serde_json::Value = serde_json::from_slice(&fs_err::read(&file).unwrap()).unwrap();
    let refused = |change: fn(&mut serde_json::Value)| {
        let mut bad = good.clone();
        change(&mut bad);
        fs_err::write(&file, bad.to_string()).unwrap();
        benchmark::open(dir.path()).unwrap_err().to_string()
    };
    let twice = |v: &mut serde_json::Value| {
        v["frames"][1]["file_path"] = v["frames"][0]["file_path"].clone();
    };
    assert!(refused(twice).contains("two photos are called"));
    // Axes of length 2 and ½: the determinant stays 1.
    let skewed = refused(|v| {
        for row in 0..3 {
            for (column, factor) in [(0, 2.0), (1, 0.5)] {
                let at = &mut v["frames"][0]["transform_matrix"][row][column];
                *at = (at.as_f64().unwrap() * factor).into();
            }
        }
    });
    assert!(skewed.contains("not a rotation"), "{skewed}");
    let fisheye = refused(|v| v["camera_model"] = "OPENCV_FISHEYE".into());
    assert!(fisheye.contains("fisheye"), "{fisheye}");
    // Photos in the folder that the file names.
    fs_err::rename(dir.path().join("images"), dir.path().join("train")).unwrap();
    fs_err::write(&file, good.to_string().replace("images/", "./train/")).unwrap();
    let set = benchmark::open(dir.path()).unwrap();
    assert_eq!(set.inputs.len(), set.cameras.len());
    assert!(
        set.inputs
            .iter()
            .all(|p| p.parent() == Some(&dir.path().join("train")))
    );
}

/// The scan: a wall of 1 m at 2 m before the scanner, a point a centimetre.
fn eth3d_set(dir: &Path) {
    photos(&dir.join("images/dslr_images_undistorted"));
    let place = dir.join("dslr_calibration_undistorted");
    relievo_formats::colmap::write_model_text(&model(), &place).unwrap();
    let eval = dir.join("dslr_scan_eval");
    fs_err::create_dir_all(&eval).unwrap();
    let scan = PointCloud {
        positions: wall(0.0),
        normals: vec![[0.0, 0.0, -1.0]; 100 * 100],
        colors: vec![[255; 3]; 100 * 100],
        confidence: vec![255; 100 * 100],
        ..PointCloud::default()
    };
    relievo_formats::ply::write_cloud(&scan, &eval.join("scan1.ply")).unwrap();
    // The scanner stands at (10, 0, 0).
    let project = "<!DOCTYPE MeshLabDocument>\n<MeshLabProject><MeshGroup>\
        <MLMesh label=\"scan1\" filename=\"scan1.ply\"><MLMatrix44>\n1 0 0 10 \n0 1 0 0 \n\
        0 0 1 0 \n0 0 0 1 \n</MLMatrix44></MLMesh></MeshGroup></MeshLabProject>";
    fs_err::write(eval.join("scan_alignment.mlp"), project).unwrap();
}

/// The wall in the scanner's frame, this much nearer to it, along each beam.
fn wall(nearer: f64) -> Vec<[f32; 3]> {
    (0..100 * 100)
        .map(|k| {
            // Away from the borders of the voxels, in both grids.
            let at = |i: usize| (i as f64 - 49.3) * 0.01;
            let p = Vec3::new(at(k % 100), at(k / 100), 2.004);
            let p = p * (1.0 - nearer / p.norm());
            [p.x as f32, p.y as f32, p.z as f32]
        })
        .collect()
}

#[test]
fn eth3d_layout_and_rule() {
    let dir = tempfile::tempdir().unwrap();
    eth3d_set(dir.path());
    let set = benchmark::open(dir.path()).unwrap();
    check(&set, "eth3d");
    let benchmark::Surface::Scans(scans) = &set.surface else {
        panic!("no scans");
    };
    let world = Sim3 {
        translation: Vec3::new(10.0, 0.0, 0.0),
        ..Sim3::identity()
    };
    let score = |cloud: &[[f32; 3]]| eth3d_surface::score(cloud, scans, &world).unwrap();
    let own = score(&wall(0.0));
    assert!(own.at.iter().all(|a| a.f1 == 1.0), "{own}");

    // 15 mm towards the scanner: in free space at 1 cm, accurate at 2 cm.
    let near = score(&wall(0.015));
    assert_eq!((near.at[0].accuracy, near.at[0].completeness), (0.0, 0.0));
    assert_eq!((near.at[1].accuracy, near.at[1].completeness), (1.0, 1.0));

    // 15 mm behind it: not observed at 1 cm, accurate at 2 cm.
    let behind = score(&wall(-0.015));
    assert_eq!((behind.at[0].accuracy, behind.at[1].accuracy), (0.0, 1.0));
    assert_eq!(behind.observed, 0);
    let away: Vec<_> = wall(0.0).iter().map(|p| [p[0], p[1], -p[2]]).collect();
    let away = eth3d_surface::score(&away, scans, &world);
    assert!(
        matches!(away, Err(EvalError::OtherFrame { .. })),
        "{away:?}"
    );

    // Half the wall: half is complete, all of it accurate. The row next to the
    // cut is reached too at 1 cm (spacing 1 cm): between 50 and 52 rows.
    let half: Vec<_> = wall(0.0).into_iter().take(5000).collect();
    let half = score(&half);
    assert_eq!(half.at[0].accuracy, 1.0);
    assert!((half.at[0].completeness - 0.5).abs() < 0.03, "{half}");
    assert!((half.at[0].f1 - 2.0 / 3.0).abs() < 0.03, "{half}");

    // Points far behind the wall and beside it do not count.
    let mut more = wall(0.0);
    more.extend(wall(-1.0));
    more.push([5.0, 0.0, -1.0]);
    assert_eq!(score(&more).at[0].accuracy, 1.0);
    // A second layer 0.6 m before it does: 100² voxels right, 70.5² wrong.
    let mut front = wall(0.0);
    front.extend(wall(0.6));
    let front = score(&front);
    assert!((front.at[0].accuracy - 0.668).abs() < 0.02, "{front}");

    assert!(eth3d_surface::score(&[], scans, &world).is_err());
    fs_err::write(dir.path().join("dslr_scan_eval/scan1.ply"), "ply\n").unwrap();
    assert!(benchmark::open(dir.path()).is_err());
    assert!(eth3d::read_scans(&dir.path().join("no.mlp")).is_err());
}

/// A ring of cameras around points, as a BAL problem with these pixel errors.
fn bal_text(offset: f64, moved: f64) -> (String, usize) {
    let mut observations = String::new();
    let (mut cameras, mut points) = (String::new(), String::new());
    let xs: Vec<Vec3> = (0..40)
        .map(|k| {
            let k = f64::from(k);
            Vec3::new((1.3 * k).sin(), (2.1 * k).cos(), (0.7 * k).sin()) * 0.8
        })
        .collect();
    let mut count = 0;
    for c in 0..6 {
        let turn = UnitQuaternion::from_euler_angles(0.1 * f64::from(c), f64::from(c), 0.2);
        let camera = bal::BalCamera {
            rotation: turn,
            translation: Vec3::new(0.05 * f64::from(c), 0.0, -5.0),
            intrinsics: [500.0, -0.02, 0.003],
        };
        for (i, x) in xs.iter().enumerate() {
            let u = bal::project(&camera, x).unwrap();
            let _ = writeln!(observations, "{c} {i} {:e} {:e}", u.x + offset, u.y);
            count += 1;
        }
        let w = turn.scaled_axis();
        for v in [
            w.x,
            w.y,
            w.z + moved,
            0.05 * f64::from(c),
            0.0,
            -5.0,
            500.0,
            -0.02,
            0.003,
        ] {
            let _ = writeln!(cameras, "{v:e}");
        }
    }
    for x in &xs {
        let _ = writeln!(points, "{:e}\n{:e}\n{:e}", x.x, x.y, x.z);
    }
    (
        format!("6 {} {count}\n{observations}{cameras}{points}", xs.len()),
        count,
    )
}

#[test]
fn bundle_adjustment_in_the_large() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("problem-6-40.txt");
    let solve = |text: &str| {
        fs_err::write(&file, text).unwrap();
        assert!(bal::is_problem(&file));
        let problem = bal::read(&file).unwrap();
        problem
            .solve(&BundleOptions::default(), &Task::silent())
            .unwrap()
    };
    // The truth costs nothing; every pixel one off: ½ · 240 · 1².
    assert!(solve(&bal_text(0.0, 0.0).0).initial_cost < 1e-15);
    let (text, count) = bal_text(1.0, 0.0);
    let off = solve(&text);
    assert_eq!(off.observations, count);
    assert!((off.initial_cost - 120.0).abs() < 1e-6, "{off}");
    // Turned cameras find back to nothing: the derivatives are right.
    let back = solve(&bal_text(0.0, 0.02).0);
    assert!(
        back.initial_cost > 100.0 && back.final_cost < 1e-6,
        "{back}"
    );
    assert!(back.iterations < 15, "{back}");
    for bad in [
        "",
        "1 1 1\n0 5 0 0",
        "2 1 1\n0 0 1 nan",
        "999999999999 1 1\n0 0 1 1",
        &text[..text.len() / 2],
        &format!("{text} 1"),
        &format!("{text} x"),
        &text.replacen("\n0 0 ", "\n-1 0 ", 1),
        &text.replacen("\n0 0 ", "\n0.5 0 ", 1),
    ] {
        fs_err::write(&file, bad).unwrap();
        assert!(bal::read(&file).is_err(), "{bad}");
    }
}

#[test]
fn what_cannot_be_scored_is_said_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let error = benchmark::open(dir.path()).unwrap_err();
    assert!(error.to_string().contains("no truth") && error.hint().is_some());
    assert!(benchmark::open(&dir.path().join("no")).is_err());
    // Truth without photos; photos without enough truth.
    let place = dir.path().join("sparse/0");
    relievo_formats::colmap::write_model_text(&model(), &place).unwrap();
    let error = benchmark::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("neither photos"), "{error}");
    photos(&dir.path().join("images"));
    let mut few = model();
    few.views.retain(|id, _| id.0 <= 2);
    relievo_formats::colmap::write_model_text(&few, &place).unwrap();
    let error = benchmark::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("fewer than three"), "{error}");
    // Cameras of other photos under the same names fit by no similarity.
    let truth = relievo_eval::cameras_of_model(&model()).unwrap();
    let mut other = truth.clone();
    for (i, c) in other.values_mut().enumerate() {
        let far = Vec3::new((7 * i % 5) as f64, (3 * i % 7) as f64, (5 * i % 3) as f64);
        c.cam_from_world.translation = -(c.cam_from_world.rotation * far);
    }
    let refused = relievo_eval::align_cameras(&other, &truth);
    assert!(
        matches!(refused, Err(EvalError::NoAgreement { .. })),
        "{refused:?}"
    );
    assert!(read_cameras(&dir.path().join("nothing")).is_err());
}
