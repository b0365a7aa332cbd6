//! `scripts/bench`: our stages beside peers, interleaved, resumable.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`sets`] | the data sets that are here |
//! | [`bal`] | problems of bundle adjustment in the large, and Ceres on them |
//! | [`known`] | true intrinsics, for every tool alike |
//! | [`tools`] | who does a stage, and how |
//! | [`timed`] | one run of a program: wall, CPU, memory |
//! | [`calibrate`] | a fixed piece of work: how fast the machine is just now |
//! | [`quality`] | what a result is worth, by `relievo bench` and `relievo eval` |
//! | [`results`] | rows on disk, medians |
//! | [`compare`] | better, worse or unchanged beyond the noise |
//! | [`report`] | `docs/benchmarks.md` |

mod bal;
mod calibrate;
mod compare;
mod known;
mod photos;
mod quality;
mod report;
mod results;
mod sets;
mod timed;
mod tools;

use results::{Record, Results};
use sets::Set;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

type Problems = Vec<String>;

/// Stages in the order of a full run.
const STAGES: [&str; 6] = ["features", "sparse", "bundle", "dense", "mesh", "texture"];
/// Stages to be asked for by name.
const MORE_STAGES: [&str; 2] = ["known", "bal"];
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
    /// After this long nothing is repeated any more.
    repeat_for: Duration,
    /// A peer is stopped after this many seconds.
    peer_limit_s: u64,
    /// Dense and mesh start from the run that holds photos out for texture.
    share: bool,
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
    let sets = if request.stages == ["bal"] {
        bal::sets()
    } else {
        sets::find(&request)?
    };
    if sets.is_empty() {
        return Err(vec!["no data set is here; set RELIEVO_DATA".to_owned()]);
    }
    let fresh = measure(&request, &sets, &mut results)?;
    let mut said = report::text(&fresh);
    if let Some(old) = &request.compare {
        let old = Results::read(old)?;
        said.push('\n');
        said.push_str(&compare::text(&compare::compare(&old.rows, &fresh)));
    }
    Ok(said)
}

/// All that was asked for: first everything once, set by set, then the
/// repeats, so that tools alternate and an early end leaves no gap.
fn measure(
    request: &Request,
    sets: &[Set],
    results: &mut Results,
) -> Result<Vec<Record>, Problems> {
    let machine = results::machine();
    let started = Instant::now();
    let (mut all, mut slow) = (Vec::new(), BTreeSet::new());
    for run in 0..request.runs.max(request.seeds) {
        // Seeds are ours alone, but in `known`; a peer repeats its run.
        let seed = if request.seeds > 1 { run } else { 0 };
        for set in sets {
            for stage in &request.stages {
                for tool in tools::of_stage(stage, set, request) {
                    let place = (set.name.clone(), *stage, tool.name.clone());
                    let peer_done = !tool.ours && run >= request.runs;
                    let once = tool.absent.is_some() || slow.contains(&place);
                    if peer_done || (run > 0 && once) {
                        continue;
                    }
                    let known = results.find(stage, &set.name, &tool, (seed, run));
                    let record = if let Some(record) = known {
                        record.clone()
                    } else if run > 0 && started.elapsed() > request.repeat_for {
                        continue;
                    } else {
                        let minutes = started.elapsed().as_secs_f64() / 60.0;
                        let what = format!("{stage} {} {} run {run}", set.name, tool.name);
                        eprintln!("bench: {minutes:5.1} min  {what}");
                        let record = one(
                            stage,
                            set,
                            &tool,
                            (seed, run),
                            (request.peer_limit_s, &machine),
                        );
                        results.append(&record)?;
                        record
                    };
                    if record.wall_s > ONCE_OVER_S || record.failed.is_some() {
                        slow.insert(place);
                    }
                    all.push(record);
                }
            }
        }
    }
    Ok(all)
}

/// One run of a tool on a set, measured and scored.
fn one(
    stage: &str,
    set: &Set,
    tool: &tools::Tool,
    id: tools::RunId,
    (limit_s, machine): (u64, &results::Machine),
) -> Record {
    let mut record = Record::new(stage, &set.name, tool, id, machine);
    if let Some(why) = &tool.absent {
        record.failed = Some(why.clone());
        return record;
    }
    let steps = match tools::prepare(stage, set, tool, id, limit_s) {
        Ok(steps) => steps,
        Err(why) => {
            record.failed = Some(format!("it has nothing to start from: {why}"));
            return record;
        }
    };
    record.calibration_s = calibrate::seconds();
    match timed::run(&steps.command) {
        Ok((mut cost, talk)) => {
            if let Some(shared) = &steps.shared {
                cost = cost.with(shared);
            }
            (record.wall_s, record.cpu_s, record.rss_mib) = (cost.wall_s, cost.cpu_s, cost.rss_mib);
            record.killed = cost.code == -1;
            if record.killed {
                record.failed = Some("it was killed by a signal".to_owned());
            } else if !tool.ours && cost.code == 124 {
                record.failed = Some(format!("stopped after {limit_s} s"));
            } else if !(cost.code == 0 || (tool.ours && cost.code == 3)) {
                record.failed = Some(format!("exit code {}: {talk}", cost.code));
            }
        }
        Err(why) => record.failed = Some(why),
    }
    record.calibration_s = record.calibration_s.min(calibrate::seconds());
    if record.failed.is_none() {
        match quality::of(stage, set, tool, &steps) {
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
        repeat_for: Duration::MAX,
        peer_limit_s: 600,
        share: false,
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
            "--repeat-for" => {
                request.repeat_for = Duration::from_secs(60 * number(value()?)? as u64);
            }
            "--peer-limit" => request.peer_limit_s = number(value()?)? as u64,
            "--share" => request.share = true,
            "--set" => request.set.push(value()?),
            "--results" => request.results = value()?.into(),
            "--compare" => request.compare = Some(value()?.into()),
            other => match STAGES.iter().chain(&MORE_STAGES).find(|s| **s == other) {
                Some(stage) => request.stages.push(stage),
                None => return Err(bad(format!("'{other}' is not known"))),
            },
        }
    }
    if request.stages.len() > 1 && request.stages.contains(&"bal") {
        return Err(bad("bal has sets of its own: ask for it alone".to_owned()));
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
