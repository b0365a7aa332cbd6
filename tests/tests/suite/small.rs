//! A finished run of six demo photos that many tests start from.

use relievo_tests::data::demo_photos;
use relievo_tests::program::relievo;
use relievo_tests::work;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;
use tempfile::TempDir;

/// Flags that keep a run short; they take the same way through every stage.
const SHORT: [&str; 6] = [
    "--quality",
    "draft",
    "--set",
    "mesh.target_faces=20000",
    "--set",
    "texture.max_megatexels=2",
];

/// Arguments of the small run into `work`.
pub(crate) fn arguments(work: &Path) -> Vec<OsString> {
    let mut all: Vec<OsString> = vec!["run".into()];
    all.extend(demo_photos(1..=6).into_iter().map(OsString::from));
    all.extend(["-o".into(), work.into()]);
    all.extend(SHORT.map(OsString::from));
    all
}

/// Arguments of the small run with more of them.
pub(crate) fn arguments_and(work: &Path, more: &[&str]) -> Vec<OsString> {
    let mut all = arguments(work);
    all.extend(more.iter().map(OsString::from));
    all
}

/// The finished small run. Never change it: take a [`copy`].
pub(crate) struct Small {
    _folder: TempDir,
    pub(crate) work: PathBuf,
    pub(crate) wall: Duration,
}

/// Made once, with two threads and plenty of memory.
pub(crate) fn small() -> &'static Small {
    static SMALL: OnceLock<Small> = OnceLock::new();
    SMALL.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let work = folder.path().join("small.relievo");
        let ran = relievo(arguments_and(&work, &["--threads", "2", "--memory", "8G"])).ends(0);
        Small {
            _folder: folder,
            work,
            wall: ran.wall,
        }
    })
}

/// A copy of the finished small run, to be changed.
pub(crate) fn copy() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("copy.relievo");
    work::copy(&small().work, &path);
    (folder, path)
}

/// `relievo run -o WORK`, the way to go on.
pub(crate) fn go_on(work: &Path) -> [OsString; 3] {
    ["run".into(), "-o".into(), work.into()]
}
