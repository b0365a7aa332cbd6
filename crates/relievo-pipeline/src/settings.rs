//! `relievo.toml`: the settings of a run, as the person gave them.

use crate::error::PipelineError;
use relievo_geometry::{CameraModel, CameraModelKind};
use relievo_task::Isa;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// File name of the settings inside a work folder.
pub const SETTINGS_FILE: &str = "relievo.toml";

/// What is being captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Decided from the camera rays once the cameras are known.
    #[default]
    Auto,
    /// Cameras around a thing, looking in.
    Object,
    /// Cameras inside, looking out.
    Room,
    /// A façade, a yard, a building from one side or from the air.
    Outdoor,
}

impl Preset {
    /// The word on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Object => "object",
            Self::Room => "room",
            Self::Outdoor => "outdoor",
        }
    }
}

/// Image scale and effort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quality {
    /// A preview.
    Draft,
    /// Depth at half scale.
    #[default]
    Normal,
    /// Depth at full scale.
    High,
}

impl Quality {
    /// The word on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }
}

/// `[GLOB=]MODEL[:p1,p2,...]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CameraSpec {
    /// Which photos, by name; all where absent.
    pub glob: Option<String>,
    /// The model.
    pub kind: CameraModelKind,
    /// Its parameters in COLMAP's order; estimated where absent.
    pub params: Vec<f64>,
}

impl CameraSpec {
    /// The model with its values, where values were given.
    pub fn model(&self) -> Option<CameraModel> {
        CameraModel::from_params(self.kind, &self.params)
    }
}

impl TryFrom<String> for CameraSpec {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (glob, rest) = match text.rsplit_once('=') {
            Some((glob, rest)) => (Some(glob.to_owned()), rest),
            None => (None, text.as_str()),
        };
        if let Some(glob) = &glob {
            globset::Glob::new(glob).map_err(|e| e.to_string())?;
        }
        let (name, values) = rest
            .split_once(':')
            .map_or((rest, None), |(n, v)| (n, Some(v)));
        let known = || CameraModelKind::ALL.map(CameraModelKind::name).join(", ");
        let kind = CameraModelKind::from_name(&name.to_ascii_uppercase())
            .ok_or_else(|| format!("camera model '{name}' is not one of {}", known()))?;
        let params: Vec<f64> = match values {
            None => Vec::new(),
            Some(v) => v
                .split(',')
                .map(|p| {
                    p.trim()
                        .parse()
                        .map_err(|_| format!("'{p}' is not a number"))
                })
                .collect::<Result<_, _>>()?,
        };
        let want = kind.param_names();
        if !params.is_empty() && params.len() != want.len() {
            return Err(format!(
                "{} takes {} parameters ({}), {} were given",
                kind.name(),
                want.len(),
                want.join(", "),
                params.len()
            ));
        }
        if params.iter().any(|p| !p.is_finite()) || params.first().is_some_and(|f| *f <= 0.0) {
            return Err(
                "camera parameters must be finite and the focal length positive".to_owned(),
            );
        }
        Ok(Self { glob, kind, params })
    }
}

impl From<CameraSpec> for String {
    fn from(spec: CameraSpec) -> Self {
        let glob = spec.glob.map(|g| g + "=").unwrap_or_default();
        let params: Vec<String> = spec.params.iter().map(|p| format!("{p:?}")).collect();
        let colon = if params.is_empty() { "" } else { ":" };
        format!("{glob}{}{colon}{}", spec.kind.name(), params.join(","))
    }
}

impl std::str::FromStr for CameraSpec {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        Self::try_from(s.to_owned())
    }
}

/// Everything a person decided about a run. Threads, memory and the style of
/// progress are not here: they change no byte.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Photos, folders of photos, or videos; absolute paths.
    pub inputs: Vec<PathBuf>,
    /// What is being captured.
    pub preset: Preset,
    /// Image scale and effort.
    pub quality: Quality,
    /// Camera models given by hand; the last one that fits a photo wins.
    pub cameras: Vec<CameraSpec>,
    /// Given intrinsics are kept as they are.
    pub fix_intrinsics: bool,
    /// All photos share one camera.
    pub single_camera: bool,
    /// Folder of masks, `NAME.EXT.png`, 0 = ignore.
    pub masks: Option<PathBuf>,
    /// Photos posed, but kept out of depth and texture.
    pub hold_out: Vec<String>,
    /// File of the pairs to match; no others are tried.
    pub pairs: Option<PathBuf>,
    /// Multiplies the model at export.
    pub scale: Option<f64>,
    /// Run seed.
    pub seed: u64,
    /// Which kernels run.
    pub isa: Isa,
    /// `--set stage.option=value`, by stage.
    pub set: BTreeMap<String, toml::Table>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            inputs: Vec::new(),
            preset: Preset::Auto,
            quality: Quality::Normal,
            cameras: Vec::new(),
            fix_intrinsics: false,
            single_camera: false,
            masks: None,
            hold_out: Vec::new(),
            pairs: None,
            scale: None,
            seed: 0,
            isa: Isa::Native,
            set: BTreeMap::new(),
        }
    }
}

impl Settings {
    /// Reads a settings file.
    pub fn read(path: &Path) -> Result<Self, PipelineError> {
        let text = fs_err::read_to_string(path)?;
        toml::from_str(&text).map_err(|e| PipelineError::Settings {
            path: path.to_owned(),
            what: e.to_string().trim_end().to_owned(),
        })
    }

    /// Settings of a work folder; `None` where it has none yet.
    pub fn read_work(work: &Path) -> Result<Option<Self>, PipelineError> {
        let path = work.join(SETTINGS_FILE);
        if path.exists() {
            Self::read(&path).map(Some)
        } else {
            Ok(None)
        }
    }

    /// The text of `relievo.toml`.
    pub fn to_toml(&self) -> String {
        let body = toml::to_string(self).unwrap_or_default();
        format!(
            "# Settings of this run; `relievo options` explains the options under [set].\n{body}"
        )
    }

    /// Adds one `stage.option=value`. The value is TOML, or a bare word.
    pub fn set_option(&mut self, assignment: &str) -> Result<(), PipelineError> {
        let bad = |what: String| PipelineError::Option {
            name: assignment.to_owned(),
            what,
        };
        let (path, value) = assignment
            .split_once('=')
            .ok_or_else(|| bad("expected stage.option=value".to_owned()))?;
        let (stage, option) = path
            .trim()
            .split_once('.')
            .ok_or_else(|| bad("expected stage.option=value".to_owned()))?;
        let value = value.trim();
        let parsed = toml::from_str::<toml::Table>(&format!("v = {value}"))
            .ok()
            .and_then(|mut t| t.remove("v"))
            .or_else(|| short_number(value))
            .unwrap_or_else(|| toml::Value::String(value.to_owned()));
        self.set
            .entry(stage.to_owned())
            .or_default()
            .insert(option.replace('-', "_"), parsed);
        Ok(())
    }
}

/// A number without digits before or behind its point, which TOML does not know.
fn short_number(value: &str) -> Option<toml::Value> {
    let digits = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
    let is_short = value.contains('.') && value.chars().all(digits);
    let number = value.parse::<f64>().ok().filter(|_| is_short)?;
    Some(toml::Value::Float(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_numbers_are_numbers_and_words_stay_words() {
        let mut s = Settings::default();
        for given in [
            "depth.scale=.5",
            "a.b=-2.",
            "a.c=auto",
            "a.d=1.2.3",
            "a.e=7",
            "a.f=.e",
        ] {
            s.set_option(given).unwrap();
        }
        assert_eq!(s.set["depth"]["scale"], toml::Value::Float(0.5));
        assert_eq!(s.set["a"]["b"], toml::Value::Float(-2.0));
        assert_eq!(s.set["a"]["c"], toml::Value::String("auto".into()));
        assert_eq!(s.set["a"]["d"], toml::Value::String("1.2.3".into()));
        assert_eq!(s.set["a"]["e"], toml::Value::Integer(7));
        assert_eq!(s.set["a"]["f"], toml::Value::String(".e".into()));
    }

    #[test]
    fn camera_specs_read_as_written() {
        let spec: CameraSpec = "left/*.jpg=PINHOLE:100,101,50,40.5".parse().unwrap();
        assert_eq!(spec.glob.as_deref(), Some("left/*.jpg"));
        assert_eq!(
            spec.model(),
            Some(CameraModel::Pinhole {
                fx: 100.0,
                fy: 101.0,
                cx: 50.0,
                cy: 40.5
            })
        );
        let again: CameraSpec = String::from(spec.clone()).parse().unwrap();
        assert_eq!(again, spec);
        assert!(
            "simple_radial"
                .parse::<CameraSpec>()
                .unwrap()
                .params
                .is_empty()
        );
        for bad in [
            "FISH",
            "PINHOLE:1,2",
            "PINHOLE:a,b,c,d",
            "PINHOLE:-1,1,1,1",
            "[=PINHOLE",
        ] {
            assert!(bad.parse::<CameraSpec>().is_err(), "{bad}");
        }
    }

    #[test]
    fn settings_survive_their_own_file() {
        let mut s = Settings {
            hold_out: vec!["a.jpg".into()],
            ..Settings::default()
        };
        s.cameras.push("PINHOLE:1,1,1,1".parse().unwrap());
        s.set_option("features.max_keypoints=4000").unwrap();
        s.set_option("mesh.mode=fast").unwrap();
        assert!(s.set_option("nonsense").is_err());
        let back: Settings = toml::from_str(&s.to_toml()).unwrap();
        assert_eq!(back, s);
    }
}
