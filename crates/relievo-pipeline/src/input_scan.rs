//! What is there under the inputs: names, paths, digests, masks.

use crate::error::PipelineError;
use crate::settings::Settings;
use rayon::prelude::*;
use relievo_engine::{Digest, Work, digest_bytes, digest_file};
use relievo_media::FileKind;
use std::path::PathBuf;

/// A photo or a video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// One picture.
    Photo,
    /// Many.
    Video,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputFile {
    /// Path relative to its input, with `/`; unique.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// What it is, by its name.
    pub kind: InputKind,
    /// BLAKE3 of its bytes.
    pub digest: Digest,
    /// Its mask and the mask's digest.
    pub mask: Option<(PathBuf, Digest)>,
}

/// All files, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputScan {
    /// In order of name.
    pub files: Vec<InputFile>,
}

impl InputScan {
    /// Looks under the inputs of `settings` and digests every file.
    pub fn new(settings: &Settings) -> Result<Self, PipelineError> {
        for input in &settings.inputs {
            if !input.exists() {
                return Err(PipelineError::Input {
                    what: format!("{}: there is no such file or folder", input.display()),
                    hint: "check the path; photos, folders of photos and videos can be given"
                        .to_owned(),
                });
            }
        }
        if let Some(work) = settings.inputs.iter().find(|i| Work::is_one(i)) {
            return Err(PipelineError::Input {
                what: format!("{} is a work folder, not photos", work.display()),
                hint: format!(
                    "to continue it, give it with -o: relievo run -o {}",
                    work.display()
                ),
            });
        }
        if let Some(masks) = &settings.masks
            && !masks.is_dir()
        {
            return Err(PipelineError::Input {
                what: format!("{}: there is no such folder of masks", masks.display()),
                hint: "give the folder that holds NAME.EXT.png for each masked photo".to_owned(),
            });
        }
        let found =
            relievo_media::scan_inputs(&settings.inputs).map_err(|e| PipelineError::Input {
                what: e.to_string(),
                hint: e.hint().to_owned(),
            })?;
        let files: Result<Vec<InputFile>, PipelineError> = found
            .into_par_iter()
            .map(|f| {
                // What cannot be read is named by ingest, like a broken photo.
                let digest = digest_file(&f.path)
                    .map_or_else(|e| digest_bytes(e.to_string().as_bytes()), |(_, d)| d);
                let mask = match &settings.masks {
                    Some(dir) => relievo_media::find_mask(dir, &f.name),
                    None => None,
                };
                let mask = match mask {
                    Some(path) => Some((digest_file(&path)?.1, path)),
                    None => None,
                };
                Ok(InputFile {
                    kind: if f.kind == FileKind::Video {
                        InputKind::Video
                    } else {
                        InputKind::Photo
                    },
                    name: f.name,
                    path: f.path,
                    digest,
                    mask: mask.map(|(digest, path)| (path, digest)),
                })
            })
            .collect();
        let mut files = files?;
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { files })
    }

    /// A file by name.
    pub fn file(&self, name: &str) -> Option<&InputFile> {
        self.files.iter().find(|f| f.name == name)
    }
}
