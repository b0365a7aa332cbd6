//! The Gaussian levels of one octave, produced row by row in ring buffers.
//!
//! Level i has sigma σ₀·2^(i/S) in pixels of the octave, i = 0 … S + 2; each
//! is blurred from the one before it. Only a window of rows is held, so that
//! the working set of an octave is some tens of rows a level, not the photo.
//! Beyond the border the border pixel repeats.

use crate::blur::{self, LANES, LINE, ROWS, half_taps, row_weights};
use crate::simd::InstructionSet;
use std::ops::{Deref, DerefMut};

/// Rows advanced at a time. The rows that a level is blurred from are read once in a
/// block from the distant cache, and from the near one again for each [`ROWS`] of it.
pub(crate) const BLOCK: usize = 16;
/// Rows held on both sides of a block, for the moves of the refinement and the
/// 5 × 5 samples at its end.
pub(crate) const MARGIN: usize = 7;

/// Floats whose first one begins a cache line, so that no register's load crosses two.
struct Aligned {
    data: Vec<f32>,
    start: usize,
}

impl Aligned {
    fn zeros(len: usize) -> Self {
        let data = vec![0.0_f32; len + LINE];
        // Where no place is found, it is slower and nothing else.
        let start = data.as_ptr().align_offset(LINE * size_of::<f32>());
        let start = if start <= LINE { start } else { 0 };
        Self { data, start }
    }
}

impl Deref for Aligned {
    type Target = [f32];

    #[inline]
    fn deref(&self) -> &[f32] {
        &self.data[self.start..]
    }
}

impl DerefMut for Aligned {
    #[inline]
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.data[self.start..]
    }
}

struct Stage {
    /// Empty for the source.
    taps: Vec<f32>,
    weights: Vec<[f32; ROWS]>,
    ring: Aligned,
    rows: usize,
    done: usize,
}

/// Rolling rows of all Gaussian levels of one octave.
pub(crate) struct ScaleSpace {
    width: usize,
    height: usize,
    stride: usize,
    pad: usize,
    stages: Vec<Stage>,
    first_level: usize,
    padded: [Aligned; ROWS],
    set: InstructionSet,
}

/// Which blurs make the levels of an octave.
pub(crate) struct Blurs {
    /// Sigma that takes the source to level 0; `None` where it is level 0.
    pub(crate) source: Option<f64>,
    /// Sigma of level 0.
    pub(crate) sigma0: f64,
    /// Scales per octave, S.
    pub(crate) scales: usize,
}

impl ScaleSpace {
    /// For a source of `width × height` pixels.
    pub(crate) fn new(width: usize, height: usize, blurs: &Blurs, set: InstructionSet) -> Self {
        let mut sigmas: Vec<f64> = blurs.source.into_iter().collect();
        let k = 2.0_f64.powf(1.0 / blurs.scales as f64);
        for i in 1..blurs.scales + 3 {
            let before = blurs.sigma0 * k.powi(i as i32 - 1);
            sigmas.push(before * (k * k - 1.0).sqrt());
        }
        // The search reads one chunk of columns beyond the width. An odd number of lanes, so that rows do not meet in the sets of a cache.
        let stride = ((width + 64).div_ceil(LANES) | 1) * LANES;
        let mut rows = BLOCK + 2 * MARGIN + ROWS;
        let mut stages: Vec<Stage> = Vec::new();
        for taps in sigmas.iter().rev().map(|&s| half_taps(s)) {
            let radius = taps.len() - 1;
            stages.push(Stage {
                weights: row_weights(&taps),
                taps,
                ring: Aligned::zeros(rows * stride),
                rows,
                done: 0,
            });
            rows += radius + ROWS;
        }
        stages.push(Stage {
            taps: Vec::new(),
            weights: Vec::new(),
            ring: Aligned::zeros(rows * stride),
            rows,
            done: 0,
        });
        stages.reverse();
        let most = stages.iter().map(|s| s.taps.len()).max().unwrap_or(1);
        let pad = most.next_multiple_of(LANES);
        Self {
            width,
            height,
            stride,
            pad,
            first_level: usize::from(blurs.source.is_some()),
            stages,
            padded: std::array::from_fn(|_| Aligned::zeros(stride + 2 * pad)),
            set,
        }
    }

    /// Length of a row, columns beyond the width included.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// Makes rows up to `rows` (exclusive, cut to the height) of every level.
    /// `source(y, row)` writes row y of the source, each y once, in order.
    pub(crate) fn advance(&mut self, rows: usize, source: &mut dyn FnMut(usize, &mut [f32])) {
        let last = self.stages.len() - 1;
        self.advance_stage(last, rows.min(self.height), source);
    }

    fn advance_stage(
        &mut self,
        stage: usize,
        rows: usize,
        source: &mut dyn FnMut(usize, &mut [f32]),
    ) {
        if stage == 0 {
            let s = &mut self.stages[0];
            while s.done < rows {
                let at = (s.done % s.rows) * self.stride;
                source(s.done, &mut s.ring[at..at + self.width]);
                s.done += 1;
            }
            return;
        }
        let rows = rows.next_multiple_of(ROWS).min(self.height);
        let radius = self.stages[stage].taps.len() - 1;
        self.advance_stage(stage - 1, (rows + radius).min(self.height), source);
        while self.stages[stage].done < rows {
            self.blur_rows(stage, radius);
        }
    }

    /// The next [`ROWS`] rows of a stage, fewer at the end.
    fn blur_rows(&mut self, stage: usize, radius: usize) {
        let (before, after) = self.stages.split_at_mut(stage);
        let (from, to) = (&before[stage - 1], &mut after[0]);
        let y0 = to.done;
        let rows: Vec<&[f32]> = (0..2 * radius + ROWS)
            .map(|i| {
                let y = (y0 + i).saturating_sub(radius).min(self.height - 1);
                let at = (y % from.rows) * self.stride;
                &from.ring[at..at + self.stride]
            })
            .collect();
        let (pad, width, stride) = (self.pad, self.width, self.stride);
        let out = self.padded.each_mut().map(|p| &mut p[pad..pad + stride]);
        blur::vertical(self.set, &rows, &to.weights, out);
        for padded in self.padded.iter_mut().take(self.height - y0) {
            let (left, right) = (padded[pad], padded[pad + width - 1]);
            padded[pad - radius..pad].fill(left);
            padded[pad + width..].fill(right);
            let at = (to.done % to.rows) * stride;
            let out = &mut to.ring[at..at + stride];
            blur::horizontal(self.set, padded, pad, &to.taps, out);
            to.done += 1;
        }
    }

    /// Row y of a level; it must lie in the window that is held.
    #[inline]
    pub(crate) fn row(&self, level: usize, y: usize) -> &[f32] {
        let stage = &self.stages[level + self.first_level];
        debug_assert!(y < stage.done && y + stage.rows >= stage.done);
        let at = (y % stage.rows) * self.stride;
        &stage.ring[at..at + self.stride]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use relievo_task::Isa;

    #[test]
    fn a_blob_grows_as_the_levels_say() {
        let (w, h, sigma) = (70, 90, 3.0_f64);
        let blurs = Blurs {
            source: Some(1.5),
            sigma0: 1.6,
            scales: 3,
        };
        let mut space = ScaleSpace::new(w, h, &blurs, InstructionSet::choose(Isa::Native));
        let blob = |x: f64, y: f64, s: f64| {
            (sigma / s).powi(2) * (-((x - 35.0).powi(2) + (y - 45.0).powi(2)) / (2.0 * s * s)).exp()
        };
        let mut source = |y: usize, row: &mut [f32]| {
            for (x, v) in row.iter_mut().enumerate() {
                *v = blob(x as f64, y as f64, sigma) as f32;
            }
        };
        // The source is taken to have a blur of its own: 1.6² − 1.5².
        let own = 1.6 * 1.6 - 1.5 * 1.5;
        for y0 in (0..h).step_by(BLOCK) {
            space.advance(y0 + BLOCK + MARGIN, &mut source);
            for y in y0..(y0 + BLOCK).min(h) {
                for level in 0..6 {
                    let t = (1.6 * 2.0_f64.powf(level as f64 / 3.0)).powi(2) - own;
                    let s = (sigma * sigma + t).sqrt();
                    for x in (0..w).step_by(7) {
                        let want = blob(x as f64, y as f64, s);
                        let got = f64::from(space.row(level, y)[x]);
                        assert!((want - got).abs() < 1e-3, "{level} {x} {y} {want} {got}");
                    }
                }
            }
        }
    }
}
