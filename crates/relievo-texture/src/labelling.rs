//! One view per face: a Markov random field with a Potts prior.
//!
//! Waechter et al. 2014, section 4.1. Minimised by min-sum loopy belief
//! propagation (Felzenszwalb & Huttenlocher 2006: linear-time Potts messages),
//! all messages of a round from the previous round with damping, so that
//! threads do not matter; then by iterated conditional modes on faces and on
//! whole charts. Departures: the data term is each face's quality relative to
//! its best view; faces count by their area and borders by their length, so
//! that the result does not hang on the tessellation.

use crate::adjacency::{Adjacency, NONE, components};
use crate::candidates::Candidates;
use rayon::prelude::*;
use relievo_scene::TriMesh;
use relievo_task::{Cancelled, Task};
use std::collections::BTreeMap;

const DAMPING: f32 = 0.5;
/// Faces of one unit of parallel work.
const CHUNK: usize = 8192;
/// Weights of faces and edges relative to their mean stay within these.
const WEIGHT_RANGE: (f64, f64) = (0.05, 20.0);

struct Field<'a> {
    adjacency: &'a Adjacency,
    candidates: &'a Candidates,
    /// Per candidate.
    cost: Vec<f32>,
    /// Per face and edge.
    border: Vec<[f32; 3]>,
}

/// View index per face, [`NONE`] for faces without candidates.
pub(crate) fn label_faces(
    mesh: &TriMesh,
    adjacency: &Adjacency,
    candidates: &Candidates,
    smoothness: f64,
    rounds: u32,
    task: &Task,
) -> Result<Vec<u32>, Cancelled> {
    let field = Field::new(mesh, adjacency, candidates, smoothness);
    let messages = field.propagate(rounds, task)?;
    let mut label = field.decode(&messages);
    drop(messages);
    for _ in 0..4 {
        task.check()?;
        let faces = field.improve_faces(&mut label);
        let charts = field.improve_charts(&mut label);
        if faces + charts == 0 {
            break;
        }
    }
    Ok(label)
}

impl<'a> Field<'a> {
    fn new(
        mesh: &TriMesh,
        adjacency: &'a Adjacency,
        candidates: &'a Candidates,
        smoothness: f64,
    ) -> Self {
        let at = |v: u32| mesh.positions[v as usize].map(f64::from);
        let sub = |a: [f64; 3], b: [f64; 3]| [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
        let length = |d: [f64; 3]| (d[0] * d[0] + d[1] * d[1] + d[2] * d[2]).sqrt();
        let measures: Vec<(f64, [f64; 3])> = mesh
            .triangles
            .par_iter()
            .with_min_len(4096)
            .map(|t| {
                let c = t.map(at);
                let (a, b) = (sub(c[1], c[0]), sub(c[2], c[0]));
                let cross = [
                    a[1] * b[2] - a[2] * b[1],
                    a[2] * b[0] - a[0] * b[2],
                    a[0] * b[1] - a[1] * b[0],
                ];
                let edges = std::array::from_fn(|k| length(sub(c[(k + 1) % 3], c[k])));
                (0.5 * length(cross), edges)
            })
            .collect();
        let n = mesh.triangles.len();
        let mean_area = relievo_task::ordered::sum(n, |f| measures[f].0) / n.max(1) as f64;
        let mean_edge = relievo_task::ordered::sum(n, |f| measures[f].1.iter().sum::<f64>())
            / (3 * n).max(1) as f64;
        let weight = |v: f64, mean: f64| {
            if mean > 0.0 {
                (v / mean).clamp(WEIGHT_RANGE.0, WEIGHT_RANGE.1)
            } else {
                1.0
            }
        };
        let cost = (0..n)
            .into_par_iter()
            .with_min_len(4096)
            .flat_map_iter(|f| {
                let list = candidates.of(f);
                let best = list.iter().map(|c| c.quality).fold(0.0, f32::max);
                let w = weight(measures[f].0, mean_area) as f32;
                list.iter()
                    .map(move |c| w * (1.0 - c.quality / best.max(f32::MIN_POSITIVE)))
            })
            .collect();
        let border = measures
            .iter()
            .map(|(_, e)| e.map(|e| (smoothness * weight(e, mean_edge)) as f32))
            .collect();
        Self {
            adjacency,
            candidates,
            cost,
            border,
        }
    }

    fn num_faces(&self) -> usize {
        self.border.len()
    }

    /// Messages into every face: for face f and edge k the `len` values at
    /// `3 * start + k * len`.
    fn propagate(&self, rounds: u32, task: &Task) -> Result<Vec<f32>, Cancelled> {
        let total = 3 * self.cost.len();
        let (mut old, mut new) = (vec![0.0_f32; total], vec![0.0_f32; total]);
        let progress = task.progress("choosing photos for faces", u64::from(rounds));
        for _ in 0..rounds {
            task.check()?;
            let mut parts = Vec::new();
            let mut rest = new.as_mut_slice();
            for first in (0..self.num_faces()).step_by(CHUNK) {
                let last = (first + CHUNK).min(self.num_faces());
                let len = 3 * (self.candidates.starts[last] - self.candidates.starts[first]);
                let (part, tail) = rest.split_at_mut(len as usize);
                parts.push((first..last, part));
                rest = tail;
            }
            let change = parts
                .into_par_iter()
                .map(|(faces, part)| self.round(faces, part, &old))
                .collect::<Vec<f32>>()
                .into_iter()
                .fold(0.0, f32::max);
            std::mem::swap(&mut old, &mut new);
            progress.add(1);
            if change < 1e-3 {
                break;
            }
        }
        Ok(old)
    }

    /// Recomputes the messages into `faces`; returns the largest change.
    fn round(&self, faces: std::ops::Range<usize>, out: &mut [f32], old: &[f32]) -> f32 {
        let mut change = 0.0_f32;
        let mut belief: Vec<f32> = Vec::new();
        let base = 3 * self.candidates.starts[faces.start] as usize;
        for f in faces {
            let own = self.candidates.range(f);
            let len = own.len();
            if len < 2 {
                continue;
            }
            for k in 0..3 {
                let from = self.adjacency.across[f][k];
                if from == NONE {
                    continue;
                }
                let theirs = self.candidates.range(from as usize);
                if theirs.is_empty() {
                    continue;
                }
                // The sender's cost without what it heard from f.
                self.belief(from as usize, f as u32, old, &mut belief);
                let least = belief.iter().copied().fold(f32::INFINITY, f32::min);
                let cap = least + self.border[f][k];
                let at = 3 * own.start + k * len;
                let mut j = 0;
                let mut lowest = f32::INFINITY;
                for (i, mine) in self.candidates.items[own.clone()].iter().enumerate() {
                    while j < theirs.len()
                        && self.candidates.items[theirs.start + j].view < mine.view
                    {
                        j += 1;
                    }
                    let same = j < theirs.len()
                        && self.candidates.items[theirs.start + j].view == mine.view;
                    let m = if same { belief[j].min(cap) } else { cap };
                    out[at - base + i] = m;
                    lowest = lowest.min(m);
                }
                for i in 0..len {
                    let before = old[at + i];
                    let m = DAMPING * before + (1.0 - DAMPING) * (out[at - base + i] - lowest);
                    out[at - base + i] = m;
                    change = change.max((m - before).abs());
                }
            }
        }
        change
    }

    /// Costs of a face's candidates with all messages but those from `except`.
    fn belief(&self, face: usize, except: u32, messages: &[f32], belief: &mut Vec<f32>) {
        let own = self.candidates.range(face);
        let len = own.len();
        belief.clear();
        belief.extend_from_slice(&self.cost[own.clone()]);
        for k in 0..3 {
            let from = self.adjacency.across[face][k];
            if from == NONE || from == except {
                continue;
            }
            let at = 3 * own.start + k * len;
            for (b, m) in belief.iter_mut().zip(&messages[at..at + len]) {
                *b += m;
            }
        }
    }

    fn decode(&self, messages: &[f32]) -> Vec<u32> {
        (0..self.num_faces())
            .into_par_iter()
            .with_min_len(4096)
            .map(|f| {
                let mut belief = Vec::new();
                self.belief(f, NONE, messages, &mut belief);
                let best = (0..belief.len())
                    .min_by(|&a, &b| belief[a].total_cmp(&belief[b]).then(a.cmp(&b)));
                best.map_or(NONE, |i| u32::from(self.candidates.of(f)[i].view))
            })
            .collect()
    }

    /// Lets each face in turn take the cheapest view; returns how many changed.
    fn improve_faces(&self, label: &mut [u32]) -> usize {
        let mut changed = 0;
        for f in 0..self.num_faces() {
            let mut best = (f32::INFINITY, NONE);
            let mut own = f32::INFINITY;
            for i in self.candidates.range(f) {
                let view = u32::from(self.candidates.items[i].view);
                let mut cost = self.cost[i];
                for k in 0..3 {
                    let g = self.adjacency.across[f][k];
                    if g != NONE && label[g as usize] != NONE && label[g as usize] != view {
                        cost += self.border[f][k];
                    }
                }
                if view == label[f] {
                    own = cost;
                }
                if cost < best.0 {
                    best = (cost, view);
                }
            }
            if best.0 < own - 1e-6 {
                label[f] = best.1;
                changed += 1;
            }
        }
        changed
    }

    /// Lets each chart in turn, small ones first, take a neighbour's view where
    /// that is cheaper in all; returns how many changed.
    fn improve_charts(&self, label: &mut [u32]) -> usize {
        let (part, parts) = components(self.adjacency, label);
        let mut order: Vec<usize> = (0..parts.len()).collect();
        order.sort_by_key(|&p| (parts[p].len(), p));
        let mut changed = 0;
        for p in order {
            let faces = &parts[p];
            let own = label[faces[0] as usize];
            // Border length by the view beyond.
            let mut beyond: BTreeMap<u32, f32> = BTreeMap::new();
            for &f in faces {
                for k in 0..3 {
                    let g = self.adjacency.across[f as usize][k];
                    if g != NONE && part[g as usize] != p as u32 && label[g as usize] != NONE {
                        *beyond.entry(label[g as usize]).or_default() += self.border[f as usize][k];
                    }
                }
            }
            let all: f32 = beyond.values().sum();
            let cost = |view: u32| -> Option<f32> {
                let mut sum = 0.0;
                for &f in faces {
                    let range = self.candidates.range(f as usize);
                    let list = &self.candidates.items[range.clone()];
                    let i = list.iter().position(|c| u32::from(c.view) == view)?;
                    sum += self.cost[range.start + i];
                }
                Some(sum + all - beyond.get(&view).copied().unwrap_or(0.0))
            };
            let Some(now) = cost(own) else { continue };
            let better = beyond
                .keys()
                .filter(|&&v| v != own)
                .filter_map(|&v| cost(v).map(|c| (c, v)))
                .min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            if let Some((c, view)) = better
                && c < now - 1e-6 * now.abs()
            {
                for &f in faces {
                    label[f as usize] = view;
                }
                changed += 1;
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Seen;

    /// A strip of 2n triangles.
    fn strip(n: u32) -> TriMesh {
        let mut mesh = TriMesh::default();
        for i in 0..=n {
            mesh.positions.push([i as f32, 0.0, 0.0]);
            mesh.positions.push([i as f32, 1.0, 0.0]);
        }
        for i in 0..n {
            let a = 2 * i;
            mesh.triangles.push([a, a + 2, a + 1]);
            mesh.triangles.push([a + 1, a + 2, a + 3]);
        }
        mesh
    }

    #[test]
    fn noise_is_smoothed_and_real_borders_stay() {
        let mesh = strip(50);
        // View 0 is better on the left, view 1 on the right, with flips.
        let by_view: Vec<Vec<Seen>> = (0..2)
            .map(|v| {
                (0..100_u32)
                    .map(|face| {
                        let good = (face < 50) == (v == 0);
                        let flip = face % 17 == 5;
                        Seen {
                            face,
                            quality: if good ^ flip { 10.0 } else { 6.0 },
                            color: [0; 3],
                        }
                    })
                    .collect()
            })
            .collect();
        let candidates = Candidates::gather(100, &by_view);
        let adjacency = Adjacency::new(&mesh);
        let run = |threads| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap()
                .install(|| {
                    label_faces(&mesh, &adjacency, &candidates, 1.0, 60, &Task::silent()).unwrap()
                })
        };
        let label = run(1);
        let (_, parts) = components(&adjacency, &label);
        assert_eq!(parts.len(), 2, "{label:?}");
        assert_eq!((label[0], label[99]), (0, 1));
        assert!((parts[0].len() as i32 - 50).abs() <= 3);
        assert_eq!(label, run(2));
    }

    #[test]
    fn faces_that_nobody_saw_stay_unlabelled() {
        let mesh = strip(3);
        let seen = vec![vec![Seen {
            face: 2,
            quality: 1.0,
            color: [0; 3],
        }]];
        let candidates = Candidates::gather(6, &seen);
        let label = label_faces(
            &mesh,
            &Adjacency::new(&mesh),
            &candidates,
            1.0,
            10,
            &Task::silent(),
        )
        .unwrap();
        assert_eq!(label, [NONE, NONE, 0, NONE, NONE, NONE]);
    }
}
