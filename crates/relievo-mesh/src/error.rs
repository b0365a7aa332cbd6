//! Why there is no surface.

use relievo_task::Cancelled;

/// What keeps a surface from being made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MeshError {
    /// Asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// Not enough points with a finite position and a normal.
    #[error("{usable} of {given} points are usable; a surface needs {needed}")]
    TooFewPoints {
        /// Points in the cloud.
        given: usize,
        /// Finite, with a normal, inside the cube of the scene.
        usable: usize,
        /// The least a surface is tried from.
        needed: usize,
    },
    /// The cloud has no normals.
    #[error("the cloud has {normals} normals for {points} points")]
    NoNormals {
        /// Points in the cloud.
        points: usize,
        /// Normals in the cloud.
        normals: usize,
    },
    /// The points have no extent, e.g. they are all the same.
    #[error("the points have no extent")]
    NoExtent,
    /// An option is outside its range.
    #[error("option {name} is {value}, outside {range}")]
    Option {
        /// Its name.
        name: &'static str,
        /// What it was set to.
        value: f64,
        /// What it may be.
        range: &'static str,
    },
    /// The zero set is empty: the normals contradict each other everywhere.
    #[error("no surface separates inside from outside; the normals may be random")]
    NoSurface,
    /// The working set would exceed the memory budget.
    #[error("the surface needs about {needed_mib} MiB, the budget is {budget_mib} MiB")]
    Memory {
        /// Estimated working set.
        needed_mib: u64,
        /// What the task allows.
        budget_mib: u64,
    },
}
