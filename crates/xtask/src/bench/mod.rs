//! `scripts/bench`: our stages beside peers, interleaved, resumable.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`sets`] | the data sets that are here |
//! | [`tools`] | who does a stage, and how |
//! | [`timed`] | one run of a program: wall, CPU, memory |
//! | [`calibrate`] | a fixed piece of work: how fast the machine is just now |
//! | [`quality`] | what a result is worth, by `relievo bench` and `relievo eval` |
//! | [`results`] | rows on disk, medians |
//! | [`compare`] | better, worse or unchanged beyond the noise |
//! | [`report`] | `docs/benchmarks.md` |

mod calibrate;
mod compare;
mod quality;
mod report;
mod results;
mod sets;
mod timed;
mod tools;

use results::{Record, Results};
use std::path::PathBuf;

type Problems = Vec<String>;

/// Stages in the order of a full run.
const STAGES: [&str; 5] = ["features", "sparse", "dense", "mesh", "texture"];
/// A tool that took longer than this on a set runs there once.
const ONCE_OVER_S: f64 = 300.0;

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Request {
    stages: Vec<&'static str>,
    quick: bool,
    sets: Vec<String>,
    against: Option<Vec<String>>,
    runs: usize,
    seeds: usize,
    set: Vec<String>,
    results: PathBuf,
    compare: Option<PathBuf>,
}

/// Runs `bench` with its own arguments.
pub(crate) fn bench(arguments: &[String]) -> Result<String, Problems> {
    match arguments.first().map(String::as_str) {
        Some("timed") => return timed::child(&arguments[1..]),
        Some("compare") => {
            let [old, new] = &arguments[1..] else {
                return Err(vec!["usage: bench compare OLD NEW".to_owned()]);
            };
            let (old, new) = (Results::read(old.as_ref())?, Results::read(new.as_ref())?);
            return Ok(compare::text(&compare::compare(&old.rows, &new.rows)));
        }
        Some("report") => {
            let rows = Results::read(&default_results())?.rows;
            let path = PathBuf::from("docs/benchmarks.md");
            fs_err::write(&path, report::markdown(&rows)).map_err(|e| vec![e.to_string()])?;
            return Ok(format!("{} from {} rows", path.display(), rows.len()));
        }
        _ => {}
    }
    let request = parse(arguments)?;
    let mut results = Results::read_or_new(&request.results)?;
    let machine = results::machine();
    let sets = sets::find(&request)?;
    if sets.is_empty() {
        return Err(vec!["no data set is here; set RELIEVO_DATA".to_owned()]);
    }
    let mut fresh = Vec::new();
    for stage in &request.stages {
        for set in &sets {
            let tools = tools::of_stage(stage, set, &request);
            let runs = request.runs.max(request.seeds);
            let mut slow = std::collections::BTreeSet::new();
            for run in 0..runs {
                for tool in &tools {
                    // Seeds are ours alone; a peer repeats its run.
                    let times = if tool.ours { runs } else { request.runs };
                    let once = run > 0 && slow.contains(&tool.name);
                    if run >= times || once {
                        continue;
                    }
                    let seed = if request.seeds > 1 { run } else { 0 };
                    let known = results.find(stage, &set.name, tool, seed, run);
                    let record = if let Some(record) = known {
                        record.clone()
                    } else {
                        eprintln!("bench: {stage} {} {} run {run}", set.name, tool.name);
                        let record = one(stage, set, tool, (seed, run), &machine);
                        results.append(&record)?;
                        record
                    };
                    if record.wall_s > ONCE_OVER_S {
                        slow.insert(tool.name.clone());
                    }
                    fresh.push(record);
                }
            }
        }
    }
    let mut said = report::text(&fresh);
    if let Some(old) = &request.compare {
        let old = Results::read(old)?;
        said.push('\n');
        said.push_str(&compare::text(&compare::compare(&old.rows, &fresh)));
    }
    Ok(said)
}

/// One run of a tool on a set, measured and scored.
fn one(
    stage: &str,
    set: &sets::Set,
    tool: &tools::Tool,
    (seed, run): (usize, usize),
    machine: &results::Machine,
) -> Record {
    let mut record = Record::new(stage, &set.name, tool, seed, run, machine);
    if let Some(why) = &tool.absent {
        record.failed = Some(why.clone());
        return record;
    }
    let prepared = tools::prepare(stage, set, tool, seed);
    let steps = match prepared {
        Ok(steps) => steps,
        Err(why) => {
            record.failed = Some(why);
            return record;
        }
    };
    record.calibration_s = calibrate::seconds();
    match timed::run(&steps.command) {
        Ok(cost) => {
            (record.wall_s, record.cpu_s, record.rss_mib) = (cost.wall_s, cost.cpu_s, cost.rss_mib);
            if cost.code != 0 && cost.code != 3 {
                record.failed = Some(format!("exit code {}", cost.code));
            }
        }
        Err(why) => record.failed = Some(why),
    }
    record.calibration_s = f64::midpoint(record.calibration_s, calibrate::seconds());
    if record.failed.is_none() {
        match quality::of(stage, set, tool, &steps, seed) {
            Ok(rows) => record.quality = rows,
            Err(why) => record.note = Some(why),
        }
    }
    record
}

fn default_results() -> PathBuf {
    PathBuf::from("target/bench/results.jsonl")
}

fn parse(arguments: &[String]) -> Result<Request, Problems> {
    let bad = |what: String| vec![what];
    let mut request = Request {
        stages: Vec::new(),
        quick: false,
        sets: Vec::new(),
        against: None,
        runs: 3,
        seeds: 1,
        set: Vec::new(),
        results: default_results(),
        compare: None,
    };
    let mut words = arguments.iter();
    let mut runs_given = false;
    while let Some(word) = words.next() {
        let mut value = || {
            let next = words.next().cloned();
            next.ok_or_else(|| bad(format!("{word} takes a value")))
        };
        let list = |v: String| v.split(',').map(str::to_owned).collect::<Vec<_>>();
        let number = |v: String| v.parse().map_err(|_| bad(format!("'{v}' is not a number")));
        match word.as_str() {
            "all" => request.stages.extend(STAGES),
            "--quick" => request.quick = true,
            "--sets" => request.sets = list(value()?),
            "--against" => request.against = Some(list(value()?)),
            "--runs" => (request.runs, runs_given) = (number(value()?)?, true),
            "--seeds" => request.seeds = number(value()?)?,
            "--set" => request.set.push(value()?),
            "--results" => request.results = value()?.into(),
            "--compare" => request.compare = Some(value()?.into()),
            other => match STAGES.iter().find(|s| **s == other) {
                Some(stage) => request.stages.push(stage),
                None => return Err(bad(format!("'{other}' is not known"))),
            },
        }
    }
    if request.quick && !runs_given {
        request.runs = 1;
    }
    if request.stages.is_empty() || request.runs == 0 {
        let stages = STAGES.join(", ");
        return Err(bad(format!("name a stage ({stages} or all)")));
    }
    Ok(request)
}
