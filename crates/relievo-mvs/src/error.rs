//! What can go wrong.

use relievo_scene::ViewId;
use relievo_task::Cancelled;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum MvsError {
    /// The run was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// A view's rasters and camera differ in size.
    #[error("view {view}: camera is {camera:?}, picture is {picture:?}")]
    SizeMismatch {
        /// The view.
        view: ViewId,
        /// Size by the camera.
        camera: (usize, usize),
        /// Size of the picture, mask or map.
        picture: (usize, usize),
    },
    /// The kernel's numbers end before the pictures do.
    #[error(
        "view {view}: {sources} sources of up to {width} x {height} pixels are too large for depth maps"
    )]
    TooLarge {
        /// The view.
        view: ViewId,
        /// Number of sources.
        sources: usize,
        /// Pixels of the widest picture.
        width: usize,
        /// Pixels of the tallest picture.
        height: usize,
    },
    /// Depth lives in pinhole cameras; this one is distorted.
    #[error("view {view}: the camera of a depth map must be a pinhole, this one is distorted")]
    Distorted {
        /// The view.
        view: ViewId,
    },
    /// A geometric pass needs one map per source.
    #[error("view {view}: {sources} sources but {maps} maps of the previous pass")]
    MapCount {
        /// The reference view.
        view: ViewId,
        /// Number of sources.
        sources: usize,
        /// Number of maps.
        maps: usize,
    },
    /// The caller could not supply a view.
    #[error("view {view} could not be loaded")]
    Load {
        /// The view.
        view: ViewId,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Points did not fit into memory, and their file on disk could not be used.
    #[error("points of the cloud could not be put aside on disk")]
    Scratch(#[source] std::io::Error),
    /// The finished cloud would not fit into memory.
    #[error("the cloud has more than {points} points, which do not fit into {budget_mib} MiB")]
    CloudTooLarge {
        /// Points found before it was given up.
        points: usize,
        /// What a cloud may take.
        budget_mib: u64,
    },
}
