//! A list of pairs, matched and verified in parallel.

use crate::brute_force::{MatchOptions, match_descriptors};
use crate::guided::guided_matches;
use crate::verify::{VerifyOptions, ViewSide, verify_pair};
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
}

/// Matches and verifies each pair (a < b); results in the order of `pairs`,
/// failed pairs included as [`relievo_scene::TwoViewKind::Degenerate`]. Pairs
/// with a view that is not in `views` are left out.
pub fn match_and_verify(
    pairs: &[(ViewId, ViewId)],
    views: &BTreeMap<ViewId, ViewInput<'_>>,
    matching: &MatchOptions,
    verification: &VerifyOptions,
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
            let putative = match_descriptors(a.features, b.features, matching, task.isa());
            let item = format!("{}\n{}", a.name, b.name);
            let seed = relievo_task::seed(task.run_seed(), "matches", &item);
            let (side_a, side_b) = (side(a), side(b));
            let mut found = verify_pair(
                (a_id, b_id),
                &side_a,
                &side_b,
                &putative,
                verification,
                seed,
            );
            if verification.guided {
                guided_matches(&mut found, &side_a, &side_b, matching, verification);
            }
            progress.add(1);
            Ok(Some(found))
        })
        .collect::<Result<_, Cancelled>>()?;
    Ok(results.into_iter().flatten().collect())
}

fn side<'f>(view: &ViewInput<'f>) -> ViewSide<'f> {
    ViewSide {
        features: view.features,
        camera: view.camera,
    }
}
