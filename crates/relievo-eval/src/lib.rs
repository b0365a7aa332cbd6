//! How far a reconstruction is from the truth: cameras, depth, cloud, mesh,
//! texture.
//!
//! Enters: estimates and truth as nouns of `relievo-scene`, or their files.
//! Leaves: serialisable figures that print themselves. Distances are in
//! millimetres where the truth is in metres. Estimate and truth need not share
//! a frame: [`align_cameras`] finds the similarity between them from the
//! camera centres. Every random choice is seeded by a constant, so that the
//! same input gives the same figures.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`cameras`] | posed cameras of a rendered set, a COLMAP model, Strecha's files |
//! | [`align`] | robust similarity between two sets of cameras |
//! | [`pose`] | position, rotation, relative-pose AUC |
//! | [`scene_truth`] | true surface, its visible part, what the cameras saw |
//! | [`sampling`] | even samples of a mesh |
//! | [`surface`] | accuracy, completeness, F-score of a cloud or a mesh |
//! | [`topology`] | open and non-manifold edges, components |
//! | [`consistency`] | a cloud against its own photos, without truth |
//! | [`depth`] | depth maps against the true surface |
//! | [`texture`] | a textured mesh against photographs |
//! | [`box_resize`], [`ssim`](mod@ssim) | pieces of the texture score |
//! | [`npz`] | NumPy archives |
//! | [`benchmark`] | data sets with their truth, one file a layout |
//! | [`files`] | the same figures from files and work folders |

pub mod align;
pub mod benchmark;
pub mod box_resize;
pub mod cameras;
pub mod consistency;
pub mod depth;
mod error;
pub mod files;
mod nearest;
pub mod npz;
mod photo_patch;
mod placed;
pub mod pose;
pub mod sampling;
pub mod scene_truth;
mod second_layer;
pub mod seen_by;
pub mod ssim;
pub mod statistics;
pub mod surface;
pub mod texture;
pub mod topology;

pub use align::align_cameras;
pub use cameras::{Cameras, PosedCamera, cameras_of_model, read_cameras, read_truth};
pub use consistency::{ConsistencyFigures, HalfPhoto, photo_consistency};
pub use depth::{DepthErrors, DepthFigures, combine_depth, score_depth_map};
pub use error::EvalError;
pub use files::{Alignment, TextureQuery, eval_cloud, eval_mesh, eval_poses, eval_texture};
pub use pose::{PoseFigures, score_poses};
pub use scene_truth::TrueScene;
pub use seen_by::SeenBy;
pub use ssim::ssim;
pub use surface::{SurfaceFigures, score_cloud, score_mesh};
pub use texture::{PhotoScore, TextureFigures, combine_texture, score_photo};
pub use topology::Topology;
