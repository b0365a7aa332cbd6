//! The figures from files: a work folder, a model, a PLY.

use crate::align::align_cameras;
use crate::cameras::{
    Cameras, PosedCamera, is_truth_alone, keep_photos, model_folder, read_cameras, read_truth,
};
use crate::error::EvalError;
use crate::placed::Placed;
use crate::pose::{PoseFigures, score_poses};
use crate::sampling::sample_mesh;
use crate::scene_truth::TrueScene;
use crate::surface::{MESH_SAMPLES, SurfaceFigures, score_cloud, score_mesh};
use crate::texture::{TextureFigures, combine_texture, score_photo};
use nalgebra::Matrix4;
use relievo_formats::gltf::{GlbModel, read_glb};
use relievo_formats::{colmap, ply};
use relievo_geometry::Sim3;
use relievo_media::{decode_photo, decode_texture_bytes};
use relievo_scene::{PointCloud, TextureAtlas, TexturedMesh};
use relievo_spatial::TriangleBvh;
use relievo_task::Task;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Poses of a work folder or a COLMAP model. `given` names the photos of the run, where
/// they are known: no other true camera counts then.
pub fn eval_poses(
    estimate: &Path,
    truth: &Path,
    given: Option<&[String]>,
) -> Result<PoseFigures, EvalError> {
    if is_truth_alone(estimate) {
        return Err(EvalError::Estimate {
            path: estimate.to_owned(),
            what: "is a data set with its truth, not the result of a run",
        });
    }
    let estimate = cameras_of_estimate(estimate)?;
    let mut truth = read_truth(truth)?;
    if let Some(given) = given {
        keep_photos(&mut truth, given);
    }
    score_poses(&estimate, &truth)
}

/// Poses of a work folder or a COLMAP model against known cameras.
pub fn eval_poses_against(estimate: &Path, truth: &Cameras) -> Result<PoseFigures, EvalError> {
    score_poses(&cameras_of_estimate(estimate)?, truth)
}

/// What brings an estimate into the truth's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alignment<'a> {
    /// The cameras of a work folder or COLMAP model.
    Cameras(&'a Path),
    /// Those of the estimate's own work folder.
    OwnCameras,
    /// Nothing: both lie in one frame.
    SameFrame,
}

/// A cloud: a work folder or a PLY.
pub fn eval_cloud(
    estimate: &Path,
    truth: &Path,
    alignment: Alignment,
) -> Result<SurfaceFigures, EvalError> {
    let cloud = read_points(&file_of(estimate, "cloud/dense.ply")?)?;
    let truth = TrueScene::read(truth)?;
    let align = truth_from_estimate(estimate, alignment, &truth)?;
    score_cloud(&cloud.mesh.positions, &truth, &cloud.placing(&align))
}

/// A mesh: a work folder or a PLY.
pub fn eval_mesh(
    estimate: &Path,
    truth: &Path,
    alignment: Alignment,
) -> Result<SurfaceFigures, EvalError> {
    let mesh = Placed::read(&file_of(estimate, "mesh/surface.ply")?)?;
    let truth = TrueScene::read(truth)?;
    let align = truth_from_estimate(estimate, alignment, &truth)?;
    score_mesh(&mesh.mesh, &truth, &mesh.placing(&align))
}

/// The similarity into the truth's frame. Refused where one side has cameras and the
/// other none: nothing then shows that they lie in one frame, and a number would look
/// right. Of two bare files they are taken to.
pub fn truth_from_estimate(
    estimate: &Path,
    alignment: Alignment,
    truth: &TrueScene,
) -> Result<Sim3, EvalError> {
    let model = match alignment {
        Alignment::SameFrame => return Ok(Sim3::identity()),
        Alignment::Cameras(model) => Some(model),
        Alignment::OwnCameras => estimate.is_dir().then_some(estimate),
    };
    match model {
        None if truth.cameras.is_empty() => Ok(Sim3::identity()),
        None if !estimate.exists() => Err(EvalError::Estimate {
            path: estimate.to_owned(),
            what: "does not exist",
        }),
        None => Err(EvalError::NoCameras {
            path: estimate.to_owned(),
        }),
        Some(_) if truth.cameras.is_empty() => Err(EvalError::BareTruth),
        Some(model) => align_cameras(&cameras_of_estimate(model)?, &truth.cameras),
    }
}

fn cameras_of_estimate(path: &Path) -> Result<Cameras, EvalError> {
    read_cameras(path).map_err(EvalError::of_estimate)
}

/// The file itself, or that of a work folder.
pub fn file_of(estimate: &Path, inside: &str) -> Result<PathBuf, EvalError> {
    let path = if estimate.is_dir() {
        estimate.join(inside)
    } else {
        estimate.to_owned()
    };
    if path.is_file() {
        return Ok(path);
    }
    Err(EvalError::Estimate {
        path,
        what: "does not exist",
    })
}

/// The points of a cloud to be scored, wherever it is.
pub(crate) fn read_points(path: &Path) -> Result<Placed, EvalError> {
    let cloud = Placed::read(path)?;
    if cloud.mesh.positions.is_empty() {
        return Err(empty_cloud(path));
    }
    if cloud
        .mesh
        .positions
        .iter()
        .flatten()
        .any(|v| !v.is_finite())
    {
        return Err(unsound_cloud(path));
    }
    Ok(cloud)
}

fn empty_cloud(path: &Path) -> EvalError {
    EvalError::Estimate {
        path: path.to_owned(),
        what: "the cloud is empty",
    }
}

fn unsound_cloud(path: &Path) -> EvalError {
    EvalError::NotFinite {
        what: format!("{}: the cloud", path.display()),
    }
}

/// A cloud with its normals. The reader drops points that are not finite; here they
/// are refused.
fn read_cloud(path: &Path) -> Result<PointCloud, EvalError> {
    let bytes = fs_err::read(path)?;
    let cloud = ply::decode_cloud(&bytes).map_err(|e| e.in_file(path))?;
    if (cloud.len() as u64) < ply::count_vertices(&bytes)? {
        return Err(unsound_cloud(path));
    }
    if cloud.positions.is_empty() {
        return Err(empty_cloud(path));
    }
    Ok(cloud)
}

/// Points with normals to hold against photos: a cloud, or a million even samples
/// of a mesh, so that its tessellation does not matter.
pub fn read_oriented_points(path: &Path) -> Result<PointCloud, EvalError> {
    let bytes = fs_err::read(path)?;
    // A cloud reads as a mesh without faces.
    if let Ok(mesh) = ply::decode_mesh(&bytes)
        && !mesh.triangles.is_empty()
    {
        let mut rng = relievo_task::rng(0, "eval", "mesh");
        let samples = sample_mesh(&mesh, MESH_SAMPLES, &mut rng, |_| true);
        let narrow = |v: &[[f64; 3]]| v.iter().map(|p| p.map(|x| x as f32)).collect();
        return Ok(PointCloud {
            positions: narrow(&samples.points),
            normals: narrow(&samples.normals),
            ..PointCloud::default()
        });
    }
    if !ply::has_normals(&bytes).map_err(|e| e.in_file(path))? {
        return Err(EvalError::Estimate {
            path: path.to_owned(),
            what: "has no normals, along which photos could be compared",
        });
    }
    read_cloud(path)
}

/// Which photos a textured model is held against, and how.
#[derive(Clone, Debug, Default)]
pub struct TextureQuery {
    /// A work folder or COLMAP model with the photos' cameras.
    pub cameras: PathBuf,
    /// The folder that the names in `cameras` are relative to.
    pub images: PathBuf,
    /// Files of photos that lie elsewhere, by name.
    pub sources: BTreeMap<String, PathBuf>,
    /// Names of the photos to compare; all where empty.
    pub only: BTreeSet<String>,
    /// A name without a camera is an error, not left out.
    pub strict: bool,
    /// Size of the comparison against the photo's.
    pub scale: f64,
    /// `cameras_from_model`, 4 × 4 row-major, for a model in another frame.
    /// Where absent, the inverse of `gltf_from_model` in the file's
    /// `asset.extras`, else the identity.
    pub transform: Option<[[f64; 4]; 4]>,
}

/// A GLB against photos.
pub fn eval_texture(
    glb: &Path,
    query: &TextureQuery,
    task: &Task,
) -> Result<TextureFigures, EvalError> {
    let glb = file_of(glb, "export/model.glb")?;
    let model = textured_mesh(&glb, read_glb(&glb)?, query.transform.as_ref())?;
    let bvh = TriangleBvh::new(&model.mesh);
    let folder = model_folder(&query.cameras).ok_or_else(|| EvalError::Truth {
        path: query.cameras.clone(),
        what: "holds no cameras",
    })?;
    let sparse = colmap::read_model(&folder)?;
    let known: BTreeSet<&str> = sparse.registered().map(|(_, v, _)| &*v.name).collect();
    let unknown = query.only.iter().filter(|n| !known.contains(n.as_str()));
    let unknown: Vec<String> = unknown.cloned().collect();
    if query.strict && !unknown.is_empty() {
        return Err(EvalError::UnknownPhotos { names: unknown });
    }
    let chosen: Vec<_> = sparse
        .registered()
        .filter(|(_, v, _)| query.only.is_empty() || query.only.contains(&v.name))
        .collect();
    if chosen.is_empty() {
        return Err(EvalError::Estimate {
            path: folder,
            what: "holds no camera for any of the photos to compare with",
        });
    }
    let progress = task.progress("photos", chosen.len() as u64);
    let mut rows = BTreeMap::new();
    for (_, view, cam_from_world) in chosen {
        task.check()?;
        if let Some(camera) = sparse.cameras.get(&view.camera_id) {
            let source = query.sources.get(&view.name).cloned();
            let photo = decode_photo(&source.unwrap_or_else(|| query.images.join(&view.name)))?;
            let posed = PosedCamera {
                camera: *camera,
                cam_from_world,
            };
            rows.insert(
                view.name.clone(),
                score_photo(&model, &bvh, &posed, &photo.rgb, query.scale)?,
            );
        }
        progress.add(1);
    }
    let found = combine_texture(rows)?;
    // Of those that were asked for, some may have no camera.
    Ok(TextureFigures {
        photos_asked: query.only.len().max(found.photos),
        ..found
    })
}

/// The model of a GLB with decoded pages, in the frame of the cameras.
fn textured_mesh(
    path: &Path,
    glb: GlbModel,
    transform: Option<&[[f64; 4]; 4]>,
) -> Result<TexturedMesh, EvalError> {
    let fail = |what| EvalError::Truth {
        path: path.to_owned(),
        what,
    };
    let row_major = |m: &[[f64; 4]; 4]| Matrix4::from_fn(|i, j| m[i][j]);
    let to_cameras = match transform {
        Some(m) => row_major(m),
        None => match serde_json::from_value(glb.extras["gltf_from_model"].clone()) {
            Ok(m) => row_major(&m)
                .try_inverse()
                .ok_or(fail("holds a gltf_from_model that cannot be inverted"))?,
            Err(_) => Matrix4::identity(),
        },
    };
    if glb.mesh.triangles.is_empty() {
        return Err(EvalError::Empty { what: "the model" });
    }
    let mut mesh = glb.mesh;
    for p in &mut mesh.positions {
        let q = to_cameras
            * nalgebra::Vector4::new(f64::from(p[0]), f64::from(p[1]), f64::from(p[2]), 1.0);
        *p = [q.x as f32, q.y as f32, q.z as f32];
    }
    let page = glb
        .image
        .iter()
        .map(|i| i.map(|i| i as u16))
        .collect::<Option<Vec<u16>>>()
        .ok_or(fail("has faces without texture"))?;
    let pages = glb
        .images
        .iter()
        .map(|i| decode_texture_bytes(&i.bytes))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| fail("holds a picture that does not read"))?;
    let seen = vec![true; page.len()];
    Ok(TexturedMesh {
        mesh,
        atlas: TextureAtlas {
            pages,
            uv: glb.uv,
            page,
            seen,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_estimate_is_not_taken_for_the_truth() {
        let dir = tempfile::tempdir().unwrap();
        let error = eval_poses(dir.path(), dir.path(), None).unwrap_err();
        let hint = error.hint().unwrap_or_default();
        assert!(
            hint.starts_with("--estimate and --model take"),
            "{error}: {hint}"
        );
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets/demo");
        let error = eval_poses(&demo, &demo, None).unwrap_err().to_string();
        assert!(error.contains("not the result of a run"), "{error}");
    }
}
