//! Stages whose files came from somebody else, and files that are dropped.

use crate::error::{BoxError, EngineError};
use crate::execute::tidy;
use crate::journal::PROGRESS_DIR;
use crate::key::{KeyBuilder, StageParts};
use crate::record::{Cost, STAGE_FILE, StageRecord};
use crate::stage::Figures;
use crate::work::{FORMAT, Work, WorkLock};
use crate::writer::ItemWriter;
use fs_err as fs;
use relievo_task::Warning;
use serde_json::Value;
use std::collections::BTreeMap;

/// Replaces the content of a stage by files from outside. `fill` writes them;
/// the stage is fresh while they are unchanged. Stages after it find them with
/// [`crate::StageContext::output`] (item name "").
pub fn import_stage(
    work: &Work,
    _lock: &WorkLock,
    stage: &str,
    source: &str,
    warnings: Vec<Warning>,
    fill: impl FnOnce(&mut ItemWriter) -> Result<Figures, BoxError>,
) -> Result<StageRecord, EngineError> {
    let dir = work.stage_dir(stage);
    let old = dir.join(STAGE_FILE);
    if old.exists() {
        fs::remove_file(&old).map_err(|e| EngineError::io(&old, e))?;
    }
    let progress = dir.join(PROGRESS_DIR);
    if progress.exists() {
        fs::remove_dir_all(&progress).map_err(|e| EngineError::io(&progress, e))?;
    }
    let mut out = ItemWriter::new(stage, &dir)?;
    let figures = fill(&mut out).map_err(|e| EngineError::from_stage(stage, "", e))?;
    let outputs = out.into_outputs();
    let parts = StageParts {
        stage: stage.to_owned(),
        version: 0,
        options: Value::Null,
        external: BTreeMap::new(),
    };
    let key = outputs
        .iter()
        .fold(KeyBuilder::new(&parts), |key, o| {
            key.input(&o.name, o.digest)
        })
        .finish()
        .digest;
    let record = StageRecord {
        format: FORMAT,
        parts,
        key,
        imported: Some(source.to_owned()),
        cost: Cost::default(),
        figures,
        warnings,
        outputs,
        items: Vec::new(),
    };
    record.write(&dir)?;
    tidy(&dir, &record)?;
    Ok(record)
}

/// What dropping files frees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Number of files.
    pub files: usize,
    /// Bytes.
    pub bytes: u64,
}

/// Removes files of a finished stage that can be made again, keeping their
/// digests: the stages after it stay fresh, and a later run makes the files
/// again only where something has to read them. `which` chooses by name; files
/// that `items()` of a later stage opens must not be chosen. Imported stages
/// and unfinished ones are left alone. With `dry` nothing is removed.
pub fn drop_outputs(
    work: &Work,
    _lock: &WorkLock,
    stage: &str,
    dry: bool,
    which: impl Fn(&str) -> bool,
) -> Result<Dropped, EngineError> {
    let dir = work.stage_dir(stage);
    let Some(mut record) = StageRecord::read(&dir)?.filter(|r| r.imported.is_none()) else {
        return Ok(Dropped::default());
    };
    let mut freed = Dropped::default();
    let outputs = record
        .items
        .iter_mut()
        .flat_map(|i| &mut i.outputs)
        .chain(&mut record.outputs);
    for output in outputs.filter(|o| !o.dropped && which(&o.name)) {
        output.dropped = true;
        freed.files += 1;
        freed.bytes += output.size;
    }
    if !dry && freed.files > 0 {
        record.write(&dir)?;
        tidy(&dir, &record)?;
    }
    Ok(freed)
}
