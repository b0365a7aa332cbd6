//! What a stage sees of the work folder.

use crate::error::EngineError;
use crate::journal::{PROGRESS_DIR, Records};
use crate::key::{Digest, Key, KeyBuilder, StageParts, digest_bytes};
use crate::names::file_name;
use crate::record::{OutputRecord, StageRecord};
use crate::work::Work;
use crate::writer::write_atomic;
use relievo_task::Task;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A file that a stage wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The stage.
    pub stage: String,
    /// The item; empty for what `finish` wrote and for imported files.
    pub item: String,
    /// Path inside the stage folder, with `/`.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// BLAKE3 of the content.
    pub digest: Digest,
}

impl Output {
    /// `stage/name`, as it stands in keys.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.stage, self.name)
    }
}

/// A finished stage as those after it see it.
pub(crate) type Finished = Arc<StageRecord>;

/// Handed to every method of a stage. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StageContext {
    pub(crate) work: Work,
    pub(crate) parts: Arc<StageParts>,
    pub(crate) finished: Arc<BTreeMap<&'static str, Finished>>,
    pub(crate) own: Arc<Mutex<Records>>,
    /// Items as an earlier run left them, fresh or not.
    pub(crate) past: Arc<Records>,
    pub(crate) task: Task,
}

impl StageContext {
    /// The handle for cancellation, progress, warnings, memory and seed.
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// The work folder.
    pub fn work(&self) -> &Path {
        self.work.path()
    }

    /// The folder of this stage.
    pub fn dir(&self) -> PathBuf {
        self.work.stage_dir(&self.parts.stage)
    }

    /// Name, version, options and external versions of this stage.
    pub fn parts(&self) -> &StageParts {
        &self.parts
    }

    /// A key that holds the stage's own parts already.
    pub fn key(&self) -> KeyBuilder {
        KeyBuilder::new(&self.parts)
    }

    /// The seed of an item: hash(run seed, stage, item name).
    pub fn seed(&self, item: &str) -> u64 {
        relievo_task::seed(self.task.run_seed(), &self.parts.stage, item)
    }

    /// All outputs of a stage this one depends on, by item and name; or of
    /// this stage itself, as far as it is done.
    pub fn outputs(&self, stage: &str) -> Result<Vec<Output>, EngineError> {
        if stage == self.parts.stage {
            return Ok(self
                .own()
                .values()
                .flat_map(|r| r.outputs.iter().map(|o| self.locate(stage, &r.item, o)))
                .collect());
        }
        let record = self.finished(stage)?;
        Ok(record
            .all_outputs()
            .filter(|(_, o)| !o.transient)
            .map(|(item, o)| self.locate(stage, item, o))
            .collect())
    }

    /// The outputs of a stage, by item; what `finish` wrote stands under "".
    pub fn outputs_by_item(
        &self,
        stage: &str,
    ) -> Result<BTreeMap<String, Vec<Output>>, EngineError> {
        let mut by_item: BTreeMap<String, Vec<Output>> = BTreeMap::new();
        for output in self.outputs(stage)? {
            by_item.entry(output.item.clone()).or_default().push(output);
        }
        Ok(by_item)
    }

    /// One output by its name inside the stage folder.
    pub fn output(&self, stage: &str, name: &str) -> Result<Output, EngineError> {
        self.find_output(stage, name)?
            .ok_or_else(|| EngineError::NoOutput {
                stage: stage.to_owned(),
                name: name.to_owned(),
            })
    }

    /// Like [`Self::output`], `None` where the stage did not write it.
    pub fn find_output(&self, stage: &str, name: &str) -> Result<Option<Output>, EngineError> {
        if stage == self.parts.stage {
            return Ok(self.outputs(stage)?.into_iter().find(|o| o.name == name));
        }
        let record = self.finished(stage)?;
        let found = record
            .all_outputs()
            .find(|(_, o)| o.name == name && !o.transient);
        Ok(found.map(|(item, o)| self.locate(stage, item, o)))
    }

    /// The outputs of one item of a stage. For many items at a time use
    /// [`Self::outputs_by_item`].
    pub fn item_outputs(&self, stage: &str, item: &str) -> Result<Vec<Output>, EngineError> {
        let mut all = self.outputs(stage)?;
        all.retain(|o| o.item == item);
        Ok(all)
    }

    /// What one pass of this stage wrote, as far as it is done.
    pub fn pass_outputs(&self, pass: u32) -> Vec<Output> {
        let stage = &self.parts.stage;
        self.own()
            .values()
            .filter(|r| r.pass == pass)
            .flat_map(|r| r.outputs.iter().map(|o| self.locate(stage, &r.item, o)))
            .collect()
    }

    /// The record of a stage this one depends on: items, figures, warnings.
    pub fn finished(&self, stage: &str) -> Result<&StageRecord, EngineError> {
        self.finished
            .get(stage)
            .map(AsRef::as_ref)
            .ok_or_else(|| EngineError::NotADependency {
                stage: self.parts.stage.clone(),
                other: stage.to_owned(),
            })
    }

    /// Keeps a blob until the stage is finished, so that a long item can go on
    /// after a kill. `key` is the key of what computes it.
    pub fn save_checkpoint(&self, name: &str, key: &Key, bytes: &[u8]) -> Result<(), EngineError> {
        let path = self.checkpoint(name);
        if let Some(parent) = path.parent() {
            fs_err::create_dir_all(parent).map_err(|e| EngineError::io(parent, e))?;
        }
        let mut whole = Vec::with_capacity(bytes.len() + 64);
        whole.extend_from_slice(&key.digest.0);
        whole.extend_from_slice(&digest_bytes(bytes).0);
        whole.extend_from_slice(bytes);
        write_atomic(&path, &whole)
    }

    /// The blob, where there is one of that key and its bytes are sound.
    pub fn load_checkpoint(&self, name: &str, key: &Key) -> Option<Vec<u8>> {
        let mut whole = fs_err::read(self.checkpoint(name)).ok()?;
        let payload = whole.get(64..)?;
        if whole[..32] != key.digest.0 || whole[32..64] != digest_bytes(payload).0 {
            return None;
        }
        whole.drain(..64);
        Some(whole)
    }

    fn checkpoint(&self, name: &str) -> PathBuf {
        self.dir()
            .join(PROGRESS_DIR)
            .join("checkpoints")
            .join(file_name(name, ".bin"))
    }

    fn locate(&self, stage: &str, item: &str, output: &OutputRecord) -> Output {
        Output {
            stage: stage.to_owned(),
            item: item.to_owned(),
            name: output.name.clone(),
            path: self.work.stage_dir(stage).join(&output.name),
            size: output.size,
            digest: output.digest,
        }
    }

    pub(crate) fn own(&self) -> MutexGuard<'_, Records> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn with_past(&self, past: Records) -> Self {
        Self {
            past: Arc::new(past),
            ..self.clone()
        }
    }

    pub(crate) fn for_item(&self) -> Self {
        Self {
            task: self.task.with_own_warnings(),
            ..self.clone()
        }
    }
}
