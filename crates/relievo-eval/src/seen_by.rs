//! How many photos see a point of the true surface.
//!
//! The point is projected into a true camera and compared with that camera's true
//! depth, at half the photo's size. Between the four pixels around it a smooth
//! surface is no deeper than the deepest of them; where they lie on different
//! surfaces, one ray decides.

use crate::cameras::PosedCamera;
use crate::error::EvalError;
use crate::scene_truth::TrueScene;
use relievo_geometry::Vec3;
use relievo_image::Raster;
use relievo_spatial::{FaceBuffer, TriangleBvh};
use std::collections::BTreeSet;

/// Part of the depth by which a point may lie behind the surface that is seen.
const SLACK: f64 = 1e-3;
/// Pixels whose depths differ by no more than this part lie on one surface.
const ONE_SURFACE: f64 = 0.01;

struct Seer {
    name: String,
    /// At half the photo's size.
    camera: PosedCamera,
    center: Vec3,
    /// z in the camera; infinite where nothing is.
    depth: Raster<f32>,
}

/// True cameras and what they see.
pub struct SeenBy<'a> {
    bvh: &'a TriangleBvh,
    seers: Vec<Seer>,
}

impl<'a> SeenBy<'a> {
    /// Of the true cameras of these photos (file names without folders).
    pub fn new(truth: &'a TrueScene, photos: &BTreeSet<String>) -> Result<Self, EvalError> {
        let bvh = truth.bvh.as_ref().ok_or(EvalError::Empty {
            what: "the true surface",
        })?;
        let named = truth.cameras.iter().filter(|(n, _)| photos.contains(*n));
        let seers = named.map(|(name, posed)| {
            let size = |px: u32| px.div_ceil(2);
            let (w, h) = (size(posed.camera.width_px), size(posed.camera.height_px));
            let camera = posed.camera.resized(w, h);
            Seer {
                name: name.clone(),
                camera: PosedCamera { camera, ..*posed },
                center: posed.cam_from_world.center(),
                depth: FaceBuffer::cast(bvh, &camera, &posed.cam_from_world).depth,
            }
        });
        let seers = seers.collect();
        Ok(Self { bvh, seers })
    }

    /// True where at least `count` photos other than `own` see a point of the true
    /// surface (truth's frame).
    pub fn at_least(&self, count: usize, own: &str, point: &Vec3) -> bool {
        let others = self.seers.iter().filter(|s| s.name != own);
        others.filter(|s| self.sees(s, point)).take(count).count() == count
    }

    fn sees(&self, seer: &Seer, point: &Vec3) -> bool {
        let q = seer.camera.cam_from_world.apply(point);
        // Far outside the picture a distortion may fold back in.
        if !(q.z > 0.0 && q.x * q.x + q.y * q.y < 4.0 * q.z * q.z) {
            return false;
        }
        let (w, h) = (seer.depth.width(), seer.depth.height());
        let Some(px) = seer.camera.camera.model.project(&q) else {
            return false;
        };
        if !(px.x >= 0.0 && px.y >= 0.0 && px.x < w as f64 && px.y < h as f64) {
            return false;
        }
        let pair = |v: f64, n: usize| {
            let low = (v - 0.5).max(0.0) as usize;
            [low.min(n - 1), (low + 1).min(n - 1)]
        };
        let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
        for y in pair(px.y, h) {
            for x in pair(px.x, w) {
                let d = f64::from(seer.depth[(x, y)]);
                (least, most) = (least.min(d), most.max(d));
            }
        }
        if q.z <= least * (1.0 + SLACK) {
            return true;
        }
        if most <= least * (1.0 + ONE_SURFACE) || q.z > most * (1.0 + SLACK) {
            return q.z <= most * (1.0 + SLACK);
        }
        let ray = point - seer.center;
        let narrow = |v: Vec3| <[f32; 3]>::from(v.map(|v| v as f32));
        self.bvh
            .cast(narrow(seer.center), narrow(ray))
            .is_none_or(|hit| f64::from(hit.t) >= 1.0 - SLACK)
    }
}
