//! Agreement of a hypothesis with the sources' maps of the pass before.
//!
//! ACMM (Xu & Tao, CVPR 2019), section 4.2: the pixel is carried into the
//! source by the hypothesis and back by the source's own depth; the distance to
//! where it started, in pixels, is the error.

use super::half_field::{F, I, LANES};
use super::level::{LaneSources, Level};
use super::ncc::Warp;
use rayon::prelude::*;
use relievo_scene::DepthMap;

/// Inverse depths of all sources, finest level; 0 = none.
#[derive(Debug)]
pub(crate) struct SourceDepths {
    values: Vec<f32>,
    /// First value, width and height of each source.
    layout: Vec<(usize, usize, usize)>,
}

impl SourceDepths {
    pub(crate) fn new(maps: &[&DepthMap]) -> Self {
        let mut layout = Vec::with_capacity(maps.len());
        let mut values = Vec::new();
        for map in maps {
            layout.push((values.len(), map.depth.width(), map.depth.height()));
            values.par_extend(
                map.depth
                    .as_slice()
                    .par_iter()
                    .map(|&z| if z > 0.0 { 1.0 / z } else { 0.0 }),
            );
        }
        Self { values, layout }
    }

    /// Forward-backward error in pixels; infinite without a depth there.
    #[inline(always)]
    pub(crate) fn errors(
        &self,
        lanes: &LaneSources,
        warp: &Warp,
        source_idx: &I,
        px: &F,
        py: f32,
    ) -> F {
        let mut q = [0.0; LANES];
        for l in 0..LANES {
            let (start, width, height) = self.layout[source_idx[l] as usize];
            let x = whole(warp.u[l]).min(width as u32 - 1);
            let y = whole(warp.v[l]).min(height as u32 - 1);
            q[l] = self.values[start + (y as usize * width) + x as usize];
        }
        let (m, t) = (&lanes.back_m, &lanes.back_t);
        let mut out = [0.0; LANES];
        for l in 0..LANES {
            let (u, v) = (warp.u[l], warp.v[l]);
            let hx = m[0][l] * u + m[1][l] * v + m[2][l] + t[0][l] * q[l];
            let hy = m[3][l] * u + m[4][l] * v + m[5][l] + t[1][l] * q[l];
            let hz = m[6][l] * u + m[7][l] * v + m[8][l] + t[2][l] * q[l];
            let inv = 1.0 / hz;
            let (dx, dy) = (hx * inv - px[l], hy * inv - py);
            let error = (dx * dx + dy * dy).sqrt();
            // Behind the reference camera, or NaN: no agreement.
            let good = warp.inside[l] & (q[l] > 0.0) & (hz > 0.0) & (error < f32::MAX);
            out[l] = if good { error } else { f32::INFINITY };
        }
        out
    }

    /// Number of sources whose map agrees with inverse depth q of the pixel
    /// within a pixel and a hundredth.
    pub(crate) fn agreeing(&self, level: &Level, px: f32, py: f32, q: f32) -> usize {
        let mut count = 0;
        for (source, &(start, width, height)) in level.sources.iter().zip(&self.layout) {
            let h = source.forward.apply(px, py, q);
            let (u, v) = (h[0] / h[2], h[1] / h[2]);
            let inside = h[2] > 0.0 && u >= 0.0 && v >= 0.0;
            if !inside || u >= width as f32 || v >= height as f32 {
                continue;
            }
            let there = self.values[start + v as usize * width + u as usize];
            if !(there > 0.0) {
                continue;
            }
            let b = source.backward.apply(u, v, there);
            let (dx, dy) = (b[0] / b[2] - px, b[1] / b[2] - py);
            // z of the pixel in the source is h.z / q.
            let relative = (h[2] * there / q - 1.0).abs();
            if b[2] > 0.0 && dx * dx + dy * dy < 1.0 && relative < 0.01 {
                count += 1;
            }
        }
        count
    }
}

/// The whole part of 0 ≤ v < 2²², without the checks of a cast: rounding
/// v − ½ by adding 2²³ leaves it in the low bits. Anything else gives anything.
#[inline(always)]
fn whole(v: f32) -> u32 {
    const ROUND: f32 = 8_388_608.0;
    ((v - 0.5) + ROUND).to_bits() & 0x003f_ffff
}
