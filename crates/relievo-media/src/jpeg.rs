//! JPEG decoding that refuses a file that is cut off.

use crate::PhotoProblem;
use relievo_image::{Raster, Rgb8};
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;

/// Size from the frame header, without decoding.
pub(crate) fn size(data: &[u8]) -> Result<(u32, u32), PhotoProblem> {
    walk(data)?.size.ok_or_else(|| PhotoProblem::Damaged {
        reason: "no frame header".to_owned(),
    })
}

/// The pixels as stored (not turned), grey and CMYK converted to RGB.
pub(crate) fn decode(data: &[u8]) -> Result<Raster<Rgb8>, PhotoProblem> {
    let structure = walk(data)?;
    if !structure.ended {
        return Err(PhotoProblem::Truncated);
    }
    let decode = |strict: bool| {
        let options = DecoderOptions::default()
            .set_strict_mode(strict)
            .set_max_width(1 << 16)
            .set_max_height(1 << 16)
            .jpeg_set_out_colorspace(ColorSpace::RGB);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(data), options);
        let pixels = decoder.decode()?;
        Ok((pixels, decoder.dimensions().unwrap_or((0, 0))))
    };
    // Without strictness a scan that breaks off turns grey and nothing is
    // said; but strictness also minds stray bytes between headers, which some
    // cameras write and which harm nothing.
    let decoded = decode(true).or_else(|e: DecodeErrors| {
        if format!("{e:?}").contains("Extra bytes between headers") {
            decode(false)
        } else {
            Err(e)
        }
    });
    let (pixels, (w, h)) = decoded.map_err(|e| PhotoProblem::Damaged {
        reason: format!("{e:?}").chars().take(160).collect(),
    })?;
    if pixels.len() != w * h * 3 {
        return Err(PhotoProblem::Damaged {
            reason: "an unexpected number of colour channels".to_owned(),
        });
    }
    let pixels = pixels.chunks_exact(3).map(|p| [p[0], p[1], p[2]]).collect();
    Ok(Raster::from_vec(w, h, pixels))
}

struct Structure {
    size: Option<(u32, u32)>,
    /// An end-of-image marker follows the last scan.
    ended: bool,
}

/// Walks the markers (ITU-T T.81, annex B) from start to end of image.
fn walk(data: &[u8]) -> Result<Structure, PhotoProblem> {
    let mut found = Structure {
        size: None,
        ended: false,
    };
    let mut at = 2;
    loop {
        // To the next marker: 0xff followed by neither 0 (stuffing), 0xff
        // (fill), nor a restart.
        let Some(step) = data
            .get(at..)
            .and_then(|d| d.iter().position(|&b| b == 0xff))
        else {
            return Ok(found);
        };
        at += step + 1;
        let Some(&marker) = data.get(at) else {
            return Ok(found);
        };
        match marker {
            0xff => continue,
            0x00 | 0x01 | 0xd0..=0xd8 => {
                at += 1;
                continue;
            }
            0xd9 => {
                found.ended = true;
                return Ok(found);
            }
            _ => {}
        }
        let Some(&[a, b]) = data.get(at + 1..at + 3).and_then(|s| s.first_chunk()) else {
            return Ok(found);
        };
        let is_frame = (0xc0..=0xcf).contains(&marker) && !matches!(marker, 0xc4 | 0xc8 | 0xcc);
        if let Some(&[h1, h0, w1, w0]) = data
            .get(at + 4..at + 8)
            .and_then(|s| s.first_chunk())
            .filter(|_| is_frame)
        {
            let size = (
                u32::from(u16::from_be_bytes([w1, w0])),
                u32::from(u16::from_be_bytes([h1, h0])),
            );
            crate::decode::plausible(size.0, size.1, data.len())?;
            found.size = Some(size);
        }
        at += 1 + usize::from(u16::from_be_bytes([a, b])).max(2);
    }
}
