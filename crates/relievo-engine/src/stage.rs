//! What a stage is to the engine.

use crate::context::StageContext;
use crate::error::BoxError;
use crate::key::{Digest, Key};
use crate::writer::ItemWriter;
use serde_json::Value;
use std::collections::BTreeMap;

/// Figures of a stage for the report.
pub type Figures = serde_json::Map<String, Value>;

/// One unit of work that can be redone, resumed or given away by itself.
#[derive(Clone, Debug)]
pub struct Item {
    /// Unique within its pass: a photo's name, a shard, a tile.
    pub name: String,
    /// Everything its outputs depend on.
    pub key: Key,
    /// Expected work in any unit, the same for all items of the stage.
    pub weight: u64,
    /// Set by the engine: the pass in which the item was listed.
    pub pass: u32,
}

impl Item {
    /// An item of weight 1.
    pub fn new(name: impl Into<String>, key: Key) -> Self {
        Self {
            name: name.into(),
            key,
            weight: 1,
            pass: 0,
        }
    }

    /// The same item with a weight.
    #[must_use]
    pub fn with_weight(mut self, weight: u64) -> Self {
        self.weight = weight.max(1);
        self
    }
}

/// How many items of a pass run at once. Never changes a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parallelism {
    /// Items are parallel inside.
    OneAtATime {
        /// Working set of the heaviest item.
        memory_bytes: u64,
    },
    /// Items run side by side, as many as threads and memory allow.
    Parallel {
        /// Working set of the heaviest item.
        memory_bytes_per_item: u64,
    },
}

/// A node of the pipeline. Options live in the implementing struct.
///
/// The engine asks, in this order: `options`, `external`, then for each pass
/// `items` and `run_item` of those that are not fresh, then `finish`. `items`
/// is asked on every run and by `status`, so it must be cheap; `run_item` and
/// `finish` only where something has to be made.
pub trait Stage: Send + Sync {
    /// Name of the stage and of its folder.
    fn name(&self) -> &'static str;

    /// Bumped whenever output bytes change.
    fn version(&self) -> u32;

    /// Stages whose outputs this one reads.
    fn depends_on(&self) -> &[&'static str];

    /// Every resolved option that the stage reads, as JSON; enters each key.
    /// Asked when the stages it depends on are finished, so presets that are
    /// decided from their results can be expanded here.
    fn options(&self, ctx: &StageContext) -> Result<Value, BoxError>;

    /// Versions of external code and weights, the instruction set; enters each
    /// key.
    fn external(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// Passes run one after another; the items of pass k may read what pass
    /// k-1 wrote, for any item ([`StageContext::pass_outputs`]).
    fn passes(&self, _ctx: &StageContext) -> u32 {
        1
    }

    /// The items of one pass; asked when the pass before is complete.
    fn items(&self, ctx: &StageContext, pass: u32) -> Result<Vec<Item>, BoxError>;

    /// Weight of all items of the passes after this one, as far as it can be told: what
    /// is still to come counts in the time to go.
    fn weight_after(&self, _ctx: &StageContext, _pass: u32) -> u64 {
        0
    }

    /// How the items of a pass share threads and memory.
    fn parallelism(&self, _ctx: &StageContext, _pass: u32) -> Parallelism {
        Parallelism::Parallel {
            memory_bytes_per_item: 0,
        }
    }

    /// Makes the outputs of one item. `ctx.task()` has its own warnings here;
    /// they are kept with the item, so that a resumed run still reports them.
    fn run_item(
        &self,
        ctx: &StageContext,
        item: &Item,
        out: &mut ItemWriter,
    ) -> Result<(), BoxError>;

    /// Inputs that `finish` reads beside the outputs of the items.
    fn finish_inputs(&self, _ctx: &StageContext) -> Result<Vec<(String, Digest)>, BoxError> {
        Ok(Vec::new())
    }

    /// Writes what is made once for the whole stage; returns its figures.
    fn finish(&self, _ctx: &StageContext, _out: &mut ItemWriter) -> Result<Figures, BoxError> {
        Ok(Figures::new())
    }
}
