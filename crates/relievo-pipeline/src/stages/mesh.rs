//! mesh: the surface through the cloud.

use super::cloud::{CLOUD_FILE, VIEWS_FILE};
use super::depth::model_outputs;
use super::{Setup, file_error, read_model};
use crate::error::PipelineError;
use relievo_engine::{BoxError, Figures, Item, ItemWriter, Parallelism, Stage, StageContext};
use relievo_mesh::{MeshError, SurfaceOptions, SurfaceView};
use relievo_scene::PointCloud;
use serde_json::Value;
use std::sync::Arc;

/// The surface.
pub const MESH_FILE: &str = "surface.ply";

/// One item.
#[derive(Debug)]
pub struct Mesh(pub Arc<Setup>);

impl Stage for Mesh {
    fn name(&self) -> &'static str {
        "mesh"
    }

    fn version(&self) -> u32 {
        3
    }

    fn depends_on(&self) -> &[&'static str] {
        &["sparse", "cloud"]
    }

    fn options(&self, ctx: &StageContext) -> Result<Value, BoxError> {
        Ok(self.0.options_for_scene("mesh", ctx)?.to_json())
    }

    fn items(&self, ctx: &StageContext, _pass: u32) -> Result<Vec<Item>, BoxError> {
        let mut key = ctx.key().output(&ctx.output("cloud", CLOUD_FILE)?);
        if let Some(views) = ctx.find_output("cloud", VIEWS_FILE)? {
            key = key.output(&views).outputs(&model_outputs(ctx)?);
        }
        Ok(vec![Item::new("surface", key.finish())])
    }

    fn parallelism(&self, ctx: &StageContext, _pass: u32) -> Parallelism {
        let bytes = ctx.output("cloud", CLOUD_FILE).map_or(0, |o| o.size);
        let points = (bytes / 28) as usize;
        Parallelism::OneAtATime {
            memory_bytes: relievo_mesh::memory_bytes(points, None),
        }
    }

    fn run_item(
        &self,
        ctx: &StageContext,
        _item: &Item,
        out: &mut ItemWriter,
    ) -> Result<(), BoxError> {
        let cloud = read_cloud(ctx)?;
        let tables = self.0.options_for_scene("mesh", ctx)?;
        let options = SurfaceOptions {
            poisson: tables.get(),
            trim: tables.get(),
            clean: tables.get(),
            simplify: tables.get(),
        };
        let views = if cloud.view_starts.is_empty() {
            Vec::new()
        } else {
            surface_views(ctx)?
        };
        let surface =
            relievo_mesh::surface(&cloud, &views, &options, ctx.task()).map_err(explain)?;
        out.write(MESH_FILE, &relievo_formats::ply::encode_mesh(&surface.mesh))?;
        Ok(())
    }

    fn finish(&self, ctx: &StageContext, _out: &mut ItemWriter) -> Result<Figures, BoxError> {
        let path = ctx.output("mesh", MESH_FILE)?.path;
        let mesh = relievo_formats::ply::read_mesh(&path).map_err(|e| file_error(&path, &e))?;
        let topology = relievo_mesh::topology(mesh.positions.len(), &mesh.triangles);
        let mut figures = Figures::new();
        figures.insert("vertices".into(), mesh.positions.len().into());
        figures.insert("faces".into(), mesh.triangles.len().into());
        figures.insert("components".into(), topology.components.into());
        Ok(figures)
    }
}

/// The cloud with the views of its points.
fn read_cloud(ctx: &StageContext) -> Result<PointCloud, PipelineError> {
    let path = ctx.output("cloud", CLOUD_FILE)?.path;
    let mut cloud = relievo_formats::ply::read_cloud(&path).map_err(|e| file_error(&path, &e))?;
    // An imported cloud comes without them.
    if let Some(views) = ctx.find_output("cloud", VIEWS_FILE)? {
        let bytes = fs_err::read(&views.path)?;
        relievo_formats::native::cloud_views::decode_into(&mut cloud, &bytes)
            .map_err(|e| file_error(&views.path, &e))?;
    }
    Ok(cloud)
}

/// The cameras of the model.
fn surface_views(ctx: &StageContext) -> Result<Vec<SurfaceView>, PipelineError> {
    let model = read_model(ctx)?;
    let views = model.registered().filter_map(|(id, view, pose)| {
        Some(SurfaceView {
            id,
            camera: *model.cameras.get(&view.camera_id)?,
            cam_from_world: pose,
        })
    });
    Ok(views.collect())
}

fn explain(error: MeshError) -> PipelineError {
    match error {
        MeshError::Cancelled(_) => PipelineError::Cancelled,
        e @ MeshError::Memory { .. } => PipelineError::Data {
            stage: "mesh",
            what: e.to_string(),
            hint: "give more with --memory, or a coarser surface with --set mesh.cell_size=3"
                .to_owned(),
        },
        e => PipelineError::Data {
            stage: "mesh",
            what: e.to_string(),
            hint: "the cloud is in cloud/dense.ply; look whether it shows the surface".to_owned(),
        },
    }
}
