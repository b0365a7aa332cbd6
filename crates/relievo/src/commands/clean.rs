//! `relievo clean`.

use super::human_bytes;
use crate::{Done, Failure};
use std::path::Path;

pub(crate) fn clean(work: &Path, dry_run: bool) -> Result<Done, Failure> {
    let freed = relievo_pipeline::clean::clean(work, dry_run)?;
    let mut total = 0;
    for f in &freed {
        if f.files > 0 {
            println!("{:<9} {} files, {}", f.stage, f.files, human_bytes(f.bytes));
            total += f.bytes;
        }
    }
    let verb = if dry_run { "would free" } else { "freed" };
    println!("{verb} {}", human_bytes(total));
    Ok(Done::Whole)
}
