//! Hypotheses of one colour of the red-black grid.
//!
//! Red pixels are those with x + y even. The two colours live in two fields, so
//! that a half-iteration reads one and writes the other, whatever the threads
//! do; and 16 consecutive pixels of one colour are 16 consecutive floats.

use rayon::prelude::*;

/// Pixels handled together.
pub(crate) const LANES: usize = 16;
/// One value per lane.
pub(crate) type F = [f32; LANES];
/// One integer per lane.
pub(crate) type I = [i32; LANES];
/// One word per lane.
pub(crate) type U = [u32; LANES];

/// Entries before and after a row: the farthest propagation sample is 23 px
/// away, 12 entries.
pub(crate) const ROW_PAD: usize = LANES;

/// Cost of no hypothesis at all.
pub(crate) const NO_COST: f32 = 3.0;

/// `of(0)`, `of(1)`, …: what [`std::array::from_fn`] does, but always compiled into
/// the caller and for its instruction set.
#[inline(always)]
pub(crate) fn each<T: Copy + Default, const N: usize>(of: impl Fn(usize) -> T) -> [T; N] {
    let mut out = [T::default(); N];
    for (k, to) in out.iter_mut().enumerate() {
        *to = of(k);
    }
    out
}

/// Planes q + gx·Δx + gy·Δy of inverse depth around each pixel's centre.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planes {
    pub(crate) q: F,
    pub(crate) gx: F,
    pub(crate) gy: F,
}

impl Planes {
    pub(crate) const ZERO: Self = Self {
        q: [0.0; LANES],
        gx: [0.0; LANES],
        gy: [0.0; LANES],
    };

    /// `other` where `take`, else `self`.
    #[inline(always)]
    pub(crate) fn replace(&mut self, take: &[bool; LANES], other: &Self) {
        for l in 0..LANES {
            self.q[l] = if take[l] { other.q[l] } else { self.q[l] };
            self.gx[l] = if take[l] { other.gx[l] } else { self.gx[l] };
            self.gy[l] = if take[l] { other.gy[l] } else { self.gy[l] };
        }
    }
}

/// One row of one colour; entry `ROW_PAD + i` is pixel x = 2 i + parity.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) q: Vec<f32>,
    pub(crate) gx: Vec<f32>,
    pub(crate) gy: Vec<f32>,
    pub(crate) cost: Vec<f32>,
    /// Bit v: source v was chosen.
    pub(crate) chosen: Vec<u32>,
    /// Costs of the present planes in every source, photometric and geometric,
    /// block by block; empty where they are not known.
    pub(crate) by_source: Vec<[F; 2]>,
}

impl Row {
    fn new(blocks: usize) -> Self {
        let n = blocks * LANES + 2 * ROW_PAD;
        Self {
            q: vec![0.0; n],
            gx: vec![0.0; n],
            gy: vec![0.0; n],
            cost: vec![NO_COST; n],
            chosen: vec![0; n],
            by_source: Vec::new(),
        }
    }

    /// The 16 planes from entry `at`.
    #[inline(always)]
    pub(crate) fn planes(&self, at: usize) -> Planes {
        Planes {
            q: load(&self.q, at),
            gx: load(&self.gx, at),
            gy: load(&self.gy, at),
        }
    }

    #[inline(always)]
    pub(crate) fn store(&mut self, at: usize, planes: &Planes, cost: &F, chosen: &U) {
        self.q[at..at + LANES].copy_from_slice(&planes.q);
        self.gx[at..at + LANES].copy_from_slice(&planes.gx);
        self.gy[at..at + LANES].copy_from_slice(&planes.gy);
        self.cost[at..at + LANES].copy_from_slice(cost);
        self.chosen[at..at + LANES].copy_from_slice(chosen);
    }
}

/// 16 values from `at`.
#[inline(always)]
pub(crate) fn load<T: Copy + Default>(values: &[T], at: usize) -> [T; LANES] {
    let mut out = [T::default(); LANES];
    out.copy_from_slice(&values[at..at + LANES]);
    out
}

/// All rows of one colour (0 = red: x + y even, 1 = black).
#[derive(Clone, Debug)]
pub(crate) struct HalfField {
    pub(crate) colour: usize,
    pub(crate) rows: Vec<Row>,
    /// Blocks of 16 entries in a row.
    pub(crate) blocks: usize,
}

impl HalfField {
    pub(crate) fn new(width: usize, height: usize, colour: usize) -> Self {
        let blocks = width.div_ceil(2).div_ceil(LANES);
        Self {
            colour,
            rows: vec![Row::new(blocks); height],
            blocks,
        }
    }
}

/// x of the first pixel of `colour` in row y.
#[inline(always)]
pub(crate) fn parity(colour: usize, y: usize) -> usize {
    (colour + y) & 1
}

/// Both colours.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) halves: [HalfField; 2],
}

impl Field {
    pub(crate) fn new(width: usize, height: usize) -> Self {
        Self {
            width,
            height,
            halves: [
                HalfField::new(width, height, 0),
                HalfField::new(width, height, 1),
            ],
        }
    }

    /// Where pixel (x, y) stands: its row and the entry in it.
    #[inline(always)]
    pub(crate) fn at(&self, x: usize, y: usize) -> (&Row, usize) {
        let colour = (x + y) & 1;
        (&self.halves[colour].rows[y], ROW_PAD + x / 2)
    }

    /// Calls `f(x, y, row, entry)` for every pixel, rows in parallel.
    pub(crate) fn par_pixels(&mut self, f: impl Fn(usize, usize, &mut Row, usize) + Sync) {
        let width = self.width;
        for half in &mut self.halves {
            let colour = half.colour;
            half.rows.par_iter_mut().enumerate().for_each(|(y, row)| {
                for x in (parity(colour, y)..width).step_by(2) {
                    f(x, y, row, ROW_PAD + x / 2);
                }
            });
        }
    }
}
