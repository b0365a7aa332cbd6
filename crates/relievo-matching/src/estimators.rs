//! E, F and H of a pair as RANSAC models. Points are undistorted normalised
//! coordinates; residuals are pixels.

use relievo_geometry::epipolar::{
    Sampson, essential_from_pose, pose_from_essential, refine_fundamental, refine_relative_pose,
};
use relievo_geometry::homography::{refine_homography, transfer};
use relievo_geometry::solvers::{five_point, homography_4pt, seven_point};
use relievo_geometry::{Mat3, Rigid3, Vec2, Vec3};
use relievo_optim::Estimator;

/// Matched points of a pair.
#[derive(Clone, Debug, Default)]
pub struct PointPairs {
    /// Normalised coordinates in a.
    pub a: Vec<Vec2>,
    /// Normalised coordinates in b.
    pub b: Vec<Vec2>,
    /// Mean focal length of a in pixels.
    pub focal_a_px: f64,
    /// Mean focal length of b in pixels.
    pub focal_b_px: f64,
}

impl PointPairs {
    /// The pairs at `indices`.
    #[must_use]
    pub fn subset(&self, indices: &[usize]) -> Self {
        Self {
            a: indices.iter().map(|&i| self.a[i]).collect(),
            b: indices.iter().map(|&i| self.b[i]).collect(),
            ..*self
        }
    }

    /// Sampson's distance in pixels of this pair.
    pub fn sampson(&self) -> Sampson {
        Sampson::new(self.focal_a_px, self.focal_b_px)
    }

    fn rays<const N: usize>(&self, sample: &[usize]) -> Option<([Vec3; N], [Vec3; N])> {
        let sample: &[usize; N] = sample.try_into().ok()?;
        let ray = |p: &Vec2| Vec3::new(p.x, p.y, 1.0);
        Some((
            sample.map(|i| ray(&self.a[i])),
            sample.map(|i| ray(&self.b[i])),
        ))
    }

    fn weighted<'p>(
        &'p self,
        inliers: &'p [usize],
        weights: &'p [f64],
    ) -> impl Iterator<Item = (Vec2, Vec2, f64)> + Clone + 'p {
        inliers
            .iter()
            .zip(weights)
            .map(|(&i, &w)| (self.a[i], self.b[i], w))
    }
}

/// The essential matrix: five-point samples, Sampson distance, Gauss–Newton
/// on R and t.
#[derive(Clone, Copy, Debug)]
pub struct EssentialEstimator<'p> {
    pairs: &'p PointPairs,
    sampson: Sampson,
}

impl<'p> EssentialEstimator<'p> {
    /// Over these pairs.
    pub fn new(pairs: &'p PointPairs) -> Self {
        Self {
            pairs,
            sampson: pairs.sampson(),
        }
    }

    /// The pose of E with most of `inliers` in front of both cameras.
    pub fn pose(&self, e: &Mat3, inliers: &[usize]) -> Option<(Rigid3, usize)> {
        let near = self.pairs.subset(inliers);
        pose_from_essential(e, &near.a, &near.b)
    }
}

impl Estimator for EssentialEstimator<'_> {
    type Model = Mat3;
    const MIN_SAMPLE: usize = 5;

    fn len(&self) -> usize {
        self.pairs.a.len()
    }

    fn solve(&self, sample: &[usize], models: &mut Vec<Mat3>) {
        if let Some((a, b)) = self.pairs.rays::<5>(sample) {
            models.extend(five_point(&a, &b));
        }
    }

    #[inline]
    fn squared_residual(&self, e: &Mat3, i: usize) -> f64 {
        self.sampson.squared(e, &self.pairs.a[i], &self.pairs.b[i])
    }

    fn refine(&self, e: &Mat3, inliers: &[usize], weights: &[f64]) -> Option<Mat3> {
        // Any of the four poses parametrises E.
        let [start, ..] = relievo_geometry::epipolar::decompose_essential(e)?;
        let pairs = self.pairs.weighted(inliers, weights);
        let pose = refine_relative_pose(&start, pairs, &self.sampson, 3)?;
        let e = essential_from_pose(&pose);
        let norm = e.norm();
        (norm > 0.0).then(|| e / norm)
    }
}

/// The fundamental matrix in the coordinates of the assumed calibration.
#[derive(Clone, Copy, Debug)]
pub struct FundamentalEstimator<'p> {
    pairs: &'p PointPairs,
    sampson: Sampson,
}

impl<'p> FundamentalEstimator<'p> {
    /// Over these pairs.
    pub fn new(pairs: &'p PointPairs) -> Self {
        Self {
            pairs,
            sampson: pairs.sampson(),
        }
    }
}

impl Estimator for FundamentalEstimator<'_> {
    type Model = Mat3;
    const MIN_SAMPLE: usize = 7;

    fn len(&self) -> usize {
        self.pairs.a.len()
    }

    fn solve(&self, sample: &[usize], models: &mut Vec<Mat3>) {
        if let Some((a, b)) = self.pairs.rays::<7>(sample) {
            models.extend(seven_point(&a, &b));
        }
    }

    #[inline]
    fn squared_residual(&self, f: &Mat3, i: usize) -> f64 {
        self.sampson.squared(f, &self.pairs.a[i], &self.pairs.b[i])
    }

    fn refine(&self, f: &Mat3, inliers: &[usize], weights: &[f64]) -> Option<Mat3> {
        refine_fundamental(f, self.pairs.weighted(inliers, weights), &self.sampson)
    }
}

/// A homography and its inverse.
#[derive(Clone, Copy, Debug)]
pub struct Homography {
    /// x_b ~ H x_a, det H > 0.
    pub b_from_a: Mat3,
    /// Its inverse.
    pub a_from_b: Mat3,
}

impl Homography {
    fn new(h: Mat3) -> Option<Self> {
        h.try_inverse().map(|inverse| Self {
            b_from_a: h,
            a_from_b: inverse,
        })
    }
}

/// The homography: four-point samples, the larger of the two transfer errors.
#[derive(Clone, Copy, Debug)]
pub struct HomographyEstimator<'p> {
    pairs: &'p PointPairs,
}

impl<'p> HomographyEstimator<'p> {
    /// Over these pairs.
    pub fn new(pairs: &'p PointPairs) -> Self {
        Self { pairs }
    }
}

impl Estimator for HomographyEstimator<'_> {
    type Model = Homography;
    const MIN_SAMPLE: usize = 4;

    fn len(&self) -> usize {
        self.pairs.a.len()
    }

    fn solve(&self, sample: &[usize], models: &mut Vec<Homography>) {
        let Ok(sample) = <&[usize; 4]>::try_from(sample) else {
            return;
        };
        let a = sample.map(|i| self.pairs.a[i]);
        let b = sample.map(|i| self.pairs.b[i]);
        models.extend(homography_4pt(&a, &b).and_then(Homography::new));
    }

    #[inline]
    fn squared_residual(&self, h: &Homography, i: usize) -> f64 {
        let (a, b) = (&self.pairs.a[i], &self.pairs.b[i]);
        let forward = (transfer(&h.b_from_a, a) - b).norm_squared() * self.pairs.focal_b_px.powi(2);
        let backward =
            (transfer(&h.a_from_b, b) - a).norm_squared() * self.pairs.focal_a_px.powi(2);
        // Not `max`: that would drop a NaN.
        if forward > backward {
            forward
        } else {
            backward
        }
    }

    fn refine(&self, h: &Homography, inliers: &[usize], weights: &[f64]) -> Option<Homography> {
        refine_homography(&h.b_from_a, self.pairs.weighted(inliers, weights))
            .and_then(Homography::new)
    }
}
