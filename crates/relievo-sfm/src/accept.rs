//! Which of what grew becomes a model.

use crate::SfmError;
use crate::close_ring::close_rings;
use crate::incremental::Mapper;
use crate::initial_pair::stands;
use crate::next_view::visible;
use crate::scene::NONE;
use crate::state::Built;
use crate::together::keep_together;

/// A start that reaches this part of the photos it could reach is good.
const GOOD_SHARE: f64 = 0.7;

impl Mapper<'_, '_> {
    /// What grew is kept as an attempt; a good one becomes a model at once.
    pub(crate) fn end_attempt(&mut self) -> Result<(), SfmError> {
        let Some(g) = self.state.growing.take() else {
            return Ok(());
        };
        let taken = self.taken();
        let size = g.built.model.order.len();
        let reachable = self.reachable(&g.built, &taken);
        self.state.attempts.push(g.built);
        let enough = size >= self.min_views() && size as f64 >= GOOD_SHARE * reachable as f64;
        // Side models do not deserve several attempts.
        if enough || !self.state.done.is_empty() {
            self.accept_attempt()?;
        }
        Ok(())
    }

    /// Finishes the best attempt, and makes it a model where it is large enough and stands;
    /// false without an attempt.
    pub(crate) fn accept_attempt(&mut self) -> Result<bool, SfmError> {
        let attempts = std::mem::take(&mut self.state.attempts);
        let best = attempts.into_iter().max_by(|p, q| {
            let key = |b: &Built| (b.model.order.len(), b.model.num_points());
            key(p).cmp(&key(q)).then_with(|| q.initial.cmp(&p.initial))
        });
        let Some(mut built) = best else {
            return Ok(false);
        };
        let at_once = built.initial.0 == NONE;
        // Two photos are a first model where it grew from them.
        let least = if self.state.done.is_empty() && !at_once {
            2
        } else {
            self.min_views()
        };
        let too_small = |b: &Built| b.model.order.len() < least;
        if too_small(&built) {
            return Ok(true);
        }
        if self.options.check_links {
            close_rings(self.scene, &mut built, self.options, self.task)?;
        }
        let mut apart = Vec::new();
        if at_once {
            apart = keep_together(&mut built.model, self.options.register_relaxed_min_inliers);
            if too_small(&built) {
                return Ok(true);
            }
        }
        built.finish(self.scene, self.options, self.task)?;
        if at_once && (too_small(&built) || !stands(&built.model, self.options)) {
            return Ok(true);
        }
        for (view, shared) in apart {
            // Of the points that its matches name, these fitted its place.
            let named = visible(self.scene, &built.model, view as usize).len();
            self.state.rejected[view as usize] = (shared as u32, named as u32);
        }
        self.state.done.push(built);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mend::Mended;
    use crate::scene::{Obs, Scene};
    use crate::{MapperKind, NoCheckpoint, SfmInput, SfmOptions, UnregisteredReason};
    use relievo_scene::ViewId;
    use relievo_synth::scene::{Scene as Synthetic, SceneOptions};
    use relievo_task::Task;

    /// Only the photos of these pieces, positioned at once, and no point in two pieces.
    fn in_pieces(built: &Built, pieces: &[&[u32]]) -> Built {
        let mut out = built.clone();
        out.initial = (NONE, NONE);
        let model = &mut out.model;
        let piece = |v: u32| pieces.iter().position(|p| p.contains(&v));
        for v in model.order.clone() {
            if piece(v).is_none() {
                model.unregister(v as usize);
            }
        }
        let all = model.alive();
        let all = all.flat_map(|(id, p)| p.obs.iter().map(move |&o| (id, o)));
        let all: Vec<(u32, Obs)> = all.collect();
        for (id, o) in all {
            if piece(o.view) != Some(id as usize % pieces.len()) {
                model.remove(id, o);
            }
        }
        out
    }

    #[test]
    fn a_piece_is_a_model_only_if_it_is_large_enough() {
        let synthetic = Synthetic::new(&SceneOptions::default());
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
        let whole = mapper.state.done.remove(0);
        assert_eq!(whole.model.order.len(), 8);

        mapper.state.attempts = vec![in_pieces(&whole, &[&[0, 1], &[2, 3]])];
        assert!(mapper.accept_attempt().unwrap());
        assert!(mapper.state.done.is_empty());
        assert!(!mapper.accept_attempt().unwrap(), "none is left");

        mapper.state.attempts = vec![in_pieces(&whole, &[&[0, 1, 2], &[3, 4]])];
        assert!(mapper.accept_attempt().unwrap());
        let placed = &mapper.state.done[0].model;
        assert!((0..8).all(|v| placed.is_registered(v) == (v < 3)));
        // The others had a place, which no point tied to these.
        let result = mapper.result(Mended::default()).unwrap();
        for id in [4, 5].map(ViewId) {
            let why = &result.unregistered[&id];
            let fits_nothing = matches!(
                why,
                UnregisteredReason::PoseInconsistent { inliers: 0, points } if *points > 30
            );
            assert!(fits_nothing, "{why:?}");
        }
    }

    #[test]
    fn what_does_not_stand_is_not_built_again() {
        let synthetic = Synthetic::new(&SceneOptions::default());
        let graph = synthetic.view_graph();
        let scene = Scene::new(&SfmInput::of(&synthetic, &graph)).unwrap();
        // A quarter of this is asked at last: more than any two rays can have.
        let options = SfmOptions {
            mapper: MapperKind::Global,
            init_min_angle_deg: 800.0,
            ..SfmOptions::default()
        };
        let task = Task::silent();
        let cameras = scene.cameras.clone();
        let mut mapper = Mapper::new(&scene, cameras, &options, &task, &mut NoCheckpoint);
        mapper.run(&mut NoCheckpoint).unwrap();
        assert!(mapper.state.done.is_empty());
        assert_eq!(mapper.state.global_starts, 1);
    }
}
