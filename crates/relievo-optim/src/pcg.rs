//! Conjugate gradients on the reduced camera system, for thousands of cameras that
//! share much: what a Cholesky factorisation fills grows with the square of their number,
//! and its work with the cube.
//!
//! Preconditioned by the Cholesky factors of the diagonal blocks (block Jacobi). After
//! Agarwal et al., "Bundle adjustment in the large", ECCV 2010, §3; the system itself is
//! stored, as its blocks are needed by a factorisation, too.

use crate::schur::{Pattern, Reduced};
use faer::Side;
use faer::linalg::solvers::{Llt, Solve};
use faer::{Mat, MatMut};
use rayon::prelude::*;

/// Most iterations of a solution; without convergence the step is refused, and more
/// damping makes the next system rounder.
const ITERATIONS: usize = 500;
/// Block rows a unit of work.
const ROWS: usize = 16;

/// Where the blocks left of the diagonal stand.
#[derive(Debug)]
pub(crate) struct BelowDiagonal {
    /// Per block row i: each j < i with a block (j, i), and where that begins in row j.
    blocks: Vec<Vec<(u32, u32)>>,
}

impl BelowDiagonal {
    pub(crate) fn new(pattern: &Pattern) -> Self {
        let mut blocks = vec![Vec::new(); pattern.dims.len()];
        for (j, columns) in pattern.columns.iter().enumerate() {
            let mut at = 0;
            for &i in columns {
                if i as usize != j {
                    blocks[i as usize].push((j as u32, at as u32));
                }
                at += pattern.dims[j] * pattern.dims[i as usize];
            }
        }
        Self { blocks }
    }
}

/// The x with S x = `rhs`, to a relative residual of `tolerance` in the preconditioner's
/// metric; `None` where S is not positive definite or does not converge.
pub(crate) fn solve_pcg(
    below: &BelowDiagonal,
    pattern: &Pattern,
    reduced: &Reduced,
    rhs: &[f64],
    tolerance: f64,
) -> Option<Vec<f64>> {
    let factors = diagonal_factors(pattern, reduced)?;
    let n = pattern.size();
    let mut x = vec![0.0_f64; n];
    let mut r = rhs.to_vec();
    let mut z = precondition(pattern, &factors, &r);
    let mut p = z.clone();
    let mut rz = dot(&r, &z);
    let goal = tolerance * tolerance * rz;
    for _ in 0..ITERATIONS {
        if !(rz > goal) {
            return x.iter().all(|v| v.is_finite()).then_some(x);
        }
        let q = times(below, pattern, reduced, &p);
        let curvature = dot(&p, &q);
        if !(curvature > 0.0) {
            return None;
        }
        let alpha = rz / curvature;
        for k in 0..n {
            x[k] += alpha * p[k];
            r[k] -= alpha * q[k];
        }
        z = precondition(pattern, &factors, &r);
        let next = dot(&r, &z);
        let beta = next / rz;
        rz = next;
        for k in 0..n {
            p[k] = z[k] + beta * p[k];
        }
    }
    None
}

/// One order on any number of threads.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn diagonal_factors(pattern: &Pattern, reduced: &Reduced) -> Option<Vec<Llt<f64>>> {
    let factor = |i: usize| {
        let dim = pattern.dims[i];
        let block = &reduced.rows[i][..dim * dim];
        // A group that nothing touches keeps its place.
        let value = |r: usize, c: usize| {
            let v = block[c.min(r) * dim + c.max(r)];
            if r == c && v == 0.0 { 1.0 } else { v }
        };
        Mat::from_fn(dim, dim, value).llt(Side::Lower).ok()
    };
    (0..pattern.dims.len()).map(factor).collect()
}

fn precondition(pattern: &Pattern, factors: &[Llt<f64>], r: &[f64]) -> Vec<f64> {
    let mut z = r.to_vec();
    for (i, factor) in factors.iter().enumerate() {
        let part = &mut z[pattern.offsets[i]..pattern.offsets[i + 1]];
        let dim = part.len();
        factor.solve_in_place(MatMut::from_column_major_slice_mut(part, dim, 1));
    }
    z
}

/// S p: every block row reads its own blocks and those above the diagonal in its column.
fn times(below: &BelowDiagonal, pattern: &Pattern, reduced: &Reduced, p: &[f64]) -> Vec<f64> {
    let blocks = pattern.dims.len();
    let parts: Vec<Vec<f64>> = (0..blocks.div_ceil(ROWS))
        .into_par_iter()
        .map(|part| {
            let rows = part * ROWS..((part + 1) * ROWS).min(blocks);
            let mut out = Vec::with_capacity(rows.len() * 6);
            for i in rows {
                let dim = pattern.dims[i];
                let mut sum = vec![0.0; dim];
                let mut at = 0;
                for &j in &pattern.columns[i] {
                    let j = j as usize;
                    let with = &p[pattern.offsets[j]..pattern.offsets[j + 1]];
                    let block = &reduced.rows[i][at..at + dim * with.len()];
                    for (s, row) in sum.iter_mut().zip(block.chunks_exact(with.len())) {
                        *s += dot(row, with);
                    }
                    at += block.len();
                }
                for &(j, at) in &below.blocks[i] {
                    let (j, at) = (j as usize, at as usize);
                    let with = &p[pattern.offsets[j]..pattern.offsets[j + 1]];
                    let block = &reduced.rows[j][at..at + dim * with.len()];
                    for (w, row) in with.iter().zip(block.chunks_exact(dim)) {
                        for (s, v) in sum.iter_mut().zip(row) {
                            *s += v * w;
                        }
                    }
                }
                out.extend_from_slice(&sum);
            }
            out
        })
        .collect();
    parts.concat()
}
