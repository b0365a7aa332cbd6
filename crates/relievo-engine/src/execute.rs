//! Makes one stage: passes, items, finish.

use crate::context::StageContext;
use crate::error::EngineError;
use crate::freshness::{Look, check_items, list_items, stage_key};
use crate::journal::{Journal, PROGRESS_DIR, add};
use crate::record::{Cost, ItemRecord, STAGE_FILE, StageRecord};
use crate::stage::{Item, Parallelism, Stage};
use crate::usage::{cpu_seconds, peak_memory_mib, reset_peak_memory};
use crate::work::FORMAT;
use crate::writer::ItemWriter;
use fs_err as fs;
use relievo_task::{Progress, Task};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Items that were done and items that were found done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) made: usize,
    pub(crate) reused: usize,
}

/// Working set of the heaviest item, in bytes; an error where it is over what
/// the task may use.
pub(crate) fn memory_needed(
    stage: &dyn Stage,
    parallelism: Parallelism,
    task: &Task,
) -> Result<u64, EngineError> {
    let (Parallelism::OneAtATime { memory_bytes: need }
    | Parallelism::Parallel {
        memory_bytes_per_item: need,
    }) = parallelism;
    if need > task.memory_bytes() {
        return Err(EngineError::Memory {
            stage: stage.name().to_owned(),
            need_mib: need.div_ceil(1 << 20),
            budget_mib: task.memory_bytes() >> 20,
        });
    }
    Ok(need)
}

/// A stage in the making.
struct Making<'a> {
    stage: &'a dyn Stage,
    ctx: &'a StageContext,
    journal: Mutex<Journal>,
    /// Which item wrote a file.
    owners: Mutex<BTreeMap<String, (u32, String)>>,
    started: Instant,
    cpu_before: f64,
}

impl Making<'_> {
    fn spent(&self) -> Cost {
        Cost {
            wall_s: self.started.elapsed().as_secs_f64(),
            cpu_s: cpu_seconds() - self.cpu_before,
            peak_rss_mib: peak_memory_mib(),
        }
    }

    fn run_one(&self, item: &Item) -> Result<(), EngineError> {
        let name = self.stage.name();
        let ctx = self.ctx.for_item();
        let mut out = ItemWriter::new(name, &ctx.dir())?;
        let begin = Instant::now();
        if let Err(e) = self.stage.run_item(&ctx, item, &mut out) {
            ctx.task().check()?;
            return Err(EngineError::from_stage(name, &item.name, e));
        }
        let record = ItemRecord {
            pass: item.pass,
            item: item.name.clone(),
            key: item.key.clone(),
            weight: item.weight,
            wall_s: begin.elapsed().as_secs_f64(),
            outputs: out.into_outputs(),
            warnings: ctx.task().warnings().take(),
        };
        self.claim(&record)?;
        self.journal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .add(&record, self.spent())?;
        self.ctx
            .own()
            .insert((item.pass, item.name.clone()), record);
        Ok(())
    }

    /// Notes who wrote which file; two items must not write the same.
    fn claim(&self, record: &ItemRecord) -> Result<(), EngineError> {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        let owner = (record.pass, record.item.clone());
        for output in &record.outputs {
            match owners.insert(output.name.clone(), owner.clone()) {
                Some(other) if other != owner => {
                    return Err(EngineError::Clash {
                        stage: self.stage.name().to_owned(),
                        name: output.name.clone(),
                        first: other.1,
                        second: owner.1,
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Runs items of one pass as its parallelism allows.
    fn run_pass(&self, pass: u32, items: &[&Item], progress: &Progress) -> Result<(), EngineError> {
        if items.is_empty() {
            return Ok(());
        }
        let task = self.ctx.task();
        let parallelism = self.stage.parallelism(self.ctx, pass);
        let need = memory_needed(self.stage, parallelism, task)?;
        if matches!(parallelism, Parallelism::OneAtATime { .. }) || items.len() == 1 {
            for item in items {
                task.check()?;
                self.run_one(item)?;
                progress.add(item.weight);
            }
            return Ok(());
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "bounds how many items are in flight; changes no result"
        )]
        let threads = rayon::current_num_threads() as u64;
        let lanes = (task.memory_bytes() / need.max(1))
            .clamp(1, threads)
            .min(items.len() as u64);
        let next = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        let failures: Mutex<BTreeMap<usize, EngineError>> = Mutex::default();
        rayon::scope(|scope| {
            for _ in 0..lanes {
                scope.spawn(|_| {
                    while !stop.load(Ordering::Relaxed) && task.check().is_ok() {
                        let i = next.fetch_add(1, Ordering::Relaxed);
                        let Some(item) = items.get(i) else { break };
                        match self.run_one(item) {
                            Ok(()) => progress.add(item.weight),
                            Err(e) => {
                                stop.store(true, Ordering::Relaxed);
                                failures
                                    .lock()
                                    .unwrap_or_else(PoisonError::into_inner)
                                    .insert(i, e);
                            }
                        }
                    }
                });
            }
        });
        task.check()?;
        let failures = failures
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        failures.into_values().next().map_or(Ok(()), Err)
    }

    /// Items of earlier passes whose removed files these items read.
    fn dropped_inputs(&self, stale: &[&Item]) -> BTreeSet<(u32, String)> {
        let own = self.ctx.own();
        let by_file: BTreeMap<&str, &ItemRecord> = own
            .values()
            .flat_map(|r| {
                r.outputs
                    .iter()
                    .filter(|o| o.dropped)
                    .map(move |o| (o.name.as_str(), r))
            })
            .collect();
        let prefix = format!("{}/", self.stage.name());
        let mut need = BTreeSet::new();
        let mut open: Vec<_> = stale.iter().map(|i| &i.key).collect();
        while let Some(key) = open.pop() {
            for name in key.inputs.keys().filter_map(|n| n.strip_prefix(&prefix)) {
                if let Some(record) = by_file.get(name)
                    && need.insert((record.pass, record.item.clone()))
                {
                    open.push(&record.key);
                }
            }
        }
        need
    }
}

/// Makes what is not fresh, then finishes the stage. Every file that a stage
/// after this one could read is there afterwards.
pub(crate) fn execute(
    stage: &dyn Stage,
    ctx: &StageContext,
    look: Look,
) -> Result<(StageRecord, Count), EngineError> {
    let dir = ctx.dir();
    fs::create_dir_all(&dir).map_err(|e| EngineError::io(&dir, e))?;
    reset_peak_memory();
    let Look {
        past,
        record,
        mut verified,
        ..
    } = look;
    let journal = Journal::start(&dir, &ctx.parts, &past)?;
    let ctx = &ctx.with_past(past.records.clone());
    if record.is_some() {
        let path = dir.join(STAGE_FILE);
        fs::remove_file(&path).map_err(|e| EngineError::io(&path, e))?;
    }
    // Dropped files of items have to be there again for `finish`.
    verified.retain(|name| {
        past.records[name]
            .outputs
            .iter()
            .all(|o| !o.dropped || o.transient)
    });
    ctx.own().clear();
    let making = Making {
        stage,
        ctx,
        journal: Mutex::new(journal),
        owners: Mutex::default(),
        started: Instant::now(),
        cpu_before: cpu_seconds(),
    };
    let mut listed: BTreeMap<(u32, String), Item> = BTreeMap::new();
    let mut count = Count::default();
    let mut before = 0;
    for pass in 0..stage.passes(ctx).max(1) {
        let items = list_items(stage, ctx, pass)?;
        let states = check_items(&dir, &items, &past.records, &verified, true);
        let mut stale = Vec::new();
        let mut done = 0;
        for (item, state) in items.iter().zip(states) {
            let name = (pass, item.name.clone());
            if state.is_none() {
                let record = past.records[&name].clone();
                making.claim(&record)?;
                ctx.own().insert(name, record);
                done += item.weight;
            } else {
                stale.push(item);
            }
        }
        count.reused += items.len() - stale.len();
        count.made += stale.len();
        let remake = making.dropped_inputs(&stale);
        let of_pass = items.iter().map(|i| i.weight).sum::<u64>()
            + remake
                .iter()
                .filter_map(|n| listed.get(n))
                .map(|i| i.weight)
                .sum::<u64>();
        let total = before + of_pass + stage.weight_after(ctx, pass);
        let task = ctx.task();
        let progress = task.progress_from(stage.name(), before + done, total);
        before += of_pass;
        for earlier in 0..pass {
            let again: Vec<&Item> = remake
                .iter()
                .filter(|n| n.0 == earlier)
                .filter_map(|n| listed.get(n))
                .collect();
            making.run_pass(earlier, &again, &progress)?;
        }
        making.run_pass(pass, &stale, &progress)?;
        listed.extend(items.into_iter().map(|i| ((pass, i.name.clone()), i)));
    }
    let record = finish(&making, &listed, past.spent)?;
    Ok((record, count))
}

fn finish(
    making: &Making<'_>,
    listed: &BTreeMap<(u32, String), Item>,
    before: Cost,
) -> Result<StageRecord, EngineError> {
    let Making { stage, ctx, .. } = making;
    let dir = ctx.dir();
    ctx.task().check()?;
    let mut out = ItemWriter::new(stage.name(), &dir)?;
    let figures = match stage.finish(ctx, &mut out) {
        Ok(figures) => figures,
        Err(e) => {
            ctx.task().check()?;
            return Err(EngineError::from_stage(stage.name(), "", e));
        }
    };
    let outputs = out.into_outputs();
    for output in &outputs {
        let owners = making.owners.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, first)) = owners.get(&output.name) {
            return Err(EngineError::Clash {
                stage: stage.name().to_owned(),
                name: output.name.clone(),
                first: first.clone(),
                second: "finish".to_owned(),
            });
        }
    }
    let keys = listed
        .iter()
        .map(|(name, item)| (name.clone(), item.key.digest))
        .collect();
    let mut items: Vec<ItemRecord> = ctx.own().values().cloned().collect();
    for output in items.iter_mut().flat_map(|i| &mut i.outputs) {
        output.dropped = output.transient;
    }
    let record = StageRecord {
        format: FORMAT,
        parts: (*ctx.parts).clone(),
        key: stage_key(*stage, ctx, &keys)?,
        imported: None,
        cost: add(before, making.spent()),
        figures,
        warnings: ctx.task().warnings().take(),
        outputs,
        items,
    };
    // The record stands before transient files go, so that a kill in between
    // does not ask for them again; leftovers are swept on the next run.
    sweep(&dir, &record, true)?;
    record.write(&dir)?;
    tidy(&dir, &record)?;
    Ok(record)
}

/// Removes whatever a finished stage does not list.
pub(crate) fn tidy(dir: &Path, record: &StageRecord) -> Result<(), EngineError> {
    sweep(dir, record, false)?;
    let progress = dir.join(PROGRESS_DIR);
    if progress.exists() {
        fs::remove_dir_all(&progress).map_err(|e| EngineError::io(&progress, e))?;
    }
    Ok(())
}

fn sweep(dir: &Path, record: &StageRecord, keep_transient: bool) -> Result<(), EngineError> {
    let keep: BTreeSet<&str> = record
        .all_outputs()
        .filter(|(_, o)| !o.dropped || (keep_transient && o.transient))
        .map(|(_, o)| o.name.as_str())
        .collect();
    sweep_below(dir, "", &keep).map(|_| ())
}

/// True where nothing is left.
fn sweep_below(dir: &Path, prefix: &str, keep: &BTreeSet<&str>) -> Result<bool, EngineError> {
    let mut empty = true;
    for entry in fs::read_dir(dir).map_err(|e| EngineError::io(dir, e))? {
        let entry = entry.map_err(|e| EngineError::io(dir, e))?;
        let path = entry.path();
        let name = entry.file_name();
        let inside = name.to_str().map(|n| format!("{prefix}{n}"));
        let fail = |e| EngineError::io(&path, e);
        if prefix.is_empty() && (name == STAGE_FILE || name == PROGRESS_DIR) {
            continue;
        }
        if entry.file_type().map_err(fail)?.is_dir() {
            let below = inside.map_or_else(String::new, |n| n + "/");
            if sweep_below(&path, &below, keep)? {
                fs::remove_dir(&path).map_err(fail)?;
            } else {
                empty = false;
            }
        } else if inside.is_some_and(|n| keep.contains(n.as_str())) {
            empty = false;
        } else {
            fs::remove_file(&path).map_err(fail)?;
        }
    }
    Ok(empty)
}
