//! Sky stays empty.
//!
//! Between roofs, sky is a region without edges that all photos agree upon: its
//! grey is the same at every depth, and the outline around it is that of real
//! things, so that a membrane from one to the other looks right from everywhere.
//! What tells it from a plain wall, taken together: it is brighter than most of
//! the picture, it reaches the top, and nothing but its shading agrees between
//! photos, whereas walls have grain.

use crate::detail::detail_nccs;
use crate::patch_match::StereoView;
use crate::weak_regions::{NONE, WeakRegions, around, insets, weak_regions};
use relievo_image::Raster;
use relievo_scene::{DepthMap, PackedNormal};

/// Rows below the top (of the valid picture) in which sky must show.
const TOP_PX: usize = 6;
/// Windows so far inside of a region reach no edge.
const DEEP_PX: u8 = 10;
/// Windows of a region in which photos are compared.
const SAMPLES: usize = 150;
/// Mean NCC of the detail, below which there is none. Skies had at most 0.07,
/// walls at least 0.22 (Sceaux, Herz-Jesus, fountain).
const NO_DETAIL: f32 = 0.12;
/// The same for regions too small to keep windows off their edges.
const NO_DETAIL_OR_EDGE: f32 = 0.3;
/// Grey levels by which a pocket of sky between roofs, and the fringe along
/// them, may differ from the sky beside it.
const POCKET_GREY: f32 = 14.0;
const FRINGE_GREY: i32 = 14;
const FRINGE_PX: u32 = 12;

/// Empties the pixels of `map` that are sky in `reference` (of its size;
/// upright). `sources`: best first, of any size.
pub fn clear_sky(map: &mut DepthMap, reference: &StereoView, sources: &[&StereoView]) {
    let gray = &reference.gray;
    let (width, height) = (gray.width(), gray.height());
    assert_eq!(
        (map.depth.width(), map.depth.height()),
        (width, height),
        "sizes"
    );
    if gray.is_empty() {
        return;
    }
    let is_valid = |x: usize, y: usize| reference.valid.as_ref().is_none_or(|v| v[(x, y)] != 0);
    let grey = |x: isize, y: isize| {
        let x = x.clamp(0, width as isize - 1) as usize;
        let y = y.clamp(0, height as isize - 1) as usize;
        i32::from(gray[(x, y)])
    };
    let weak = weak_regions(width, height, grey, is_valid);
    let regions = regions(&weak, gray, is_valid);
    let median = median(gray);
    let no_detail = |r: &Region| {
        let (pixels, limit) = if r.deep.is_empty() {
            (&r.pixels, NO_DETAIL_OR_EDGE)
        } else {
            (&r.deep, NO_DETAIL)
        };
        detail(map, reference, sources, pixels) < limit
    };
    let mut is_sky: Vec<bool> = regions
        .iter()
        .map(|r| r.at_top && !r.deep.is_empty() && r.mean > median && no_detail(r))
        .collect();
    if !is_sky.contains(&true) {
        return;
    }
    let rows = rows(&regions, &is_sky, gray);
    for (is_sky, r) in is_sky.iter_mut().zip(&regions) {
        *is_sky |= beside(&rows, r, width).is_some_and(|m| (m - r.mean).abs() < POCKET_GREY)
            && no_detail(r);
    }
    clear(map, gray, &weak, &is_sky);
}

/// A region without edges.
#[derive(Debug, Default)]
struct Region {
    pixels: Vec<usize>,
    /// Those [`DEEP_PX`] from its border.
    deep: Vec<usize>,
    /// Grey levels.
    mean: f32,
    at_top: bool,
}

fn regions(
    weak: &WeakRegions,
    gray: &Raster<u8>,
    is_valid: impl Fn(usize, usize) -> bool,
) -> Vec<Region> {
    let (width, height) = (gray.width(), gray.height());
    let mut out: Vec<Region> = (0..weak.count).map(|_| Region::default()).collect();
    let inset = insets(&weak.of, width, height, DEEP_PX);
    for (k, &of) in weak.of.iter().enumerate() {
        if of != NONE {
            let region = &mut out[of as usize];
            region.pixels.push(k);
            if inset[k] == DEEP_PX {
                region.deep.push(k);
            }
        }
    }
    for region in &mut out {
        let greys = region.pixels.iter().map(|&k| u64::from(gray.as_slice()[k]));
        region.mean = greys.sum::<u64>() as f32 / region.pixels.len() as f32;
    }
    for x in 0..width {
        if let Some(first) = (0..height).find(|&y| is_valid(x, y)) {
            for y in first..(first + TOP_PX).min(height) {
                if let Some(region) = out.get_mut(weak.of[y * width + x] as usize) {
                    region.at_top = true;
                }
            }
        }
    }
    out
}

fn median(gray: &Raster<u8>) -> f32 {
    let mut counts = [0_usize; 256];
    for &v in gray.as_slice() {
        counts[usize::from(v)] += 1;
    }
    let half = gray.as_slice().len() / 2;
    let mut below = 0;
    let at = counts.iter().position(|n| {
        below += n;
        below > half
    });
    at.unwrap_or(255) as f32
}

/// Mean NCC of the detail around `pixels`; 0 where nothing can be compared.
fn detail(
    map: &DepthMap,
    reference: &StereoView,
    sources: &[&StereoView],
    pixels: &[usize],
) -> f32 {
    let width = map.depth.width();
    let with_depth: Vec<usize> = pixels
        .iter()
        .copied()
        .filter(|&k| map.depth.as_slice()[k] > 0.0)
        .collect();
    let (mut sum, mut count) = (0.0, 0);
    let step = (with_depth.len() / SAMPLES).max(1);
    for &k in with_depth.iter().step_by(step) {
        detail_nccs(reference, sources, map, (k % width, k / width), |ncc| {
            sum += ncc;
            count += 1;
        });
    }
    sum / count.max(1) as f32
}

/// Sum of grey levels and number of the pixels of sky in each row.
fn rows(regions: &[Region], is_sky: &[bool], gray: &Raster<u8>) -> Vec<(u64, u64)> {
    let mut out = vec![(0, 0); gray.height()];
    for (region, _) in regions.iter().zip(is_sky).filter(|(_, sky)| **sky) {
        for &k in &region.pixels {
            let row = &mut out[k / gray.width()];
            row.0 += u64::from(gray.as_slice()[k]);
            row.1 += 1;
        }
    }
    out
}

/// Mean grey level of the sky in the rows of a region.
fn beside(rows: &[(u64, u64)], region: &Region, width: usize) -> Option<f32> {
    let first = region.pixels.iter().min()? / width;
    let last = region.pixels.iter().max()? / width;
    let (sum, n) = rows[first..=last]
        .iter()
        .fold((0, 0), |a, r| (a.0 + r.0, a.1 + r.1));
    (n > 0).then(|| sum as f32 / n as f32)
}

/// Empties the regions that are sky, and the fringe of their grey around.
fn clear(map: &mut DepthMap, gray: &Raster<u8>, weak: &WeakRegions, is_sky: &[bool]) {
    let (width, height) = (gray.width(), gray.height());
    let mut empty = |k: usize| {
        map.depth.as_mut_slice()[k] = 0.0;
        map.normal.as_mut_slice()[k] = PackedNormal::default();
        map.confidence.as_mut_slice()[k] = 0;
    };
    // The grey of the sky from which a pixel of the fringe was reached.
    let mut local = vec![None; weak.of.len()];
    let mut front = Vec::new();
    for (k, &of) in weak.of.iter().enumerate() {
        if of != NONE && is_sky[of as usize] {
            local[k] = Some(i32::from(gray.as_slice()[k]));
            empty(k);
            front.push(k);
        }
    }
    for _ in 0..FRINGE_PX {
        let mut next = Vec::new();
        for &k in &front {
            let Some(from) = local[k] else { continue };
            around(k, width, height, |n| {
                let here = i32::from(gray.as_slice()[n]);
                if local[n].is_none() && (here - from).abs() < FRINGE_GREY {
                    local[n] = Some(from);
                    empty(n);
                    next.push(n);
                }
            });
        }
        front = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::Vector3;
    use relievo_geometry::{CameraModel, Rigid3};
    use relievo_scene::{Camera, ViewId};

    const W: usize = 120;
    const H: usize = 90;
    const SKY_ROWS: usize = 45;

    fn noise(x: usize, y: usize, salt: usize) -> i32 {
        let h = (x * 73 + y * 7919 + salt * 104_729 + 17) as u32;
        let h = (h ^ (h >> 7)).wrapping_mul(2_654_435_761);
        i32::from((h >> 29) as u8) - 3
    }

    /// Photo `k`, ten pixels further along a wall at depth 1; above it a
    /// gradient with noise of this photo, and grain of the wall if `grain`.
    fn photo(k: usize, brightness: i32, grain: bool) -> StereoView {
        let gray = Raster::from_fn(W, H, |x, y| {
            let on_wall = x + 10 * k;
            let v = if y < SKY_ROWS {
                let own = if grain { 0 } else { noise(x, y, k + 1) / 2 };
                let shared = if grain { noise(on_wall, y, 0) / 2 } else { 0 };
                brightness + (y / 4) as i32 + own + shared
            } else {
                90 + 20 * noise(on_wall / 2, y / 2, 0)
            };
            v.clamp(0, 255) as u8
        });
        StereoView {
            id: ViewId(k as u32 + 1),
            camera: Camera {
                model: CameraModel::Pinhole {
                    fx: 100.0,
                    fy: 100.0,
                    cx: 60.0,
                    cy: 45.0,
                },
                width_px: W as u32,
                height_px: H as u32,
                has_prior_focal: true,
            },
            cam_from_world: Rigid3::new(
                nalgebra::UnitQuaternion::identity(),
                Vector3::new(-0.1 * k as f64, 0.0, 0.0),
            ),
            gray,
            valid: None,
        }
    }

    fn filled_after(brightness: i32, grain: bool) -> (usize, usize) {
        let views: Vec<StereoView> = (0..3).map(|k| photo(k, brightness, grain)).collect();
        let mut map = DepthMap::new(views[0].camera);
        map.depth.as_mut_slice().fill(1.0);
        map.normal
            .as_mut_slice()
            .fill(PackedNormal::pack([0.0, 0.0, -1.0]));
        clear_sky(&mut map, &views[0], &[&views[1], &views[2]]);
        let count = |rows: std::ops::Range<usize>| {
            let row = |y: usize| (0..W).filter(|&x| map.depth[(x, y)] > 0.0).count();
            rows.map(row).sum::<usize>()
        };
        (count(0..SKY_ROWS - 4), count(SKY_ROWS + 4..H))
    }

    #[test]
    fn bright_shading_alone_is_sky_and_what_stands_before_it_stays() {
        let (above, below) = filled_after(200, false);
        assert!(above < 60, "{above}");
        assert!(below > 41 * W * 95 / 100, "{below}");
    }

    #[test]
    fn a_wall_with_grain_is_not_sky() {
        assert_eq!(filled_after(200, true).0, (SKY_ROWS - 4) * W);
    }

    #[test]
    fn what_is_darker_than_the_rest_is_not_sky() {
        assert_eq!(filled_after(20, false).0, (SKY_ROWS - 4) * W);
    }
}
