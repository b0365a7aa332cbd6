//! Accuracy and completeness by the rule of ETH3D (Schöps et al., CVPR 2017,
//! supplement).
//!
//! Every laser beam is a cone, free in front of its scan point. A point of the
//! estimate inside a beam is *accurate* when it is within the tolerance of the
//! scan point, else *inaccurate* when it lies in front of it, else *unobserved*;
//! accurate for one beam wins over inaccurate for another. Unobserved points do
//! not count. A scan point is *complete* when the estimate comes within the
//! tolerance. Both shares are averaged over voxels of 1 cm, in two grids half
//! a voxel apart, so that density earns nothing.
//!
//! Departure: beams are found by a kd-tree over their directions, not by a
//! grid of azimuth and inclination.

use super::eth3d::{Scans, TOLERANCES};
use crate::error::EvalError;
use crate::nearest::Nearest;
use rayon::prelude::*;
use relievo_geometry::{Rigid3, Sim3, Vec3};
use relievo_spatial::KdTree;
use serde::Serialize;
use std::fmt;

/// Voxel side, metres.
const VOXEL: f64 = 0.01;
/// Radius of a beam at the scanner, metres.
const BEAM_START: f64 = 0.5 * 0.00225;
/// Half the opening angle of a beam, degrees.
const BEAM_HALF_ANGLE_DEG: f64 = 0.011;

/// Figures at one tolerance.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AtTolerance {
    /// Metres.
    pub tolerance: f64,
    /// Share of the estimate.
    pub accuracy: f64,
    /// Share of the scans.
    pub completeness: f64,
    /// Harmonic mean.
    pub f1: f64,
}

/// Figures at every tolerance of the benchmark.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Eth3dFigures {
    /// Points of the estimate.
    pub points: usize,
    /// Those in observed space at the smallest tolerance.
    pub observed: usize,
    /// By tolerance, ascending.
    pub at: Vec<AtTolerance>,
}

impl fmt::Display for Eth3dFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "points: {}, observed by the scanner: {}",
            self.points, self.observed
        )?;
        for a in &self.at {
            write!(
                f,
                "\n  {:>5} m  accuracy {:.4}  completeness {:.4}  F1 {:.4}",
                a.tolerance, a.accuracy, a.completeness, a.f1
            )?;
        }
        Ok(())
    }
}

/// What the beams of all scans say of one point.
#[derive(Clone, Copy)]
struct Verdict {
    /// First tolerance at which it is accurate; their number for none.
    accurate_from: usize,
    /// Below that it is inaccurate (else unobserved).
    in_free_space: bool,
}

/// Scores a cloud; `world_from_estimate` brings it into the scans' frame.
pub fn score(
    cloud: &[[f32; 3]],
    truth: &Scans,
    world_from_estimate: &Sim3,
) -> Result<Eth3dFigures, EvalError> {
    let points: Vec<Vec3> = cloud
        .par_iter()
        .map(|p| world_from_estimate.apply(&Vec3::from(p.map(f64::from))))
        .filter(|p| p.iter().all(|v| v.is_finite()))
        .collect();
    if points.is_empty() {
        return Err(EvalError::Empty { what: "the cloud" });
    }
    let beams: Vec<Beams> = truth.scans.iter().map(Beams::new).collect();
    let verdicts: Vec<Verdict> = points
        .par_iter()
        .map(|p| {
            let mut all = Verdict {
                accurate_from: TOLERANCES.len(),
                in_free_space: false,
            };
            for beam in &beams {
                beam.judge(p, &mut all);
            }
            all
        })
        .collect();

    let judged = |v: &Verdict| v.accurate_from < TOLERANCES.len() || v.in_free_space;
    if !verdicts.iter().any(judged) {
        return Err(EvalError::OtherFrame {
            what: "the scanner observed no part of the cloud",
        });
    }
    let scan_points: Vec<Vec3> = truth
        .scans
        .iter()
        .flat_map(|s| {
            s.points
                .iter()
                .map(|p| s.world_from_scan.apply(&Vec3::from(*p)))
        })
        .collect();
    let tree = Nearest::new(&points.iter().map(|p| (*p).into()).collect::<Vec<_>>());
    let gaps: Vec<f64> = scan_points
        .par_iter()
        .map(|p| {
            let near = tree.of([p.x as f32, p.y as f32, p.z as f32]);
            near.map_or(f64::INFINITY, |i| (points[i] - p).norm())
        })
        .collect();

    let mut at = Vec::new();
    for (k, tolerance) in TOLERANCES.into_iter().enumerate() {
        let judged: Vec<Option<bool>> = verdicts
            .iter()
            .map(|v| (v.accurate_from <= k || v.in_free_space).then_some(v.accurate_from <= k))
            .collect();
        // Nothing observed at this tolerance counts as nothing accurate.
        let accuracy = voxel_mean(&points, &judged).unwrap_or(0.0);
        let reached: Vec<Option<bool>> = gaps.iter().map(|d| Some(*d <= tolerance)).collect();
        let completeness = voxel_mean(&scan_points, &reached).unwrap_or(0.0);
        let sum = accuracy + completeness;
        at.push(AtTolerance {
            tolerance,
            accuracy,
            completeness,
            f1: if sum > 0.0 {
                2.0 * accuracy * completeness / sum
            } else {
                0.0
            },
        });
    }
    Ok(Eth3dFigures {
        points: points.len(),
        observed: verdicts
            .iter()
            .filter(|v| v.accurate_from == 0 || v.in_free_space)
            .count(),
        at,
    })
}

/// The beams of one scan, by direction.
struct Beams {
    scan_from_world: Rigid3,
    points: Vec<Vec3>,
    tree: KdTree,
}

impl Beams {
    fn new(scan: &super::eth3d::Scan) -> Self {
        let points: Vec<Vec3> = scan.points.iter().map(|p| Vec3::from(*p)).collect();
        let direction = |p: &Vec3| (p / p.norm().max(1e-12)).map(|v| v as f32).into();
        let directions: Vec<[f32; 3]> = points.iter().map(direction).collect();
        Self {
            scan_from_world: scan.world_from_scan.inverse(),
            tree: KdTree::new(&directions),
            points,
        }
    }

    fn judge(&self, x_in_world: &Vec3, verdict: &mut Verdict) {
        let x = self.scan_from_world.apply(x_in_world);
        let r = x.norm();
        let beam = BEAM_START + r * BEAM_HALF_ANGLE_DEG.to_radians().tan();
        // Directions within the angle at which a beam still holds the point.
        let angle = if beam < r {
            (beam / r).asin()
        } else {
            std::f64::consts::FRAC_PI_2
        };
        let chord = 2.0 * (0.5 * angle).sin() + 1e-6;
        let d = x / r.max(1e-12);
        let near = self
            .tree
            .within([d.x as f32, d.y as f32, d.z as f32], chord as f32);
        for n in near {
            let s = &self.points[n.index as usize];
            let length = s.norm();
            let along = s.dot(&x) / length.max(1e-12);
            if along < 0.0 || (x - s * (along / length.max(1e-12))).norm() > beam {
                continue;
            }
            let off = (x - s).norm();
            let first = TOLERANCES.iter().position(|t| off <= *t);
            verdict.accurate_from = verdict.accurate_from.min(first.unwrap_or(TOLERANCES.len()));
            verdict.in_free_space |= along < length;
        }
    }
}

/// Mean over voxels of the share of true values, in both grids; `None` where
/// nothing was judged.
fn voxel_mean(points: &[Vec3], judged: &[Option<bool>]) -> Option<f64> {
    let (mut sum, mut cells) = (0.0, 0_usize);
    for shift in [0.0, 0.5] {
        let mut keys: Vec<([i64; 3], bool)> = points
            .iter()
            .zip(judged)
            .filter_map(|(p, j)| {
                let key = [p.x, p.y, p.z].map(|v| (v / VOXEL + shift).floor() as i64);
                Some((key, (*j)?))
            })
            .collect();
        keys.par_sort_unstable();
        for cell in keys.chunk_by(|a, b| a.0 == b.0) {
            let good = cell.iter().filter(|c| c.1).count();
            sum += good as f64 / cell.len() as f64;
            cells += 1;
        }
    }
    (cells > 0).then(|| sum / cells as f64)
}
