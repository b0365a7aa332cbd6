//! Folders that cannot be written, disks that fill up.

use super::small::{arguments, arguments_and, go_on};
use relievo_tests::program::{relievo, relievo_in};
use relievo_tests::{data, say_skipped};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system in memory, unmounted when dropped.
struct Disk {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Disk {
    /// `None`, with a message, where mounting is not allowed.
    fn new(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("disk");
        fs_err::create_dir(&path).expect("a folder can be made");
        let disk = Self {
            _folder: folder,
            path,
        };
        let mounted = disk.mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]);
        if !mounted {
            say_skipped("mounting a small disk is not allowed here");
        }
        mounted.then_some(disk)
    }

    fn mount(&self, arguments: &[&str]) -> bool {
        Command::new("mount")
            .args(arguments)
            .arg(&self.path)
            .output()
            .is_ok_and(|o| o.status.success())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.path).output();
    }
}

#[test]
fn output_below_a_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs_err::write(&file, "not a folder").unwrap();
    for work in [file.clone(), file.join("work")] {
        relievo(arguments(&work))
            .ends(1)
            .says(&["file", "hint:", "-o"]);
    }
    assert_eq!(fs_err::read_to_string(&file).unwrap(), "not a folder");
}

#[test]
fn a_folder_with_other_things_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let precious = folder.path().join("thesis.tex");
    fs_err::write(&precious, "chapter 1").unwrap();
    relievo(arguments(folder.path()))
        .ends(1)
        .says(&["is not a work folder", "hint:"]);
    assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_default_folder_of_other_photos_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (name, numbers) in [("a/jug/photos", [1, 2]), ("b/jug/photos", [3, 4])] {
        data::copy_demo(numbers, &folder.path().join(name));
    }
    let run = |input: &str| -> [OsString; 4] {
        [
            "run".into(),
            input.into(),
            "--until".into(),
            "ingest".into(),
        ]
    };
    let ran = relievo_in(folder.path(), run("a/jug/photos")).ends(0);
    assert!(ran.last_line().contains("jug.relievo"), "{}", ran.stdout);
    assert!(folder.path().join("jug.relievo/ingest").is_dir());
    relievo_in(folder.path(), run("b/jug/photos"))
        .ends(1)
        .says(&["jug.relievo", "other photos", "-o"]);
    relievo_in(folder.path(), run("a/jug/photos")).ends(0);
}

#[test]
fn a_disk_that_cannot_be_written() {
    let Some(disk) = Disk::new("8m") else {
        return;
    };
    assert!(disk.mount(&["-o", "remount,ro", "tmpfs"]));
    let work = disk.path.join("out");
    relievo(arguments_and(&work, &["--until", "sparse"]))
        .ends(1)
        .says(&["out", "hint:", "-o"]);
}

#[test]
fn a_full_disk_loses_nothing() {
    let Some(disk) = Disk::new("600k") else {
        return;
    };
    let work = disk.path.join("out");
    relievo(arguments_and(&work, &["--until", "sparse"]))
        .ends(1)
        .says(&["disk is full", "hint:", "free some disk space"]);
    let done = finished_items(&work);
    assert!(done > 0, "nothing was finished before the disk was full");
    assert!(disk.mount(&["-o", "remount,size=200m", "tmpfs"]));
    let mut next = go_on(&work).to_vec();
    next.extend(["--until".into(), "sparse".into()]);
    let ran = relievo(&next).ends(0);
    let kept = ran.made().get("features").map_or(0, |m| m.1);
    assert!(kept > 0, "finished photos were done again: {}", ran.stderr);
}

fn finished_items(work: &Path) -> usize {
    fs_err::read_dir(work.join("features")).map_or(0, |entries| {
        entries
            .filter_map(Result::ok)
            .filter(|e| e.path().extension().is_some_and(|x| x == "features"))
            .count()
    })
}
