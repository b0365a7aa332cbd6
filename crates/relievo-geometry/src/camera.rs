//! Camera models, by COLMAP's names and parameter order.

use crate::Vec2;
use crate::Vec3;
use arrayvec::ArrayVec;
use nalgebra::{Matrix2, Matrix2x3, SMatrix};
use serde::{Deserialize, Serialize};

/// Most parameters a model has.
pub const MAX_PARAMS: usize = 12;

/// Parameters in COLMAP's order.
pub type Params = ArrayVec<f64, MAX_PARAMS>;

/// 2×N Jacobian of a projection by the model's parameters; columns past the
/// model's own parameters are zero.
pub type ParamJacobian = SMatrix<f64, 2, MAX_PARAMS>;

/// Which model, without its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CameraModelKind {
    /// f, cx, cy
    SimplePinhole,
    /// fx, fy, cx, cy
    Pinhole,
    /// f, cx, cy, k
    SimpleRadial,
    /// f, cx, cy, k1, k2
    Radial,
    /// fx, fy, cx, cy, k1, k2, p1, p2
    #[serde(rename = "OPENCV")]
    OpenCv,
}

impl CameraModelKind {
    /// All models that can be projected with.
    pub const ALL: [Self; 5] = [
        Self::SimplePinhole,
        Self::Pinhole,
        Self::SimpleRadial,
        Self::Radial,
        Self::OpenCv,
    ];

    /// COLMAP's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::SimplePinhole => "SIMPLE_PINHOLE",
            Self::Pinhole => "PINHOLE",
            Self::SimpleRadial => "SIMPLE_RADIAL",
            Self::Radial => "RADIAL",
            Self::OpenCv => "OPENCV",
        }
    }

    /// COLMAP's number in binary files.
    pub fn colmap_id(self) -> i32 {
        self as i32
    }

    /// By COLMAP's name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.name() == name)
    }

    /// By COLMAP's number.
    pub fn from_colmap_id(id: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.colmap_id() == id)
    }

    /// Parameter names in order.
    pub fn param_names(self) -> &'static [&'static str] {
        match self {
            Self::SimplePinhole => &["f", "cx", "cy"],
            Self::Pinhole => &["fx", "fy", "cx", "cy"],
            Self::SimpleRadial => &["f", "cx", "cy", "k"],
            Self::Radial => &["f", "cx", "cy", "k1", "k2"],
            Self::OpenCv => &["fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2"],
        }
    }

    /// Number of parameters.
    pub fn num_params(self) -> usize {
        self.param_names().len()
    }
}

/// A camera model with its values: focal lengths and principal point in
/// pixels (top-left pixel centre at 0.5, 0.5), distortion dimensionless.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "model", rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the fields are COLMAP's parameter names")]
pub enum CameraModel {
    SimplePinhole {
        f: f64,
        cx: f64,
        cy: f64,
    },
    Pinhole {
        fx: f64,
        fy: f64,
        cx: f64,
        cy: f64,
    },
    SimpleRadial {
        f: f64,
        cx: f64,
        cy: f64,
        k: f64,
    },
    Radial {
        f: f64,
        cx: f64,
        cy: f64,
        k1: f64,
        k2: f64,
    },
    #[serde(rename = "OPENCV")]
    OpenCv {
        fx: f64,
        fy: f64,
        cx: f64,
        cy: f64,
        k1: f64,
        k2: f64,
        p1: f64,
        p2: f64,
    },
}

/// Focal lengths, principal point and the distortion terms of any model.
#[derive(Clone, Copy, Debug)]
struct Terms {
    fx: f64,
    fy: f64,
    cx: f64,
    cy: f64,
    k1: f64,
    k2: f64,
    p1: f64,
    p2: f64,
}

impl CameraModel {
    /// From a kind and values in COLMAP's order; `None` for a wrong count.
    pub fn from_params(kind: CameraModelKind, p: &[f64]) -> Option<Self> {
        Some(match (kind, p) {
            (CameraModelKind::SimplePinhole, &[f, cx, cy]) => Self::SimplePinhole { f, cx, cy },
            (CameraModelKind::Pinhole, &[fx, fy, cx, cy]) => Self::Pinhole { fx, fy, cx, cy },
            (CameraModelKind::SimpleRadial, &[f, cx, cy, k]) => Self::SimpleRadial { f, cx, cy, k },
            (CameraModelKind::Radial, &[f, cx, cy, k1, k2]) => Self::Radial { f, cx, cy, k1, k2 },
            (CameraModelKind::OpenCv, &[fx, fy, cx, cy, k1, k2, p1, p2]) => Self::OpenCv {
                fx,
                fy,
                cx,
                cy,
                k1,
                k2,
                p1,
                p2,
            },
            _ => return None,
        })
    }

    /// Which model this is.
    pub fn kind(&self) -> CameraModelKind {
        match self {
            Self::SimplePinhole { .. } => CameraModelKind::SimplePinhole,
            Self::Pinhole { .. } => CameraModelKind::Pinhole,
            Self::SimpleRadial { .. } => CameraModelKind::SimpleRadial,
            Self::Radial { .. } => CameraModelKind::Radial,
            Self::OpenCv { .. } => CameraModelKind::OpenCv,
        }
    }

    /// Values in COLMAP's order.
    pub fn params(&self) -> Params {
        let slice: &[f64] = match *self {
            Self::SimplePinhole { f, cx, cy } => &[f, cx, cy],
            Self::Pinhole { fx, fy, cx, cy } => &[fx, fy, cx, cy],
            Self::SimpleRadial { f, cx, cy, k } => &[f, cx, cy, k],
            Self::Radial { f, cx, cy, k1, k2 } => &[f, cx, cy, k1, k2],
            Self::OpenCv {
                fx,
                fy,
                cx,
                cy,
                k1,
                k2,
                p1,
                p2,
            } => &[fx, fy, cx, cy, k1, k2, p1, p2],
        };
        slice.iter().copied().collect()
    }

    #[inline]
    fn terms(&self) -> Terms {
        let t = |fx, fy, cx, cy, k1, k2, p1, p2| Terms {
            fx,
            fy,
            cx,
            cy,
            k1,
            k2,
            p1,
            p2,
        };
        match *self {
            Self::SimplePinhole { f, cx, cy } => t(f, f, cx, cy, 0.0, 0.0, 0.0, 0.0),
            Self::Pinhole { fx, fy, cx, cy } => t(fx, fy, cx, cy, 0.0, 0.0, 0.0, 0.0),
            Self::SimpleRadial { f, cx, cy, k } => t(f, f, cx, cy, k, 0.0, 0.0, 0.0),
            Self::Radial { f, cx, cy, k1, k2 } => t(f, f, cx, cy, k1, k2, 0.0, 0.0),
            Self::OpenCv {
                fx,
                fy,
                cx,
                cy,
                k1,
                k2,
                p1,
                p2,
            } => t(fx, fy, cx, cy, k1, k2, p1, p2),
        }
    }

    /// (fx, fy) in pixels.
    pub fn focal_px(&self) -> (f64, f64) {
        let t = self.terms();
        (t.fx, t.fy)
    }

    /// Mean focal length in pixels.
    pub fn mean_focal_px(&self) -> f64 {
        let t = self.terms();
        0.5 * (t.fx + t.fy)
    }

    /// (cx, cy) in pixels.
    pub fn principal_point_px(&self) -> Vec2 {
        let t = self.terms();
        Vec2::new(t.cx, t.cy)
    }

    /// True where all distortion terms are zero.
    pub fn is_pinhole(&self) -> bool {
        let t = self.terms();
        t.k1 == 0.0 && t.k2 == 0.0 && t.p1 == 0.0 && t.p2 == 0.0
    }

    /// The model of the same picture resized by (sx, sy): x maps to sx·x.
    #[must_use]
    pub fn scaled(&self, sx: f64, sy: f64) -> Self {
        let s = 0.5 * (sx + sy);
        match *self {
            Self::SimplePinhole { f, cx, cy } if sx == sy => Self::SimplePinhole {
                f: f * s,
                cx: cx * sx,
                cy: cy * sy,
            },
            Self::SimplePinhole { f, cx, cy } => Self::Pinhole {
                fx: f * sx,
                fy: f * sy,
                cx: cx * sx,
                cy: cy * sy,
            },
            Self::Pinhole { fx, fy, cx, cy } => Self::Pinhole {
                fx: fx * sx,
                fy: fy * sy,
                cx: cx * sx,
                cy: cy * sy,
            },
            Self::SimpleRadial { f, cx, cy, k } => Self::SimpleRadial {
                f: f * s,
                cx: cx * sx,
                cy: cy * sy,
                k,
            },
            Self::Radial { f, cx, cy, k1, k2 } => Self::Radial {
                f: f * s,
                cx: cx * sx,
                cy: cy * sy,
                k1,
                k2,
            },
            Self::OpenCv {
                fx,
                fy,
                cx,
                cy,
                k1,
                k2,
                p1,
                p2,
            } => Self::OpenCv {
                fx: fx * sx,
                fy: fy * sy,
                cx: cx * sx,
                cy: cy * sy,
                k1,
                k2,
                p1,
                p2,
            },
        }
    }

    /// Distorts normalised image coordinates (x/z, y/z).
    #[inline]
    pub fn distort(&self, n: &Vec2) -> Vec2 {
        let t = self.terms();
        let (x, y) = (n.x, n.y);
        let r2 = x * x + y * y;
        let g = 1.0 + r2 * (t.k1 + r2 * t.k2);
        Vec2::new(
            x * g + 2.0 * t.p1 * x * y + t.p2 * (r2 + 2.0 * x * x),
            y * g + 2.0 * t.p2 * x * y + t.p1 * (r2 + 2.0 * y * y),
        )
    }

    /// Pixel of a point in the camera frame; `None` at z ≤ 0.
    #[inline]
    pub fn project(&self, p: &Vec3) -> Option<Vec2> {
        if !(p.z > 0.0) {
            return None;
        }
        let t = self.terms();
        let d = self.distort(&Vec2::new(p.x / p.z, p.y / p.z));
        Some(Vec2::new(t.fx * d.x + t.cx, t.fy * d.y + t.cy))
    }

    /// Normalised image coordinates (x/z, y/z) of a pixel, with the
    /// distortion inverted by Newton's method; the best iterate where the
    /// distortion cannot be inverted.
    pub fn unproject(&self, px: &Vec2) -> Vec2 {
        let t = self.terms();
        let d = Vec2::new((px.x - t.cx) / t.fx, (px.y - t.cy) / t.fy);
        if self.is_pinhole() {
            return d;
        }
        let (mut n, mut best, mut best_error) = (d, d, f64::INFINITY);
        for _ in 0..20 {
            let residual = self.distort(&n) - d;
            let error = residual.norm_squared();
            if error < best_error {
                (best, best_error) = (n, error);
            }
            if error < 1e-30 {
                break;
            }
            let Some(inverse) = self.distort_jacobian(&n).try_inverse() else {
                break;
            };
            n -= inverse * residual;
        }
        best
    }

    /// Share of a picture of the given size, in pixels, whose pixels have one ray: distortion that
    /// grows too fast folds the rest over.
    pub fn share_with_a_ray(&self, width_px: u32, height_px: u32) -> f64 {
        const STEPS: u32 = 16;
        let (w, h) = (f64::from(width_px), f64::from(height_px));
        let t = self.terms();
        let has_ray = |i: u32, j: u32| {
            let at = |k: u32| f64::from(k) / f64::from(STEPS);
            let px = Vec2::new(w * at(i), h * at(j));
            let n = self.unproject(&px);
            let d = self.distort(&n);
            let off = Vec2::new(t.fx * d.x + t.cx, t.fy * d.y + t.cy) - px;
            // Behind the fold the picture comes back turned over: both ways, or one.
            let slope = self.distort_jacobian(&n);
            off.norm() < 0.1 && slope.determinant() > 0.0 && slope.trace() > 0.0
        };
        let grid = || (0..=STEPS).flat_map(|i| (0..=STEPS).map(move |j| (i, j)));
        let with_ray = grid().filter(|&(i, j)| has_ray(i, j)).count();
        with_ray as f64 / f64::from((STEPS + 1).pow(2))
    }

    /// ∂distort/∂(x, y) at normalised coordinates.
    #[inline]
    pub fn distort_jacobian(&self, n: &Vec2) -> Matrix2<f64> {
        let t = self.terms();
        let (x, y) = (n.x, n.y);
        let r2 = x * x + y * y;
        let g = 1.0 + r2 * (t.k1 + r2 * t.k2);
        let dg = 2.0 * (t.k1 + 2.0 * r2 * t.k2);
        let cross = x * y * dg + 2.0 * t.p1 * x + 2.0 * t.p2 * y;
        Matrix2::new(
            g + x * x * dg + 2.0 * t.p1 * y + 6.0 * t.p2 * x,
            cross,
            cross,
            g + y * y * dg + 2.0 * t.p2 * x + 6.0 * t.p1 * y,
        )
    }

    /// Pixel, its 2×3 Jacobian by the point in the camera frame, and its
    /// Jacobian by the parameters in COLMAP's order. `None` at z ≤ 0.
    #[inline]
    pub fn project_with_jacobians(
        &self,
        p: &Vec3,
    ) -> Option<(Vec2, Matrix2x3<f64>, ParamJacobian)> {
        if !(p.z > 0.0) {
            return None;
        }
        let t = self.terms();
        let inv_z = 1.0 / p.z;
        let n = Vec2::new(p.x * inv_z, p.y * inv_z);
        let d = self.distort(&n);
        let pixel = Vec2::new(t.fx * d.x + t.cx, t.fy * d.y + t.cy);
        let j = self.distort_jacobian(&n);
        let f = Matrix2::new(t.fx, 0.0, 0.0, t.fy);
        let dn = Matrix2x3::new(inv_z, 0.0, -n.x * inv_z, 0.0, inv_z, -n.y * inv_z);
        let by_point = f * j * dn;

        let (x, y) = (n.x, n.y);
        let r2 = x * x + y * y;
        let k1 = Vec2::new(t.fx * x * r2, t.fy * y * r2);
        let k2 = k1 * r2;
        let mut by_params = ParamJacobian::zeros();
        let mut set = |column: usize, u: f64, v: f64| {
            by_params[(0, column)] = u;
            by_params[(1, column)] = v;
        };
        let single_focal = matches!(
            self,
            Self::SimplePinhole { .. } | Self::SimpleRadial { .. } | Self::Radial { .. }
        );
        let next = if single_focal {
            set(0, d.x, d.y);
            set(1, 1.0, 0.0);
            set(2, 0.0, 1.0);
            3
        } else {
            set(0, d.x, 0.0);
            set(1, 0.0, d.y);
            set(2, 1.0, 0.0);
            set(3, 0.0, 1.0);
            4
        };
        match self {
            Self::SimplePinhole { .. } | Self::Pinhole { .. } => {}
            Self::SimpleRadial { .. } => set(next, k1.x, k1.y),
            Self::Radial { .. } => {
                set(next, k1.x, k1.y);
                set(next + 1, k2.x, k2.y);
            }
            Self::OpenCv { .. } => {
                set(next, k1.x, k1.y);
                set(next + 1, k2.x, k2.y);
                set(next + 2, t.fx * 2.0 * x * y, t.fy * (r2 + 2.0 * y * y));
                set(next + 3, t.fx * (r2 + 2.0 * x * x), t.fy * 2.0 * x * y);
            }
        }
        Some((pixel, by_point, by_params))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn models() -> Vec<CameraModel> {
        vec![
            CameraModel::SimplePinhole {
                f: 800.0,
                cx: 320.0,
                cy: 241.0,
            },
            CameraModel::Pinhole {
                fx: 800.0,
                fy: 790.0,
                cx: 320.0,
                cy: 241.0,
            },
            CameraModel::SimpleRadial {
                f: 800.0,
                cx: 320.0,
                cy: 241.0,
                k: -0.07,
            },
            CameraModel::Radial {
                f: 800.0,
                cx: 320.0,
                cy: 241.0,
                k1: -0.07,
                k2: 0.03,
            },
            CameraModel::OpenCv {
                fx: 800.0,
                fy: 790.0,
                cx: 320.0,
                cy: 241.0,
                k1: -0.07,
                k2: 0.03,
                p1: 0.004,
                p2: -0.003,
            },
        ]
    }

    #[test]
    fn unproject_inverts_project() {
        for model in models() {
            for p in [Vec3::new(0.3, -0.4, 1.2), Vec3::new(-0.9, 0.5, 2.0)] {
                let px = model.project(&p).unwrap();
                let n = model.unproject(&px);
                assert!(
                    (n - Vec2::new(p.x / p.z, p.y / p.z)).norm() < 1e-12,
                    "{model:?}"
                );
            }
        }
    }

    #[test]
    fn folded_pictures_have_few_rays() {
        for model in models() {
            assert_eq!(model.share_with_a_ray(640, 480), 1.0, "{model:?}");
        }
        // x (1 + k x²) turns back at x = 1 / sqrt(-3 k), where it is 2/3 of that: .172 for -5.
        let folded = CameraModel::SimpleRadial {
            f: 1000.0,
            cx: 500.0,
            cy: 500.0,
            k: -5.0,
        };
        let share = folded.share_with_a_ray(1000, 1000);
        let circle = std::f64::consts::PI * 0.172_f64.powi(2);
        assert!((share - circle).abs() < 0.03, "{share} of {circle}");
    }

    #[test]
    fn jacobians_agree_with_central_differences() {
        let h = 1e-6;
        for model in models() {
            let p = Vec3::new(0.35, -0.22, 1.3);
            let (_, by_point, by_params) = model.project_with_jacobians(&p).unwrap();
            for k in 0..3 {
                let mut e = Vec3::zeros();
                e[k] = h;
                let numeric = (model.project(&(p + e)).unwrap() - model.project(&(p - e)).unwrap())
                    / (2.0 * h);
                assert!(
                    (numeric - by_point.column(k)).norm() < 1e-5,
                    "{model:?} point {k}"
                );
            }
            let params = model.params();
            for k in 0..params.len() {
                let shifted = |d: f64| {
                    let mut q = params.clone();
                    q[k] += d;
                    CameraModel::from_params(model.kind(), &q)
                        .unwrap()
                        .project(&p)
                        .unwrap()
                };
                let numeric = (shifted(h) - shifted(-h)) / (2.0 * h);
                assert!(
                    (numeric - by_params.column(k)).norm() < 1e-5,
                    "{model:?} param {k}"
                );
            }
        }
    }

    #[test]
    fn a_resized_picture_scales_pixels() {
        for model in models() {
            let p = Vec3::new(0.2, 0.1, 1.0);
            let full = model.project(&p).unwrap();
            let half = model.scaled(0.5, 0.5).project(&p).unwrap();
            assert!((full * 0.5 - half).norm() < 1e-12);
        }
    }
}
