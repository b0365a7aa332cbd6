//! Are the stages of a work folder those of its settings and inputs as they are now?
//! What is scored may be older.

use crate::args::EvalArgs;
use relievo_engine::{Selection, StageStatus, Status};
use relievo_pipeline::settings::{SETTINGS_FILE, Settings};
use relievo_pipeline::{PipelineError, run};
use relievo_task::Task;
use std::path::Path;

/// Figures, and what of the work folders that they are of is out of date.
#[derive(serde::Serialize)]
pub(crate) struct Dated<'a, F> {
    #[serde(flatten)]
    pub(crate) figures: &'a F,
    /// Absent where no work folder is scored.
    #[serde(skip_serializing_if = "Option::is_none")]
    stale: Option<Vec<String>>,
}

impl<'a, F> Dated<'a, F> {
    /// Figures of what `stage` made of the estimate, and of the cameras of the model.
    pub(crate) fn new(figures: &'a F, args: &EvalArgs, stage: &str) -> Self {
        let own = stale(&args.estimate, Some(stage));
        let of_cameras = args.model.as_deref().and_then(|m| stale(m, Some("sparse")));
        let stale = match (own, of_cameras) {
            (None, None) => None,
            (a, b) => Some(a.into_iter().chain(b).flatten().collect()),
        };
        Self { figures, stale }
    }
}

/// What is out of date of the stages up to `until`, of all where it is none: a line a
/// stage. Empty where nothing is; `None` of what is no work folder, and, with a note on
/// stderr, where it cannot be told.
pub(crate) fn stale(work: &Path, until: Option<&str>) -> Option<Vec<String>> {
    stale_of(work, until, "figures are")
}

/// The same of what else is taken from the work folder.
pub(crate) fn stale_of(work: &Path, until: Option<&str>, what: &str) -> Option<Vec<String>> {
    if !work.join(SETTINGS_FILE).is_file() {
        return None;
    }
    match states(work, until) {
        Ok(rows) => {
            let stale: Vec<String> = rows.iter().filter_map(|r| told(r, until)).collect();
            if !stale.is_empty() {
                let (work, all) = (work.display(), stale.join(", "));
                eprintln!(
                    "warning: {work} is out of date, and the {what} of what is there: {all} \
                     (`relievo run -o {work}` makes it anew)"
                );
            }
            Some(stale)
        }
        Err(e) => {
            let work = work.display();
            eprintln!("note: whether {work} is up to date cannot be told: {e}");
            None
        }
    }
}

fn states(work: &Path, until: Option<&str>) -> Result<Vec<StageStatus>, PipelineError> {
    let settings = Settings::read_work(work)?.unwrap_or_default();
    let setup = run::prepare(&settings)?;
    let selection = Selection {
        until: until.map(str::to_owned),
        ..Selection::default()
    };
    run::status(work, &setup, &selection, &Task::silent())
}

/// Stages before that were never made are not out of date: their files are not needed. The
/// one that is scored has files, and no record of what they were made from.
fn told(row: &StageStatus, scored: Option<&str>) -> Option<String> {
    let old = match row.status {
        Status::Stale { .. } | Status::Unfinished => true,
        Status::Missing => scored == Some(row.name.as_str()),
        Status::Fresh | Status::Imported { .. } => false,
    };
    old.then(|| format!("{} is {}", row.name, row.status))
}
