//! Our private artefacts, documented byte for byte in `docs/artefacts.md`:
//! magic, version, little-endian, lengths checked before anything is read.
//!
//! | module | file |
//! | --- | --- |
//! | [`features`] | `features/<photo>.features` |
//! | [`mod@matches`] | `matches/<photo>.pairs` |
//! | [`synthesis`] | `matches/<photo>.synthesis` |
//! | [`depth`] | `depth/<photo>.depth` |
//! | [`atlas`] | `texture/atlas.bin` |
//! | [`cloud_views`] | `cloud/dense.views` |

pub mod atlas;
pub mod cloud_views;
pub mod depth;
pub mod features;
pub mod matches;
pub mod synthesis;
mod wire;

pub use wire::NativeError;
