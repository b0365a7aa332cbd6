//! Threads, memory, kills and interrupts change no byte.

use super::small::{arguments, arguments_and, copy, go_on, small};
use relievo_tests::data::Random;
use relievo_tests::program::{relievo, start};
use relievo_tests::work::{assert_same, json, promised_tree};
use relievo_tests::{is_quick, skipped_when_quick};
use rustix::process::Signal;
use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

#[test]
fn threads_and_memory_change_no_byte() {
    let expected = promised_tree(&small().work);
    for (threads, memory) in [("1", "8G"), ("2", "2G")] {
        if threads == "2" && skipped_when_quick("--memory 2G") {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let work = folder.path().join("other.relievo");
        let flags = [
            "--threads",
            threads,
            "--memory",
            memory,
            "--progress",
            "none",
        ];
        relievo(arguments_and(&work, &flags)).ends(0);
        let what = format!("--threads {threads} --memory {memory}");
        assert_same(&expected, &promised_tree(&work), &what);
    }
}

#[test]
fn a_killed_run_goes_on_to_the_same_bytes() {
    let expected = promised_tree(&small().work);
    let kills = if is_quick() { 2 } else { 6 };
    let folder = tempfile::tempdir().unwrap();
    let work = folder.path().join("killed.relievo");
    let mut random = Random::new(20_261_123);
    let mut struck = 0;
    let mut next = arguments(&work);
    for _ in 0..kills {
        let running = start(&next);
        // Together about nine tenths of a whole run, so that later stages are
        // met too.
        let share = (0.1 + 1.6 * random.unit()) / f64::from(kills);
        std::thread::sleep(small().wall.mul_f64(share).max(Duration::from_millis(30)));
        struck += i32::from(running.kill());
        // Killed before its settings were written, it has to be told again.
        if work.join("relievo.toml").is_file() {
            next = go_on(&work).to_vec();
        }
    }
    assert!(
        2 * struck >= kills,
        "only {struck} of {kills} kills met a run"
    );
    relievo(&next).ends(0);
    assert_same(&expected, &promised_tree(&work), "after kills");
}

/// Depth maps in a work folder, of all passes.
fn depth_maps(work: &Path) -> usize {
    let in_folder = |folder: &Path| {
        fs_err::read_dir(folder).map_or(0, |entries| {
            let paths = entries.flatten().map(|e| e.path());
            paths
                .filter(|p| p.extension().is_some_and(|e| e == "depth"))
                .count()
        })
    };
    let depth = work.join("depth");
    in_folder(&depth) + in_folder(&depth.join("pass0"))
}

#[test]
fn a_kill_in_depth_costs_at_most_one_view() {
    let expected = promised_tree(&small().work);
    for wanted in [1, 4, 8] {
        let (_folder, work) = copy();
        fs_err::remove_dir_all(work.join("depth")).unwrap();
        let running = start(go_on(&work));
        let begun = Instant::now();
        while depth_maps(&work) < wanted {
            assert!(begun.elapsed() < Duration::from_mins(2), "no maps come");
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(running.kill(), "it had ended");
        let there = depth_maps(&work);
        let ran = relievo(go_on(&work)).ends(0);
        let (made, kept) = ran.made()["depth"];
        // Two passes over six photos.
        assert_eq!(made + kept, 12, "{made} made, {kept} kept");
        assert!(there >= wanted && kept + 1 >= there, "{kept} of {there}");
        assert_same(&expected, &promised_tree(&work), "after a kill in depth");
    }
}

/// A quarter of this budget holds a part of the points only: they go through a file.
#[test]
fn a_cloud_larger_than_its_budget_has_the_same_bytes() {
    let expected = promised_tree(&small().work);
    let (_folder, work) = copy();
    let mut again = go_on(&work).to_vec();
    let flags = ["--until", "cloud", "--force", "cloud", "--memory", "140M"];
    again.extend(flags.map(OsString::from));
    let ran = relievo(&again).ends(0);
    assert_eq!(ran.made()["cloud"], (1, 0));
    assert_same(&expected, &promised_tree(&work), "--memory 140M");
    let record = json(&work.join("cloud/stage.json"));
    let points = record["figures"]["points"].as_u64().expect("a figure");
    assert!(points > 100_000, "{points} points are no test");
    let peak = record["peak_rss_mib"].as_f64().expect("a peak");
    assert!(peak < 140.0, "{peak} MiB");
    // Less than views take is refused, with what to do.
    again.pop();
    again.push("60M".into());
    relievo(&again).ends(1).says(&["cloud", "--memory"]);
}

#[test]
fn the_order_of_photos_changes_no_byte() {
    let expected = promised_tree(&small().work);
    let folder = tempfile::tempdir().unwrap();
    let work = folder.path().join("backwards.relievo");
    let mut backwards = arguments(&work);
    backwards[1..=6].reverse();
    relievo(backwards).ends(0);
    assert_same(&expected, &promised_tree(&work), "photos named backwards");
}

#[test]
fn an_interrupt_exits_130_and_can_be_continued() {
    let expected = promised_tree(&small().work);
    let folder = tempfile::tempdir().unwrap();
    let work = folder.path().join("stopped.relievo");
    let mut running = start(arguments_and(&work, &["--until", "sparse"]));
    running.wait_for("features: ");
    running.signal(Signal::INT);
    running.finish().ends(130).says(&["to continue"]);
    assert!(
        !work.join("sparse/stage.json").exists(),
        "it was not stopped"
    );
    let mut next = go_on(&work).to_vec();
    next.extend(["--until".into(), "sparse".into()]);
    relievo(&next).ends(0);
    let mut sparse = expected;
    sparse.retain(|name, _| {
        ["features/", "matches/", "sparse/"]
            .iter()
            .any(|s| name.starts_with(s))
    });
    assert_same(&sparse, &promised_tree(&work), "after an interrupt");
}
