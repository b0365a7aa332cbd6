//! Our detector beside OpenCV's SIFT where geometry is known: `keypoints SET [BUDGET]`.
//!
//! SET is a data set with true cameras; pairs are neighbours and next neighbours
//! by name, both detectors have the same budget of keypoints a photo. Where the
//! true surface is known (rendered sets), so is a keypoint's true place in the other
//! photo:
//!
//! - repeatability: share of the keypoints that the other photo sees too for
//!   which it has a keypoint within 1.5 px (Mikolajczyk et al., IJCV 2005);
//! - localisation: median distance of right matches (3 px) from the true place;
//! - matching score: right matches over keypoints that the other photo sees too;
//! - precision: right matches over matches.
//!
//! Elsewhere a match is right within 2 px of its epipolar line, localisation is
//! the median distance from it, and the score is over all keypoints.
//!
//! `ours` are the defaults but for the budget, which does not depend on the photo's size; `ours, alike` doubles every photo and
//! takes no keypoint under the threshold, as OpenCV does; `ours, as many` are the defaults with
//! as many keypoints in each photo as OpenCV finds there.

#![expect(clippy::print_stdout, reason = "a program that prints its figures")]

use relievo_eval::PosedCamera;
use relievo_eval::benchmark::{self, Surface};
use relievo_features::{Detector, Sift, SiftOptions};
use relievo_geometry::epipolar::essential_from_pose;
use relievo_geometry::{Vec2, Vec3};
use relievo_matching::{MatchOptions, match_descriptors};
use relievo_scene::{Features, Keypoint};
use relievo_spatial::TriangleBvh;
use relievo_task::{Isa, Task};
use std::path::{Path, PathBuf};

const REPEATED_PX: f64 = 1.5;
const RIGHT_PX: f64 = 3.0;
const RIGHT_LINE_PX: f64 = 2.0;

/// A photo with what was found in it.
struct Photo {
    camera: PosedCamera,
    features: Features,
}

impl Photo {
    fn normalised(&self, k: &Keypoint) -> Vec3 {
        self.camera.camera.model.unproject(&px(k)).push(1.0)
    }
}

/// Sums over pairs.
#[derive(Default)]
struct Sums {
    pairs: usize,
    keypoints: usize,
    seen: usize,
    repeated: usize,
    matches: usize,
    distances: Vec<f64>,
}

fn px(k: &Keypoint) -> Vec2 {
    Vec2::new(f64::from(k.x_px), f64::from(k.y_px))
}

/// The true surface, relative to a point that keeps its digits.
struct TrueSurface {
    bvh: TriangleBvh,
    origin: Vec3,
}

impl TrueSurface {
    /// How far the surface is along a ray, in lengths of the ray.
    fn cast(&self, from: &Vec3, ray: &Vec3) -> Option<f64> {
        let narrow = |v: &Vec3| [v.x as f32, v.y as f32, v.z as f32];
        let hit = self.bvh.cast(narrow(&(from - self.origin)), narrow(ray))?;
        Some(f64::from(hit.t))
    }
}

/// Where the surface at a keypoint of `a` lies in `b`, if `b` sees it.
fn true_place(a: &Photo, k: &Keypoint, b: &Photo, surface: &TrueSurface) -> Option<Vec2> {
    let world_from_a = a.camera.cam_from_world.inverse();
    let from_a = world_from_a.translation;
    let ray = world_from_a.rotation * a.normalised(k);
    let x = from_a + ray * surface.cast(&from_a, &ray)?;
    let place = b
        .camera
        .camera
        .model
        .project(&b.camera.cam_from_world.apply(&x))?;
    let size = &b.camera.camera;
    let inside = place.x >= 0.0
        && place.y >= 0.0
        && place.x < f64::from(size.width_px)
        && place.y < f64::from(size.height_px);
    let center = b.camera.cam_from_world.center();
    let back = surface.cast(&center, &(x - center))?;
    (inside && (back - 1.0).abs() < 2e-3).then_some(place)
}

fn add(a: &Photo, b: &Photo, surface: Option<&TrueSurface>, sums: &mut Sums) {
    let matches = match_descriptors(
        &a.features,
        &b.features,
        &MatchOptions::default(),
        Isa::Native,
    );
    sums.pairs += 1;
    sums.keypoints += a.features.keypoints.len();
    sums.matches += matches.len();
    let Some(surface) = surface else {
        let b_from_a = b.camera.cam_from_world * a.camera.cam_from_world.inverse();
        let e = essential_from_pose(&b_from_a);
        let focal = b.camera.camera.model.mean_focal_px();
        for m in &matches {
            let u = a.normalised(&a.features.keypoints[m.a_idx as usize]);
            let v = b.normalised(&b.features.keypoints[m.b_idx as usize]);
            let line = e * u;
            let distance = focal * v.dot(&line).abs() / line.xy().norm();
            if distance < RIGHT_LINE_PX {
                sums.distances.push(distance);
            }
        }
        return;
    };
    let keypoints = &a.features.keypoints;
    let places: Vec<Option<Vec2>> = keypoints
        .iter()
        .map(|k| true_place(a, k, b, surface))
        .collect();
    for place in places.iter().flatten() {
        sums.seen += 1;
        let near = |k: &Keypoint| (px(k) - place).norm() < REPEATED_PX;
        sums.repeated += usize::from(b.features.keypoints.iter().any(near));
    }
    for m in &matches {
        let Some(place) = places[m.a_idx as usize] else {
            continue;
        };
        let distance = (px(&b.features.keypoints[m.b_idx as usize]) - place).norm();
        if distance < RIGHT_PX {
            sums.distances.push(distance);
        }
    }
}

fn photos(
    set: &benchmark::DataSet,
    folder: &Path,
    detector: &dyn Fn(usize) -> Box<dyn Detector>,
) -> Result<Vec<Photo>, Box<dyn std::error::Error>> {
    let mut all: Vec<Photo> = Vec::new();
    for (name, camera) in &set.cameras {
        let path = folder.join(name);
        if path.is_file() {
            let photo = relievo_media::decode_photo(&path)?;
            let features = detector(all.len()).detect(&photo.rgb, None, &Task::silent())?;
            all.push(Photo {
                camera: *camera,
                features,
            });
        }
    }
    Ok(all)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let root = PathBuf::from(words.next().ok_or("keypoints SET [BUDGET]")?);
    let budget: usize = words.next().map_or(Ok(2000), |b| b.parse())?;
    let set = benchmark::open(&root)?;
    let folder = set.inputs.first().ok_or("no photos")?;
    let surface = match &set.surface {
        Surface::Mesh(path) => Some(relievo_eval::TrueScene::read(path)?),
        _ => None,
    };
    let surface = surface.and_then(|scene| {
        Some(TrueSurface {
            bvh: TriangleBvh::new(&scene.mesh?),
            origin: scene.origin,
        })
    });
    let ours = Sift {
        options: SiftOptions {
            max_keypoints: budget,
            max_keypoints_per_mpx: f64::INFINITY,
            ..SiftOptions::default()
        },
        isa: Isa::Native,
        ..Sift::default()
    };
    // As OpenCV does it: every photo doubled, nothing under the threshold.
    let alike = Sift {
        options: SiftOptions {
            double_below_mpx: f64::INFINITY,
            min_keypoints: 0,
            ..ours.options.clone()
        },
        ..ours.clone()
    };
    let theirs = photos(&set, folder, &|_| {
        Box::new(relievo_opencv::OpenCvSift::new(budget))
    })?;
    let counts: Vec<usize> = theirs.iter().map(|p| p.features.keypoints.len()).collect();
    let as_many = |photo: usize| Sift {
        options: SiftOptions {
            max_keypoints: counts[photo],
            min_keypoints: ours.options.min_keypoints.min(counts[photo]),
            ..ours.options.clone()
        },
        ..ours.clone()
    };
    let found = [
        ("ours", photos(&set, folder, &|_| Box::new(ours.clone()))?),
        (
            "ours, alike",
            photos(&set, folder, &|_| Box::new(alike.clone()))?,
        ),
        (
            "ours, as many",
            photos(&set, folder, &|k| Box::new(as_many(k)))?,
        ),
        ("OpenCV", theirs),
    ];
    for (name, photos) in found {
        let mut sums = Sums::default();
        for step in [1, 2] {
            for (a, b) in photos.iter().zip(photos.iter().skip(step)) {
                add(a, b, surface.as_ref(), &mut sums);
            }
        }
        sums.distances.sort_by(f64::total_cmp);
        let right = sums.distances.len();
        let median = sums.distances.get(right / 2).copied().unwrap_or(f64::NAN);
        let share = |n: usize, of: usize| n as f64 / of.max(1) as f64;
        let of = if surface.is_some() {
            sums.seen
        } else {
            sums.keypoints
        };
        print!(
            "{:<13} {} pairs, {:.0} keypoints a photo, ",
            name,
            sums.pairs,
            share(sums.keypoints, sums.pairs)
        );
        if surface.is_some() {
            print!("repeatability {:.4}, ", share(sums.repeated, sums.seen));
        }
        println!(
            "localisation {median:.4} px, matching score {:.4}, precision {:.4}, right {right}",
            share(right, of),
            share(right, sums.matches)
        );
    }
    Ok(())
}
