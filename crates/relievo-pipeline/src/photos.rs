//! The photos of a run by name, decoded on demand and kept while memory
//! allows.

use crate::error::PipelineError;
use crate::stages::ingest::IngestTable;
use relievo_image::{Raster, Rgb8};
use relievo_scene::ViewId;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Where a photo's pixels and mask are.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    photo: PathBuf,
    mask: Option<PathBuf>,
}

/// Decodes photos by view, keeping the latest.
#[derive(Debug)]
pub struct PhotoStore {
    sources: BTreeMap<ViewId, (String, Source)>,
    budget: u64,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    used: u64,
    order: VecDeque<ViewId>,
    photos: BTreeMap<ViewId, Arc<Raster<Rgb8>>>,
}

impl PhotoStore {
    /// The photos of `table`; at most `budget` bytes of pixels are kept.
    pub fn new(table: &IngestTable, budget: u64) -> Self {
        let sources = table
            .photos
            .iter()
            .map(|row| {
                let source = Source {
                    photo: row.source.clone(),
                    mask: row.mask.clone(),
                };
                (row.photo.view_id, (row.photo.name.clone(), source))
            })
            .collect();
        Self {
            sources,
            budget,
            cache: Mutex::default(),
        }
    }

    /// The upright photo.
    pub fn photo(&self, id: ViewId) -> Result<Arc<Raster<Rgb8>>, PipelineError> {
        if let Some(found) = self.lock().photos.get(&id) {
            return Ok(Arc::clone(found));
        }
        let (_, source) = self.source(id)?;
        let photo =
            relievo_media::decode_photo(&source.photo).map_err(|e| PipelineError::File {
                path: source.photo.clone(),
                what: e.to_string(),
            })?;
        let photo = Arc::new(photo.rgb);
        let bytes = 3 * photo.as_slice().len() as u64;
        let mut cache = self.lock();
        while cache.used + bytes > self.budget {
            let Some(oldest) = cache.order.pop_front() else {
                break;
            };
            if let Some(gone) = cache.photos.remove(&oldest) {
                cache.used -= 3 * gone.as_slice().len() as u64;
            }
        }
        if cache.used + bytes <= self.budget
            && cache.photos.insert(id, Arc::clone(&photo)).is_none()
        {
            cache.used += bytes;
            cache.order.push_back(id);
        }
        Ok(photo)
    }

    /// The mask, 0 = ignore, where there is one.
    pub fn mask(&self, id: ViewId) -> Result<Option<Raster<u8>>, PipelineError> {
        let (_, source) = self.source(id)?;
        let Some(path) = &source.mask else {
            return Ok(None);
        };
        let mask = relievo_media::decode_mask(path).map_err(|e| PipelineError::File {
            path: path.clone(),
            what: e.to_string(),
        })?;
        Ok(Some(mask))
    }

    fn source(&self, id: ViewId) -> Result<&(String, Source), PipelineError> {
        self.sources.get(&id).ok_or_else(|| PipelineError::Data {
            stage: "ingest",
            what: format!("the model names view {id}, which no photo stands for"),
            hint: "give the photos of the model as INPUT".to_owned(),
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
