//! Which files a list of INPUTs stands for, and what their photos are called.

use crate::MediaError;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What a file seems to be, by its extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// A picture format that is read, or HEIC, whose error says what to do.
    Photo,
    /// A video container.
    Video,
    /// A camera's raw format, which is not read.
    Raw,
}

/// One file of an INPUT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundFile {
    /// Path relative to its INPUT with `/`; prefixed with its INPUT's folder
    /// name where two INPUTs would give the same.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// What it seems to be.
    pub kind: FileKind,
}

const PHOTO: &[&str] = &[
    "jpg", "jpeg", "jpe", "png", "tif", "tiff", "webp", "bmp", "heic", "heif", "avif",
];
const VIDEO: &[&str] = &[
    "mp4", "mov", "m4v", "avi", "mkv", "webm", "mts", "m2ts", "3gp", "mpg", "mpeg", "wmv",
];
const RAW: &[&str] = &[
    "dng", "cr2", "cr3", "nef", "arw", "raf", "orf", "rw2", "pef", "srw",
];

/// What the file called `path` seems to be; `None` for anything else.
pub fn file_kind(path: &Path) -> Option<FileKind> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    let among = |list: &[&str]| list.contains(&extension.as_str());
    if among(PHOTO) {
        Some(FileKind::Photo)
    } else if among(VIDEO) {
        Some(FileKind::Video)
    } else if among(RAW) {
        Some(FileKind::Raw)
    } else {
        None
    }
}

struct Entry {
    path: PathBuf,
    kind: FileKind,
    /// Folder names of the INPUT, innermost last.
    folders: Vec<String>,
    relative: String,
    /// How many folder names are prefixed.
    prefix: usize,
}

impl Entry {
    fn name(&self) -> String {
        let skipped = self.folders.len() - self.prefix.min(self.folders.len());
        let mut name = self.folders[skipped..].join("/");
        if !name.is_empty() {
            name.push('/');
        }
        name + &self.relative
    }
}

/// All photos and videos of `inputs` (files and folders, searched through),
/// in order of name. Hidden files, WORK folders (`*.relievo`, or with a
/// `relievo.toml`) and files of other kinds are passed over; a file given by
/// name is always taken, as a photo unless its extension says otherwise. A
/// file reached twice counts once.
pub fn scan_inputs(inputs: &[PathBuf]) -> Result<Vec<FoundFile>, MediaError> {
    let mut entries = Vec::new();
    let mut seen = BTreeSet::new();
    for input in inputs {
        if !input.exists() {
            return Err(MediaError::NoInput {
                path: input.clone(),
            });
        }
        let absolute = fs_err::canonicalize(input)?;
        let is_folder = absolute.is_dir();
        let base = if is_folder {
            absolute.clone()
        } else {
            absolute.parent().unwrap_or(&absolute).to_owned()
        };
        let folders: Vec<String> = base
            .components()
            .filter_map(|c| match c {
                std::path::Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
                _ => None,
            })
            .collect();
        let mut files = Vec::new();
        if is_folder {
            walk(&absolute, "", &mut files, &mut BTreeSet::new())?;
        } else {
            let name = input.file_name().unwrap_or_default().to_string_lossy();
            let kind = file_kind(input).unwrap_or(FileKind::Photo);
            files.push((input.clone(), name.into_owned(), kind));
        }
        for (path, relative, kind) in files {
            if seen.insert(fs_err::canonicalize(&path)?) {
                entries.push(Entry {
                    path,
                    kind,
                    folders: folders.clone(),
                    relative,
                    prefix: 0,
                });
            }
        }
    }
    make_unique(&mut entries);
    let mut found: Vec<FoundFile> = entries
        .into_iter()
        .map(|e| FoundFile {
            name: e.name(),
            path: e.path,
            kind: e.kind,
        })
        .collect();
    found.sort_by(|a, b| (&a.name, &a.path).cmp(&(&b.name, &b.path)));
    Ok(found)
}

/// Prefixes one more folder name wherever names coincide, until none do.
fn make_unique(entries: &mut [Entry]) {
    let deepest = entries.iter().map(|e| e.folders.len()).max().unwrap_or(0);
    for _ in 0..deepest {
        let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (i, e) in entries.iter().enumerate() {
            by_name.entry(e.name()).or_default().push(i);
        }
        let shared: Vec<usize> = by_name
            .into_values()
            .filter(|group| group.len() > 1)
            .flatten()
            .collect();
        if shared.is_empty() {
            return;
        }
        for i in shared {
            entries[i].prefix += 1;
        }
    }
}

fn walk(
    folder: &Path,
    relative: &str,
    files: &mut Vec<(PathBuf, String, FileKind)>,
    visited: &mut BTreeSet<PathBuf>,
) -> Result<(), MediaError> {
    // A link may lead back up.
    if !visited.insert(fs_err::canonicalize(folder)?) {
        return Ok(());
    }
    let mut entries: Vec<PathBuf> = fs_err::read_dir(folder)?
        .map(|e| e.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') {
            continue;
        }
        let inner = if relative.is_empty() {
            name.to_string()
        } else {
            format!("{relative}/{name}")
        };
        if path.is_dir() {
            let work = name.ends_with(".relievo") || path.join("relievo.toml").exists();
            if !work {
                walk(&path, &inner, files, visited)?;
            }
        } else if let Some(kind) = file_kind(&path)
            && path.is_file()
        {
            files.push((path, inner, kind));
        }
    }
    Ok(())
}

/// The name of a key frame: `<video file>/<decoded frame index, %04d>.png`.
pub fn key_frame_name(video: &str, frame: u64) -> String {
    format!("{video}/{frame:04}.png")
}

/// Where the mask of the photo called `name` would be: `NAME.EXT.png` under
/// `masks`; `None` where there is none.
pub fn find_mask(masks: &Path, name: &str) -> Option<PathBuf> {
    let path = masks.join(format!("{name}.png"));
    path.is_file().then_some(path)
}

/// BLAKE3 of a file's bytes, hex.
pub fn digest(data: &[u8]) -> String {
    blake3::hash(data).to_hex().to_string()
}
