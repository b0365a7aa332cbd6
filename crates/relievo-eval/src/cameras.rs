//! Posed cameras to compare with: a rendered set's `gt/`, a COLMAP model, a
//! folder of Strecha's `.camera` files, a `transforms.json`, a Middlebury par
//! file, a work folder, or a data set in any layout that is read.

use crate::benchmark::{self, middlebury, nerfstudio, strecha};
use crate::error::EvalError;
use relievo_geometry::Rigid3;
use relievo_scene::{Camera, SparseModel};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A camera with its pose.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PosedCamera {
    /// Intrinsics.
    pub camera: Camera,
    /// Pose.
    pub cam_from_world: Rigid3,
}

/// Cameras by the file name of their photo, without folders.
pub type Cameras = BTreeMap<String, PosedCamera>;

/// The registered views of a model; an error where two have one file name.
pub fn cameras_of_model(model: &SparseModel) -> Result<Cameras, EvalError> {
    let mut cameras = Cameras::new();
    for (_, view, cam_from_world) in model.registered() {
        let Some(&camera) = model.cameras.get(&view.camera_id) else {
            continue;
        };
        let name = view.name.rsplit('/').next().unwrap_or(&view.name);
        let posed = PosedCamera {
            camera,
            cam_from_world,
        };
        add_camera(&mut cameras, name, posed)?;
    }
    Ok(cameras)
}

/// An error where the name is taken.
pub(crate) fn add_camera(
    cameras: &mut Cameras,
    name: &str,
    posed: PosedCamera,
) -> Result<(), EvalError> {
    match cameras.insert(name.to_owned(), posed) {
        None => Ok(()),
        Some(_) => Err(EvalError::TwinNames {
            name: name.to_owned(),
        }),
    }
}

/// Where a result lies: the folder itself, or inside a work folder.
const RESULTS: [&str; 4] = ["", "sparse/model", "sparse/0", "sparse"];
/// Where the truth of a data set lies.
const TRUTHS: [&str; 2] = ["gt", "gt_dense_cameras"];

/// The folder that holds a COLMAP model: the path itself, its `gt/`, or the
/// `sparse/model` of a work folder.
pub fn model_folder(path: &Path) -> Option<PathBuf> {
    let [gt, dense] = TRUTHS;
    let [own, work, inside, sparse] = RESULTS;
    find_model(path, &[own, gt, work, inside, sparse, dense])
}

/// True of a folder with true cameras in it and no result.
pub(crate) fn is_truth_alone(path: &Path) -> bool {
    find_model(path, &RESULTS).is_none() && find_model(path, &TRUTHS).is_some()
}

fn find_model(path: &Path, places: &[&str]) -> Option<PathBuf> {
    let inside = |sub: &&str| match *sub {
        "" => path.to_owned(),
        sub => path.join(sub),
    };
    places.iter().map(inside).find(|dir| {
        dir.join("images.bin").is_file()
            || dir.join("images.txt").is_file()
            || strecha::has_cameras(dir)
    })
}

/// Reads cameras from any of the known places.
pub fn read_cameras(path: &Path) -> Result<Cameras, EvalError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if path.is_file() && name.ends_with(".json") {
        return nerfstudio::read_transforms(path);
    }
    if path.is_file() && name.ends_with("_par.txt") {
        return middlebury::read_par(path);
    }
    let fail = |what| EvalError::Truth {
        path: path.to_owned(),
        what,
    };
    let Some(dir) = model_folder(path) else {
        let transforms = path.join("transforms.json");
        return match benchmark::open(path) {
            Ok(mut set) => {
                set.keep_given();
                Ok(set.cameras)
            }
            Err(EvalError::DataSet { .. }) if transforms.is_file() => {
                nerfstudio::read_transforms(&transforms)
            }
            Err(EvalError::DataSet { .. }) if path.exists() => Err(fail("holds no cameras")),
            Err(EvalError::DataSet { .. }) => Err(fail("does not exist")),
            Err(damaged) => Err(damaged),
        };
    };
    let cameras = if strecha::has_cameras(&dir) {
        strecha::read_folder(&dir)?
    } else {
        cameras_of_model(&relievo_formats::colmap::read_model(&dir)?)?
    };
    if cameras.values().any(|c| !c.cam_from_world.is_finite()) {
        return Err(fail("holds cameras that are not finite"));
    }
    Ok(cameras)
}

#[cfg(test)]
mod tests {
    use super::*;
    use relievo_geometry::Vec3;

    #[test]
    fn photos_of_one_name_in_two_folders_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs_err::write(dir.path().join(name), text).unwrap();
        write("cameras.txt", "1 SIMPLE_PINHOLE 40 30 35 20 15\n");
        write("points3D.txt", "");
        write(
            "images.txt",
            "1 1 0 0 0 0 0 0 1 left/1.jpg\n\n2 1 0 0 0 1 0 0 1 right/1.jpg\n\n",
        );
        let error = read_cameras(dir.path()).unwrap_err();
        assert!(error.to_string().contains("1.jpg"), "{error}");
        let twice = "2 1 0 0 0 0 0 0 1 1.jpg\n\n2 1 0 0 0 1 0 0 1 2.jpg\n\n";
        write("images.txt", twice);
        let error = read_cameras(dir.path()).unwrap_err();
        assert!(error.to_string().contains("before"), "{error}");
        write(
            "images.txt",
            "1 1 0 0 0 0 0 0 1 left/1.jpg\n\n2 1 0 0 0 1 0 0 1 right/2.jpg\n\n",
        );
        assert_eq!(read_cameras(dir.path()).unwrap().len(), 2);
    }

    #[test]
    fn strecha_cameras_read_and_broken_ones_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let good = "10 0 5 0 11 6 0 0 1 0 0 0 0 -1 0 1 0 0 0 0 1 1 2 3 40 30\n";
        fs_err::write(dir.path().join("a.jpg.camera"), good).unwrap();
        let cameras = read_cameras(dir.path()).unwrap();
        let a = &cameras["a.jpg"];
        assert!((a.cam_from_world.center() - Vec3::new(1.0, 2.0, 3.0)).norm() < 1e-12);
        // Camera x-axis in the world is the first column of R.
        let x = a.cam_from_world.rotation.inverse() * Vec3::x();
        assert!((x - Vec3::y()).norm() < 1e-12);
        assert_eq!((a.camera.width_px, a.camera.height_px), (40, 30));
        for bad in ["nan 0 5 0 11", "0 0 5 0 11", "10 0 5 0 -1"] {
            let text = good.replace("10 0 5 0 11", bad);
            fs_err::write(dir.path().join("b.jpg.camera"), text).unwrap();
            let error = read_cameras(dir.path()).unwrap_err().to_string();
            assert!(error.contains("calibration"), "{bad}: {error}");
        }
        let mirrored = good.replace("0 -1 0 1 0 0 0 0 1", "0 1 0 1 0 0 0 0 1");
        fs_err::write(dir.path().join("b.jpg.camera"), mirrored).unwrap();
        let error = read_cameras(dir.path()).unwrap_err().to_string();
        assert!(error.contains("not a rotation"), "{error}");
        fs_err::write(dir.path().join("b.jpg.camera"), "1 2 x").unwrap();
        let error = read_cameras(dir.path()).unwrap_err().to_string();
        assert!(error.contains("b.jpg.camera"), "{error}");
        let none = read_cameras(&dir.path().join("no")).unwrap_err();
        assert!(none.to_string().ends_with("does not exist") && none.hint().is_some());
    }
}
