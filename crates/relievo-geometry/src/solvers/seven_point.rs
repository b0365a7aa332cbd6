//! Fundamental matrices through seven correspondences.

use super::five_point::epipolar_row;
use super::null_space::{Row9, null_space};
use super::real_roots::real_roots;
use crate::{Mat3, Vec3};
use arrayvec::ArrayVec;

/// Fundamental matrices with x_bᵀ F x_a = 0 for seven pairs, at unit norm.
///
/// Hartley & Zisserman, *Multiple View Geometry*, 2004, §11.1.2: the pencil
/// F = λ F₁ + F₂ through the null space, det F = 0. Coordinates should be
/// around 1 in size (normalised by a focal length). Nothing for coincident
/// or not finite points.
pub fn seven_point(a: &[Vec3; 7], b: &[Vec3; 7]) -> ArrayVec<Mat3, 3> {
    let rows: [Row9; 7] = std::array::from_fn(|k| epipolar_row(&a[k], &b[k]));
    let mut solutions = ArrayVec::new();
    let Some([f1, f2]) = null_space::<7, 2>(&rows) else {
        return solutions;
    };
    let (f1, f2) = (Mat3::from_row_slice(&f1), Mat3::from_row_slice(&f2));
    // The determinant is multilinear in rows.
    let mixed = |r: [bool; 3]| {
        let row = |k: usize| if r[k] { f1.row(k) } else { f2.row(k) };
        Mat3::from_rows(&[row(0), row(1), row(2)]).determinant()
    };
    let c = [
        f2.determinant(),
        mixed([true, false, false]) + mixed([false, true, false]) + mixed([false, false, true]),
        mixed([true, true, false]) + mixed([true, false, true]) + mixed([false, true, true]),
        f1.determinant(),
    ];
    for root in real_roots(&c) {
        let f = f1 * root + f2;
        let norm = f.norm();
        if norm.is_finite() && norm > 0.0 && !solutions.is_full() {
            solutions.push(f / norm);
        }
    }
    solutions
}
