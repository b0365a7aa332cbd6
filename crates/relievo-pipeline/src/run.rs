//! A run of a work folder.

use crate::catalog;
use crate::error::PipelineError;
use crate::input_scan::InputScan;
use crate::plan;
use crate::report::{self, write::Outcome};
use crate::settings::{SETTINGS_FILE, Settings};
use crate::stages::Setup;
use relievo_engine::{Engine, Observer, Selection, StageStatus, Work};
use relievo_task::Task;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What to run.
#[derive(Clone, Debug)]
pub struct Request {
    /// The work folder.
    pub work: PathBuf,
    /// Merged settings.
    pub settings: Settings,
    /// Which stages.
    pub selection: Selection,
    /// For the lock file.
    pub command: String,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The main output: the model, or the folder of the last stage that ran.
    pub output: PathBuf,
    /// True where everything asked for is there and at least 90 % of the
    /// photos, or all but one, are in the model.
    pub whole: bool,
    /// What is missing, in words; empty where nothing is.
    pub missing: Vec<String>,
}

/// Checks settings and inputs without touching the work folder.
pub fn prepare(settings: &Settings) -> Result<Arc<Setup>, PipelineError> {
    catalog::check(settings)?;
    let scan = InputScan::new(settings)?;
    Ok(Arc::new(Setup::new(settings.clone(), scan)))
}

/// State of every stage; changes nothing.
pub fn status(
    work: &Path,
    setup: &Arc<Setup>,
    selection: &Selection,
    task: &Task,
) -> Result<Vec<StageStatus>, PipelineError> {
    let work = Work::open(work)?;
    let engine = Engine::new(&work, plan::stages(setup))?;
    Ok(engine.status(selection, task)?)
}

/// Runs what is not fresh and writes the report.
pub fn run(
    request: &Request,
    setup: &Arc<Setup>,
    task: &Task,
    observer: &dyn Observer,
) -> Result<Finished, PipelineError> {
    let work = Work::create(&request.work)?;
    let lock = work.lock(&request.command)?;
    store_settings(&request.work, &request.settings)?;
    let engine = Engine::new(&work, plan::stages(setup))?;
    let result = engine
        .run(&lock, &request.selection, task, observer)
        .map_err(PipelineError::from);
    // A run that failed still has something to report: the stages before.
    let stopped = result.as_ref().err();
    let written = report::write::write(&request.work, &engine, &setup.scan, task, stopped);
    result?;
    let outcome = written?;
    Ok(finished(request, &outcome))
}

fn finished(request: &Request, outcome: &Outcome) -> Finished {
    let model = request.work.join("export").join("model.glb");
    let until = request.selection.until.as_deref();
    let mut missing = Vec::new();
    let output = match until {
        None | Some("export") => model,
        Some("sparse") => request.work.join("sparse").join("model"),
        Some("cloud") => request.work.join("cloud").join("dense.ply"),
        Some("mesh") => request.work.join("mesh").join("surface.ply"),
        Some(stage) => request.work.join(stage),
    };
    if !output.exists() {
        missing.push(format!("{} was not made", output.display()));
    }
    if let Some((registered, expected)) = outcome.registered
        && expected.saturating_sub(registered) > 1
        && (registered as f64) < 0.9 * expected as f64
    {
        missing.push(format!(
            "only {registered} of {expected} photos could be placed in the model; \
             report/index.html says why for each"
        ));
    }
    Finished {
        output,
        whole: missing.is_empty(),
        missing,
    }
}

/// Writes `relievo.toml` where it changed.
pub fn store_settings(work: &Path, settings: &Settings) -> Result<(), PipelineError> {
    let path = work.join(SETTINGS_FILE);
    let text = settings.to_toml();
    if fs_err::read_to_string(&path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    relievo_engine::write_atomic(&path, text.as_bytes())?;
    Ok(())
}
