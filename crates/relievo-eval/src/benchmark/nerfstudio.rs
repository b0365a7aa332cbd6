//! nerfstudio's and instant-ngp's `transforms.json`: camera-to-world matrices
//! with OpenGL's camera axes, intrinsics for all or by frame.

use super::{DataSet, Surface, folder_name};
use crate::cameras::{Cameras, PosedCamera, add_camera};
use crate::error::EvalError;
use relievo_geometry::{CameraModel, Mat3, Rigid3, Vec3};
use relievo_scene::Camera;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Reads one; `None` without `transforms.json`.
pub fn read(root: &Path) -> Result<Option<DataSet>, EvalError> {
    let file = root.join("transforms.json");
    if !file.is_file() {
        return Ok(None);
    }
    let cameras = read_transforms(&file)?;
    let images = root.join("images");
    let inputs: Vec<PathBuf> = if images.is_dir() {
        vec![images]
    } else {
        let there = |names: Vec<String>| -> BTreeSet<PathBuf> {
            let paths = names.iter().map(|n| root.join(n));
            paths.filter(|p| p.is_file()).collect()
        };
        // A name alone is looked for beside the file.
        let named = Some(there(file_paths(&file)?)).filter(|n| !n.is_empty());
        let beside = || there(cameras.keys().cloned().collect());
        named.unwrap_or_else(beside).into_iter().collect()
    };
    Ok(Some(DataSet {
        name: folder_name(root),
        layout: "nerfstudio",
        truth: "another reconstruction: a reference, not a measurement",
        inputs,
        cameras,
        surface: Surface::None,
    }))
}

/// The photos' places in a `transforms.json`, below its folder.
fn file_paths(path: &Path) -> Result<Vec<String>, EvalError> {
    let whole: Value = serde_json::from_slice(&fs_err::read(path)?).unwrap_or_default();
    let frames = whole["frames"].as_array().into_iter().flatten();
    let names = frames.filter_map(|f| f["file_path"].as_str());
    Ok(names
        .map(|n| n.trim_start_matches("./").to_owned())
        .collect())
}

/// The cameras of a `transforms.json`.
pub fn read_transforms(path: &Path) -> Result<Cameras, EvalError> {
    let fail = |what| EvalError::Truth {
        path: path.to_owned(),
        what,
    };
    let text = fs_err::read(path)?;
    let whole: Map<String, Value> =
        serde_json::from_slice(&text).map_err(|_| fail("is not a JSON table (NaN is not JSON)"))?;
    let frames = whole
        .get("frames")
        .and_then(Value::as_array)
        .ok_or(fail("has no frames"))?;
    let mut cameras = Cameras::new();
    for frame in frames {
        let number = |name: &str| frame.get(name).or_else(|| whole.get(name))?.as_f64();
        let word = |name: &str| frame.get(name).or_else(|| whole.get(name))?.as_str();
        let flag = |name: &str| frame.get(name).or_else(|| whole.get(name))?.as_bool();
        let model = word("camera_model");
        if model.is_some_and(|m| m.contains("FISHEYE") || m == "EQUIRECTANGULAR")
            || flag("is_fisheye") == Some(true)
        {
            return Err(fail("has a fisheye or panoramic camera, which is not read"));
        }
        let name = frame
            .get("file_path")
            .and_then(Value::as_str)
            .and_then(|p| p.rsplit('/').next())
            .ok_or(fail("has a frame without file_path"))?;
        let rows: Vec<[f64; 4]> = frame
            .get("transform_matrix")
            .and_then(|m| serde_json::from_value(m.clone()).ok())
            .ok_or(fail("has a frame without a matrix of 4 × 4 numbers"))?;
        let &[a, b, c, _] = rows.as_slice() else {
            return Err(fail("has a frame without a matrix of 4 × 4 numbers"));
        };
        // OpenGL's axes: y up, z backwards.
        let world_from_cam =
            Mat3::from_rows(&[a, b, c].map(|r| nalgebra::RowVector3::new(r[0], -r[1], -r[2])));
        if !super::is_rotation(&world_from_cam, 1e-2) {
            return Err(fail("has a frame whose matrix is not a rotation"));
        }
        let center = Vec3::new(a[3], b[3], c[3]);
        let mut cam_from_world = Rigid3::from_matrix(&world_from_cam.transpose(), Vec3::zeros());
        cam_from_world.translation = -(cam_from_world.rotation * center);
        let (w, h) = (number("w").unwrap_or(0.0), number("h").unwrap_or(0.0));
        let fx = number("fl_x").or_else(|| Some(0.5 * w / (0.5 * number("camera_angle_x")?).tan()));
        let fx = fx
            .filter(|f| *f > 0.0 && f.is_finite())
            .ok_or(fail("has a frame without a focal length"))?;
        let has_centre = number("cx").is_some() && number("cy").is_some();
        let has_size = w > 0.0 && h > 0.0;
        if !(has_centre || has_size) {
            return Err(fail("has a frame with neither w and h nor cx and cy"));
        }
        let model = CameraModel::OpenCv {
            fx,
            fy: number("fl_y").unwrap_or(fx),
            cx: number("cx").unwrap_or(0.5 * w),
            cy: number("cy").unwrap_or(0.5 * h),
            k1: number("k1").unwrap_or(0.0),
            k2: number("k2").unwrap_or(0.0),
            p1: number("p1").unwrap_or(0.0),
            p2: number("p2").unwrap_or(0.0),
        };
        let camera = Camera {
            model,
            width_px: w as u32,
            height_px: h as u32,
            has_prior_focal: true,
        };
        let posed = PosedCamera {
            camera,
            cam_from_world,
        };
        add_camera(&mut cameras, name, posed)?;
    }
    Ok(cameras)
}
