//! What is redone, what is not, and what the engine says about it.

#![allow(clippy::unwrap_used, reason = "functions that tests share")]

mod toy;

use relievo_engine::*;
use relievo_task::Task;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use toy::{Toy, run, snapshot, status};

fn all() -> Selection {
    Selection::default()
}

fn made() -> (TempDir, Toy) {
    let dir = tempfile::tempdir().unwrap();
    let toy = Toy::new(8);
    run(&toy, &dir.path().join("w"), &all()).unwrap();
    assert_eq!(toy.take_ran().len(), 8 * 4 + 1);
    (dir, toy)
}

#[test]
fn one_and_many_threads_and_any_memory_give_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let mut seen = Vec::new();
    for (threads, memory) in [(1, 0), (2, 0), (5, 3 << 30), (5, 1 << 30)] {
        let toy = Toy {
            memory,
            pause: Duration::from_millis(1),
            ..Toy::new(30)
        };
        let path = dir.path().join(format!("t{threads}-{memory}"));
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| run(&toy, &path, &all())).unwrap();
        let most = toy.flight.1.load(Ordering::SeqCst);
        assert!(most <= threads);
        assert_eq!(most > 1, threads > 1);
        seen.push(snapshot(&path));
    }
    assert!(seen.windows(2).all(|w| w[0] == w[1]));

    // 4 GiB allowed, 3 GiB an item: one at a time however many threads.
    let toy = Toy {
        memory: 3 << 30,
        pause: Duration::from_millis(1),
        ..Toy::new(8)
    };
    let path = dir.path().join("one");
    let until = Selection {
        until: Some("words".into()),
        ..all()
    };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(4)
        .build()
        .unwrap();
    pool.install(|| run(&toy, &path, &until)).unwrap();
    assert_eq!(toy.flight.1.load(Ordering::SeqCst), 1);
}

#[test]
fn a_flipped_byte_redoes_only_that_item() {
    let (dir, toy) = made();
    let path = dir.path().join("w");
    let want = snapshot(&path);
    let file = path.join("words/texts/dir+w003.txt");
    let mut bytes = fs_err::read(&file).unwrap();
    bytes[4] ^= 1;
    fs_err::write(&file, &bytes).unwrap();
    let now = status(&toy, &path);
    assert_eq!(now["words"], "stale because texts/dir+w003.txt was changed");
    assert_eq!(now["book"], "stale because blur is not fresh");
    run(&toy, &path, &all()).unwrap();
    assert_eq!(toy.take_ran(), ["words/dir/w003"]);
    assert_eq!(snapshot(&path), want);

    fs_err::remove_file(path.join("blur/dir+w005.blur")).unwrap();
    run(&toy, &path, &all()).unwrap();
    // The neighbours' transient sums are made again for it, nothing else.
    let ran = toy.take_ran();
    assert_eq!(
        ran,
        [
            "blur0/dir/w004",
            "blur0/dir/w005",
            "blur0/dir/w006",
            "blur1/dir/w005"
        ]
    );
    assert_eq!(snapshot(&path), want);

    fs_err::write(path.join("words/count.txt"), "9").unwrap();
    run(&toy, &path, &all()).unwrap();
    assert!(toy.take_ran().is_empty(), "finish alone makes it again");
    assert_eq!(snapshot(&path), want);
}

#[test]
fn a_changed_option_redoes_its_stage_and_what_depends_on_it() {
    let (dir, mut toy) = made();
    let path = dir.path().join("w");
    toy.loud = true;
    assert_eq!(
        status(&toy, &path)["shout"],
        "stale because option loud changed: false -> true"
    );
    run(&toy, &path, &all()).unwrap();
    assert_eq!(toy.take_ran(), ["shout/all"]);
    toy.shift = 2;
    assert_eq!(
        status(&toy, &path)["words"],
        "stale because option shift changed: 1 -> 2"
    );
    run(&toy, &path, &all()).unwrap();
    let ran = toy.take_ran();
    assert_eq!(
        ran.len(),
        4 * 8,
        "shout reads only the count, which is the same: {ran:?}"
    );
    toy.version = 2;
    assert_eq!(
        status(&toy, &path)["words"],
        "stale because words changed from version 1 to 2"
    );
    run(&toy, &path, &all()).unwrap();
    assert_eq!(
        toy.take_ran().len(),
        8,
        "same bytes, so nothing after it is redone"
    );
}

#[test]
fn an_added_and_a_removed_input_keep_the_others() {
    let (dir, mut toy) = made();
    let path = dir.path().join("w");
    toy.words.insert("dir/w0035".into(), "?new".into());
    assert_eq!(
        status(&toy, &path)["words"],
        "stale because dir/w0035 is new"
    );
    let reports = run(&toy, &path, &all()).unwrap();
    let ran = toy.take_ran();
    // (w003, new, w004) see new neighbours; the rest is kept.
    assert_eq!(ran.iter().filter(|r| r.starts_with("words")).count(), 1);
    assert_eq!(ran.iter().filter(|r| r.starts_with("blur1")).count(), 3);
    assert_eq!((reports[0].items_made, reports[0].items_reused), (1, 8));
    assert_eq!(reports[0].figures["count"], 9);
    assert_eq!(reports[0].warnings.len(), 1);
    let again = run(&toy, &path, &all()).unwrap();
    assert_eq!(again[0].warnings, reports[0].warnings, "kept with the item");

    toy.words.remove("dir/w0035");
    assert_eq!(
        status(&toy, &path)["words"],
        "stale because dir/w0035 is no longer an item"
    );
    run(&toy, &path, &all()).unwrap();
    assert!(!path.join("words/texts/dir+w0035.txt").exists());
    let fresh = tempfile::tempdir().unwrap();
    run(&Toy::new(8), &fresh.path().join("w"), &all()).unwrap();
    assert_eq!(snapshot(&path), snapshot(&fresh.path().join("w")));
}

#[test]
fn a_finished_folder_holds_exactly_what_its_record_lists() {
    let (dir, toy) = made();
    let path = dir.path().join("w");
    fs_err::create_dir_all(path.join("words/old/deep")).unwrap();
    fs_err::write(path.join("words/old/deep/x.txt"), "x").unwrap();
    fs_err::write(path.join("words/texts/.left.tmp"), "x").unwrap();
    fs_err::remove_file(path.join("words/texts/dir+w000.txt")).unwrap();
    run(&toy, &path, &all()).unwrap();
    for stage in ["words", "blur", "shout", "book"] {
        let record = StageRecord::read(&path.join(stage)).unwrap().unwrap();
        let listed: Vec<String> = {
            let mut l: Vec<_> = record
                .all_outputs()
                .filter(|(_, o)| !o.dropped)
                .map(|(_, o)| o.name.clone())
                .collect();
            l.sort();
            l
        };
        let there: Vec<String> = snapshot(&path.join(stage)).into_keys().collect();
        assert_eq!(listed, there, "{stage}");
    }
    assert!(!path.join("words/old").exists());
}

#[test]
fn a_second_writer_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let work = Work::create(&dir.path().join("w")).unwrap();
    let lock = work.lock("relievo run photos").unwrap();
    let error = work.lock("relievo run photos").unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(&format!(
            "process {} (relievo run photos)",
            std::process::id()
        )),
        "{text}"
    );
    assert!(error.hint().is_some());
    drop(lock);
    work.lock("again").unwrap();
}

#[test]
fn work_of_a_newer_version_and_foreign_folders_are_refused() {
    let (dir, toy) = made();
    let path = dir.path().join("w");
    fs_err::write(path.join(".relievo-format"), "2\n").unwrap();
    let error = run(&toy, &path, &all()).unwrap_err();
    assert!(
        matches!(error, EngineError::Newer { found: 2, .. }),
        "{error}"
    );
    fs_err::write(path.join(".relievo-format"), "1\n").unwrap();
    let file = path.join("blur/stage.json");
    let text = fs_err::read_to_string(&file).unwrap();
    fs_err::write(&file, text.replacen("\"format\": 1", "\"format\": 7", 1)).unwrap();
    assert!(matches!(
        run(&toy, &path, &all()),
        Err(EngineError::Newer { found: 7, .. })
    ));
    // Garbage in a record only means that the stage is made again.
    fs_err::write(&file, "{ garbage").unwrap();
    run(&toy, &path, &all()).unwrap();

    let foreign = dir.path().join("holiday");
    fs_err::create_dir(&foreign).unwrap();
    fs_err::write(foreign.join("a.jpg"), "x").unwrap();
    assert!(matches!(
        Work::create(&foreign),
        Err(EngineError::NotAWork { .. })
    ));
    assert!(matches!(
        Work::open(&foreign),
        Err(EngineError::NotAWork { .. })
    ));
}

#[test]
fn what_is_refused_for_memory_is_not_forgotten() {
    let (dir, toy) = made();
    let path = dir.path().join("w");
    let before = snapshot(&path);
    let large = Toy {
        memory: 1 << 40,
        ..toy
    };
    let force = Selection {
        force: Some("words".into()),
        ..all()
    };
    let error = run(&large, &path, &force).unwrap_err();
    assert!(matches!(error, EngineError::Memory { .. }), "{error}");
    assert_eq!(snapshot(&path), before);
    assert_eq!(status(&large, &path)["book"], "fresh");
}

#[test]
fn until_force_and_from() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w");
    let toy = Toy::new(4);
    let until = Selection {
        until: Some("blur".into()),
        ..all()
    };
    let names = |r: Vec<StageReport>| r.into_iter().map(|r| r.name).collect::<Vec<_>>();
    assert_eq!(names(run(&toy, &path, &until).unwrap()), ["words", "blur"]);
    assert_eq!(status(&toy, &path)["book"], "missing");
    let unknown = Selection {
        until: Some("paint".into()),
        ..all()
    };
    assert!(matches!(
        run(&toy, &path, &unknown),
        Err(EngineError::UnknownStage { .. })
    ));
    run(&toy, &path, &all()).unwrap();
    toy.take_ran();
    let force = Selection {
        force: Some("blur".into()),
        ..all()
    };
    run(&toy, &path, &force).unwrap();
    assert_eq!(
        toy.take_ran().len(),
        4 * 3,
        "blur and book, not words nor shout"
    );
    let from = Selection {
        from: Some("shout".into()),
        ..all()
    };
    run(&toy, &path, &from).unwrap();
    assert_eq!(toy.take_ran(), ["shout/all"]);
    let stale = Toy {
        shift: 5,
        ..toy.clone()
    };
    let error = run(&stale, &path, &from).unwrap_err();
    assert!(
        matches!(&error, EngineError::NotFresh { stage, .. } if stage == "words"),
        "{error}"
    );
    assert!(stale.take_ran().is_empty() && path.join("shout/stage.json").exists());
}

#[test]
fn dropped_files_stay_away_until_something_reads_them() {
    let (dir, mut toy) = made();
    let path = dir.path().join("w");
    let want = snapshot(&path);
    let work = Work::open(&path).unwrap();
    let lock = work.lock("clean").unwrap();
    let would = drop_outputs(&work, &lock, "words", true, |n| n.starts_with("texts/")).unwrap();
    assert_eq!(snapshot(&path), want);
    let freed = drop_outputs(&work, &lock, "words", false, |n| n.starts_with("texts/")).unwrap();
    assert_eq!((would, freed.files), (freed, 8));
    drop(lock);
    assert_eq!(snapshot(&path).len(), want.len() - 8);
    assert!(status(&toy, &path).values().all(|s| s == "fresh"));
    run(&toy, &path, &all()).unwrap();
    assert!(toy.take_ran().is_empty());

    toy.loud = true;
    let redo = Selection {
        force: Some("blur".into()),
        ..all()
    };
    run(&toy, &path, &redo).unwrap();
    assert_eq!(
        toy.take_ran()
            .iter()
            .filter(|r| r.starts_with("words"))
            .count(),
        8
    );
    toy.loud = false;
    run(&toy, &path, &all()).unwrap();
    assert_eq!(snapshot(&path), want);
}

#[test]
fn an_imported_stage_needs_nothing_before_it_and_notices_a_change() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w");
    let toy = Toy::new(4);
    let work = Work::create(&path).unwrap();
    let lock = work.lock("import").unwrap();
    import_stage(&work, &lock, "blur", "elsewhere", Vec::new(), |out| {
        out.write("a.blur", b"12")?;
        Ok(Figures::new())
    })
    .unwrap();
    drop(lock);
    let until = Selection {
        until: Some("book".into()),
        ..all()
    };
    run(&toy, &path, &until).unwrap();
    assert_eq!(toy.take_ran(), ["book/"]);
    assert_eq!(
        fs_err::read_to_string(path.join("book/model/book.txt")).unwrap(),
        "12\n"
    );
    assert_eq!(
        status(&toy, &path)["blur"],
        "fresh (imported from elsewhere)"
    );
    let force = Selection {
        force: Some("blur".into()),
        ..all()
    };
    assert!(matches!(
        run(&toy, &path, &force),
        Err(EngineError::ImportedForced { .. })
    ));
    fs_err::write(path.join("blur/a.blur"), "13").unwrap();
    assert!(status(&toy, &path)["blur"].contains("the imported a.blur was changed"));
    let error = run(&toy, &path, &until).unwrap_err();
    assert!(
        error.to_string().contains("a.blur") && error.hint().is_some(),
        "{error}"
    );
}

#[test]
fn stopping_keeps_what_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w");
    let toy = Toy {
        pause: Duration::from_millis(4),
        ..Toy::new(20)
    };
    let work = Work::create(&path).unwrap();
    let lock = work.lock("run").unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let task = Task::new(
        Box::new(relievo_task::SilentSink),
        stop.clone(),
        4 << 30,
        0,
        relievo_task::Isa::Native,
    );
    let engine = Engine::new(&work, toy.plan()).unwrap();
    rayon::scope(|scope| {
        scope.spawn(|_| {
            std::thread::sleep(Duration::from_millis(30));
            stop.store(true, Ordering::Relaxed);
        });
        let error = engine.run(&lock, &all(), &task, &NoObserver).unwrap_err();
        assert!(matches!(error, EngineError::Cancelled), "{error}");
    });
    let before = toy.take_ran().len();
    assert!(before < 81);
    engine
        .run(&lock, &all(), &Task::silent(), &NoObserver)
        .unwrap();
    assert_eq!(before + toy.take_ran().len(), 81, "nothing is done twice");
}

#[test]
fn too_little_memory_is_refused_before_work_starts() {
    let dir = tempfile::tempdir().unwrap();
    let toy = Toy {
        memory: 5 << 30,
        ..Toy::new(3)
    };
    let error = run(&toy, &dir.path().join("w"), &all()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "stage words needs 5120 MiB at a time, the budget is 4096 MiB"
    );
    assert!(toy.take_ran().is_empty());
}

#[test]
fn io_errors_name_file_and_remedy() {
    for (kind, want) in [
        (std::io::ErrorKind::StorageFull, "free some disk space"),
        (std::io::ErrorKind::PermissionDenied, "-o"),
        (std::io::ErrorKind::ReadOnlyFilesystem, "-o"),
    ] {
        let error = EngineError::io("/x/y.bin", kind.into());
        assert!(error.to_string().contains("/x/y.bin"));
        assert!(error.hint().unwrap().contains(want));
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let inside = file.path().join("w");
    let error = Work::create(&inside).unwrap_err();
    assert!(
        error.to_string().contains(inside.to_str().unwrap()),
        "{error}"
    );
}
