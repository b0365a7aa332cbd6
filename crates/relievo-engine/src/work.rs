//! The work folder: its format number and the lock of its one writer.
//!
//! `WORK/.relievo-format` holds the number of the layout that the engine
//! writes, in decimal. A folder with a higher number is refused; the number
//! rises only when old versions could misread the folder. `WORK/.relievo-lock`
//! is locked by the system while a process writes, and freed by the kernel
//! when that process ends in any way; it holds the holder's id and command.

use crate::error::EngineError;
use crate::record::StageRecord;
use crate::writer::{temporary_name, write_atomic};
use fs_err::{self as fs, File};
use std::fs::TryLockError;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Layout of work folders that this engine writes.
pub const FORMAT: u32 = 1;
/// Name of the file that holds the format number.
pub const FORMAT_FILE: &str = ".relievo-format";
/// Name of the lock file.
pub const LOCK_FILE: &str = ".relievo-lock";

/// Name of the settings, which the caller may write first.
const SETTINGS_FILE: &str = "relievo.toml";

/// A work folder that this version can read.
#[derive(Clone, Debug)]
pub struct Work {
    path: PathBuf,
}

/// The right to write a work folder; freed when dropped.
#[derive(Debug)]
pub struct WorkLock {
    path: PathBuf,
    _file: File,
}

impl Work {
    /// Opens a work folder, making it where the path does not exist or is an
    /// empty folder. A folder with other content is refused.
    pub fn create(path: &Path) -> Result<Self, EngineError> {
        if path.join(FORMAT_FILE).exists() {
            return Self::open(path);
        }
        fs::create_dir_all(path).map_err(|e| EngineError::io(path, e))?;
        let mut entries = fs::read_dir(path).map_err(|e| EngineError::io(path, e))?;
        let foreign = entries.any(|e| e.is_ok_and(|e| !is_ours(&e.file_name())));
        if foreign {
            return Err(EngineError::NotAWork {
                path: path.to_owned(),
            });
        }
        write_atomic(&path.join(FORMAT_FILE), format!("{FORMAT}\n").as_bytes())?;
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// Whether `path` is a work folder, of whatever version.
    pub fn is_one(path: &Path) -> bool {
        path.join(FORMAT_FILE).is_file()
    }

    /// Opens an existing work folder.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        let file = path.join(FORMAT_FILE);
        if !Self::is_one(path) {
            return Err(EngineError::NotAWork {
                path: path.to_owned(),
            });
        }
        let text = fs::read_to_string(&file).map_err(|e| EngineError::io(&file, e))?;
        let found: u32 = text.trim().parse().map_err(|_| EngineError::Damaged {
            path: file,
            what: "is not a format number".to_owned(),
        })?;
        if found > FORMAT {
            return Err(EngineError::Newer {
                path: path.to_owned(),
                found,
                known: FORMAT,
            });
        }
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of a stage.
    pub fn stage_dir(&self, stage: &str) -> PathBuf {
        self.path.join(stage)
    }

    /// What `stage.json` of a finished stage says; `None` where there is none.
    pub fn record(&self, stage: &str) -> Result<Option<StageRecord>, EngineError> {
        StageRecord::read(&self.stage_dir(stage))
    }

    /// Takes the lock for the process that runs `command`, or names the
    /// process that holds it.
    pub fn lock(&self, command: &str) -> Result<WorkLock, EngineError> {
        let path = self.path.join(LOCK_FILE);
        let fail = |e| EngineError::io(&path, e);
        let mut file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(fail)?;
        match file.file().try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = file.read_to_string(&mut text);
                let (pid, command) = text.split_once('\n').unwrap_or(("0", ""));
                return Err(EngineError::Locked {
                    path: self.path.clone(),
                    pid: pid.trim().parse().unwrap_or(0),
                    command: command.trim().to_owned(),
                });
            }
            Err(TryLockError::Error(e)) => return Err(fail(e)),
        }
        file.set_len(0).map_err(fail)?;
        file.rewind().map_err(fail)?;
        write!(file, "{}\n{command}\n", std::process::id()).map_err(fail)?;
        file.flush().map_err(fail)?;
        Ok(WorkLock {
            path: self.path.clone(),
            _file: file,
        })
    }
}

/// What a run killed at its very start can have left in a folder.
fn is_ours(name: &std::ffi::OsStr) -> bool {
    name.to_str().is_some_and(|n| {
        [LOCK_FILE, SETTINGS_FILE].contains(&n)
            || [FORMAT_FILE, SETTINGS_FILE]
                .iter()
                .any(|f| *n == temporary_name(f))
    })
}

impl WorkLock {
    /// The locked folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
