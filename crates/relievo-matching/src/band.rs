//! Exact nearest and second-nearest descriptors inside the epipolar band, in
//! both directions at once.
//!
//! Keypoints of b stand in compact groups of 16 (halved by turns along their
//! longer extent). For each keypoint of a, groups whose circle the band of its
//! epipolar line misses are passed over, 16 groups at a time; of the others
//! only the keypoints inside the band are compared. No assumption about the
//! epipole is made, so it may lie anywhere. The kernels give equal results.

use crate::nearest::{Descriptor, Nearest};
use relievo_geometry::{Mat3, Vec3};
use relievo_task::Isa;

/// Keypoints of a group, and groups tested at a time.
pub(crate) const LANES: usize = 16;

/// Coordinates of 16 points or circles.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
pub(crate) struct Places {
    pub(crate) x: [f32; LANES],
    pub(crate) y: [f32; LANES],
    /// A place counts where the line is nearer than this; absent ones are NaN.
    pub(crate) reach: [f32; LANES],
}

const NOWHERE: Places = Places {
    x: [f32::NAN; LANES],
    y: [f32::NAN; LANES],
    reach: [f32::NAN; LANES],
};

/// Keypoints and descriptors of a view.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BandSide<'f> {
    /// Column and row, px; those that are not finite are passed over.
    pub(crate) points: &'f [[f32; 2]],
    /// Their [`compact_order`].
    pub(crate) order: &'f [u32],
    /// One a point.
    pub(crate) descriptors: &'f [Descriptor],
}

/// The keypoints of b in groups.
pub(crate) struct Groups<'f> {
    /// 16 circles each: where the groups are.
    pub(crate) circles: Vec<Places>,
    /// Where the keypoints of a group are.
    pub(crate) places: Vec<Places>,
    /// Positions in b, group after group.
    pub(crate) order: &'f [u32],
}

/// A keypoint of a and its epipolar line (unit normal).
pub(crate) struct Query<'f> {
    pub(crate) idx: u32,
    pub(crate) line: [f32; 3],
    pub(crate) descriptor: &'f Descriptor,
}

/// Nearest of `b` for each of `a`, and nearest of `a` for each of `b`, among
/// the pairs with `b` within `band_px` of the line F a.
pub(crate) fn nearest_in_band(
    a: BandSide<'_>,
    b: BandSide<'_>,
    f: &Mat3,
    band_px: f32,
    isa: Isa,
) -> (Vec<Nearest>, Vec<Nearest>) {
    nearest_in_band_by(kernel(isa), a, b, f, band_px)
}

fn nearest_in_band_by(
    search: Search,
    a: BandSide<'_>,
    b: BandSide<'_>,
    f: &Mat3,
    band_px: f32,
) -> (Vec<Nearest>, Vec<Nearest>) {
    let groups = Groups::new(b, band_px);
    // Neighbours in a have lines that cross the same groups.
    let queries: Vec<Query<'_>> = a
        .order
        .iter()
        .filter_map(|&i| {
            let [x, y] = a.points[i as usize];
            let line = f * Vec3::new(f64::from(x), f64::from(y), 1.0);
            let norm = line.xy().norm();
            let line = line / norm;
            line.iter().all(|v| v.is_finite()).then(|| Query {
                idx: i,
                line: [line.x as f32, line.y as f32, line.z as f32],
                descriptor: &a.descriptors[i as usize],
            })
        })
        .collect();
    let mut from_a = vec![Nearest::NONE; a.points.len()];
    let mut from_b = vec![Nearest::NONE; groups.order.len()];
    let found = (&mut from_a[..], &mut from_b[..]);
    search(&queries, &groups, b.descriptors, found);
    let mut in_order = vec![Nearest::NONE; b.points.len()];
    for (found, &j) in from_b.iter().zip(groups.order) {
        in_order[j as usize] = *found;
    }
    (from_a, in_order)
}

/// What a kernel is given: queries, groups and the descriptors of b; it fills the
/// nearest of each query, and of each place in the groups' order.
type Search = fn(&[Query<'_>], &Groups<'_>, &[Descriptor], (&mut [Nearest], &mut [Nearest]));

fn kernel(isa: Isa) -> Search {
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Native {
        if crate::band_avx512::available() {
            return crate::band_avx512::search;
        }
        if crate::nearest_avx2::available() {
            return crate::band_avx2::search;
        }
    }
    let _ = isa;
    portable
}

impl<'f> Groups<'f> {
    fn new(b: BandSide<'f>, band_px: f32) -> Self {
        let order = b.order;
        let mut places = Vec::with_capacity(order.len().div_ceil(LANES));
        let mut circles = vec![NOWHERE; order.len().div_ceil(LANES * LANES)];
        for (g, members) in order.chunks(LANES).enumerate() {
            let mut place = NOWHERE;
            let (mut low, mut high) = ([f32::MAX; 2], [f32::MIN; 2]);
            for (lane, &j) in members.iter().enumerate() {
                let p = b.points[j as usize];
                (place.x[lane], place.y[lane], place.reach[lane]) = (p[0], p[1], band_px);
                for k in 0..2 {
                    low[k] = low[k].min(p[k]);
                    high[k] = high[k].max(p[k]);
                }
            }
            places.push(place);
            let centre = [0.5 * (low[0] + high[0]), 0.5 * (low[1] + high[1])];
            let radius = members
                .iter()
                .map(|&j| b.points[j as usize])
                .map(|p| (p[0] - centre[0]).hypot(p[1] - centre[1]))
                .fold(0.0, f32::max);
            let (circle, lane) = (&mut circles[g / LANES], g % LANES);
            (circle.x[lane], circle.y[lane]) = (centre[0], centre[1]);
            // A hair more, for the rounding of the distances.
            circle.reach[lane] = 1.01 * (radius + band_px) + 0.01;
        }
        Self {
            circles,
            places,
            order,
        }
    }
}

/// Indices of the finite points, so that runs of 16 lie close together.
pub(crate) fn compact_order(points: &[[f32; 2]]) -> Vec<u32> {
    let mut ids: Vec<u32> = (0..points.len() as u32)
        .filter(|&i| points[i as usize].iter().all(|v| v.is_finite()))
        .collect();
    halve(points, &mut ids);
    ids
}

fn halve(points: &[[f32; 2]], ids: &mut [u32]) {
    if ids.len() <= LANES {
        return;
    }
    let extent = |k: usize| {
        let (low, high) = ids.iter().fold((f32::MAX, f32::MIN), |(low, high), &i| {
            let v = points[i as usize][k];
            (low.min(v), high.max(v))
        });
        high - low
    };
    let axis = usize::from(extent(1) > extent(0));
    let middle = (ids.len() / 2).next_multiple_of(LANES);
    ids.select_nth_unstable_by(middle.min(ids.len() - 1), |&i, &j| {
        let (p, q) = (points[i as usize][axis], points[j as usize][axis]);
        p.total_cmp(&q).then(i.cmp(&j))
    });
    let (left, right) = ids.split_at_mut(middle.min(ids.len()));
    halve(points, left);
    halve(points, right);
}

/// Takes a candidate into account; on equal products the lower index stays.
#[inline(always)]
pub(crate) fn offer(nearest: &mut Nearest, idx: u32, dot: i32) {
    if dot > nearest.best || (dot == nearest.best && idx < nearest.idx) {
        nearest.second = nearest.best;
        nearest.best = dot;
        nearest.idx = idx;
    } else if dot > nearest.second {
        nearest.second = dot;
    }
}

/// Bits of the places nearer to the line than their reach.
#[inline]
fn within(places: &Places, [lx, ly, lz]: [f32; 3]) -> u16 {
    let mut bits = 0;
    for k in 0..LANES {
        let distance = (lx * places.x[k] + ly * places.y[k] + lz).abs();
        bits |= u16::from(distance < places.reach[k]) << k;
    }
    bits
}

/// The reference.
fn portable(
    queries: &[Query<'_>],
    groups: &Groups<'_>,
    descriptors: &[Descriptor],
    (from_a, from_b): (&mut [Nearest], &mut [Nearest]),
) {
    for query in queries {
        let mut own = Nearest::NONE;
        for (sixteen, circles) in groups.circles.iter().enumerate() {
            let hit = within(circles, query.line);
            for g in (0..LANES).filter(|g| hit >> g & 1 == 1) {
                let g = sixteen * LANES + g;
                let near = within(&groups.places[g], query.line);
                for lane in (0..LANES).filter(|l| near >> l & 1 == 1) {
                    let at = g * LANES + lane;
                    let j = groups.order[at];
                    let dot = crate::nearest::dot(query.descriptor, &descriptors[j as usize]);
                    offer(&mut own, j, dot);
                    offer(&mut from_b[at], query.idx, dot);
                }
            }
        }
        from_a[query.idx as usize] = own;
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::nearest::dot;
    use crate::nearest::tests::hard_descriptors;
    use rand_core::RngCore;

    fn points(n: usize, seed: u64) -> Vec<[f32; 2]> {
        let mut rng = relievo_task::rng(seed, "test", "points");
        let mut unit = move || rng.next_u32() as f32 / u32::MAX as f32;
        let mut all: Vec<[f32; 2]> = (0..n).map(|_| [900.0 * unit(), 600.0 * unit()]).collect();
        for i in (7..n).step_by(11) {
            all[i] = all[i - 3];
        }
        if n > 20 {
            all[13] = [f32::NAN, 3.0];
        }
        all
    }

    /// Those that this processor runs.
    fn kernels() -> Vec<Search> {
        let mut all = vec![kernel(Isa::Native)];
        #[cfg(target_arch = "x86_64")]
        if crate::nearest_avx2::available() {
            all.push(crate::band_avx2::search);
        }
        all
    }

    /// Every pair, one by one.
    fn all_pairs(a: BandSide<'_>, b: BandSide<'_>, f: &Mat3, band: f64) -> Vec<Nearest> {
        let finite = |p: &[f32; 2]| p.iter().all(|v| v.is_finite());
        a.points
            .iter()
            .zip(a.descriptors)
            .map(|(p, da)| {
                let mut own = Nearest::NONE;
                let line = f * Vec3::new(f64::from(p[0]), f64::from(p[1]), 1.0);
                for (j, q) in b.points.iter().enumerate() {
                    let at = Vec3::new(f64::from(q[0]), f64::from(q[1]), 1.0);
                    let distance = (line.dot(&at) / line.xy().norm()).abs();
                    let dot = dot(da, &b.descriptors[j]);
                    if finite(p) && finite(q) && distance < band {
                        offer(&mut own, j as u32, dot);
                    }
                }
                own
            })
            .collect()
    }

    #[test]
    fn equals_the_comparison_of_all_pairs_wherever_the_epipole_lies() {
        // Sideways, forward with the epipole in the picture, and in between.
        for (k, t) in [[1.0, 0.1, 0.0], [300.0, 200.0, 1.0], [900.0, -700.0, 1.0]]
            .into_iter()
            .enumerate()
        {
            let f = Vec3::from(t).cross_matrix();
            for (m, n) in [(0, 9), (9, 0), (1, 1), (40, 16), (333, 517)] {
                let (pa, pb) = (points(m, k as u64), points(n, 9 + k as u64));
                let (da, db) = (hard_descriptors(m, 3), hard_descriptors(n, 4));
                let (oa, ob) = (compact_order(&pa), compact_order(&pb));
                let a = BandSide {
                    points: &pa,
                    order: &oa,
                    descriptors: &da,
                };
                let b = BandSide {
                    points: &pb,
                    order: &ob,
                    descriptors: &db,
                };
                let want = all_pairs(a, b, &f, 7.0);
                let run = |search| nearest_in_band_by(search, a, b, &f, 7.0);
                let (from_a, from_b) = run(portable);
                assert_eq!(from_a, want, "{k} {m} {n}");
                // The other direction holds the same pairs.
                for (i, found) in from_a.iter().enumerate().filter(|(_, n)| n.best >= 0) {
                    let back = from_b[found.idx as usize];
                    assert!(back.best > found.best || back.idx <= i as u32);
                }
                for search in kernels() {
                    let found = run(search);
                    assert_eq!(found, (from_a.clone(), from_b.clone()), "{k} {m} {n}");
                }
            }
        }
    }
}
