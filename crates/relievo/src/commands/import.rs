//! `relievo import`.

use crate::args::ImportWhat;
use crate::{Done, Failure};
use relievo_pipeline::import::{import_cloud, import_colmap, import_mesh};
use relievo_pipeline::settings::Settings;
use relievo_task::Task;
use std::path::Path;

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
    let photos = Settings::read_work(&output)?.is_some_and(|s| !s.inputs.is_empty());
    eprintln!("go on with: {}", next_command(&output, photos));
    println!("{}", output.display());
    Ok(Done::Whole)
}

/// A work folder that has no photos yet needs them for its cameras.
fn next_command(work: &Path, has_photos: bool) -> String {
    let photos = if has_photos { "" } else { "PHOTOS... " };
    format!("relievo run {photos}-o {}", work.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_folder_is_to_be_given_photos() {
        let work = Path::new("jug.relievo");
        assert_eq!(next_command(work, true), "relievo run -o jug.relievo");
        assert_eq!(
            next_command(work, false),
            "relievo run PHOTOS... -o jug.relievo"
        );
    }
}
