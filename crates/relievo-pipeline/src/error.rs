//! What stops a run, in words, with the remedy.

use crate::ingest_table::IngestTable;
use crate::settings::SETTINGS_FILE;
use std::path::{Path, PathBuf};

/// Why the pipeline cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The person stopped it; what is finished stays.
    #[error("interrupted")]
    Cancelled,
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The stage engine refused or failed.
    #[error(transparent)]
    Engine(relievo_engine::EngineError),
    /// A settings file does not read.
    #[error("{path}: {what}", path = path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        what: String,
    },
    /// An option is unknown or has a wrong value.
    #[error("option {name}: {what}")]
    Option {
        /// As typed.
        name: String,
        /// What is wrong.
        what: String,
    },
    /// The work folder holds something else.
    #[error("{path}: {what}", path = path.display())]
    Work {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
        /// What to do.
        hint: String,
    },
    /// No input at all, or none that can be used.
    #[error("{what}")]
    Input {
        /// What is wrong.
        what: String,
        /// What to do.
        hint: String,
    },
    /// Fewer than two photos can be used.
    #[error("{what}")]
    TooFewPhotos {
        /// How many of what was given, and why not the others.
        what: String,
        /// What to do.
        hint: String,
        /// All that was given, file by file.
        table: Box<IngestTable>,
    },
    /// No photo could be placed.
    #[error("sparse: {what}")]
    NotPlaced {
        /// Of all of them together.
        what: String,
        /// Of each of them, in a photographer's words.
        photo: String,
        /// What to do.
        hint: String,
    },
    /// The photos did not allow this stage.
    #[error("{stage}: {what}")]
    Data {
        /// The stage.
        stage: &'static str,
        /// What is missing.
        what: String,
        /// What to do.
        hint: String,
    },
    /// A file of the work folder or a given one does not read.
    #[error("{path}: {what}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

impl PipelineError {
    /// A file that does not read: the causes in one line, the path once.
    pub fn file(path: &Path, error: &dyn std::error::Error) -> Self {
        let shown = path.display().to_string();
        let causes = std::iter::successors(Some(error), |e| e.source());
        let mut parts: Vec<String> = Vec::new();
        for text in causes.map(ToString::to_string) {
            let text = text.strip_prefix(&shown).unwrap_or(&text);
            let text = text.trim_start_matches([':', ' ']);
            if !text.is_empty() && parts.iter().all(|p| !p.contains(text)) {
                parts.push(text.to_owned());
            }
        }
        Self::File {
            path: path.to_owned(),
            what: parts.join(": "),
        }
    }

    /// What to do next; empty where the message says it.
    pub fn hint(&self) -> String {
        match self {
            Self::Work { hint, .. }
            | Self::Input { hint, .. }
            | Self::TooFewPhotos { hint, .. }
            | Self::NotPlaced { hint, .. }
            | Self::Data { hint, .. } => hint.clone(),
            Self::Engine(e) => e.hint().unwrap_or_default(),
            Self::Settings { path, .. } if path.ends_with(SETTINGS_FILE) => format!(
                "correct that line; or delete the file and give the photos again: relievo run \
                 INPUT -o {}",
                path.parent().unwrap_or(path).display()
            ),
            Self::Settings { .. } => {
                "correct that line; relievo.toml of any work folder shows the form".to_owned()
            }
            Self::Option { .. } => "`relievo options` lists every option".to_owned(),
            Self::Io(e) => match e.kind() {
                std::io::ErrorKind::StorageFull => {
                    "free some disk space and run the same command again; nothing is lost"
                        .to_owned()
                }
                std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                    "choose a folder that you may write to with -o".to_owned()
                }
                _ => String::new(),
            },
            _ => String::new(),
        }
    }
}

impl From<relievo_task::Cancelled> for PipelineError {
    fn from(_: relievo_task::Cancelled) -> Self {
        Self::Cancelled
    }
}

impl From<relievo_engine::EngineError> for PipelineError {
    /// What a stage of ours refused comes back as it was, not wrapped.
    fn from(e: relievo_engine::EngineError) -> Self {
        match e {
            relievo_engine::EngineError::Cancelled => Self::Cancelled,
            relievo_engine::EngineError::Stage {
                stage,
                item,
                source,
            } => match source.downcast::<Self>() {
                Ok(own) => *own,
                Err(source) => Self::Engine(relievo_engine::EngineError::Stage {
                    stage,
                    item,
                    source,
                }),
            },
            e => Self::Engine(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_said_once_and_the_cause_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let photo = dir.path().join("a.jpg");
        fs_err::write(&photo, "no PLY").unwrap();
        let error = relievo_formats::ply::read_mesh(&photo).unwrap_err();
        let gone = dir.path().join("nosuch");
        let missing = relievo_formats::colmap::read_model(&gone).unwrap_err();
        for (path, error) in [(&photo, error), (&gone, missing)] {
            let text = PipelineError::file(path, &error).to_string();
            let shown = path.display().to_string();
            assert_eq!(text.matches(&shown).count(), 1, "{text}");
            assert!(text.len() > shown.len() + 10, "no cause: {text}");
        }
    }

    #[test]
    fn settings_that_do_not_read_come_with_a_remedy() {
        let hint = |path: &str| {
            let what = "expected `=`".to_owned();
            let path = PathBuf::from(path);
            PipelineError::Settings { path, what }.hint()
        };
        assert!(hint("jug/relievo.toml").contains("relievo run INPUT -o jug"));
        assert!(hint("mine.toml").starts_with("correct that line"));
    }
}
