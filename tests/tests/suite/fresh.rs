//! What is redone and what is not.

use super::small::{arguments, copy, go_on};
use relievo_tests::program::relievo;
use relievo_tests::work::{PROMISED, assert_same, states, whole_tree};
use std::ffi::OsString;
use std::path::Path;

fn status(work: &Path) -> std::collections::BTreeMap<String, String> {
    let said = relievo([OsString::from("status"), work.into()]).ends(0);
    states(&said.stdout)
}

fn with(work: &Path, more: &[&str]) -> Vec<OsString> {
    let mut all = go_on(work).to_vec();
    all.extend(more.iter().map(OsString::from));
    all
}

#[test]
fn a_second_run_has_nothing_to_do() {
    let (_folder, work) = copy();
    let stages_before = whole_tree(&work);
    let ran = relievo(go_on(&work)).ends(0);
    assert!(ran.made().is_empty(), "{}", ran.stderr);
    assert_eq!(
        ran.last_line(),
        work.join("export/model.glb").to_string_lossy()
    );
    let mut before = stages_before;
    let mut after = whole_tree(&work);
    for tree in [&mut before, &mut after] {
        tree.retain(|name, _| !name.starts_with("report/"));
    }
    assert_same(&before, &after, "a run with nothing to do");
    // The same inputs, given again, change nothing either.
    let ran = relievo(arguments(&work)).ends(0);
    assert!(ran.made().is_empty(), "{}", ran.stderr);
    let states = status(&work);
    assert_eq!(states.len(), 9, "{states:?}");
    for (stage, state) in &states {
        assert!(state.starts_with("fresh"), "{stage}: {state}");
    }
}

#[test]
fn a_changed_option_redoes_its_stage_and_what_follows() {
    let (_folder, work) = copy();
    let before = whole_tree(&work);
    let changed = with(&work, &["--set", "mesh.point_weight=3"]);
    let mut dry = changed.clone();
    dry.push("--dry-run".into());
    let said = relievo(&dry).ends(0);
    let rows = states(&said.stdout);
    for stage in ["ingest", "features", "matches", "sparse", "depth", "cloud"] {
        assert!(rows[stage].starts_with("fresh"), "{stage}: {}", rows[stage]);
    }
    assert!(
        rows["mesh"].starts_with("stale because") && rows["mesh"].contains("point_weight"),
        "{}",
        rows["mesh"]
    );
    for stage in ["texture", "export"] {
        assert!(rows[stage].starts_with("stale because"), "{}", rows[stage]);
    }
    assert_same(&before, &whole_tree(&work), "--dry-run");
    let ran = relievo(&changed).ends(0);
    let made: Vec<String> = ran.made().into_keys().collect();
    assert_eq!(made, ["export", "mesh", "texture"], "{}", ran.stderr);
    // The option stays until another is given.
    let ran = relievo(go_on(&work)).ends(0);
    assert!(ran.made().is_empty(), "{}", ran.stderr);
}

#[test]
fn who_is_asked_about_points_is_part_of_the_cloud() {
    let (_folder, work) = copy();
    let listed = |n: usize| {
        let listed = format!("depth.listed_sources={n}");
        let mut options = vec!["--until", "cloud"];
        for option in ["depth.max_sources=2", "depth.clear_sky=false", &listed] {
            options.extend(["--set", option]);
        }
        let ran = relievo(with(&work, &options));
        let mut maps = whole_tree(&work.join("depth"));
        maps.retain(|name, _| name.contains(".jpg.depth"));
        (ran.ends(0).made(), maps)
    };
    let (_, before) = listed(4);
    // The maps use two of them, the cloud all.
    let (made, after) = listed(3);
    assert_same(&before, &after, "maps of as many sources");
    assert!(made.contains_key("cloud"), "{:?}", made.keys());
}

#[test]
fn force_from_and_until_choose_stages() {
    let (_folder, work) = copy();
    let before = whole_tree(&work);
    let ran = relievo(with(&work, &["--force", "texture"])).ends(0);
    let made: Vec<String> = ran.made().into_keys().collect();
    assert_eq!(made, ["export", "texture"], "{}", ran.stderr);
    let ran = relievo(with(&work, &["--from", "export"])).ends(0);
    let made: Vec<String> = ran.made().into_keys().collect();
    assert_eq!(made, ["export"], "{}", ran.stderr);
    let mut after = whole_tree(&work);
    let mut same = before;
    for tree in [&mut same, &mut after] {
        tree.retain(|name, _| {
            PROMISED.iter().any(|s| name.starts_with(s)) && !name.ends_with("stage.json")
        });
    }
    assert_same(&same, &after, "stages made again");
    // Something before it is stale: --from refuses and changes nothing.
    relievo(with(&work, &["--from", "export", "--seed", "7"]))
        .ends(1)
        .says(&["hint:", "run_seed changed"]);
    relievo(with(&work, &["--seed", "0", "--until", "sparse"])).ends(0);
    let ran = relievo(with(&work, &["--until", "sparse"])).ends(0);
    assert!(ran.made().is_empty(), "{}", ran.stderr);
    assert_eq!(ran.last_line(), work.join("sparse/model").to_string_lossy());
}

#[test]
fn wrong_usage_exits_2() {
    let (_folder, work) = copy();
    let before = whole_tree(&work);
    for (flags, named) in [
        (
            vec!["--set", "mesh.no_such_option=3"],
            "mesh.no_such_option",
        ),
        (vec!["--set", "dreams.x=3"], "dreams"),
        (vec!["--set", "mesh.point_weight=heavy"], "point_weight"),
        (vec!["--no-such-flag"], "--no-such-flag"),
        (vec!["--until", "dinner"], "dinner"),
        (vec!["--camera", "BOX_BROWNIE"], "BOX_BROWNIE"),
        (vec!["--memory", "lots"], "lots"),
        (vec!["--scale", "-2"], "-2"),
        (vec!["--mapper", "sideways"], "sideways"),
    ] {
        relievo(with(&work, &flags)).ends(2).says(&[named]);
    }
    relievo(["run"]).ends(2).says(&["INPUT"]);
    relievo(["options", "dinner"]).ends(2).says(&["dinner"]);
    let help = relievo(["run", "--help"]).ends(0);
    assert!(help.stdout.contains("--mapper") && help.stdout.contains("--until"));
    assert_same(&before, &whole_tree(&work), "wrong usage");
}
