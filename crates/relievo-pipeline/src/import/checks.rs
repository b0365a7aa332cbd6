//! What a given model must be, and what is told of it.

use crate::error::PipelineError;
use relievo_scene::{CameraId, SparseModel};
use relievo_task::Warning;
use std::collections::BTreeSet;
use std::path::Path;

/// A photo is known by its name.
pub(super) fn named_once(model: &SparseModel, model_dir: &Path) -> Result<(), PipelineError> {
    let mut names = BTreeSet::new();
    for view in model.views.values() {
        if !names.insert(&view.name) {
            return Err(PipelineError::Input {
                what: format!(
                    "{}: {} is in the model twice",
                    model_dir.display(),
                    view.name
                ),
                hint: "leave out one of the two images of this name".to_owned(),
            });
        }
    }
    Ok(())
}

/// Points behind cameras that are said to see them: a few are told and ignored by
/// the stages, most mean that the poses are not what they are taken for.
pub(super) fn points_behind(
    model: &SparseModel,
    model_dir: &Path,
) -> Result<Option<Warning>, PipelineError> {
    let (mut all, mut behind) = (0_usize, 0_usize);
    for track in model.tracks.values() {
        for o in &track.observations {
            let pose = model.views.get(&o.view_id).and_then(|v| v.cam_from_world);
            if let (Some(pose), Some(point)) = (pose, track.position_in_world) {
                all += 1;
                behind += usize::from(!(pose.apply(&point).z > 0.0));
            }
        }
    }
    let told = format!("{behind} of {all} observed points lie behind the camera that sees them");
    if 2 * behind > all {
        return Err(PipelineError::Input {
            what: format!("{}: {told}", model_dir.display()),
            hint: "poses take points of the world into the camera, x right, y down, z forward \
                   (cam_from_world): these may be the inverse, or look backwards"
                .to_owned(),
        });
    }
    Ok((behind > 0).then(|| {
        Warning::new(
            "points-behind",
            "",
            format!("{told}; they are ignored"),
            "the program that made the model may hold wrong matches or poses",
        )
    }))
}

/// Cameras whose distortion leaves part of the picture without a ray; where it is most of the
/// picture of a camera that took photos, the numbers are not what they are taken for.
pub(super) fn folded_pictures(
    model: &SparseModel,
    model_dir: &Path,
) -> Result<Option<Warning>, PipelineError> {
    let used: BTreeSet<CameraId> = model.views.values().map(|v| v.camera_id).collect();
    let cameras = used
        .iter()
        .filter_map(|id| Some((id, model.cameras.get(id)?)));
    let shares = cameras.map(|(id, c)| (c.model.share_with_a_ray(c.width_px, c.height_px), id, c));
    let folding: Vec<_> = shares.filter(|(share, ..)| *share < 1.0).collect();
    let Some((share, id, camera)) = folding.iter().min_by(|a, b| a.0.total_cmp(&b.0)) else {
        return Ok(None);
    };
    let percent = (100.0 * (1.0 - share)).ceil();
    let told =
        format!("the distortion of camera {id} leaves {percent} % of the picture without a ray");
    if *share < 0.5 {
        return Err(PipelineError::Input {
            what: format!(
                "{}: {told} ({:?})",
                model_dir.display(),
                camera.model.params()
            ),
            hint: "check the order of its numbers: focal length, principal point, then distortion \
                   as shares of the ray, not in pixels"
                .to_owned(),
        });
    }
    let others = match folding.len() - 1 {
        0 => String::new(),
        n => format!(", and that of {n} others as much or less"),
    };
    Ok(Some(Warning::new(
        "distortion-folds",
        "",
        format!("{told}{others}"),
        "near the border of these photos directions are wrong; `colmap image_undistorter` \
         makes photos without distortion",
    )))
}
