//! One run of a program. A child of ours starts it, so that what the system
//! accounts to that child's children is this run alone, with all it started.

use nix::sys::resource::{Usage, UsageWho, getrusage};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// What a run cost.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// Exit code; -1 where a signal ended it.
    pub(crate) code: i32,
    pub(crate) wall_s: f64,
    pub(crate) cpu_s: f64,
    /// Of the largest process of the run.
    pub(crate) rss_mib: f64,
}

impl Cost {
    /// With a part that an earlier run did for this one: a JSON file with its
    /// `wall_s`, `cpu_s` and `rss_mib`.
    pub(crate) fn with(self, shared: &Path) -> Self {
        let read = fs_err::read(shared).unwrap_or_default();
        let v: serde_json::Value = serde_json::from_slice(&read).unwrap_or_default();
        let part = |name: &str| v[name].as_f64().unwrap_or(f64::NAN);
        Self {
            wall_s: self.wall_s + part("wall_s"),
            cpu_s: self.cpu_s + part("cpu_s"),
            rss_mib: self.rss_mib.max(part("rss_mib")),
            ..self
        }
    }
}

fn cpu_s(usage: &Usage) -> f64 {
    [usage.user_time(), usage.system_time()]
        .iter()
        .map(|t| t.tv_sec() as f64 + t.tv_usec() as f64 * 1e-6)
        .sum()
}

/// CPU seconds of this process so far.
pub(crate) fn own_cpu_s() -> f64 {
    getrusage(UsageWho::RUSAGE_SELF).map_or(f64::NAN, |u| cpu_s(&u))
}

/// `bench timed PROGRAM ARGUMENT...`: the cost as the last line of stdout.
pub(crate) fn child(words: &[String]) -> Result<String, Vec<String>> {
    let [program, arguments @ ..] = words else {
        return Err(vec!["timed: nothing to run".to_owned()]);
    };
    let started = Instant::now();
    let status = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .map_err(|e| vec![format!("{program}: {e}")])?;
    let wall_s = started.elapsed().as_secs_f64();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|e| vec![e.to_string()])?;
    let cost = Cost {
        code: status.code().unwrap_or(-1),
        wall_s,
        cpu_s: cpu_s(&usage),
        rss_mib: usage.max_rss() as f64 / 1024.0,
    };
    serde_json::to_string(&cost).map_err(|e| vec![e.to_string()])
}

/// Runs a command line and says what it cost, with the last line of its talk,
/// all of which goes to a log.
pub(crate) fn run(words: &[String]) -> Result<(Cost, String), String> {
    const LOG: &str = "target/bench/log.txt";
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let log = fs_err::OpenOptions::new()
        .create(true)
        .append(true)
        .open(LOG)
        .map_err(|e| e.to_string())?;
    let before = log.metadata().map_err(|e| e.to_string())?.len();
    let output = Command::new(own)
        .args(["bench", "timed"])
        .args(words)
        .stderr(log.into_file())
        .output()
        .map_err(|e| e.to_string())?;
    let all = fs_err::read(LOG).unwrap_or_default();
    let new = String::from_utf8_lossy(&all[all.len().min(before as usize)..]).into_owned();
    let talk = new.lines().rfind(|l| !l.trim().is_empty());
    let talk = talk.unwrap_or_default().trim().to_owned();
    let said = String::from_utf8_lossy(&output.stdout);
    let last = said.lines().last().unwrap_or_default();
    match serde_json::from_str(last) {
        Ok(cost) => Ok((cost, talk)),
        Err(_) => Err(format!("it could not be started: {talk}")),
    }
}
