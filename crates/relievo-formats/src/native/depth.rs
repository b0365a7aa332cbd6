//! `depth/<photo>.depth`: depth, normal and confidence, 7 bytes a pixel.

use super::wire::{NativeError, Reader, Writer};
use relievo_geometry::CameraModel;
use relievo_image::Raster;
use relievo_scene::{Camera, DepthMap};

const MAGIC: [u8; 8] = *b"RLVODPTH";
const VERSION: u32 = 1;

/// magic, version, width, height u32; fx fy cx cy f64; depth f32, normal
/// 2 × u8 (octahedral), confidence u8, each row by row.
pub fn encode(map: &DepthMap) -> Vec<u8> {
    let mut w = Writer::new(MAGIC, VERSION);
    w.u32(map.camera.width_px);
    w.u32(map.camera.height_px);
    let (fx, fy) = map.camera.model.focal_px();
    let c = map.camera.model.principal_point_px();
    for v in [fx, fy, c.x, c.y] {
        w.f64(v);
    }
    w.slice(map.depth.as_slice());
    w.slice(map.normal.as_slice());
    w.slice(map.confidence.as_slice());
    w.0
}

/// Inverse of [`encode`].
pub fn decode(bytes: &[u8]) -> Result<DepthMap, NativeError> {
    let mut r = Reader::new("depth", MAGIC, VERSION, bytes)?;
    let (width_px, height_px) = (r.u32()?, r.u32()?);
    let (w, h) = (width_px as usize, height_px as usize);
    let n = w
        .checked_mul(h)
        .ok_or_else(|| r.damaged(format!("{w} x {h} pixels")))?;
    let model = CameraModel::Pinhole {
        fx: r.f64()?,
        fy: r.f64()?,
        cx: r.f64()?,
        cy: r.f64()?,
    };
    let map = DepthMap {
        camera: Camera {
            model,
            width_px,
            height_px,
            has_prior_focal: true,
        },
        depth: Raster::from_vec(w, h, r.vec(n)?),
        normal: Raster::from_vec(w, h, r.vec(n)?),
        confidence: Raster::from_vec(w, h, r.vec(n)?),
    };
    if let Err(broken) = map.check() {
        return Err(r.damaged(broken.to_string()));
    }
    r.end()?;
    Ok(map)
}
