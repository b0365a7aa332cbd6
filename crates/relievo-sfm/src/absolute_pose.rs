//! Pose of one view from its matches with model points: P3P inside LO-RANSAC,
//! then all inliers with a robust loss.

use nalgebra::{Matrix6, UnitQuaternion, Vector6};
use relievo_geometry::solvers::p3p::p3p_lambda_twist;
use relievo_geometry::{CameraModel, Rigid3, Vec2, Vec3};
use relievo_optim::{DenseProblem, Estimator, Loss, RansacOptions, dense_lm, lo_ransac};

/// Pixels, their bearings, and the points they see.
pub(crate) struct PoseData<'a> {
    pub(crate) camera: &'a CameraModel,
    pub(crate) px: &'a [Vec2],
    pub(crate) bearings: Vec<Vec3>,
    pub(crate) points: &'a [Vec3],
}

impl<'a> PoseData<'a> {
    pub(crate) fn new(camera: &'a CameraModel, px: &'a [Vec2], points: &'a [Vec3]) -> Self {
        let bearings = px
            .iter()
            .map(|p| {
                let n = camera.unproject(p);
                Vec3::new(n.x, n.y, 1.0) / (n.norm_squared() + 1.0).sqrt()
            })
            .collect();
        Self {
            camera,
            px,
            bearings,
            points,
        }
    }
}

impl Estimator for PoseData<'_> {
    type Model = Rigid3;
    const MIN_SAMPLE: usize = 3;

    fn len(&self) -> usize {
        self.px.len()
    }

    fn solve(&self, sample: &[usize], models: &mut Vec<Rigid3>) {
        let x = [0, 1, 2].map(|k| self.bearings[sample[k]]);
        let big_x = [0, 1, 2].map(|k| self.points[sample[k]]);
        models.extend(p3p_lambda_twist(&x, &big_x));
    }

    fn squared_residual(&self, model: &Rigid3, i: usize) -> f64 {
        match self.camera.project(&model.apply(&self.points[i])) {
            Some(p) => (p - self.px[i]).norm_squared(),
            None => f64::INFINITY,
        }
    }

    fn refine(&self, model: &Rigid3, inliers: &[usize], weights: &[f64]) -> Option<Rigid3> {
        if inliers.len() < 6 {
            return None;
        }
        let problem = Refinement {
            data: self,
            inliers,
            weights: Some(weights),
            loss: Loss::Squared,
        };
        dense_lm(&problem, *model, 4, 1e-4).map(|(pose, _)| pose)
    }
}

struct Refinement<'a> {
    data: &'a PoseData<'a>,
    inliers: &'a [usize],
    weights: Option<&'a [f64]>,
    loss: Loss,
}

impl Refinement<'_> {
    fn weight(&self, k: usize) -> f64 {
        self.weights.map_or(1.0, |w| w[k])
    }
}

impl DenseProblem<6> for Refinement<'_> {
    type State = Rigid3;

    fn linearise(&self, pose: &Rigid3) -> Option<(f64, Matrix6<f64>, Vector6<f64>)> {
        let rotation = pose.matrix();
        let (mut cost, mut h, mut g) = (0.0, Matrix6::zeros(), Vector6::zeros());
        for (k, &i) in self.inliers.iter().enumerate() {
            let rx = rotation * self.data.points[i];
            let (px, j, _) = self
                .data
                .camera
                .project_with_jacobians(&(rx + pose.translation))?;
            let r = px - self.data.px[i];
            let (rho, slope) = self.loss.evaluate(r.norm_squared());
            let w = self.weight(k) * slope;
            cost += 0.5 * self.weight(k) * rho;
            for row in 0..2 {
                let a = Vec3::new(j[(row, 0)], j[(row, 1)], j[(row, 2)]);
                let turn = rx.cross(&a);
                let d = Vector6::new(turn.x, turn.y, turn.z, a.x, a.y, a.z);
                h += d * d.transpose() * w;
                g += d * (r[row] * w);
            }
        }
        Some((cost, h, g))
    }

    fn cost(&self, pose: &Rigid3) -> f64 {
        let one = |(k, &i): (usize, &usize)| {
            let r2 = self.data.squared_residual(pose, i);
            0.5 * self.weight(k) * self.loss.evaluate(r2).0
        };
        self.inliers.iter().enumerate().map(one).sum()
    }

    fn step(&self, pose: &Rigid3, d: &Vector6<f64>) -> Rigid3 {
        let turn = UnitQuaternion::from_scaled_axis(Vec3::new(d[0], d[1], d[2]));
        Rigid3::new(
            UnitQuaternion::new_normalize((turn * pose.rotation).into_inner()),
            pose.translation + Vec3::new(d[3], d[4], d[5]),
        )
    }
}

/// A pose and the matches that agree.
pub(crate) struct AbsolutePose {
    pub(crate) cam_from_world: Rigid3,
    pub(crate) inliers: Vec<usize>,
}

/// `None` where fewer than four matches agree on anything.
pub(crate) fn estimate(data: &PoseData<'_>, max_error_px: f64, seed: u64) -> Option<AbsolutePose> {
    let options = RansacOptions {
        threshold: max_error_px,
        confidence: 0.99999,
        max_iterations: 5000,
        min_iterations: 50,
        ..RansacOptions::default()
    };
    let found = lo_ransac(data, &options, seed)?;
    let problem = Refinement {
        data,
        inliers: &found.inliers,
        weights: None,
        loss: Loss::Cauchy(max_error_px * 0.25),
    };
    let pose = dense_lm(&problem, found.model, 20, 1e-6).map_or(found.model, |(p, _)| p);
    let max2 = max_error_px * max_error_px;
    let inliers: Vec<usize> = (0..data.px.len())
        .filter(|&i| data.squared_residual(&pose, i) < max2)
        .collect();
    (inliers.len() >= 4 && pose.is_finite()).then_some(AbsolutePose {
        cam_from_world: pose,
        inliers,
    })
}
