//! Bilateral-weighted NCC of 16 reference pixels at once, one per lane.
//!
//! Per tap: position in 16.16 fixed point, one load of a 2 × 2 sample,
//! bilinear interpolation in integers with 8-bit fractions (f and 255 − f, which one
//! shuffle of bytes gives), three weighted sums in f32. The patch moves by an affine map; over 9 px the second-order part
//! of the plane's homography is below 0.01 px.
//!
//! Portable and SIMD kernels share everything up to the order and fusing of the
//! float sums: costs agree within 2e-3 (tested).

use super::half_field::{F, I, LANES, each};
use super::packed_image::{Arena, PAD, PaddedBytes, Target};
use super::view_choice::MAX_SOURCES;
#[cfg(target_arch = "x86_64")]
use super::{ncc_avx2, ncc_avx512};

/// Taps of a patch: 5 × 5 without the corners, stride 2.
pub(crate) const TAPS: usize = 21;

/// Rows of the patch: Δy, first Δx, number of taps (stride 2).
pub(crate) const TAP_ROWS: [(i32, i32, usize); 5] =
    [(-4, -2, 3), (-2, -4, 5), (0, -4, 5), (2, -4, 5), (4, -2, 3)];

/// Taps lie nearer than this to the patch's centre, on either axis.
pub(crate) const REACH: i32 = 5;

/// Farthest a warped tap may lie from the patch's centre, on either axis.
pub(crate) const MAX_EXTENT: f32 = 18.0;

/// The weights of a sample add up to this on each axis.
const WHOLE: i32 = 255;
/// Values are grey levels × 255² inside the kernel.
const UNIT: f32 = 1.0 / (WHOLE * WHOLE) as f32;

/// The second byte of each of four words, four times, as a shuffle of bytes takes it.
#[cfg(target_arch = "x86_64")]
pub(crate) const FOUR: [i32; 4] = [0x0101_0101, 0x0505_0505, 0x0909_0909, 0x0d0d_0d0d];
/// Twice, with zeros between.
#[cfg(target_arch = "x86_64")]
pub(crate) const TWO: [i32; 4] = [
    0x8001_8001_u32 as i32,
    0x8005_8005_u32 as i32,
    0x8009_8009_u32 as i32,
    0x800d_800d_u32 as i32,
];

/// Weights and values of 16 reference patches, a row a cache line.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Patch {
    /// Bilateral weights; they sum to 1.
    pub(crate) w: [F; TAPS],
    /// Weight × (grey − grey of the centre).
    pub(crate) wr: [F; TAPS],
    /// (Grey of the centre − 128) × 255².
    pub(crate) center: I,
    /// Weighted mean of grey − centre.
    pub(crate) mean: F,
    /// Weighted variance.
    pub(crate) variance: F,
}

/// The bilateral weight as a product of three numbers: exp(−|Δgrey| / 2 σ_c) is one for the
/// four high bits of |Δgrey| and one for the low ones, which a register holds each.
#[derive(Debug)]
pub(crate) struct BilateralWeights {
    high_bits: F,
    low_bits: F,
    by_tap: [f32; TAPS],
}

impl BilateralWeights {
    /// exp(−|Δgrey| / (2 σ_c)) · exp(−Δ² / (2 σ_s²)), as in ACMM's code.
    pub(crate) fn new(sigma_color: f32, sigma_space_px: f32) -> Self {
        let by_difference = |d: usize| (-(d as f32) / (2.0 * sigma_color.max(1e-3))).exp();
        let mut by_tap = [0.0; TAPS];
        let mut k = 0;
        for (dy, first, n) in TAP_ROWS {
            for i in 0..n {
                let dx = first + 2 * i as i32;
                let s = sigma_space_px.max(1e-3);
                by_tap[k] = (-((dx * dx + dy * dy) as f32) / (2.0 * s * s)).exp();
                k += 1;
            }
        }
        Self {
            high_bits: each(|k| by_difference(16 * k)),
            low_bits: each(by_difference),
            by_tap,
        }
    }
}

/// Every other one of 32 bytes.
#[inline(always)]
fn every_other(bytes: &[u8]) -> I {
    let mut out = [0; LANES];
    for (to, two) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
        *to = i32::from(u16::from_le_bytes(*two) & 0xff);
    }
    out
}

impl Patch {
    pub(crate) const ZERO: Self = Self {
        w: [[0.0; LANES]; TAPS],
        wr: [[0.0; LANES]; TAPS],
        center: [0; LANES],
        mean: [0.0; LANES],
        variance: [0.0; LANES],
    };

    /// Patches around pixels x, x + 2, …, x + 30 of row y.
    #[inline(always)]
    pub(crate) fn load(
        &mut self,
        kernel: Kernel,
        image: &PaddedBytes,
        x: usize,
        y: usize,
        weights: &BilateralWeights,
    ) {
        let middle = &image.data[(y + PAD) * image.stride + x + PAD..][..2 * LANES];
        let c = every_other(middle);
        for l in 0..LANES {
            self.center[l] = (c[l] - 128) * WHOLE * WHOLE;
        }
        let mut sum_w = [0.0_f32; LANES];
        let mut sum_wr = [0.0_f32; LANES];
        let mut sum_wrr = [0.0_f32; LANES];
        let mut k = 0;
        for (dy, first, n) in TAP_ROWS {
            let row = (y + PAD).wrapping_add_signed(dy as isize) * image.stride;
            for i in 0..n {
                let dx = first + 2 * i as i32;
                let at = (row + x + PAD).wrapping_add_signed(dx as isize);
                let values = every_other(&image.data[at..][..2 * LANES]);
                let d: I = each(|l| values[l] - c[l]);
                let high = kernel.permute(&weights.high_bits, &each(|l| d[l].abs() >> 4));
                let low = kernel.permute(&weights.low_bits, &each(|l| d[l].abs() & 15));
                for l in 0..LANES {
                    let w = weights.by_tap[k] * high[l] * low[l];
                    let r = d[l] as f32;
                    self.w[k][l] = w;
                    self.wr[k][l] = w * r;
                    sum_w[l] += w;
                    sum_wr[l] += w * r;
                    sum_wrr[l] += w * r * r;
                }
                k += 1;
            }
        }
        for l in 0..LANES {
            // The weights are positive: at least exp(-255 / 2σ) each.
            sum_w[l] = 1.0 / sum_w[l].max(1e-30);
            self.mean[l] = sum_wr[l] * sum_w[l];
            self.variance[l] = (sum_wrr[l] * sum_w[l] - self.mean[l] * self.mean[l]).max(0.0);
        }
        for k in 0..TAPS {
            for l in 0..LANES {
                self.w[k][l] *= sum_w[l];
                self.wr[k][l] *= sum_w[l];
            }
        }
    }
}

/// Where 16 patches fall in their sources.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Warp {
    /// Patch centre, pixels of the source (0.5 = centre of the first pixel).
    pub(crate) u: F,
    pub(crate) v: F,
    /// ∂(u, v)/∂x and ∂(u, v)/∂y.
    pub(crate) ux: F,
    pub(crate) vx: F,
    pub(crate) uy: F,
    pub(crate) vy: F,
    /// False: outside of the source, seen from behind or too distorted.
    pub(crate) inside: [bool; LANES],
}

/// Weighted sums over the taps, value = (sample − centre) × 255².
#[derive(Debug)]
pub(crate) struct Sums {
    /// Σ w s
    pub(crate) s: F,
    /// Σ w s²
    pub(crate) ss: F,
    /// Σ w r s
    pub(crate) rs: F,
}

/// Which kernel runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernel {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// Work made of loops over lanes, to be compiled once per instruction set;
/// `run` must be `#[inline(always)]`, down to the loops.
pub(crate) trait LaneWork {
    fn run(self);
}

impl Kernel {
    /// Runs `work` compiled for this kernel's instruction set.
    #[inline(always)]
    pub(crate) fn run<W: LaneWork>(self, work: W) {
        match self {
            Self::Portable => work.run(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => ncc_avx2::run(work),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => ncc_avx512::run(work),
        }
    }

    /// `table[idx[l]]` of each lane.
    #[inline(always)]
    pub(crate) fn pick(self, table: &[f32; MAX_SOURCES], idx: &I) -> F {
        #[cfg(target_arch = "x86_64")]
        match self {
            Self::Avx2 => return ncc_avx2::pick(table, idx),
            Self::Avx512 => return ncc_avx512::pick(table, idx),
            Self::Portable => {}
        }
        each(|l| table[idx[l] as usize % MAX_SOURCES])
    }

    /// `values[idx[l]]` of each lane.
    #[inline(always)]
    pub(crate) fn permute(self, values: &F, idx: &I) -> F {
        #[cfg(target_arch = "x86_64")]
        match self {
            Self::Avx2 => return ncc_avx2::permute(values, idx),
            Self::Avx512 => return ncc_avx512::permute(values, idx),
            Self::Portable => {}
        }
        each(|l| values[idx[l] as usize % LANES])
    }

    /// `table[idx[l]]` of each lane.
    #[inline(always)]
    pub(crate) fn pick_i(self, table: &[i32; MAX_SOURCES], idx: &I) -> I {
        #[cfg(target_arch = "x86_64")]
        match self {
            Self::Avx2 => return ncc_avx2::pick_i(table, idx),
            Self::Avx512 => return ncc_avx512::pick_i(table, idx),
            Self::Portable => {}
        }
        each(|l| table[idx[l] as usize % MAX_SOURCES])
    }

    /// The best that the processor has, or the portable one.
    pub(crate) fn detect(isa: relievo_task::Isa) -> Self {
        #[cfg(target_arch = "x86_64")]
        if isa == relievo_task::Isa::Native {
            if ncc_avx512::available() {
                return Self::Avx512;
            }
            if ncc_avx2::available() {
                return Self::Avx2;
            }
        }
        let _ = isa;
        Self::Portable
    }
}

/// 1 − NCC per lane, 0 … 2; 2 where the warp is not inside.
///
/// `target` must be of `arena`. `noise` is added to both variances, so that
/// flat patches score near 1.
#[inline(always)]
pub(crate) fn ncc_cost(
    kernel: Kernel,
    patch: &Patch,
    warp: &Warp,
    target: &Target,
    arena: &Arena,
    noise: f32,
) -> F {
    let sums = match kernel {
        Kernel::Portable => sums_portable(patch, warp, target, arena),
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx2 => ncc_avx2::sums(patch, warp, target, arena),
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx512 => ncc_avx512::sums(patch, warp, target, arena),
    };
    let mut cost = [0.0; LANES];
    for l in 0..LANES {
        let mean = sums.s[l] * UNIT;
        let variance = (sums.ss[l] * (UNIT * UNIT) - mean * mean).max(0.0);
        let covariance = sums.rs[l] * UNIT - mean * patch.mean[l];
        let ncc = covariance / ((variance + noise) * (patch.variance[l] + noise)).sqrt();
        let c = 1.0 - ncc;
        let c = if c > 0.0 { c } else { 0.0 };
        let good = warp.inside[l] & (c < 2.0);
        cost[l] = if good { c } else { 2.0 };
    }
    cost
}

/// Added to a position in pixels: from the picture to the arena, and from the
/// centre of the first pixel to its corner.
pub(crate) const ORIGIN: f32 = PAD as f32 - 0.5;

/// Pixels to 16.16.
pub(crate) const FIXED: f32 = 65536.0;

/// The portable kernel.
///
/// Positions are cut to what the arena holds, and a patch that is larger than
/// the padding shrinks to a point: both happen only to lanes that are not
/// inside, and keep every index in bounds whatever the input.
pub(crate) fn sums_portable(patch: &Patch, warp: &Warp, target: &Target, arena: &Arena) -> Sums {
    let mut sums = Sums {
        s: [0.0; LANES],
        ss: [0.0; LANES],
        rs: [0.0; LANES],
    };
    let stride = arena.stride() as i32;
    let pairs = arena.pairs();
    let fixed = |v: &F, origin: f32| v.map(|v| ((v + origin) * FIXED) as i32);
    let (x0, y0) = (fixed(&warp.u, ORIGIN), fixed(&warp.v, ORIGIN));
    let (ax, ay) = (fixed(&warp.ux, 0.0), fixed(&warp.vx, 0.0));
    let (bx, by) = (fixed(&warp.uy, 0.0), fixed(&warp.vy, 0.0));
    for l in 0..LANES {
        let x0 = x0[l].clamp(Arena::MIN, arena.x_max());
        let y0 = y0[l].clamp(Arena::MIN, target.y_max[l]);
        let fits = |a: i32, b: i32| {
            let extent = a.unsigned_abs().max(b.unsigned_abs()) < (1 << 20)
                && REACH * (a.abs() + b.abs()) <= Arena::MIN;
            if extent { (a, b) } else { (0, 0) }
        };
        let ((ax, bx), (ay, by)) = (fits(ax[l], bx[l]), fits(ay[l], by[l]));
        let mut k = 0;
        for (dy, first, n) in TAP_ROWS {
            for i in 0..n {
                let dx = first + 2 * i as i32;
                let x = x0 + dx * ax + dy * bx;
                let y = y0 + dx * ay + dy * by;
                let at = (target.base[l] + (y >> 16) * stride + (x >> 16)) as usize;
                let (fx, fy) = ((x >> 8) & WHOLE, (y >> 8) & WHOLE);
                let column = |at: usize| {
                    let [top, bottom] = pairs[at].map(|b| i32::from(b as i8));
                    top * (WHOLE - fy) + bottom * fy
                };
                let value = column(at) * (WHOLE - fx) + column(at + 1) * fx - patch.center[l];
                let s = value as f32;
                let ws = patch.w[k][l] * s;
                sums.s[l] += ws;
                sums.ss[l] += ws * s;
                sums.rs[l] += patch.wr[k][l] * s;
                k += 1;
            }
        }
    }
    sums
}

/// All that this processor can run.
#[cfg(test)]
pub(crate) fn kernels() -> Vec<Kernel> {
    let mut all = vec![Kernel::Portable];
    #[cfg(target_arch = "x86_64")]
    {
        if ncc_avx2::available() {
            all.push(Kernel::Avx2);
        }
        if ncc_avx512::available() {
            all.push(Kernel::Avx512);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use relievo_image::Raster;

    fn picture(width: usize, height: usize, phase: f32) -> Raster<u8> {
        Raster::from_fn(width, height, |x, y| {
            let (x, y) = (x as f32 + phase, y as f32);
            (128.0
                + 60.0 * (x * 0.31).sin() * (y * 0.23 + 0.4).cos()
                + 40.0 * (x * 0.11 + y * 0.2).sin()) as u8
        })
    }

    fn still() -> Warp {
        Warp {
            u: std::array::from_fn(|l| 20.5 + 2.0 * l as f32),
            v: [30.5; LANES],
            ux: [1.0; LANES],
            vx: [0.0; LANES],
            uy: [0.0; LANES],
            vy: [1.0; LANES],
            inside: [true; LANES],
        }
    }

    fn loaded(image: &Raster<u8>) -> Patch {
        let mut patch = Patch::ZERO;
        let weights = BilateralWeights::new(9.0, 5.0);
        patch.load(Kernel::Portable, &PaddedBytes::new(image), 20, 30, &weights);
        patch
    }

    #[test]
    fn a_patch_matches_itself_and_not_its_negative() {
        let image = picture(90, 70, 0.0);
        let negative = image.map(|v| 255 - v);
        let patch = loaded(&image);
        let arena = Arena::new(&[image, negative]);
        for kernel in kernels() {
            let same = ncc_cost(kernel, &patch, &still(), &arena.target(0), &arena, 0.01);
            let other = ncc_cost(kernel, &patch, &still(), &arena.target(1), &arena, 0.01);
            assert!(same.iter().all(|c| *c < 1e-3), "{kernel:?} {same:?}");
            assert!(other.iter().all(|c| *c > 1.99), "{kernel:?} {other:?}");
        }
    }

    #[test]
    fn kernels_agree_and_stay_in_bounds_whatever_the_warp() {
        let image = picture(90, 70, 0.0);
        let patch = loaded(&image);
        let arena = Arena::new(&[picture(80, 60, 1.7), picture(90, 70, 4.0)]);
        let bad = [f32::NAN, f32::INFINITY, -1e30, 1e30, 5000.0, -3.0];
        for round in 0..400 {
            let wobble = |k: usize, l: usize| {
                let h = (round * 131 + k * 17 + l * 7) as u32;
                (h.wrapping_mul(2_654_435_761) >> 8) as f32 / 16_777_216.0 - 0.5
            };
            let idx: I = std::array::from_fn(|l| ((l + round) % 2) as i32);
            let mut warp = still();
            for l in 0..LANES {
                warp.u[l] = 40.0 + 78.0 * wobble(0, l);
                warp.v[l] = 30.0 + 58.0 * wobble(1, l);
                warp.ux[l] = 1.0 + wobble(2, l);
                warp.vx[l] = wobble(3, l);
                warp.uy[l] = wobble(4, l);
                warp.vy[l] = 1.0 + wobble(5, l);
            }
            if round % 4 == 0 {
                let l = round % LANES;
                let value = bad[round % bad.len()];
                warp.inside[l] = false;
                match round % 3 {
                    0 => warp.u[l] = value,
                    1 => warp.v[l] = value,
                    _ => warp.uy[l] = value,
                }
            }
            let places = idx.map(|i| arena.place(i as usize));
            let target = Target {
                base: places.map(|p| p.0),
                y_max: places.map(|p| p.1),
            };
            let want = ncc_cost(Kernel::Portable, &patch, &warp, &target, &arena, 1.0);
            for kernel in kernels() {
                let got = ncc_cost(kernel, &patch, &warp, &target, &arena, 1.0);
                for l in 0..LANES {
                    assert!((got[l] - want[l]).abs() < 2e-3, "{kernel:?} {round} {l}");
                }
            }
        }
    }
}
