//! Matches that stand still in the borders of the pictures: a watermark, a
//! logo, a date stamp.
//!
//! After COLMAP's `DetectWatermarkMatches` (Schönberger, 2016): most inliers
//! lie in the border and move by one translation. Those that stand still are
//! also found beside the matches of a true pair.

use relievo_geometry::Vec2;

/// Width of the border, as a part of the picture's diagonal.
const BORDER: f64 = 0.1;

/// Positions of the `pairs` (pixels in a, pixels in b) in both borders whose
/// displacement is the median one of the border to within `threshold_px`.
/// `size_*`: width and height in pixels.
pub(crate) fn border_translation(
    pairs: &[(Vec2, Vec2)],
    size_a: (f64, f64),
    size_b: (f64, f64),
    threshold_px: f64,
) -> Vec<usize> {
    let border: Vec<usize> = (0..pairs.len())
        .filter(|&i| in_border(&pairs[i].0, size_a) && in_border(&pairs[i].1, size_b))
        .collect();
    if border.is_empty() {
        return border;
    }
    let median = |axis: usize| {
        let mut d: Vec<f64> = border
            .iter()
            .map(|&i| pairs[i].1[axis] - pairs[i].0[axis])
            .collect();
        d.sort_by(f64::total_cmp);
        d[d.len() / 2]
    };
    let shift = Vec2::new(median(0), median(1));
    border
        .into_iter()
        .filter(|&i| (pairs[i].1 - pairs[i].0 - shift).norm() < threshold_px)
        .collect()
}

/// Positions of the `pairs` in both borders that stand still (to a quarter of
/// `threshold_px`) while most of the others move; empty where the picture
/// stands still as a whole.
pub(crate) fn standing_in_border(
    pairs: &[(Vec2, Vec2)],
    size_a: (f64, f64),
    size_b: (f64, f64),
    threshold_px: f64,
) -> Vec<usize> {
    let mut standing = Vec::new();
    let (mut others, mut others_standing) = (0, 0);
    for (i, (a, b)) in pairs.iter().enumerate() {
        let still = (a - b).norm() < 0.25 * threshold_px;
        if in_border(a, size_a) && in_border(b, size_b) {
            if still {
                standing.push(i);
            }
        } else {
            others += 1;
            others_standing += usize::from(still);
        }
    }
    if 10 * others_standing > others {
        standing.clear();
    }
    standing
}

fn in_border(p: &Vec2, (width, height): (f64, f64)) -> bool {
    let margin = BORDER * width.hypot(height);
    p.x < margin || p.y < margin || p.x > width - margin || p.y > height - margin
}
