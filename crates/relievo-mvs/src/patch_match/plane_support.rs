//! Planes for weak texture, carried by pixels whose depth the sources confirm.
//!
//! Two supports, the second over the first. Triangles between reliable pixels
//! (ACMP: Xu & Tao, AAAI 2020, section 3), reliable here being what the maps of
//! the pass before agree upon, as in ACMMP (Xu, Kong, Tao & Pollefeys, PAMI
//! 2022). And a plane for every part of a region without edges, fitted to the
//! reliable pixels in it and around its rim (TAPA-MVS: Romanoni & Matteucci,
//! ICCV 2019, section 4). Departures: regions are connected pixels of small
//! gradient instead of superpixels, so that a wall is one region; a plane holds
//! only within the convex hull of its own pixels, because sky beside a façade
//! must not continue it, and where walls are all there is, as far around as patches
//! reach, through shading up to the edge that bounds the region; only pixels well away from the border count where
//! there are enough, because patches across a silhouette see what stands before
//! the region; clipped pixels (black background, overexposed windows)
//! get nothing.

use super::geometric::SourceDepths;
use super::half_field::{Field, NO_COST};
use super::level::Level;
use super::ncc::Kernel;
use super::packed_image::PAD;
use super::triangulated::{Anchor, rasterise_planes};
use crate::weak_regions::{NONE, WeakRegions, around, insets, weak_regions};
use rayon::prelude::*;
use std::collections::VecDeque;

/// Other views that must agree with a reliable pixel.
const AGREEING: u8 = 2;
/// Costs of a corner of a triangle, and of a pixel that a plane is fitted to.
const CORNER_COST: f32 = 0.3;
const FITTED_COST: f32 = 0.8;
/// One reliable pixel is taken per cell of so many pixels.
const CORNER_CELL_PX: usize = 6;
const FITTED_CELL_PX: usize = 3;
/// The rim around a region whose pixels count as its own.
const RIM_PX: usize = 8;
/// Patches of the coarse levels reach so far across a silhouette.
const INSET_PX: u8 = 16;
/// What a plane of a region takes off the cost.
const REGION_PULL: f32 = 1.0;
/// Relative difference of inverse depth of a plane's own pixels.
const ON_PLANE: f64 = 0.006;
const LEAST_INLIERS: usize = 24;
/// A plane must carry this share of what the planes before it left: a curved
/// surface is no stack of planes.
const LEAST_SHARE: f64 = 0.4;
const PLANES_PER_REGION: usize = 4;
const DRAWS: usize = 96;

/// q = q0 + gx·x + gy·y at pixel position (x, y), within a convex polygon.
struct Support {
    q0: f64,
    gx: f64,
    gy: f64,
    hull: Vec<[f64; 2]>,
}

/// The plane that weak texture should follow at each pixel, q = 0 for none; a
/// negative cost is the pull of a region's plane, which holds `reach_px` beyond its own
/// pixels.
pub(crate) fn plane_support(
    kernel: Kernel,
    level: &Level,
    field: &Field,
    depths: &SourceDepths,
    reach_px: u32,
) -> Field {
    let agreed = agreed_costs(field, &depths.agreeing(kernel, level, field));
    let mut out = Field::new(level.width, level.height);
    let corners = best_of_cells(level, field, &agreed, CORNER_CELL_PX, CORNER_COST);
    let longest = 0.5 * level.width.max(level.height) as f64;
    rasterise_planes(&mut out, &corners, longest, 1.5);

    let (regions, count) = regions(level, reach_px as usize / 2);
    let fitted = best_of_cells(level, field, &agreed, FITTED_CELL_PX, FITTED_COST);
    let mut of_region: Vec<Vec<Pixel>> = vec![Vec::new(); count];
    for anchor in fitted {
        let at = anchor.y as usize * level.width + anchor.x as usize;
        if regions.rim[at] != NONE {
            let deep = regions.inset[at] > INSET_PX;
            of_region[regions.rim[at] as usize].push(Pixel { anchor, deep });
        }
    }
    let planes: Vec<Vec<(Support, Vec<Anchor>)>> =
        of_region.into_par_iter().map(planes_of).collect();
    let planes: Vec<(Support, Vec<Anchor>)> = planes.into_iter().flatten().collect();
    let nearest = spread(level, &regions.rim, &planes);
    let width = level.width;
    out.par_pixels(|x, y, row, at| {
        if clipped(level, x, y) {
            (row.q[at], row.gx[at], row.gy[at]) = (0.0, 0.0, 0.0);
            return;
        }
        let k = y * width + x;
        if regions.inside[k] == NONE || regions.inside[k] != regions.rim[k] || nearest[k] == NONE {
            return;
        }
        let (s, _) = &planes[nearest[k] as usize];
        let (px, py) = (x as f64 + 0.5, y as f64 + 0.5);
        let q = s.q0 + s.gx * px + s.gy * py;
        if q > 0.0 && holds(&s.hull, px, py, f64::from(reach_px)) {
            row.q[at] = q as f32;
            row.gx[at] = s.gx as f32;
            row.gy[at] = s.gy as f32;
            // Its gradient is small, whatever edge its patch reaches.
            row.cost[at] = -REGION_PULL;
        }
    });
    out
}

/// A reliable pixel of a region; `deep`: well away from the region's border,
/// where patches across a silhouette give the depth of what stands before it.
#[derive(Clone, Copy, Debug)]
struct Pixel {
    anchor: Anchor,
    deep: bool,
}

/// The cost of every pixel with whose depth enough sources agree.
fn agreed_costs(field: &Field, agreeing: &[u8]) -> Vec<f32> {
    let width = field.width;
    let mut out = vec![NO_COST; width * field.height];
    out.par_chunks_mut(width)
        .enumerate()
        .for_each(|(y, costs)| {
            for (x, cost) in costs.iter_mut().enumerate() {
                let (row, at) = field.at(x, y);
                let enough = agreeing[y * width + x] >= AGREEING;
                if row.cost[at] < FITTED_COST && row.q[at] > 0.0 && enough {
                    *cost = row.cost[at];
                }
            }
        });
    out
}

fn best_of_cells(
    level: &Level,
    field: &Field,
    costs: &[f32],
    cell_px: usize,
    max_cost: f32,
) -> Vec<Anchor> {
    let columns = level.width.div_ceil(cell_px);
    (0..columns * level.height.div_ceil(cell_px))
        .into_par_iter()
        .filter_map(|cell| {
            let (cx, cy) = (cell % columns * cell_px, cell / columns * cell_px);
            let mut best: Option<(f32, usize, usize)> = None;
            for y in cy..(cy + cell_px).min(level.height) {
                for x in cx..(cx + cell_px).min(level.width) {
                    let c = costs[y * level.width + x];
                    if c < max_cost && best.is_none_or(|(b, _, _)| c < b) {
                        best = Some((c, x, y));
                    }
                }
            }
            best.map(|(_, x, y)| {
                let (row, at) = field.at(x, y);
                Anchor {
                    x: x as f64 + 0.5,
                    y: y as f64 + 0.5,
                    q: f64::from(row.q[at]),
                }
            })
        })
        .collect()
}

fn grey(level: &Level, x: isize, y: isize) -> i32 {
    let at = (y + PAD as isize) * level.image.stride as isize + x + PAD as isize;
    i32::from(level.image.data[at as usize])
}

/// Black background or overexposed: no surface is known to be there.
fn clipped(level: &Level, x: usize, y: usize) -> bool {
    !(4..=251).contains(&grey(level, x as isize, y as isize))
}

/// Region of each pixel, without and with the rim around it.
struct Regions {
    inside: Vec<u32>,
    rim: Vec<u32>,
    /// Steps to the nearest pixel outside of the region, 0 outside, at most
    /// one more than [`INSET_PX`].
    inset: Vec<u8>,
}

/// The regions without edges, and their rims; a region goes on for up to `climb_px` up a
/// slope of grey levels that ends in an edge.
fn regions(level: &Level, climb_px: usize) -> (Regions, usize) {
    let (width, height) = (level.width, level.height);
    let WeakRegions { of: inside, count } = weak_regions(
        width,
        height,
        |x, y| grey(level, x, y),
        |x, y| level.valid.as_ref().is_none_or(|v| v[(x, y)] != 0) && !clipped(level, x, y),
    );
    let inset = insets(&inside, width, height, INSET_PX + 1);
    let rim = grown(&inside, (width, height), RIM_PX, |_, _| true);
    if climb_px == 0 {
        return (Regions { inside, rim, inset }, count);
    }
    // What stands before a wall shades it, and is not the wall.
    let slope: Vec<i32> = (0..inside.len())
        .into_par_iter()
        .map(|k| slope(level, k % width, k / width))
        .collect();
    let inside = grown(&inside, (width, height), climb_px, |from, to| {
        slope[to] >= slope[from]
    });
    (Regions { inside, rim, inset }, count)
}

/// `regions` with `steps` pixels more around each, a pixel a round, where `goes_on` from a
/// pixel to the next; the first region to come keeps a pixel.
fn grown(
    regions: &[u32],
    (width, height): (usize, usize),
    steps: usize,
    goes_on: impl Fn(usize, usize) -> bool,
) -> Vec<u32> {
    let mut out = regions.to_vec();
    let mut front: Vec<usize> = (0..out.len()).filter(|&k| out[k] != NONE).collect();
    for _ in 0..steps {
        let mut next = Vec::new();
        for &k in &front {
            let region = out[k];
            around(k, width, height, |n| {
                if out[n] == NONE && goes_on(k, n) {
                    out[n] = region;
                    next.push(n);
                }
            });
        }
        if next.is_empty() {
            break;
        }
        front = next;
    }
    out
}

/// Change of grey level over two pixels, along both axes, of three pixels across.
fn slope(level: &Level, x: usize, y: usize) -> i32 {
    let side = |dx: isize, dy: isize| {
        (-1..=1)
            .map(|k| grey(level, x as isize + dx + k * dy, y as isize + dy + k * dx))
            .sum::<i32>()
    };
    (side(1, 0) - side(-1, 0)).abs() + (side(0, 1) - side(0, -1)).abs()
}

/// The planes of one region, best supported first, each with its own pixels.
/// Where the region is wide, only deep pixels count.
fn planes_of(pixels: Vec<Pixel>) -> Vec<(Support, Vec<Anchor>)> {
    let mut out = Vec::new();
    let deep = pixels.iter().filter(|p| p.deep).count();
    let wide = deep >= LEAST_INLIERS;
    let of = |p: &[Pixel], only_deep: bool| -> Vec<Anchor> {
        p.iter()
            .filter(|p| p.deep || !only_deep)
            .map(|p| p.anchor)
            .collect()
    };
    let mut rest = pixels;
    while out.len() < PLANES_PER_REGION {
        let anchors = of(&rest, wide);
        let least = LEAST_INLIERS.max((LEAST_SHARE * anchors.len() as f64) as usize);
        if anchors.len() < least {
            break;
        }
        let Some(plane) = dominant(&anchors) else {
            break;
        };
        let own: Vec<Anchor> = anchors.into_iter().filter(|a| on(plane, a)).collect();
        if own.len() < least {
            break;
        }
        // The rim's pixels on the plane tell how far it reaches.
        let (all, others): (Vec<Pixel>, Vec<Pixel>) =
            rest.iter().partition(|p| on(plane, &p.anchor));
        let hull = convex_hull(all.iter().map(|p| [p.anchor.x, p.anchor.y]).collect());
        let [q0, gx, gy] = plane;
        out.push((Support { q0, gx, gy, hull }, own));
        rest = others;
    }
    out
}

fn on([q0, gx, gy]: [f64; 3], a: &Anchor) -> bool {
    (q0 + gx * a.x + gy * a.y - a.q).abs() < ON_PLANE * a.q
}

/// The plane that most anchors lie on: three drawn at a time, then least
/// squares over its own.
fn dominant(anchors: &[Anchor]) -> Option<[f64; 3]> {
    let n = anchors.len() as u64;
    let mut state = n;
    let mut draw = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % n) as usize
    };
    let mut best: Option<([f64; 3], usize)> = None;
    for _ in 0..DRAWS {
        let three = [anchors[draw()], anchors[draw()], anchors[draw()]];
        let Some(plane) = least_squares(three.iter()) else {
            continue;
        };
        let count = anchors.iter().filter(|a| on(plane, a)).count();
        if best.is_none_or(|(_, c)| count > c) {
            best = Some((plane, count));
        }
    }
    let mut plane = best?.0;
    for _ in 0..3 {
        plane = least_squares(anchors.iter().filter(|a| on(plane, a)))?;
    }
    Some(plane)
}

fn least_squares<'a>(anchors: impl Iterator<Item = &'a Anchor> + Clone) -> Option<[f64; 3]> {
    let (mut n, mut mx, mut my, mut mq) = (0.0, 0.0, 0.0, 0.0);
    for a in anchors.clone() {
        n += 1.0;
        mx += a.x;
        my += a.y;
        mq += a.q;
    }
    if n < 3.0 {
        return None;
    }
    (mx, my, mq) = (mx / n, my / n, mq / n);
    let (mut xx, mut xy, mut yy, mut xq, mut yq) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for a in anchors {
        let (dx, dy, dq) = (a.x - mx, a.y - my, a.q - mq);
        xx += dx * dx;
        xy += dx * dy;
        yy += dy * dy;
        xq += dx * dq;
        yq += dy * dq;
    }
    let det = xx * yy - xy * xy;
    // Collinear, or nearly so.
    if !(det > 1e-3 * (xx + yy) * (xx + yy)) {
        return None;
    }
    let gx = (xq * yy - yq * xy) / det;
    let gy = (yq * xx - xq * xy) / det;
    Some([mq - gx * mx - gy * my, gx, gy])
}

/// Counter-clockwise (Andrew's monotone chain).
fn convex_hull(mut points: Vec<[f64; 2]>) -> Vec<[f64; 2]> {
    points.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
    let mut hull: Vec<[f64; 2]> = Vec::new();
    // The lower chain, then the upper one.
    for _ in 0..2 {
        let start = hull.len();
        let mut add = |p: [f64; 2]| {
            while hull.len() >= start + 2
                && turn(hull[hull.len() - 2], hull[hull.len() - 1], p) <= 0.0
            {
                hull.pop();
            }
            hull.push(p);
        };
        for p in &points {
            add(*p);
        }
        points.reverse();
        hull.pop();
    }
    hull
}

fn turn(a: [f64; 2], b: [f64; 2], c: [f64; 2]) -> f64 {
    (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
}

/// True within `margin_px` of the sides.
fn holds(hull: &[[f64; 2]], x: f64, y: f64, margin_px: f64) -> bool {
    hull.len() >= 3
        && (0..hull.len()).all(|k| {
            let (a, b) = (hull[k], hull[(k + 1) % hull.len()]);
            let inward = turn(a, b, [x, y]);
            inward >= 0.0 || inward >= -margin_px * (b[0] - a[0]).hypot(b[1] - a[1])
        })
}

/// The plane whose own pixel is nearest, by steps within the region.
fn spread(level: &Level, rim: &[u32], planes: &[(Support, Vec<Anchor>)]) -> Vec<u32> {
    let (width, height) = (level.width, level.height);
    let mut nearest = vec![NONE; rim.len()];
    let mut queue = VecDeque::new();
    for (k, (_, own)) in planes.iter().enumerate() {
        for a in own {
            let at = a.y as usize * width + a.x as usize;
            nearest[at] = k as u32;
            queue.push_back(at);
        }
    }
    while let Some(at) = queue.pop_front() {
        around(at, width, height, |n| {
            if nearest[n] == NONE && rim[n] == rim[at] {
                nearest[n] = nearest[at];
                queue.push_back(n);
            }
        });
    }
    nearest
}

#[cfg(test)]
mod tests {
    use super::super::level::pyramid;
    use super::super::stereo_view::StereoView;
    use super::*;
    use relievo_geometry::{CameraModel, Rigid3};
    use relievo_image::Raster;
    use relievo_scene::{Camera, ViewId};

    #[test]
    fn planes_of_a_region_hold_between_their_pixels_only() {
        let wall = |x: f64, y: f64| 0.3 + 0.0002 * x - 0.0001 * y;
        let floor = |x: f64, y: f64| 0.2 - 0.0001 * x + 0.001 * y;
        let mut anchors = Vec::new();
        for y in (0..120).step_by(6) {
            for x in (0..200).step_by(6) {
                let (x, y) = (f64::from(x), f64::from(y));
                let q = if x < 140.0 { wall(x, y) } else { floor(x, y) };
                // Every seventh is wrong, each in its own way.
                let k = anchors.len();
                let q = if k % 7 == 3 {
                    q * (1.1 + (k * 37 % 101) as f64 * 0.01)
                } else {
                    q
                };
                let anchor = Anchor { x, y, q };
                anchors.push(Pixel { anchor, deep: true });
            }
        }
        let planes = planes_of(anchors);
        assert_eq!(planes.len(), 2);
        let (first, own) = &planes[0];
        assert!((first.q0 - 0.3).abs() < 1e-3, "{}", first.q0);
        assert!(own.iter().all(|a| a.x < 140.0 || on([0.3, 2e-4, -1e-4], a)));
        assert!(holds(&first.hull, 70.0, 60.0, 0.0));
        assert!(!holds(&first.hull, 70.0, 130.0, 0.0));
        // Its pixels end at 114.
        assert!(holds(&first.hull, 70.0, 129.0, 16.0));
        assert!(!holds(&first.hull, 70.0, 131.0, 16.0));
        assert!((planes[1].0.gy - 0.001).abs() < 1e-5);
    }

    #[test]
    fn few_or_scattered_pixels_carry_no_plane() {
        let at = |k: u32| {
            let h = f64::from(k.wrapping_mul(2_654_435_761) >> 8) / 16_777_216.0;
            let anchor = Anchor {
                x: f64::from(k % 20) * 5.0,
                y: f64::from(k / 20) * 5.0,
                q: 0.1 + h,
            };
            Pixel {
                anchor,
                deep: false,
            }
        };
        assert!(planes_of((0..300).map(at).collect()).is_empty());
        assert!(planes_of((0..5).map(at).collect()).is_empty());
        assert!(planes_of(Vec::new()).is_empty());
    }

    fn level_of(grey: impl Fn(usize) -> u8) -> Level {
        let camera = Camera {
            model: CameraModel::Pinhole {
                fx: 100.0,
                fy: 100.0,
                cx: 60.0,
                cy: 40.0,
            },
            width_px: 120,
            height_px: 80,
            has_prior_focal: true,
        };
        let view = StereoView {
            id: ViewId(1),
            camera,
            cam_from_world: Rigid3::identity(),
            gray: Raster::from_fn(120, 80, |x, _| grey(x)),
            valid: None,
        };
        pyramid(&view, &[], 1).remove(0)
    }

    #[test]
    fn an_edge_parts_regions_and_black_is_none() {
        let level = level_of(|x| match x {
            0..40 => 0,
            40..80 => 90,
            _ => 140,
        });
        let (regions, count) = regions(&level, 8);
        assert_eq!(count, 2);
        let at = |x: usize| 40 * 120 + x;
        assert_eq!(regions.inside[at(10)], NONE);
        assert_eq!(regions.inside[at(60)], 0);
        assert_eq!(regions.inside[at(100)], 1);
        // Up to the edge and no farther.
        assert_eq!(regions.inside[at(78)], 0);
        assert_eq!(regions.inside[at(81)], 1);
        assert_eq!(regions.rim[at(79)], 0);
        assert!(clipped(&level, 10, 40) && !clipped(&level, 60, 40));
    }

    #[test]
    fn a_region_goes_on_through_the_shade_of_what_stands_before_it() {
        let level = level_of(|x| match x {
            0..40 => 200,
            40..50 => 200 - 6 * (x as u8 - 39),
            _ => 60,
        });
        let (regions, count) = regions(&level, 8);
        assert_eq!(count, 2);
        let at = |x: usize| 40 * 120 + x;
        assert_eq!(regions.inside[at(43)], 0);
        assert_eq!(regions.inside[at(44)], 0);
        // The other side does not go on beyond the edge.
        assert_eq!(regions.inside[at(51)], 1);
        assert_ne!(regions.inside[at(47)], 1);
    }
}
