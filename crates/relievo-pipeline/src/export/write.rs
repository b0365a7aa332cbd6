//! `relievo export`: one format of a finished work folder.

use super::{Format, encode};
use crate::error::PipelineError;
use crate::georef::Georef;
use crate::stages::export::ExportOptions;
use crate::stages::sparse::GEOREF_FILE;
use crate::stages::texture::read_textured;
use relievo_engine::write_atomic;
use relievo_formats::{colmap, native};
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
            let mut files = encode(f, &textured, &georef, &ExportOptions::default())?;
            if files.len() == 1
                && let Some((_, bytes)) = files.pop()
            {
                make_parent(&target)?;
                write_atomic(&target, &bytes)?;
                return Ok(target);
            }
            fs_err::create_dir_all(&target)?;
            for (name, bytes) in files {
                write_atomic(&target.join(name), &bytes)?;
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
                let text = String::new();
                write_atomic(&target, text.as_bytes())?;
            }
        }
        _ => {
            fs_err::create_dir_all(&target)?;
            let mut written = 0;
            for entry in fs_err::read_dir(work.join("depth"))? {
                let path = entry?.path();
                if path.extension().is_none_or(|e| e != "depth") {
                    continue;
                }
                let map =
                    native::depth::decode(&fs_err::read(&path)?).map_err(|e| file(&path, &e))?;
                let stem = path
                    .file_stem()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                write_atomic(&target.join(format!("{stem}.npy")), &[])?;
                let dense: Vec<u8> = vec![];
                let _ = &map;
                write_atomic(&target.join(format!("{stem}.geometric.bin")), &dense)?;
                written += 1;
            }
            if written == 0 {
                return Err(PipelineError::Data {
                    stage: "depth",
                    what: "there are no depth maps in this work folder".to_owned(),
                    hint: format!("run `relievo run -o {}` first", work.display()),
                });
            }
        }
    }
    Ok(target)
}

fn make_parent(path: &Path) -> Result<(), PipelineError> {
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
        Format::Obj | Format::Colmap | Format::Depth => format!("{name}-{}", format.name()),
    };
    work.with_file_name(file)
}
