//! Models from elsewhere that the dense stages cannot use, or only in part: one
//! photo, no overlap, photos gone or of another size, poses that are none, points
//! behind cameras, distortion.

use super::small::go_on;
use relievo_formats::{colmap, ply};
use relievo_geometry::{CameraModel, Mat3, Rigid3, Vec2, Vec3};
use relievo_scene::{CameraId, Observation, SparseModel, Track, TrackId, ViewId};
use relievo_tests::data::{copy_demo, demo, rectangles};
use relievo_tests::program::{Ran, relievo};
use relievo_tests::work::{self, states};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The true cameras of demo photos, and points of the true surface that all of
/// them see: depth needs neither features nor matches.
fn model(photos: &[u32]) -> SparseModel {
    let mut model = colmap::read_model(&demo().join("gt")).expect("the demo set's truth");
    model.views.retain(|id, _| photos.contains(&id.0));
    let points = ply::read_cloud(&demo().join("gt/points.ply")).expect("true points");
    let step = points.positions.len() / 400;
    for (n, p) in points.positions.iter().step_by(step).enumerate() {
        let point = p.map(f64::from).into();
        let mut observations = Vec::new();
        for (id, view) in &mut model.views {
            let camera = model.cameras[&view.camera_id];
            let pose = view.cam_from_world.expect("a true pose");
            let Some(px) = camera.model.project(&pose.apply(&point)) else {
                continue;
            };
            if px.x > 0.0 && px.y > 0.0 && px.x < 640.0 && px.y < 480.0 {
                let point_idx = view.points_px.len() as u32;
                view.points_px.push([px.x, px.y]);
                let view_id = *id;
                observations.push(Observation { view_id, point_idx });
            }
        }
        let track = Track {
            observations,
            position_in_world: Some(point),
            color: [128; 3],
        };
        model.tracks.insert(TrackId(n as u64), track);
    }
    model
}

/// A folder with demo photos in `images`, a model in `model`, and room for `w`.
struct Given(TempDir);

impl Given {
    fn new(photos: &[u32], model: &SparseModel) -> Self {
        let given = Self(tempfile::tempdir().expect("a temporary folder"));
        copy_demo(photos.iter().map(|n| *n as usize), &given.images());
        fs_err::create_dir_all(given.at("model")).expect("a folder");
        colmap::write_model_text(model, &given.at("model")).expect("a model");
        given
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn images(&self) -> PathBuf {
        self.at("images")
    }

    fn work(&self) -> PathBuf {
        self.at("w.relievo")
    }

    fn import(&self) -> Ran {
        let words: [OsString; 8] = [
            "import".into(),
            "colmap".into(),
            "--model".into(),
            self.at("model").into(),
            "--images".into(),
            self.images().into(),
            "-o".into(),
            self.work().into(),
        ];
        relievo(words)
    }

    fn depth(&self) -> Ran {
        let words = ["--quality", "draft", "--until", "depth"].map(OsString::from);
        relievo(go_on(&self.work()).into_iter().chain(words))
    }

    /// State of the stages.
    fn status(&self) -> std::collections::BTreeMap<String, String> {
        let words: [OsString; 2] = ["status".into(), self.work().into()];
        states(&relievo(words).ends(0).stdout)
    }

    /// Median error of the depth maps, mm, and their coverage.
    fn depth_errors(&self) -> (f64, f64) {
        let figures = super::golden::eval("depth", &self.work(), &demo());
        let of = |name: &str| figures[name].as_f64().unwrap_or(f64::NAN);
        (of("median_mm"), of("coverage"))
    }
}

#[test]
fn a_model_of_one_photo_is_refused() {
    let given = Given::new(&[3], &model(&[3]));
    given
        .import()
        .ends(1)
        .says(&["the model has 1 photo", "hint: ", "at least two photos"]);
    assert!(!given.work().exists());
}

#[test]
fn views_that_share_no_point_have_no_depth_and_nothing_is_lost() {
    let mut apart = model(&[1, 4, 6]);
    // Every point is seen by one photo alone.
    for (n, track) in apart.tracks.values_mut().enumerate() {
        let keep = n % track.observations.len().max(1);
        let mut at = 0..;
        track.observations.retain(|_| at.next() == Some(keep));
    }
    let given = Given::new(&[1, 4, 6], &apart);
    given.import().ends(0);
    let before = work::whole_tree(&given.work().join("sparse"));
    for _ in 0..2 {
        given
            .depth()
            .ends(1)
            .says(&["no two photos see the same surface", "hint: ", "overlap"]);
    }
    assert!(given.status()["sparse"].contains("imported"));
    let after = work::whole_tree(&given.work().join("sparse"));
    work::assert_same(&before, &after, "the imported model");
}

#[test]
fn photos_without_anything_in_common_give_no_points_under_given_poses() {
    let mut bare = model(&[1, 2, 3]);
    bare.tracks.clear();
    bare.views.values_mut().for_each(|v| v.points_px.clear());
    let given = Given::new(&[], &bare);
    fs_err::create_dir_all(given.images()).unwrap();
    for n in 1..=3 {
        let path = given.images().join(format!("{n:04}.jpg"));
        rectangles(n, 640, 480).save(path).unwrap();
    }
    given.import().ends(0);
    let ran = given.depth().ends(1).says(&["hint: "]);
    assert!(
        ran.stderr.contains("no two photos") || ran.stderr.contains("overlap"),
        "{}",
        ran.stderr
    );
    assert!(given.status()["features"].starts_with("fresh"));
}

#[test]
fn photos_of_a_model_that_are_missing_are_named() {
    let given = Given::new(&[2, 3, 4], &model(&[2, 3, 4, 5, 6]));
    given.import().ends(0).says(&[
        "0005.jpg",
        "0006.jpg",
        "the model names it",
        "give the folder",
    ]);
    // Three of five photos: the depth is there, and it is said.
    given.depth().ends(3).says(&["0005.jpg"]);
    let (median, _) = given.depth_errors();
    assert!(median < 2.0, "{median} mm");
    let none = Given::new(&[8], &model(&[2, 3, 4]));
    none.import()
        .ends(1)
        .says(&["0 of the 3 photos of the model", "hint: "]);
    assert!(!none.work().exists());
}

#[test]
fn a_photo_that_goes_after_the_import_is_named_and_may_come_back() {
    let given = Given::new(&[2, 3], &model(&[2, 3]));
    given.import().ends(0);
    let photo = given.images().join("0003.jpg");
    let aside = given.at("0003.jpg");
    fs_err::rename(&photo, &aside).unwrap();
    given.depth().ends(1).says(&["0003.jpg", "hint: "]);
    // Of another size it is not the photo of this camera.
    let half =
        image::open(&aside)
            .unwrap()
            .resize_exact(320, 240, image::imageops::FilterType::Triangle);
    half.save(&photo).unwrap();
    given
        .depth()
        .ends(1)
        .says(&["0003.jpg", "320 × 240", "640 × 480", "hint: "]);
    // Nor is another one of its size.
    fs_err::copy(given.images().join("0002.jpg"), &photo).unwrap();
    given
        .depth()
        .ends(1)
        .says(&["0003.jpg", "another photo", "hint: put the photo back"]);
    fs_err::rename(&aside, &photo).unwrap();
    given.depth().ends(0);
    // Maps are written without the photos, undistorted photos are not.
    fs_err::rename(&photo, &aside).unwrap();
    let export = |format: &str| {
        let mut words: Vec<OsString> = ["export", "--format", format].map(Into::into).into();
        words.extend([given.work().into(), "-o".into(), given.at("out").into()]);
        relievo(words)
    };
    export("colmap-dense").ends(1).says(&[
        "0003.jpg",
        "hint: put the photo back",
        "--format depth",
    ]);
    export("depth").ends(0);
}

/// The same model with ids as another program's database may give them.
fn with_other_ids(model: &SparseModel) -> SparseModel {
    let other = |id: &ViewId| ViewId([40, 3, 55, 12, 91][id.0 as usize % 5]);
    let mut out = SparseModel::default();
    for (id, camera) in &model.cameras {
        out.cameras.insert(CameraId(id.0 + 6), *camera);
    }
    for (id, view) in &model.views {
        let mut view = view.clone();
        view.camera_id = CameraId(view.camera_id.0 + 6);
        out.views.insert(other(id), view);
    }
    for (id, track) in &model.tracks {
        let mut track = track.clone();
        for o in &mut track.observations {
            o.view_id = other(&o.view_id);
        }
        track.observations.sort_unstable();
        out.tracks.insert(TrackId(5000 - id.0), track);
    }
    out
}

#[test]
fn ids_of_a_model_change_no_byte() {
    let ours = model(&[2, 3, 4]);
    let maps = |model: &SparseModel| {
        let given = Given::new(&[2, 3, 4], model);
        given.import().ends(0);
        given.depth().ends(0);
        let mut tree = work::whole_tree(&given.work().join("depth"));
        tree.retain(|name, _| name.contains(".jpg.depth"));
        tree
    };
    let expected = maps(&ours);
    assert_eq!(expected.len(), 3);
    work::assert_same(&expected, &maps(&with_other_ids(&ours)), "other ids");
}

#[test]
fn a_photo_that_is_in_the_model_twice_is_refused() {
    let mut twice = model(&[2, 3]);
    let again = twice.views[&ViewId(3)].clone();
    twice.views.insert(ViewId(9), again);
    let given = Given::new(&[2, 3], &twice);
    given
        .import()
        .ends(1)
        .says(&["0003.jpg", "twice", "hint: "]);
    assert!(!given.work().exists());
}

#[test]
fn a_model_far_from_its_origin_is_brought_near() {
    let origin = Vec3::new(5_000.0, 54_000.0, 30.0);
    let mut far = model(&[2, 3, 4]);
    for view in far.views.values_mut() {
        let pose = view.cam_from_world.as_mut().unwrap();
        pose.translation -= pose.rotation * origin;
    }
    for track in far.tracks.values_mut() {
        *track.position_in_world.as_mut().unwrap() += origin;
    }
    let given = Given::new(&[2, 3, 4], &far);
    given
        .import()
        .ends(0)
        .says(&["far from its origin", "53999"]);
    let georef = work::json(&given.work().join("sparse/georef.json"));
    let y = georef["origin"][1].as_f64().unwrap();
    assert!((y - 54_000.0).abs() < 2.0, "{georef}");
    let words = ["--quality", "draft", "--until", "cloud"].map(OsString::from);
    relievo(go_on(&given.work()).into_iter().chain(words)).ends(0);
    let cloud = ply::read_cloud(&given.work().join("cloud/dense.ply")).unwrap();
    let farthest = cloud
        .positions
        .iter()
        .flatten()
        .fold(0.0_f32, |m, v| m.max(v.abs()));
    assert!(farthest < 100.0, "{farthest}");
    // As good as it is around its own origin.
    let (median, coverage) = given.depth_errors();
    assert!(median < 2.0 && coverage > 0.5, "{median} mm, {coverage}");
}

#[test]
fn points_that_nobody_sees_are_no_points() {
    let mut loose = model(&[2, 3, 4]);
    for track in loose.tracks.values_mut() {
        track.observations.clear();
    }
    for view in loose.views.values_mut() {
        view.points_px.clear();
    }
    let given = Given::new(&[2, 3, 4], &loose);
    given.import().ends(0);
    assert!(!given.status()["sparse"].starts_with("fresh"));
    given.depth().ends(0);
    let (median, coverage) = given.depth_errors();
    assert!(median < 2.0 && coverage > 0.5, "{median} mm, {coverage}");
    // A binary model may lack the file of points altogether.
    fs_err::remove_dir_all(given.at("model")).unwrap();
    fs_err::create_dir_all(given.at("model")).unwrap();
    let whole = model(&[2, 3, 4]);
    colmap::write_model_binary(&whole, &given.at("model")).unwrap();
    fs_err::remove_file(given.at("model/points3D.bin")).unwrap();
    fs_err::remove_dir_all(given.work()).unwrap();
    given.import().ends(0);
    assert!(!given.status()["sparse"].starts_with("fresh"));
}

#[test]
fn a_given_pose_with_few_points_is_a_pose() {
    let mut few = model(&[2, 3, 4]);
    for (n, track) in few.tracks.values_mut().enumerate() {
        let keep = |o: &Observation| o.view_id != ViewId(4) || n < 12;
        track.observations.retain(keep);
    }
    let given = Given::new(&[2, 3, 4], &few);
    given.import().ends(0);
    given.depth().ends(0);
    let photos = work::json(&given.work().join("sparse/photos.json"));
    assert_eq!(photos[2]["registered"], true, "{photos}");
}

#[test]
fn two_photos_from_opposite_sides_have_no_depth() {
    let whole = model(&(1..=12).collect::<Vec<_>>());
    let centers: Vec<(u32, Vec3)> = whole
        .registered()
        .map(|(id, _, pose)| (id.0, pose.center()))
        .collect();
    let points = whole.tracks.values().filter_map(|t| t.position_in_world);
    let middle = points.sum::<Vec3>() / whole.tracks.len() as f64;
    let angle = |a: &(u32, Vec3), b: &(u32, Vec3)| (a.1 - middle).angle(&(b.1 - middle));
    let pairs = centers
        .iter()
        .flat_map(|a| centers.iter().map(move |b| (a, b)));
    let (a, b) = pairs
        .filter(|(a, b)| a.0 < b.0)
        .max_by(|p, q| angle(p.0, p.1).total_cmp(&angle(q.0, q.1)))
        .unwrap();
    let given = Given::new(&[a.0, b.0], &model(&[a.0, b.0]));
    given.import().ends(0);
    given
        .depth()
        .ends(1)
        .says(&["no two photos see the same surface", "hint: "]);
}

#[test]
fn photos_of_another_size_than_their_camera_are_refused() {
    let mut large = model(&[2, 3]);
    for camera in large.cameras.values_mut() {
        *camera = camera.resized(1280, 960);
    }
    let given = Given::new(&[2, 3], &large);
    given.import().ends(1).says(&[
        "0002.jpg",
        "640 × 480",
        "1280 × 960",
        "hint: give the photos that the model was computed from",
    ]);
    assert!(!given.work().exists());
}

#[test]
fn distortion_that_folds_the_picture_is_refused_or_told() {
    let folding = |k| {
        let mut model = model(&[2, 3]);
        for camera in model.cameras.values_mut() {
            let c = camera.model.principal_point_px();
            camera.model = CameraModel::SimpleRadial {
                f: camera.model.mean_focal_px(),
                cx: c.x,
                cy: c.y,
                k,
            };
        }
        model
    };
    let given = Given::new(&[2, 3], &folding(-5.0));
    given
        .import()
        .ends(1)
        .says(&["camera 1", "without a ray", "-5.0", "hint: check the order"]);
    assert!(!given.work().exists());
    colmap::write_model_text(&folding(-0.4), &given.at("model")).unwrap();
    given
        .import()
        .ends(0)
        .says(&["without a ray", "undistorter"]);
}

#[test]
fn poses_and_points_that_are_not_finite_are_refused() {
    let right = model(&[2, 3]);
    let given = Given::new(&[2, 3], &right);
    let pose = right.views[&ViewId(3)].cam_from_world.unwrap();
    let bad_pose = Rigid3 {
        translation: pose.translation * f64::NAN,
        ..pose
    };
    let mut posed = right.clone();
    posed.views.get_mut(&ViewId(3)).unwrap().cam_from_world = Some(bad_pose);
    let mut pointed = right.clone();
    let point = pointed.tracks.values_mut().next().unwrap();
    point.position_in_world = Some(bad_pose.translation);
    let refused = |what: &str| {
        let ran = given
            .import()
            .ends(1)
            .says(&[what, "hint: leave out or correct"]);
        assert!(
            ran.stderr.contains("NaN") || ran.stderr.contains("finite"),
            "{}",
            ran.stderr
        );
        assert!(!given.work().exists());
    };
    for (bad, what) in [(&posed, "image"), (&pointed, "track")] {
        colmap::write_model_text(bad, &given.at("model")).unwrap();
        refused(what);
    }
    for (bad, what) in [(&posed, "image"), (&pointed, "track")] {
        colmap::write_model_binary(bad, &given.at("model")).unwrap();
        refused(what);
    }
}

#[test]
fn points_behind_cameras_are_told_and_ignored_and_inverse_poses_are_refused() {
    let right = model(&[2, 3, 4]);
    let mut some = right.clone();
    for track in some.tracks.values_mut().step_by(10) {
        let pose = some.views[&ViewId(2)].cam_from_world.unwrap();
        let q = pose.apply(&track.position_in_world.unwrap());
        track.position_in_world = Some(pose.inverse().apply(&-q));
    }
    let given = Given::new(&[2, 3, 4], &some);
    given
        .import()
        .ends(0)
        .says(&["observed points lie behind", "ignored"]);
    given.depth().ends(0);
    let (median, coverage) = given.depth_errors();
    assert!(median < 2.0 && coverage > 0.5, "{median} mm, {coverage}");
    // Looking backwards: turned about the vertical axis.
    let half_turn = Mat3::new(-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0);
    let turn = Rigid3::from_matrix(&half_turn, Vec3::zeros());
    let mut backwards = right;
    for view in backwards.views.values_mut() {
        let pose = view.cam_from_world.unwrap();
        view.cam_from_world = Some(Rigid3::new(
            turn.rotation * pose.rotation,
            turn.rotation * pose.translation,
        ));
    }
    let given = Given::new(&[2, 3, 4], &backwards);
    given
        .import()
        .ends(1)
        .says(&["lie behind the camera", "hint: ", "cam_from_world"]);
    assert!(!given.work().exists());
}

/// The demo photo as a lens of this model sees it.
fn through_lens(photo: &Path, lens: &CameraModel, pinhole: &CameraModel) -> image::RgbImage {
    let from = image::open(photo).expect("a photo").to_rgb8();
    let (w, h) = from.dimensions();
    image::RgbImage::from_fn(w, h, |x, y| {
        let n = lens.unproject(&Vec2::new(f64::from(x) + 0.5, f64::from(y) + 0.5));
        let (fx, fy) = pinhole.focal_px();
        let c = pinhole.principal_point_px();
        let (u, v) = (fx * n.x + c.x - 0.5, fy * n.y + c.y - 0.5);
        let inside = u >= 0.0 && v >= 0.0 && u < f64::from(w - 1) && v < f64::from(h - 1);
        if !inside {
            return image::Rgb([0; 3]);
        }
        let (i, j) = (u as u32, v as u32);
        let (s, t) = (u - f64::from(i), v - f64::from(j));
        image::Rgb(std::array::from_fn(|k| {
            let at = |x: u32, y: u32| f64::from(from.get_pixel(x, y)[k]);
            let top = at(i, j) * (1.0 - s) + at(i + 1, j) * s;
            let bottom = at(i, j + 1) * (1.0 - s) + at(i + 1, j + 1) * s;
            (top * (1.0 - t) + bottom * t).round() as u8
        }))
    })
}

#[test]
fn a_distorted_model_is_undistorted() {
    let mut bent = model(&[2, 3, 4]);
    let pinhole = bent.cameras.values().next().unwrap().model;
    // A barrel that moves the corners inwards by some 60 pixels.
    let lens = CameraModel::OpenCv {
        fx: 640.0,
        fy: 642.0,
        cx: 322.0,
        cy: 238.0,
        k1: 0.24,
        k2: 0.02,
        p1: 0.002,
        p2: -0.001,
    };
    for camera in bent.cameras.values_mut() {
        camera.model = lens;
    }
    for view in bent.views.values_mut() {
        let (fx, fy) = pinhole.focal_px();
        let c = pinhole.principal_point_px();
        for p in &mut view.points_px {
            let n = Vec2::new((p[0] - c.x) / fx, (p[1] - c.y) / fy);
            let px = lens.project(&n.push(1.0)).unwrap();
            *p = [px.x, px.y];
        }
    }
    let given = Given::new(&[2, 3, 4], &bent);
    for n in 2..=4 {
        let path = given.images().join(format!("{n:04}.jpg"));
        let seen = through_lens(&path, &lens, &pinhole);
        seen.save(&path).unwrap();
    }
    given.import().ends(0);
    given.depth().ends(0);
    let (median, coverage) = given.depth_errors();
    assert!(median < 2.0 && coverage > 0.5, "{median} mm, {coverage}");
    // What cannot be undistorted is refused with what can be done.
    let cameras = given.at("model/cameras.txt");
    fs_err::write(
        &cameras,
        "1 FULL_OPENCV 640 480 500 500 320 240 0 0 0 0 0 0 0 0\n",
    )
    .unwrap();
    let work = given.work();
    let before = work::whole_tree(&work);
    given
        .import()
        .ends(1)
        .says(&["FULL_OPENCV", "hint: ", "undistort"]);
    work::assert_same(&before, &work::whole_tree(&work), "a refused import");
}
