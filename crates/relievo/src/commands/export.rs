//! `relievo export`.

use crate::args::ExportArgs;
use crate::{Done, Failure};
use relievo_pipeline::export::{Format, write_export};

pub(crate) fn export(args: &ExportArgs) -> Result<Done, Failure> {
    let written = write_export(&args.work, args.format.0, args.output.as_deref())?;
    // Maps and model agree where both are of the same run.
    if matches!(args.format.0, Format::Depth | Format::ColmapDense) {
        super::stale::stale_of(&args.work, Some("depth"), "maps are");
    }
    println!("{}", written.display());
    Ok(Done::Whole)
}
