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

/// A frame that was taken from a video.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyFrame {
    /// Of its view: `walk.mp4/0012.png`.
    pub(crate) name: String,
    /// The picture.
    path: PathBuf,
}

/// The key frames that `program` takes from a video; `work` is made for it.
pub(crate) fn key_frames(
    video: &Path,
    work: &Path,
    program: &Path,
) -> Result<Vec<KeyFrame>, String> {
    let mut command = words([&program, &"run", &video, &"-o", &work]);
    command.extend(words([&"--until", &"ingest", &"--progress", &"none"]));
    said(&command)?;
    let ingest = work.join("ingest");
    let table = fs_err::read_to_string(ingest.join("photos.json"));
    let table: Value =
        serde_json::from_str(&table.map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
    Ok(frames_of(&table, &ingest))
}

/// The rows of `photos.json` with their pictures.
fn frames_of(table: &Value, ingest: &Path) -> Vec<KeyFrame> {
    let rows = table["photos"].as_array().into_iter().flatten();
    let frame = |r: &Value| {
        Some(KeyFrame {
            name: r["name"].as_str()?.to_owned(),
            path: ingest.join(r["source"].as_str()?),
        })
    };
    rows.filter_map(frame).collect()
}

/// A folder of links to key frames, for tools that take no video; they are called as in
/// the truth of a rendered video: `0012.png`.
pub(crate) fn frames_alone(frames: &[KeyFrame], links: &Path) -> Result<PathBuf, String> {
    let fail = |e: std::io::Error| e.to_string();
    let _ = fs_err::remove_dir_all(links);
    fs_err::create_dir_all(links).map_err(fail)?;
    for frame in frames {
        let name = Path::new(&frame.name).file_name().unwrap_or_default();
        let picture = fs_err::canonicalize(&frame.path).map_err(fail)?;
        fs_err::os::unix::fs::symlink(picture, links.join(name)).map_err(fail)?;
    }
    Ok(links.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn key_frames_become_a_folder_of_photos() {
        let dir = tempfile::tempdir().unwrap();
        let ingest = dir.path().join("ingest");
        fs_err::create_dir_all(ingest.join("frames")).unwrap();
        fs_err::write(ingest.join("frames/walk.mp4+0012.png"), "picture").unwrap();
        let table = json!({"photos": [
            {"name": "walk.mp4/0012.png", "source": "frames/walk.mp4+0012.png"},
        ]});
        let frames = frames_of(&table, &ingest);
        assert_eq!(frames[0].name, "walk.mp4/0012.png");
        let links = frames_alone(&frames, &dir.path().join("links")).unwrap();
        assert_eq!(photo_names(&links), ["0012.png"]);
        let picture = fs_err::read_to_string(links.join("0012.png")).unwrap();
        assert_eq!(picture, "picture");
        fs_err::remove_file(&frames[0].path).unwrap();
        assert!(frames_alone(&frames, &dir.path().join("links")).is_err());
    }
}
