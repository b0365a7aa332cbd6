//! Surfaces, textures and relative poses score what other programs make of the same
//! files. Each test leaves its input under `target/tmp/evaluators`, and names the
//! program and the command that printed its numbers there.
//!
//! `eval_pose.py`, `eval_geometry.py` and `eval_texture.py` are evaluators that were
//! written apart from this crate (SHA-256 from f89c5b89, 96abde9a and e8ffd3f3 on);
//! they ran on NumPy 2.4, SciPy 1.17, Open3D 0.20, trimesh 5.2 and pycolmap 4.2.

#![allow(clippy::unwrap_used, reason = "functions that tests share")]

use nalgebra::UnitQuaternion;
use relievo_eval::{
    Alignment, SurfaceFigures, TextureQuery, eval_cloud, eval_mesh, eval_poses, eval_texture,
};
use relievo_formats::{colmap, gltf, ply};
use relievo_geometry::{CameraModel, Rigid3, Sim3, Vec3};
use relievo_image::Raster;
use relievo_scene::{Camera, CameraId, SparseModel, TextureAtlas, TexturedMesh, TriMesh};
use relievo_scene::{View, ViewId};
use relievo_task::Task;
use std::path::{Path, PathBuf};

fn folder(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("evaluators")
        .join(name);
    fs_err::create_dir_all(&dir).unwrap();
    dir
}

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets/demo")
}

/// Between -1 and 1, different for every number.
fn wave(k: usize, along: f64) -> f64 {
    (12.9898 * k as f64 + 78.233 * along).sin()
}

fn near(got: f64, want: f64, tolerance: f64, what: &str) {
    assert!((got - want).abs() <= tolerance, "{what}: {got} for {want}");
}

/// Where the estimates are, seen from the truth.
fn elsewhere() -> Sim3 {
    Sim3 {
        scale: 2.5,
        rotation: UnitQuaternion::from_euler_angles(0.4, -0.7, 1.1),
        translation: Vec3::new(1.0, -2.0, 3.0),
    }
}

/// The demo cameras in another frame, each turned by up to `deg` degrees and moved by
/// up to `mm` millimetres.
fn cameras(dir: &Path, deg: f64, mm: f64) {
    let mut model = colmap::read_model(&demo().join("gt")).unwrap();
    for (k, view) in model.views.values_mut().enumerate() {
        let true_pose = view.cam_from_world.unwrap();
        let error = |i: usize| wave(7 * k + i, 1.0) / 3_f64.sqrt();
        let turn = deg.to_radians() * Vec3::new(error(0), error(1), error(2));
        let turn = UnitQuaternion::from_scaled_axis(turn);
        let rotation = turn * true_pose.rotation;
        let moved = mm / 1000.0 * Vec3::new(error(3), error(4), error(5));
        let pose = Rigid3::new(rotation, -(rotation * (true_pose.center() + moved)));
        view.cam_from_world = Some(elsewhere().transform_pose(&pose));
    }
    colmap::write_model_text(&model, dir).unwrap();
}

/// `eval_pose.py target/tmp/evaluators/poses datasets/demo/gt`
#[test]
fn relative_poses_and_aligned_errors_are_those_of_eval_pose() {
    let dir = folder("poses");
    cameras(&dir, 0.8, 3.0);
    // The last camera is not found: its pairs fail.
    let text = fs_err::read_to_string(dir.join("images.txt")).unwrap();
    let end = text.find("\n12 ").unwrap() + 1;
    fs_err::write(dir.join("images.txt"), &text[..end]).unwrap();
    let f = eval_poses(&dir, &demo().join("gt"), None).unwrap();
    assert_eq!((f.reg, f.gt), (11, 12));
    // Printed with three digits (millimetres), four (degrees) and two (percent).
    let spreads = [
        (f.pos_mm, [1.356, 1.722, 3.155], 0.000_51),
        (f.rot_deg, [0.6203, 0.5516, 0.8746], 0.000_051),
        (f.relrot_deg, [0.7284, 0.7729, 1.4868], 0.000_051),
        (f.reltrans_deg, [0.7163, 0.7263, 1.8395], 0.000_051),
    ];
    for (got, want, tolerance) in spreads {
        let got = [got.med, got.mean, got.max];
        (0..3).for_each(|k| near(got[k], want[k], tolerance, "median, mean or maximum"));
    }
    for (limit, want) in [("0.5", 1.73), ("1", 14.66), ("3", 57.25), ("5", 67.69)] {
        near(
            f.auc[limit],
            want,
            0.0051,
            &format!("AUC at {limit} degrees"),
        );
    }
}

/// Median, mean and 90th percentile of the accuracy, then of the completeness.
fn distances(f: &SurfaceFigures) -> [f64; 6] {
    let (a, c) = (f.accuracy_mm.unwrap(), f.completeness_mm);
    [a.median, a.mean, a.p90, c.median, c.mean, c.p90]
}

/// A threshold with precision, recall and F there.
type Row = (&'static str, [f64; 3]);

/// Within a share of the distances, and an amount of the rows.
fn agree(f: &SurfaceFigures, want: [f64; 6], rows: &[Row], relative: f64, absolute: f64) {
    for (got, want) in distances(f).into_iter().zip(want) {
        near(got, want, relative * want, "accuracy or completeness");
    }
    for (limit, want) in rows {
        let row = f.by_threshold_mm[*limit];
        let got = [row.precision, row.recall, row.f];
        (0..3).for_each(|k| near(got[k], want[k], absolute, &format!("at {limit} mm")));
    }
}

fn moved(p: [f32; 3]) -> [f32; 3] {
    let q = elsewhere().apply(&Vec3::from(p.map(f64::from)));
    [q.x as f32, q.y as f32, q.z as f32]
}

/// The true mesh of the demo set, each corner moved by up to 3 mm along every axis.
fn shaken() -> TriMesh {
    let mut mesh = ply::read_mesh(&demo().join("gt/mesh.ply")).unwrap();
    for (k, p) in mesh.positions.iter_mut().enumerate() {
        *p = std::array::from_fn(|i| p[i] + 0.003 * wave(3 * k + i, 2.0) as f32);
    }
    mesh
}

/// `eval_geometry.py datasets/demo --points target/tmp/evaluators/shaken/cloud.ply
/// --model target/tmp/evaluators/shaken --json cloud.json`
#[test]
fn a_cloud_scores_what_eval_geometry_says() {
    let dir = folder("shaken");
    cameras(&dir, 0.0, 0.0);
    let cloud = TriMesh {
        positions: shaken().positions.into_iter().map(moved).collect(),
        ..TriMesh::default()
    };
    let file = dir.join("cloud.ply");
    ply::write_mesh(&cloud, &file).unwrap();
    let f = eval_cloud(&file, &demo(), Alignment::Cameras(&dir)).unwrap();
    assert_eq!((f.points, f.observed_points), (7858, 7705));
    let want = [
        1.897_079_870,
        1.841_373_966,
        3.064_558_888,
        3.210_531_691,
        9.703_774_807,
        24.740_152_342,
    ];
    let rows = [
        ("0.5", [0.122_777_417, 0.002_583_333, 0.005_060_196]),
        ("1", [0.246_463_335, 0.025, 0.045_395_327]),
        ("2", [0.530_564_568, 0.204_333_333, 0.295_039_695]),
        ("5", [1.0, 0.563_333_333, 0.720_682_303]),
        ("10", [1.0, 0.613_25, 0.760_266_543]),
    ];
    // One point may fall to the other side of a threshold or of a voxel.
    agree(&f, want, &rows, 1e-5, 2e-4);
}

/// `eval_geometry.py datasets/demo --mesh target/tmp/evaluators/shaken-mesh/mesh.ply
/// --model target/tmp/evaluators/shaken-mesh --json mesh.json`
#[test]
fn a_mesh_scores_what_eval_geometry_says() {
    let dir = folder("shaken-mesh");
    cameras(&dir, 0.0, 0.0);
    let mut mesh = shaken();
    mesh.positions = mesh.positions.into_iter().map(moved).collect();
    mesh.triangles.truncate(12_000);
    let file = dir.join("mesh.ply");
    ply::write_mesh(&mesh, &file).unwrap();
    let f = eval_mesh(&file, &demo(), Alignment::Cameras(&dir)).unwrap();
    let want = [
        1.442_338_224,
        1.463_691_450,
        2.609_108_528,
        2.504_860_352,
        97.448_792_960,
        320.900_726_370,
    ];
    let rows = [
        ("0.5", [0.165_952_740, 0.119, 0.138_608_080]),
        ("1", [0.339_193_434, 0.251_416_667, 0.288_782_337]),
        ("2", [0.704_976_352, 0.451_083_333, 0.550_149_939]),
        ("5", [1.0, 0.524_333_333, 0.687_951_017]),
        ("10", [1.0, 0.549_833_333, 0.709_538_660]),
    ];
    // Both sides sample a million points at random.
    agree(&f, want, &rows, 5e-3, 3e-3);
    near(
        f.normal_consistency.unwrap(),
        0.614_289_979,
        3e-3,
        "normal consistency",
    );
    let t = f.topology.unwrap();
    assert_eq!(
        (t.faces, t.open_edges, t.nonmanifold_edges),
        (12_000, 5756, 0)
    );
    assert_eq!((t.components, t.euler_number), (1, -1797));
}

/// A wavy square of one unit, `n` cells a side.
fn waves(n: usize) -> TriMesh {
    let at = |i: usize, j: usize| (i * (n + 1) + j) as u32;
    let mut mesh = TriMesh::default();
    for (i, j) in (0..=n).flat_map(|i| (0..=n).map(move |j| (i, j))) {
        let (x, y) = (i as f64 / n as f64, j as f64 / n as f64);
        let z = 0.05 * (9.0 * x).sin() * (7.0 * y).cos();
        mesh.positions.push([x as f32, y as f32, z as f32]);
    }
    for (i, j) in (0..n).flat_map(|i| (0..n).map(move |j| (i, j))) {
        mesh.triangles
            .push([at(i, j), at(i + 1, j), at(i + 1, j + 1)]);
        mesh.triangles
            .push([at(i, j), at(i + 1, j + 1), at(i, j + 1)]);
    }
    mesh
}

/// Against the corners alone, `c, t` read by `open3d.io.read_point_cloud`:
/// `c.compute_point_cloud_distance(t)` and `t.compute_point_cloud_distance(c)`; against
/// the faces `t.geometry.RaycastingScene.compute_distance`. Open3D 0.20.0.
#[test]
fn distances_of_a_cloud_are_those_of_open3d() {
    let dir = folder("open3d");
    let truth = waves(50);
    let corners = TriMesh {
        triangles: Vec::new(),
        ..truth.clone()
    };
    let mut cloud = corners.clone();
    for (k, p) in cloud.positions.iter_mut().enumerate() {
        *p = std::array::from_fn(|i| p[i] + 0.006 * wave(3 * k + i, 3.0) as f32);
    }
    cloud.positions.truncate(2000);
    let file = |name: &str, mesh: &TriMesh| {
        let path = dir.join(name);
        ply::write_mesh(mesh, &path).unwrap();
        path
    };
    let cloud = file("cloud.ply", &cloud);
    let f = eval_cloud(&cloud, &file("points.ply", &corners), Alignment::OwnCameras).unwrap();
    let want = [
        7.351_091_174,
        7.016_997_767,
        9.685_519_898,
        8.532_092_656,
        34.472_117_995,
        138.933_468_397,
    ];
    // Shares of the distances below each threshold.
    let rows = [
        ("2", [0.0, 0.0, 0.0]),
        ("5", [0.257, 0.197_616_301, 0.223_429_689]),
        ("10", [1.0, 0.768_935_025, 0.869_376_223]),
    ];
    agree(&f, want, &rows, 1e-7, 1e-7);
    let f = eval_cloud(&cloud, &file("mesh.ply", &truth), Alignment::OwnCameras).unwrap();
    let exact = [3.914_163_215, 3.790_013_437, 6.585_996_179];
    for (got, want) in distances(&f).into_iter().zip(exact) {
        near(got, want, 1e-5 * want, "distance from the faces");
    }
    let shares = [
        ("0.5", 0.0605),
        ("1", 0.1195),
        ("2", 0.225),
        ("5", 0.709),
        ("10", 1.0),
    ];
    for (limit, want) in shares {
        near(f.by_threshold_mm[limit].precision, want, 1e-7, limit);
    }
}

/// `eval_texture.py target/tmp/evaluators/texture/model.glb target/tmp/evaluators/texture
/// target/tmp/evaluators/texture --json texture.json`
#[test]
fn a_texture_scores_what_eval_texture_says() {
    let dir = folder("texture");
    let mesh = waves(12);
    let corner = |v: u32| [mesh.positions[v as usize][0], mesh.positions[v as usize][1]];
    let shade = |x: f64, y: f64, k: f64| {
        (120.0 + 70.0 * (0.11 * x + k).sin() * (0.07 * y - k).cos()).round() as u8
    };
    let page = Raster::from_fn(128, 96, |x, y| {
        [0.0, 0.5, 1.0].map(|k| shade(x as f64, y as f64, k))
    });
    let faces = mesh.triangles.len();
    let atlas = TextureAtlas {
        uv: mesh.triangles.iter().map(|t| t.map(corner)).collect(),
        page: vec![0; faces],
        seen: vec![true; faces],
        pages: vec![page.clone()],
    };
    let png = relievo_media::encode_png_rgb(&page).unwrap();
    let model = TexturedMesh { mesh, atlas };
    let nothing = serde_json::Value::Null;
    let glb = gltf::encode_glb(&model, &[png], "image/png", &nothing).unwrap();
    fs_err::write(dir.join("model.glb"), glb).unwrap();

    let mut sparse = SparseModel::default();
    let camera = Camera {
        model: CameraModel::SimpleRadial {
            f: 150.0,
            cx: 81.0,
            cy: 59.0,
            k: -0.08,
        },
        width_px: 160,
        height_px: 120,
        has_prior_focal: true,
    };
    sparse.cameras.insert(CameraId(1), camera);
    for i in 0..3_u8 {
        let turn =
            UnitQuaternion::from_euler_angles(0.05 * f64::from(i), -0.08 * f64::from(i), 0.0);
        let center = Vec3::new(0.5, 0.5 - 0.05 * f64::from(i), -1.2);
        let name = format!("{i}.png");
        // Darker than the texture, and with an error of its own.
        let photo = Raster::from_fn(160, 120, |x, y| {
            let (u, v) = ((x as f64 - 18.0) * 1.02, (y as f64 + 2.0) * 0.77);
            let error = 9.0 * wave(x + 160 * y, 4.0);
            [0.0, 0.5, 1.0].map(|k| (0.8 * f64::from(shade(u, v, k)) + error).round() as u8)
        });
        fs_err::write(
            dir.join(&name),
            relievo_media::encode_png_rgb(&photo).unwrap(),
        )
        .unwrap();
        let view = View {
            camera_id: CameraId(1),
            name,
            cam_from_world: Some(Rigid3::new(turn, -(turn * center))),
            points_px: Vec::new(),
        };
        sparse.views.insert(ViewId(u32::from(i) + 1), view);
    }
    colmap::write_model_text(&sparse, &dir).unwrap();
    let query = TextureQuery {
        cameras: dir.clone(),
        images: dir.clone(),
        scale: 0.5,
        ..TextureQuery::default()
    };
    let f = eval_texture(&dir.join("model.glb"), &query, &Task::silent()).unwrap();
    let photos = [
        (
            "0.png",
            [19.598_703_255, 32.105_590_761, 0.948_979_082, 0.761_25],
        ),
        (
            "1.png",
            [14.473_123_187, 17.061_418_840, 0.205_687_202, 0.754_375],
        ),
        (
            "2.png",
            [
                11.602_039_733,
                13.626_738_361,
                -0.562_044_595,
                0.701_458_333,
            ],
        ),
    ];
    for (name, want) in photos {
        let s = &f.per_photo[name];
        let got = [
            s.psnr.unwrap(),
            s.psnr_gain.unwrap(),
            s.ssim.unwrap(),
            s.hit,
        ];
        (0..4).for_each(|k| near(got[k], want[k], 1e-5, name));
    }
    assert_eq!((f.photos_scored, f.photos_asked), (3, 3));
    let mean = [f.psnr, f.psnr_gain, f.ssim.unwrap(), f.hit];
    let want = [15.224_622_058, 20.931_249_320, 0.197_540_563, 0.739_027_778];
    (0..4).for_each(|k| near(mean[k], want[k], 1e-5, "mean"));
    // A photo that was held out and never placed is not forgotten.
    let only = ["0.png", "1.png", "lost.png"].map(str::to_owned).into();
    let query = TextureQuery { only, ..query };
    let f = eval_texture(&dir.join("model.glb"), &query, &Task::silent()).unwrap();
    assert_eq!((f.photos_scored, f.photos, f.photos_asked), (2, 2, 3));
}
