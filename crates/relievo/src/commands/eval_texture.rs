//! What `relievo eval texture` compares with what.

use super::eval::{refuse, sources};
use crate::Failure;
use crate::args::EvalArgs;
use relievo_eval::{EvalError, TextureFigures, TextureQuery, files};
use relievo_pipeline::PipelineError;
use relievo_pipeline::settings::SETTINGS_FILE;
use relievo_pipeline::stages::texture::held_out_of_texture;
use relievo_task::Task;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The texture of a finished work folder against the photos it held out;
/// `None` where it held none.
pub(crate) fn held_out_texture(work: &Path) -> Result<Option<TextureFigures>, Failure> {
    let only = held_out_of_texture(work)?;
    if only.is_empty() {
        return Ok(None);
    }
    let query = TextureQuery {
        cameras: work.to_owned(),
        sources: sources(work)?,
        only,
        scale: 0.5,
        ..TextureQuery::default()
    };
    let found = relievo_eval::eval_texture(work, &query, &Task::silent());
    Ok(Some(found.map_err(|e| refuse(&e))?))
}

/// The work folder with cameras that a file lies in.
fn work_around(file: &Path) -> Option<PathBuf> {
    let whole = std::path::absolute(file).ok()?;
    let is_work =
        |p: &&Path| p.join(SETTINGS_FILE).is_file() && p.join("sparse").join("model").is_dir();
    whole.ancestors().skip(1).find(is_work).map(Path::to_owned)
}

/// Cameras and photos for the texture score. The cameras are those of `--model`, else of the
/// work folder that is scored or that the file lies in; the photos those beside the truth,
/// else the work folder's own.
pub(crate) fn texture_query(
    common: &EvalArgs,
    images: Option<PathBuf>,
    only: &[String],
    scale: f64,
) -> Result<TextureQuery, Failure> {
    if !(scale > 0.0 && scale <= 4.0) {
        return Err(Failure::Usage("--scale takes a number in 0..4".to_owned()));
    }
    let mut only: BTreeSet<String> = only.iter().cloned().collect();
    let strict = !only.is_empty();
    // What was held out when the texture was made, whatever the settings say by now.
    let own = if common.estimate.is_dir() {
        Some(common.estimate.clone())
    } else {
        work_around(&common.estimate)
    };
    let cameras = common.model.clone().or_else(|| own.clone());
    let work = own.or_else(|| common.model.clone().filter(|m| m.is_dir()));
    let held_out = work.as_deref().map(held_out_of_texture).transpose()?;
    let held_out = held_out.unwrap_or_default();
    if strict {
        for name in only
            .iter()
            .filter(|n| work.is_some() && !held_out.contains(*n))
        {
            eprintln!("note: {name} was not held out: it flatters the score where it took part");
        }
    } else {
        only = held_out;
    }
    let Some(truth) = &common.truth else {
        let query = work_query(cameras, images, only, scale)?;
        return Ok(TextureQuery { strict, ..query });
    };
    if !truth.exists() {
        let path = truth.clone();
        let what = "does not exist";
        return Err(refuse(&EvalError::Truth { path, what }));
    }
    let Some(cameras) = cameras else {
        files::file_of(&common.estimate, "export/model.glb").map_err(|e| refuse(&e))?;
        let path = common.estimate.clone();
        return Err(PipelineError::Input {
            what: EvalError::NoCameras { path }.to_string(),
            hint: "give the work folder or COLMAP model with its cameras as --model: the truth's \
                   where it lies in the truth's frame already"
                .to_owned(),
        }
        .into());
    };
    let beside = [truth.join("images"), truth.clone()];
    let images = images
        .or_else(|| beside.into_iter().find(|p| p.is_dir()))
        .ok_or_else(|| Failure::Usage("give the folder of the photos with --images".to_owned()))?;
    Ok(TextureQuery {
        cameras,
        images,
        only,
        strict,
        scale,
        ..TextureQuery::default()
    })
}

/// Without truth: a work folder against its own photos, those it held out.
fn work_query(
    work: Option<PathBuf>,
    images: Option<PathBuf>,
    only: BTreeSet<String>,
    scale: f64,
) -> Result<TextureQuery, Failure> {
    let Some(work) = work.filter(|w| w.is_dir()) else {
        return Err(Failure::Usage(
            "a model file needs the work folder with its cameras as --model".to_owned(),
        ));
    };
    if only.is_empty() {
        return Err(PipelineError::Input {
            what: format!("{}: this run held out no photos", work.display()),
            hint: "run with --hold-out FILE, or name photos with --only (photos that took part \
                   in texturing flatter the score)"
                .to_owned(),
        }
        .into());
    }
    let sources = if images.is_some() {
        BTreeMap::new()
    } else {
        sources(&work)?
    };
    Ok(TextureQuery {
        cameras: work,
        images: images.unwrap_or_default(),
        sources,
        only,
        scale,
        ..TextureQuery::default()
    })
}
