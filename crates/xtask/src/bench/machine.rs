//! Where, when and from which commit rows are.

use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::Command;

/// Where it ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) threads: usize,
    pub(crate) memory_gib: f64,
    pub(crate) commit: String,
    pub(crate) date: String,
}

impl Machine {
    /// This machine, the commit and today.
    pub(crate) fn here() -> Self {
        let read = |p: &str| fs_err::read_to_string(p).unwrap_or_default();
        let cpu = cpu(&read("/proc/cpuinfo"));
        let memory = field(&read("/proc/meminfo"), "MemTotal");
        let kib = memory.and_then(|m| m.split_whitespace().next()?.parse::<f64>().ok());
        Self {
            cpu,
            threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_gib: (kib.unwrap_or(0.0) / 1048576.0 * 10.0).round() / 10.0,
            commit: commit(Path::new(".")),
            date: today(),
        }
    }

    /// True of one machine at whatever commit and day. Another kernel leaves a
    /// little more or less of the memory.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let apart = (self.memory_gib - other.memory_gib).abs();
        let memory = apart <= 0.01 * self.memory_gib.max(other.memory_gib);
        memory && (&self.cpu, self.threads) == (&other.cpu, other.threads)
    }

    pub(crate) fn told(&self) -> String {
        let (cpu, threads, memory) = (&self.cpu, self.threads, self.memory_gib);
        format!("{cpu}, {threads} threads, {memory} GiB")
    }
}

/// The value of a line `name : value`.
fn field(text: &str, name: &str) -> Option<String> {
    let of = |line: &str| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    };
    text.lines().find_map(of)
}

/// The processor. Its name alone may stand for several ("AMD EPYC"), some twice as fast as
/// others.
fn cpu(info: &str) -> String {
    let name = field(info, "model name").unwrap_or_else(|| "unknown".to_owned());
    let Some((family, model)) = field(info, "cpu family").zip(field(info, "model")) else {
        return name;
    };
    let flags = field(info, "flags").unwrap_or_default();
    let has = |flag: &str| flags.split_whitespace().any(|f| f == flag);
    let vectors = if has("avx512_vnni") {
        ", AVX-512 VNNI"
    } else if has("avx512bw") {
        ", AVX-512"
    } else if has("avx2") {
        ", AVX2"
    } else {
        ""
    };
    format!("{name} (family {family}, model {model}{vectors})")
}

/// The day, UTC.
pub(crate) fn today() -> String {
    said(Command::new("date").args(["-u", "+%F"]))
}

/// The commit of a checkout, and whether it was changed since. The report is written by
/// the harness itself and changes nothing that is measured.
fn commit(folder: &Path) -> String {
    let git = |arguments: &[&str]| said(Command::new("git").current_dir(folder).args(arguments));
    let commit = git(&["rev-parse", "--short=10", "HEAD"]);
    let others = [":/", ":(top,exclude)docs/benchmarks.md"];
    let changed = git(&["status", "--porcelain", "-uno", "--", others[0], others[1]]);
    if changed.is_empty() {
        commit
    } else {
        format!("{commit} with changes")
    }
}

/// What a program prints; nothing where it cannot be run.
fn said(command: &mut Command) -> String {
    let output = command.output().map(|o| o.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commit_and_day_do_not_make_another_machine() {
        let here = Machine {
            cpu: "A".to_owned(),
            threads: 2,
            memory_gib: 23.5,
            commit: "1".to_owned(),
            date: "2026-11-26".to_owned(),
        };
        let with = |change: fn(&mut Machine)| {
            let mut other = here.clone();
            change(&mut other);
            here.is_same(&other) && other.is_same(&here)
        };
        assert!(with(|m| (m.commit, m.date) = (String::new(), String::new())));
        assert!(with(|m| m.memory_gib = 23.4));
        assert!(!with(|m| m.memory_gib = 31.3));
        assert!(!with(|m| m.threads = 4));
        assert!(!with(|m| m.cpu = "B".to_owned()));
    }

    #[test]
    fn a_processor_is_told_by_more_than_its_name() {
        let info = "cpu family\t: 26\nmodel\t\t: 2\nmodel name\t: AMD EPYC\nflags\t\t: sse avx2 avx512_vnni\n";
        assert_eq!(cpu(info), "AMD EPYC (family 26, model 2, AVX-512 VNNI)");
        let older = info.replace(" avx512_vnni", "").replace("26", "25");
        assert_eq!(cpu(&older), "AMD EPYC (family 25, model 2, AVX2)");
        assert_eq!(cpu("model name : A\n"), "A");
        assert_eq!(cpu(""), "unknown");
    }

    #[test]
    fn the_report_alone_makes_no_changed_tree() {
        let dir = tempfile::tempdir().unwrap();
        let git = |arguments: &[&str]| {
            let mut command = Command::new("git");
            command.current_dir(dir.path());
            command.args(["-c", "user.name=n", "-c", "user.email=e@localhost"]);
            let output = command.args(arguments).output().unwrap();
            assert!(output.status.success(), "{arguments:?}: {output:?}");
        };
        let write = |name: &str, text: &str| fs_err::write(dir.path().join(name), text).unwrap();
        fs_err::create_dir(dir.path().join("docs")).unwrap();
        write("docs/benchmarks.md", "old");
        write("code.rs", "old");
        git(&["init", "--quiet"]);
        git(&["add", "."]);
        git(&["commit", "--quiet", "-m", "first"]);
        let clean = commit(dir.path());
        assert_eq!(clean.len(), 10, "{clean}");
        write("docs/benchmarks.md", "new");
        assert_eq!(commit(dir.path()), clean);
        assert_eq!(commit(&dir.path().join("docs")), clean);
        write("code.rs", "new");
        assert_eq!(commit(dir.path()), format!("{clean} with changes"));
    }
}
