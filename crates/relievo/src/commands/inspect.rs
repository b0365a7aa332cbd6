//! `relievo inspect`.

use crate::args::InspectArgs;
use crate::{Done, Failure};
use relievo_pipeline::PipelineError;
use relievo_pipeline::inspect::{self, Finding};
use std::path::Path;

pub(crate) fn inspect(args: &InspectArgs) -> Result<Done, Failure> {
    let path = &args.path;
    if path.is_dir() && path.join("relievo.toml").is_file() {
        relievo_engine::Work::open(path)?;
        return work(args);
    }
    let finding = if path.is_dir() {
        inspect::inspect_model(path)?
    } else {
        inspect::inspect_file(path, args.png.is_some())?
    };
    print(path, &finding, args.json);
    if let Some(png) = &args.png {
        save_picture(path, &finding, png)?;
    }
    Ok(outcome(&finding))
}

fn save_picture(path: &Path, finding: &Finding, png: &Path) -> Result<(), Failure> {
    let Some(picture) = &finding.picture else {
        return Err(PipelineError::File {
            path: path.to_owned(),
            what: "there is no picture of this kind of file".to_owned(),
        }
        .into());
    };
    let bytes = relievo_media::encode_png_rgb(picture).map_err(|e| PipelineError::File {
        path: png.to_owned(),
        what: e.to_string(),
    })?;
    fs_err::write(png, bytes).map_err(PipelineError::from)?;
    println!("picture: {}", png.display());
    Ok(())
}

/// Every artefact of a work folder.
fn work(args: &InspectArgs) -> Result<Done, Failure> {
    let mut sound = true;
    for part in [
        "sparse/model",
        "cloud/dense.ply",
        "mesh/surface.ply",
        "export/model.glb",
    ] {
        let path = args.path.join(part);
        if !path.exists() {
            println!("{part}: missing");
            continue;
        }
        let finding = if path.is_dir() {
            inspect::inspect_model(&path)?
        } else {
            let picture = args.png.is_some() && part == "export/model.glb";
            inspect::inspect_file(&path, picture)?
        };
        sound &= finding.broken.is_none();
        print(Path::new(part), &finding, args.json);
        if let Some(png) = args.png.as_ref().filter(|_| finding.picture.is_some()) {
            save_picture(&path, &finding, png)?;
        }
    }
    if let Some(dir) = &args.pictures {
        for path in inspect::work_pictures(&args.path, dir)? {
            println!("picture: {}", path.display());
        }
    }
    Ok(if sound { Done::Whole } else { Done::Partly })
}

fn outcome(finding: &Finding) -> Done {
    if finding.broken.is_none() {
        Done::Whole
    } else {
        Done::Partly
    }
}

fn print(path: &Path, finding: &Finding, json: bool) {
    if json {
        let line = serde_json::json!({ "path": path, "what": finding.what,
            "figures": finding.figures, "broken": finding.broken });
        println!("{line}");
        return;
    }
    println!("{}: {}", path.display(), finding.what);
    for (name, value) in &finding.figures {
        if let serde_json::Value::Array(rows) = value {
            println!("  {name}:");
            for row in rows {
                println!("    {row}");
            }
        } else {
            println!("  {}: {value}", name.replace('_', " "));
        }
    }
    match &finding.broken {
        Some(what) => println!("  BROKEN: {what}"),
        None => println!("  invariants hold"),
    }
}
