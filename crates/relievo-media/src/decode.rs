//! Photo files to upright 8-bit RGB.

use crate::error::PhotoProblem;
use crate::exif::ExifInfo;
use crate::orientation::{swaps_sides, upright};
use crate::{MediaError, jpeg};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use relievo_image::{Raster, Rgb8};
use serde::{Deserialize, Serialize};
use std::io::Cursor;
use std::path::Path;

/// Photos with a shorter side below this are refused.
pub const MIN_SIDE_PX: u32 = 32;
/// More pixels than this are refused.
const MAX_PIXELS: u64 = 600_000_000;

/// What a file says about its photo.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhotoInfo {
    /// Upright width.
    pub width_px: u32,
    /// Upright height.
    pub height_px: u32,
    /// EXIF data.
    pub exif: ExifInfo,
}

/// An upright photo.
#[derive(Clone, Debug, PartialEq)]
pub struct DecodedPhoto {
    /// sRGB pixels, EXIF orientation applied.
    pub rgb: Raster<Rgb8>,
    /// Size and EXIF data.
    pub info: PhotoInfo,
}

/// Reads and decodes a photo; see [`decode_photo_bytes`].
pub fn decode_photo(path: &Path) -> Result<DecodedPhoto, MediaError> {
    decode_photo_bytes(&fs_err::read(path)?).map_err(|p| p.of(path))
}

/// Reads size and EXIF data without decoding the pixels.
pub fn probe_photo(path: &Path) -> Result<PhotoInfo, MediaError> {
    probe_photo_bytes(&fs_err::read(path)?).map_err(|p| p.of(path))
}

/// Decodes JPEG (also grey, CMYK, progressive), PNG, TIFF, WebP and BMP, told
/// apart by content, never by file name. 16 bits are rounded to 8, transparent
/// pixels laid over black. A file that is cut off or damaged is an error.
pub fn decode_photo_bytes(data: &[u8]) -> Result<DecodedPhoto, PhotoProblem> {
    decode_at_least(data, MIN_SIDE_PX)
}

/// The pixels of a texture, which may be of any size; otherwise as
/// [`decode_photo_bytes`].
pub fn decode_texture_bytes(data: &[u8]) -> Result<Raster<Rgb8>, PhotoProblem> {
    decode_at_least(data, 1).map(|p| p.rgb)
}

fn decode_at_least(data: &[u8], min_side_px: u32) -> Result<DecodedPhoto, PhotoProblem> {
    let info = probe_at_least(data, min_side_px)?;
    let stored = match recognise(data)? {
        ImageFormat::Jpeg => jpeg::decode(data)?,
        format => to_rgb(decode_other(data, format)?),
    };
    let rgb = upright(stored, info.exif.orientation);
    let size = (rgb.width() as u32, rgb.height() as u32);
    if size != (info.width_px, info.height_px) {
        return Err(PhotoProblem::Damaged {
            reason: "the size in the header is not that of the pixels".to_owned(),
        });
    }
    Ok(DecodedPhoto { rgb, info })
}

/// Size and EXIF data of a photo in memory.
pub fn probe_photo_bytes(data: &[u8]) -> Result<PhotoInfo, PhotoProblem> {
    probe_at_least(data, MIN_SIDE_PX)
}

fn probe_at_least(data: &[u8], min_side_px: u32) -> Result<PhotoInfo, PhotoProblem> {
    let (w, h) = match recognise(data)? {
        ImageFormat::Jpeg => jpeg::size(data)?,
        format => {
            let decoder = reader(data, format).into_decoder().map_err(damaged)?;
            let (w, h) = decoder.dimensions();
            plausible(w, h, usize::MAX)?;
            (w, h)
        }
    };
    if w.min(h) < min_side_px {
        return Err(PhotoProblem::TooSmall {
            width_px: w,
            height_px: h,
        });
    }
    let exif = ExifInfo::of_file(data);
    let (width_px, height_px) = if swaps_sides(exif.orientation) {
        (h, w)
    } else {
        (w, h)
    };
    Ok(PhotoInfo {
        width_px,
        height_px,
        exif,
    })
}

/// A mask: 0 where every colour channel is 0, else 255; alpha is ignored.
pub fn decode_mask(path: &Path) -> Result<Raster<u8>, MediaError> {
    let data = fs_err::read(path)?;
    decode_mask_bytes(&data).map_err(|p| p.of(path))
}

/// See [`decode_mask`].
pub fn decode_mask_bytes(data: &[u8]) -> Result<Raster<u8>, PhotoProblem> {
    let image = match recognise(data)? {
        ImageFormat::Jpeg => {
            let rgb = jpeg::decode(data)?;
            // JPEG does not keep zeros; what is nearly black was black.
            return Ok(rgb.map(|p| if p.iter().all(|&v| v < 16) { 0 } else { 255 }));
        }
        format => decode_other(data, format)?,
    };
    let (w, h) = (image.width() as usize, image.height() as usize);
    // At 16 bits, so that no small value is rounded to 0.
    let kept = image.into_rgb16().into_raw();
    let mask = kept
        .chunks_exact(3)
        .map(|p| if p == [0; 3] { 0 } else { 255 })
        .collect();
    Ok(Raster::from_vec(w, h, mask))
}

/// Refuses sizes beyond reason, and JPEGs whose bytes cannot hold so many
/// pixels (a block of a flat sky takes some bits).
pub(crate) fn plausible(w: u32, h: u32, bytes: usize) -> Result<(), PhotoProblem> {
    let pixels = u64::from(w) * u64::from(h);
    if pixels > MAX_PIXELS || pixels / 4096 > (bytes as u64).saturating_add(1024) {
        return Err(PhotoProblem::TooLarge {
            width_px: w,
            height_px: h,
        });
    }
    if pixels == 0 {
        return Err(PhotoProblem::TooSmall {
            width_px: w,
            height_px: h,
        });
    }
    Ok(())
}

fn recognise(data: &[u8]) -> Result<ImageFormat, PhotoProblem> {
    if data.is_empty() {
        return Err(PhotoProblem::Empty);
    }
    if data.get(4..8) == Some(b"ftyp") {
        return match data.get(8..12) {
            Some(b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1") => {
                Err(PhotoProblem::Heif { format: "HEIC" })
            }
            Some(b"avif" | b"avis") => Err(PhotoProblem::Heif { format: "AVIF" }),
            _ => Err(PhotoProblem::NotAPicture),
        };
    }
    match image::guess_format(data) {
        Ok(
            f @ (ImageFormat::Jpeg
            | ImageFormat::Png
            | ImageFormat::Tiff
            | ImageFormat::WebP
            | ImageFormat::Bmp),
        ) => Ok(f),
        _ => Err(PhotoProblem::NotAPicture),
    }
}

fn reader(data: &[u8], format: ImageFormat) -> ImageReader<Cursor<&[u8]>> {
    let mut reader = ImageReader::with_format(Cursor::new(data), format);
    let mut limits = Limits::default();
    limits.max_image_width = Some(1 << 17);
    limits.max_image_height = Some(1 << 17);
    limits.max_alloc = Some(8 * MAX_PIXELS);
    reader.limits(limits);
    reader
}

fn decode_other(data: &[u8], format: ImageFormat) -> Result<DynamicImage, PhotoProblem> {
    reader(data, format).decode().map_err(damaged)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is the argument of map_err"
)]
fn damaged(e: image::ImageError) -> PhotoProblem {
    match &e {
        image::ImageError::IoError(io) if io.kind() == std::io::ErrorKind::UnexpectedEof => {
            PhotoProblem::Truncated
        }
        other => PhotoProblem::Damaged {
            reason: other.to_string().chars().take(160).collect(),
        },
    }
}

fn to_rgb(image: DynamicImage) -> Raster<Rgb8> {
    let (w, h) = (image.width() as usize, image.height() as usize);
    let pixels = if image.color().has_alpha() {
        let rgba = image.into_rgba8().into_raw();
        rgba.chunks_exact(4)
            .map(|p| {
                let over = |v: u8| ((u32::from(v) * u32::from(p[3]) + 127) / 255) as u8;
                [over(p[0]), over(p[1]), over(p[2])]
            })
            .collect()
    } else {
        let rgb = image.into_rgb8().into_raw();
        rgb.chunks_exact(3).map(|p| [p[0], p[1], p[2]]).collect()
    };
    Raster::from_vec(w, h, pixels)
}
