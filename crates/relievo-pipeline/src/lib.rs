//! The stage graph, presets, stages and report.
//!
//! Enters: [`Settings`] and a [`relievo_task::Task`]. Leaves: a work folder
//! with `export/model.glb` and the report. [`plan`] is the file that reads as
//! the pipeline.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`settings`] | `relievo.toml` |
//! | [`catalog`] | every option; what preset and quality change |
//! | [`plan`] | the stages and their order |
//! | [`stages`] | one file a stage: load, call, store |
//! | [`run`] | a run of a work folder |
//! | [`estimate`] | time, memory and disk before a run |
//! | [`import`] | somebody else's poses, points or surface |
//! | [`export`] | formats of the finished model |
//! | [`inspect`] | what a file or work folder is |
//! | [`clean`] | dropping what can be made again |
//! | [`report`] | `report.json` and `index.html` |
//! | [`scene_kind`] | `--preset auto` |
//! | [`georef`] | up, floor, scale |
//! | [`certainty`] | covariances of poses and points as files and figures |

pub mod catalog;
pub mod certainty;
pub mod clean;
pub mod error;
pub mod estimate;
pub mod export;
pub mod georef;
pub mod import;
pub mod ingest_table;
pub mod input_scan;
pub mod inspect;
pub mod isa;
pub mod options;
mod pair_list;
pub mod photos;
pub mod plan;
pub mod report;
pub mod run;
pub mod scene_kind;
pub mod settings;
pub mod stages;
mod too_few;
pub mod video;
pub mod work_name;

pub use error::PipelineError;
pub use settings::Settings;
