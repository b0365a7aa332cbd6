//! No figure of what lies in an unknown frame, and none of an old stage unsaid.

use super::small::{copy, small};
use relievo_tests::data::demo;
use relievo_tests::program::{Ran, relievo};
use std::ffi::OsStr;
use std::path::Path;

fn run(words: &[&dyn AsRef<OsStr>]) -> Ran {
    relievo(words.iter().map(|w| w.as_ref().to_owned()))
}

/// A bare file may lie anywhere: no number unless its frame is known or said.
#[test]
fn a_file_without_cameras_is_scored_where_its_frame_is_known() {
    let (work, demo) = (&small().work, demo());
    let eval = |what: &str, estimate: &Path, truth: &Path, more: &[&OsStr]| {
        let estimate = [OsStr::new("--estimate"), estimate.as_os_str()];
        let truth = [
            OsStr::new("--truth"),
            truth.as_os_str(),
            OsStr::new("--json"),
        ];
        let words = [
            &[OsStr::new("eval"), OsStr::new(what)],
            &estimate[..],
            &truth,
            more,
        ]
        .concat();
        relievo(words.into_iter().map(OsStr::to_owned))
    };
    let same_frame = [OsStr::new("--same-frame")];
    let model = [OsStr::new("--model"), work.as_os_str()];
    let mesh = demo.join("gt/mesh.ply");
    for (what, file) in [("cloud", "cloud/dense.ply"), ("mesh", "mesh/surface.ply")] {
        let file = work.join(file);
        eval(what, &file, &demo, &[])
            .ends(1)
            .says(&["without cameras", "--model", "--same-frame"]);
        // With its cameras it scores as the run that it is of.
        let mut own = eval(what, work, &demo, &[]).ends(0).json();
        let mut aligned = eval(what, &file, &demo, &model).ends(0).json();
        for figures in [&mut own, &mut aligned] {
            assert_eq!(figures["stale"], serde_json::json!([]));
            figures.as_object_mut().unwrap().remove("stale");
        }
        assert_eq!(own, aligned);
        // A truth without cameras cannot align a run either.
        eval(what, work, &mesh, &[])
            .ends(1)
            .says(&["truth is a file without cameras", "--same-frame"]);
        // The truth is in its own frame.
        let itself = eval(what, &mesh, &demo, &same_frame).ends(0).json();
        let exact = itself["by_threshold_mm"]["0.5"]["precision"].as_f64();
        assert!(exact.is_some_and(|p| p > 0.9999), "{itself}");
        let bare = eval(what, &mesh, &mesh, &[]).ends(0);
        assert!(
            bare.stderr.contains("nothing was aligned"),
            "{}",
            bare.stderr
        );
        eval(what, &mesh, &demo, &[same_frame[0], model[0], model[1]])
            .ends(2)
            .says(&["--model"]);
    }
}

#[test]
fn a_textured_file_is_rendered_where_its_frame_is_known() {
    let (work, demo) = (&small().work, demo());
    let folder = tempfile::tempdir().expect("a folder");
    let (own, bare) = (
        work.join("export/model.glb"),
        folder.path().join("model.glb"),
    );
    fs_err::copy(&own, &bare).expect("a copy");
    let texture = |estimate: &Path, more: &[&OsStr]| {
        let words = [
            OsStr::new("eval"),
            OsStr::new("texture"),
            OsStr::new("--estimate"),
            estimate.as_os_str(),
            OsStr::new("--only"),
            OsStr::new("0003.jpg"),
            OsStr::new("--json"),
        ];
        let words = words.iter().chain(more).map(|w| OsStr::to_owned(w));
        relievo(words)
    };
    let truth = [OsStr::new("--truth"), demo.as_os_str()];
    let model = [OsStr::new("--model"), work.as_os_str()];
    texture(&bare, &truth)
        .ends(1)
        .says(&["without cameras", "hint:", "--model"]);
    texture(&bare, &[]).ends(2).says(&["--model"]);
    texture(&folder.path().join("no.glb"), &truth)
        .ends(1)
        .says(&["does not exist"]);
    // With its cameras it scores as the run that it is of, wherever it lies.
    let of_run = texture(work, &truth).ends(0).json();
    let aligned = texture(&bare, &[truth, model].concat()).ends(0).json();
    let inside = texture(&own, &truth).ends(0).json();
    assert!(of_run["psnr"].as_f64().is_some_and(|v| v > 15.0));
    for figures in [&aligned, &inside] {
        assert_eq!(figures["per_photo"], of_run["per_photo"]);
    }
}

#[test]
fn figures_of_a_stale_run_say_so() {
    let (_folder, copied) = copy();
    let eval = |what: &str| {
        let words: [&dyn AsRef<OsStr>; 7] = [
            &"eval",
            &what,
            &"--estimate",
            &copied,
            &"--truth",
            &demo(),
            &"--json",
        ];
        run(&words).ends(0)
    };
    let stale = |what: &str| eval(what).json()["stale"].clone();
    for what in ["poses", "depth", "cloud", "mesh"] {
        assert_eq!(stale(what), serde_json::json!([]), "{what}");
    }
    assert!(!eval("mesh").stderr.contains("out of date"));
    let settings = copied.join("relievo.toml");
    let text = fs_err::read_to_string(&settings).unwrap();
    let edited = text.replace("target_faces = 20000", "target_faces = 30000");
    assert_ne!(edited, text);
    fs_err::write(&settings, edited).unwrap();
    // What comes before the mesh is still what it would be.
    assert_eq!(stale("cloud"), serde_json::json!([]));
    let told = eval("mesh");
    let warnings = told.stderr.lines().filter(|l| l.starts_with("warning:"));
    let warnings: Vec<&str> = warnings.collect();
    assert_eq!(warnings.len(), 1, "{}", told.stderr);
    for word in ["out of date", "mesh is stale because", "target_faces"] {
        assert!(warnings[0].contains(word), "{word}: {}", told.stderr);
    }
    assert_eq!(told.json()["stale"].as_array().map(Vec::len), Some(1));
    // The mesh of an older cloud.
    fs_err::write(&settings, text).unwrap();
    let changed = "cloud.min_agreeing_views=3";
    run(&[
        &"run", &"-o", &copied, &"--until", &"cloud", &"--set", &changed,
    ])
    .ends(0);
    assert_eq!(stale("cloud"), serde_json::json!([]));
    let told = stale("mesh").to_string();
    assert!(
        told.contains("mesh is stale because") && told.contains("dense.ply"),
        "{told}"
    );
    // A cloud of which nothing is known.
    fs_err::remove_file(copied.join("cloud/stage.json")).unwrap();
    let told = stale("cloud").to_string();
    assert!(told.contains("cloud is missing"), "{told}");
    let both = run(&[&"eval", &"runs", &small().work, &copied, &"--json"]).ends(0);
    assert!(both.stderr.contains("out of date"), "{}", both.stderr);
    let both = &both.json()["stale"];
    assert_eq!(both[0], serde_json::json!([]));
    assert!(both[1].to_string().contains("mesh is stale"), "{both}");
}
