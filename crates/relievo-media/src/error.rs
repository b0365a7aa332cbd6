//! What can be wrong with a photo or a video.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A picture or video that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// The operating system refused; the message names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A photo with something wrong.
    #[error("{}: {problem}", path.display())]
    Photo {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: PhotoProblem,
    },
    /// A video with something wrong.
    #[error("{}: {problem}", path.display())]
    Video {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: VideoProblem,
    },
    /// An INPUT that is not there.
    #[error("{}: no such file or folder", path.display())]
    NoInput {
        /// The INPUT.
        path: PathBuf,
    },
    /// A picture that cannot be encoded.
    #[error("a picture of {width} x {height} pixels cannot be written as {format}")]
    Encode {
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
        /// The format.
        format: &'static str,
    },
    /// A stop was asked for.
    #[error(transparent)]
    Cancelled(#[from] relievo_task::Cancelled),
}

/// What is wrong with a photo.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PhotoProblem {
    /// Zero bytes.
    #[error("the file is empty")]
    Empty,
    /// No picture format begins like this.
    #[error("this is not a picture")]
    NotAPicture,
    /// HEIC, HEIF or AVIF.
    #[error("{format} pictures are not read yet")]
    Heif {
        /// HEIC or AVIF.
        format: &'static str,
    },
    /// The file ends before the picture does.
    #[error("the file is cut off before the end of the picture")]
    Truncated,
    /// The decoder found an error.
    #[error("the picture is damaged ({reason})")]
    Damaged {
        /// What the decoder says.
        reason: String,
    },
    /// Smaller than [`crate::MIN_SIDE_PX`].
    #[error("{width_px} x {height_px} pixels are too few to use")]
    TooSmall {
        /// Columns.
        width_px: u32,
        /// Rows.
        height_px: u32,
    },
    /// Larger than can be decoded, or a header that lies.
    #[error("{width_px} x {height_px} pixels are announced, more than the file can hold")]
    TooLarge {
        /// Columns.
        width_px: u32,
        /// Rows.
        height_px: u32,
    },
}

impl PhotoProblem {
    /// Kebab-case kind for warnings.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Empty | Self::NotAPicture => "photo-not-a-picture",
            Self::Heif { .. } => "photo-heif",
            Self::Truncated | Self::Damaged { .. } | Self::TooLarge { .. } => "photo-broken",
            Self::TooSmall { .. } => "photo-tiny",
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Heif { .. } => {
                "convert it to JPEG, e.g. `heif-convert IN.heic OUT.jpg`, or set the phone to \
                 \"most compatible\""
            }
            Self::Truncated | Self::Damaged { .. } | Self::TooLarge { .. } => {
                "copy it again from the camera"
            }
            Self::Empty | Self::NotAPicture => "remove it, or give the folder of the photos",
            Self::TooSmall { .. } => "give the original photo rather than a thumbnail",
        }
    }

    pub(crate) fn of(self, path: &Path) -> MediaError {
        MediaError::Photo {
            path: path.to_owned(),
            problem: self,
        }
    }
}

/// What is wrong with a video.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum VideoProblem {
    /// The container or codec is not understood.
    #[error("this video cannot be opened ({reason})")]
    CannotOpen {
        /// What the decoder says.
        reason: String,
    },
    /// Opened, but nothing came out.
    #[error("no frame of this video can be decoded")]
    NoFrames,
    /// The decoder failed on the way.
    #[error("decoding stopped ({reason})")]
    Decoding {
        /// What the decoder says.
        reason: String,
    },
}

impl VideoProblem {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::CannotOpen { .. } | Self::Decoding { .. } | Self::NoFrames => {
                "check that it plays; re-encode it, e.g. `ffmpeg -i IN -c:v libx264 OUT.mp4`"
            }
        }
    }

    /// The error about `path`.
    pub fn of(self, path: &Path) -> MediaError {
        MediaError::Video {
            path: path.to_owned(),
            problem: self,
        }
    }
}

impl MediaError {
    /// What to do about it; empty where nothing better can be said.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Photo { problem, .. } => problem.hint(),
            Self::Video { problem, .. } => problem.hint(),
            _ => "",
        }
    }
}
