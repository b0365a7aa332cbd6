//! Photo pixels into charts.

use crate::adjacency::NONE;
use crate::charts::Chart;
use crate::coverage::Coverage;
use crate::plane::ViewPlane;
use relievo_image::Raster;
use relievo_image::color::{linear_to_srgb, srgb_to_linear};
use relievo_scene::TriMesh;

/// The chart's rectangle with the photo's colours, unchanged, under its faces
/// and around them; black elsewhere.
///
/// At a texel per pixel without distortion the pixels are copied; otherwise
/// cubic convolution (Catmull–Rom), or, for smaller charts, the mean in linear
/// light of a grid of bilinear samples.
pub(crate) fn bake_chart(
    mesh: &TriMesh,
    chart: &Chart,
    plane: &ViewPlane,
    photo: &Raster<[u8; 3]>,
    padding: u32,
) -> Raster<[u8; 3]> {
    let coverage = Coverage::new(mesh, chart, plane, padding);
    let grid = ((1.0 / chart.scale).round() as usize).clamp(1, 16);
    Raster::from_fn(coverage.width, coverage.height, |x, y| {
        if coverage.face[y * coverage.width + x] == NONE {
            return [0; 3];
        }
        let (tx, ty) = (x as f64, y as f64);
        if grid == 1 {
            let at = chart.plane_px([tx + 0.5, ty + 0.5], padding);
            return cubic(photo, plane.photo_px(at), plane.is_distorted());
        }
        let mut sum = [0.0_f32; 3];
        for s in 0..grid * grid {
            let sub = |k: usize| (k as f64 + 0.5) / grid as f64;
            let at = chart.plane_px([tx + sub(s % grid), ty + sub(s / grid)], padding);
            let c = bilinear_linear(photo, plane.photo_px(at));
            for k in 0..3 {
                sum[k] += c[k];
            }
        }
        sum.map(|v| linear_to_srgb(v / (grid * grid) as f32))
    })
}

fn clamped(photo: &Raster<[u8; 3]>, x: i64, y: i64) -> [u8; 3] {
    photo[(
        x.clamp(0, photo.width() as i64 - 1) as usize,
        y.clamp(0, photo.height() as i64 - 1) as usize,
    )]
}

fn cubic(photo: &Raster<[u8; 3]>, px: [f64; 2], distorted: bool) -> [u8; 3] {
    let (u, v) = (px[0] - 0.5, px[1] - 0.5);
    let (x, y) = (u.floor(), v.floor());
    let (fx, fy) = ((u - x) as f32, (v - y) as f32);
    let (x, y) = (x as i64, y as i64);
    if !distorted && fx < 1e-4 && fy < 1e-4 {
        return clamped(photo, x, y);
    }
    let (wx, wy) = (catmull_rom(fx), catmull_rom(fy));
    let mut sum = [0.0_f32; 3];
    for j in 0..4 {
        for i in 0..4 {
            let c = clamped(photo, x + i as i64 - 1, y + j as i64 - 1);
            let w = wx[i] * wy[j];
            for k in 0..3 {
                sum[k] += w * f32::from(c[k]);
            }
        }
    }
    sum.map(|v| v.round().clamp(0.0, 255.0) as u8)
}

/// Keys, "Cubic Convolution Interpolation for Digital Image Processing", 1981,
/// a = −1/2.
fn catmull_rom(t: f32) -> [f32; 4] {
    let (t2, t3) = (t * t, t * t * t);
    [
        -0.5 * t3 + t2 - 0.5 * t,
        1.5 * t3 - 2.5 * t2 + 1.0,
        -1.5 * t3 + 2.0 * t2 + 0.5 * t,
        0.5 * t3 - 0.5 * t2,
    ]
}

fn bilinear_linear(photo: &Raster<[u8; 3]>, px: [f64; 2]) -> [f32; 3] {
    let (u, v) = (px[0] - 0.5, px[1] - 0.5);
    let (x, y) = (u.floor(), v.floor());
    let (fx, fy) = ((u - x) as f32, (v - y) as f32);
    let (x, y) = (x as i64, y as i64);
    let get = |x, y| clamped(photo, x, y).map(srgb_to_linear);
    let (a, b, c, d) = (get(x, y), get(x + 1, y), get(x, y + 1), get(x + 1, y + 1));
    std::array::from_fn(|k| {
        let top = a[k] + (b[k] - a[k]) * fx;
        let bottom = c[k] + (d[k] - c[k]) * fx;
        top + (bottom - top) * fy
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sampling_reproduces_pixels_and_ramps() {
        let photo = Raster::from_fn(20, 10, |x, y| [(x * 10) as u8, (y * 20) as u8, 7]);
        assert_eq!(cubic(&photo, [4.5, 3.5], false), [40, 60, 7]);
        assert_eq!(cubic(&photo, [4.8, 3.25], true), [43, 55, 7]);
        // Far outside the border is repeated.
        assert_eq!(cubic(&photo, [-1e9, 1e9], true), [0, 180, 7]);
    }
}
