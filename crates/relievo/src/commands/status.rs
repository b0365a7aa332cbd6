//! `relievo status`.

use super::human_bytes;
use crate::progress::human_seconds;
use crate::{Done, Failure};
use relievo_engine::{Selection, StageStatus};
use relievo_pipeline::estimate::estimate;
use relievo_pipeline::settings::Settings;
use relievo_pipeline::{PipelineError, run};
use relievo_task::Task;
use std::path::Path;

pub(crate) fn status(work: &Path, json: bool) -> Result<Done, Failure> {
    let Some(settings) = Settings::read_work(work)? else {
        return Err(PipelineError::Work {
            path: work.to_owned(),
            what: "this is not a work folder".to_owned(),
            hint: "give the folder that `relievo run` made".to_owned(),
        }
        .into());
    };
    let setup = run::prepare(&settings)?;
    let rows = run::status(work, &setup, &Selection::default(), &Task::silent())?;
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let whole = estimate(&setup.scan, &settings, threads);
    if json {
        println!(
            "{}",
            serde_json::json!({ "stages": rows, "whole_run": whole })
        );
        return Ok(Done::Whole);
    }
    print(&rows);
    if rows.iter().all(|r| r.status.is_fresh()) {
        println!("nothing to do");
    } else if whole.photos < 2 {
        println!("a run would do what is not fresh");
    } else {
        println!(
            "a run would do what is not fresh; a whole run takes about {}, {} of memory, {} of disk",
            human_seconds(whole.seconds),
            human_bytes(whole.memory_bytes),
            human_bytes(whole.disk_bytes)
        );
    }
    Ok(Done::Whole)
}

/// A line a stage.
pub(crate) fn print(rows: &[StageStatus]) {
    for row in rows {
        let todo = match (row.items_to_run, row.items) {
            (Some(n), Some(all)) if n > 0 => format!(" ({n} of {all} items to do)"),
            _ => String::new(),
        };
        let size = if row.bytes > 0 {
            format!("  {}", human_bytes(row.bytes))
        } else {
            String::new()
        };
        println!("{:<9} {}{todo}{size}", row.name, row.status);
    }
}
