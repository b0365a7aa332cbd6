//! Benchmark data sets: what to run on, and the truth that comes with it.
//!
//! One file a layout; [`open`] asks each of them in turn. A new layout is one
//! file with a `read` of the same shape and a line in `READERS`.
//!
//! | module | layout |
//! | --- | --- |
//! | [`rendered`] | `gt/` with cameras, mesh, labels and coarse depth |
//! | [`strecha`] | a `.camera` file a photo |
//! | [`eth3d`] | calibration, laser scans and their MeshLab project |
//! | [`eth3d_surface`] | its tolerance and observed-space rule |
//! | [`middlebury`] | `NAME_par.txt` |
//! | [`nerfstudio`] | `transforms.json` |
//! | [`colmap_truth`] | a COLMAP model beside `images/` |
//! | [`bal`] | bundle adjustment in the large: a problem file |
//! | [`rows`] | figures as rows that can be printed, stored and compared |

pub mod bal;
pub mod colmap_truth;
pub mod eth3d;
pub mod eth3d_surface;
pub mod middlebury;
pub mod nerfstudio;
pub mod rendered;
pub mod rows;
pub mod strecha;

use crate::cameras::Cameras;
use crate::error::EvalError;
use crate::files::{eval_cloud, eval_mesh, eval_poses_against};
use rows::Row;
use std::path::{Path, PathBuf};

/// The true surface of a data set.
#[derive(Debug)]
pub enum Surface {
    /// None is known.
    None,
    /// A rendered set's folder, or a PLY.
    Mesh(PathBuf),
    /// Laser scans.
    Scans(Box<eth3d::Scans>),
}

/// A data set with its truth.
#[derive(Debug)]
pub struct DataSet {
    /// Name of its folder.
    pub name: String,
    /// The layout.
    pub layout: &'static str,
    /// What the truth is worth, in words.
    pub truth: &'static str,
    /// Photos, folders or a video: what `relievo run` takes.
    pub inputs: Vec<PathBuf>,
    /// True cameras by the file name of their photo.
    pub cameras: Cameras,
    /// True surface.
    pub surface: Surface,
}

/// `Ok(None)`: not this layout. An error: this layout, but damaged.
type Reader = fn(&Path) -> Result<Option<DataSet>, EvalError>;

/// Every layout of a folder, the more particular ones first.
const READERS: [Reader; 6] = [
    rendered::read,
    strecha::read,
    eth3d::read,
    middlebury::read,
    nerfstudio::read,
    colmap_truth::read,
];

/// Finds out the layout of a folder and reads its truth.
pub fn open(path: &Path) -> Result<DataSet, EvalError> {
    let fail = |what| EvalError::DataSet {
        path: path.to_owned(),
        what,
    };
    if !path.exists() {
        return Err(fail("does not exist"));
    }
    for read in READERS {
        let Some(set) = read(path)? else { continue };
        if set.inputs.is_empty() {
            return Err(fail("holds truth, but neither photos nor a video"));
        }
        if set.cameras.len() < 3 {
            return Err(fail("holds fewer than three true cameras"));
        }
        if set.cameras.values().any(|c| !c.cam_from_world.is_finite()) {
            return Err(EvalError::NotFinite {
                what: "the set of true cameras",
            });
        }
        return Ok(set);
    }
    Err(fail("holds no truth in a layout that is read"))
}

/// Scores whatever of a work folder is there: poses, cloud, mesh. `reached`
/// tells for a stage's name whether it was asked for.
pub fn score(
    set: &DataSet,
    work: &Path,
    reached: &dyn Fn(&str) -> bool,
) -> Result<Vec<Row>, EvalError> {
    let mut rows = Vec::new();
    let poses = eval_poses_against(work, &set.cameras)?;
    rows::of_poses(&poses, &mut rows);
    match &set.surface {
        Surface::None => {}
        Surface::Mesh(truth) => {
            if reached("cloud") {
                rows::of_surface("cloud", &eval_cloud(work, truth, None)?, &mut rows);
            }
            if reached("mesh") {
                rows::of_surface("mesh", &eval_mesh(work, truth, None)?, &mut rows);
            }
        }
        Surface::Scans(scans) => {
            if reached("cloud") {
                let align = crate::align::align_cameras(&crate::read_cameras(work)?, &set.cameras)?;
                let cloud = relievo_formats::ply::read_cloud(&work.join("cloud/dense.ply"))?;
                let figures = eth3d_surface::score(&cloud.positions, scans, &align)?;
                rows::of_tolerances("cloud", &figures, &mut rows);
            }
        }
    }
    Ok(rows)
}

/// The first of these folders inside `root` that exists.
fn first_folder(root: &Path, names: &[&str]) -> Option<PathBuf> {
    names.iter().map(|n| root.join(n)).find(|p| p.is_dir())
}

/// The photos of a set: `images/`, or the videos beside the truth.
fn photos_or_video(root: &Path) -> Vec<PathBuf> {
    if let Some(images) = first_folder(root, &["images"]) {
        return vec![images];
    }
    let mut videos = files_ending(root, ".mp4");
    videos.extend(files_ending(root, ".mov"));
    videos
}

/// Files of a folder whose name ends so (in small letters), sorted.
fn files_ending(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs_err::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.is_file() && p.to_string_lossy().to_ascii_lowercase().ends_with(ending))
        .collect();
    files.sort();
    files
}

/// Last part of a path, for the name of a set.
fn folder_name(path: &Path) -> String {
    let full = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    full.file_name()
        .map_or_else(|| "set".to_owned(), |n| n.to_string_lossy().into_owned())
}
