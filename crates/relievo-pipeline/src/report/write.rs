//! Gathers the report of a work folder and writes it.

use super::{PhotoRow, Report, StageRow, camera_map, html};
use crate::error::PipelineError;
use crate::georef::Georef;
use crate::ingest_table::{IngestTable, PhotoEntry, Rejected};
use crate::input_scan::{InputFile, InputScan};
use crate::scene_kind::SceneKind;
use crate::settings::Preset;
use crate::stages::sparse::PhotoOutcome;
use crate::stages::{features, ingest, sparse, texture};
use base64::Engine as _;
use relievo_engine::{Engine, StageReport, write_atomic};
use relievo_scene::SparseModel;
use relievo_task::{Task, Warning};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::Path;

/// Sides of the pictures in the page.
const PICTURE_PX: u32 = 640;
/// Pictures around the model.
const TURNS: usize = 4;

/// What the caller wants to know of the report.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Photos in the best model and photos expected there.
    pub registered: Option<(usize, usize)>,
}

/// Writes `report/report.json` and `report/index.html` from what is finished.
/// `scan` is what was given, `stopped` why the run ended early.
pub fn write(
    work: &Path,
    engine: &Engine<'_>,
    scan: &InputScan,
    task: &Task,
    stopped: Option<&PipelineError>,
) -> Result<Outcome, PipelineError> {
    let stages = engine.reports()?;
    let dir = work.join("report");
    fs_err::create_dir_all(&dir)?;
    let (report, outcome) = gather(work, &stages, scan, task, stopped);
    let json = crate::stages::json_bytes(&report.to_json())?;
    write_atomic(&dir.join("report.json"), &json)?;
    write_atomic(&dir.join("index.html"), html::render(&report).as_bytes())?;
    Ok(outcome)
}

fn gather(
    work: &Path,
    stages: &[StageReport],
    scan: &InputScan,
    task: &Task,
    stopped: Option<&PipelineError>,
) -> (Report, Outcome) {
    let title = work
        .file_stem()
        .map_or_else(|| "model".to_owned(), |n| n.to_string_lossy().into_owned());
    let mut report = Report {
        title,
        given: scan.files.len(),
        stopped: stopped.map(why),
        ..Report::default()
    };
    let mut outcome = Outcome::default();
    for stage in stages {
        report.warnings.extend(stage.warnings.iter().cloned());
        report.stages.push(StageRow {
            name: stage.name.clone(),
            wall_s: stage.cost.wall_s,
            cpu_s: stage.cost.cpu_s,
            peak_rss_mib: stage.cost.peak_rss_mib,
            figures: stage.figures.clone(),
        });
    }
    // What was refused now counts, not what an earlier run left.
    let (table, rows): (Option<IngestTable>, Option<Vec<PhotoOutcome>>) = match stopped {
        Some(PipelineError::TooFewPhotos { table, .. }) => {
            let left_out = table.rejected.iter().map(Rejected::warning);
            report.warnings.extend(left_out);
            report.warnings.extend(table.notes.iter().cloned());
            let rows = not_placed(table, "there is no second photo to compare it with");
            (Some((**table).clone()), Some(rows))
        }
        Some(PipelineError::NotPlaced { photo, .. }) => {
            let table: Option<IngestTable> = read(work, "ingest", ingest::TABLE_FILE);
            let rows = table.as_ref().map(|t| not_placed(t, photo));
            (table, rows)
        }
        _ => (
            read(work, "ingest", ingest::TABLE_FILE),
            read(work, "sparse", sparse::PHOTOS_FILE),
        ),
    };
    report.warnings.sort();
    report.warnings.dedup();
    if table.is_none() {
        report.photos = scan.files.iter().map(not_looked_at).collect();
    }
    if let Some(table) = &table {
        report.given = table.given;
        report.views = table.photos.len();
        let registered = rows
            .as_ref()
            .map(|r| r.iter().filter(|r| r.registered).count());
        report.registered = registered.unwrap_or(0);
        outcome.registered = registered.map(|r| (r, table.expected));
        report.photos = photo_rows(work, table, rows.as_deref());
    }
    if matches!(
        stopped,
        Some(PipelineError::TooFewPhotos { .. } | PipelineError::NotPlaced { .. })
    ) {
        return (report, outcome);
    }
    let dir = work.join("sparse").join("model");
    let georef: Option<Georef> = read(work, "sparse", sparse::GEOREF_FILE);
    let model = relievo_formats::colmap::read_model(&dir).ok();
    if let (Some(model), Some(georef)) = (&model, &georef) {
        report.camera_map = camera_map::camera_map(model, &georef.similarity());
        report.figures = figures(model, georef, &report);
    }
    if let Some(georef) = &georef {
        let finished = stages.iter().any(|s| s.name == "export");
        if finished {
            match pictures(work, georef, model.as_ref(), task) {
                Ok(pictures) => report.pictures = pictures,
                Err(e) => {
                    let text = format!("no pictures of the model could be made: {e}");
                    report
                        .warnings
                        .push(Warning::new("report-pictures", "", text, ""));
                }
            }
        }
    }
    (report, outcome)
}

/// The refusal as the page says it.
fn why(error: &PipelineError) -> Warning {
    let hint = match error {
        PipelineError::Cancelled => "run the same command again to continue".to_owned(),
        e => e.hint(),
    };
    Warning::new("stopped", "", error.to_string(), hint)
}

/// All photos of the table, left out of the model for the same reason.
fn not_placed(table: &IngestTable, reason: &str) -> Vec<PhotoOutcome> {
    let row = |e: &PhotoEntry| PhotoOutcome {
        name: e.photo.name.clone(),
        registered: false,
        points: 0,
        error_px: None,
        reason: reason.to_owned(),
        hint: String::new(),
    };
    table.photos.iter().map(row).collect()
}

/// A file of a run that ended before its photos were known.
fn not_looked_at(file: &InputFile) -> PhotoRow {
    PhotoRow {
        name: file.name.clone(),
        outcome: "not looked at yet".to_owned(),
        ..PhotoRow::default()
    }
}

/// A JSON file of a stage, where it is there and reads.
fn read<T: DeserializeOwned>(work: &Path, stage: &str, name: &str) -> Option<T> {
    let bytes = fs_err::read(work.join(stage).join(name)).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn photo_rows(work: &Path, table: &IngestTable, rows: Option<&[PhotoOutcome]>) -> Vec<PhotoRow> {
    let by_name: BTreeMap<&str, &PhotoOutcome> = rows
        .unwrap_or_default()
        .iter()
        .map(|r| (r.name.as_str(), r))
        .collect();
    let mut all: Vec<PhotoRow> = table
        .photos
        .iter()
        .map(|e| {
            let outcome = by_name.get(e.photo.name.as_str());
            let text = match outcome {
                Some(o) if o.registered && e.photo.held_out => "placed; held out".to_owned(),
                Some(o) if o.registered => "placed".to_owned(),
                Some(o) => format!("not placed: {} – {}", o.reason, o.hint),
                None => "taken in".to_owned(),
            };
            PhotoRow {
                name: e.photo.name.clone(),
                size: format!("{} × {}", e.photo.width_px, e.photo.height_px),
                keypoints: features::keypoint_count(work, &e.photo.name),
                points: outcome.map(|o| o.points),
                error_px: outcome.and_then(|o| o.error_px),
                registered: outcome.map(|o| o.registered),
                outcome: text,
            }
        })
        .chain(table.rejected.iter().map(|r| PhotoRow {
            name: r.name.clone(),
            registered: Some(false),
            outcome: format!("left out: {} – {}", r.reason, r.hint),
            ..PhotoRow::default()
        }))
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    for row in &mut all {
        row.outcome = row.outcome.trim_end_matches([' ', '–']).to_owned();
    }
    all
}

fn figures(model: &SparseModel, georef: &Georef, report: &Report) -> Vec<(String, String)> {
    let mut out = vec![
        (
            "photos placed".to_owned(),
            format!("{} of {}", report.registered, report.views),
        ),
        ("sparse points".to_owned(), model.tracks.len().to_string()),
    ];
    for (id, camera) in &model.cameras {
        let params: Vec<String> = camera
            .model
            .params()
            .iter()
            .map(|p| format!("{p:.5}"))
            .collect();
        out.push((
            format!("camera {id}"),
            format!(
                "{} {} × {}: {}",
                camera.model.kind().name(),
                camera.width_px,
                camera.height_px,
                params.join(", ")
            ),
        ));
    }
    let figure = |stage: &str, name: &str| {
        let row = report.stages.iter().find(|s| s.name == stage)?;
        row.figures.get(name)?.as_u64()
    };
    for (name, stage, key) in [
        ("points of the cloud", "cloud", "points"),
        ("faces of the surface", "mesh", "faces"),
        ("texture pages", "texture", "pages"),
    ] {
        out.extend(figure(stage, key).map(|n| (name.to_owned(), n.to_string())));
    }
    let unit = if georef.metric {
        "metres"
    } else {
        "no unit (the scale is not known)"
    };
    out.push(("unit of the model".to_owned(), unit.to_owned()));
    out
}

/// The model turned around, as captions and base64 JPEG.
fn pictures(
    work: &Path,
    georef: &Georef,
    sparse: Option<&SparseModel>,
    task: &Task,
) -> Result<Vec<(String, String)>, PipelineError> {
    task.check()?;
    let read = |stage: &str, name: &str| -> Result<Vec<u8>, PipelineError> {
        Ok(fs_err::read(work.join(stage).join(name))?)
    };
    let textured = texture::read_textured(&read)?;
    let world = crate::export::to_gltf(&textured, georef);
    let frame = sparse
        .and_then(|m| crate::inspect::Frame::of_subject(m, &georef.similarity()))
        .unwrap_or_else(|| crate::inspect::Frame::of(&world.mesh.positions));
    let scene: Option<SceneKind> = self::read(work, "sparse", sparse::SCENE_FILE);
    let inside = scene.is_some_and(|s| s.kind == Preset::Room);
    let mut out = Vec::new();
    for (i, picture) in crate::inspect::turntable(&world, frame, TURNS, PICTURE_PX, inside)
        .into_iter()
        .enumerate()
    {
        let jpeg = relievo_media::encode_jpeg(&picture, 85).map_err(|e| PipelineError::File {
            path: work.to_owned(),
            what: e.to_string(),
        })?;
        let caption = format!("turned by {}°", i * 360 / TURNS);
        out.push((
            caption,
            base64::engine::general_purpose::STANDARD.encode(jpeg),
        ));
    }
    let preview = crate::inspect::turntable(&world, frame, 1, 1024, inside);
    if let Some(preview) = preview.first() {
        let png = relievo_media::encode_png_rgb(preview).map_err(|e| PipelineError::File {
            path: work.to_owned(),
            what: e.to_string(),
        })?;
        write_atomic(&work.join("report").join("preview.png"), &png)?;
    }
    Ok(out)
}
