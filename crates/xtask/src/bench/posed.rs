//! Stage `posed`: depth and cloud under the true poses, at half the size of the photos, for
//! rendered sets.

use super::sets::Set;
use super::tools::{relievo, said, words};
use std::path::Path;

/// Half of the photo, however small that is: what OpenMVS takes.
const HALF: [&str; 2] = ["depth.scale=0.5", "depth.min_longer_side_px=1"];

/// The set has true poses as a COLMAP model, and a true surface.
pub(crate) fn is_known(set: &Set) -> bool {
    set.has_surface && set.root.join("gt/images.txt").is_file()
}

/// A work folder with the true poses and points under them; made anew, so that what
/// another build triangulated is not taken. `command` goes on from there.
pub(crate) fn work_folder(
    set: &Set,
    work: &Path,
    seed: usize,
    options: &[String],
) -> Result<(), String> {
    let _ = fs_err::remove_dir_all(work);
    let (program, model) = (relievo(), set.root.join("gt"));
    let mut import = words([&program, &"import", &"colmap", &"--model", &model]);
    import.extend(words([&"--images", &set.input, &"-o", &work]));
    said(&import)?;
    let mut run = command(&program, work, seed, options);
    run.extend(words([&"--until", &"sparse", &"--progress", &"none"]));
    said(&run).map(|_| ())
}

/// A run on that folder. All runs have the same seed and options, so that none does again what
/// the one before did.
pub(crate) fn command(program: &Path, work: &Path, seed: usize, options: &[String]) -> Vec<String> {
    let mut command = words([&program, &"run", &"-o", &work]);
    command.extend(["--seed".to_owned(), seed.to_string()]);
    for option in HALF.into_iter().chain(options.iter().map(String::as_str)) {
        command.extend(words([&"--set", &option]));
    }
    command
}
