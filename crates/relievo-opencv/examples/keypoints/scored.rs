//! A detector's keypoints scored where cameras are known.
//!
//! Where the true surface is known (rendered sets), so is a keypoint's true place in the other
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

use relievo_eval::PosedCamera;
use relievo_eval::benchmark::{self, Surface};
use relievo_features::{Detector, Sift, SiftOptions};
use relievo_geometry::epipolar::essential_from_pose;
use relievo_geometry::{Vec2, Vec3};
use relievo_matching::{MatchOptions, match_descriptors};
use relievo_scene::{Features, Keypoint};
use relievo_spatial::TriangleBvh;
use relievo_task::{Isa, Task};
use std::fmt;
use std::path::{Path, PathBuf};

const REPEATED_PX: f64 = 1.5;
const RIGHT_PX: f64 = 3.0;
const RIGHT_LINE_PX: f64 = 2.0;

type Failure = Box<dyn std::error::Error>;

/// Our detector with a budget that does not depend on the photo's size.
pub(crate) fn defaults(budget: usize) -> Sift {
    Sift {
        options: SiftOptions {
            max_keypoints: budget,
            max_keypoints_per_mpx: f64::INFINITY,
            ..SiftOptions::default()
        },
        isa: Isa::Native,
        ..Sift::default()
    }
}

/// The same as OpenCV does it: every photo doubled, nothing under the threshold.
pub(crate) fn alike(budget: usize) -> Sift {
    let ours = defaults(budget);
    Sift {
        options: SiftOptions {
            double_below_mpx: f64::INFINITY,
            min_keypoints: 0,
            ..ours.options
        },
        ..ours
    }
}

/// A photo with what was found in it.
pub(crate) struct Photo {
    camera: PosedCamera,
    features: Features,
}

impl Photo {
    /// Number of keypoints.
    pub(crate) fn count(&self) -> usize {
        self.features.keypoints.len()
    }

    fn normalised(&self, k: &Keypoint) -> Vec3 {
        self.camera.camera.model.unproject(&px(k)).push(1.0)
    }
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

    /// Where the surface at a keypoint of `a` lies in `b`, if `b` sees it.
    fn true_place(&self, a: &Photo, k: &Keypoint, b: &Photo) -> Option<Vec2> {
        let world_from_a = a.camera.cam_from_world.inverse();
        let from_a = world_from_a.translation;
        let ray = world_from_a.rotation * a.normalised(k);
        let x = from_a + ray * self.cast(&from_a, &ray)?;
        let size = &b.camera.camera;
        let place = size.model.project(&b.camera.cam_from_world.apply(&x))?;
        let inside = place.x >= 0.0
            && place.y >= 0.0
            && place.x < f64::from(size.width_px)
            && place.y < f64::from(size.height_px);
        let center = b.camera.cam_from_world.center();
        let back = self.cast(&center, &(x - center))?;
        (inside && (back - 1.0).abs() < 2e-3).then_some(place)
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

impl Sums {
    fn add(&mut self, a: &Photo, b: &Photo, surface: Option<&TrueSurface>) {
        let options = MatchOptions::default();
        let matches = match_descriptors(&a.features, &b.features, &options, Isa::Native);
        self.pairs += 1;
        self.keypoints += a.count();
        self.matches += matches.len();
        let (of_a, of_b) = (&a.features.keypoints, &b.features.keypoints);
        let Some(surface) = surface else {
            let b_from_a = b.camera.cam_from_world * a.camera.cam_from_world.inverse();
            let e = essential_from_pose(&b_from_a);
            let focal = b.camera.camera.model.mean_focal_px();
            for m in &matches {
                let line = e * a.normalised(&of_a[m.a_idx as usize]);
                let v = b.normalised(&of_b[m.b_idx as usize]);
                let distance = focal * v.dot(&line).abs() / line.xy().norm();
                if distance < RIGHT_LINE_PX {
                    self.distances.push(distance);
                }
            }
            return;
        };
        let places: Vec<Option<Vec2>> = of_a.iter().map(|k| surface.true_place(a, k, b)).collect();
        for place in places.iter().flatten() {
            self.seen += 1;
            let near = |k: &Keypoint| (px(k) - place).norm() < REPEATED_PX;
            self.repeated += usize::from(of_b.iter().any(near));
        }
        for m in &matches {
            if let Some(place) = places[m.a_idx as usize] {
                let distance = (px(&of_b[m.b_idx as usize]) - place).norm();
                if distance < RIGHT_PX {
                    self.distances.push(distance);
                }
            }
        }
    }
}

/// How good keypoints are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) pairs: usize,
    pub(crate) keypoints_a_photo: f64,
    /// Where the surface is known.
    pub(crate) repeatability: Option<f64>,
    pub(crate) localisation_px: f64,
    pub(crate) matching_score: f64,
    pub(crate) precision: f64,
    pub(crate) right: usize,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} pairs, ", self.pairs)?;
        write!(f, "{:.0} keypoints a photo, ", self.keypoints_a_photo)?;
        if let Some(share) = self.repeatability {
            write!(f, "repeatability {share:.4}, ")?;
        }
        write!(f, "localisation {:.4} px, ", self.localisation_px)?;
        write!(f, "matching score {:.4}, ", self.matching_score)?;
        write!(f, "precision {:.4}, right {}", self.precision, self.right)
    }
}

/// Photos with true cameras, and the true surface where it is known.
pub(crate) struct KnownSet {
    photos: Vec<(PathBuf, PosedCamera)>,
    surface: Option<TrueSurface>,
}

impl KnownSet {
    /// The first `most` photos of a data set.
    pub(crate) fn open(root: &Path, most: usize) -> Result<Self, Failure> {
        let set = benchmark::open(root)?;
        let folder = set.inputs.first().ok_or("no photos")?;
        let scene = match &set.surface {
            Surface::Mesh(path) => Some(relievo_eval::TrueScene::read(path)?),
            _ => None,
        };
        let surface = scene.and_then(|scene| {
            let bvh = TriangleBvh::new(&scene.mesh?);
            let origin = scene.origin;
            Some(TrueSurface { bvh, origin })
        });
        let photos = set.cameras.iter();
        let photos = photos.map(|(name, camera)| (folder.join(name), *camera));
        let photos = photos.filter(|(path, _)| path.is_file()).take(most);
        Ok(Self {
            photos: photos.collect(),
            surface,
        })
    }

    /// What the detector made for each photo's index finds.
    pub(crate) fn detect(
        &self,
        detector: &dyn Fn(usize) -> Box<dyn Detector>,
    ) -> Result<Vec<Photo>, Failure> {
        let mut found = Vec::new();
        for (idx, (path, camera)) in self.photos.iter().enumerate() {
            let photo = relievo_media::decode_photo(path)?;
            let features = detector(idx).detect(&photo.rgb, None, &Task::silent())?;
            found.push(Photo {
                camera: *camera,
                features,
            });
        }
        Ok(found)
    }

    /// Figures over neighbours and next neighbours.
    pub(crate) fn score(&self, photos: &[Photo]) -> Figures {
        let mut sums = Sums::default();
        for step in [1, 2] {
            for (a, b) in photos.iter().zip(photos.iter().skip(step)) {
                sums.add(a, b, self.surface.as_ref());
            }
        }
        sums.distances.sort_by(f64::total_cmp);
        let right = sums.distances.len();
        let share = |n: usize, of: usize| n as f64 / of.max(1) as f64;
        let is_known = self.surface.is_some();
        let of = if is_known { sums.seen } else { sums.keypoints };
        Figures {
            pairs: sums.pairs,
            keypoints_a_photo: share(sums.keypoints, sums.pairs),
            repeatability: is_known.then(|| share(sums.repeated, sums.seen)),
            localisation_px: sums.distances.get(right / 2).copied().unwrap_or(f64::NAN),
            matching_score: share(right, of),
            precision: share(right, sums.matches),
            right,
        }
    }
}
