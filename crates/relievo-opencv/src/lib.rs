//! Video decoding and the reference SIFT through OpenCV; the only crate that
//! links it.
//!
//! OpenCV's own threads are switched off: parallelism belongs to our pool.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`video`] | frames of a video, upright, with time stamps |
//! | [`sift`] | the reference detector and descriptor |
//! | `helper` | [`helper()`]: both for another process |

mod helper;
pub mod sift;
pub mod video;

pub use helper::helper;
pub use sift::OpenCvSift;
pub use video::OpenCvDecoder;

/// Version of the linked OpenCV.
pub fn opencv_version() -> String {
    opencv::core::get_version_string().unwrap_or_else(|_| "unknown".to_owned())
}
