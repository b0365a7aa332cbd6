//! Pictures of a work folder: depth, normals, confidence, matches, coverage.

use super::turntable;
use crate::error::PipelineError;
use relievo_formats::native;
use relievo_image::Raster;
use relievo_scene::DepthMap;
use std::path::Path;

/// Longer side of pictures of clouds and meshes, pixels.
const PICTURE_PX: u32 = 1024;

/// Blue = near … red = far, between the 2nd and 98th percentile; black = none.
pub fn colorize_depth(depth: &Raster<f32>) -> Raster<[u8; 3]> {
    let mut z: Vec<f32> = depth
        .as_slice()
        .iter()
        .copied()
        .filter(|d| *d > 0.0)
        .collect();
    z.sort_by(f32::total_cmp);
    let at = |q: f64| {
        z.get(((z.len() as f64 - 1.0).max(0.0) * q) as usize)
            .copied()
            .unwrap_or(1.0)
    };
    // Inverse depth spreads what is near.
    let (near, far) = (1.0 / at(0.02), 1.0 / at(0.98));
    depth.map(|&d| {
        if d <= 0.0 {
            [0; 3]
        } else {
            rainbow((near - 1.0 / d) / (near - far).max(1e-12))
        }
    })
}

/// t in 0..=1 from blue over green to red (a smooth, printable ramp).
fn rainbow(t: f32) -> [u8; 3] {
    let t = t.clamp(0.0, 1.0);
    let hump = |center: f32| {
        let d = (t - center) / 0.38;
        (255.0 * (1.15 - d * d).clamp(0.0, 1.0)) as u8
    };
    [hump(0.85), hump(0.5), hump(0.15)]
}

/// Normals as colours: x right = red, y up = green, towards the camera = blue.
fn colorize_normals(map: &DepthMap) -> Raster<[u8; 3]> {
    let mut out = Raster::new(map.depth.width(), map.depth.height());
    let pixels = out.as_mut_slice().iter_mut();
    for ((o, n), d) in pixels.zip(map.normal.as_slice()).zip(map.depth.as_slice()) {
        if *d > 0.0 {
            let [x, y, z] = n.unpack();
            *o = [x, -y, -z].map(|v| (127.5 + 127.5 * v) as u8);
        }
    }
    out
}

/// A matrix of the photos: how many verified matches each pair has.
fn match_matrix(dir: &Path) -> Result<Option<Raster<[u8; 3]>>, PipelineError> {
    let Ok(entries) = fs_err::read_dir(dir) else {
        return Ok(None);
    };
    let mut pairs = Vec::new();
    let mut names = std::collections::BTreeSet::new();
    let mut paths: Vec<_> = entries.filter_map(Result::ok).map(|e| e.path()).collect();
    paths.sort();
    for path in paths
        .iter()
        .filter(|p| p.extension().is_some_and(|e| e == "pairs"))
    {
        let stored =
            native::matches::decode(&fs_err::read(path)?).map_err(|e| PipelineError::File {
                path: path.clone(),
                what: e.to_string(),
            })?;
        let own = path
            .file_stem()
            .map(|s| s.to_string_lossy().into_owned())
            .unwrap_or_default();
        names.insert(own.clone());
        for p in stored {
            let other = relievo_engine::file_name(&p.other, "");
            names.insert(other.clone());
            pairs.push((own.clone(), other, p.geometry.inliers.len()));
        }
    }
    if names.is_empty() {
        return Ok(None);
    }
    let order: Vec<&String> = names.iter().collect();
    let cell = (800 / order.len()).clamp(2, 24);
    let mut out = Raster::filled(order.len() * cell, order.len() * cell, [24_u8; 3]);
    for (a, b, n) in &pairs {
        let find = |name: &String| order.binary_search(&name).unwrap_or(0);
        let (i, j) = (find(a), find(b));
        let color = rainbow((*n as f32).max(1.0).log10() / 3.5);
        for (x, y) in [(i, j), (j, i)] {
            for dy in 0..cell - 1 {
                for dx in 0..cell - 1 {
                    out[(x * cell + dx, y * cell + dy)] = color;
                }
            }
        }
    }
    Ok(Some(out))
}

/// Writes the pictures of a work folder into `to`; gives their paths.
pub fn work_pictures(work: &Path, to: &Path) -> Result<Vec<std::path::PathBuf>, PipelineError> {
    fs_err::create_dir_all(to)?;
    let mut written = Vec::new();
    let mut save = |name: String, picture: &Raster<[u8; 3]>| -> Result<(), PipelineError> {
        let path = to.join(name);
        let png = relievo_media::encode_png_rgb(picture).map_err(|e| PipelineError::File {
            path: path.clone(),
            what: e.to_string(),
        })?;
        fs_err::write(&path, png)?;
        written.push(path);
        Ok(())
    };
    if let Some(matrix) = match_matrix(&work.join("matches"))? {
        save("matches.png".to_owned(), &matrix)?;
    }
    let mut maps: Vec<_> = fs_err::read_dir(work.join("depth"))
        .map(|d| d.filter_map(Result::ok).map(|e| e.path()).collect())
        .unwrap_or_default();
    maps.sort();
    for path in maps
        .iter()
        .filter(|p| p.extension().is_some_and(|e| e == "depth"))
    {
        let map = native::depth::decode(&fs_err::read(path)?).map_err(|e| PipelineError::File {
            path: path.clone(),
            what: e.to_string(),
        })?;
        let map = map.confirmed();
        let stem = path
            .file_stem()
            .map(|s| s.to_string_lossy().into_owned())
            .unwrap_or_default();
        save(format!("{stem}.depth.png"), &colorize_depth(&map.depth))?;
        save(format!("{stem}.normal.png"), &colorize_normals(&map))?;
        save(
            format!("{stem}.confidence.png"),
            &map.confidence.map(|&c| [c; 3]),
        )?;
    }
    // As one of the photos shows it: up is where the photographer had it, and a room
    // is seen from inside.
    let sparse = work.join("sparse").join("model");
    let photo = relievo_formats::colmap::read_model(&sparse)
        .ok()
        .and_then(|model| turntable::from_photo(&model, PICTURE_PX));
    let standpoint = |positions: &[[f32; 3]]| {
        photo.unwrap_or_else(|| turntable::from_outside(positions, PICTURE_PX))
    };
    let cloud = work.join("cloud").join("dense.ply");
    if cloud.is_file() {
        let mut points = relievo_formats::ply::read_cloud(&cloud)
            .map_err(|e| PipelineError::file(&cloud, &e))?;
        let from = standpoint(&points.positions);
        save(
            "cloud.png".to_owned(),
            &turntable::cloud_picture(&points, &from),
        )?;
        let views = work.join("cloud").join("dense.views");
        if let Ok(bytes) = fs_err::read(&views) {
            native::cloud_views::decode_into(&mut points, &bytes)
                .map_err(|e| PipelineError::file(&views, &e))?;
            for i in 0..points.len() {
                points.colors[i] = rainbow(1.0 - points.views(i).len() as f32 / 10.0);
            }
            save(
                "coverage.png".to_owned(),
                &turntable::cloud_picture(&points, &from),
            )?;
        }
    }
    let mesh = work.join("mesh").join("surface.ply");
    if mesh.is_file() {
        let surface =
            relievo_formats::ply::read_mesh(&mesh).map_err(|e| PipelineError::file(&mesh, &e))?;
        save(
            "mesh.png".to_owned(),
            &turntable::mesh_picture(&surface, &standpoint(&surface.positions)),
        )?;
    }
    Ok(written)
}
