//! Who does a stage, and by which command line.

use super::Request;
use super::sets::Set;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Depth of the octree for peers' Poisson.
const POISSON_DEPTH: &str = "10";

/// What a tool is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Relievo,
    Pycolmap(&'static str),
    Openmvg,
    OpencvSift,
    Poisson(&'static str),
    PoissonRecon,
    Openmvs,
}

/// One way to do a stage.
#[derive(Clone, Debug)]
pub(crate) struct Tool {
    pub(crate) name: String,
    pub(crate) ours: bool,
    /// Version, or digest of the program and its options.
    pub(crate) version: String,
    /// Why it cannot run here.
    pub(crate) absent: Option<String>,
    kind: Kind,
    /// `--set` of our own runs.
    options: Vec<String>,
}

/// A prepared run.
#[derive(Clone, Debug)]
pub(crate) struct Steps {
    pub(crate) command: Vec<String>,
    /// Work folder that the run belongs to.
    pub(crate) work: PathBuf,
    /// What it makes: a model, a PLY, a JSON file.
    pub(crate) output: PathBuf,
}

/// The program under test.
pub(crate) fn relievo() -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    target.join("release").join("relievo")
}

fn python() -> PathBuf {
    PathBuf::from("target/bench/venv/bin/python")
}

/// Version of a package in the peers' environment.
fn package(name: &str) -> Result<String, String> {
    let code = format!("import importlib.metadata as m; print(m.version('{name}'))");
    let output = Command::new(python()).args(["-c", &code]).output();
    match output {
        Ok(o) if o.status.success() => Ok(String::from_utf8_lossy(&o.stdout).trim().to_owned()),
        _ => Err(format!(
            "not here ({name} is not installed in target/bench/venv)"
        )),
    }
}

fn program(name: &str) -> Result<String, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|d| d.join(name).is_file());
    if found {
        Ok("on PATH".to_owned())
    } else {
        Err(format!("not here ({name} is not on PATH)"))
    }
}

/// The tools of a stage, ours first.
pub(crate) fn of_stage(stage: &str, set: &Set, request: &Request) -> Vec<Tool> {
    let mut tools = Vec::new();
    let mut add = |name: &str, kind: Kind, version: Result<String, String>| {
        let (version, absent) = match version {
            Ok(v) => (v, None),
            Err(why) => (String::new(), Some(why)),
        };
        let ours = kind == Kind::Relievo;
        let options = if ours {
            request.set.clone()
        } else {
            Vec::new()
        };
        tools.push(Tool {
            name: name.to_owned(),
            ours,
            version,
            absent,
            kind,
            options,
        });
    };
    add("relievo", Kind::Relievo, build(&request.set));
    let video = |v: Result<String, String>| {
        if set.is_video() {
            Err("takes no video".to_owned())
        } else {
            v
        }
    };
    match stage {
        "features" => add(
            "opencv",
            Kind::OpencvSift,
            video(package("opencv-python-headless")),
        ),
        "sparse" => {
            let colmap = package("pycolmap");
            add(
                "pycolmap incremental",
                Kind::Pycolmap("incremental"),
                video(colmap.clone()),
            );
            add("pycolmap global", Kind::Pycolmap("global"), video(colmap));
            add("openmvg-rs", Kind::Openmvg, video(package("openmvg-rs")));
        }
        "dense" => add("openmvs", Kind::Openmvs, program("DensifyPointCloud")),
        "mesh" => {
            add("open3d", Kind::Poisson("open3d"), package("open3d"));
            add(
                "pymeshlab",
                Kind::Poisson("pymeshlab"),
                package("pymeshlab"),
            );
            add("poissonrecon", Kind::PoissonRecon, program("PoissonRecon"));
        }
        _ => add("openmvs", Kind::Openmvs, program("TextureMesh")),
    }
    if let Some(wanted) = &request.against {
        tools.retain(|t| t.ours || wanted.iter().any(|w| t.name.starts_with(w.as_str())));
    }
    tools
}

/// Digest of our program and the options of the run.
fn build(options: &[String]) -> Result<String, String> {
    let path = relievo();
    let bytes = fs_err::read(&path).map_err(|e| e.to_string())?;
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    Ok([format!("{:016x}", hasher.finish())]
        .into_iter()
        .chain(options.iter().cloned())
        .collect::<Vec<_>>()
        .join(" "))
}

fn words<const N: usize>(list: [&dyn AsRef<std::ffi::OsStr>; N]) -> Vec<String> {
    list.iter()
        .map(|w| w.as_ref().to_string_lossy().into_owned())
        .collect()
}

/// Makes what the run starts from, untimed, and says its command line.
pub(crate) fn prepare(stage: &str, set: &Set, tool: &Tool, seed: usize) -> Result<Steps, String> {
    let folder = Path::new("target/bench/work").join(&set.name);
    fs_err::create_dir_all(&folder).map_err(|e| e.to_string())?;
    let peer = |name: &str| Path::new("scripts/peers").join(name);
    let out = folder.join(format!("{}-{stage}", tool.name.replace(' ', "-")));
    let (python, input) = (python(), &set.input);
    match &tool.kind {
        Kind::Relievo => ours(stage, set, tool, seed, &folder),
        Kind::Pycolmap(mapper) => {
            let _ = fs_err::remove_dir_all(&out);
            let script = peer("sparse_pycolmap.py");
            let command = words([&python, &script, input, &out, mapper]);
            Ok(Steps {
                command,
                work: folder,
                output: out.join("model"),
            })
        }
        Kind::Openmvg => {
            let _ = fs_err::remove_dir_all(&out);
            let script = peer("sparse_openmvg.py");
            let command = words([&python, &script, input, &out]);
            Ok(Steps {
                command,
                work: folder,
                output: out.join("sparse/0"),
            })
        }
        Kind::OpencvSift => {
            let output = out.with_extension("json");
            let script = peer("features_opencv.py");
            let command = words([&python, &script, input, &output]);
            Ok(Steps {
                command,
                work: folder,
                output,
            })
        }
        Kind::Poisson(which) => {
            let base = base("mesh", set, &own_options(tool), seed, &folder)?;
            let output = out.with_extension("ply");
            let (script, cloud) = (peer("mesh_poisson.py"), base.join("cloud/dense.ply"));
            let command = words([&python, &script, &cloud, &output, which, &POISSON_DEPTH]);
            Ok(Steps {
                command,
                work: base,
                output,
            })
        }
        Kind::PoissonRecon => {
            let base = base("mesh", set, &own_options(tool), seed, &folder)?;
            let output = out.with_extension("ply");
            let cloud = base.join("cloud/dense.ply");
            let command = words([
                &"PoissonRecon",
                &"--in",
                &cloud,
                &"--out",
                &output,
                &"--depth",
                &POISSON_DEPTH,
            ]);
            Ok(Steps {
                command,
                work: base,
                output,
            })
        }
        Kind::Openmvs if stage == "dense" => {
            let base = base("dense", set, &own_options(tool), seed, &folder)?;
            let script = peer("dense_openmvs.sh");
            let command = words([&"sh", &script, &base.join("sparse/model"), input, &out]);
            Ok(Steps {
                command,
                work: base,
                output: out.join("scene_dense.ply"),
            })
        }
        Kind::Openmvs => Err("its texture is not scored here yet".to_owned()),
    }
}

fn own_options(tool: &Tool) -> Vec<String> {
    tool.options.clone()
}

/// Last stage of our program for a stage here, and the first that is timed.
fn span(stage: &str) -> (Option<&'static str>, &'static str) {
    match stage {
        "features" => (None, "features"),
        "sparse" => (None, "sparse"),
        "dense" => (Some("depth"), "cloud"),
        "mesh" => (Some("mesh"), "mesh"),
        _ => (Some("texture"), "export"),
    }
}

fn ours(stage: &str, set: &Set, tool: &Tool, seed: usize, folder: &Path) -> Result<Steps, String> {
    let program = std::path::absolute(relievo()).map_err(|e| e.to_string())?;
    let (first, last) = span(stage);
    let (work, mut command) = match first {
        None => {
            let work = folder.join(format!("{stage}-s{seed}.relievo"));
            let _ = fs_err::remove_dir_all(&work);
            let mut command = words([&program, &"run", &set.input, &"-o", &work]);
            command.extend(run_flags(&tool.options, seed));
            (work, command)
        }
        Some(first) => {
            let work = base(stage, set, &tool.options, seed, folder)?;
            let command = words([&program, &"run", &"-o", &work, &"--from", &first]);
            (work, command)
        }
    };
    command.extend(words([&"--until", &last, &"--progress", &"none"]));
    let output = match stage {
        "sparse" => work.join("sparse/model"),
        "dense" => work.join("cloud/dense.ply"),
        "mesh" => work.join("mesh/surface.ply"),
        _ => work.clone(),
    };
    Ok(Steps {
        command,
        work,
        output,
    })
}

fn run_flags(options: &[String], seed: usize) -> Vec<String> {
    let mut flags = vec!["--seed".to_owned(), seed.to_string()];
    for option in options {
        flags.extend(["--set".to_owned(), option.clone()]);
    }
    flags
}

/// The work folder from which a stage starts; kept between runs of the same
/// program, so that peers start from the same points. The texture has every
/// eighth photo held out.
fn base(
    stage: &str,
    set: &Set,
    options: &[String],
    seed: usize,
    folder: &Path,
) -> Result<PathBuf, String> {
    let held = stage == "texture";
    let until = match stage {
        "dense" => "sparse",
        "mesh" => "cloud",
        _ => "mesh",
    };
    let mut hasher = DefaultHasher::new();
    options.hash(&mut hasher);
    let kind = if held { "held" } else { "base" };
    let name = format!("{kind}-{:08x}-s{seed}.relievo", hasher.finish() as u32);
    let work = folder.join(name);
    let mut command = Command::new(relievo());
    command.arg("run").arg(&set.input).arg("-o").arg(&work);
    command.args(run_flags(options, seed));
    if held {
        if set.is_video() {
            return Err("no photos of a video are held out".to_owned());
        }
        let file = folder.join("hold-out.txt");
        fs_err::write(&file, held_out(&set.input).join("\n")).map_err(|e| e.to_string())?;
        command.arg("--hold-out").arg(&file);
    }
    command.args(["--until", until, "--progress", "none"]);
    let output = command.output().map_err(|e| e.to_string())?;
    match output.status.code() {
        Some(0 | 3) => Ok(work),
        _ => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

/// Every eighth photo of a folder, from the fifth, as `relievo bench` does.
fn held_out(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs_err::read_dir(folder) else {
        return Vec::new();
    };
    let photo = |n: &String| {
        let n = n.to_ascii_lowercase();
        [".jpg", ".jpeg", ".png"].iter().any(|e| n.ends_with(e))
    };
    let mut names: Vec<String> = entries
        .filter_map(|e| Some(e.ok()?.file_name().to_string_lossy().into_owned()))
        .filter(photo)
        .collect();
    names.sort();
    names.into_iter().skip(4).step_by(8).collect()
}
