//! Real roots of a polynomial by the roots of its derivatives.
//!
//! Yuksel, "High-Performance Polynomial Root Finding for Graphics", HPG 2022:
//! between neighbouring critical points a polynomial is monotonic, so each
//! root is bracketed and Newton's method with bisection finds it. Departure:
//! roots outside [−1, 1] are the inverses of the reversed polynomial's roots,
//! so that no bound on them is needed.

use arrayvec::ArrayVec;

/// Largest degree plus one.
pub const MAX_COEFFICIENTS: usize = 11;

/// A relative step of Newton's method after which a root is as exact as the
/// polynomial allows: the error is about the square of the step.
const ROOT: f64 = 1e-9;
/// The same for critical points, which only part the roots.
const CRITICAL: f64 = 1e-5;

type Roots = ArrayVec<f64, MAX_COEFFICIENTS>;

/// Distinct real roots of Σ c\[k\] zᵏ, ascending within [−1, 1], then those
/// outside. Roots of even multiplicity may be missed. Empty for a zero or
/// not finite polynomial, or more than [`MAX_COEFFICIENTS`] coefficients.
pub fn real_roots(c: &[f64]) -> ArrayVec<f64, { 2 * MAX_COEFFICIENTS }> {
    let mut all = ArrayVec::new();
    let largest = c.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
    if c.len() > MAX_COEFFICIENTS
        || !(largest > 0.0)
        || !largest.is_finite()
        || c.iter().any(|x| x.is_nan())
    {
        return all;
    }
    all.extend(roots_in_unit_interval(c));
    let reversed: ArrayVec<f64, MAX_COEFFICIENTS> = c.iter().rev().copied().collect();
    for r in roots_in_unit_interval(&reversed) {
        // ±1 was found above.
        if r != 0.0 && r.abs() < 1.0 {
            all.push(1.0 / r);
        }
    }
    all
}

fn value(c: &[f64], x: f64) -> f64 {
    c.iter().rev().fold(0.0, |a, k| a * x + k)
}

fn roots_in_unit_interval(c: &[f64]) -> Roots {
    let degree = c.len() - 1;
    // derivatives[d] has degree d.
    let mut derivatives = [[0.0; MAX_COEFFICIENTS]; MAX_COEFFICIENTS];
    derivatives[degree][..=degree].copy_from_slice(c);
    for d in (1..degree).rev() {
        for k in 0..=d {
            derivatives[d][k] = derivatives[d + 1][k + 1] * (k + 1) as f64;
        }
    }
    let mut critical = Roots::new();
    for d in 1..=degree {
        let p = &derivatives[d][..=d];
        let mut found = Roots::new();
        let mut low = -1.0;
        let mut at_low = value(p, low);
        for high in critical.iter().copied().chain([1.0]) {
            let at_high = value(p, high);
            if at_low == 0.0 {
                push_distinct(&mut found, low);
            } else if at_low * at_high < 0.0 {
                let tolerance = if d == degree { ROOT } else { CRITICAL };
                push_distinct(&mut found, bracketed_root(p, low, high, at_low, tolerance));
            }
            (low, at_low) = (high, at_high);
        }
        if at_low == 0.0 {
            push_distinct(&mut found, low);
        }
        critical = found;
    }
    critical
}

fn push_distinct(roots: &mut Roots, x: f64) {
    if roots.last() != Some(&x) && !roots.is_full() {
        roots.push(x);
    }
}

/// The root in (low, high), over which the polynomial is monotonic and
/// changes sign.
fn bracketed_root(p: &[f64], mut low: f64, mut high: f64, at_low: f64, tolerance: f64) -> f64 {
    let mut x = 0.5 * (low + high);
    for _ in 0..80 {
        let (mut y, mut slope) = (0.0, 0.0);
        for k in p.iter().rev() {
            slope = slope * x + y;
            y = y * x + k;
        }
        if y == 0.0 {
            return x;
        }
        if (y < 0.0) == (at_low < 0.0) {
            low = x;
        } else {
            high = x;
        }
        let newton = x - y / slope;
        let next = if newton > low && newton < high {
            newton
        } else {
            0.5 * (low + high)
        };
        if (next - x).abs() <= tolerance * x.abs().max(1e-3) {
            return next;
        }
        x = next;
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_roots(roots: &[f64]) -> Vec<f64> {
        let mut c = vec![1.0];
        for r in roots {
            let mut next = vec![0.0; c.len() + 1];
            for (k, x) in c.iter().enumerate() {
                next[k + 1] += x;
                next[k] -= r * x;
            }
            c = next;
        }
        c
    }

    #[test]
    fn finds_all_roots_near_and_far() {
        let truth = [-40.0, -3.0, -0.9, -0.1, 0.02, 0.3, 0.7, 1.5, 8.0, 300.0];
        let mut found = real_roots(&from_roots(&truth)).to_vec();
        found.sort_by(f64::total_cmp);
        assert_eq!(found.len(), 10, "{found:?}");
        for (a, b) in found.iter().zip(truth) {
            assert!((a - b).abs() < 1e-8 * b.abs().max(1.0), "{a} {b}");
        }
    }

    #[test]
    fn complex_roots_and_garbage_give_nothing() {
        assert!(real_roots(&[1.0, 0.0, 1.0]).is_empty());
        assert!(real_roots(&[0.0, 0.0]).is_empty());
        assert!(real_roots(&[f64::NAN, 1.0]).is_empty());
        assert!(real_roots(&[f64::INFINITY, 1.0]).is_empty());
        assert!(real_roots(&[]).is_empty());
        assert_eq!(real_roots(&[-2.0, 4.0, 0.0]).as_slice(), &[0.5]);
        assert_eq!(real_roots(&[-1.0, 1.0]).as_slice(), &[1.0]);
    }
}
