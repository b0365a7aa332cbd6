//! One additive correction per vertex and photo that makes neighbouring photos
//! agree along their seams and changes slowly elsewhere.
//!
//! Ivanov & Lempitsky 2007; Waechter et al. 2014, section 4.2: the colour at a
//! seam vertex is a weighted mean along the seam's edges. Departure: steps far
//! above what lighting explains (misplaced texture, an occluder's rim) weigh
//! less.

use crate::adjacency::{Adjacency, NONE};
use crate::graph_system::GraphSystem;
use crate::seams::Seam;
use rayon::prelude::*;
use relievo_scene::TriMesh;

/// λ² of the paper's smoothness term (the authors' λ = 0.1).
const SMOOTH: f64 = 0.01;
/// Pull towards no correction at all.
const RIDGE: f64 = 2e-6;
/// Steps of this many grey levels weigh half.
const HALF_WEIGHT_STEP: f64 = 40.0;

/// Corrections per (vertex, view), sRGB 0 … 255.
#[derive(Debug, Default)]
pub(crate) struct Corrections {
    /// Sorted `vertex << 32 | view`.
    keys: Vec<u64>,
    starts: Vec<u32>,
    values: Vec<[f64; 3]>,
}

impl Corrections {
    /// The correction at a vertex for a view; zero where there is none.
    #[inline]
    pub(crate) fn at(&self, vertex: u32, view: u32) -> [f64; 3] {
        self.index(vertex, view)
            .map_or([0.0; 3], |i| self.values[i])
    }

    fn index(&self, vertex: u32, view: u32) -> Option<usize> {
        let (a, b) = (
            *self.starts.get(vertex as usize)? as usize,
            *self.starts.get(vertex as usize + 1)? as usize,
        );
        let key = u64::from(vertex) << 32 | u64::from(view);
        (a..b).find(|&i| self.keys[i] == key)
    }

    /// Solves for the corrections.
    pub(crate) fn solve(
        mesh: &TriMesh,
        adjacency: &Adjacency,
        label: &[u32],
        seams: &[Seam],
    ) -> Self {
        let mut keys: Vec<u64> = mesh
            .triangles
            .par_iter()
            .zip(label)
            .with_min_len(4096)
            .filter(|(_, l)| **l != NONE)
            .flat_map_iter(|(t, &l)| t.map(|v| u64::from(v) << 32 | u64::from(l)))
            .collect();
        keys.par_sort_unstable();
        keys.dedup();
        let mut starts = vec![0_u32; mesh.positions.len() + 1];
        for k in &keys {
            starts[(k >> 32) as usize + 1] += 1;
        }
        for v in 0..mesh.positions.len() {
            starts[v + 1] += starts[v];
        }
        let mut found = Self {
            values: vec![[0.0; 3]; keys.len()],
            keys,
            starts,
        };
        if seams.is_empty() {
            return found;
        }
        let mut system = GraphSystem::new(found.keys.len(), RIDGE);
        system.links = (0..mesh.triangles.len())
            .into_par_iter()
            .with_min_len(4096)
            .flat_map_iter(|f| (0..3).map(move |k| (f, k)))
            .filter_map(|(f, k)| {
                let l = label[f];
                let g = adjacency.across[f][k];
                let twice = g != NONE && (g as usize) < f && label[g as usize] == l;
                if l == NONE || twice {
                    return None;
                }
                let t = mesh.triangles[f];
                let i = found.index(t[k], l)?;
                let j = found.index(t[(k + 1) % 3], l)?;
                Some((i as u32, j as u32, SMOOTH))
            })
            .collect();
        for seam in seams {
            let views = seam.sides.map(|s| label[s.face as usize]);
            for end in 0..2 {
                let (Some(i), Some(j)) = (
                    found.index(seam.vertices[end], views[0]),
                    found.index(seam.vertices[end], views[1]),
                ) else {
                    continue;
                };
                let step = step_at(seam, end);
                let size = (step[0] * step[0] + step[1] * step[1] + step[2] * step[2]).sqrt();
                let w = 1.0 / (1.0 + (size / HALF_WEIGHT_STEP).powi(2));
                // g₀ − g₁ = c₁ − c₀
                system.links.push((i as u32, j as u32, w));
                for k in 0..3 {
                    system.rhs[i][k] += w * step[k];
                    system.rhs[j][k] -= w * step[k];
                }
            }
        }
        found.values = system.solve(1e-3, 400);
        found
    }
}

/// Mean step of the edge, weighted from 1 at this end to 0 at the other.
fn step_at(seam: &Seam, end: usize) -> [f64; 3] {
    let last = (seam.step.len() - 1) as f64;
    let (mut sum, mut total) = ([0.0; 3], 0.0);
    for (i, d) in seam.step.iter().enumerate() {
        let t = i as f64 / last;
        let w = if end == 0 { 1.0 - t } else { t };
        total += w;
        for k in 0..3 {
            sum[k] += w * f64::from(d[k]);
        }
    }
    sum.map(|s| s / total)
}
