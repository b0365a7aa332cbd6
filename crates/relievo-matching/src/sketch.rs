//! Sketches of descriptors: bounds of dot products at a quarter of the work.
//!
//! A descriptor is 4 × 4 cells of 8 directions; the Walsh-Hadamard transform of
//! these 128 numbers holds nine tenths of its energy in 33 known coefficients
//! (the same on all pictures, since neighbouring cells and directions are
//! alike). A [`Sketch`] is those coefficients as small integers and the length
//! of what is left. By the Cauchy-Schwarz inequality
//!
//! a·b ≤ ⟨â, b̂⟩ + |a⊥| |b⊥| + what rounding may have cost,
//!
//! so that a few integer products bound a dot product from above. Rejection by a
//! few Walsh-Hadamard coefficients: Hel-Or & Hel-Or, "Real-time pattern matching
//! using projection kernels", PAMI 2005.

use crate::nearest::Descriptor;
use relievo_scene::DESCRIPTOR_LEN;

/// Coefficients kept beside the mean.
pub(crate) const KEPT: usize = 32;

/// Their indices in the transform (bits: direction 0 to 2, column 3 and 4, row
/// 5 and 6), by falling energy over photographs and rendered sets.
const KEEP: [u8; KEPT] = [
    6, 3, 2, 4, 22, 30, 5, 68, 20, 14, 24, 84, 28, 21, 19, 18, 29, 16, 100, 67, 66, 1, 70, 92, 96,
    86, 7, 116, 26, 27, 36, 94,
];

/// Quantisation step of the coefficients is 2^STEP; 2^(2·STEP) / 128 = 8.
const STEP: u32 = 5;

/// Dot products come in units of this.
pub(crate) const UNIT: i32 = 8;

/// What bounds the dot product of a descriptor with another; see the module.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sketch {
    /// Quantised coefficients.
    pub(crate) coefficients: [i8; KEPT],
    /// The mean and the length of what is left, rounded up.
    pub(crate) mean_and_rest: [i16; 2],
    /// Length of the error of the quantised part.
    pub(crate) error: f32,
    /// Length of the descriptor.
    pub(crate) norm: f32,
}

/// In the place of an absent one.
pub(crate) const NO_SKETCH: Sketch = Sketch {
    coefficients: [0; KEPT],
    mean_and_rest: [0; 2],
    error: 0.0,
    norm: 0.0,
};

/// Descriptors with their sketches.
#[derive(Clone, Copy, Debug)]
pub struct Sketched<'s> {
    /// The descriptors.
    pub descriptors: &'s [Descriptor],
    /// One for each.
    pub sketches: &'s [Sketch],
}

impl Sketched<'_> {
    /// The first `n`, or all.
    #[must_use]
    pub fn first(&self, n: usize) -> Self {
        let n = n.min(self.descriptors.len());
        Self {
            descriptors: &self.descriptors[..n],
            sketches: &self.sketches[..n],
        }
    }
}

/// Descriptors transformed side by side.
const BATCH: usize = 16;

/// The sketches of `descriptors`, in order. The same on every processor.
pub fn sketch(descriptors: &[Descriptor]) -> Vec<Sketch> {
    #[cfg(target_arch = "x86_64")]
    if crate::nearest_avx2::available() {
        return crate::sketch_avx2::sketch(descriptors);
    }
    sketch_body(descriptors)
}

#[inline(always)]
pub(crate) fn sketch_body(descriptors: &[Descriptor]) -> Vec<Sketch> {
    let mut out = Vec::with_capacity(descriptors.len());
    let mut values = [[0_i16; BATCH]; DESCRIPTOR_LEN];
    for batch in descriptors.chunks(BATCH) {
        for (lane, d) in batch.iter().enumerate() {
            for (row, v) in values.iter_mut().zip(d) {
                row[lane] = i16::from(*v);
            }
        }
        transform(&mut values);
        for (lane, d) in batch.iter().enumerate() {
            out.push(quantise(d, |k| values[k][lane]));
        }
    }
    out
}

/// Walsh-Hadamard transform, Hadamard order, lane by lane; sums of 128 bytes
/// fit 16 bits.
#[inline(always)]
fn transform(values: &mut [[i16; BATCH]; DESCRIPTOR_LEN]) {
    let mut stride = 1;
    while stride < DESCRIPTOR_LEN {
        for first in (0..DESCRIPTOR_LEN).step_by(2 * stride) {
            let (low, high) = values[first..first + 2 * stride].split_at_mut(stride);
            for (a, b) in low.iter_mut().zip(high) {
                for lane in 0..BATCH {
                    let (x, y) = (a[lane], b[lane]);
                    a[lane] = x + y;
                    b[lane] = x - y;
                }
            }
        }
        stride *= 2;
    }
}

#[inline(always)]
fn quantise(d: &Descriptor, at: impl Fn(usize) -> i16) -> Sketch {
    let squared: i32 = d.iter().map(|&v| i32::from(v) * i32::from(v)).sum();
    let (mut kept, mut error) = (0_i64, 0_i64);
    let mut take = |k: usize, most: i32| {
        let a = i32::from(at(k));
        let q = ((a + (1 << (STEP - 1))) >> STEP).clamp(-most, most);
        kept += i64::from(a * a);
        error += i64::from((a - (q << STEP)).pow(2));
        q
    };
    let mean = take(0, i32::from(i16::MAX));
    let mut coefficients = [0; KEPT];
    for (c, k) in coefficients.iter_mut().zip(KEEP) {
        *c = take(usize::from(k), 127) as i8;
    }
    let length = DESCRIPTOR_LEN as f64;
    let rest = (128 * i64::from(squared) - kept).max(0) as f64 / length;
    Sketch {
        coefficients,
        mean_and_rest: [mean as i16, (rest / f64::from(UNIT)).sqrt().ceil() as i16],
        error: (error as f64 / length).sqrt() as f32,
        norm: f64::from(squared).sqrt() as f32,
    }
}

/// The bound in units of [`UNIT`], without what rounding may have cost.
#[inline]
pub(crate) fn bound(a: &Sketch, b: &Sketch) -> i32 {
    let mut sum = 0;
    for k in 0..KEPT {
        sum += i32::from(a.coefficients[k]) * i32::from(b.coefficients[k]);
    }
    for k in 0..2 {
        sum += i32::from(a.mean_and_rest[k]) * i32::from(b.mean_and_rest[k]);
    }
    sum
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::nearest::dot;
    use crate::nearest::tests::hard_descriptors;
    use rand_core::RngCore;

    /// Descriptors like those of pictures: smooth, of norm 512; the second list
    /// is the first with noise, shuffled by a step of 7.
    pub(crate) fn alike(n: usize, seed: u64) -> (Vec<Descriptor>, Vec<Descriptor>) {
        let mut rng = relievo_task::rng(seed, "test", "sketches");
        let mut unit = || f64::from(rng.next_u32()) / f64::from(u32::MAX);
        let mut make = |base: Option<&[f64; DESCRIPTOR_LEN]>| {
            let mut v = [0.0; DESCRIPTOR_LEN];
            for (k, v) in v.iter_mut().enumerate() {
                let noise = unit();
                *v = match base {
                    None => noise.powi(3),
                    Some(b) => (b[k] + 0.06 * (noise - 0.5)).max(0.0),
                };
            }
            v
        };
        let round = |v: &[f64; DESCRIPTOR_LEN]| {
            let norm = v.iter().map(|x| x * x).sum::<f64>().sqrt();
            v.map(|x| (512.0 * x / norm + 0.5).min(255.0) as u8)
        };
        let bases: Vec<_> = (0..n).map(|_| make(None)).collect();
        let others: Vec<_> = (0..n)
            .map(|i| round(&make(Some(&bases[(i * 7) % n]))))
            .collect();
        (bases.iter().map(round).collect(), others)
    }

    #[test]
    fn the_bound_holds() {
        let (mut a, mut b) = alike(60, 1);
        a.extend(hard_descriptors(60, 2));
        b.extend(hard_descriptors(60, 3));
        let (sa, sb) = (sketch(&a), sketch(&b));
        for (da, s) in a.iter().zip(&sa) {
            for (db, t) in b.iter().zip(&sb) {
                let slack = (s.norm + s.error) * t.error + s.error * t.norm;
                let most = UNIT as f32 * bound(s, t) as f32 + 1.001 * slack + 1.0;
                assert!(dot(da, db) as f32 <= most, "{} {most}", dot(da, db));
            }
        }
    }

    #[test]
    fn processors_sketch_alike() {
        let (mut a, _) = alike(50, 8);
        a.extend(hard_descriptors(45, 9));
        assert_eq!(sketch(&a), sketch_body(&a));
    }
}
