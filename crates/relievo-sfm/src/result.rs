//! What leaves the mapper, and why it may fail.

use relievo_geometry::Sim3;
use relievo_scene::{CameraId, SparseModel, ViewId};
use relievo_task::Cancelled;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Why a photo has no pose in the best model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum UnregisteredReason {
    /// No pair with this photo passed verification.
    #[error("it shares nothing recognisable with any other photo")]
    NoMatches,
    /// Pairs with it passed verification, but their matches lead elsewhere than those by way
    /// of third photos.
    #[error("its matches with {photos} photos contradict each other")]
    DoubtfulMatches {
        /// Photos that it was matched with.
        photos: usize,
    },
    /// Matches, but not enough with photos that have a pose.
    #[error(
        "it shares only {points} points with the model, through {photos} photos (best: {best}); {needed} are needed"
    )]
    TooFewMatches {
        /// Model points it could see.
        points: usize,
        /// Registered photos it has matches with.
        photos: usize,
        /// The registered photo it has most matches with; "none" without.
        best: String,
        /// Points needed.
        needed: usize,
    },
    /// Enough matches, but no pose that agrees with them.
    #[error(
        "its matches contradict the model: only {inliers} of {points} points agree on a position"
    )]
    PoseInconsistent {
        /// Points that agreed with the best pose.
        inliers: usize,
        /// Points that were tried.
        points: usize,
    },
    /// It fits, but into another model that could not be joined to this one.
    #[error(
        "it belongs to another part of the scene (model {model}) that no photo connects to this one"
    )]
    OtherModel {
        /// Index into [`SfmResult::models`].
        model: usize,
    },
    /// It had a pose, but too few of its points survived.
    #[error("only {points} of its points were accurate enough to keep it")]
    TooFewPoints {
        /// Points that were left.
        points: usize,
    },
}

impl UnregisteredReason {
    /// What the photographer can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoMatches => {
                "check that it shows the same thing and is sharp, and take photos in between"
            }
            Self::TooFewMatches { .. } => "take one or two photos between it and its neighbours",
            Self::DoubtfulMatches { .. } | Self::PoseInconsistent { .. } => {
                "things that moved, mirrors or look-alike parts do this; mask them or leave the photo out"
            }
            Self::OtherModel { .. } => {
                "take photos that show both parts, then add them to this run"
            }
            Self::TooFewPoints { .. } => "take sharper photos with more overlap here",
        }
    }
}

/// What is known of a camera's focal length.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "kebab-case")]
pub enum FocalLength {
    /// It was given (by the user, or by EXIF where the photos are too few) and
    /// kept.
    Given,
    /// Nobody gave it, and the photos are too few to find it.
    Guessed,
    /// The photos decided, together with EXIF where they tell less than that.
    Refined {
        /// Posterior σ as a part of the focal length, under independent errors
        /// of the observations; none where nothing determines it.
        sigma: Option<f64>,
    },
}

/// Figures of one model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelFigures {
    /// Photos with a pose.
    pub registered: usize,
    /// Points.
    pub points: usize,
    /// Observations of all points.
    pub observations: usize,
    /// Mean observations of a point.
    pub mean_track_length: f64,
    /// Mean reprojection error, pixels.
    pub mean_error_px: f64,
    /// Median reprojection error, pixels.
    pub median_error_px: f64,
    /// Names of the two photos it started from.
    pub initial_pair: Option<(String, String)>,
    /// Global bundle adjustments.
    pub global_adjustments: usize,
    /// Local bundle adjustments.
    pub local_adjustments: usize,
    /// Iterations of all bundle adjustments.
    pub iterations: usize,
    /// Rings whose ends had drifted apart and were joined.
    pub rings_closed: usize,
    /// Models of parts of the photos that were joined to it.
    #[serde(default)]
    pub models_joined: usize,
    /// Pairs left out because more matches spoke against their link.
    pub pairs_left_out: usize,
    /// Cameras whose principal point was refined, and its posterior σ in
    /// pixels (the larger of both axes).
    pub principal_points_refined: BTreeMap<CameraId, f64>,
    /// What is known of the focal length of each camera.
    #[serde(default)]
    pub focal_lengths: BTreeMap<CameraId, FocalLength>,
    /// Frame of the result from the frame in which the model was built (the
    /// first photo of the initial pair at the origin).
    pub model_from_mapper: Sim3,
}

/// Covariance of a pose, 6×6: a small rotation δω of the camera about itself (radians,
/// camera frame; R ← exp(δω) R with R of `cam_from_world`), then the camera's centre
/// (model units, world frame).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoseCovariance(pub [[f64; 6]; 6]);

impl PoseCovariance {
    /// Expected error of the rotation, radians: the root of the trace.
    pub fn rotation_sigma(&self) -> f64 {
        (0..3).map(|k| self.0[k][k]).sum::<f64>().max(0.0).sqrt()
    }

    /// Expected distance of the centre from its true place, model units.
    pub fn position_sigma(&self) -> f64 {
        (3..6).map(|k| self.0[k][k]).sum::<f64>().max(0.0).sqrt()
    }
}

/// How well the photos determine a model, as their last adjustment knows it: under
/// independent errors of the observations and a camera model that is right.
///
/// Gauge: what remains after the similarity that brings the estimated poses closest to
/// the true ones, Σ |δc|² + d² |δω|² over all photos (inner constraints; Triggs et al.
/// 2000, §9).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelCovariances {
    /// d: median distance between a camera and a point that it sees, model units.
    pub distance: f64,
    /// Of every photo that has a pose.
    pub poses: BTreeMap<ViewId, PoseCovariance>,
    /// Of the points, in the order of the model's tracks: xx xy xz yy yz zz in squared
    /// model units; none where the observations do not determine one.
    pub points: Vec<Option<[f64; 6]>>,
}

/// Why a model has no covariances.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCovariances {
    /// They would take too long.
    #[error("{photos} photos are too many, {most} are the most")]
    TooManyPhotos {
        /// Photos of the model.
        photos: usize,
        /// Photos that could be, with fixed intrinsics.
        most: usize,
    },
    /// The photos leave more than a similarity open.
    #[error("the photos do not determine the model")]
    Undetermined,
}

/// Two groups of photos that may be placed wrongly to each other: more matches
/// between them contradict the model than support it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoubtfulLink {
    /// Names of the photos of the smaller group.
    pub photos: Vec<String>,
    /// Matches that fit the model.
    pub supported: usize,
    /// Matches that do not.
    pub contradicted: usize,
}

/// Everything the mapper found.
///
/// Frame of each model: rotated like the first camera of its initial pair; the
/// origin is the centroid of the camera centres and the diagonal of their
/// bounding box is 10 units long.
///
/// `View::points_px` holds *all* keypoints of the view, so that an
/// observation's `point_idx` is the keypoint's index. `views` of a model holds
/// every photo given, posed or not.
#[derive(Clone, Debug)]
pub struct SfmResult {
    /// Models, best (most photos, then most points) first; never empty.
    pub models: Vec<SparseModel>,
    /// One for each model.
    pub figures: Vec<ModelFigures>,
    /// How well the best model is determined, or why that is not known.
    pub covariances: Result<ModelCovariances, NoCovariances>,
    /// Photos without a pose in the best model.
    pub unregistered: BTreeMap<ViewId, UnregisteredReason>,
    /// Cameras whose given focal length the photos contradict: theirs was taken instead.
    pub contradicted: Vec<CameraId>,
    /// A link of the best model that could not be mended.
    pub doubtful: Option<DoubtfulLink>,
}

/// Why there is no model.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SfmError {
    /// Asked to stop; the checkpoint holds what was finished.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// Nothing to work on.
    #[error("{views} photos are too few; at least two that show the same thing are needed")]
    TooFewViews {
        /// Photos given.
        views: usize,
    },
    /// No pair passed verification.
    #[error(
        "none of the {views} photos could be matched with another; they need to overlap by half or more and be sharp"
    )]
    NoPairs {
        /// Photos given.
        views: usize,
    },
    /// Most pairs are pure rotations, and no other was good enough to start from.
    #[error(
        "the camera only turned on the spot ({pairs} matching pairs, none with a sideways step); walk around the subject between photos"
    )]
    PureRotation {
        /// Matching pairs.
        pairs: usize,
    },
    /// No pair gave a start.
    #[error(
        "no two photos were good enough to start from: the best of {tried} pairs ({a} and {b}) gave {points} points seen under {angle_deg:.1} degrees; take more photos with larger overlap and a clear sideways step"
    )]
    NoInitialPair {
        /// Pairs tried.
        tried: usize,
        /// First photo of the best.
        a: String,
        /// Second photo of the best.
        b: String,
        /// Its points.
        points: usize,
        /// Their median ray angle.
        angle_deg: f64,
    },
    /// The input contradicts itself.
    #[error("{what}")]
    Inconsistent {
        /// What does not fit.
        what: InputFault,
    },
}

/// What is wrong with the mapper's input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputFault {
    /// A view names a camera that is not there.
    #[error("photo {view} uses camera {camera}, which is not defined")]
    UnknownCamera {
        /// The photo.
        view: String,
        /// The camera.
        camera: CameraId,
    },
    /// A pair names a view or keypoint that is not there.
    #[error("the matches of photos {a} and {b} point outside their keypoints")]
    BadMatches {
        /// First view.
        a: ViewId,
        /// Second view.
        b: ViewId,
    },
    /// A camera's values are unusable.
    #[error("camera {camera}: values are not usable")]
    BadCamera {
        /// The camera.
        camera: CameraId,
    },
}
