//! Points that lie closer than the photos resolve become one.
//!
//! Every view that sees a surface obliquely or from afar claims only some of
//! the pixels of the others, so that a surface seen by ten photos carries
//! several points per pixel of each. Cells of a grid whose side follows the
//! point's own footprint, by powers of two, keep near and far parts of a scene
//! apart and need no neighbour search: keys are sorted, and a cell's points are
//! averaged by confidence, which also takes noise off.

use crate::fusion::Fused;
use rayon::prelude::*;

/// Averages the points of each cell of `footprints` times their footprint
/// (rounded down to a power of two); 0 keeps all. The order of first points
/// stays.
pub(crate) fn spaced(points: Vec<Fused>, footprints: f32) -> Vec<Fused> {
    if !(footprints > 0.0) {
        return points;
    }
    let mut keyed: Vec<(i32, [i64; 3], u32)> = points
        .par_iter()
        .enumerate()
        .map(|(k, p)| {
            let level = (p.footprint * footprints)
                .max(f32::MIN_POSITIVE)
                .log2()
                .floor();
            let side = f64::from(level).exp2();
            let cell = p.position.map(|v| (f64::from(v) / side).floor() as i64);
            (level as i32, cell, k as u32)
        })
        .collect();
    // The index is part of the key: no two are equal, any sort is stable.
    keyed.par_sort_unstable();
    let mut cells: Vec<&[(i32, [i64; 3], u32)]> =
        keyed.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)).collect();
    cells.par_sort_unstable_by_key(|c| c[0].2);
    cells
        .par_iter()
        .map(|cell| average(&points, cell))
        .collect()
}

/// The surest point of the cell, moved to the mean of those that face its way.
fn average(points: &[Fused], cell: &[(i32, [i64; 3], u32)]) -> Fused {
    let mut best = &points[cell[0].2 as usize];
    for (_, _, k) in cell {
        let p = &points[*k as usize];
        if p.confidence > best.confidence {
            best = p;
        }
    }
    let mut out = best.clone();
    let (mut weight, mut position, mut normal) = (0.0_f64, [0.0_f64; 3], [0.0_f64; 3]);
    for (_, _, k) in cell {
        let p = &points[*k as usize];
        let along: f32 = (0..3).map(|i| p.normal[i] * best.normal[i]).sum();
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
    use relievo_scene::ViewId;

    fn point(x: f32, footprint: f32, confidence: u8) -> Fused {
        Fused {
            position: [x, 0.0, 1.0],
            footprint,
            normal: [0.0, 0.0, -1.0],
            color: [0; 3],
            confidence,
            view: ViewId(1),
            agreeing: 0,
        }
    }

    #[test]
    fn a_cell_keeps_one_point_and_footprints_do_not_mix() {
        let near: Vec<Fused> = (0..100)
            .map(|k| point(k as f32 * 0.25 + 0.1, 1.0, 9))
            .collect();
        assert_eq!(spaced(near.clone(), 0.0).len(), 100);
        let thin = spaced(near.clone(), 1.0);
        assert_eq!(thin.len(), 25);
        assert!((thin[0].position[0] - 0.475).abs() < 1e-6);
        let mut mixed = near;
        mixed.push(point(0.1, 8.0, 9));
        assert_eq!(spaced(mixed, 1.0).len(), 26);
    }

    #[test]
    fn the_surer_point_weighs_more_and_a_back_side_not_at_all() {
        let mut back = point(0.9, 1.0, 50);
        back.normal = [0.0, 0.0, 1.0];
        let one = spaced(vec![point(0.1, 1.0, 100), point(0.5, 1.0, 100), back], 1.0);
        assert_eq!(one.len(), 1);
        assert!((one[0].position[0] - 0.3).abs() < 1e-6);
    }
}
