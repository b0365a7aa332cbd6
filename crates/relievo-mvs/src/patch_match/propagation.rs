//! One red-black half-iteration: adaptive checkerboard propagation, joint view
//! selection, refinement.

use super::gather::Gather;
use super::geometric::SourceDepths;
use super::half_field::{
    F, Field, HalfField, LANES, NO_COST, Planes, ROW_PAD, Row, U, each, load, parity,
};
use super::judge::{LEAST_PULL, Pixels, admissible, judge};
use super::level::Level;
use super::ncc::{BilateralWeights, Kernel, LaneWork, Patch};
use super::offers::{MAX_AREAS, distinct, neighbour_planes, shift};
use super::options::DepthOptions;
use super::refinement::{Step, refine};
use super::view_choice::{Choice, CostMatrix, MAX_HYPOTHESES, MAX_SOURCES, choose_sources};
use rayon::prelude::*;
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// How far refinement looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Search {
    /// Anywhere in the depth range, and near.
    Wide,
    /// Around the present plane.
    Near,
    /// Hardly: neighbours offer better planes than random steps are.
    Nearest,
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
    /// Comparisons of a pixel's patch with a source.
    pub(crate) comparisons: &'a AtomicU64,
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
            compared: Cell::new(0),
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
                        score(self.sweep, &at, row, random, &mut scratch);
                    }
                }
            }
        }
        let comparisons = scratch.compared.get() * LANES as u64;
        self.sweep
            .comparisons
            .fetch_add(comparisons, Ordering::Relaxed);
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
    compared: Cell<u64>,
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
        compared,
    } = scratch;
    patch.load(sweep.kernel, &level.image, block.x, block.y, sweep.weights);
    let pixels = Pixels::new(sweep, block, patch, compared);

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

/// One block of [`score_field`].
#[inline(always)]
fn score(sweep: &Sweep<'_>, block: &Block, row: &mut Row, random: bool, scratch: &mut Scratch) {
    let Scratch {
        patch, compared, ..
    } = scratch;
    let level = sweep.level;
    let sources = level.sources.len().min(MAX_SOURCES);
    let keep = sweep.options.views_per_pixel.clamp(1, sources.max(1));
    patch.load(sweep.kernel, &level.image, block.x, block.y, sweep.weights);
    let pixels = Pixels::new(sweep, block, patch, compared);
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
