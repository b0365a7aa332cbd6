//! A list of pairs, matched and verified in parallel.

use crate::brute_force::MatchOptions;
use crate::prepared::PreparedView;
use crate::schedule::{MatchSide, ScheduleOptions, match_pair};
use crate::verify::{VerifyOptions, ViewSide};
use rayon::prelude::*;
use relievo_scene::{Camera, Features, TwoViewGeometry, ViewId};
use relievo_task::{Cancelled, Task};
use std::collections::BTreeMap;

/// What matching needs of one view.
#[derive(Clone, Copy, Debug)]
pub struct ViewInput<'f> {
    /// Name of the photo; seeds follow from it, not from the id.
    pub name: &'f str,
    /// Its features.
    pub features: &'f Features,
    /// Its starting intrinsics.
    pub camera: &'f Camera,
    /// What all its pairs share.
    pub prepared: &'f PreparedView,
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
    let results: Vec<Option<TwoViewGeometry>> = pairs
        .par_iter()
        .with_max_len(1)
        .map(|&(a_id, b_id)| {
            task.check()?;
            let (Some(a), Some(b)) = (views.get(&a_id), views.get(&b_id)) else {
                return Ok(None);
            };
            let item = format!("{}\n{}", a.name, b.name);
            let (a, b) = (side(a), side(b));
            let seed = relievo_task::seed(task.run_seed(), "matches", &item);
            let found = match_pair((a_id, b_id), &a, &b, options, (seed, task.isa()));
            progress.add(1);
            Ok(Some(found))
        })
        .collect::<Result<_, Cancelled>>()?;
    Ok(results.into_iter().flatten().collect())
}

fn side<'f>(view: &ViewInput<'f>) -> MatchSide<'f> {
    MatchSide {
        view: ViewSide {
            features: view.features,
            camera: view.camera,
        },
        prepared: view.prepared,
    }
}
