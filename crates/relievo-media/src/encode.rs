//! Rasters to PNG and JPEG.

use crate::MediaError;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use relievo_image::{Raster, Rgb8};

fn png(
    bytes: &[u8],
    width: usize,
    height: usize,
    color: ExtendedColorType,
) -> Result<Vec<u8>, MediaError> {
    let mut out = Vec::new();
    PngEncoder::new_with_quality(&mut out, CompressionType::Fast, FilterType::Adaptive)
        .write_image(bytes, width as u32, height as u32, color)
        .map_err(|_| MediaError::Encode {
            width,
            height,
            format: "PNG",
        })?;
    Ok(out)
}

/// 8-bit RGB PNG.
pub fn encode_png_rgb(raster: &Raster<Rgb8>) -> Result<Vec<u8>, MediaError> {
    png(
        raster.as_slice().as_flattened(),
        raster.width(),
        raster.height(),
        ExtendedColorType::Rgb8,
    )
}

/// 8-bit grey PNG.
pub fn encode_png_gray(raster: &Raster<u8>) -> Result<Vec<u8>, MediaError> {
    png(
        raster.as_slice(),
        raster.width(),
        raster.height(),
        ExtendedColorType::L8,
    )
}

/// 16-bit grey PNG.
pub fn encode_png_gray16(raster: &Raster<u16>) -> Result<Vec<u8>, MediaError> {
    let bytes: Vec<u8> = raster
        .as_slice()
        .iter()
        .flat_map(|v| v.to_ne_bytes())
        .collect();
    png(
        &bytes,
        raster.width(),
        raster.height(),
        ExtendedColorType::L16,
    )
}

/// Baseline JPEG, quality 1 … 100; full colour resolution from 90 up.
pub fn encode_jpeg(raster: &Raster<Rgb8>, quality: u8) -> Result<Vec<u8>, MediaError> {
    let (width, height) = (raster.width(), raster.height());
    let refused = || MediaError::Encode {
        width,
        height,
        format: "JPEG",
    };
    let (w, h) = (
        u16::try_from(width).map_err(|_| refused())?,
        u16::try_from(height).map_err(|_| refused())?,
    );
    let mut out = Vec::new();
    jpeg_encoder::Encoder::new(&mut out, quality.clamp(1, 100))
        .encode(
            raster.as_slice().as_flattened(),
            w,
            h,
            jpeg_encoder::ColorType::Rgb,
        )
        .map_err(|_| refused())?;
    Ok(out)
}
