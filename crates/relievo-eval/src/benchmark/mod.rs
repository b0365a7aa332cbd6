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

use crate::align::align_cameras;
use crate::cameras::{Cameras, keep_photos, read_cameras};
use crate::error::EvalError;
use crate::files::{eval_poses_against, read_points};
use crate::placed::Placed;
use crate::scene_truth::TrueScene;
use crate::surface::SurfaceFigures;
use eth3d_surface::Eth3dFigures;
use relievo_geometry::{Mat3, Sim3};
use relievo_media::{FileKind, scan_inputs};
use rows::Row;
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};

/// Orthonormal within `tolerance`, and right-handed.
pub(crate) fn is_rotation(m: &Mat3, tolerance: f64) -> bool {
    let off = (m.transpose() * m - Mat3::identity()).amax();
    off <= tolerance && m.determinant() > 0.0
}

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
    let set = recognise(path)?.ok_or_else(|| fail("holds no truth in a layout that is read"))?;
    if set.inputs.is_empty() {
        return Err(fail("holds truth, but neither photos nor a video"));
    }
    if set.cameras.len() < 3 {
        return Err(fail("holds fewer than three true cameras"));
    }
    if set.cameras.values().any(|c| !c.cam_from_world.is_finite()) {
        return Err(fail("holds true cameras that are not finite"));
    }
    Ok(set)
}

/// The first layout that a folder has, whether it can be run or not; `None` where it has
/// none.
pub(crate) fn recognise(path: &Path) -> Result<Option<DataSet>, EvalError> {
    for read in READERS {
        if let Some(set) = read(path)? {
            return Ok(Some(set));
        }
    }
    Ok(None)
}

/// Figures of a cloud or a mesh by the protocol of a data set.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum SurfaceScore {
    /// Against a true surface.
    Surface(Box<SurfaceFigures>),
    /// By the rule of ETH3D.
    Scans(Eth3dFigures),
}

impl fmt::Display for SurfaceScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Surface(figures) => figures.fmt(f),
            Self::Scans(figures) => figures.fmt(f),
        }
    }
}

impl DataSet {
    /// Leaves out the true cameras whose photo is not among the inputs, as no run
    /// could find them; how many. All stay of a video, whose key frames a run
    /// chooses, and where no photo has a camera.
    pub fn keep_given(&mut self) -> usize {
        let found = scan_inputs(&self.inputs).unwrap_or_default();
        let photos = found.iter().filter(|f| f.kind == FileKind::Photo);
        self.keep(&photos.map(|f| f.name.as_str()).collect::<Vec<_>>())
    }

    /// Leaves out the true cameras of photos with other names; how many. All stay
    /// where none is left.
    pub fn keep<S: AsRef<str>>(&mut self, photos: &[S]) -> usize {
        keep_photos(&mut self.cameras, photos)
    }

    /// Brings an estimate into the truth's frame by the cameras of `model`, a
    /// work folder or a COLMAP model; without one it is there.
    fn align(&self, model: Option<&Path>) -> Result<Sim3, EvalError> {
        let by_cameras = |m| align_cameras(&read_cameras(m)?, &self.cameras);
        model.map_or(Ok(Sim3::identity()), by_cameras)
    }

    /// Reads the true surface, to find what is wrong with it before anything is run.
    pub fn check_surface(&self) -> Result<(), EvalError> {
        match &self.surface {
            Surface::Mesh(truth) => TrueScene::read(truth).map(drop),
            Surface::None | Surface::Scans(_) => Ok(()),
        }
    }

    /// A cloud (PLY) whose cameras are those of `model`, or which lies in the truth's
    /// frame; `None` where no true surface is known.
    pub fn score_cloud(
        &self,
        cloud: &Path,
        model: Option<&Path>,
    ) -> Result<Option<SurfaceScore>, EvalError> {
        if let Surface::None = self.surface {
            return Ok(None);
        }
        let cloud = read_points(cloud)?;
        let points = &cloud.mesh.positions;
        let align = cloud.placing(&self.align(model)?);
        Ok(match &self.surface {
            Surface::None => None,
            Surface::Mesh(truth) => {
                let figures = crate::score_cloud(points, &TrueScene::read(truth)?, &align)?;
                Some(SurfaceScore::Surface(Box::new(figures)))
            }
            Surface::Scans(scans) => Some(SurfaceScore::Scans(eth3d_surface::score(
                points, scans, &align,
            )?)),
        })
    }

    /// A mesh (PLY) whose cameras are those of `model`, or which lies in the truth's
    /// frame; `None` where no true surface is known, or only scans, whose rule is for
    /// clouds.
    pub fn score_mesh(
        &self,
        mesh: &Path,
        model: Option<&Path>,
    ) -> Result<Option<SurfaceScore>, EvalError> {
        let Surface::Mesh(truth) = &self.surface else {
            return Ok(None);
        };
        let truth = TrueScene::read(truth)?;
        let mesh = Placed::read(mesh)?;
        let align = mesh.placing(&self.align(model)?);
        let figures = crate::score_mesh(&mesh.mesh, &truth, &align)?;
        Ok(Some(SurfaceScore::Surface(Box::new(figures))))
    }
}

/// Scores whatever of a work folder is there: poses, cloud, mesh. `reached`
/// tells for each of these names whether it is to be scored.
pub fn score(
    set: &DataSet,
    work: &Path,
    reached: &dyn Fn(&str) -> bool,
) -> Result<Vec<Row>, EvalError> {
    let mut rows = Vec::new();
    if reached("poses") {
        let poses = eval_poses_against(work, &set.cameras)?;
        rows::of_poses(&poses, &mut rows);
    }
    if reached("cloud")
        && let Some(score) = set.score_cloud(&work.join("cloud/dense.ply"), Some(work))?
    {
        rows::of_score("cloud", &score, &mut rows);
    }
    if reached("mesh")
        && let Some(score) = set.score_mesh(&work.join("mesh/surface.ply"), Some(work))?
    {
        rows::of_score("mesh", &score, &mut rows);
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
