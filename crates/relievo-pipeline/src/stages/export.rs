//! export: the model in the formats that were asked for.

use super::sparse::GEOREF_FILE;
use super::texture::read_textured;
use super::{Setup, read_json};
use crate::error::PipelineError;
use crate::export::{Format, encode};
use crate::georef::Georef;
use relievo_engine::{BoxError, Figures, Item, ItemWriter, Parallelism, Stage, StageContext};
use serde_json::Value;
use std::sync::Arc;

relievo_task::options! {
    /// Options of the stage.
    pub struct ExportOptions {
        /// Formats to write: glb, obj, ply, stl.
        formats: Vec<String> = vec!["glb".to_owned()], "", "opens in browsers, engines and phones";
        /// JPEG quality of the texture inside a GLB.
        jpeg_quality: u8 = 92, "of 100", "no visible blocks at a third of the size of PNG";
    }
}

/// One item per format.
#[derive(Debug)]
pub struct Export(pub Arc<Setup>);

impl Stage for Export {
    fn name(&self) -> &'static str {
        "export"
    }

    fn version(&self) -> u32 {
        1
    }

    fn depends_on(&self) -> &[&'static str] {
        &["sparse", "mesh", "texture"]
    }

    fn options(&self, ctx: &StageContext) -> Result<Value, BoxError> {
        let mut options = self.0.options_for_scene("export", ctx)?.to_json();
        // Which formats were asked for does not change any one of them.
        if let Value::Object(map) = &mut options {
            map.remove("formats");
        }
        Ok(options)
    }

    fn items(&self, ctx: &StageContext, _pass: u32) -> Result<Vec<Item>, BoxError> {
        let options = self
            .0
            .options_for_scene("export", ctx)?
            .get::<ExportOptions>();
        let mut inputs = ctx.outputs("texture")?;
        inputs.extend(ctx.outputs("mesh")?);
        inputs.push(ctx.output("sparse", GEOREF_FILE)?);
        options
            .formats
            .iter()
            .map(|name| {
                let format: Format = name.parse().map_err(|what| PipelineError::Option {
                    name: "export.formats".to_owned(),
                    what,
                })?;
                let key = ctx.key().outputs(&inputs).finish();
                Ok(Item::new(format.name(), key))
            })
            .collect()
    }

    fn parallelism(&self, _ctx: &StageContext, _pass: u32) -> Parallelism {
        Parallelism::OneAtATime {
            memory_bytes: 1 << 30,
        }
    }

    fn run_item(
        &self,
        ctx: &StageContext,
        item: &Item,
        out: &mut ItemWriter,
    ) -> Result<(), BoxError> {
        let format: Format = item.name.parse().map_err(|what| PipelineError::Option {
            name: "export.formats".to_owned(),
            what,
        })?;
        let read = |stage: &str, name: &str| -> Result<Vec<u8>, PipelineError> {
            Ok(fs_err::read(ctx.output(stage, name)?.path)?)
        };
        let textured = read_textured(&read)?;
        let georef: Georef = read_json(ctx, "sparse", GEOREF_FILE)?;
        let options = self
            .0
            .options_for_scene("export", ctx)?
            .get::<ExportOptions>();
        for (name, bytes) in encode(format, &textured, &georef, &options)? {
            out.write(&name, &bytes)?;
        }
        Ok(())
    }

    fn finish(&self, ctx: &StageContext, _out: &mut ItemWriter) -> Result<Figures, BoxError> {
        let outputs = ctx.outputs("export")?;
        let bytes: u64 = outputs.iter().map(|o| o.size).sum();
        let mut figures = Figures::new();
        figures.insert("files".into(), outputs.len().into());
        figures.insert("bytes".into(), bytes.into());
        Ok(figures)
    }
}
