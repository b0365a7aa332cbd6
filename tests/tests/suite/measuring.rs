//! `relievo bench`, scores without truth, two runs side by side, bad truth.

use super::golden::shift_depth_maps;
use super::small::{copy, small};
use relievo_tests::data::demo;
use relievo_tests::program::{Ran, relievo};
use relievo_tests::{calibration, work};
use serde_json::Value;
use std::ffi::OsStr;
use std::path::Path;

fn run(words: &[&dyn AsRef<OsStr>]) -> Ran {
    relievo(words.iter().map(|w| w.as_ref().to_owned()))
}

fn share(estimate: &Path, model: &Path) -> f64 {
    let words: [&dyn AsRef<OsStr>; 7] = [
        &"eval",
        &"cloud",
        &"--estimate",
        &estimate,
        &"--model",
        &model,
        &"--json",
    ];
    let figures = run(&words).ends(0).json();
    figures["consistent_share"].as_f64().expect("a share")
}

#[test]
fn a_cloud_is_scored_by_its_own_photos_and_a_thick_one_is_worse() {
    let (folder, copied) = copy();
    let right = share(&small().work, &small().work);
    assert!(right > 0.3, "{right}");
    // The same points again, moved by 3 % of the model's height along their normals.
    let bytes = fs_err::read(copied.join("cloud/dense.ply")).unwrap();
    let end = bytes
        .windows(11)
        .position(|w| w == b"end_header\n")
        .unwrap()
        + 11;
    let header = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let count = (bytes.len() - end) / 28;
    let mut thick = header
        .replace(&format!("vertex {count}"), &format!("vertex {}", 2 * count))
        .into_bytes();
    thick.extend(&bytes[end..]);
    let float =
        |row: &[u8], k: usize| f32::from_le_bytes(row[4 * k..4 * k + 4].try_into().unwrap());
    let rows = || bytes[end..].chunks_exact(28);
    let size = rows().map(|r| float(r, 2).abs()).fold(0.0, f32::max);
    for row in rows() {
        for k in 0..3 {
            let moved = float(row, k) + 0.03 * size * float(row, 3 + k);
            thick.extend(moved.to_le_bytes());
        }
        thick.extend(&row[12..]);
    }
    let file = folder.path().join("thick.ply");
    fs_err::write(&file, thick).unwrap();
    let worse = share(&file, &small().work);
    assert!(worse < 0.9 * right, "{worse} after {right}");
}

#[test]
fn a_texture_needs_held_out_photos_or_names() {
    let estimate = &small().work;
    run(&[&"eval", &"texture", &"--estimate", estimate])
        .ends(1)
        .says(&["held out no photos", "--hold-out"]);
    let named = run(&[
        &"eval",
        &"texture",
        &"--estimate",
        estimate,
        &"--only",
        &"0003.jpg",
        &"--json",
    ]);
    let named = named.ends(0);
    assert!(
        named.stderr.contains("0003.jpg was not held out"),
        "{}",
        named.stderr
    );
    let figures = named.json();
    assert_eq!(figures["photos_scored"], 1);
    assert_eq!(figures["photos_asked"], 1);
    assert_eq!(figures["stale"], serde_json::json!([]));
    assert!(
        figures["psnr"].as_f64().is_some_and(|v| v > 15.0),
        "{figures}"
    );
    let none = run(&[
        &"eval",
        &"texture",
        &"--estimate",
        estimate,
        &"--only",
        &"0003.jpg,no.jpg",
    ]);
    none.ends(1)
        .says(&["there is no camera for no.jpg", "hint:"]);
    // What the settings say by now is not what took part.
    let (_folder, copied) = copy();
    let settings = copied.join("relievo.toml");
    let text = fs_err::read_to_string(&settings).unwrap();
    let edited = text.replace("hold_out = []", "hold_out = [\"0003.jpg\"]");
    assert_ne!(edited, text);
    fs_err::write(&settings, edited).unwrap();
    run(&[&"eval", &"texture", &"--estimate", &copied])
        .ends(1)
        .says(&["held out no photos"]);
    let told = run(&[
        &"eval",
        &"texture",
        &"--estimate",
        &copied,
        &"--only",
        &"0003.jpg",
        &"--json",
    ]);
    let told = told.ends(0);
    assert!(told.stderr.contains("out of date"), "{}", told.stderr);
    let stale = &told.json()["stale"];
    assert!(stale.as_array().is_some_and(|s| !s.is_empty()), "{stale}");
    run(&[&"eval", &"poses", &"--estimate", estimate])
        .ends(2)
        .says(&["--truth"]);
}

/// The small run is of six photos of the twelve that the truth has cameras of.
#[test]
fn a_true_camera_whose_photo_a_run_was_not_given_does_not_count() {
    let gt = demo().join("gt");
    let true_cameras = |estimate: &Path, truth: &Path| {
        let words: [&dyn AsRef<OsStr>; 7] = [
            &"eval",
            &"poses",
            &"--estimate",
            &estimate,
            &"--truth",
            &truth,
            &"--json",
        ];
        run(&words).ends(0).json()["gt"].clone()
    };
    let work = &small().work;
    assert_eq!(true_cameras(work, &demo()), 6);
    assert_eq!(true_cameras(work, &gt), 6);
    // A bare model does not tell what it was made from.
    assert_eq!(true_cameras(&work.join("sparse/model"), &gt), 12);
}

#[test]
fn two_runs_stand_side_by_side() {
    let (_folder, copied) = copy();
    let same = run(&[&"eval", &"runs", &small().work, &copied, &"--json"])
        .ends(0)
        .json();
    assert_eq!(same["options"], serde_json::json!({}));
    assert_eq!(same["figures"], serde_json::json!({}));
    assert!(
        same["costs"]["5 depth.cpu_s"][0].as_f64().is_some(),
        "{same}"
    );
    let settings = copied.join("relievo.toml");
    let text = fs_err::read_to_string(&settings).unwrap();
    fs_err::write(&settings, text.replace("seed = 0", "seed = 7")).unwrap();
    let other = run(&[&"eval", &"runs", &small().work, &copied]).ends(0);
    assert!(other.stdout.contains("seed"), "{}", other.stdout);
    // Another option, and what came of it, by value.
    let (_other, coarse) = copy();
    let spacing = "cloud.spacing_footprints=2";
    run(&[&"run", &"-o", &coarse, &"--set", &spacing]).ends(0);
    let apart = run(&[&"eval", &"runs", &small().work, &coarse, &"--json"])
        .ends(0)
        .json();
    let options = apart["options"].as_object().expect("a table");
    assert_eq!(options.len(), 1, "{apart}");
    let pair = &options["cloud.spacing_footprints"];
    assert_eq!(pair, &serde_json::json!([0.5, 2]));
    let points =
        |work: &Path| work::json(&work.join("cloud/stage.json"))["figures"]["points"].clone();
    let (many, few) = (points(&small().work), points(&coarse));
    assert!(few.as_u64().unwrap() < many.as_u64().unwrap());
    assert_eq!(
        apart["figures"]["6 cloud.points"],
        serde_json::json!([many, few])
    );
    run(&[&"eval", &"runs", &small().work, &demo()])
        .ends(1)
        .says(&["not a work folder", "hint:"]);
}

#[test]
fn the_demo_set_is_run_and_scored_and_a_bad_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("w.relievo");
    let before = calibration::seconds();
    let words: [&dyn AsRef<OsStr>; 8] = [
        &"bench",
        &demo(),
        &"--stage",
        &"sparse",
        &"-o",
        &out,
        &"--json",
        &"--known-intrinsics",
    ];
    let figures = run(&words).ends(0).json();
    let unit = f64::midpoint(before, calibration::seconds());
    assert_eq!(figures["layout"], "rendered");
    let row = |stage: &str, metric: &str| -> f64 {
        let rows = figures["rows"].as_array().unwrap();
        let found = rows
            .iter()
            .find(|r| r["stage"] == stage && r["metric"] == metric);
        found.and_then(|r| r["value"].as_f64()).unwrap_or(f64::NAN)
    };
    assert_eq!(row("poses", "registered"), 1.0);
    assert!(row("poses", "auc_1deg") > 95.0, "{figures}");
    // CPU time in units of a fixed kernel that runs beside it.
    let units = row("time", "cpu") / unit;
    assert!(units > 0.0 && units < 250.0, "{units} units of {unit} s");
    let csv = run(&[
        &"bench",
        &demo(),
        &"--stage",
        &"sparse",
        &"-o",
        &out,
        &"--csv",
        &"--known-intrinsics",
    ]);
    assert!(
        csv.ends(0)
            .stdout
            .starts_with("set,stage,metric,value,unit\ndemo,poses,")
    );
    // The same folder for poses from elsewhere.
    run(&[&"bench", &demo(), &"-o", &out, &"--known-poses"])
        .ends(1)
        .says(&["found its own poses", "-o"]);
    run(&[&"bench", &demo(), &"--known-poses", &"--stage", &"sparse"])
        .ends(2)
        .says(&["no poses to score"]);
    let info = run(&[&"bench", &demo(), &"--info", &"--json"])
        .ends(0)
        .json();
    assert_eq!(info["photos_with_camera"], 12);
    assert_eq!(info["surface"], "mesh");
    for (bad, words) in [("does not exist", "no"), ("no truth", "")] {
        let place = folder.path().join("sets").join(words);
        fs_err::create_dir_all(folder.path().join("sets")).unwrap();
        run(&[&"bench", &place]).ends(1).says(&[bad, "hint:"]);
    }
}

#[test]
fn a_shift_of_half_a_pixel_shows_and_a_bad_truth_is_no_number() {
    let (folder, copied) = copy();
    let depth = |estimate: &Path| -> Value {
        run(&[
            &"eval",
            &"depth",
            &"--estimate",
            &estimate,
            &"--truth",
            &demo(),
            &"--json",
        ])
        .ends(0)
        .json()
    };
    let before = depth(&copied)["median_mm"].as_f64().unwrap();
    shift_depth_maps(&copied, [0.5, 0.0]);
    let after = depth(&copied)["median_mm"].as_f64().unwrap();
    assert!(after > before, "{before} became {after}");

    let two = folder.path().join("two");
    fs_err::create_dir_all(&two).unwrap();
    let gt = demo().join("gt");
    fs_err::copy(gt.join("cameras.txt"), two.join("cameras.txt")).unwrap();
    let text = fs_err::read_to_string(gt.join("images.txt")).unwrap();
    let kept: Vec<&str> = text
        .lines()
        .filter(|l| !l.starts_with('#'))
        .take(4)
        .collect();
    fs_err::write(two.join("images.txt"), kept.join("\n") + "\n").unwrap();
    fs_err::write(two.join("points3D.txt"), "").unwrap();
    run(&[&"eval", &"poses", &"--estimate", &copied, &"--truth", &two])
        .ends(1)
        .says(&["at least 3 are needed"]);
    let missing = folder.path().join("missing");
    run(&[
        &"eval",
        &"cloud",
        &"--estimate",
        &copied,
        &"--truth",
        &missing,
    ])
    .ends(1)
    .says(&["does not exist", "hint:"]);
    let no_cloud = folder.path().join("no-cloud");
    fs_err::create_dir_all(&no_cloud).unwrap();
    run(&[&"eval", &"cloud", &"--estimate", &no_cloud])
        .ends(1)
        .says(&["dense.ply", "does not exist", "relievo status"]);
    let empty = folder.path().join("empty.ply");
    let header = "ply\nformat ascii 1.0\nelement vertex 0\nproperty float x\nproperty float y\n\
        property float z\nend_header\n";
    fs_err::write(&empty, header).unwrap();
    run(&[
        &"eval",
        &"cloud",
        &"--estimate",
        &empty,
        &"--truth",
        &demo(),
    ])
    .ends(1)
    .says(&["the cloud is empty"]);
    assert!(work::json(&copied.join("report/report.json")).is_object());
}

#[test]
fn a_bad_scan_is_found_before_anything_is_run() {
    let folder = tempfile::tempdir().unwrap();
    let set = folder.path().join("mine");
    relievo_tests::data::copy_demo(1..=4, &set.join("images"));
    fs_err::create_dir_all(set.join("gt")).unwrap();
    for file in ["cameras.txt", "images.txt", "points3D.txt"] {
        fs_err::copy(demo().join("gt").join(file), set.join("gt").join(file)).unwrap();
    }
    let whole = fs_err::read(demo().join("gt/mesh.ply")).unwrap();
    let head = "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\n\
        property float z\nend_header\n";
    let many = head.replace("vertex 3", "vertex 1000000") + &"0 0 0\n".repeat(999_999);
    let cases: [(Vec<u8>, &str); 4] = [
        ((many + "0 nan 0\n").into_bytes(), "finite"),
        (whole[..whole.len() / 2].to_vec(), "scan.ply"),
        (
            (head.to_owned() + "0 0 0\n1 nan 0\n1 1 0\n").into_bytes(),
            "finite",
        ),
        (Vec::new(), "scan.ply"),
    ];
    let work = folder.path().join("w.relievo");
    for (bytes, word) in cases {
        fs_err::write(set.join("gt/scan.ply"), bytes).unwrap();
        run(&[&"bench", &set, &"-o", &work])
            .ends(1)
            .says(&[word, "hint:"]);
        assert!(!work.exists());
    }
}

#[test]
fn photos_of_which_two_have_a_true_camera_are_refused_before_anything_is_run() {
    let folder = tempfile::tempdir().unwrap();
    let (set, work) = (folder.path().join("mine"), folder.path().join("w.relievo"));
    relievo_tests::data::copy_demo(1..=4, &set.join("images"));
    let renamed = |from: &str, to: &str| {
        let images = set.join("images");
        fs_err::rename(images.join(from), images.join(to)).unwrap();
    };
    renamed("0003.jpg", "c.jpg");
    renamed("0004.jpg", "d.jpg");
    fs_err::create_dir_all(set.join("gt")).unwrap();
    for file in ["cameras.txt", "images.txt", "points3D.txt"] {
        fs_err::copy(demo().join("gt").join(file), set.join("gt").join(file)).unwrap();
    }
    run(&[&"bench", &set, &"-o", &work]).ends(1).says(&[
        "fewer than three photos",
        "hint:",
        "file name",
    ]);
    assert!(!work.exists());
}
