//! Keys, store, lock and scheduling of resumable stages. Knows no stage.
//!
//! Enters: a work folder and a slice of [`Stage`]s in an order in which every
//! stage stands after those it depends on. Leaves: one folder a stage, holding
//! exactly what its `stage.json` lists, and a [`StageReport`] for each.
//!
//! A stage is a set of *items* (a photo, a shard of pairs, a tile, or one
//! item), in one or more *passes*. An item is **fresh** when the key recorded
//! with it equals its key now and its files have the recorded digests; that a
//! file exists never counts. A finished item is entered in a journal inside
//! the stage's `.progress/` folder, so that a killed run loses only the items
//! in flight. `stage.json` comes last.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`key`] | digests, keys and the parts that explain them |
//! | [`stage`] | the trait that a stage implements |
//! | [`context`] | what a stage sees: its folder, the outputs of others, checkpoints |
//! | [`writer`] | temporary file, sync, rename, digest |
//! | [`names`] | file names from photo names |
//! | [`work`] | the work folder, its format number and its lock |
//! | [`record`] | `stage.json` |
//! | [`journal`] | what is done of an unfinished stage |
//! | [`freshness`] | fresh, missing, or stale because ... |
//! | [`engine`] | selection and execution |
//! | [`execute`] | one stage: passes, items, finish |
//! | [`import`] | stages whose files came from somebody else; dropping files |
//! | [`usage`] | processor time and peak memory |
//!
//! # A toy stage
//!
//! ```
//! use relievo_engine::*;
//! use relievo_task::Task;
//!
//! /// One item a word; writes its length.
//! struct Lengths(Vec<String>);
//!
//! impl Stage for Lengths {
//!     fn name(&self) -> &'static str { "lengths" }
//!     fn version(&self) -> u32 { 1 }
//!     fn depends_on(&self) -> &[&'static str] { &[] }
//!     fn options(&self, _: &StageContext) -> Result<serde_json::Value, BoxError> {
//!         Ok(serde_json::json!({ "unit": "bytes" }))
//!     }
//!     fn items(&self, ctx: &StageContext, _pass: u32) -> Result<Vec<Item>, BoxError> {
//!         Ok(self.0.iter().map(|word| {
//!             let key = ctx.key().input(word, digest_bytes(word.as_bytes())).finish();
//!             Item::new(word, key)
//!         }).collect())
//!     }
//!     fn run_item(&self, ctx: &StageContext, item: &Item, out: &mut ItemWriter) -> Result<(), BoxError> {
//!         ctx.task().check()?;
//!         out.write(&file_name(&item.name, ".len"), item.name.len().to_string().as_bytes())?;
//!         Ok(())
//!     }
//!     fn finish(&self, ctx: &StageContext, _out: &mut ItemWriter) -> Result<Figures, BoxError> {
//!         let mut figures = Figures::new();
//!         figures.insert("words".into(), ctx.outputs("lengths")?.len().into());
//!         Ok(figures)
//!     }
//! }
//!
//! # fn main() -> Result<(), EngineError> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("toy.relievo");
//! let work = Work::create(&path)?;
//! let lock = work.lock("relievo run")?;
//! let stages: Vec<Box<dyn Stage>> = vec![Box::new(Lengths(vec!["left/a".into(), "bc".into()]))];
//! let engine = Engine::new(&work, stages)?;
//! let reports = engine.run(&lock, &Selection::default(), &Task::silent(), &NoObserver)?;
//! assert_eq!(reports[0].figures["words"], 2);
//! assert!(engine.status(&Selection::default(), &Task::silent())?[0].status.is_fresh());
//! # Ok(()) }
//! ```

pub mod context;
pub mod engine;
pub mod error;
pub mod execute;
pub mod freshness;
pub mod import;
pub mod journal;
pub mod key;
pub mod names;
pub mod previous;
pub mod record;
pub mod stage;
pub mod usage;
pub mod work;
pub mod writer;

pub use context::{Output, StageContext};
pub use engine::{Engine, NoObserver, Observer, Selection, StageReport};
pub use error::{BoxError, EngineError};
pub use freshness::{StageStatus, Status};
pub use import::{Dropped, drop_outputs, import_stage};
pub use key::{Digest, Key, KeyBuilder, digest_bytes, digest_file};
pub use names::file_name;
pub use previous::Previous;
pub use record::{ItemRecord, OutputRecord, StageRecord};
pub use stage::{Figures, Item, Parallelism, Stage};
pub use work::{Work, WorkLock};
pub use writer::{ItemWriter, OutputFile, write_atomic};
