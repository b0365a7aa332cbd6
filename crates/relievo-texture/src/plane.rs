//! The undistorted picture plane of a view, in which charts live.

use crate::source::TextureView;
use relievo_geometry::{CameraModel, Mat3, Vec2, Vec3};
use relievo_scene::Camera;

/// A view with the pinhole plane that covers its photo.
///
/// The plane has the photo's focal lengths, so one plane pixel is about one
/// photo pixel; without distortion plane and photo coincide. With barrel
/// distortion the plane is larger than the photo.
#[derive(Clone, Debug)]
pub(crate) struct ViewPlane {
    photo: Camera,
    /// Pinhole; its size is the plane's.
    pub(crate) plane: Camera,
    rotation: Mat3,
    translation: Vec3,
    distorted: bool,
}

impl ViewPlane {
    pub(crate) fn new(view: &TextureView) -> Self {
        let photo = view.camera;
        Self {
            photo,
            plane: covering_pinhole(&photo),
            rotation: view.cam_from_world.matrix(),
            translation: view.cam_from_world.translation,
            distorted: !photo.model.is_pinhole(),
        }
    }

    /// The same for the photo reduced by an integer factor (rounded up).
    pub(crate) fn reduced(&self, factor: u32) -> Self {
        let shrink = |c: &Camera| {
            let s = 1.0 / f64::from(factor);
            Camera {
                model: c.model.scaled(s, s),
                width_px: c.width_px.div_ceil(factor),
                height_px: c.height_px.div_ceil(factor),
                ..*c
            }
        };
        Self {
            photo: shrink(&self.photo),
            plane: shrink(&self.plane),
            ..self.clone()
        }
    }

    /// A world point in the camera frame.
    #[inline]
    pub(crate) fn to_camera(&self, p: [f32; 3]) -> Vec3 {
        self.rotation * Vec3::new(p[0].into(), p[1].into(), p[2].into()) + self.translation
    }

    /// Plane pixel of a point in the camera frame with z > 0.
    #[inline]
    pub(crate) fn plane_px(&self, q: &Vec3) -> [f64; 2] {
        let (fx, fy) = self.plane.model.focal_px();
        let c = self.plane.model.principal_point_px();
        [fx * q.x / q.z + c.x, fy * q.y / q.z + c.y]
    }

    /// Photo pixel under a plane pixel.
    #[inline]
    pub(crate) fn photo_px(&self, at: [f64; 2]) -> [f64; 2] {
        if !self.distorted {
            return at;
        }
        let (fx, fy) = self.plane.model.focal_px();
        let c = self.plane.model.principal_point_px();
        let n = Vec2::new((at[0] - c.x) / fx, (at[1] - c.y) / fy);
        let d = self.photo.model.distort(&n);
        let pc = self.photo.model.principal_point_px();
        [fx * d.x + pc.x, fy * d.y + pc.y]
    }

    /// True where plane and photo differ.
    pub(crate) fn is_distorted(&self) -> bool {
        self.distorted
    }

    /// True for a photo pixel at least `margin` inside the photo.
    #[inline]
    pub(crate) fn in_photo(&self, px: [f64; 2], margin: f64) -> bool {
        px[0] >= margin
            && px[1] >= margin
            && px[0] <= f64::from(self.photo.width_px) - margin
            && px[1] <= f64::from(self.photo.height_px) - margin
    }
}

/// The pinhole camera with the photo's focal lengths whose picture holds every
/// pixel of the photo; at most twice as wide and high.
fn covering_pinhole(camera: &Camera) -> Camera {
    let (fx, fy) = camera.model.focal_px();
    let c = camera.model.principal_point_px();
    let (w, h) = (f64::from(camera.width_px), f64::from(camera.height_px));
    let (mut low, mut high) = ([0.0; 2], [w, h]);
    if !camera.model.is_pinhole() {
        (low, high) = ([f64::INFINITY; 2], [f64::NEG_INFINITY; 2]);
        for i in 0..=64 {
            let t = f64::from(i) / 64.0;
            for p in [[t * w, 0.0], [t * w, h], [0.0, t * h], [w, t * h]] {
                let n = camera.model.unproject(&Vec2::new(p[0], p[1]));
                let q = [fx * n.x + c.x, fy * n.y + c.y];
                for k in 0..2 {
                    let size = [w, h][k];
                    let v = q[k].clamp(-0.5 * size, 1.5 * size);
                    low[k] = low[k].min(v);
                    high[k] = high[k].max(v);
                }
            }
        }
        low = low.map(f64::floor);
    }
    Camera {
        model: CameraModel::Pinhole {
            fx,
            fy,
            cx: c.x - low[0],
            cy: c.y - low[1],
        },
        width_px: (high[0] - low[0]).ceil().max(1.0) as u32,
        height_px: (high[1] - low[1]).ceil().max(1.0) as u32,
        ..*camera
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use relievo_geometry::Rigid3;
    use relievo_scene::ViewId;

    fn view(model: CameraModel) -> TextureView {
        TextureView {
            id: ViewId(1),
            name: "a.jpg".into(),
            camera: Camera {
                model,
                width_px: 600,
                height_px: 400,
                has_prior_focal: true,
            },
            cam_from_world: Rigid3::identity(),
        }
    }

    #[test]
    fn plane_and_photo_agree_with_the_camera_model() {
        for k1 in [-0.12, 0.08] {
            let model = CameraModel::OpenCv {
                fx: 500.0,
                fy: 505.0,
                cx: 290.0,
                cy: 205.0,
                k1,
                k2: 0.01,
                p1: 1e-3,
                p2: -2e-3,
            };
            let plane = ViewPlane::new(&view(model));
            for p in [[0.1_f32, 0.05, 1.0], [-1.0, 0.6, 2.0]] {
                let q = plane.to_camera(p);
                let px = plane.photo_px(plane.plane_px(&q));
                let truth = model.project(&q).unwrap();
                assert!((px[0] - truth.x).abs() < 1e-9 && (px[1] - truth.y).abs() < 1e-9);
            }
            // Every corner of the photo lies on the plane.
            for (x, y) in [(0.0, 0.0), (600.0, 0.0), (600.0, 400.0), (0.0, 400.0)] {
                let n = model.unproject(&Vec2::new(x, y));
                let at = plane.plane_px(&Vec3::new(n.x, n.y, 1.0));
                assert!(at[0] > -1.0 && at[0] < f64::from(plane.plane.width_px) + 1.0);
                assert!(at[1] > -1.0 && at[1] < f64::from(plane.plane.height_px) + 1.0);
            }
        }
    }

    #[test]
    fn without_distortion_plane_is_photo() {
        let model = CameraModel::Pinhole {
            fx: 500.0,
            fy: 505.0,
            cx: 290.0,
            cy: 205.0,
        };
        let plane = ViewPlane::new(&view(model));
        assert_eq!(plane.plane.model, model);
        assert_eq!((plane.plane.width_px, plane.plane.height_px), (600, 400));
    }
}
