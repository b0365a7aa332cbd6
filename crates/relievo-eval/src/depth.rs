//! Depth maps against the true surface.
//!
//! The true mesh is seen by one ray a pixel in the map's own undistorted
//! camera, at the estimated pose brought into the truth's frame. Pixels whose
//! truth is absent or of a class that is not scored are left out.

use crate::error::EvalError;
use crate::scene_truth::TrueScene;
use crate::seen_by::SeenBy;
use crate::statistics::{mean, percentile, share_below};
use rayon::prelude::*;
use relievo_geometry::{Rigid3, Sim3, Vec2, Vec3};
use relievo_image::Raster;
use relievo_scene::DepthMap;
use relievo_spatial::{FaceBuffer, NO_FACE};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// Side of the window for the grey deviation, pixels.
const WINDOW: usize = 9;
/// Deviation from which a pixel counts as textured, grey levels.
const TEXTURED: f64 = 4.0;
/// Photos beside its own that are to see a pixel that counts as well seen.
const OTHER_PHOTOS: usize = 2;

/// Errors of one map.
#[derive(Clone, Debug, Default)]
pub struct DepthErrors {
    /// Pixels with a scored truth.
    pub true_pixels: usize,
    /// |estimate − truth| of the pixels that have both, truth's unit.
    absolute: Vec<f32>,
    /// The same over the truth.
    relative: Vec<f32>,
    /// By textured (true) and weak pixels: truth, estimate, within 1 %.
    classes: BTreeMap<bool, [usize; 3]>,
    /// Textured pixels that three photos see: those with truth, and the relative
    /// errors of those with an estimate.
    well_seen: (usize, Vec<f32>),
}

/// Figures of one class of pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ClassFigures {
    /// Pixels with truth.
    pub pixels: usize,
    /// Share of them with an estimate.
    pub coverage: f64,
    /// Share of the estimates within 1 % of the truth.
    pub within_1_percent: f64,
}

/// Figures of the pixels that a stereo method can be expected to measure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct WellSeenFigures {
    /// Pixels with truth whose grey levels deviate by at least 4 in 9 × 9 and whose
    /// true point at least 3 photos see, its own among them.
    pub pixels: usize,
    /// Share of them with an estimate.
    pub coverage: f64,
    /// Median relative error of the estimates.
    pub rel_median: f64,
    /// Share of *all* of them within 1 % of the truth: a missing estimate is not.
    pub all_within_1_percent: f64,
}

/// Figures over all maps.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DepthFigures {
    /// Number of maps with truth and an estimate.
    pub maps: usize,
    /// Share of the true pixels with an estimate, mean over the photos with truth:
    /// 0 where there is no map, or an empty one.
    pub coverage: f64,
    /// Median error, thousandths of the truth's unit.
    pub median_mm: f64,
    /// Mean error.
    pub mean_mm: f64,
    /// 90th percentile.
    pub p90_mm: f64,
    /// Median relative error.
    pub rel_median: f64,
    /// Share of the estimates within 1 % of the truth.
    pub within_1_percent: f64,
    /// Share within the thresholds of the truth, by millimetres.
    pub within: BTreeMap<String, f64>,
    /// Pixels with a grey deviation of at least 4 in 9 × 9, where photos were
    /// given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub textured: Option<ClassFigures>,
    /// The other pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weak: Option<ClassFigures>,
    /// Textured pixels that at least 3 photos see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub well_seen: Option<WellSeenFigures>,
    /// By map: coverage, median error in mm, share within 1 %.
    pub per_view: BTreeMap<String, [f64; 3]>,
}

impl fmt::Display for DepthFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "depth maps: {}", self.maps)?;
        writeln!(
            f,
            "  error [mm]    median {:.3}  mean {:.3}  p90 {:.3}",
            self.median_mm, self.mean_mm, self.p90_mm
        )?;
        write!(
            f,
            "  relative      median {:.5}  within 1 % {:.4}  coverage {:.4}",
            self.rel_median, self.within_1_percent, self.coverage
        )?;
        for (name, class) in [("textured", self.textured), ("weak", self.weak)] {
            if let Some(c) = class {
                write!(
                    f,
                    "\n  {name:<12}  {} pixels  within 1 % {:.4}  coverage {:.4}",
                    c.pixels, c.within_1_percent, c.coverage
                )?;
            }
        }
        if let Some(c) = self.well_seen {
            write!(
                f,
                "\n  well seen     {} pixels  median {:.5}  of all within 1 % {:.4}  coverage {:.4}",
                c.pixels, c.rel_median, c.all_within_1_percent, c.coverage
            )?;
        }
        Ok(())
    }
}

/// Scores one map. `cam_from_world` is the estimated pose in the estimate's
/// frame. `grey`: the undistorted photo at the map's size, where there is one.
/// `seen_by`: the photos that took part, and the file name of the map's own.
pub fn score_depth_map(
    map: &DepthMap,
    cam_from_world: &Rigid3,
    truth_from_estimate: &Sim3,
    truth: &TrueScene,
    grey: Option<&Raster<u8>>,
    seen_by: Option<(&SeenBy<'_>, &str)>,
) -> Result<DepthErrors, EvalError> {
    let Some(bvh) = &truth.bvh else {
        return Err(EvalError::Empty {
            what: "the true surface",
        });
    };
    let pose = truth
        .here(truth_from_estimate)
        .transform_pose(cam_from_world);
    let rendered = FaceBuffer::cast(bvh, &map.camera, &pose);
    let size = (map.depth.width(), map.depth.height());
    let textured = grey
        .filter(|g| (g.width(), g.height()) == size)
        .map(textured_pixels);
    let well_seen = textured
        .as_ref()
        .zip(seen_by)
        .map(|(textured, seen_by)| well_seen_pixels(&rendered, map, &pose, textured, seen_by));
    let mut errors = DepthErrors::default();
    for (i, (&face, &want)) in rendered
        .face
        .as_slice()
        .iter()
        .zip(rendered.depth.as_slice())
        .enumerate()
    {
        if face == NO_FACE || !truth.face_scored[face as usize] {
            continue;
        }
        let got = f64::from(map.depth.as_slice()[i]) * truth_from_estimate.scale;
        let want = f64::from(want);
        let there = got > 0.0 && got.is_finite();
        let error = (got - want).abs();
        errors.true_pixels += 1;
        if there {
            errors.absolute.push(error as f32);
            errors.relative.push((error / want) as f32);
        }
        if let Some(textured) = &textured {
            let class = errors.classes.entry(textured[i]).or_default();
            class[0] += 1;
            class[1] += usize::from(there);
            class[2] += usize::from(there && error / want < 0.01);
        }
        if well_seen.as_ref().is_some_and(|w| w[i]) {
            errors.well_seen.0 += 1;
            if there {
                errors.well_seen.1.push((error / want) as f32);
            }
        }
    }
    Ok(errors)
}

/// Figures over all maps, by name.
pub fn combine_depth(
    maps: &BTreeMap<String, DepthErrors>,
    truth: &TrueScene,
) -> Result<DepthFigures, EvalError> {
    let gather = |get: fn(&DepthErrors) -> &Vec<f32>| {
        let mut all: Vec<f64> = maps.values().flat_map(get).map(|v| f64::from(*v)).collect();
        all.par_sort_unstable_by(f64::total_cmp);
        all
    };
    let (absolute, relative) = (gather(|m| &m.absolute), gather(|m| &m.relative));
    if absolute.is_empty() {
        return Err(EvalError::Empty {
            what: "what depth maps and truth have in common",
        });
    }
    let used = || {
        maps.iter()
            .filter(|(_, m)| m.true_pixels > 0 && !m.absolute.is_empty())
    };
    let coverage = |m: &DepthErrors| m.absolute.len() as f64 / m.true_pixels as f64;
    let class = |textured: bool| {
        let mut sum = [0_usize; 3];
        for counts in maps.values().filter_map(|m| m.classes.get(&textured)) {
            (0..3).for_each(|k| sum[k] += counts[k]);
        }
        (sum[0] > 0).then(|| ClassFigures {
            pixels: sum[0],
            coverage: sum[1] as f64 / sum[0] as f64,
            within_1_percent: sum[2] as f64 / sum[1].max(1) as f64,
        })
    };
    let of_well_seen: usize = maps.values().map(|m| m.well_seen.0).sum();
    let well_seen = (of_well_seen > 0).then(|| {
        let errors = gather(|m| &m.well_seen.1);
        let share = errors.len() as f64 / of_well_seen as f64;
        WellSeenFigures {
            pixels: of_well_seen,
            coverage: share,
            rel_median: percentile(&errors, 50.0),
            all_within_1_percent: share * share_below(&errors, 0.01),
        }
    });
    let per_view = used()
        .map(|(name, m)| {
            let wide = |v: &[f32]| {
                let mut v: Vec<f64> = v.iter().map(|e| f64::from(*e)).collect();
                v.sort_by(f64::total_cmp);
                v
            };
            let median = percentile(&wide(&m.absolute), 50.0) * 1e3;
            (
                name.clone(),
                [coverage(m), median, share_below(&wide(&m.relative), 0.01)],
            )
        })
        .collect();
    Ok(DepthFigures {
        maps: used().count(),
        coverage: mean(
            &maps
                .values()
                .filter(|m| m.true_pixels > 0)
                .map(coverage)
                .collect::<Vec<_>>(),
        ),
        median_mm: percentile(&absolute, 50.0) * 1e3,
        mean_mm: mean(&absolute) * 1e3,
        p90_mm: percentile(&absolute, 90.0) * 1e3,
        rel_median: percentile(&relative, 50.0),
        within_1_percent: share_below(&relative, 0.01),
        within: truth
            .thresholds()
            .iter()
            .map(|t| {
                (
                    format!("{}", (t * 1e6).round() / 1e3),
                    share_below(&absolute, *t),
                )
            })
            .collect(),
        textured: class(true),
        weak: class(false),
        well_seen,
        per_view,
    })
}

/// True where a pixel is textured and other photos see its true point, too.
/// `pose`: the map's, in the truth's frame.
fn well_seen_pixels(
    rendered: &FaceBuffer,
    map: &DepthMap,
    pose: &Rigid3,
    textured: &[bool],
    (seen_by, own): (&SeenBy<'_>, &str),
) -> Vec<bool> {
    let world_from_cam = pose.inverse();
    let width = rendered.face.width();
    (0..textured.len())
        .into_par_iter()
        .with_min_len(1024)
        .map(|i| {
            if !textured[i] || rendered.face.as_slice()[i] == NO_FACE {
                return false;
            }
            let (x, y) = ((i % width) as f64 + 0.5, (i / width) as f64 + 0.5);
            let n = map.camera.model.unproject(&Vec2::new(x, y));
            let z = f64::from(rendered.depth.as_slice()[i]);
            let point = world_from_cam.apply(&(Vec3::new(n.x, n.y, 1.0) * z));
            seen_by.at_least(OTHER_PHOTOS, own, &point)
        })
        .collect()
}

/// True where the grey levels around a pixel deviate enough.
fn textured_pixels(grey: &Raster<u8>) -> Vec<bool> {
    let (w, h) = (grey.width(), grey.height());
    let half = WINDOW / 2;
    (0..h)
        .into_par_iter()
        .flat_map_iter(|y| {
            let rows = y.saturating_sub(half)..(y + half + 1).min(h);
            // Column sums, then a window over them.
            let mut columns = vec![(0_u64, 0_u64); w];
            for row in rows.clone() {
                for (c, v) in columns.iter_mut().zip(grey.row(row)) {
                    let v = u64::from(*v);
                    *c = (c.0 + v, c.1 + v * v);
                }
            }
            (0..w).map(move |x| {
                let (from, to) = (x.saturating_sub(half), (x + half + 1).min(w));
                let n = ((to - from) * rows.len()) as f64;
                let (mut s, mut q) = (0, 0);
                for c in &columns[from..to] {
                    s += c.0;
                    q += c.1;
                }
                let m = s as f64 / n;
                q as f64 / n - m * m >= TEXTURED * TEXTURED
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_pixels_are_weak_and_a_checkerboard_is_not() {
        let grey = Raster::from_fn(60, 20, |x, y| {
            if x < 30 {
                100
            } else {
                100 + 10 * ((x + y) % 2) as u8
            }
        });
        let t = textured_pixels(&grey);
        assert!(!t[10 * 60 + 10] && t[10 * 60 + 45]);
        assert_eq!(t.len(), 1200);
    }
}
