//! What the neighbours offer: the best hypotheses of the areas around a pixel,
//! without repetition.
//!
//! Adaptive checkerboard of ACMH (Xu & Tao, CVPR 2019), section 3.1. Departures:
//! offers that repeat each other within a fraction of a pixel are judged once
//! and counted, and of many different ones the least cost first.

use super::half_field::{F, HalfField, I, LANES, NO_COST, Planes, each, load, parity};
use super::propagation::Block;
use super::view_choice::MAX_HYPOTHESES;

const NEAR_UP: [(i32, i32); 7] = [
    (0, -1),
    (-1, -2),
    (1, -2),
    (-2, -3),
    (2, -3),
    (-3, -4),
    (3, -4),
];
const FAR: usize = 11;
/// Areas that offer hypotheses.
pub(crate) const MAX_AREAS: usize = 8;

/// Samples of one of the eight areas: `area & 3` is the direction (up, down,
/// left, right), areas 4 to 7 are the far strips.
fn area_samples(area: usize) -> impl Iterator<Item = (i32, i32)> {
    let turn = move |(dx, dy): (i32, i32)| match area & 3 {
        0 => (dx, dy),
        1 => (dx, -dy),
        2 => (dy, dx),
        _ => (-dy, dx),
    };
    let n = if area < 4 { NEAR_UP.len() } else { FAR };
    (0..n).map(move |k| {
        turn(if area < 4 {
            NEAR_UP[k]
        } else {
            (0, -(3 + 2 * k as i32))
        })
    })
}

/// Planes nearer than this within the reach of a patch are one hypothesis:
/// refinement and the last parabola look farther.
const SAME_PX: f32 = 0.15;
const PATCH_REACH_PX: f32 = 3.0;

/// Where entry i of a row of `colour` finds (dx, dy) in the other colour's row.
#[inline(always)]
pub(crate) fn shift(colour: usize, y: usize, dx: i32, dy: i32) -> isize {
    let here = parity(colour, y) as i32;
    let there = parity(1 - colour, y.wrapping_add_signed(dy as isize)) as i32;
    ((dx + here - there) / 2) as isize
}

/// The best hypotheses of the areas, moved to this block's pixels, least cost
/// first.
#[inline(always)]
pub(crate) fn neighbour_planes(
    block: &Block,
    colour: usize,
    other: &HalfField,
    areas: usize,
    out: &mut [Planes; MAX_AREAS],
) -> usize {
    let areas = areas.min(MAX_AREAS);
    let mut costs = [[NO_COST; LANES]; MAX_AREAS];
    for area in 0..areas {
        let mut best = [NO_COST; LANES];
        let mut planes = Planes::ZERO;
        for (dx, dy) in area_samples(area) {
            let y = block.y as isize + dy as isize;
            if y < 0 || y >= other.rows.len() as isize {
                continue;
            }
            let row = &other.rows[y as usize];
            let at = block.at.wrapping_add_signed(shift(colour, block.y, dx, dy));
            let cost: F = load(&row.cost, at);
            let mut moved = row.planes(at);
            let mut take = [false; LANES];
            for l in 0..LANES {
                take[l] = cost[l] < best[l];
                best[l] = if take[l] { cost[l] } else { best[l] };
                moved.q[l] -= moved.gx[l] * dx as f32 + moved.gy[l] * dy as f32;
            }
            planes.replace(&take, &moved);
        }
        out[area] = planes;
        costs[area] = best;
        // Into its place, lane by lane; a later area goes behind its equals.
        for k in (0..area).rev() {
            let later = costs[k + 1];
            let mut less = [false; LANES];
            for l in 0..LANES {
                less[l] = later[l] < costs[k][l];
                costs[k + 1][l] = if less[l] { costs[k][l] } else { later[l] };
                costs[k][l] = if less[l] { later[l] } else { costs[k][l] };
            }
            let (before, behind) = (out[k], out[k + 1]);
            out[k].replace(&less, &behind);
            out[k + 1].replace(&less, &before);
        }
    }
    areas
}

/// The hypotheses of 16 pixels without repetition, the present one first.
pub(crate) struct Distinct {
    pub(crate) planes: [Planes; MAX_HYPOTHESES],
    /// How many offers were this one; 0 where a lane has fewer.
    pub(crate) times: [F; MAX_HYPOTHESES],
    pub(crate) count: usize,
}

/// Sorts out what is offered again: where propagation has converged, most
/// neighbours offer what the pixel has. Of different offers, the first `most`
/// are taken. Lanes fill up independently, so that `count` is what the lane
/// with the most different offers needs.
#[inline(always)]
pub(crate) fn distinct(
    block: &Block,
    present: &Planes,
    offers: &[Planes],
    most: usize,
    per_px: &F,
) -> Distinct {
    const NEW: i32 = i32::MAX;
    /// Not tried: nothing is there, or enough better ones are.
    const NONE: i32 = -1;
    let mut out = Distinct {
        planes: [*present; MAX_HYPOTHESES],
        times: [[0.0; LANES]; MAX_HYPOTHESES],
        count: 1,
    };
    out.times[0] = [1.0; LANES];
    let most = most.min(MAX_AREAS);
    let mut filled: I = [1; LANES];
    let mut slots: [I; MAX_AREAS] = [[NONE; LANES]; MAX_AREAS];
    for (h, offer) in offers.iter().enumerate().take(MAX_AREAS) {
        let same = near(offer, present, per_px);
        let mut slot: I = each(|l| if same[l] { 0 } else { NEW });
        for g in 0..h {
            let same = near(offer, &offers[g], per_px);
            for l in 0..LANES {
                let take = same[l] & (slot[l] == NEW);
                slot[l] = if take { slots[g][l] } else { slot[l] };
            }
        }
        for l in 0..LANES {
            let full = filled[l] > most as i32;
            // Nothing was offered, or nothing is asked.
            let nothing = !(offer.q[l] > 0.0) | !block.active[l];
            let fresh = slot[l] == NEW;
            slot[l] = if nothing | (fresh & full) {
                NONE
            } else if fresh {
                filled[l]
            } else {
                slot[l]
            };
        }
        for s in 0..=(h + 1).min(most) {
            let mut fresh = [false; LANES];
            for l in 0..LANES {
                let here = slot[l] == s as i32;
                fresh[l] = here & (s as i32 == filled[l]);
                out.times[s][l] += if here { 1.0 } else { 0.0 };
            }
            out.planes[s].replace(&fresh, offer);
        }
        for l in 0..LANES {
            filled[l] += i32::from(slot[l] == filled[l]);
        }
        slots[h] = slot;
    }
    out.count = filled.into_iter().max().unwrap_or(1) as usize;
    out
}

/// True where two planes part by less than a fraction of a pixel of disparity
/// within the patch.
#[inline(always)]
fn near(a: &Planes, b: &Planes, per_px: &F) -> [bool; LANES] {
    let mut same = [false; LANES];
    for l in 0..LANES {
        let apart = (a.q[l] - b.q[l]).abs()
            + PATCH_REACH_PX * ((a.gx[l] - b.gx[l]).abs() + (a.gy[l] - b.gy[l]).abs());
        same[l] = apart < SAME_PX * per_px[l];
    }
    same
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plane(q: f32) -> Planes {
        Planes {
            q: [q; LANES],
            ..Planes::ZERO
        }
    }

    fn block() -> Block {
        Block {
            x: 0,
            y: 0,
            at: 0,
            active: std::array::from_fn(|l| l != 3),
        }
    }

    #[test]
    fn what_is_offered_again_is_counted_and_not_tried_again() {
        let mut odd = plane(0.5);
        odd.q[5] = 0.9;
        let offers = [plane(0.501), odd, plane(0.7), plane(0.7001), plane(0.0)];
        let found = distinct(&block(), &plane(0.5), &offers, 8, &[0.1; LANES]);
        // Lane 5 needs one more than the others.
        assert_eq!(found.count, 3);
        assert_eq!(found.times[0][0], 3.0);
        assert_eq!(found.times[1][0], 2.0);
        assert_eq!(found.planes[1].q[0], 0.7);
        assert_eq!((found.planes[1].q[5], found.planes[2].q[5]), (0.9, 0.7));
        assert_eq!(found.times[2][0], 0.0);
        // An inactive lane asks nothing.
        assert_eq!(found.times[1][3], 0.0);
    }

    #[test]
    fn no_more_than_the_first_different_ones_are_tried() {
        let offers = [plane(0.1), plane(0.2), plane(0.3), plane(0.301)];
        let found = distinct(&block(), &plane(0.5), &offers, 2, &[0.1; LANES]);
        assert_eq!(found.count, 3);
        assert_eq!(found.planes[2].q[0], 0.2);
        let all: f32 = found.times.iter().map(|t| t[0]).sum();
        assert_eq!(all, 3.0);
    }
}
