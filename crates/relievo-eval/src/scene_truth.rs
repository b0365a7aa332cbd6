//! The true surface, the part of it that is scored, and what cameras saw.

use crate::cameras::{Cameras, cameras_of_model};
use crate::error::EvalError;
use crate::nearest::Nearest;
use crate::npz::read_npz;
use crate::placed::Placed;
use crate::sampling::{mesh_area, sample_mesh};
use crate::statistics::percentile;
use rayon::prelude::*;
use relievo_formats::ply;
use relievo_geometry::{Sim3, Vec3};
use relievo_image::Raster;
use relievo_scene::TriMesh;
use relievo_spatial::TriangleBvh;
use relievo_spatial::bounds::quantile_bounds;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Most reference samples of a surface.
const MAX_SAMPLES: f64 = 3e6;
/// Points that stand for a bare PLY surface in the completeness.
const PLY_POINTS: usize = 300_000;

/// Truth that clouds, meshes and depth maps are held against.
#[derive(Debug)]
pub struct TrueScene {
    /// Median distance of the visible surface from the cameras (half the
    /// extent without its outermost hundredths, where no camera is known), in the
    /// truth's unit.
    pub distance: f64,
    /// Mean spacing of the reference samples.
    pub spacing: f64,
    /// Where the zero of all positions here is in the truth's frame: elsewhere only
    /// of a bare PLY far from its own.
    pub origin: Vec3,
    /// The points that an estimate should come near to.
    pub points: Vec<[f64; 3]>,
    /// Their unit normals; empty where unknown.
    pub normals: Vec<[f64; 3]>,
    /// Their classes.
    pub labels: Vec<u16>,
    /// Names of the classes.
    pub names: BTreeMap<u16, String>,
    /// The true triangles, where there are any.
    pub mesh: Option<TriMesh>,
    /// True for each face of a class that is scored.
    pub face_scored: Vec<bool>,
    pub(crate) bvh: Option<TriangleBvh>,
    pub(crate) reference: Vec<[f64; 3]>,
    pub(crate) reference_normals: Vec<[f64; 3]>,
    pub(crate) reference_scored: Vec<bool>,
    pub(crate) reference_labels: Vec<u16>,
    pub(crate) tree: Nearest,
    /// True cameras; empty where unknown.
    pub cameras: Cameras,
    low_depth: BTreeMap<String, Raster<f32>>,
    low_step: f64,
}

#[derive(Deserialize)]
struct Labels {
    labels: BTreeMap<String, u16>,
    evaluate: Vec<String>,
}

/// The label of each triangle.
fn face_labels(ply: &[u8], mesh: &TriMesh) -> Option<Vec<u16>> {
    let labels = ply::decode_columns(ply, "face", &["label"]).ok()?.pop()??;
    (labels.len() == mesh.triangles.len()).then(|| labels.iter().map(|l| *l as u16).collect())
}

fn not_finite(path: &Path) -> EvalError {
    EvalError::Truth {
        path: path.to_owned(),
        what: "holds points that are not finite",
    }
}

/// Median of every fiftieth depth.
fn median_depth(maps: &BTreeMap<String, Raster<f32>>) -> f64 {
    let depths = maps.values().flat_map(|d| {
        d.as_slice()
            .iter()
            .filter(|d| **d > 0.0)
            .step_by(50)
            .map(|d| f64::from(*d))
    });
    let mut near: Vec<f64> = depths.collect();
    near.sort_by(f64::total_cmp);
    percentile(&near, 50.0)
}

impl TrueScene {
    /// A rendered set's folder (with `gt/`), that `gt` folder, or a PLY.
    pub fn read(path: &Path) -> Result<Self, EvalError> {
        let fail = |what| EvalError::Truth {
            path: path.to_owned(),
            what,
        };
        if path.is_file() {
            return Self::from_ply(path);
        }
        if !path.exists() {
            return Err(fail("does not exist"));
        }
        let gt = [path.join("gt"), path.to_owned()]
            .into_iter()
            .find(|d| d.join("mesh.ply").is_file() && d.join("labels.json").is_file())
            .ok_or(fail("holds no true surface"))?;
        Self::from_rendered(&gt)
    }

    fn from_rendered(gt: &Path) -> Result<Self, EvalError> {
        let cameras = cameras_of_model(&relievo_formats::colmap::read_model(gt)?)?;
        let labels_path = gt.join("labels.json");
        let info: Labels =
            serde_json::from_slice(&fs_err::read(&labels_path)?).map_err(|_| EvalError::Truth {
                path: labels_path,
                what: "is not a table of labels",
            })?;
        let scored: BTreeSet<u16> = info
            .evaluate
            .iter()
            .filter_map(|n| info.labels.get(n).copied())
            .collect();
        let names = info.labels.iter().map(|(n, i)| (*i, n.clone())).collect();

        let points_path = gt.join("points.ply");
        let bytes = fs_err::read(&points_path)?;
        let columns = ply::decode_columns(
            &bytes,
            "vertex",
            &["x", "y", "z", "nx8", "ny8", "nz8", "label"],
        )
        .map_err(|e| e.in_file(&points_path))?;
        let [Some(x), Some(y), Some(z), nx, ny, nz, Some(label)] = columns.as_slice() else {
            return Err(EvalError::Truth {
                path: points_path,
                what: "has no positions or labels",
            });
        };
        let all_points: Vec<[f64; 3]> = (0..x.len()).map(|i| [x[i], y[i], z[i]]).collect();
        if all_points.iter().flatten().any(|v| !v.is_finite()) {
            return Err(not_finite(&points_path));
        }
        let all_labels: Vec<u16> = label.iter().map(|l| *l as u16).collect();
        let all_normals: Vec<[f64; 3]> = match (nx, ny, nz) {
            (Some(nx), Some(ny), Some(nz)) => (0..nx.len())
                .map(|i| [nx[i] / 127.0, ny[i] / 127.0, nz[i] / 127.0])
                .collect(),
            _ => Vec::new(),
        };

        let mesh_path = gt.join("mesh.ply");
        let bytes = fs_err::read(&mesh_path)?;
        let mesh = ply::decode_mesh(&bytes).map_err(|e| e.in_file(&mesh_path))?;
        if mesh.positions.iter().flatten().any(|v| !v.is_finite()) {
            return Err(not_finite(&mesh_path));
        }
        let face_labels = face_labels(&bytes, &mesh).ok_or(EvalError::Truth {
            path: mesh_path,
            what: "has no label for each triangle",
        })?;
        let face_scored: Vec<bool> = face_labels.iter().map(|l| scored.contains(l)).collect();

        let low_path = gt.join("depth_low.npz");
        let (low_depth, low_step) = read_low_depth(&low_path)?;
        if let Some(name) = cameras.keys().find(|n| !low_depth.contains_key(*n)) {
            return Err(EvalError::Npz {
                path: low_path,
                what: format!("holds no depth for {name}"),
            });
        }
        let distance = median_depth(&low_depth);

        let good = mesh_area(&mesh, |i| face_scored[i]);
        let floor = if distance < 1.3 { 0.002 } else { 0.01 };
        let spacing = f64::max(floor, (good / MAX_SAMPLES).sqrt());
        let keep_points = !all_normals.is_empty();
        let mut reference = if keep_points {
            all_points.clone()
        } else {
            Vec::new()
        };
        let mut reference_normals = all_normals.clone();
        let mut reference_labels = all_labels[..reference.len()].to_vec();
        for (part, gap) in [(true, spacing), (false, 6.0 * spacing)] {
            let area = mesh_area(&mesh, |i| face_scored[i] == part);
            if area > 0.0 {
                let n = (area / (gap * gap)).min(MAX_SAMPLES) as usize + 1;
                let mut rng = relievo_task::rng(3, "eval", if part { "scored" } else { "other" });
                let s = sample_mesh(&mesh, n, &mut rng, |i| face_scored[i] == part);
                reference_labels.extend(s.faces.iter().map(|f| face_labels[*f as usize]));
                reference.extend(s.points);
                reference_normals.extend(s.normals);
            }
        }
        let chosen: Vec<usize> = (0..all_points.len())
            .filter(|&i| scored.contains(&all_labels[i]))
            .collect();
        if chosen.is_empty() {
            return Err(EvalError::Truth {
                path: points_path,
                what: "holds no point of a class that is scored",
            });
        }
        Ok(Self {
            distance,
            spacing,
            origin: Vec3::zeros(),
            points: chosen.iter().map(|&i| all_points[i]).collect(),
            normals: if keep_points {
                chosen.iter().map(|&i| all_normals[i]).collect()
            } else {
                Vec::new()
            },
            labels: chosen.iter().map(|&i| all_labels[i]).collect(),
            names,
            bvh: Some(TriangleBvh::new(&mesh)),
            mesh: Some(mesh),
            face_scored,
            tree: Nearest::new(&reference),
            reference,
            reference_normals,
            reference_scored: reference_labels
                .iter()
                .map(|l| scored.contains(l))
                .collect(),
            reference_labels,
            cameras,
            low_depth,
            low_step,
        })
    }

    /// A bare surface or cloud: everything is scored, nothing is hidden.
    fn from_ply(path: &Path) -> Result<Self, EvalError> {
        let Placed { mesh, origin } = Placed::read(path)?;
        if mesh.positions.is_empty() {
            return Err(EvalError::Truth {
                path: path.to_owned(),
                what: "holds no surface",
            });
        }
        if mesh.positions.iter().flatten().any(|v| !v.is_finite()) {
            return Err(not_finite(path));
        }
        let cloud: Vec<[f64; 3]> = mesh.positions.iter().map(|p| p.map(f64::from)).collect();
        let area = mesh_area(&mesh, |_| true);
        let surface = area > 0.0;
        let mut rng = relievo_task::rng(3, "eval", "scored");
        let (points, normals, reference, reference_normals, spacing) = if surface {
            let n = (MAX_SAMPLES / 3.0) as usize;
            let reference = sample_mesh(&mesh, n, &mut rng, |_| true);
            let points = sample_mesh(&mesh, PLY_POINTS, &mut rng, |_| true);
            (
                points.points,
                points.normals,
                reference.points,
                reference.normals,
                (area / n as f64).sqrt(),
            )
        } else {
            (cloud.clone(), Vec::new(), cloud, Vec::new(), 0.0)
        };
        Ok(Self {
            distance: extent(&points) / 2.0,
            spacing,
            origin,
            labels: vec![0; points.len()],
            points,
            normals,
            names: BTreeMap::from([(0, "surface".to_owned())]),
            face_scored: vec![true; mesh.triangles.len()],
            bvh: surface.then(|| TriangleBvh::new(&mesh)),
            mesh: surface.then_some(mesh),
            tree: Nearest::new(&reference),
            reference_scored: vec![true; reference.len()],
            reference_labels: vec![0; reference.len()],
            reference,
            reference_normals,
            cameras: Cameras::new(),
            low_depth: BTreeMap::new(),
            low_step: 1.0,
        })
    }

    /// Thresholds of the F-score, in the truth's unit.
    pub fn thresholds(&self) -> &'static [f64] {
        if self.distance < 1.3 {
            &[0.0005, 0.001, 0.002, 0.005, 0.01]
        } else {
            &[0.005, 0.01, 0.02, 0.05]
        }
    }

    /// A similarity into the truth's frame, followed by the step to positions here.
    pub(crate) fn here(&self, truth_from_estimate: &Sim3) -> Sim3 {
        Sim3 {
            translation: truth_from_estimate.translation - self.origin,
            ..*truth_from_estimate
        }
    }

    /// How far behind a seen surface a point still counts.
    pub fn margin(&self) -> f64 {
        0.04 * self.distance
    }

    /// Points that at least one true camera saw: in the picture and at most
    /// `margin` behind the first true surface. Sky counts as seen space.
    /// Without cameras everything is seen.
    pub fn observed(&self, points: &[[f64; 3]], margin: f64) -> Vec<bool> {
        if self.cameras.is_empty() {
            return vec![true; points.len()];
        }
        points
            .par_iter()
            .map(|p| {
                self.cameras.iter().any(|(name, c)| {
                    let q = c.cam_from_world.apply(&Vec3::from(*p));
                    let r2 = (q.x * q.x + q.y * q.y) / (q.z * q.z);
                    let Some(low) = self.low_depth.get(name).filter(|_| q.z > 0.02 && r2 < 2.5)
                    else {
                        return false;
                    };
                    let Some(px) = c.camera.model.project(&q) else {
                        return false;
                    };
                    let inside = px.x >= 0.0
                        && px.y >= 0.0
                        && px.x < f64::from(c.camera.width_px)
                        && px.y < f64::from(c.camera.height_px);
                    if !inside || low.is_empty() {
                        return false;
                    }
                    let x = ((px.x / self.low_step) as usize).min(low.width() - 1);
                    let y = ((px.y / self.low_step) as usize).min(low.height() - 1);
                    let d = f64::from(low[(x, y)]);
                    d == 0.0 || q.z <= d + margin
                })
            })
            .collect()
    }

    /// Index of the nearest reference sample of each point.
    pub(crate) fn nearest(&self, points: &[[f32; 3]]) -> Vec<usize> {
        points
            .par_iter()
            .map(|p| self.tree.of(*p).unwrap_or(0))
            .collect()
    }

    /// Exact distances to the true triangles; `None` where there are none.
    pub fn surface_distance(&self, points: &[[f64; 3]]) -> Option<Vec<f64>> {
        let bvh = self.bvh.as_ref()?;
        Some(
            points
                .par_iter()
                .map(|p| f64::from(bvh.distance(p.map(|v| v as f32))))
                .collect(),
        )
    }
}

/// Diagonal of the box that leaves out the outermost hundredth on every side.
fn extent(points: &[[f64; 3]]) -> f64 {
    let narrow: Vec<[f32; 3]> = points.iter().map(|p| p.map(|v| v as f32)).collect();
    quantile_bounds(&narrow, 0.01).map_or(0.0, |b| f64::from(b.diagonal()))
}

/// Coarse true depth by photo name, and its step in pixels.
fn read_low_depth(path: &Path) -> Result<(BTreeMap<String, Raster<f32>>, f64), EvalError> {
    let arrays = read_npz(path)?;
    let number = |name: &str| arrays.get(name)?.numbers()?.first().copied();
    let (Some(unit), Some(step), Some(names), Some(depth)) = (
        number("unit"),
        number("step"),
        arrays.get("names").and_then(|a| a.text()),
        arrays.get("depth"),
    ) else {
        return Err(EvalError::Npz {
            path: path.to_owned(),
            what: "lacks one of names, depth, unit, step".to_owned(),
        });
    };
    let (&[n, h, w], Some(values)) = (depth.shape.as_slice(), depth.numbers()) else {
        return Err(EvalError::Npz {
            path: path.to_owned(),
            what: "depth is not a stack of maps".to_owned(),
        });
    };
    if n != names.len() || !(step > 0.0) || w == 0 || h == 0 {
        return Err(EvalError::Npz {
            path: path.to_owned(),
            what: "names and depth differ".to_owned(),
        });
    }
    if values.iter().any(|v| !v.is_finite()) {
        return Err(EvalError::Npz {
            path: path.to_owned(),
            what: "holds depths that are not finite".to_owned(),
        });
    }
    let maps = names
        .iter()
        .zip(values.chunks_exact(w * h))
        .map(|(name, d)| {
            let d = d.iter().map(|v| (v * unit) as f32).collect();
            (name.clone(), Raster::from_vec(w, h, d))
        })
        .collect();
    Ok((maps, step))
}
