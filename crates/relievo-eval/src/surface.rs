//! Accuracy, completeness and F-score of a cloud or a mesh.
//!
//! Accuracy: distance of each estimated point to the true surface, over the
//! points in space that a true camera saw and whose nearest truth is scored.
//! Completeness: distance of each true point to the estimate. Knapitsch et
//! al., "Tanks and Temples", 2017, for precision, recall and F.

use crate::error::EvalError;
use crate::nearest::{Nearest, count_near};
use crate::sampling::{dot, mesh_area, norm, sample_mesh, sub};
use crate::scene_truth::TrueScene;
use crate::statistics::{Tail, mean, share_below};
use crate::topology::Topology;
use rayon::prelude::*;
use relievo_geometry::{Sim3, Vec3};
use relievo_scene::TriMesh;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// Points that stand for a mesh.
pub(crate) const MESH_SAMPLES: usize = 1_000_000;

/// Precision, recall and their harmonic mean at one threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct FScore {
    /// Share of the estimate within the threshold.
    pub precision: f64,
    /// Share of the truth within the threshold.
    pub recall: f64,
    /// 2pr / (p + r).
    pub f: f64,
}

impl FScore {
    /// Of distances from the estimate and from the truth; 0 where there are none.
    fn of(accuracy: &[f64], completeness: &[f64], threshold: f64) -> Self {
        let share = |d: &[f64]| {
            if d.is_empty() {
                0.0
            } else {
                share_below(d, threshold)
            }
        };
        let (p, r) = (share(accuracy), share(completeness));
        Self {
            precision: p,
            recall: r,
            f: if p + r > 0.0 {
                2.0 * p * r / (p + r)
            } else {
                0.0
            },
        }
    }
}

/// Figures of a cloud or a mesh; lengths in thousandths of the truth's unit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SurfaceFigures {
    /// Points that were scored (of a cloud, one a voxel).
    pub points: usize,
    /// Those that count for the accuracy.
    pub observed_points: usize,
    /// Distance from the estimate to the truth.
    pub accuracy_mm: Option<Tail>,
    /// Distance from the truth to the estimate.
    pub completeness_mm: Tail,
    /// Mean of both means.
    pub chamfer_mm: Option<f64>,
    /// The same with distances cut at twice the largest threshold.
    pub chamfer_clipped_mm: Option<f64>,
    /// By threshold.
    pub by_threshold_mm: BTreeMap<String, FScore>,
    /// By class and threshold: precision over the points whose nearest truth is of
    /// the class, recall over its true points.
    pub by_class: BTreeMap<String, BTreeMap<String, FScore>>,
    /// Recall by class and threshold.
    pub recall_by_class: BTreeMap<String, BTreeMap<String, f64>>,
    /// Mean |cos| between estimated and true normals, of a mesh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normal_consistency: Option<f64>,
    /// Edges and pieces, of a mesh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topology: Option<Topology>,
    /// Thresholds in order, for printing.
    #[serde(skip)]
    thresholds: Vec<f64>,
}

impl fmt::Display for SurfaceFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "points: {}, of which in seen space: {}",
            self.points, self.observed_points
        )?;
        if let Some(a) = &self.accuracy_mm {
            writeln!(
                f,
                "  accuracy [mm]      median {:.3}  mean {:.3}  p90 {:.3}",
                a.median, a.mean, a.p90
            )?;
        }
        let c = &self.completeness_mm;
        writeln!(
            f,
            "  completeness [mm]  median {:.3}  mean {:.3}  p90 {:.3}",
            c.median, c.mean, c.p90
        )?;
        if let (Some(a), Some(b)) = (self.chamfer_mm, self.chamfer_clipped_mm) {
            writeln!(f, "  chamfer [mm]       {a:.3}  clipped {b:.3}")?;
        }
        if let Some(n) = self.normal_consistency {
            writeln!(f, "  normal consistency {n:.4}")?;
        }
        if let Some(t) = &self.topology {
            writeln!(
                f,
                "  {} faces, {} open and {} non-manifold edges, {} components (largest {:.2} %)",
                t.faces,
                t.open_edges,
                t.nonmanifold_edges,
                t.components,
                100.0 * t.biggest_component_share
            )?;
        }
        for (i, t) in self.thresholds.iter().enumerate() {
            let row = self
                .by_threshold_mm
                .get(&in_mm(*t))
                .copied()
                .unwrap_or_default();
            let end = if i + 1 < self.thresholds.len() {
                "\n"
            } else {
                ""
            };
            write!(
                f,
                "  {:>6} mm  precision {:.4}  recall {:.4}  F {:.4}{end}",
                in_mm(*t),
                row.precision,
                row.recall,
                row.f
            )?;
        }
        // The last but one threshold tells the classes.
        let Some(limit) = self.thresholds.iter().rev().nth(1).map(|t| in_mm(*t)) else {
            return Ok(());
        };
        for (name, row) in self.by_class.iter().filter(|_| self.by_class.len() > 1) {
            if let Some(row) = row.get(&limit) {
                write!(
                    f,
                    "\n  {name:<10} {limit} mm  precision {:.4}  recall {:.4}  F {:.4}",
                    row.precision, row.recall, row.f
                )?;
            }
        }
        Ok(())
    }
}

fn in_mm(t: f64) -> String {
    format!("{}", (t * 1e6).round() / 1e3)
}

/// Scores points; `truth_from_estimate` brings them into the truth's frame.
/// One point a voxel of half the smallest threshold counts, so that piling up
/// good points earns nothing. Points that are not finite are ignored.
pub fn score_cloud(
    points: &[[f32; 3]],
    truth: &TrueScene,
    truth_from_estimate: &Sim3,
) -> Result<SurfaceFigures, EvalError> {
    let moved = transform(points, &truth.here(truth_from_estimate));
    let cell = truth.thresholds()[0] / 2.0;
    let mut order: Vec<([i64; 3], u32)> = moved
        .iter()
        .enumerate()
        .filter(|(_, p)| p.iter().all(|v| v.is_finite()))
        .map(|(i, p)| (p.map(|v| (v / cell).floor() as i64), i as u32))
        .collect();
    order.par_sort_unstable();
    order.dedup_by_key(|(cell, _)| *cell);
    let mut keep: Vec<u32> = order.into_iter().map(|(_, i)| i).collect();
    keep.sort_unstable();
    let points: Vec<[f64; 3]> = keep.iter().map(|&i| moved[i as usize]).collect();
    score_points("the cloud", &points, None, truth)
}

/// Scores a mesh by a million even samples; the gaps between them do not count
/// as distance.
pub fn score_mesh(
    mesh: &TriMesh,
    truth: &TrueScene,
    truth_from_estimate: &Sim3,
) -> Result<SurfaceFigures, EvalError> {
    if mesh.positions.iter().flatten().any(|v| !v.is_finite()) {
        return Err(EvalError::NotFinite {
            what: "the mesh".to_owned(),
        });
    }
    let moved = TriMesh {
        positions: transform(&mesh.positions, &truth.here(truth_from_estimate))
            .into_iter()
            .map(|p| p.map(|v| v as f32))
            .collect(),
        triangles: mesh.triangles.clone(),
        ..TriMesh::default()
    };
    let mut rng = relievo_task::rng(0, "eval", "mesh");
    let samples = sample_mesh(&moved, MESH_SAMPLES, &mut rng, |_| true);
    let gap = (mesh_area(&moved, |_| true) / MESH_SAMPLES as f64).sqrt();
    let surface = Some((samples.normals.as_slice(), gap));
    let mut figures = score_points("the mesh", &samples.points, surface, truth)?;
    figures.topology = Some(Topology::of(mesh));
    Ok(figures)
}

fn transform(points: &[[f32; 3]], t: &Sim3) -> Vec<[f64; 3]> {
    let m = t.rotation.to_rotation_matrix().matrix() * t.scale;
    points
        .par_iter()
        .map(|p| (m * Vec3::from(p.map(f64::from)) + t.translation).into())
        .collect()
}

/// Refused where hardly a point of one lies in the box around the main part of the other.
fn check_frames(estimate: &[[f32; 3]], truth: &[[f32; 3]]) -> Result<(), EvalError> {
    if 100 * count_near(estimate, truth) < estimate.len() {
        return Err(EvalError::OtherFrame {
            what: "less than 1 % of the estimate lies around the true surface",
        });
    }
    if 1000 * count_near(truth, estimate) < truth.len() {
        return Err(EvalError::OtherFrame {
            what: "less than a thousandth of the true surface lies around the estimate",
        });
    }
    Ok(())
}

/// Refused without points, and where hardly any lies near the truth.
/// `surface`: normals and mean spacing of mesh samples.
fn score_points(
    what: &'static str,
    points: &[[f64; 3]],
    surface: Option<(&[[f64; 3]], f64)>,
    truth: &TrueScene,
) -> Result<SurfaceFigures, EvalError> {
    if points.is_empty() {
        return Err(EvalError::Empty { what });
    }
    let thresholds = truth.thresholds();
    let last = thresholds[thresholds.len() - 1];
    let queries: Vec<[f32; 3]> = points.iter().map(|p| p.map(|v| v as f32)).collect();
    let narrow: Vec<[f32; 3]> = truth.points.iter().map(|p| p.map(|v| v as f32)).collect();
    check_frames(&queries, &narrow)?;
    let nearest = truth.nearest(&queries);
    let seen = truth.observed(points, truth.margin());
    let used: Vec<usize> = (0..points.len())
        .filter(|&i| seen[i] && truth.reference_scored[nearest[i]])
        .collect();
    let chosen: Vec<[f64; 3]> = used.iter().map(|&i| points[i]).collect();
    let accuracy = truth.surface_distance(&chosen).unwrap_or_else(|| {
        used.iter()
            .map(|&i| norm(sub(points[i], truth.reference[nearest[i]])))
            .collect()
    });

    if chosen.is_empty() {
        return Err(EvalError::OtherFrame {
            what: "no point of the estimate lies in space that a true camera saw",
        });
    }
    let tree = Nearest::new(points);
    let from_truth: Vec<(usize, f64)> = truth
        .points
        .par_iter()
        .map(|p| {
            let j = tree.of(p.map(|v| v as f32)).unwrap_or(0);
            let off = sub(*p, points[j]);
            let d = norm(off);
            let Some((normals, gap)) = surface else {
                return (j, d);
            };
            let plane = dot(off, normals[j]).abs();
            let side = (d * d - plane * plane).max(0.0).sqrt();
            (j, if side < 1.5 * gap { plane } else { d })
        })
        .collect();
    let completeness: Vec<f64> = from_truth.iter().map(|(_, d)| *d).collect();

    let both = |cut: f64| {
        let clipped = |v: &[f64]| mean(&v.iter().map(|d| d.min(cut)).collect::<Vec<_>>());
        (!accuracy.is_empty()).then(|| 500.0 * (clipped(&accuracy) + clipped(&completeness)))
    };
    let by_threshold_mm = thresholds
        .iter()
        .map(|t| (in_mm(*t), FScore::of(&accuracy, &completeness, *t)))
        .collect();
    let labels: Vec<u16> = used
        .iter()
        .map(|&i| truth.reference_labels[nearest[i]])
        .collect();
    let by_class = by_class(truth, (&labels, &accuracy), &completeness);
    let recall = |row: &BTreeMap<String, FScore>| {
        let limits = row
            .iter()
            .map(|(limit, score)| (limit.clone(), score.recall));
        limits.collect::<BTreeMap<_, _>>()
    };
    let recall_by_class = by_class
        .iter()
        .map(|(name, row)| (name.clone(), recall(row)))
        .collect();
    let normal_consistency = surface.and_then(|(normals, _)| {
        let cosine = |a: [f64; 3], b: [f64; 3]| dot(a, b).abs();
        if truth.normals.is_empty() || truth.reference_normals.is_empty() {
            return None;
        }
        let a: Vec<f64> = used
            .iter()
            .filter(|&&i| norm(sub(points[i], truth.reference[nearest[i]])) < 4.0 * last)
            .map(|&i| cosine(normals[i], truth.reference_normals[nearest[i]]))
            .collect();
        let b: Vec<f64> = from_truth
            .iter()
            .zip(&truth.normals)
            .filter(|((_, d), _)| *d < 4.0 * last)
            .map(|((j, _), n)| cosine(normals[*j], *n))
            .collect();
        (!a.is_empty() && !b.is_empty()).then(|| f64::midpoint(mean(&a), mean(&b)))
    });
    Ok(SurfaceFigures {
        points: points.len(),
        observed_points: used.len(),
        accuracy_mm: Tail::of(&accuracy, 1000.0),
        completeness_mm: Tail::of(&completeness, 1000.0).ok_or(EvalError::Empty {
            what: "the true surface",
        })?,
        chamfer_mm: both(f64::INFINITY),
        chamfer_clipped_mm: both(2.0 * last),
        by_threshold_mm,
        by_class,
        recall_by_class,
        normal_consistency,
        topology: None,
        thresholds: thresholds.to_vec(),
    })
}

/// Scores of each class that true points have, by threshold. `accuracy`: classes
/// of the nearest truths and the distances.
fn by_class(
    truth: &TrueScene,
    (labels, accuracy): (&[u16], &[f64]),
    completeness: &[f64],
) -> BTreeMap<String, BTreeMap<String, FScore>> {
    let mut classes: BTreeMap<u16, (Vec<f64>, Vec<f64>)> = BTreeMap::new();
    for (label, d) in truth.labels.iter().zip(completeness) {
        classes.entry(*label).or_default().1.push(*d);
    }
    for (label, d) in labels.iter().zip(accuracy) {
        if let Some((accuracy, _)) = classes.get_mut(label) {
            accuracy.push(*d);
        }
    }
    let thresholds = truth.thresholds();
    classes
        .into_iter()
        .map(|(label, (accuracy, completeness))| {
            let name = truth.names.get(&label).cloned();
            let scores = thresholds
                .iter()
                .map(|t| (in_mm(*t), FScore::of(&accuracy, &completeness, *t)));
            (name.unwrap_or_else(|| label.to_string()), scores.collect())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A square of one unit whose half x > 0.5 is another class.
    fn two_classes() -> TrueScene {
        let corner = |x: f32, y: f32| [x, y, 0.0];
        let mesh = TriMesh {
            positions: vec![
                corner(0.0, 0.0),
                corner(1.0, 0.0),
                corner(1.0, 1.0),
                corner(0.0, 1.0),
            ],
            triangles: vec![[0, 1, 2], [0, 2, 3]],
            ..TriMesh::default()
        };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("truth.ply");
        relievo_formats::ply::write_mesh(&mesh, &path).unwrap();
        let mut truth = TrueScene::read(&path).unwrap();
        let class = |p: &[f64; 3]| u16::from(p[0] > 0.5);
        truth.labels = truth.points.iter().map(class).collect();
        truth.reference_labels = truth.reference.iter().map(class).collect();
        truth.names = BTreeMap::from([(0, "wall".to_owned()), (1, "floor".to_owned())]);
        truth
    }

    #[test]
    fn each_class_is_scored_by_what_lies_nearest_to_it() {
        let truth = two_classes();
        // The first class whole and 3 mm off, of the second a quarter, where it should be.
        let n = 500;
        let at = |k: usize| {
            let (x, y) = ((k / n) as f32 / n as f32, (k % n) as f32 / n as f32);
            let first = x <= 0.499;
            (first || (x > 0.501 && x < 0.625)).then_some([x, y, if first { 0.003 } else { 0.0 }])
        };
        let cloud: Vec<[f32; 3]> = (0..n * n).filter_map(at).collect();
        let f = score_cloud(&cloud, &truth, &Sim3::identity()).unwrap();
        let (wall, floor) = (&f.by_class["wall"], &f.by_class["floor"]);
        assert!(
            wall["2"].precision < 0.01 && wall["5"].precision == 1.0,
            "{wall:?}"
        );
        assert!(wall["5"].recall > 0.99 && wall["5"].f > 0.99, "{wall:?}");
        assert!(floor["2"].precision > 0.99, "{floor:?}");
        assert!((floor["5"].recall - 0.26).abs() < 0.02, "{floor:?}");
        let expected = 2.0 * floor["5"].recall / (1.0 + floor["5"].recall);
        assert!((floor["5"].f - expected).abs() < 0.01, "{floor:?}");
        assert_eq!(f.recall_by_class["floor"]["5"], floor["5"].recall);
        assert!(f.to_string().contains("floor      5 mm"), "{f}");
        // A class that the estimate is nowhere near.
        let half: Vec<[f32; 3]> = cloud.into_iter().filter(|p| p[0] < 0.45).collect();
        let f = score_cloud(&half, &truth, &Sim3::identity()).unwrap();
        assert_eq!(f.by_class["floor"]["5"], FScore::default());
    }
}
