//! Why something cannot be scored.

use relievo_formats::FormatError;
use relievo_media::MediaError;
use relievo_task::Cancelled;
use std::path::PathBuf;

/// Why something cannot be scored.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// The person stopped it.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// Reading failed; the message names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A file does not read.
    #[error("{}", chain(source))]
    Format {
        /// What is wrong.
        #[from]
        source: FormatError,
    },
    /// A photo does not read.
    #[error("{}", chain(source))]
    Media {
        /// What is wrong.
        #[from]
        source: MediaError,
    },
    /// A NumPy archive does not read.
    #[error("{path}: {what}", path = path.display())]
    Npz {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A part of the truth is missing or wrong.
    #[error("{path}: {what}", path = path.display())]
    Truth {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// What is to be scored is missing or wrong.
    #[error("{path}: {what}", path = path.display())]
    Estimate {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A data set that cannot be run or scored.
    #[error("{path}: {what}", path = path.display())]
    DataSet {
        /// Its folder.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Estimate and truth do not lie in one frame.
    #[error("{what}: estimate and truth are in different frames")]
    OtherFrame {
        /// What shows it.
        what: &'static str,
    },
    /// The cameras of estimate and truth do not fit by any similarity.
    #[error(
        "after the best similarity only {close} of {common} cameras lie near their true place: the truth belongs to other photos, or the model is wrong"
    )]
    NoAgreement {
        /// Cameras near their place.
        close: usize,
        /// Cameras in both.
        common: usize,
    },
    /// Neither places nor directions of the cameras fit.
    #[error(
        "after the best similarity the camera centres are still {centres_percent:.0} % of their spread off, rotations {rotation_deg:.0} and relative directions {direction_deg:.0} degrees in the median: the truth belongs to other photos, or the model is wrong throughout"
    )]
    OtherCameras {
        /// Root mean square error of the centres over that of their distance from their mean.
        centres_percent: f64,
        /// Median error of rotations, relative or after the similarity, whichever is larger.
        rotation_deg: f64,
        /// Median error of relative directions, degrees.
        direction_deg: f64,
    },
    /// Cameras are paired by file name, and two have the same.
    #[error("two photos are called {name}; the folders that they are in do not count")]
    TwinNames {
        /// Their name without folders.
        name: String,
    },
    /// A photo that does not belong to its camera.
    #[error("a photo of {}×{} pixels is to be compared with a camera of {}×{}", photo.0, photo.1, camera.0, camera.1)]
    PhotoSize {
        /// Width and height of the photo.
        photo: (usize, usize),
        /// Those of the camera.
        camera: (usize, usize),
    },
    /// Too few cameras to compare.
    #[error(
        "{common} of the {estimated} estimated and {true_} true cameras have the same file name; at least 3 are needed"
    )]
    FewCommon {
        /// Cameras of the estimate.
        estimated: usize,
        /// Cameras of the truth.
        true_: usize,
        /// Those in both.
        common: usize,
    },
    /// The camera centres coincide.
    #[error(
        "the cameras of the estimate or of the truth stand in one place, which gives no similarity between them"
    )]
    NoSimilarity,
    /// A file is to be scored by a protocol that aligns it by its cameras.
    #[error("{path}: a file without cameras cannot be brought into the frame of the truth", path = path.display())]
    NoCameras {
        /// The file.
        path: PathBuf,
    },
    /// An estimate with cameras, and a truth without, which may lie anywhere.
    #[error(
        "the truth is a file without cameras, and nothing shows that it lies in the frame of the estimate's"
    )]
    BareTruth,
    /// Photos were named that have no camera.
    #[error("there is no camera for {}", names.join(", "))]
    UnknownPhotos {
        /// Their names.
        names: Vec<String>,
    },
    /// The points have no directions.
    #[error("more than a tenth of the points have no normal, along which photos could be compared")]
    NoNormals,
    /// A cloud that does not lie where the sparse model of the photos is.
    #[error("the cloud does not lie where the sparse model of these photos is")]
    OtherScene,
    /// No voxel is seen from the front by three photos.
    #[error("no three photos see any part of the cloud from the side that its normals face")]
    Unseen,
    /// Nothing to score.
    #[error("{what} is empty")]
    Empty {
        /// What was to be scored.
        what: &'static str,
    },
    /// Values that are not numbers.
    #[error("{what} holds values that are not finite")]
    NotFinite {
        /// What was to be scored.
        what: String,
    },
}

impl EvalError {
    /// The same of what was given as the estimate, where the reader took it
    /// for the truth.
    pub(crate) fn of_estimate(self) -> Self {
        match self {
            Self::Truth { path, what } => Self::Estimate { path, what },
            e => e,
        }
    }

    /// What to do next, where there is something to do.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Truth { .. } => {
                "the truth is a rendered set's folder (with gt/), a COLMAP model, a folder of .camera files, a transforms.json, a par file or a PLY (docs/datasets.md)"
            }
            Self::Estimate { .. } => {
                "--estimate and --model take a work folder that got so far (`relievo status` says how far it is), a COLMAP model or a PLY"
            }
            Self::DataSet { .. } => {
                "docs/datasets.md lists the layouts that are read; photos and true cameras are paired by file name, with its ending"
            }
            Self::OtherFrame { .. } => {
                "a true surface lies in the frame and unit of the true cameras; of a bare file give the cameras with --model, so that it can be aligned, and to a truth without cameras bring it first"
            }
            Self::NoAgreement { .. } => "score the cameras alone with `relievo eval poses`",
            Self::TwinNames { .. } => "give every photo a name of its own",
            Self::PhotoSize { .. } => "check that the photos are those of this set",
            Self::FewCommon { .. } => {
                "cameras are paired by file name; check that the truth belongs to these photos"
            }
            Self::OtherCameras { .. } => {
                "cameras are paired by file name: check that the truth belongs to these photos, and that both sides take the world into cameras with x right, y down and z forward"
            }
            Self::NotFinite { .. } => {
                "take those points out first: a score that leaves them out would say nothing of them"
            }
            Self::Empty { .. } => "check the stage that made it with `relievo status`",
            Self::Format { .. } | Self::Npz { .. } => {
                "the file is missing, damaged or incomplete: write or fetch it again"
            }
            Self::Media { .. } => {
                "the photo is missing or damaged; --images names the folder of the photos"
            }
            Self::NoNormals => "compute normals first; clouds of `relievo run` have them",
            Self::NoSimilarity => "at least three cameras have to stand apart",
            Self::OtherScene => "the cloud has to be in the frame of the work folder given",
            Self::Unseen => "normals have to point to the side that the photos see",
            Self::Io(e) if e.kind() == std::io::ErrorKind::InvalidData => {
                "a text file is read here: unpack it first"
            }
            Self::Io(e) if e.kind() == std::io::ErrorKind::NotFound => {
                "the file belongs to what was given and is missing: fetch it again (docs/datasets.md lists what is read)"
            }
            Self::NoCameras { .. } => {
                "give the work folder or COLMAP model with the estimate's cameras as --model, or --same-frame where it lies in the truth's frame already"
            }
            Self::BareTruth => {
                "give a truth with cameras, or --same-frame where both lie in one frame already (as after `relievo import colmap` of the true cameras)"
            }
            Self::UnknownPhotos { .. } => {
                "photos are named as in the report of the run, with their folders"
            }
            _ => return None,
        })
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |e| e.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
