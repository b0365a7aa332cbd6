//! Pictures of a model from around it.

use relievo_geometry::{CameraModel, Mat3, Rigid3, Vec3};
use relievo_image::Raster;
use relievo_scene::{Camera, PointCloud, TexturedMesh, TriMesh};
use relievo_spatial::{RenderStyle, render_cloud, render_mesh, render_textured};

/// Height of the camera above the middle, degrees.
const ELEVATION_DEG: f64 = 20.0;
/// Focal length in picture sides.
const FOCAL: f64 = 1.6;

/// `turns` pictures of a Y-up model, `side` pixels square, evenly around it.
pub fn turntable(model: &TexturedMesh, turns: usize, side: u32) -> Vec<Raster<[u8; 3]>> {
    let style = style();
    (0..turns)
        .map(|i| {
            let azimuth = std::f64::consts::TAU * i as f64 / turns as f64;
            let (camera, pose) = view(&model.mesh.positions, azimuth, side);
            render_textured(model, &camera, &pose, &style)
        })
        .collect()
}

/// One picture of a mesh in its vertex colours.
pub fn mesh_picture(mesh: &TriMesh, side: u32) -> Raster<[u8; 3]> {
    let (camera, pose) = view(&mesh.positions, 0.5, side);
    render_mesh(mesh, &camera, &pose, &style())
}

/// One picture of a cloud.
pub fn cloud_picture(cloud: &PointCloud, side: u32) -> Raster<[u8; 3]> {
    let (camera, pose) = view(&cloud.positions, 0.5, side);
    render_cloud(cloud, &camera, &pose, 1, [255; 3])
}

fn style() -> RenderStyle {
    RenderStyle {
        background: [255; 3],
        headlight: 0.35,
        supersample: 2,
        near: 1e-3,
    }
}

/// A camera that sees the middle 98 % of the points, at this azimuth around
/// +y.
fn view(positions: &[[f32; 3]], azimuth: f64, side: u32) -> (Camera, Rigid3) {
    let bounds = relievo_spatial::quantile_bounds(positions, 0.01);
    let (center, radius) = bounds.map_or((Vec3::zeros(), 1.0), |b| {
        let c = b.center();
        (
            Vec3::new(c[0].into(), c[1].into(), c[2].into()),
            0.5 * f64::from(b.diagonal()),
        )
    });
    let elevation = ELEVATION_DEG.to_radians();
    let towards = Vec3::new(
        azimuth.sin() * elevation.cos(),
        elevation.sin(),
        azimuth.cos() * elevation.cos(),
    );
    let eye = center + towards * (radius.max(1e-9) * 2.0 * FOCAL * 1.08);
    let z = -towards;
    let x = z.cross(&Vec3::y()).normalize();
    let y = z.cross(&x);
    let rotation = Mat3::from_rows(&[x.transpose(), y.transpose(), z.transpose()]);
    let pose = Rigid3::from_matrix(&rotation, -(rotation * eye));
    let s = f64::from(side);
    let model = CameraModel::SimplePinhole {
        f: FOCAL * s,
        cx: s / 2.0,
        cy: s / 2.0,
    };
    (
        Camera {
            model,
            width_px: side,
            height_px: side,
            has_prior_focal: true,
        },
        pose,
    )
}
