//! What a person should know of a sparse model that came out.

use super::ingest::{IngestTable, PhotoEntry};
use relievo_engine::StageContext;
use relievo_scene::{CameraId, SparseModel, ViewId};
use relievo_sfm::{DoubtfulLink, FocalLength, ModelCovariances, PoseCovariance};
use relievo_task::Warning;

/// Largest posterior σ of a focal length, as a part of it, that is not worth a
/// warning.
const FOCAL_LENGTH_MAX_SIGMA: f64 = 0.01;
/// Largest standard deviation of a pose that is not told.
const POSE_MAX_SIGMA_DEG: f64 = 1.0;
/// The same of its place, as a part of the distance of what it sees.
const POSE_MAX_SIGMA: f64 = 0.02;

/// Says that two groups of photos may not fit together.
pub(super) fn of_link(link: &DoubtfulLink, ctx: &StageContext) {
    let photos = match &link.photos[..] {
        [one] => one.clone(),
        [first, .., last] => format!("{} photos from {first} to {last}", link.photos.len()),
        [] => return,
    };
    let text = format!(
        "{photos} may be placed wrongly: {} matches with the other photos contradict the model, {} fit it",
        link.contradicted, link.supported
    );
    ctx.task().warn(Warning::new(
        "doubtful-link",
        "",
        text,
        "look at the report's picture; photos in between, or masks over what looks alike, would decide it",
    ));
}

/// Says that a focal length, and with it all depths, is not well known.
pub(super) fn of_focal_length(
    table: &IngestTable,
    camera: CameraId,
    known: &FocalLength,
    ctx: &StageContext,
) {
    let how_well = match *known {
        FocalLength::Given => return,
        FocalLength::Refined { sigma: Some(s) } if s <= FOCAL_LENGTH_MAX_SIGMA => return,
        FocalLength::Refined { sigma: Some(s) } if s < 1.0 => {
            format!(
                "is known to ± {0:.0} % only; depths may be off by as much",
                (100.0 * s).ceil()
            )
        }
        FocalLength::Refined { .. } => {
            "could not be found from the photos; depths may be stretched or shortened".to_owned()
        }
        FocalLength::Guessed => {
            "is a guess, as the photos are too few to find it; depths may be stretched or shortened"
                .to_owned()
        }
    };
    let Some(whose) = focal_length_of(table, camera) else {
        return;
    };
    ctx.task().warn(Warning::new(
        "focal-length",
        "",
        format!("{whose} {how_well}"),
        "photos from more directions, nearer and farther, some with the camera turned upright, would decide it; so does --camera with the calibrated values",
    ));
}

/// Names a camera's focal length by its photos; none without any.
fn focal_length_of(table: &IngestTable, camera: CameraId) -> Option<String> {
    let of_camera = |p: &&PhotoEntry| p.photo.camera_id == camera;
    let photos: Vec<&str> = table
        .photos
        .iter()
        .filter(of_camera)
        .map(|p| p.photo.name.as_str())
        .collect();
    Some(match photos[..] {
        _ if table.cameras.len() == 1 => "the focal length".to_owned(),
        [one] => format!("the focal length of {one}"),
        [first, ..] => format!(
            "the focal length of {first} and {} like it",
            photos.len() - 1
        ),
        [] => return None,
    })
}

/// Says that what was said of a camera is not true.
pub(super) fn of_contradiction(table: &IngestTable, camera: CameraId, ctx: &StageContext) {
    let (Some(whose), Some(said)) = (
        focal_length_of(table, camera),
        table.cameras.get(&camera).map(|c| c.model.mean_focal_px()),
    ) else {
        return;
    };
    ctx.task().warn(Warning::new(
        "focal-length-contradicted",
        "",
        format!("{whose} is not the {said:.0} px that EXIF or --camera say: the photos decided"),
        "--fix-intrinsics keeps it as given; photos that were cropped or scaled keep the EXIF of the original",
    ));
}

/// Says that the photos leave poses open.
pub(super) fn of_poses(model: &SparseModel, known: &ModelCovariances, ctx: &StageContext) {
    let unsure = |(_, c): &(&ViewId, &PoseCovariance)| {
        c.rotation_sigma().to_degrees() > POSE_MAX_SIGMA_DEG
            || c.position_sigma() > POSE_MAX_SIGMA * known.distance
    };
    let mut names: Vec<&str> = known
        .poses
        .iter()
        .filter(unsure)
        .filter_map(|(id, _)| Some(model.views.get(id)?.name.as_str()))
        .collect();
    names.sort_unstable();
    let text = match names[..] {
        [] => return,
        [one] => format!("where {one} was taken is hardly known"),
        [first, ..] => format!(
            "where {first} and {} other photos were taken is hardly known",
            names.len() - 1
        ),
    };
    ctx.task().warn(Warning::new(
        "poses-not-determined",
        "",
        text,
        "take more photos with larger overlap and a clear sideways step; sparse/covariances.json tells how well each is known",
    ));
}
