//! `stage.json`: what a finished stage made, and from what.
//!
//! Written last. It may hold times; it is the one file of a stage folder that
//! is not the same bytes on every run.

use crate::error::EngineError;
use crate::key::{Digest, Key, StageParts};
use crate::stage::Figures;
use crate::work::FORMAT;
use crate::writer::write_atomic;
use relievo_task::Warning;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// File name of the record inside a stage folder.
pub const STAGE_FILE: &str = "stage.json";

/// One file that an item wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputRecord {
    /// Path inside the stage folder, with `/`.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// BLAKE3 of the content.
    pub digest: Digest,
    /// Read only by later passes of the same stage; removed at finish.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub transient: bool,
    /// Removed on purpose; made again when something has to read it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dropped: bool,
}

/// One finished item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ItemRecord {
    /// Pass in which it ran.
    pub pass: u32,
    /// Name of the item.
    pub item: String,
    /// Its key then.
    pub key: Key,
    /// Weight that the stage gave it.
    pub weight: u64,
    /// Wall time, seconds.
    pub wall_s: f64,
    /// What it wrote.
    pub outputs: Vec<OutputRecord>,
    /// What it warned of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// Time and memory that a stage took, all sessions of a resumed run together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Wall time, seconds.
    pub wall_s: f64,
    /// Processor time of all threads, seconds.
    pub cpu_s: f64,
    /// Largest resident memory of the process while the stage ran, MiB.
    pub peak_rss_mib: f64,
}

/// The content of `stage.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageRecord {
    /// Layout of this file.
    pub format: u32,
    /// Name, version, options, external versions.
    #[serde(flatten)]
    pub parts: StageParts,
    /// Key of the stage as a whole: its parts, the keys of its items, and
    /// what `finish` reads.
    pub key: Digest,
    /// Where the files came from, for an imported stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<String>,
    /// Time and memory.
    #[serde(flatten)]
    pub cost: Cost,
    /// Figures for the report.
    pub figures: Figures,
    /// What `finish` warned of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// What `finish` wrote (of an imported stage: every file).
    pub outputs: Vec<OutputRecord>,
    /// The items, by pass and name.
    pub items: Vec<ItemRecord>,
}

/// Readable from any later layout.
#[derive(Deserialize)]
struct Head {
    format: u32,
}

impl StageRecord {
    /// Reads the record in a stage folder; `None` where there is none.
    pub fn read(dir: &Path) -> Result<Option<Self>, EngineError> {
        let path = dir.join(STAGE_FILE);
        let bytes = match fs_err::read(&path) {
            Ok(bytes) => bytes,
            Err(e)
                if matches!(
                    e.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(None);
            }
            Err(e) => return Err(EngineError::io(&path, e)),
        };
        if let Ok(head) = serde_json::from_slice::<Head>(&bytes)
            && head.format > FORMAT
        {
            return Err(EngineError::Newer {
                path,
                found: head.format,
                known: FORMAT,
            });
        }
        // A damaged record is no record: its stage is made again.
        Ok(serde_json::from_slice(&bytes).ok())
    }

    /// Writes the record into a stage folder.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), EngineError> {
        let path = dir.join(STAGE_FILE);
        let mut text = serde_json::to_vec_pretty(self).map_err(|e| EngineError::Damaged {
            path: path.clone(),
            what: e.to_string(),
        })?;
        text.push(b'\n');
        write_atomic(&path, &text)
    }

    /// Every output of items and finish, with the item's name.
    pub fn all_outputs(&self) -> impl Iterator<Item = (&str, &OutputRecord)> {
        self.items
            .iter()
            .flat_map(|i| i.outputs.iter().map(|o| (i.item.as_str(), o)))
            .chain(self.outputs.iter().map(|o| ("", o)))
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.all_outputs()
            .filter(|(_, o)| !o.dropped)
            .map(|(_, o)| o.size)
            .sum()
    }

    /// Warnings of items and finish, sorted, without repeats.
    pub fn all_warnings(&self) -> Vec<Warning> {
        let mut all: Vec<Warning> = self
            .items
            .iter()
            .flat_map(|i| &i.warnings)
            .chain(&self.warnings)
            .cloned()
            .collect();
        all.sort();
        all.dedup();
        all
    }
}
