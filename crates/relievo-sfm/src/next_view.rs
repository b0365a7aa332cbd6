//! Which photo comes next: the one whose visible model points are many and
//! spread over the whole picture (Schönberger & Frahm 2016, §4.2).

use crate::model::Model;
use crate::scene::{NONE, Scene};
use relievo_geometry::Vec2;
use relievo_task::ordered;

/// Levels of the pyramid; level l has 2^l × 2^l cells, worth 4^l each.
const LEVELS: u32 = 6;

/// A keypoint of a view and a model point that it may see.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visible {
    pub(crate) kp: u32,
    pub(crate) point: u32,
}

/// Model points that unregistered `view` may see, by its matches.
pub(crate) fn visible(scene: &Scene<'_>, model: &Model, view: usize) -> Vec<Visible> {
    let mut out = Vec::new();
    let mut here: Vec<u32> = Vec::new();
    for kp in 0..scene.px[view].len() {
        here.clear();
        for &o in scene.matches(view, kp) {
            let point = model.point_at(o);
            if point != NONE && !here.contains(&point) {
                here.push(point);
                out.push(Visible {
                    kp: kp as u32,
                    point,
                });
            }
        }
    }
    out
}

/// Score of pixels spread over a picture of `width` × `height`.
pub(crate) fn pyramid_score(px: impl Iterator<Item = Vec2>, width: f64, height: f64) -> u64 {
    let mut cells: Vec<Vec<bool>> = (1..=LEVELS).map(|l| vec![false; 1 << (2 * l)]).collect();
    let mut score = 0;
    for p in px {
        for (k, level) in cells.iter_mut().enumerate() {
            let n = 1_usize << (k + 1);
            let column = ((p.x / width * n as f64).max(0.0) as usize).min(n - 1);
            let row = ((p.y / height * n as f64).max(0.0) as usize).min(n - 1);
            let cell = &mut level[row * n + column];
            if !*cell {
                *cell = true;
                score += (n * n) as u64;
            }
        }
    }
    score
}

/// Unregistered views beside registered ones with their number of visible points,
/// best first.
pub(crate) fn candidates(
    scene: &Scene<'_>,
    model: &Model,
    allowed: impl Fn(usize) -> bool + Sync + Send,
) -> Vec<(usize, usize)> {
    // Only what is matched with a registered view can see a point.
    let mut beside = vec![false; scene.num_views()];
    for pair in &scene.pairs {
        beside[pair.a] |= model.poses[pair.b].is_some();
        beside[pair.b] |= model.poses[pair.a].is_some();
    }
    let views: Vec<usize> = (0..scene.num_views())
        .filter(|&v| beside[v] && model.poses[v].is_none() && allowed(v))
        .collect();
    let mut scored: Vec<(u64, usize, usize)> = ordered::map(&views, |&v| {
        let seen = visible(scene, model, v);
        let camera = &scene.cameras[scene.camera_of[v]];
        let mut kps: Vec<u32> = seen.iter().map(|s| s.kp).collect();
        kps.dedup();
        let score = pyramid_score(
            kps.iter().map(|&k| scene.px[v][k as usize]),
            f64::from(camera.width_px),
            f64::from(camera.height_px),
        );
        (score, kps.len(), v)
    });
    scored.sort_unstable_by(|p, q| q.0.cmp(&p.0).then(p.2.cmp(&q.2)));
    scored.into_iter().map(|(_, n, v)| (v, n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_points_beat_a_cluster() {
        let spread = (0..16).map(|i| {
            Vec2::new(
                f64::from(i % 4) * 25.0 + 10.0,
                f64::from(i / 4) * 25.0 + 10.0,
            )
        });
        let cluster = (0..40).map(|i| Vec2::new(50.0 + 0.1 * f64::from(i), 50.0));
        assert!(pyramid_score(spread, 100.0, 100.0) > pyramid_score(cluster, 100.0, 100.0));
    }
}
