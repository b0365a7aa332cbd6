//! Photo-consistency of a cloud, without truth.
//!
//! The cloud is cut into voxels of two half-resolution pixels at the scene's
//! depth; each is its mean point and mean normal. Voxels whose mean points lie in one
//! place are one (`second_layer`). A voxel is *consistent* where
//! patches of 9 × 9 half-resolution pixels along its normal agree (NCC ≥ 0.6)
//! between at least three photos that see it, *failing* where three or more see
//! it and do not agree, *hidden* where fewer do, *blank* where the photos show
//! nothing there to compare. Blank voxels do not count for the shares. A consistent
//! voxel close before or behind a fuller one fails, too: it is a second layer of
//! the same surface (`second_layer`).
//!
//! Which photo sees a voxel: inside the picture, normal within 75° of the ray,
//! nothing of the cloud clearly in front (1.5 voxels, more on slopes). So a second layer behind
//! the surface is hidden and one before it fails: a thick cloud scores worse. What
//! is thick within a voxel is averaged there; `thickness` tells it.
//! The NCC and its three photos (one and two that agree with it) are after Goesele,
//! Curless & Seitz, "Multi-view stereo revisited", CVPR 2006.

use crate::error::EvalError;
use crate::nearest::count_near;
use crate::photo_patch::{SAMPLES, normalise, patch};
use crate::second_layer::{Piece, same_place, second_layers};
use crate::statistics::percentile;
use rayon::prelude::*;
use relievo_geometry::{CameraModel, Rigid3, Vec2, Vec3};
use relievo_image::Raster;
use relievo_scene::PointCloud;
use serde::Serialize;
use std::fmt;

/// NCC from which two patches agree.
const AGREES: f32 = 0.6;
/// Photos that must agree.
const PHOTOS: usize = 3;
/// Most photos compared for one voxel: the most frontal ones.
const MOST: usize = 8;
/// Least cosine between normal and ray.
const LEAST_COSINE: f64 = 0.26;
/// How much nearer something must be to hide a voxel, in voxel sides, and how
/// much more for each unit of slope: the pixel beside shows the same surface.
const HIDES: [f64; 2] = [1.5, 2.0];

/// A photo at half resolution.
#[derive(Clone, Debug)]
pub struct HalfPhoto {
    /// Pinhole camera of the half-resolution picture.
    pub model: CameraModel,
    /// Its pose in the cloud's frame.
    pub cam_from_world: Rigid3,
    /// The undistorted picture.
    pub grey: Raster<u8>,
}

/// Figures of a cloud.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConsistencyFigures {
    /// Points of the cloud.
    pub points: usize,
    /// Side of a voxel, in the model's unit.
    pub voxel: f64,
    /// Voxels.
    pub voxels: usize,
    /// Those on which three photos agree.
    pub consistent: usize,
    /// Those that three photos see without agreeing, and second layers.
    pub failing: usize,
    /// Failing ones on which photos agree, but which double a fuller voxel.
    pub second_layer: usize,
    /// Those that fewer photos see.
    pub hidden: usize,
    /// Those where the photos show nothing.
    pub blank: usize,
    /// Consistent ones among those that are not blank.
    pub consistent_share: f64,
    /// Failing ones among those that are not blank.
    pub failing_share: f64,
    /// Median over voxels of the root mean square of the points' distance from the
    /// mean point along the mean normal, in voxel sides; 0 where no voxel holds three points.
    pub thickness: f64,
}

impl fmt::Display for ConsistencyFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "points: {}, voxels: {} of side {:.4}",
            self.points, self.voxels, self.voxel
        )?;
        writeln!(
            f,
            "  consistent  {} ({:.2} %)",
            self.consistent,
            100.0 * self.consistent_share
        )?;
        write!(
            f,
            "  failing {} ({:.2} %; {} second layer)  hidden {}  blank {}  thickness {:.3} voxels",
            self.failing,
            100.0 * self.failing_share,
            self.second_layer,
            self.hidden,
            self.blank,
            self.thickness
        )
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Consistent,
    Failing,
    Hidden,
    Blank,
}

#[derive(Clone, Copy)]
struct Voxel {
    position: Vec3,
    normal: Vec3,
    points: usize,
    /// Root mean square of the points' distance along the normal, where there are
    /// three.
    thickness: Option<f64>,
}

/// Scores a cloud with normals against the photos it was made from. `scene`: points of
/// the sparse model of these photos, which tell frame and scale.
pub fn photo_consistency(
    cloud: &PointCloud,
    photos: &[HalfPhoto],
    scene: &[[f32; 3]],
) -> Result<ConsistencyFigures, EvalError> {
    if cloud.positions.is_empty() {
        return Err(EvalError::Empty { what: "the cloud" });
    }
    let lengths = cloud
        .normals
        .iter()
        .map(|n| n.iter().map(|v| v * v).sum::<f32>());
    let without = lengths.filter(|l| !(*l > 0.0 && l.is_finite())).count();
    if cloud.normals.len() < cloud.len() || 10 * without > cloud.len() {
        return Err(EvalError::NoNormals);
    }
    if photos.len() < PHOTOS {
        return Err(EvalError::Empty {
            what: "the list of photos (three are needed)",
        });
    }
    let scene = if scene.is_empty() {
        &cloud.positions
    } else {
        scene
    };
    if 100 * count_near(&cloud.positions, scene) < cloud.len()
        || 1000 * count_near(scene, &cloud.positions) < scene.len()
    {
        return Err(EvalError::OtherScene);
    }
    let side = voxel_side(scene, photos).ok_or(EvalError::OtherScene)?;
    let voxels = voxels_of(cloud, side);
    let shields: Vec<Raster<f32>> = photos
        .par_iter()
        .map(|photo| shield(&voxels, photo))
        .collect();
    let mut verdicts: Vec<Verdict> = voxels
        .par_iter()
        .map(|v| judge(v, photos, &shields, side))
        .collect();
    let second_layer = fail_second_layers(&voxels, &mut verdicts, side);
    let count = |w: Verdict| verdicts.iter().filter(|v| **v == w).count();
    if count(Verdict::Hidden) == voxels.len() {
        return Err(EvalError::Unseen);
    }
    let consistent = count(Verdict::Consistent);
    let (failing, blank) = (count(Verdict::Failing), count(Verdict::Blank));
    let shown = (voxels.len() - blank).max(1) as f64;
    Ok(ConsistencyFigures {
        points: cloud.len(),
        voxel: side,
        voxels: voxels.len(),
        consistent,
        failing,
        second_layer,
        hidden: count(Verdict::Hidden),
        blank,
        consistent_share: consistent as f64 / shown,
        failing_share: failing as f64 / shown,
        thickness: median(voxels.iter().filter_map(|v| v.thickness)) / side,
    })
}

/// Consistent voxels that double a fuller consistent one fail; how many do.
fn fail_second_layers(voxels: &[Voxel], verdicts: &mut [Verdict], side: f64) -> usize {
    let consistent = |i: &usize| verdicts[*i] == Verdict::Consistent;
    let places: Vec<usize> = (0..voxels.len()).filter(consistent).collect();
    let pieces: Vec<Piece> = places.iter().map(|i| voxels[*i].piece()).collect();
    let doubled = second_layers(&pieces, side);
    for (i, _) in places.iter().zip(&doubled).filter(|(_, d)| **d) {
        verdicts[*i] = Verdict::Failing;
    }
    doubled.iter().filter(|d| **d).count()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    percentile(&sorted, 50.0)
}

/// Two half-resolution pixels at the median depth of these points in the photos.
fn voxel_side(points: &[[f32; 3]], photos: &[HalfPhoto]) -> Option<f64> {
    let step = (points.len() / 2000).max(1);
    let mut footprints = Vec::new();
    for p in points.iter().step_by(step) {
        let x = Vec3::from(p.map(f64::from));
        for photo in photos {
            let q = photo.cam_from_world.apply(&x);
            if inside(photo, &q).is_some() {
                footprints.push(q.z / photo.model.mean_focal_px());
            }
        }
    }
    let footprint = median(footprints.into_iter());
    (footprint > 0.0).then_some(2.0 * footprint)
}

/// The pixel of a point in camera coordinates, where it lies in the picture.
fn inside(photo: &HalfPhoto, q: &Vec3) -> Option<Vec2> {
    let px = photo.model.project(q)?;
    let (w, h) = (photo.grey.width() as f64, photo.grey.height() as f64);
    (px.x >= 0.0 && px.y >= 0.0 && px.x < w && px.y < h).then_some(px)
}

fn voxels_of(cloud: &PointCloud, side: f64) -> Vec<Voxel> {
    let mut keys: Vec<([i32; 3], u32)> = cloud
        .positions
        .iter()
        .enumerate()
        .filter(|(_, p)| p.iter().all(|v| v.is_finite()))
        .map(|(i, p)| {
            let key = p.map(|v| (f64::from(v) / side).floor() as i32);
            (key, i as u32)
        })
        .collect();
    keys.par_sort_unstable();
    let cells: Vec<Vec<u32>> = keys
        .chunk_by(|a, b| a.0 == b.0)
        .map(|cell| cell.iter().map(|(_, i)| *i).collect())
        .collect();
    // A voxel whose border runs along the surface goes to the one beside it.
    let pieces: Vec<Piece> = cells.iter().map(|c| voxel_of(cloud, c).piece()).collect();
    let mut whole = vec![Vec::new(); cells.len()];
    for (cell, to) in cells.into_iter().zip(same_place(&pieces, side)) {
        whole[to].extend(cell);
    }
    whole
        .iter()
        .filter(|cell| !cell.is_empty())
        .map(|cell| voxel_of(cloud, cell))
        .collect()
}

/// The voxel of these points.
fn voxel_of(cloud: &PointCloud, cell: &[u32]) -> Voxel {
    let (mut position, mut normal) = (Vec3::zeros(), Vec3::zeros());
    for &i in cell {
        position += Vec3::from(cloud.positions[i as usize].map(f64::from));
        let n = cloud.normals.get(i as usize).copied().unwrap_or_default();
        normal += Vec3::from(n.map(f64::from));
    }
    let (position, normal) = (
        position / cell.len() as f64,
        normal / normal.norm().max(1e-12),
    );
    let square = |&i: &u32| {
        let p = Vec3::from(cloud.positions[i as usize].map(f64::from));
        (p - position).dot(&normal).powi(2)
    };
    let squares: f64 = cell.iter().map(square).sum();
    Voxel {
        position,
        normal,
        points: cell.len(),
        thickness: (cell.len() >= 3).then(|| (squares / cell.len() as f64).sqrt()),
    }
}

impl Voxel {
    fn piece(&self) -> Piece {
        Piece {
            position: self.position,
            normal: self.normal,
            points: self.points,
        }
    }
}

/// Nearest depth of the cloud, at half the picture's resolution (one voxel a
/// pixel); a voxel covers the pixels around its own too.
fn shield(voxels: &[Voxel], photo: &HalfPhoto) -> Raster<f32> {
    let (w, h) = (
        photo.grey.width().div_ceil(2),
        photo.grey.height().div_ceil(2),
    );
    let mut depth = Raster::filled(w, h, f32::INFINITY);
    for v in voxels {
        let q = photo.cam_from_world.apply(&v.position);
        let Some(px) = inside(photo, &q) else {
            continue;
        };
        let (x, y) = ((px.x / 2.0) as usize, (px.y / 2.0) as usize);
        for j in y.saturating_sub(1)..=(y + 1).min(h - 1) {
            for i in x.saturating_sub(1)..=(x + 1).min(w - 1) {
                let d = &mut depth[(i, j)];
                *d = d.min(q.z as f32);
            }
        }
    }
    depth
}

fn judge(v: &Voxel, photos: &[HalfPhoto], shields: &[Raster<f32>], side: f64) -> Verdict {
    let mut seen: Vec<(f64, usize)> = photos
        .iter()
        .zip(shields)
        .enumerate()
        .filter_map(|(k, (photo, shield))| {
            let q = photo.cam_from_world.apply(&v.position);
            let px = inside(photo, &q)?;
            let toward = photo.cam_from_world.center() - v.position;
            let cosine = toward.dot(&v.normal) / toward.norm().max(1e-12);
            let near = f64::from(shield[((px.x / 2.0) as usize, (px.y / 2.0) as usize)]);
            let slope = (1.0 - cosine * cosine).max(0.0).sqrt() / cosine.max(1e-6);
            // Far away a pixel of the shield is wider than a voxel.
            let width = side.max(2.0 * q.z / photo.model.mean_focal_px());
            let behind = (HIDES[0] + HIDES[1] * slope) * width;
            (cosine > LEAST_COSINE && q.z <= near + behind).then_some((-cosine, k))
        })
        .collect();
    if seen.len() < PHOTOS {
        return Verdict::Hidden;
    }
    seen.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    seen.truncate(MOST);
    let patches: Vec<Option<[f32; SAMPLES]>> = seen
        .iter()
        .map(|(_, k)| patch((v.position, v.normal), &photos[*k], 0.5 * side))
        .collect();
    let in_picture = patches.iter().flatten().count();
    let good: Vec<[f32; SAMPLES]> = patches
        .into_iter()
        .flatten()
        .filter_map(normalise)
        .collect();
    if in_picture < PHOTOS {
        return Verdict::Hidden;
    }
    if good.len() < PHOTOS {
        return Verdict::Blank;
    }
    let agrees = good.iter().enumerate().any(|(i, a)| {
        let others = good.iter().enumerate().filter(|(j, b)| {
            *j != i && a.iter().zip(*b).map(|(x, y)| x * y).sum::<f32>() >= AGREES
        });
        others.count() + 1 >= PHOTOS
    });
    if agrees {
        Verdict::Consistent
    } else {
        Verdict::Failing
    }
}
