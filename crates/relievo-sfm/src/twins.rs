//! Points that matches say are one, in two models or in two ends of one, and the
//! similarity under which they meet (Umeyama, PAMI 1991).

use crate::model::Model;
use crate::scene::{Obs, Scene};
use relievo_geometry::{Sim3, Vec3, umeyama};
use relievo_optim::Estimator;

/// A match whose sides are two points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Twin {
    pub(crate) p: u32,
    pub(crate) q: u32,
    pub(crate) in_a: Obs,
    pub(crate) in_b: Obs,
}

/// Twins of `a`, which has the points p, and `b`, which has the points q.
pub(crate) struct Twins<'m> {
    pub(crate) scene: &'m Scene<'m>,
    pub(crate) a: &'m Model,
    pub(crate) b: &'m Model,
    /// One for each (p, q).
    pub(crate) list: Vec<Twin>,
}

impl Twins<'_> {
    pub(crate) fn fit(&self, picked: &[usize]) -> Option<Sim3> {
        let twins = || picked.iter().map(|&i| &self.list[i]);
        let q: Vec<Vec3> = twins().map(|t| self.b.points[t.q as usize].x).collect();
        let p: Vec<Vec3> = twins().map(|t| self.a.points[t.p as usize].x).collect();
        umeyama(&q, &p, true)
    }
}

impl Estimator for Twins<'_> {
    /// `a_from_b` of the worlds.
    type Model = Sim3;
    const MIN_SAMPLE: usize = 3;

    fn len(&self) -> usize {
        self.list.len()
    }

    fn solve(&self, sample: &[usize], models: &mut Vec<Sim3>) {
        models.extend(self.fit(sample));
    }

    /// The larger of both reprojection errors, px.
    fn squared_residual(&self, a_from_b: &Sim3, i: usize) -> f64 {
        let t = &self.list[i];
        let (p, q) = (&self.a.points[t.p as usize], &self.b.points[t.q as usize]);
        let in_a = self
            .a
            .squared_error(self.scene, t.in_a, &a_from_b.apply(&q.x));
        let back = a_from_b.inverse().apply(&p.x);
        in_a.max(self.b.squared_error(self.scene, t.in_b, &back))
    }

    fn refine(&self, _: &Sim3, inliers: &[usize], _: &[f64]) -> Option<Sim3> {
        self.fit(inliers)
    }
}
