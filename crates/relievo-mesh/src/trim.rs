//! Faces without evidence removed.

use crate::MeshError;
use crate::normals::{area_vector, norm, sub};
use crate::spacing::local_spacing;
use crate::topology::{Sets, VertexFaces, edge_runs, sorted_half_edges};
use crate::visibility::Visibility;
use rayon::prelude::*;
use relievo_scene::{PointCloud, TriMesh};
use relievo_spatial::KdTree;
use relievo_task::Task;

relievo_task::options! {
    /// Options of [`trim`].
    pub struct TrimOptions {
        /// Farthest that a vertex may be from a point of the cloud.
        max_distance: f32 = 3.0, "local point spacings", "F-score on the rendered object (2.0 … 4.0 tried)";
        /// Local spacing is taken as at most this, so that stray points support nothing.
        max_spacing: f32 = 8.0, "median point spacings", "judgement";
        /// Least point density under a vertex, over the median of the surface.
        min_density: f32 = 0.001, "share", "judgement; distance is the main test";
        /// Gaps up to this area stay closed.
        keep_gap: f32 = 2000.0, "square point spacings", "F-score on the rendered object (400 … 6000 tried)";
        /// Where at least this many views see through the surface, and more than see it, it goes; 0: nowhere.
        carve_views: u32 = 3, "views", "F-score on the rendered room";
        /// Rounds of smoothing of the evidence, for an even border.
        smoothing: u32 = 3, "rounds", "judgement";
    }
}

/// Spacing is taken as at least this share of the median: points that lie
/// closer than the cloud's own noise say nothing about distance.
const LEAST_SPACING: f32 = 0.5;

/// Removes faces that no point supports: Poisson closes every gap, rooms
/// balloon outwards. A vertex is supported where a point of the cloud is
/// within `max_distance` spacings, spacing being that of the points there, and
/// where the views do not see through it; gaps that are small stay closed.
///
/// `density`: points per unit of area, per vertex. `visibility`: may be empty.
/// Vertices that no face uses any more are dropped; order is kept.
pub fn trim(
    mesh: &TriMesh,
    density: &[f32],
    cloud: &PointCloud,
    visibility: &Visibility,
    options: &TrimOptions,
    task: &Task,
) -> Result<TriMesh, MeshError> {
    task.check()?;
    let tree = KdTree::new(&cloud.positions);
    task.check()?;
    let nearest = tree.nearest_batch(&mesh.positions);
    let mut asked: Vec<u32> = nearest.iter().flatten().map(|n| n.index).collect();
    asked.par_sort_unstable();
    asked.dedup();
    let around = local_spacing(&tree, &cloud.positions, &asked);
    task.check()?;
    let mut sorted: Vec<f32> = around.iter().copied().filter(|s| *s > 0.0).collect();
    if sorted.is_empty() {
        return Ok(TriMesh::default());
    }
    let half = sorted.len() / 2;
    let median = *sorted.select_nth_unstable_by(half, f32::total_cmp).1;
    let spacing: Vec<f32> = nearest
        .par_iter()
        .map(|n| {
            let row = n.and_then(|n| asked.binary_search(&n.index).ok());
            row.map_or(median, |r| {
                around[r].clamp(LEAST_SPACING * median, options.max_spacing * median)
            })
        })
        .collect();
    let evidence: Vec<f32> = nearest
        .par_iter()
        .zip(&spacing)
        .map(|(n, s)| n.map_or(f32::MAX, |n| (n.distance_squared.sqrt() / s).min(1e3)))
        .collect();
    let distance = smooth(mesh, evidence, options.smoothing);
    let least_density = if density.len() == mesh.positions.len() {
        let mut sorted = density.to_vec();
        sorted.sort_unstable_by(f32::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(0.0) * options.min_density
    } else {
        f32::NEG_INFINITY
    };
    let supported: Vec<bool> = (0..mesh.positions.len())
        .into_par_iter()
        .map(|v| {
            distance[v] <= options.max_distance
                && density.get(v).is_none_or(|d| *d >= least_density)
        })
        .collect();
    let carved: Vec<bool> = (0..mesh.positions.len())
        .into_par_iter()
        .map(|v| options.carve_views > 0 && visibility.is_empty_space(v, options.carve_views))
        .collect();
    let mut kept: Vec<bool> = mesh
        .triangles
        .par_iter()
        .map(|t| {
            let [a, b, c] = t.map(|v| mesh.positions[v as usize]);
            let longest = [sub(a, b), sub(b, c), sub(c, a)]
                .map(norm)
                .into_iter()
                .fold(0.0, f64::max);
            let scale = t.iter().map(|&v| spacing[v as usize]).fold(0.0, f32::max);
            let reach = f64::from(2.0 * options.max_distance * scale);
            let seen_through = t.iter().any(|&v| carved[v as usize]);
            longest <= reach && !seen_through && t.iter().all(|&v| supported[v as usize])
        })
        .collect();
    task.check()?;
    close_gaps(mesh, &spacing, &carved, options.keep_gap, &mut kept);
    let mut result = mesh.clone();
    let mut face = 0;
    result.triangles.retain(|_| {
        face += 1;
        kept[face - 1]
    });
    drop_unused_vertices(&mut result);
    Ok(result)
}

/// Means over the vertices of the adjoining faces, `rounds` times.
fn smooth(mesh: &TriMesh, mut values: Vec<f32>, rounds: u32) -> Vec<f32> {
    let fan = VertexFaces::new(mesh.positions.len(), &mesh.triangles);
    for _ in 0..rounds {
        values = (0..values.len())
            .into_par_iter()
            .map(|v| {
                let (mut sum, mut count) = (values[v], 1.0f32);
                for &f in fan.faces(v) {
                    for &other in &mesh.triangles[f as usize] {
                        sum += values[other as usize];
                        count += 1.0;
                    }
                }
                sum / count
            })
            .collect();
    }
    values
}

/// What of a gap is seen through counts this many times its area.
const CARVED_WEIGHT: f64 = 16.0;

/// Keeps connected removed pieces of at most `most` square spacings that do
/// not touch the border of the mesh.
fn close_gaps(mesh: &TriMesh, spacing: &[f32], carved: &[bool], most: f32, kept: &mut [bool]) {
    let mut pieces = Sets::new(mesh.triangles.len());
    let mut open = Vec::new();
    let edges = sorted_half_edges(&mesh.triangles);
    for run in edge_runs(&edges) {
        if let [a, b] = run {
            if !kept[a.slot as usize / 3] && !kept[b.slot as usize / 3] {
                pieces.join(a.slot / 3, b.slot / 3);
            }
        } else {
            open.extend(run.iter().map(|e| e.slot / 3));
        }
    }
    drop(edges);
    let mut areas = vec![0.0f64; mesh.triangles.len()];
    for (f, t) in mesh.triangles.iter().enumerate() {
        if !kept[f] {
            let scale = t
                .iter()
                .map(|&v| f64::from(spacing[v as usize]))
                .sum::<f64>()
                / 3.0;
            let area = 0.5 * norm(area_vector(&mesh.positions, *t));
            let seen_through = t.iter().any(|&v| carved[v as usize]);
            let weight = if seen_through { CARVED_WEIGHT } else { 1.0 };
            areas[pieces.find(f as u32) as usize] += weight * area / (scale * scale);
        }
    }
    for f in open {
        areas[pieces.find(f) as usize] = f64::INFINITY;
    }
    for f in 0..kept.len() {
        if !kept[f] && areas[pieces.find(f as u32) as usize] <= f64::from(most) {
            kept[f] = true;
        }
    }
}

/// Drops vertices that no face uses; order is kept.
pub(crate) fn drop_unused_vertices(mesh: &mut TriMesh) {
    let mut used = vec![false; mesh.positions.len()];
    for &v in mesh.triangles.iter().flatten() {
        used[v as usize] = true;
    }
    let mut number = vec![0u32; used.len()];
    let mut count = 0;
    for (v, &keep) in used.iter().enumerate() {
        number[v] = count;
        count += u32::from(keep);
    }
    let compact = |n: usize| (0..n).filter(|&v| used[v]);
    mesh.positions = compact(mesh.positions.len())
        .map(|v| mesh.positions[v])
        .collect();
    mesh.colors = compact(mesh.colors.len()).map(|v| mesh.colors[v]).collect();
    mesh.normals = compact(mesh.normals.len())
        .map(|v| mesh.normals[v])
        .collect();
    for t in &mut mesh.triangles {
        *t = t.map(|v| number[v as usize]);
    }
}
