//! Files that are there whole or not at all.
//!
//! Each output is written to a temporary file inside the stage's `.progress/`
//! folder (the same file system), synced, renamed, and digested.

use crate::error::{BoxError, EngineError};
use crate::journal::PROGRESS_DIR;
use crate::key::{Digest, digest_bytes, digest_file};
use crate::record::{OutputRecord, STAGE_FILE};
use fs_err::{self as fs, File};
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// Writes a whole file beside its final place, syncs and renames it.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), EngineError> {
    let name = path
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    let temp = path.with_file_name(temporary_name(&name));
    let write = || -> io::Result<()> {
        let mut file = File::create(&temp)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temp, path)?;
        sync_dir(path)
    };
    write().map_err(|e| {
        let _ = fs::remove_file(&temp);
        EngineError::io(path, e)
    })
}

/// Name beside a file while [`write_atomic`] writes it.
pub(crate) fn temporary_name(name: &str) -> String {
    format!(".{name}.tmp")
}

/// Makes a rename in the folder of `path` durable.
fn sync_dir(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(dir) if cfg!(unix) && !dir.as_os_str().is_empty() => File::open(dir)?.sync_all(),
        _ => Ok(()),
    }
}

/// Collects the outputs of one item (or of `finish`).
#[derive(Debug)]
pub struct ItemWriter {
    stage: String,
    dir: PathBuf,
    outputs: Vec<OutputRecord>,
}

/// An output being written; [`ItemWriter::commit`] puts it in place, dropping
/// it leaves nothing.
#[derive(Debug)]
pub struct OutputFile {
    name: String,
    temp: PathBuf,
    file: Option<BufWriter<File>>,
}

impl ItemWriter {
    pub(crate) fn new(stage: &str, dir: &Path) -> Result<Self, EngineError> {
        let temp = dir.join(PROGRESS_DIR);
        fs::create_dir_all(&temp).map_err(|e| EngineError::io(&temp, e))?;
        Ok(Self {
            stage: stage.to_owned(),
            dir: dir.to_owned(),
            outputs: Vec::new(),
        })
    }

    pub(crate) fn into_outputs(mut self) -> Vec<OutputRecord> {
        self.outputs.sort_by(|a, b| a.name.cmp(&b.name));
        self.outputs
    }

    /// The stage folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes a whole file; `name` is its path inside the stage folder, with
    /// `/` for sub-folders. Gives its digest.
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<Digest, EngineError> {
        let mut file = self.create(name)?;
        file.write_all(bytes)
            .map_err(|e| EngineError::io(self.dir.join(name), e))?;
        let digest = digest_bytes(bytes);
        self.put(file, Some((bytes.len() as u64, digest)))?;
        Ok(digest)
    }

    /// Like [`Self::write`], for a file that only later passes of this stage
    /// read: it is removed when the stage finishes, and made again when
    /// something has to read it.
    pub fn write_transient(&mut self, name: &str, bytes: &[u8]) -> Result<Digest, EngineError> {
        let digest = self.write(name, bytes)?;
        self.set_transient(name);
        Ok(digest)
    }

    /// Marks an output written before as transient.
    pub fn set_transient(&mut self, name: &str) {
        for output in self.outputs.iter_mut().filter(|o| o.name == name) {
            output.transient = true;
        }
    }

    /// Opens a buffered file for an output; commit it when it is complete.
    pub fn create(&mut self, name: &str) -> Result<OutputFile, EngineError> {
        let temp = self.temp(name)?;
        let file = File::create(&temp).map_err(|e| EngineError::io(self.dir.join(name), e))?;
        Ok(OutputFile {
            name: name.to_owned(),
            temp,
            file: Some(BufWriter::with_capacity(1 << 18, file)),
        })
    }

    /// Puts a complete file in its place.
    pub fn commit(&mut self, file: OutputFile) -> Result<Digest, EngineError> {
        self.put(file, None)
    }

    /// For writers that take a path: `fill` writes to the path it is given,
    /// which has the same extension as `name`.
    pub fn write_with(
        &mut self,
        name: &str,
        fill: impl FnOnce(&Path) -> Result<(), BoxError>,
    ) -> Result<Digest, EngineError> {
        let file = OutputFile {
            name: name.to_owned(),
            temp: self.temp(name)?,
            file: None,
        };
        fill(&file.temp).map_err(|e| EngineError::from_stage(&self.stage, name, e))?;
        self.put(file, None)
    }

    fn temp(&self, name: &str) -> Result<PathBuf, EngineError> {
        self.check_name(name)?;
        let base = name.rsplit('/').next().unwrap_or(name);
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        // The extension stays: some writers choose the format by it.
        let tail: String = base
            .chars()
            .rev()
            .take(60)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect();
        Ok(self
            .dir
            .join(PROGRESS_DIR)
            .join(format!("tmp-{}-{count}-{tail}", std::process::id())))
    }

    fn check_name(&self, name: &str) -> Result<(), EngineError> {
        let plain = Path::new(name)
            .components()
            .all(|c| matches!(c, Component::Normal(_)));
        let hidden = name
            .split('/')
            .any(|part| part.is_empty() || part.starts_with('.'));
        if plain && !hidden && name != STAGE_FILE && !name.contains('\\') {
            Ok(())
        } else {
            Err(EngineError::BadName {
                stage: self.stage.clone(),
                name: name.to_owned(),
            })
        }
    }

    fn put(
        &mut self,
        mut file: OutputFile,
        known: Option<(u64, Digest)>,
    ) -> Result<Digest, EngineError> {
        let path = self.dir.join(&file.name);
        let fail = |e| EngineError::io(&path, e);
        match file.file.take() {
            Some(buffer) => {
                let inner = buffer.into_inner().map_err(|e| fail(e.into_error()))?;
                inner.sync_all().map_err(fail)?;
            }
            None => File::open(&file.temp)
                .and_then(|f| f.sync_all())
                .map_err(fail)?,
        }
        let (size, digest) = match known {
            Some(known) => known,
            None => digest_file(&file.temp)?,
        };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(fail)?;
        }
        fs::rename(&file.temp, &path).map_err(fail)?;
        sync_dir(&path).map_err(fail)?;
        self.outputs.retain(|o| o.name != file.name);
        self.outputs.push(OutputRecord {
            name: file.name.clone(),
            size,
            digest,
            transient: false,
            dropped: false,
        });
        Ok(digest)
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_mut().map_or(Ok(0), |f| f.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Seek for OutputFile {
    fn seek(&mut self, pos: io::SeekFrom) -> io::Result<u64> {
        self.file.as_mut().map_or(Ok(0), |f| f.seek(pos))
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        // After a commit the temporary name is gone and this does nothing.
        let _ = fs::remove_file(&self.temp);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_uncommitted_file_leaves_nothing_and_bad_names_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut out = ItemWriter::new("toy", dir.path()).unwrap();
        for bad in [
            "../x",
            "/x",
            "",
            "a//b",
            ".hidden",
            "stage.json",
            "a/.b",
            "a\\b",
            ".",
        ] {
            assert!(
                matches!(out.write(bad, b""), Err(EngineError::BadName { .. })),
                "{bad}"
            );
        }
        let mut half = out.create("sub/half.bin").unwrap();
        half.write_all(b"half").unwrap();
        drop(half);
        assert_eq!(
            fs::read_dir(dir.path().join(PROGRESS_DIR)).unwrap().count(),
            0
        );

        let mut whole = out.create("sub/whole.bin").unwrap();
        whole.write_all(b"__cd").unwrap();
        whole.rewind().unwrap();
        whole.write_all(b"ab").unwrap();
        assert_eq!(out.commit(whole).unwrap(), digest_bytes(b"abcd"));
        let digest = out
            .write_with("x.ply", |path| {
                assert_eq!(path.extension().unwrap(), "ply");
                Ok(fs::write(path, b"ply")?)
            })
            .unwrap();
        assert_eq!(digest, digest_bytes(b"ply"));
        out.write("x.ply", b"again").unwrap();
        let outputs = out.into_outputs();
        assert_eq!(outputs.len(), 2);
        assert_eq!(
            (outputs[0].name.as_str(), outputs[0].size),
            ("sub/whole.bin", 4)
        );
        assert_eq!(outputs[1].digest, digest_bytes(b"again"));
    }
}
