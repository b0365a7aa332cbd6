//! Which pairs of views are tried.

use relievo_scene::{Features, GeoTag, ViewId};
use relievo_task::{Cancelled, Task};
use std::collections::BTreeSet;

relievo_task::options! {
    /// Options of [`choose_pairs`].
    pub struct PairOptions {
        /// Up to this many photos, every pair is tried.
        exhaustive_up_to: usize = 80, "photos", "3160 pairs, about a minute";
        /// Frames of one video are tried with this many after them.
        sequence_window: usize = 10, "frames", "COLMAP sequential matcher";
    }
}

/// What the choice looks at.
#[derive(Clone, Copy, Debug)]
pub struct PairView<'f> {
    /// The view.
    pub id: ViewId,
    /// Name of the photo.
    pub name: &'f str,
    /// GPS position.
    pub geo: Option<GeoTag>,
    /// Video and seconds into it.
    pub sequence: Option<(&'f str, f64)>,
    /// Its features.
    pub features: &'f Features,
}

/// Pairs (a < b), ordered.
pub fn choose_pairs(
    views: &[PairView<'_>],
    options: &PairOptions,
    task: &Task,
) -> Result<Vec<(ViewId, ViewId)>, Cancelled> {
    task.check()?;
    let mut pairs = BTreeSet::new();
    for (i, a) in views.iter().enumerate() {
        for (gap, b) in views[i + 1..].iter().enumerate() {
            let near = gap < options.sequence_window
                && a.sequence
                    .is_some_and(|s| b.sequence.is_some_and(|t| s.0 == t.0));
            if views.len() <= options.exhaustive_up_to || near {
                pairs.insert((a.id.min(b.id), a.id.max(b.id)));
            }
        }
    }
    Ok(pairs.into_iter().collect())
}
