//! Texturing a surface from posed photos.
//!
//! Enters: a mesh, posed views (any camera model) and a [`PhotoSource`] that
//! decodes one photo at a time. Leaves: a `TexturedMesh`, the same triangles
//! with an atlas. After Waechter, Moehrle & Goesele, "Let There Be Color!
//! Large-Scale Texturing of 3D Reconstructions", ECCV 2014.
//!
//! Colours are sRGB; corrections are additive in sRGB as in the paper, after
//! one gain per view and channel. Distorted photos are sampled through their
//! distortion; charts live in the undistorted picture.
//!
//! | module | step |
//! | --- | --- |
//! | `plane` | the undistorted plane of a view |
//! | `observe` | visibility, quality and mean colour of every face in a photo |
//! | `candidates` | the views that may colour each face |
//! | `gains` | one gain per view and channel |
//! | `consistency` | moving people and occluders are rejected |
//! | `labelling` | one view per face (Markov random field) |
//! | `charts`, `packing` | connected faces of one photo, and their places |
//! | `coverage`, `bake` | which face a texel shows; photo pixels into charts |
//! | `seams`, `global_levelling`, `local_levelling`, `level` | even colours |
//! | `unseen` | faces that no photo shows |
//! | `atlas` | all steps in order |

mod adjacency;
mod atlas;
mod bake;
mod candidates;
mod charts;
mod consistency;
mod coverage;
mod gains;
mod global_levelling;
mod graph_system;
mod labelling;
mod level;
mod local_levelling;
mod observe;
pub mod options;
mod packing;
mod plane;
mod seams;
pub mod source;
mod unseen;

pub use atlas::texture_mesh_with_figures;
pub use options::TextureOptions;
pub use source::{PhotoError, PhotoSource, TexturePhoto, TextureView};

use relievo_scene::{Broken, TexturedMesh, TriMesh, ViewId};
use relievo_task::{Cancelled, Task};

/// Why there is no texture.
#[derive(Debug, thiserror::Error)]
pub enum TextureError {
    /// The mesh breaks its invariants.
    #[error("the mesh cannot be textured")]
    Mesh(#[source] Broken),
    /// A camera breaks its invariants, or its pose is not finite.
    #[error("view {name} has no usable camera")]
    Camera {
        /// The photo.
        name: String,
        /// What is wrong, where it is the intrinsics.
        #[source]
        source: Option<Broken>,
    },
    /// There is no face.
    #[error("the mesh has no faces")]
    NoFaces,
    /// No photo sees any face.
    #[error("none of the {views} photos sees the surface; are mesh and poses in the same frame?")]
    NothingSeen {
        /// Views given.
        views: usize,
    },
    /// A photo could not be loaded.
    #[error("photo {name} (view {view_id}) could not be loaded for texturing")]
    Photo {
        /// Its view.
        view_id: ViewId,
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: PhotoError,
    },
    /// A photo is not of its camera's size.
    #[error("photo {name} is {got:?} px, its camera {expected:?} px")]
    PhotoSize {
        /// Its name.
        name: String,
        /// Width and height of the camera.
        expected: (u32, u32),
        /// Width and height of the photo.
        got: (usize, usize),
    },
    /// Stopped on request.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// Figures for the report.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct TextureFigures {
    /// Faces of the mesh.
    pub faces: usize,
    /// Faces that got their colour from a photo.
    pub faces_seen: usize,
    /// Views that colour at least one face.
    pub views_used: usize,
    /// Face observations rejected as inconsistent with the other photos.
    pub observations_rejected: usize,
    /// Charts cut from photos.
    pub charts: usize,
    /// Atlas pages.
    pub pages: usize,
    /// Texels of all pages.
    pub texels: usize,
    /// Share of the texels that some face shows.
    pub used_share: f64,
    /// Texels per photo pixel after fitting the budget.
    pub texel_density: f64,
    /// Root mean square colour step across seams before levelling, grey levels.
    pub seam_step_before: f64,
    /// The same after global levelling.
    pub seam_step_after: f64,
}

/// Textures `mesh` from `views`.
///
/// The triangles and vertices of the result are those of `mesh`. Faces that
/// no photo shows are filled in smoothly from around them and marked
/// `seen = false`. Views that shall not take part (held-out photos) are simply
/// not passed. Photos are loaded twice at most, a few at a time, as
/// `task.memory_bytes()` allows.
pub fn texture_mesh(
    mesh: &TriMesh,
    views: &[TextureView],
    photos: &dyn PhotoSource,
    options: &TextureOptions,
    task: &Task,
) -> Result<TexturedMesh, TextureError> {
    texture_mesh_with_figures(mesh, views, photos, options, task).map(|(model, _)| model)
}
