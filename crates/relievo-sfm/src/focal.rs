//! Focal lengths from the pairs, before there is a model.
//!
//! View graphs are calibrated first, the way GLOMAP does it (Pan et al. 2024, §3.1), here by
//! [`FocalProfile`]. Where no clear minimum shows, what was given or guessed stays and bundle
//! adjustment has to find it.

use crate::SfmOptions;
use crate::focal_profile::FocalProfile;
use crate::scene::{Pair, Scene};
use relievo_geometry::CameraModel;
use relievo_scene::{Camera, CameraId, TwoViewKind};
use relievo_task::{Cancelled, Task, ordered};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Pairs of a camera that are asked.
const ASKED_PAIRS: usize = 60;
/// Ratio of neighbouring focal lengths that are compared.
const STEP: f64 = 1.0625;
/// Steps to each side of what was said of a camera.
const ASIDE: i32 = 9;
/// Steps from what was said under which it stands: nearer, bundle adjustment finds its way, and
/// distortion that was not told bends the profile (by one step in the rendered object).
const FAR: i32 = 2;
/// Least and largest focal length of a camera of which nothing was said, of the longer side.
const PLAUSIBLE: (f64, f64) = (0.4, 4.0);
/// Part of the cost of what was said, or guessed, that must not be left.
const CLEAR: f64 = 0.8;
/// Rounds over all unknown cameras.
const ROUNDS: usize = 3;

/// The cameras whose focal length the pairs contradict, with the one that fits them, no longer
/// counting as known. EXIF may be of another lens or of the picture before it was cropped, and a
/// relative pose under a focal length that is wrong by a third may look the other way.
pub(crate) fn contradicted(
    scene: &Scene<'_>,
    options: &SfmOptions,
    task: &Task,
) -> Result<BTreeMap<CameraId, Camera>, Cancelled> {
    let mut cameras = scene.cameras.clone();
    let mut found = BTreeMap::new();
    let given = |&c: &usize| !options.fix_intrinsics && scene.cameras[c].has_prior_focal;
    let given: Vec<usize> = (0..cameras.len()).filter(given).collect();
    if given.is_empty() {
        return Ok(found);
    }
    let progress = task.progress("focal lengths checked", given.len() as u64);
    for c in given {
        if let Some(part) = contradiction(scene, &cameras, c, task)? {
            cameras[c].model = with_focal(&cameras[c].model, part);
            cameras[c].has_prior_focal = false;
            found.insert(scene.camera_ids[c], cameras[c]);
        }
        progress.add(1);
    }
    Ok(found)
}

/// The focal length that the pairs of camera `c` tell, as a part of that assumed, where it is another.
fn contradiction(
    scene: &Scene<'_>,
    cameras: &[Camera],
    c: usize,
    task: &Task,
) -> Result<Option<f64>, Cancelled> {
    // Of two cameras a pair does not tell which one is not as it was said to be.
    let own = |p: &Pair<'_>| scene.camera_of[p.a] == c && scene.camera_of[p.b] == c;
    let profiles = profiles(scene, cameras, own, task)?;
    let free: f64 = profiles.iter().map(FocalProfile::free_cost).sum();
    if free >= CLEAR * costs(&profiles, c, &[1.0], task)?[0] {
        return Ok(None);
    }
    let found = best(&profiles, c, -ASIDE..=ASIDE, task)?;
    let far = found.filter(|(steps, _)| steps.abs() >= FAR);
    Ok(far.map(|(_, part)| part))
}

/// The starting cameras, with unknown focal lengths estimated, but for those that are `settled`.
pub(crate) fn calibrate(
    scene: &Scene<'_>,
    options: &SfmOptions,
    settled: &BTreeMap<CameraId, Camera>,
    task: &Task,
) -> Result<Vec<Camera>, Cancelled> {
    let mut cameras = scene.cameras.clone();
    let unknown = |&c: &usize| {
        let known = cameras[c].has_prior_focal || settled.contains_key(&scene.camera_ids[c]);
        !options.fix_intrinsics && !known
    };
    let unknown: Vec<usize> = (0..cameras.len()).filter(unknown).collect();
    if unknown.is_empty() {
        return Ok(cameras);
    }
    let rounds = if unknown.len() > 1 { ROUNDS } else { 1 };
    let progress = task.progress("focal lengths estimated", (rounds * unknown.len()) as u64);
    for _ in 0..rounds {
        let mut moved = false;
        for &c in &unknown {
            let of_camera = |p: &Pair<'_>| scene.camera_of[p.a] == c || scene.camera_of[p.b] == c;
            let profiles = profiles(scene, &cameras, of_camera, task)?;
            let side = f64::from(cameras[c].width_px.max(cameras[c].height_px));
            let focal = cameras[c].model.mean_focal_px();
            let steps = |of_side: f64| (of_side * side / focal).ln() / STEP.ln();
            let (least, most) = (steps(PLAUSIBLE.0), steps(PLAUSIBLE.1));
            let range = least.ceil() as i32..=most.floor() as i32;
            if let Some((steps, part)) = best(&profiles, c, range, task)? {
                moved |= steps != 0;
                cameras[c].model = with_focal(&cameras[c].model, part);
            }
            progress.add(1);
        }
        if !moved {
            break;
        }
    }
    Ok(cameras)
}

/// What the pairs leave where the focal length of camera `c` is each of these parts of that assumed.
fn costs(
    profiles: &[FocalProfile],
    c: usize,
    parts: &[f64],
    task: &Task,
) -> Result<Vec<f64>, Cancelled> {
    let of_pair = |p: &FocalProfile| -> Result<Vec<f64>, Cancelled> {
        task.check()?;
        let cost = |&part: &f64| {
            let part = |camera| if camera == c { part } else { 1.0 };
            p.cost(part(p.camera_a), part(p.camera_b))
        };
        let mut costs: Vec<f64> = parts.iter().map(cost).collect();
        bound(&mut costs);
        Ok(costs)
    };
    let all = ordered::try_map(profiles, of_pair)?;
    let sum = |k: usize| all.iter().map(|costs| costs[k]).sum::<f64>();
    Ok((0..parts.len()).map(sum).collect())
}

/// Where no E is found for a pair it costs as much as at its worst elsewhere: a single pair must not
/// forbid a focal length that all others like.
fn bound(costs: &mut [f64]) {
    let finite = costs.iter().copied().filter(|c| c.is_finite());
    let most = finite.fold(0.0, f64::max);
    for cost in costs.iter_mut().filter(|c| !c.is_finite()) {
        *cost = most;
    }
}

/// The focal length of camera `c` that fits the pairs best, as steps and as a part of that assumed,
/// where it is within the range and fits clearly better.
fn best(
    profiles: &[FocalProfile],
    c: usize,
    range: RangeInclusive<i32>,
    task: &Task,
) -> Result<Option<(i32, f64)>, Cancelled> {
    let first = *range.start();
    let parts = range.map(|k| STEP.powi(k));
    let parts: Vec<f64> = std::iter::once(1.0).chain(parts).collect();
    let costs = costs(profiles, c, &parts, task)?;
    let (assumed, costs) = (costs[0], &costs[1..]);
    let clear = minimum(costs).filter(|&(least, _)| costs[least] <= CLEAR * assumed);
    Ok(clear.map(|(least, offset)| {
        let steps = least as i32 + first;
        (steps, STEP.powf(f64::from(steps) + offset))
    }))
}

/// The least of costs at equal steps, and how far from it the minimum lies, in steps; none at an end.
fn minimum(costs: &[f64]) -> Option<(usize, f64)> {
    let least = (0..costs.len()).min_by(|&p, &q| costs[p].total_cmp(&costs[q]))?;
    if least == 0 || least + 1 == costs.len() {
        return None;
    }
    // Parabola through the minimum and its neighbours, in log f.
    let (l, m, r) = (costs[least - 1], costs[least], costs[least + 1]);
    let bend = l - 2.0 * m + r;
    let offset = if bend > 0.0 && bend.is_finite() {
        (0.5 * (l - r) / bend).clamp(-0.5, 0.5)
    } else {
        0.0
    };
    Some((least, offset))
}

/// Those of the `wanted` pairs that tell most.
fn profiles<'a>(
    scene: &Scene<'a>,
    cameras: &[Camera],
    wanted: impl Fn(&Pair<'a>) -> bool,
    task: &Task,
) -> Result<Vec<FocalProfile>, Cancelled> {
    let mut pairs: Vec<&Pair<'_>> = scene
        .pairs
        .iter()
        .filter(|p| wanted(p))
        .filter(|p| p.geometry.kind != TwoViewKind::PureRotation)
        .collect();
    pairs.sort_by_key(|p| (std::cmp::Reverse(p.geometry.inliers.len()), p.a, p.b));
    pairs.truncate(ASKED_PAIRS);
    let of_pair = |p: &&Pair<'_>| -> Result<Option<FocalProfile>, Cancelled> {
        task.check()?;
        Ok(FocalProfile::new(scene, cameras, p))
    };
    let all = ordered::try_map(&pairs, of_pair)?;
    Ok(all.into_iter().flatten().collect())
}

fn with_focal(camera: &CameraModel, factor: f64) -> CameraModel {
    let kind = camera.kind();
    let mut params = camera.params();
    for (value, name) in params.iter_mut().zip(kind.param_names()) {
        if name.starts_with('f') {
            *value *= factor;
        }
    }
    CameraModel::from_params(kind, &params).unwrap_or(*camera)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_without_an_e_at_some_steps_forbids_none() {
        let mut some = [3.0, f64::INFINITY, 1.0, f64::INFINITY, 2.0];
        bound(&mut some);
        assert_eq!(some, [3.0, 3.0, 1.0, 3.0, 2.0]);
        let mut none = [f64::INFINITY; 2];
        bound(&mut none);
        assert_eq!(none, [0.0; 2]);
    }

    #[test]
    fn the_minimum_lies_between_steps_where_its_neighbours_are_finite() {
        assert_eq!(minimum(&[9.0, 4.0, 1.0, 4.0]), Some((2, 0.0)));
        let (least, offset) = minimum(&[4.0, 1.0, 2.0]).expect("a minimum");
        assert!(least == 1 && offset > 0.2 && offset < 0.3, "{offset}");
        for beside in [[f64::INFINITY, 4.0], [4.0, f64::INFINITY]] {
            assert_eq!(minimum(&[beside[0], 1.0, beside[1]]), Some((1, 0.0)));
        }
        assert_eq!(minimum(&[1.0, 2.0, 3.0]), None);
        assert_eq!(minimum(&[]), None);
    }
}
