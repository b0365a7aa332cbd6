//! How well a pair of photos fits any focal lengths.
//!
//! For given focal lengths the essential matrix has five parameters; the epipolar errors
//! that the best one leaves, over a range of focal lengths, are the profile likelihood of
//! these. It needs no model, and unlike the singular values of F (Mendonça & Cipolla, CVPR 1999)
//! it weighs each pair by what its matches tell: where the optical axes meet, or the photos moved
//! along a line without turning, it is flat.

use crate::relative_pose::{calibration, rays};
use crate::scene::{Pair, Scene};
use relievo_geometry::epipolar::{
    Sampson, decompose_essential, essential_from_pose, refine_fundamental, refine_relative_pose,
};
use relievo_geometry::{Mat3, Rigid3, Vec2, Vec3};
use relievo_scene::Camera;

/// Fewest inliers of a pair that is asked.
const LEAST_INLIERS: usize = 50;
/// Inliers of a pair that are asked.
const ASKED: usize = 300;
/// Rounds of weights of F, and of E.
const ROUNDS: usize = 5;
/// Least scale of the loss, pixels.
const LEAST_SCALE_PX: f64 = 0.1;

/// A pair's matches, and what they leave where nothing is known of the cameras.
pub(crate) struct FocalProfile {
    pub(crate) camera_a: usize,
    pub(crate) camera_b: usize,
    /// In normalised coordinates of the assumed cameras.
    rays: Vec<(Vec2, Vec2)>,
    focal_a_px: f64,
    focal_b_px: f64,
    /// F of least error in these coordinates.
    f: Mat3,
    /// The pose that verification found under the assumed cameras. Of a plane many F are as good, and the
    /// one that was found may be far from any E.
    known: Option<Rigid3>,
    /// Scale of the loss: twice the standard deviation that F leaves.
    scale_px: f64,
}

impl FocalProfile {
    /// None where the pair tells too little, or has no E under the assumed cameras.
    pub(crate) fn new(scene: &Scene<'_>, cameras: &[Camera], pair: &Pair<'_>) -> Option<Self> {
        let all = rays(scene, cameras, pair);
        let start = pair.geometry.f.filter(|_| all.len() >= LEAST_INLIERS)?;
        let step = all.len().div_ceil(ASKED);
        let rays: Vec<(Vec2, Vec2)> = all.into_iter().step_by(step).collect();
        let (camera_a, camera_b) = (scene.camera_of[pair.a], scene.camera_of[pair.b]);
        let (model_a, model_b) = (&cameras[camera_a].model, &cameras[camera_b].model);
        let (focal_a_px, focal_b_px) = (model_a.mean_focal_px(), model_b.mean_focal_px());
        let sampson = Sampson::new(focal_a_px, focal_b_px);
        let mut f = calibration(model_b).transpose() * start * calibration(model_a);
        let mut scale_px = 1.0;
        for _ in 0..ROUNDS {
            f = refine_fundamental(&f, weighted(&rays, &f, sampson, scale_px), &sampson)?;
            let error = |(a, b): &(Vec2, Vec2)| sampson.squared(&f, a, b).sqrt();
            let mut errors: Vec<f64> = rays.iter().map(error).collect();
            errors.sort_by(f64::total_cmp);
            // Median absolute deviation of a normal distribution.
            scale_px = (2.0 * 1.4826 * errors[errors.len() / 2]).max(LEAST_SCALE_PX);
        }
        let found = Self {
            camera_a,
            camera_b,
            rays,
            focal_a_px,
            focal_b_px,
            f,
            known: pair
                .geometry
                .b_from_a
                .filter(|p| p.translation.norm() > 0.0),
            scale_px,
        };
        // That no E was found under what is assumed says nothing against it.
        found.cost(1.0, 1.0).is_finite().then_some(found)
    }

    /// Robust χ² that F leaves.
    pub(crate) fn free_cost(&self) -> f64 {
        let sampson = Sampson::new(self.focal_a_px, self.focal_b_px);
        self.cost_of(&self.f, &self.rays, sampson)
    }

    /// Robust χ² that the best E leaves where the focal lengths are these parts of those
    /// assumed; infinite where none is found.
    pub(crate) fn cost(&self, part_a: f64, part_b: f64) -> f64 {
        let moved = |(a, b): &(Vec2, Vec2)| (a / part_a, b / part_b);
        let rays: Vec<(Vec2, Vec2)> = self.rays.iter().map(moved).collect();
        let sampson = Sampson::new(self.focal_a_px * part_a, self.focal_b_px * part_b);
        let by = |part: f64| Mat3::from_diagonal(&Vec3::new(part, part, 1.0));
        let e = by(part_b) * self.f * by(part_a);
        // Any of the four poses parametrises E.
        let by_f = decompose_essential(&e).map(|[pose, ..]| pose);
        let refined = |start: Rigid3| {
            let mut pose = start;
            for _ in 0..ROUNDS {
                let e = essential_from_pose(&pose);
                let near = weighted(&rays, &e, sampson, self.scale_px);
                pose = refine_relative_pose(&pose, near, &sampson, 2)?;
            }
            Some(self.cost_of(&essential_from_pose(&pose), &rays, sampson))
        };
        let starts = by_f.into_iter().chain(self.known);
        starts.filter_map(refined).fold(f64::INFINITY, f64::min)
    }

    fn cost_of(&self, e: &Mat3, rays: &[(Vec2, Vec2)], sampson: Sampson) -> f64 {
        let s2 = self.scale_px * self.scale_px;
        let rho = |(a, b): &(Vec2, Vec2)| (1.0 + sampson.squared(e, a, b) / s2).ln();
        4.0 * rays.iter().map(rho).sum::<f64>()
    }
}

/// The matches with the weights of a Cauchy loss.
fn weighted<'r>(
    rays: &'r [(Vec2, Vec2)],
    e: &Mat3,
    sampson: Sampson,
    scale_px: f64,
) -> impl Iterator<Item = (Vec2, Vec2, f64)> + Clone + 'r {
    let e = *e;
    rays.iter().map(move |(a, b)| {
        let r2 = sampson.squared(&e, a, b);
        (*a, *b, 1.0 / (1.0 + r2 / (scale_px * scale_px)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pair that is seen through focal length 1100, assumed to be 1000, with these axes.
    fn profile(turn: (f64, f64, f64), move_by: Vec3) -> FocalProfile {
        let rotation = nalgebra::UnitQuaternion::from_euler_angles(turn.0, turn.1, turn.2);
        let pose = Rigid3::new(rotation, move_by);
        let through = |x: Vec3| Vec2::new(1.1 * x.x / x.z, 1.1 * x.y / x.z);
        let point = |i: usize| {
            let s = i as f64;
            Vec3::new((s * 1.3).sin(), (s * 2.1).cos(), 4.0 + (s * 0.7).sin())
        };
        let rays: Vec<_> = (0..120)
            .map(point)
            .map(|x| (through(x), through(pose.apply(&x))))
            .collect();
        let k = Mat3::from_diagonal(&Vec3::new(1.0 / 1.1, 1.0 / 1.1, 1.0));
        FocalProfile {
            camera_a: 0,
            camera_b: 0,
            rays,
            focal_a_px: 1000.0,
            focal_b_px: 1000.0,
            f: k * essential_from_pose(&pose) * k,
            known: None,
            scale_px: 1.0,
        }
    }

    #[test]
    fn the_right_focal_length_costs_nothing() {
        let p = profile((0.1, 0.3, -0.2), Vec3::new(1.0, 0.3, 0.2));
        assert!(p.free_cost() < 1e-6);
        assert!(p.cost(1.1, 1.1) < 1e-6);
        assert!(p.cost(1.0, 1.0) > 1.0 && p.cost(1.21, 1.21) > 1.0);
        assert!(p.cost(1.0, 1.1) > 1.0);
    }

    #[test]
    fn a_move_without_a_turn_tells_nothing() {
        let p = profile((0.0, 0.0, 0.0), Vec3::new(1.0, 0.3, 0.2));
        for part in [0.7, 1.0, 1.1, 1.5] {
            assert!(p.cost(part, part) < 1e-6, "{part}");
        }
    }
}
