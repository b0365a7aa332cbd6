//! The incremental mapper.

use crate::{Checkpoint, SfmError, SfmInput, SfmOptions, SfmResult};
use relievo_task::Task;

/// Poses, intrinsics and points from verified pairs.
pub fn reconstruct(
    input: &SfmInput<'_>,
    _options: &SfmOptions,
    task: &Task,
    _checkpoint: &mut dyn Checkpoint,
) -> Result<SfmResult, SfmError> {
    task.check()?;
    Err(SfmError::NoPairs {
        views: input.views.len(),
    })
}
