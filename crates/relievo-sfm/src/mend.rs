//! Building a model again without its doubtful links.

use crate::incremental::Mapper;
use crate::links::{Link, most_doubtful, support};
use crate::refine::{clean_up, global, limits};
use crate::scene::Scene;
use crate::state::{Built, State};
use crate::{DoubtfulLink, NoCheckpoint, SfmError, SfmInput};
use std::collections::BTreeSet;

/// Models built to mend one; a wrong link may hide another.
const MAX_TRIALS: usize = 3;
/// Share of the photos, of all models together, that mending may cost.
const MOST_LOST: f64 = 0.1;
/// Adjustments after which what was left out has found its place.
const ROUNDS: usize = 3;

/// What became of the links of the best model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mended {
    pub(crate) pairs_left_out: usize,
    pub(crate) doubtful: Option<DoubtfulLink>,
}

impl Mapper<'_, '_> {
    /// Maps again without the pairs that the most doubtful link rests on. What
    /// comes out is kept where it has no doubtful link, if need be in several models
    /// or with a few photos less, or where more matches fit it. A link that stays doubtful is told.
    ///
    /// An interrupted run mends from the beginning.
    pub(crate) fn mend_links(&mut self, input: &SfmInput<'_>) -> Result<Mended, SfmError> {
        let mut out = Mended::default();
        if !self.options.check_links {
            return Ok(out);
        }
        let mut doubtful = self.doubtful_link(&self.state);
        let mut left_out = BTreeSet::new();
        for _ in 0..MAX_TRIALS {
            let Some(link) = &doubtful else { break };
            left_out.extend(link.pairs.iter().copied());
            let graph = self.scene.graph_of(|k| !left_out.contains(&k));
            let mut fewer = Scene::new(&SfmInput {
                views: input.views.clone(),
                cameras: input.cameras.clone(),
                graph: &graph,
            })?;
            fewer.named.clone_from(&self.scene.named);
            let cameras = self.cameras.clone();
            let (options, task) = (self.options, self.task);
            let mut again = Mapper::new(&fewer, cameras, options, task, &mut NoCheckpoint);
            again.run(&mut NoCheckpoint)?;
            // What was left out may be right after all.
            self.complete(&mut again.state)?;
            let still = self.doubtful_link(&again.state);
            if too_few(placed(&again.state), placed(&self.state))
                || (still.is_some() && self.support(&again.state) <= self.support(&self.state))
            {
                break;
            }
            self.state = again.state;
            out.pairs_left_out = left_out.len();
            doubtful = still;
        }
        out.doubtful = doubtful.map(|link| self.told(&link));
        Ok(out)
    }

    fn doubtful_link(&self, state: &State) -> Option<Link> {
        largest(state).and_then(|b| most_doubtful(self.scene, &b.model, 1.0))
    }

    fn support(&self, state: &State) -> usize {
        largest(state).map_or(0, |b| support(self.scene, &b.model))
    }

    /// Takes what fits of all pairs into the largest model, and adjusts it.
    fn complete(&self, state: &mut State) -> Result<(), SfmError> {
        let size = |b: &&mut Built| (b.model.order.len(), b.model.num_points());
        let Some(built) = state.done.iter_mut().max_by_key(size) else {
            return Ok(());
        };
        let (scene, options, task) = (self.scene, self.options, self.task);
        clean_up(scene, &mut built.model, &limits(options));
        built.iterations += global(scene, &mut built.model, options, ROUNDS, task)? as u64;
        built.global_adjustments += 1;
        built.finish(scene, options, task)?;
        Ok(())
    }

    fn told(&self, link: &Link) -> DoubtfulLink {
        let name = |v: &usize| self.scene.names[*v].to_owned();
        DoubtfulLink {
            photos: link.views.iter().map(name).collect(),
            supported: link.supported,
            contradicted: link.contradicted,
        }
    }
}

/// Photos in all models.
fn placed(state: &State) -> usize {
    state.done.iter().map(|b| b.model.order.len()).sum()
}

/// Whether mending cost more than it is worth: two photos or a tenth of them.
fn too_few(now: usize, before: usize) -> bool {
    let lost = before.saturating_sub(now) as f64;
    now == 0 || lost > (MOST_LOST * before as f64).max(2.0)
}

/// The best model so far.
fn largest(state: &State) -> Option<&Built> {
    let size = |b: &&Built| (b.model.order.len(), b.model.num_points());
    state.done.iter().max_by_key(size)
}

#[cfg(test)]
mod tests {
    use super::too_few;

    #[test]
    fn mending_may_cost_two_photos_or_a_tenth() {
        assert!(!too_few(14, 14) && !too_few(16, 14) && !too_few(12, 14) && too_few(11, 14));
        assert!(!too_few(90, 100) && too_few(89, 100));
        assert!(too_few(0, 2) && !too_few(1, 3));
    }
}
