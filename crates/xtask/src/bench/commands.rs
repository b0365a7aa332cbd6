//! By which command line a tool does a stage, and what it starts from.

use super::bal;
use super::known::{TrueCamera, photos_with_matrix};
use super::photos::{KeyFrame, frames_alone, key_frames, photo_names, photos_alone};
use super::posed;
use super::sets::Set;
use super::tools::{Kind, RunId, Tool, python, relievo, said, words};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Depth of the octree for peers' Poisson where it cannot be found out.
const POISSON_DEPTH: &str = "10";

/// A prepared run.
#[derive(Clone, Debug)]
pub(crate) struct Steps {
    pub(crate) command: Vec<String>,
    /// Work folder that the run belongs to.
    pub(crate) work: PathBuf,
    /// What it makes: a model, a PLY, a JSON file.
    pub(crate) output: PathBuf,
    /// Cost of a part that an earlier run did for it (JSON), to be added.
    pub(crate) shared: Option<PathBuf>,
}

impl Steps {
    fn new(command: Vec<String>, work: PathBuf, output: PathBuf) -> Self {
        Self {
            command,
            work,
            output,
            shared: None,
        }
    }
}

/// Longest a peer may take, as `timeout` takes it.
fn limited(command: Vec<String>, seconds: u64) -> Vec<String> {
    let mut all = words([&"timeout", &"--kill-after=5", &seconds.to_string()]);
    all.extend(command);
    all
}

/// Makes what the run starts from, untimed, and says its command line.
/// A peer is stopped after `limit_s`.
pub(crate) fn prepare(
    stage: &str,
    set: &Set,
    tool: &Tool,
    id: RunId,
    limit_s: u64,
) -> Result<Steps, String> {
    let mut steps = steps(stage, set, tool, id)?;
    if !tool.ours {
        steps.command = limited(steps.command, limit_s);
    }
    Ok(steps)
}

fn steps(stage: &str, set: &Set, tool: &Tool, id: RunId) -> Result<Steps, String> {
    let folder = Path::new("target/bench/work").join(&set.name);
    fs_err::create_dir_all(&folder).map_err(|e| e.to_string())?;
    let peer = |name: &str| Path::new("scripts/peers").join(name);
    let name = tool.name.replace(' ', "-").replace(['(', ')'], "");
    let out = folder.join(format!("{name}-{stage}"));
    let (python, input) = (python(), &set.input);
    let start = Start {
        set,
        options: &tool.options,
        seed: id.0,
        folder: &folder,
        held: stage == "texture" || (tool.share && stage != "posed"),
    };
    let base = || start.upto(stage);
    let known = TrueCamera::of(set).filter(|_| stage == "known");
    let photos = || start.photos();
    Ok(match &tool.kind {
        Kind::Relievo => return ours(stage, &start, id),
        Kind::Pycolmap(mapper) => {
            let script = peer("sparse_pycolmap.py");
            let pairs = folder.join(format!("pycolmap-pairs-{stage}"));
            // Of seeds the mapping alone is repeated.
            if *mapper == "incremental" && (known.is_none() || id.1 == 0) {
                let _ = fs_err::remove_dir_all(&pairs);
            }
            let _ = fs_err::remove_dir_all(&out);
            let shared = pairs.join("cost.json");
            let photos = photos()?;
            let mut command = words([&python, &script, &photos, &pairs, &out, mapper]);
            if let Some(camera) = known {
                command.extend([id.0.to_string(), camera.spec()]);
            }
            let mut steps = Steps::new(command, folder, out.join("model"));
            steps.shared = shared.is_file().then_some(shared);
            steps
        }
        Kind::Openmvg => {
            let _ = fs_err::remove_dir_all(&out);
            let photos = match &known {
                None => photos_alone(&photos()?, &folder.join("photos"))?,
                Some(k) => {
                    photos_with_matrix(&photos()?, k, &folder.join("known-photos"), &python)?
                }
            };
            let mut command = words([&python, &peer("sparse_openmvg.py"), &photos, &out]);
            command.extend(known.map(|_| id.0.to_string()));
            Steps::new(command, folder, out.join("sparse/0"))
        }
        Kind::OpencvSift => {
            let output = out.with_extension("json");
            let photos = photos()?;
            let command = words([&python, &peer("features_opencv.py"), &photos, &output]);
            Steps::new(command, folder, output)
        }
        Kind::Ceres => {
            let (work, output) = (base()?, out.with_extension("json"));
            let problem = problem(&work, &folder, &set.name)?;
            let command = words([&python, &peer("bundle_pycolmap.py"), &problem, &output]);
            Steps::new(command, work, output)
        }
        Kind::CeresProgram => {
            bal::make(set, &python)?;
            let output = out.with_extension("json");
            let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
            let command = words([&bal::ceres()?, input, &output, &threads.to_string()]);
            Steps::new(command, folder, output)
        }
        Kind::Poisson(which) => {
            let (work, output) = (base()?, out.with_extension("ply"));
            let (script, cloud) = (peer("mesh_poisson.py"), work.join("cloud/dense.ply"));
            let depth = poisson_depth(&cloud);
            let command = words([&python, &script, &cloud, &output, which, &depth]);
            Steps::new(command, work, output)
        }
        Kind::PoissonRecon => {
            let (work, output) = (base()?, out.with_extension("ply"));
            let cloud = work.join("cloud/dense.ply");
            let depth = poisson_depth(&cloud);
            let script = peer("mesh_poissonrecon.sh");
            let command = words([&"sh", &script, &cloud, &output, &depth]);
            Steps::new(command, work, output)
        }
        Kind::Openmvs => {
            let work = base()?;
            let _ = fs_err::remove_dir_all(&out);
            let (script, model) = (peer("undistort.py"), work.join("sparse/model"));
            // The list of another run may lie there.
            let list = folder.join("hold-out.txt");
            let held = if start.held {
                &*list
            } else {
                Path::new("/dev/null")
            };
            said(&words([&python, &script, &model, input, &held, &out]))?;
            if stage == "dense" || stage == "posed" {
                let command = words([&"sh", &peer("dense_openmvs.sh"), &out]);
                Steps::new(command, work, out.join("scene_dense.ply"))
            } else {
                let (script, mesh) = (peer("texture_openmvs.sh"), work.join("mesh/surface.ply"));
                let command = words([&"sh", &script, &out, &mesh]);
                Steps::new(command, work, out.join("scene_texture.glb"))
            }
        }
    })
}

/// As fine as ours: a cell of two point spacings, of the whole cloud.
fn poisson_depth(cloud: &Path) -> String {
    let script = Path::new("scripts/peers/poisson_depth.py");
    said(&words([&python(), &script, &cloud])).unwrap_or_else(|_| POISSON_DEPTH.to_owned())
}

/// The sparse model of a run, moved off its optimum, as a BAL problem.
fn problem(work: &Path, folder: &Path, set: &str) -> Result<PathBuf, String> {
    let path = folder.join(format!("problem-{set}.txt"));
    let (script, model) = ("scripts/peers/bundle_problem.py", work.join("sparse/model"));
    said(&words([&python(), &script, &model, &path]))?;
    Ok(path)
}

/// Last stage of our program for a stage here, and the first that is timed.
fn span(stage: &str) -> (Option<&'static str>, &'static str) {
    match stage {
        "features" => (None, "features"),
        "sparse" | "known" => (None, "sparse"),
        "dense" | "posed" => (Some("depth"), "cloud"),
        "mesh" => (Some("mesh"), "mesh"),
        _ => (Some("texture"), "export"),
    }
}

fn ours(stage: &str, start: &Start<'_>, (seed, run): RunId) -> Result<Steps, String> {
    let program = std::path::absolute(relievo()).map_err(|e| e.to_string())?;
    let folder = start.folder;
    if stage == "bundle" || stage == "bal" {
        let (work, problem) = if stage == "bal" {
            bal::make(start.set, &python())?;
            (folder.to_owned(), start.set.input.clone())
        } else {
            let work = start.upto(stage)?;
            let problem = problem(&work, folder, &start.set.name)?;
            (work, problem)
        };
        let output = folder.join("bundle.json");
        let line = "exec \"$0\" bench \"$1\" --json > \"$2\"";
        let command = words([&"sh", &"-c", &line, &program, &problem, &output]);
        return Ok(Steps::new(command, work, output));
    }
    let (first, last) = span(stage);
    let (work, mut command) = if let Some(first) = first {
        let work = start.upto(stage)?;
        let command = if stage == "posed" {
            let mut command = posed::command(&program, &work, seed, start.options);
            command.extend(words([&"--from", &first]));
            command
        } else {
            words([&program, &"run", &"-o", &work, &"--from", &first])
        };
        (work, command)
    } else {
        // The first sparse run is what the later stages start from.
        let work = if stage == "sparse" && run == seed {
            start.work()
        } else {
            folder.join(format!("{stage}-s{seed}.relievo"))
        };
        let _ = fs_err::remove_dir_all(&work);
        let mut command = start.whole_run(&program, &work)?;
        if stage == "known"
            && let Some(camera) = TrueCamera::of(start.set)
        {
            command.extend(words([&"--camera", &camera.spec(), &"--fix-intrinsics"]));
        }
        (work, command)
    };
    command.extend(words([&"--until", &last, &"--progress", &"none"]));
    let output = match stage {
        "sparse" | "known" => work.join("sparse/model"),
        "dense" | "posed" => work.join("cloud/dense.ply"),
        "mesh" => work.join("mesh/surface.ply"),
        _ => work.clone(),
    };
    Ok(Steps::new(command, work, output))
}

/// The run of ours that a stage starts from.
struct Start<'a> {
    set: &'a Set,
    options: &'a [String],
    seed: usize,
    /// Where the work folders of the set are.
    folder: &'a Path,
    /// Every eighth photo is posed but kept out of depth and texture.
    held: bool,
}

impl Start<'_> {
    fn name(&self, kind: &str) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        self.options.hash(&mut hasher);
        let (hash, seed) = (hasher.finish() as u32, self.seed);
        self.folder
            .join(format!("{kind}-{hash:08x}-s{seed}.relievo"))
    }

    fn work(&self) -> PathBuf {
        self.name(if self.held { "held" } else { "base" })
    }

    /// The folder that peers are given: of a video, the key frames that we take.
    fn photos(&self) -> Result<PathBuf, String> {
        if !self.set.is_video() {
            return Ok(self.set.input.clone());
        }
        frames_alone(&self.key_frames(&relievo())?, &self.folder.join("frames"))
    }

    fn key_frames(&self, program: &Path) -> Result<Vec<KeyFrame>, String> {
        key_frames(&self.set.input, &self.name("frames"), program)
    }

    /// The command line that starts from the photos.
    fn whole_run(&self, program: &Path, work: &Path) -> Result<Vec<String>, String> {
        let mut command = words([&program, &"run", &self.set.input, &"-o", &work]);
        command.extend(["--seed".to_owned(), self.seed.to_string()]);
        for option in self.options {
            command.extend(["--set".to_owned(), option.clone()]);
        }
        if self.held {
            let file = self.folder.join("hold-out.txt");
            let names = if self.set.is_video() {
                let frames = self.key_frames(program)?;
                frames.into_iter().map(|f| f.name).collect()
            } else {
                photo_names(&self.set.input)
            };
            let held: Vec<String> = names.into_iter().skip(4).step_by(8).collect();
            fs_err::write(&file, held.join("\n")).map_err(|e| e.to_string())?;
            command.extend(words([&"--hold-out", &file]));
        }
        Ok(command)
    }

    /// The work folder, made as far as `stage` needs it; kept between runs of
    /// the same program, so that peers start from the same points.
    fn upto(&self, stage: &str) -> Result<PathBuf, String> {
        if stage == "posed" {
            let work = self.name("posed");
            posed::work_folder(self.set, &work, self.seed, self.options)?;
            return Ok(work);
        }
        let until = match stage {
            "bundle" | "dense" => "sparse",
            "mesh" => "cloud",
            _ => "mesh",
        };
        let (work, other) = (self.work(), self.name("base"));
        if !work.exists() && other.exists() {
            // Features, matches and poses are the same.
            said(&words([&"cp", &"-r", &other, &work]))?;
        }
        let mut command = self.whole_run(&relievo(), &work)?;
        command.extend(words([&"--until", &until, &"--progress", &"none"]));
        let output = Command::new(&command[0]).args(&command[1..]).output();
        let output = output.map_err(|e| e.to_string())?;
        match output.status.code() {
            Some(0 | 3) => Ok(work),
            _ => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        }
    }
}
