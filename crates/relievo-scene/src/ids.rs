//! Stable keys. `_id` is a key, `_idx` a position in a slice.

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$meta:meta])* $name:ident, $inner:ty) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// A camera: intrinsics shared by the views of one group.
    CameraId, u32);
id!(
    /// A view: one photo or key frame.
    ViewId, u32);
id!(
    /// A track: one scene point and its observations.
    TrackId, u64);
