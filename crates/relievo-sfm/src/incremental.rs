//! The incremental mapper (Schönberger & Frahm, "Structure-from-Motion
//! Revisited", CVPR 2016): a first pair, then photo after photo, each followed
//! by triangulation and a local adjustment, with an adjustment of everything
//! whenever the model has grown by a tenth.
//!
//! A start that leads nowhere costs only time: other first pairs are tried and
//! the largest model is kept. What then remains unregistered may form further
//! models, which are joined where they fit each other.

use crate::initial_pair::{HALVINGS, Start, best_start, rank};
use crate::next_view::candidates;
use crate::refine::{clean_up, limits, local};
use crate::register::register;
use crate::scene::{Pair, Scene};
use crate::state::{Built, Growing, State, decode, encode};
use crate::{
    Checkpoint, MapperKind, Named, SfmError, SfmInput, SfmOptions, SfmResult, UnregisteredReason,
    focal, global, reasons, triplets,
};
use relievo_scene::{Camera, CameraId, TwoViewKind};
use relievo_task::{Cancelled, Progress, Task};
use std::collections::BTreeMap;

/// First pairs reconstructed side by side; a constant, since the best of a
/// batch wins.
const START_BATCH: usize = 8;

/// Starts grown for one model before the largest is kept.
const MAX_ATTEMPTS: usize = 3;

/// Photos that are mapped to learn the focal lengths for the global mapper.
const SETTLING_VIEWS: usize = 12;

/// Trials of one photo while the points it sees do not grow.
const MAX_TRIALS: u32 = 3;

/// Poses, intrinsics and points from verified pairs.
///
/// Deterministic: the same input, options and run seed give the same bits on
/// any number of threads, whether or not the run was interrupted and continued
/// from `checkpoint`.
///
/// # Errors
///
/// Where no model can be built, [`SfmError`] says why and what to do.
pub fn reconstruct(
    input: &SfmInput<'_>,
    options: &SfmOptions,
    task: &Task,
    checkpoint: &mut dyn Checkpoint,
) -> Result<SfmResult, SfmError> {
    reconstruct_named(input, &BTreeMap::new(), options, task, checkpoint)
}

/// [`reconstruct`], where a person said something of some of the cameras.
///
/// # Errors
///
/// As [`reconstruct`].
pub fn reconstruct_named(
    input: &SfmInput<'_>,
    named: &BTreeMap<CameraId, Named>,
    options: &SfmOptions,
    task: &Task,
    checkpoint: &mut dyn Checkpoint,
) -> Result<SfmResult, SfmError> {
    task.check()?;
    let scene = Scene::new(input)?;
    if scene.num_views() < 2 {
        return Err(SfmError::TooFewViews {
            views: scene.num_views(),
        });
    }
    if scene.pairs.is_empty() {
        return Err(SfmError::NoPairs {
            views: scene.num_views(),
        });
    }
    let turning = |p: &Pair<'_>| p.geometry.kind == TwoViewKind::PureRotation;
    if scene.pairs.iter().all(turning) {
        return Err(SfmError::PureRotation {
            pairs: scene.pairs.len(),
        });
    }
    let contradicted = focal::contradicted(&scene, options, task)?;
    let mut cameras = input.cameras.clone();
    cameras.extend(contradicted.clone());
    let input = &SfmInput {
        cameras,
        ..input.clone()
    };
    let scene = if contradicted.is_empty() {
        scene
    } else {
        Scene::new(input)?
    };
    let cameras = focal::calibrate(&scene, options, &contradicted, task)?;
    let graph = options
        .check_triplets
        .then(|| triplets::without_doubtful(&scene))
        .flatten();
    let doubtful = graph.as_ref().map(|g| reasons::without_pairs(&scene, g));
    let scene = match &graph {
        None => scene,
        Some(graph) => Scene::new(&SfmInput {
            views: input.views.clone(),
            cameras: input.cameras.clone(),
            graph,
        })?,
    };
    let scene = scene.with_named(named);
    let mut mapper = Mapper::new(&scene, cameras, options, task, checkpoint);
    mapper.run(checkpoint)?;
    let mended = mapper.mend_links(input)?;
    let mut result = mapper.result(mended)?;
    result.contradicted = contradicted.into_keys().collect();
    for (id, photos) in doubtful.unwrap_or_default() {
        if let Some(why) = result.unregistered.get_mut(&id) {
            *why = UnregisteredReason::DoubtfulMatches { photos };
        }
    }
    Ok(result)
}

/// A digest of everything that decides the result.
fn digest(scene: &Scene<'_>, options: &SfmOptions, task: &Task) -> u64 {
    let mut h = blake3::Hasher::new();
    h.update(&task.run_seed().to_le_bytes());
    h.update(format!("{options:?}").as_bytes());
    for c in scene.cameras.iter().zip(&scene.named) {
        h.update(format!("{c:?}").as_bytes());
    }
    for v in 0..scene.num_views() {
        h.update(scene.names[v].as_bytes());
        h.update(&(scene.camera_of[v] as u64).to_le_bytes());
        for p in &scene.px[v] {
            h.update(&p.x.to_bits().to_le_bytes());
            h.update(&p.y.to_bits().to_le_bytes());
        }
    }
    for p in &scene.pairs {
        h.update(&(p.a as u64).to_le_bytes());
        h.update(&(p.b as u64).to_le_bytes());
        h.update(&[p.geometry.kind as u8]);
        let pose = p.geometry.b_from_a;
        let pose = pose
            .iter()
            .flat_map(|p| p.rotation.coords.iter().chain(p.translation.iter()));
        let f = p.geometry.f.iter().flat_map(|f| f.iter());
        for v in pose.chain(f).chain([&p.geometry.median_angle]) {
            h.update(&v.to_bits().to_le_bytes());
        }
        for m in &p.geometry.inliers {
            h.update(&m.a_idx.to_le_bytes());
            h.update(&m.b_idx.to_le_bytes());
        }
    }
    let mut word = [0; 8];
    word.copy_from_slice(&h.finalize().as_bytes()[..8]);
    u64::from_le_bytes(word)
}

/// A run of the mapper.
pub(crate) struct Mapper<'s, 'a> {
    pub(crate) scene: &'s Scene<'a>,
    /// Starting intrinsics, calibrated from the pairs where unknown.
    pub(crate) cameras: Vec<Camera>,
    pub(crate) options: &'s SfmOptions,
    pub(crate) task: &'s Task,
    pub(crate) state: State,
    /// Pairs tried without a start, and the best of them, for the message.
    pub(crate) best_failed: Option<(usize, Start)>,
    /// See [`Mapper::settled_cameras`]; found once.
    settled: Option<Vec<Camera>>,
    progress: Progress,
    reported: usize,
    digest: u64,
}

impl<'s, 'a> Mapper<'s, 'a> {
    /// Where `checkpoint` left off, or at the beginning.
    pub(crate) fn new(
        scene: &'s Scene<'a>,
        cameras: Vec<Camera>,
        options: &'s SfmOptions,
        task: &'s Task,
        checkpoint: &mut dyn Checkpoint,
    ) -> Self {
        let digest = digest(scene, options, task);
        let state = checkpoint
            .load()
            .and_then(|bytes| decode(&bytes, digest, scene));
        Self {
            cameras,
            scene,
            options,
            task,
            state: state.unwrap_or_else(|| State {
                rejected: vec![(0, 0); scene.num_views()],
                ..State::default()
            }),
            best_failed: None,
            settled: None,
            progress: task.progress("photos registered", scene.num_views() as u64),
            reported: 0,
            digest,
        }
    }
}

impl Mapper<'_, '_> {
    pub(crate) fn run(&mut self, checkpoint: &mut dyn Checkpoint) -> Result<(), SfmError> {
        loop {
            self.task.check()?;
            if self.state.growing.is_none() && !self.begin()? {
                self.join_models()?;
                if !self.try_globally() {
                    return self.keep_better();
                }
                continue;
            }
            let grew = self.grow()?;
            if !grew {
                self.end_attempt()?;
            }
            let adjusted = self
                .state
                .growing
                .as_ref()
                .is_none_or(|g| g.adjusted_views as usize == g.built.model.order.len());
            if adjusted {
                checkpoint.save(&encode(&self.state, self.digest));
            }
        }
    }

    /// Views that an earlier model holds.
    pub(crate) fn taken(&self) -> Vec<bool> {
        let mut taken = vec![false; self.scene.num_views()];
        for b in &self.state.done {
            for &v in &b.model.order {
                taken[v as usize] = true;
            }
        }
        taken
    }

    pub(crate) fn min_views(&self) -> usize {
        self.options
            .min_model_views
            .min(self.scene.num_views())
            .max(2)
    }

    /// Finds a start; false where the work is over.
    fn begin(&mut self) -> Result<bool, SfmError> {
        if self.state.done.len() >= self.options.max_models.max(1) {
            return Ok(false);
        }
        let taken = self.taken();
        let left = taken.iter().filter(|t| !**t).count();
        if left < self.min_views() {
            return self.accept_attempt();
        }
        // Leftovers with many doubtful pairs must not be tried for ever.
        let spent = self.state.tried.len() >= self.options.init_max_trials.max(MAX_ATTEMPTS);
        if spent || self.state.attempts.len() >= MAX_ATTEMPTS {
            return self.accept_attempt();
        }
        if self.is_global() {
            if !self.state.attempts.is_empty() {
                return self.accept_attempt();
            }
            let (scene, options, task) = (self.scene, self.options, self.task);
            // A start that no model came of would be the same again.
            if self.state.global_starts as usize <= self.state.done.len() {
                self.state.global_starts += 1;
                let cameras = match self.settled.take() {
                    Some(cameras) => cameras,
                    None => self.settled_cameras()?,
                };
                let start = global::start(scene, &cameras, &taken, options, task)?;
                self.settled = Some(cameras);
                if let Some(built) = start {
                    self.set_growing(built);
                    return Ok(true);
                }
            }
            if self.state.first.is_some() {
                // The incremental mapper had its turn.
                return Ok(false);
            }
        }
        let Some(start) = self.find_start(&taken)? else {
            return self.accept_attempt();
        };
        let pair = (start.a as u32, start.b as u32);
        self.state.tried.insert(pair);
        self.set_growing(Built {
            model: start.model,
            initial: pair,
            global_adjustments: 0,
            local_adjustments: 0,
            iterations: start.iterations as u64,
            rings_closed: 0,
            joined: 0,
            principal_points: Vec::new(),
        });
        Ok(true)
    }

    /// Cameras for the global mapper, whose rotations need focal lengths: those
    /// of the model that the incremental one built, else those of a few photos
    /// that are mapped for this alone.
    fn settled_cameras(&self) -> Result<Vec<Camera>, SfmError> {
        let known = self.cameras.iter().all(|c| c.has_prior_focal);
        if let Some(first) = &self.state.first {
            let largest = first.done.iter().max_by_key(|b| b.model.order.len());
            return Ok(largest.map_or_else(|| self.cameras.clone(), |b| b.model.cameras.clone()));
        }
        if known || self.options.fix_intrinsics {
            return Ok(self.cameras.clone());
        }
        let options = SfmOptions {
            mapper: MapperKind::Incremental,
            ..self.options.clone()
        };
        let mut trial = Mapper {
            scene: self.scene,
            cameras: self.cameras.clone(),
            options: &options,
            task: self.task,
            state: State {
                rejected: vec![(0, 0); self.scene.num_views()],
                ..State::default()
            },
            best_failed: None,
            settled: None,
            progress: self.task.progress("photos that tell the focal length", 0),
            reported: usize::MAX,
            digest: 0,
        };
        while trial.state.growing.is_some() || trial.begin()? {
            let growing = trial.state.growing.as_ref();
            let size = growing.map_or(0, |g| g.built.model.order.len());
            if size >= SETTLING_VIEWS || !trial.grow()? {
                break;
            }
        }
        let cameras = trial.state.growing.map(|g| g.built.model.cameras);
        Ok(cameras.unwrap_or_else(|| self.cameras.clone()))
    }

    pub(crate) fn set_growing(&mut self, built: Built) {
        self.state.growing = Some(Growing {
            adjusted_views: built.model.order.len() as u32,
            adjusted_points: built.model.num_points() as u32,
            built,
            failures: vec![(0, 0); self.scene.num_views()],
            relaxed: false,
        });
    }

    fn is_global(&self) -> bool {
        self.options.mapper == MapperKind::Global || self.state.first.is_some()
    }

    /// The best first pair among views that no model holds. Thresholds are
    /// halved twice before giving up.
    fn find_start(&mut self, taken: &[bool]) -> Result<Option<Start>, SfmError> {
        let options = self.options;
        let min_angle = options.init_min_angle_deg.to_radians();
        // Another attempt starts elsewhere: views of earlier first pairs are out.
        let started: Vec<u32> = self
            .state
            .attempts
            .iter()
            .flat_map(|b| [b.initial.0, b.initial.1])
            .collect();
        let allowed = |p: &Pair<'_>| {
            let (a, b) = (p.a as u32, p.b as u32);
            !taken[p.a]
                && !taken[p.b]
                && !self.state.tried.contains(&(a, b))
                && !started.contains(&a)
                && !started.contains(&b)
        };
        let mut ranked = rank(self.scene, &self.cameras, allowed, min_angle);
        ranked.truncate(options.init_max_trials);
        let mut all: Vec<Start> = Vec::new();
        for batch in ranked.chunks(START_BATCH) {
            let starts = best_start(
                self.scene,
                &self.cameras,
                batch,
                options,
                &limits(options),
                self.task,
            )?;
            all.extend(starts);
            let good =
                |s: &Start| s.points >= options.init_min_points && s.median_angle >= min_angle;
            if let Some(k) = all.iter().position(good) {
                return Ok(Some(all.swap_remove(k)));
            }
        }
        // Further models need not start from crumbs.
        let halvings = if self.state.done.is_empty() {
            HALVINGS
        } else {
            1
        };
        for k in 1..=halvings {
            let part = 0.5_f64.powi(k);
            let good = |s: &Start| {
                s.points as f64 >= part * options.init_min_points as f64
                    && s.median_angle >= part * min_angle
            };
            if let Some(k) = all.iter().position(good) {
                return Ok(Some(all.swap_remove(k)));
            }
        }
        if let Some(best) = all.into_iter().max_by_key(|s| s.points) {
            self.best_failed = Some((ranked.len(), best));
        }
        Ok(None)
    }

    /// Registers one more photo; false where none fits.
    pub(crate) fn grow(&mut self) -> Result<bool, SfmError> {
        let (scene, options, task) = (self.scene, self.options, self.task);
        let taken = self.taken();
        let Some(g) = self.state.growing.as_mut() else {
            return Ok(false);
        };
        let needed = if g.relaxed {
            options.register_relaxed_min_inliers
        } else {
            options.register_min_inliers
        };
        let model = &mut g.built.model;
        for (view, points) in candidates(scene, model, |v| !taken[v]) {
            let (trials, seen) = g.failures[view];
            // More points to see, or a relaxed round: worth another trial.
            let grown = points as f64 > 1.2 * f64::from(seen);
            if points < needed || (trials >= MAX_TRIALS && !grown && !g.relaxed) {
                continue;
            }
            task.check()?;
            let camera = scene.camera_of[view];
            let kept = model.cameras[camera].model;
            let attempt = register(scene, model, view, g.relaxed, trials, options, task);
            if !attempt.registered {
                g.failures[view] = (trials + 1, points as u32);
                self.state.rejected[view] = (attempt.inliers as u32, attempt.matches as u32);
                continue;
            }
            let limits = limits(options);
            let changed = crate::grow_points::triangulate_view(scene, model, view, &limits);
            if model.points_in(view) < needed {
                model.unregister(view);
                model.cameras[camera].model = kept;
                g.failures[view] = (trials + 1, points as u32);
                self.state.rejected[view] = (attempt.inliers as u32, attempt.matches as u32);
                continue;
            }
            let (views, count) = (model.order.len(), model.num_points());
            let due = views as f64 >= options.global_growth * f64::from(g.adjusted_views)
                || count as f64 >= options.global_growth * f64::from(g.adjusted_points);
            if due && views <= options.local_views + 1 {
                // Everything is local.
            } else {
                g.built.iterations += local(scene, model, view, &changed, options, task)? as u64;
                g.built.local_adjustments += 1;
            }
            g.relaxed = false;
            if due {
                Self::adjust_everything(scene, g, options, 1, task)?;
            }
            let now = g.built.model.order.len();
            if now > self.reported {
                self.progress.add((now - self.reported) as u64);
                self.reported = now;
            }
            return Ok(true);
        }
        if !g.relaxed {
            g.relaxed = true;
            Self::adjust_everything(scene, g, options, 2, task)?;
            return Ok(true);
        }
        Ok(false)
    }

    fn adjust_everything(
        scene: &Scene<'_>,
        g: &mut Growing,
        options: &SfmOptions,
        rounds: usize,
        task: &Task,
    ) -> Result<(), Cancelled> {
        let built = &mut g.built;
        if built.model.order.len() == 2 {
            clean_up(scene, &mut built.model, &limits(options));
        }
        built.iterations +=
            crate::refine::global(scene, &mut built.model, options, rounds, task)? as u64;
        built.global_adjustments += 1;
        g.adjusted_views = built.model.order.len() as u32;
        g.adjusted_points = built.model.num_points() as u32;
        Ok(())
    }

    /// Views that matches connect to the model, itself included.
    pub(crate) fn reachable(&self, built: &Built, taken: &[bool]) -> usize {
        let mut reached = vec![false; self.scene.num_views()];
        for &v in &built.model.order {
            reached[v as usize] = true;
        }
        loop {
            let mut grew = false;
            for p in &self.scene.pairs {
                if taken[p.a] || taken[p.b] || p.geometry.inliers.len() < 15 {
                    continue;
                }
                if reached[p.a] != reached[p.b] {
                    reached[p.a] = true;
                    reached[p.b] = true;
                    grew = true;
                }
            }
            if !grew {
                return reached.iter().filter(|r| **r).count();
            }
        }
    }
}
