//! The photos of a set, as the tools are given them.

use super::tools::{said, words};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// True for the name of a file that the tools take for a photo.
pub(crate) fn is_photo(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [".jpg", ".jpeg", ".png"].iter().any(|e| name.ends_with(e))
}

/// The photos of a folder, by name.
pub(crate) fn photo_names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs_err::read_dir(folder) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .filter_map(|e| Some(e.ok()?.file_name().to_string_lossy().into_owned()))
        .filter(|n| is_photo(n))
        .collect();
    names.sort();
    names
}

/// A folder of links to the photos of `folder` and to nothing else: openmvg-rs
/// takes true intrinsics from a K.txt that lies beside them.
pub(crate) fn photos_alone(folder: &Path, links: &Path) -> Result<PathBuf, String> {
    let fail = |e: std::io::Error| e.to_string();
    let _ = fs_err::remove_dir_all(links);
    fs_err::create_dir_all(links).map_err(fail)?;
    for name in photo_names(folder) {
        let photo = fs_err::canonicalize(folder.join(&name)).map_err(fail)?;
        fs_err::os::unix::fs::symlink(photo, links.join(&name)).map_err(fail)?;
    }
    Ok(links.to_owned())
}

/// Names of the key frames that `program` takes from a video; `work` is made for
/// it.
pub(crate) fn key_frames(video: &Path, work: &Path, program: &Path) -> Result<Vec<String>, String> {
    let mut command = words([&program, &"run", &video, &"-o", &work]);
    command.extend(words([&"--until", &"ingest", &"--progress", &"none"]));
    said(&command)?;
    let table = fs_err::read_to_string(work.join("ingest/photos.json"));
    let table: Value =
        serde_json::from_str(&table.map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
    let rows = table["photos"].as_array().into_iter().flatten();
    let names = rows.filter_map(|r| Some(r["name"].as_str()?.to_owned()));
    Ok(names.collect())
}
