//! Binary glTF 2.0 (Khronos, ISO/IEC 12113).
//!
//! Written: one primitive per atlas page, vertices split where the page's UV
//! differ, normals, metallic 0, roughness 1, pages embedded as they come
//! (JPEG or PNG); without an atlas, vertex colours in linear light. The frame
//! is the caller's: glTF wants Y up. `asset.extras` takes any JSON. UV run
//! down from the top of the page in glTF as in `TextureAtlas`.

mod read;
mod write;

pub use read::{GlbImage, GlbModel, decode_glb, read_glb};
pub use write::encode_glb;

const FORMAT: &str = "glTF";
const MAGIC: &[u8; 4] = b"glTF";
const JSON_CHUNK: &[u8; 4] = b"JSON";
const BIN_CHUNK: &[u8; 4] = b"BIN\0";

const BYTE_U8: u64 = 5121;
const SHORT_U16: u64 = 5123;
const INT_U32: u64 = 5125;
const FLOAT_F32: u64 = 5126;
