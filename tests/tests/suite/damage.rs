//! A flipped byte, a newer folder, a second run on the same folder.

use super::small::{arguments_and, copy, go_on, small};
use relievo_tests::program::{relievo, start};
use relievo_tests::work::{assert_same, first_file, flip_a_bit, promised_tree, states, whole_tree};
use std::ffi::OsString;

#[test]
fn a_flipped_bit_is_noticed_and_only_that_item_redone() {
    let (_folder, work) = copy();
    let expected = promised_tree(&small().work);
    for (stage, ending) in [("features", ".features"), ("depth", ".depth")] {
        let file = first_file(&work.join(stage), ending);
        flip_a_bit(&file);
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let status = relievo([OsString::from("status"), work.clone().into()]).ends(0);
        let rows = states(&status.stdout);
        assert!(
            rows[stage].contains("stale") && rows[stage].contains(&*name),
            "{stage}: {}",
            rows[stage]
        );
        let ran = relievo(go_on(&work)).ends(0);
        let made = ran.made();
        assert_eq!(made.len(), 1, "only {stage} is made: {}", ran.stderr);
        assert_eq!(made[stage].0, 1, "one item of {stage}: {}", ran.stderr);
        assert_same(&expected, &promised_tree(&work), stage);
    }
    // A lost file comes back in the same way.
    fs_err::remove_file(work.join("export/model.glb")).unwrap();
    let ran = relievo(go_on(&work)).ends(0);
    assert_eq!(ran.made().into_keys().collect::<Vec<_>>(), ["export"]);
    assert_same(&expected, &promised_tree(&work), "export");
}

#[test]
fn a_folder_of_a_newer_version_is_left_alone() {
    let (_folder, work) = copy();
    fs_err::write(work.join(".relievo-format"), "99\n").unwrap();
    let before = whole_tree(&work);
    let path: OsString = work.clone().into();
    for command in [
        go_on(&work).to_vec(),
        vec!["status".into(), path.clone()],
        vec!["clean".into(), path.clone()],
        vec!["inspect".into(), path.clone()],
        ["export", "--format", "ply"]
            .map(OsString::from)
            .into_iter()
            .chain([path.clone()])
            .collect(),
    ] {
        relievo(&command)
            .ends(1)
            .says(&["copy.relievo", "newer version", "99", "hint:"]);
    }
    assert_same(&before, &whole_tree(&work), "a newer folder");
}

#[test]
fn a_second_run_on_the_same_folder_names_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let work = folder.path().join("busy.relievo");
    let mut first = start(arguments_and(&work, &["--until", "matches"]));
    first.wait_for("ingest: ");
    let id = first.id().to_string();
    relievo(arguments_and(&work, &["--until", "matches"]))
        .ends(1)
        .says(&["busy.relievo", &id, "hint:"]);
    first.finish().ends(0);
    let ran = relievo(arguments_and(&work, &["--until", "matches"])).ends(0);
    assert!(ran.made().is_empty(), "{}", ran.stderr);
}

#[test]
fn settings_that_do_not_read_are_named() {
    let (_folder, work) = copy();
    fs_err::write(work.join("relievo.toml"), "quality = \"best\"\n").unwrap();
    relievo(go_on(&work)).ends(1).says(&[
        "relievo.toml",
        "quality",
        "hint:",
        "relievo run INPUT -o",
    ]);
}
