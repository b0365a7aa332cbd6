//! Camera pose from three points.

use crate::{Mat3, Rigid3, Vec3};
use arrayvec::ArrayVec;

/// Poses `cam_from_world` from three bearings: λᵢ xᵢ = R Xᵢ + t, λᵢ > 0.
///
/// Persson & Nordberg, "Lambda Twist", ECCV 2018: the three conics in λ are
/// reduced to two homogeneous ones, a degenerate member of their pencil is
/// found by a cubic, split into its two planes, and each plane gives a
/// quadratic. Departures: of all real roots of the cubic the one whose conic
/// splits best is taken, the quadratic is solved homogeneously (no division by
/// a coefficient that may vanish), and three Gauss–Newton steps polish λ.
///
/// `x`: unit, camera frame. `big_x`: world. Collinear or coincident points
/// give no pose.
pub fn p3p_lambda_twist(x: &[Vec3; 3], big_x: &[Vec3; 3]) -> ArrayVec<Rigid3, 4> {
    let mut poses = ArrayVec::new();
    let (d12, d13, d23) = (
        big_x[0] - big_x[1],
        big_x[0] - big_x[2],
        big_x[1] - big_x[2],
    );
    let a = [d12.norm_squared(), d13.norm_squared(), d23.norm_squared()];
    let normal = d12.cross(&d13);
    let size = a[0].max(a[1]).max(a[2]);
    if !(normal.norm_squared() > 1e-16 * size * size) || !size.is_finite() {
        return poses;
    }
    // Scale of the world out of the equations.
    let a = a.map(|v| v / size);
    let b = [x[0].dot(&x[1]), x[0].dot(&x[2]), x[1].dot(&x[2])];
    // λᵀ M_ij λ = a_ij.
    let m12 = Mat3::new(1.0, -b[0], 0.0, -b[0], 1.0, 0.0, 0.0, 0.0, 0.0);
    let m13 = Mat3::new(1.0, 0.0, -b[1], 0.0, 0.0, 0.0, -b[1], 0.0, 1.0);
    let m23 = Mat3::new(0.0, 0.0, 0.0, 0.0, 1.0, -b[2], 0.0, -b[2], 1.0);
    let d1 = m12 * a[2] - m23 * a[0];
    let d2 = m13 * a[2] - m23 * a[1];

    // det(D1 + γ D2) = 0.
    let Some(gamma) = best_root(&d1, &d2) else {
        return poses;
    };
    let d0 = d1 + d2 * gamma;
    let Some(planes) = split(&d0) else {
        return poses;
    };
    let cone = if gamma.abs() > 1.0 { d1 } else { d2 };
    let total = m12 + m13 + m23;
    let total_a = a[0] + a[1] + a[2];
    let world = Mat3::from_columns(&[d12, d13, normal]);
    let Some(world_inverse) = world.try_inverse() else {
        return poses;
    };
    for n in planes {
        let Some((u, v)) = basis(&n) else { continue };
        let q = [
            u.dot(&(cone * u)),
            2.0 * u.dot(&(cone * v)),
            v.dot(&(cone * v)),
        ];
        for (alpha, beta) in roots(q) {
            let mut lambda = u * alpha + v * beta;
            let scale = lambda.dot(&(total * lambda));
            if !(scale > 0.0) {
                continue;
            }
            lambda *= (total_a / scale).sqrt();
            if lambda.sum() < 0.0 {
                lambda = -lambda;
            }
            polish(&mut lambda, &a, &b);
            if !(lambda.min() > 0.0) || !consistent(&lambda, &a, &b) {
                continue;
            }
            let lambda = lambda * size.sqrt();
            let y = [x[0] * lambda[0], x[1] * lambda[1], x[2] * lambda[2]];
            let (e12, e13) = (y[0] - y[1], y[0] - y[2]);
            let camera = Mat3::from_columns(&[e12, e13, e12.cross(&e13)]);
            let pose = Rigid3::from_matrix(&(camera * world_inverse), Vec3::zeros());
            let translation = y[0] - pose.rotation * big_x[0];
            let pose = Rigid3::new(pose.rotation, translation);
            if pose.is_finite() && !poses.is_full() {
                poses.push(pose);
            }
        }
    }
    poses
}

/// Sum of the principal 2×2 minors; negative where a singular symmetric matrix
/// has eigenvalues of both signs.
fn minors(m: &Mat3) -> f64 {
    m[(0, 0)] * m[(1, 1)] - m[(0, 1)] * m[(1, 0)] + m[(0, 0)] * m[(2, 2)] - m[(0, 2)] * m[(2, 0)]
        + m[(1, 1)] * m[(2, 2)]
        - m[(1, 2)] * m[(2, 1)]
}

fn adjugate(m: &Mat3) -> Mat3 {
    let (a, b, c) = (m.column(0), m.column(1), m.column(2));
    Mat3::from_rows(&[
        b.cross(&c).transpose(),
        c.cross(&a).transpose(),
        a.cross(&b).transpose(),
    ])
}

/// The real root γ of det(D1 + γ D2) whose conic splits best into two planes.
fn best_root(d1: &Mat3, d2: &Mat3) -> Option<f64> {
    let c = [
        d1.determinant(),
        (adjugate(d1) * d2).trace(),
        (adjugate(d2) * d1).trace(),
        d2.determinant(),
    ];
    real_cubic_roots(c)
        .into_iter()
        .map(|gamma| {
            let m = d1 + d2 * gamma;
            (minors(&m) / m.norm_squared(), gamma)
        })
        .filter(|(s, _)| *s < 0.0)
        .min_by(|p, q| p.0.total_cmp(&q.0))
        .map(|(_, gamma)| gamma)
}

/// Real roots of c₀ + c₁ x + c₂ x² + c₃ x³, polished by Newton's method.
fn real_cubic_roots(c: [f64; 4]) -> ArrayVec<f64, 3> {
    let mut roots = ArrayVec::new();
    let size = c.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    if !(size > 0.0) || !size.is_finite() {
        return roots;
    }
    let c = c.map(|v| v / size);
    if c[3].abs() < 1e-14 {
        for (alpha, beta) in self::roots([c[2], c[1], c[0]]) {
            if beta != 0.0 {
                roots.push(alpha / beta);
            }
        }
    } else {
        // Depressed cubic t³ + p t + q with x = t − c₂ / 3c₃.
        let (b, cc, d) = (c[2] / c[3], c[1] / c[3], c[0] / c[3]);
        let p = cc - b * b / 3.0;
        let q = b * (2.0 * b * b - 9.0 * cc) / 27.0 + d;
        let discriminant = 0.25 * q * q + p * p * p / 27.0;
        if discriminant > 0.0 {
            let s = discriminant.sqrt();
            // The larger root first, the other by their product: no cancellation.
            let u = if q > 0.0 { -0.5 * q - s } else { -0.5 * q + s }.cbrt();
            let v = if u == 0.0 { 0.0 } else { -p / (3.0 * u) };
            roots.push(u + v - b / 3.0);
        } else {
            let r = (-p / 3.0).max(0.0).sqrt();
            let cosine = if r > 0.0 {
                (-0.5 * q / (r * r * r)).clamp(-1.0, 1.0)
            } else {
                0.0
            };
            let phi = cosine.acos() / 3.0;
            for k in 0..3 {
                let angle = phi - 2.0 * std::f64::consts::PI * f64::from(k) / 3.0;
                roots.push(2.0 * r * angle.cos() - b / 3.0);
            }
        }
    }
    for x in &mut roots {
        for _ in 0..5 {
            let f = ((c[3] * *x + c[2]) * *x + c[1]) * *x + c[0];
            let df = (3.0 * c[3] * *x + 2.0 * c[2]) * *x + c[1];
            let step = f / df;
            if !step.is_finite() {
                break;
            }
            *x -= step;
        }
    }
    roots
}

/// Normals of the two planes into which a singular conic λᵀ D λ = 0 splits.
fn split(d: &Mat3) -> Option<[Vec3; 2]> {
    let trace = d.trace();
    let s = (0.25 * trace * trace - minors(d)).max(0.0).sqrt();
    let (plus, minus) = (0.5 * trace + s, 0.5 * trace - s);
    if !(plus > 0.0) || !(minus < 0.0) {
        return None;
    }
    let e1 = eigenvector(d, plus)? * plus.sqrt();
    let e2 = eigenvector(d, minus)? * (-minus).sqrt();
    Some([e1 - e2, e1 + e2])
}

/// Unit vector orthogonal to the rows of D − σI: the best of three products.
fn eigenvector(d: &Mat3, sigma: f64) -> Option<Vec3> {
    let m = d - Mat3::identity() * sigma;
    let (a, b, c) = (m.column(0), m.column(1), m.column(2));
    let best = [a.cross(&b), a.cross(&c), b.cross(&c)]
        .into_iter()
        .max_by(|p, q| p.norm_squared().total_cmp(&q.norm_squared()))?;
    best.try_normalize(1e-30)
}

/// Two orthonormal vectors of the plane with normal `n`.
fn basis(n: &Vec3) -> Option<(Vec3, Vec3)> {
    let n = n.try_normalize(1e-30)?;
    let axis = match n.iamin() {
        0 => Vec3::x(),
        1 => Vec3::y(),
        _ => Vec3::z(),
    };
    let u = n.cross(&axis).try_normalize(1e-30)?;
    Some((u, n.cross(&u)))
}

/// Homogeneous roots (α : β) of q₀ α² + q₁ αβ + q₂ β² = 0.
fn roots(q: [f64; 3]) -> ArrayVec<(f64, f64), 2> {
    let mut out = ArrayVec::new();
    let discriminant = q[1] * q[1] - 4.0 * q[0] * q[2];
    let size = q[1] * q[1] + (4.0 * q[0] * q[2]).abs();
    if !(discriminant >= -1e-12 * size) {
        return out;
    }
    let root = discriminant.max(0.0).sqrt();
    let s = -0.5 * (q[1] + if q[1] < 0.0 { -root } else { root });
    for (alpha, beta) in [(s, q[0]), (q[2], s)] {
        let norm = alpha.hypot(beta);
        if norm > 0.0 && norm.is_finite() {
            out.push((alpha / norm, beta / norm));
        }
    }
    out
}

fn residuals(l: &Vec3, a: &[f64; 3], b: &[f64; 3]) -> Vec3 {
    Vec3::new(
        l.x * l.x + l.y * l.y - 2.0 * b[0] * l.x * l.y - a[0],
        l.x * l.x + l.z * l.z - 2.0 * b[1] * l.x * l.z - a[1],
        l.y * l.y + l.z * l.z - 2.0 * b[2] * l.y * l.z - a[2],
    )
}

/// Gauss–Newton on the three distances.
fn polish(l: &mut Vec3, a: &[f64; 3], b: &[f64; 3]) {
    let mut error = residuals(l, a, b).norm_squared();
    for _ in 0..3 {
        let r = residuals(l, a, b);
        let j = Mat3::new(
            2.0 * (l.x - b[0] * l.y),
            2.0 * (l.y - b[0] * l.x),
            0.0,
            2.0 * (l.x - b[1] * l.z),
            0.0,
            2.0 * (l.z - b[1] * l.x),
            0.0,
            2.0 * (l.y - b[2] * l.z),
            2.0 * (l.z - b[2] * l.y),
        );
        let Some(inverse) = j.try_inverse() else {
            return;
        };
        let next = *l - inverse * r;
        let next_error = residuals(&next, a, b).norm_squared();
        if !(next_error < error) {
            return;
        }
        (*l, error) = (next, next_error);
    }
}

fn consistent(l: &Vec3, a: &[f64; 3], b: &[f64; 3]) -> bool {
    residuals(l, a, b).amax() < 1e-6
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::UnitQuaternion;
    use relievo_task::seed::rng;
    use relievo_task::seed::{Rng, RngCore};

    fn uniform(rng: &mut Rng) -> f64 {
        (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64 * 2.0 - 1.0
    }

    fn random_vec(rng: &mut Rng, size: f64) -> Vec3 {
        Vec3::new(uniform(rng), uniform(rng), uniform(rng)) * size
    }

    #[test]
    fn the_truth_is_among_the_solutions() {
        let mut rng = rng(0, "p3p", "truth");
        let (mut found, mut solutions) = (0, 0);
        let trials = 5000;
        for _ in 0..trials {
            let pose = Rigid3::new(
                UnitQuaternion::from_scaled_axis(random_vec(&mut rng, 3.0)),
                random_vec(&mut rng, 5.0),
            );
            let inverse = pose.inverse();
            let in_camera: [Vec3; 3] =
                std::array::from_fn(|_| random_vec(&mut rng, 2.0) + Vec3::new(0.0, 0.0, 4.0));
            let x = in_camera.map(|p| p.normalize());
            let big_x = in_camera.map(|p| inverse.apply(&p));
            let poses = p3p_lambda_twist(&x, &big_x);
            solutions += poses.len();
            let best = poses
                .iter()
                .map(|p| {
                    (p.matrix() - pose.matrix()).norm() + (p.translation - pose.translation).norm()
                })
                .fold(f64::INFINITY, f64::min);
            found += usize::from(best < 1e-5);
            for p in &poses {
                for k in 0..3 {
                    let bearing = p.apply(&big_x[k]).normalize();
                    assert!(
                        (bearing - x[k]).norm() < 1e-4,
                        "a solution that does not fit"
                    );
                }
            }
        }
        assert!(
            found * 1000 >= trials * 997,
            "truth found in {found} of {trials}"
        );
        assert!(solutions < trials * 3);
    }

    #[test]
    fn degenerate_points_give_nothing() {
        let x = [
            Vec3::new(0.0, 0.0, 1.0),
            Vec3::new(0.1, 0.0, 1.0).normalize(),
            Vec3::new(0.2, 0.0, 1.0).normalize(),
        ];
        let line = [Vec3::zeros(), Vec3::x(), Vec3::x() * 2.0];
        assert!(p3p_lambda_twist(&x, &line).is_empty());
        assert!(p3p_lambda_twist(&x, &[Vec3::zeros(); 3]).is_empty());
        let nan = [Vec3::repeat(f64::NAN), Vec3::x(), Vec3::y()];
        assert!(p3p_lambda_twist(&x, &nan).is_empty());
    }
}
