//! The pair from which a model starts.
//!
//! Pairs are ranked by their inliers, the angle between their rays and whether
//! they show more than a plane; the best are reconstructed and adjusted, and
//! the one with most accurate points under a sufficient angle wins.

use crate::SfmOptions;
use crate::adjust::{Adjustment, Intrinsics, adjust};
use crate::grow_points::{PointLimits, filter};
use crate::model::Model;
use crate::scene::{Pair, Scene};
use nalgebra::{DMatrix, Matrix3};
use relievo_geometry::triangulation::{Sighting, triangulate_linear, triangulation_angle};
use relievo_geometry::{Mat3, Rigid3, Vec2, Vec3};
use relievo_optim::{BundleOptions, Loss};
use relievo_scene::{Camera, TwoViewKind};
use relievo_task::{Cancelled, Task, ordered};

/// A reconstructed pair.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) a: usize,
    pub(crate) b: usize,
    pub(crate) model: Model,
    pub(crate) points: usize,
    pub(crate) median_angle: f64,
    pub(crate) iterations: usize,
    planar: bool,
}

impl Start {
    /// Points, discounted for a small angle or a plane.
    fn quality(&self, min_angle: f64) -> f64 {
        let angle = (self.median_angle / min_angle).min(1.0);
        self.points as f64 * angle * if self.planar { 0.5 } else { 1.0 }
    }
}

/// Pairs worth trying, best guess first.
pub(crate) fn rank<'s, 'a>(
    scene: &'s Scene<'a>,
    cameras: &[Camera],
    allowed: impl Fn(&Pair<'a>) -> bool,
    min_angle: f64,
) -> Vec<&'s Pair<'a>> {
    let mut ranked: Vec<(f64, &Pair<'a>)> = scene
        .pairs
        .iter()
        .filter(|p| p.geometry.kind != TwoViewKind::PureRotation && allowed(p))
        .map(|p| {
            let kind = if p.geometry.kind == TwoViewKind::Planar {
                0.5
            } else {
                1.0
            };
            // Matches of the pair that live on in further views make it grow.
            let angle = rough_angle(scene, cameras, p);
            let angle = (angle / min_angle).clamp(0.05, 1.0);
            (p.geometry.inliers.len() as f64 * kind * angle, p)
        })
        .collect();
    ranked.sort_by(|p, q| {
        q.0.total_cmp(&p.0)
            .then((p.1.a, p.1.b).cmp(&(q.1.a, q.1.b)))
    });
    ranked.into_iter().map(|(_, p)| p).collect()
}

/// The pair's own median angle, or a guess from how far matches move.
fn rough_angle(scene: &Scene<'_>, cameras: &[Camera], pair: &Pair<'_>) -> f64 {
    if pair.geometry.median_angle > 0.0 {
        return pair.geometry.median_angle;
    }
    let f = cameras[scene.camera_of[pair.a]].model.mean_focal_px();
    let mut moves: Vec<f64> = pair
        .geometry
        .inliers
        .iter()
        .map(|m| (scene.px[pair.a][m.a_idx as usize] - scene.px[pair.b][m.b_idx as usize]).norm())
        .collect();
    moves.sort_by(f64::total_cmp);
    let spread = moves[moves.len() * 9 / 10] - moves[moves.len() / 10];
    (spread / f).atan()
}

/// The best of `pairs`, reconstructed; `None` where none gives any point.
pub(crate) fn best_start(
    scene: &Scene<'_>,
    cameras: &[Camera],
    pairs: &[&Pair<'_>],
    options: &SfmOptions,
    limits: &PointLimits,
    task: &Task,
) -> Result<Vec<Start>, Cancelled> {
    let min_angle = options.init_min_angle_deg.to_radians();
    let mut starts: Vec<Start> = ordered::try_map(pairs, |pair| {
        start(scene, cameras, pair, options, limits, task)
    })?
    .into_iter()
    .flatten()
    .collect();
    starts.sort_by(|p, q| {
        q.quality(min_angle)
            .total_cmp(&p.quality(min_angle))
            .then((p.a, p.b).cmp(&(q.a, q.b)))
    });
    Ok(starts)
}

fn start(
    scene: &Scene<'_>,
    cameras: &[Camera],
    pair: &Pair<'_>,
    options: &SfmOptions,
    limits: &PointLimits,
    task: &Task,
) -> Result<Option<Start>, Cancelled> {
    let (a, b) = (pair.a, pair.b);
    let Some(pose_b) = relative_pose(scene, cameras, pair) else {
        return Ok(None);
    };
    let mut model = Model::new(scene, cameras);
    model.register(a, Rigid3::identity());
    model.register(b, pose_b);
    // Looser before the adjustment, since the relative pose is still rough.
    let loose = PointLimits {
        max_error_px: 4.0 * limits.max_error_px,
        min_angle: 0.5 * limits.min_angle,
    };
    create_points(scene, &mut model, pair);
    let ids: Vec<u32> = model.alive().map(|p| p.0).collect();
    filter(scene, &mut model, &ids, &loose);
    let mut iterations = 0;
    for round in 0..2 {
        let points: Vec<u32> = model.alive().map(|p| p.0).collect();
        if points.len() < 8 {
            return Ok(None);
        }
        let what = Adjustment {
            views: vec![a, b],
            points: points.clone(),
            intrinsics: vec![Intrinsics::Fixed; cameras.len()],
            hold_out: false,
            prior: false,
            options: BundleOptions {
                max_iterations: if round == 0 { 20 } else { 10 },
                tolerance: options.growth_tolerance,
                loss: Loss::Cauchy(options.loss_scale_px * 2.0),
                ..BundleOptions::default()
            },
        };
        iterations += adjust(scene, &mut model, &what, task)?;
        if round == 0 {
            filter(scene, &mut model, &points, &loose);
            create_points(scene, &mut model, pair);
        }
        let points: Vec<u32> = model.alive().map(|p| p.0).collect();
        filter(scene, &mut model, &points, limits);
    }
    model.compact();
    let (ca, cb) = match (&model.poses[a], &model.poses[b]) {
        (Some(p), Some(q)) => (p.center(), q.center()),
        _ => return Ok(None),
    };
    let mut angles: Vec<f64> = model
        .points
        .iter()
        .map(|p| triangulation_angle(&ca, &cb, &p.x))
        .collect();
    angles.sort_by(f64::total_cmp);
    let Some(&median_angle) = angles.get(angles.len() / 2) else {
        return Ok(None);
    };
    Ok(Some(Start {
        a,
        b,
        points: angles.len(),
        median_angle,
        iterations,
        planar: pair.geometry.kind == TwoViewKind::Planar,
        model,
    }))
}

/// Points for all inliers that have none.
fn create_points(scene: &Scene<'_>, model: &mut Model, pair: &Pair<'_>) {
    use crate::scene::{NONE, Obs};
    for m in &pair.geometry.inliers {
        let obs = [
            Obs {
                view: pair.a as u32,
                kp: m.a_idx,
            },
            Obs {
                view: pair.b as u32,
                kp: m.b_idx,
            },
        ];
        if obs.iter().any(|&o| model.point_at(o) != NONE) {
            continue;
        }
        let sightings: Option<Vec<Sighting<'_>>> =
            obs.iter().map(|&o| model.sighting(scene, o)).collect();
        if let Some(x) = sightings.and_then(|s| triangulate_linear(&s)) {
            model.add_point(x, obs.to_vec());
        }
    }
}

/// `b_from_a` with the most points in front of both cameras.
fn relative_pose(scene: &Scene<'_>, cameras: &[Camera], pair: &Pair<'_>) -> Option<Rigid3> {
    let (ca, cb) = (
        &cameras[scene.camera_of[pair.a]].model,
        &cameras[scene.camera_of[pair.b]].model,
    );
    let rays: Vec<(Vec2, Vec2)> = pair
        .geometry
        .inliers
        .iter()
        .map(|m| {
            (
                ca.unproject(&scene.px[pair.a][m.a_idx as usize]),
                cb.unproject(&scene.px[pair.b][m.b_idx as usize]),
            )
        })
        .collect();
    let mut poses: Vec<Rigid3> = Vec::new();
    if let Some(p) = pair.geometry.b_from_a
        && p.translation.norm() > 0.0
    {
        poses.push(p);
    }
    if let Some(e) = essential_linear(&rays) {
        poses.extend(decompose(&e));
    }
    if let Some(f) = pair.geometry.f {
        let e = calibration(cb).transpose() * f * calibration(ca);
        poses.extend(decompose(&e));
    }
    let mut best: Option<(f64, Rigid3)> = None;
    for pose in poses {
        let score = agreement(&pose, &rays, 2.0 / ca.mean_focal_px());
        if best.as_ref().is_none_or(|b| score > b.0) {
            best = Some((score, pose));
        }
    }
    best.filter(|b| b.0 > 0.0).map(|b| b.1)
}

fn calibration(camera: &relievo_geometry::CameraModel) -> Mat3 {
    let (fx, fy) = camera.focal_px();
    let c = camera.principal_point_px();
    Matrix3::new(fx, 0.0, c.x, 0.0, fy, c.y, 0.0, 0.0, 1.0)
}

/// Matches in front of both cameras, weighted down by their epipolar error
/// (Sampson; `scale` in normalised units).
fn agreement(pose: &Rigid3, rays: &[(Vec2, Vec2)], scale: f64) -> f64 {
    let r = pose.matrix();
    let t = pose.translation;
    let e = t.cross_matrix() * r;
    let mut sum = 0.0;
    for (p, q) in rays {
        let (x, y) = (Vec3::new(p.x, p.y, 1.0), Vec3::new(q.x, q.y, 1.0));
        // Depths along both rays: least squares on λ_b y = λ_a R x + t.
        let rx = r * x;
        let (a, b, c) = (rx.dot(&rx), -rx.dot(&y), y.dot(&y));
        let det = a * c - b * b;
        if !(det > 1e-12) {
            continue;
        }
        let (u, v) = (-rx.dot(&t), y.dot(&t));
        let (za, zb) = ((c * u - b * v) / det, (a * v - b * u) / det);
        if !(za > 0.0 && zb > 0.0) {
            continue;
        }
        let (l, lt) = (e * x, e.transpose() * y);
        let d = y.dot(&l).powi(2) / (l.xy().norm_squared() + lt.xy().norm_squared());
        sum += 1.0 / (1.0 + d / (scale * scale));
    }
    sum
}

/// The eight-point algorithm on all matches, in normalised coordinates
/// (Hartley 1997).
fn essential_linear(rays: &[(Vec2, Vec2)]) -> Option<Mat3> {
    if rays.len() < 8 {
        return None;
    }
    let normaliser = |pick: &dyn Fn(&(Vec2, Vec2)) -> Vec2| {
        let n = rays.len() as f64;
        let mean = rays.iter().fold(Vec2::zeros(), |s, r| s + pick(r)) / n;
        let size = rays.iter().map(|r| (pick(r) - mean).norm()).sum::<f64>() / n;
        (mean, std::f64::consts::SQRT_2 / size.max(1e-12))
    };
    let (ma, sa) = normaliser(&|r| r.0);
    let (mb, sb) = normaliser(&|r| r.1);
    let mut ata = DMatrix::<f64>::zeros(9, 9);
    for (p, q) in rays {
        let (p, q) = ((p - ma) * sa, (q - mb) * sb);
        let row = [
            q.x * p.x,
            q.x * p.y,
            q.x,
            q.y * p.x,
            q.y * p.y,
            q.y,
            p.x,
            p.y,
            1.0,
        ];
        for i in 0..9 {
            for j in 0..9 {
                ata[(i, j)] += row[i] * row[j];
            }
        }
    }
    let eigen = ata.symmetric_eigen();
    let k = eigen.eigenvalues.imin();
    let v = eigen.eigenvectors.column(k);
    let f = Mat3::from_row_slice(v.as_slice());
    let ta = Matrix3::new(sa, 0.0, -sa * ma.x, 0.0, sa, -sa * ma.y, 0.0, 0.0, 1.0);
    let tb = Matrix3::new(sb, 0.0, -sb * mb.x, 0.0, sb, -sb * mb.y, 0.0, 0.0, 1.0);
    let e = tb.transpose() * f * ta;
    e.iter().all(|x| x.is_finite()).then_some(e)
}

/// The four poses of an essential matrix (Hartley & Zisserman 2004, §9.6.2).
fn decompose(e: &Mat3) -> Vec<Rigid3> {
    let svd = e.svd(true, true);
    let (Some(mut u), Some(mut vt)) = (svd.u, svd.v_t) else {
        return Vec::new();
    };
    if u.determinant() < 0.0 {
        u = -u;
    }
    if vt.determinant() < 0.0 {
        vt = -vt;
    }
    let w = Matrix3::new(0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0);
    // nalgebra orders singular values descending, so the last is the null one.
    let t = u.column(2).into_owned();
    let mut out = Vec::with_capacity(4);
    for r in [u * w * vt, u * w.transpose() * vt] {
        for t in [t, -t] {
            out.push(Rigid3::from_matrix(&r, t));
        }
    }
    out
}
