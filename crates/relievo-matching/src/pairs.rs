//! Which pairs of views are tried.
//!
//! Up to a number of photos: all. Above: frames of a video with the frames
//! that follow, photos with GPS with those taken nearby, and every view with
//! the views that look most like it (VLAD), which closes loops. Or what the
//! person says ([`PairChoice`]).

use crate::nearest::Descriptor;
use crate::vlad::{similarity, vlad};
use rayon::prelude::*;
use relievo_scene::{Features, GeoTag, ViewId};
use relievo_task::{Cancelled, Task};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeSet;

/// How pairs are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PairChoice {
    /// All of few photos; of many, those near in time or place, and those that look alike.
    #[default]
    Auto,
    /// All.
    Exhaustive,
    /// Photos with those that follow by name, frames by time; and those that look alike.
    Sequential,
    /// Those that look alike.
    Retrieval,
}

relievo_task::options! {
    /// Options of [`choose_pairs`].
    pub struct PairOptions {
        /// `auto`, `exhaustive`, `sequential` (by time or name, loops closed by look) or `retrieval` (by look).
        pairs: PairChoice = PairChoice::Auto, "", "judgement";
        /// Up to this many photos, every pair is tried.
        exhaustive_up_to: usize = 80, "photos", "3160 pairs, about a minute";
        /// Frames of one video (`sequential`: photos of one folder, too) are tried with this many after them.
        sequence_window: usize = 10, "frames", "COLMAP sequential matcher";
        /// Views are tried with this many that look most like them.
        retrieval_neighbours: usize = 30, "views", "judgement";
        /// Photos are tried with this many that were taken nearest by GPS.
        gps_neighbours: usize = 20, "photos", "judgement";
        /// Cluster centres of the vectors that views are compared by.
        centres: usize = 64, "centres", "Jégou et al. 2010";
        /// Features of largest scale that speak for a view.
        retrieval_features: usize = 1500, "features", "judgement";
    }
}

/// Descriptors that the centres are learned from.
const SAMPLES: usize = 40_000;
/// Rounds of k-means.
const ROUNDS: usize = 10;

/// What the choice looks at.
#[derive(Clone, Copy, Debug)]
pub struct PairView<'f> {
    /// The view.
    pub id: ViewId,
    /// Name of the photo.
    pub name: &'f str,
    /// GPS position.
    pub geo: Option<GeoTag>,
    /// Video and seconds into it.
    pub sequence: Option<(&'f str, f64)>,
    /// Its features.
    pub features: &'f Features,
}

/// Pairs (a < b), ordered. The order of `views` does not matter.
pub fn choose_pairs(
    views: &[PairView<'_>],
    options: &PairOptions,
    task: &Task,
) -> Result<Vec<(ViewId, ViewId)>, Cancelled> {
    task.check()?;
    let mut views = views.to_vec();
    views.sort_by(|a, b| a.name.cmp(b.name).then(a.id.cmp(&b.id)));
    if options.pairs == PairChoice::Sequential {
        place_by_name(&mut views);
    }
    let mut pairs = BTreeSet::new();
    let mut add = |i: usize, j: usize| {
        let (a, b) = (views[i].id, views[j].id);
        if a != b {
            pairs.insert((a.min(b), a.max(b)));
        }
    };
    let all = match options.pairs {
        PairChoice::Auto => views.len() <= options.exhaustive_up_to,
        PairChoice::Exhaustive => true,
        PairChoice::Sequential | PairChoice::Retrieval => false,
    };
    if all {
        for i in 0..views.len() {
            for j in i + 1..views.len() {
                add(i, j);
            }
        }
        return Ok(pairs.into_iter().collect());
    }
    let by_look_only = options.pairs == PairChoice::Retrieval;
    if !by_look_only {
        for (i, j) in in_sequence(&views, options.sequence_window) {
            add(i, j);
        }
    }
    if options.pairs == PairChoice::Auto {
        for (i, j) in nearby(&views, options.gps_neighbours) {
            add(i, j);
        }
    }
    for (i, j) in alike(&views, options, task)? {
        add(i, j);
    }
    Ok(pairs.into_iter().collect())
}

/// Gives photos that are no frames their place among those of their folder, by name.
fn place_by_name(views: &mut [PairView<'_>]) {
    let mut order: Vec<usize> = (0..views.len()).collect();
    order.sort_by(|&i, &j| by_number(views[i].name, views[j].name));
    for (place, i) in order.into_iter().enumerate() {
        let v = &mut views[i];
        let folder = v.name.rsplit_once('/').map_or("", |(folder, _)| folder);
        v.sequence = v.sequence.or(Some((folder, place as f64)));
    }
}

/// Names as people and cameras count: `IMG_9` before `IMG_10`.
fn by_number(a: &str, b: &str) -> Ordering {
    let (mut p, mut q) = (a.as_bytes(), b.as_bytes());
    while let (Some(x), Some(y)) = (p.first(), q.first()) {
        let found = if x.is_ascii_digit() && y.is_ascii_digit() {
            let (m, n) = (take_number(&mut p), take_number(&mut q));
            m.len().cmp(&n.len()).then(m.cmp(n))
        } else {
            (p, q) = (&p[1..], &q[1..]);
            x.cmp(y)
        };
        if found.is_ne() {
            return found;
        }
    }
    p.len().cmp(&q.len()).then(a.cmp(b))
}

/// The digits that a name goes on with, without leading zeros.
fn take_number<'n>(name: &mut &'n [u8]) -> &'n [u8] {
    let end = name.iter().position(|c| !c.is_ascii_digit());
    let (digits, rest) = name.split_at(end.unwrap_or(name.len()));
    *name = rest;
    let zeros = digits.iter().take_while(|c| **c == b'0').count();
    &digits[zeros..]
}

/// Frames of one video within `window` of each other in time order.
fn in_sequence(views: &[PairView<'_>], window: usize) -> Vec<(usize, usize)> {
    let mut frames: Vec<(&str, f64, usize)> = views
        .iter()
        .enumerate()
        .filter_map(|(i, v)| v.sequence.map(|(video, time)| (video, time, i)))
        .collect();
    frames.sort_by(|a, b| a.0.cmp(b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)));
    let mut pairs = Vec::new();
    for (k, a) in frames.iter().enumerate() {
        for b in frames[k + 1..].iter().take(window) {
            if a.0 == b.0 {
                pairs.push((a.2, b.2));
            }
        }
    }
    pairs
}

/// Each photo with its `neighbours` nearest by GPS.
fn nearby(views: &[PairView<'_>], neighbours: usize) -> Vec<(usize, usize)> {
    let places: Vec<(usize, [f64; 3])> = views
        .iter()
        .enumerate()
        .filter_map(|(i, v)| v.geo.map(|g| (i, on_unit_sphere(&g))))
        .filter(|(_, p)| p.iter().all(|c| c.is_finite()))
        .collect();
    let per_place: Vec<Vec<(usize, usize)>> = places
        .par_iter()
        .map(|(i, p)| {
            let mut others: Vec<(f64, usize)> = places
                .iter()
                .filter(|(j, _)| j != i)
                .map(|(j, q)| {
                    let d: f64 = p.iter().zip(q).map(|(a, b)| (a - b).powi(2)).sum();
                    (d, *j)
                })
                .collect();
            others.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            others.truncate(neighbours);
            others.into_iter().map(|(_, j)| (*i, j)).collect()
        })
        .collect();
    per_place.into_iter().flatten().collect()
}

/// The chord orders points as the distance on the ground does.
fn on_unit_sphere(g: &GeoTag) -> [f64; 3] {
    let (sin_lat, cos_lat) = g.latitude_deg.to_radians().sin_cos();
    let (sin_lon, cos_lon) = g.longitude_deg.to_radians().sin_cos();
    [cos_lat * cos_lon, cos_lat * sin_lon, sin_lat]
}

/// Each view with those that look most like it.
fn alike(
    views: &[PairView<'_>],
    options: &PairOptions,
    task: &Task,
) -> Result<Vec<(usize, usize)>, Cancelled> {
    if options.retrieval_neighbours == 0 {
        return Ok(Vec::new());
    }
    let descriptors: Vec<&[Descriptor]> = views
        .iter()
        .map(|v| {
            let all = &v.features.descriptors;
            &all[..all.len().min(options.retrieval_features)]
        })
        .collect();
    let mut rng = relievo_task::rng(task.run_seed(), "matches", "retrieval");
    let budget = (options.centres, SAMPLES, ROUNDS);
    let vectors = vlad(&descriptors, budget, &mut rng, task)?;
    let per_view: Vec<Vec<(usize, usize)>> = (0..views.len())
        .into_par_iter()
        .with_max_len(1)
        .map(|i| {
            if descriptors[i].is_empty() {
                return Vec::new();
            }
            let mut others: Vec<(f32, usize)> = (0..views.len())
                .filter(|&j| j != i && !descriptors[j].is_empty())
                .map(|j| (similarity(&vectors[i], &vectors[j]), j))
                .collect();
            others.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            others.truncate(options.retrieval_neighbours);
            others.into_iter().map(|(_, j)| (i, j)).collect()
        })
        .collect();
    Ok(per_view.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::RngCore;
    use relievo_scene::{DESCRIPTOR_LEN, Keypoint};

    /// `n` views on a ring; view i shows words i·20 … i·20 + 100 of a
    /// vocabulary, noisily, so that only views near on the ring are alike.
    fn ring(n: usize) -> Vec<Features> {
        let mut rng = relievo_task::rng(1, "test", "ring");
        let words: Vec<[u8; DESCRIPTOR_LEN]> = (0..n * 20)
            .map(|_| {
                let mut d = [0; DESCRIPTOR_LEN];
                rng.fill_bytes(&mut d);
                d.map(|v| if v > 190 { v / 2 } else { 5 })
            })
            .collect();
        (0..n)
            .map(|i| {
                let descriptors: Vec<_> = (0..100)
                    .map(|k| {
                        let word = &words[(i * 20 + k) % words.len()];
                        word.map(|v| v.saturating_add((rng.next_u32() % 8) as u8))
                    })
                    .collect();
                let keypoint = Keypoint {
                    x_px: 1.0,
                    y_px: 1.0,
                    scale_px: 2.0,
                    angle: 0.0,
                };
                Features {
                    keypoints: vec![keypoint; 100],
                    colors: vec![[0; 3]; 100],
                    descriptors,
                }
            })
            .collect()
    }

    fn views<'f>(features: &'f [Features], names: &'f [String]) -> Vec<PairView<'f>> {
        features
            .iter()
            .zip(names)
            .enumerate()
            .map(|(i, (features, name))| PairView {
                id: ViewId(i as u32 + 1),
                name,
                geo: None,
                sequence: None,
                features,
            })
            .collect()
    }

    fn names(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("{i:04}.jpg")).collect()
    }

    #[test]
    fn names_count_as_people_count() {
        let mut names = [
            "b/2", "a/10", "IMG_10", "IMG_9", "IMG_009", "a/2x10", "a/2x9", "a/2",
        ];
        names.sort_by(|a, b| by_number(a, b));
        let counted = [
            "IMG_009", "IMG_9", "IMG_10", "a/2", "a/2x9", "a/2x10", "a/10", "b/2",
        ];
        assert_eq!(names, counted);
        let features = ring(12);
        let names: Vec<String> = (1..=12).map(|n| format!("photo{n}.jpg")).collect();
        let mut all = views(&features, &names);
        all.reverse();
        let options = PairOptions {
            pairs: PairChoice::Sequential,
            sequence_window: 1,
            retrieval_neighbours: 0,
            ..PairOptions::default()
        };
        let pairs = choose_pairs(&all, &options, &Task::silent()).unwrap();
        let following: Vec<(ViewId, ViewId)> = all
            .iter()
            .rev()
            .map(|v| v.id)
            .collect::<Vec<_>>()
            .windows(2)
            .map(|w| (w[0].min(w[1]), w[0].max(w[1])))
            .collect();
        for pair in following {
            assert!(pairs.contains(&pair), "{pair:?} of {pairs:?}");
        }
    }

    #[test]
    fn few_photos_are_tried_exhaustively() {
        let (features, names) = (ring(7), names(7));
        let task = Task::silent();
        let options = PairOptions::default();
        let pairs = choose_pairs(&views(&features, &names), &options, &task).unwrap();
        assert_eq!(pairs.len(), 21);
        assert!(pairs.iter().all(|(a, b)| a < b));
    }

    #[test]
    fn retrieval_finds_the_neighbours_on_a_ring() {
        let n = 40;
        let (features, names) = (ring(n), names(n));
        let options = PairOptions {
            exhaustive_up_to: 10,
            retrieval_neighbours: 6,
            ..PairOptions::default()
        };
        let mut views = views(&features, &names);
        let run = |views: &[PairView<'_>]| choose_pairs(views, &options, &Task::silent()).unwrap();
        let pairs = run(&views);
        let gap = |&(a, b): &(ViewId, ViewId)| {
            let d = (b.0 - a.0) as usize;
            d.min(n - d)
        };
        // View i shares 80 %, 60 %, 40 % of its words with the next three.
        for k in 1..=2 {
            assert_eq!(pairs.iter().filter(|p| gap(p) == k).count(), n, "gap {k}");
        }
        assert!(pairs.len() < n * 6);
        views.reverse();
        assert_eq!(run(&views), pairs, "the order of the views matters");
    }

    #[test]
    fn the_person_may_choose_how() {
        let n = 20;
        let (features, mut names) = (ring(n), names(n));
        for name in &mut names[10..] {
            *name = format!("second/{name}");
        }
        let options = PairOptions {
            sequence_window: 2,
            retrieval_neighbours: 0,
            ..PairOptions::default()
        };
        let run = |pairs, retrieval_neighbours| {
            let options = PairOptions {
                pairs,
                retrieval_neighbours,
                ..options.clone()
            };
            choose_pairs(&views(&features, &names), &options, &Task::silent()).unwrap()
        };
        assert_eq!(run(PairChoice::Auto, 0).len(), 190);
        assert_eq!(run(PairChoice::Exhaustive, 0).len(), 190);
        let pair = |a, b| (ViewId(a), ViewId(b));
        let by_name = run(PairChoice::Sequential, 0);
        // Two folders of ten: nine and eight pairs each.
        assert_eq!(by_name.len(), 2 * (9 + 8));
        assert!(by_name.contains(&pair(1, 3)) && !by_name.contains(&pair(10, 11)));
        assert!(run(PairChoice::Retrieval, 0).is_empty());
        let by_look = run(PairChoice::Retrieval, 2);
        assert!(by_look.len() <= 2 * n && by_look.contains(&pair(10, 11)));
        // What looks alike closes the loop of a walk.
        let closed = run(PairChoice::Sequential, 2);
        assert!(by_name.iter().chain(&by_look).all(|p| closed.contains(p)));
        assert!(closed.contains(&pair(1, 20)));
    }

    #[test]
    fn frames_are_tried_in_their_window_and_photos_by_place() {
        let n = 30;
        let (features, names) = (ring(n), names(n));
        let mut views = views(&features, &names);
        let options = PairOptions {
            exhaustive_up_to: 10,
            retrieval_neighbours: 0,
            sequence_window: 3,
            gps_neighbours: 1,
            ..PairOptions::default()
        };
        for (i, v) in views.iter_mut().enumerate() {
            if i < 20 {
                v.sequence = Some((if i < 10 { "a.mp4" } else { "b.mp4" }, i as f64));
            } else {
                // Two by two at one place.
                v.geo = Some(GeoTag {
                    latitude_deg: 47.0 + 0.01 * (i / 2) as f64,
                    longitude_deg: 8.0,
                    altitude_m: None,
                });
            }
        }
        let pairs = choose_pairs(&views, &options, &Task::silent()).unwrap();
        let has = |a: u32, b: u32| pairs.contains(&(ViewId(a), ViewId(b)));
        assert!(has(1, 4) && !has(1, 5));
        assert!(has(8, 10) && !has(10, 11), "videos are separate");
        assert!(has(21, 22) && !has(22, 23));
        assert_eq!(pairs.len(), 2 * (9 + 8 + 7) + 5);
    }
}
