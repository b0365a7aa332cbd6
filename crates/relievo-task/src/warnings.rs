//! Partial failures: what went wrong without stopping the run.

use serde::{Deserialize, Serialize};
use std::sync::Mutex;

/// One thing a person should know about the result.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Warning {
    /// Stable kebab-case kind, e.g. `photo-broken`.
    pub kind: String,
    /// The photo, file or item concerned; empty where it is the whole run.
    pub subject: String,
    /// What happened, in words a photographer understands.
    pub message: String,
    /// What to do about it; empty where nothing needs doing.
    pub hint: String,
}

impl Warning {
    /// A warning about `subject`.
    pub fn new(
        kind: &str,
        subject: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            kind: kind.to_owned(),
            subject: subject.into(),
            message: message.into(),
            hint: hint.into(),
        }
    }
}

/// A collector that any thread may add to; reading sorts, so that the order
/// of arrival never shows.
#[derive(Debug, Default)]
pub struct Warnings(Mutex<Vec<Warning>>);

impl Warnings {
    /// Adds one warning.
    pub fn push(&self, warning: Warning) {
        self.lock().push(warning);
    }

    /// All warnings so far, sorted and without repeats.
    pub fn sorted(&self) -> Vec<Warning> {
        let mut all = self.lock().clone();
        all.sort();
        all.dedup();
        all
    }

    /// Takes all warnings out, sorted and without repeats.
    pub fn take(&self) -> Vec<Warning> {
        let mut all = std::mem::take(&mut *self.lock());
        all.sort();
        all.dedup();
        all
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Warning>> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
