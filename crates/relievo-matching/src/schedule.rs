//! A pair from coarse to fine: cheap tests first, all features last.
//!
//! 1. The features of largest scale, which survive most changes of view (Wu,
//!    "Towards linear-time incremental structure from motion", 3DV 2013): pairs
//!    without matches among them are given up.
//! 2. Twice as many of them give the epipolar geometry; where these do not
//!    suffice, four times as many.
//! 3. All features are matched inside its band; what is found there is held
//!    against all features of the other photo (of many, those in cells of alike
//!    ones), so that ratio and mutual test are nearly those of a full match, and verified.
//!
//! Step 3 therefore gives about what a full match gives inside the band, at a part of
//! its cost. (Without the second half of it there are 40 to 55 % more matches; on
//! rendered sets they made the cameras worse by a third.)
//!
//! What the second step shows to be a plane or a rotation, or leaves open with
//! many matches, is matched in full.

use crate::band::{BandSide, nearest_in_band};
use crate::brute_force::{MatchOptions, choose, match_slices};
use crate::cells::Search;
use crate::match_sketched::{clearly_nearest, match_sketched};
use crate::prepared::PreparedView;
use crate::sketch::Sketched;
use crate::verify::{VerifyOptions, ViewSide, verify_pair};
use relievo_geometry::Mat3;
use relievo_scene::{Camera, Match, TwoViewGeometry, TwoViewKind, ViewId};
use relievo_task::Isa;

relievo_task::options! {
    /// Options of [`match_pair`].
    pub struct ScheduleOptions {
        /// Features of largest scale that are compared first; 0 compares all
        /// descriptors of every pair.
        overlap_features: usize = 1024, "features", "measured: docs/decisions.md";
        /// Pairs with fewer matches among these are given up.
        overlap_matches: usize = 3, "matches", "Wu 2013, section 3, asks for 4; measured: docs/decisions.md";
        /// Features of largest scale that give the epipolar geometry, twice as
        /// many at the second try; 0 matches the pairs that are left in full.
        coarse_features: usize = 2048, "features", "measured: docs/decisions.md";
        /// Pairs with fewer matches among these are given up; three times as
        /// many are asked for at the second try.
        coarse_matches: usize = 7, "matches", "measured: docs/decisions.md";
        /// Fewest inliers that decide a geometry without trusted focal lengths.
        coarse_inliers: usize = 30, "matches", "twice min_inliers";
        /// Part of the coarse inliers that the band must give; below it all
        /// features are compared.
        band_share: f64 = 0.6, "", "measured: docs/decisions.md";
        /// Half width of the band in which all features are matched, in units
        /// of the largest inlier distance.
        band_ratio: f64 = 2.0, "", "large features are less exact";
    }
}

/// One side of a pair that is to be matched.
#[derive(Clone, Copy, Debug)]
pub struct MatchSide<'f> {
    /// Features and camera.
    pub view: ViewSide<'f>,
    /// What all its pairs share.
    pub prepared: &'f PreparedView,
}

impl MatchSide<'_> {
    fn sketched(&self) -> Sketched<'_> {
        Sketched {
            descriptors: &self.view.features.descriptors,
            sketches: &self.prepared.sketches,
        }
    }

    fn in_band(&self) -> BandSide<'_> {
        BandSide {
            points: &self.prepared.undistorted,
            order: &self.prepared.order,
            descriptors: &self.view.features.descriptors,
        }
    }
}

/// Matches and verifies the pair `ids` (a < b); see [`verify_pair`].
pub fn match_pair(
    ids: (ViewId, ViewId),
    a: &MatchSide<'_>,
    b: &MatchSide<'_>,
    options: (&ScheduleOptions, &MatchOptions, &VerifyOptions),
    (seed, isa): (u64, Isa),
) -> TwoViewGeometry {
    let (schedule, matching, verification) = options;
    let few = schedule.overlap_features;
    let (all_a, all_b) = (a.sketched(), b.sketched());
    if few > 0 && all_a.sketches.len().max(all_b.sketches.len()) > few {
        let score = match_sketched(
            all_a.first(few),
            all_b.first(few),
            Search::Quick,
            matching,
            isa,
        )
        .len();
        if score < schedule.overlap_matches {
            return verify_pair(ids, &a.view, &b.view, &[], verification, seed);
        }
        match coarse_to_fine(ids, a, b, options, (seed, isa)) {
            Coarse::Done(found) => return *found,
            Coarse::Hopeless => {
                return verify_pair(ids, &a.view, &b.view, &[], verification, seed);
            }
            Coarse::Open => {}
        }
    }
    let putative = if few == 0 {
        match_slices(all_a.descriptors, all_b.descriptors, matching, isa)
    } else {
        match_sketched(all_a, all_b, Search::Thorough, matching, isa)
    };
    verify_pair(ids, &a.view, &b.view, &putative, verification, seed)
}

/// What steps 2 and 3 came to.
enum Coarse {
    Done(Box<TwoViewGeometry>),
    Hopeless,
    Open,
}

/// Steps 2 and 3.
fn coarse_to_fine(
    ids: (ViewId, ViewId),
    a: &MatchSide<'_>,
    b: &MatchSide<'_>,
    (schedule, matching, verification): (&ScheduleOptions, &MatchOptions, &VerifyOptions),
    (seed, isa): (u64, Isa),
) -> Coarse {
    let (all_a, all_b) = (a.sketched(), b.sketched());
    let (n, m) = (all_a.sketches.len(), all_b.sketches.len());
    for times in [1, 2] {
        let few = times * schedule.coarse_features;
        if few == 0 || 2 * n.max(m) < 3 * few {
            return Coarse::Open;
        }
        let putative = match_sketched(
            all_a.first(few),
            all_b.first(few),
            Search::Quick,
            matching,
            isa,
        );
        if putative.len() < (2 * times - 1) * schedule.coarse_matches {
            return Coarse::Hopeless;
        }
        let coarse = verify_pair(ids, &a.view, &b.view, &putative, verification, seed);
        match coarse.kind {
            TwoViewKind::Calibrated => {}
            TwoViewKind::Uncalibrated if coarse.inliers.len() >= schedule.coarse_inliers => {}
            TwoViewKind::Degenerate | TwoViewKind::Uncalibrated => continue,
            TwoViewKind::Planar | TwoViewKind::PureRotation | TwoViewKind::Watermark => {
                return Coarse::Open;
            }
        }
        return match in_band(
            ids,
            a,
            b,
            &coarse,
            (schedule, matching, verification),
            (seed, isa),
        ) {
            Some(found) => Coarse::Done(Box::new(found)),
            None => Coarse::Open,
        };
    }
    Coarse::Open
}

/// Step 3; `None` where it finds much less than `coarse` holds. (Some less is
/// usual: among fewer features fewer fail the ratio test.)
fn in_band(
    ids: (ViewId, ViewId),
    a: &MatchSide<'_>,
    b: &MatchSide<'_>,
    coarse: &TwoViewGeometry,
    (schedule, matching, verification): (&ScheduleOptions, &MatchOptions, &VerifyOptions),
    (seed, isa): (u64, Isa),
) -> Option<TwoViewGeometry> {
    let f = coarse.f?;
    let threshold = (a.view.threshold_px(verification)).max(b.view.threshold_px(verification));
    let band = (schedule.band_ratio * threshold) as f32;
    let putative = band_matches(a, b, &f, band, matching, isa);
    // Where the focal lengths did not hold, the band must not make them look
    // as if they did.
    let free = |side: &ViewSide<'_>| Camera {
        has_prior_focal: side.camera.has_prior_focal && coarse.kind == TwoViewKind::Calibrated,
        ..*side.camera
    };
    let (ca, cb) = (free(&a.view), free(&b.view));
    let (fa, fb) = (
        ViewSide {
            camera: &ca,
            ..a.view
        },
        ViewSide {
            camera: &cb,
            ..b.view
        },
    );
    let fine = verify_pair(ids, &fa, &fb, &putative, verification, seed);
    let least = schedule.band_share * coarse.inliers.len() as f64;
    let enough = fine.inliers.len() as f64 >= least;
    (fine.kind != TwoViewKind::Degenerate && enough).then_some(fine)
}

/// Those matches of all features that lie inside the band around the epipolar
/// lines of `f`, one to one, ordered by `a_idx`. `f` relates pixels of the pictures without distortion.
fn band_matches(
    a: &MatchSide<'_>,
    b: &MatchSide<'_>,
    f: &Mat3,
    band_px: f32,
    options: &MatchOptions,
    isa: Isa,
) -> Vec<Match> {
    let (from_a, from_b) = nearest_in_band(a.in_band(), b.in_band(), f, band_px, isa);
    let found = choose(&from_a, &from_b, options);
    let (all_a, all_b) = (a.sketched(), b.sketched());
    let found = clearly_nearest(found, |m| (m.a_idx, m.b_idx), (all_a, all_b), options, isa);
    if options.mutual {
        clearly_nearest(found, |m| (m.b_idx, m.a_idx), (all_b, all_a), options, isa)
    } else {
        found
    }
}
