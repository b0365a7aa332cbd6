//! What stops a stage, which file it concerns, and the remedy.

use relievo_task::Cancelled;
use std::io;
use std::path::{Path, PathBuf};

/// What a stage may fail with; `?` turns any error into it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why the engine cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The person stopped it; what is finished stays.
    #[error("interrupted")]
    Cancelled,
    /// No room left.
    #[error("{path}: the disk is full", path = path.display())]
    DiskFull {
        /// File or folder that was being written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Not allowed to write here.
    #[error("{path}: cannot be written ({source})", path = path.display())]
    NotWritable {
        /// File or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Any other failure to read or write.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process writes this work folder.
    #[error("{path} is in use by process {pid} ({command})", path = path.display())]
    Locked {
        /// The work folder.
        path: PathBuf,
        /// Process id of the holder, 0 where it could not be read.
        pid: u32,
        /// Its command.
        command: String,
    },
    /// The folder holds something else, or nothing.
    #[error("{path} is not a work folder", path = path.display())]
    NotAWork {
        /// The folder.
        path: PathBuf,
    },
    /// Made by a later version of this program.
    #[error("{path} was made by a newer version (format {found}; this one knows up to {known})", path = path.display())]
    Newer {
        /// The work folder or file.
        path: PathBuf,
        /// Its format number.
        found: u32,
        /// The highest that is known here.
        known: u32,
    },
    /// No stage of that name.
    #[error("there is no stage '{name}' (stages: {known})")]
    UnknownStage {
        /// As given.
        name: String,
        /// Those that exist.
        known: String,
    },
    /// The plan itself is wrong: a bug of the caller.
    #[error("stage plan: {stage}: {what}")]
    Plan {
        /// The stage.
        stage: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A stage asks for outputs of a stage that it does not depend on.
    #[error("stage {stage} reads {other}, which it does not depend on")]
    NotADependency {
        /// The stage.
        stage: String,
        /// The one it reads.
        other: String,
    },
    /// An output that should be there is not listed.
    #[error("stage {stage} has no output {name}")]
    NoOutput {
        /// The stage.
        stage: String,
        /// The file asked for.
        name: String,
    },
    /// An output name that leaves the stage folder, hides, or is reserved.
    #[error("'{name}' cannot be the name of an output of stage {stage}")]
    BadName {
        /// The stage.
        stage: String,
        /// The name.
        name: String,
    },
    /// Two items of a stage write the same file.
    #[error("stage {stage}: {first} and {second} both write {name}")]
    Clash {
        /// The stage.
        stage: String,
        /// The file.
        name: String,
        /// An item.
        first: String,
        /// The other item.
        second: String,
    },
    /// `--from` needs everything before it to be fresh.
    #[error("cannot start from {from}: {stage} is {status}")]
    NotFresh {
        /// Stage to start from.
        from: String,
        /// The one before it that is not fresh.
        stage: String,
        /// Its status in words.
        status: String,
    },
    /// Files brought in from outside were changed since.
    #[error("stage {stage} was imported, and {file} has changed since", file = file.display())]
    ImportChanged {
        /// The stage.
        stage: String,
        /// The first file that differs.
        file: PathBuf,
    },
    /// An imported stage cannot be made again here.
    #[error("stage {stage} was imported from {source_name}; it cannot be made again")]
    ImportedForced {
        /// The stage.
        stage: String,
        /// Where it came from.
        source_name: String,
    },
    /// One item alone would exceed the memory budget.
    #[error("stage {stage} needs {need_mib} MiB at a time, the budget is {budget_mib} MiB")]
    Memory {
        /// The stage.
        stage: String,
        /// What one item needs.
        need_mib: u64,
        /// What is allowed.
        budget_mib: u64,
    },
    /// A file of the engine does not read.
    #[error("{path}: {what}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The stage itself failed.
    #[error("{stage}{}: {source}", if item.is_empty() { String::new() } else { format!(" ({item})") })]
    Stage {
        /// The stage.
        stage: String,
        /// The item, empty outside items.
        item: String,
        /// What the stage says; downcast it for its own hint.
        source: BoxError,
    },
}

impl EngineError {
    /// Sorts an I/O error by its remedy.
    pub fn io(path: impl AsRef<Path>, source: io::Error) -> Self {
        let path = path.as_ref().to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { path, source }
            }
            io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::AlreadyExists
            | io::ErrorKind::NotADirectory => Self::NotWritable { path, source },
            _ => Self::Io { path, source },
        }
    }

    /// Names stage and item of whatever a stage returned.
    pub(crate) fn from_stage(stage: &str, item: &str, source: BoxError) -> Self {
        let source = match source.downcast::<Self>() {
            Ok(e) => return *e,
            Err(source) => source,
        };
        if source.is::<Cancelled>() {
            return Self::Cancelled;
        }
        Self::Stage {
            stage: stage.to_owned(),
            item: item.to_owned(),
            source,
        }
    }

    /// What to do next, where there is something to do.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::DiskFull { .. } => {
                "free some disk space and run the same command again; what is finished stays"
                    .to_owned()
            }
            Self::NotWritable { .. } => {
                "choose a folder that you may write to with -o, or change its permissions"
                    .to_owned()
            }
            Self::Locked { pid, .. } => format!(
                "wait until process {pid} has finished, or stop it; what it has finished stays"
            ),
            Self::NotAWork { .. } => {
                "give the folder that `relievo run -o` made, or another one".to_owned()
            }
            Self::Newer { .. } => "use that newer version, or another folder with -o".to_owned(),
            Self::NotFresh { stage, .. } => {
                format!("run without --from, or with --from {stage}")
            }
            Self::ImportChanged { .. } | Self::ImportedForced { .. } => {
                "import again with `relievo import`".to_owned()
            }
            Self::Memory { need_mib, .. } => {
                format!("allow more with --memory (at least {need_mib}M), or lower --quality")
            }
            Self::Damaged { .. } => "delete that file; what it described is made again".to_owned(),
            Self::Stage { source, .. } => match source.downcast_ref::<io::Error>()?.kind() {
                io::ErrorKind::StorageFull => {
                    "free some disk space and run the same command again; what is finished stays"
                        .to_owned()
                }
                _ => return None,
            },
            _ => return None,
        })
    }
}

impl From<Cancelled> for EngineError {
    fn from(_: Cancelled) -> Self {
        Self::Cancelled
    }
}
