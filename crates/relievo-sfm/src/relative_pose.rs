//! The relative pose of two views, from what their pair knows and from all its
//! matches.

use crate::scene::{Pair, Scene};
use nalgebra::{DMatrix, Matrix3};
use relievo_geometry::epipolar::{Sampson, essential_from_pose, refine_relative_pose};
use relievo_geometry::{Mat3, Rigid3, Vec2, Vec3};
use relievo_scene::Camera;

/// `b_from_a` with the most points in front of both cameras.
pub(crate) fn relative_pose(
    scene: &Scene<'_>,
    cameras: &[Camera],
    pair: &Pair<'_>,
) -> Option<Rigid3> {
    let rays = rays(scene, cameras, pair);
    let linear = essential_linear(&rays).map(|e| decompose(&e));
    let poses = linear.into_iter().flatten();
    best(
        cameras,
        scene,
        pair,
        known(scene, cameras, pair).chain(poses),
        &rays,
    )
}

/// [`relative_pose`], then iterated on all matches under a Cauchy loss: what F
/// or the linear solution give is rough where little is seen from the side.
pub(crate) fn refined_pose(
    scene: &Scene<'_>,
    cameras: &[Camera],
    pair: &Pair<'_>,
) -> Option<Rigid3> {
    let rays = rays(scene, cameras, pair);
    let focal = |v: usize| cameras[scene.camera_of[v]].model.mean_focal_px();
    let sampson = Sampson::new(focal(pair.a), focal(pair.b));
    let linear = essential_linear(&rays).map(|e| decompose(&e));
    let starts = known(scene, cameras, pair).chain(linear.into_iter().flatten());
    let refined = starts.filter_map(|start| {
        let mut pose = start;
        for _ in 0..REFINEMENTS {
            let e = essential_from_pose(&pose);
            let weighted = rays.iter().map(|(a, b)| {
                let r2 = sampson.squared(&e, a, b);
                (*a, *b, 1.0 / (1.0 + r2 / (LOSS_PX * LOSS_PX)))
            });
            pose = refine_relative_pose(&pose, weighted, &sampson, 2)?;
        }
        Some(pose)
    });
    best(cameras, scene, pair, refined, &rays)
}

/// Rounds of weights of [`refined_pose`], and the scale of its loss.
const REFINEMENTS: usize = 5;
const LOSS_PX: f64 = 2.0;

/// The matches in normalised coordinates.
pub(crate) fn rays(scene: &Scene<'_>, cameras: &[Camera], pair: &Pair<'_>) -> Vec<(Vec2, Vec2)> {
    let camera = |v: usize| &cameras[scene.camera_of[v]].model;
    let (ca, cb) = (camera(pair.a), camera(pair.b));
    let matches = pair.geometry.inliers.iter();
    matches
        .map(|m| {
            (
                ca.unproject(&scene.px[pair.a][m.a_idx as usize]),
                cb.unproject(&scene.px[pair.b][m.b_idx as usize]),
            )
        })
        .collect()
}

/// Poses that the pair's geometry tells.
fn known(
    scene: &Scene<'_>,
    cameras: &[Camera],
    pair: &Pair<'_>,
) -> impl Iterator<Item = Rigid3> + use<> {
    let camera = |v: usize| &cameras[scene.camera_of[v]].model;
    let given = pair
        .geometry
        .b_from_a
        .filter(|p| p.translation.norm() > 0.0);
    let by_f = pair.geometry.f.map(|f| {
        decompose(&(calibration(camera(pair.b)).transpose() * f * calibration(camera(pair.a))))
    });
    given.into_iter().chain(by_f.into_iter().flatten())
}

fn best(
    cameras: &[Camera],
    scene: &Scene<'_>,
    pair: &Pair<'_>,
    poses: impl Iterator<Item = Rigid3>,
    rays: &[(Vec2, Vec2)],
) -> Option<Rigid3> {
    let focal = cameras[scene.camera_of[pair.a]].model.mean_focal_px();
    let mut best: Option<(f64, Rigid3)> = None;
    for pose in poses {
        let score = agreement(&pose, rays, 2.0 / focal);
        if best.as_ref().is_none_or(|b| score > b.0) {
            best = Some((score, pose));
        }
    }
    best.filter(|b| b.0 > 0.0).map(|b| b.1)
}

pub(crate) fn calibration(camera: &relievo_geometry::CameraModel) -> Mat3 {
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
