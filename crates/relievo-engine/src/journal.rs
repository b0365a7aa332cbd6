//! What is done of an unfinished stage.
//!
//! `.progress/journal.jsonl` opens with the parts of the stage; each further
//! line is one finished item with the time this session took so far. Lines are
//! only appended; a line torn by a kill ends the reading. Outputs are synced
//! and renamed before their line is written, and their digests are checked on
//! reading, so the journal itself needs no sync.

use crate::error::EngineError;
use crate::key::StageParts;
use crate::record::{Cost, ItemRecord};
use crate::work::FORMAT;
use fs_err::{self as fs, File};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Folder for everything that must not survive the stage.
pub const PROGRESS_DIR: &str = ".progress";
/// Name of the journal in that folder.
const JOURNAL: &str = "journal.jsonl";

/// Finished items by pass and name.
pub type Records = BTreeMap<(u32, String), ItemRecord>;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// A run starts or goes on.
    Session {
        format: u32,
        parts: StageParts,
        spent: Cost,
    },
    /// An item is finished; `spent` by this session so far.
    Item {
        record: Box<ItemRecord>,
        spent: Cost,
    },
}

/// What a journal holds.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// Finished items.
    pub records: Records,
    /// Parts of the stage in the last session.
    pub parts: Option<StageParts>,
    /// Time and memory of all sessions.
    pub spent: Cost,
}

/// The journal of a stage in the making.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Reads what an earlier run left; empty where there is nothing.
    pub fn read(dir: &Path) -> Past {
        let mut past = Past::default();
        let Ok(text) = fs::read(dir.join(PROGRESS_DIR).join(JOURNAL)) else {
            return past;
        };
        let mut before = Cost::default();
        for line in text.split_inclusive(|&b| b == b'\n') {
            match serde_json::from_slice(line) {
                Ok(Line::Session {
                    format,
                    parts,
                    spent,
                }) if format <= FORMAT => {
                    before = spent;
                    past.spent = spent;
                    past.parts = Some(parts);
                }
                Ok(Line::Item { record, spent }) => {
                    past.spent = add(before, spent);
                    past.records
                        .insert((record.pass, record.item.clone()), *record);
                }
                _ => break,
            }
        }
        past
    }

    /// Starts a session: the records kept from before, then new ones.
    pub fn start(dir: &Path, parts: &StageParts, past: &Past) -> Result<Self, EngineError> {
        let folder = dir.join(PROGRESS_DIR);
        let path = folder.join(JOURNAL);
        let fail = |e| EngineError::io(&path, e);
        fs::create_dir_all(&folder).map_err(fail)?;
        let fresh = folder.join("journal.new");
        let mut file = File::create(&fresh).map_err(fail)?;
        let mut bytes = Vec::new();
        let head = Line::Session {
            format: FORMAT,
            parts: parts.clone(),
            spent: past.spent,
        };
        line(&mut bytes, &head, &path)?;
        for record in past.records.values() {
            let record = Box::new(record.clone());
            line(
                &mut bytes,
                &Line::Item {
                    record,
                    spent: Cost::default(),
                },
                &path,
            )?;
        }
        file.write_all(&bytes).map_err(fail)?;
        file.sync_all().map_err(fail)?;
        fs::rename(&fresh, &path).map_err(fail)?;
        Ok(Self { path, file })
    }

    /// Enters a finished item.
    pub fn add(&mut self, record: &ItemRecord, spent: Cost) -> Result<(), EngineError> {
        let mut bytes = Vec::new();
        line(
            &mut bytes,
            &Line::Item {
                record: Box::new(record.clone()),
                spent,
            },
            &self.path,
        )?;
        self.file
            .write_all(&bytes)
            .map_err(|e| EngineError::io(&self.path, e))
    }
}

fn line(bytes: &mut Vec<u8>, line: &Line, path: &Path) -> Result<(), EngineError> {
    serde_json::to_writer(&mut *bytes, line).map_err(|e| EngineError::Damaged {
        path: path.to_owned(),
        what: e.to_string(),
    })?;
    bytes.push(b'\n');
    Ok(())
}

/// Cost of two sessions together.
pub(crate) fn add(a: Cost, b: Cost) -> Cost {
    Cost {
        wall_s: a.wall_s + b.wall_s,
        cpu_s: a.cpu_s + b.cpu_s,
        peak_rss_mib: a.peak_rss_mib.max(b.peak_rss_mib),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyBuilder;

    #[test]
    fn a_torn_line_loses_only_itself_and_sessions_add_up() {
        let dir = tempfile::tempdir().unwrap();
        let parts = StageParts {
            stage: "toy".into(),
            version: 1,
            options: serde_json::json!({ "a": 1 }),
            external: BTreeMap::new(),
        };
        let record = |name: &str| ItemRecord {
            pass: 0,
            item: name.into(),
            key: KeyBuilder::new(&parts).value("x", 0.1).finish(),
            weight: 1,
            wall_s: 0.5,
            outputs: Vec::new(),
            warnings: Vec::new(),
        };
        let cost = |s| Cost {
            wall_s: s,
            cpu_s: 2.0 * s,
            peak_rss_mib: 10.0,
        };
        let mut journal = Journal::start(dir.path(), &parts, &Past::default()).unwrap();
        journal.add(&record("a"), cost(1.0)).unwrap();
        journal.add(&record("b"), cost(3.0)).unwrap();
        drop(journal);
        let past = Journal::read(dir.path());
        let mut journal = Journal::start(dir.path(), &parts, &past).unwrap();
        journal.add(&record("c"), cost(2.0)).unwrap();
        drop(journal);
        let path = dir.path().join(PROGRESS_DIR).join(JOURNAL);
        let mut bytes = fs::read(&path).unwrap();
        let whole = bytes.len();
        bytes.extend_from_slice(&bytes.clone()[whole / 2..whole - 7]);
        fs::write(&path, &bytes).unwrap();
        let past = Journal::read(dir.path());
        assert_eq!(past.records.len(), 3);
        assert_eq!(past.records[&(0, "b".into())], record("b"));
        assert!((past.spent.wall_s - 5.0).abs() < 1e-12 && (past.spent.cpu_s - 10.0).abs() < 1e-12);
        fs::write(&path, &bytes[..whole - 1]).unwrap();
        assert_eq!(
            Journal::read(dir.path()).records.len(),
            3,
            "only the newline is missing"
        );
        fs::write(&path, &bytes[..whole - 2]).unwrap();
        assert_eq!(Journal::read(dir.path()).records.len(), 2);
    }
}
