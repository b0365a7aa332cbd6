//! Essential matrices through five correspondences.

use super::null_space::{Row9, null_space};
use super::real_roots::real_roots;
use crate::{Mat3, Vec3};
use arrayvec::ArrayVec;

/// E = x X + y Y + z Z + W: coefficients of (x, y, z, 1).
type Linear = [f64; 4];
/// Coefficients of the ten monomials of degree ≤ 2.
type Quadratic = [f64; 10];
/// Coefficients of the twenty monomials of degree ≤ 3, in Nistér's order.
type Cubic = [f64; 20];

/// Exponents (x, y, z) of quadratic monomials.
const QUADRATIC: [[u8; 3]; 10] = [
    [2, 0, 0],
    [1, 1, 0],
    [1, 0, 1],
    [1, 0, 0],
    [0, 2, 0],
    [0, 1, 1],
    [0, 1, 0],
    [0, 0, 2],
    [0, 0, 1],
    [0, 0, 0],
];

/// Exponents of cubic monomials, in the order of the paper's table.
const CUBIC: [[u8; 3]; 20] = [
    [3, 0, 0],
    [0, 3, 0],
    [2, 1, 0],
    [1, 2, 0],
    [2, 0, 1],
    [2, 0, 0],
    [0, 2, 1],
    [0, 2, 0],
    [1, 1, 1],
    [1, 1, 0],
    [1, 0, 2],
    [1, 0, 1],
    [1, 0, 0],
    [0, 1, 2],
    [0, 1, 1],
    [0, 1, 0],
    [0, 0, 3],
    [0, 0, 2],
    [0, 0, 1],
    [0, 0, 0],
];

const fn find<const N: usize>(table: &[[u8; 3]; N], e: [u8; 3]) -> usize {
    let mut i = 0;
    while i < N {
        if table[i][0] == e[0] && table[i][1] == e[1] && table[i][2] == e[2] {
            return i;
        }
        i += 1;
    }
    panic!("not a monomial")
}

const fn times_variable(mut e: [u8; 3], v: usize) -> [u8; 3] {
    if v < 3 {
        e[v] += 1;
    }
    e
}

const LINEAR_TIMES_LINEAR: [[usize; 4]; 4] = {
    let mut t = [[0; 4]; 4];
    let mut i = 0;
    while i < 4 {
        let mut j = 0;
        while j < 4 {
            t[i][j] = find(&QUADRATIC, times_variable(times_variable([0; 3], i), j));
            j += 1;
        }
        i += 1;
    }
    t
};

const QUADRATIC_TIMES_LINEAR: [[usize; 4]; 10] = {
    let mut t = [[0; 4]; 10];
    let mut i = 0;
    while i < 10 {
        let mut j = 0;
        while j < 4 {
            t[i][j] = find(&CUBIC, times_variable(QUADRATIC[i], j));
            j += 1;
        }
        i += 1;
    }
    t
};

fn add_product2(out: &mut Quadratic, a: &Linear, b: &Linear, sign: f64) {
    for i in 0..4 {
        for j in 0..4 {
            out[LINEAR_TIMES_LINEAR[i][j]] += sign * a[i] * b[j];
        }
    }
}

fn add_product3(out: &mut Cubic, a: &Quadratic, b: &Linear) {
    for i in 0..10 {
        for j in 0..4 {
            out[QUADRATIC_TIMES_LINEAR[i][j]] += a[i] * b[j];
        }
    }
}

/// Essential matrices with x_bᵀ E x_a = 0 for five pairs of rays, at unit
/// norm.
///
/// Nistér, "An Efficient Solution to the Five-Point Relative Pose Problem",
/// PAMI 2004, §3. Departures: the null space by Gram–Schmidt and the roots of
/// the tenth-degree polynomial by [`super::real_roots()`].
/// `a`, `b`: rays in the camera frames, (x, y, 1) or unit. Nothing for
/// coincident or not finite rays.
pub fn five_point(a: &[Vec3; 5], b: &[Vec3; 5]) -> ArrayVec<Mat3, 10> {
    let mut solutions = ArrayVec::new();
    // §3.1: the null space of the five epipolar constraints.
    let rows: [Row9; 5] = std::array::from_fn(|k| epipolar_row(&a[k], &b[k]));
    let Some(basis) = null_space::<5, 4>(&rows) else {
        return solutions;
    };
    let e: [Linear; 9] = std::array::from_fn(|i| std::array::from_fn(|k| basis[k][i]));
    // §3.2: ten cubic constraints, eliminated.
    let mut m = constraints(&e);
    if !eliminate(&mut m) {
        return solutions;
    }
    // §3.2.3: B(z) (x, y, 1)ᵀ = 0 from rows ⟨e⟩−z⟨f⟩, ⟨g⟩−z⟨h⟩, ⟨i⟩−z⟨j⟩.
    let bz: [[[f64; 5]; 3]; 3] = std::array::from_fn(|r| {
        let (p, q) = (&m[4 + 2 * r], &m[5 + 2 * r]);
        [
            [p[12], p[11] - q[12], p[10] - q[11], -q[10], 0.0],
            [p[15], p[14] - q[15], p[13] - q[14], -q[13], 0.0],
            [p[19], p[18] - q[19], p[17] - q[18], p[16] - q[17], -q[16]],
        ]
    });
    for z in real_roots(&determinant(&bz)) {
        let at = |c: &[f64; 5]| c.iter().rev().fold(0.0, |s, k| s * z + k);
        let r: [Vec3; 3] =
            std::array::from_fn(|k| Vec3::new(at(&bz[k][0]), at(&bz[k][1]), at(&bz[k][2])));
        // The null vector, from the best conditioned pair of rows.
        let mut v = r[0].cross(&r[1]);
        for other in [r[0].cross(&r[2]), r[1].cross(&r[2])] {
            if other.norm_squared() > v.norm_squared() {
                v = other;
            }
        }
        let (x, y) = (v.x / v.z, v.y / v.z);
        let entries: Row9 =
            std::array::from_fn(|i| e[i][0] * x + e[i][1] * y + e[i][2] * z + e[i][3]);
        let e = Mat3::from_row_slice(&entries);
        let norm = e.norm();
        if norm.is_finite() && norm > 0.0 && !solutions.is_full() {
            solutions.push(e / norm);
        }
    }
    solutions
}

/// x_bᵀ M x_a as a row over the entries of M, row by row.
pub(crate) fn epipolar_row(a: &Vec3, b: &Vec3) -> Row9 {
    std::array::from_fn(|i| b[i / 3] * a[i % 3])
}

/// det E = 0 and 2 E Eᵀ E − tr(E Eᵀ) E = 0.
fn constraints(e: &[Linear; 9]) -> [Cubic; 10] {
    let mut m = [[0.0; 20]; 10];
    for (i, j, k) in [(0, 1, 2), (1, 2, 0), (2, 0, 1)] {
        let mut minor = [0.0; 10];
        add_product2(&mut minor, &e[3 + j], &e[6 + k], 1.0);
        add_product2(&mut minor, &e[3 + k], &e[6 + j], -1.0);
        add_product3(&mut m[0], &minor, &e[i]);
    }
    let mut eet = [[[0.0; 10]; 3]; 3];
    for i in 0..3 {
        for j in i..3 {
            for k in 0..3 {
                add_product2(&mut eet[i][j], &e[3 * i + k], &e[3 * j + k], 1.0);
            }
            eet[j][i] = eet[i][j];
        }
    }
    let half_trace: Quadratic =
        std::array::from_fn(|q| 0.5 * (eet[0][0][q] + eet[1][1][q] + eet[2][2][q]));
    for (i, row) in eet.iter_mut().enumerate() {
        for (x, t) in row[i].iter_mut().zip(&half_trace) {
            *x -= t;
        }
    }
    for i in 0..3 {
        for j in 0..3 {
            for k in 0..3 {
                add_product3(&mut m[1 + 3 * i + j], &eet[i][k], &e[3 * k + j]);
            }
        }
    }
    m
}

/// Gauss–Jordan on the first ten columns with partial pivoting; only rows
/// 4 to 9 are completed. False where the system is singular.
fn eliminate(m: &mut [Cubic; 10]) -> bool {
    for c in 0..10 {
        let mut pivot = c;
        for r in c + 1..10 {
            if m[r][c].abs() > m[pivot][c].abs() {
                pivot = r;
            }
        }
        if !(m[pivot][c].abs() > 1e-14) {
            return false;
        }
        m.swap(c, pivot);
        let inverse = 1.0 / m[c][c];
        for x in &mut m[c][c..] {
            *x *= inverse;
        }
        let row = m[c];
        for (r, other) in m.iter_mut().enumerate() {
            if r > c || (r >= 4 && r != c) {
                let f = other[c];
                for k in c..20 {
                    other[k] -= f * row[k];
                }
            }
        }
    }
    true
}

/// det B(z): degree 10.
fn determinant(b: &[[[f64; 5]; 3]; 3]) -> [f64; 11] {
    let mut p = [0.0; 11];
    for (i, j, k) in [(0, 1, 2), (1, 2, 0), (2, 0, 1)] {
        // Columns x and y have degree 3, so the minor has degree 6.
        let mut minor = [0.0; 7];
        for s in 0..4 {
            for t in 0..4 {
                minor[s + t] += b[i][0][s] * b[j][1][t] - b[j][0][s] * b[i][1][t];
            }
        }
        for (s, x) in minor.iter().enumerate() {
            for (t, y) in b[k][2].iter().enumerate() {
                p[s + t] += x * y;
            }
        }
    }
    p
}
