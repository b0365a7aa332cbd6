//! Options of the mappers.

use relievo_task::options;
use serde::{Deserialize, Serialize};

/// When the principal point is freed in the last bundle adjustment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrincipalPoint {
    /// Where the data determine it: posterior σ under
    /// `principal_point_max_sigma` of the width, and the error of observations
    /// that were held out falls; by a tenth where it would move far.
    #[default]
    Auto,
    /// Never: it stays where the camera says.
    Fixed,
    /// Always in the last adjustment.
    Refined,
}

/// Which distortion terms a camera may get beyond those that it starts with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Distortion {
    /// k2, then p1 and p2, where the data determine them and the error of held-out
    /// observations falls significantly.
    #[default]
    Auto,
    /// None.
    Given,
}

/// How the first poses are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MapperKind {
    /// Photo after photo; where this leaves photos out that matches connect, all
    /// at once, too, and the better of both is kept by the number of photos and
    /// the error of held-out observations.
    #[default]
    Auto,
    /// Photo after photo (Schönberger & Frahm 2016).
    Incremental,
    /// All at once (Pan et al. 2024).
    Global,
}

options! {
    /// Options of the mappers and their bundle adjustments.
    pub struct SfmOptions {
        /// How the first poses are found: auto, incremental or global.
        mapper: MapperKind = MapperKind::Auto, "", "the incremental mapper is as accurate where it places every photo: docs/decisions.md";
        /// Leave out pairs whose matches lead elsewhere than the ways around third photos.
        check_triplets: bool = true, "", "Zach et al. 2010: places that look alike";
        /// Build the model again without links between groups of photos that more matches contradict than support.
        check_links: bool = true, "", "docs/decisions.md";
        /// Keep every intrinsic value as given.
        fix_intrinsics: bool = false, "", "the photos decide unless the user knows better";
        /// Sigma of a given focal length, as a measurement beside those of the photos; at most 0.003 of one named by --camera.
        focal_prior_sigma: f64 = 0.02, "of the focal length", "EXIF: zoom lenses breathe, and telephones round";
        /// When the principal point is refined at the end: auto, fixed or refined.
        principal_point: PrincipalPoint = PrincipalPoint::Auto, "", "PEERS.md: 6.1 to 2.8 mm on unknown intrinsics where it is well determined";
        /// Largest posterior sigma of a principal point that may be refined, as a part of the picture's width.
        principal_point_max_sigma: f64 = 0.003, "of the width", "judgement: 9 px of a 3000 px photo";
        /// A principal point that would move further must lower the held-out error by a tenth: a small gain may as well be what the camera model lacks.
        principal_point_far: f64 = 0.02, "of the width", "judgement: docs/decisions.md";
        /// Distortion terms beyond those of the camera's model: auto or given (none).
        distortion: Distortion = Distortion::Auto, "", "docs/decisions.md";
        /// Largest posterior sigma of a focal length beside which the distortion of a camera with three photos, or further terms, are freed.
        distortion_max_sigma: f64 = 0.005, "of the focal length", "measured on triples of four sets: 0.0003 to 0.0025";
        /// Fewest points of the first pair; halved twice when no pair reaches it.
        init_min_points: usize = 100, "points", "COLMAP";
        /// Median ray angle that the first pair should reach; halved twice when no pair reaches it.
        init_min_angle_deg: f64 = 12.0, "degrees", "COLMAP uses 16; wide-baseline SIFT loses matches there";
        /// First pairs tried before giving up on a model.
        init_max_trials: usize = 30, "pairs", "judgement";
        /// Fewest inliers of the pose of a new photo.
        register_min_inliers: usize = 30, "points", "COLMAP";
        /// Fewest inliers of the pose of a photo that failed before, in the relaxed last round.
        register_relaxed_min_inliers: usize = 15, "points", "judgement: three times what the solver and two checks need";
        /// Smallest part of the 2-D to 3-D matches that must agree with the pose.
        register_min_inlier_ratio: f64 = 0.25, "", "COLMAP";
        /// Reprojection error of an inlier of a new pose, for a photo 2000 px wide; scales with the size.
        register_max_error_px: f64 = 8.0, "px", "COLMAP uses 12";
        /// Largest reprojection error of an observation, for a photo 2000 px wide; scales with the size but never under 2 px.
        max_error_px: f64 = 4.0, "px", "COLMAP";
        /// Smallest angle between the rays of a point.
        min_angle_deg: f64 = 1.5, "degrees", "COLMAP";
        /// Growth (photos or points) after which everything is adjusted.
        global_growth: f64 = 1.1, "", "COLMAP";
        /// Views in a local adjustment, the new one included.
        local_views: usize = 6, "views", "COLMAP";
        /// Iterations of one local adjustment.
        local_iterations: usize = 10, "iterations", "measured: the cost is flat after 6";
        /// Iterations of one global adjustment while the model grows.
        global_iterations: usize = 15, "iterations", "judgement; the last adjustment has its own";
        /// Iterations of the last adjustment.
        final_iterations: usize = 60, "iterations", "judgement";
        /// Relative decrease of the cost that ends an adjustment while the model grows.
        growth_tolerance: f64 = 1e-4, "", "judgement";
        /// Relative decrease of the cost that ends the last adjustment.
        final_tolerance: f64 = 1e-8, "", "judgement";
        /// Steps of poses and cameras that end the last adjustment, in parts of their standard deviations.
        final_block_tolerance: f64 = 0.005, "sigma", "measured: positions of four sets the same to 0.01 mm, a quarter of the iterations";
        /// Scale of the Cauchy loss of the last adjustments.
        loss_scale_px: f64 = 1.0, "px", "PEERS.md";
        /// Smaller models than this are dropped.
        min_model_views: usize = 3, "photos", "COLMAP uses 10; small sets are fine here. Two photos are accepted where only two are given";
        /// Most models that are built from one set.
        max_models: usize = 20, "models", "COLMAP allows 50";
    }
}
