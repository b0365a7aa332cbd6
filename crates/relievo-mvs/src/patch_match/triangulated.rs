//! Planes from scattered depths: a Delaunay triangulation, each triangle a
//! plane in inverse depth.
//!
//! Starts the coarsest level from the sparse points, and gives the planar prior
//! of ACMP (Xu & Tao, AAAI 2020, section 3) from reliable pixels.

use super::half_field::Field;
use rayon::prelude::*;

/// A depth at a pixel position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Anchor {
    /// Pixels.
    pub(crate) x: f64,
    pub(crate) y: f64,
    /// Inverse depth.
    pub(crate) q: f64,
}

/// A plane over a triangle of the picture.
struct Facet {
    corners: [[f64; 2]; 3],
    /// Inverse depth at pixel position (0, 0), and its gradient.
    q0: f64,
    gx: f64,
    gy: f64,
    y_min: f64,
    y_max: f64,
}

/// Writes a plane into every pixel under a triangle no side of which is longer
/// than `max_side_px`, and whose corners differ by less than `max_ratio` in
/// inverse depth; the others keep what they have.
pub(crate) fn rasterise_planes(
    field: &mut Field,
    anchors: &[Anchor],
    max_side_px: f64,
    max_ratio: f64,
) {
    let points: Vec<delaunator::Point> = anchors
        .iter()
        .map(|a| delaunator::Point { x: a.x, y: a.y })
        .collect();
    let triangles = delaunator::triangulate(&points).triangles;
    let facets: Vec<Facet> = triangles
        .chunks_exact(3)
        .filter_map(|t| {
            facet(
                [anchors[t[0]], anchors[t[1]], anchors[t[2]]],
                max_side_px,
                max_ratio,
            )
        })
        .collect();
    // Facets by row, so that rows can be filled independently.
    let height = field.height;
    let mut by_row: Vec<Vec<u32>> = vec![Vec::new(); height];
    for (k, f) in facets.iter().enumerate() {
        let first = (f.y_min - 0.5).ceil().max(0.0) as usize;
        let last = (f.y_max - 0.5).floor();
        if last >= 0.0 {
            for rows in by_row
                .iter_mut()
                .take((last as usize + 1).min(height))
                .skip(first)
            {
                rows.push(k as u32);
            }
        }
    }
    let width = field.width;
    let [red, black] = &mut field.halves;
    red.rows
        .par_iter_mut()
        .zip(black.rows.par_iter_mut())
        .enumerate()
        .for_each(|(y, (red, black))| {
            let py = y as f64 + 0.5;
            for &k in &by_row[y] {
                let f = &facets[k as usize];
                let Some((from, to)) = f.span(py) else {
                    continue;
                };
                let first = (from - 0.5).ceil().max(0.0) as usize;
                let last = (to - 0.5).floor();
                if last < 0.0 {
                    continue;
                }
                for x in first..(last as usize + 1).min(width) {
                    let row = if (x + y) & 1 == 0 {
                        &mut *red
                    } else {
                        &mut *black
                    };
                    let at = super::half_field::ROW_PAD + x / 2;
                    row.q[at] = (f.q0 + f.gx * (x as f64 + 0.5) + f.gy * py) as f32;
                    row.gx[at] = f.gx as f32;
                    row.gy[at] = f.gy as f32;
                }
            }
        });
}

impl Facet {
    /// Least and greatest x on the line y.
    fn span(&self, y: f64) -> Option<(f64, f64)> {
        let (mut from, mut to) = (f64::MAX, f64::MIN);
        for k in 0..3 {
            let (a, b) = (self.corners[k], self.corners[(k + 1) % 3]);
            if (a[1] <= y) != (b[1] <= y) {
                let x = a[0] + (b[0] - a[0]) * (y - a[1]) / (b[1] - a[1]);
                from = from.min(x);
                to = to.max(x);
            }
        }
        (from <= to).then_some((from, to))
    }
}

fn facet(a: [Anchor; 3], max_side_px: f64, max_ratio: f64) -> Option<Facet> {
    let side = |i: usize, j: usize| (a[i].x - a[j].x).hypot(a[i].y - a[j].y);
    if side(0, 1).max(side(1, 2)).max(side(2, 0)) > max_side_px {
        return None;
    }
    let (low, high) = a.iter().fold((f64::MAX, f64::MIN), |(lo, hi), p| {
        (lo.min(p.q), hi.max(p.q))
    });
    if !(low > 0.0) || high / low > max_ratio {
        return None;
    }
    let (x1, y1, q1) = (a[1].x - a[0].x, a[1].y - a[0].y, a[1].q - a[0].q);
    let (x2, y2, q2) = (a[2].x - a[0].x, a[2].y - a[0].y, a[2].q - a[0].q);
    let det = x1 * y2 - x2 * y1;
    if det.abs() < 1e-6 {
        return None;
    }
    let gx = (q1 * y2 - q2 * y1) / det;
    let gy = (x1 * q2 - x2 * q1) / det;
    Some(Facet {
        corners: a.map(|p| [p.x, p.y]),
        q0: a[0].q - gx * a[0].x - gy * a[0].y,
        gx,
        gy,
        y_min: a[0].y.min(a[1].y).min(a[2].y),
        y_max: a[0].y.max(a[1].y).max(a[2].y),
    })
}

/// The most reliable pixel of each cell of the picture, where its cost is below
/// `max_cost`.
pub(crate) fn reliable_pixels(field: &Field, cell_px: usize, max_cost: f32) -> Vec<Anchor> {
    let (columns, rows) = (
        field.width.div_ceil(cell_px),
        field.height.div_ceil(cell_px),
    );
    (0..columns * rows)
        .into_par_iter()
        .filter_map(|cell| {
            let (cx, cy) = (cell % columns * cell_px, cell / columns * cell_px);
            let mut best: Option<(f32, Anchor)> = None;
            for y in cy..(cy + cell_px).min(field.height) {
                for x in cx..(cx + cell_px).min(field.width) {
                    let (row, at) = field.at(x, y);
                    let cost = row.cost[at];
                    if cost < max_cost && best.is_none_or(|(c, _)| cost < c) {
                        let anchor = Anchor {
                            x: x as f64 + 0.5,
                            y: y as f64 + 0.5,
                            q: f64::from(row.q[at]),
                        };
                        best = Some((cost, anchor));
                    }
                }
            }
            best.map(|(_, a)| a)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_comes_back_exactly() {
        let plane = |x: f64, y: f64| 0.5 + 0.001 * x - 0.002 * y;
        let anchors: Vec<Anchor> = [
            (0.0, 0.0),
            (40.0, 0.0),
            (0.0, 30.0),
            (40.0, 30.0),
            (17.0, 9.0),
        ]
        .map(|(x, y)| Anchor {
            x,
            y,
            q: plane(x, y),
        })
        .to_vec();
        let mut field = Field::new(40, 30);
        rasterise_planes(&mut field, &anchors, 100.0, 2.0);
        for y in 0..30 {
            for x in 0..40 {
                let (row, at) = field.at(x, y);
                let want = plane(x as f64 + 0.5, y as f64 + 0.5);
                assert!((f64::from(row.q[at]) - want).abs() < 1e-6, "{x} {y}");
                assert!((row.gx[at] - 0.001).abs() < 1e-7);
            }
        }
    }

    #[test]
    fn few_or_collinear_points_give_nothing() {
        let mut field = Field::new(8, 8);
        let at = |x: f64| Anchor { x, y: x, q: 1.0 };
        rasterise_planes(&mut field, &[at(1.0), at(2.0), at(3.0)], 100.0, 2.0);
        rasterise_planes(&mut field, &[at(1.0)], 100.0, 2.0);
        rasterise_planes(&mut field, &[], 100.0, 2.0);
        assert_eq!(field.at(2, 2).0.q[field.at(2, 2).1], 0.0);
    }
}
