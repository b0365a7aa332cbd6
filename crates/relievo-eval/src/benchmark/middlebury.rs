//! Seitz et al., "A comparison and evaluation of multi-view stereo
//! reconstruction algorithms", CVPR 2006: `NAME_par.txt`, one photo a line:
//! file, K (9), R world-to-camera (9), t (3). The surface is not published.

use super::{DataSet, Surface, files_ending, folder_name};
use crate::cameras::{Cameras, PosedCamera};
use crate::error::EvalError;
use relievo_geometry::{CameraModel, Mat3, Rigid3, Vec3};
use relievo_media::probe_photo;
use relievo_scene::Camera;
use std::path::Path;

/// Reads one; `None` without a `*_par.txt`.
pub fn read(root: &Path) -> Result<Option<DataSet>, EvalError> {
    let Some(par) = files_ending(root, "_par.txt").into_iter().next() else {
        return Ok(None);
    };
    let cameras = read_par(&par)?;
    // Other pictures of the folder (masks, tables) are not photos of the set.
    let inputs = cameras.keys().map(|n| root.join(n)).collect();
    Ok(Some(DataSet {
        name: folder_name(root),
        layout: "middlebury",
        truth: "cameras of a calibrated gantry",
        inputs,
        cameras,
        surface: Surface::None,
    }))
}

/// The cameras of a par file; picture sizes come from the photos beside it.
pub fn read_par(par: &Path) -> Result<Cameras, EvalError> {
    let fail = |what| EvalError::Truth {
        path: par.to_owned(),
        what,
    };
    let text = fs_err::read_to_string(par)?;
    let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
    let count: usize = lines
        .next()
        .and_then(|l| l.parse().ok())
        .ok_or(fail("does not begin with a number of photos"))?;
    let mut cameras = Cameras::new();
    for line in lines {
        let (name, numbers) = line
            .split_once(char::is_whitespace)
            .ok_or(fail("has a line without numbers"))?;
        let v: Vec<f64> = numbers
            .split_whitespace()
            .map_while(|t| t.parse().ok())
            .collect();
        let &[
            fx,
            _,
            cx,
            _,
            fy,
            cy,
            _,
            _,
            _, // K
            r11,
            r12,
            r13,
            r21,
            r22,
            r23,
            r31,
            r32,
            r33,
            t1,
            t2,
            t3,
        ] = v.as_slice()
        else {
            return Err(fail("has a line that is not a name and 21 numbers"));
        };
        let r = Mat3::new(r11, r12, r13, r21, r22, r23, r31, r32, r33);
        if !v.iter().all(|v| v.is_finite()) || !super::is_rotation(&r, 1e-2) {
            return Err(fail("has a matrix that is not a rotation"));
        }
        if fx <= 0.0 || fy <= 0.0 {
            return Err(fail("has a focal length that is not positive"));
        }
        let size = probe_photo(&par.with_file_name(name))?;
        // Its pixel centres are whole numbers; ours are half a pixel further.
        let model = CameraModel::Pinhole {
            fx,
            fy,
            cx: cx + 0.5,
            cy: cy + 0.5,
        };
        let camera = Camera {
            model,
            width_px: size.width_px,
            height_px: size.height_px,
            has_prior_focal: true,
        };
        let cam_from_world = Rigid3::from_matrix(&r, Vec3::new(t1, t2, t3));
        cameras.insert(
            name.to_owned(),
            PosedCamera {
                camera,
                cam_from_world,
            },
        );
    }
    if cameras.len() != count {
        return Err(fail("names another number of photos than it has lines"));
    }
    Ok(cameras)
}
