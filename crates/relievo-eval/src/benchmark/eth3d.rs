//! Schöps et al., "A multi-view stereo benchmark with high-resolution images
//! and multi-camera videos" (ETH3D), CVPR 2017, high-resolution multi-view:
//! `dslr_calibration_undistorted/` (COLMAP text), `images/`, and
//! `dslr_scan_eval/scan_alignment.mlp`, which places laser scans (PLY, each in
//! its scanner's frame, the scanner at the origin).

use super::{DataSet, Surface, first_folder, folder_name};
use crate::cameras::read_cameras;
use crate::error::EvalError;
use nalgebra::Matrix4;
use relievo_formats::ply;
use relievo_geometry::{Mat3, Rigid3, Vec3};
use std::path::Path;

/// Tolerances of the benchmark, metres.
pub const TOLERANCES: [f64; 6] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5];

/// One laser scan.
#[derive(Clone, Debug)]
pub struct Scan {
    /// Points in the scanner's frame.
    pub points: Vec<[f64; 3]>,
    /// Its place.
    pub world_from_scan: Rigid3,
}

/// The laser scans of a scene.
#[derive(Clone, Debug, Default)]
pub struct Scans {
    /// In the order of the project file.
    pub scans: Vec<Scan>,
}

/// Reads one; `None` without a scan project or calibration folder.
pub fn read(root: &Path) -> Result<Option<DataSet>, EvalError> {
    let places = ["dslr_calibration_undistorted", "dslr_calibration_jpg"];
    let project = root.join("dslr_scan_eval").join("scan_alignment.mlp");
    let Some(calibration) = first_folder(root, &places) else {
        return Ok(None);
    };
    let photos = [
        "images/dslr_images_undistorted",
        "images/dslr_images_jpg",
        "images/dslr_images",
        "images",
    ];
    Ok(Some(DataSet {
        name: folder_name(root),
        layout: "eth3d",
        truth: "laser scans, cameras aligned to them",
        inputs: first_folder(root, &photos).into_iter().collect(),
        cameras: read_cameras(&calibration)?,
        surface: if project.is_file() {
            Surface::Scans(Box::new(read_scans(&project)?))
        } else {
            Surface::None
        },
    }))
}

/// The scans that a MeshLab project names.
pub fn read_scans(project: &Path) -> Result<Scans, EvalError> {
    let fail = |what| EvalError::Truth {
        path: project.to_owned(),
        what,
    };
    let text = fs_err::read_to_string(project)?;
    let mut scans = Vec::new();
    for mesh in text.split("<MLMesh").skip(1) {
        let name = mesh
            .split_once("filename=\"")
            .and_then(|(_, rest)| rest.split_once('"'))
            .ok_or(fail("has a scan without file name"))?
            .0;
        let matrix = mesh
            .split_once("<MLMatrix44>")
            .and_then(|(_, rest)| rest.split_once("</MLMatrix44>"))
            .ok_or(fail("has a scan without matrix"))?
            .0;
        let v: Vec<f64> = matrix
            .split_whitespace()
            .map_while(|t| t.parse().ok())
            .collect();
        if v.len() != 16 {
            return Err(fail("has a matrix that is not 4 × 4"));
        }
        let m = Matrix4::from_row_slice(&v);
        let r: Mat3 = m.fixed_view::<3, 3>(0, 0).into_owned();
        if !super::is_rotation(&r, 1e-3) {
            return Err(fail("has a matrix that is not a rigid motion"));
        }
        let path = project.with_file_name(name);
        let mesh = ply::read_mesh(&path)?;
        if mesh.positions.is_empty() {
            return Err(EvalError::Truth {
                path,
                what: "has no points",
            });
        }
        if mesh.positions.iter().flatten().any(|v| !v.is_finite()) {
            return Err(EvalError::Truth {
                path,
                what: "holds points that are not finite",
            });
        }
        scans.push(Scan {
            points: mesh.positions.iter().map(|p| p.map(f64::from)).collect(),
            world_from_scan: Rigid3::from_matrix(&r, Vec3::new(m.m14, m.m24, m.m34)),
        });
    }
    if scans.is_empty() {
        return Err(fail("names no scan"));
    }
    Ok(Scans { scans })
}
