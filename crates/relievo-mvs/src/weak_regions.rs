//! Connected pixels of small gradient: walls, floors, sky.
//!
//! Instead of superpixels (TAPA-MVS: Romanoni & Matteucci, ICCV 2019,
//! section 4), so that a wall is one region.

use rayon::prelude::*;

/// Sum of the differences over four pixels along both axes below which a pixel
/// belongs to a region without edges.
const WEAK_GRADIENT: i32 = 7;
/// Regions smaller than this are none.
const LEAST_REGION_PX: usize = 300;

/// Not in a region.
pub(crate) const NONE: u32 = u32::MAX;

/// Region of each pixel, row by row; [`NONE`] for none.
#[derive(Debug)]
pub(crate) struct WeakRegions {
    pub(crate) of: Vec<u32>,
    pub(crate) count: usize,
}

/// Regions of the `allowed` pixels, numbered by their first pixel. `grey` is
/// asked up to three pixels outside of the picture.
pub(crate) fn weak_regions(
    width: usize,
    height: usize,
    grey: impl Fn(isize, isize) -> i32 + Sync,
    allowed: impl Fn(usize, usize) -> bool + Sync,
) -> WeakRegions {
    let mut weak = vec![false; width * height];
    weak.par_chunks_mut(width.max(1))
        .enumerate()
        .for_each(|(y, row)| {
            for (x, weak) in row.iter_mut().enumerate() {
                let (ix, iy) = (x as isize, y as isize);
                // Each side is the sum of three pixels across.
                let side = |dx: isize, dy: isize| {
                    (-1..=1)
                        .map(|k| grey(ix + dx + k * dy.signum(), iy + dy + k * dx.signum()))
                        .sum::<i32>()
                };
                let gradient = (side(2, 0) - side(-2, 0)).abs() + (side(0, 2) - side(0, -2)).abs();
                *weak = gradient < 3 * WEAK_GRADIENT && allowed(x, y);
            }
        });
    let mut of = vec![NONE; width * height];
    let mut visited = vec![false; width * height];
    let mut count = 0_u32;
    let mut members = Vec::new();
    for first in 0..weak.len() {
        if !weak[first] || visited[first] {
            continue;
        }
        members.clear();
        members.push(first);
        visited[first] = true;
        let mut next = 0;
        while next < members.len() {
            let k = members[next];
            next += 1;
            around(k, width, height, |n| {
                if weak[n] && !visited[n] {
                    visited[n] = true;
                    members.push(n);
                }
            });
        }
        if members.len() >= LEAST_REGION_PX {
            for &k in &members {
                of[k] = count;
            }
            count += 1;
        }
    }
    WeakRegions {
        of,
        count: count as usize,
    }
}

/// Steps from each pixel to the nearest outside of its region, 0 outside, at
/// most `limit`.
pub(crate) fn insets(regions: &[u32], width: usize, height: usize, limit: u8) -> Vec<u8> {
    let mut out = vec![limit; regions.len()];
    let mut front: Vec<usize> = (0..out.len()).filter(|&k| regions[k] == NONE).collect();
    for &k in &front {
        out[k] = 0;
    }
    for step in 1..limit {
        let mut next = Vec::new();
        for &k in &front {
            around(k, width, height, |n| {
                if out[n] > step {
                    out[n] = step;
                    next.push(n);
                }
            });
        }
        front = next;
    }
    out
}

/// The four neighbours of pixel k.
pub(crate) fn around(k: usize, width: usize, height: usize, mut f: impl FnMut(usize)) {
    let (x, y) = (k % width, k / width);
    if x > 0 {
        f(k - 1);
    }
    if x + 1 < width {
        f(k + 1);
    }
    if y > 0 {
        f(k - width);
    }
    if y + 1 < height {
        f(k + width);
    }
}
