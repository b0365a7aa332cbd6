//! Peers that come from no package registry, played by small programs on PATH: the
//! harness finds them, gives them what the real ones need, and scores what they make.
#![allow(clippy::unwrap_used, reason = "functions that tests share")]

use serde_json::Value;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Options that keep our own runs short.
const SHORT: [&str; 9] = [
    "features.max_keypoints=1000",
    "features.min_keypoints=800",
    "depth.scale=0.25",
    "depth.min_longer_side_px=160",
    "depth.levels=2",
    "depth.max_sources=3",
    "depth.views_per_pixel=2",
    "depth.geometric_passes=1",
    "mesh.target_faces=4000",
];

/// What our scripts do with pycolmap and SciPy, which need not be here.
const PYTHON: &str = r#"
case "$1" in
*/undistort.py)
    test -f "$2/cameras.bin" || test -f "$2/cameras.txt"
    mkdir -p "$5/images" "$5/sparse"
    for photo in "$3"/*.jpg; do
        grep -qxF "${photo##*/}" "$4" || cp "$photo" "$5/images"
    done
    cp "$2"/* "$5/sparse"
    ;;
*/poisson_depth.py) test -s "$2" && echo 8 ;;
*) echo "not here" >&2; exit 1 ;;
esac
"#;

/// Relative paths are taken from the working folder, as OpenMVS takes them.
const INTERFACE_COLMAP: &str = r#"
while [ $# -gt 0 ]; do
    case "$1" in
    -i) in=$2 ;;
    -o) out=$2 ;;
    -w) folder=$2 ;;
    *) echo "unrecognised option '$1'" >&2; exit 1 ;;
    esac
    shift 2
done
at() { case "$1" in /*) echo "$1" ;; *) echo "$folder/$1" ;; esac; }
ls "$(at "$in")"/sparse/cameras.* >&2
ls "$(at "$in")"/images/*.jpg >"$(at "$out")"
"#;

/// As a build without CUDA.
const DENSIFY_POINT_CLOUD: &str = r#"
test "$1" != --help || { echo "usage: -o -w --resolution-level"; exit 1; }
in=$1
shift
while [ $# -gt 0 ]; do
    case "$1" in
    -o) out=$2 ;;
    -w) folder=$2 ;;
    --resolution-level) test "$2" -ge 0 ;;
    *) echo "unrecognised option '$1'" >&2; exit 1 ;;
    esac
    shift 2
done
at() { case "$1" in /*) echo "$1" ;; *) echo "$folder/$1" ;; esac; }
grep -q images/0001.jpg "$(at "$in")"
cp "${0%/*}/cloud.ply" "$(at "${out%.mvs}.ply")"
"#;

const TEXTURE_MESH: &str = r#"
in=$1
shift
while [ $# -gt 0 ]; do
    case "$1" in
    -m) mesh=$2 ;;
    -o) out=$2 ;;
    -w) folder=$2 ;;
    --export-type) kind=$2 ;;
    *) echo "unrecognised option '$1'" >&2; exit 1 ;;
    esac
    shift 2
done
at() { case "$1" in /*) echo "$1" ;; *) echo "$folder/$1" ;; esac; }
grep -q images/0001.jpg "$(at "$in")"
head -c 3 "$(at "$mesh")" | grep -q ply
cp "${0%/*}/model.glb" "$(at "${out%.mvs}.$kind")"
"#;

const POISSON_RECON: &str = r#"
density=""
while [ $# -gt 0 ]; do
    case "$1" in
    --in) head -c 3 "$2" | grep -q ply; in=$2 ;;
    --out) out=$2 ;;
    --depth) test "$2" -ge 5 && test "$2" -le 12 ;;
    --density) density=yes; shift; continue ;;
    *) echo "unrecognised option '$1'" >&2; exit 1 ;;
    esac
    shift 2
done
test -n "$density"
cp "$in" "$out"
"#;

const SURFACE_TRIMMER: &str = r#"
while [ $# -gt 0 ]; do
    case "$1" in
    --in) head -c 3 "$2" | grep -q ply ;;
    --out) out=$2 ;;
    --trim) test "$2" -ge 2 && test "$2" -le 9 ;;
    *) echo "unrecognised option '$1'" >&2; exit 1 ;;
    esac
    shift 2
done
cp "${0%/*}/mesh.ply" "$out"
"#;

/// A folder in which the harness finds what it expects in the repository: scripts, the
/// demo set (five photos of it), the program, an environment for Python.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        let own = Path::new(env!("CARGO_BIN_EXE_xtask"));
        let program = own.with_file_name("relievo");
        let hint = "is not there: run `cargo build -p relievo` first";
        assert!(program.is_file(), "{} {hint}", program.display());
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let repository = fs_err::canonicalize(repository).unwrap();
        let place = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let (demo, images) = ("datasets/demo", place.at("datasets/demo/images"));
        for folder in ["target/release", "target/bench/venv/bin", "bin"] {
            fs_err::create_dir_all(place.at(folder)).unwrap();
        }
        fs_err::create_dir_all(&images).unwrap();
        for name in (1..=5).map(|n| format!("{n:04}.jpg")) {
            let photo = repository.join(demo).join("images").join(&name);
            fs_err::copy(photo, images.join(name)).unwrap();
        }
        // Cameras alone: scoring a mesh by a true surface takes longest.
        fs_err::create_dir(place.at(demo).join("gt")).unwrap();
        for name in ["cameras.txt", "images.txt", "points3D.txt"] {
            let file = Path::new(demo).join("gt").join(name);
            fs_err::copy(repository.join(&file), place.dir.path().join(&file)).unwrap();
        }
        let link = |from: PathBuf, to: &str| symlink(from, place.at(to)).unwrap();
        link(repository.join("scripts"), "scripts");
        link(program, "target/release/relievo");
        place.program("target/bench/venv/bin/python", PYTHON);
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.at(name);
        fs_err::write(&path, format!("#!/bin/sh\nset -eu\n{script}")).unwrap();
        let mode = std::fs::Permissions::from_mode(0o755);
        fs_err::set_permissions(&path, mode).unwrap();
    }

    /// Runs the harness with or without the stand-ins; its new rows.
    fn measure(&self, stages: &[&str], with_peers: bool) -> Vec<Value> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let without = |d: &PathBuf| {
            let mut names = ["DensifyPointCloud", "TextureMesh", "PoissonRecon"].iter();
            !names.any(|name| d.join(name).is_file())
        };
        let peers = with_peers.then(|| self.at("bin"));
        let folders = std::env::split_paths(&path).filter(without);
        let path = std::env::join_paths(peers.into_iter().chain(folders)).unwrap();
        let results = self.at("target/bench/results.jsonl");
        let old = fs_err::read_to_string(&results).unwrap_or_default();
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.current_dir(self.dir.path()).env("PATH", path);
        command
            .env_remove("RELIEVO_DATA")
            .env_remove("CARGO_TARGET_DIR");
        command.arg("bench").args(stages);
        command.args(["--sets", "demo", "--runs", "1", "--share"]);
        command.args(["--against", "openmvs,poissonrecon"]);
        command.args(SHORT.iter().flat_map(|option| ["--set", option]));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let all = fs_err::read_to_string(&results).unwrap();
        let new = all[old.len()..].lines();
        new.map(|l| serde_json::from_str(l).unwrap()).collect()
    }

    /// The work folder of our run.
    fn work(&self) -> PathBuf {
        let all = fs_err::read_dir(self.at("target/bench/work/demo")).unwrap();
        let mut paths = all.map(|e| e.unwrap().path());
        let is_work = |p: &PathBuf| p.join("mesh/surface.ply").is_file();
        paths.find(is_work).expect("our run is there")
    }

    /// What the harness should find in a file.
    fn voxels_of(&self, estimate: &Path) -> f64 {
        let mut command = Command::new(self.at("target/release/relievo"));
        command
            .args(["eval", "cloud", "--json", "--estimate"])
            .arg(estimate);
        let output = command.arg("--model").arg(self.work()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
        figures["consistent"].as_f64().unwrap()
    }
}

fn row<'a>(rows: &'a [Value], stage: &str, tool: &str) -> &'a Value {
    let mut of = rows
        .iter()
        .filter(|r| r["stage"] == stage && r["tool"] == tool);
    of.next()
        .unwrap_or_else(|| panic!("no row of {tool} in {rows:#?}"))
}

fn quality(row: &Value) -> &Vec<Value> {
    assert_eq!((&row["failed"], &row["note"]), (&Value::Null, &Value::Null));
    row["quality"].as_array().unwrap()
}

fn voxels(row: &Value) -> f64 {
    let found = quality(row)
        .iter()
        .find(|m| m["name"] == "consistent_voxels");
    let found = found.unwrap_or_else(|| panic!("not scored: {row:#}"));
    found["value"].as_f64().unwrap()
}

/// Header and body of a PLY, and its number of `what`.
fn ply(path: &Path, what: &str) -> (String, Vec<u8>, usize) {
    let bytes = fs_err::read(path).unwrap();
    let end = bytes
        .windows(11)
        .position(|w| w == b"end_header\n")
        .unwrap()
        + 11;
    let header = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = header.lines();
    let count = lines.find_map(|l| l.strip_prefix(&format!("element {what} ")));
    let count = count.unwrap().parse().unwrap();
    (header, bytes[end..].to_vec(), count)
}

/// Every second point of our cloud, as OpenMVS writes it, with lists of views.
fn cloud_of_openmvs(ours: &Path, to: &Path) {
    let (_, body, count) = ply(ours, "vertex");
    let rows = body.chunks_exact(body.len() / count).step_by(2);
    let mut bytes = format!(
        "ply\nformat binary_little_endian 1.0\nelement vertex {}\nproperty float x\n\
         property float y\nproperty float z\nproperty uchar red\nproperty uchar green\n\
         property uchar blue\nproperty float nx\nproperty float ny\nproperty float nz\n\
         property list uchar uint view_indices\nproperty list uchar float view_weights\n\
         end_header\n",
        rows.len()
    )
    .into_bytes();
    for (i, row) in rows.enumerate() {
        bytes.extend(&row[..12]);
        bytes.extend([200, 100, 50]);
        bytes.extend(&row[12..24]);
        // Lists of two and of three views.
        let views = 2 + i as u32 % 2;
        bytes.push(views as u8);
        bytes.extend((0..views).flat_map(u32::to_le_bytes));
        bytes.push(views as u8);
        bytes.extend((0..views).flat_map(|_| 0.5_f32.to_le_bytes()));
    }
    fs_err::write(to, bytes).unwrap();
}

/// The first half of the faces of our surface.
fn half_mesh(ours: &Path, to: &Path) {
    let (header, body, faces) = ply(ours, "face");
    let kept = faces / 2;
    let header = header.replace(&format!("face {faces}"), &format!("face {kept}"));
    let mut bytes = header.into_bytes();
    // A count and three corners.
    bytes.extend(&body[..body.len() - 13 * (faces - kept)]);
    fs_err::write(to, bytes).unwrap();
}

#[test]
fn peers_on_path_are_run_and_scored_and_others_are_not_here() {
    let place = Place::new();
    let stages = ["dense", "mesh", "texture"];
    let rows = place.measure(&stages, false);
    let absent = [
        ("dense", "openmvs", "DensifyPointCloud"),
        ("mesh", "poissonrecon", "PoissonRecon"),
        ("texture", "openmvs", "TextureMesh"),
    ];
    for (stage, tool, program) in absent {
        let why = format!("not here ({program} is not on PATH)");
        assert_eq!(row(&rows, stage, tool)["failed"], *why);
        assert_eq!(row(&rows, stage, "relievo")["failed"], Value::Null);
    }
    place.program("bin/InterfaceCOLMAP", INTERFACE_COLMAP);
    place.program("bin/DensifyPointCloud", DENSIFY_POINT_CLOUD);
    place.program("bin/TextureMesh", TEXTURE_MESH);
    place.program("bin/PoissonRecon", POISSON_RECON);
    place.program("bin/SurfaceTrimmer", SURFACE_TRIMMER);
    let work = place.work();
    let (cloud, mesh) = (place.at("bin/cloud.ply"), place.at("bin/mesh.ply"));
    cloud_of_openmvs(&work.join("cloud/dense.ply"), &cloud);
    half_mesh(&work.join("mesh/surface.ply"), &mesh);
    fs_err::copy(work.join("export/model.glb"), place.at("bin/model.glb")).unwrap();
    let new = place.measure(&stages, true);
    // Ours is done already; what was not here is tried again.
    assert_eq!(new.len(), 3, "{new:#?}");
    for (stage, tool) in [("dense", "openmvs"), ("mesh", "poissonrecon")] {
        let peer = row(&new, stage, tool);
        assert!(peer["wall_s"].as_f64().unwrap() > 0.0);
        let share = voxels(peer) / voxels(row(&rows, stage, "relievo"));
        assert!(share > 0.2 && share < 0.95, "{tool}: {share}");
    }
    let dense = row(&new, "dense", "openmvs");
    assert_eq!(voxels(dense), place.voxels_of(&cloud));
    // The same model has the same score, of the photo that was kept out.
    let textured = row(&new, "texture", "openmvs");
    assert_eq!(quality(textured), quality(row(&rows, "texture", "relievo")));
    // The photo that is kept for texture takes no part in a peer's run either.
    for stage in ["dense", "texture"] {
        let images = place.at(&format!("target/bench/work/demo/openmvs-{stage}/images"));
        assert!(images.join("0004.jpg").is_file() && !images.join("0005.jpg").exists());
    }
}
