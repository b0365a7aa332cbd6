//! `relievo export`.

use crate::args::ExportArgs;
use crate::{Done, Failure};
use relievo_pipeline::export::write_export;

pub(crate) fn export(args: &ExportArgs) -> Result<Done, Failure> {
    let written = write_export(&args.work, args.format.0, args.output.as_deref())?;
    println!("{}", written.display());
    Ok(Done::Whole)
}
