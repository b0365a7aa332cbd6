//! All rotations at once from those of the pairs: Chatterjee & Govindu,
//! "Efficient and robust large-scale rotation averaging", ICCV 2013.
//!
//! A spanning tree of the strongest pairs gives a start; then the differences
//! ω_b − ω_a ≈ log(R_bᵀ R_ab R_a) are solved for all views together, with the
//! weights of an L1 and at the end of a Geman-McClure loss.

use nalgebra::UnitQuaternion;
use relievo_geometry::Vec3;
use relievo_optim::solve_sparse_spd;

/// The relative rotation of two views.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RotationEdge {
    pub(crate) a: usize,
    pub(crate) b: usize,
    pub(crate) b_from_a: UnitQuaternion<f64>,
    /// How much it counts; positive.
    pub(crate) weight: f64,
}

/// First iterations without weights: the edges of the tree fit exactly, and an L1
/// loss would hold on to them, the wrong ones included.
const PLAIN_ITERATIONS: usize = 3;
/// The last iteration under the L1 loss, and of all.
const L1_ITERATIONS: usize = 12;
const ITERATIONS: usize = 60;
/// Scale of the Geman-McClure loss, radians (GLOMAP: 5 degrees).
const SCALE: f64 = 5.0 * std::f64::consts::PI / 180.0;
/// Differences under this are as good as none, radians.
const LEAST: f64 = 1e-4;
/// Edges with a larger difference at the end are wrong, radians (GLOMAP: 10 degrees).
const WRONG: f64 = 10.0 * std::f64::consts::PI / 180.0;

/// Rotations `cam_from_world` of the largest set of views that edges connect,
/// wrong edges left out; `None` for other views. The world is the first of
/// these views.
pub(crate) fn average_rotations(
    views: usize,
    edges: &[RotationEdge],
) -> Vec<Option<UnitQuaternion<f64>>> {
    let mut used: Vec<RotationEdge> = edges.to_vec();
    let mut rotations = vec![None; views];
    // Once more without those that were wrong: they pull at the others.
    for _ in 0..2 {
        let inside = largest_component(views, used.iter().map(|e| (e.a, e.b)));
        used.retain(|e| inside[e.a] && inside[e.b]);
        rotations = spanning_tree(views, &used);
        refine(&mut rotations, &used);
        used.retain(|e| difference(e, &rotations).is_some_and(|d| d.norm() < WRONG));
    }
    let inside = largest_component(views, used.iter().map(|e| (e.a, e.b)));
    for (rotation, inside) in rotations.iter_mut().zip(inside) {
        if !inside {
            *rotation = None;
        }
    }
    rotations
}

/// Angle between an edge and the rotations found, radians; `None` where one is
/// unknown.
pub(crate) fn angle(edge: &RotationEdge, rotations: &[Option<UnitQuaternion<f64>>]) -> Option<f64> {
    difference(edge, rotations).map(|d| d.norm())
}

/// log(R_bᵀ R_ab R_a).
fn difference(edge: &RotationEdge, rotations: &[Option<UnitQuaternion<f64>>]) -> Option<Vec3> {
    let (a, b) = (rotations[edge.a]?, rotations[edge.b]?);
    Some((b.inverse() * edge.b_from_a * a).scaled_axis())
}

/// Representatives of joined sets; the least member stands for its set.
#[derive(Debug)]
pub(crate) struct Sets(Vec<u32>);

impl Sets {
    pub(crate) fn new(n: usize) -> Self {
        Self((0..n as u32).collect())
    }

    pub(crate) fn find(&mut self, i: usize) -> usize {
        let mut i = i as u32;
        while self.0[i as usize] != i {
            let up = self.0[self.0[i as usize] as usize];
            self.0[i as usize] = up;
            i = up;
        }
        i as usize
    }

    /// False where they were one set already.
    pub(crate) fn join(&mut self, a: usize, b: usize) -> bool {
        let (a, b) = (self.find(a), self.find(b));
        let (low, high) = (a.min(b), a.max(b));
        self.0[high] = low as u32;
        low != high
    }
}

/// True for the views of the largest connected set (on a tie the one with the
/// first view).
pub(crate) fn largest_component(
    views: usize,
    edges: impl Iterator<Item = (usize, usize)>,
) -> Vec<bool> {
    let mut sets = Sets::new(views);
    for (a, b) in edges {
        sets.join(a, b);
    }
    let roots: Vec<usize> = (0..views).map(|v| sets.find(v)).collect();
    let mut sizes = vec![0_usize; views];
    for &root in &roots {
        sizes[root] += 1;
    }
    let largest = (0..views).max_by(|&p, &q| sizes[p].cmp(&sizes[q]).then(q.cmp(&p)));
    roots.iter().map(|r| Some(*r) == largest).collect()
}

/// Rotations along the strongest edges, from the first view that has any.
fn spanning_tree(views: usize, edges: &[RotationEdge]) -> Vec<Option<UnitQuaternion<f64>>> {
    let mut order: Vec<&RotationEdge> = edges.iter().collect();
    order.sort_by(|p, q| {
        q.weight
            .total_cmp(&p.weight)
            .then((p.a, p.b).cmp(&(q.a, q.b)))
    });
    let mut sets = Sets::new(views);
    let mut tree: Vec<Vec<(usize, UnitQuaternion<f64>)>> = vec![Vec::new(); views];
    for e in order {
        if sets.join(e.a, e.b) {
            tree[e.a].push((e.b, e.b_from_a));
            tree[e.b].push((e.a, e.b_from_a.inverse()));
        }
    }
    let mut rotations = vec![None; views];
    let Some(root) = (0..views).find(|&v| !tree[v].is_empty()) else {
        return rotations;
    };
    rotations[root] = Some(UnitQuaternion::identity());
    let mut open = vec![root];
    while let Some(v) = open.pop() {
        for &(other, other_from_v) in &tree[v] {
            if let (None, Some(r)) = (rotations[other], rotations[v]) {
                rotations[other] = Some(other_from_v * r);
                open.push(other);
            }
        }
    }
    rotations
}

fn refine(rotations: &mut [Option<UnitQuaternion<f64>>], edges: &[RotationEdge]) {
    // The first view is held.
    let mut column = vec![u32::MAX; rotations.len()];
    let mut unknowns = 0;
    for (v, _) in rotations
        .iter()
        .enumerate()
        .filter(|(_, r)| r.is_some())
        .skip(1)
    {
        column[v] = unknowns;
        unknowns += 1;
    }
    for iteration in 0..ITERATIONS {
        let mut lower = Vec::with_capacity(3 * edges.len());
        let mut rhs = vec![vec![0.0; unknowns as usize]; 3];
        for e in edges {
            let Some(d) = difference(e, rotations) else {
                continue;
            };
            let w = e.weight
                * match iteration {
                    0..PLAIN_ITERATIONS => 1.0,
                    PLAIN_ITERATIONS..L1_ITERATIONS => 1.0 / d.norm().max(LEAST),
                    _ => (SCALE * SCALE / (SCALE * SCALE + d.norm_squared())).powi(2),
                };
            let (a, b) = (column[e.a], column[e.b]);
            for (c, sign) in [(a, -1.0), (b, 1.0)] {
                if c != u32::MAX {
                    lower.push((c, c, w));
                    for k in 0..3 {
                        rhs[k][c as usize] += sign * w * d[k];
                    }
                }
            }
            if a != u32::MAX && b != u32::MAX {
                lower.push((a.max(b), a.min(b), -w));
            }
        }
        let Some(step) = solve_sparse_spd(unknowns as usize, &lower, &rhs) else {
            return;
        };
        let mut most = 0.0_f64;
        for (v, rotation) in rotations.iter_mut().enumerate() {
            let (Some(r), true) = (rotation.as_mut(), column[v] != u32::MAX) else {
                continue;
            };
            let c = column[v] as usize;
            let turn = Vec3::new(step[0][c], step[1][c], step[2][c]);
            most = most.max(turn.norm());
            *r = UnitQuaternion::new_normalize(
                (*r * UnitQuaternion::from_scaled_axis(turn)).into_inner(),
            );
        }
        if iteration >= L1_ITERATIONS && most < LEAST {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use relievo_task::RngCore;

    #[test]
    fn wrong_edges_do_not_turn_the_others() {
        let mut rng = relievo_task::rng(3, "test", "rotations");
        let mut unit = || f64::from(rng.next_u32()) / f64::from(u32::MAX) * 2.0 - 1.0;
        let n = 30;
        let mut any =
            |size: f64| UnitQuaternion::from_scaled_axis(size * Vec3::new(unit(), unit(), unit()));
        let truth: Vec<UnitQuaternion<f64>> = (0..n).map(|_| any(2.0)).collect();
        let mut edges = Vec::new();
        for a in 0..n {
            for b in a + 1..n.min(a + 7) {
                // Every fifth is wild, the others are a degree off at most.
                let error = if (a * 7 + b) % 5 == 0 {
                    any(2.0)
                } else {
                    any(0.01)
                };
                edges.push(RotationEdge {
                    a,
                    b,
                    b_from_a: error * truth[b] * truth[a].inverse(),
                    weight: 1.0,
                });
            }
        }
        // A view that only a wild edge ties to the rest, and one that nothing does.
        edges.push(RotationEdge {
            a: 4,
            b: n,
            b_from_a: any(2.0),
            weight: 0.1,
        });
        let found = average_rotations(n + 2, &edges);
        assert!(found[n + 1].is_none());
        let first = found[0].unwrap();
        for v in 0..n {
            let r = found[v].unwrap() * first.inverse();
            let error = r.angle_to(&(truth[v] * truth[0].inverse()));
            assert!(error < 0.02, "{v}: {error}");
        }
    }
}
