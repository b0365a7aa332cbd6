//! A list of pairs, matched and verified in parallel.

use crate::brute_force::MatchOptions;
use crate::schedule::{MatchSide, ScheduleOptions, match_pair};
use crate::sketch::{Sketch, sketch};
use crate::verify::{VerifyOptions, ViewSide};
use rayon::prelude::*;
use relievo_scene::{Camera, Features, TwoViewGeometry, ViewId};
use relievo_task::{Cancelled, Task, ordered};
use std::collections::{BTreeMap, BTreeSet};

/// What matching needs of one view.
#[derive(Clone, Copy, Debug)]
pub struct ViewInput<'f> {
    /// Name of the photo; seeds follow from it, not from the id.
    pub name: &'f str,
    /// Its features.
    pub features: &'f Features,
    /// Its starting intrinsics.
    pub camera: &'f Camera,
}

/// Matches and verifies each pair (a < b); results in the order of `pairs`,
/// failed pairs included as [`relievo_scene::TwoViewKind::Degenerate`]. Pairs
/// with a view that is not in `views` are left out.
pub fn match_and_verify(
    pairs: &[(ViewId, ViewId)],
    views: &BTreeMap<ViewId, ViewInput<'_>>,
    options: (&ScheduleOptions, &MatchOptions, &VerifyOptions),
    task: &Task,
) -> Result<Vec<TwoViewGeometry>, Cancelled> {
    let progress = task.progress("pairs", pairs.len() as u64);
    let sketches = sketches(pairs, views);
    let results: Vec<Option<TwoViewGeometry>> = pairs
        .par_iter()
        .with_max_len(1)
        .map(|&(a_id, b_id)| {
            task.check()?;
            let side = |id: ViewId| {
                let view = views.get(&id)?;
                Some((view.name, side(view, sketches.get(&id)?)))
            };
            let (Some((a_name, a)), Some((b_name, b))) = (side(a_id), side(b_id)) else {
                return Ok(None);
            };
            let item = format!("{a_name}\n{b_name}");
            let seed = relievo_task::seed(task.run_seed(), "matches", &item);
            let found = match_pair((a_id, b_id), &a, &b, options, (seed, task.isa()));
            progress.add(1);
            Ok(Some(found))
        })
        .collect::<Result<_, Cancelled>>()?;
    Ok(results.into_iter().flatten().collect())
}

/// The sketches of all views of `pairs`.
fn sketches(
    pairs: &[(ViewId, ViewId)],
    views: &BTreeMap<ViewId, ViewInput<'_>>,
) -> BTreeMap<ViewId, Vec<Sketch>> {
    let used: BTreeSet<ViewId> = pairs.iter().flat_map(|p| [p.0, p.1]).collect();
    let used: Vec<(ViewId, &ViewInput<'_>)> = used
        .into_iter()
        .filter_map(|id| Some((id, views.get(&id)?)))
        .collect();
    let all = ordered::map(&used, |(id, view)| {
        (*id, sketch(&view.features.descriptors))
    });
    all.into_iter().collect()
}

fn side<'f>(view: &ViewInput<'f>, sketches: &'f [Sketch]) -> MatchSide<'f> {
    MatchSide {
        view: ViewSide {
            features: view.features,
            camera: view.camera,
        },
        sketches,
    }
}
