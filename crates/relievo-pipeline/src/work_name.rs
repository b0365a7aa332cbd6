//! The default work folder: `./<name>.relievo`.

use std::path::{Path, PathBuf};

/// Names that say nothing of what was captured.
const GENERIC: [&str; 14] = [
    "images", "image", "imgs", "img", "photos", "photo", "pictures", "pics", "dcim", "frames",
    "input", "raw", "jpg", "camera",
];

/// Folder of the work for these inputs, inside `base`.
pub fn default_work(inputs: &[PathBuf], base: &Path) -> PathBuf {
    let name = inputs
        .first()
        .and_then(|i| name_of(i))
        .unwrap_or_else(|| "model".to_owned());
    base.join(format!("{name}.relievo"))
}

/// A telling name: of a folder itself, of a video without extension, of the
/// folder that holds a photo; generic folders give way to their parents.
fn name_of(input: &Path) -> Option<String> {
    let absolute = std::path::absolute(input).ok()?;
    let video = relievo_media::file_kind(&absolute) == Some(relievo_media::FileKind::Video);
    if video && !absolute.is_dir() {
        return Some(absolute.file_stem()?.to_string_lossy().into_owned());
    }
    let folder = if absolute.is_dir() {
        absolute.as_path()
    } else {
        absolute.parent()?
    };
    folder
        .ancestors()
        .filter_map(|a| a.file_name())
        .map(|n| n.to_string_lossy().into_owned())
        .find(|n| !GENERIC.contains(&n.to_ascii_lowercase().as_str()) && n != "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generic_folders_give_way_to_their_parents() {
        let dir = tempfile::tempdir().unwrap();
        let photos = dir.path().join("jug").join("images").join("DCIM");
        fs_err::create_dir_all(&photos).unwrap();
        let work = |input: PathBuf| default_work(&[input], Path::new("/out"));
        assert_eq!(work(photos.clone()), Path::new("/out/jug.relievo"));
        assert_eq!(work(photos.join("1.jpg")), Path::new("/out/jug.relievo"));
        assert_eq!(
            work(dir.path().join("walk.mp4")),
            Path::new("/out/walk.relievo")
        );
    }
}
