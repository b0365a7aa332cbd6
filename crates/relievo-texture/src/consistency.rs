//! Views whose colour of a face disagrees with the others are rejected:
//! people walking by, occluders that the mesh lacks.
//!
//! Waechter et al. 2014, section 4.1: a multivariate Gaussian is fitted to the
//! inliers' mean colours, views far out on it leave, and so on (a mean shift).
//! Departures: exposures are evened out first, the fit starts from the
//! channel medians (robust with three views), and the covariance has a floor.

use crate::candidates::{Candidate, Candidates};
use nalgebra::{Matrix3, Vector3};

/// Unnormalised Gaussian below which a view is out (the authors' value).
const OUT: f64 = 6e-3;
/// Least standard deviation, sRGB 0 … 1: noise, small misalignments, gloss.
const FLOOR: f64 = 0.035;
const ROUNDS: usize = 10;
/// Fewer views than this prove nothing.
const LEAST_VIEWS: usize = 3;

/// Removes inconsistent candidates; returns how many went.
pub(crate) fn reject_outliers(candidates: &mut Candidates, gains: &[[f32; 3]]) -> usize {
    candidates.retain(|list| inliers(list, gains))
}

fn inliers(list: &[Candidate], gains: &[[f32; 3]]) -> Vec<bool> {
    let mut inside = vec![true; list.len()];
    if list.len() < LEAST_VIEWS {
        return inside;
    }
    let colors: Vec<Vector3<f64>> = list
        .iter()
        .map(|c| {
            let g = gains[c.view as usize];
            Vector3::from_fn(|k, _| f64::from(f32::from(c.color[k]) * g[k]) / 255.0)
        })
        .collect();
    let center = Vector3::from_fn(|k, _| median(colors.iter().map(|c| c[k]).collect()));
    let spread = median(colors.iter().map(|c| (c - center).norm()).collect());
    // Start from the half nearest to the median and its close surroundings.
    let reach = (2.5 * spread).max(3.0 * FLOOR);
    for (flag, c) in inside.iter_mut().zip(&colors) {
        *flag = (c - center).norm() <= reach;
    }
    for _ in 0..ROUNDS {
        let used: Vec<&Vector3<f64>> = colors
            .iter()
            .zip(&inside)
            .filter(|(_, i)| **i)
            .map(|(c, _)| c)
            .collect();
        if used.len() < 2 {
            break;
        }
        let n = used.len() as f64;
        let mean = used.iter().fold(Vector3::zeros(), |a, c| a + **c) / n;
        let mut covariance = Matrix3::identity() * (FLOOR * FLOOR);
        for c in &used {
            covariance += (*c - mean) * (*c - mean).transpose() / n;
        }
        let Some(inverse) = covariance.try_inverse() else {
            break;
        };
        let next: Vec<bool> = colors
            .iter()
            .map(|c| {
                let d = c - mean;
                (-0.5 * d.dot(&(inverse * d))).exp() >= OUT
            })
            .collect();
        if next == inside {
            break;
        }
        inside = next;
    }
    // A verdict of the minority is none.
    if 2 * inside.iter().filter(|i| **i).count() < list.len() {
        inside.fill(true);
    }
    inside
}

fn median(mut values: Vec<f64>) -> f64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(colors: &[[u8; 3]]) -> Vec<Candidate> {
        colors
            .iter()
            .enumerate()
            .map(|(view, &color)| Candidate {
                view: view as u16,
                quality: 1.0,
                color,
            })
            .collect()
    }

    #[test]
    fn the_odd_one_out_is_rejected() {
        let gains = vec![[1.0; 3]; 6];
        let colors = [
            [100, 90, 80],
            [104, 92, 79],
            [20, 30, 140],
            [98, 91, 83],
            [101, 88, 80],
        ];
        assert_eq!(
            inliers(&list(&colors), &gains),
            [true, true, false, true, true]
        );
        assert_eq!(inliers(&list(&colors[1..4]), &gains), [true, false, true]);
        // Two views cannot judge each other; a spread-out crowd stays whole.
        assert_eq!(inliers(&list(&colors[1..3]), &gains), [true, true]);
        let spread = [[60, 60, 60], [80, 80, 80], [100, 100, 100], [120, 120, 120]];
        assert_eq!(inliers(&list(&spread), &gains), [true; 4]);
    }
}
