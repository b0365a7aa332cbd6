//! Fresh, missing, or stale because ...

use crate::context::{Finished, StageContext};
use crate::error::EngineError;
use crate::journal::{Journal, Past, Records};
use crate::key::{Digest, Key, KeyBuilder, StageParts, digest_file};
use crate::record::{ItemRecord, OutputRecord, StageRecord};
use crate::stage::{Item, Stage};
use crate::work::Work;
use rayon::prelude::*;
use relievo_task::Task;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// State of a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Status {
    /// Nothing to do.
    Fresh,
    /// Brought in from outside, unchanged since.
    Imported {
        /// From where.
        source: String,
    },
    /// Never made.
    Missing,
    /// Begun and not finished.
    Unfinished,
    /// Made, but not from what is there now.
    Stale {
        /// In words, the most telling first.
        because: Vec<String>,
    },
}

impl Status {
    /// Nothing to do.
    pub fn is_fresh(&self) -> bool {
        matches!(self, Self::Fresh | Self::Imported { .. })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fresh => f.write_str("fresh"),
            Self::Imported { source } => write!(f, "fresh (imported from {source})"),
            Self::Missing => f.write_str("missing"),
            Self::Unfinished => f.write_str("unfinished"),
            Self::Stale { because } => write!(f, "stale because {}", because.join("; ")),
        }
    }
}

/// One line of `relievo status`.
#[derive(Clone, Debug, Serialize)]
pub struct StageStatus {
    /// The stage.
    pub name: String,
    /// Its state.
    pub status: Status,
    /// Items, as far as they can be listed before the stages ahead have run.
    pub items: Option<usize>,
    /// Of these, how many a run would do.
    pub items_to_run: Option<usize>,
    /// Sum of their weights.
    pub weight_to_run: Option<u64>,
    /// Bytes on disk.
    pub bytes: u64,
}

/// A stage folder held against what it would be now.
pub(crate) struct Look {
    pub(crate) status: Status,
    pub(crate) past: Past,
    pub(crate) record: Option<StageRecord>,
    /// Items whose files were checked and found sound.
    pub(crate) verified: BTreeSet<(u32, String)>,
    pub(crate) listed: usize,
    pub(crate) to_run: usize,
    pub(crate) weight_to_run: u64,
}

/// A context with options and external versions filled in.
pub(crate) fn context(
    stage: &dyn Stage,
    work: &Work,
    finished: BTreeMap<&'static str, Finished>,
    task: &Task,
) -> Result<StageContext, EngineError> {
    let mut parts = StageParts {
        stage: stage.name().to_owned(),
        version: stage.version(),
        options: Value::Null,
        external: stage.external(),
    };
    let mut ctx = StageContext {
        work: work.clone(),
        parts: Arc::new(parts.clone()),
        finished: Arc::new(finished),
        own: Arc::new(Mutex::new(Records::new())),
        past: Arc::default(),
        task: task.with_own_warnings(),
    };
    parts.options = stage
        .options(&ctx)
        .map_err(|e| EngineError::from_stage(stage.name(), "", e))?;
    ctx.parts = Arc::new(parts);
    Ok(ctx)
}

/// The items of a pass, named once each.
pub(crate) fn list_items(
    stage: &dyn Stage,
    ctx: &StageContext,
    pass: u32,
) -> Result<Vec<Item>, EngineError> {
    let mut items = stage
        .items(ctx, pass)
        .map_err(|e| EngineError::from_stage(stage.name(), "", e))?;
    let mut names = BTreeSet::new();
    for item in &mut items {
        item.pass = pass;
        if !names.insert(item.name.clone()) {
            return Err(EngineError::Plan {
                stage: format!("{} ({})", stage.name(), item.name),
                what: "two items of one pass have this name",
            });
        }
    }
    Ok(items)
}

/// Key of the stage as a whole.
pub(crate) fn stage_key(
    stage: &dyn Stage,
    ctx: &StageContext,
    items: &BTreeMap<(u32, String), Digest>,
) -> Result<Digest, EngineError> {
    let mut key = KeyBuilder::new(&ctx.parts);
    for ((pass, name), digest) in items {
        key = key.input(format!("item/{pass}/{name}"), *digest);
    }
    let inputs = stage
        .finish_inputs(ctx)
        .map_err(|e| EngineError::from_stage(stage.name(), "", e))?;
    for (name, digest) in inputs {
        key = key.input(format!("finish/{name}"), digest);
    }
    Ok(key.finish().digest)
}

/// Why these files are not what was recorded; `None` where they are.
pub(crate) fn damage(dir: &Path, outputs: &[OutputRecord], need_files: bool) -> Option<String> {
    outputs.iter().find_map(|output| {
        if output.dropped && (output.transient || !need_files) {
            return None;
        }
        let path = dir.join(&output.name);
        match fs_err::symlink_metadata(&path) {
            Err(_) => return Some(format!("{} is gone", output.name)),
            Ok(m) if m.len() != output.size => return Some(format!("{} was changed", output.name)),
            Ok(_) => {}
        }
        match digest_file(&path) {
            Ok((_, digest)) if digest == output.digest => None,
            Ok(_) => Some(format!("{} was changed", output.name)),
            Err(e) => Some(e.to_string()),
        }
    })
}

/// Which of the items are fresh: `None` fresh, else the reason.
pub(crate) fn check_items(
    dir: &Path,
    items: &[Item],
    old: &Records,
    verified: &BTreeSet<(u32, String)>,
    need_files: bool,
) -> Vec<Option<String>> {
    items
        .par_iter()
        .with_max_len(1)
        .map(|item| {
            let name = (item.pass, item.name.clone());
            let Some(record) = old.get(&name) else {
                return Some(format!("{} is new", item.name));
            };
            if record.key.digest != item.key.digest {
                return Some(explain_item(record, &item.key));
            }
            if verified.contains(&name) {
                return None;
            }
            damage(dir, &record.outputs, need_files)
        })
        .collect()
}

/// Holds a stage against its folder, without changing anything.
pub(crate) fn look(stage: &dyn Stage, ctx: &StageContext) -> Result<Look, EngineError> {
    let dir = ctx.dir();
    let record = StageRecord::read(&dir)?;
    let past = match &record {
        Some(r) => Past {
            records: r
                .items
                .iter()
                .map(|i| ((i.pass, i.item.clone()), i.clone()))
                .collect(),
            parts: Some(r.parts.clone()),
            ..Past::default()
        },
        None => Journal::read(&dir),
    };
    let mut look = Look {
        status: Status::Fresh,
        past,
        record,
        verified: BTreeSet::new(),
        listed: 0,
        to_run: 0,
        weight_to_run: 0,
    };
    let mut because = look
        .past
        .parts
        .as_ref()
        .map_or_else(Vec::new, |p| explain_parts(p, &ctx.parts));
    let mut keys = BTreeMap::new();
    let mut complete = true;
    for pass in 0..stage.passes(ctx).max(1) {
        let items = list_items(stage, ctx, pass)?;
        let states = check_items(&dir, &items, &look.past.records, &BTreeSet::new(), false);
        let mut reasons = Vec::new();
        for (item, state) in items.iter().zip(states) {
            let name = (pass, item.name.clone());
            keys.insert(name.clone(), item.key.digest);
            look.listed += 1;
            if let Some(reason) = state {
                look.to_run += 1;
                look.weight_to_run += item.weight;
                reasons.push(reason);
            } else {
                if let Some(old) = look.past.records.get(&name) {
                    ctx.own().insert(name.clone(), old.clone());
                }
                look.verified.insert(name);
            }
        }
        if because.is_empty() {
            let more = reasons.len().saturating_sub(3);
            because.extend(reasons.iter().take(3).cloned());
            if more > 0 {
                because.push(format!("and {more} more items"));
            }
        }
        if !reasons.is_empty() {
            complete = false;
            break;
        }
    }
    let Some(record) = &look.record else {
        look.status = if look.past.records.is_empty() {
            Status::Missing
        } else {
            Status::Unfinished
        };
        return Ok(look);
    };
    if complete {
        if let Some((_, name)) = look.past.records.keys().find(|n| !keys.contains_key(*n)) {
            because.push(format!("{name} is no longer an item"));
        } else if because.is_empty() && record.key != stage_key(stage, ctx, &keys)? {
            because.push("what it sums up changed".to_owned());
        } else if let Some(reason) = damage(&dir, &record.outputs, false) {
            because.push(reason);
        }
    }
    if !complete || !because.is_empty() {
        look.status = Status::Stale { because };
    }
    Ok(look)
}

/// The first output of an imported stage that is not what was imported.
pub(crate) fn import_damage(dir: &Path, record: &StageRecord) -> Option<String> {
    record
        .outputs
        .par_iter()
        .map(|o| damage(dir, std::slice::from_ref(o), true).map(|_| o.name.clone()))
        .collect::<Vec<_>>()
        .into_iter()
        .flatten()
        .next()
}

fn explain_item(record: &ItemRecord, now: &Key) -> String {
    let item = &record.item;
    for (name, value) in &now.values {
        match record.key.values.get(name) {
            Some(old) if old == value => {}
            Some(old) => return format!("{name} of {item} changed: {old} -> {value}"),
            None => return format!("{item} now depends on {name}"),
        }
    }
    for (name, digest) in &now.inputs {
        match record.key.inputs.get(name) {
            Some(old) if old == digest => {}
            Some(_) => return format!("{name} changed"),
            None => return format!("{item} now reads {name}"),
        }
    }
    if let Some(name) = record
        .key
        .inputs
        .keys()
        .find(|n| !now.inputs.contains_key(*n))
    {
        return format!("{item} no longer reads {name}");
    }
    format!("the settings of {item} changed")
}

/// Which of the shared parts changed, old -> new.
fn explain_parts(old: &StageParts, now: &StageParts) -> Vec<String> {
    let mut reasons = Vec::new();
    if old.version != now.version {
        reasons.push(format!(
            "{} changed from version {} to {}",
            now.stage, old.version, now.version
        ));
    }
    explain_value("", &old.options, &now.options, &mut reasons);
    for (name, version) in &now.external {
        match old.external.get(name) {
            Some(v) if v == version => {}
            Some(v) => reasons.push(format!("{name} changed: {v} -> {version}")),
            None => reasons.push(format!("it now uses {name} {version}")),
        }
    }
    for name in old
        .external
        .keys()
        .filter(|n| !now.external.contains_key(*n))
    {
        reasons.push(format!("it no longer uses {name}"));
    }
    reasons
}

fn explain_value(path: &str, old: &Value, now: &Value, reasons: &mut Vec<String>) {
    if old == now {
        return;
    }
    if let (Value::Object(a), Value::Object(b)) = (old, now) {
        let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        for name in names {
            let below = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            match (a.get(name), b.get(name)) {
                (Some(x), Some(y)) => explain_value(&below, x, y, reasons),
                (None, Some(y)) => reasons.push(format!("option {below} is new: {y}")),
                _ => reasons.push(format!("option {below} is gone")),
            }
        }
    } else if path.is_empty() {
        reasons.push("its options changed".to_owned());
    } else {
        reasons.push(format!("option {path} changed: {old} -> {now}"));
    }
}
