//! `relievo bench`: run a data set, score it by its own protocol.

use super::eval::{depth, given, refuse};
use super::eval_texture::held_out_texture;
use crate::args::{BenchArgs, BenchStage, ProgressStyle};
use crate::{Done, Failure};
use relievo_engine::Selection;
use relievo_eval::EvalError;
use relievo_eval::benchmark::rows::{self, Better, Row};
use relievo_eval::benchmark::{self, DataSet, Surface, bal};
use relievo_geometry::CameraModel;
use relievo_pipeline::run::{self, Request};
use relievo_pipeline::settings::{CameraSpec, Settings};
use relievo_pipeline::{PipelineError, catalog, import};
use relievo_scene::{CameraId, SparseModel, View, ViewId};
use relievo_task::{Isa, Task};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Of the photos in order of name, every eighth is held out, from the fifth.
const HOLD_OUT: (usize, usize) = (8, 4);

pub(crate) fn bench(args: &BenchArgs) -> Result<Done, Failure> {
    if bal::is_problem(&args.dataset) {
        return bundle(args);
    }
    let mut set = benchmark::open(&args.dataset).map_err(|e| refuse(&e))?;
    let without_photo = set.keep_given();
    // A folder that cannot be listed is told by the run.
    if let Ok(found) = relievo_media::scan_inputs(&set.inputs)
        && found.iter().all(|f| f.kind == relievo_media::FileKind::Raw)
    {
        return Err(refuse(&EvalError::DataSet {
            path: set.inputs.first().cloned().unwrap_or_default(),
            what: "holds neither photos nor a video",
        }));
    }
    if args.info {
        let _task = crate::task::start(&args.compute, 0, Isa::Native)?;
        set.check_surface().map_err(|e| refuse(&e))?;
        tell(&set, without_photo, args.json);
        return Ok(Done::Whole);
    }
    if args.known_poses && args.stage == BenchStage::Sparse {
        return Err(Failure::Usage(
            "with --known-poses there are no poses to score: name a later --stage".to_owned(),
        ));
    }
    check_photos(&set, args.known_intrinsics && !args.known_poses)?;
    let default = || PathBuf::from(format!("./{}.bench.relievo", set.name));
    let work = args.output.clone().unwrap_or_else(default);
    let (until, stages) = reach(args.stage);
    let old = Settings::read_work(&work)?;
    let mut settings = settings(args, &set)?;
    if args.stage == BenchStage::Texture || args.stage == BenchStage::All {
        settings.hold_out = held_out(&settings)?;
    }
    let task = crate::task::start(&args.compute, settings.seed, settings.isa)?;
    if !matches!(args.stage, BenchStage::Sparse | BenchStage::Texture) {
        set.check_surface().map_err(|e| refuse(&e))?;
    }
    if let Some(old) = &old {
        if settings.hold_out.is_empty() {
            // What went further stays fresh.
            settings.hold_out.clone_from(&old.hold_out);
        }
        same_kind(args.known_poses, &work, old, &settings)?;
    }
    if args.known_poses {
        if old.is_none() {
            import_truth(&set, &work, &task)?;
        }
        let mut kept = Settings::read_work(&work)?.unwrap_or_default();
        kept.set.clone_from(&settings.set);
        kept.hold_out.clone_from(&settings.hold_out);
        (kept.quality, kept.seed) = (settings.quality, settings.seed);
        settings = kept;
    }
    let setup = run::prepare(&settings)?;
    let selection = Selection {
        until: Some(until.to_owned()),
        ..Selection::default()
    };
    let request = Request {
        work: work.clone(),
        settings,
        selection,
        command: "relievo bench".to_owned(),
    };
    let talk = super::run::Talk {
        estimate_of: None,
        json: args.compute.progress == ProgressStyle::Json,
        loud: args.compute.progress != ProgressStyle::None,
    };
    let finished = run::run(&request, &setup, &task, &talk)?;
    for what in &finished.missing {
        eprintln!("incomplete: {what}");
    }
    // The true poses are no result.
    let scored = |s: &str| stages.contains(&s) && !(s == "poses" && args.known_poses);
    // A video's frames that are no key frames were never to be placed.
    if paired(&set).is_none()
        && let Some(taken) = given(&work)?
    {
        set.keep(&taken);
    }
    let rows = score(&set, &work, until, &scored)?;
    print(args, &set.name, (set.layout, set.truth), &work, &rows);
    Ok(if finished.whole {
        Done::Whole
    } else {
        Done::Partly
    })
}

/// Refuses a work folder that holds a run of other photos, or poses from elsewhere.
fn same_kind(
    known_poses: bool,
    work: &Path,
    old: &Settings,
    new: &Settings,
) -> Result<(), PipelineError> {
    let what = match (known_poses, import::has_imported_poses(work)) {
        _ if old.inputs != new.inputs => "it holds the run of other photos",
        (true, false) => "it holds a run that found its own poses",
        (false, true) => "it holds a run with the true poses",
        _ => return Ok(()),
    };
    Err(PipelineError::Work {
        path: work.to_owned(),
        what: what.to_owned(),
        hint: "name another folder with -o".to_owned(),
    })
}

/// Photos of the inputs, and those that have a true camera; `None` of a video.
fn paired(set: &DataSet) -> Option<(usize, usize)> {
    let found = relievo_media::scan_inputs(&set.inputs).ok()?;
    let photos = found
        .iter()
        .filter(|f| f.kind == relievo_media::FileKind::Photo);
    let names: Vec<&str> = photos.filter_map(|f| f.name.rsplit('/').next()).collect();
    let distinct: BTreeSet<&str> = names.iter().copied().collect();
    let with_camera = distinct.iter().filter(|n| set.cameras.contains_key(**n));
    (!names.is_empty()).then(|| (names.len(), with_camera.count()))
}

/// Refuses photos of which fewer than three have a true camera, and photos of another size than the
/// cameras whose intrinsics they are to get.
fn check_photos(set: &DataSet, sizes: bool) -> Result<(), Failure> {
    let what = match paired(set) {
        Some((_, 0)) => Some("no photo has the name of a true camera"),
        Some((_, 1 | 2)) => Some("fewer than three photos have the name of a true camera"),
        _ => None,
    };
    if let Some(what) = what {
        let path = set.inputs.first().cloned().unwrap_or_default();
        return Err(refuse(&EvalError::DataSet { path, what }));
    }
    let photos = relievo_media::scan_inputs(&set.inputs).unwrap_or_default();
    for photo in photos.iter().filter(|_| sizes) {
        let name = photo.name.rsplit('/').next().unwrap_or_default();
        let Some(posed) = set.cameras.get(name) else {
            continue;
        };
        // What does not read is told by the run.
        let Ok(info) = relievo_media::probe_photo(&photo.path) else {
            continue;
        };
        let camera = (posed.camera.width_px, posed.camera.height_px);
        // A transforms.json need not tell the size.
        if camera != (0, 0) && (info.width_px, info.height_px) != camera {
            return Err(refuse(&EvalError::PhotoSize {
                photo: (info.width_px as usize, info.height_px as usize),
                camera: (camera.0 as usize, camera.1 as usize),
            }));
        }
    }
    Ok(())
}

/// What the folder is taken for.
fn tell(set: &DataSet, without_photo: usize, json: bool) {
    let paired = paired(set);
    let surface = match &set.surface {
        Surface::None => "none",
        Surface::Mesh(_) => "mesh",
        Surface::Scans(_) => "scans",
    };
    if json {
        let all = serde_json::json!({ "set": set.name, "layout": set.layout, "truth": set.truth,
            "inputs": set.inputs, "cameras": set.cameras.len(),
            "cameras_without_photo": without_photo, "surface": surface,
            "photos": paired.map(|p| p.0), "photos_with_camera": paired.map(|p| p.1) });
        println!("{all}");
        return;
    }
    println!("{} ({}; truth: {})", set.name, set.layout, set.truth);
    for input in &set.inputs {
        println!("  photos or video  {}", input.display());
    }
    println!("  true cameras     {}", set.cameras.len());
    if let Some((photos, with_camera)) = paired {
        println!("  photos           {photos}, {with_camera} of them with a true camera");
        if without_photo > 0 {
            println!(
                "  note: {without_photo} more have no photo of their name here and do not count"
            );
        }
    }
    // A file may hold a mesh or points.
    match &set.surface {
        Surface::Mesh(path) => println!("  true surface     {}", path.display()),
        _ => println!("  true surface     {surface}"),
    }
}

/// The stage to stop after, and those that are scored.
fn reach(stage: BenchStage) -> (&'static str, &'static [&'static str]) {
    match stage {
        BenchStage::Sparse => ("sparse", &["poses"]),
        BenchStage::Dense => ("cloud", &["poses", "depth", "cloud"]),
        BenchStage::Mesh => ("mesh", &["poses", "depth", "cloud", "mesh"]),
        BenchStage::Texture => ("export", &["poses", "texture"]),
        BenchStage::All => ("export", &["poses", "depth", "cloud", "mesh", "texture"]),
    }
}

fn settings(args: &BenchArgs, set: &DataSet) -> Result<Settings, Failure> {
    let mut s = Settings::default();
    for input in &set.inputs {
        let whole = std::path::absolute(input).map_err(PipelineError::from)?;
        s.inputs.push(whole);
    }
    if let Some(quality) = args.quality {
        s.quality = quality.into();
    }
    s.seed = args.seed.unwrap_or(0);
    for assignment in &args.set {
        s.set_option(assignment)?;
    }
    if args.known_intrinsics && !args.known_poses {
        s.fix_intrinsics = true;
        let spec = |glob: Option<String>, model: &CameraModel| CameraSpec {
            glob,
            kind: model.kind(),
            params: model.params().to_vec(),
        };
        let mut cameras = set.cameras.values().map(|c| c.camera.model);
        let first = cameras.next();
        if let Some(one) = first.filter(|one| cameras.all(|c| c == *one)) {
            s.cameras.push(spec(None, &one));
        } else {
            let rows = set.cameras.iter();
            s.cameras
                .extend(rows.map(|(name, c)| spec(Some(format!("*{name}")), &c.camera.model)));
        }
    }
    Ok(s)
}

/// Names of the photos that are held out; none of a video or of few photos.
fn held_out(settings: &Settings) -> Result<Vec<String>, Failure> {
    let found = relievo_media::scan_inputs(&settings.inputs)
        .map_err(|e| PipelineError::from(std::io::Error::other(e)))?;
    let mut names: Vec<String> = found
        .into_iter()
        .filter(|f| f.kind == relievo_media::FileKind::Photo)
        .map(|f| f.name)
        .collect();
    names.sort();
    let (every, from) = HOLD_OUT;
    Ok(names.into_iter().skip(from).step_by(every).collect())
}

/// Starts the work folder from the true cameras.
fn import_truth(set: &DataSet, work: &Path, task: &Task) -> Result<(), Failure> {
    let images = set.inputs.iter().find(|p| p.is_dir()).ok_or_else(|| {
        Failure::Usage("--known-poses needs a data set with a folder of photos".to_owned())
    })?;
    let mut model = SparseModel::default();
    for (i, (name, c)) in set.cameras.iter().enumerate() {
        let id = i as u32 + 1;
        let known = model.cameras.iter().find(|(_, k)| **k == c.camera);
        let camera_id = known.map_or(CameraId(id), |(k, _)| *k);
        model.cameras.insert(camera_id, c.camera);
        let view = View {
            camera_id,
            name: name.clone(),
            cam_from_world: Some(c.cam_from_world),
            points_px: Vec::new(),
        };
        model.views.insert(ViewId(id), view);
    }
    let place = work.with_extension("truth");
    relievo_formats::colmap::write_model_binary(&model, &place).map_err(|e| {
        PipelineError::File {
            path: place.clone(),
            what: e.to_string(),
        }
    })?;
    let imported = import::import_colmap(&place, images, work, task);
    let _ = fs_err::remove_dir_all(&place);
    imported?;
    Ok(())
}

/// How rows follow one another.
const ORDER: [&str; 5] = ["poses", "depth", "cloud", "mesh", "texture"];

fn score(
    set: &DataSet,
    work: &Path,
    until: &str,
    reached: &dyn Fn(&str) -> bool,
) -> Result<Vec<Row>, Failure> {
    let mut rows = benchmark::score(set, work, reached).map_err(|e| refuse(&e))?;
    if let (Surface::Mesh(truth), true) = (&set.surface, reached("depth"))
        && truth.is_dir()
    {
        rows::of_depth(&depth(work, truth, None)?, &mut rows);
    }
    if reached("texture")
        && let Some(figures) = held_out_texture(work)?
    {
        rows::of_texture(&figures, &mut rows);
    }
    rows.sort_by_key(|r| ORDER.iter().position(|s| *s == r.stage));
    costs(work, until, &mut rows)?;
    Ok(rows)
}

/// Times and memory of the stages up to this one, from the report.
fn costs(work: &Path, until: &str, rows: &mut Vec<Row>) -> Result<(), Failure> {
    let path = work.join("report").join("report.json");
    let bytes = fs_err::read(&path).map_err(PipelineError::from)?;
    let report: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|e| PipelineError::File {
            path,
            what: e.to_string(),
        })?;
    let (mut wall, mut cpu, mut peak) = (0.0, 0.0, 0.0_f64);
    let last = catalog::STAGES.iter().position(|s| *s == until);
    for stage in &catalog::STAGES[..=last.unwrap_or(catalog::STAGES.len() - 1)] {
        let row = &report["stages"][stage];
        let Some(seconds) = row["wall_s"].as_f64() else {
            continue;
        };
        let used = row["cpu_s"].as_f64().unwrap_or(0.0);
        wall += seconds;
        cpu += used;
        peak = peak.max(row["peak_rss_mib"].as_f64().unwrap_or(0.0));
        let mut add =
            |m: &str, v| rows::push(rows, "time", &format!("{stage}_{m}"), v, "s", Better::Lower);
        add("wall", seconds);
        add("cpu", used);
    }
    rows::push(rows, "time", "wall", wall, "s", Better::Lower);
    rows::push(rows, "time", "cpu", cpu, "s", Better::Lower);
    rows::push(rows, "time", "peak_memory", peak, "MiB", Better::Lower);
    Ok(())
}

/// A bundle adjustment problem: no photos, our solver alone.
fn bundle(args: &BenchArgs) -> Result<Done, Failure> {
    let task = crate::task::start(&args.compute, 0, Isa::Native)?;
    let problem = bal::read(&args.dataset).map_err(|e| refuse(&e))?;
    if args.info {
        let (cameras, points, observations) = problem.size();
        if args.json {
            let all = serde_json::json!({ "layout": "bal", "cameras": cameras,
                "points": points, "observations": observations });
            println!("{all}");
        } else {
            println!(
                "bundle adjustment: {cameras} cameras, {points} points, {observations} observations"
            );
        }
        return Ok(Done::Whole);
    }
    let options = relievo_eval::benchmark::bal::options();
    let figures = problem.solve(&options, &task).map_err(|e| refuse(&e))?;
    let mut rows = Vec::new();
    rows::of_bal(&figures, &mut rows);
    let name = args.dataset.file_stem().unwrap_or_default();
    let kind = ("bal", "the cost alone is compared");
    print(args, &name.to_string_lossy(), kind, Path::new(""), &rows);
    Ok(Done::Whole)
}

fn print(args: &BenchArgs, set: &str, (layout, truth): (&str, &str), work: &Path, rows: &[Row]) {
    if args.csv {
        print!("{}", rows::to_csv(set, rows));
    } else if args.json {
        let all = serde_json::json!({ "set": set, "layout": layout, "truth": truth,
            "work": work, "rows": rows });
        println!("{all}");
    } else {
        println!("{set} ({layout}; truth: {truth})");
        println!("{}", rows::to_text(rows));
    }
}
