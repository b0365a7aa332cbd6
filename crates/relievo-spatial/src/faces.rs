//! Which face each pixel of a camera shows: a software rasteriser.
//!
//! Rasterises in homogeneous coordinates (Olano & Greer, "Triangle Scan
//! Conversion using 2D Homogeneous Coordinates", 1997), so a triangle that
//! crosses the camera plane needs no clipping: its pixels in front of the
//! near plane are simply those whose depth says so. Edge functions of a
//! shared edge are exact negatives of one another, hence no cracks.

use crate::bvh::TriangleBvh;
use rayon::prelude::*;
use relievo_geometry::{Rigid3, Vec2, Vec3};
use relievo_image::Raster;
use relievo_scene::{Camera, TriMesh};

/// No face at this pixel.
pub const NO_FACE: u32 = u32::MAX;

/// Rows of one unit of parallel work.
const BAND: usize = 16;

/// Per pixel the index of the nearest face and its z-depth.
#[derive(Clone, Debug, PartialEq)]
pub struct FaceBuffer {
    /// Face index, or [`NO_FACE`].
    pub face: Raster<u32>,
    /// z in the camera frame at the pixel's centre; infinite where no face is.
    pub depth: Raster<f32>,
}

/// A triangle ready to be filled.
struct Setup {
    /// Edge functions a·x + b·y + c at pixel (x, y), ≥ 0 inside.
    edge: [[f64; 3]; 3],
    /// Depth is `det / Σ edges`.
    det: f64,
    face: u32,
    /// Pixel box, inclusive.
    x: (u32, u32),
    y: (u32, u32),
}

impl FaceBuffer {
    fn empty(camera: &Camera) -> Self {
        let (w, h) = (camera.width_px as usize, camera.height_px as usize);
        Self {
            face: Raster::filled(w, h, NO_FACE),
            depth: Raster::filled(w, h, f32::INFINITY),
        }
    }

    /// The z-buffer of `mesh` from a pinhole camera; the distortion of any
    /// other model is ignored (see [`FaceBuffer::cast`]). Both sides of a face
    /// count; at equal depth the lowest face index stays. Surface nearer than
    /// `near` (z, in the mesh's unit) is cut away. Triangles that are not
    /// finite are skipped. Parallel.
    pub fn rasterise(mesh: &TriMesh, camera: &Camera, cam_from_world: &Rigid3, near: f64) -> Self {
        let mut buffer = Self::empty(camera);
        let (w, h) = (buffer.face.width(), buffer.face.height());
        if w == 0 || h == 0 || mesh.triangles.is_empty() {
            return buffer;
        }
        let near = near.max(f64::MIN_POSITIVE);
        let points = homogeneous_pixels(mesh, camera, cam_from_world);
        let setups: Vec<Setup> = mesh
            .triangles
            .par_iter()
            .enumerate()
            .with_min_len(1024)
            .filter_map(|(face, t)| setup(face as u32, t, &points, (w, h), near))
            .collect();
        let bands = h.div_ceil(BAND);
        let of_band = bin_by_band(&setups, bands);
        buffer
            .face
            .as_mut_slice()
            .par_chunks_mut(BAND * w)
            .zip(buffer.depth.as_mut_slice().par_chunks_mut(BAND * w))
            .enumerate()
            .for_each(|(band, (faces, depths))| {
                for &i in of_band.of(band) {
                    fill(&setups[i as usize], band * BAND, w, faces, depths, near);
                }
            });
        buffer
    }

    /// The same by one ray a pixel, for any camera model.
    pub fn cast(bvh: &TriangleBvh, camera: &Camera, cam_from_world: &Rigid3) -> Self {
        let mut buffer = Self::empty(camera);
        let w = buffer.face.width();
        if w == 0 || bvh.is_empty() {
            return buffer;
        }
        let world_from_cam = cam_from_world.inverse();
        let origin = world_from_cam.translation.map(|v| v as f32).into();
        buffer
            .face
            .as_mut_slice()
            .par_chunks_mut(w)
            .zip(buffer.depth.as_mut_slice().par_chunks_mut(w))
            .enumerate()
            .for_each(|(y, (faces, depths))| {
                for x in 0..w {
                    let n = camera
                        .model
                        .unproject(&Vec2::new(x as f64 + 0.5, y as f64 + 0.5));
                    // Unit z in the camera, so that t is the depth.
                    let d = world_from_cam.rotation * Vec3::new(n.x, n.y, 1.0);
                    if let Some(hit) = bvh.cast(origin, d.map(|v| v as f32).into()) {
                        faces[x] = hit.face;
                        depths[x] = hit.t;
                    }
                }
            });
        buffer
    }
}

/// Per vertex (u·z, v·z, z) with (u, v) its pixel; NaN where not finite.
fn homogeneous_pixels(mesh: &TriMesh, camera: &Camera, cam_from_world: &Rigid3) -> Vec<[f64; 3]> {
    let (fx, fy) = camera.model.focal_px();
    let c = camera.model.principal_point_px();
    let r = cam_from_world.matrix();
    let t = cam_from_world.translation;
    mesh.positions
        .par_iter()
        .with_min_len(4096)
        .map(|p| {
            let q = r * Vec3::new(f64::from(p[0]), f64::from(p[1]), f64::from(p[2])) + t;
            [fx * q.x + c.x * q.z, fy * q.y + c.y * q.z, q.z]
        })
        .collect()
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}

fn setup(
    face: u32,
    triangle: &[u32; 3],
    points: &[[f64; 3]],
    (w, h): (usize, usize),
    near: f64,
) -> Option<Setup> {
    let mut p = [[0.0; 3]; 3];
    for k in 0..3 {
        p[k] = *points.get(triangle[k] as usize)?;
    }
    if !p.iter().flatten().all(|v| v.is_finite()) {
        return None;
    }
    let (x, y) = pixel_box(&p, w, h, near)?;
    let mut edge = [cross(p[1], p[2]), cross(p[2], p[0]), cross(p[0], p[1])];
    let mut det = edge[0][0] * p[0][0] + edge[0][1] * p[0][1] + edge[0][2] * p[0][2];
    if det < 0.0 {
        det = -det;
        edge = edge.map(|e| e.map(|v| -v));
    }
    (det > 0.0).then_some(Setup {
        edge,
        det,
        face,
        x,
        y,
    })
}

type Span = (u32, u32);

/// Pixels whose centres may lie inside, from the part in front of `near`.
fn pixel_box(p: &[[f64; 3]; 3], w: usize, h: usize, near: f64) -> Option<(Span, Span)> {
    let mut low = [f64::INFINITY; 2];
    let mut high = [f64::NEG_INFINITY; 2];
    let mut add = |q: [f64; 3]| {
        for k in 0..2 {
            low[k] = low[k].min(q[k] / q[2]);
            high[k] = high[k].max(q[k] / q[2]);
        }
    };
    for k in 0..3 {
        let (a, b) = (p[k], p[(k + 1) % 3]);
        if a[2] >= near {
            add(a);
        }
        if (a[2] >= near) != (b[2] >= near) {
            let s = (near - a[2]) / (b[2] - a[2]);
            add([a[0] + s * (b[0] - a[0]), a[1] + s * (b[1] - a[1]), near]);
        }
    }
    let span = |low: f64, high: f64, n: usize| {
        let first = (low - 0.5).ceil().max(0.0);
        let last = (high - 0.5).floor().min(n as f64 - 1.0);
        (first <= last).then_some((first as u32, last as u32))
    };
    Some((span(low[0], high[0], w)?, span(low[1], high[1], h)?))
}

/// Lists of triangles by band of rows, in face order.
struct Bands {
    starts: Vec<u32>,
    items: Vec<u32>,
}

impl Bands {
    fn of(&self, band: usize) -> &[u32] {
        &self.items[self.starts[band] as usize..self.starts[band + 1] as usize]
    }
}

fn bin_by_band(setups: &[Setup], bands: usize) -> Bands {
    let range = |s: &Setup| (s.y.0 as usize / BAND)..=(s.y.1 as usize / BAND);
    let mut starts = vec![0_u32; bands + 1];
    for s in setups {
        for band in range(s) {
            starts[band + 1] += 1;
        }
    }
    for band in 0..bands {
        starts[band + 1] += starts[band];
    }
    let mut next = starts.clone();
    let mut items = vec![0; starts[bands] as usize];
    for (i, s) in setups.iter().enumerate() {
        for band in range(s) {
            items[next[band] as usize] = i as u32;
            next[band] += 1;
        }
    }
    Bands { starts, items }
}

#[inline]
fn fill(s: &Setup, top: usize, w: usize, faces: &mut [u32], depths: &mut [f32], near: f64) {
    let rows = faces.len() / w;
    let first = (s.y.0 as usize).max(top);
    let last = (s.y.1 as usize).min(top + rows - 1);
    for y in first..=last {
        let yc = y as f64 + 0.5;
        let row = (y - top) * w;
        let base: [f64; 3] = std::array::from_fn(|k| s.edge[k][1] * yc + s.edge[k][2]);
        for x in s.x.0 as usize..=s.x.1 as usize {
            let xc = x as f64 + 0.5;
            let e: [f64; 3] = std::array::from_fn(|k| s.edge[k][0] * xc + base[k]);
            if e[0] < 0.0 || e[1] < 0.0 || e[2] < 0.0 {
                continue;
            }
            let z = s.det / (e[0] + e[1] + e[2]);
            if !(z >= near && z.is_finite()) {
                continue;
            }
            let z = z as f32;
            let i = row + x;
            if z < depths[i] || (z == depths[i] && s.face < faces[i]) {
                depths[i] = z;
                faces[i] = s.face;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use relievo_geometry::CameraModel;

    fn camera(w: u32, h: u32) -> Camera {
        Camera {
            model: CameraModel::Pinhole {
                fx: 210.0,
                fy: 205.0,
                cx: w as f64 * 0.5 + 3.0,
                cy: h as f64 * 0.5 - 2.0,
            },
            width_px: w,
            height_px: h,
            has_prior_focal: true,
        }
    }

    /// A ball of radius 1 at the origin inside a large floor that reaches
    /// behind the camera.
    fn scene() -> TriMesh {
        let mut mesh = TriMesh::default();
        let n = 40;
        for i in 0..=n {
            for j in 0..n {
                let a = std::f32::consts::PI * i as f32 / n as f32;
                let b = std::f32::consts::TAU * j as f32 / n as f32;
                mesh.positions
                    .push([a.sin() * b.cos(), a.cos(), a.sin() * b.sin()]);
            }
        }
        for i in 0..n {
            for j in 0..n {
                let (a, b) = (i * n + j, i * n + (j + 1) % n);
                mesh.triangles.push([a, b, b + n]);
                mesh.triangles.push([a, b + n, a + n]);
            }
        }
        let base = mesh.positions.len() as u32;
        for (x, z) in [(-50.0, -50.0), (50.0, -50.0), (50.0, 50.0), (-50.0, 50.0)] {
            mesh.positions.push([x, 1.2, z]);
        }
        mesh.triangles.push([base, base + 1, base + 2]);
        mesh.triangles.push([base, base + 2, base + 3]);
        mesh
    }

    fn pose() -> Rigid3 {
        Rigid3::new(
            nalgebra::UnitQuaternion::from_euler_angles(0.1, 0.3, -0.05),
            Vec3::new(0.1, 0.05, 3.0),
        )
    }

    #[test]
    fn rasteriser_and_ray_caster_agree() {
        let mesh = scene();
        let camera = camera(320, 240);
        let raster = FaceBuffer::rasterise(&mesh, &camera, &pose(), 1e-3);
        let cast = FaceBuffer::cast(&TriangleBvh::new(&mesh), &camera, &pose());
        let (mut same, mut seen) = (0, 0);
        for i in 0..320 * 240 {
            let (a, b) = (raster.depth.as_slice()[i], cast.depth.as_slice()[i]);
            assert_eq!(a.is_finite(), b.is_finite(), "pixel {i}");
            if a.is_finite() {
                assert!((a - b).abs() < 1e-3 * b, "pixel {i}: {a} {b}");
                seen += 1;
                same += usize::from(raster.face.as_slice()[i] == cast.face.as_slice()[i]);
            }
        }
        // The floor fills the lower half although it crosses the camera plane.
        assert!(seen > 320 * 240 / 2);
        assert!(same as f64 > 0.999 * f64::from(seen), "{same} of {seen}");
    }

    #[test]
    fn surface_nearer_than_the_near_plane_is_cut_away() {
        let mesh = scene();
        let camera = camera(64, 48);
        let cut = FaceBuffer::rasterise(&mesh, &camera, &pose(), 3.0);
        assert!(cut.depth.as_slice().iter().all(|&z| z >= 3.0));
        assert!(cut.face.as_slice().iter().any(|&f| f != NO_FACE));
    }

    #[test]
    fn garbage_and_nothing_leave_an_empty_buffer() {
        let camera = camera(32, 32);
        let empty = FaceBuffer::rasterise(&TriMesh::default(), &camera, &pose(), 1e-3);
        assert!(empty.face.as_slice().iter().all(|&f| f == NO_FACE));
        let mesh = TriMesh {
            positions: vec![[0.0; 3], [f32::NAN; 3], [1.0, 0.0, 0.0], [f32::MAX; 3]],
            triangles: vec![[0, 1, 2], [0, 2, 9], [0, 0, 2], [0, 2, 2]],
            ..TriMesh::default()
        };
        let b = FaceBuffer::rasterise(&mesh, &camera, &pose(), 1e-3);
        assert!(b.face.as_slice().iter().all(|&f| f == NO_FACE));
    }

    #[test]
    fn same_bytes_on_one_and_two_threads() {
        let mesh = scene();
        let run = |n| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(n)
                .build()
                .unwrap()
                .install(|| FaceBuffer::rasterise(&mesh, &camera(320, 240), &pose(), 1e-3))
        };
        assert!(run(1) == run(2));
    }
}
