//! Which geometry relates two pictures, and which matches obey it.
//!
//! After COLMAP's two-view geometry (Schönberger & Frahm, CVPR 2016, §4.1):
//! E where focal lengths are known, F where they are not (or where it explains
//! clearly more), H to tell planes and pure rotations. Departures: F is only
//! estimated where it is needed, a pure rotation is recognised by fitting one,
//! and the number of inliers must be significant against chance.

use crate::estimators::{
    EssentialEstimator, FundamentalEstimator, HomographyEstimator, PointPairs,
};
use crate::rotation::fit_rotation;
use crate::watermark::{border_translation, standing_in_border};
use relievo_geometry::epipolar::{cheirality, essential_from_pose, fundamental_from_essential};
use relievo_geometry::homography::decompose_homography;
use relievo_geometry::{Mat3, Rigid3, Vec2, Vec3};
use relievo_optim::{Estimator, RansacOptions, RansacResult, lo_ransac};
use relievo_scene::{Camera, Features, Match, TwoViewGeometry, TwoViewKind, ViewId};

relievo_task::options! {
    /// Options of [`verify_pair`].
    pub struct VerifyOptions {
        /// Largest distance from the epipolar line, or of a transferred
        /// point, in a picture of 3,200 px; scaled with the longer side.
        max_error_px: f64 = 4.0, "px at 3200 px", "COLMAP, whose pictures are at most 3,200 px";
        /// The scaled distance is never below this.
        min_error_px: f64 = 2.0, "px", "keypoints of small pictures are no sharper";
        /// Least inliers of a verified pair.
        min_inliers: usize = 15, "matches", "COLMAP min_num_inliers";
        /// Least part of the putative matches that are inliers.
        min_inlier_ratio: f64 = 0.1, "", "judgement: below it the model is chance";
        /// A homography with this part of the inliers explains the pair.
        max_homography_ratio: f64 = 0.8, "", "COLMAP max_H_inlier_ratio";
        /// Part of the inliers that a rotation alone must explain.
        rotation_ratio: f64 = 0.8, "", "as max_homography_ratio";
        /// E is trusted where it has this part of F's inliers.
        min_essential_ratio: f64 = 0.95, "", "COLMAP min_E_F_inlier_ratio";
        /// Part of the inliers in the borders that makes a watermark.
        watermark_ratio: f64 = 0.7, "", "COLMAP watermark_min_inlier_ratio";
        /// Probability that a better model would have been sampled.
        confidence: f64 = 0.9999, "", "judgement";
        /// Most samples of a model.
        max_iterations: usize = 2000, "samples", "30 % inliers with five points, 99 %";
        /// ARRSAC searches on where fewer inliers leave the loop unsure and
        /// there are at least this many matches; 0 never.
        arrsac_min_matches: usize = 0, "matches", "measured: docs/decisions.md";
    }
}

/// Samples for a plane that holds most of the inliers: at a ratio of 0.7 all
/// of four are on it once in four.
const PLANE_ITERATIONS: usize = 60;
/// Samples for a pose under guessed focal lengths, which is only a start.
const POSE_ITERATIONS: usize = 200;

/// One side of a pair.
#[derive(Clone, Copy, Debug)]
pub struct ViewSide<'f> {
    /// Its features.
    pub features: &'f Features,
    /// Its starting intrinsics; the focal length is trusted where
    /// `has_prior_focal`.
    pub camera: &'f Camera,
}

impl ViewSide<'_> {
    pub(crate) fn pixel(&self, idx: u32) -> Option<Vec2> {
        let k = self.features.keypoints.get(idx as usize)?;
        let p = Vec2::new(f64::from(k.x_px), f64::from(k.y_px));
        p.iter().all(|v| v.is_finite()).then_some(p)
    }

    /// Where the keypoints would be without distortion, px; NaN where that is
    /// unknown.
    pub(crate) fn undistorted_pixels(&self) -> Vec<[f32; 2]> {
        let model = &self.camera.model;
        let (fx, fy) = model.focal_px();
        let c = model.principal_point_px();
        (0..self.features.len() as u32)
            .map(|i| {
                let Some(p) = self.pixel(i) else {
                    return [f32::NAN; 2];
                };
                let ray = model.unproject(&p);
                [(fx * ray.x + c.x) as f32, (fy * ray.y + c.y) as f32]
            })
            .collect()
    }

    fn size(&self) -> (f64, f64) {
        (
            f64::from(self.camera.width_px),
            f64::from(self.camera.height_px),
        )
    }

    /// The inlier threshold in pixels of this picture.
    pub(crate) fn threshold_px(&self, options: &VerifyOptions) -> f64 {
        let (w, h) = self.size();
        (options.max_error_px * w.max(h) / 3200.0).max(options.min_error_px)
    }
}

/// Verifies the putative matches of (a, b), a < b.
///
/// Always returns: [`TwoViewKind::Degenerate`] without inliers where nothing
/// explains the matches. Matches with indices outside the features or
/// coordinates that are not finite are ignored. With an untrusted focal
/// length the kind is [`TwoViewKind::Uncalibrated`], the inliers are F's, and
/// `b_from_a` is the pose under the guessed focal length. The same input and
/// seed give the same bits.
pub fn verify_pair(
    (a_id, b_id): (ViewId, ViewId),
    a: &ViewSide<'_>,
    b: &ViewSide<'_>,
    matches: &[Match],
    options: &VerifyOptions,
    seed: u64,
) -> TwoViewGeometry {
    let pair = Pair::new(a, b, matches, options);
    let stamp = pair.stamp();
    if !stamp.is_empty() {
        // What is under the watermark may still be a pair.
        let below = Pair::new(a, b, &pair.without(&stamp), options);
        let outcome = below.explain(seed);
        if outcome.kind != TwoViewKind::Degenerate {
            return below.geometry(a_id, b_id, &outcome);
        }
        let only_stamp = Outcome {
            kind: TwoViewKind::Watermark,
            inliers: stamp,
            ..outcome
        };
        return pair.geometry(a_id, b_id, &only_stamp);
    }
    let mut outcome = pair.explain(seed);
    let border = pair.border_translation(&outcome.inliers);
    if border.len() as f64 >= options.watermark_ratio * outcome.inliers.len().max(1) as f64 {
        outcome.kind = TwoViewKind::Watermark;
        outcome.b_from_a = None;
        outcome.f = None;
    }
    pair.geometry(a_id, b_id, &outcome)
}

/// Putative matches in normalised coordinates, best first.
struct Pair<'p> {
    a: &'p ViewSide<'p>,
    b: &'p ViewSide<'p>,
    matches: Vec<Match>,
    points: PointPairs,
    options: &'p VerifyOptions,
    threshold_px: f64,
}

struct Outcome {
    kind: TwoViewKind,
    /// Indices into the pair's matches, ascending.
    inliers: Vec<usize>,
    b_from_a: Option<Rigid3>,
    /// F in normalised coordinates.
    f: Option<Mat3>,
}

impl Outcome {
    fn degenerate() -> Self {
        Self {
            kind: TwoViewKind::Degenerate,
            inliers: Vec::new(),
            b_from_a: None,
            f: None,
        }
    }
}

impl<'p> Pair<'p> {
    fn new(
        a: &'p ViewSide<'p>,
        b: &'p ViewSide<'p>,
        matches: &[Match],
        options: &'p VerifyOptions,
    ) -> Self {
        let mut usable: Vec<(u32, Match)> = matches
            .iter()
            .filter(|m| a.pixel(m.a_idx).is_some() && b.pixel(m.b_idx).is_some())
            .map(|m| (similarity(a.features, b.features, *m), *m))
            .collect();
        // Best first, for PROSAC.
        usable.sort_by(|x, y| y.0.cmp(&x.0).then(x.1.cmp(&y.1)));
        let matches: Vec<Match> = usable.into_iter().map(|(_, m)| m).collect();
        let normalised = |side: &ViewSide<'_>, idx: u32| {
            let pixel = side.pixel(idx).unwrap_or_else(Vec2::zeros);
            side.camera.model.unproject(&pixel)
        };
        let points = PointPairs {
            a: matches.iter().map(|m| normalised(a, m.a_idx)).collect(),
            b: matches.iter().map(|m| normalised(b, m.b_idx)).collect(),
            focal_a_px: a.camera.model.mean_focal_px(),
            focal_b_px: b.camera.model.mean_focal_px(),
        };
        Self {
            threshold_px: a.threshold_px(options).max(b.threshold_px(options)),
            a,
            b,
            matches,
            points,
            options,
        }
    }

    /// A model with `min_inliers` and more that are significant, if any.
    fn ransac<E: Estimator>(
        &self,
        estimator: &E,
        min_inliers: usize,
        seed: u64,
    ) -> Option<RansacResult<E::Model>> {
        let least = min_inliers.max(self.least_significant());
        let found =
            self.ransac_up_to(self.options.max_iterations, least, (estimator, 1.0), seed)?;
        (found.inliers.len() >= least).then_some(found)
    }

    fn ransac_up_to<E: Estimator>(
        &self,
        max_iterations: usize,
        min_inliers: usize,
        (estimator, scale): (&E, f64),
        seed: u64,
    ) -> Option<RansacResult<E::Model>> {
        let options = RansacOptions {
            threshold: self.threshold_px * scale,
            confidence: self.options.confidence,
            max_iterations: max_iterations.min(self.options.max_iterations),
            min_inliers,
            prosac: true,
            arrsac_min_data: self.options.arrsac_min_matches,
            ..RansacOptions::default()
        };
        lo_ransac(estimator, &options, seed)
    }

    /// The fewest inliers that the options and chance demand.
    fn least_significant(&self) -> usize {
        let ratio = self.options.min_inlier_ratio * self.matches.len() as f64;
        let least = ratio.max(self.chance(self.matches.len())).ceil() as usize;
        least.max(self.options.min_inliers)
    }

    /// The inliers that chance may give among so many matches: a wrong
    /// epipolar band holds part p of them; binomial mean plus five
    /// deviations, plus the seven of the sample.
    fn chance(&self, matches: usize) -> f64 {
        let (w, h) = self.b.size();
        let p = (2.0 * self.threshold_px * w.hypot(h) / (w * h)).min(0.5);
        let n = matches as f64;
        n * p + 5.0 * (n * p * (1.0 - p)).sqrt() + 7.0
    }

    fn explain(&self, seed: u64) -> Outcome {
        if self.matches.len() < self.options.min_inliers {
            return Outcome::degenerate();
        }
        let trusted = self.a.camera.has_prior_focal && self.b.camera.has_prior_focal;
        let found = if trusted {
            self.calibrated(seed)
        } else {
            self.uncalibrated(seed, 0)
        };
        found
            .or_else(|| self.homography_alone(seed))
            .map_or_else(Outcome::degenerate, |outcome| {
                self.without_parallax(outcome, trusted, seed)
            })
    }

    /// Where E and F have no answer: exact copies and exact rotations make
    /// their minimal problems singular.
    fn homography_alone(&self, seed: u64) -> Option<Outcome> {
        let found = self.ransac(&HomographyEstimator::new(&self.points), 0, seed)?;
        Some(Outcome {
            kind: TwoViewKind::Planar,
            inliers: found.inliers,
            b_from_a: None,
            f: None,
        })
    }

    /// E; F where E leaves many matches out.
    fn calibrated(&self, seed: u64) -> Option<Outcome> {
        let estimator = EssentialEstimator::new(&self.points);
        let found = self.ransac(&estimator, 0, seed)?;
        if found.inliers.len() as f64 <= 0.6 * self.matches.len() as f64 {
            let least = found.inliers.len() as f64 / self.options.min_essential_ratio;
            if let Some(outcome) = self.uncalibrated(seed, least as usize) {
                return Some(outcome);
            }
        }
        let (pose, _) = estimator.pose(&found.model, &found.inliers)?;
        Some(Outcome {
            kind: TwoViewKind::Calibrated,
            inliers: found.inliers,
            b_from_a: Some(pose),
            f: Some(found.model),
        })
    }

    /// F with more than `least` inliers, and the pose under the assumed focal
    /// lengths where there is one.
    fn uncalibrated(&self, seed: u64, least: usize) -> Option<Outcome> {
        let found = self.ransac(&FundamentalEstimator::new(&self.points), least + 1, seed)?;
        let near = self.points.subset(&found.inliers);
        let estimator = EssentialEstimator::new(&near);
        // A wrong focal length leaves residuals: a wider band.
        let pose = self
            .ransac_up_to(POSE_ITERATIONS, 0, (&estimator, 2.0), seed)
            .and_then(|e| estimator.pose(&e.model, &e.inliers))
            .map(|(pose, _)| pose);
        Some(Outcome {
            kind: TwoViewKind::Uncalibrated,
            inliers: found.inliers,
            b_from_a: pose,
            f: Some(found.model),
        })
    }

    /// Planes and pure rotations among what E or F explained.
    fn without_parallax(&self, mut outcome: Outcome, trusted: bool, seed: u64) -> Outcome {
        let total = outcome.inliers.len() as f64;
        if let Some(fit) = fit_rotation(&self.points, &outcome.inliers, self.threshold_px, !trusted)
            && fit.support as f64 >= self.options.rotation_ratio * total
        {
            if outcome.b_from_a.is_some() && self.has_parallax(outcome.inliers.len(), fit.support) {
                return outcome;
            }
            outcome.kind = TwoViewKind::PureRotation;
            outcome.b_from_a = Some(Rigid3::from_matrix(&fit.rotation, Vec3::zeros()));
            outcome.f = None;
            return outcome;
        }
        let near = self.points.subset(&outcome.inliers);
        let estimator = HomographyEstimator::new(&near);
        let least = (self.options.max_homography_ratio * total).ceil() as usize;
        let found = self.ransac_up_to(PLANE_ITERATIONS, least, (&estimator, 1.0), seed);
        let Some(found) = found.filter(|f| f.inliers.len() >= least) else {
            return outcome;
        };
        outcome.kind = TwoViewKind::Planar;
        if trusted && let Some(pose) = self.plane_pose(&found.model.b_from_a, &outcome) {
            outcome.b_from_a = Some(pose);
            let e = essential_from_pose(&pose);
            outcome.f = Some(e / e.norm().max(f64::MIN_POSITIVE));
        }
        outcome
    }

    /// True where enough inliers are left that a rotation does not explain: a
    /// far background turns, but the foreground gives the baseline.
    fn has_parallax(&self, inliers: usize, turned: usize) -> bool {
        let left = inliers.saturating_sub(turned);
        let others = self.matches.len().saturating_sub(turned);
        left >= self.options.min_inliers && left as f64 >= self.chance(others)
    }

    /// Of the motions of a homography and the one found by E: the one whose
    /// band holds the inliers best while they lie in front of both cameras.
    fn plane_pose(&self, h: &Mat3, outcome: &Outcome) -> Option<Rigid3> {
        let sampson = self.points.sampson();
        let limit = self.threshold_px * self.threshold_px;
        let mut best: Option<(f64, Rigid3)> = None;
        let motions = decompose_homography(h).into_iter().map(|m| m.b_from_a);
        for motion in outcome.b_from_a.into_iter().chain(motions) {
            let Some(t) = motion.translation.try_normalize(1e-9) else {
                continue;
            };
            let pose = Rigid3::new(motion.rotation, t);
            let (e, r) = (essential_from_pose(&pose), pose.matrix());
            let gain: f64 = outcome
                .inliers
                .iter()
                .map(|&i| {
                    let (a, b) = (&self.points.a[i], &self.points.b[i]);
                    let r2 = sampson.squared(&e, a, b);
                    let near = if r2 < limit { 1.0 - r2 / limit } else { 0.0 };
                    near * cheirality(&pose, &r, a, b)
                })
                .sum();
            if gain > best.map_or(0.0, |(g, _)| g) {
                best = Some((gain, pose));
            }
        }
        best.map(|(_, pose)| pose)
    }

    fn pixels(&self, indices: impl Iterator<Item = usize>) -> Vec<(Vec2, Vec2)> {
        indices
            .filter_map(|i| {
                let m = self.matches[i];
                Some((self.a.pixel(m.a_idx)?, self.b.pixel(m.b_idx)?))
            })
            .collect()
    }

    /// The inliers that moved with the borders, ascending.
    fn border_translation(&self, inliers: &[usize]) -> Vec<usize> {
        let pixels = self.pixels(inliers.iter().copied());
        border_translation(&pixels, self.a.size(), self.b.size(), self.threshold_px)
            .into_iter()
            .map(|k| inliers[k])
            .collect()
    }

    /// Matches in the borders that stand still while the rest moves,
    /// ascending; empty where they are fewer than a pair needs.
    fn stamp(&self) -> Vec<usize> {
        let pixels = self.pixels(0..self.matches.len());
        let stamp = standing_in_border(&pixels, self.a.size(), self.b.size(), self.threshold_px);
        if stamp.len() < self.options.min_inliers {
            return Vec::new();
        }
        stamp
    }

    fn without(&self, indices: &[usize]) -> Vec<Match> {
        let kept = |i: &usize| indices.binary_search(i).is_err();
        (0..self.matches.len())
            .filter(kept)
            .map(|i| self.matches[i])
            .collect()
    }

    fn geometry(&self, a: ViewId, b: ViewId, outcome: &Outcome) -> TwoViewGeometry {
        let intrinsics = |side: &ViewSide<'_>| {
            let model = &side.camera.model;
            (model.focal_px(), model.principal_point_px())
        };
        let median_angle = outcome
            .b_from_a
            .filter(|_| outcome.kind != TwoViewKind::PureRotation)
            .map_or(0.0, |pose| self.median_angle(&pose, &outcome.inliers));
        let mut inliers: Vec<Match> = outcome.inliers.iter().map(|&i| self.matches[i]).collect();
        inliers.sort_unstable();
        TwoViewGeometry {
            a,
            b,
            kind: outcome.kind,
            inliers,
            b_from_a: outcome.b_from_a,
            f: outcome.f.and_then(|f| {
                fundamental_from_essential(&f, intrinsics(self.a), intrinsics(self.b))
            }),
            median_angle,
        }
    }

    fn median_angle(&self, pose: &Rigid3, inliers: &[usize]) -> f64 {
        let r = pose.matrix();
        let ray = |p: &Vec2| Vec3::new(p.x, p.y, 1.0);
        let mut angles: Vec<f64> = inliers
            .iter()
            .map(|&i| (r * ray(&self.points.a[i])).angle(&ray(&self.points.b[i])))
            .collect();
        angles.sort_by(f64::total_cmp);
        angles.get(angles.len() / 2).copied().unwrap_or(0.0)
    }
}

/// Dot product of the two descriptors; zero without descriptors.
fn similarity(a: &Features, b: &Features, m: Match) -> u32 {
    match (
        a.descriptors.get(m.a_idx as usize),
        b.descriptors.get(m.b_idx as usize),
    ) {
        (Some(x), Some(y)) => x
            .iter()
            .zip(y)
            .map(|(x, y)| u32::from(*x) * u32::from(*y))
            .sum(),
        _ => 0,
    }
}
