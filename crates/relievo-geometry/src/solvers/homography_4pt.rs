//! The homography through four correspondences.

use super::null_space::{Row9, null_space};
use crate::{Mat3, Vec2, Vec3};

/// H with x_b ~ H x_a for four pairs, at unit norm and det H > 0.
///
/// Direct linear transformation (Hartley & Zisserman 2004, §4.1), coordinates
/// around 1 in size. `None` where three points are in line, or where the
/// triangles among them are not all turned or all kept: no camera sees a
/// plane like that from one side.
pub fn homography_4pt(a: &[Vec2; 4], b: &[Vec2; 4]) -> Option<Mat3> {
    let area = |p: &Vec2, q: &Vec2, r: &Vec2| (q - p).perp(&(r - p));
    let mut sign = 0.0;
    for (i, j, k) in [(0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3)] {
        let in_a = area(&a[i], &a[j], &a[k]);
        let in_b = area(&b[i], &b[j], &b[k]);
        let product = in_a * in_b;
        if !(in_a.abs() > 1e-9 && in_b.abs() > 1e-9) || product * sign < 0.0 {
            return None;
        }
        sign = product;
    }
    let mut rows: [Row9; 8] = [[0.0; 9]; 8];
    for k in 0..4 {
        let [r0, r1] = dlt_rows(&a[k], &b[k]);
        rows[2 * k] = r0;
        rows[2 * k + 1] = r1;
    }
    let [h] = null_space::<8, 1>(&rows)?;
    let h = Mat3::from_row_slice(&h);
    let det = h.determinant();
    // One side of the plane: the third coordinate keeps its sign.
    let side = |p: &Vec2| (h * Vec3::new(p.x, p.y, 1.0)).z * det;
    let kept = a.iter().all(|p| side(p) > 0.0);
    (det.abs() > 1e-12 && kept).then(|| h * det.signum())
}

/// The two DLT rows of one pair, over the entries of H row by row.
pub(crate) fn dlt_rows(a: &Vec2, b: &Vec2) -> [Row9; 2] {
    [
        [a.x, a.y, 1.0, 0.0, 0.0, 0.0, -b.x * a.x, -b.x * a.y, -b.x],
        [0.0, 0.0, 0.0, a.x, a.y, 1.0, -b.y * a.x, -b.y * a.y, -b.y],
    ]
}
