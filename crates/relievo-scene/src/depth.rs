//! A depth map in its own undistorted pinhole camera.

use crate::Camera;
use crate::check::{Broken, ensure};
use bytemuck::{Pod, Zeroable};
use relievo_image::Raster;

/// A unit vector in two bytes: octahedral map (Cigolle et al., JCGT 2014),
/// about 1° worst case. [0, 0] decodes to a valid direction; absence is said
/// by depth 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct PackedNormal(pub [u8; 2]);

impl PackedNormal {
    /// Packs a unit vector.
    pub fn pack(n: [f32; 3]) -> Self {
        let sum = n[0].abs() + n[1].abs() + n[2].abs();
        if !(sum > 0.0) {
            return Self([128, 128]);
        }
        let (mut u, mut v) = (n[0] / sum, n[1] / sum);
        if n[2] < 0.0 {
            (u, v) = ((1.0 - v.abs()).copysign(u), (1.0 - u.abs()).copysign(v));
        }
        let quantise = |t: f32| (t * 127.0 + 128.0).round().clamp(1.0, 255.0) as u8;
        Self([quantise(u), quantise(v)])
    }

    /// The unit vector.
    pub fn unpack(self) -> [f32; 3] {
        let (u, v) = (
            (f32::from(self.0[0]) - 128.0) / 127.0,
            (f32::from(self.0[1]) - 128.0) / 127.0,
        );
        let z = 1.0 - u.abs() - v.abs();
        let (x, y) = if z < 0.0 {
            ((1.0 - v.abs()).copysign(u), (1.0 - u.abs()).copysign(v))
        } else {
            (u, v)
        };
        let norm = (x * x + y * y + z * z).sqrt().max(1e-12);
        [x / norm, y / norm, z / norm]
    }
}

/// z-depth, normal and confidence per pixel.
#[derive(Clone, Debug, PartialEq)]
pub struct DepthMap {
    /// The undistorted pinhole camera the pixels live in; its size is the
    /// rasters' size.
    pub camera: Camera,
    /// z in the camera frame, in model units; 0 = none.
    pub depth: Raster<f32>,
    /// Surface normal in the camera frame, towards the camera (n·ray < 0).
    pub normal: Raster<PackedNormal>,
    /// 0 = none, [`Self::UNCONFIRMED`] … 255 = certain.
    pub confidence: Raster<u8>,
}

impl DepthMap {
    /// An empty map of `camera`'s size.
    pub fn new(camera: Camera) -> Self {
        let (w, h) = (camera.width_px as usize, camera.height_px as usize);
        Self {
            camera,
            depth: Raster::new(w, h),
            normal: Raster::new(w, h),
            confidence: Raster::new(w, h),
        }
    }

    /// Confidence of a pixel that no other map confirms.
    pub const UNCONFIRMED: u8 = 1;

    /// Without the pixels that no other map confirms.
    #[must_use]
    pub fn confirmed(mut self) -> Self {
        let pixels = self
            .depth
            .as_mut_slice()
            .iter_mut()
            .zip(self.normal.as_mut_slice())
            .zip(self.confidence.as_mut_slice());
        for ((depth, normal), confidence) in pixels {
            if *confidence <= Self::UNCONFIRMED {
                (*depth, *normal, *confidence) = (0.0, PackedNormal::default(), 0);
            }
        }
        self
    }

    /// Pinhole camera, equal sizes, depths finite and not negative.
    pub fn check(&self) -> Result<(), Broken> {
        self.camera.check()?;
        ensure("depth map", self.camera.model.is_pinhole(), || {
            "camera is distorted".to_owned()
        })?;
        let size = (
            self.camera.width_px as usize,
            self.camera.height_px as usize,
        );
        let same = (self.depth.width(), self.depth.height()) == size
            && (self.normal.width(), self.normal.height()) == size
            && (self.confidence.width(), self.confidence.height()) == size;
        ensure("depth map", same, || {
            format!("rasters are not {} x {}", size.0, size.1)
        })?;
        let good = |d: &f32| (0.0..=f32::MAX).contains(d);
        // A run at a time, without a branch a pixel.
        let all = |run: &[f32]| run.iter().fold(true, |all, d| all & good(d));
        let depths = self.depth.as_slice();
        ensure("depth map", depths.chunks(1024).all(all), || {
            let bad = depths.iter().position(|d| !good(d));
            format!("depth of pixel {bad:?}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unconfirmed_pixels_are_left_out() {
        let mut map = DepthMap::new(Camera {
            model: relievo_geometry::CameraModel::Pinhole {
                fx: 10.0,
                fy: 10.0,
                cx: 1.0,
                cy: 0.5,
            },
            width_px: 2,
            height_px: 1,
            has_prior_focal: true,
        });
        map.depth.as_mut_slice().fill(2.0);
        map.confidence[(0, 0)] = DepthMap::UNCONFIRMED;
        map.confidence[(1, 0)] = DepthMap::UNCONFIRMED + 1;
        let map = map.confirmed();
        assert_eq!(map.depth.as_slice(), [0.0, 2.0]);
        assert_eq!(map.confidence.as_slice(), [0, 2]);
    }

    #[test]
    fn packed_normals_are_within_a_degree_and_a_half() {
        for i in 0..2000 {
            let z = 1.0 - 2.0 * (i as f32 + 0.5) / 2000.0;
            let a = i as f32 * 2.399_963;
            let r = (1.0 - z * z).sqrt();
            let n = [r * a.cos(), r * a.sin(), z];
            let m = PackedNormal::pack(n).unpack();
            let dot = n[0] * m[0] + n[1] * m[1] + n[2] * m[2];
            assert!(dot > 1.5_f32.to_radians().cos(), "{n:?} {m:?}");
        }
    }
}
