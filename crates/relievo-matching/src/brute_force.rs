//! Putative matches of u8 descriptors: nearest neighbours, each other's and
//! clearly.
//!
//! Similarity is the dot product; RootSIFT descriptors have norm 512, so
//! distance² = 2·512² − 2·dot and the ratio test (Lowe, IJCV 2004) compares
//! distances.

use crate::cells::Search;
use crate::match_sketched::match_sketched;
use crate::nearest::{Descriptor, Nearest, nearest_both};
use crate::sketch::{Sketched, sketch};
use relievo_scene::{Features, Match};
use relievo_task::Isa;

relievo_task::options! {
    /// Options of [`match_descriptors`].
    pub struct MatchOptions {
        /// Largest ratio of the distances to the nearest and the second
        /// nearest descriptor.
        ratio: f32 = 0.8, "", "Lowe 2004; COLMAP";
        /// Largest angle between the descriptors.
        max_angle_deg: f32 = 40.0, "degrees", "COLMAP max_distance 0.7 rad";
        /// Both must be each other's nearest.
        mutual: bool = true, "", "COLMAP cross_check";
    }
}

/// Squared norm of a quantised RootSIFT descriptor.
pub(crate) const SQUARED_NORM: f32 = 512.0 * 512.0;

/// Near enough, and clearly nearer than the second.
pub(crate) fn passes(nearest: &Nearest, options: &MatchOptions) -> bool {
    let distance2 = |dot: i32| (2.0 * (SQUARED_NORM - dot as f32)).max(0.0);
    let min_dot = SQUARED_NORM * options.max_angle_deg.to_radians().cos();
    nearest.best as f32 >= min_dot
        && (nearest.second < 0
            || distance2(nearest.best) <= options.ratio.powi(2) * distance2(nearest.second))
}

/// Matches from a to b, one to one, ordered by `a_idx`, by their sketches; see
/// [`match_sketched`].
///
/// `isa` chooses between kernels of equal results.
pub fn match_descriptors(
    a: &Features,
    b: &Features,
    options: &MatchOptions,
    isa: Isa,
) -> Vec<Match> {
    let (sa, sb) = (sketch(&a.descriptors), sketch(&b.descriptors));
    let side = |features, sketches| Sketched {
        descriptors: features,
        sketches,
    };
    let (a, b) = (side(&a.descriptors[..], &sa[..]), side(&b.descriptors, &sb));
    match_sketched(a, b, Search::Thorough, options, isa)
}

/// All matches from a to b by comparing all with all, one to one, ordered by
/// `a_idx`.
pub fn match_slices(
    a: &[Descriptor],
    b: &[Descriptor],
    options: &MatchOptions,
    isa: Isa,
) -> Vec<Match> {
    let (from_a, from_b) = nearest_both(a, b, isa);
    choose(&from_a, &from_b, options)
}

/// The nearest that pass, one to one, ordered by `a_idx`.
pub(crate) fn choose(from_a: &[Nearest], from_b: &[Nearest], options: &MatchOptions) -> Vec<Match> {
    let mut taken = vec![false; from_b.len()];
    let mut matches = Vec::new();
    for (i, n) in from_a.iter().enumerate() {
        if n.idx == u32::MAX || !passes(n, options) {
            continue;
        }
        let back = from_b[n.idx as usize];
        if options.mutual && (back.idx != i as u32 || !passes(&back, options)) {
            continue;
        }
        if !std::mem::replace(&mut taken[n.idx as usize], true) {
            matches.push(Match {
                a_idx: i as u32,
                b_idx: n.idx,
            });
        }
    }
    matches
}

/// Matches among the `most` features of largest scale of each view: a cheap
/// sign of overlap. Wu, "Towards linear-time incremental structure from
/// motion", 3DV 2013, section 3.
pub fn overlap_score(
    a: &Features,
    b: &Features,
    most: usize,
    options: &MatchOptions,
    isa: Isa,
) -> usize {
    let a = &a.descriptors[..a.len().min(most)];
    let b = &b.descriptors[..b.len().min(most)];
    match_slices(a, b, options, isa).len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use relievo_scene::{DESCRIPTOR_LEN, Keypoint};

    fn features(descriptors: Vec<[u8; DESCRIPTOR_LEN]>) -> Features {
        let n = descriptors.len();
        let keypoint = Keypoint {
            x_px: 1.0,
            y_px: 1.0,
            scale_px: 1.0,
            angle: 0.0,
        };
        Features {
            keypoints: vec![keypoint; n],
            descriptors,
            colors: vec![[0; 3]; n],
        }
    }

    /// Norm 512 in four components starting at 4k.
    fn spike(k: usize, bend: u8) -> [u8; DESCRIPTOR_LEN] {
        let mut d = [0; DESCRIPTOR_LEN];
        d[4 * k..4 * k + 4].fill(255);
        d[(4 * k + 5) % DESCRIPTOR_LEN] = bend;
        d
    }

    #[test]
    fn finds_the_permutation_and_refuses_ambiguity() {
        let a = features((0..20).map(|k| spike(k, 0)).collect());
        let b = features((0..20).map(|k| spike((k + 7) % 20, 9)).collect());
        let options = MatchOptions::default();
        let found = match_descriptors(&a, &b, &options, Isa::Portable);
        assert_eq!(found.len(), 20);
        assert!(
            found
                .iter()
                .all(|m| (m.b_idx as usize + 7) % 20 == m.a_idx as usize)
        );
        let mut twice = b.clone();
        twice.descriptors.push(b.descriptors[0]);
        twice.keypoints.push(b.keypoints[0]);
        twice.colors.push([0; 3]);
        assert_eq!(
            match_descriptors(&a, &twice, &options, Isa::Portable).len(),
            19
        );
        let empty = features(Vec::new());
        assert!(match_descriptors(&a, &empty, &options, Isa::Native).is_empty());
        let zero = features(vec![[0; DESCRIPTOR_LEN]; 3]);
        assert!(match_descriptors(&a, &zero, &options, Isa::Native).is_empty());
    }
}
