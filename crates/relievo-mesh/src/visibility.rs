//! What the cameras say about a surface: who sees it, who sees through it.
//!
//! A point of the cloud that a camera saw proves that the way between them is
//! free (Labatut, Pons & Keriven, "Robust and Efficient Surface Reconstruction
//! from Range Data", 2009). Here the points that a camera saw make its depth
//! buffer, and every vertex is held against the buffers of all cameras.

use crate::normals::vertex_normals;
use rayon::prelude::*;
use relievo_geometry::{Mat3, Rigid3, Vec3};
use relievo_scene::{Camera, PointCloud, TriMesh, ViewId};
use std::sync::atomic::{AtomicU32, Ordering};

/// A camera that saw points of the cloud.
#[derive(Clone, Debug)]
pub struct SurfaceView {
    /// As the cloud names it.
    pub id: ViewId,
    /// Its intrinsics; distortion does not matter here.
    pub camera: Camera,
    /// Its pose.
    pub cam_from_world: Rigid3,
}

/// Per vertex, how many cameras …
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Visibility {
    /// … saw only what lies behind it.
    pub through: Vec<u8>,
    /// … saw a point where it is, looking at its front.
    pub on: Vec<u8>,
}

impl Visibility {
    /// Whether at least `least` cameras see through vertex `v`, and more than
    /// see it. False without evidence.
    pub fn is_empty_space(&self, v: usize, least: u32) -> bool {
        match (self.through.get(v), self.on.get(v)) {
            (Some(&through), Some(&on)) => u32::from(through) >= least && through > on,
            _ => false,
        }
    }
}

/// Longer side of a depth buffer, pixels: a point each at the spacing that
/// depth maps of half a photo's size give.
const BUFFER_PX: f64 = 800.0;
/// Buffers held at a time (2 MB each); fixed, so that memory is bounded.
const BATCH: usize = 32;
/// Points or vertices of one unit of parallel work.
const CHUNK: usize = 4096;
/// A point covers this many spacings around it, at least its own pixel.
const SPLAT_SPACINGS: f64 = 0.7;
/// … and at most this many pixels.
const MOST_SPLAT_PX: f64 = 4.0;
/// Pixels around a vertex's own that must agree that it is seen through.
const WINDOW: i64 = 1;
/// A surface may lie this far in front of a point and still be the same: so
/// many finest cells …
const GAP_CELLS: f64 = 2.0;
/// … and this share of the distance to the camera, as in fusion.
const GAP_SHARE: f64 = 0.01;
/// Least cosine between a front and the way to the camera.
const FRONT: f64 = 0.1;

/// A camera's depth buffer and projection.
struct Buffer {
    rotation: Mat3,
    translation: Vec3,
    focal: [f64; 2],
    centre: [f64; 2],
    size: [usize; 2],
    /// Bits of the least z seen; those of +∞ where nothing was.
    depth: Vec<AtomicU32>,
}

impl Buffer {
    fn new(view: &SurfaceView) -> Self {
        let (w, h) = (
            f64::from(view.camera.width_px),
            f64::from(view.camera.height_px),
        );
        let scale = (BUFFER_PX / w.max(h)).min(1.0);
        let (fx, fy) = view.camera.model.focal_px();
        let c = view.camera.model.principal_point_px();
        let size = [w, h].map(|x| (x * scale).ceil().max(1.0) as usize);
        Self {
            rotation: view.cam_from_world.matrix(),
            translation: view.cam_from_world.translation,
            focal: [fx * scale, fy * scale],
            centre: [c.x * scale, c.y * scale],
            size,
            depth: (0..size[0] * size[1])
                .map(|_| AtomicU32::new(f32::INFINITY.to_bits()))
                .collect(),
        }
    }

    /// Pixel position and z; `None` behind the camera.
    fn project(&self, p: [f32; 3]) -> Option<(f64, f64, f64)> {
        let q = self.rotation * Vec3::new(p[0].into(), p[1].into(), p[2].into()) + self.translation;
        (q.z > 0.0).then(|| {
            (
                self.focal[0] * q.x / q.z + self.centre[0],
                self.focal[1] * q.y / q.z + self.centre[1],
                q.z,
            )
        })
    }

    /// Pixels from `low` to `high` inside the buffer.
    fn pixels(&self, low: [f64; 2], high: [f64; 2]) -> impl Iterator<Item = &AtomicU32> {
        let range = |k: usize| {
            let end = (high[k].floor() + 1.0).clamp(0.0, self.size[k] as f64);
            (low[k].floor().clamp(0.0, end) as usize)..(end as usize)
        };
        let columns = range(0);
        range(1).flat_map(move |y| {
            self.depth[y * self.size[0] + columns.start..y * self.size[0] + columns.end].iter()
        })
    }

    fn splat(&self, p: [f32; 3], spacing: f64) {
        let Some((u, v, z)) = self.project(p) else {
            return;
        };
        let radius = (SPLAT_SPACINGS * spacing * self.focal[0] / z).min(MOST_SPLAT_PX);
        // Bits of positive floats are ordered as they are.
        let bits = (z as f32).to_bits();
        for pixel in self.pixels([u - radius, v - radius], [u + radius, v + radius]) {
            pixel.fetch_min(bits, Ordering::Relaxed);
        }
    }

    /// Whether the vertex is seen through, and whether it is seen.
    fn judge(&self, p: [f32; 3], normal: [f64; 3], gap: f64) -> (bool, bool) {
        let Some((u, v, z)) = self.project(p) else {
            return (false, false);
        };
        let gap = gap.max(GAP_SHARE * z);
        let reach = WINDOW as f64;
        let (mut nearest, mut touched, mut known, mut total) = (f64::INFINITY, false, 0, 0);
        for pixel in self.pixels([u - reach, v - reach], [u + reach, v + reach]) {
            let d = f64::from(f32::from_bits(pixel.load(Ordering::Relaxed)));
            total += 1;
            if d.is_finite() {
                known += 1;
                nearest = nearest.min(d);
                touched |= (d - z).abs() <= gap;
            }
        }
        let through = 2 * known > total && nearest > z + gap;
        let centre = self.rotation.tr_mul(&-self.translation);
        let to = [0, 1, 2].map(|k| centre[k] - f64::from(p[k]));
        let length = (to[0] * to[0] + to[1] * to[1] + to[2] * to[2]).sqrt();
        let cosine = (0..3).map(|k| to[k] * normal[k]).sum::<f64>() / length.max(1e-30);
        (through, touched && cosine > FRONT)
    }
}

/// Holds every vertex against the views. `spacing`: of the points; `cell`: edge
/// of the finest cell of the reconstruction; both in the mesh's unit.
///
/// Empty without the views of the points. Views that the cloud does not name
/// take no part. At most 32 buffers are held at a time. The same for any
/// number of threads: buffers are minima, votes are counts.
pub fn visibility(
    mesh: &TriMesh,
    cloud: &PointCloud,
    views: &[SurfaceView],
    spacing: f32,
    cell: f32,
) -> Visibility {
    if cloud.view_starts.is_empty() || views.is_empty() {
        return Visibility::default();
    }
    let normals = vertex_normals(mesh);
    let gap = GAP_CELLS * f64::from(cell);
    let mut sorted: Vec<&SurfaceView> = views.iter().collect();
    sorted.sort_by_key(|v| v.id);
    let mut votes = vec![[0u8; 2]; mesh.positions.len()];
    for batch in sorted.chunks(BATCH) {
        let buffers: Vec<Buffer> = batch.iter().map(|v| Buffer::new(v)).collect();
        let row = |id: ViewId| batch.binary_search_by_key(&id, |v| v.id).ok();
        (0..cloud.len())
            .into_par_iter()
            .with_min_len(CHUNK)
            .for_each(|i| {
                for &id in cloud.views(i) {
                    if let Some(r) = row(id) {
                        buffers[r].splat(cloud.positions[i], f64::from(spacing));
                    }
                }
            });
        votes
            .par_iter_mut()
            .enumerate()
            .with_min_len(CHUNK)
            .for_each(|(v, votes)| {
                let normal = normals[v].map(f64::from);
                for buffer in &buffers {
                    let (through, on) = buffer.judge(mesh.positions[v], normal, gap);
                    votes[0] = votes[0].saturating_add(u8::from(through));
                    votes[1] = votes[1].saturating_add(u8::from(on));
                }
            });
    }
    Visibility {
        through: votes.iter().map(|v| v[0]).collect(),
        on: votes.iter().map(|v| v[1]).collect(),
    }
}
