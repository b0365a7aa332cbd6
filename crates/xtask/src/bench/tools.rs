//! Who does a stage.

use super::bal;
use super::known::TrueCamera;
use super::posed;
use super::request::Request;
use super::sets::Set;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Names of all tools but ours.
pub(crate) const PEERS: [&str; 10] = [
    "opencv",
    "pycolmap incremental",
    "pycolmap global",
    "openmvg-rs",
    "ceres (pycolmap)",
    "ceres",
    "openmvs",
    "open3d",
    "pymeshlab",
    "poissonrecon",
];

/// What a tool is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Relievo,
    Pycolmap(&'static str),
    Openmvg,
    OpencvSift,
    Ceres,
    CeresProgram,
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
    /// Version of ours whose result a peer starts from.
    pub(crate) start: Option<String>,
    /// Why it cannot run here.
    pub(crate) absent: Option<String>,
    pub(crate) kind: Kind,
    /// `--set` of our own runs, from which peers may start.
    pub(crate) options: Vec<String>,
    /// Dense and mesh hold photos out as texture does, in one run.
    pub(crate) share: bool,
}

#[cfg(test)]
impl Tool {
    /// A peer for tests.
    pub(crate) fn example(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            ours: false,
            version: version.to_owned(),
            start: None,
            absent: None,
            kind: Kind::PoissonRecon,
            options: Vec::new(),
            share: false,
        }
    }
}

/// The program under test.
pub(crate) fn relievo() -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    target.join("release").join("relievo")
}

pub(crate) fn python() -> PathBuf {
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

/// Version of a program on PATH, by what it says of itself.
fn program(name: &str) -> Result<String, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|d| d.join(name))
        .find(|p| p.is_file())
        .ok_or_else(|| format!("not here ({name} is not on PATH)"))?;
    // Some leave a log where they are called, and some may not know the word.
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let output = Command::new("timeout")
        .arg("10")
        .arg(std::path::absolute(found).map_err(|e| e.to_string())?)
        .arg("--help")
        .stdin(Stdio::null())
        .current_dir(folder.path())
        .output()
        .map_err(|e| format!("{name}: {e}"))?;
    let said = [output.stdout, output.stderr].map(|s| String::from_utf8_lossy(&s).into_owned());
    Ok(version_in(&said.concat()).unwrap_or_else(|| "version not told".to_owned()))
}

/// The first `v1.2` or `version 1.2`.
fn version_in(said: &str) -> Option<String> {
    let mut before = "";
    for word in said.split_whitespace() {
        let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let number = word.strip_prefix(['v', 'V']).unwrap_or(word);
        let is_named = number.len() < word.len() || before.eq_ignore_ascii_case("version");
        let digits = |c: char| c.is_ascii_digit() || c == '.';
        if is_named && number.contains('.') && number.chars().all(digits) {
            return Some(number.to_owned());
        }
        before = word;
    }
    None
}

/// The tools of a stage, ours first.
pub(crate) fn of_stage(stage: &str, set: &Set, request: &Request) -> Vec<Tool> {
    let mut tools = Vec::new();
    let own = build(&request.set, request.share);
    let from_ours = !["features", "sparse", "known", "bal"].contains(&stage);
    let start = own.clone().ok().filter(|_| from_ours);
    let mut add = |name: &str, kind: Kind, version: Result<String, String>| {
        let (version, absent) = match version {
            Ok(v) => (v, None),
            Err(why) => (String::new(), Some(why)),
        };
        let ours = kind == Kind::Relievo;
        tools.push(Tool {
            name: name.to_owned(),
            ours,
            version,
            start: start.clone().filter(|_| !ours),
            absent,
            kind,
            options: request.set.clone(),
            share: request.share,
        });
    };
    let lacks = match stage {
        "known" => TrueCamera::of(set).is_none(),
        "posed" => !posed::is_known(set),
        _ => false,
    };
    if lacks || !set.has(stage) {
        return tools;
    }
    add("relievo", Kind::Relievo, own);
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
            package("opencv-python-headless"),
        ),
        "sparse" | "known" => {
            let colmap = package("pycolmap");
            add(
                "pycolmap incremental",
                Kind::Pycolmap("incremental"),
                colmap.clone(),
            );
            add("pycolmap global", Kind::Pycolmap("global"), colmap);
            add("openmvg-rs", Kind::Openmvg, package("openmvg-rs"));
        }
        "bundle" => add("ceres (pycolmap)", Kind::Ceres, package("pycolmap")),
        "bal" => add("ceres", Kind::CeresProgram, bal::ceres_version()),
        "dense" | "posed" => add(
            "openmvs",
            Kind::Openmvs,
            video(program("DensifyPointCloud")),
        ),
        "mesh" => {
            add("open3d", Kind::Poisson("open3d"), package("open3d"));
            add(
                "pymeshlab",
                Kind::Poisson("pymeshlab"),
                package("pymeshlab"),
            );
            let both = program("PoissonRecon").and_then(|_| program("SurfaceTrimmer"));
            add("poissonrecon", Kind::PoissonRecon, both);
        }
        _ => add("openmvs", Kind::Openmvs, video(program("TextureMesh"))),
    }
    if let Some(wanted) = &request.against {
        tools.retain(|t| t.ours || wanted.iter().any(|w| t.name.starts_with(w.as_str())));
    }
    tools
}

/// Digest of our program and the options of the run.
fn build(options: &[String], share: bool) -> Result<String, String> {
    let path = relievo();
    let bytes = fs_err::read(&path).map_err(|e| e.to_string())?;
    Ok(digest(&bytes, options, share))
}

fn digest(program: &[u8], options: &[String], share: bool) -> String {
    let mut hasher = DefaultHasher::new();
    program.hash(&mut hasher);
    [format!("{:016x}", hasher.finish())]
        .into_iter()
        .chain(share.then(|| "photos held out everywhere".to_owned()))
        .chain(options.iter().cloned())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Which run of a tool: seed and number.
pub(crate) type RunId = (usize, usize);

pub(crate) fn words<const N: usize>(list: [&dyn AsRef<std::ffi::OsStr>; N]) -> Vec<String> {
    list.iter()
        .map(|w| w.as_ref().to_string_lossy().into_owned())
        .collect()
}

/// Runs something that is not timed; what it printed.
pub(crate) fn said(command: &[String]) -> Result<String, String> {
    let output = Command::new(&command[0]).args(&command[1..]).output();
    let output = output.map_err(|e| format!("{}: {e}", command[0]))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let talk = String::from_utf8_lossy(&output.stderr);
    let last = talk.lines().rfind(|l| !l.trim().is_empty());
    Err(last.unwrap_or("it failed and said nothing").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    /// A `pip` that notes what it is asked for, and has no network where `offline` lies.
    #[test]
    fn what_could_not_be_installed_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let (venv, list) = (dir.path(), dir.path().join("requirements.txt"));
        let pip = venv.join("bin/pip");
        fs_err::create_dir(venv.join("bin")).unwrap();
        let script = "#!/bin/sh\ncd \"$(dirname \"$0\")\"\nfor last; do :; done\n\
            echo \"$last\" >>asked\n[ ! -e offline ] && [ \"$last\" != nowhere ]\n";
        fs_err::write(&pip, script).unwrap();
        fs_err::set_permissions(&pip, std::fs::Permissions::from_mode(0o755)).unwrap();
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let install = repository.join("scripts/peers/install.sh");
        let asked = |requirements: &str| -> Vec<String> {
            fs_err::write(&list, requirements).unwrap();
            let asked = venv.join("bin/asked");
            fs_err::write(&asked, "").unwrap();
            said(&words([&"sh", &install, &venv, &list])).unwrap();
            let text = fs_err::read_to_string(asked).unwrap();
            text.lines().map(str::to_owned).collect()
        };
        let offline = venv.join("bin/offline");
        fs_err::write(&offline, "").unwrap();
        let all = ["numpy", "nowhere", "peer==1"];
        assert_eq!(asked("numpy\nnowhere\npeer==1\n"), all);
        fs_err::remove_file(&offline).unwrap();
        assert_eq!(asked("numpy\nnowhere\npeer==1\n"), all);
        assert_eq!(asked("numpy\nnowhere\npeer==1\n"), ["nowhere"]);
        // Another version, and back again.
        assert_eq!(asked("numpy\npeer==2\n"), ["peer==2"]);
        assert_eq!(asked("numpy\npeer==1\n"), ["peer==1"]);
        fs_err::write(&offline, "").unwrap();
        assert!(asked("numpy\npeer==1\n").is_empty());
    }

    #[test]
    fn programs_say_their_version_in_several_ways() {
        let told = |said: &str| version_in(said);
        let mvs = "12:33:52 [App     ] OpenMVS x64 v2.3.0\nBuild date: Nov 28 2026";
        assert_eq!(told(mvs).as_deref(), Some("2.3.0"));
        let poisson = "* Running Screened Poisson Reconstruction (Version 16.04) *";
        assert_eq!(told(poisson).as_deref(), Some("16.04"));
        assert_eq!(told("usage: 1.5 verbose [version]"), None);
    }

    #[test]
    fn options_are_part_of_the_version() {
        let of = |program: &[u8], options: &[&str], share| {
            let options: Vec<String> = options.iter().map(|&o| o.to_owned()).collect();
            digest(program, &options, share)
        };
        let plain = of(b"a", &[], false);
        assert_eq!(plain, of(b"a", &[], false));
        assert_ne!(plain, of(b"b", &[], false));
        let half = of(b"a", &["features.max_keypoints=1700"], false);
        assert_eq!(half, format!("{plain} features.max_keypoints=1700"));
        assert_ne!(plain, of(b"a", &[], true));
    }
}
