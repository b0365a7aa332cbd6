//! Posed cameras to compare with: a rendered set's `gt/`, a COLMAP model, a
//! folder of Strecha's `.camera` files, a `transforms.json`, a Middlebury par
//! file, a work folder, or a data set in any layout that is read.

use crate::benchmark::{self, middlebury, nerfstudio, strecha};
use crate::error::EvalError;
use relievo_geometry::Rigid3;
use relievo_scene::{Camera, SparseModel};
use std::collections::{BTreeMap, BTreeSet};
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

/// Leaves out the cameras of photos with other names; how many. All stay where none is
/// left.
pub fn keep_photos<S: AsRef<str>>(cameras: &mut Cameras, photos: &[S]) -> usize {
    let file = |name: &S| {
        let name = name.as_ref();
        name.rsplit('/').next().unwrap_or(name).to_owned()
    };
    let names: BTreeSet<String> = photos.iter().map(file).collect();
    let all = cameras.len();
    if cameras.keys().any(|name| names.contains(name)) {
        cameras.retain(|name, _| names.contains(name));
    }
    all - cameras.len()
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

/// The folder that holds a COLMAP model: the path itself, the `sparse/model` of a work
/// folder, or its `gt/`. What somebody made of a data set comes before its truth.
pub fn model_folder(path: &Path) -> Option<PathBuf> {
    find_model(path, &RESULTS).or_else(|| find_model(path, &TRUTHS))
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

/// The cameras that count as true, of those that [`read_cameras`] finds: of a data set
/// those by which `relievo bench` scores it. A model that somebody made of photos whose
/// cameras were measured is no truth, and a camera without a photo in the set none that a
/// run could find.
pub fn read_truth(path: &Path) -> Result<Cameras, EvalError> {
    let Some(mut set) = benchmark::recognise(path)? else {
        return read_cameras(path);
    };
    set.keep_given();
    finite(set.cameras, path)
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
    let Some(dir) = model_folder(path) else {
        let set = benchmark::recognise(path)?.ok_or_else(|| EvalError::Truth {
            path: path.to_owned(),
            what: if path.exists() {
                "holds no cameras"
            } else {
                "does not exist"
            },
        })?;
        return finite(set.cameras, path);
    };
    let cameras = if strecha::has_cameras(&dir) {
        strecha::read_folder(&dir)?
    } else {
        cameras_of_model(&relievo_formats::colmap::read_model(&dir)?)?
    };
    finite(cameras, path)
}

/// An error where one of them is nowhere.
fn finite(cameras: Cameras, path: &Path) -> Result<Cameras, EvalError> {
    if cameras.values().all(|c| c.cam_from_world.is_finite()) {
        return Ok(cameras);
    }
    Err(EvalError::Truth {
        path: path.to_owned(),
        what: "holds cameras that are not finite",
    })
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
