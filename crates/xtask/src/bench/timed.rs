//! One run of a program. A child of ours starts it, so that what the system
//! accounts to that child's children is this run alone, with all it started.

use nix::sys::prctl;
use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicI32, Ordering};
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
    /// CPU seconds of other work on the machine during the run.
    #[serde(default)]
    pub(crate) others_s: f64,
}

impl Cost {
    /// With a part that an earlier run did for this one: a JSON file with its
    /// `wall_s`, `cpu_s` and `rss_mib`.
    pub(crate) fn with(self, shared: &Path) -> Result<Self, String> {
        let read = fs_err::read(shared).map_err(|e| e.to_string())?;
        let v: serde_json::Value = serde_json::from_slice(&read)
            .map_err(|e| format!("{} is damaged: {e}", shared.display()))?;
        let part = |name: &str| {
            let missing = || format!("{} lacks {name}", shared.display());
            v[name].as_f64().ok_or_else(missing)
        };
        Ok(Self {
            wall_s: self.wall_s + part("wall_s")?,
            cpu_s: self.cpu_s + part("cpu_s")?,
            rss_mib: self.rss_mib.max(part("rss_mib")?),
            ..self
        })
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

/// CPU seconds that the machine has worked, or was kept from it by its host; `None` where
/// the system does not say. See proc_stat(5).
fn machine_cpu_s() -> Option<f64> {
    const PER_SECOND: f64 = 100.0;
    let stat = fs_err::read_to_string("/proc/stat").ok()?;
    let of_all = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<f64> = of_all
        .split_whitespace()
        .map_while(|t| t.parse().ok())
        .collect();
    // user, nice, system; idle, iowait; irq, softirq, steal. Guests are among the users.
    let worked = ticks.get(..3)?.iter().chain(ticks.get(5..8)?);
    Some(worked.sum::<f64>() / PER_SECOND)
}

/// The program that is being timed; 0 for none.
static RUNNING: AtomicI32 = AtomicI32::new(0);

/// When the harness ends, so does what it started.
fn end_with_parent() -> Result<(), Vec<String>> {
    prctl::set_pdeathsig(Signal::SIGTERM).map_err(|e| vec![e.to_string()])?;
    let end = || {
        let running = RUNNING.load(Ordering::SeqCst);
        if running > 0 {
            let _ = kill(Pid::from_raw(running), Signal::SIGTERM);
        }
    };
    ctrlc::set_handler(end).map_err(|e| vec![e.to_string()])
}

/// `bench timed PROGRAM ARGUMENT...`: the cost as the last line of stdout.
pub(crate) fn child(words: &[String]) -> Result<String, Vec<String>> {
    let [program, arguments @ ..] = words else {
        return Err(vec!["timed: nothing to run".to_owned()]);
    };
    end_with_parent()?;
    let machine_before = machine_cpu_s();
    let started = Instant::now();
    let mut running = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|e| vec![format!("{program}: {e}")])?;
    RUNNING.store(running.id() as i32, Ordering::SeqCst);
    let status = running.wait();
    RUNNING.store(0, Ordering::SeqCst);
    let status = status.map_err(|e| vec![format!("{program}: {e}")])?;
    let wall_s = started.elapsed().as_secs_f64();
    let machine = machine_cpu_s().zip(machine_before);
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|e| vec![e.to_string()])?;
    let cpu_s = cpu_s(&usage);
    let cost = Cost {
        code: status.code().unwrap_or(-1),
        wall_s,
        cpu_s,
        rss_mib: usage.max_rss() as f64 / 1024.0,
        others_s: machine.map_or(0.0, |(after, before)| (after - before - cpu_s).max(0.0)),
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
    let lines: Vec<&str> = new
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    // A hint alone says nothing.
    let from = match lines[..] {
        [.., before, last] if last.starts_with("hint:") && before.starts_with("error:") => 2,
        _ => 1,
    };
    let talk = lines[lines.len().saturating_sub(from)..].join("; ");
    let said = String::from_utf8_lossy(&output.stdout);
    let last = said.lines().last().unwrap_or_default();
    match serde_json::from_str(last) {
        Ok(cost) => Ok((cost, talk)),
        Err(_) => Err(format!("it could not be started: {talk}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_work_on_the_machine_is_seen() {
        let Some(before) = machine_cpu_s() else {
            println!("skipped: /proc/stat is not here");
            return;
        };
        let own = own_cpu_s();
        while own_cpu_s() - own < 0.3 {
            std::hint::black_box(relievo_synth::calibration::kernel());
        }
        let worked = machine_cpu_s().unwrap() - before;
        assert!(worked > 0.25, "{worked}");
    }
}
