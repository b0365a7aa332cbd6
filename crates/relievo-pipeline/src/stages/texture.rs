//! texture: the photos on the surface.

use super::depth::{held_out, model_outputs};
use super::ingest::IngestTable;
use super::mesh::MESH_FILE;
use super::{Setup, file_error, read_model};
use crate::error::PipelineError;
use crate::photos::PhotoStore;
use relievo_engine::{
    BoxError, Figures, Item, ItemWriter, Parallelism, Stage, StageContext, StageRecord,
};
use relievo_scene::{TexturedMesh, ViewId};
use relievo_texture::{
    PhotoError, PhotoSource, TextureFigures, TextureOptions, TexturePhoto, TextureView,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// Places of the faces on the pages.
pub const ATLAS_FILE: &str = "atlas.bin";
/// How the name of a photo that takes no part stands in the item's key.
const HELD_OUT: &str = "held out ";
/// Figures of the baking.
const FIGURES_FILE: &str = "figures.json";

/// One item.
#[derive(Debug)]
pub struct Texture(pub Arc<Setup>);

impl Stage for Texture {
    fn name(&self) -> &'static str {
        "texture"
    }

    fn version(&self) -> u32 {
        1
    }

    fn depends_on(&self) -> &[&'static str] {
        &["ingest", "sparse", "mesh"]
    }

    fn options(&self, ctx: &StageContext) -> Result<Value, BoxError> {
        Ok(self.0.options_for_scene("texture", ctx)?.to_json())
    }

    fn items(&self, ctx: &StageContext, _pass: u32) -> Result<Vec<Item>, BoxError> {
        let mut key = ctx
            .key()
            .outputs(&model_outputs(ctx)?)
            .output(&ctx.output("mesh", MESH_FILE)?);
        for e in &IngestTable::read(ctx)?.photos {
            key = key.input(&e.photo.name, IngestTable::digest(e));
            if let Some(mask) = &e.photo.mask_digest {
                key = key.value(format!("mask of {}", e.photo.name), mask.as_str());
            }
            if e.photo.held_out {
                key = key.value(format!("{HELD_OUT}{}", e.photo.name), true);
            }
        }
        Ok(vec![Item::new("texture", key.finish())])
    }

    fn parallelism(&self, _ctx: &StageContext, _pass: u32) -> Parallelism {
        Parallelism::OneAtATime {
            memory_bytes: 1 << 30,
        }
    }

    fn run_item(
        &self,
        ctx: &StageContext,
        _item: &Item,
        out: &mut ItemWriter,
    ) -> Result<(), BoxError> {
        let path = ctx.output("mesh", MESH_FILE)?.path;
        let mesh = relievo_formats::ply::read_mesh(&path).map_err(|e| file_error(&path, &e))?;
        let model = read_model(ctx)?;
        let table = IngestTable::read(ctx)?;
        let excluded = held_out(&table, &model);
        let views: Vec<TextureView> = model
            .registered()
            .filter(|(id, ..)| !excluded.contains(id))
            .filter_map(|(id, view, pose)| {
                Some(TextureView {
                    id,
                    name: view.name.clone(),
                    camera: *model.cameras.get(&view.camera_id)?,
                    cam_from_world: pose,
                })
            })
            .collect();
        let ids = table
            .photos
            .iter()
            .map(|e| (e.photo.name.as_str(), e.photo.view_id));
        let by_name: BTreeMap<&str, ViewId> = ids.collect();
        let photo_of = views
            .iter()
            .filter_map(|v| Some((v.id, *by_name.get(v.name.as_str())?)))
            .collect();
        let photos = Photos {
            store: self.0.photos(ctx)?,
            photo_of,
        };
        let options = self
            .0
            .options_for_scene("texture", ctx)?
            .get::<TextureOptions>();
        let (textured, figures) = relievo_texture::texture_mesh_with_figures(
            &mesh,
            &views,
            &photos,
            &options,
            ctx.task(),
        )?;
        out.write(
            ATLAS_FILE,
            &relievo_formats::native::atlas::encode(&textured.atlas),
        )?;
        let pages = relievo_task::ordered::map(&textured.atlas.pages, |page| {
            relievo_media::encode_png_rgb(page)
        });
        for (i, page) in pages.into_iter().enumerate() {
            out.write(&page_name(i), &page?)?;
        }
        out.write(FIGURES_FILE, &super::json_bytes(&figures)?)?;
        Ok(())
    }

    fn finish(&self, ctx: &StageContext, _out: &mut ItemWriter) -> Result<Figures, BoxError> {
        let f: TextureFigures = super::read_json(ctx, "texture", FIGURES_FILE)?;
        match serde_json::to_value(f)? {
            Value::Object(figures) => Ok(figures),
            _ => Ok(Figures::new()),
        }
    }
}

/// Names of the photos that took no part in the texture of a work folder, whatever its
/// settings say by now; none where it has no texture.
pub fn held_out_of_texture(work: &Path) -> Result<BTreeSet<String>, PipelineError> {
    let record = StageRecord::read(&work.join("texture"))?;
    let keys = record.iter().flat_map(|r| &r.items).map(|i| &i.key);
    let names = keys.flat_map(|k| k.values.keys());
    Ok(names
        .filter_map(|n| n.strip_prefix(HELD_OUT))
        .map(str::to_owned)
        .collect())
}

/// File name of an atlas page.
pub fn page_name(page: usize) -> String {
    format!("page-{page}.png")
}

/// Gives the bytes of `stage/file`.
pub type ReadFile<'a> = dyn Fn(&str, &str) -> Result<Vec<u8>, PipelineError> + 'a;

/// The textured model of a work folder: `read` gives the bytes of
/// `stage/file`.
pub fn read_textured(read: &ReadFile<'_>) -> Result<TexturedMesh, PipelineError> {
    let damaged = |name: &str, e: &dyn std::fmt::Display| PipelineError::File {
        path: name.into(),
        what: e.to_string(),
    };
    let mesh = relievo_formats::ply::decode_mesh(&read("mesh", MESH_FILE)?)
        .map_err(|e| damaged(MESH_FILE, &e))?;
    let (pages, mut atlas) = relievo_formats::native::atlas::decode(&read("texture", ATLAS_FILE)?)
        .map_err(|e| damaged(ATLAS_FILE, &e))?;
    for i in 0..pages {
        let name = page_name(i);
        let page = relievo_media::decode_texture_bytes(&read("texture", &name)?)
            .map_err(|e| damaged(&name, &e))?;
        atlas.pages.push(page);
    }
    let textured = TexturedMesh { mesh, atlas };
    textured.check().map_err(|e| damaged(ATLAS_FILE, &e))?;
    Ok(textured)
}

struct Photos {
    store: Arc<PhotoStore>,
    photo_of: BTreeMap<ViewId, ViewId>,
}

impl PhotoSource for Photos {
    fn load(&self, id: ViewId) -> Result<TexturePhoto, PhotoError> {
        let id = self.photo_of.get(&id).copied().unwrap_or(id);
        let rgb = self.store.photo(id)?;
        let rgb = Arc::try_unwrap(rgb).unwrap_or_else(|shared| (*shared).clone());
        Ok(TexturePhoto {
            rgb,
            mask: self.store.mask(id)?,
        })
    }
}
