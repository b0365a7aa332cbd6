//! PatchMatch depth of one view against its sources.
//!
//! Slanted planes, bilateral-weighted NCC, red-black propagation from eight
//! adaptive areas and joint view selection over all hypotheses (ACMH: Xu & Tao,
//! "Multi-Scale Geometric Consistency Guided Multi-View Stereo", CVPR 2019),
//! coarse to fine with geometric consistency against the sources' previous maps
//! (ACMM, same paper), planar priors for weak texture (ACMP: Xu & Tao, "Planar
//! Prior Assisted PatchMatch Multi-View Stereo", AAAI 2020).
//!
//! Inside, a hypothesis is a plane in *inverse depth*, q(x, y) = q₀ + gₓ·Δx +
//! g_y·Δy: linear in the pixel, so that moving a plane to another pixel,
//! interpolating over a triangle and going to a finer level need no division.
//! Sixteen pixels of one colour are worked on together, one per SIMD lane.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`options`], [`stereo_view`] | what enters |
//! | `level`, `packed_image` | the pyramid, laid out for gathers |
//! | `half_field` | hypotheses by colour |
//! | `ncc`, `ncc_avx2`, `ncc_avx512` | the kernel |
//! | `view_choice` | which sources see a pixel |
//! | `judge`, `refinement` | what a plane costs a block; random and perturbed planes |
//! | `propagation`, `offers`, `gather` | one half-iteration; what neighbours offer, side by side |
//! | `triangulated` | planes from sparse points and reliable pixels |
//! | `plane_support` | planes of regions without edges, where maps agree |
//! | `geometric` | agreement with the sources' maps |
//! | `cost_search` | the kernel on its own, for the bench |

#![allow(
    clippy::needless_bitwise_bool,
    reason = "branches between lanes keep loops from vectorising"
)]

#[doc(hidden)]
pub mod cost_search;
mod gather;
mod geometric;
mod half_field;
mod judge;
mod level;
mod ncc;
#[cfg(target_arch = "x86_64")]
mod ncc_avx2;
#[cfg(target_arch = "x86_64")]
mod ncc_avx512;
mod offers;
pub mod options;
mod packed_image;
mod plane_support;
mod propagation;
mod refinement;
pub mod stereo_view;
mod triangulated;
mod view_choice;

pub use options::DepthOptions;
pub use stereo_view::StereoView;

use crate::error::MvsError;
use crate::view_selection::DepthPlan;
use geometric::SourceDepths;
use half_field::{Field, NO_COST};
use level::{Level, inverse_range, project, pyramid};
use ncc::{BilateralWeights, Kernel};
use packed_image::Arena;
use plane_support::plane_support;
use propagation::{Search, Sweep, half_iteration, score_field};
use rayon::prelude::*;
use relievo_scene::{DepthMap, PackedNormal};
use relievo_task::Task;
use std::sync::atomic::AtomicU64;
use triangulated::{Anchor, rasterise_planes, reliable_pixels};
use view_choice::MAX_SOURCES;

/// A depth map, and what it took.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// The map.
    pub map: DepthMap,
    /// Comparisons of a patch of the reference with a source (evaluations of the NCC).
    pub comparisons: u64,
}

impl From<DepthMap> for Estimate {
    fn from(map: DepthMap) -> Self {
        Self {
            map,
            comparisons: 0,
        }
    }
}

/// Depth of `reference` from the photo-consistency with its `sources` (best
/// first; those of `plan.sources` that are at hand; at most
/// [`DepthOptions::max_sources`] and eight are used).
///
/// `seed`: from [`relievo_task::seed()`] with the photo's name (and best the
/// pass, so that passes try different planes); pixels hash it with their
/// position, so the threads never show. Masked pixels stay empty.
/// Without sources or a depth range the map is empty.
pub fn estimate_depth_photometric(
    reference: &StereoView,
    sources: &[&StereoView],
    plan: &DepthPlan,
    options: &DepthOptions,
    seed: u64,
    task: &Task,
) -> Result<Estimate, MvsError> {
    let options = &options.usable();
    let sources = checked(reference, sources, options)?;
    let Some(range) = inverse_range(plan.depth_min, plan.depth_max) else {
        return Ok(DepthMap::new(reference.camera).into());
    };
    if sources.is_empty() || reference.gray.is_empty() {
        return Ok(DepthMap::new(reference.camera).into());
    }
    let comparisons = AtomicU64::new(0);
    let weights = BilateralWeights::new(options.sigma_color, options.sigma_space_px);
    let levels = pyramid(reference, &sources, options.levels);
    let mut field: Option<Field> = None;
    let mut prior: Option<Field> = None;
    let mut iteration = 0;
    for (k, level) in levels.iter().enumerate().rev() {
        let coarsest = k + 1 == levels.len();
        let mut sweep = Sweep {
            level,
            kernel: Kernel::detect(task.isa()),
            weights: &weights,
            options,
            range,
            focal: focal(level),
            prior: prior.as_ref(),
            depths: None,
            seed,
            iteration,
            search: match k {
                _ if coarsest => Search::Wide,
                0 => Search::Nearest,
                _ => Search::Near,
            },
            areas: if k == 0 { options.fine_areas } else { 8 },
            offers: if coarsest { 8 } else { options.fine_offers },
            polish: false,
            comparisons: &comparisons,
        };
        let mut now = if let Some(coarse) = field.take() {
            finer(&coarse, level.width, level.height)
        } else {
            let mut start = flat_start(level, range);
            rasterise_planes(
                &mut start,
                &sparse_anchors(reference, level, plan),
                f64::INFINITY,
                f64::INFINITY,
            );
            score_field(&sweep, &mut start, true);
            start
        };
        let iterations = if k == 0 {
            options.fine_iterations
        } else if coarsest {
            options.coarse_iterations
        } else {
            options.middle_iterations
        };
        for i in 0..iterations {
            task.check()?;
            sweep.polish = k == 0 && i + 1 == iterations;
            sweep.iteration = iteration;
            iterate(&sweep, &mut now);
            iteration += 1;
        }
        if options.planar_prior && k > 0 {
            let next = &levels[k - 1];
            prior = Some(planar_prior(&now, next));
        }
        field = Some(now);
    }
    let finest = &levels[0];
    let map = field.map_or_else(
        || DepthMap::new(reference.camera),
        |f| to_map(reference, finest, &f, None, options),
    );
    Ok(Estimate {
        map,
        comparisons: comparisons.into_inner(),
    })
}

/// What a geometric pass begins with. All maps come from the same, earlier pass, so that
/// the order in which views are done never shows.
#[derive(Clone, Copy, Debug)]
pub struct GeometricPass<'a> {
    /// The reference's map.
    pub previous: &'a DepthMap,
    /// `source_maps[i]` belongs to `sources[i]`.
    pub source_maps: &'a [&'a DepthMap],
    /// No other pass follows: depths are polished to the end.
    pub is_last: bool,
}

/// Refines the map of the pass before under photo-consistency and agreement
/// with the sources' maps of the pass before.
pub fn estimate_depth_geometric(
    reference: &StereoView,
    sources: &[&StereoView],
    pass: GeometricPass<'_>,
    plan: &DepthPlan,
    options: &DepthOptions,
    seed: u64,
    task: &Task,
) -> Result<Estimate, MvsError> {
    let GeometricPass {
        previous,
        source_maps,
        is_last,
    } = pass;
    if sources.len() != source_maps.len() {
        return Err(MvsError::MapCount {
            view: reference.id,
            sources: sources.len(),
            maps: source_maps.len(),
        });
    }
    let options = &options.usable();
    let used = checked(reference, sources, options)?;
    let maps = &source_maps[..used.len()];
    for (view, map) in std::iter::once((reference, previous))
        .chain(used.iter().zip(maps).map(|(view, map)| (*view, *map)))
    {
        let (picture, camera) = (
            (map.depth.width(), map.depth.height()),
            (view.gray.width(), view.gray.height()),
        );
        if picture != camera {
            return Err(MvsError::SizeMismatch {
                view: view.id,
                camera,
                picture,
            });
        }
    }
    let Some(range) = inverse_range(plan.depth_min, plan.depth_max) else {
        return Ok(DepthMap::new(reference.camera).into());
    };
    if used.is_empty() || reference.gray.is_empty() {
        return Ok(DepthMap::new(reference.camera).into());
    }
    let comparisons = AtomicU64::new(0);
    let weights = BilateralWeights::new(options.sigma_color, options.sigma_space_px);
    let levels = pyramid(reference, &used, 1);
    let level = &levels[0];
    let depths = SourceDepths::new(maps);
    let mut field = from_map(level, previous, range);
    let mut sweep = Sweep {
        level,
        kernel: Kernel::detect(task.isa()),
        weights: &weights,
        options,
        range,
        focal: focal(level),
        prior: None,
        depths: Some(&depths),
        seed,
        iteration: 20,
        search: Search::Nearest,
        areas: options.geometric_areas,
        offers: options.geometric_offers,
        polish: false,
        comparisons: &comparisons,
    };
    task.check()?;
    score_field(&sweep, &mut field, false);
    let prior = options
        .planar_prior
        .then(|| plane_support(sweep.kernel, level, &field, &depths, options.plane_reach_px));
    sweep.prior = prior.as_ref();
    for i in 0..options.geometric_iterations {
        task.check()?;
        sweep.iteration = 20 + i;
        sweep.polish = is_last && i + 1 == options.geometric_iterations;
        iterate(&sweep, &mut field);
    }
    let agreeing = depths.agreeing(sweep.kernel, level, &field);
    Ok(Estimate {
        map: to_map(reference, level, &field, Some(&agreeing), options),
        comparisons: comparisons.into_inner(),
    })
}

/// Sizes and models agree; the sources that are used.
fn checked<'a>(
    reference: &StereoView,
    sources: &[&'a StereoView],
    options: &DepthOptions,
) -> Result<Vec<&'a StereoView>, MvsError> {
    reference.check()?;
    let used = &sources[..sources.len().min(options.max_sources).min(MAX_SOURCES)];
    for s in used {
        s.check()?;
    }
    let all = || used.iter().copied().chain([reference]);
    let width = all().map(|v| v.gray.width()).max().unwrap_or(0);
    let height = all().map(|v| v.gray.height()).max().unwrap_or(0);
    if !Arena::fits(used.len(), width, height) {
        return Err(MvsError::TooLarge {
            view: reference.id,
            sources: used.len(),
            width,
            height,
        });
    }
    Ok(used.to_vec())
}

fn focal(level: &Level) -> (f32, f32) {
    let (fx, fy) = level.camera.model.focal_px();
    (fx as f32, fy as f32)
}

/// Red from black, then black from red.
fn iterate(sweep: &Sweep<'_>, field: &mut Field) {
    let [red, black] = &mut field.halves;
    half_iteration(sweep, red, black);
    half_iteration(sweep, black, red);
}

/// Fronto-parallel planes in the middle of the range.
fn flat_start(level: &Level, range: (f32, f32)) -> Field {
    let mut field = Field::new(level.width, level.height);
    for half in &mut field.halves {
        for row in &mut half.rows {
            row.q.fill(0.5 * (range.0 + range.1));
        }
    }
    field
}

fn sparse_anchors(reference: &StereoView, level: &Level, plan: &DepthPlan) -> Vec<Anchor> {
    plan.sparse_in_world
        .iter()
        .filter_map(|p| project(level, &reference.cam_from_world, *p))
        .map(|[x, y, q]| Anchor { x, y, q })
        .filter(|a| a.q > 0.0 && a.q.is_finite())
        .collect()
}

/// Every pixel takes the plane, cost and sources of its parent.
fn finer(coarse: &Field, width: usize, height: usize) -> Field {
    let mut field = Field::new(width, height);
    field.par_pixels(|x, y, row, at| {
        let (parent, from) = coarse.at(
            (x / 2).min(coarse.width - 1),
            (y / 2).min(coarse.height - 1),
        );
        // From the parent's centre to the child's, in parent pixels.
        let dx = (x as f32 + 0.5) * 0.5 - ((x / 2) as f32 + 0.5);
        let dy = (y as f32 + 0.5) * 0.5 - ((y / 2) as f32 + 0.5);
        row.q[at] = parent.q[from] + parent.gx[from] * dx + parent.gy[from] * dy;
        row.gx[at] = 0.5 * parent.gx[from];
        row.gy[at] = 0.5 * parent.gy[from];
        row.cost[at] = parent.cost[from];
        row.chosen[at] = parent.chosen[from];
    });
    field
}

/// ACMP: reliable pixels, one a cell, triangulated; given at the next level.
fn planar_prior(field: &Field, next: &Level) -> Field {
    const CELL_PX: usize = 6;
    const RELIABLE: f32 = 0.15;
    let anchors: Vec<Anchor> = reliable_pixels(field, CELL_PX, RELIABLE)
        .into_iter()
        .map(|a| Anchor {
            x: 2.0 * a.x,
            y: 2.0 * a.y,
            ..a
        })
        .collect();
    let mut prior = Field::new(next.width, next.height);
    let longest = 0.5 * next.width.max(next.height) as f64;
    rasterise_planes(&mut prior, &anchors, longest, 1.5);
    prior
}

fn from_map(level: &Level, map: &DepthMap, range: (f32, f32)) -> Field {
    let mut field = flat_start(level, range);
    let (fx, fy) = focal(level);
    let c = level.camera.model.principal_point_px();
    field.par_pixels(|x, y, row, at| {
        let z = map.depth[(x, y)];
        if !(z > 0.0) {
            return;
        }
        let q = 1.0 / z;
        let n = map.normal[(x, y)].unpack();
        let ray = [
            (x as f32 + 0.5 - c.x as f32) / fx,
            (y as f32 + 0.5 - c.y as f32) / fy,
        ];
        let along = n[0] * ray[0] + n[1] * ray[1] + n[2];
        row.q[at] = q;
        if along < -0.05 {
            row.gx[at] = q * n[0] / (along * fx);
            row.gy[at] = q * n[1] / (along * fy);
        }
    });
    field
}

/// Depth, normal and confidence of every pixel with a hypothesis; `agreeing`:
/// how many sources' maps agree with each.
fn to_map(
    reference: &StereoView,
    level: &Level,
    field: &Field,
    agreeing: Option<&[u8]>,
    options: &DepthOptions,
) -> DepthMap {
    let mut map = DepthMap::new(reference.camera);
    let width = level.width;
    map.depth
        .as_mut_slice()
        .par_chunks_mut(width)
        .zip(map.normal.as_mut_slice().par_chunks_mut(width))
        .zip(map.confidence.as_mut_slice().par_chunks_mut(width))
        .enumerate()
        .for_each(|(y, ((depth, normal), confidence))| {
            for x in 0..width {
                let agreeing = agreeing.map(|counts| counts[y * width + x]);
                if let Some((q, n, c)) = pixel_result(level, field, agreeing, options, x, y) {
                    depth[x] = 1.0 / q;
                    normal[x] = PackedNormal::pack(n);
                    confidence[x] = c;
                }
            }
        });
    map
}

/// Inverse depth, normal and confidence; `None` where nothing is sure.
fn pixel_result(
    level: &Level,
    field: &Field,
    agreeing: Option<u8>,
    options: &DepthOptions,
    x: usize,
    y: usize,
) -> Option<(f32, [f32; 3], u8)> {
    let (fx, fy) = focal(level);
    let c = level.camera.model.principal_point_px();
    let (row, at) = field.at(x, y);
    let (q, cost) = (row.q[at], row.cost[at]);
    if !(q > 0.0) || cost >= NO_COST {
        return None;
    }
    let (px, py) = (x as f32 + 0.5, y as f32 + 0.5);
    let seen = (1.0 - cost).clamp(0.0, 1.0);
    let confidence = match agreeing {
        None => seen,
        Some(n) => seen.max(0.1) * (f32::from(n.min(4)) / 4.0),
    };
    if cost > options.max_cost && agreeing.is_some_and(|n| n < 2) {
        return None;
    }
    let n = [
        -row.gx[at] * fx,
        -row.gy[at] * fy,
        row.gx[at] * (px - c.x as f32) + row.gy[at] * (py - c.y as f32) - q,
    ];
    let norm = (n[0] * n[0] + n[1] * n[1] + n[2] * n[2]).sqrt();
    (norm > 0.0 && norm.is_finite()).then(|| {
        let level = ((confidence * 255.0).round() as u8).max(DepthMap::UNCONFIRMED);
        (q, n.map(|v| v / norm), level)
    })
}
