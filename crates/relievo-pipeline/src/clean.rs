//! `relievo clean`: intermediate files that can be made again go.

use crate::error::PipelineError;
use relievo_engine::{Work, drop_outputs};
use std::path::Path;

/// What each stage can spare once the model is there: (stage, file test).
/// Files that a later `items()` opens stay: the tables, the sparse model; so do
/// the pages of the texture, which every export reads.
const SPARE: [(&str, FileTest); 3] = [
    ("features", |_| true),
    ("matches", |name| extension(name) == Some("pairs")),
    ("depth", |_| true),
];

/// Whether a file of the stage, by its name, can be spared.
type FileTest = fn(&str) -> bool;

fn extension(name: &str) -> Option<&str> {
    Path::new(name).extension()?.to_str()
}

/// What was freed in one stage.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Freed {
    /// The stage.
    pub stage: &'static str,
    /// Files.
    pub files: usize,
    /// Bytes.
    pub bytes: u64,
}

/// Drops the intermediate files of a finished work folder; with `dry`, only
/// counts. The stages stay fresh: the files are made again when something has
/// to read them.
pub fn clean(work: &Path, dry: bool) -> Result<Vec<Freed>, PipelineError> {
    let work = Work::open(work)?;
    let lock = work.lock("relievo clean")?;
    SPARE
        .iter()
        .map(|&(stage, which)| {
            let dropped = drop_outputs(&work, &lock, stage, dry, which)?;
            Ok(Freed {
                stage,
                files: dropped.files,
                bytes: dropped.bytes,
            })
        })
        .collect()
}
