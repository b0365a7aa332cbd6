//! Rows of the harness, one JSON object a line, appended as they come, so that
//! a run that was stopped goes on where it was.

use super::Problems;
use super::tools::{RunId, Tool};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

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

/// Where it ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) threads: usize,
    pub(crate) memory_gib: f64,
    pub(crate) commit: String,
    pub(crate) date: String,
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
    pub(crate) seed: usize,
    pub(crate) run: usize,
    pub(crate) wall_s: f64,
    pub(crate) cpu_s: f64,
    pub(crate) rss_mib: f64,
    /// CPU seconds of the calibration kernel around the run.
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
        set: &str,
        tool: &Tool,
        (seed, run): RunId,
        machine: &Machine,
    ) -> Self {
        Self {
            stage: stage.to_owned(),
            set: set.to_owned(),
            tool: tool.name.clone(),
            ours: tool.ours,
            version: tool.version.clone(),
            start: tool.start.clone(),
            seed,
            run,
            wall_s: 0.0,
            cpu_s: 0.0,
            rss_mib: 0.0,
            calibration_s: 0.0,
            quality: Vec::new(),
            failed: None,
            killed: false,
            note: None,
            machine: machine.clone(),
        }
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

    /// A run that was done already by the same version from the same start. A
    /// tool that failed by itself would fail again; one that was killed, or was
    /// not here, is tried.
    pub(crate) fn find(
        &self,
        stage: &str,
        set: &str,
        tool: &Tool,
        (seed, run): RunId,
    ) -> Option<&Record> {
        self.rows.iter().rfind(|r| {
            let same = r.stage == stage && r.set == set && r.tool == tool.name;
            let version = r.version == tool.version && r.start == tool.start;
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

/// The machine, the commit and today.
pub(crate) fn machine() -> Machine {
    let read = |p: &str| fs_err::read_to_string(p).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|l| l.starts_with(name));
        line.and_then(|l| Some(l.split_once(':')?.1.trim().to_owned()))
    };
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok();
        output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned())
    };
    let commit = said("git", &["rev-parse", "--short=10", "HEAD"]).unwrap_or_default();
    let dirty = said("git", &["status", "--porcelain", "-uno"]).is_some_and(|s| !s.is_empty());
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let kib = memory.and_then(|m| m.split_whitespace().next()?.parse::<f64>().ok());
    Machine {
        cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".to_owned()),
        threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        memory_gib: (kib.unwrap_or(0.0) / 1048576.0 * 10.0).round() / 10.0,
        commit: if dirty {
            format!("{commit} with changes")
        } else {
            commit
        },
        date: said("date", &["-u", "+%F"]).unwrap_or_default(),
    }
}
