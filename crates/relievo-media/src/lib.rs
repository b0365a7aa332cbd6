//! Photos and videos: decoding, EXIF, masks, key frames; encoding of pictures.
//!
//! Enters: files. Leaves: upright 8-bit sRGB rasters (EXIF orientation and
//! video rotation applied), what the camera wrote about itself, names, camera
//! groups. Files are told apart by content and treated as hostile; what is
//! wrong with one is a [`PhotoProblem`] or [`VideoProblem`] with a hint, for a
//! warning rather than the end of a run.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`decode`] | photo files to rasters, masks |
//! | [`encode`] | rasters to PNG and JPEG |
//! | [`exif`](mod@exif) | camera, focal length, place and time of a photo |
//! | [`orientation`] | EXIF orientation |
//! | [`scan`] | INPUTs to files and names; masks |
//! | `starting_camera` | [`starting_camera`]: the intrinsics that a photo starts from |
//! | [`sharpness`](mod@sharpness) | variance of the Laplacian |
//! | [`video`] | frame sources, motion, key frames |

pub mod decode;
pub mod encode;
mod error;
pub mod exif;
mod jpeg;
pub mod orientation;
pub mod scan;
pub mod sharpness;
mod starting_camera;
pub mod video;

pub use decode::{
    DecodedPhoto, MIN_SIDE_PX, PhotoInfo, decode_mask, decode_mask_bytes, decode_photo,
    decode_photo_bytes, decode_texture_bytes, probe_photo, probe_photo_bytes,
};
pub use encode::{encode_jpeg, encode_png_gray, encode_png_gray16, encode_png_rgb};
pub use error::{MediaError, PhotoProblem, VideoProblem};
pub use exif::ExifInfo;
pub use scan::{FileKind, FoundFile, digest, file_kind, find_mask, key_frame_name, scan_inputs};
pub use sharpness::sharpness;
pub use starting_camera::starting_camera;
pub use video::display_matrix::orientation_of_video;
pub use video::ffmpeg::FfmpegDecoder;
pub use video::helper::{HelperDecoder, opencv_program, serve_frames};
pub use video::key_frames::{FrameFigures, KeyFrameOptions, analyse, choose_key_frames};
pub use video::{FrameSource, FrameStamp, VideoDecoder, VideoInfo, decode_frames};
