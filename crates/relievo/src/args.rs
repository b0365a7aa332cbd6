//! The command line. A flag that is not built is not here, so that it exits 2.

use clap::{Args, Parser, Subcommand, ValueEnum};
use relievo_pipeline::settings::{CameraSpec, Preset, Quality};
use relievo_task::Isa;
use std::path::PathBuf;

/// Photos or a phone video in, a measured, textured 3-D model out.
#[derive(Debug, Parser)]
#[command(name = "relievo", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Reconstruct a model from photos, folders of photos or a video, or continue a work folder
    Run(Box<RunArgs>),
    /// Every option: meaning, unit, default, where the default comes from
    Options {
        /// Only this stage
        stage: Option<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Each stage: fresh, missing, or stale and why; what a run would do
    Status {
        /// The work folder
        work: PathBuf,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// What a file or work folder is, its figures, whether its invariants hold
    Inspect(InspectArgs),
    /// Start a work folder from somebody else's poses, points or surface
    Import {
        #[command(subcommand)]
        what: ImportWhat,
    },
    /// Write a finished model in other formats
    Export(ExportArgs),
    /// Measure a result against the truth, against its own photos, or two runs against each other
    Eval {
        #[command(subcommand)]
        what: EvalWhat,
    },
    /// Run a benchmark data set and score it by its own protocol
    Bench(Box<BenchArgs>),
    /// Drop intermediate files that can be made again
    Clean {
        /// The work folder
        work: PathBuf,
        /// Say what would be freed, drop nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// Stages by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StageName {
    Ingest,
    Features,
    Matches,
    Sparse,
    Depth,
    Cloud,
    Mesh,
    Texture,
    Export,
}

impl StageName {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Features => "features",
            Self::Matches => "matches",
            Self::Sparse => "sparse",
            Self::Depth => "depth",
            Self::Cloud => "cloud",
            Self::Mesh => "mesh",
            Self::Texture => "texture",
            Self::Export => "export",
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum PresetArg {
    Auto,
    Object,
    Room,
    Outdoor,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum MapperArg {
    Auto,
    Incremental,
    Global,
}

impl MapperArg {
    /// As the option `sparse.mapper`.
    pub(crate) fn assignment(self) -> &'static str {
        match self {
            Self::Auto => "sparse.mapper=auto",
            Self::Incremental => "sparse.mapper=incremental",
            Self::Global => "sparse.mapper=global",
        }
    }
}

impl From<PresetArg> for Preset {
    fn from(p: PresetArg) -> Self {
        match p {
            PresetArg::Auto => Self::Auto,
            PresetArg::Object => Self::Object,
            PresetArg::Room => Self::Room,
            PresetArg::Outdoor => Self::Outdoor,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum QualityArg {
    Draft,
    Normal,
    High,
}

impl From<QualityArg> for Quality {
    fn from(q: QualityArg) -> Self {
        match q {
            QualityArg::Draft => Self::Draft,
            QualityArg::Normal => Self::Normal,
            QualityArg::High => Self::High,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum IsaArg {
    Native,
    Portable,
}

impl From<IsaArg> for Isa {
    fn from(i: IsaArg) -> Self {
        match i {
            IsaArg::Native => Self::Native,
            IsaArg::Portable => Self::Portable,
        }
    }
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressStyle {
    /// Bars on a terminal, plain lines elsewhere
    #[default]
    Auto,
    /// A line now and then
    Plain,
    /// One JSON event a line, errors too
    Json,
    /// Nothing
    None,
}

/// Flags of everything that computes.
#[derive(Args, Clone, Debug)]
pub(crate) struct ComputeArgs {
    /// Threads [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Bound of the working set, e.g. 8G [default: 3/4 of what is free]
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub(crate) memory: Option<u64>,
    /// How progress is shown on stderr
    #[arg(long, value_enum, default_value_t)]
    pub(crate) progress: ProgressStyle,
}

#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// Photos, folders of photos, videos; none to continue the work folder
    pub(crate) inputs: Vec<PathBuf>,
    /// Work folder [default: `./NAME.relievo`]
    #[arg(short, long, value_name = "WORK")]
    pub(crate) output: Option<PathBuf>,
    /// What is being captured; auto decides from the camera rays and says so
    #[arg(long, value_enum)]
    pub(crate) preset: Option<PresetArg>,
    /// Image scale and effort [default: normal]
    #[arg(long, value_enum)]
    pub(crate) quality: Option<QualityArg>,
    /// Stop after this stage
    #[arg(long, value_enum, value_name = "STAGE")]
    pub(crate) until: Option<StageName>,
    /// Redo this stage and all after it; refuse if anything before it is stale
    #[arg(long, value_enum, value_name = "STAGE", conflicts_with = "force")]
    pub(crate) from: Option<StageName>,
    /// Redo this stage and all after it
    #[arg(long, value_enum, value_name = "STAGE")]
    pub(crate) force: Option<StageName>,
    /// Say what would be done, do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Camera model, for all photos or those whose name fits GLOB (repeatable)
    #[arg(long, value_name = "[GLOB=]MODEL[:p1,p2,...]")]
    pub(crate) camera: Vec<CameraSpec>,
    /// Keep the given intrinsics as they are
    #[arg(long)]
    pub(crate) fix_intrinsics: bool,
    /// All photos were taken by one camera with one focal length
    #[arg(long)]
    pub(crate) single_camera: bool,
    /// Folder of masks named NAME.EXT.png, 0 = ignore
    #[arg(long, value_name = "DIR")]
    pub(crate) masks: Option<PathBuf>,
    /// File naming photos that are posed but kept out of depth and texture
    #[arg(long, value_name = "FILE")]
    pub(crate) hold_out: Option<PathBuf>,
    /// File naming the pairs of photos to match, two names a line; no others are tried
    #[arg(long, value_name = "FILE")]
    pub(crate) pairs: Option<PathBuf>,
    /// How poses are found: photo after photo or all at once [default: auto]
    #[arg(long, value_enum)]
    pub(crate) mapper: Option<MapperArg>,
    /// Multiply the model by this at export
    #[arg(long, value_name = "FACTOR", value_parser = parse_scale)]
    pub(crate) scale: Option<f64>,
    /// Run seed [default: 0]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Which kernels run [default: native]
    #[arg(long, value_enum)]
    pub(crate) isa: Option<IsaArg>,
    /// Settings file in the form of WORK/relievo.toml; flags win over it
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Set one option; `relievo options` lists them (repeatable)
    #[arg(long = "set", value_name = "STAGE.OPTION=VALUE")]
    pub(crate) set: Vec<String>,
    #[command(flatten)]
    pub(crate) compute: ComputeArgs,
}

#[derive(Args, Debug)]
pub(crate) struct InspectArgs {
    /// A file of any format that Relievo reads, or a work folder
    pub(crate) path: PathBuf,
    /// Write a picture of it: a rendered view of a model or cloud, a depth map in colour
    #[arg(long, value_name = "FILE")]
    pub(crate) png: Option<PathBuf>,
    /// Write pictures of depth, normals, confidence, matches and coverage of a work folder here
    #[arg(long, value_name = "DIR")]
    pub(crate) pictures: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImportWhat {
    /// Cameras, poses and (if it has them) points of a COLMAP model
    Colmap {
        /// Folder with cameras, images and points3D (.bin or .txt)
        #[arg(long)]
        model: PathBuf,
        /// Folder of the photos that the model names
        #[arg(long)]
        images: PathBuf,
        /// Work folder to make
        #[arg(short, long, value_name = "WORK")]
        output: PathBuf,
    },
    /// A point cloud with normals, in the frame of the work folder's sparse model
    Cloud {
        /// PLY file
        file: PathBuf,
        /// Work folder to make or extend
        #[arg(short, long, value_name = "WORK")]
        output: PathBuf,
    },
    /// A triangle mesh, in the frame of the work folder's sparse model
    Mesh {
        /// PLY file
        file: PathBuf,
        /// Work folder to make or extend
        #[arg(short, long, value_name = "WORK")]
        output: PathBuf,
    },
}

#[derive(Args, Debug)]
pub(crate) struct ExportArgs {
    /// The work folder
    pub(crate) work: PathBuf,
    /// glb, obj, ply, stl, colmap, nerfstudio, cloud, depth (NumPy) or colmap-dense
    /// (undistorted photos and model, depth and normal maps)
    #[arg(long)]
    pub(crate) format: FormatArg,
    /// Where to [default: beside the work folder, under its name]
    #[arg(short, long, value_name = "PATH")]
    pub(crate) output: Option<PathBuf>,
}

/// A format by name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FormatArg(pub(crate) relievo_pipeline::export::Format);

impl std::str::FromStr for FormatArg {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        s.parse().map(Self)
    }
}

/// Flags of every evaluation.
#[derive(Args, Clone, Debug)]
pub(crate) struct EvalArgs {
    /// A work folder, or a file or folder of the kind in question
    #[arg(long)]
    pub(crate) estimate: PathBuf,
    /// A rendered set's folder (with gt/), a COLMAP model, Strecha .camera files, transforms.json,
    /// a Middlebury par file, or a PLY
    #[arg(long)]
    pub(crate) truth: Option<PathBuf>,
    /// Work folder or COLMAP model whose cameras align the estimate with the truth; without --truth
    /// the work folder whose photos a cloud is compared with
    #[arg(long)]
    pub(crate) model: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Flags of clouds and meshes.
#[derive(Args, Clone, Debug)]
pub(crate) struct SurfaceArgs {
    #[command(flatten)]
    pub(crate) common: EvalArgs,
    /// The estimate lies in the truth's frame already: nothing is aligned
    #[arg(long, requires = "truth", conflicts_with = "model")]
    pub(crate) same_frame: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EvalWhat {
    /// Camera poses: position, rotation, AUC of relative poses
    Poses(EvalArgs),
    /// Depth maps against the true surface seen by the same camera
    Depth(EvalArgs),
    /// Accuracy, completeness and F-score of a point cloud; without --truth its consistency with
    /// the photos of the work folder
    Cloud(SurfaceArgs),
    /// Accuracy, completeness and F-score of a mesh, and its topology
    Mesh(SurfaceArgs),
    /// PSNR and SSIM of photos rendered from the textured model; of a work folder no --truth is
    /// needed
    Texture {
        #[command(flatten)]
        common: EvalArgs,
        /// Folder of the photos [default: images/ beside the truth]
        #[arg(long)]
        images: Option<PathBuf>,
        /// Only these photos (comma-separated) [default: the held-out ones of a work folder]
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
        /// Size of the rendered pictures
        #[arg(long, default_value_t = 0.5)]
        scale: f64,
    },
    /// Two work folders side by side: options that differ, figures, times
    Runs {
        /// A work folder
        a: PathBuf,
        /// Another one
        b: PathBuf,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// How far a benchmark runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchStage {
    /// Photos to poses
    Sparse,
    /// To the cloud
    Dense,
    /// To the surface
    Mesh,
    /// To the textured surface; every eighth photo is held out and re-rendered
    Texture,
    /// Everything
    #[default]
    All,
}

#[derive(Args, Debug)]
pub(crate) struct BenchArgs {
    /// Folder of the data set, or a BAL problem file; docs/datasets.md lists the layouts
    pub(crate) dataset: PathBuf,
    /// Say what the folder is taken for and what can be scored, run nothing
    #[arg(long, conflicts_with = "csv")]
    pub(crate) info: bool,
    /// How far to run
    #[arg(long, value_enum, default_value_t)]
    pub(crate) stage: BenchStage,
    /// Work folder [default: `./NAME.bench.relievo`]
    #[arg(short, long, value_name = "WORK")]
    pub(crate) output: Option<PathBuf>,
    /// Take intrinsics from the truth and keep them
    #[arg(long)]
    pub(crate) known_intrinsics: bool,
    /// Take intrinsics and poses from the truth: measures depth, cloud and mesh alone
    #[arg(long)]
    pub(crate) known_poses: bool,
    /// Image scale and effort [default: normal]
    #[arg(long, value_enum)]
    pub(crate) quality: Option<QualityArg>,
    /// Run seed [default: 0]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Set one option (repeatable)
    #[arg(long = "set", value_name = "STAGE.OPTION=VALUE")]
    pub(crate) set: Vec<String>,
    /// As JSON
    #[arg(long, conflicts_with = "csv")]
    pub(crate) json: bool,
    /// As comma-separated values
    #[arg(long)]
    pub(crate) csv: bool,
    #[command(flatten)]
    pub(crate) compute: ComputeArgs,
}

fn parse_scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(v) if v.is_finite() && v > 0.0 => Ok(v),
        _ => Err("expected a positive number".to_owned()),
    }
}

fn parse_bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 1.0,
        "K" | "KB" | "KIB" => 1024.0,
        "M" | "MB" | "MIB" => 1024.0 * 1024.0,
        "G" | "GB" | "GIB" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err("expected a size such as 8G or 500M".to_owned()),
    };
    match digits.parse::<f64>() {
        Ok(v) if v.is_finite() && v > 0.0 => Ok((v * unit) as u64),
        _ => Err("expected a size such as 8G or 500M".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_read_as_people_type_them() {
        assert_eq!(parse_bytes("8G"), Ok(8 << 30));
        assert_eq!(parse_bytes("0.5g"), Ok(1 << 29));
        assert_eq!(parse_bytes("512MiB"), Ok(512 << 20));
        assert!(parse_bytes("-1G").is_err() && parse_bytes("G").is_err());
    }
}
