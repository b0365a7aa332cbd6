//! What the mappers came to: which outcome is kept, and how it is told.

use crate::held_out::held_out_error;
use crate::incremental::Mapper;
use crate::mend::Mended;
use crate::scene::{NONE, Pair};
use crate::state::{Built, Outcome};
use crate::{
    FocalLength, MapperKind, ModelFigures, NoCovariances, SfmError, SfmResult, export, finish,
};
use relievo_geometry::Sim3;
use relievo_scene::{CameraId, TwoViewKind};
use std::collections::BTreeMap;

/// Held-out error, as a part of the other's, that a model with more photos may
/// have.
const MORE_PHOTOS_ERROR: f64 = 1.2;

impl Mapper<'_, '_> {
    /// Begins again with the global mapper, where the choice is open and the
    /// incremental one found no model, or left photos out that matches connect to its best.
    pub(crate) fn try_globally(&mut self) -> bool {
        let none = vec![false; self.scene.num_views()];
        let best = self.state.done.iter().map(|b| b.model.order.len()).max();
        let reachable = self
            .state
            .done
            .iter()
            .map(|b| self.reachable(b, &none))
            .max();
        if self.options.mapper != MapperKind::Auto
            || self.state.first.is_some()
            || best.is_some() && best >= reachable
        {
            return false;
        }
        let views = self.scene.num_views();
        self.state.first = Some(Outcome {
            done: std::mem::take(&mut self.state.done),
            rejected: std::mem::replace(&mut self.state.rejected, vec![(0, 0); views]),
        });
        self.state.tried.clear();
        true
    }

    /// Of two outcomes the one whose best model has the lower held-out error, if it
    /// has no fewer photos; with more of them the error may be a little larger. Of the other
    /// outcome stays what the kept models do not show.
    pub(crate) fn keep_better(&mut self) -> Result<(), SfmError> {
        let Some(first) = self.state.first.take() else {
            return Ok(());
        };
        let best = |done: &[Built]| {
            let size = |b: &&Built| (b.model.order.len(), b.model.num_points());
            done.iter().max_by_key(size).cloned()
        };
        let photos = |b: &Option<Built>| b.as_ref().map_or(0, |b| b.model.order.len());
        let (a, b) = (best(&first.done), best(&self.state.done));
        let error = |b: &Built| held_out_error(self.scene, &b.model, self.options, self.task);
        let global_wins = match (&a, &b) {
            (Some(p), Some(q)) if photos(&b) >= photos(&a) => {
                // Photos that fit badly are no gain.
                let slack = if photos(&b) > photos(&a) {
                    MORE_PHOTOS_ERROR
                } else {
                    1.0
                };
                let (p, q) = (error(p)?, error(q)?);
                // No point is in four photos: nothing speaks against more of them.
                let unknown = p.is_infinite() && q.is_infinite();
                q < slack * p || unknown && photos(&b) > photos(&a)
            }
            (None, Some(_)) => true,
            _ => false,
        };
        let others = if global_wins {
            first.done
        } else {
            self.state.rejected = first.rejected;
            std::mem::replace(&mut self.state.done, first.done)
        };
        let taken = self.taken();
        let rest = |b: Built| self.without(b, &taken);
        let rest: Vec<Built> = others.into_iter().filter_map(rest).collect();
        if !rest.is_empty() {
            self.state.done.extend(rest);
            self.join_models()?;
        }
        Ok(())
    }

    /// A model without the photos that are `taken`; none where too few are left.
    fn without(&self, mut built: Built, taken: &[bool]) -> Option<Built> {
        for v in built.model.order.clone() {
            if taken[v as usize] {
                built.model.unregister(v as usize);
            }
        }
        finish::drop_poor_views(&mut built.model, self.options);
        (built.model.order.len() >= self.min_views()).then_some(built)
    }

    /// What came of it all.
    pub(crate) fn result(mut self, mended: Mended) -> Result<SfmResult, SfmError> {
        if self.state.done.is_empty() {
            return Err(self.no_start());
        }
        self.state.done.sort_by(|p, q| {
            let key = |b: &Built| (b.model.order.len(), b.model.num_points());
            key(q).cmp(&key(p)).then_with(|| p.initial.cmp(&q.initial))
        });
        let mut out = SfmResult {
            models: Vec::new(),
            figures: Vec::new(),
            unregistered: BTreeMap::new(),
            contradicted: Vec::new(),
            doubtful: mended.doubtful,
            covariances: Err(NoCovariances::Undetermined),
        };
        for (k, built) in self.state.done.iter().enumerate() {
            let frame = export::normalising(&built.model);
            let of_best = (k == 0).then_some(&frame);
            let (known, covariances) = finish::certainty(self.scene, built, self.options, of_best);
            out.figures.push(self.figures(built, frame, known));
            if let Some(covariances) = covariances {
                out.covariances = covariances;
            }
            out.models
                .push(export::to_sparse_model(self.scene, &built.model, &frame));
        }
        out.figures[0].pairs_left_out = mended.pairs_left_out;
        crate::reasons::explain(self.scene, &self.state, self.options, &mut out.unregistered);
        Ok(out)
    }

    fn no_start(&self) -> SfmError {
        // A few pairs of a panorama may pass for something else.
        let turning = |p: &&Pair<'_>| p.geometry.kind == TwoViewKind::PureRotation;
        let turning = self.scene.pairs.iter().filter(turning).count();
        if turning > self.scene.pairs.len() / 2 {
            return SfmError::PureRotation { pairs: turning };
        }
        if let Some((tried, best)) = &self.best_failed {
            return SfmError::NoInitialPair {
                tried: *tried,
                a: self.scene.names[best.a].to_owned(),
                b: self.scene.names[best.b].to_owned(),
                points: best.points,
                angle_deg: best.median_angle.to_degrees(),
            };
        }
        let most = self
            .scene
            .pairs
            .iter()
            .max_by_key(|p| p.geometry.inliers.len());
        match most {
            Some(p) => SfmError::NoInitialPair {
                tried: self.scene.pairs.len().min(self.options.init_max_trials),
                a: self.scene.names[p.a].to_owned(),
                b: self.scene.names[p.b].to_owned(),
                points: 0,
                angle_deg: 0.0,
            },
            None => SfmError::NoPairs {
                views: self.scene.num_views(),
            },
        }
    }

    fn figures(
        &self,
        built: &Built,
        frame: Sim3,
        focal_lengths: BTreeMap<CameraId, FocalLength>,
    ) -> ModelFigures {
        let model = &built.model;
        let mut errors = model.errors_px(self.scene);
        errors.sort_by(f64::total_cmp);
        let observations = errors.len();
        let points = model.num_points();
        let name = |v: u32| self.scene.names[v as usize].to_owned();
        let refined = |&(c, s): &(u32, f64)| (self.scene.camera_ids[c as usize], s);
        ModelFigures {
            registered: model.order.len(),
            points,
            observations,
            mean_track_length: observations as f64 / points.max(1) as f64,
            mean_error_px: errors.iter().sum::<f64>() / observations.max(1) as f64,
            median_error_px: errors.get(observations / 2).copied().unwrap_or(0.0),
            initial_pair: (built.initial.0 != NONE)
                .then(|| (name(built.initial.0), name(built.initial.1))),
            global_adjustments: built.global_adjustments as usize,
            local_adjustments: built.local_adjustments as usize,
            iterations: built.iterations as usize,
            rings_closed: built.rings_closed as usize,
            models_joined: built.joined as usize,
            pairs_left_out: 0,
            principal_points_refined: built.principal_points.iter().map(refined).collect(),
            focal_lengths,
            model_from_mapper: frame,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::{Obs, Scene};
    use crate::{NoCheckpoint, SfmInput, SfmOptions};
    use relievo_synth::scene::{Scene as Synthetic, SceneOptions};
    use relievo_task::Task;

    const LAST: u32 = 7;

    /// What the last photo sees of each point, it is told to see of another.
    fn with_a_wrong_photo(built: &Built) -> Built {
        let mut out = built.clone();
        let model = &mut out.model;
        let sees = |&(id, _): &(u32, Obs)| id != NONE;
        let seen: Vec<(u32, Obs)> = model.point_of[LAST as usize]
            .iter()
            .zip(0..)
            .map(|(&id, kp)| (id, Obs { view: LAST, kp }))
            .filter(sees)
            .collect();
        for &(id, o) in &seen {
            model.remove(id, o);
        }
        let others = seen.iter().cycle().skip(seen.len() / 2);
        for (&(id, _), &(_, o)) in seen.iter().zip(others) {
            model.add(id, o);
        }
        out
    }

    #[test]
    fn the_better_of_two_outcomes_is_kept() {
        let synthetic = Synthetic::new(&SceneOptions {
            noise_px: 0.3,
            ..SceneOptions::default()
        });
        let graph = synthetic.view_graph();
        let scene = Scene::new(&SfmInput::of(&synthetic, &graph)).unwrap();
        let options = SfmOptions {
            mapper: MapperKind::Incremental,
            ..SfmOptions::default()
        };
        let task = Task::silent();
        let cameras = scene.cameras.clone();
        let mut mapper = Mapper::new(&scene, cameras, &options, &task, &mut NoCheckpoint);
        mapper.run(&mut NoCheckpoint).unwrap();
        let good = mapper.state.done[0].clone();
        assert_eq!(good.model.order.len(), 8);
        let bad = with_a_wrong_photo(&good);
        let mut fewer = good.clone();
        fewer.model.unregister(LAST as usize);

        let mut kept = |first: &[&Built], second: &[&Built]| {
            let models = |all: &[&Built]| all.iter().copied().cloned().collect::<Vec<_>>();
            mapper.state.first = Some(Outcome {
                done: models(first),
                rejected: vec![(1, 2); 8],
            });
            mapper.state.done = models(second);
            mapper.state.rejected = vec![(3, 4); 8];
            mapper.keep_better().unwrap();
            assert!(mapper.state.first.is_none());
            let second_is = mapper.state.rejected[0] == (3, 4);
            (second_is, std::mem::take(&mut mapper.state.done))
        };
        let mut second_is_kept = |first: &[&Built], second: &[&Built]| {
            let (second_is, models) = kept(first, second);
            let want = if second_is { second } else { first };
            assert!(models.iter().eq(want.iter().copied()));
            second_is
        };
        // As many photos: the smaller error.
        assert!(second_is_kept(&[&bad], &[&good]));
        assert!(!second_is_kept(&[&good], &[&bad]));
        assert!(!second_is_kept(&[&good], &[&good]));
        // More of them, unless they fit badly; never fewer.
        assert!(second_is_kept(&[&fewer], &[&good]));
        assert!(!second_is_kept(&[&fewer], &[&bad]));
        assert!(!second_is_kept(&[&bad], &[&fewer]));
        // What there is.
        assert!(second_is_kept(&[], &[&fewer]));
        assert!(!second_is_kept(&[&fewer], &[]));

        // Another place stays, whoever found it, without what is in the better model.
        let of = |views: std::ops::Range<u32>| {
            let mut part = good.clone();
            for v in (0..8).filter(|v| !views.contains(v)) {
                part.model.unregister(v as usize);
            }
            part
        };
        let (four, five, three) = (of(0..4), of(0..5), of(5..8));
        let found = kept(&[&four, &three], &[&five]);
        assert_eq!(found, (true, vec![five.clone(), three.clone()]));
        let found = kept(&[&five], &[&four, &three]);
        assert_eq!(found, (false, vec![five.clone(), three.clone()]));
        let found = kept(&[&four, &of(4..8)], &[&five]);
        assert_eq!(found, (true, vec![five.clone(), three]));
        let found = kept(&[&four, &of(4..7)], &[&five]);
        assert_eq!(found, (true, vec![five]));
    }
}
