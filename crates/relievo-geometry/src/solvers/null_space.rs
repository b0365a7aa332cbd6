//! Orthonormal null space of a few 9-vectors.

/// A 9-vector: a 3×3 matrix, row by row.
pub(crate) type Row9 = [f64; 9];

fn dot(a: &Row9, b: &Row9) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Takes the components along `basis` out of `v`, twice for accuracy.
fn project_out(v: &mut Row9, basis: &[Row9]) {
    for _ in 0..2 {
        for b in basis {
            let d = dot(v, b);
            for (x, y) in v.iter_mut().zip(b) {
                *x -= d * y;
            }
        }
    }
}

fn normalised(v: &Row9) -> Option<Row9> {
    let n = dot(v, v).sqrt();
    (n > 0.0 && n.is_finite()).then(|| v.map(|x| x / n))
}

/// Null space of `R` rows by modified Gram–Schmidt with reorthogonalisation:
/// `N` = 9 − R orthonormal vectors. `None` where the rows are dependent (to
/// 1e-7 of their length) or not finite.
pub(crate) fn null_space<const R: usize, const N: usize>(rows: &[Row9; R]) -> Option<[Row9; N]> {
    const {
        assert!(R + N == 9, "rows and null vectors make nine");
    }
    let mut basis = [[0.0; 9]; 9];
    for (k, row) in rows.iter().enumerate() {
        let mut v = normalised(row)?;
        project_out(&mut v, &basis[..k]);
        if !(dot(&v, &v) > 1e-14) {
            return None;
        }
        basis[k] = normalised(&v)?;
    }
    for k in R..9 {
        // The unit vector farthest from the span so far: its squared distance
        // is one minus the squared components along the basis.
        let distance = |i: usize| 1.0 - basis[..k].iter().map(|b| b[i] * b[i]).sum::<f64>();
        let mut axis = 0;
        for i in 1..9 {
            if distance(i) > distance(axis) {
                axis = i;
            }
        }
        let mut v = [0.0; 9];
        v[axis] = 1.0;
        project_out(&mut v, &basis[..k]);
        basis[k] = normalised(&v)?;
    }
    let mut null = [[0.0; 9]; N];
    null.copy_from_slice(&basis[R..]);
    Some(null)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_vectors_are_orthogonal_to_the_rows_and_each_other() {
        let rows: [Row9; 5] = std::array::from_fn(|r| {
            std::array::from_fn(|c| (((r * 9 + c) as f64).powi(2) * 1.7).sin())
        });
        let null: [Row9; 4] = null_space(&rows).unwrap();
        for (i, n) in null.iter().enumerate() {
            assert!(rows.iter().all(|r| dot(r, n).abs() < 1e-14));
            for (j, m) in null.iter().enumerate() {
                assert!((dot(n, m) - f64::from(u8::from(i == j))).abs() < 1e-14);
            }
        }
        let mut dependent = rows;
        dependent[4] = dependent[1];
        assert!(null_space::<5, 4>(&dependent).is_none());
        dependent[4] = [f64::NAN; 9];
        assert!(null_space::<5, 4>(&dependent).is_none());
    }
}
