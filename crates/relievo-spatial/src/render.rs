//! Pictures of meshes and clouds, for previews and reports.

use crate::bvh::TriangleBvh;
use crate::faces::{FaceBuffer, NO_FACE};
use rayon::prelude::*;
use relievo_geometry::{Rigid3, Vec2, Vec3};
use relievo_image::Raster;
use relievo_scene::{Camera, PointCloud, TexturedMesh, TriMesh};

/// How a picture is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RenderStyle {
    /// Colour where nothing is.
    pub background: [u8; 3],
    /// 0 = flat colours … 1 = fully lit by a lamp at the camera.
    pub headlight: f32,
    /// Rays or pixels per side of a picture's pixel (1 = no smoothing).
    pub supersample: u32,
    /// z below which nothing is drawn, in the model's unit.
    pub near: f64,
    /// Faces seen from behind are left out: a room is looked into through its
    /// walls.
    pub cull_back: bool,
}

impl Default for RenderStyle {
    fn default() -> Self {
        Self {
            background: [255, 255, 255],
            headlight: 0.0,
            supersample: 2,
            near: 1e-6,
            cull_back: false,
        }
    }
}

/// Draws a textured mesh as `camera` (any model; its size is the picture's)
/// sees it.
pub fn render_textured(
    model: &TexturedMesh,
    camera: &Camera,
    cam_from_world: &Rigid3,
    style: &RenderStyle,
) -> Raster<[u8; 3]> {
    let atlas = &model.atlas;
    render(
        &model.mesh,
        camera,
        cam_from_world,
        style,
        &|face, weights| {
            let uv = atlas.uv[face];
            let at =
                |k: usize| uv[0][k] * weights[0] + uv[1][k] * weights[1] + uv[2][k] * weights[2];
            sample_page(&atlas.pages[usize::from(atlas.page[face])], at(0), at(1))
        },
    )
}

/// Draws a mesh with its vertex colours; light grey without.
pub fn render_mesh(
    mesh: &TriMesh,
    camera: &Camera,
    cam_from_world: &Rigid3,
    style: &RenderStyle,
) -> Raster<[u8; 3]> {
    render(mesh, camera, cam_from_world, style, &|face, weights| {
        if mesh.colors.is_empty() {
            return [205.0; 3];
        }
        let c = mesh.triangles[face].map(|v| mesh.colors[v as usize]);
        std::array::from_fn(|k| (0..3).map(|i| f32::from(c[i][k]) * weights[i]).sum::<f32>())
    })
}

/// Draws each point as a square of `radius_px` half-width, nearest in front;
/// points turned away from the camera are drawn too.
pub fn render_cloud(
    cloud: &PointCloud,
    camera: &Camera,
    cam_from_world: &Rigid3,
    radius_px: u32,
    background: [u8; 3],
) -> Raster<[u8; 3]> {
    let (w, h) = (camera.width_px as usize, camera.height_px as usize);
    let mut picture = Raster::filled(w, h, background);
    let mut depth = Raster::filled(w, h, f64::INFINITY);
    let r = i64::from(radius_px);
    let pixels: Vec<Option<(Vec2, f64)>> = cloud
        .positions
        .par_iter()
        .with_min_len(4096)
        .map(|p| {
            let q = cam_from_world.apply(&Vec3::new(p[0].into(), p[1].into(), p[2].into()));
            let px = camera.model.project(&q)?;
            (px.x.is_finite() && px.y.is_finite()).then_some((px, q.z))
        })
        .collect();
    for (i, found) in pixels.iter().enumerate() {
        let Some((px, z)) = found else { continue };
        let (cx, cy) = (px.x.floor() as i64, px.y.floor() as i64);
        let color = cloud.colors.get(i).copied().unwrap_or([60; 3]);
        for y in cy.saturating_sub(r)..=cy.saturating_add(r) {
            for x in cx.saturating_sub(r)..=cx.saturating_add(r) {
                if x < 0 || y < 0 || x >= w as i64 || y >= h as i64 {
                    continue;
                }
                let at = (x as usize, y as usize);
                if *z < depth[at] {
                    depth[at] = *z;
                    picture[at] = color;
                }
            }
        }
    }
    picture
}

/// Bilinear colour of a page at (u, v) in 0..=1, v down; clamped at the
/// border.
pub fn sample_page(page: &Raster<[u8; 3]>, u: f32, v: f32) -> [f32; 3] {
    if page.is_empty() {
        return [0.0; 3];
    }
    let place = |t: f32, n: usize| {
        let t = (t * n as f32 - 0.5).clamp(0.0, (n - 1) as f32);
        let i = t as usize;
        (i, (i + 1).min(n - 1), t - i as f32)
    };
    let (x0, x1, fx) = place(u, page.width());
    let (y0, y1, fy) = place(v, page.height());
    let get = |x, y| page[(x, y)].map(f32::from);
    let (a, b, c, d) = (get(x0, y0), get(x1, y0), get(x0, y1), get(x1, y1));
    std::array::from_fn(|k| {
        let top = a[k] + (b[k] - a[k]) * fx;
        let bottom = c[k] + (d[k] - c[k]) * fx;
        top + (bottom - top) * fy
    })
}

/// Colour of a face at barycentric weights.
type Color<'a> = dyn Fn(usize, [f32; 3]) -> [f32; 3] + Sync + 'a;

/// The faces whose front `eye` sees, and their numbers in `mesh`.
fn facing(mesh: &TriMesh, eye: &Vec3) -> (TriMesh, Vec<u32>) {
    let at = |v: u32| {
        let p = mesh.positions[v as usize];
        Vec3::new(p[0].into(), p[1].into(), p[2].into())
    };
    let (faces, triangles) = (0..)
        .zip(&mesh.triangles)
        .filter(|(_, t)| {
            let [a, b, c] = t.map(at);
            (b - a).cross(&(c - a)).dot(&(eye - a)) > 0.0
        })
        .map(|(f, t)| (f as u32, *t))
        .unzip();
    let front = TriMesh {
        positions: mesh.positions.clone(),
        triangles,
        ..TriMesh::default()
    };
    (front, faces)
}

fn render(
    mesh: &TriMesh,
    camera: &Camera,
    cam_from_world: &Rigid3,
    style: &RenderStyle,
    color: &Color<'_>,
) -> Raster<[u8; 3]> {
    if style.cull_back {
        let (front, faces) = facing(mesh, &cam_from_world.inverse().translation);
        let both = RenderStyle {
            cull_back: false,
            ..*style
        };
        let color = |face: usize, weights| color(faces[face] as usize, weights);
        return render(&front, camera, cam_from_world, &both, &color);
    }
    let n = style.supersample.max(1);
    let fine = camera.resized(camera.width_px * n, camera.height_px * n);
    let buffer = if camera.model.is_pinhole() {
        FaceBuffer::rasterise(mesh, &fine, cam_from_world, style.near)
    } else {
        FaceBuffer::cast(&TriangleBvh::new(mesh), &fine, cam_from_world)
    };
    let world_from_cam = cam_from_world.inverse();
    let center = world_from_cam.translation;
    let (w, h, n) = (
        camera.width_px as usize,
        camera.height_px as usize,
        n as usize,
    );
    let rows: Vec<Vec<[u8; 3]>> = (0..h)
        .into_par_iter()
        .map(|y| {
            let mut row = Vec::with_capacity(w);
            for x in 0..w {
                let mut sum = [0.0_f32; 3];
                for sub in 0..n * n {
                    let (fx, fy) = (x * n + sub % n, y * n + sub / n);
                    let face = buffer.face[(fx, fy)];
                    let c = if face == NO_FACE {
                        style.background.map(f32::from)
                    } else {
                        let pixel = fine
                            .model
                            .unproject(&Vec2::new(fx as f64 + 0.5, fy as f64 + 0.5));
                        let ray = world_from_cam.rotation * Vec3::new(pixel.x, pixel.y, 1.0);
                        let (weights, cosine) = on_face(mesh, face as usize, &center, &ray);
                        let light = 1.0 - style.headlight * (1.0 - (0.15 + 0.85 * cosine));
                        color(face as usize, weights).map(|v| v * light)
                    };
                    for k in 0..3 {
                        sum[k] += c[k];
                    }
                }
                row.push(sum.map(|v| (v / (n * n) as f32).round().clamp(0.0, 255.0) as u8));
            }
            row
        })
        .collect();
    Raster::from_vec(w, h, rows.into_iter().flatten().collect())
}

/// Barycentric weights where a ray meets a face's plane (clamped to the face)
/// and the cosine between ray and normal, either side.
fn on_face(mesh: &TriMesh, face: usize, origin: &Vec3, ray: &Vec3) -> ([f32; 3], f32) {
    let [a, b, c] = mesh.triangles[face].map(|v| {
        let p = mesh.positions[v as usize];
        Vec3::new(p[0].into(), p[1].into(), p[2].into())
    });
    let (e1, e2) = (b - a, c - a);
    let normal = e1.cross(&e2);
    let p = ray.cross(&e2);
    let det = e1.dot(&p);
    let cosine = (normal.dot(ray).abs() / (normal.norm() * ray.norm()).max(1e-300)) as f32;
    if det == 0.0 || !det.is_finite() {
        return ([1.0, 0.0, 0.0], cosine);
    }
    let s = origin - a;
    let v = (s.dot(&p) / det).clamp(0.0, 1.0);
    let w = (ray.dot(&s.cross(&e1)) / det).clamp(0.0, 1.0 - v);
    ([(1.0 - v - w) as f32, v as f32, w as f32], cosine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use relievo_geometry::CameraModel;
    use relievo_scene::TextureAtlas;

    fn quad() -> TexturedMesh {
        TexturedMesh {
            mesh: TriMesh {
                positions: vec![
                    [-1.0, -1.0, 0.0],
                    [1.0, -1.0, 0.0],
                    [1.0, 1.0, 0.0],
                    [-1.0, 1.0, 0.0],
                ],
                triangles: vec![[0, 2, 1], [0, 3, 2]],
                ..TriMesh::default()
            },
            atlas: TextureAtlas {
                pages: vec![Raster::from_fn(64, 64, |x, y| {
                    [(x * 4) as u8, (y * 4) as u8, 9]
                })],
                uv: vec![
                    [[0.0, 0.0], [1.0, 1.0], [1.0, 0.0]],
                    [[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]],
                ],
                page: vec![0, 0],
                seen: vec![true, true],
            },
        }
    }

    fn view(distortion: f64) -> (Camera, Rigid3) {
        let camera = Camera {
            model: CameraModel::SimpleRadial {
                f: 100.0,
                cx: 50.0,
                cy: 50.0,
                k: distortion,
            },
            width_px: 100,
            height_px: 100,
            has_prior_focal: true,
        };
        let mut pose = Rigid3::identity();
        pose.translation.z = 4.0;
        (camera, pose)
    }

    #[test]
    fn the_texture_appears_in_its_place() {
        for distortion in [0.0, -0.05] {
            let (camera, pose) = view(distortion);
            let model = quad();
            model.check().unwrap();
            let style = RenderStyle {
                background: [1, 2, 3],
                ..RenderStyle::default()
            };
            let picture = render_textured(&model, &camera, &pose, &style);
            assert_eq!(picture[(2, 2)], [1, 2, 3]);
            for (x, y) in [(30, 40), (50, 50), (70, 31)] {
                let n = camera
                    .model
                    .unproject(&Vec2::new(x as f64 + 0.5, y as f64 + 0.5));
                let expect = |t: f64| ((t * 4.0 + 1.0) * 32.0 - 0.5) * 4.0;
                let got = picture[(x, y)];
                assert!((f64::from(got[0]) - expect(n.x)).abs() < 1.5, "{got:?}");
                assert!((f64::from(got[1]) - expect(n.y)).abs() < 1.5, "{got:?}");
            }
        }
    }

    #[test]
    fn faces_seen_from_behind_can_be_left_out() {
        let (camera, pose) = view(0.0);
        let style = RenderStyle {
            background: [1, 2, 3],
            cull_back: true,
            ..RenderStyle::default()
        };
        let mut model = quad();
        assert_ne!(
            render_textured(&model, &camera, &pose, &style)[(50, 50)],
            [1, 2, 3]
        );
        for (t, uv) in model.mesh.triangles.iter_mut().zip(&mut model.atlas.uv) {
            t.swap(0, 1);
            uv.swap(0, 1);
        }
        assert_eq!(
            render_textured(&model, &camera, &pose, &style)[(50, 50)],
            [1, 2, 3]
        );
    }

    #[test]
    fn clouds_show_the_nearest_point() {
        let (camera, pose) = view(0.0);
        let cloud = PointCloud {
            positions: vec![
                [0.0; 3],
                [0.0, 0.0, -1.0],
                [0.0, 0.0, 9.0],
                [f32::NAN; 3],
                [1e30, 0.0, 0.0],
            ],
            colors: vec![[10; 3], [20; 3], [30; 3], [40; 3], [50; 3]],
            ..PointCloud::default()
        };
        let picture = render_cloud(&cloud, &camera, &pose, 1, [0; 3]);
        assert_eq!(picture[(51, 49)], [20; 3]);
        assert_eq!(picture[(60, 49)], [0; 3]);
    }
}
