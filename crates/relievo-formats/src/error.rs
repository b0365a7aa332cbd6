//! What can be wrong with a file.

use std::path::{Path, PathBuf};

/// A file that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The operating system refused; the message names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Which file the inner error is about.
    #[error("{}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<FormatError>,
    },
    /// The data ends before what was announced.
    #[error("{format}: the file ends at byte {at}, in the middle of {what}; it is cut off")]
    Truncated {
        /// The format that was being read.
        format: &'static str,
        /// The part that was being read.
        what: &'static str,
        /// Byte offset.
        at: u64,
    },
    /// A count that the rest of the file cannot hold.
    #[error("{format}: {count} {what} are announced, but only {left} bytes follow")]
    Count {
        /// The format that was being read.
        format: &'static str,
        /// What is counted.
        what: &'static str,
        /// The announced number.
        count: u64,
        /// Bytes (text: characters) left in the file.
        left: u64,
    },
    /// A value that the format does not allow.
    #[error("{format}: {what} at {at}: {found}")]
    Malformed {
        /// The format that was being read.
        format: &'static str,
        /// The part that was being read.
        what: &'static str,
        /// Byte offset in a binary file, line number in a text.
        at: u64,
        /// What stands there instead.
        found: String,
    },
    /// A valid file that uses something we do not read.
    #[error("{format}: {feature} is not supported; {remedy}")]
    Unsupported {
        /// The format that was being read.
        format: &'static str,
        /// The unsupported thing.
        feature: String,
        /// What to do instead.
        remedy: &'static str,
    },
    /// A folder without the files that make up a model.
    #[error("{}: no {what} here; expected {expected}", dir.display())]
    Missing {
        /// The folder.
        dir: PathBuf,
        /// What was asked for.
        what: &'static str,
        /// Which files would make it up.
        expected: &'static str,
    },
    /// Something the format cannot hold.
    #[error("{format}: cannot be written: {what}")]
    Unwritable {
        /// The format that was being written.
        format: &'static str,
        /// What that is.
        what: &'static str,
    },
    /// The file parses, but what it describes is not consistent.
    #[error(transparent)]
    Broken(#[from] relievo_scene::Broken),
}

impl FormatError {
    /// Says which file the error is about; I/O errors name it already.
    #[must_use]
    pub fn in_file(self, path: &Path) -> Self {
        match self {
            Self::Io(_) | Self::File { .. } | Self::Missing { .. } => self,
            inner => Self::File {
                path: path.to_owned(),
                source: Box::new(inner),
            },
        }
    }
}

/// Reads all of `path` and decodes it; errors name the path.
pub(crate) fn read_with<T>(
    path: &Path,
    decode: impl FnOnce(&[u8]) -> Result<T, FormatError>,
) -> Result<T, FormatError> {
    decode(&fs_err::read(path)?).map_err(|e| e.in_file(path))
}
