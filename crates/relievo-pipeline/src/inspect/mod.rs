//! `relievo inspect`: what a file or work folder is, whether its invariants
//! hold, and pictures of it.

pub mod pictures;
pub mod turntable;

pub use pictures::{colorize_depth, work_pictures};
pub use turntable::{Frame, turntable};

use crate::certainty::{self, Certainty};
use crate::error::PipelineError;
use relievo_formats::native;
use relievo_image::Raster;
use relievo_scene::{TextureAtlas, TexturedMesh};
use serde_json::{Map, Value, json};
use std::path::Path;

/// What was found.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What it is, in a few words.
    pub what: String,
    /// Figures.
    pub figures: Map<String, Value>,
    /// The broken invariant, if one is.
    pub broken: Option<String>,
    /// A picture of it, where one can be made.
    pub picture: Option<Raster<[u8; 3]>>,
}

fn finding(what: &str, figures: Value, broken: Option<String>) -> Finding {
    let figures = match figures {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    Finding {
        what: what.to_owned(),
        figures,
        broken,
        picture: None,
    }
}

/// Looks at one file.
pub fn inspect_file(path: &Path, with_picture: bool) -> Result<Finding, PipelineError> {
    if !path.exists() {
        return Err(PipelineError::Input {
            what: format!("{}: there is no such file or folder", path.display()),
            hint: "give a work folder that `relievo run` made, or a file in it".to_owned(),
        });
    }
    let bytes = fs_err::read(path)?;
    let fail = |e: &dyn std::error::Error| PipelineError::file(path, e);
    let extension = path
        .extension()
        .map_or_else(String::new, |e| e.to_string_lossy().to_lowercase());
    match extension.as_str() {
        "features" => {
            let f = native::features::decode(&bytes).map_err(|e| fail(&e))?;
            Ok(finding(
                "keypoints and descriptors of a photo",
                json!({ "keypoints": f.len() }),
                None,
            ))
        }
        "pairs" => {
            let pairs = native::matches::decode(&bytes).map_err(|e| fail(&e))?;
            let inliers: usize = pairs.iter().map(|p| p.geometry.inliers.len()).sum();
            let rows: Vec<Value> = pairs
                .iter()
                .map(|p| {
                    json!({ "with": p.other, "kind": format!("{:?}", p.geometry.kind),
                            "inliers": p.geometry.inliers.len() })
                })
                .collect();
            let figures = json!({ "pairs": pairs.len(), "inliers": inliers, "list": rows });
            Ok(finding("verified pairs of a photo", figures, None))
        }
        "depth" => {
            let map = native::depth::decode(&bytes).map_err(|e| fail(&e))?;
            let whole = broken(map.check());
            let map = map.confirmed();
            let mut z: Vec<f32> = map
                .depth
                .as_slice()
                .iter()
                .copied()
                .filter(|d| *d > 0.0)
                .collect();
            z.sort_by(f32::total_cmp);
            let at = |q: f64| {
                z.get(((z.len() as f64 - 1.0).max(0.0) * q) as usize)
                    .copied()
            };
            let share = z.len() as f64 / map.depth.as_slice().len().max(1) as f64;
            let figures = json!({ "width_px": map.camera.width_px,
                "height_px": map.camera.height_px, "confirmed_share": share,
                "depth_1_percent": at(0.01), "depth_median": at(0.5), "depth_99_percent": at(0.99) });
            let mut found = finding("a depth map", figures, whole);
            found.picture = with_picture.then(|| colorize_depth(&map.depth));
            Ok(found)
        }
        "ply" => inspect_ply(&bytes, with_picture).map_err(|e| fail(&e)),
        "glb" => {
            let glb = relievo_formats::gltf::decode_glb(&bytes).map_err(|e| fail(&e))?;
            let pages = glb
                .images
                .iter()
                .map(|i| relievo_media::decode_texture_bytes(&i.bytes))
                .collect::<Result<Vec<_>, _>>()
                .map_err(|e| fail(&e))?;
            let figures = json!({ "vertices": glb.mesh.positions.len(),
                "faces": glb.mesh.triangles.len(), "pages": pages.len(), "extras": glb.extras });
            let n = glb.mesh.triangles.len();
            let page = glb.image.iter().map(|i| i.unwrap_or(0) as u16).collect();
            let atlas = TextureAtlas {
                pages,
                uv: glb.uv,
                page,
                seen: vec![true; n],
            };
            let model = TexturedMesh {
                mesh: glb.mesh,
                atlas,
            };
            let mut found = finding("a textured model (glTF)", figures, broken(model.check()));
            found.picture = with_picture
                .then(|| turntable(&model, Frame::of(&model.mesh.positions), 1, 1024, false).pop())
                .flatten();
            Ok(found)
        }
        "bin" | "txt" if is_colmap(path) => inspect_model(path.parent().unwrap_or(path)),
        _ => match relievo_media::decode_photo_bytes(&bytes) {
            Ok(photo) => {
                let info = &photo.info;
                let figures = json!({ "width_px": info.width_px, "height_px": info.height_px,
                    "sharpness": relievo_media::sharpness(&relievo_image::luma(&photo.rgb)),
                    "focal_px": info.exif.focal_px(info.width_px, info.height_px),
                    "device": info.exif.device(), "taken": info.exif.taken, "geo": info.exif.geo });
                let mut found = finding("a photo", figures, None);
                found.picture = with_picture.then_some(photo.rgb);
                Ok(found)
            }
            Err(e) => Err(fail(&e)),
        },
    }
}

fn broken(check: Result<(), relievo_scene::Broken>) -> Option<String> {
    check.err().map(|e| e.to_string())
}

fn is_colmap(path: &Path) -> bool {
    path.file_stem()
        .is_some_and(|s| ["cameras", "images", "points3D"].iter().any(|n| s == *n))
}

/// Looks at a folder with a COLMAP model.
pub fn inspect_model(dir: &Path) -> Result<Finding, PipelineError> {
    let model =
        relievo_formats::colmap::read_model(dir).map_err(|e| PipelineError::file(dir, &e))?;
    let observations: usize = model.tracks.values().map(|t| t.observations.len()).sum();
    let figures = json!({ "cameras": model.cameras.len(), "photos": model.views.len(),
        "registered": model.registered().count(), "points": model.tracks.len(),
        "observations": observations });
    let mut found = finding("a sparse model (COLMAP)", figures, broken(model.check()));
    let beside = dir.parent().map(|stage| stage.join(certainty::POSES_FILE));
    if let Some(path) = beside.filter(|p| p.exists()) {
        let known: Certainty = serde_json::from_slice(&fs_err::read(&path)?)
            .map_err(|e| PipelineError::file(&path, &e))?;
        known.figures(&mut found.figures);
    }
    Ok(found)
}

fn inspect_ply(bytes: &[u8], with_picture: bool) -> Result<Finding, relievo_formats::FormatError> {
    let mesh = relievo_formats::ply::decode_mesh(bytes);
    if let Ok(mesh) = mesh
        && !mesh.triangles.is_empty()
    {
        let t = relievo_mesh::topology(mesh.positions.len(), &mesh.triangles);
        let figures = json!({ "vertices": mesh.positions.len(), "faces": mesh.triangles.len(),
            "components": t.components, "border_edges": t.border_edges,
            "nonmanifold_edges": t.nonmanifold_edges });
        let mut found = finding("a triangle mesh", figures, broken(mesh.check()));
        found.picture = with_picture.then(|| {
            let standpoint = turntable::from_outside(&mesh.positions, 1024);
            turntable::mesh_picture(&mesh, &standpoint)
        });
        return Ok(found);
    }
    let cloud = relievo_formats::ply::decode_cloud(bytes)?;
    let mut found = finding(
        "a point cloud",
        json!({ "points": cloud.len() }),
        broken(cloud.check()),
    );
    found.picture = with_picture.then(|| {
        let standpoint = turntable::from_outside(&cloud.positions, 1024);
        turntable::cloud_picture(&cloud, &standpoint)
    });
    Ok(found)
}
