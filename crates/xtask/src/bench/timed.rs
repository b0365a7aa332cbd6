//! One run of a program. A child of ours starts it, so that what the system
//! accounts to that child's children is this run alone, with all it started.

use nix::sys::resource::{Usage, UsageWho, getrusage};
use serde::{Deserialize, Serialize};
use std::process::{Command, Stdio};
use std::time::Instant;

/// What a run cost.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub(crate) code: i32,
    pub(crate) wall_s: f64,
    pub(crate) cpu_s: f64,
    /// Of the largest process of the run.
    pub(crate) rss_mib: f64,
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

/// Runs a command line and says what it cost. Its talk goes to a log.
pub(crate) fn run(words: &[String]) -> Result<Cost, String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let log = fs_err::OpenOptions::new()
        .create(true)
        .append(true)
        .open("target/bench/log.txt")
        .map_err(|e| e.to_string())?;
    let output = Command::new(own)
        .args(["bench", "timed"])
        .args(words)
        .stderr(log.into_file())
        .output()
        .map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout);
    let last = said.lines().last().unwrap_or_default();
    serde_json::from_str(last)
        .map_err(|_| "it could not be started; see target/bench/log.txt".to_owned())
}
