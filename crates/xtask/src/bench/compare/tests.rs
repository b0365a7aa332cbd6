use super::super::machine::Machine;
use super::super::quality::METRICS;
use super::super::results::Metric;
use super::*;

/// Runs of five seeds: a pose error that differs by seed, a cloud's F, time.
fn rows(error: f64, f: f64, time: impl Fn(usize) -> f64) -> Vec<Record> {
    let machine = Machine {
        cpu: String::new(),
        threads: 2,
        memory_gib: 0.0,
        commit: String::new(),
        date: String::new(),
    };
    let metric = |name: &str, value, better| Metric {
        name: name.to_owned(),
        value,
        unit: String::new(),
        better,
    };
    (0..5)
        .map(|seed| Record {
            stage: "all".to_owned(),
            set: "demo".to_owned(),
            tool: "relievo".to_owned(),
            ours: true,
            version: String::new(),
            start: None,
            data: String::new(),
            truth: None,
            metrics: METRICS,
            seed,
            run: seed,
            wall_s: 5.0 * time(seed),
            cpu_s: 10.0 * time(seed),
            rss_mib: 500.0,
            others_s: 0.0,
            calibration_s: 0.1,
            quality: vec![
                metric(
                    "position_mean",
                    error + 0.01 * (seed * 7 % 5) as f64,
                    Better::Lower,
                ),
                metric("f_1mm", f, Better::Higher),
            ],
            failed: None,
            killed: false,
            note: None,
            machine: machine.clone(),
        })
        .collect()
}

fn verdict(changes: &[Change], name: &str) -> Verdict {
    let found = changes.iter().find(|c| c.name.ends_with(name));
    found.map(|c| c.verdict).unwrap()
}

#[test]
fn a_rebuild_is_unchanged_in_ten_of_ten_tries() {
    let old = rows(0.1, 0.8, |_| 1.0);
    for t in 0..10 {
        // The calibrated time of a shared machine: up to 6 % off.
        let noise = |s: usize| 1.0 + 0.06 * ((t * 13 + s * 29) as f64).sin();
        let changes = compare(&old, &rows(0.1, 0.8, noise));
        assert!(
            changes.iter().all(|c| c.verdict == Verdict::Unchanged),
            "{changes:?}"
        );
        assert!(text(&changes).starts_with("unchanged: 8 of 8"));
    }
}

#[test]
fn a_slow_calibration_is_no_faster_program() {
    let old = rows(0.1, 0.8, |_| 1.0);
    let mut calibrated = old.clone();
    for r in &mut calibrated {
        r.calibration_s *= 1.8;
    }
    let changes = compare(&old, &calibrated);
    assert_eq!(verdict(&changes, "cpu_units"), Verdict::Unchanged);
    let slower = compare(&old, &rows(0.1, 0.8, |_| 1.3));
    assert_eq!(verdict(&slower, "cpu_units"), Verdict::Worse);
}

#[test]
fn what_is_worse_and_what_is_better_is_said() {
    let old = rows(0.1, 0.8, |_| 1.0);
    let changes = compare(&old, &rows(0.13, 0.6, |_| 0.5));
    assert_eq!(verdict(&changes, "position_mean"), Verdict::Worse);
    assert_eq!(verdict(&changes, "f_1mm"), Verdict::Worse);
    assert_eq!(verdict(&changes, "cpu_units"), Verdict::Better);
    assert!(text(&changes).starts_with("worse"));
    let back = compare(&rows(0.13, 0.6, |_| 0.5), &old);
    assert_eq!(verdict(&back, "f_1mm"), Verdict::Better);
    assert!(compare(&old, &[]).is_empty());
    // A figure that is gone is worse; an older build in the same file does not count.
    let mut gone = old.clone();
    for r in &mut gone {
        r.quality.retain(|m| m.name != "f_1mm");
    }
    let changes = compare(&old, &gone);
    assert_eq!(verdict(&changes, "f_1mm"), Verdict::Worse);
    assert!(text(&changes).contains("to nothing (5 runs)"));
    let mut two = rows(0.13, 0.6, |_| 0.5);
    for r in &mut two {
        r.version = "older".to_owned();
    }
    two.extend(old.clone());
    let changes = compare(&two, &old);
    assert!(changes.iter().all(|c| c.verdict == Verdict::Unchanged));
    // One seed of five that collapses, or fails, is worse.
    let mut one = old.clone();
    one[3].quality[1].value = 0.3;
    assert_eq!(verdict(&compare(&old, &one), "f_1mm"), Verdict::Worse);
    let mut one = old.clone();
    one[3].failed = Some("exit code 1".to_owned());
    assert_eq!(verdict(&compare(&old, &one), "succeeds"), Verdict::Worse);
    assert!(super::verdict(&old, &one).is_err() && super::verdict(&old, &old).is_ok());
    // A stage that is not there any more is named.
    let mut more = old.clone();
    more.extend(old.iter().cloned().map(|r| Record {
        stage: "dense".to_owned(),
        ..r
    }));
    let said = super::verdict(&more, &old).unwrap_err();
    assert!(
        said[0].ends_with("not in the new results: dense demo"),
        "{said:?}"
    );
    assert!(super::verdict(&old, &[]).is_err());
    // So are some of several seeds that fail, collapse or lose a camera.
    for (count, bad) in [(2, 1), (4, 2), (3, 2), (5, 2)] {
        let few: Vec<Record> = (0..count)
            .map(|k| Record {
                seed: k,
                run: k,
                ..old[k % 5].clone()
            })
            .collect();
        let with = |change: &dyn Fn(&mut Record)| {
            let mut new = few.clone();
            new[..bad].iter_mut().for_each(change);
            compare(&few, &new)
        };
        let fails = with(&|r| r.failed = Some("exit code 1".to_owned()));
        assert_eq!(verdict(&fails, "succeeds"), Verdict::Worse, "{count}");
        let collapses = with(&|r| r.quality[1].value = 0.05);
        assert_eq!(verdict(&collapses, "f_1mm"), Verdict::Worse, "{count}");
        let less = with(&|r| r.quality[1].value *= 0.8);
        assert_ne!(verdict(&less, "f_1mm"), Verdict::Unchanged, "{count}");
    }
    let mut cameras = old.clone();
    for r in &mut cameras {
        r.quality[1].name = "registered".to_owned();
        r.quality[1].value = 12.0;
    }
    let mut fewer = cameras.clone();
    fewer[2].quality[1].value = 11.0;
    assert_eq!(
        verdict(&compare(&cameras, &fewer), "registered"),
        Verdict::Worse
    );
    // Other definitions are no better or worse program.
    let mut redefined = rows(0.13, 0.6, |_| 1.0);
    for r in &mut redefined {
        r.metrics += 1;
    }
    let said = super::verdict(&old, &redefined).unwrap();
    assert!(
        said.contains("definitions (quality is not compared) differ"),
        "{said}"
    );
    // A share of nothing is nothing.
    let mut none = old.clone();
    for r in &mut none {
        r.quality[1].value = 0.0;
    }
    let mut hardly = none.clone();
    for r in &mut hardly {
        r.quality[1].value = -1e-9;
    }
    assert_eq!(
        verdict(&compare(&none, &hardly), "f_1mm"),
        Verdict::Unchanged
    );
    let other = old.iter().cloned().map(|r| Record {
        version: "x photos held out everywhere".to_owned(),
        ..r
    });
    let said = super::verdict(&old, &other.collect::<Vec<_>>()).unwrap();
    assert!(said.contains("options of the runs differ"), "{said}");
    // What fails now is worse, although it has no figures.
    let mut broken = old.clone();
    for r in &mut broken {
        r.failed = Some("exit code 1".to_owned());
    }
    assert_eq!(verdict(&compare(&old, &broken), "succeeds"), Verdict::Worse);
}

#[test]
fn repeats_of_one_seed_say_one_thing() {
    let repeats = |f: f64| -> Vec<Record> {
        let runs = rows(0.1, f, |_| 1.0).into_iter().enumerate();
        let one = runs.map(|(run, r)| Record { seed: 0, run, ..r });
        one.collect()
    };
    let changes = compare(&repeats(0.8), &repeats(0.79));
    let quality = changes.iter().find(|c| c.name.ends_with("f_1mm")).unwrap();
    assert_eq!((quality.pairs, quality.verdict), (1, Verdict::Unclear));
    let cost = changes.iter().find(|c| c.name.ends_with("memory")).unwrap();
    assert_eq!(cost.pairs, 5);
    let mut one = repeats(0.8);
    one[3].failed = Some("exit code 1".to_owned());
    let changes = compare(&repeats(0.8), &one);
    assert_eq!(verdict(&changes, "succeeds"), Verdict::Worse);
}

#[test]
fn what_the_new_build_did_not_run_is_not_lost() {
    let seeds = rows(0.1, 0.8, |_| 1.0);
    let runs = |count: usize| -> Vec<Record> {
        let all = seeds.iter().take(count).cloned().enumerate();
        all.map(|(run, r)| Record { seed: 0, run, ..r }).collect()
    };
    // Of fewer runs, costs are compared over those that both have.
    for (old, new) in [(3, 1), (1, 3), (3, 2)] {
        let said = super::verdict(&runs(old), &runs(new)).unwrap();
        assert!(said.starts_with("unchanged: 8 of 8"), "{said}");
        assert!(!said.contains("not compared"), "{said}");
    }
    // Seeds that were not run are named, and those alone.
    let said = super::verdict(&seeds, &seeds[..3]).unwrap();
    assert!(said.starts_with("unchanged: 8 of 8"), "{said}");
    let told = "not compared, without a run in the new results: all demo seed 3 4";
    assert!(said.contains(told), "{said}");
    let more = super::verdict(&seeds[..3], &seeds).unwrap();
    assert!(!more.contains("not compared"), "{more}");
    assert!(super::verdict(&seeds[..2], &seeds[2..]).is_err());
    // A run that was made and fails is worse, and its figures are not lost besides.
    let mut fails = runs(2);
    fails[1].failed = Some("exit code 1".to_owned());
    let changes = compare(&runs(3), &fails);
    assert_eq!(verdict(&changes, "succeeds"), Verdict::Worse);
    assert!(!text(&changes).contains("to nothing"), "{changes:?}");
    // One that was made and has no figure has lost it.
    let mut blank = runs(2);
    blank[1].rss_mib = 0.0;
    let changes = compare(&runs(3), &blank);
    let lost: Vec<&Change> = changes.iter().filter(|c| c.after.is_none()).collect();
    let [memory] = lost[..] else {
        panic!("{changes:?}");
    };
    assert!(memory.name.ends_with("memory") && memory.pairs == 1);
    assert_eq!(memory.verdict, Verdict::Worse);
}

#[test]
fn a_held_out_photo_that_is_not_scored_any_more_is_worse() {
    let mut old = rows(0.1, 0.8, |_| 1.0);
    old.truncate(1);
    old[0].quality[1].name = "photos_scored".to_owned();
    old[0].quality[1].value = 300.0;
    let mut new = old.clone();
    new[0].quality[1].value = 299.0;
    assert_eq!(
        verdict(&compare(&old, &new), "photos_scored"),
        Verdict::Worse
    );
}

#[test]
fn one_pair_makes_a_small_change_unclear_and_a_lost_camera_worse() {
    let mut old = rows(0.1, 0.8, |_| 1.0);
    old.truncate(1);
    let like = |f: f64, time: f64, memory: f64| {
        let mut new = rows(0.1, f, |_| time);
        new.truncate(1);
        new[0].rss_mib *= memory;
        compare(&old, &new)
    };
    let changes = like(0.785, 1.39, 1.34);
    assert_eq!(verdict(&changes, "wall_seconds"), Verdict::Unchanged);
    for name in ["f_1mm", "cpu_units", "cpu_seconds", "memory"] {
        assert_eq!(verdict(&changes, name), Verdict::Unclear, "{name}");
    }
    assert!(text(&changes).contains("--seeds 5"));
    assert_eq!(verdict(&like(0.75, 1.0, 1.0), "f_1mm"), Verdict::Worse);
    assert_eq!(verdict(&like(0.8, 1.5, 1.0), "cpu_units"), Verdict::Worse);
    let mut many = rows(0.1, 0.8, |_| 1.0);
    many[0].quality[1].name = "registered".to_owned();
    many[0].quality[1].value = 50.0;
    let mut fewer = many.clone();
    fewer[0].quality[1].value = 49.0;
    assert_eq!(
        verdict(&compare(&many, &fewer), "registered"),
        Verdict::Worse
    );
    // As much work, on one thread of two.
    let before = rows(0.1, 0.8, |_| 1.0);
    let mut alone = before.clone();
    for r in &mut alone {
        r.wall_s *= 1.9;
    }
    let changes = compare(&before, &alone);
    assert_eq!(verdict(&changes, "cpu_units"), Verdict::Unchanged);
    assert_eq!(verdict(&changes, "wall_seconds"), Verdict::Worse);
    // The same where other work took a processor: that may be why.
    for r in &mut alone {
        r.others_s = 0.9 * r.wall_s;
    }
    let changes = compare(&before, &alone);
    assert_eq!(verdict(&changes, "wall_seconds"), Verdict::Unclear);
    let said = super::verdict(&before, &alone).unwrap();
    assert!(
        said.contains("other work took part of the processors in 5 of 10 runs"),
        "{said}"
    );
    // What was not disturbed still counts.
    alone[0].others_s = 0.0;
    alone[3].others_s = 0.0;
    alone[4].others_s = 0.0;
    let wall = compare(&before, &alone);
    let wall = wall
        .iter()
        .find(|c| c.name.ends_with("wall_seconds"))
        .unwrap();
    assert_eq!((wall.pairs, wall.verdict), (3, Verdict::Worse));
}
