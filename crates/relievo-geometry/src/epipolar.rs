//! Essential and fundamental matrices: residual, pose, refinement.
//!
//! Points are homogeneous (x, y, 1) in normalised image coordinates unless
//! said otherwise; x_bᵀ E x_a = 0.

use crate::solvers::five_point::epipolar_row;
use crate::{Mat3, Rigid3, Vec2, Vec3};
use nalgebra::{SMatrix, SVector, UnitQuaternion};

/// Sampson's distance in pixels, for points in normalised coordinates.
///
/// Hartley & Zisserman 2004, §11.4.3, with the gradient taken by pixels of
/// both pictures.
#[derive(Clone, Copy, Debug)]
pub struct Sampson {
    inverse_fa2: f64,
    inverse_fb2: f64,
}

impl Sampson {
    /// For focal lengths in pixels; 1, 1 gives normalised units.
    pub fn new(focal_a_px: f64, focal_b_px: f64) -> Self {
        Self {
            inverse_fa2: focal_a_px.powi(-2),
            inverse_fb2: focal_b_px.powi(-2),
        }
    }

    /// Squared distance in px².
    #[inline]
    pub fn squared(&self, e: &Mat3, a: &Vec2, b: &Vec2) -> f64 {
        let lx = e.m11 * a.x + e.m12 * a.y + e.m13;
        let ly = e.m21 * a.x + e.m22 * a.y + e.m23;
        let lz = e.m31 * a.x + e.m32 * a.y + e.m33;
        let c = b.x * lx + b.y * ly + lz;
        let kx = e.m11 * b.x + e.m21 * b.y + e.m31;
        let ky = e.m12 * b.x + e.m22 * b.y + e.m32;
        let n2 = (lx * lx + ly * ly) * self.inverse_fb2 + (kx * kx + ky * ky) * self.inverse_fa2;
        c * c / n2
    }

    /// Signed distance in px and its derivative by the entries of E.
    fn with_gradient(&self, e: &Mat3, a: &Vec2, b: &Vec2) -> (f64, Mat3) {
        let (xa, xb) = (Vec3::new(a.x, a.y, 1.0), Vec3::new(b.x, b.y, 1.0));
        let line_b = e * xa;
        let line_a = e.transpose() * xb;
        let c = xb.dot(&line_b);
        let gb = Vec3::new(line_b.x, line_b.y, 0.0) * self.inverse_fb2;
        let ga = Vec3::new(line_a.x, line_a.y, 0.0) * self.inverse_fa2;
        let n2 = gb.dot(&line_b) + ga.dot(&line_a);
        let n = n2.sqrt();
        let slope = c / n2;
        let derivative =
            (xb * xa.transpose() - (gb * xa.transpose() + xb * ga.transpose()) * slope) / n;
        (c / n, derivative)
    }
}

/// E = \[t\]ₓ R of `b_from_a`, at the scale of t.
pub fn essential_from_pose(b_from_a: &Rigid3) -> Mat3 {
    b_from_a.translation.cross_matrix() * b_from_a.matrix()
}

/// F = K_b⁻ᵀ E K_a⁻¹ in pixels of the undistorted pictures, at unit norm.
/// Focal lengths (fx, fy) and principal points in pixels.
pub fn fundamental_from_essential(
    e: &Mat3,
    a: ((f64, f64), Vec2),
    b: ((f64, f64), Vec2),
) -> Option<Mat3> {
    let inverse = |((fx, fy), c): ((f64, f64), Vec2)| {
        Mat3::new(
            1.0 / fx,
            0.0,
            -c.x / fx,
            0.0,
            1.0 / fy,
            -c.y / fy,
            0.0,
            0.0,
            1.0,
        )
    };
    let f = inverse(b).transpose() * e * inverse(a);
    let norm = f.norm();
    (norm > 0.0 && norm.is_finite()).then(|| f / norm)
}

/// The four `b_from_a` with |t| = 1 that share E (Hartley & Zisserman 2004,
/// §9.6.2). `None` for a zero or not finite matrix.
pub fn decompose_essential(e: &Mat3) -> Option<[Rigid3; 4]> {
    if !e.iter().all(|x| x.is_finite()) || e.norm() < f64::MIN_POSITIVE {
        return None;
    }
    let svd = e.svd(true, true);
    let (mut u, mut v_t) = (svd.u?, svd.v_t?);
    // nalgebra sorts singular values in descending order.
    if u.determinant() < 0.0 {
        u = -u;
    }
    if v_t.determinant() < 0.0 {
        v_t = -v_t;
    }
    let w = Mat3::new(0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0);
    let (r1, r2) = (u * w * v_t, u * w.transpose() * v_t);
    let t: Vec3 = u.column(2).into();
    Some([
        Rigid3::from_matrix(&r1, t),
        Rigid3::from_matrix(&r1, -t),
        Rigid3::from_matrix(&r2, t),
        Rigid3::from_matrix(&r2, -t),
    ])
}

/// How much the point seen at `a` and `b` speaks for being in front of both
/// cameras: 0 behind one of them (by the depths that bring the two rays
/// closest), else the squared sine of the angle between the rays, in units of
/// a milliradian and at most 1. Points far away, whose side is noise, hardly
/// count.
pub fn cheirality(b_from_a: &Rigid3, rotation: &Mat3, a: &Vec2, b: &Vec2) -> f64 {
    // λ R x_a + t ≈ μ x_b
    let p = rotation * Vec3::new(a.x, a.y, 1.0);
    let q = Vec3::new(b.x, b.y, 1.0);
    let t = &b_from_a.translation;
    let (pp, qq, pq) = (p.norm_squared(), q.norm_squared(), p.dot(&q));
    let squared_sine = p.cross(&q).norm_squared() / (pp * qq);
    let (tp, tq) = (t.dot(&p), t.dot(&q));
    let lambda = pq * tq - qq * tp;
    let mu = pp * tq - pq * tp;
    if lambda > 0.0 && mu > 0.0 {
        (squared_sine * 1e6).min(1.0)
    } else {
        0.0
    }
}

/// The pose of E that speaks best for all points being in front of both
/// cameras, and how many are. Ties go to the first. `None` where E cannot be
/// decomposed or no point is in front.
pub fn pose_from_essential(e: &Mat3, a: &[Vec2], b: &[Vec2]) -> Option<(Rigid3, usize)> {
    let mut best: Option<(Rigid3, usize)> = None;
    let mut best_vote = 0.0;
    for pose in decompose_essential(e)? {
        let r = pose.matrix();
        let (mut vote, mut count) = (0.0, 0);
        for (a, b) in a.iter().zip(b) {
            let v = cheirality(&pose, &r, a, b);
            vote += v;
            count += usize::from(v > 0.0);
        }
        if vote > best_vote {
            best_vote = vote;
            best = Some((pose, count));
        }
    }
    best
}

/// Gauss–Newton on weighted Sampson distances over R and the direction of t;
/// `b_from_a` has |t| = 1 before and after. `None` where the normal equations
/// are singular or there are fewer than five points.
#[expect(
    clippy::needless_pass_by_value,
    reason = "an iterator is handed over like in the other refinements"
)]
pub fn refine_relative_pose(
    start: &Rigid3,
    pairs: impl Iterator<Item = (Vec2, Vec2, f64)> + Clone,
    sampson: &Sampson,
    iterations: usize,
) -> Option<Rigid3> {
    let mut pose = *start;
    for _ in 0..iterations {
        let t = pose.translation.try_normalize(1e-12)?;
        let r = pose.matrix();
        let e = t.cross_matrix() * r;
        let (u, v) = tangents(&t);
        // Columns of dE: rotation by exp(ω) R, then t along u and v.
        let by = [
            t.cross_matrix() * Vec3::x().cross_matrix() * r,
            t.cross_matrix() * Vec3::y().cross_matrix() * r,
            t.cross_matrix() * Vec3::z().cross_matrix() * r,
            u.cross_matrix() * r,
            v.cross_matrix() * r,
        ];
        let mut h = SMatrix::<f64, 5, 5>::zeros();
        let mut g = SVector::<f64, 5>::zeros();
        let mut count = 0;
        for (a, b, w) in pairs.clone() {
            let (residual, derivative) = sampson.with_gradient(&e, &a, &b);
            if !residual.is_finite() || !(w > 0.0) {
                continue;
            }
            count += 1;
            let j = SVector::<f64, 5>::from_fn(|k, _| derivative.dot(&by[k]));
            h.syger(w, &j, &j, 1.0);
            g.axpy(w * residual, &j, 1.0);
        }
        if count < 5 {
            return None;
        }
        for k in 0..5 {
            h[(k, k)] *= 1.0 + 1e-9;
        }
        // `syger` fills one triangle, which is what Cholesky reads.
        let step = -h.cholesky()?.solve(&g);
        let turn = UnitQuaternion::from_scaled_axis(Vec3::new(step[0], step[1], step[2]));
        pose = Rigid3::new(
            turn * pose.rotation,
            (t + u * step[3] + v * step[4]).try_normalize(1e-12)?,
        );
        if step.norm() < 1e-10 {
            break;
        }
    }
    pose.is_finite().then_some(pose)
}

/// Two unit vectors orthogonal to t and each other.
fn tangents(t: &Vec3) -> (Vec3, Vec3) {
    let axis = if t.x.abs() < 0.6 {
        Vec3::x()
    } else {
        Vec3::y()
    };
    let u = t.cross(&axis);
    let u = u / u.norm();
    (u, t.cross(&u))
}

/// Weighted eight-point algorithm around `start`: each equation is divided by
/// its Sampson gradient at `start`, then rank two is enforced (Hartley &
/// Zisserman 2004, §11.2 and §11.4.3). `None` for fewer than eight points.
pub fn refine_fundamental(
    start: &Mat3,
    pairs: impl Iterator<Item = (Vec2, Vec2, f64)>,
    sampson: &Sampson,
) -> Option<Mat3> {
    let mut normal = SMatrix::<f64, 9, 9>::zeros();
    let mut count = 0;
    for (a, b, w) in pairs {
        let (xa, xb) = (Vec3::new(a.x, a.y, 1.0), Vec3::new(b.x, b.y, 1.0));
        let (lb, la) = (start * xa, start.transpose() * xb);
        let n2 = lb.xy().norm_squared() * sampson.inverse_fb2
            + la.xy().norm_squared() * sampson.inverse_fa2;
        let weight = w / n2;
        if !(weight > 0.0) || !weight.is_finite() {
            continue;
        }
        count += 1;
        let row = SVector::<f64, 9>::from(epipolar_row(&xa, &xb));
        normal.syger(weight, &row, &row, 1.0);
    }
    if count < 8 {
        return None;
    }
    normal.fill_upper_triangle_with_lower_triangle();
    let f = smallest_eigenvector(&normal)?;
    rank_two(&f)
}

/// The nearest matrix of rank two (Frobenius), at unit norm.
pub fn rank_two(f: &Mat3) -> Option<Mat3> {
    if !f.iter().all(|x| x.is_finite()) {
        return None;
    }
    let mut svd = f.svd(true, true);
    svd.singular_values[2] = 0.0;
    let f = svd.recompose().ok()?;
    let norm = f.norm();
    (norm > 0.0 && norm.is_finite()).then(|| f / norm)
}

/// The 3×3 matrix (row by row) of the smallest eigenvalue of a symmetric 9×9,
/// by inverse iteration.
pub(crate) fn smallest_eigenvector(normal: &SMatrix<f64, 9, 9>) -> Option<Mat3> {
    let trace = normal.trace();
    if !(trace > 0.0) || !trace.is_finite() {
        return None;
    }
    let mut shifted = normal / trace;
    for k in 0..9 {
        shifted[(k, k)] += 1e-14;
    }
    let cholesky = shifted.cholesky()?;
    let mut v = SVector::<f64, 9>::from_fn(|i, _| 1.0 + 0.1 * i as f64).normalize();
    for _ in 0..12 {
        let next = cholesky.solve(&v);
        let next = next / next.norm();
        let moved = (next - v).norm().min((next + v).norm());
        v = next;
        if moved < 1e-12 {
            break;
        }
    }
    let m = Mat3::from_row_slice(v.as_slice());
    m.iter().all(|x| x.is_finite()).then_some(m)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene() -> (Rigid3, Vec<Vec2>, Vec<Vec2>) {
        let pose = Rigid3::new(
            UnitQuaternion::from_euler_angles(0.1, -0.3, 0.05),
            Vec3::new(0.8, 0.1, 0.2).normalize(),
        );
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for i in 0..40 {
            let s = f64::from(i);
            let x = Vec3::new((s * 1.3).sin(), (s * 2.1).cos(), 4.0 + (s * 0.7).sin());
            let y = pose.apply(&x);
            a.push(Vec2::new(x.x / x.z, x.y / x.z));
            b.push(Vec2::new(y.x / y.z, y.y / y.z));
        }
        (pose, a, b)
    }

    fn angle(a: &Rigid3, b: &Rigid3) -> f64 {
        a.rotation.angle_to(&b.rotation) + a.translation.angle(&b.translation)
    }

    #[test]
    fn the_essential_matrix_gives_its_pose_back() {
        let (pose, a, b) = scene();
        for sign in [1.0, -3.0] {
            let e = essential_from_pose(&pose) * sign;
            let (found, count) = pose_from_essential(&e, &a, &b).unwrap();
            assert_eq!(count, 40);
            assert!(angle(&found, &pose) < 1e-7);
        }
        assert!(pose_from_essential(&Mat3::zeros(), &a, &b).is_none());
        assert!(decompose_essential(&Mat3::from_element(f64::NAN)).is_none());
    }

    #[test]
    fn sampson_is_the_first_order_distance_in_pixels() {
        let (pose, a, b) = scene();
        let e = essential_from_pose(&pose);
        let sampson = Sampson::new(1000.0, 500.0);
        for (a, b) in a.iter().zip(&b) {
            assert!(sampson.squared(&e, a, b) < 1e-18);
            // A pixel off across the epipolar line of b, the line of a moves too.
            let line = e * Vec3::new(a.x, a.y, 1.0);
            let off = b + line.xy() / line.xy().norm() / 500.0;
            let r = sampson.squared(&e, a, &off).sqrt();
            assert!((0.2..=1.0).contains(&r), "{r}");
            let h = 1e-7;
            let (r0, gradient) = sampson.with_gradient(&e, a, &off);
            for k in 0..9 {
                let mut shifted = e;
                shifted[k] += h;
                let numeric = (sampson.with_gradient(&shifted, a, &off).0 - r0) / h;
                assert!((numeric - gradient[k]).abs() < 1e-3 * gradient.norm());
            }
        }
    }

    #[test]
    fn refinement_returns_to_the_truth() {
        let (pose, a, b) = scene();
        let start = Rigid3::new(
            UnitQuaternion::from_euler_angles(0.02, 0.01, -0.02) * pose.rotation,
            (pose.translation + Vec3::new(0.05, -0.05, 0.02)).normalize(),
        );
        let sampson = Sampson::new(1000.0, 1000.0);
        let pairs = || a.iter().zip(&b).map(|(a, b)| (*a, *b, 1.0));
        let found = refine_relative_pose(&start, pairs(), &sampson, 10).unwrap();
        assert!(angle(&found, &pose) < 1e-7, "{}", angle(&found, &pose));
        let bad = essential_from_pose(&start);
        let f = refine_fundamental(&bad, pairs(), &sampson).unwrap();
        let e = essential_from_pose(&pose).normalize();
        assert!((f - e).norm().min((f + e).norm()) < 1e-6);
        assert!(refine_relative_pose(&start, pairs().take(4), &sampson, 3).is_none());
    }
}
