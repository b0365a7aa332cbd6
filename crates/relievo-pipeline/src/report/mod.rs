//! What happened, stage by stage: `report/report.json` for programs,
//! `report/index.html` for people.

pub mod camera_map;
pub mod html;
pub mod write;

use relievo_task::Warning;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Time, memory and figures of one stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StageRow {
    /// Stage name.
    #[serde(skip)]
    pub name: String,
    /// Elapsed seconds, all its runs together.
    pub wall_s: f64,
    /// Processor seconds.
    pub cpu_s: f64,
    /// Peak resident memory of the process, MiB.
    pub peak_rss_mib: f64,
    /// Figures of the stage.
    #[serde(flatten)]
    pub figures: Map<String, Value>,
}

impl StageRow {
    /// `keypoints 8192, photos 11`
    pub fn figures_text(&self) -> String {
        let scalar = |v: &Value| match v {
            Value::Number(n) => n.as_f64().map(|f| {
                if n.is_i64() || n.is_u64() {
                    n.to_string()
                } else {
                    format!("{f:.3}")
                }
            }),
            Value::String(s) => Some(s.clone()),
            Value::Bool(b) => Some(b.to_string()),
            _ => None,
        };
        let parts: Vec<String> = self
            .figures
            .iter()
            .filter_map(|(k, v)| Some(format!("{} {}", k.replace('_', " "), scalar(v)?)))
            .collect();
        parts.join(", ")
    }
}

/// One photo that was given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PhotoRow {
    /// Name.
    pub name: String,
    /// `3072 × 2048`
    pub size: String,
    /// Keypoints found.
    pub keypoints: Option<usize>,
    /// Model points it sees.
    pub points: Option<usize>,
    /// Mean reprojection error, px.
    pub error_px: Option<f64>,
    /// In the best model; `None` where that is not decided yet.
    pub registered: Option<bool>,
    /// Registered, or why not.
    pub outcome: String,
}

/// Everything the page shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Name of the work.
    pub title: String,
    /// Photos, or frames of the video, that were given.
    pub given: usize,
    /// Photos or key frames taken in.
    pub views: usize,
    /// In the best model.
    pub registered: usize,
    /// Why the run ended early.
    pub stopped: Option<Warning>,
    /// Partial failures.
    pub warnings: Vec<Warning>,
    /// Stages in order.
    pub stages: Vec<StageRow>,
    /// A row per photo.
    pub photos: Vec<PhotoRow>,
    /// Name and value, in order.
    pub figures: Vec<(String, String)>,
    /// Caption and base64 JPEG.
    pub pictures: Vec<(String, String)>,
    /// SVG.
    pub camera_map: String,
}

impl Report {
    /// One sentence.
    pub fn summary(&self) -> String {
        let counts = format!(
            "{} given, {} taken in, {} placed in the model",
            self.given, self.views, self.registered
        );
        if self.stages.is_empty() {
            return counts + ".";
        }
        let total: f64 = self.stages.iter().map(|s| s.wall_s).sum();
        format!("{counts}, in {total:.0} s.")
    }

    /// `report.json`.
    pub fn to_json(&self) -> Value {
        let stages: Map<String, Value> = self
            .stages
            .iter()
            .filter_map(|s| Some((s.name.clone(), serde_json::to_value(s).ok()?)))
            .collect();
        let warnings: Vec<&Warning> = self.stopped.iter().chain(&self.warnings).collect();
        serde_json::json!({
            "given": self.given,
            "views": self.views,
            "registered": self.registered,
            "warnings": warnings,
            "stages": stages,
        })
    }
}
