//! Further matches inside the epipolar band.
//!
//! Keypoints of b stand in a grid; each unmatched keypoint of a is compared
//! with those near its epipolar line only, so that the ratio test faces fewer
//! rivals. The band is a part of the inlier threshold.

use crate::brute_force::MatchOptions;
use crate::verify::{VerifyOptions, ViewSide};
use relievo_geometry::{Mat3, Vec3};
use relievo_scene::{DESCRIPTOR_LEN, Match, TwoViewGeometry, TwoViewKind};

/// Squared norm of a quantised RootSIFT descriptor.
const SQUARED_NORM: f64 = 512.0 * 512.0;

/// Adds matches to a pair whose `f` is known; other pairs stay as they are.
///
/// The coordinates are taken as they are in the pictures, so with a strongly
/// distorting lens the band misses true matches near the corners.
pub fn guided_matches(
    pair: &mut TwoViewGeometry,
    a: &ViewSide<'_>,
    b: &ViewSide<'_>,
    matching: &MatchOptions,
    verification: &VerifyOptions,
) {
    let wanted = matches!(
        pair.kind,
        TwoViewKind::Calibrated | TwoViewKind::Uncalibrated | TwoViewKind::Planar
    );
    let Some(f) = pair.f.filter(|_| wanted) else {
        return;
    };
    let limits = MatchOptions {
        max_angle_deg: matching
            .max_angle_deg
            .min(verification.guided_max_angle_deg),
        ..matching.clone()
    };
    let band = verification.guided_error_ratio
        * a.threshold_px(verification)
            .max(b.threshold_px(verification));
    let mut used_a = vec![false; a.features.len()];
    let mut used_b = vec![false; b.features.len()];
    for m in &pair.inliers {
        used_a[m.a_idx as usize] = true;
        used_b[m.b_idx as usize] = true;
    }
    let forward = nearest_along_lines(&f, a, b, &used_a, &used_b, band, &limits);
    let backward = nearest_along_lines(&f.transpose(), b, a, &used_b, &used_a, band, &limits);
    for (i, j) in forward.iter().enumerate() {
        if let Some(j) = j
            && backward[*j as usize] == Some(i as u32)
        {
            pair.inliers.push(Match {
                a_idx: i as u32,
                b_idx: *j,
            });
        }
    }
    pair.inliers.sort_unstable();
}

/// For each unused keypoint of `from`, the nearest unused one of `to` within
/// `band` of the line F x that passes the ratio test.
fn nearest_along_lines(
    f: &Mat3,
    from: &ViewSide<'_>,
    to: &ViewSide<'_>,
    used_from: &[bool],
    used_to: &[bool],
    band: f64,
    matching: &MatchOptions,
) -> Vec<Option<u32>> {
    let grid = Grid::new(to, used_to, band.max(1.0) * 8.0);
    let min_dot = SQUARED_NORM * f64::from(matching.max_angle_deg).to_radians().cos();
    let ratio2 = f64::from(matching.ratio).powi(2);
    let distance2 = |dot: u32| (SQUARED_NORM - f64::from(dot)).max(0.0);
    (0..from.features.len() as u32)
        .map(|i| {
            if used_from[i as usize] {
                return None;
            }
            let p = from.pixel(i)?;
            let line = f * Vec3::new(p.x, p.y, 1.0);
            let norm = line.xy().norm();
            if !(norm > 0.0) {
                return None;
            }
            let line = line / norm;
            let query = from.features.descriptors.get(i as usize)?;
            let (mut best, mut second, mut at) = (0, 0, None);
            grid.along(&line, band, |j| {
                let candidate = &to.features.descriptors[j as usize];
                let d = dot(query, candidate);
                if d > best {
                    second = best;
                    (best, at) = (d, Some(j));
                } else if d > second {
                    second = d;
                }
            });
            let passes =
                f64::from(best) >= min_dot && distance2(best) <= ratio2 * distance2(second);
            at.filter(|_| passes)
        })
        .collect()
}

fn dot(a: &[u8; DESCRIPTOR_LEN], b: &[u8; DESCRIPTOR_LEN]) -> u32 {
    let mut sum = 0;
    for k in 0..DESCRIPTOR_LEN {
        sum += u32::from(a[k]) * u32::from(b[k]);
    }
    sum
}

/// Unused keypoints by square cells.
struct Grid {
    cell_px: f64,
    columns: usize,
    rows: usize,
    /// First entry of each cell; one more at the end.
    starts: Vec<u32>,
    entries: Vec<(u32, f32, f32)>,
}

impl Grid {
    fn new(side: &ViewSide<'_>, used: &[bool], cell_px: f64) -> Self {
        let columns = (f64::from(side.camera.width_px) / cell_px) as usize + 1;
        let rows = (f64::from(side.camera.height_px) / cell_px) as usize + 1;
        let mut keyed: Vec<(usize, u32, f32, f32)> = Vec::new();
        for (j, k) in side.features.keypoints.iter().enumerate() {
            let described = j < side.features.descriptors.len();
            if used[j] || !described || !(k.x_px >= 0.0 && k.y_px >= 0.0) {
                continue;
            }
            let column = ((f64::from(k.x_px) / cell_px) as usize).min(columns - 1);
            let row = ((f64::from(k.y_px) / cell_px) as usize).min(rows - 1);
            keyed.push((row * columns + column, j as u32, k.x_px, k.y_px));
        }
        keyed.sort_unstable_by_key(|k| (k.0, k.1));
        let mut starts = vec![0; columns * rows + 1];
        for k in &keyed {
            starts[k.0 + 1] += 1;
        }
        for c in 0..columns * rows {
            starts[c + 1] += starts[c];
        }
        Self {
            cell_px,
            columns,
            rows,
            starts,
            entries: keyed.iter().map(|k| (k.1, k.2, k.3)).collect(),
        }
    }

    /// Visits the keypoints within `band` of the line (unit normal).
    fn along(&self, line: &Vec3, band: f64, mut visit: impl FnMut(u32)) {
        let steep = line.x.abs() > line.y.abs();
        let (outer, inner) = if steep {
            (self.rows, self.columns)
        } else {
            (self.columns, self.rows)
        };
        // The line crosses each strip of cells in an interval.
        let (along, across) = if steep {
            (line.y, line.x)
        } else {
            (line.x, line.y)
        };
        let reach = band / across.abs();
        for o in 0..outer {
            let s0 = o as f64 * self.cell_px;
            let at = |s: f64| -(along * s + line.z) / across;
            let (u, v) = (at(s0), at(s0 + self.cell_px));
            let low = ((u.min(v) - reach) / self.cell_px).floor();
            let high = ((u.max(v) + reach) / self.cell_px).floor();
            if !(high >= 0.0) || low >= inner as f64 {
                continue;
            }
            for i in low.max(0.0) as usize..=(high as usize).min(inner - 1) {
                let (row, column) = if steep { (o, i) } else { (i, o) };
                let cell = row * self.columns + column;
                let range = self.starts[cell] as usize..self.starts[cell + 1] as usize;
                for &(j, x, y) in &self.entries[range] {
                    let d = line.x * f64::from(x) + line.y * f64::from(y) + line.z;
                    if d.abs() < band {
                        visit(j);
                    }
                }
            }
        }
    }
}
