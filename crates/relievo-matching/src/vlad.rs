//! One vector per view, learned from the set itself, to find views of the same
//! thing.
//!
//! VLAD: Jégou, Douze, Schmid & Pérez, "Aggregating local descriptors into a
//! compact image representation", CVPR 2010; with the intra-normalisation of
//! Arandjelović & Zisserman, "All about VLAD", CVPR 2013. Centres by Lloyd's
//! k-means; sums are of integers, so that their order does not matter.

use crate::nearest::Descriptor;
use rand_core::RngCore;
use rayon::prelude::*;
use relievo_scene::DESCRIPTOR_LEN;
use relievo_task::{Cancelled, Rng, Task};

/// Descriptors assigned as one unit of parallel work.
const CHUNK: usize = 1024;

/// Cluster centres and their squared lengths.
struct Centres {
    points: Vec<[f32; DESCRIPTOR_LEN]>,
    squared: Vec<f32>,
}

/// Sum and number of the descriptors of each centre.
type Sums = Vec<([u32; DESCRIPTOR_LEN], u32)>;

impl Centres {
    fn new(points: Vec<[f32; DESCRIPTOR_LEN]>) -> Self {
        let squared = points.iter().map(|p| dot(p, p)).collect();
        Self { points, squared }
    }

    /// Nearest centre; the lowest on a tie.
    fn nearest(&self, d: &Descriptor) -> usize {
        let d = d.map(f32::from);
        let mut best = (f32::MAX, 0);
        for (k, (p, squared)) in self.points.iter().zip(&self.squared).enumerate() {
            let distance = squared - 2.0 * dot(p, &d);
            if distance < best.0 {
                best = (distance, k);
            }
        }
        best.1
    }

    fn sums(&self, descriptors: &[Descriptor]) -> Sums {
        let mut sums: Sums = vec![([0; DESCRIPTOR_LEN], 0); self.points.len()];
        for d in descriptors {
            let (sum, n) = &mut sums[self.nearest(d)];
            for (s, v) in sum.iter_mut().zip(d) {
                *s += u32::from(*v);
            }
            *n += 1;
        }
        sums
    }
}

#[inline]
fn dot(a: &[f32; DESCRIPTOR_LEN], b: &[f32; DESCRIPTOR_LEN]) -> f32 {
    let mut lanes = [0.0_f32; 16];
    for k in 0..DESCRIPTOR_LEN / 16 {
        for l in 0..16 {
            lanes[l] += a[16 * k + l] * b[16 * k + l];
        }
    }
    lanes.iter().sum()
}

/// Unit vectors of `centres`·128 numbers, one for each view's descriptors (as
/// many of largest scale as they should speak for the view). A view without
/// descriptors gets zeros. `rounds` of k-means on at most `samples` of them.
pub(crate) fn vlad(
    views: &[&[Descriptor]],
    (centres, samples, rounds): (usize, usize, usize),
    rng: &mut Rng,
    task: &Task,
) -> Result<Vec<Vec<f32>>, Cancelled> {
    let per_view = (samples / views.len().max(1)).max(16);
    let sample: Vec<Descriptor> = views
        .iter()
        .flat_map(|v| {
            let step = v.len().div_ceil(per_view).max(1);
            v.iter().step_by(step).copied()
        })
        .collect();
    if sample.is_empty() || centres == 0 {
        return Ok(vec![Vec::new(); views.len()]);
    }
    let start = (0..centres)
        .map(|_| sample[rng.next_u64() as usize % sample.len()].map(f32::from))
        .collect();
    let mut found = Centres::new(start);
    for _ in 0..rounds {
        task.check()?;
        let parts: Vec<Sums> = sample.par_chunks(CHUNK).map(|c| found.sums(c)).collect();
        let mut points = found.points.clone();
        for (k, point) in points.iter_mut().enumerate() {
            let mut total = [0_u64; DESCRIPTOR_LEN];
            let mut n = 0_u64;
            for part in &parts {
                for (t, s) in total.iter_mut().zip(&part[k].0) {
                    *t += u64::from(*s);
                }
                n += u64::from(part[k].1);
            }
            // A centre that nothing is near to stays where it is.
            if n > 0 {
                *point = total.map(|t| (t as f64 / n as f64) as f32);
            }
        }
        found = Centres::new(points);
    }
    task.check()?;
    Ok(views
        .par_iter()
        .with_max_len(1)
        .map(|v| aggregate(&found, v))
        .collect())
}

fn aggregate(centres: &Centres, descriptors: &[Descriptor]) -> Vec<f32> {
    let mut out = Vec::with_capacity(centres.points.len() * DESCRIPTOR_LEN);
    for ((sum, n), centre) in centres.sums(descriptors).iter().zip(&centres.points) {
        let mut residual = [0.0_f32; DESCRIPTOR_LEN];
        for k in 0..DESCRIPTOR_LEN {
            residual[k] = sum[k] as f32 - *n as f32 * centre[k];
        }
        out.extend(unit(&residual));
    }
    unit(&out)
}

fn unit(v: &[f32]) -> Vec<f32> {
    let norm = v.iter().map(|x| x * x).sum::<f32>().sqrt();
    if norm > 1e-6 {
        v.iter().map(|x| x / norm).collect()
    } else {
        vec![0.0; v.len()]
    }
}

/// Dot product of two vectors of equal length.
pub(crate) fn similarity(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 16];
    for (a, b) in a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0) {
        for l in 0..16 {
            lanes[l] += a[l] * b[l];
        }
    }
    lanes.iter().sum()
}
