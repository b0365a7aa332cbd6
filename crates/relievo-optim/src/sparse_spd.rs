//! Symmetric positive definite systems with few entries, by faer's sparse
//! Cholesky factorisation.

use faer::linalg::solvers::Solve;
use faer::sparse::linalg::solvers::{Llt, SymbolicLlt};
use faer::sparse::{SparseColMat, SymbolicSparseColMat};
use faer::{Mat, Side};

/// An entry of the lower triangle: row, column (row ≥ column), value.
pub type LowerEntry = (u32, u32, f64);

/// The x with A x = b for each b of `rhs`, for the `size × size` matrix A whose
/// lower triangle is `lower`; entries of the same place add up in their order.
/// `None` where A is not positive definite or x is not finite.
pub fn solve_sparse_spd(
    size: usize,
    lower: &[LowerEntry],
    rhs: &[Vec<f64>],
) -> Option<Vec<Vec<f64>>> {
    faer::set_global_parallelism(faer::Par::Seq);
    let mut sorted = lower.to_vec();
    // Stable, so that sums have one order.
    sorted.sort_by_key(|&(row, column, _)| (column, row));
    let (mut starts, mut rows, mut values) = (vec![0], Vec::<usize>::new(), Vec::<f64>::new());
    for (row, column, value) in sorted {
        while starts.len() <= column as usize {
            starts.push(rows.len());
        }
        let first = starts[column as usize];
        if rows.len() > first && rows.last() == Some(&(row as usize)) {
            if let Some(last) = values.last_mut() {
                *last += value;
            }
        } else {
            rows.push(row as usize);
            values.push(value);
        }
    }
    while starts.len() <= size {
        starts.push(rows.len());
    }
    let columns = SymbolicSparseColMat::new_checked(size, size, starts, None, rows);
    let symbolic = SymbolicLlt::try_new(columns.as_ref(), Side::Lower).ok()?;
    let matrix = SparseColMat::new(columns, values);
    let llt = Llt::try_new_with_symbolic(symbolic, matrix.as_ref(), Side::Lower).ok()?;
    let x = llt.solve(&Mat::from_fn(size, rhs.len(), |r, c| rhs[c][r]));
    let out: Vec<Vec<f64>> = (0..rhs.len())
        .map(|c| (0..size).map(|r| x[(r, c)]).collect())
        .collect();
    out.iter().flatten().all(|v| v.is_finite()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_solved_and_a_singular_matrix_refused() {
        // Laplacian of a path of five, its first node held.
        let mut lower = Vec::new();
        for i in 1..4 {
            lower.extend([(i, i, 1.0), (i - 1, i - 1, 1.0), (i, i - 1, -1.0)]);
        }
        let singular = lower.clone();
        lower.push((0, 0, 1.0));
        let rhs = vec![vec![0.0, 0.0, 0.0, 1.0], vec![1.0, 0.0, 0.0, 0.0]];
        let x = solve_sparse_spd(4, &lower, &rhs).unwrap();
        for (k, v) in x[0].iter().enumerate() {
            assert!((v - (k as f64 + 1.0)).abs() < 1e-12);
        }
        assert!(x[1].iter().all(|v| (v - 1.0).abs() < 1e-12));
        let solved = solve_sparse_spd(4, &singular, &rhs);
        assert!(solved.is_none_or(|x| x[0][3].abs() > 1e6));
    }
}
