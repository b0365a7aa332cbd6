//! The nouns of photogrammetry, and their invariants. No algorithms.
//!
//! Maps that reach a result are `BTreeMap`s: order is part of the result.
//! Each noun has `check()`, called by tests, fuzzers and `relievo inspect`.
//!
//! | module | noun |
//! | --- | --- |
//! | [`photo`] | [`Photo`]: one row of the ingest table |
//! | [`camera`] | [`Camera`]: model and picture size |
//! | [`features`] | [`Features`], [`Keypoint`] |
//! | [`mod@matches`] | [`PairMatches`], [`TwoViewGeometry`], [`ViewGraph`] |
//! | [`sparse`] | [`SparseModel`], [`View`], [`Track`] |
//! | [`depth`] | [`DepthMap`] |
//! | [`cloud`] | [`PointCloud`] |
//! | [`mesh`] | [`TriMesh`] |
//! | [`texture`] | [`TexturedMesh`], [`TextureAtlas`] |

pub mod camera;
pub mod check;
pub mod cloud;
pub mod depth;
pub mod features;
pub mod ids;
pub mod matches;
pub mod mesh;
pub mod photo;
pub mod sparse;
pub mod texture;

pub use camera::Camera;
pub use check::Broken;
pub use cloud::PointCloud;
pub use depth::{DepthMap, PackedNormal};
pub use features::{DESCRIPTOR_LEN, Features, Keypoint};
pub use ids::{CameraId, TrackId, ViewId};
pub use matches::{Match, PairMatches, TwoViewGeometry, TwoViewKind, ViewGraph};
pub use mesh::TriMesh;
pub use photo::{GeoTag, Photo, PhotoSet};
pub use sparse::{Observation, SparseModel, Track, View};
pub use texture::{TextureAtlas, TexturedMesh};
