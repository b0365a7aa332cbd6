//! Stage `bal`: problems with the statistics of Ladybug ("bundle adjustment in
//! the large"), solved by us and by Ceres.

use super::sets::{Set, digest_of_file};
use super::tools::{python, said, words};
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

/// Makes the problems that are not there, and takes the digest of each, by which a row
/// tells the file that it was measured with. One that cannot be made is asked for again
/// by its runs, which say why.
pub(crate) fn prepare(sets: &mut [Set]) {
    for set in sets.iter_mut().filter(|s| s.is_problem) {
        let _ = make(set, &python());
        set.data = digest_of_file(&set.input);
    }
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
    // A library that was replaced leaves a program that does not start.
    if !fresh || version(&program).is_err() {
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

/// Version of the library that Ceres's program was compiled with.
pub(crate) fn ceres_version() -> Result<String, String> {
    version(&ceres()?)
}

fn version(program: &Path) -> Result<String, String> {
    match said(&words([&program, &"--version"])) {
        Ok(told) if told.starts_with(|c: char| c.is_ascii_digit()) => Ok(told),
        Ok(told) => Err(format!("not here (its version would be '{told}')")),
        Err(why) => Err(format!("not here ({why})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_problem_that_is_replaced_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("problem-6-40.txt");
        let mut sets = [Set::problem("mine", dir.path().to_owned(), file.clone())];
        let mut digest = |text: Option<&str>| {
            if let Some(text) = text {
                fs_err::write(&file, text).unwrap();
            }
            prepare(&mut sets);
            sets[0].data.clone()
        };
        assert_eq!(digest(None), "");
        let first = digest(Some("6 40 240\n"));
        assert_eq!(first, digest(Some("6 40 240\n")));
        let second = digest(Some("6 40 239\n"));
        assert!(first != second && !first.is_empty() && !second.is_empty());
    }

    #[test]
    fn a_version_is_what_the_program_says_or_why_there_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let told = |name: &str, script: &str| {
            let path = dir.path().join(name);
            fs_err::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            let mode = std::fs::Permissions::from_mode(0o755);
            fs_err::set_permissions(&path, mode).unwrap();
            version(&path)
        };
        let asked = "[ \"$*\" = --version ] && echo 2.1.0";
        assert_eq!(told("good", asked), Ok("2.1.0".to_owned()));
        let lost = told("lost", "echo 'no libceres.so.2' >&2; exit 127");
        assert_eq!(lost, Err("not here (no libceres.so.2)".to_owned()));
        assert!(told("silent", "").is_err());
        assert!(version(&dir.path().join("missing")).is_err());
    }
}
