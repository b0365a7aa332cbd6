//! What is left of a seam is blended over a narrow strip.
//!
//! Pérez et al. 2003 as used by Waechter et al. 2014, section 4.2: along the
//! seam both charts take the mean of their colours, a strip's width inside
//! they keep their own, between the two their gradients are kept. The
//! correction is then harmonic: Laplace's equation, solved by red-black
//! successive over-relaxation.

use crate::coverage::Coverage;

const ROUNDS: usize = 40;
const RELAXATION: f32 = 1.7;
const FREE: u32 = u32::MAX;

/// Corrections of a chart's texels.
#[derive(Debug, Default)]
pub(crate) struct Strip {
    /// Per texel of the chart's rectangle an index into `values`, or `u32::MAX`.
    index: Vec<u32>,
    values: Vec<[f32; 3]>,
}

impl Strip {
    /// The correction at a texel.
    #[inline]
    pub(crate) fn at(&self, texel: usize) -> [f32; 3] {
        match self.index.get(texel) {
            Some(&i) if i != FREE => self.values[i as usize],
            _ => [0.0; 3],
        }
    }

    /// True where no texel is corrected.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// True for a texel of the strip.
    pub(crate) fn holds(&self, texel: usize) -> bool {
        self.index[texel] != FREE
    }

    /// Spreads the wanted corrections (texel position, correction) inwards.
    pub(crate) fn solve(
        coverage: &Coverage,
        wanted: &[([f64; 2], [f32; 3])],
        strip_px: u32,
    ) -> Self {
        let (w, h) = (coverage.width, coverage.height);
        if wanted.is_empty() || strip_px == 0 {
            return Self::default();
        }
        let mut index = vec![FREE; w * h];
        let mut texels: Vec<u32> = Vec::new();
        let mut values: Vec<[f32; 3]> = Vec::new();
        let mut counts: Vec<u32> = Vec::new();
        for (at, v) in wanted {
            let x = (at[0].max(0.0) as usize).min(w - 1);
            let y = (at[1].max(0.0) as usize).min(h - 1);
            let t = y * w + x;
            if index[t] == FREE {
                index[t] = values.len() as u32;
                texels.push(t as u32);
                values.push([0.0; 3]);
                counts.push(0);
            }
            let i = index[t] as usize;
            counts[i] += 1;
            for k in 0..3 {
                values[i][k] += v[k];
            }
        }
        for (v, n) in values.iter_mut().zip(&counts) {
            *v = v.map(|v| v / *n as f32);
        }
        let fixed = values.len();
        // The strip in rings around the seam; each starts from the ring before,
        // faded out linearly.
        let mut ring: Vec<u32> = texels.clone();
        let mut depth = vec![0_u32; fixed];
        for d in 1..strip_px {
            let fade = (strip_px - d) as f32 / (strip_px - d + 1) as f32;
            let mut next = Vec::new();
            for &t in &ring {
                let v = values[index[t as usize] as usize].map(|v| v * fade);
                for u in neighbours(t as usize, w, h).into_iter().flatten() {
                    if coverage.inside[u] && index[u] == FREE {
                        index[u] = values.len() as u32;
                        texels.push(u as u32);
                        values.push(v);
                        depth.push(d);
                        next.push(u as u32);
                    }
                }
            }
            ring = next;
        }
        let (mut red, mut black) = (Vec::new(), Vec::new());
        for i in fixed..values.len() {
            let t = texels[i] as usize;
            // Outside the faces the gradient is free; beyond the strip the
            // correction is zero.
            let mut from = [FREE; 4];
            let mut n = 0;
            for (slot, u) in from.iter_mut().zip(neighbours(t, w, h)) {
                if let Some(u) = u
                    && (index[u] != FREE || coverage.inside[u])
                {
                    *slot = index[u];
                    n += 1;
                }
            }
            if n > 0 {
                let colour = (t % w + t / w) % 2;
                [&mut red, &mut black][colour].push((i as u32, from, n as f32));
            }
        }
        for _ in 0..ROUNDS {
            for half in [&red, &black] {
                for (i, from, n) in half {
                    let mut sum = [0.0_f32; 3];
                    for &j in from {
                        if j != FREE {
                            let v = values[j as usize];
                            for k in 0..3 {
                                sum[k] += v[k];
                            }
                        }
                    }
                    let v = &mut values[*i as usize];
                    for k in 0..3 {
                        v[k] += RELAXATION * (sum[k] / n - v[k]);
                    }
                }
            }
        }
        Self { index, values }
    }
}

pub(crate) fn neighbours(t: usize, w: usize, h: usize) -> [Option<usize>; 4] {
    let (x, y) = (t % w, t / w);
    [
        (x > 0).then(|| t - 1),
        (x + 1 < w).then(|| t + 1),
        (y > 0).then(|| t - w),
        (y + 1 < h).then(|| t + w),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_correction_fades_across_the_strip() {
        let (w, h) = (60, 9);
        let coverage = Coverage {
            width: w,
            height: h,
            face: vec![0; w * h],
            inside: vec![true; w * h],
            corners: vec![[[0.0; 2]; 3]],
        };
        let wanted: Vec<_> = (0..h)
            .map(|y| ([0.5, y as f64 + 0.5], [20.0, -10.0, 0.0]))
            .collect();
        let strip = Strip::solve(&coverage, &wanted, 20);
        let mid = 4 * w;
        for x in 0..20 {
            let expect = 20.0 * (1.0 - x as f32 / 20.0);
            let v = strip.at(mid + x);
            assert!((v[0] - expect).abs() < 0.5, "{x}: {v:?} {expect}");
            assert!((v[1] + 0.5 * v[0]).abs() < 1e-3);
        }
        assert_eq!(strip.at(mid + 25), [0.0; 3]);
    }
}
