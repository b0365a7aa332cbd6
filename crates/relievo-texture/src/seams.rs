//! Where two photos meet: edges between charts of different views, and the
//! colour step across them.

use crate::adjacency::{Adjacency, NONE};
use crate::charts::{Chart, Layout};
use crate::plane::ViewPlane;
use rayon::prelude::*;
use relievo_image::Raster;
use relievo_scene::TriMesh;

/// Most samples along an edge.
const MOST_SAMPLES: usize = 96;

/// One side of a seam edge.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Side {
    pub(crate) face: u32,
    pub(crate) chart: u32,
    /// Texel positions in the chart of the edge's two ends.
    pub(crate) ends: [[f64; 2]; 2],
}

/// An edge whose faces take their colour from different photos.
#[derive(Clone, Debug)]
pub(crate) struct Seam {
    /// Vertices of the two ends.
    pub(crate) vertices: [u32; 2],
    pub(crate) sides: [Side; 2],
    /// Colour of side 1 less that of side 0 at evenly spaced points from end
    /// to end, ends included; sRGB 0 … 255 after the views' gains.
    pub(crate) step: Vec<[f32; 3]>,
}

/// Finds the seams and measures their steps on the baked pages.
pub(crate) fn find_seams(
    mesh: &TriMesh,
    adjacency: &Adjacency,
    layout: &Layout,
    planes: &[ViewPlane],
    gains: &[[f32; 3]],
    pages: &[Raster<[u8; 3]>],
    padding: u32,
) -> Vec<Seam> {
    (0..mesh.triangles.len())
        .into_par_iter()
        .with_min_len(4096)
        .flat_map_iter(|f| (0..3).map(move |k| (f, k)))
        .filter_map(|(f, k)| {
            let g = adjacency.across[f][k];
            if g == NONE || (g as usize) < f {
                return None;
            }
            let (a, b) = (layout.chart_of[f], layout.chart_of[g as usize]);
            if a == NONE || b == NONE {
                return None;
            }
            let (ca, cb) = (&layout.charts[a as usize], &layout.charts[b as usize]);
            if ca.view == cb.view {
                return None;
            }
            let t = mesh.triangles[f];
            let vertices = [t[k], t[(k + 1) % 3]];
            let side = |face: u32, chart: u32, c: &Chart| Side {
                face,
                chart,
                ends: vertices.map(|v| {
                    let plane = &planes[c.view as usize];
                    let q = plane.to_camera(mesh.positions[v as usize]);
                    c.texel(plane.plane_px(&q), padding)
                }),
            };
            let sides = [side(f as u32, a, ca), side(g, b, cb)];
            let length = sides
                .iter()
                .map(|s| (s.ends[1][0] - s.ends[0][0]).hypot(s.ends[1][1] - s.ends[0][1]))
                .fold(0.0, f64::max);
            let n = (length.ceil() as usize + 1).clamp(2, MOST_SAMPLES);
            let colors = |s: &Side, c: &Chart| -> Vec<[f32; 3]> {
                let gain = gains[c.view as usize];
                (0..n)
                    .map(|i| {
                        let at = point(s, i as f64 / (n - 1) as f64);
                        let raw = sample(&pages[usize::from(c.place.page)], c, at);
                        std::array::from_fn(|k| raw[k] * gain[k])
                    })
                    .collect()
            };
            let (x, y) = (colors(&sides[0], ca), colors(&sides[1], cb));
            Some(Seam {
                vertices,
                sides,
                step: x
                    .iter()
                    .zip(&y)
                    .map(|(x, y)| std::array::from_fn(|k| y[k] - x[k]))
                    .collect(),
            })
        })
        .collect()
}

/// Texel position in the chart at parameter t of the edge.
pub(crate) fn point(side: &Side, t: f64) -> [f64; 2] {
    std::array::from_fn(|k| side.ends[0][k] + t * (side.ends[1][k] - side.ends[0][k]))
}

/// Bilinear colour inside a chart's rectangle.
fn sample(page: &Raster<[u8; 3]>, chart: &Chart, at: [f64; 2]) -> [f32; 3] {
    let limit = [chart.size.0, chart.size.1];
    let start = [chart.place.x as usize, chart.place.y as usize];
    let place = |k: usize| {
        let t = (at[k] - 0.5).clamp(0.0, f64::from(limit[k] - 1));
        let i = t as usize;
        let j = (i + 1).min(limit[k] as usize - 1);
        (start[k] + i, start[k] + j, (t - i as f64) as f32)
    };
    let (x0, x1, fx) = place(0);
    let (y0, y1, fy) = place(1);
    let get = |x, y| page[(x, y)].map(f32::from);
    let (a, b, c, d) = (get(x0, y0), get(x1, y0), get(x0, y1), get(x1, y1));
    std::array::from_fn(|k| {
        let top = a[k] + (b[k] - a[k]) * fx;
        let bottom = c[k] + (d[k] - c[k]) * fx;
        top + (bottom - top) * fy
    })
}

/// Root mean square step over all samples and channels, with the corrections
/// that `correction(chart side, end)` gives at the ends.
pub(crate) fn rms_step(
    seams: &[Seam],
    correction: impl Fn(&Seam, usize, usize) -> [f64; 3],
) -> f64 {
    let (mut sum, mut n) = (0.0, 0_usize);
    for seam in seams {
        let ends: [[[f64; 3]; 2]; 2] =
            std::array::from_fn(|s| std::array::from_fn(|e| correction(seam, s, e)));
        let last = (seam.step.len() - 1) as f64;
        for (i, d) in seam.step.iter().enumerate() {
            let t = i as f64 / last;
            for k in 0..3 {
                let at = |s: usize| ends[s][0][k] * (1.0 - t) + ends[s][1][k] * t;
                let r = f64::from(d[k]) + at(1) - at(0);
                sum += r * r;
                n += 1;
            }
        }
    }
    if n == 0 { 0.0 } else { (sum / n as f64).sqrt() }
}
