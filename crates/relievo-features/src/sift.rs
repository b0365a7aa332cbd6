//! SIFT with RootSIFT descriptors: Lowe, "Distinctive image features from
//! scale-invariant keypoints", IJCV 2004.

use crate::blur::quantise;
use crate::descriptor::describe;
use crate::detector::{Detector, FeatureError, check_mask};
use crate::extrema::{Extremum, Limits, Search};
use crate::orientation::{Place, Scratch, orientations};
use crate::scale_space::{BLOCK, Blurs, MARGIN, ScaleSpace};
use crate::simd::InstructionSet;
use crate::source::Source;
use crate::spread::{Candidate, spread};
use rayon::prelude::*;
use relievo_image::Raster;
use relievo_scene::{DESCRIPTOR_LEN, Features, Keypoint};
use relievo_task::{Isa, Task};
use std::cmp::Ordering;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering as AtomicOrdering};

relievo_task::options! {
    /// Options of the SIFT detector and descriptor.
    pub struct SiftOptions {
        /// Most features of a photo; the strongest are kept, spread over the photo.
        max_keypoints: usize = 8192, "features", "COLMAP SiftExtraction.max_num_features";
        /// Most features of a megapixel, but 4,096 of any photo: a small photo has no more to say for more of them.
        max_keypoints_per_mpx: f64 = 3400.0, "features", "1.5 megapixels: a sixth to a quarter less time up to the poses, docs/decisions.md";
        /// Where fewer keypoints pass the peak threshold, weaker ones fill up to this number.
        min_keypoints: usize = 3000, "features", "judgement: rooms with plain walls";
        /// Photos of fewer megapixels are doubled in size first (about 4 times the work).
        double_below_mpx: f64 = 3.0, "megapixels", "doubling gave 1.8 times the inliers at 1.5 megapixels, none more at 6";
        /// Scales searched per octave.
        scales_per_octave: usize = 3, "scales", "Lowe 2004, section 3.2";
        /// Gaussian sigma of the first level of an octave.
        sigma0: f64 = 1.6, "pixels of the octave", "Lowe 2004, section 3.3";
        /// Gaussian sigma that the lens and sensor are taken to have blurred by.
        input_blur: f64 = 0.5, "pixels", "Lowe 2004, section 3.3";
        /// Least absolute difference of Gaussians at a keypoint, photo in 0..1.
        peak_threshold: f64 = 0.02 / 3.0, "grey levels of 1", "COLMAP SiftExtraction.peak_threshold";
        /// The same for the weaker keypoints of photos with little texture.
        low_peak_threshold: f64 = 0.002, "grey levels of 1", "judgement: about 4 sigma of sensor noise";
        /// Largest ratio of the principal curvatures.
        edge_threshold: f64 = 10.0, "ratio", "Lowe 2004, section 4.1";
        /// Most orientations of one keypoint.
        max_orientations: usize = 2, "orientations", "COLMAP SiftExtraction.max_num_orientations";
        /// Further orientations must reach this part of the highest peak.
        orientation_ratio: f64 = 0.8, "ratio", "Lowe 2004, section 5";
    }
}

/// Features that a photo of any size may have.
const ANY_PHOTO: f64 = 4096.0;

impl SiftOptions {
    /// Most features of a photo of this size.
    fn budget(&self, (width, height): (usize, usize)) -> usize {
        let by_size = self.max_keypoints_per_mpx * (width * height) as f64 * 1e-6;
        self.max_keypoints.min(by_size.max(ANY_PHOTO) as usize)
    }
}

/// Whether the photos before needed keypoints under the peak threshold. Photos of a
/// set are alike, and a search for all at once does for two; no bit of the
/// result depends on it.
#[derive(Clone, Debug, Default)]
pub struct Expectation(Arc<AtomicBool>);

impl PartialEq for Expectation {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// The detector. A pixel of octave o stands for every 2^o-th pixel of the
/// photo, so that index i of the octave lies at 2^o·i + 0.5 of the photo.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sift {
    /// Its options.
    pub options: SiftOptions,
    /// Which kernels run.
    pub isa: Isa,
    /// Shared by the photos of a set.
    pub expectation: Expectation,
}

/// Octaves stop when a side would have fewer pixels than this.
const LEAST_SIDE: usize = 8;
/// Keypoints described as one unit of parallel work.
const DESCRIBED_AT_ONCE: usize = 256;

/// Levels 1 ..= S of an octave, kept for orientations and descriptors.
struct OctaveLevels {
    /// Pixels of the photo per pixel of the octave.
    step: f32,
    /// Levels 1 ..= S, grey 0..1 as 0..65535.
    levels: Vec<Raster<u16>>,
}

/// An extremum and where it was found.
struct Found {
    octave_idx: usize,
    extremum: Extremum,
}

impl Detector for Sift {
    fn name(&self) -> &'static str {
        "sift"
    }

    fn version(&self) -> u32 {
        4
    }

    fn detect(
        &self,
        photo: &Raster<[u8; 3]>,
        mask: Option<&Raster<u8>>,
        task: &Task,
    ) -> Result<Features, FeatureError> {
        self.check_options()?;
        task.check()?;
        let size = (photo.width(), photo.height());
        check_mask(photo, mask)?;
        let set = InstructionSet::choose(self.isa);
        let o = &self.options;
        // Extrema under the peak threshold are several times as many, and
        // needed on few photos: only there they are searched for.
        let strong = o.peak_threshold as f32;
        let weak = strong.min(o.low_peak_threshold as f32);
        let expected = self.expectation.0.load(AtomicOrdering::Relaxed);
        let mut peak = if expected { weak } else { strong };
        let mut candidates = self.candidates(photo, mask, peak, set, task)?;
        let are_strong = candidates.found.iter().filter(|f| f.extremum.is_strong);
        let few = are_strong.count() < o.min_keypoints.min(o.max_keypoints);
        self.expectation.0.store(few, AtomicOrdering::Relaxed);
        if few && peak > weak {
            peak = weak;
            candidates = self.candidates(photo, mask, peak, set, task)?;
        }
        let Candidates {
            octaves,
            found,
            places,
        } = candidates;
        let kept = self.choose(&found, &places, size);
        task.check()?;
        Ok(self.describe(photo, &octaves, &found, &places, &kept, set))
    }
}

/// What may become keypoints.
struct Candidates {
    octaves: Vec<OctaveLevels>,
    found: Vec<Found>,
    /// One for each of `found`.
    places: Vec<Candidate>,
}

impl Sift {
    /// Extrema of at least `peak`, inside the photo and its mask.
    fn candidates(
        &self,
        photo: &Raster<[u8; 3]>,
        mask: Option<&Raster<u8>>,
        peak: f32,
        set: InstructionSet,
        task: &Task,
    ) -> Result<Candidates, FeatureError> {
        let (octaves, found) = self.extrema(photo, peak, set, task)?;
        let (found, places) = found
            .into_iter()
            .filter_map(|f| {
                let c = self.place_in_photo(&octaves, &f);
                let (x, y) = (c.x_px.max(0.0) as usize, c.y_px.max(0.0) as usize);
                let inside = x < photo.width() && y < photo.height();
                (inside && mask.is_none_or(|m| m[(x, y)] != 0)).then_some((f, c))
            })
            .unzip();
        Ok(Candidates {
            octaves,
            found,
            places,
        })
    }

    fn check_options(&self) -> Result<(), FeatureError> {
        let o = &self.options;
        let check = |holds: bool, option: &'static str, got: String, expected: &'static str| {
            if holds {
                Ok(())
            } else {
                Err(FeatureError::Option {
                    option,
                    got,
                    expected,
                })
            }
        };
        check(
            (1..=5).contains(&o.scales_per_octave),
            "scales_per_octave",
            o.scales_per_octave.to_string(),
            "1 to 5",
        )?;
        check(
            o.sigma0 >= 0.8 && o.sigma0 <= 4.0,
            "sigma0",
            o.sigma0.to_string(),
            "0.8 to 4",
        )?;
        check(
            o.input_blur >= 0.0 && o.input_blur <= 2.0,
            "input_blur",
            o.input_blur.to_string(),
            "0 to 2",
        )?;
        check(
            o.peak_threshold > 0.0,
            "peak_threshold",
            o.peak_threshold.to_string(),
            "more than 0",
        )?;
        check(
            o.low_peak_threshold > 0.0,
            "low_peak_threshold",
            o.low_peak_threshold.to_string(),
            "more than 0",
        )?;
        check(
            o.edge_threshold >= 1.0,
            "edge_threshold",
            o.edge_threshold.to_string(),
            "1 or more",
        )?;
        check(
            o.orientation_ratio > 0.0 && o.orientation_ratio <= 1.0,
            "orientation_ratio",
            o.orientation_ratio.to_string(),
            "above 0, at most 1",
        )
    }

    /// Steps 1 and 2: scale space and refined extrema, octave by octave.
    fn extrema(
        &self,
        photo: &Raster<[u8; 3]>,
        peak: f32,
        set: InstructionSet,
        task: &Task,
    ) -> Result<(Vec<OctaveLevels>, Vec<Found>), FeatureError> {
        let o = &self.options;
        let s = o.scales_per_octave;
        let limits = Limits {
            peak,
            strong: o.peak_threshold as f32,
            edge: o.edge_threshold as f32,
        };
        let mut octaves = Vec::new();
        let mut found: Vec<Found> = Vec::new();
        let pixels = (photo.width() * photo.height()) as f64;
        let doubled = pixels < 1e6 * o.double_below_mpx;
        let mut source = Source::new(photo, doubled, set);
        let mut step = if doubled { 0.5 } else { 1.0 };
        while source.width() >= LEAST_SIDE && source.height() >= LEAST_SIDE {
            let (w, h) = (source.width(), source.height());
            let own = o.input_blur / step;
            let blurs = Blurs {
                source: octaves
                    .is_empty()
                    .then(|| (o.sigma0 * o.sigma0 - own * own).max(0.0).sqrt()),
                sigma0: o.sigma0,
                scales: s,
            };
            let mut space = ScaleSpace::new(w, h, &blurs, set);
            let mut search = Search::new(s + 2, space.stride());
            let mut levels: Vec<Raster<u16>> = (0..s).map(|_| Raster::new(w, h)).collect();
            let mut next = Raster::<f32>::new(w.div_ceil(2), h.div_ceil(2));
            let mut extrema = Vec::new();
            for y0 in (0..h).step_by(BLOCK) {
                task.check()?;
                let y1 = (y0 + BLOCK).min(h);
                space.advance(y1 + MARGIN, &mut |y, row| source.fill(y, row));
                for y in y0..y1 {
                    for (i, level) in levels.iter_mut().enumerate() {
                        quantise(set, &space.row(i + 1, y)[..w], level.row_mut(y));
                    }
                    if y % 2 == 0 {
                        let row = space.row(s, y);
                        for (x, v) in next.row_mut(y / 2).iter_mut().enumerate() {
                            *v = row[2 * x];
                        }
                    }
                }
                let inner = (y0.max(1), y1.min(h - 1));
                if inner.0 < inner.1 {
                    search.rows(&space, (w, h), inner, limits, set, &mut extrema);
                }
            }
            // Two samples may move to the same place.
            extrema.sort_by_key(|e| (e.sample, !e.is_strong));
            extrema.dedup_by_key(|e| e.sample);
            let octave_idx = octaves.len();
            found.extend(extrema.into_iter().map(|extremum| Found {
                octave_idx,
                extremum,
            }));
            octaves.push(OctaveLevels {
                step: step as f32,
                levels,
            });
            source = Source::Level(next);
            step *= 2.0;
        }
        Ok((octaves, found))
    }

    fn place_in_photo(&self, octaves: &[OctaveLevels], found: &Found) -> Candidate {
        let step = octaves[found.octave_idx].step;
        Candidate {
            x_px: found.extremum.x * step + 0.5,
            y_px: found.extremum.y * step + 0.5,
            scale_px: self.sigma_in_octave(&found.extremum) * step,
            response: found.extremum.response,
        }
    }

    fn sigma_in_octave(&self, extremum: &Extremum) -> f32 {
        let s = self.options.scales_per_octave as f32;
        self.options.sigma0 as f32 * (extremum.level / s).exp2()
    }

    /// Step 3: the keypoints over the peak threshold, spread; weaker ones
    /// where these are few.
    fn choose(&self, found: &[Found], places: &[Candidate], size: (usize, usize)) -> Vec<usize> {
        let o = &self.options;
        let (mut pool, mut weak): (Vec<usize>, Vec<usize>) =
            (0..places.len()).partition(|&i| found[i].extremum.is_strong);
        let wanted = o.min_keypoints.min(o.max_keypoints);
        if pool.len() < wanted {
            weak.sort_by(|&a, &b| {
                let (p, q) = (&places[a], &places[b]);
                q.response.total_cmp(&p.response).then(a.cmp(&b))
            });
            weak.truncate(wanted - pool.len());
            pool.extend(weak);
            pool.sort_unstable();
        }
        let chosen: Vec<Candidate> = pool.iter().map(|&i| places[i]).collect();
        spread(&chosen, size, o.budget(size))
            .into_iter()
            .map(|k| pool[k])
            .collect()
    }

    /// Steps 4 and 5: orientations and descriptors of the `kept` keypoints.
    fn describe(
        &self,
        photo: &Raster<[u8; 3]>,
        octaves: &[OctaveLevels],
        found: &[Found],
        places: &[Candidate],
        kept: &[usize],
        set: InstructionSet,
    ) -> Features {
        let o = &self.options;
        let orientation = (o.max_orientations.max(1), o.orientation_ratio as f32);
        let parts: Vec<Vec<(f32, Keypoint, [u8; DESCRIPTOR_LEN])>> = kept
            .par_chunks(DESCRIBED_AT_ONCE)
            .map(|chunk| {
                let mut scratch = Scratch::default();
                let mut part = Vec::with_capacity(chunk.len() + chunk.len() / 4);
                for &i in chunk {
                    let (f, c) = (&found[i], &places[i]);
                    let levels = &octaves[f.octave_idx].levels;
                    let nearest = f.extremum.level.round().max(1.0) as usize - 1;
                    let level = &levels[nearest.min(levels.len() - 1)];
                    let place = Place {
                        x: f.extremum.x,
                        y: f.extremum.y,
                        sigma: self.sigma_in_octave(&f.extremum),
                    };
                    let directions = orientations(level, place, orientation, &mut scratch, set);
                    for (rank, &turns) in directions.iter().enumerate() {
                        let keypoint = Keypoint {
                            x_px: c.x_px,
                            y_px: c.y_px,
                            scale_px: c.scale_px,
                            angle: turns * std::f32::consts::TAU,
                        };
                        let d = describe(level, place, turns, &mut scratch, set);
                        // Second orientations are the first to go.
                        let strength = if rank == 0 {
                            1.0 + c.response
                        } else {
                            c.response
                        };
                        part.push((strength, keypoint, d));
                    }
                }
                part
            })
            .collect();
        let mut all: Vec<_> = parts.into_iter().flatten().collect();
        let budget = o.budget((photo.width(), photo.height()));
        if all.len() > budget {
            all.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| order(&a.1, &b.1)));
            all.truncate(budget);
        }
        all.sort_by(|a, b| order(&a.1, &b.1));
        let (last_x, last_y) = (photo.width() - 1, photo.height() - 1);
        Features {
            colors: all
                .iter()
                .map(|(_, k, _)| {
                    photo[((k.x_px as usize).min(last_x), (k.y_px as usize).min(last_y))]
                })
                .collect(),
            keypoints: all.iter().map(|a| a.1).collect(),
            descriptors: all.iter().map(|a| a.2).collect(),
        }
    }
}

/// Largest scale first, then by row, column, angle.
fn order(a: &Keypoint, b: &Keypoint) -> Ordering {
    b.scale_px
        .total_cmp(&a.scale_px)
        .then(a.y_px.total_cmp(&b.y_px))
        .then(a.x_px.total_cmp(&b.x_px))
        .then(a.angle.total_cmp(&b.angle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_photo_has_a_smaller_budget() {
        let options = SiftOptions::default();
        assert_eq!(options.budget((640, 480)), 4096);
        assert_eq!(options.budget((1500, 1000)), 5100);
        assert_eq!(options.budget((3072, 2048)), 8192);
        let few = SiftOptions {
            max_keypoints: 200,
            ..options
        };
        assert_eq!(few.budget((3072, 2048)), 200);
    }
}
