//! A broken invariant.

/// Which invariant of a noun does not hold, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{noun}: {what}")]
pub struct Broken {
    /// The noun.
    pub noun: &'static str,
    /// What is wrong with it.
    pub what: String,
}

/// `Err(Broken)` unless `holds`.
pub(crate) fn ensure(
    noun: &'static str,
    holds: bool,
    what: impl FnOnce() -> String,
) -> Result<(), Broken> {
    if holds {
        Ok(())
    } else {
        Err(Broken { noun, what: what() })
    }
}
