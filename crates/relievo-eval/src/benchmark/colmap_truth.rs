//! A COLMAP model (text or binary) in `gt/`, `sparse/0/`, `sparse/` or the
//! folder itself, beside `images/` or a video.

use super::{DataSet, Surface, folder_name, photos_or_video};
use crate::cameras::read_cameras;
use crate::error::EvalError;
use std::path::Path;

/// Places of the model, in the order they are tried.
const PLACES: [&str; 4] = ["gt", "sparse/0", "sparse", ""];

/// Reads one; `None` where no model is found.
pub fn read(root: &Path) -> Result<Option<DataSet>, EvalError> {
    let found = PLACES.iter().map(|p| root.join(p)).find(|dir| {
        ["bin", "txt"]
            .iter()
            .any(|e| dir.join(format!("images.{e}")).is_file())
    });
    let Some(model) = found else { return Ok(None) };
    let scan = root.join("gt").join("scan.ply");
    Ok(Some(DataSet {
        name: folder_name(root),
        layout: "colmap",
        truth: "the model that came with it",
        inputs: photos_or_video(root),
        cameras: read_cameras(&model)?,
        surface: if scan.is_file() {
            Surface::Mesh(scan)
        } else {
            Surface::None
        },
    }))
}
