//! The demo set in the layout of ETH3D: laser scans cast at its true mesh.

use super::small::small;
use relievo_formats::{colmap, ply};
use relievo_geometry::{Rigid3, Vec3};
use relievo_scene::{PointCloud, SparseModel};
use relievo_spatial::TriangleBvh;
use relievo_tests::data::{copy_demo, demo};
use relievo_tests::program::{Ran, relievo};
use serde_json::Value;
use std::fmt::Write;
use std::path::Path;

/// Rays to each side of the scanner's axis.
const RAYS: i32 = 130;
/// Between two rays, degrees: wider than a beam at the distance of the object.
const STEP_DEG: f64 = 0.2;

fn run(words: &[&str]) -> Ran {
    relievo(words.iter().map(std::ffi::OsString::from))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn cloud(positions: Vec<[f32; 3]>) -> PointCloud {
    let n = positions.len();
    PointCloud {
        positions,
        normals: vec![[0.0, 0.0, 1.0]; n],
        colors: vec![[200; 3]; n],
        confidence: vec![255; n],
        ..PointCloud::default()
    }
}

/// What a scanner in the place of a camera measures, in its own frame.
fn scan(bvh: &TriangleBvh, scan_from_world: &Rigid3) -> Vec<[f32; 3]> {
    let world_from_scan = scan_from_world.inverse();
    let from = scan_from_world.center();
    let mut points = Vec::new();
    for row in -RAYS..=RAYS {
        for column in -RAYS..=RAYS {
            let (azimuth, inclination) = (
                (f64::from(column) * STEP_DEG).to_radians(),
                (f64::from(row) * STEP_DEG).to_radians(),
            );
            let ray = Vec3::new(
                azimuth.sin() * inclination.cos(),
                inclination.sin(),
                azimuth.cos() * inclination.cos(),
            );
            let to = world_from_scan.rotation * ray;
            let narrow = |v: &Vec3| [v.x as f32, v.y as f32, v.z as f32];
            if let Some(hit) = bvh.cast(narrow(&from), narrow(&to)) {
                points.push(narrow(&(ray * f64::from(hit.t))));
            }
        }
    }
    points
}

/// The set with a scanner in the place of each of these photos' cameras; the
/// scanners, and what they measured.
fn make(root: &Path, at: &[usize]) -> Vec<(Rigid3, Vec<[f32; 3]>)> {
    let model: SparseModel = colmap::read_model(&demo().join("gt")).expect("the demo set has it");
    let bvh = TriangleBvh::new(
        &ply::read_mesh(&demo().join("gt/mesh.ply")).expect("the demo set has it"),
    );
    copy_demo(1..=6, &root.join("images/dslr_images_undistorted"));
    let calibration = root.join("dslr_calibration_undistorted");
    let eval = root.join("dslr_scan_eval");
    fs_err::create_dir_all(&calibration).expect("a file can be written");
    fs_err::create_dir_all(&eval).expect("a file can be written");
    for file in ["cameras.txt", "images.txt", "points3D.txt"] {
        fs_err::copy(demo().join("gt").join(file), calibration.join(file))
            .expect("the demo set has it");
    }
    let mut project = "<!DOCTYPE MeshLabDocument>\n<MeshLabProject>\n <MeshGroup>\n".to_owned();
    let mut scans = Vec::new();
    for (i, number) in at.iter().enumerate() {
        let name = format!("{number:04}.jpg");
        let (_, view) = model.view_by_name(&name).expect("the demo set has it");
        let scan_from_world = view.cam_from_world.expect("the demo set has it");
        let points = scan(&bvh, &scan_from_world);
        let file = format!("scan{}.ply", i + 1);
        ply::write_cloud(&cloud(points.clone()), &eval.join(&file)).expect("a file can be written");
        let back = scan_from_world.inverse();
        let (r, t) = (back.matrix(), back.translation);
        let _ = writeln!(project, "  <MLMesh label=\"{file}\" filename=\"{file}\">");
        project.push_str("   <MLMatrix44>\n");
        for k in 0..3 {
            let _ = writeln!(
                project,
                "{} {} {} {}",
                r[(k, 0)],
                r[(k, 1)],
                r[(k, 2)],
                t[k]
            );
        }
        project.push_str("0 0 0 1\n</MLMatrix44>\n  </MLMesh>\n");
        scans.push((scan_from_world, points));
    }
    project.push_str(" </MeshGroup>\n</MeshLabProject>\n");
    fs_err::write(eval.join("scan_alignment.mlp"), project).expect("a file can be written");
    scans
}

/// The scans in the world, each point moved along its beam by this much.
fn world(scans: &[(Rigid3, Vec<[f32; 3]>)], moved: f64) -> PointCloud {
    let points = scans.iter().flat_map(|(scan_from_world, points)| {
        let back = scan_from_world.inverse();
        points.iter().map(move |p| {
            let p = Vec3::from(p.map(f64::from));
            let x = back.apply(&(p * (1.0 + moved / p.norm())));
            [x.x as f32, x.y as f32, x.z as f32]
        })
    });
    cloud(points.collect())
}

fn at(figures: &Value, tolerance: f64, what: &str) -> f64 {
    let rows = figures["at"].as_array().expect("tolerances");
    let row = rows.iter().find(|r| r["tolerance"] == tolerance);
    row.and_then(|r| r[what].as_f64()).expect("a share")
}

#[test]
fn a_rendered_set_is_scored_by_the_rule_of_eth3d() {
    let folder = tempfile::tempdir().unwrap();
    let set = folder.path().join("eth");
    let scans = make(&set, &[1, 3, 5]);
    let gt = demo().join("gt");
    let file = folder.path().join("cloud.ply");
    let score = |cloud: &PointCloud, set: &Path| -> Value {
        ply::write_cloud(cloud, &file).unwrap();
        let words = ["eval", "cloud", "--json", "--estimate", text(&file)];
        let more = ["--model", text(&gt), "--truth", text(set)];
        run(&[&words[..], &more].concat()).ends(0).json()
    };
    let own = score(&world(&scans, 0.0), &set);
    for row in own["at"].as_array().unwrap() {
        assert_eq!(row["f1"], 1.0, "{own}");
    }

    // Nothing says where the cloud lies.
    run(&[
        "eval",
        "cloud",
        "--estimate",
        text(&file),
        "--truth",
        text(&set),
    ])
    .ends(1)
    .says(&["without cameras", "--model"]);

    // One scanner, all 15 mm nearer to it: in its free space at 1 cm, good at
    // 2 cm. (Where the surface is nearly along a beam, a few beams overlap.)
    let one = folder.path().join("one");
    let scans = make(&one, &[1]);
    let near = score(&world(&scans, -0.015), &one);
    assert!(at(&near, 0.01, "accuracy") < 0.002, "{near}");
    assert_eq!(at(&near, 0.02, "accuracy"), 1.0, "{near}");
    assert_eq!(at(&near, 0.02, "completeness"), 1.0, "{near}");
    // 15 mm behind: next to nothing of it is seen or in free space at 1 cm.
    let behind = score(&world(&scans, 0.015), &one);
    let seen = behind["observed"].as_f64().unwrap() / behind["points"].as_f64().unwrap();
    assert!(seen < 0.002, "{behind}");
    assert_eq!(at(&behind, 0.02, "f1"), 1.0, "{behind}");

    // A run of ours: nearly all it sees is within a centimetre.
    let words = ["eval", "cloud", "--json", "--estimate", text(&small().work)];
    let ours = run(&[&words[..], &["--truth", text(&set)]].concat())
        .ends(0)
        .json();
    assert!(at(&ours, 0.01, "accuracy") > 0.9, "{ours}");
    assert!(at(&ours, 0.05, "f1") > 0.7, "{ours}");

    let out = folder.path().join("w.relievo");
    let words = ["bench", text(&set), "--stage", "sparse", "-o", text(&out)];
    let bench = run(&[&words[..], &["--json"]].concat()).ends(0).json();
    assert_eq!(bench["layout"], "eth3d");

    // Scans with a point that is none.
    let mut broken = cloud(scans[0].1.clone());
    broken.positions[7][1] = f32::NAN;
    ply::write_cloud(&broken, &one.join("dslr_scan_eval/scan1.ply")).unwrap();
    let words = ["eval", "cloud", "--estimate", text(&file), "--model"];
    run(&[&words[..], &[text(&gt), "--truth", text(&one)]].concat())
        .ends(1)
        .says(&["scan1.ply", "not finite"]);
}
