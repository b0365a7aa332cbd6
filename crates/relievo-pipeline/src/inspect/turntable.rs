//! Pictures of a model from around it.

use relievo_geometry::{CameraModel, Mat3, Rigid3, Sim3, Vec2, Vec3};
use relievo_image::Raster;
use relievo_scene::{Camera, PointCloud, SparseModel, TexturedMesh, TriMesh, ViewId};
use relievo_spatial::{RenderStyle, render_cloud, render_mesh, render_textured};
use std::cmp::Reverse;
use std::collections::BTreeMap;

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

/// Where a picture is taken from: a pinhole camera of the picture's size and its
/// pose.
pub type Standpoint = (Camera, Rigid3);

/// A standpoint from which all of a Y-up model is seen.
pub fn from_outside(positions: &[[f32; 3]], side: u32) -> Standpoint {
    view(Frame::of(positions), 0.5, side)
}

/// The standpoint of the photo that sees most of the points, without its
/// distortion; the longer side has `side` pixels. None where nothing is
/// registered.
pub fn from_photo(model: &SparseModel, side: u32) -> Option<Standpoint> {
    let mut seen: BTreeMap<ViewId, usize> = BTreeMap::new();
    for track in model.tracks.values() {
        for observation in &track.observations {
            *seen.entry(observation.view_id).or_default() += 1;
        }
    }
    // Of equals the first.
    let (_, view, pose) = model
        .registered()
        .max_by_key(|(id, ..)| (seen.get(id).copied(), Reverse(*id)))?;
    let camera = model.cameras.get(&view.camera_id)?;
    let longer = f64::from(camera.width_px.max(camera.height_px).max(1));
    let scale = f64::from(side) / longer;
    let (fx, fy) = camera.model.focal_px();
    let center = camera.model.principal_point_px();
    let pixels = |n: u32| ((f64::from(n) * scale).round() as u32).max(1);
    Some((
        Camera {
            model: CameraModel::Pinhole {
                fx: fx * scale,
                fy: fy * scale,
                cx: center.x * scale,
                cy: center.y * scale,
            },
            width_px: pixels(camera.width_px),
            height_px: pixels(camera.height_px),
            has_prior_focal: camera.has_prior_focal,
        },
        pose,
    ))
}

/// One picture of a mesh in its vertex colours.
pub fn mesh_picture(mesh: &TriMesh, (camera, pose): &Standpoint) -> Raster<[u8; 3]> {
    render_mesh(mesh, camera, pose, &style())
}

/// One picture of a cloud.
pub fn cloud_picture(cloud: &PointCloud, (camera, pose): &Standpoint) -> Raster<[u8; 3]> {
    render_cloud(cloud, camera, pose, 1, [255; 3])
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

#[cfg(test)]
mod tests {
    use super::*;
    use relievo_scene::{CameraId, Observation, Track, TrackId, View};

    /// Two photos side by side, y down; the second sees more points.
    fn two_photos() -> SparseModel {
        let mut model = SparseModel::default();
        let camera = Camera {
            model: CameraModel::SimplePinhole {
                f: 400.0,
                cx: 200.0,
                cy: 150.0,
            },
            width_px: 400,
            height_px: 300,
            has_prior_focal: true,
        };
        model.cameras.insert(CameraId(1), camera);
        for (id, x) in [(1, 0.0), (2, 1.0)] {
            let view = View {
                camera_id: CameraId(1),
                name: format!("{id}.jpg"),
                cam_from_world: Some(Rigid3::from_matrix(
                    &Mat3::identity(),
                    Vec3::new(-x, 0.0, 0.0),
                )),
                points_px: vec![[200.0, 150.0]; 2],
            };
            model.views.insert(ViewId(id), view);
        }
        for (id, seen_by) in [(1, vec![1, 2]), (2, vec![2])] {
            let observations = seen_by.into_iter().map(|view| Observation {
                view_id: ViewId(view),
                point_idx: id - 1,
            });
            let track = Track {
                observations: observations.collect(),
                position_in_world: Some(Vec3::new(1.0, 0.0, 4.0)),
                color: [0; 3],
            };
            model.tracks.insert(TrackId(id.into()), track);
        }
        model
    }

    #[test]
    fn a_cloud_is_drawn_as_the_photo_that_sees_most_shows_it() {
        let mut cloud = PointCloud::default();
        // Above the middle of the second photo.
        cloud.positions.push([1.0, -0.5, 4.0]);
        cloud.colors.push([255, 0, 0]);
        let standpoint = from_photo(&two_photos(), 800).expect("two are registered");
        let picture = cloud_picture(&cloud, &standpoint);
        assert_eq!((picture.width(), picture.height()), (800, 600));
        assert_eq!(picture[(400, 200)], [255, 0, 0]);
        assert_eq!(picture[(400, 400)], [255; 3]);
    }

    #[test]
    fn where_nothing_is_registered_there_is_no_standpoint() {
        assert!(from_photo(&SparseModel::default(), 800).is_none());
    }
}
