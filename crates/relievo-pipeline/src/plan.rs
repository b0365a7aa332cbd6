//! The pipeline.

use crate::stages::{
    Setup, cloud::Cloud, depth::Depth, export::Export, features::Features, ingest::Ingest,
    matches::Matches, mesh::Mesh, sparse::Sparse, texture::Texture,
};
use relievo_engine::Stage;
use std::sync::Arc;

/// Every stage, each after those it depends on:
///
/// ```text
/// ingest ─ features ─ matches ─ sparse ─ depth ─ cloud ─ mesh ─ texture ─ export
/// ```
///
/// It is a graph, not a list: each stage names what it reads
/// ([`Stage::depends_on`]), so that further nodes can stand beside these.
pub fn stages(setup: &Arc<Setup>) -> Vec<Box<dyn Stage>> {
    let setup = || Arc::clone(setup);
    vec![
        Box::new(Ingest(setup())),
        Box::new(Features::new(setup())),
        Box::new(Matches::new(setup())),
        Box::new(Sparse(setup())),
        Box::new(Depth::new(setup())),
        Box::new(Cloud(setup())),
        Box::new(Mesh(setup())),
        Box::new(Texture(setup())),
        Box::new(Export(setup())),
    ]
}
