//! Which voxels of a cloud show a surface that a fuller voxel shows already.
//!
//! The border between voxels may run along a surface, and noise along the normal
//! spreads its points over two voxels and more. Their mean points lie close behind each
//! other, and photos agree on each: counted alone, a thick cloud would hold more surface
//! than a thin one. What lies in one place is one piece ([`same_place`]); what lies
//! behind is a second layer ([`second_layers`]).

use rayon::prelude::*;
use relievo_geometry::Vec3;
use relievo_spatial::KdTree;

/// Offset along the normal between layers, voxel sides: farther apart photos do not agree
/// on both.
const APART: std::ops::RangeInclusive<f64> = 0.2..=8.0;
/// Most offset aside, voxel sides: as much as along the normal, within these.
const ASIDE: [f64; 2] = [0.5, 0.75];
/// Least cosine between the normals: the back of a thin thing is no second layer.
const ALIKE: f64 = 0.7;

/// A piece of surface.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    /// Mean point.
    pub(crate) position: Vec3,
    /// Unit normal.
    pub(crate) normal: Vec3,
    /// Points it stands for.
    pub(crate) points: usize,
}

/// Offset between two pieces of alike normal, along the normal of both and aside, voxel
/// sides; `None` where the normals differ.
fn offset(one: &Piece, other: &Piece, side: f64) -> Option<(f64, f64)> {
    let off = (other.position - one.position) / side;
    let along = [one.normal, other.normal].map(|n| off.dot(&n).abs());
    let along = along[0].min(along[1]);
    let aside = (off.norm_squared() - along * along).max(0.0).sqrt();
    (one.normal.dot(&other.normal) >= ALIKE).then_some((along, aside))
}

/// For each piece the fullest (then the first) of those for which `is_same` holds and that
/// are fuller than itself, within `radius` voxel sides.
fn fullest_like(
    pieces: &[Piece],
    side: f64,
    radius: f64,
    is_same: impl Fn((f64, f64)) -> bool + Sync,
) -> Vec<Option<usize>> {
    let narrow = |p: &Piece| <[f32; 3]>::from(p.position.map(|v| v as f32));
    let places: Vec<[f32; 3]> = pieces.iter().map(narrow).collect();
    let tree = KdTree::new(&places);
    let rank = |i: usize| (pieces[i].points, std::cmp::Reverse(i));
    (0..pieces.len())
        .into_par_iter()
        .map_init(Vec::new, |near, i| {
            tree.within_into(places[i], (side * radius) as f32, near);
            let others = near.iter().map(|n| n.index as usize);
            others
                .filter(|&j| rank(j) > rank(i))
                .filter(|&j| offset(&pieces[i], &pieces[j], side).is_some_and(&is_same))
                .max_by_key(|&j| rank(j))
        })
        .collect()
}

/// For each piece the one that stands for it: itself, or a fuller one in the same place.
pub(crate) fn same_place(pieces: &[Piece], side: f64) -> Vec<usize> {
    let near = |(along, aside): (f64, f64)| along < *APART.start() && aside < ASIDE[0];
    let fuller = fullest_like(pieces, side, ASIDE[0] + APART.start(), near);
    let last = |mut i: usize| {
        while let Some(next) = fuller[i] {
            i = next;
        }
        i
    };
    (0..pieces.len()).map(last).collect()
}

/// True for each piece that lies right in front of or behind a fuller one (as full and
/// earlier in the list) within eight voxel sides, along the normal of both: one of them
/// hides the other from most photos.
pub(crate) fn second_layers(pieces: &[Piece], side: f64) -> Vec<bool> {
    let behind = |(along, aside): (f64, f64)| {
        APART.contains(&along) && aside <= along.clamp(ASIDE[0], ASIDE[1])
    };
    let radius = APART.end().hypot(ASIDE[1]);
    let found = fullest_like(pieces, side, radius, behind);
    found.iter().map(Option::is_some).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(x: f64, z: f64, up: f64, points: usize) -> Piece {
        Piece {
            position: Vec3::new(x, 0.0, z),
            normal: Vec3::new(0.0, 0.0, up),
            points,
        }
    }

    #[test]
    fn one_place_has_one_piece() {
        let pieces = [
            piece(0.0, 0.0, 1.0, 9),
            piece(0.4, 0.1, 1.0, 5),
            piece(0.8, 0.0, 1.0, 3),
            piece(2.0, 0.0, 1.0, 3),
            piece(0.0, 0.1, -1.0, 3),
        ];
        assert_eq!(same_place(&pieces, 1.0), [0, 0, 0, 3, 4]);
    }

    #[test]
    fn the_fuller_layer_stays() {
        let cases = [
            // Half a side behind a fuller one; the same, equally full.
            (
                piece(0.1, 0.5, 1.0, 3),
                piece(0.0, 0.0, 1.0, 9),
                [true, false],
            ),
            (
                piece(0.1, 0.5, 1.0, 9),
                piece(0.0, 0.0, 1.0, 9),
                [false, true],
            ),
            // Beside it, on a slope; the other side of a leaf; far behind.
            (
                piece(0.9, 0.5, 1.0, 3),
                piece(0.0, 0.0, 1.0, 9),
                [false, false],
            ),
            (
                piece(0.1, 0.5, -1.0, 3),
                piece(0.0, 0.0, 1.0, 9),
                [false, false],
            ),
            (
                piece(0.1, 8.5, 1.0, 3),
                piece(0.0, 0.0, 1.0, 9),
                [false, false],
            ),
        ];
        for (a, b, expected) in cases {
            assert_eq!(second_layers(&[a, b], 1.0), expected, "{a:?} {b:?}");
        }
    }
}
