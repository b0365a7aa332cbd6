//! Work folders as the tests see them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Stage folders whose bytes are promised.
pub const PROMISED: [&str; 8] = [
    "features", "matches", "sparse", "depth", "cloud", "mesh", "texture", "export",
];

/// Every file from `features/` to `export/` but `stage.json`, with its digest.
pub fn promised_tree(work: &Path) -> BTreeMap<String, String> {
    let mut tree = BTreeMap::new();
    for stage in PROMISED {
        let folder = work.join(stage);
        if folder.is_dir() {
            walk(&folder, stage, &mut tree);
        }
    }
    tree.retain(|name, _| !name.ends_with("/stage.json"));
    tree
}

/// Every file of a folder but the lock, with its digest.
pub fn whole_tree(folder: &Path) -> BTreeMap<String, String> {
    let mut tree = BTreeMap::new();
    walk(folder, "", &mut tree);
    tree.remove(".relievo-lock");
    tree
}

fn walk(folder: &Path, name: &str, tree: &mut BTreeMap<String, String>) {
    for (path, inner) in entries(folder, name) {
        if path.is_dir() {
            walk(&path, &inner, tree);
        } else {
            let bytes = fs_err::read(&path).expect("a file of a work folder can be read");
            tree.insert(inner, blake3::hash(&bytes).to_hex().to_string());
        }
    }
}

fn entries(folder: &Path, name: &str) -> Vec<(PathBuf, String)> {
    fs_err::read_dir(folder)
        .expect("a folder can be listed")
        .map(|entry| {
            let path = entry.expect("a folder can be listed").path();
            let own = path.file_name().unwrap_or_default().to_string_lossy();
            let inner = if name.is_empty() {
                own.into_owned()
            } else {
                format!("{name}/{own}")
            };
            (path, inner)
        })
        .collect()
}

/// Panics where two trees differ, naming the files.
#[track_caller]
pub fn assert_same(a: &BTreeMap<String, String>, b: &BTreeMap<String, String>, what: &str) {
    assert!(!a.is_empty(), "{what}: there is nothing to compare");
    let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let different: Vec<String> = names
        .into_iter()
        .filter_map(|name| match (a.get(name), b.get(name)) {
            (Some(x), Some(y)) if x == y => None,
            (Some(_), Some(_)) => Some(format!("{name} differs")),
            (Some(_), None) => Some(format!("{name} is missing in the second")),
            _ => Some(format!("{name} is new in the second")),
        })
        .collect();
    assert!(different.is_empty(), "{what}: {}", different.join(", "));
}

/// Copies a folder with everything in it.
pub fn copy(from: &Path, to: &Path) {
    fs_err::create_dir_all(to).expect("a folder can be made");
    for (path, name) in entries(from, "") {
        let target = to.join(&name);
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs_err::copy(&path, &target).expect("a file can be copied");
        }
    }
}

/// Turns one bit in the middle of a file.
pub fn flip_a_bit(path: &Path) {
    let mut bytes = fs_err::read(path).expect("the artefact is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs_err::write(path, bytes).expect("the artefact can be written");
}

/// The first file of a folder, by name, whose name ends so.
pub fn first_file(folder: &Path, ending: &str) -> PathBuf {
    let mut found: Vec<PathBuf> = entries(folder, "")
        .into_iter()
        .map(|(path, _)| path)
        .filter(|p| p.to_string_lossy().ends_with(ending))
        .collect();
    found.sort();
    found
        .into_iter()
        .next()
        .unwrap_or_else(|| panic!("{} holds no {ending}", folder.display()))
}

/// A JSON file.
#[track_caller]
pub fn json(path: &Path) -> serde_json::Value {
    let text = fs_err::read_to_string(path).unwrap_or_else(|e| panic!("{e}"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// State of each stage as `status` prints it: name and the rest of the line.
pub fn states(status: &str) -> BTreeMap<String, String> {
    status
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.split_once(' ')?;
            let known = name == "ingest" || PROMISED.contains(&name);
            known.then(|| (name.to_owned(), rest.trim().to_owned()))
        })
        .collect()
}
