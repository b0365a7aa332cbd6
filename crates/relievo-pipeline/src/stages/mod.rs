//! The stages: each loads, calls one algorithm crate, and stores. No
//! algorithms here.

pub mod cloud;
pub mod depth;
pub mod export;
pub mod features;
pub mod ingest;
pub mod matches;
mod memory;
pub mod mesh;
pub mod sparse;
mod sparse_warnings;
pub mod texture;
mod view_synthesis;

use crate::catalog;
use crate::error::PipelineError;
use crate::options::StageOptions;
use crate::photos::{DecodedPhotos, PhotoStore};
use crate::scene_kind::SceneKind;
use crate::settings::{Preset, Settings};
use ingest::{IngestTable, InputScan};
use relievo_engine::StageContext;
use relievo_scene::SparseModel;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// What all stages of one run share.
#[derive(Debug)]
pub struct Setup {
    /// What the person decided.
    pub settings: Settings,
    /// The files found under the inputs.
    pub scan: InputScan,
    photos: Mutex<Option<(relievo_engine::Digest, Arc<PhotoStore>)>>,
    /// From ingest to features.
    decoded: DecodedPhotos,
}

impl Setup {
    /// For one run.
    pub fn new(settings: Settings, scan: InputScan) -> Self {
        Self {
            settings,
            scan,
            photos: Mutex::default(),
            decoded: DecodedPhotos::default(),
        }
    }

    /// Options as they enter keys: resolved values and the run seed.
    fn key_json(&self, options: &StageOptions) -> serde_json::Value {
        let mut json = options.to_json();
        json["run_seed"] = self.settings.seed.into();
        json
    }

    /// Options of a stage that runs before the kind of scene is known.
    fn options(&self, stage: &str) -> Result<StageOptions, PipelineError> {
        catalog::resolve(stage, &self.settings, self.settings.preset)
    }

    /// Options of a stage after `sparse`: `auto` is decided.
    fn options_for_scene(
        &self,
        stage: &str,
        ctx: &StageContext,
    ) -> Result<StageOptions, PipelineError> {
        let kind = match self.settings.preset {
            Preset::Auto => read_json::<SceneKind>(ctx, "sparse", sparse::SCENE_FILE)?.kind,
            preset => preset,
        };
        catalog::resolve(stage, &self.settings, kind)
    }

    /// The photos by view, decoded on demand; one store a run.
    fn photos(&self, ctx: &StageContext) -> Result<Arc<PhotoStore>, PipelineError> {
        let output = ctx.output("ingest", ingest::TABLE_FILE)?;
        let mut slot = self.photos.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((digest, store)) = &*slot
            && *digest == output.digest
        {
            return Ok(Arc::clone(store));
        }
        let table = IngestTable::read(ctx)?;
        self.decoded.clear();
        let store = Arc::new(PhotoStore::new(&table, ctx.task().memory_bytes() / 4));
        *slot = Some((output.digest, Arc::clone(&store)));
        Ok(store)
    }
}

/// Reads a JSON output of a stage.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(
    ctx: &StageContext,
    stage: &str,
    name: &str,
) -> Result<T, PipelineError> {
    let output = ctx.output(stage, name)?;
    let bytes = fs_err::read(&output.path)?;
    serde_json::from_slice(&bytes).map_err(|e| PipelineError::File {
        path: output.path,
        what: e.to_string(),
    })
}

/// JSON as it stands in our files.
pub(crate) fn json_bytes(value: &impl serde::Serialize) -> Result<Vec<u8>, PipelineError> {
    let mut text = serde_json::to_vec_pretty(value).map_err(std::io::Error::other)?;
    text.push(b'\n');
    Ok(text)
}

/// Reads the best sparse model.
fn read_model(ctx: &StageContext) -> Result<SparseModel, PipelineError> {
    let dir = ctx.work().join("sparse").join("model");
    relievo_formats::colmap::read_model(&dir).map_err(|e| file_error(&dir, &e))
}

/// A reading error with its path.
fn file_error(path: &Path, error: &dyn std::error::Error) -> PipelineError {
    PipelineError::file(path, error)
}
