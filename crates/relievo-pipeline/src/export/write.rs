//! `relievo export`: one format of a finished work folder.

use super::{Format, encode_named};
use crate::error::PipelineError;
use crate::georef::Georef;
use crate::ingest_table::IngestTable;
use crate::stages::export::ExportOptions;
use crate::stages::sparse::GEOREF_FILE;
use crate::stages::texture::read_textured;
use relievo_engine::{Work, write_atomic};
use relievo_formats::{colmap, nerfstudio};
use std::path::{Path, PathBuf};

/// Writes `format` to `output` (a file, or a folder for formats of several
/// files); without it, beside the work folder under the work's name. Gives
/// the path.
pub fn write_export(
    work: &Path,
    format: Format,
    output: Option<&Path>,
) -> Result<PathBuf, PipelineError> {
    let file = |path: &Path, e: &dyn std::fmt::Display| PipelineError::File {
        path: path.to_owned(),
        what: e.to_string(),
    };
    Work::open(work)?;
    let target = output.map_or_else(|| default_target(work, format), Path::to_owned);
    let need = |stage: &'static str, name: &str| -> Result<Vec<u8>, PipelineError> {
        let path = work.join(stage).join(name);
        if !path.is_file() {
            return Err(PipelineError::Data {
                stage,
                what: format!("{} is not there yet", path.display()),
                hint: format!("run `relievo run -o {}` first", work.display()),
            });
        }
        Ok(fs_err::read(path)?)
    };
    match format {
        f if f.is_mesh() => {
            let read = |stage: &str, name: &str| match stage {
                "mesh" => need("mesh", name),
                "texture" => need("texture", name),
                _ => need("sparse", name),
            };
            let textured = read_textured(&read)?;
            let text = need("sparse", GEOREF_FILE)?;
            let georef: Georef = serde_json::from_slice(&text)
                .map_err(|e| file(&work.join("sparse").join(GEOREF_FILE), &e))?;
            // Of several files the given name is the first's, if it is one.
            let named = target.extension().is_some_and(|e| e == f.name());
            let (folder, stem) = match target.file_stem() {
                Some(stem) if named => (target.parent(), stem.to_string_lossy().into_owned()),
                _ => (Some(target.as_path()), "model".to_owned()),
            };
            let options = ExportOptions::default();
            let mut files = encode_named(f, &stem, &textured, &georef, &options)?;
            if files.len() == 1
                && let Some((_, bytes)) = files.pop()
            {
                make_parent(&target)?;
                write_atomic(&target, &bytes)?;
                return Ok(target);
            }
            let folder = folder.unwrap_or(Path::new("")).to_owned();
            make_parent(&folder.join("file"))?;
            for (name, bytes) in files {
                write_atomic(&folder.join(name), &bytes)?;
            }
        }
        Format::Cloud => {
            make_parent(&target)?;
            write_atomic(&target, &need("cloud", "dense.ply")?)?;
        }
        Format::Colmap | Format::Nerfstudio => {
            let dir = work.join("sparse").join("model");
            let model = colmap::read_model(&dir).map_err(|e| file(&dir, &e))?;
            if format == Format::Colmap {
                fs_err::create_dir_all(&target)?;
                colmap::write_model_text(&model, &target).map_err(|e| file(&target, &e))?;
            } else {
                make_parent(&target)?;
                // The photos stay where they are.
                let table = IngestTable::read_work(work)?;
                let text = nerfstudio::encode_transforms(&model, |name| {
                    let entry = table.photos.iter().find(|e| e.photo.name == name);
                    entry.map_or_else(
                        || name.to_owned(),
                        |e| {
                            let path = std::path::absolute(&e.source);
                            let path = path.unwrap_or_else(|_| e.source.clone());
                            path.to_string_lossy().into_owned()
                        },
                    )
                });
                write_atomic(&target, text.as_bytes())?;
            }
        }
        Format::ColmapDense => super::depth::write_colmap_dense(work, &target)?,
        _ => super::depth::write_arrays(work, &target)?,
    }
    Ok(target)
}

pub(super) fn make_parent(path: &Path) -> Result<(), PipelineError> {
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        fs_err::create_dir_all(parent)?;
    }
    Ok(())
}

/// `<name>.<extension>` or a folder `<name>-<format>` beside the work folder.
fn default_target(work: &Path, format: Format) -> PathBuf {
    let name = work
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let file = match format {
        Format::Glb => format!("{name}.glb"),
        Format::Ply => format!("{name}.ply"),
        Format::Stl => format!("{name}.stl"),
        Format::Cloud => format!("{name}-cloud.ply"),
        Format::Nerfstudio => "transforms.json".to_owned(),
        Format::Obj | Format::Colmap | Format::ColmapDense | Format::Depth => {
            format!("{name}-{}", format.name())
        }
    };
    work.with_file_name(file)
}
