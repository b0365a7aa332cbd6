//! `relievo run`.

use super::human_bytes;
use crate::args::{ProgressStyle, RunArgs};
use crate::progress::human_seconds;
use crate::{Done, Failure};
use relievo_engine::{Observer, Selection, StageReport, StageStatus};
use relievo_pipeline::estimate::{Estimate, estimate};
use relievo_pipeline::run::{self, Request};
use relievo_pipeline::settings::Settings;
use relievo_pipeline::stages::Setup;
use relievo_pipeline::{PipelineError, work_name};
use std::path::{Path, PathBuf};

pub(crate) fn run(args: &RunArgs) -> Result<Done, Failure> {
    let work = work_folder(args)?;
    let old = Settings::read_work(&work)?;
    if old.is_none() && args.inputs.is_empty() && args.config.is_none() {
        return Err(PipelineError::Work {
            path: work,
            what: "there is no run to continue here".to_owned(),
            hint: "give photos, a folder of photos or a video: relievo run INPUT".to_owned(),
        }
        .into());
    }
    refuse_foreign_default(args, &work, old.as_ref())?;
    let settings = merge(args, old)?;
    let task = crate::task::start(&args.compute, settings.seed, settings.isa)?;
    let setup = run::prepare(&settings)?;
    let selection = Selection {
        until: args.until.map(|s| s.name().to_owned()),
        from: args.from.map(|s| s.name().to_owned()),
        force: args.force.map(|s| s.name().to_owned()),
    };
    let loud = args.compute.progress != ProgressStyle::None;
    if args.dry_run {
        print_plan(&work, &setup, &selection, (&task, args.compute.threads))?;
        return Ok(Done::Whole);
    }
    let json = args.compute.progress == ProgressStyle::Json;
    let request = Request {
        work: work.clone(),
        settings: settings.clone(),
        selection,
        command: "relievo run".to_owned(),
    };
    let talk = Talk {
        json,
        loud,
        estimate_of: Some((&setup, args.compute.threads)),
    };
    let finished = run::run(&request, &setup, &task, &talk)?;
    if loud && !json {
        for w in task.warnings().sorted() {
            let subject = if w.subject.is_empty() {
                String::new()
            } else {
                format!("{}: ", w.subject)
            };
            let hint = if w.hint.is_empty() {
                String::new()
            } else {
                format!(" ({})", w.hint)
            };
            eprintln!("warning: {subject}{}{hint}", w.message);
        }
        eprintln!(
            "report: {}",
            work.join("report").join("index.html").display()
        );
    }
    for what in &finished.missing {
        if json {
            let event = serde_json::json!({ "event": "incomplete", "message": what });
            eprintln!("{event}");
        } else {
            eprintln!("incomplete: {what}");
        }
    }
    println!("{}", finished.output.display());
    Ok(if finished.whole {
        Done::Whole
    } else {
        Done::Partly
    })
}

/// `-o`, else `./<name>.relievo`.
fn work_folder(args: &RunArgs) -> Result<PathBuf, Failure> {
    if let Some(work) = &args.output {
        return Ok(work.clone());
    }
    if args.inputs.is_empty() {
        return Err(Failure::Usage(
            "give INPUT (photos, a folder of photos or a video), or -o WORK to continue a run"
                .to_owned(),
        ));
    }
    Ok(work_name::default_work(&args.inputs, Path::new(".")))
}

/// A default folder that holds the run of other inputs is not taken over.
fn refuse_foreign_default(
    args: &RunArgs,
    work: &Path,
    old: Option<&Settings>,
) -> Result<(), Failure> {
    let Some(old) = old.filter(|_| args.output.is_none()) else {
        return Ok(());
    };
    if absolute(&args.inputs)? == old.inputs {
        return Ok(());
    }
    Err(PipelineError::Work {
        path: work.to_owned(),
        what: "it holds the run of other photos".to_owned(),
        hint: format!(
            "name a folder with -o; `-o {}` replaces the list of photos there",
            work.display()
        ),
    }
    .into())
}

fn absolute(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    paths
        .iter()
        .map(|p| std::path::absolute(p).map_err(|e| Failure::from(PipelineError::from(e))))
        .collect()
}

/// Refuses a file of a flag that is not there, with what the flag takes.
fn must_exist(path: &Path, hint: &str) -> Result<(), Failure> {
    if path.is_file() {
        return Ok(());
    }
    let fault = if path.exists() {
        "this is no file"
    } else {
        "there is no such file"
    };
    Err(PipelineError::Input {
        what: format!("{}: {fault}", path.display()),
        hint: hint.to_owned(),
    }
    .into())
}

/// Flags over `--config` over what the work folder has.
fn merge(args: &RunArgs, old: Option<Settings>) -> Result<Settings, Failure> {
    let mut s = match &args.config {
        Some(path) => {
            must_exist(
                path,
                "--config takes a file in the form of relievo.toml of a work folder",
            )?;
            let mut given = Settings::read(path)?;
            if given.inputs.is_empty() {
                given.inputs = old.map(|o| o.inputs).unwrap_or_default();
            }
            given.inputs = absolute(&given.inputs)?;
            given
        }
        None => old.unwrap_or_default(),
    };
    if !args.inputs.is_empty() {
        s.inputs = absolute(&args.inputs)?;
    }
    if let Some(preset) = args.preset {
        s.preset = preset.into();
    }
    if let Some(quality) = args.quality {
        s.quality = quality.into();
    }
    if !args.camera.is_empty() {
        s.cameras.clone_from(&args.camera);
    }
    s.fix_intrinsics |= args.fix_intrinsics;
    s.single_camera |= args.single_camera;
    if let Some(masks) = &args.masks {
        s.masks = absolute(std::slice::from_ref(masks))?.pop();
    }
    if let Some(file) = &args.hold_out {
        must_exist(
            file,
            "--hold-out takes a file with the names of the photos, one a line",
        )?;
        let text = fs_err::read_to_string(file).map_err(PipelineError::from)?;
        s.hold_out = text.split_whitespace().map(str::to_owned).collect();
    }
    if let Some(file) = &args.pairs {
        must_exist(
            file,
            "--pairs takes a file with the names of two photos a line",
        )?;
        s.pairs = absolute(std::slice::from_ref(file))?.pop();
    }
    if let Some(mapper) = args.mapper {
        s.set_option(mapper.assignment())?;
    }
    if args.scale.is_some() {
        s.scale = args.scale;
    }
    if let Some(seed) = args.seed {
        s.seed = seed;
    }
    if let Some(isa) = args.isa {
        s.isa = isa.into();
    }
    for assignment in &args.set {
        s.set_option(assignment)?;
    }
    Ok(s)
}

/// What a whole run takes on as many threads as were asked for.
fn estimate_of(setup: &Setup, threads: Option<u16>) -> Estimate {
    let available = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = threads.map_or(available, usize::from);
    estimate(&setup.scan, &setup.settings, threads)
}

fn say_estimate(setup: &Setup, threads: Option<u16>, json: bool) {
    let e = estimate_of(setup, threads);
    if json {
        eprintln!(
            "{}",
            serde_json::json!({ "event": "estimate", "estimate": e })
        );
    } else {
        eprintln!(
            "{} photos or key frames: a whole run takes about {}, {} of memory and {} of disk",
            e.photos,
            human_seconds(e.seconds),
            human_bytes(e.memory_bytes),
            human_bytes(e.disk_bytes)
        );
    }
}

fn print_plan(
    work: &Path,
    setup: &std::sync::Arc<Setup>,
    selection: &Selection,
    (task, threads): (&relievo_task::Task, Option<u16>),
) -> Result<(), Failure> {
    if work.exists() {
        let rows = run::status(work, setup, selection, task)?;
        super::status::print(&rows);
    } else {
        for stage in relievo_pipeline::catalog::STAGES {
            println!("{stage:<9} missing");
            if selection.until.as_deref() == Some(stage) {
                break;
            }
        }
    }
    let e = estimate_of(setup, threads);
    if e.photos < 2 {
        return Ok(());
    }
    println!(
        "a whole run: about {}, {} of memory, {} of disk",
        human_seconds(e.seconds),
        human_bytes(e.memory_bytes),
        human_bytes(e.disk_bytes)
    );
    Ok(())
}

/// Says which stage runs and why, and what a whole run takes as soon as the
/// photos were found good.
pub(crate) struct Talk<'a> {
    /// Events as JSON.
    pub(crate) json: bool,
    /// Anything at all.
    pub(crate) loud: bool,
    /// Where an estimate is wanted: of what, and `--threads`.
    pub(crate) estimate_of: Option<(&'a Setup, Option<u16>)>,
}

impl Observer for Talk<'_> {
    fn stage_started(&self, status: &StageStatus) {
        if self.json {
            let event = serde_json::json!({ "event": "stage", "stage": status.name,
                "status": status.status, "items": status.items_to_run });
            eprintln!("{event}");
        } else if self.loud {
            eprintln!("{}: {}", status.name, status.status);
        }
    }

    fn stage_finished(&self, report: &StageReport) {
        if self.json {
            let event = serde_json::json!({ "event": "finished", "report": report });
            eprintln!("{event}");
        } else if self.loud && report.items_made > 0 {
            eprintln!(
                "{}: done in {} ({} new, {} kept)",
                report.name,
                human_seconds(report.cost.wall_s),
                report.items_made,
                report.items_reused
            );
        }
        if self.loud
            && report.name == "ingest"
            && let Some((setup, threads)) = self.estimate_of
        {
            say_estimate(setup, threads, self.json);
        }
    }
}
