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
use relievo_task::ordered;
use std::collections::BTreeMap;

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
pub(crate) fn contradicted(scene: &Scene<'_>, options: &SfmOptions) -> BTreeMap<CameraId, Camera> {
    let mut cameras = scene.cameras.clone();
    let mut found = BTreeMap::new();
    if options.fix_intrinsics {
        return found;
    }
    for c in (0..cameras.len()).filter(|&c| scene.cameras[c].has_prior_focal) {
        // Of two cameras a pair does not tell which one is not as it was said to be.
        let own = |p: &Pair<'_>| scene.camera_of[p.a] == c && scene.camera_of[p.b] == c;
        let profiles = profiles(scene, &cameras, own);
        let free: f64 = profiles.iter().map(FocalProfile::free_cost).sum();
        if free >= CLEAR * cost(&profiles, c, 1.0) {
            continue;
        }
        let Some((steps, part)) = best(&profiles, c, -ASIDE..=ASIDE) else {
            continue;
        };
        if steps.abs() >= FAR {
            cameras[c].model = with_focal(&cameras[c].model, part);
            cameras[c].has_prior_focal = false;
            found.insert(scene.camera_ids[c], cameras[c]);
        }
    }
    found
}

/// The starting cameras, with unknown focal lengths estimated, but for those that are `settled`.
pub(crate) fn calibrate(
    scene: &Scene<'_>,
    options: &SfmOptions,
    settled: &BTreeMap<CameraId, Camera>,
) -> Vec<Camera> {
    let mut cameras = scene.cameras.clone();
    let unknown = |&c: &usize| {
        let known = cameras[c].has_prior_focal || settled.contains_key(&scene.camera_ids[c]);
        !options.fix_intrinsics && !known
    };
    let unknown: Vec<usize> = (0..cameras.len()).filter(unknown).collect();
    for _ in 0..if unknown.len() > 1 { ROUNDS } else { 1 } {
        let mut moved = false;
        for &c in &unknown {
            let of_camera = |p: &Pair<'_>| scene.camera_of[p.a] == c || scene.camera_of[p.b] == c;
            let profiles = profiles(scene, &cameras, of_camera);
            let side = f64::from(cameras[c].width_px.max(cameras[c].height_px));
            let focal = cameras[c].model.mean_focal_px();
            let steps = |of_side: f64| (of_side * side / focal).ln() / STEP.ln();
            let (least, most) = (steps(PLAUSIBLE.0), steps(PLAUSIBLE.1));
            let range = least.ceil() as i32..=most.floor() as i32;
            if let Some((steps, part)) = best(&profiles, c, range) {
                moved |= steps != 0;
                cameras[c].model = with_focal(&cameras[c].model, part);
            }
        }
        if !moved {
            break;
        }
    }
    cameras
}

/// What the pairs leave where the focal length of camera `c` is this part of that assumed.
fn cost(profiles: &[FocalProfile], c: usize, part: f64) -> f64 {
    let of_pair = |p: &FocalProfile| {
        let part = |camera| if camera == c { part } else { 1.0 };
        p.cost(part(p.camera_a), part(p.camera_b))
    };
    ordered::map(profiles, of_pair).iter().sum()
}

/// The focal length of camera `c` that fits the pairs best, as steps and as a part of that assumed,
/// where it is within the range and fits clearly better.
fn best(
    profiles: &[FocalProfile],
    c: usize,
    range: std::ops::RangeInclusive<i32>,
) -> Option<(i32, f64)> {
    let first = *range.start();
    let costs: Vec<f64> = range.map(|k| cost(profiles, c, STEP.powi(k))).collect();
    let least = (0..costs.len()).min_by(|&p, &q| costs[p].total_cmp(&costs[q]))?;
    if least == 0 || least + 1 == costs.len() || costs[least] > CLEAR * cost(profiles, c, 1.0) {
        return None;
    }
    // Parabola through the minimum and its neighbours, in log f.
    let (l, m, r) = (costs[least - 1], costs[least], costs[least + 1]);
    let bend = l - 2.0 * m + r;
    let offset = if bend > 0.0 {
        (0.5 * (l - r) / bend).clamp(-0.5, 0.5)
    } else {
        0.0
    };
    let steps = least as i32 + first;
    Some((steps, STEP.powf(f64::from(steps) + offset)))
}

/// Those of the `wanted` pairs that tell most.
fn profiles<'a>(
    scene: &Scene<'a>,
    cameras: &[Camera],
    wanted: impl Fn(&Pair<'a>) -> bool,
) -> Vec<FocalProfile> {
    let mut pairs: Vec<&Pair<'_>> = scene
        .pairs
        .iter()
        .filter(|p| wanted(p))
        .filter(|p| p.geometry.kind != TwoViewKind::PureRotation)
        .collect();
    pairs.sort_by_key(|p| (std::cmp::Reverse(p.geometry.inliers.len()), p.a, p.b));
    pairs.truncate(ASKED_PAIRS);
    let of_pair = |p: &&Pair<'_>| FocalProfile::new(scene, cameras, p);
    ordered::map(&pairs, of_pair)
        .into_iter()
        .flatten()
        .collect()
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
