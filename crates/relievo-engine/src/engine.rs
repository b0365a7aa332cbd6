//! Selection and execution of a plan.

use crate::context::Finished;
use crate::error::EngineError;
use crate::execute::{Count, execute, memory_needed, tidy};
use crate::freshness::{StageStatus, Status, context, import_damage, look};
use crate::journal::PROGRESS_DIR;
use crate::record::{Cost, STAGE_FILE, StageRecord};
use crate::stage::{Figures, Stage};
use crate::work::{Work, WorkLock};
use fs_err as fs;
use relievo_task::{Task, Warning};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Which part of the plan a run covers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Stop after this stage; without it, everything.
    pub until: Option<String>,
    /// Redo this stage and everything after it; refuse if one before is stale.
    pub from: Option<String>,
    /// Redo this stage and everything after it.
    pub force: Option<String>,
}

/// What became of a stage in a run.
#[derive(Clone, Debug, Serialize)]
pub struct StageReport {
    /// The stage.
    pub name: String,
    /// Items done in this run.
    pub items_made: usize,
    /// Items found fresh.
    pub items_reused: usize,
    /// Set where the files came from outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imported: Option<String>,
    /// Time and memory when it was made (by this run or an earlier one).
    #[serde(flatten)]
    pub cost: Cost,
    /// Bytes on disk.
    pub bytes: u64,
    /// Warnings of its items and of `finish`.
    pub warnings: Vec<Warning>,
    /// Its figures.
    #[serde(flatten)]
    pub figures: Figures,
}

impl StageReport {
    fn new(name: &str, record: &StageRecord, count: Count) -> Self {
        Self {
            name: name.to_owned(),
            items_made: count.made,
            items_reused: count.reused,
            imported: record.imported.clone(),
            cost: record.cost,
            bytes: record.bytes(),
            warnings: record.all_warnings(),
            figures: record.figures.clone(),
        }
    }
}

/// Told what the engine does; every method does nothing by default.
pub trait Observer: Sync {
    /// A stage that is not fresh is about to be made.
    fn stage_started(&self, _status: &StageStatus) {}
    /// A stage is complete: made, or found fresh.
    fn stage_finished(&self, _report: &StageReport) {}
}

/// Drops every event.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl Observer for NoObserver {}

/// A plan on a work folder.
pub struct Engine<'a> {
    work: &'a Work,
    stages: Vec<Box<dyn Stage>>,
}

impl<'a> Engine<'a> {
    /// A plan: each stage stands after those it depends on, names are unique.
    pub fn new(work: &'a Work, stages: Vec<Box<dyn Stage>>) -> Result<Self, EngineError> {
        let mut seen = BTreeSet::new();
        for stage in &stages {
            let plan = |what| EngineError::Plan {
                stage: stage.name().to_owned(),
                what,
            };
            if stage.depends_on().iter().any(|d| !seen.contains(d)) {
                return Err(plan("stands before a stage that it depends on"));
            }
            if !seen.insert(stage.name()) {
                return Err(plan("is there twice"));
            }
        }
        Ok(Self { work, stages })
    }

    /// The stages in order.
    pub fn stages(&self) -> impl Iterator<Item = &dyn Stage> {
        self.stages.iter().map(AsRef::as_ref)
    }

    /// The stages that a run of this selection needs, in order: those that
    /// `until` (or any stage nobody depends on) depends on, not looking behind
    /// imported ones.
    pub fn needed(&self, selection: &Selection) -> Result<Vec<&dyn Stage>, EngineError> {
        for name in [&selection.until, &selection.from, &selection.force]
            .into_iter()
            .flatten()
        {
            self.find(name)?;
        }
        let inner: BTreeSet<&str> = self
            .stages()
            .flat_map(|s| s.depends_on().iter().copied())
            .collect();
        let mut needed: BTreeSet<&str> = self
            .stages()
            .map(Stage::name)
            .filter(|n| match &selection.until {
                Some(until) => n == until,
                None => !inner.contains(n),
            })
            .collect();
        for stage in self.stages.iter().rev() {
            if needed.contains(stage.name()) && self.imported(stage.name())?.is_none() {
                needed.extend(stage.depends_on());
            }
        }
        Ok(self
            .stages()
            .filter(|s| needed.contains(s.name()))
            .collect())
    }

    /// State of every stage of the selection, without changing anything.
    /// Needs no lock.
    pub fn status(
        &self,
        selection: &Selection,
        task: &Task,
    ) -> Result<Vec<StageStatus>, EngineError> {
        let redone = self.redone(selection)?;
        let mut finished = BTreeMap::new();
        let mut all = Vec::new();
        for stage in self.needed(selection)? {
            task.check()?;
            all.push(self.status_of(stage, &redone, &mut finished, task)?);
        }
        Ok(all)
    }

    /// Makes whatever of the selection is not fresh. Reports come in order of
    /// the plan, those of fresh stages included. The run's `task` receives the
    /// warnings of every stage, whether it was made now or earlier.
    pub fn run(
        &self,
        lock: &WorkLock,
        selection: &Selection,
        task: &Task,
        observer: &dyn Observer,
    ) -> Result<Vec<StageReport>, EngineError> {
        if lock.path() != self.work.path() {
            return Err(EngineError::Plan {
                stage: lock.path().display().to_string(),
                what: "is not the work folder of this plan",
            });
        }
        let needed = self.needed(selection)?;
        let redone = self.redone(selection)?;
        if let Some(from) = &selection.from {
            let before = self.status(selection, task)?;
            let stale = before
                .iter()
                .find(|s| !redone.contains(s.name.as_str()) && !s.status.is_fresh());
            if let Some(s) = stale {
                return Err(EngineError::NotFresh {
                    from: from.clone(),
                    stage: s.name.clone(),
                    status: s.status.to_string(),
                });
            }
        }
        self.refuse_before_forgetting(&needed, &redone, task)?;
        for name in &redone {
            self.forget(name)?;
        }
        let mut run = Run {
            engine: self,
            task,
            observer,
            finished: BTreeMap::new(),
        };
        let mut reports = Vec::new();
        for stage in needed {
            task.check()?;
            let report = run.make(stage, false)?;
            for warning in &report.warnings {
                task.warn(warning.clone());
            }
            observer.stage_finished(&report);
            reports.push(report);
        }
        Ok(reports)
    }

    /// Reports of the finished stages, from their records; runs nothing.
    pub fn reports(&self) -> Result<Vec<StageReport>, EngineError> {
        let mut all = Vec::new();
        for stage in &self.stages {
            if let Some(record) = self.work.record(stage.name())? {
                let count = Count {
                    made: 0,
                    reused: record.items.len(),
                };
                all.push(StageReport::new(stage.name(), &record, count));
            }
        }
        Ok(all)
    }

    fn find(&self, name: &str) -> Result<&dyn Stage, EngineError> {
        self.stages()
            .find(|s| s.name() == name)
            .ok_or_else(|| EngineError::UnknownStage {
                name: name.to_owned(),
                known: self
                    .stages()
                    .map(Stage::name)
                    .collect::<Vec<_>>()
                    .join(", "),
            })
    }

    fn imported(&self, stage: &str) -> Result<Option<StageRecord>, EngineError> {
        Ok(self.work.record(stage)?.filter(|r| r.imported.is_some()))
    }

    /// The stages that `--force` or `--from` makes again: that one and, not
    /// looking behind imported ones, all that depend on it.
    fn redone(&self, selection: &Selection) -> Result<BTreeSet<&'static str>, EngineError> {
        let mut redone = BTreeSet::new();
        for name in [&selection.force, &selection.from].into_iter().flatten() {
            let stage = self.find(name)?;
            if let Some(record) = self.imported(name)? {
                return Err(EngineError::ImportedForced {
                    stage: name.clone(),
                    source_name: record.imported.unwrap_or_default(),
                });
            }
            redone.insert(stage.name());
        }
        for stage in &self.stages {
            let after = stage.depends_on().iter().any(|d| redone.contains(d));
            if after && self.imported(stage.name())?.is_none() {
                redone.insert(stage.name());
            }
        }
        Ok(redone)
    }

    /// What refuses the first stage to be made again refuses it while its old
    /// files still count.
    fn refuse_before_forgetting(
        &self,
        needed: &[&dyn Stage],
        redone: &BTreeSet<&'static str>,
        task: &Task,
    ) -> Result<(), EngineError> {
        if redone.is_empty() {
            return Ok(());
        }
        let mut finished = BTreeMap::new();
        for stage in needed {
            if redone.contains(stage.name()) {
                let ctx = context(*stage, self.work, depends(*stage, &finished), task)?;
                memory_needed(*stage, stage.parallelism(&ctx, 0), task)?;
                return Ok(());
            }
            let before = self.status_of(*stage, redone, &mut finished, task)?;
            if !before.status.is_fresh() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Forgets what is known of a stage; its files are replaced one by one.
    fn forget(&self, stage: &str) -> Result<(), EngineError> {
        let dir = self.work.stage_dir(stage);
        let record = dir.join(STAGE_FILE);
        if record.exists() {
            fs::remove_file(&record).map_err(|e| EngineError::io(&record, e))?;
        }
        let progress = dir.join(PROGRESS_DIR);
        if progress.exists() {
            fs::remove_dir_all(&progress).map_err(|e| EngineError::io(&progress, e))?;
        }
        Ok(())
    }

    fn status_of(
        &self,
        stage: &dyn Stage,
        redone: &BTreeSet<&'static str>,
        finished: &mut BTreeMap<&'static str, Finished>,
        task: &Task,
    ) -> Result<StageStatus, EngineError> {
        let name = stage.name();
        let record = self.work.record(name)?;
        let bytes = record.as_ref().map_or(0, StageRecord::bytes);
        let mut status = StageStatus {
            name: name.to_owned(),
            status: Status::Missing,
            items: None,
            items_to_run: None,
            weight_to_run: None,
            bytes,
        };
        if let Some(imported) = record.as_ref().and_then(|r| r.imported.clone()) {
            status.status = match record
                .as_ref()
                .and_then(|r| import_damage(&self.work.stage_dir(name), r))
            {
                Some(file) => Status::Stale {
                    because: vec![format!("the imported {file} was changed")],
                },
                None => Status::Imported { source: imported },
            };
        } else if redone.contains(name) {
            if record.is_some() {
                status.status = Status::Stale {
                    because: vec!["it is to be made again".to_owned()],
                };
            }
        } else if let Some(dep) = stage
            .depends_on()
            .iter()
            .find(|d| !finished.contains_key(*d))
        {
            if record.is_some() {
                status.status = Status::Stale {
                    because: vec![format!("{dep} is not fresh")],
                };
            } else if self.work.stage_dir(name).join(PROGRESS_DIR).exists() {
                status.status = Status::Unfinished;
            }
        } else {
            let ctx = context(stage, self.work, depends(stage, finished), task)?;
            let look = look(stage, &ctx)?;
            status.items = Some(look.listed);
            status.items_to_run = Some(look.to_run);
            status.weight_to_run = Some(look.weight_to_run);
            status.status = look.status;
        }
        if let (true, Some(record)) = (status.status.is_fresh(), record) {
            finished.insert(name, Arc::new(record));
        }
        Ok(status)
    }
}

fn depends(
    stage: &dyn Stage,
    finished: &BTreeMap<&'static str, Finished>,
) -> BTreeMap<&'static str, Finished> {
    stage
        .depends_on()
        .iter()
        .filter_map(|d| finished.get(d).map(|f| (*d, f.clone())))
        .collect()
}

struct Run<'a> {
    engine: &'a Engine<'a>,
    task: &'a Task,
    observer: &'a dyn Observer,
    finished: BTreeMap<&'static str, Finished>,
}

impl Run<'_> {
    /// Makes a stage, or finds it fresh. With `need_files`, dropped files are
    /// made again too.
    fn make(&mut self, stage: &dyn Stage, need_files: bool) -> Result<StageReport, EngineError> {
        let name = stage.name();
        let work = self.engine.work;
        let dir = work.stage_dir(name);
        if let Some(record) = self.engine.imported(name)? {
            if let Some(file) = import_damage(&dir, &record) {
                return Err(EngineError::ImportChanged {
                    stage: name.to_owned(),
                    file: dir.join(file),
                });
            }
            return Ok(self.done(name, record, Count::default()));
        }
        let ctx = context(stage, work, depends(stage, &self.finished), self.task)?;
        let found = look(stage, &ctx)?;
        let missing_files =
            |r: &StageRecord| r.all_outputs().any(|(_, o)| o.dropped && !o.transient);
        if found.status.is_fresh()
            && let Some(record) = &found.record
            && !(need_files && missing_files(record))
        {
            if dir.join(PROGRESS_DIR).exists() {
                tidy(&dir, record)?;
            }
            let count = Count {
                made: 0,
                reused: found.listed,
            };
            return Ok(self.done(name, record.clone(), count));
        }
        self.observer.stage_started(&StageStatus {
            name: name.to_owned(),
            status: found.status.clone(),
            items: Some(found.listed),
            items_to_run: Some(found.to_run),
            weight_to_run: Some(found.weight_to_run),
            bytes: found.record.as_ref().map_or(0, StageRecord::bytes),
        });
        for dep in stage.depends_on() {
            if self.finished.get(dep).is_some_and(|r| missing_files(r)) {
                let dep = self.engine.find(dep)?;
                self.make(dep, true)?;
            }
        }
        // The stages before it may be new by now.
        let ctx = context(stage, work, depends(stage, &self.finished), self.task)?;
        let (record, count) = execute(stage, &ctx, found)?;
        Ok(self.done(name, record, count))
    }

    fn done(&mut self, name: &'static str, record: StageRecord, count: Count) -> StageReport {
        let report = StageReport::new(name, &record, count);
        self.finished.insert(name, Arc::new(record));
        report
    }
}
