//! One red-black half-iteration: adaptive checkerboard propagation, joint view
//! selection, refinement.

use super::gather::Gather;
use super::geometric::SourceDepths;
use super::half_field::{
    F, Field, HalfField, I, LANES, NO_COST, Planes, ROW_PAD, Row, U, each, load, parity,
};
use super::level::{LaneSources, Level};
use super::ncc::{BilateralWeights, Kernel, LaneWork, Patch, ncc_cost};
use super::offers::{MAX_AREAS, distinct, neighbour_planes, shift};
use super::options::DepthOptions;
use super::view_choice::{
    Choice, CostMatrix, MAX_HYPOTHESES, MAX_SOURCES, choose_sources, fast_exp,
};
use rayon::prelude::*;

/// How far refinement looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Search {
    /// Anywhere in the depth range, and near.
    Wide,
    /// Around the present plane.
    Near,
}

/// What a half-iteration needs to know.
pub(crate) struct Sweep<'a> {
    pub(crate) level: &'a Level,
    pub(crate) kernel: Kernel,
    pub(crate) weights: &'a BilateralWeights,
    pub(crate) options: &'a DepthOptions,
    /// Least and greatest inverse depth.
    pub(crate) range: (f32, f32),
    pub(crate) focal: (f32, f32),
    /// Planes that weak texture should follow; q = 0 where there is none. A
    /// negative cost is a pull that holds whatever the texture.
    pub(crate) prior: Option<&'a Field>,
    /// Maps of the pass before.
    pub(crate) depths: Option<&'a SourceDepths>,
    pub(crate) seed: u64,
    /// Counts over all levels; enters the random numbers.
    pub(crate) iteration: usize,
    pub(crate) search: Search,
    /// Propagation areas: 8, or the four near ones.
    pub(crate) areas: usize,
    /// Most different offers that are tried, least cost first.
    pub(crate) offers: usize,
    /// Ends with a parabola through three costs.
    pub(crate) polish: bool,
}

/// Most rows given to one task. Its blocks go down column by column, so that
/// what they see of the sources stays in the cache.
const BAND: usize = 32;

/// Rows of a task: few enough to keep many threads busy to the end.
fn band_rows(rows: usize) -> usize {
    (rows / 32).clamp(4, BAND)
}

/// Updates `own` from itself and the other colour.
pub(crate) fn half_iteration(sweep: &Sweep<'_>, own: &mut HalfField, other: &HalfField) {
    let (colour, blocks) = (own.colour, own.blocks);
    let height = band_rows(own.rows.len());
    own.rows
        .par_chunks_mut(height)
        .enumerate()
        .for_each(|(band, rows)| {
            sweep.kernel.run(Band {
                sweep,
                colour,
                blocks,
                first_row: band * height,
                rows,
                job: Job::Update { other },
            });
        });
}

/// Scores the present planes of both colours by their `keep` best sources and
/// notes those as chosen; where `random`, a random plane competes, else the
/// costs by source are kept for the first iteration.
pub(crate) fn score_field(sweep: &Sweep<'_>, field: &mut Field, random: bool) {
    for half in &mut field.halves {
        let (colour, blocks) = (half.colour, half.blocks);
        let height = band_rows(half.rows.len());
        half.rows
            .par_chunks_mut(height)
            .enumerate()
            .for_each(|(band, rows)| {
                sweep.kernel.run(Band {
                    sweep,
                    colour,
                    blocks,
                    first_row: band * height,
                    rows,
                    job: Job::Score { random },
                });
            });
    }
}

/// What is done to a band of rows.
#[derive(Clone, Copy)]
enum Job<'a> {
    Update { other: &'a HalfField },
    Score { random: bool },
}

/// A few rows of one colour.
struct Band<'a> {
    sweep: &'a Sweep<'a>,
    colour: usize,
    blocks: usize,
    first_row: usize,
    rows: &'a mut [Row],
    job: Job<'a>,
}

impl LaneWork for Band<'_> {
    #[inline(always)]
    fn run(self) {
        let mut scratch = Scratch {
            patch: Patch::ZERO,
            gathered: Patch::ZERO,
            photo: [[[0.0; LANES]; MAX_SOURCES]; MAX_HYPOTHESES],
            geometric: [[[0.0; LANES]; MAX_SOURCES]; MAX_HYPOTHESES],
        };
        let sources = self.sweep.level.sources.len().min(MAX_SOURCES);
        if let Job::Score { random: false } = self.job {
            for row in self.rows.iter_mut() {
                row.by_source = vec![[[0.0; LANES]; 2]; self.blocks * sources];
            }
        }
        for block in 0..self.blocks {
            for (k, row) in self.rows.iter_mut().enumerate() {
                let y = self.first_row + k;
                let Some(at) = Block::new(self.sweep, self.colour, y, block) else {
                    continue;
                };
                match self.job {
                    Job::Update { other } => update(self.sweep, &at, row, other, &mut scratch),
                    Job::Score { random } => {
                        score(self.sweep, &at, row, random, &mut scratch.patch);
                    }
                }
            }
        }
        if let Job::Update { .. } = self.job {
            for row in self.rows.iter_mut() {
                row.by_source = Vec::new();
            }
        }
    }
}

/// What a block is worked on in.
struct Scratch {
    patch: Patch,
    /// Patches of the lanes of a [`Gather`].
    gathered: Patch,
    photo: CostMatrix,
    geometric: CostMatrix,
}

/// 16 pixels of one colour in one row.
pub(crate) struct Block {
    pub(crate) x: usize,
    pub(crate) y: usize,
    /// Entry in the row.
    pub(crate) at: usize,
    pub(crate) active: [bool; LANES],
}

impl Block {
    /// Its place in `by_source`.
    #[inline(always)]
    fn costs_at(&self, sources: usize) -> usize {
        (self.at - ROW_PAD) / LANES * sources
    }

    /// `None` where no pixel is to be estimated.
    #[inline(always)]
    fn new(sweep: &Sweep<'_>, colour: usize, y: usize, block: usize) -> Option<Self> {
        let level = sweep.level;
        let x = parity(colour, y) + block * 2 * LANES;
        let mut active = [false; LANES];
        for l in 0..LANES {
            let px = x + 2 * l;
            active[l] =
                px < level.width && level.valid.as_ref().is_none_or(|mask| mask[(px, y)] != 0);
        }
        active.iter().any(|a| *a).then_some(Self {
            x,
            y,
            at: ROW_PAD + block * LANES,
            active,
        })
    }
}

/// True where a plane is in range and not seen edge-on.
#[inline(always)]
fn admissible(sweep: &Sweep<'_>, p: &Planes) -> [bool; LANES] {
    /// tan 80°
    const STEEPEST: f32 = 5.67;
    let mut ok = [false; LANES];
    for l in 0..LANES {
        let limit = STEEPEST * p.q[l];
        ok[l] = (p.q[l] >= sweep.range.0)
            & (p.q[l] <= sweep.range.1)
            & ((p.gx[l] * sweep.focal.0).abs() <= limit)
            & ((p.gy[l] * sweep.focal.1).abs() <= limit);
    }
    ok
}

/// 16 pixels of one row whose planes are scored.
#[derive(Clone, Copy)]
struct Pixels<'a> {
    sweep: &'a Sweep<'a>,
    patch: &'a Patch,
    /// Centres.
    px: F,
    py: f32,
}

impl<'a> Pixels<'a> {
    /// Those of `block`, whose patches are in `patch`.
    #[inline(always)]
    fn new(sweep: &'a Sweep<'a>, block: &Block, patch: &'a Patch) -> Self {
        Self {
            sweep,
            patch,
            px: each(|l| (block.x + 2 * l) as f32 + 0.5),
            py: block.y as f32 + 0.5,
        }
    }

    /// All looking into the same source.
    #[inline(always)]
    fn toward(&self, source_idx: usize) -> LaneSources {
        LaneSources::uniform(self.sweep.level, &self.px, self.py, source_idx)
    }

    /// (1 − NCC, weighted geometric error) in the sources of `lanes`.
    #[inline(always)]
    fn costs(&self, planes: &Planes, lanes: &LaneSources, source_idx: &I) -> (F, F) {
        let mut warp = lanes.warp(planes);
        self.sweep.level.drop_masked(source_idx, &mut warp);
        let photo = ncc_cost(
            self.sweep.kernel,
            self.patch,
            &warp,
            &lanes.target,
            &self.sweep.level.arena,
            self.sweep.options.noise * self.sweep.options.noise,
        );
        let geometric = match self.sweep.depths {
            Some(depths) => {
                let mut g = depths.errors(
                    self.sweep.kernel,
                    lanes,
                    &warp,
                    source_idx,
                    (&self.px, self.py),
                );
                for v in &mut g {
                    *v = self.sweep.options.geometric_weight
                        * v.min(self.sweep.options.geometric_limit_px);
                }
                g
            }
            None => [0.0; LANES],
        };
        (photo, geometric)
    }
}

/// What a block's pixels pay for a plane.
struct Judge<'a> {
    sweep: &'a Sweep<'a>,
    pixels: Pixels<'a>,
    /// Pull of the prior, 0 where texture decides.
    prior: Planes,
    prior_pull: F,
    prior_width: F,
}

impl Judge<'_> {
    /// What the prior takes off the cost of a plane near to it.
    #[inline(always)]
    fn bonus(&self, planes: &Planes) -> F {
        let mut out = [0.0; LANES];
        for l in 0..LANES {
            let dq = (planes.q[l] - self.prior.q[l]) * self.prior_width[l];
            let s = 5.0 / self.prior.q[l].max(1e-12);
            let (fx, fy) = self.sweep.focal;
            let sx = (planes.gx[l] - self.prior.gx[l]) * fx * s;
            let sy = (planes.gy[l] - self.prior.gy[l]) * fy * s;
            out[l] = self.prior_pull[l] * fast_exp(-0.5 * (dq * dq + sx * sx + sy * sy));
        }
        out
    }
}

/// Grey-level variance at which a planar prior has half its pull.
const WEAK_VARIANCE: f32 = 12.0;
/// What a prior takes off the cost where there is no texture at all.
const PRIOR_PULL: f32 = 0.3;
/// A prior that takes off less than this is not tried.
const LEAST_PULL: f32 = 0.03;

#[inline(always)]
fn judge<'a>(
    sweep: &'a Sweep<'a>,
    block: &Block,
    pixels: Pixels<'a>,
    first: &LaneSources,
) -> Judge<'a> {
    let mut out = Judge {
        sweep,
        pixels,
        prior: Planes::ZERO,
        prior_pull: [0.0; LANES],
        prior_width: [0.0; LANES],
    };
    if let Some(prior) = sweep.prior {
        let colour = (block.x + block.y) & 1;
        out.prior = prior.halves[colour].rows[block.y].planes(block.at);
        let given: F = load(&prior.halves[colour].rows[block.y].cost, block.at);
        let per_px = first.inverse_depth_per_px(&out.prior.q);
        for l in 0..LANES {
            let has = out.prior.q[l] > 0.0 && per_px[l] > 0.0;
            out.prior_width[l] = if has { 0.5 / per_px[l] } else { 0.0 };
            let by_texture = PRIOR_PULL / (1.0 + pixels.patch.variance[l] / WEAK_VARIANCE);
            let pull = if given[l] < 0.0 {
                -given[l]
            } else {
                by_texture
            };
            out.prior_pull[l] = if has { pull } else { 0.0 };
        }
    }
    out
}

#[inline(always)]
fn neighbour_choices(block: &Block, colour: usize, other: &HalfField) -> [U; 4] {
    let mut out = [[0; LANES]; 4];
    for (n, (dx, dy)) in [(0, -1), (0, 1), (-1, 0), (1, 0)].into_iter().enumerate() {
        let y = block.y as isize + dy as isize;
        if y >= 0 && y < other.rows.len() as isize {
            let at = block.at.wrapping_add_signed(shift(colour, block.y, dx, dy));
            out[n] = load(&other.rows[y as usize].chosen, at);
        }
    }
    out
}

/// One block of a half-iteration.
#[inline(always)]
fn update(
    sweep: &Sweep<'_>,
    block: &Block,
    row: &mut Row,
    other: &HalfField,
    scratch: &mut Scratch,
) {
    let level = sweep.level;
    let colour = (block.x + block.y) & 1;
    let sources = level.sources.len().min(MAX_SOURCES);
    let Scratch {
        patch,
        gathered,
        photo,
        geometric,
    } = scratch;
    patch.load(&level.image, block.x, block.y, sweep.weights);
    let pixels = Pixels::new(sweep, block, patch);

    let present = row.planes(block.at);
    let first = pixels.toward(0);
    let judge = judge(sweep, block, pixels, &first);
    if sweep.depths.is_some() && converged(sweep, block, row) {
        let (mut best, mut best_cost) = (present, load(&row.cost, block.at));
        let chosen: U = load(&row.chosen, block.at);
        let choice = Choice::equal(&chosen, sources);
        refine(sweep, block, &judge, &choice, &mut best, &mut best_cost);
        row.store(block.at, &best, &best_cost, &chosen);
        return;
    }
    let mut offers = [Planes::ZERO; MAX_AREAS];
    let areas = neighbour_planes(block, colour, other, sweep.areas, &mut offers);
    let per_px = first.inverse_depth_per_px(&present.q);
    let mut tried = distinct(block, &present, &offers[..areas], sweep.offers, &per_px);
    // Where all 16 pixels have texture, they need no prior.
    if judge.prior_pull.iter().any(|p| *p > LEAST_PULL) {
        tried.planes[tried.count] = judge.prior;
        tried.times[tried.count] = each(|l| if judge.prior_pull[l] > 0.0 { 1.0 } else { 0.0 });
        tried.count += 1;
    }

    for v in 0..sources {
        let known = row.by_source.get(block.costs_at(sources) + v);
        (photo[0][v], geometric[0][v]) = if let Some(&[p, g]) = known {
            (p, g)
        } else {
            pixels.costs(&present, &pixels.toward(v), &[v as i32; LANES])
        };
        // A lane with fewer hypotheses has its present one again.
        for h in 1..tried.count {
            (photo[h][v], geometric[h][v]) = (photo[0][v], geometric[0][v]);
        }
    }
    for gather in Gather::all(&tried) {
        let planes = gather.planes(sweep.kernel, &tried.planes);
        gather.patches(sweep.kernel, patch, gathered);
        let lanes = Pixels {
            patch: gathered,
            px: gather.values(sweep.kernel, &pixels.px),
            ..pixels
        };
        for v in 0..sources {
            let (p, g) = lanes.costs(&planes, &lanes.toward(v), &[v as i32; LANES]);
            gather.scatter(sweep.kernel, &p, v, photo);
            if sweep.depths.is_some() {
                gather.scatter(sweep.kernel, &g, v, geometric);
            }
        }
    }
    let choice = choose_sources(
        photo,
        &tried.times,
        tried.count,
        &neighbour_choices(block, colour, other),
        sources,
        sweep.options.views_per_pixel,
        sweep.iteration,
    );

    // The present plane comes first and stays unless another is better.
    let mut best = present;
    let mut best_cost = [NO_COST; LANES];
    for h in 0..tried.count {
        let ok = admissible(sweep, &tried.planes[h]);
        let bonus = judge.bonus(&tried.planes[h]);
        let mut cost = [0.0; LANES];
        for v in 0..sources {
            for l in 0..LANES {
                cost[l] += choice.weight[v][l] * (photo[h][v][l] + geometric[h][v][l]);
            }
        }
        let mut take = [false; LANES];
        for l in 0..LANES {
            let c = cost[l] - bonus[l];
            take[l] = ok[l] & (c < best_cost[l]);
            best_cost[l] = if take[l] { c } else { best_cost[l] };
        }
        best.replace(&take, &tried.planes[h]);
    }
    refine(sweep, block, &judge, &choice, &mut best, &mut best_cost);
    for l in 0..LANES {
        if !block.active[l] {
            best_cost[l] = NO_COST;
        }
    }
    row.store(block.at, &best, &best_cost, &choice.chosen);
}

/// True where all 16 pixels are as good as propagation can make them; they are
/// refined only.
#[inline(always)]
fn converged(sweep: &Sweep<'_>, block: &Block, row: &Row) -> bool {
    let cost: F = load(&row.cost, block.at);
    let mut all = true;
    for l in 0..LANES {
        all &= block.active[l] & (cost[l] < sweep.options.converged_cost);
    }
    all
}

/// The chosen sources of 16 pixels.
struct Bench<'a> {
    judge: &'a Judge<'a>,
    choice: &'a Choice,
    lanes: &'a [LaneSources],
}

impl Bench<'_> {
    /// Weighted cost over the chosen sources; no more of it than shows that no
    /// lane comes below `limit`.
    #[inline(always)]
    fn total(&self, planes: &Planes, limit: &F) -> F {
        let bonus = self.judge.bonus(planes);
        let mut cost: F = each(|l| -bonus[l]);
        for (k, lane) in self.lanes.iter().enumerate() {
            let mut below = false;
            for l in 0..LANES {
                below |= cost[l] < limit[l];
            }
            if !below {
                break;
            }
            let (photo, geometric) = self.judge.pixels.costs(planes, lane, &self.choice.slots[k]);
            for l in 0..LANES {
                cost[l] += self.choice.slot_weight[k][l] * (photo[l] + geometric[l]);
            }
        }
        let ok = admissible(self.judge.sweep, planes);
        for l in 0..LANES {
            cost[l] = if ok[l] { cost[l] } else { NO_COST };
        }
        cost
    }
}

/// Random and perturbed planes in the chosen sources only.
#[inline(always)]
fn refine(
    sweep: &Sweep<'_>,
    block: &Block,
    judge: &Judge<'_>,
    choice: &Choice,
    best: &mut Planes,
    best_cost: &mut F,
) {
    let keep = sweep
        .options
        .views_per_pixel
        .min(sweep.level.sources.len())
        .min(MAX_SOURCES);
    let mut lanes = Vec::with_capacity(MAX_SOURCES);
    for k in 0..keep {
        lanes.push(LaneSources::new(
            sweep.level,
            sweep.kernel,
            block.x,
            block.y,
            &choice.slots[k],
        ));
    }
    let Some(first) = lanes.first() else { return };
    let bench = Bench {
        judge,
        choice,
        lanes: &lanes,
    };
    let steps: &[Step] = match sweep.search {
        Search::Wide => &[
            Step::Random,
            Step::RandomDepth,
            Step::Near(2.0, 0.0),
            Step::Near(0.0, 0.5),
            Step::Near(0.5, 0.2),
        ],
        Search::Near => &[
            Step::Near(0.7, 0.0),
            Step::Near(0.0, 0.4),
            Step::Near(0.25, 0.15),
            Step::Near(0.1, 0.05),
        ],
    };
    for (k, step) in steps.iter().enumerate() {
        let per_px = first.inverse_depth_per_px(&best.q);
        let candidate = step.apply(sweep, block, k, best, &per_px);
        let cost = bench.total(&candidate, best_cost);
        let mut take = [false; LANES];
        for l in 0..LANES {
            take[l] = cost[l] < best_cost[l];
            best_cost[l] = if take[l] { cost[l] } else { best_cost[l] };
        }
        best.replace(&take, &candidate);
    }
    if sweep.polish {
        polish(first, best, best_cost, &bench);
    }
}

/// The vertex of the parabola through the costs at ± 0.3 px of disparity.
#[inline(always)]
fn polish(first: &LaneSources, best: &mut Planes, best_cost: &mut F, bench: &Bench<'_>) {
    const STEP_PX: f32 = 0.3;
    const ALL: F = [f32::MAX; LANES];
    let per_px = first.inverse_depth_per_px(&best.q);
    let moved = |by: &F| {
        let mut p = *best;
        for l in 0..LANES {
            p.q[l] += by[l] * STEP_PX * per_px[l];
        }
        p
    };
    let minus = bench.total(&moved(&[-1.0; LANES]), &ALL);
    let plus = bench.total(&moved(&[1.0; LANES]), &ALL);
    let mut vertex = [0.0; LANES];
    for l in 0..LANES {
        let bend = minus[l] + plus[l] - 2.0 * best_cost[l];
        let at = 0.5 * (minus[l] - plus[l]) / bend;
        vertex[l] = if bend > 1e-6 {
            at.clamp(-1.0, 1.0)
        } else {
            0.0
        };
    }
    let candidate = moved(&vertex);
    let cost = bench.total(&candidate, best_cost);
    let mut take = [false; LANES];
    for l in 0..LANES {
        take[l] = cost[l] < best_cost[l];
        best_cost[l] = if take[l] { cost[l] } else { best_cost[l] };
    }
    best.replace(&take, &candidate);
}

/// A new plane from the present one.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Depth and slope anew.
    Random,
    /// Depth anew.
    RandomDepth,
    /// Within so many pixels of disparity, and so much slope.
    Near(f32, f32),
}

impl Step {
    #[inline(always)]
    fn apply(self, sweep: &Sweep<'_>, block: &Block, k: usize, now: &Planes, per_px: &F) -> Planes {
        let salt = (sweep.iteration * 8 + k) as u32;
        let [a, b, c] = random(sweep.seed, block.x, block.y, salt);
        let (fx, fy) = sweep.focal;
        let mut out = Planes::ZERO;
        for l in 0..LANES {
            let anywhere = sweep.range.0 + (0.5 + 0.5 * a[l]) * (sweep.range.1 - sweep.range.0);
            let (q, slope, fresh) = match self {
                Self::Random => (anywhere, 0.0, true),
                Self::RandomDepth => (anywhere, 0.0, false),
                Self::Near(px, slope) => (now.q[l] + a[l] * px * per_px[l], slope, false),
            };
            // The same normal at another depth.
            let scale = if fresh { 0.0 } else { q / now.q[l].max(1e-12) };
            let spread = if fresh { 1.5 } else { slope };
            out.q[l] = q;
            out.gx[l] = now.gx[l] * scale + q * spread * b[l] / fx;
            out.gy[l] = now.gy[l] * scale + q * spread * c[l] / fy;
        }
        out
    }
}

/// Three numbers in −1 … 1 per pixel, by what is computed and never by whom.
#[inline(always)]
fn random(seed: u64, x: usize, y: usize, salt: u32) -> [F; 3] {
    let mut out = [[0.0; LANES]; 3];
    let start = (seed as u32)
        ^ ((seed >> 32) as u32).rotate_left(16)
        ^ salt.wrapping_mul(0xC2B2_AE3D)
        ^ (y as u32).wrapping_mul(0x85EB_CA77);
    for (k, values) in out.iter_mut().enumerate() {
        for l in 0..LANES {
            let mut h = start
                .wrapping_add(((x + 2 * l) as u32).wrapping_mul(0x9E37_79B1))
                .wrapping_add((k as u32).wrapping_mul(0x27D4_EB2F));
            h ^= h >> 16;
            h = h.wrapping_mul(0x7FEB_352D);
            h ^= h >> 15;
            h = h.wrapping_mul(0x846C_A68B);
            h ^= h >> 16;
            values[l] = (h >> 8) as f32 * (2.0 / 16_777_216.0) - 1.0;
        }
    }
    out
}

/// One block of [`score_field`].
#[inline(always)]
fn score(sweep: &Sweep<'_>, block: &Block, row: &mut Row, random: bool, patch: &mut Patch) {
    let level = sweep.level;
    let sources = level.sources.len().min(MAX_SOURCES);
    let keep = sweep.options.views_per_pixel.clamp(1, sources.max(1));
    patch.load(&level.image, block.x, block.y, sweep.weights);
    let pixels = Pixels::new(sweep, block, patch);
    let judge = judge(sweep, block, pixels, &pixels.toward(0));
    let now = row.planes(block.at);
    let mut best = now;
    let mut best_cost = [NO_COST; LANES];
    let mut best_chosen = [0_u32; LANES];
    for k in 0..=usize::from(random) {
        let candidate = if k == 0 {
            now
        } else {
            Step::Random.apply(sweep, block, 7, &now, &[0.0; LANES])
        };
        let mut costs = [[2.0_f32; LANES]; MAX_SOURCES];
        for v in 0..sources {
            let idx = [v as i32; LANES];
            let (photo, geometric) = pixels.costs(&candidate, &pixels.toward(v), &idx);
            for l in 0..LANES {
                costs[v][l] = photo[l] + geometric[l];
            }
            if !random {
                row.by_source[block.costs_at(sources) + v] = [photo, geometric];
            }
        }
        let ok = admissible(sweep, &candidate);
        let bonus = judge.bonus(&candidate);
        let mut sum: F = each(|l| -bonus[l]);
        let mut chosen = [0_u32; LANES];
        for _ in 0..keep {
            let mut least = [f32::MAX; LANES];
            let mut which = [1_u32; LANES];
            for v in 0..sources {
                let bit = 1_u32 << v;
                for l in 0..LANES {
                    let take = (chosen[l] & bit == 0) & (costs[v][l] < least[l]);
                    least[l] = if take { costs[v][l] } else { least[l] };
                    which[l] = if take { bit } else { which[l] };
                }
            }
            for l in 0..LANES {
                chosen[l] |= which[l];
                sum[l] += least[l] / keep as f32;
            }
        }
        let mut take = [false; LANES];
        for l in 0..LANES {
            take[l] = ok[l] & (sum[l] < best_cost[l]);
            best_cost[l] = if take[l] { sum[l] } else { best_cost[l] };
            best_chosen[l] = if take[l] { chosen[l] } else { best_chosen[l] };
        }
        best.replace(&take, &candidate);
    }
    for l in 0..LANES {
        if !block.active[l] {
            best_cost[l] = NO_COST;
        }
    }
    row.store(block.at, &best, &best_cost, &best_chosen);
}
