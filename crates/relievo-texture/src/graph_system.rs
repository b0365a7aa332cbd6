//! Least squares over a graph: Σ wᵢⱼ (xᵢ − xⱼ)² + Σ dᵢ xᵢ² − 2 bᵢ xᵢ, three
//! channels at once.

use rayon::prelude::*;
use relievo_task::ordered;

/// (Laplacian + diagonal) x = rhs.
#[derive(Clone, Debug, Default)]
pub(crate) struct GraphSystem {
    /// dᵢ ≥ 0.
    pub(crate) diagonal: Vec<f64>,
    /// bᵢ per channel.
    pub(crate) rhs: Vec<[f64; 3]>,
    /// (i, j, wᵢⱼ).
    pub(crate) links: Vec<(u32, u32, f64)>,
}

type Rows = Vec<[f64; 3]>;

impl GraphSystem {
    pub(crate) fn new(n: usize, ridge: f64) -> Self {
        Self {
            diagonal: vec![ridge; n],
            rhs: vec![[0.0; 3]; n],
            links: Vec::new(),
        }
    }

    /// Conjugate gradients with Jacobi preconditioning from zero, until the
    /// residual has fallen by `tolerance` in every channel. All sums in a fixed
    /// order.
    pub(crate) fn solve(self, tolerance: f64, most: usize) -> Rows {
        let n = self.diagonal.len();
        let mut starts = vec![0_u32; n + 1];
        for &(i, j, _) in &self.links {
            starts[i as usize + 1] += 1;
            starts[j as usize + 1] += 1;
        }
        for i in 0..n {
            starts[i + 1] += starts[i];
        }
        let mut next = starts.clone();
        let mut others = vec![(0_u32, 0.0_f64); 2 * self.links.len()];
        let mut full = self.diagonal;
        for &(i, j, w) in &self.links {
            for (a, b) in [(i, j), (j, i)] {
                others[next[a as usize] as usize] = (b, w);
                next[a as usize] += 1;
                full[a as usize] += w;
            }
        }
        drop(self.links);
        let multiply = |x: &Rows| -> Rows {
            (0..n)
                .into_par_iter()
                .with_min_len(4096)
                .map(|i| {
                    let mut y = x[i].map(|v| v * full[i]);
                    for &(j, w) in &others[starts[i] as usize..starts[i + 1] as usize] {
                        for k in 0..3 {
                            y[k] -= w * x[j as usize][k];
                        }
                    }
                    y
                })
                .collect()
        };
        let dot = |a: &Rows, b: &Rows| -> [f64; 3] {
            ordered::map_reduce(
                n,
                8192,
                |range| {
                    let mut s = [0.0; 3];
                    for i in range {
                        for k in 0..3 {
                            s[k] += a[i][k] * b[i][k];
                        }
                    }
                    s
                },
                |a, b| std::array::from_fn(|k| a[k] + b[k]),
            )
            .unwrap_or([0.0; 3])
        };
        let precondition = |r: &Rows| -> Rows {
            r.par_iter()
                .zip(&full)
                .with_min_len(4096)
                .map(|(r, d)| r.map(|v| if *d > 0.0 { v / d } else { 0.0 }))
                .collect()
        };
        let mut x = vec![[0.0; 3]; n];
        let mut r = self.rhs;
        let mut z = precondition(&r);
        let mut p = z.clone();
        let mut rz = dot(&r, &z);
        let goal = rz.map(|v| v * tolerance * tolerance);
        for _ in 0..most {
            if (0..3).all(|k| rz[k] <= goal[k] || rz[k] <= 0.0 || rz[k].is_nan()) {
                break;
            }
            let q = multiply(&p);
            let pq = dot(&p, &q);
            let alpha: [f64; 3] =
                std::array::from_fn(|k| if pq[k] > 0.0 { rz[k] / pq[k] } else { 0.0 });
            x.par_iter_mut()
                .zip(&mut r)
                .zip(p.par_iter().zip(&q))
                .with_min_len(8192)
                .for_each(|((x, r), (p, q))| {
                    for k in 0..3 {
                        x[k] += alpha[k] * p[k];
                        r[k] -= alpha[k] * q[k];
                    }
                });
            z = precondition(&r);
            let next = dot(&r, &z);
            let beta: [f64; 3] =
                std::array::from_fn(|k| if rz[k] > 0.0 { next[k] / rz[k] } else { 0.0 });
            p.par_iter_mut()
                .zip(&z)
                .with_min_len(8192)
                .for_each(|(p, z)| {
                    for k in 0..3 {
                        p[k] = z[k] + beta[k] * p[k];
                    }
                });
            rz = next;
        }
        x
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_between_fixed_ends_is_a_ramp() {
        let n = 101;
        let mut s = GraphSystem::new(n, 0.0);
        for (i, v) in [(0, 10.0), (n - 1, 110.0)] {
            s.diagonal[i] = 1e6;
            s.rhs[i] = [1e6 * v, 0.0, -1e6 * v];
        }
        s.links = (0..n as u32 - 1).map(|i| (i, i + 1, 1.0)).collect();
        let x = s.solve(1e-12, 1000);
        for (i, v) in x.iter().enumerate() {
            assert!((v[0] - (10.0 + i as f64)).abs() < 0.01, "{i} {v:?}");
            assert!(v[1].abs() < 1e-9 && (v[0] + v[2]).abs() < 1e-6);
        }
    }

    #[test]
    fn an_empty_system_has_an_empty_answer() {
        assert!(GraphSystem::new(0, 0.0).solve(1e-6, 10).is_empty());
        assert_eq!(GraphSystem::new(2, 0.0).solve(1e-6, 10), [[0.0; 3]; 2]);
    }
}
