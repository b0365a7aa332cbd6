//! Stage `bal`: problems with the statistics of Ladybug ("bundle adjustment in
//! the large"), solved by us and by Ceres.

use super::sets::Set;
use super::tools::{said, words};
use std::path::{Path, PathBuf};

/// Cameras, points and observations of three problems of the Ladybug series.
const SIZES: [(usize, usize, usize); 3] = [
    (49, 7_776, 31_843),
    (138, 19_878, 85_217),
    (372, 47_423, 204_472),
];

/// The problem that `--quick` takes.
pub(crate) const SMALLEST: &str = "ladybug-like-49";

/// The problems as sets; made when they are first needed.
pub(crate) fn sets() -> Vec<Set> {
    let sizes = SIZES.iter();
    sizes
        .map(|(cameras, ..)| {
            let name = format!("ladybug-like-{cameras}");
            let root = Path::new("target/bench/work").join(&name);
            let file = root.join(format!("problem-{cameras}.txt"));
            Set::problem(&name, root, file)
        })
        .collect()
}

/// Writes the problem of a set unless it is there.
pub(crate) fn make(set: &Set, python: &Path) -> Result<(), String> {
    if set.input.is_file() {
        return Ok(());
    }
    let size = SIZES
        .into_iter()
        .find(|s| set.name.ends_with(&format!("-{}", s.0)));
    let (cameras, points, rows) = size.ok_or("it is none of the problems")?;
    fs_err::create_dir_all(&set.root).map_err(|e| e.to_string())?;
    let [cameras, points, rows] = [cameras, points, rows].map(|n| n.to_string());
    let script = Path::new("scripts/peers/ladybug_like.py");
    said(&words([
        &python, &script, &cameras, &points, &rows, &set.input,
    ]))
    .map(|_| ())
}

/// Ceres's program, compiled where its library is.
pub(crate) fn ceres() -> Result<PathBuf, String> {
    let program = PathBuf::from("target/bench/ceres_bal");
    let source = Path::new("scripts/peers/ceres_bal.cpp");
    let newer = |p: &Path| p.metadata().and_then(|m| m.modified());
    let fresh = matches!((newer(&program), newer(source)), (Ok(p), Ok(s)) if p > s);
    if !fresh {
        let eigen = "-I/usr/include/eigen3";
        let command: [&dyn AsRef<std::ffi::OsStr>; 9] = [
            &"g++",
            &"-O3",
            &"-DNDEBUG",
            &eigen,
            &source,
            &"-o",
            &program,
            &"-lceres",
            &"-lglog",
        ];
        said(&words(command)).map_err(|_| "not here (it needs g++ and libceres-dev)".to_owned())?;
    }
    Ok(program)
}
