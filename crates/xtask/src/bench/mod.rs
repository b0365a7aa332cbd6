//! `scripts/bench`: our stages beside peers, interleaved, resumable.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`sets`] | the data sets that are here |
//! | [`bal`] | problems of bundle adjustment in the large, and Ceres on them |
//! | [`known`] | true intrinsics, for every tool alike |
//! | [`posed`] | true poses, for every tool alike |
//! | [`request`] | what was asked for |
//! | [`tools`] | who does a stage |
//! | [`commands`] | by which command line, from which start |
//! | [`timed`] | one run of a program: wall, CPU, memory |
//! | [`calibrate`] | a fixed piece of work: how fast the machine is just now |
//! | [`kernel`] | the depth kernel alone |
//! | [`quality`] | what a result is worth, by `relievo bench` and `relievo eval` |
//! | [`machine`] | where, when and from which commit rows are |
//! | [`results`] | rows on disk, which of them count, medians |
//! | [`compare`] | better, worse or unchanged beyond the noise |
//! | [`report`], [`summary`] | `docs/benchmarks.md` |

mod bal;
mod calibrate;
mod commands;
mod compare;
mod kernel;
mod known;
mod machine;
mod photos;
mod posed;
mod quality;
mod report;
mod request;
mod results;
mod sets;
mod summary;
mod timed;
mod tools;

use machine::Machine;
use request::{Request, default_results};
use results::{Record, Results};
use sets::Set;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

type Problems = Vec<String>;

/// Stages in the order of a full run.
const STAGES: [&str; 9] = [
    "features", "sparse", "known", "bundle", "bal", "dense", "posed", "mesh", "texture",
];
/// A tool that took longer than this on a set runs there once.
const ONCE_OVER_S: f64 = 300.0;

/// Runs `bench` with its own arguments.
pub(crate) fn bench(arguments: &[String]) -> Result<String, Problems> {
    match arguments.first().map(String::as_str) {
        Some("timed") => return timed::child(&arguments[1..]),
        Some("compare") => {
            let [old, new] = &arguments[1..] else {
                return Err(vec!["usage: bench compare OLD NEW".to_owned()]);
            };
            let (old, new) = (Results::read(old.as_ref())?, Results::read(new.as_ref())?);
            return compare::verdict(&old.rows, &new.rows);
        }
        Some("report") => {
            let from = match &arguments[1..] {
                [] => default_results(false),
                [flag, path] if flag == "--results" => path.into(),
                _ => return Err(vec!["usage: bench report [--results FILE]".to_owned()]),
            };
            if !from.is_file() {
                let what = format!(
                    "{} is not there; `scripts/bench all` writes it",
                    from.display()
                );
                return Err(vec![what]);
            }
            let rows = Results::read(&from)?.rows;
            let path = PathBuf::from("docs/benchmarks.md");
            fs_err::write(&path, report::markdown(&rows)).map_err(|e| vec![e.to_string()])?;
            return Ok(format!("{} from {} rows", path.display(), rows.len()));
        }
        _ => {}
    }
    let request = Request::read(arguments)?;
    // Now: the new rows may go into the same file.
    let old = request
        .compare
        .as_ref()
        .map(|p| Results::read(p))
        .transpose()?;
    let mut results = Results::read_or_new(&request.results)?;
    let mut sets = sets::find(&request)?;
    if sets.is_empty() {
        return Err(vec!["no data set is here; set RELIEVO_DATA".to_owned()]);
    }
    if request.stages.contains(&"bal") {
        bal::prepare(&mut sets);
    }
    let fresh = measure(&request, &sets, &mut results)?;
    let said = report::text(&fresh);
    let mut problems = shortcomings(&fresh);
    let damaged = sets.iter().filter_map(|s| Some((s, s.damaged.as_ref()?)));
    problems.extend(damaged.map(|(s, why)| format!("the truth of {}: {why}", s.name)));
    let said = if let Some(old) = old {
        crate::say(&said);
        // What was not asked for is not missing.
        let asked = |r: &Record| {
            request.stages.contains(&&*r.stage) && sets.iter().any(|s| s.name == r.set)
        };
        let mut old = old.rows;
        old.retain(asked);
        match compare::verdict(&old, &fresh) {
            Ok(said) => said,
            // The text, and why it is an error; or that there is nothing to compare.
            Err(mut worse) => {
                let said = (worse.len() > 1).then(|| worse.remove(0));
                problems.extend(worse);
                said.unwrap_or_default()
            }
        }
    } else {
        said
    };
    if problems.is_empty() {
        return Ok(said);
    }
    problems.insert(0, said);
    Err(problems)
}

/// What went wrong with runs of ours.
fn shortcomings(rows: &[Record]) -> Problems {
    let ours = || rows.iter().filter(|r| r.ours);
    let failed = ours().filter(|r| r.failed.is_some()).count();
    let unscored = ours().filter(|r| r.note.is_some()).count();
    let mut said = Problems::new();
    if failed > 0 {
        said.push(format!("{failed} runs of ours failed"));
    }
    if unscored > 0 {
        said.push(format!("{unscored} runs of ours could not be scored"));
    }
    said
}

/// All that was asked for: first everything once, set by set, then the
/// repeats, the shortest first, so that an early end leaves no gap and few rows
/// without a spread. Tools alternate.
fn measure(
    request: &Request,
    sets: &[Set],
    results: &mut Results,
) -> Result<Vec<Record>, Problems> {
    let mut round = Round {
        request,
        results,
        machine: Machine::here(),
        started: Instant::now(),
        once: BTreeSet::new(),
        all: Vec::new(),
    };
    let mut places = Vec::new();
    for set in sets {
        for stage in &request.stages {
            let wall_s = round.run(set, stage, 0)?;
            places.push((wall_s, set, *stage));
        }
    }
    places.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (_, set, stage) in places {
        for run in 1..request.runs.max(request.seeds) {
            round.run(set, stage, run)?;
        }
    }
    Ok(round.all)
}

/// What was measured so far.
struct Round<'a> {
    request: &'a Request,
    results: &'a mut Results,
    machine: Machine,
    started: Instant,
    /// Set, stage and tool that are not repeated: slow, failed or absent.
    once: BTreeSet<(String, &'static str, String)>,
    all: Vec<Record>,
}

impl Round<'_> {
    /// All tools of a stage on a set, one after the other; their wall seconds.
    fn run(&mut self, set: &Set, stage: &'static str, run: usize) -> Result<f64, Problems> {
        let request = self.request;
        // Seeds are ours alone, but in `known`; a peer repeats its run.
        let seed = if request.seeds > 1 { run } else { 0 };
        let mut wall_s = 0.0;
        for tool in tools::of_stage(stage, set, request) {
            let place = (set.name.clone(), stage, tool.name.clone());
            let peer_done = !tool.ours && run >= request.runs;
            if peer_done || self.once.contains(&place) {
                continue;
            }
            let id = (seed, run);
            let known = self
                .results
                .find(stage, (&set.name, &set.data), &tool, id, &self.machine);
            let record = if let Some(record) = known {
                record.clone()
            } else if run > 0 && self.started.elapsed() > request.repeat_for {
                continue;
            } else {
                let minutes = self.started.elapsed().as_secs_f64() / 60.0;
                let what = format!("{stage} {} {} run {run}", set.name, tool.name);
                eprintln!("bench: {minutes:5.1} min  {what}");
                let limit_s = request.peer_limit_s;
                let record = one(stage, set, &tool, id, (limit_s, &self.machine));
                self.results.append(&record)?;
                record
            };
            if record.wall_s > ONCE_OVER_S || record.failed.is_some() {
                self.once.insert(place);
            }
            wall_s += record.wall_s;
            self.all.push(record);
        }
        Ok(wall_s)
    }
}

/// One run of a tool on a set, measured and scored.
fn one(
    stage: &str,
    set: &Set,
    tool: &tools::Tool,
    id: tools::RunId,
    (limit_s, machine): (u64, &Machine),
) -> Record {
    let mut record = Record::new(stage, set, tool, id, machine);
    // A full run takes days.
    record.machine.date = machine::today();
    if let Some(why) = &tool.absent {
        record.failed = Some(why.clone());
        return record;
    }
    let steps = match commands::prepare(stage, set, tool, id, limit_s) {
        Ok(steps) => steps,
        Err(why) => {
            record.failed = Some(format!("it has nothing to start from: {why}"));
            return record;
        }
    };
    // Only runs of ours are compared by it.
    let calibrate = || if tool.ours { calibrate::seconds() } else { 0.0 };
    record.calibration_s = calibrate();
    match timed::run(&steps.command) {
        Ok((mut cost, talk)) => {
            if let Some(shared) = &steps.shared {
                match cost.with(shared) {
                    Ok(both) => cost = both,
                    Err(why) => record.failed = Some(why),
                }
            }
            (record.wall_s, record.cpu_s, record.rss_mib) = (cost.wall_s, cost.cpu_s, cost.rss_mib);
            record.others_s = cost.others_s;
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
    record.calibration_s = record.calibration_s.min(calibrate());
    if record.failed.is_none() {
        match quality::of(stage, set, tool, &steps) {
            Ok(rows) => record.quality = rows,
            Err(why) => record.note = Some(why),
        }
    }
    record
}
