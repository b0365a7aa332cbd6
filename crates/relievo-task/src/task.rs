//! The handle that a long computation carries.

use crate::warnings::{Warning, Warnings};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The computation was asked to stop; what is finished stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Cancelled;

/// Which kernels run: the best the processor has, or the portable ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isa {
    /// Run-time dispatch to the best instruction set found.
    #[default]
    Native,
    /// Plain Rust only.
    Portable,
}

/// Receives progress; implementations draw bars, print lines or emit JSON.
pub trait ProgressSink: Send + Sync {
    /// Work on `label` begins, or goes on with another part of it; `done` of `total`
    /// units cost nothing or were finished before, and tell nothing about its speed.
    fn begin(&self, label: &str, done: u64, total: u64);

    /// `done` of `total` units of `label` are finished.
    fn advance(&self, label: &str, done: u64, total: u64);
}

/// Drops every event.
#[derive(Debug, Default)]
pub struct SilentSink;

impl ProgressSink for SilentSink {
    fn begin(&self, _label: &str, _done: u64, _total: u64) {}
    fn advance(&self, _label: &str, _done: u64, _total: u64) {}
}

struct Shared {
    cancelled: Arc<AtomicBool>,
    warnings: Warnings,
    sink: Arc<dyn ProgressSink>,
    memory_bytes: u64,
    seed: u64,
    isa: Isa,
}

/// Cancellation, warnings, progress, memory budget, run seed. Cheap to clone.
#[derive(Clone)]
pub struct Task(Arc<Shared>);

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Task")
            .field("seed", &self.0.seed)
            .finish_non_exhaustive()
    }
}

impl Task {
    /// A handle that reports to `sink` and stops when `cancelled` becomes true.
    pub fn new(
        sink: Box<dyn ProgressSink>,
        cancelled: Arc<AtomicBool>,
        memory_bytes: u64,
        seed: u64,
        isa: Isa,
    ) -> Self {
        Self(Arc::new(Shared {
            cancelled,
            warnings: Warnings::default(),
            sink: Arc::from(sink),
            memory_bytes,
            seed,
            isa,
        }))
    }

    /// The same handle with an empty list of warnings of its own, so that the
    /// warnings of one item can be told from those of the others.
    #[must_use]
    pub fn with_own_warnings(&self) -> Self {
        Self(Arc::new(Shared {
            cancelled: self.0.cancelled.clone(),
            warnings: Warnings::default(),
            sink: self.0.sink.clone(),
            memory_bytes: self.0.memory_bytes,
            seed: self.0.seed,
            isa: self.0.isa,
        }))
    }

    /// For tests and small uses: no progress, 4 GiB, seed 0, native kernels.
    pub fn silent() -> Self {
        Self::new(
            Box::new(SilentSink),
            Arc::default(),
            4 << 30,
            0,
            Isa::Native,
        )
    }

    /// `Err(Cancelled)` once a stop was asked for. Call it between items.
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.0.cancelled.load(Ordering::Relaxed) {
            Err(Cancelled)
        } else {
            Ok(())
        }
    }

    /// Notes a partial failure.
    pub fn warn(&self, warning: Warning) {
        self.0.warnings.push(warning);
    }

    /// The warnings collected so far.
    pub fn warnings(&self) -> &Warnings {
        &self.0.warnings
    }

    /// Bounds the working set. May size batches, never change a result.
    pub fn memory_bytes(&self) -> u64 {
        self.0.memory_bytes
    }

    /// The seed of the run; derive from it with [`crate::seed()`].
    pub fn run_seed(&self) -> u64 {
        self.0.seed
    }

    /// Which kernels were asked for.
    pub fn isa(&self) -> Isa {
        self.0.isa
    }

    /// A counter of `total` units called `label`.
    pub fn progress(&self, label: &str, total: u64) -> Progress {
        self.progress_from(label, 0, total)
    }

    /// A counter of which `done` units stand already: kept from an earlier run, or made
    /// by an earlier pass.
    pub fn progress_from(&self, label: &str, done: u64, total: u64) -> Progress {
        let progress = Progress {
            task: self.clone(),
            label: label.to_owned(),
            done: AtomicU64::new(done),
            total,
        };
        self.0.sink.begin(label, done.min(total), total);
        progress
    }
}

/// A running count, shared by the threads of one loop.
#[derive(Debug)]
pub struct Progress {
    task: Task,
    label: String,
    done: AtomicU64,
    total: u64,
}

impl Progress {
    /// `n` more units are finished.
    pub fn add(&self, n: u64) {
        let done = self.done.fetch_add(n, Ordering::Relaxed) + n;
        self.task
            .0
            .sink
            .advance(&self.label, done.min(self.total), self.total);
    }
}
