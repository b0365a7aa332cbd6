//! Camera centres and points at once, from rays of known direction: global
//! positioning (Pan et al., "Global structure-from-motion revisited", ECCV 2024,
//! §3.3), after Zhuang et al., "Baseline desensitizing in translation averaging",
//! CVPR 2018.
//!
//! Minimises Σ ρ(|v − d (X − c)|²) over centres c, points X and a scale d > 0 for
//! each ray v. For d = 1 the problem is linear: its solution is the start, so
//! that nothing is left to chance. Scales and points are eliminated from every
//! step.

use rayon::prelude::*;
use relievo_geometry::{Mat3, Vec3};
use relievo_optim::{Loss, LowerEntry, solve_sparse_spd};
use relievo_task::{Cancelled, Task, ordered};

/// GLOMAP's loss, rays being of unit length, then one that lets go of wrong rays.
const LOSSES: [Loss; 2] = [Loss::Huber(0.1), Loss::Cauchy(0.05)];
/// Least scale of a ray.
const LEAST_SCALE: f64 = 1e-5;
/// Most steps.
const ITERATIONS: usize = 100;
/// Relative decrease of the cost that ends them.
const TOLERANCE: f64 = 1e-5;
/// Tracks a unit of work.
const CHUNK: usize = 256;

/// Rays of the tracks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rays {
    /// Rays of track l: `starts[l]..starts[l + 1]`.
    pub(crate) starts: Vec<u32>,
    /// The view of each ray.
    pub(crate) views: Vec<u32>,
    /// Its direction in the world, of unit length.
    pub(crate) directions: Vec<Vec3>,
}

impl Rays {
    fn of(&self, track: usize) -> std::ops::Range<usize> {
        self.starts[track] as usize..self.starts[track + 1] as usize
    }

    fn tracks(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }
}

/// Where everything is, in any unit.
#[derive(Clone, Debug)]
pub(crate) struct Positions {
    pub(crate) centers: Vec<Vec3>,
    pub(crate) points: Vec<Vec3>,
    scales: Vec<f64>,
}

/// Positions of `views` cameras and of the tracks; `None` where the rays do not
/// determine them. Every view should have rays.
pub(crate) fn global_positions(
    views: usize,
    rays: &Rays,
    task: &Task,
) -> Result<Option<Positions>, Cancelled> {
    let mut of_view: Vec<Vec<(u32, u32)>> = vec![Vec::new(); views];
    for l in 0..rays.tracks() {
        for o in rays.of(l) {
            of_view[rays.views[o] as usize].push((l as u32, o as u32));
        }
    }
    let mut problem = Problem {
        rays,
        of_view,
        loss: LOSSES[0],
    };
    let mut at = Positions {
        centers: vec![Vec3::zeros(); views],
        points: vec![Vec3::zeros(); rays.tracks()],
        scales: vec![1.0; rays.views.len()],
    };
    match problem.step(&at, 1e-9, Scales::Held) {
        Some(start) => at = start,
        None => return Ok(None),
    }
    for loss in LOSSES {
        problem.loss = loss;
        at = problem.descend(at, task)?;
    }
    let finite = |v: &Vec3| v.iter().all(|x| x.is_finite());
    let good = at.centers.iter().chain(&at.points).all(finite);
    Ok(good.then_some(at))
}

/// Whether the scales of the rays move.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scales {
    Held,
    Free,
}

struct Problem<'r> {
    rays: &'r Rays,
    /// (track, ray) by view.
    of_view: Vec<Vec<(u32, u32)>>,
    loss: Loss,
}

/// A ray without its scale: how a shift of the point counts, and the pull.
#[derive(Clone, Copy)]
struct Part {
    information: Mat3,
    pull: Vec3,
    /// What damping multiplies.
    size: f64,
}

/// A track without its point.
struct Eliminated {
    inverse: Mat3,
    pull: Vec3,
}

impl Problem<'_> {
    fn residual(&self, at: &Positions, track: usize, o: usize) -> (Vec3, Vec3) {
        let y = at.points[track] - at.centers[self.rays.views[o] as usize];
        (self.rays.directions[o] - y * at.scales[o], y)
    }

    fn cost(&self, at: &Positions) -> f64 {
        let part = |range: std::ops::Range<usize>| {
            let mut sum = 0.0;
            for l in range {
                for o in self.rays.of(l) {
                    sum += self
                        .loss
                        .evaluate(self.residual(at, l, o).0.norm_squared())
                        .0;
                }
            }
            sum
        };
        ordered::map_reduce(self.rays.tracks(), CHUNK, part, |a, b| a + b).unwrap_or(0.0)
    }

    /// Levenberg-Marquardt from `at`.
    fn descend(&self, mut at: Positions, task: &Task) -> Result<Positions, Cancelled> {
        let mut lambda = 1e-4;
        let mut growth = 2.0;
        let mut cost = self.cost(&at);
        for _ in 0..ITERATIONS {
            task.check()?;
            let next = self.step(&at, lambda, Scales::Free);
            let next_cost = next.as_ref().map_or(f64::INFINITY, |n| self.cost(n));
            match next {
                Some(next) if next_cost < cost => {
                    let decrease = (cost - next_cost) / cost;
                    (at, cost) = (next, next_cost);
                    lambda = (lambda / 3.0).max(1e-9);
                    growth = 2.0;
                    if decrease < TOLERANCE {
                        break;
                    }
                }
                _ => {
                    lambda *= growth;
                    growth *= 2.0;
                    if lambda > 1e8 {
                        break;
                    }
                }
            }
        }
        Ok(at)
    }

    fn part(&self, at: &Positions, track: usize, o: usize, lambda: f64, scales: Scales) -> Part {
        let (r, y) = self.residual(at, track, o);
        let d = at.scales[o];
        if scales == Scales::Held {
            return Part {
                information: Mat3::identity() * (d * d),
                pull: r * d,
                size: d * d,
            };
        }
        let w = self.loss.evaluate(r.norm_squared()).1;
        // H_dd = w y·y, damped; the scale gives way to what lies along the ray.
        let along = 1.0 / ((1.0 + lambda) * y.norm_squared()).max(f64::MIN_POSITIVE);
        Part {
            information: (Mat3::identity() - y * y.transpose() * along) * (w * d * d),
            pull: (r - y * (y.dot(&r) * along)) * (w * d),
            size: w * d * d,
        }
    }

    /// One damped Gauss-Newton step.
    fn step(&self, at: &Positions, lambda: f64, scales: Scales) -> Option<Positions> {
        let rays = self.rays;
        let chunks = ordered::map_chunks(rays.tracks(), CHUNK, |range| {
            let mut parts = Vec::new();
            let mut points = Vec::with_capacity(range.len());
            for l in range {
                let (mut v, mut pull, mut size) = (Mat3::zeros(), Vec3::zeros(), 0.0);
                for o in rays.of(l) {
                    let p = self.part(at, l, o, lambda, scales);
                    v += p.information;
                    pull += p.pull;
                    size += p.size;
                    parts.push(p);
                }
                let damped = v + Mat3::identity() * (lambda * size + 1e-300);
                points.push(Eliminated {
                    inverse: damped.try_inverse().unwrap_or_else(Mat3::zeros),
                    pull,
                });
            }
            (parts, points)
        });
        let (mut parts, mut points) = (Vec::new(), Vec::new());
        for (p, q) in chunks {
            parts.extend(p);
            points.extend(q);
        }
        let steps = self.solve(&parts, &points, lambda)?;
        let mut next = at.clone();
        for (c, s) in next.centers.iter_mut().zip(&steps) {
            *c += s;
        }
        for l in 0..rays.tracks() {
            let mut pull = points[l].pull;
            for o in rays.of(l) {
                pull += parts[o].information * steps[rays.views[o] as usize];
            }
            let moved = points[l].inverse * pull;
            next.points[l] += moved;
            if scales == Scales::Held {
                continue;
            }
            for o in rays.of(l) {
                let (r, y) = self.residual(at, l, o);
                let d = at.scales[o];
                let along = y.dot(&r) - d * y.dot(&(moved - steps[rays.views[o] as usize]));
                let full = (1.0 + lambda) * y.norm_squared();
                next.scales[o] = (d + along / full.max(f64::MIN_POSITIVE)).max(LEAST_SCALE);
            }
        }
        Some(next)
    }

    /// The centres' step.
    fn solve(&self, parts: &[Part], points: &[Eliminated], lambda: f64) -> Option<Vec<Vec3>> {
        let views = self.of_view.len();
        // Row by row, each over its own rays: the sums have one order.
        let rows: Vec<(Vec<LowerEntry>, Vec3)> = (0..views)
            .into_par_iter()
            .with_max_len(1)
            .map(|i| {
                let mut blocks = vec![Mat3::zeros(); views - i];
                let mut touched = vec![false; views - i];
                let (mut right, mut size) = (Vec3::zeros(), 0.0);
                touched[0] = true;
                for &(l, o) in &self.of_view[i] {
                    let (l, own) = (l as usize, &parts[o as usize]);
                    blocks[0] += own.information;
                    size += own.size;
                    let through = own.information * points[l].inverse;
                    right -= own.pull - through * points[l].pull;
                    for o2 in self.rays.of(l) {
                        let j = self.rays.views[o2] as usize;
                        if j >= i {
                            blocks[j - i] -= through * parts[o2].information;
                            touched[j - i] = true;
                        }
                    }
                }
                blocks[0] += Mat3::identity() * (lambda * size + 1e-12);
                let mut entries = Vec::new();
                for (k, block) in blocks.iter().enumerate().filter(|(k, _)| touched[*k]) {
                    for a in 0..3 {
                        for b in 0..3 {
                            if k > 0 || b >= a {
                                let (row, column) = (3 * (i + k) + b, 3 * i + a);
                                entries.push((row as u32, column as u32, block[(a, b)]));
                            }
                        }
                    }
                }
                (entries, right)
            })
            .collect();
        let mut lower = Vec::new();
        let mut rhs = Vec::with_capacity(3 * views);
        for (entries, right) in rows {
            lower.extend(entries);
            rhs.extend(right.iter());
        }
        let x = solve_sparse_spd(3 * views, &lower, &[rhs])?;
        Some(x[0].chunks_exact(3).map(Vec3::from_column_slice).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use relievo_task::RngCore;

    /// Cameras on a ring around points, each seen by a part of them; one ray in
    /// `wrong` points anywhere.
    fn ring(wrong: usize) -> (Vec<Vec3>, Vec<Vec3>, Rays) {
        let mut rng = relievo_task::rng(5, "test", "positions");
        let mut unit = move || f64::from(rng.next_u32()) / f64::from(u32::MAX) * 2.0 - 1.0;
        let centers: Vec<Vec3> = (0..20)
            .map(|k| {
                let (s, c) = (f64::from(k) * 0.3).sin_cos();
                Vec3::new(5.0 * c, 5.0 * s, 0.3 * unit())
            })
            .collect();
        let points: Vec<Vec3> = (0..400)
            .map(|_| Vec3::new(unit(), unit(), unit()))
            .collect();
        let mut rays = Rays {
            starts: vec![0],
            ..Rays::default()
        };
        for (l, x) in points.iter().enumerate() {
            for (v, c) in centers.iter().enumerate() {
                if (l * 5 + v * 3) % 20 >= 6 {
                    continue;
                }
                let noise = 0.002 * Vec3::new(unit(), unit(), unit());
                let count = rays.views.len();
                let ray = if wrong > 0 && count.is_multiple_of(wrong) {
                    Vec3::new(unit(), unit(), unit())
                } else {
                    (x - c).normalize() + noise
                };
                rays.views.push(v as u32);
                rays.directions.push(ray.normalize());
            }
            rays.starts.push(rays.views.len() as u32);
        }
        (centers, points, rays)
    }

    #[test]
    fn centres_are_found_from_rays_wrong_ones_included() {
        for (wrong, most) in [(0, 0.05), (10, 0.1)] {
            let (truth, _, rays) = ring(wrong);
            let found = global_positions(truth.len(), &rays, &Task::silent())
                .unwrap()
                .unwrap();
            let sim = relievo_geometry::umeyama(&found.centers, &truth, true).unwrap();
            for (f, t) in found.centers.iter().zip(&truth) {
                let error = (sim.apply(f) - t).norm();
                assert!(error < most, "{wrong}: {error}");
            }
        }
    }
}
