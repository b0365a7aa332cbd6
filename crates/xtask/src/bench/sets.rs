//! The data sets that are here: folders of `RELIEVO_DATA` and the demo set, and
//! the problems of bundle adjustment.

use super::request::Request;
use super::tools::relievo;
use super::{Problems, bal, photos, quality};
use serde_json::Value;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// One set.
#[derive(Clone, Debug)]
pub(crate) struct Set {
    pub(crate) name: String,
    pub(crate) root: PathBuf,
    /// Folder of photos, or a video.
    pub(crate) input: PathBuf,
    /// The input is a problem of bundle adjustment instead (BAL).
    pub(crate) is_problem: bool,
    /// `relievo bench` can score it.
    pub(crate) has_truth: bool,
    /// It has a true surface.
    pub(crate) has_surface: bool,
    /// That surface is laser scans, by which clouds alone are scored.
    pub(crate) scans_only: bool,
    /// Digest of its files; of a problem known when [`bal::prepare`] has made it.
    pub(crate) data: String,
    /// What its truth is.
    pub(crate) truth: Option<String>,
    /// It has a truth that does not read: it runs as photos alone, and the harness fails.
    pub(crate) damaged: Option<String>,
}

impl Set {
    /// The stage can be done with it.
    pub(crate) fn has(&self, stage: &str) -> bool {
        self.is_problem == (stage == "bal")
    }

    pub(crate) fn is_video(&self) -> bool {
        !self.is_problem && self.input.is_file()
    }

    /// A data set in a layout that `relievo bench` reads, else photos in `images/` or
    /// a video without truth; `None` for anything else.
    fn read(name: &str, root: &Path) -> Option<Self> {
        let told = quality::said(
            Command::new(relievo())
                .args(["bench", "--info", "--json"])
                .arg(root),
        );
        let why = told.as_ref().err();
        let damaged = why.filter(|w| !w.contains("no truth in a layout")).cloned();
        if let Some(why) = &damaged {
            eprintln!("bench: {name} is taken as photos without truth: {why}");
        }
        let told = told.ok();
        let images = Some(root.join("images")).filter(|p| p.is_dir());
        let alone = || images.or_else(|| with_ending(root, &[".mp4", ".mov"]));
        let input = told.as_ref().map_or_else(alone, |v| {
            let inputs = v["inputs"].as_array()?.iter().filter_map(Value::as_str);
            one_input(&inputs.map(PathBuf::from).collect::<Vec<_>>())
        });
        let surface = told
            .as_ref()
            .map_or("none", |v| v["surface"].as_str().unwrap_or("none"));
        Some(Self {
            name: name.to_owned(),
            root: root.to_owned(),
            input: input?,
            is_problem: false,
            has_truth: told.is_some(),
            data: digest(root),
            truth: told
                .as_ref()
                .and_then(|v| Some(v["truth"].as_str()?.to_owned())),
            has_surface: surface != "none",
            scans_only: surface == "scans",
            damaged,
        })
    }

    /// A problem file of bundle adjustment; results of it go to `root`.
    pub(crate) fn problem(name: &str, root: PathBuf, input: PathBuf) -> Self {
        Self {
            name: name.to_owned(),
            root,
            input,
            is_problem: true,
            has_truth: false,
            data: String::new(),
            truth: None,
            has_surface: false,
            scans_only: false,
            damaged: None,
        }
    }
}

/// All sets asked for, by name.
pub(crate) fn find(request: &Request) -> Result<Vec<Set>, Problems> {
    let mut sets: Vec<Set> = Set::read("demo", Path::new("datasets/demo"))
        .into_iter()
        .collect();
    // Empty means unset, as in `scripts/test`.
    let data = std::env::var_os("RELIEVO_DATA").filter(|d| !d.is_empty());
    if let Some(data) = data {
        if !Path::new(&data).is_dir() {
            let data = Path::new(&data).display();
            return Err(vec![format!("RELIEVO_DATA names no folder: {data}")]);
        }
        for folder in folders(Path::new(&data)) {
            let found = read(&folder);
            if !found.is_empty() {
                sets.extend(found);
                continue;
            }
            // One level of grouping, as `synthetic/`.
            sets.extend(folders(&folder).iter().flat_map(|inner| read(inner)));
        }
    }
    sets.extend(bal::sets());
    sets.sort_by(|a, b| a.name.cmp(&b.name));
    let twins = sets
        .iter()
        .zip(sets.iter().skip(1))
        .find(|(a, b)| a.name == b.name);
    if let Some((a, b)) = twins {
        let [a, b] = [a, b].map(|s| s.root.display());
        return Err(vec![format!(
            "{a} and {b} have one name, and rows go by it: rename one of the folders"
        )]);
    }
    if request.sets.is_empty() {
        let small = ["demo", bal::SMALLEST];
        sets.retain(|s| !request.quick || small.contains(&&*s.name));
        sets.retain(|s| request.stages.iter().any(|stage| s.has(stage)));
        return Ok(sets);
    }
    for name in &request.sets {
        if !sets.iter().any(|s| s.name == *name) {
            let known: Vec<&str> = sets.iter().map(|s| s.name.as_str()).collect();
            return Err(vec![format!(
                "no set '{name}' here; there are {}",
                known.join(", ")
            )]);
        }
    }
    sets.retain(|s| request.sets.contains(&s.name));
    Ok(sets)
}

/// Of the names and contents of all files under a folder; of large ones the length stands for the content.
fn digest(root: &Path) -> String {
    let mut hasher = DefaultHasher::new();
    let mut open = vec![root.to_owned()];
    // A link may lead back.
    let mut seen = BTreeSet::new();
    while let Some(folder) = open.pop() {
        if !seen.insert(fs_err::canonicalize(&folder).unwrap_or_else(|_| folder.clone())) {
            continue;
        }
        let entries = fs_err::read_dir(&folder).into_iter().flatten();
        let mut paths: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
        paths.sort();
        for path in paths {
            path.strip_prefix(root).unwrap_or(&path).hash(&mut hasher);
            if path.is_dir() {
                open.push(path);
            } else {
                hash_content(&path, &mut hasher);
            }
        }
    }
    format!("{:016x}", hasher.finish())
}

/// The same of one file; empty where it is not there.
pub(crate) fn digest_of_file(path: &Path) -> String {
    if !path.is_file() {
        return String::new();
    }
    let mut hasher = DefaultHasher::new();
    hash_content(path, &mut hasher);
    format!("{:016x}", hasher.finish())
}

fn hash_content(path: &Path, hasher: &mut DefaultHasher) {
    const LARGE: u64 = 1 << 25;
    let length = path.metadata().map_or(0, |m| m.len());
    if length > LARGE {
        length.hash(hasher);
    } else {
        fs_err::read(path).unwrap_or_default().hash(hasher);
    }
}

/// What all tools are given: the folder, the first video, or, where the set names its
/// photos one by one, the folder that they are in.
fn one_input(inputs: &[PathBuf]) -> Option<PathBuf> {
    let first = inputs.first()?;
    if photos::is_photo(&first.to_string_lossy()) {
        return first.parent().map(Path::to_owned);
    }
    Some(first.clone())
}

/// What a folder holds: photos or a video, or problems of bundle adjustment.
fn read(folder: &Path) -> Vec<Set> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    if let Some(set) = Set::read(&name, folder) {
        return vec![set];
    }
    let entries = fs_err::read_dir(folder).into_iter().flatten();
    let problem = |path: PathBuf| {
        let file = path.file_stem()?.to_string_lossy().into_owned();
        let is_one = file.starts_with("problem-") && path.extension()? == "txt";
        let set_name = format!("{name}-{file}");
        let work = Path::new("target/bench/work").join(&set_name);
        is_one.then(|| Set::problem(&set_name, work, path))
    };
    entries.filter_map(|e| problem(e.ok()?.path())).collect()
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs_err::read_dir(path) else {
        return Vec::new();
    };
    let mut all: Vec<PathBuf> = entries
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.is_dir())
        .collect();
    all.sort();
    all
}

fn with_ending(path: &Path, endings: &[&str]) -> Option<PathBuf> {
    let entries = fs_err::read_dir(path).ok()?;
    let mut all: Vec<PathBuf> = entries
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| {
            let name = p.to_string_lossy().to_ascii_lowercase();
            p.is_file() && endings.iter().any(|e| name.ends_with(e))
        })
        .collect();
    all.sort();
    all.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_tells_what_was_changed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs_err::create_dir(root.join("gt")).unwrap();
        let write = |name: &str, text: &str| fs_err::write(root.join(name), text).unwrap();
        write("gt/images.txt", "a");
        let first = digest(root);
        assert_eq!(digest(root), first);
        write("gt/images.txt", "b");
        let second = digest(root);
        write("more.jpg", "");
        let third = digest(root);
        assert!(first != second && second != third && first != third);
        std::os::unix::fs::symlink(root, root.join("gt/back")).unwrap();
        assert_ne!(digest(root), third);
    }

    #[test]
    fn a_set_that_names_its_photos_is_its_folder() {
        let one = |names: &[&str]| one_input(&names.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(one(&["s/a.PNG", "s/b.PNG"]), Some(PathBuf::from("s")));
        assert_eq!(one(&["s/images"]), Some(PathBuf::from("s/images")));
        assert_eq!(one(&["s/a.mp4", "s/b.mp4"]), Some(PathBuf::from("s/a.mp4")));
        assert_eq!(one(&[]), None);
    }
}
