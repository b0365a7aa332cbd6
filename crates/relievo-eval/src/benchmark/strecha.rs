//! Strecha et al., "On benchmarking camera calibration and multi-view stereo",
//! CVPR 2008: `NAME.EXT.camera` beside the photos or in `gt_dense_cameras/`.

use super::{DataSet, Surface, files_ending, folder_name, is_rotation, photos_or_video};
use crate::cameras::{Cameras, PosedCamera};
use crate::error::EvalError;
use relievo_geometry::{CameraModel, Mat3, Rigid3, Vec3};
use relievo_scene::Camera;
use std::path::{Path, PathBuf};

/// Reads one; `None` where no `.camera` file is found.
pub fn read(root: &Path) -> Result<Option<DataSet>, EvalError> {
    let places = [root.join("gt_dense_cameras"), root.to_owned()];
    let Some(dir) = places.into_iter().find(|d| has_cameras(d)) else {
        return Ok(None);
    };
    let photos = photos_or_video(root);
    Ok(Some(DataSet {
        name: folder_name(root),
        layout: "strecha",
        truth: "cameras measured with a laser scanner",
        inputs: if photos.is_empty() {
            vec![root.to_owned()]
        } else {
            photos
        },
        cameras: read_folder(&dir)?,
        surface: Surface::None,
    }))
}

/// True where the folder holds `.camera` files.
pub fn has_cameras(dir: &Path) -> bool {
    !files_ending(dir, ".camera").is_empty()
}

/// The cameras of a folder.
pub fn read_folder(dir: &Path) -> Result<Cameras, EvalError> {
    files_ending(dir, ".camera")
        .into_iter()
        .map(read_camera)
        .collect()
}

/// K (9 numbers), 0 0 0, R camera-to-world (9), centre (3), width, height.
fn read_camera(path: PathBuf) -> Result<(String, PosedCamera), EvalError> {
    let text = fs_err::read_to_string(&path)?;
    let v: Vec<f64> = text
        .split_whitespace()
        .map_while(|t| t.parse().ok())
        .collect();
    let Some(&[width, height]) = v.get(24..26).and_then(|s| s.first_chunk()) else {
        return Err(EvalError::Truth {
            path,
            what: "is not a camera of 26 numbers",
        });
    };
    let world_from_cam = Mat3::from_row_slice(&v[12..21]);
    if !is_rotation(&world_from_cam, 1e-2) {
        return Err(EvalError::Truth {
            path,
            what: "holds a matrix that is not a rotation",
        });
    }
    // Also false for NaN.
    let focal = v[0] > 0.0 && v[4] > 0.0 && (v[0] + v[4]).is_finite();
    let usable = focal && (v[2] + v[5]).is_finite() && width >= 1.0 && height >= 1.0;
    if !usable {
        return Err(EvalError::Truth {
            path,
            what: "holds a calibration matrix or a size that no camera has",
        });
    }
    let center = Vec3::new(v[21], v[22], v[23]);
    // The printed matrix is not quite a rotation; the centre is exact.
    let mut cam_from_world = Rigid3::from_matrix(&world_from_cam.transpose(), Vec3::zeros());
    cam_from_world.translation = -(cam_from_world.rotation * center);
    let camera = Camera {
        model: CameraModel::Pinhole {
            fx: v[0],
            fy: v[4],
            cx: v[2],
            cy: v[5],
        },
        width_px: width as u32,
        height_px: height as u32,
        has_prior_focal: true,
    };
    let name = path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    Ok((
        name,
        PosedCamera {
            camera,
            cam_from_world,
        },
    ))
}
