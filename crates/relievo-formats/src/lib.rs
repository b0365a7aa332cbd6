//! Every file format but pictures: COLMAP models, PLY, glTF, OBJ, STL, depth
//! maps, NumPy arrays, benchmark cameras.
//!
//! Enters: bytes or paths. Leaves: the nouns of `relievo-scene`. Writers come
//! as encoders to bytes, so that a caller can store them atomically, with thin
//! wrappers that write a file. Readers treat every file as hostile: counts are
//! checked against the bytes that are there before anything is allocated, and
//! what is wrong is said with its place.
//!
//! | module | format |
//! | --- | --- |
//! | [`colmap`] | COLMAP sparse models, binary and text; arrays of its dense workspace |
//! | [`ply`] | PLY clouds and meshes |
//! | [`gltf`] | binary glTF, written and read |
//! | [`obj`], [`stl`] | OBJ with MTL, binary STL |
//! | [`nerfstudio`] | `transforms.json` |
//! | [`npy`] | NumPy arrays |

pub mod colmap;
mod cursor;
mod error;
pub mod gltf;
pub mod native;
pub mod nerfstudio;
pub mod npy;
pub mod obj;
pub mod ply;
pub mod stl;

pub use error::FormatError;
