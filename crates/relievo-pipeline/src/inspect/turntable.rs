//! Pictures of a model from around it.

use relievo_geometry::{CameraModel, Mat3, Rigid3, Sim3, Vec2, Vec3};
use relievo_image::Raster;
use relievo_scene::{Camera, PointCloud, SparseModel, TexturedMesh, TriMesh};
use relievo_spatial::{RenderStyle, render_cloud, render_mesh, render_textured};

/// Height of the camera above the middle, degrees.
const ELEVATION_DEG: f64 = 20.0;
/// Focal length in picture sides.
const FOCAL: f64 = 1.6;
/// Points within this share of the photos are the subject's.
const COMMON_SHARE: f64 = 0.7;
/// Fewer points than this are no subject.
const LEAST_COMMON: usize = 200;

/// What a picture shows whole: a ball, in the model's unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    /// Its middle.
    pub center: Vec3,
    /// Its radius.
    pub radius: f64,
}

impl Frame {
    /// Around the middle 98 % of the points.
    pub fn of(positions: &[[f32; 3]]) -> Self {
        relievo_spatial::quantile_bounds(positions, 0.01).map_or(
            Self {
                center: Vec3::zeros(),
                radius: 1.0,
            },
            |b| {
                let c = b.center();
                let center = Vec3::new(c[0].into(), c[1].into(), c[2].into());
                Self {
                    center,
                    radius: 0.5 * f64::from(b.diagonal()),
                }
            },
        )
    }

    /// Around what the photos are about: the points that lie within most
    /// photos, where there are enough of those, else all (photos of a room have
    /// little in common); of them the nearest three quarters about their
    /// median. In the frame that `to` leads to.
    pub fn of_subject(model: &SparseModel, to: &Sim3) -> Option<Self> {
        let cameras: Vec<_> = model.registered().collect();
        let shared = |p: &Vec3| {
            let within = cameras.iter().filter(|(_, view, pose)| {
                let camera = model.cameras.get(&view.camera_id);
                camera.is_some_and(|c| {
                    c.model
                        .project(&pose.apply(p))
                        .is_some_and(|px| within(c, &px))
                })
            });
            within.count() as f64 >= COMMON_SHARE * cameras.len() as f64
        };
        let all: Vec<Vec3> = model
            .tracks
            .values()
            .filter(|t| t.observations.len() >= 3)
            .filter_map(|t| t.position_in_world)
            .collect();
        let common: Vec<Vec3> = all.iter().copied().filter(shared).collect();
        let points = if common.len() >= LEAST_COMMON {
            common
        } else {
            all
        };
        let points: Vec<Vec3> = points.iter().map(|p| to.apply(p)).collect();
        let median = |axis: usize| {
            let mut v: Vec<f64> = points.iter().map(|p| p[axis]).collect();
            v.sort_by(f64::total_cmp);
            v.get(v.len() / 2).copied()
        };
        let center = Vec3::new(median(0)?, median(1)?, median(2)?);
        let mut distances: Vec<f64> = points.iter().map(|p| (p - center).norm()).collect();
        distances.sort_by(f64::total_cmp);
        let radius = distances.get(distances.len() * 3 / 4).copied()?;
        (radius > 0.0).then_some(Self {
            center,
            radius: 1.2 * radius,
        })
    }
}

/// On the photo.
fn within(camera: &Camera, px: &Vec2) -> bool {
    let (w, h) = (f64::from(camera.width_px), f64::from(camera.height_px));
    (0.0..w).contains(&px.x) && (0.0..h).contains(&px.y)
}

/// `turns` pictures of a Y-up model, `side` pixels square, evenly around it.
/// `inside`: faces seen from behind are left out, so that one looks into a
/// room.
pub fn turntable(
    model: &TexturedMesh,
    frame: Frame,
    turns: usize,
    side: u32,
    inside: bool,
) -> Vec<Raster<[u8; 3]>> {
    let style = RenderStyle {
        cull_back: inside,
        ..style()
    };
    (0..turns)
        .map(|i| {
            let azimuth = std::f64::consts::TAU * i as f64 / turns as f64;
            let (camera, pose) = view(frame, azimuth, side);
            render_textured(model, &camera, &pose, &style)
        })
        .collect()
}

/// One picture of a mesh in its vertex colours.
pub fn mesh_picture(mesh: &TriMesh, side: u32) -> Raster<[u8; 3]> {
    let (camera, pose) = view(Frame::of(&mesh.positions), 0.5, side);
    render_mesh(mesh, &camera, &pose, &style())
}

/// One picture of a cloud.
pub fn cloud_picture(cloud: &PointCloud, side: u32) -> Raster<[u8; 3]> {
    let (camera, pose) = view(Frame::of(&cloud.positions), 0.5, side);
    render_cloud(cloud, &camera, &pose, 1, [255; 3])
}

fn style() -> RenderStyle {
    RenderStyle {
        background: [255; 3],
        headlight: 0.35,
        supersample: 2,
        near: 1e-3,
        cull_back: false,
    }
}

/// A camera that sees the whole frame, at this azimuth around +y.
fn view(frame: Frame, azimuth: f64, side: u32) -> (Camera, Rigid3) {
    let Frame { center, radius } = frame;
    let elevation = ELEVATION_DEG.to_radians();
    let towards = Vec3::new(
        azimuth.sin() * elevation.cos(),
        elevation.sin(),
        azimuth.cos() * elevation.cos(),
    );
    let eye = center + towards * (radius.max(1e-9) * 2.0 * FOCAL * 1.08);
    let z = -towards;
    let x = z.cross(&Vec3::y()).normalize();
    let y = z.cross(&x);
    let rotation = Mat3::from_rows(&[x.transpose(), y.transpose(), z.transpose()]);
    let pose = Rigid3::from_matrix(&rotation, -(rotation * eye));
    let s = f64::from(side);
    let model = CameraModel::SimplePinhole {
        f: FOCAL * s,
        cx: s / 2.0,
        cy: s / 2.0,
    };
    (
        Camera {
            model,
            width_px: side,
            height_px: side,
            has_prior_focal: true,
        },
        pose,
    )
}
