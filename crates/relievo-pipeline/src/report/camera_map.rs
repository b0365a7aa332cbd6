//! Cameras and points from above, as SVG.

use super::html::escape;
use relievo_geometry::{Sim3, Vec3};
use relievo_scene::SparseModel;
use std::fmt::Write;

const SIZE: f64 = 640.0;
const MOST_POINTS: usize = 3000;

/// A plan: `up_from_model` turns the model so that +y is up; points grey,
/// cameras as triangles that point where they look.
pub fn camera_map(model: &SparseModel, up_from_model: &Sim3) -> String {
    let cameras: Vec<(String, Vec3, Vec3)> = model
        .registered()
        .map(|(_, view, pose)| {
            let center = up_from_model.apply(&pose.center());
            let forward = up_from_model.rotation * (pose.rotation.inverse() * Vec3::z());
            (view.name.clone(), center, forward)
        })
        .collect();
    if cameras.is_empty() {
        return String::new();
    }
    let points: Vec<Vec3> = model
        .tracks
        .values()
        .filter_map(|t| t.position_in_world)
        .map(|p| up_from_model.apply(&p))
        .collect();
    let step = points.len().div_ceil(MOST_POINTS).max(1);
    let (low, high) = bounds(&cameras, &points);
    let extent = (high.0 - low.0).max(high.1 - low.1).max(1e-9);
    let scale = SIZE / (extent * 1.1);
    let middle = (f64::midpoint(low.0, high.0), f64::midpoint(low.1, high.1));
    let place = |p: &Vec3| {
        (
            (p.x - middle.0) * scale + SIZE / 2.0,
            (p.z - middle.1) * scale + SIZE / 2.0,
        )
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {SIZE} {SIZE}\" role=\"img\" \
         aria-label=\"Map of cameras and points from above\"><g fill=\"#999\">"
    );
    for p in points.iter().step_by(step) {
        let (x, y) = place(p);
        if (0.0..SIZE).contains(&x) && (0.0..SIZE).contains(&y) {
            let _ = write!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"1\"/>");
        }
    }
    svg.push_str("</g><g fill=\"#1f6feb\" fill-opacity=\".75\">");
    for (name, center, forward) in &cameras {
        let (x, y) = place(center);
        let length = forward.x.hypot(forward.z).max(1e-9);
        let (dx, dy) = (forward.x / length * 12.0, forward.z / length * 12.0);
        let _ = write!(
            svg,
            "<path d=\"M{:.1} {:.1}L{:.1} {:.1}L{:.1} {:.1}Z\"><title>{}</title></path>",
            x + dx,
            y + dy,
            x + dy * 0.3,
            y - dx * 0.3,
            x - dy * 0.3,
            y + dx * 0.3,
            escape(name)
        );
    }
    svg.push_str("</g></svg>");
    svg
}

/// All cameras and the middle 80 % of the points, in plan, with a margin of a
/// tenth: a house far behind does not shrink what was captured.
fn bounds(cameras: &[(String, Vec3, Vec3)], points: &[Vec3]) -> ((f64, f64), (f64, f64)) {
    let quantiles = |axis: usize| {
        let mut v: Vec<f64> = points
            .iter()
            .map(|p| p[axis])
            .filter(|v| v.is_finite())
            .collect();
        v.sort_by(f64::total_cmp);
        let at = |q: f64| v.get(((v.len() as f64 - 1.0) * q) as usize).copied();
        (at(0.1), at(0.9))
    };
    let (x, z) = (quantiles(0), quantiles(2));
    let mut low = (x.0.unwrap_or(f64::INFINITY), z.0.unwrap_or(f64::INFINITY));
    let mut high = (
        x.1.unwrap_or(f64::NEG_INFINITY),
        z.1.unwrap_or(f64::NEG_INFINITY),
    );
    for (_, c, _) in cameras {
        low = (low.0.min(c.x), low.1.min(c.z));
        high = (high.0.max(c.x), high.1.max(c.z));
    }
    let margin = 0.1 * (high.0 - low.0).max(high.1 - low.1);
    (
        (low.0 - margin, low.1 - margin),
        (high.0 + margin, high.1 + margin),
    )
}
