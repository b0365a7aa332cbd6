//! Views on demand, as many as the memory allows.

use crate::error::MvsError;
use crate::fusion::{FusionView, FusionViews};
use relievo_scene::ViewId;
use relievo_task::ordered;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Keeps the views used last. What it holds never shows in a result.
pub(crate) struct ViewCache<'a> {
    views: &'a dyn FusionViews,
    budget_bytes: usize,
    clock: u64,
    held: BTreeMap<ViewId, (u64, Arc<FusionView>)>,
}

impl<'a> ViewCache<'a> {
    /// Holds `budget_bytes` of views, or those of one call where these are more.
    pub(crate) fn new(views: &'a dyn FusionViews, budget_bytes: u64) -> Self {
        Self {
            views,
            budget_bytes: budget_bytes as usize,
            clock: 0,
            held: BTreeMap::new(),
        }
    }

    /// The views `ids`, in that order; missing ones are loaded in parallel.
    pub(crate) fn load(&mut self, ids: &[ViewId]) -> Result<Vec<Arc<FusionView>>, MvsError> {
        self.clock += 1;
        let missing: Vec<ViewId> = ids
            .iter()
            .copied()
            .filter(|id| !self.held.contains_key(id))
            .collect();
        let loaded = ordered::try_map(&missing, |&view| {
            self.views
                .load(view)
                .map_err(|source| MvsError::Load { view, source })
        })?;
        for (id, view) in missing.into_iter().zip(loaded) {
            self.held.insert(id, (0, Arc::new(view)));
        }
        for id in ids {
            if let Some(entry) = self.held.get_mut(id) {
                entry.0 = self.clock;
            }
        }
        self.shrink();
        Ok(ids
            .iter()
            .filter_map(|id| self.held.get(id).map(|(_, v)| Arc::clone(v)))
            .collect())
    }

    /// Drops the views unused for longest, never those of this call.
    fn shrink(&mut self) {
        /// Depth, normal, confidence and colour.
        const PIXEL_BYTES: usize = 4 + 2 + 1 + 3;
        let size = |v: &FusionView| v.map.depth.as_slice().len() * PIXEL_BYTES;
        let mut total: usize = self.held.values().map(|(_, v)| size(v)).sum();
        while total > self.budget_bytes {
            let oldest = self
                .held
                .iter()
                .filter(|(_, (used, _))| *used != self.clock)
                .min_by_key(|(id, (used, _))| (*used, **id))
                .map(|(id, _)| *id);
            let Some((_, view)) = oldest.and_then(|id| self.held.remove(&id)) else {
                return;
            };
            total -= size(&view);
        }
    }
}
