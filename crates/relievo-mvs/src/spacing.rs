//! Points that lie closer than the photos resolve become one.
//!
//! Every view that sees a surface obliquely or from afar claims only some of
//! the pixels of the others, so that a surface seen by ten photos carries
//! several points per pixel of each. Cells of a grid whose side follows the
//! point's own footprint, by powers of two, keep near and far parts of a scene
//! apart and need no neighbour search: keys are sorted, and a cell's points are
//! averaged by confidence, which also takes noise off.

use crate::error::MvsError;
use crate::fused::{CloudInParts, Fused};
use crate::outliers::Kept;
use crate::point_store::PointStore;
use bytemuck::{Pod, Zeroable};
use rayon::prelude::*;
use relievo_task::Task;

/// Parts at most: each has a file open.
const MOST_PARTS: usize = 256;
/// Cells averaged at a time.
const AVERAGED: usize = 1 << 16;
/// Points of a part put aside at a time before they go to its file.
const PUT_ASIDE: usize = 1 << 12;
/// Marks the first index of a cell: as many points at a time would take 80 GB.
const FIRST: u32 = 1 << 31;

/// A point and its place among all.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Placed {
    place: u32,
    point: Fused,
}

/// Gives `cloud` the points that stay, those of each cell of `footprints` times their footprint
/// (rounded down to a power of two) averaged; 0 averages none. A cell has the place of its
/// first point.
///
/// Where not all points are held, cells are dealt out to parts by their hash, each with a file
/// of its own, so that a part's points are held and no cell is divided.
pub(crate) fn spaced(
    points: &PointStore<Fused>,
    kept: &Kept,
    footprints: f32,
    task: &Task,
    cloud: &mut CloudInParts,
) -> Result<(), MvsError> {
    if let Some(all) = points.all_held() {
        let places: Vec<u32> = (0..all.len() as u32)
            .filter(|i| kept.holds(*i as usize))
            .collect();
        let point = |k: usize| (places[k], &all[places[k] as usize]);
        return of_part(places.len(), point, footprints, |some| cloud.add(some));
    }
    let parts = points.len().div_ceil(points.most_held()).min(MOST_PARTS);
    let new = || PointStore::new(points.folder(), PUT_ASIDE);
    let mut stores: Vec<PointStore<Placed>> = (0..parts).map(|_| new()).collect();
    points.for_each_block(PUT_ASIDE, |first, block| {
        task.check()?;
        for (k, point) in block.iter().enumerate() {
            if kept.holds(first + k) {
                let part = part_of(cell(point, footprints), parts as u64);
                let place = (first + k) as u32;
                stores[part].add(&[Placed {
                    place,
                    point: *point,
                }])?;
            }
        }
        Ok(())
    })?;
    for store in stores {
        task.check()?;
        let mut part: Vec<Placed> = Vec::with_capacity(store.len());
        store.for_each_block(PUT_ASIDE, |_, block| {
            part.extend_from_slice(block);
            Ok(())
        })?;
        let point = |k: usize| (part[k].place, &part[k].point);
        of_part(part.len(), point, footprints, |some| cloud.add(some))?;
    }
    Ok(())
}

/// The cell of a point: ten bits of level, 28 of each axis, and 32 of nothing.
///
/// Cells 2^28 apart would be taken for one: a scene 130 km wide at a millimetre a pixel.
fn cell(p: &Fused, footprints: f32) -> u128 {
    let side = if footprints > 0.0 {
        p.footprint * footprints
    } else {
        p.footprint
    };
    let level = side.max(f32::MIN_POSITIVE).log2().floor();
    let side = f64::from(level).exp2();
    let axes = p
        .position
        .map(|v| (f64::from(v) / side).floor() as i64 as u128 & 0xfff_ffff);
    let level = level as i32 as u128 & 0x3ff;
    (level << 84 | axes[0] << 56 | axes[1] << 28 | axes[2]) << 32
}

fn part_of(cell: u128, parts: u64) -> usize {
    // Fibonacci hashing of both halves.
    let mixed = ((cell >> 64) as u64 ^ (cell as u64).rotate_left(17))
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        >> 32;
    (mixed % parts) as usize
}

/// Gives `take` one point a cell with its place, some at a time, in the order of first points,
/// of `count` points with their places.
fn of_part<'a>(
    count: usize,
    point: impl Fn(usize) -> (u32, &'a Fused) + Sync,
    footprints: f32,
    mut take: impl FnMut(&[(u32, Fused)]) -> Result<(), MvsError>,
) -> Result<(), MvsError> {
    if !(footprints > 0.0) {
        for first in (0..count).step_by(AVERAGED) {
            let some = first..(first + AVERAGED).min(count);
            let alone = |k| (point(k).0, *point(k).1);
            take(&some.map(alone).collect::<Vec<_>>())?;
        }
        return Ok(());
    }
    // The index is part of the key: no two are equal, any sort is stable.
    let mut keyed: Vec<u128> = (0..count)
        .into_par_iter()
        .map(|k| cell(point(k).1, footprints) | k as u128)
        .collect();
    keyed.par_sort_unstable();
    // What is kept of the keys: indices, the first of a cell marked. The cloud grows beside them.
    let is_first = |k: usize| k == 0 || keyed[k - 1] >> 32 != keyed[k] >> 32;
    let indices: Vec<u32> = (0..count)
        .into_par_iter()
        .map(|k| keyed[k] as u32 | if is_first(k) { FIRST } else { 0 })
        .collect();
    drop(keyed);
    // First point of each cell, and where its indices begin.
    let mut cells: Vec<(u32, u32)> = (0..count)
        .filter(|k| indices[*k] & FIRST != 0)
        .map(|k| (indices[k] & !FIRST, k as u32))
        .collect();
    cells.par_sort_unstable();
    for some in cells.chunks(AVERAGED) {
        let averaged = some.par_iter().map(|&(first, start)| {
            let others = indices[start as usize + 1..].iter();
            let others = others.take_while(|i| **i & FIRST == 0);
            let of_cell = [&first].into_iter().chain(others);
            let points = of_cell.map(|i| point(*i as usize).1);
            (point(first as usize).0, average(points))
        });
        take(&averaged.collect::<Vec<_>>())?;
    }
    Ok(())
}

/// The surest point of the cell, moved to the mean of those that face its way.
///
/// It keeps the views of the surest: with those of all, more is carved from the mesh (rendered
/// room at draft: F at 20 mm .796 to .798, but the mesh covers .85 instead of .94 of a held-out
/// photo).
fn average<'a>(points: impl Iterator<Item = &'a Fused> + Clone) -> Fused {
    let surest = |a: &'a Fused, b: &'a Fused| if b.confidence > a.confidence { b } else { a };
    let Some(mut out) = points.clone().reduce(surest).copied() else {
        return Zeroable::zeroed();
    };
    let facing = out.normal;
    let (mut weight, mut position, mut normal) = (0.0_f64, [0.0_f64; 3], [0.0_f64; 3]);
    for p in points {
        let along: f32 = (0..3).map(|i| p.normal[i] * facing[i]).sum();
        if along < 0.5 {
            continue;
        }
        let w = f64::from(p.confidence);
        weight += w;
        for i in 0..3 {
            position[i] += w * f64::from(p.position[i]);
            normal[i] += w * f64::from(p.normal[i]);
        }
    }
    let length = normal.iter().map(|v| v * v).sum::<f64>().sqrt();
    if weight > 0.0 && length > 0.0 {
        out.position = position.map(|v| (v / weight) as f32);
        out.normal = normal.map(|v| (v / length) as f32);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(x: f32, footprint: f32, confidence: u8) -> Fused {
        Fused {
            position: [x, 0.0, 1.0],
            footprint,
            normal: [0.0, 0.0, -1.0],
            color: [0; 3],
            confidence,
            view: 1,
            agreeing: 0,
        }
    }

    fn spaced(points: &[Fused], footprints: f32) -> Vec<Fused> {
        let point = |k: usize| (k as u32, &points[k]);
        let mut found = Vec::new();
        let take = |some: &[(u32, Fused)]| {
            found.extend_from_slice(some);
            Ok(())
        };
        of_part(points.len(), point, footprints, take).unwrap();
        assert!(found.is_sorted_by_key(|(place, _)| *place));
        found.into_iter().map(|(_, p)| p).collect()
    }

    #[test]
    fn a_cell_keeps_one_point_and_footprints_do_not_mix() {
        let near: Vec<Fused> = (0..100)
            .map(|k| point(k as f32 * 0.25 + 0.1 - 12.0, 1.0, 9))
            .collect();
        assert_eq!(spaced(&near, 0.0).len(), 100);
        let thin = spaced(&near, 1.0);
        assert_eq!(thin.len(), 25);
        assert!((thin[0].position[0] + 11.525).abs() < 1e-6);
        let mut mixed = near;
        mixed.push(point(0.1, 8.0, 9));
        assert_eq!(spaced(&mixed, 1.0).len(), 26);
    }

    #[test]
    fn the_surer_point_weighs_more_and_a_back_side_not_at_all() {
        let mut back = point(0.9, 1.0, 50);
        back.normal = [0.0, 0.0, 1.0];
        let one = spaced(&[point(0.1, 1.0, 100), point(0.5, 1.0, 100), back], 1.0);
        assert_eq!(one.len(), 1);
        assert!((one[0].position[0] - 0.3).abs() < 1e-6);
    }

    #[test]
    fn parts_are_about_alike() {
        let mut counts = [0; 5];
        for k in 0..10_000 {
            let p = point(k as f32, 0.5 * (1 + k % 3) as f32, 1);
            counts[part_of(cell(&p, 1.0), 5)] += 1;
        }
        assert!(
            counts.iter().all(|c| (1700..2300).contains(c)),
            "{counts:?}"
        );
    }
}
