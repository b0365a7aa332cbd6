//! Rendered sets: `gt/{cameras,images}.txt` (COLMAP text), `mesh.ply` with a
//! class a face, `points.ply`, `labels.json`, `depth_low.npz`; photos in
//! `images/`. Everything in metres and exact.

use super::{DataSet, Surface, folder_name, photos_or_video};
use crate::cameras::read_cameras;
use crate::error::EvalError;
use std::path::Path;

/// Reads one; `None` where there is no `gt/mesh.ply` with labels.
pub fn read(root: &Path) -> Result<Option<DataSet>, EvalError> {
    let gt = root.join("gt");
    if !gt.join("mesh.ply").is_file() || !gt.join("labels.json").is_file() {
        return Ok(None);
    }
    Ok(Some(DataSet {
        name: folder_name(root),
        layout: "rendered",
        truth: "exact",
        inputs: photos_or_video(root),
        cameras: read_cameras(&gt)?,
        surface: Surface::Mesh(root.to_owned()),
    }))
}
