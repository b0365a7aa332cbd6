//! A run killed at any moment and continued gives the bytes of an
//! uninterrupted one.

#![allow(clippy::unwrap_used, reason = "functions that tests share")]

mod toy;

use relievo_engine::Selection;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use toy::{Toy, run, snapshot};

const CHILD: &str = "RELIEVO_ENGINE_TOY_WORK";

fn slow_toy() -> Toy {
    Toy {
        pause: Duration::from_millis(2),
        ..Toy::new(24)
    }
}

/// Not a test by itself: the process that is killed.
#[test]
fn child() {
    if let Some(dir) = std::env::var_os(CHILD) {
        run(&slow_toy(), &PathBuf::from(dir), &Selection::default()).unwrap();
    }
}

#[test]
fn killed_at_random_moments_it_ends_with_the_same_bytes() {
    let root = tempfile::tempdir().unwrap();
    let whole = root.path().join("whole");
    let toy = Toy::new(24);
    run(&toy, &whole, &Selection::default()).unwrap();
    let want = snapshot(&whole);
    assert_eq!(want.len(), 24 + 1 + 24 + 1 + 1 + 1);

    let mut kills = 0;
    for round in 0..6 {
        let dir = root.path().join(format!("killed{round}"));
        // Growing pauses, so that the run gets through in the end.
        for attempt in 0_u64.. {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "child", "--test-threads=1"])
                .env(CHILD, &dir)
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap();
            let wait = relievo_task::seed(round, "kill", &attempt.to_string()) % (15 + 8 * attempt);
            std::thread::sleep(Duration::from_millis(wait));
            child.kill().unwrap();
            if child.wait().unwrap().success() {
                break;
            }
            kills += 1;
            assert!(attempt < 100, "the run never gets through");
        }
        assert_eq!(snapshot(&dir), want, "round {round}");
        toy.take_ran();
        run(&toy, &dir, &Selection::default()).unwrap();
        assert!(
            toy.take_ran().is_empty(),
            "all is fresh after the last attempt"
        );
    }
    assert!(kills >= 12, "only {kills} kills hit the run");
}

#[test]
fn a_resumed_run_does_not_repeat_finished_items() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("work");
    let broken = Toy {
        fails: Some("blur1/dir/w007".into()),
        ..Toy::new(24)
    };
    let one = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    let error = one
        .install(|| run(&broken, &dir, &Selection::default()))
        .unwrap_err();
    assert_eq!(error.to_string(), "blur (dir/w007): the toy broke");
    assert_eq!(broken.take_ran().len(), 24 + 24 + 8);
    let toy = Toy::new(24);
    run(&toy, &dir, &Selection::default()).unwrap();
    let again: Vec<String> = toy
        .take_ran()
        .into_iter()
        .filter(|r| r.starts_with("words") || r.starts_with("blur"))
        .collect();
    assert_eq!(again.len(), 17, "{again:?}");
    assert!(again.iter().all(|r| r.starts_with("blur1/")));
}

#[test]
fn a_checkpoint_carries_a_long_item_over_and_is_gone_at_the_end() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("work");
    let broken = Toy {
        fails: Some("book/dir/w010".into()),
        ..Toy::new(24)
    };
    run(&broken, &dir, &Selection::default()).unwrap_err();
    assert!(dir.join("book/.progress/checkpoints").exists());
    let toy = Toy::new(24);
    run(&toy, &dir, &Selection::default()).unwrap();
    let pages = toy
        .take_ran()
        .iter()
        .filter(|r| r.starts_with("book/"))
        .count();
    assert_eq!(
        pages, 14,
        "the ten pages of the checkpoint are not read again"
    );
    assert!(!dir.join("book/.progress").exists());
    let whole = root.path().join("whole");
    run(&toy, &whole, &Selection::default()).unwrap();
    assert_eq!(snapshot(&dir), snapshot(&whole));
}
