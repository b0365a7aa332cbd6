//! The options of all stages, and what preset and quality make of them.

use crate::error::PipelineError;
use crate::options::StageOptions;
use crate::settings::{Preset, Quality, Settings};
use crate::stages::{
    cloud::CloudStageOptions, export::ExportOptions, features::FeatureStageOptions,
    ingest::IngestOptions,
};
use relievo_features::{AffineOptions, SiftOptions};
use relievo_matching::{
    MatchOptions, PairOptions, ScheduleOptions, SynthesisOptions, VerifyOptions,
};
use relievo_media::KeyFrameOptions;
use relievo_mesh::{CleanOptions, PoissonOptions, SimplifyOptions, TrimOptions};
use relievo_mvs::{DepthOptions, FusionOptions, ViewSelectionOptions};
use relievo_sfm::SfmOptions;
use relievo_texture::TextureOptions;
use serde_json::{Value, json};

/// Stages in the order in which they run.
pub const STAGES: [&str; 9] = [
    "ingest", "features", "matches", "sparse", "depth", "cloud", "mesh", "texture", "export",
];

/// The option tables of one stage, at their defaults.
pub fn defaults(stage: &str) -> StageOptions {
    let none = StageOptions::default();
    match stage {
        "ingest" => none.with::<IngestOptions>().with::<KeyFrameOptions>(),
        "features" => none.with::<FeatureStageOptions>().with::<SiftOptions>(),
        "matches" => none
            .with::<PairOptions>()
            .with::<MatchOptions>()
            .with::<ScheduleOptions>()
            .with::<VerifyOptions>()
            .with::<SynthesisOptions>()
            .with::<AffineOptions>(),
        "sparse" => none.with::<SfmOptions>(),
        "depth" => none.with::<ViewSelectionOptions>().with::<DepthOptions>(),
        "cloud" => none.with::<CloudStageOptions>().with::<FusionOptions>(),
        "mesh" => none
            .with::<PoissonOptions>()
            .with::<TrimOptions>()
            .with::<CleanOptions>()
            .with::<SimplifyOptions>(),
        "texture" => none.with::<TextureOptions>(),
        "export" => none.with::<ExportOptions>(),
        _ => none,
    }
}

/// What a quality changes: (stage, option, value).
fn quality_changes(quality: Quality) -> Vec<(&'static str, &'static str, Value)> {
    let depth = |options: DepthOptions| {
        let base = serde_json::to_value(DepthOptions::default()).unwrap_or_default();
        let changed = serde_json::to_value(options).unwrap_or_default();
        let names = <DepthOptions as relievo_task::OptionTable>::rows();
        names
            .into_iter()
            .filter(|row| base[row.name] != changed[row.name])
            .map(|row| ("depth", row.name, changed[row.name].clone()))
            .collect::<Vec<_>>()
    };
    match quality {
        Quality::Normal => Vec::new(),
        Quality::Draft => {
            let mut changes = depth(DepthOptions::draft());
            changes.extend([
                ("features", "max_image_side_px", json!(1600)),
                ("features", "max_keypoints", json!(4096)),
                ("mesh", "target_faces", json!(120_000)),
                ("texture", "max_megatexels", json!(8.0)),
                ("texture", "selection_max_px", json!(800)),
                ("texture", "labelling_rounds", json!(20)),
            ]);
            changes
        }
        Quality::High => {
            let mut changes = depth(DepthOptions::high());
            changes.extend([
                ("features", "max_keypoints", json!(12_000)),
                ("features", "max_keypoints_per_mpx", json!(8000)),
                ("mesh", "target_faces", json!(2_000_000)),
            ]);
            changes
        }
    }
}

/// What a preset changes; nothing for `auto`, which is resolved before.
fn preset_changes(preset: Preset, quality: Quality) -> Vec<(&'static str, &'static str, Value)> {
    let mut changes = match preset {
        Preset::Auto | Preset::Object | Preset::Outdoor => {
            vec![("mesh", "min_component_area", json!(0.005))]
        }
        // Plain walls have few points and wide gaps; what closes a room from
        // outside must go. Many a wall is in two photos only, and nothing but
        // the room lies behind.
        Preset::Room => vec![
            ("depth", "clear_sky", json!(false)),
            ("cloud", "few_views", json!(3)),
            ("cloud", "stray_footprints", json!(0.0)),
            ("mesh", "max_distance", json!(6.0)),
        ],
    };
    // At draft one pass alone tells right from wrong.
    if quality != Quality::Draft {
        changes.extend(match preset {
            Preset::Auto | Preset::Outdoor => Vec::new(),
            Preset::Object => vec![
                ("depth", "max_cost", json!(2.0)),
                ("cloud", "min_confidence", json!(5)),
            ],
            Preset::Room => vec![
                ("depth", "max_cost", json!(2.0)),
                ("depth", "max_sources", json!(8)),
                ("depth", "plane_reach_px", json!(16)),
                ("cloud", "min_confidence", json!(1)),
            ],
        });
    }
    // Walls of little texture take longer to find.
    if preset == Preset::Room && quality == Quality::Normal {
        changes.push(("depth", "fine_iterations", json!(2)));
    }
    changes
}

/// The resolved options of one stage: defaults, quality, preset, then what the
/// person set. `kind` is the preset after `auto` was decided.
pub fn resolve(
    stage: &str,
    settings: &Settings,
    kind: Preset,
) -> Result<StageOptions, PipelineError> {
    let mut options = defaults(stage);
    let changes = quality_changes(settings.quality)
        .into_iter()
        .chain(preset_changes(kind, settings.quality));
    for (of, name, value) in changes.filter(|(of, ..)| *of == stage) {
        options.set(of, name, value)?;
    }
    if let Some(table) = settings.set.get(stage) {
        for (name, value) in table {
            let value = serde_json::to_value(value).unwrap_or(Value::Null);
            options.set(stage, name, value)?;
        }
    }
    if stage == "sparse" && settings.fix_intrinsics {
        options.set(stage, "fix_intrinsics", Value::Bool(true))?;
    }
    Ok(options)
}

/// Refuses unknown stages and options before anything runs.
pub fn check(settings: &Settings) -> Result<(), PipelineError> {
    for stage in settings.set.keys() {
        if !STAGES.contains(&stage.as_str()) {
            return Err(PipelineError::Option {
                name: format!("{stage}.…"),
                what: format!(
                    "there is no stage '{stage}'; stages are {}",
                    STAGES.join(", ")
                ),
            });
        }
    }
    for stage in STAGES {
        for kind in [Preset::Object, Preset::Room, Preset::Outdoor] {
            resolve(stage, settings, kind)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn option_names_are_unique_within_a_stage_and_changes_apply() {
        for stage in STAGES {
            let options = defaults(stage);
            let names: Vec<_> = options.rows().map(|r| r.name).collect();
            let unique: BTreeSet<_> = names.iter().collect();
            assert_eq!(unique.len(), names.len(), "{stage}: {names:?}");
        }
        for quality in [Quality::Draft, Quality::Normal, Quality::High] {
            check(&Settings {
                quality,
                ..Settings::default()
            })
            .unwrap();
        }
    }

    #[test]
    fn unknown_names_are_refused() {
        let mut s = Settings::default();
        s.set_option("depth.no_such_thing=1").unwrap();
        assert!(check(&s).is_err());
        let mut s = Settings::default();
        s.set_option("dreams.x=1").unwrap();
        assert!(check(&s).is_err());
    }
}
