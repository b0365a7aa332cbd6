//! Seeded scenes: cameras around points.

use nalgebra::{Matrix3, UnitQuaternion};
use rand_core::{RngCore, SeedableRng};
use relievo_geometry::{CameraModel, Mat3, Rigid3, Vec2, Vec3};
use relievo_scene::{
    Camera, CameraId, DESCRIPTOR_LEN, Features, Keypoint, Match, Observation, PairMatches,
    SparseModel, Track, TrackId, TwoViewGeometry, TwoViewKind, View, ViewGraph, ViewId,
};
use relievo_task::Rng;
use std::collections::BTreeMap;

/// Where the points are. The world is y down; the scene is about 2 units wide
/// around the origin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// In a ball.
    Cloud,
    /// On the plane z = 0.
    Plane,
    /// On three mutually orthogonal planes.
    Corner,
    /// On the inner side of a wall around the y axis, 3 high and 0.5 thick, of this
    /// radius.
    Wall(f64),
}

/// Where the cameras are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Motion {
    /// On an arc of this many radians at distance 4, looking at the origin,
    /// a little up and down.
    Orbit(f64),
    /// Along x at distance 4, looking along z.
    Sideways,
    /// Along z towards the origin, looking along z.
    Forward,
    /// In one place, turning by this many radians in all.
    Rotation(f64),
    /// Once around the y axis on a circle of this radius, looking outwards.
    Round(f64),
}

/// What to make.
#[derive(Clone, Debug)]
pub struct SceneOptions {
    /// Number of views, ids from 1, names `0001.png` onwards.
    pub views: usize,
    /// Number of scene points.
    pub points: usize,
    /// Where they are.
    pub shape: Shape,
    /// Where the cameras are.
    pub motion: Motion,
    /// The one camera.
    pub camera: Camera,
    /// Gaussian σ of keypoints in pixels.
    pub noise_px: f64,
    /// Part of each pair's matches that is wrong.
    pub outlier_ratio: f64,
    /// Keypoints without scene point, per view.
    pub clutter: usize,
    /// Probability that a visible point is detected.
    pub detection: f64,
    /// Everything random follows from it.
    pub seed: u64,
}

impl Default for SceneOptions {
    fn default() -> Self {
        Self {
            views: 8,
            points: 500,
            shape: Shape::Cloud,
            motion: Motion::Orbit(1.2),
            camera: Camera {
                model: CameraModel::SimpleRadial {
                    f: 1000.0,
                    cx: 500.0,
                    cy: 375.0,
                    k: 0.0,
                },
                width_px: 1000,
                height_px: 750,
                has_prior_focal: true,
            },
            noise_px: 0.5,
            outlier_ratio: 0.0,
            clutter: 0,
            detection: 1.0,
            seed: 0,
        }
    }
}

/// A scene whose truth is known.
#[derive(Clone, Debug)]
pub struct Scene {
    /// True cameras, poses and points; `points_px` are the noisy keypoints.
    pub truth: SparseModel,
    /// Keypoints, descriptors (alike for one point in all views) and colours.
    pub features: BTreeMap<ViewId, Features>,
    /// The point that each keypoint shows; `None` for clutter.
    pub point_of: BTreeMap<ViewId, Vec<Option<TrackId>>>,
    options: SceneOptions,
}

impl Scene {
    /// Makes the scene; the same options make the same scene.
    pub fn new(options: &SceneOptions) -> Self {
        let mut rng = Rng::seed_from_u64(options.seed);
        let points: Vec<Vec3> = (0..options.points)
            .map(|_| point(options.shape, &mut rng))
            .collect();
        Self::build(options, &points, rng)
    }

    /// A scene of these points; `options.points` and `options.shape` place none.
    pub fn of_points(options: &SceneOptions, points: &[Vec3]) -> Self {
        Self::build(options, points, Rng::seed_from_u64(options.seed))
    }

    fn build(options: &SceneOptions, points: &[Vec3], mut rng: Rng) -> Self {
        let descriptors: Vec<[u8; DESCRIPTOR_LEN]> =
            points.iter().map(|_| descriptor(&mut rng)).collect();
        let camera_id = CameraId(1);
        let mut truth = SparseModel {
            cameras: BTreeMap::from([(camera_id, options.camera)]),
            ..SparseModel::default()
        };
        for (k, position) in points.iter().enumerate() {
            truth.tracks.insert(
                TrackId(k as u64 + 1),
                Track {
                    observations: Vec::new(),
                    position_in_world: Some(*position),
                    color: [(k % 251) as u8, (k % 239) as u8, (k % 241) as u8],
                },
            );
        }
        let mut features = BTreeMap::new();
        let mut point_of = BTreeMap::new();
        for v in 0..options.views {
            let view_id = ViewId(v as u32 + 1);
            let part = match options.motion {
                Motion::Round(_) => v as f64 / options.views as f64,
                _ if options.views > 1 => v as f64 / (options.views - 1) as f64,
                _ => 0.5,
            };
            let pose = pose(options.motion, part, v);
            let mut seen: Vec<(Vec2, Option<usize>)> = Vec::new();
            for (k, position) in points.iter().enumerate() {
                if uniform(&mut rng) >= options.detection {
                    continue;
                }
                let noise = Vec2::new(normal(&mut rng), normal(&mut rng)) * options.noise_px;
                let pixel = options.camera.model.project(&pose.apply(position));
                if let Some(px) = pixel.map(|px| px + noise)
                    && inside(&px, &options.camera)
                {
                    seen.push((px, Some(k)));
                }
            }
            for _ in 0..options.clutter {
                seen.push((anywhere(&options.camera, &mut rng), None));
            }
            shuffle(&mut seen, &mut rng);
            let mut f = Features::default();
            let mut owners = Vec::new();
            for (idx, (px, k)) in seen.iter().enumerate() {
                f.keypoints.push(Keypoint {
                    x_px: px.x as f32,
                    y_px: px.y as f32,
                    scale_px: 2.0,
                    angle: 0.0,
                });
                f.descriptors.push(match k {
                    Some(k) => jitter(&descriptors[*k], &mut rng),
                    None => descriptor(&mut rng),
                });
                let id = k.map(|k| TrackId(k as u64 + 1));
                let track = id.and_then(|id| truth.tracks.get_mut(&id));
                f.colors.push(track.as_ref().map_or([128; 3], |t| t.color));
                if let Some(track) = track {
                    track.observations.push(Observation {
                        view_id,
                        point_idx: idx as u32,
                    });
                }
                owners.push(id);
            }
            truth.views.insert(
                view_id,
                View {
                    camera_id,
                    name: format!("{:04}.png", v + 1),
                    cam_from_world: Some(pose),
                    points_px: f
                        .keypoints
                        .iter()
                        .map(|k| [f64::from(k.x_px), f64::from(k.y_px)])
                        .collect(),
                },
            );
            features.insert(view_id, f);
            point_of.insert(view_id, owners);
        }
        Self {
            truth,
            features,
            point_of,
            options: options.clone(),
        }
    }

    /// The camera of all views.
    pub fn camera(&self) -> Camera {
        self.options.camera
    }

    /// True `b_from_a`, not scaled.
    pub fn b_from_a(&self, a: ViewId, b: ViewId) -> Rigid3 {
        let pose = |v: ViewId| {
            self.truth.views[&v]
                .cam_from_world
                .expect("every true view has a pose")
        };
        pose(b) * pose(a).inverse()
    }

    /// True matches of two views plus wrong ones by `outlier_ratio`, one to
    /// one, ordered by `a_idx`. a < b.
    pub fn matches(&self, a: ViewId, b: ViewId) -> PairMatches {
        let seed = relievo_task::seed(self.options.seed, "synth", &format!("{a}-{b}"));
        let mut rng = Rng::seed_from_u64(seed);
        let in_b: BTreeMap<TrackId, u32> = self.point_of[&b]
            .iter()
            .enumerate()
            .filter_map(|(i, id)| id.map(|id| (id, i as u32)))
            .collect();
        let mut matches: Vec<Match> = self.point_of[&a]
            .iter()
            .enumerate()
            .filter_map(|(i, id)| {
                in_b.get(id.as_ref()?).map(|j| Match {
                    a_idx: i as u32,
                    b_idx: *j,
                })
            })
            .collect();
        let wrong = (matches.len() as f64 * self.options.outlier_ratio).round() as usize;
        // A cyclic shift among randomly chosen ones stays one to one.
        let mut chosen: Vec<usize> = (0..matches.len()).collect();
        shuffle(&mut chosen, &mut rng);
        chosen.truncate(if wrong < 2 { 0 } else { wrong });
        if let Some(&first) = chosen.first() {
            let kept = matches[first].b_idx;
            for w in chosen.windows(2) {
                matches[w[0]].b_idx = matches[w[1]].b_idx;
            }
            matches[chosen[chosen.len() - 1]].b_idx = kept;
        }
        PairMatches { a, b, matches }
    }

    /// True where the match joins two keypoints of one scene point.
    pub fn is_true(&self, a: ViewId, b: ViewId, m: Match) -> bool {
        let owner = self.point_of[&a][m.a_idx as usize];
        owner.is_some() && owner == self.point_of[&b][m.b_idx as usize]
    }

    /// Every pair with at least 15 matches as verified geometry with the true
    /// pose: the matches of [`Self::matches`], outliers included.
    pub fn view_graph(&self) -> ViewGraph {
        let mut graph = ViewGraph::default();
        let ids: Vec<ViewId> = self.truth.views.keys().copied().collect();
        for (i, &a) in ids.iter().enumerate() {
            for &b in &ids[i + 1..] {
                let inliers = self.matches(a, b).matches;
                if inliers.len() < 15 {
                    continue;
                }
                let mut pose = self.b_from_a(a, b);
                let baseline = pose.translation.norm();
                let rotates = baseline < 1e-9;
                pose.translation = if rotates {
                    Vec3::zeros()
                } else {
                    pose.translation / baseline
                };
                graph.pairs.insert(
                    (a, b),
                    TwoViewGeometry {
                        a,
                        b,
                        kind: match (rotates, self.options.shape) {
                            (true, _) => TwoViewKind::PureRotation,
                            (_, Shape::Plane) => TwoViewKind::Planar,
                            _ => TwoViewKind::Calibrated,
                        },
                        median_angle: self.median_angle(a, b, &inliers),
                        inliers,
                        b_from_a: Some(pose),
                        f: Some(self.fundamental(&pose)),
                    },
                );
            }
        }
        graph
    }

    /// F = K⁻ᵀ [t]ₓ R K⁻¹ without distortion, at unit norm.
    fn fundamental(&self, b_from_a: &Rigid3) -> Mat3 {
        let (fx, fy) = self.options.camera.model.focal_px();
        let c = self.options.camera.model.principal_point_px();
        let k_inv = Matrix3::new(fx, 0.0, c.x, 0.0, fy, c.y, 0.0, 0.0, 1.0)
            .try_inverse()
            .unwrap_or_else(Mat3::identity);
        let e = b_from_a.translation.cross_matrix() * b_from_a.matrix();
        let f = k_inv.transpose() * e * k_inv;
        f / f.norm().max(f64::MIN_POSITIVE)
    }

    fn median_angle(&self, a: ViewId, b: ViewId, matches: &[Match]) -> f64 {
        let center = |v: ViewId| self.truth.views[&v].cam_from_world.map(|p| p.center());
        let (Some(ca), Some(cb)) = (center(a), center(b)) else {
            return 0.0;
        };
        let mut angles: Vec<f64> = matches
            .iter()
            .filter_map(|m| self.point_of[&a][m.a_idx as usize])
            .filter_map(|id| self.truth.tracks[&id].position_in_world)
            .map(|x| (x - ca).angle(&(x - cb)))
            .collect();
        angles.sort_by(f64::total_cmp);
        angles.get(angles.len() / 2).copied().unwrap_or(0.0)
    }

    /// The truth with positions taken away: tracks in at least two views, as
    /// a mapper receives them.
    pub fn tracks(&self) -> Vec<Track> {
        self.truth
            .tracks
            .values()
            .filter(|t| t.observations.len() >= 2)
            .map(|t| Track {
                position_in_world: None,
                ..t.clone()
            })
            .collect()
    }
}

/// Uniform in [0, 1).
pub fn uniform(rng: &mut Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Standard normal (Box–Muller).
pub fn normal(rng: &mut Rng) -> f64 {
    let r = (-2.0 * (1.0 - uniform(rng)).ln()).sqrt();
    r * (std::f64::consts::TAU * uniform(rng)).cos()
}

/// A random unit vector.
pub fn direction(rng: &mut Rng) -> Vec3 {
    loop {
        let v = Vec3::new(normal(rng), normal(rng), normal(rng));
        if let Some(u) = v.try_normalize(1e-6) {
            return u;
        }
    }
}

fn shuffle<T>(items: &mut [T], rng: &mut Rng) {
    for i in (1..items.len()).rev() {
        items.swap(i, (rng.next_u64() % (i as u64 + 1)) as usize);
    }
}

fn point(shape: Shape, rng: &mut Rng) -> Vec3 {
    let (u, v) = (2.0 * uniform(rng) - 1.0, 2.0 * uniform(rng) - 1.0);
    match shape {
        Shape::Cloud => direction(rng) * uniform(rng).cbrt(),
        Shape::Plane => Vec3::new(1.3 * u, v, 0.0),
        Shape::Corner => match rng.next_u64() % 3 {
            0 => Vec3::new(u, v, 1.0),
            1 => Vec3::new(u, 1.0, v),
            _ => Vec3::new(-1.0, u, v),
        },
        Shape::Wall(radius) => {
            let (s, c) = (std::f64::consts::PI * u).sin_cos();
            let radius = radius + 0.5 * uniform(rng);
            Vec3::new(c * radius, 1.5 * v, s * radius)
        }
    }
}

fn pose(motion: Motion, part: f64, v: usize) -> Rigid3 {
    match motion {
        Motion::Orbit(arc) => {
            let angle = arc * (part - 0.5);
            let height = 0.4 * (v as f64 * 1.7).sin();
            look_at(&Vec3::new(4.0 * angle.sin(), height, -4.0 * angle.cos()))
        }
        Motion::Sideways => at(&Vec3::new(1.6 * (part - 0.5), 0.0, -4.0)),
        Motion::Forward => at(&Vec3::new(0.0, 0.0, -5.0 + 2.0 * part)),
        Motion::Rotation(arc) => {
            let rotation =
                UnitQuaternion::from_euler_angles(0.1 * (part - 0.5), arc * (part - 0.5), 0.0);
            let center = Vec3::new(0.0, 0.0, -4.0);
            Rigid3::new(rotation, -(rotation * center))
        }
        Motion::Round(radius) => {
            let (s, c) = (std::f64::consts::TAU * part).sin_cos();
            let z = Vec3::new(c, 0.0, s);
            level(
                &(z * radius + Vec3::y() * (0.1 * (v as f64 * 1.7).sin())),
                &z,
            )
        }
    }
}

/// `cam_from_world` at `center` looking along `z`, a unit vector across y, y down.
fn level(center: &Vec3, z: &Vec3) -> Rigid3 {
    let y = Vec3::y();
    let r = Mat3::from_rows(&[y.cross(z).transpose(), y.transpose(), z.transpose()]);
    Rigid3::from_matrix(&r, -(r * center))
}

fn at(center: &Vec3) -> Rigid3 {
    Rigid3::new(UnitQuaternion::identity(), -center)
}

/// `cam_from_world` at `center` looking at the origin, y down.
fn look_at(center: &Vec3) -> Rigid3 {
    let z = -center / center.norm();
    let x = Vec3::y().cross(&z);
    let x = x / x.norm();
    let r = Mat3::from_rows(&[x.transpose(), z.cross(&x).transpose(), z.transpose()]);
    Rigid3::from_matrix(&r, -(r * center))
}

fn inside(px: &Vec2, camera: &Camera) -> bool {
    px.x >= 0.0
        && px.y >= 0.0
        && px.x < f64::from(camera.width_px)
        && px.y < f64::from(camera.height_px)
}

fn anywhere(camera: &Camera, rng: &mut Rng) -> Vec2 {
    Vec2::new(
        uniform(rng) * f64::from(camera.width_px),
        uniform(rng) * f64::from(camera.height_px),
    )
}

/// Squared components like RootSIFT's, norm about 512.
fn descriptor(rng: &mut Rng) -> [u8; DESCRIPTOR_LEN] {
    let mut weights = [0.0; DESCRIPTOR_LEN];
    for w in &mut weights {
        *w = -(1.0 - uniform(rng)).ln();
    }
    let total: f64 = weights.iter().sum();
    weights.map(|w| (512.0 * (w / total).sqrt()).min(255.0) as u8)
}

fn jitter(d: &[u8; DESCRIPTOR_LEN], rng: &mut Rng) -> [u8; DESCRIPTOR_LEN] {
    d.map(|v| (f64::from(v) + 4.0 * normal(rng)).clamp(0.0, 255.0) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ModelTolerance, assert_model_near};
    use relievo_geometry::Sim3;

    #[test]
    fn the_truth_is_consistent_and_near_itself() {
        for shape in [Shape::Cloud, Shape::Plane, Shape::Corner] {
            let options = SceneOptions {
                shape,
                noise_px: 0.0,
                clutter: 20,
                ..SceneOptions::default()
            };
            let scene = Scene::new(&options);
            scene.truth.check().unwrap();
            for f in scene.features.values() {
                f.check().unwrap();
                assert!(f.len() > 250, "{shape:?}: {}", f.len());
            }
            let mut moved = scene.truth.clone();
            let sim = Sim3 {
                scale: 3.0,
                rotation: UnitQuaternion::from_euler_angles(0.3, 1.0, -0.4),
                translation: Vec3::new(1.0, 2.0, 3.0),
            };
            for t in moved.tracks.values() {
                for o in &t.observations {
                    assert!(moved.reprojection_error_px(t, o).unwrap() < 1e-3);
                }
            }
            for v in moved.views.values_mut() {
                v.cam_from_world = v.cam_from_world.map(|p| sim.transform_pose(&p));
            }
            let tolerance = ModelTolerance {
                center: 1e-9,
                rotation_deg: 1e-6,
                min_views: 8,
                min_tracks: 500,
            };
            assert_model_near(&moved, &scene.truth, tolerance);
            let bent = moved.views.get_mut(&ViewId(3)).unwrap();
            bent.cam_from_world.as_mut().unwrap().translation.x += 0.1;
            let errors = crate::pose_errors(&moved, &scene.truth).unwrap();
            assert!(errors.centers.iter().any(|e| *e > 1e-3));
        }
    }

    #[test]
    fn matches_hold_the_asked_part_of_outliers() {
        let scene = Scene::new(&SceneOptions {
            outlier_ratio: 0.6,
            ..SceneOptions::default()
        });
        let (a, b) = (ViewId(1), ViewId(4));
        let pair = scene.matches(a, b);
        let right = pair
            .matches
            .iter()
            .filter(|m| scene.is_true(a, b, **m))
            .count();
        let part = right as f64 / pair.matches.len() as f64;
        assert!((part - 0.4).abs() < 0.01, "{part}");
        let mut b_side: Vec<u32> = pair.matches.iter().map(|m| m.b_idx).collect();
        b_side.sort_unstable();
        assert!(b_side.windows(2).all(|w| w[0] < w[1]));
        assert_eq!(pair, scene.matches(a, b));
    }

    #[test]
    fn the_view_graph_obeys_its_fundamental_matrices() {
        let scene = Scene::new(&SceneOptions {
            noise_px: 0.0,
            ..SceneOptions::default()
        });
        let graph = scene.view_graph();
        assert_eq!(graph.pairs.len(), 28);
        for ((a, b), pair) in &graph.pairs {
            pair.check().unwrap();
            let f = pair.f.unwrap();
            for m in pair.inliers.iter().take(20) {
                let p = scene.features[a].keypoints[m.a_idx as usize];
                let q = scene.features[b].keypoints[m.b_idx as usize];
                let x = Vec3::new(f64::from(p.x_px), f64::from(p.y_px), 1.0);
                let y = Vec3::new(f64::from(q.x_px), f64::from(q.y_px), 1.0);
                let line = f * x;
                assert!(y.dot(&line).abs() / line.xy().norm() < 1e-3);
            }
        }
    }
}
