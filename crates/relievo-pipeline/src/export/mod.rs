//! Formats of the finished model.

mod depth;
pub mod write;

pub use write::write_export;

use crate::error::PipelineError;
use crate::georef::Georef;
use crate::stages::export::ExportOptions;
use relievo_geometry::{Sim3, Vec3};
use relievo_scene::{TexturedMesh, TriMesh};

/// A format that can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Binary glTF 2.0 with texture.
    Glb,
    /// Wavefront OBJ with MTL and pages.
    Obj,
    /// PLY with vertex colours, in the model's frame.
    Ply,
    /// Binary STL.
    Stl,
    /// The sparse model in COLMAP's text format.
    Colmap,
    /// `transforms.json` of nerfstudio.
    Nerfstudio,
    /// The cloud, in the model's frame.
    Cloud,
    /// Depth, normals and confidence as `.npy`, and their cameras.
    Depth,
    /// The folder of COLMAP's dense stage: undistorted photos and model, depth and
    /// normal maps.
    ColmapDense,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Glb,
        Self::Obj,
        Self::Ply,
        Self::Stl,
        Self::Colmap,
        Self::Nerfstudio,
        Self::Cloud,
        Self::Depth,
        Self::ColmapDense,
    ];

    /// The word on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Glb => "glb",
            Self::Obj => "obj",
            Self::Ply => "ply",
            Self::Stl => "stl",
            Self::Colmap => "colmap",
            Self::Nerfstudio => "nerfstudio",
            Self::Cloud => "cloud",
            Self::Depth => "depth",
            Self::ColmapDense => "colmap-dense",
        }
    }

    /// Written by the export stage from the textured mesh.
    pub fn is_mesh(self) -> bool {
        matches!(self, Self::Glb | Self::Obj | Self::Ply | Self::Stl)
    }
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|f| f.name() == s)
            .ok_or_else(|| {
                format!(
                    "'{s}' is not one of {}",
                    Self::ALL.map(Self::name).join(", ")
                )
            })
    }
}

/// The files of a mesh format: name and bytes.
pub fn encode(
    format: Format,
    textured: &TexturedMesh,
    georef: &Georef,
    options: &ExportOptions,
) -> Result<Vec<(String, Vec<u8>)>, PipelineError> {
    encode_named(format, "model", textured, georef, options)
}

/// As [`encode`], with names that begin with `stem`.
pub fn encode_named(
    format: Format,
    stem: &str,
    textured: &TexturedMesh,
    georef: &Georef,
    options: &ExportOptions,
) -> Result<Vec<(String, Vec<u8>)>, PipelineError> {
    let fail = |e: &dyn std::fmt::Display| PipelineError::Data {
        stage: "export",
        what: format!("{}: {e}", format.name()),
        hint: String::new(),
    };
    match format {
        Format::Glb => {
            let extras = serde_json::json!({
                "gltf_from_model": georef.gltf_from_model,
                "unit": if georef.metric { "metre" } else { "none" },
            });
            let world = to_gltf(textured, georef);
            let pages = relievo_task::ordered::map(&world.atlas.pages, |page| {
                relievo_media::encode_jpeg(page, options.jpeg_quality.clamp(1, 100))
            })
            .into_iter()
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| fail(&e))?;
            let bytes = relievo_formats::gltf::encode_glb(&world, &pages, "image/jpeg", &extras)
                .map_err(|e| fail(&e))?;
            Ok(vec![(format!("{stem}.glb"), bytes)])
        }
        Format::Obj => {
            let world = to_gltf(textured, georef);
            let pages = relievo_task::ordered::map(&world.atlas.pages, |page| {
                relievo_media::encode_png_rgb(page)
            })
            .into_iter()
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| fail(&e))?;
            let names: Vec<String> = (0..pages.len())
                .map(|i| format!("{stem}-{i}.png"))
                .collect();
            let mtl_name = format!("{stem}.mtl");
            let (obj, mtl) = relievo_formats::obj::encode_obj(&world, &mtl_name, &names);
            let mut files = vec![(format!("{stem}.obj"), obj), (mtl_name, mtl)];
            files.extend(names.into_iter().zip(pages));
            Ok(files)
        }
        Format::Ply => {
            let bytes = relievo_formats::ply::encode_mesh(&textured.mesh);
            Ok(vec![(format!("{stem}.ply"), bytes)])
        }
        Format::Stl => {
            let world = to_gltf(textured, georef);
            let bytes = relievo_formats::stl::encode_stl(&world.mesh);
            Ok(vec![(format!("{stem}.stl"), bytes)])
        }
        other => Err(fail(&format!(
            "{} is not a format of the model's surface",
            other.name()
        ))),
    }
}

/// The model in glTF's coordinates: Y-up, floor at y = 0.
pub fn to_gltf(textured: &TexturedMesh, georef: &Georef) -> TexturedMesh {
    let similarity = georef.similarity();
    TexturedMesh {
        mesh: transformed(&textured.mesh, &similarity),
        atlas: textured.atlas.clone(),
    }
}

fn transformed(mesh: &TriMesh, to: &Sim3) -> TriMesh {
    let f64_of = |p: &[f32; 3]| Vec3::new(p[0].into(), p[1].into(), p[2].into());
    let f32_of = |p: Vec3| [p.x as f32, p.y as f32, p.z as f32];
    TriMesh {
        positions: mesh
            .positions
            .iter()
            .map(|p| f32_of(to.apply(&f64_of(p))))
            .collect(),
        normals: mesh
            .normals
            .iter()
            .map(|n| f32_of(to.rotation * f64_of(n)))
            .collect(),
        colors: mesh.colors.clone(),
        triangles: mesh.triangles.clone(),
    }
}
