//! The data sets that are here: folders of `RELIEVO_DATA` and the demo set.

use super::{Problems, Request};
use std::path::{Path, PathBuf};

/// One set.
#[derive(Clone, Debug)]
pub(crate) struct Set {
    pub(crate) name: String,
    pub(crate) root: PathBuf,
    /// Folder of photos, or a video.
    pub(crate) input: PathBuf,
    /// `relievo bench` can score it.
    pub(crate) has_truth: bool,
    /// It has a true surface.
    pub(crate) has_surface: bool,
    /// That surface is laser scans, by which clouds alone are scored.
    pub(crate) scans_only: bool,
}

impl Set {
    pub(crate) fn is_video(&self) -> bool {
        self.input.is_file()
    }
}

/// All sets asked for, by name.
pub(crate) fn find(request: &Request) -> Result<Vec<Set>, Problems> {
    let mut sets: Vec<Set> = read("demo", Path::new("datasets/demo"))
        .into_iter()
        .collect();
    if let Some(data) = std::env::var_os("RELIEVO_DATA") {
        let data = PathBuf::from(data);
        for folder in folders(&data) {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            if let Some(set) = read(&name, &folder) {
                sets.push(set);
                continue;
            }
            // One level of grouping, as `synthetic/`.
            for inner in folders(&folder) {
                let name = inner.file_name().unwrap_or_default().to_string_lossy();
                sets.extend(read(&name, &inner));
            }
        }
    }
    sets.sort_by(|a, b| a.name.cmp(&b.name));
    if request.sets.is_empty() {
        sets.retain(|s| !request.quick || s.name == "demo");
        return Ok(sets);
    }
    for name in &request.sets {
        if !sets.iter().any(|s| s.name == *name) {
            let known: Vec<&str> = sets.iter().map(|s| s.name.as_str()).collect();
            return Err(vec![format!(
                "no set '{name}' here; there are {}",
                known.join(", ")
            )]);
        }
    }
    sets.retain(|s| request.sets.contains(&s.name));
    Ok(sets)
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs_err::read_dir(path) else {
        return Vec::new();
    };
    let mut all: Vec<PathBuf> = entries
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.is_dir())
        .collect();
    all.sort();
    all
}

fn with_ending(path: &Path, endings: &[&str]) -> Option<PathBuf> {
    let entries = fs_err::read_dir(path).ok()?;
    let mut all: Vec<PathBuf> = entries
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| {
            let name = p.to_string_lossy().to_ascii_lowercase();
            p.is_file() && endings.iter().any(|e| name.ends_with(e))
        })
        .collect();
    all.sort();
    all.into_iter().next()
}

/// A set in one of the layouts, or photos without truth; `None` for anything
/// else.
fn read(name: &str, root: &Path) -> Option<Set> {
    let eth3d = root.join("images/dslr_images_undistorted");
    let photos = [eth3d, root.join("images")]
        .into_iter()
        .find(|p| p.is_dir());
    let par = with_ending(root, &["_par.txt"]);
    let input = photos
        .or_else(|| with_ending(root, &[".mp4", ".mov"]))
        .or_else(|| par.as_ref().map(|_| root.to_owned()))?;
    let there = |p: &str| root.join(p).exists();
    let scans_only = there("dslr_scan_eval/scan_alignment.mlp");
    let has_surface = scans_only || there("gt/mesh.ply") || there("gt/scan.ply");
    let has_truth = has_surface
        || par.is_some()
        || there("gt_dense_cameras")
        || there("transforms.json")
        || there("gt/images.txt")
        || there("sparse");
    Some(Set {
        name: name.to_owned(),
        root: root.to_owned(),
        input,
        has_truth,
        has_surface,
        scans_only,
    })
}
