//! Boxes that divide space so that each holds a share of the points.

/// A box of a division of all space; it holds what is at its lower and not at its upper faces.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tile {
    lo: [f32; 3],
    hi: [f32; 3],
}

impl Tile {
    const ALL: Self = Self {
        lo: [f32::NEG_INFINITY; 3],
        hi: [f32::INFINITY; 3],
    };

    /// Whether the point is inside; a point at an infinite or unknown place never is.
    pub(crate) fn holds(&self, p: &[f32; 3]) -> bool {
        (0..3).all(|k| self.lo[k] <= p[k] && p[k] < self.hi[k])
    }

    /// Whether the point is outside, and within `distance` of a face along each axis.
    pub(crate) fn surrounds(&self, p: &[f32; 3], distance: f32) -> bool {
        let (p, distance) = (p.map(f64::from), f64::from(distance));
        let near = |k: usize| {
            f64::from(self.lo[k]) - distance <= p[k] && p[k] <= f64::from(self.hi[k]) + distance
        };
        (0..3).all(near) && !self.holds(&p.map(|v| v as f32))
    }
}

/// Halves space at the median of the longest side until no box holds more than `most` of the
/// samples, or all of those in it lie at one place.
pub(crate) fn tiles(samples: &mut [[f32; 3]], most: usize) -> Vec<Tile> {
    let mut found = Vec::new();
    divide(samples, Tile::ALL, most.max(1), &mut found);
    found
}

fn divide(samples: &mut [[f32; 3]], tile: Tile, most: usize, found: &mut Vec<Tile>) {
    if samples.len() <= most {
        found.push(tile);
        return;
    }
    let extent = |axis: usize| {
        let of = || samples.iter().map(|p| p[axis]);
        of().fold(f32::NEG_INFINITY, f32::max) - of().fold(f32::INFINITY, f32::min)
    };
    let longest = (1..3).fold(0, |a, b| if extent(b) > extent(a) { b } else { a });
    let middle = samples.len() / 2;
    samples.select_nth_unstable_by(middle, |a, b| a[longest].total_cmp(&b[longest]));
    let mut at = samples[middle][longest];
    let below = |at: f32| samples.iter().filter(|p| p[longest] < at).count();
    let mut lower = below(at);
    if lower == 0 {
        // More than half lie at the lowest place: it is cut off above.
        let above = samples.iter().map(|p| p[longest]).filter(|v| *v > at);
        at = above.fold(f32::INFINITY, f32::min);
        lower = below(at);
    }
    if at == f32::INFINITY || lower == samples.len() {
        found.push(tile);
        return;
    }
    samples.sort_unstable_by(|a, b| a[longest].total_cmp(&b[longest]));
    let (left, right) = samples.split_at_mut(lower);
    let (mut first, mut second) = (tile, tile);
    first.hi[longest] = at;
    second.lo[longest] = at;
    divide(left, first, most, found);
    divide(right, second, most, found);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Even, crowded at one place, on a line.
    fn samples(k: usize) -> [f32; 3] {
        let spread = |by: f32| (k as f32 * by).fract();
        match k % 3 {
            0 => [spread(0.618), spread(0.414), spread(0.732)],
            1 => [0.25, 0.25, 0.25],
            _ => [spread(0.618) * 9.0, 0.5, -0.0],
        }
    }

    #[test]
    fn each_point_is_in_one_tile_and_no_tile_is_too_full() {
        let all: Vec<[f32; 3]> = (0..3000).map(samples).collect();
        let found = tiles(&mut all.clone(), 100);
        assert!(found.len() > 20);
        for p in &all {
            let holders = found.iter().filter(|t| t.holds(p)).count();
            assert_eq!(holders, 1, "{p:?}");
        }
        for tile in &found {
            let inside = all.iter().filter(|p| tile.holds(p));
            let apart = inside.filter(|p| **p != [0.25; 3]).count();
            assert!(apart <= 100, "{tile:?}: {apart}");
        }
        assert_eq!(tiles(&mut all.clone(), 3000), [Tile::ALL]);
        assert_eq!(tiles(&mut [[1.0; 3]; 9], 2), [Tile::ALL]);
        assert_eq!(tiles(&mut [], 2), [Tile::ALL]);
    }

    #[test]
    fn the_surroundings_reach_as_far_as_asked() {
        let tile = Tile {
            lo: [0.0; 3],
            hi: [1.0, 1.0, f32::INFINITY],
        };
        assert!(tile.holds(&[0.0, 0.5, 7.0]) && !tile.holds(&[1.0, 0.5, 7.0]));
        assert!(tile.surrounds(&[1.0, 0.5, 7.0], 0.0));
        assert!(tile.surrounds(&[-0.25, 1.25, -0.25], 0.25));
        assert!(!tile.surrounds(&[-0.26, 0.5, 1.0], 0.25));
        assert!(!tile.surrounds(&[0.5; 3], 0.25));
    }
}
