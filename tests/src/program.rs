//! The program under test as a process.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// `relievo` of the profile that the tests were built with: it stands beside
/// the folder of the test executables.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let own = std::env::current_exe().expect("a test knows its own path");
        let folder = own
            .parent()
            .and_then(Path::parent)
            .expect("test executables lie in target/<profile>/deps");
        let path = folder.join(format!("relievo{}", std::env::consts::EXE_SUFFIX));
        assert!(
            path.is_file(),
            "{} is not there: run `cargo build -p relievo` first",
            path.display()
        );
        path
    })
}

/// What came of a command.
#[derive(Debug)]
pub struct Ran {
    /// The arguments, for messages.
    pub arguments: String,
    /// Exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Data.
    pub stdout: String,
    /// Talk.
    pub stderr: String,
    /// Elapsed.
    pub wall: Duration,
}

/// Runs `relievo` with these arguments, in an empty current folder of no
/// meaning.
pub fn relievo<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Ran {
    relievo_in(&std::env::temp_dir(), arguments)
}

/// Runs `relievo` in `folder`.
pub fn relievo_in<A: AsRef<OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = A>) -> Ran {
    let started = Instant::now();
    let mut command = command(arguments);
    command.current_dir(folder);
    let shown = shown(&command);
    let output = command.output().expect("the program starts");
    Ran {
        arguments: shown,
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        wall: started.elapsed(),
    }
}

/// A `relievo` that was started and goes on beside the test; killed when
/// dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    talk: tempfile::NamedTempFile,
    started: Instant,
    arguments: String,
}

/// Starts `relievo` with these arguments.
pub fn start<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Running {
    let talk = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut command = command(arguments);
    let file = talk.reopen().expect("the file was just made");
    command.stdout(Stdio::null()).stderr(file);
    Running {
        arguments: shown(&command),
        child: command.spawn().expect("the program starts"),
        talk,
        started: Instant::now(),
    }
}

impl Running {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        fs_err::read_to_string(self.talk.path()).unwrap_or_default()
    }

    /// True while it runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until it says `what`; panics where it ends or two minutes pass
    /// before.
    pub fn wait_for(&mut self, what: &str) {
        while !self.said().contains(what) {
            assert!(
                self.is_alive(),
                "it ended without '{what}': {}",
                self.said()
            );
            assert!(
                self.started.elapsed() < Duration::from_secs(120),
                "no '{what}' within two minutes: {}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let id = i32::try_from(self.child.id()).ok();
        let id = id.and_then(rustix::process::Pid::from_raw);
        let sent = id.map(|id| rustix::process::kill_process(id, signal));
        assert!(matches!(sent, Some(Ok(()))), "{sent:?}");
    }

    /// Ends it as a power cut would. True where it was still running.
    pub fn kill(mut self) -> bool {
        let alive = self.is_alive();
        let _ = self.child.kill();
        let _ = self.child.wait();
        alive
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Ran {
        let status = self.child.wait().expect("a child can be waited for");
        Ran {
            arguments: self.arguments.clone(),
            code: status.code(),
            stdout: String::new(),
            stderr: self.said(),
            wall: self.started.elapsed(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(program());
    command.args(arguments).stdin(Stdio::null());
    command
}

fn shown(command: &Command) -> String {
    let words: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
    words.join(" ")
}

impl Ran {
    /// Panics with everything that was said unless it ended with `code`.
    #[track_caller]
    #[expect(
        clippy::return_self_not_must_use,
        reason = "it is called to check; the value serves the next check"
    )]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "exit code of `relievo {}`\n--- stdout\n{}\n--- stderr\n{}",
            self.arguments,
            self.stdout,
            self.stderr
        );
        self
    }

    /// Panics unless the talk holds each of these, and no sign of a bug.
    #[track_caller]
    #[expect(
        clippy::return_self_not_must_use,
        reason = "it is called to check; the value serves the next check"
    )]
    pub fn says(self, parts: &[&str]) -> Self {
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        for part in parts {
            assert!(
                self.stderr.contains(part),
                "`relievo {}` did not say '{part}':\n{}",
                self.arguments,
                self.stderr
            );
        }
        self
    }

    /// Panics where the talk holds this.
    #[track_caller]
    pub fn keeps_quiet_of(&self, part: &str) {
        assert!(!self.stderr.contains(part), "{}", self.stderr);
    }

    /// Last line of the data.
    pub fn last_line(&self) -> &str {
        self.stdout.lines().last().unwrap_or_default()
    }

    /// The data as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {}", self.stdout))
    }

    /// Stages that were made, with items made and kept, from
    /// `depth: done in 3 s (2 new, 4 kept)`.
    pub fn made(&self) -> BTreeMap<String, (usize, usize)> {
        self.stderr
            .lines()
            .filter_map(|line| {
                let (stage, rest) = line.split_once(": done in ")?;
                let counts = rest.split_once('(')?.1.strip_suffix(" kept)")?;
                let (new, kept) = counts.split_once(" new, ")?;
                Some((stage.to_owned(), (new.parse().ok()?, kept.parse().ok()?)))
            })
            .collect()
    }
}
