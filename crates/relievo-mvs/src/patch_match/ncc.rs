//! Bilateral-weighted NCC of 16 reference pixels at once, one per lane.
//!
//! Per tap: position in 16.16 fixed point, one gather of a 2 × 2 sample,
//! bilinear interpolation in integers with 7-bit fractions, three weighted sums
//! in f32. The patch moves by an affine map; over 11 px the second-order part
//! of the plane's homography is below 0.01 px.
//!
//! Portable and SIMD kernels share everything up to the order and fusing of the
//! float sums: costs agree within 2e-3 (tested).

use super::half_field::{F, I, LANES};
use super::packed_image::{Arena, PAD, PaddedBytes};
#[cfg(target_arch = "x86_64")]
use super::{ncc_avx2, ncc_avx512};

/// Taps of a patch: 6 × 6 without the corners, stride 2.
pub(crate) const TAPS: usize = 32;

/// Rows of the patch: Δy, first Δx, number of taps (stride 2).
pub(crate) const TAP_ROWS: [(i32, i32, usize); 6] = [
    (-5, -3, 4),
    (-3, -5, 6),
    (-1, -5, 6),
    (1, -5, 6),
    (3, -5, 6),
    (5, -3, 4),
];

/// Farthest a warped tap may lie from the patch's centre, on either axis.
pub(crate) const MAX_EXTENT: f32 = 18.0;

/// Values are grey levels × 2¹⁴ inside the kernel.
const UNIT: f32 = 1.0 / 16384.0;

/// Weights and values of 16 reference patches.
#[derive(Debug)]
pub(crate) struct Patch {
    /// Bilateral weights; they sum to 1.
    pub(crate) w: [F; TAPS],
    /// Weight × (grey − grey of the centre).
    pub(crate) wr: [F; TAPS],
    /// (Grey of the centre − 128) × 2¹⁴.
    pub(crate) center: I,
    /// Weighted mean of grey − centre.
    pub(crate) mean: F,
    /// Weighted variance.
    pub(crate) variance: F,
}

/// Look-up tables of the bilateral weight.
#[derive(Debug)]
pub(crate) struct BilateralWeights {
    by_difference: [f32; 256],
    by_tap: [f32; TAPS],
}

impl BilateralWeights {
    /// exp(−|Δgrey| / (2 σ_c)) · exp(−Δ² / (2 σ_s²)), as in ACMM's code.
    pub(crate) fn new(sigma_color: f32, sigma_space_px: f32) -> Self {
        let mut by_difference = [0.0; 256];
        for (d, w) in by_difference.iter_mut().enumerate() {
            *w = (-(d as f32) / (2.0 * sigma_color.max(1e-3))).exp();
        }
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
            by_difference,
            by_tap,
        }
    }
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
        image: &PaddedBytes,
        x: usize,
        y: usize,
        weights: &BilateralWeights,
    ) {
        let middle = &image.data[(y + PAD) * image.stride + x + PAD..][..2 * LANES];
        let mut c = [0_i32; LANES];
        for l in 0..LANES {
            c[l] = i32::from(middle[2 * l]);
            self.center[l] = (c[l] - 128) << 14;
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
                let values = &image.data[at..][..2 * LANES];
                for l in 0..LANES {
                    let d = i32::from(values[2 * l]) - c[l];
                    let w = weights.by_tap[k]
                        * weights.by_difference[(d.unsigned_abs() & 255) as usize];
                    let r = d as f32;
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

/// A warp in 16.16 fixed point in the arena.
#[derive(Debug)]
pub(crate) struct FixedWarp {
    pub(crate) x: I,
    pub(crate) y: I,
    pub(crate) ax: I,
    pub(crate) ay: I,
    pub(crate) bx: I,
    pub(crate) by: I,
    pub(crate) base: I,
}

impl FixedWarp {
    /// Lanes that are not inside read around the picture's first pixel.
    #[inline(always)]
    fn new(warp: &Warp, base: &I) -> Self {
        let mut out = Self {
            x: [0; LANES],
            y: [0; LANES],
            ax: [0; LANES],
            ay: [0; LANES],
            bx: [0; LANES],
            by: [0; LANES],
            base: *base,
        };
        let position = |p: f32| ((p + (PAD as f32 - 0.5)) * 65536.0) as i32;
        let step = |d: f32| (d * 65536.0) as i32;
        for l in 0..LANES {
            let keep = |v: f32| if warp.inside[l] { v } else { 0.0 };
            out.x[l] = position(keep(warp.u[l]));
            out.y[l] = position(keep(warp.v[l]));
            out.ax[l] = step(keep(warp.ux[l]));
            out.ay[l] = step(keep(warp.vx[l]));
            out.bx[l] = step(keep(warp.uy[l]));
            out.by[l] = step(keep(warp.vy[l]));
        }
        out
    }

    /// True when every sample lies in the arena: centres at least `PAD − 1`
    /// pixels from the first column and row, taps at most that far away, and
    /// the last sample's word exists.
    #[inline(always)]
    fn fits(&self, arena: &Arena) -> bool {
        const NEAR: i32 = ((PAD - 1) as i32) << 16;
        let mut good = true;
        let far = (arena.stride as i32 - PAD as i32 - 1) << 16;
        let last = arena.quads.len() as i64;
        for l in 0..LANES {
            let ex = 5 * (self.ax[l].abs() + self.bx[l].abs());
            let ey = 5 * (self.ay[l].abs() + self.by[l].abs());
            let bottom = i64::from((self.y[l] >> 16) + PAD as i32) * arena.stride as i64;
            good &= (self.x[l] >= NEAR) & (self.x[l] <= far);
            good &= (self.y[l] >= NEAR) & (ex <= NEAR) & (ey <= NEAR) & (self.base[l] >= 0);
            good &=
                i64::from(self.base[l]) + bottom + i64::from((self.x[l] >> 16) + PAD as i32) < last;
        }
        good && arena.stride < 32_768
    }
}

/// Weighted sums over the 32 taps, value = (sample − centre) × 2¹⁴.
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

impl Kernel {
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
/// `noise` is added to both variances, so that flat patches score near 1.
#[inline(always)]
pub(crate) fn ncc_cost(
    kernel: Kernel,
    patch: &Patch,
    warp: &Warp,
    base: &I,
    arena: &Arena,
    noise: f32,
) -> F {
    let fixed = FixedWarp::new(warp, base);
    assert!(fixed.fits(arena), "a tap would leave the arena");
    let sums = match kernel {
        Kernel::Portable => sums_portable(patch, &fixed, arena),
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx2 => ncc_avx2::sums(patch, &fixed, arena),
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx512 => ncc_avx512::sums(patch, &fixed, arena),
    };
    let mut cost = [0.0; LANES];
    for l in 0..LANES {
        let mean = sums.s[l] * UNIT;
        let variance = (sums.ss[l] * (UNIT * UNIT) - mean * mean).max(0.0);
        let covariance = sums.rs[l] * UNIT - mean * patch.mean[l];
        let ncc = covariance / ((variance + noise) * (patch.variance[l] + noise)).sqrt();
        // The comparison also turns a NaN into the worst cost.
        let c = if ncc <= 1.0 { 1.0 - ncc } else { 2.0 };
        let c = if ncc > 1.0 { 0.0 } else { c };
        cost[l] = if warp.inside[l] { c.min(2.0) } else { 2.0 };
    }
    cost
}

/// The portable kernel.
pub(crate) fn sums_portable(patch: &Patch, warp: &FixedWarp, arena: &Arena) -> Sums {
    let mut sums = Sums {
        s: [0.0; LANES],
        ss: [0.0; LANES],
        rs: [0.0; LANES],
    };
    let stride = arena.stride as i32;
    let mut k = 0;
    for (dy, first, n) in TAP_ROWS {
        for i in 0..n {
            let dx = first + 2 * i as i32;
            for l in 0..LANES {
                let x = warp.x[l] + dx * warp.ax[l] + dy * warp.bx[l];
                let y = warp.y[l] + dx * warp.ay[l] + dy * warp.by[l];
                let at = warp.base[l] + (y >> 16) * stride + (x >> 16);
                let quad = arena.quads[at as usize]
                    .to_le_bytes()
                    .map(|b| i32::from(b as i8));
                let (fx, fy) = ((x >> 9) & 127, (y >> 9) & 127);
                let top = quad[0] * (128 - fx) + quad[1] * fx;
                let bottom = quad[2] * (128 - fx) + quad[3] * fx;
                let value = top * (128 - fy) + bottom * fy - patch.center[l];
                let s = value as f32;
                let ws = patch.w[k][l] * s;
                sums.s[l] += ws;
                sums.ss[l] += ws * s;
                sums.rs[l] += patch.wr[k][l] * s;
            }
            k += 1;
        }
    }
    sums
}
