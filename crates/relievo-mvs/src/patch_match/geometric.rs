//! Agreement of a hypothesis with the sources' maps of the pass before.
//!
//! ACMM (Xu & Tao, CVPR 2019), section 4.2: the pixel is carried into the
//! source by the hypothesis and back by the source's own depth; the distance to
//! where it started, in pixels, is the error.

use super::half_field::{F, Field, I, LANES, ROW_PAD, each, load, parity};
use super::level::{LaneSources, Level, Transfer};
use super::ncc::{Kernel, LaneWork, Warp};
use super::view_choice::MAX_SOURCES;
use rayon::prelude::*;
use relievo_scene::DepthMap;

/// Inverse depths of all sources, finest level; 0 = none.
#[derive(Debug)]
pub(crate) struct SourceDepths {
    values: Vec<f32>,
    count: usize,
    /// First value, width, last column and last row of each source.
    first: [i32; MAX_SOURCES],
    width: [i32; MAX_SOURCES],
    x_max: [i32; MAX_SOURCES],
    y_max: [i32; MAX_SOURCES],
}

impl SourceDepths {
    pub(crate) fn new(maps: &[&DepthMap]) -> Self {
        let maps = &maps[..maps.len().min(MAX_SOURCES)];
        let mut out = Self {
            values: Vec::new(),
            count: maps.len(),
            first: [0; MAX_SOURCES],
            width: [0; MAX_SOURCES],
            x_max: [0; MAX_SOURCES],
            y_max: [0; MAX_SOURCES],
        };
        for (v, map) in maps.iter().enumerate() {
            out.first[v] = out.values.len() as i32;
            out.width[v] = map.depth.width() as i32;
            out.x_max[v] = map.depth.width() as i32 - 1;
            out.y_max[v] = map.depth.height() as i32 - 1;
            out.values.par_extend(
                map.depth
                    .as_slice()
                    .par_iter()
                    .map(|&z| if z > 0.0 { 1.0 / z } else { 0.0 }),
            );
        }
        assert!(
            i32::try_from(out.values.len()).is_ok(),
            "the maps of the sources exceed a 31-bit index"
        );
        out
    }

    /// Forward-backward error in pixels; infinite without a depth there.
    #[inline(always)]
    pub(crate) fn errors(
        &self,
        kernel: Kernel,
        lanes: &LaneSources,
        warp: &Warp,
        source_idx: &I,
        (px, py): (&F, f32),
    ) -> F {
        let pick = |table| kernel.pick_i(table, source_idx);
        let (first, width) = (pick(&self.first), pick(&self.width));
        let (x_max, y_max) = (pick(&self.x_max), pick(&self.y_max));
        let mut at = [0; LANES];
        for l in 0..LANES {
            let (x, y) = (
                whole(warp.u[l]).min(x_max[l]),
                whole(warp.v[l]).min(y_max[l]),
            );
            at[l] = first[l] + y * width[l] + x;
        }
        let q: F = each(|l| self.values[at[l] as usize]);
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

    /// Number of sources whose map agrees with the inverse depth of each pixel
    /// within a pixel and a hundredth; row by row, anything where there is none.
    pub(crate) fn agreeing(&self, kernel: Kernel, level: &Level, field: &Field) -> Vec<u8> {
        let mut counts = vec![0; field.width * field.height];
        counts
            .par_chunks_mut(field.width)
            .enumerate()
            .for_each(|(y, counts)| {
                kernel.run(AgreeingRow {
                    depths: self,
                    level,
                    field,
                    y,
                    counts,
                });
            });
        counts
    }

    /// Adds the lanes that source `source_idx` agrees with.
    #[inline(always)]
    fn count_agreeing(
        &self,
        source_idx: usize,
        [forward, backward]: [&Transfer; 2],
        (px, py, q): (&F, f32, &F),
        counts: &mut I,
    ) {
        let start = self.first[source_idx] as usize;
        let (width, height) = (self.width[source_idx], self.y_max[source_idx] + 1);
        let (mut u, mut v, mut hz) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
        let (mut at, mut inside) = ([0_usize; LANES], [false; LANES]);
        for l in 0..LANES {
            let h = forward.apply(px[l], py, q[l]);
            (u[l], v[l], hz[l]) = (h[0] / h[2], h[1] / h[2], h[2]);
            inside[l] = (h[2] > 0.0)
                & (u[l] >= 0.0)
                & (v[l] >= 0.0)
                & (u[l] < width as f32)
                & (v[l] < height as f32);
        }
        for l in 0..LANES {
            let pixel = v[l] as usize * width as usize + u[l] as usize;
            at[l] = start + if inside[l] { pixel } else { 0 };
        }
        let there: F = each(|l| self.values[at[l]]);
        for l in 0..LANES {
            let there = there[l];
            let b = backward.apply(u[l], v[l], there);
            let (dx, dy) = (b[0] / b[2] - px[l], b[1] / b[2] - py);
            // z of the pixel in the source is h.z / q.
            let relative = (hz[l] * there / q[l] - 1.0).abs();
            let agrees = inside[l]
                & (there > 0.0)
                & (b[2] > 0.0)
                & (dx * dx + dy * dy < 1.0)
                & (relative < 0.01);
            counts[l] += i32::from(agrees);
        }
    }
}

/// One row of [`SourceDepths::agreeing`].
struct AgreeingRow<'a> {
    depths: &'a SourceDepths,
    level: &'a Level,
    field: &'a Field,
    y: usize,
    counts: &'a mut [u8],
}

impl LaneWork for AgreeingRow<'_> {
    #[inline(always)]
    fn run(self) {
        let py = self.y as f32 + 0.5;
        for half in &self.field.halves {
            let row = &half.rows[self.y];
            for block in 0..half.blocks {
                let x = parity(half.colour, self.y) + block * 2 * LANES;
                let px = each(|l| (x + 2 * l) as f32 + 0.5);
                let q: F = load(&row.q, ROW_PAD + block * LANES);
                let mut counts = [0; LANES];
                let count = self.depths.count;
                for (v, s) in self.level.sources.iter().enumerate().take(count) {
                    let ways = [&s.forward, &s.backward];
                    self.depths
                        .count_agreeing(v, ways, (&px, py, &q), &mut counts);
                }
                for (to, n) in self.counts.iter_mut().skip(x).step_by(2).zip(counts) {
                    *to = n as u8;
                }
            }
        }
    }
}

/// The whole part of 0 ≤ v < 2²², without the checks of a cast: rounding
/// v − ½ by adding 2²³ leaves it in the low bits (of v = 3 exactly, 2: a border is of both
/// pixels). Anything else gives anything.
#[inline(always)]
fn whole(v: f32) -> i32 {
    const ROUND: f32 = 8_388_608.0;
    // Below 2²³ there is half a bit more.
    (((v - 0.5).max(0.0) + ROUND).to_bits() & 0x003f_ffff) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_parts_are_right_from_the_first_pixel_on() {
        for k in 0..40_000_u16 {
            let v = f32::from(k) * 0.37;
            if v.fract() > 0.0 {
                assert_eq!(whole(v), v as i32, "{v}");
            }
        }
        for v in [0.0, 1e-6, 0.1, 0.24, 0.26, 0.49, 0.51, 0.99, 32_000.25] {
            assert_eq!(whole(v), v as i32, "{v}");
        }
        assert!([2, 3].contains(&whole(3.0)));
    }
}
