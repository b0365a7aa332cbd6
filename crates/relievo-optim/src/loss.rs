//! Robust losses ρ(s) of a squared residual s, as in Triggs et al. 2000.

use serde::{Deserialize, Serialize};

/// How much a squared residual costs; scales are in the unit of the residual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// ρ = s.
    #[default]
    Squared,
    /// Quadratic to the scale, linear beyond.
    Huber(f64),
    /// 2a²(√(1 + s/a²) − 1): a smooth Huber.
    SoftL1(f64),
    /// a² ln(1 + s/a²).
    Cauchy(f64),
}

impl Loss {
    /// (ρ(s), ρ'(s)); the second is the weight of iteratively reweighted least
    /// squares.
    #[inline]
    pub fn evaluate(&self, s: f64) -> (f64, f64) {
        match *self {
            Self::Squared => (s, 1.0),
            Self::Huber(a) => {
                let b = a * a;
                if s <= b {
                    (s, 1.0)
                } else {
                    let r = s.sqrt();
                    (2.0 * a * r - b, a / r)
                }
            }
            Self::SoftL1(a) => {
                let b = a * a;
                let t = (1.0 + s / b).sqrt();
                (2.0 * b * (t - 1.0), 1.0 / t)
            }
            Self::Cauchy(a) => {
                let b = a * a;
                let t = s / b;
                (b * t.ln_1p(), 1.0 / (1.0 + t))
            }
        }
    }

    /// ρ''(s): how fast the weight falls.
    pub fn curvature(&self, s: f64) -> f64 {
        match *self {
            Self::Squared => 0.0,
            Self::Huber(a) if s <= a * a => 0.0,
            Self::Huber(a) => -0.5 * a / (s * s.sqrt()),
            Self::SoftL1(a) => -0.5 / (a * a * (1.0 + s / (a * a)).powf(1.5)),
            Self::Cauchy(a) => -1.0 / (a * (1.0 + s / (a * a))).powi(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_the_derivatives() {
        for loss in [
            Loss::Squared,
            Loss::Huber(1.5),
            Loss::SoftL1(0.7),
            Loss::Cauchy(2.0),
        ] {
            for s in [0.01, 0.9, 4.0, 90.0] {
                let h = 1e-6 * s;
                let numeric = (loss.evaluate(s + h).0 - loss.evaluate(s - h).0) / (2.0 * h);
                assert!((numeric - loss.evaluate(s).1).abs() < 1e-6, "{loss:?} {s}");
                let numeric = (loss.evaluate(s + h).1 - loss.evaluate(s - h).1) / (2.0 * h);
                assert!((numeric - loss.curvature(s)).abs() < 1e-6, "{loss:?} {s}");
            }
        }
    }
}
