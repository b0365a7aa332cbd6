//! Which keypoints the budget keeps: strong ones, spread over the photo.
//!
//! The photo is cut into square cells. Keypoints of large scale come first
//! (they are few and match across scales); the rest of the budget is shared
//! between the cells max-min fairly: the cap that every cell obeys is as high
//! as the budget allows, so that sparse cells keep all they have and crowded
//! cells keep their strongest. Cheaper than the suppression by radius of
//! Bailo et al., "Efficient adaptive non-maximal suppression", 2018, with the
//! same aim.

/// What the choice looks at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Candidate {
    /// Column in the photo.
    pub(crate) x_px: f32,
    /// Row in the photo.
    pub(crate) y_px: f32,
    /// Sigma in the photo.
    pub(crate) scale_px: f32,
    /// Strength.
    pub(crate) response: f32,
}

/// Keypoints per cell that the cells are sized for.
const PER_CELL: usize = 16;
/// Keypoints of more than this sigma come first …
const LARGE_PX: f32 = 6.4;
/// … up to this part of the budget.
const LARGE_PART: usize = 4;

/// Indices of at most `budget` of `candidates`, in rising order.
pub(crate) fn spread(
    candidates: &[Candidate],
    (width, height): (usize, usize),
    budget: usize,
) -> Vec<usize> {
    if candidates.len() <= budget {
        return (0..candidates.len()).collect();
    }
    let stronger = |&a: &usize, &b: &usize| {
        let (p, q) = (&candidates[a], &candidates[b]);
        q.response.total_cmp(&p.response).then(a.cmp(&b))
    };
    let mut large: Vec<usize> = (0..candidates.len())
        .filter(|&i| candidates[i].scale_px > LARGE_PX)
        .collect();
    large.sort_by(stronger);
    large.truncate(budget / LARGE_PART);
    let mut taken = vec![false; candidates.len()];
    for &i in &large {
        taken[i] = true;
    }
    let budget = budget - large.len();

    let area = (width * height) as f64 * PER_CELL as f64 / budget.max(1) as f64;
    let side = area.sqrt().max(1.0);
    let columns = (width as f64 / side).ceil().max(1.0) as usize;
    let rows = (height as f64 / side).ceil().max(1.0) as usize;
    let mut cells: Vec<Vec<usize>> = vec![Vec::new(); columns * rows];
    for (i, c) in candidates.iter().enumerate().filter(|(i, _)| !taken[*i]) {
        let column = ((f64::from(c.x_px) / side) as usize).min(columns - 1);
        let row = ((f64::from(c.y_px) / side) as usize).min(rows - 1);
        cells[row * columns + column].push(i);
    }
    let kept_with = |cap: usize| -> usize { cells.iter().map(|c| c.len().min(cap)).sum() };
    let (mut low, mut high) = (0, budget);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if kept_with(middle) <= budget {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    let cap = low;
    let mut next: Vec<usize> = Vec::new();
    let mut kept = large;
    for cell in &mut cells {
        cell.sort_by(stronger);
        next.extend(cell.get(cap));
        kept.extend(cell.iter().take(cap));
    }
    // What the cap leaves over goes to the strongest of those just below it.
    next.sort_by(stronger);
    let left = (budget + taken.iter().filter(|t| **t).count()).saturating_sub(kept.len());
    kept.extend(next.into_iter().take(left));
    kept.sort_unstable();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(x: f32, y: f32, response: f32) -> Candidate {
        Candidate {
            x_px: x,
            y_px: y,
            scale_px: 2.0,
            response,
        }
    }

    #[test]
    fn a_sparse_corner_keeps_its_weak_keypoints() {
        // 4000 strong keypoints on the left, 50 weak ones on the right.
        let mut all: Vec<Candidate> = (0..4000)
            .map(|i| candidate((i % 80) as f32 * 5.0, (i / 80) as f32 * 8.0, 1.0 + i as f32))
            .collect();
        all.extend((0..50).map(|i| candidate(900.0, i as f32 * 8.0, 0.5)));
        let kept = spread(&all, (1000, 400), 1000);
        assert_eq!(kept.len(), 1000);
        assert!(kept.windows(2).all(|w| w[0] < w[1]));
        assert!(kept.iter().filter(|&&i| i >= 4000).count() >= 45);
    }

    #[test]
    fn large_scales_come_first() {
        let mut all: Vec<Candidate> = (0..500)
            .map(|i| candidate((i % 20) as f32, (i / 20) as f32, 1.0))
            .collect();
        all[77].scale_px = 12.0;
        all[77].response = 0.1;
        let kept = spread(&all, (20, 25), 40);
        assert_eq!(kept.len(), 40);
        assert!(kept.contains(&77));
        assert_eq!(spread(&all, (20, 25), 0).len(), 0);
    }
}
