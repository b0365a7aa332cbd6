//! The large planes of a cloud.

use rayon::prelude::*;
use relievo_geometry::Vec3;
use relievo_scene::PointCloud;

/// Points that planes are looked for in.
const SAMPLES: usize = 20_000;
/// Points whose planes are tried.
const TRIES: usize = 400;
/// Planes given at most.
const MOST: usize = 12;
/// Share of the samples that a large plane holds.
const LEAST_SHARE: f64 = 0.01;
/// Cosine between the normals of a plane and of its points.
const COS: f64 = 0.95;

/// The points x with `normal · (x − at) = 0`; the normal points to where it is seen from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Plane {
    pub(crate) at: Vec3,
    pub(crate) normal: Vec3,
}

impl Plane {
    /// Distance in front.
    pub(crate) fn distance(&self, x: &Vec3) -> f64 {
        self.normal.dot(&(x - self.at))
    }

    /// The point mirrored.
    pub(crate) fn mirrored(&self, x: &Vec3) -> Vec3 {
        x - self.normal * (2.0 * self.distance(x))
    }

    /// The direction mirrored.
    pub(crate) fn turned(&self, direction: &Vec3) -> Vec3 {
        direction - self.normal * (2.0 * self.normal.dot(direction))
    }
}

pub(crate) fn vec3(v: [f32; 3]) -> Vec3 {
    Vec3::new(f64::from(v[0]), f64::from(v[1]), f64::from(v[2]))
}

/// How large a scene is: the diagonal of the box without the outer twentieth on each side.
pub(crate) fn extent(cloud: &PointCloud) -> f64 {
    let step = cloud.len().div_ceil(SAMPLES).max(1);
    let side = |axis: usize| {
        let mut all: Vec<f32> = cloud
            .positions
            .iter()
            .step_by(step)
            .map(|p| p[axis])
            .collect();
        all.sort_unstable_by(f32::total_cmp);
        let at = |share: f64| all.get((all.len() as f64 * share) as usize);
        at(0.95)
            .zip(at(0.05))
            .map_or(0.0, |(b, a)| f64::from(b - a))
    };
    Vec3::new(side(0), side(1), side(2)).norm()
}

/// The largest planes first, each within `tolerance` of its points; those of many points and
/// their normals, not of the best random triple, so that the same cloud gives the same planes.
pub(crate) fn large_planes(cloud: &PointCloud, tolerance: f64) -> Vec<Plane> {
    let step = cloud.len().div_ceil(SAMPLES).max(1);
    let samples: Vec<(Vec3, Vec3)> = (0..cloud.len())
        .step_by(step)
        .map(|i| (vec3(cloud.positions[i]), vec3(cloud.normals[i])))
        .collect();
    let on = |plane: &Plane, (x, n): &(Vec3, Vec3)| {
        plane.normal.dot(n) > COS && plane.distance(x).abs() < tolerance
    };
    let tried: Vec<Plane> = samples
        .iter()
        .step_by(samples.len().div_ceil(TRIES).max(1))
        .map(|&(at, normal)| Plane { at, normal })
        .collect();
    let mut ranked: Vec<(usize, usize)> = tried
        .par_iter()
        .enumerate()
        .map(|(k, plane)| (samples.iter().filter(|s| on(plane, s)).count(), k))
        .collect();
    ranked.sort_unstable_by_key(|&(count, k)| (std::cmp::Reverse(count), k));
    let mut found: Vec<Plane> = Vec::new();
    for (count, k) in ranked {
        if found.len() == MOST || (count as f64) < LEAST_SHARE * samples.len() as f64 {
            break;
        }
        let known = found.iter().any(|p| on(p, &(tried[k].at, tried[k].normal)));
        if !known {
            let members = samples.iter().filter(|s| on(&tried[k], s));
            let (mut at, mut normal) = (Vec3::zeros(), Vec3::zeros());
            for (x, n) in members {
                at += x / count as f64;
                normal += n;
            }
            let normal = normal.try_normalize(1e-9).unwrap_or(tried[k].normal);
            found.push(Plane { at, normal });
        }
    }
    found
}
