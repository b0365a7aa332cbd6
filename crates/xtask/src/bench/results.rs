//! Rows of the harness, one JSON object a line, appended as they come, so that
//! a run that was stopped goes on where it was.

use super::Problems;
use super::machine::Machine;
use super::quality::METRICS;
use super::sets::Set;
use super::tools::{RunId, Tool};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    Higher,
    Lower,
    Neither,
}

/// One figure of quality.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Metric {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: String,
    pub(crate) better: Better,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) stage: String,
    pub(crate) set: String,
    pub(crate) tool: String,
    pub(crate) ours: bool,
    pub(crate) version: String,
    /// Version of ours whose result a peer started from.
    #[serde(default)]
    pub(crate) start: Option<String>,
    /// Digest of the set's photos and truth; empty in rows that were measured before it was kept.
    #[serde(default)]
    pub(crate) data: String,
    /// What the set's truth is.
    #[serde(default)]
    pub(crate) truth: Option<String>,
    /// Definitions by which it was scored ([`METRICS`]).
    #[serde(default)]
    pub(crate) metrics: u32,
    pub(crate) seed: usize,
    pub(crate) run: usize,
    pub(crate) wall_s: f64,
    pub(crate) cpu_s: f64,
    pub(crate) rss_mib: f64,
    /// CPU seconds of other work on the machine during the run.
    #[serde(default)]
    pub(crate) others_s: f64,
    /// CPU seconds of the calibration kernel around a run of ours.
    pub(crate) calibration_s: f64,
    pub(crate) quality: Vec<Metric>,
    /// Why there is no result.
    pub(crate) failed: Option<String>,
    /// A signal ended it.
    #[serde(default)]
    pub(crate) killed: bool,
    /// Why there is no score.
    pub(crate) note: Option<String>,
    pub(crate) machine: Machine,
}

impl Record {
    pub(crate) fn new(
        stage: &str,
        set: &Set,
        tool: &Tool,
        (seed, run): RunId,
        machine: &Machine,
    ) -> Self {
        Self {
            stage: stage.to_owned(),
            set: set.name.clone(),
            data: set.data.clone(),
            truth: set.truth.clone(),
            tool: tool.name.clone(),
            ours: tool.ours,
            version: tool.version.clone(),
            start: tool.start.clone(),
            metrics: METRICS,
            seed,
            run,
            wall_s: 0.0,
            cpu_s: 0.0,
            rss_mib: 0.0,
            others_s: 0.0,
            calibration_s: 0.0,
            quality: Vec::new(),
            failed: None,
            killed: false,
            note: None,
            machine: machine.clone(),
        }
    }
}

impl Record {
    /// Whether other work took so much of the processors that the wall time says nothing.
    pub(crate) fn is_disturbed(&self) -> bool {
        const SHARE: f64 = 0.15;
        self.others_s > SHARE * self.wall_s
    }
}

/// All rows of a file.
#[derive(Debug, Default)]
pub(crate) struct Results {
    path: PathBuf,
    pub(crate) rows: Vec<Record>,
}

impl Results {
    pub(crate) fn read_or_new(path: &Path) -> Result<Self, Problems> {
        if path.is_file() {
            drop_cut_line(path).map_err(|e| vec![e.to_string()])?;
            return Self::read(path);
        }
        Ok(Self {
            path: path.to_owned(),
            rows: Vec::new(),
        })
    }

    pub(crate) fn read(path: &Path) -> Result<Self, Problems> {
        let text = fs_err::read_to_string(path).map_err(|e| vec![e.to_string()])?;
        let mut rows = Vec::new();
        for (number, line) in text.lines().enumerate() {
            match serde_json::from_str(line) {
                Ok(row) => rows.push(row),
                // Cut off by a kill.
                Err(_) if !text.ends_with('\n') && number + 1 == text.lines().count() => {}
                Err(e) => {
                    let number = number + 1;
                    return Err(vec![format!("{}: line {number}: {e}", path.display())]);
                }
            }
        }
        Ok(Self {
            path: path.to_owned(),
            rows,
        })
    }

    pub(crate) fn append(&mut self, record: &Record) -> Result<(), Problems> {
        let line = serde_json::to_string(record).map_err(|e| vec![e.to_string()])?;
        if let Some(folder) = self.path.parent() {
            fs_err::create_dir_all(folder).map_err(|e| vec![e.to_string()])?;
        }
        fs_err::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path)
            .and_then(|mut f| writeln!(f, "{line}"))
            .map_err(|e| vec![e.to_string()])?;
        self.rows.push(record.clone());
        Ok(())
    }

    /// A run that was done already on this machine with the same photos and truth by the same version from the
    /// same start, and scored by the same definitions. A tool that failed by itself would fail again; one that was
    /// killed, or was not here, is tried.
    pub(crate) fn find(
        &self,
        stage: &str,
        (set, data): (&str, &str),
        tool: &Tool,
        (seed, run): RunId,
        machine: &Machine,
    ) -> Option<&Record> {
        self.rows.iter().rfind(|r| {
            let same = r.stage == stage && r.set == set && r.tool == tool.name;
            let same = same && (r.data.is_empty() || r.data == data);
            let same = same && r.machine.is_same(machine);
            let version = r.version == tool.version && r.start == tool.start;
            // What was never scored is not measured by anything.
            let version = version && (r.metrics == METRICS || r.failed.is_some());
            let ended = r.failed.is_none() || (r.wall_s > 0.0 && !r.killed);
            same && version && ended && (r.seed, r.run) == (seed, run)
        })
    }
}

/// A last line that was cut off by a kill is dropped: its run is done again.
fn drop_cut_line(path: &Path) -> std::io::Result<()> {
    let text = fs_err::read_to_string(path)?;
    if text.ends_with('\n') || text.is_empty() {
        return Ok(());
    }
    let whole = text.rfind('\n').map_or(0, |i| i + 1);
    fs_err::write(path, &text[..whole])
}

/// The rows that count, in their order: of a stage and set those of the machine that
/// ran it last, of a tool there those of its last version, start and definitions, of a run
/// the last try. A file may hold several machines and builds.
pub(crate) fn newest<'a>(rows: impl IntoIterator<Item = &'a Record>) -> Vec<&'a Record> {
    let mut rows: Vec<&Record> = rows.into_iter().collect();
    let place = |r: &'a Record| (&*r.stage, &*r.set);
    let machines: BTreeMap<_, _> = rows.iter().map(|&r| (place(r), &r.machine)).collect();
    rows.retain(|&r| machines[&place(r)].is_same(&r.machine));
    let build = |r: &'a Record| (&*r.version, r.start.as_deref(), r.metrics);
    let tool = |r: &'a Record| (place(r), &*r.tool);
    let builds: BTreeMap<_, _> = rows.iter().map(|&r| (tool(r), build(r))).collect();
    rows.retain(|&r| builds[&tool(r)] == build(r));
    let id = |r: &'a Record| (tool(r), r.seed, r.run);
    let tries: BTreeMap<_, _> = rows.iter().enumerate().map(|(i, &r)| (id(r), i)).collect();
    let mut at = 0..;
    rows.retain(|&r| at.next() == tries.get(&id(r)).copied());
    rows
}

/// Median; 0 of nothing.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut v = values.to_vec();
    v.sort_by(f64::total_cmp);
    match v.len() {
        0 => 0.0,
        n if n % 2 == 1 => v[n / 2],
        n => f64::midpoint(v[n / 2 - 1], v[n / 2]),
    }
}

/// A row for tests: a run of ours that ended well.
#[cfg(test)]
pub(crate) fn example(stage: &str, set: &str, tool: &str, version: &str, run: usize) -> Record {
    let machine = Machine {
        cpu: "A".to_owned(),
        threads: 2,
        memory_gib: 16.0,
        commit: "c0ffee".to_owned(),
        date: "2026-11-26".to_owned(),
    };
    Record {
        stage: stage.to_owned(),
        set: set.to_owned(),
        tool: tool.to_owned(),
        ours: tool == "relievo",
        version: version.to_owned(),
        start: None,
        data: "d".to_owned(),
        truth: None,
        metrics: METRICS,
        seed: 0,
        run,
        wall_s: 1.0,
        cpu_s: 2.0,
        rss_mib: 100.0,
        others_s: 0.0,
        calibration_s: 0.1,
        quality: Vec::new(),
        failed: None,
        killed: false,
        note: None,
        machine,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(rows: Vec<Record>) -> Results {
        let path = PathBuf::new();
        Results { path, rows }
    }

    #[test]
    fn a_row_of_another_machine_version_or_start_is_not_done() {
        let row = example("mesh", "demo", "open3d", "0.20", 1);
        let machine = row.machine.clone();
        let tool = Tool::example("open3d", "0.20");
        let is_done = |change: &dyn Fn(&mut Record)| {
            let mut row = row.clone();
            change(&mut row);
            let found = results(vec![row]);
            let found = found.find("mesh", ("demo", "d"), &tool, (0, 1), &machine);
            found.is_some()
        };
        assert!(is_done(&|_| {}));
        assert!(is_done(&|r| r.machine.commit = "another".to_owned()));
        assert!(is_done(&|r| r.data.clear()) && !is_done(&|r| r.data = "other".to_owned()));
        assert!(!is_done(&|r| r.machine.threads = 4));
        assert!(!is_done(&|r| r.machine.cpu = "B".to_owned()));
        assert!(!is_done(&|r| r.machine.memory_gib = 32.0));
        assert!(!is_done(&|r| r.version = "0.19".to_owned()));
        assert!(!is_done(&|r| r.start = Some("other".to_owned())));
        assert!(!is_done(&|r| r.metrics -= 1));
        assert!(!is_done(&|r| r.run = 2));
        // One that failed by itself is done; one that was killed or not here is not.
        let failed = Some("exit code 1".to_owned());
        assert!(is_done(&|r| r.failed.clone_from(&failed)));
        assert!(!is_done(&|r| (r.failed, r.killed) = (failed.clone(), true)));
        assert!(!is_done(&|r| (r.failed, r.wall_s) = (failed.clone(), 0.0)));
    }

    #[test]
    fn the_newest_machine_version_and_try_count() {
        let row = |tool: &str, version: &str, run| example("mesh", "demo", tool, version, run);
        let counting = |rows: &[Record]| -> Vec<(String, String, usize)> {
            let newest = newest(rows).into_iter();
            let told = newest.map(|r| (r.tool.clone(), r.version.clone(), r.run));
            told.collect()
        };
        let is = |tool: &str, version: &str, run| (tool.to_owned(), version.to_owned(), run);
        // A build that comes back takes its earlier rows with it.
        let mut rows = vec![row("relievo", "1", 0), row("open3d", "0.20", 0)];
        rows.extend([row("relievo", "2", 0), row("relievo", "1", 1)]);
        let expected = [
            is("relievo", "1", 0),
            is("open3d", "0.20", 0),
            is("relievo", "1", 1),
        ];
        assert_eq!(counting(&rows), expected);
        // On another machine nothing of the first one counts, of that place alone.
        rows.push(example("mesh", "fox", "relievo", "1", 0));
        rows.push(row("relievo", "1", 0));
        rows[5].machine.threads = 64;
        assert_eq!(
            counting(&rows),
            [is("relievo", "1", 0), is("relievo", "1", 0)]
        );
        assert_eq!(newest(&rows)[0].set, "fox");
        assert_eq!(newest(&rows)[1].machine.threads, 64);
        // A run that was killed and done again was done once.
        let mut again = vec![row("relievo", "1", 0), row("relievo", "1", 0)];
        again[0].killed = true;
        let newest = newest(&again);
        assert_eq!(newest.len(), 1);
        assert!(!newest[0].killed);
    }
}
