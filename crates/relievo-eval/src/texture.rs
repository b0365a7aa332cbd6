//! How close a textured mesh comes to photographs.
//!
//! A ray through each pixel's centre, the texture sampled bilinearly, no
//! lighting; over the pixels where the mesh is hit. Photographs that took part
//! in texturing flatter the score: hold some back.

use crate::box_resize::box_resize;
use crate::cameras::PosedCamera;
use crate::error::EvalError;
use crate::ssim::ssim;
use crate::statistics::mean;
use rayon::prelude::*;
use relievo_geometry::{Vec2, Vec3};
use relievo_image::{Raster, Rgb8};
use relievo_scene::TexturedMesh;
use relievo_spatial::TriangleBvh;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// Figures of one photo.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PhotoScore {
    /// Peak signal to noise, dB, sRGB 0..=255; infinite values are cut at 99.
    pub psnr: Option<f64>,
    /// The same after one gain per channel.
    pub psnr_gain: Option<f64>,
    /// Structural similarity of the luma, after the gains.
    pub ssim: Option<f64>,
    /// Share of the pixels that see the mesh.
    pub hit: f64,
    /// The rendering.
    #[serde(skip)]
    pub picture: Raster<Rgb8>,
}

/// Means over photos. One that is not placed or sees nothing has no figure to count, so the
/// means may rise with it: how many have, of how many, belongs to them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TextureFigures {
    /// Photos that were to be compared: held out, or named.
    pub photos_asked: usize,
    /// Those of them that have a camera.
    pub photos: usize,
    /// Those of them that see the mesh.
    pub photos_scored: usize,
    /// Mean PSNR, dB.
    pub psnr: f64,
    /// Mean PSNR after gains, dB.
    pub psnr_gain: f64,
    /// Mean SSIM; `None` where no photo has a window on the mesh.
    pub ssim: Option<f64>,
    /// Mean share of pixels hit.
    pub hit: f64,
    /// By photo.
    pub per_photo: BTreeMap<String, PhotoScore>,
}

impl fmt::Display for TextureFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |f: &mut fmt::Formatter<'_>, name: &str, p: [Option<f64>; 3], hit: f64| {
            write!(f, "  {name:<24}")?;
            for (label, value, digits) in
                [("psnr", p[0], 2), ("psnr_gain", p[1], 2), ("ssim", p[2], 4)]
            {
                match value {
                    Some(v) => write!(f, "  {label} {v:.digits$}")?,
                    None => write!(f, "  {label} -")?,
                }
            }
            write!(f, "  hit {hit:.4}")
        };
        let (scored, asked) = (self.photos_scored, self.photos_asked);
        writeln!(f, "photos: {scored} scored of {asked}")?;
        for (name, s) in &self.per_photo {
            row(f, name, [s.psnr, s.psnr_gain, s.ssim], s.hit)?;
            writeln!(f)?;
        }
        row(
            f,
            "mean",
            [Some(self.psnr), Some(self.psnr_gain), self.ssim],
            self.hit,
        )
    }
}

/// Renders `model` into the camera of a photo, both at `scale`, and compares.
/// `bvh` is of the model's mesh; model and camera share a frame.
pub fn score_photo(
    model: &TexturedMesh,
    bvh: &TriangleBvh,
    camera: &PosedCamera,
    photo: &Raster<Rgb8>,
    scale: f64,
) -> Result<PhotoScore, EvalError> {
    let full = &camera.camera;
    let (w, h) = (
        (f64::from(full.width_px) * scale) as usize,
        (f64::from(full.height_px) * scale) as usize,
    );
    if w == 0 || h == 0 || photo.is_empty() {
        return Err(EvalError::Empty { what: "the photo" });
    }
    let sizes = [photo.width(), photo.height()].map(|n| n as u32);
    if sizes != [full.width_px, full.height_px] {
        return Err(EvalError::PhotoSize {
            photo: (photo.width(), photo.height()),
            camera: (full.width_px as usize, full.height_px as usize),
        });
    }
    let photo = box_resize(photo, w, h);
    let world_from_cam = camera.cam_from_world.inverse();
    let origin: [f32; 3] = world_from_cam.translation.map(|v| v as f32).into();
    let (sx, sy) = (
        f64::from(full.width_px) / w as f64,
        f64::from(full.height_px) / h as f64,
    );
    let mut seen = Raster::<Option<[f64; 3]>>::new(w, h);
    seen.as_mut_slice()
        .par_chunks_mut(w)
        .enumerate()
        .for_each(|(y, row)| {
            for (x, out) in row.iter_mut().enumerate() {
                let px = Vec2::new((x as f64 + 0.5) * sx, (y as f64 + 0.5) * sy);
                let n = full.model.unproject(&px);
                let d = world_from_cam.rotation * Vec3::new(n.x, n.y, 1.0);
                *out = bvh
                    .cast(origin, d.map(|v| v as f32).into())
                    .and_then(|hit| {
                        color_at(model, hit.face as usize, f64::from(hit.u), f64::from(hit.v))
                    });
            }
        });

    let n = seen.as_slice().iter().flatten().count();
    let picture = seen.map(|c| c.unwrap_or_default().map(|v| v.round() as u8));
    let hit = n as f64 / (w * h) as f64;
    if n == 0 {
        return Ok(PhotoScore {
            psnr: None,
            psnr_gain: None,
            ssim: None,
            hit,
            picture,
        });
    }
    let pairs = || {
        seen.as_slice()
            .iter()
            .zip(photo.as_slice())
            .filter_map(|(c, p)| Some(((*c)?, p.map(f64::from))))
    };
    let (mut error, mut cross, mut own) = (0.0, [0.0; 3], [0.0; 3]);
    for (c, p) in pairs() {
        for k in 0..3 {
            error += (c[k] - p[k]).powi(2);
            cross[k] += c[k] * p[k];
            own[k] += c[k] * c[k];
        }
    }
    let gain: [f64; 3] = std::array::from_fn(|k| cross[k] / f64::max(own[k], 1e-9));
    let gained: f64 = pairs()
        .map(|(c, p)| (0..3).map(|k| (c[k] * gain[k] - p[k]).powi(2)).sum::<f64>())
        .sum();
    let psnr = |e: f64| Some(psnr_db(e / (3 * n) as f64));
    let luma = |c: [f64; 3]| 0.299 * c[0] + 0.587 * c[1] + 0.114 * c[2];
    let rendered = seen.map(|c| luma(std::array::from_fn(|k| c.unwrap_or_default()[k] * gain[k])));
    let grey = photo.map(|p| luma(p.map(f64::from)));
    Ok(PhotoScore {
        psnr: psnr(error),
        psnr_gain: psnr(gained),
        ssim: ssim(&rendered, &grey, &seen.map(Option::is_some)),
        hit,
        picture,
    })
}

/// Peak signal to noise of 8-bit values with this mean squared error, dB, cut
/// at 99.
pub fn psnr_db(mean_squared_error: f64) -> f64 {
    (10.0 * (255.0 * 255.0 / mean_squared_error).log10()).min(99.0)
}

/// Means over the photos that see the mesh.
pub fn combine_texture(
    per_photo: BTreeMap<String, PhotoScore>,
) -> Result<TextureFigures, EvalError> {
    if per_photo.is_empty() {
        return Err(EvalError::Empty {
            what: "the list of photos",
        });
    }
    let values = |get: fn(&PhotoScore) -> Option<f64>| -> Vec<f64> {
        per_photo.values().filter_map(get).collect()
    };
    let (psnr, ssim) = (values(|p| p.psnr), values(|p| p.ssim));
    if psnr.is_empty() {
        return Err(EvalError::OtherFrame {
            what: "no photo sees the model",
        });
    }
    Ok(TextureFigures {
        photos_asked: per_photo.len(),
        photos: per_photo.len(),
        photos_scored: psnr.len(),
        psnr: mean(&psnr),
        psnr_gain: mean(&values(|p| p.psnr_gain)),
        ssim: (!ssim.is_empty()).then(|| mean(&ssim)),
        hit: mean(&values(|p| Some(p.hit))),
        per_photo,
    })
}

/// sRGB at barycentric (u, v) of a face; `None` where the face has no place.
fn color_at(model: &TexturedMesh, face: usize, u: f64, v: f64) -> Option<[f64; 3]> {
    let corners = model.atlas.uv.get(face)?.map(|c| c.map(f64::from));
    let page = model
        .atlas
        .pages
        .get(usize::from(*model.atlas.page.get(face)?))?;
    if page.is_empty() {
        return None;
    }
    let at = |k: usize| corners[0][k] * (1.0 - u - v) + corners[1][k] * u + corners[2][k] * v;
    let place = |t: f64, n: usize| {
        let t = (t * n as f64 - 0.5).clamp(0.0, (n - 1) as f64);
        let i = t as usize;
        (i, (i + 1).min(n - 1), t - i as f64)
    };
    let (x0, x1, fx) = place(at(0), page.width());
    let (y0, y1, fy) = place(at(1), page.height());
    let get = |x, y| page[(x, y)].map(f64::from);
    let (a, b, c, d) = (get(x0, y0), get(x1, y0), get(x0, y1), get(x1, y1));
    Some(std::array::from_fn(|k| {
        let top = a[k] + (b[k] - a[k]) * fx;
        let bottom = c[k] + (d[k] - c[k]) * fx;
        top + (bottom - top) * fy
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use relievo_geometry::{CameraModel, Rigid3};
    use relievo_scene::{Camera, TextureAtlas, TriMesh};

    /// A square facing the camera that fills the left half of the picture.
    fn wall() -> (TexturedMesh, PosedCamera) {
        let camera = Camera {
            model: CameraModel::SimplePinhole {
                f: 64.0,
                cx: 32.0,
                cy: 24.0,
            },
            width_px: 64,
            height_px: 48,
            has_prior_focal: true,
        };
        let mesh = TriMesh {
            positions: vec![
                [-0.5, -0.375, 1.0],
                [0.0, -0.375, 1.0],
                [0.0, 0.375, 1.0],
                [-0.5, 0.375, 1.0],
            ],
            triangles: vec![[0, 1, 2], [0, 2, 3]],
            ..TriMesh::default()
        };
        let page = Raster::from_fn(32, 48, |x, y| [(4 * x) as u8, (3 * y) as u8, 80]);
        let atlas = TextureAtlas {
            pages: vec![page],
            uv: vec![
                [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]],
                [[0.0, 0.0], [1.0, 1.0], [0.0, 1.0]],
            ],
            page: vec![0, 0],
            seen: vec![true, true],
        };
        (
            TexturedMesh { mesh, atlas },
            PosedCamera {
                camera,
                cam_from_world: Rigid3::identity(),
            },
        )
    }

    #[test]
    fn the_true_texture_scores_high_and_exposure_is_solved() {
        let (model, camera) = wall();
        let bvh = TriangleBvh::new(&model.mesh);
        let photo = Raster::from_fn(64, 48, |x, y| {
            if x < 32 {
                [(4 * x) as u8, (3 * y) as u8, 80]
            } else {
                [9; 3]
            }
        });
        let s = score_photo(&model, &bvh, &camera, &photo, 1.0).unwrap();
        assert!((s.hit - 0.5).abs() < 0.02, "{}", s.hit);
        assert!(s.psnr.unwrap() > 45.0 && s.ssim.unwrap() > 0.999, "{s:?}");
        let darker = photo.map(|p| p.map(|v| (f64::from(v) * 0.5) as u8));
        let d = score_photo(&model, &bvh, &camera, &darker, 1.0).unwrap();
        assert!(
            d.psnr.unwrap() < 20.0 && d.psnr_gain.unwrap() > 45.0,
            "{d:?}"
        );
        let half = score_photo(&model, &bvh, &camera, &photo, 0.5).unwrap();
        assert_eq!((half.picture.width(), half.picture.height()), (32, 24));
        assert!(half.psnr.unwrap() > 40.0);
    }

    #[test]
    fn a_photo_that_sees_nothing_is_no_number() {
        let (model, mut camera) = wall();
        camera.cam_from_world.translation.z = -5.0;
        let bvh = TriangleBvh::new(&model.mesh);
        let photo = Raster::filled(64, 48, [10; 3]);
        let s = score_photo(&model, &bvh, &camera, &photo, 0.5).unwrap();
        assert_eq!((s.hit, s.psnr), (0.0, None));
        let seen = score_photo(&model, &bvh, &wall().1, &photo, 0.5).unwrap();
        let photos = |more: Option<PhotoScore>| {
            let names = ["a", "b"].map(str::to_owned);
            let scores = std::iter::once(s.clone()).chain(more);
            combine_texture(names.into_iter().zip(scores).collect())
        };
        let both = photos(Some(seen)).unwrap();
        assert!(both.to_string().contains("psnr -") && both.psnr > 0.0);
        assert_eq!((both.photos_scored, both.photos), (1, 2));
        assert!(both.to_string().starts_with("photos: 1 scored of 2\n"));
        assert!(matches!(photos(None), Err(EvalError::OtherFrame { .. })));
        assert!(combine_texture(BTreeMap::new()).is_err());
    }

    /// Eight columns of 32, none of which a window fits into.
    #[test]
    fn a_sliver_has_no_structure_and_no_zero_for_it() {
        let (mut model, camera) = wall();
        for p in &mut model.mesh.positions {
            p[0] = 0.5 * p[0] - 0.1;
        }
        let bvh = TriangleBvh::new(&model.mesh);
        let photo = Raster::filled(64, 48, [10; 3]);
        let s = score_photo(&model, &bvh, &camera, &photo, 0.5).unwrap();
        assert!(s.psnr.is_some() && s.ssim.is_none(), "{s:?}");
        let mean = combine_texture(BTreeMap::from([("a".to_owned(), s)])).unwrap();
        assert_eq!((mean.photos_scored, mean.ssim), (1, None));
        let mut rows = Vec::new();
        crate::benchmark::rows::of_texture(&mean, &mut rows);
        let row = |name: &str| rows.iter().find(|r| r.metric == name).map(|r| r.value);
        assert_eq!((row("ssim"), row("photos_scored")), (None, Some(1.0)));
    }
}
