//! Solves the reduced camera system: by Cholesky, dense while it is small or full,
//! faer's sparse factorisation where most pairs of views share nothing; by conjugate
//! gradients where a factorisation would cost more.
//!
//! The system is scaled to a unit diagonal first, since focal lengths and
//! distortion terms differ by many orders of magnitude.

use crate::bundle_lm::Solver;
use crate::pcg::{BelowDiagonal, solve_pcg};
use crate::schur::{Pattern, Reduced};
use faer::linalg::solvers::Solve;
use faer::sparse::linalg::cholesky::{
    CholeskySymbolicParams, SymmetricOrdering, factorize_symbolic_cholesky,
};
use faer::sparse::linalg::solvers::{Llt as SparseLlt, SymbolicLlt};
use faer::sparse::{SparseColMat, SymbolicSparseColMat};
use faer::{Mat, Side};

/// From this size on, sparse where less than [`SPARSE_FILL`] is stored.
const SPARSE_SIZE: usize = 600;
/// Part of the upper triangle.
const SPARSE_FILL: f64 = 0.3;

/// Conjugate gradients are taken where a factorisation would need more multiply-adds than
/// this many products with the system; those wait for memory, and count so often. So are
/// they where the full matrix would take more than a gigabyte.
const PRODUCTS: f64 = 100.0;
const WAITS: f64 = 10.0;
const MOST_BYTES: f64 = 1e9;

/// Relative residuals of iterative solutions: a step that is a thousandth off is as good
/// as the linearisation, an inverse is an answer.
const STEP_TOLERANCE: f64 = 1e-3;
const INVERSE_TOLERANCE: f64 = 1e-6;

/// Which solution, with the symbolic part that is reused.
pub(crate) enum Factoriser {
    Dense,
    Sparse {
        symbolic: SymbolicLlt<usize>,
        columns: SymbolicSparseColMat<usize>,
    },
    Iterative(BelowDiagonal),
}

impl Factoriser {
    pub(crate) fn new(pattern: &Pattern, solver: Solver) -> Self {
        faer::set_global_parallelism(faer::Par::Seq);
        let n = pattern.size();
        let full = (n * (n + 1) / 2) as f64;
        // The upper triangle is stored, and read twice.
        let products = PRODUCTS * WAITS * 2.0 * pattern.stored() as f64;
        let iterative = || Self::Iterative(BelowDiagonal::new(pattern));
        let costs_more = |work: f64, scalars: f64| match solver {
            Solver::Auto => work > products || 8.0 * scalars > MOST_BYTES,
            Solver::Cholesky => false,
            Solver::ConjugateGradients => true,
        };
        if n < SPARSE_SIZE || pattern.stored() as f64 > SPARSE_FILL * full {
            let work = full * n as f64 / 3.0;
            return if costs_more(work, n as f64 * n as f64) {
                iterative()
            } else {
                Self::Dense
            };
        }
        let columns = sparsity(pattern);
        let order = SymmetricOrdering::Amd;
        let factor = factorize_symbolic_cholesky(
            columns.as_ref(),
            Side::Lower,
            order,
            CholeskySymbolicParams::default(),
        );
        // At least the square of what a column holds on average, for each.
        let work = |filled: usize| (filled as f64).powi(2) / n as f64;
        if factor.is_ok_and(|f| costs_more(work(f.len_val()), f.len_val() as f64)) {
            return iterative();
        }
        match SymbolicLlt::try_new(columns.as_ref(), Side::Lower) {
            Ok(symbolic) => Self::Sparse { symbolic, columns },
            Err(_) => Self::Dense,
        }
    }
}

/// The lower triangle's entries.
fn sparsity(pattern: &Pattern) -> SymbolicSparseColMat<usize> {
    let n = pattern.size();
    let mut starts = vec![0];
    let mut rows = Vec::with_capacity(pattern.stored());
    for i in 0..pattern.dims.len() {
        for a in 0..pattern.dims[i] {
            for_column(pattern, i, a, |row, _| rows.push(row));
            starts.push(rows.len());
        }
    }
    SymbolicSparseColMat::new_checked(n, n, starts, None, rows)
}

/// Column `a` of block i of the lower triangle: (row, index into row i).
fn for_column(pattern: &Pattern, i: usize, a: usize, mut f: impl FnMut(usize, usize)) {
    let mut at = 0;
    for &j in &pattern.columns[i] {
        let j = j as usize;
        let dim = pattern.dims[j];
        for b in 0..dim {
            if j != i || b >= a {
                f(pattern.offsets[j] + b, at + a * dim + b);
            }
        }
        at += pattern.dims[i] * dim;
    }
}

fn scales(pattern: &Pattern, reduced: &Reduced) -> Vec<f64> {
    let mut out = Vec::with_capacity(pattern.size());
    for (i, row) in reduced.rows.iter().enumerate() {
        let dim = pattern.dims[i];
        for k in 0..dim {
            let d = row[k * dim + k];
            out.push(if d > 0.0 && d.is_finite() {
                1.0 / d.sqrt()
            } else {
                1.0
            });
        }
    }
    out
}

fn dense(pattern: &Pattern, reduced: &Reduced, scale: &[f64]) -> Mat<f64> {
    let n = pattern.size();
    let mut m = Mat::<f64>::zeros(n, n);
    for i in 0..pattern.dims.len() {
        for a in 0..pattern.dims[i] {
            let column = pattern.offsets[i] + a;
            for_column(pattern, i, a, |row, at| {
                m[(row, column)] = reduced.rows[i][at] * scale[row] * scale[column];
            });
            if !(m[(column, column)] > 0.0) {
                m[(column, column)] = 1.0;
            }
        }
    }
    m
}

/// δ of S δ = −b; `None` where S is not positive definite.
pub(crate) fn solve(
    factoriser: &Factoriser,
    pattern: &Pattern,
    reduced: &Reduced,
) -> Option<Vec<f64>> {
    if pattern.size() == 0 {
        return Some(Vec::new());
    }
    let rhs = reduced.gradient.iter().map(|g| -g).collect();
    solve_all(factoriser, pattern, reduced, &[rhs], STEP_TOLERANCE)?.pop()
}

/// The x with S x = r for each r of `rhs`.
fn solve_all(
    factoriser: &Factoriser,
    pattern: &Pattern,
    reduced: &Reduced,
    rhs: &[Vec<f64>],
    tolerance: f64,
) -> Option<Vec<Vec<f64>>> {
    let n = pattern.size();
    if let Factoriser::Iterative(below) = factoriser {
        let all = rhs
            .iter()
            .map(|r| solve_pcg(below, pattern, reduced, r, tolerance));
        return all.collect();
    }
    let scale = scales(pattern, reduced);
    let scaled = Mat::from_fn(n, rhs.len(), |k, c| rhs[c][k] * scale[k]);
    let x = match factoriser {
        Factoriser::Dense | Factoriser::Iterative(_) => dense(pattern, reduced, &scale)
            .llt(Side::Lower)
            .ok()?
            .solve(&scaled),
        Factoriser::Sparse { symbolic, columns } => {
            let mut values = Vec::with_capacity(columns.compute_nnz());
            for i in 0..pattern.dims.len() {
                for a in 0..pattern.dims[i] {
                    let column = pattern.offsets[i] + a;
                    for_column(pattern, i, a, |row, at| {
                        values.push(reduced.rows[i][at] * scale[row] * scale[column]);
                    });
                }
            }
            let matrix = SparseColMat::new(columns.clone(), values);
            SparseLlt::try_new_with_symbolic(symbolic.clone(), matrix.as_ref(), Side::Lower)
                .ok()?
                .solve(&scaled)
        }
    };
    let column = |c: usize| (0..n).map(|k| x[(k, c)] * scale[k]).collect();
    let out: Vec<Vec<f64>> = (0..rhs.len()).map(column).collect();
    out.iter().flatten().all(|v| v.is_finite()).then_some(out)
}

/// Rows and columns `from..` of S⁻¹, row-major: the covariance of the group
/// parameters for residuals of unit variance. Also those rows of the full step −S⁻¹b.
pub(crate) fn inverse_tail(
    factoriser: &Factoriser,
    pattern: &Pattern,
    reduced: &Reduced,
    from: usize,
) -> Option<(Vec<f64>, Vec<f64>)> {
    let n = pattern.size();
    let unit = |k: usize| {
        let mut e = vec![0.0; n];
        e[k] = 1.0;
        e
    };
    let mut rhs: Vec<Vec<f64>> = (from..n).map(unit).collect();
    rhs.push(reduced.gradient.iter().map(|g| -g).collect());
    let mut x = solve_all(factoriser, pattern, reduced, &rhs, INVERSE_TOLERANCE)?;
    let step = x.pop()?.split_off(from);
    let row = |r: usize| x.iter().map(move |column| column[r]);
    Some(((from..n).flat_map(row).collect(), step))
}
