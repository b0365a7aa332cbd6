//! Stage `known`: photos to poses under the true intrinsics, for sets whose
//! photos share one camera.

use super::photos::photos_alone;
use super::sets::Set;
use super::tools::{said, words};
use std::path::{Path, PathBuf};

/// The camera of all photos of a set.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TrueCamera {
    /// Its COLMAP model.
    model: String,
    /// In the model's order.
    params: Vec<f64>,
}

impl TrueCamera {
    /// From `gt/cameras.txt` or Strecha's `.camera` files; `None` where these are
    /// missing or name several cameras.
    pub(crate) fn of(set: &Set) -> Option<Self> {
        let model = fs_err::read_to_string(set.root.join("gt/cameras.txt"));
        model.map_or_else(
            |_| strecha(&set.root.join("gt_dense_cameras")),
            |text| colmap(&text),
        )
    }

    /// MODEL:p1,p2,… as `--camera` takes it.
    pub(crate) fn spec(&self) -> String {
        let params: Vec<String> = self.params.iter().map(f64::to_string).collect();
        format!("{}:{}", self.model, params.join(","))
    }

    fn is_pinhole(&self) -> bool {
        self.model == "PINHOLE"
    }
}

/// The one camera of a COLMAP `cameras.txt`.
fn colmap(text: &str) -> Option<TrueCamera> {
    let mut lines = text.lines().filter(|l| !l.starts_with('#'));
    let words: Vec<&str> = lines.next()?.split_whitespace().collect();
    if lines.next().is_some() {
        return None;
    }
    let params = words.get(4..)?.iter().map(|w| w.parse().ok());
    Some(TrueCamera {
        model: (*words.get(1)?).to_owned(),
        params: params.collect::<Option<_>>()?,
    })
}

/// The camera of a folder of `.camera` files if all have the same K.
fn strecha(folder: &Path) -> Option<TrueCamera> {
    let files = fs_err::read_dir(folder).ok()?;
    let mut found: Option<TrueCamera> = None;
    for file in files {
        let text = fs_err::read_to_string(file.ok()?.path()).ok()?;
        let numbers = text.split_whitespace().take(9).map(|w| w.parse().ok());
        let k: Vec<f64> = numbers.collect::<Option<_>>()?;
        let camera = TrueCamera {
            model: "PINHOLE".to_owned(),
            params: [0, 4, 2, 5]
                .map(|i| k.get(i).copied())
                .into_iter()
                .collect::<Option<_>>()?,
        };
        if found.get_or_insert_with(|| camera.clone()) != &camera {
            return None;
        }
    }
    found
}

/// The photos of a folder with the K.txt from which openmvg-rs takes its intrinsics.
/// It knows no distortion there: distorted photos are undistorted first.
pub(crate) fn photos_with_matrix(
    photos: &Path,
    camera: &TrueCamera,
    folder: &Path,
    python: &Path,
) -> Result<PathBuf, String> {
    if !camera.is_pinhole() {
        if !folder.join("K.txt").is_file() {
            let script = Path::new("scripts/peers/undistort_photos.py");
            let spec = camera.spec();
            said(&words([&python, &script, &photos, &spec, &folder]))?;
        }
        return Ok(folder.to_owned());
    }
    let alone = photos_alone(photos, folder)?;
    let [fx, fy, cx, cy] = camera.params[..] else {
        return Err(format!("{} is not a pinhole camera", camera.spec()));
    };
    let matrix = format!("{fx} 0 {cx}\n0 {fy} {cy}\n0 0 1\n");
    fs_err::write(alone.join("K.txt"), matrix).map_err(|e| e.to_string())?;
    Ok(alone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_camera_is_read_from_both_layouts() {
        let text = "# CAMERA_ID MODEL\n1 SIMPLE_RADIAL 1400 1050 1033.9 699.5 525.25 -0.0167\n";
        let camera = colmap(text).unwrap();
        assert_eq!(camera.spec(), "SIMPLE_RADIAL:1033.9,699.5,525.25,-0.0167");
        assert!(!camera.is_pinhole());
        let two = "1 PINHOLE 4 4 1 1 2 2\n2 PINHOLE 4 4 1 1 2 2\n";
        assert_eq!(colmap(two), None);
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, k: &str| fs_err::write(dir.path().join(name), k).unwrap();
        write("a.camera", "10 0 5 0 11 6 0 0 1 0 0 0");
        write("b.camera", "10 0 5 0 11 6 0 0 1 1 2 3");
        assert_eq!(strecha(dir.path()).unwrap().spec(), "PINHOLE:10,11,5,6");
        write("c.camera", "12 0 5 0 11 6 0 0 1 1 2 3");
        assert_eq!(strecha(dir.path()), None);
    }
}
