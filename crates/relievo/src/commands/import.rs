//! `relievo import`.

use crate::args::ImportWhat;
use crate::{Done, Failure};
use relievo_pipeline::import::{import_cloud, import_colmap, import_mesh};
use relievo_task::Task;

pub(crate) fn import(what: ImportWhat) -> Result<Done, Failure> {
    let output = match what {
        ImportWhat::Colmap {
            model,
            images,
            output,
        } => {
            let warnings = import_colmap(&model, &images, &output, &Task::silent())?;
            for w in warnings {
                eprintln!("warning: {}: {} ({})", w.subject, w.message, w.hint);
            }
            output
        }
        ImportWhat::Cloud { file, output } => {
            let points = import_cloud(&file, &output)?;
            eprintln!("{points} points");
            output
        }
        ImportWhat::Mesh { file, output } => {
            let faces = import_mesh(&file, &output)?;
            eprintln!("{faces} faces");
            output
        }
    };
    eprintln!("go on with: relievo run -o {}", output.display());
    println!("{}", output.display());
    Ok(Done::Whole)
}
