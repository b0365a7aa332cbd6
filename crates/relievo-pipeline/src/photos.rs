//! The photos of a run by name, decoded on demand and kept while memory
//! allows.

use crate::error::PipelineError;
use crate::stages::ingest::{IngestTable, PhotoEntry};
use relievo_engine::digest_file;
use relievo_image::{Raster, Rgb8};
use relievo_scene::ViewId;
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Decodes photos by view, keeping the latest.
#[derive(Debug)]
pub struct PhotoStore {
    sources: BTreeMap<ViewId, PhotoEntry>,
    budget: u64,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    used: u64,
    order: VecDeque<ViewId>,
    photos: BTreeMap<ViewId, Arc<Raster<Rgb8>>>,
}

/// Photos on their way from the stage that checks them to the one that looks
/// for features, so that these need not be decoded twice.
#[derive(Debug, Default)]
pub struct DecodedPhotos(Mutex<(u64, BTreeMap<PathBuf, Raster<Rgb8>>)>);

impl DecodedPhotos {
    /// Keeps the upright photo of a file while all that are kept fit `budget`
    /// bytes.
    pub fn keep(&self, path: &Path, photo: Raster<Rgb8>, budget: u64) {
        let mut kept = self.lock();
        if kept.0 + pixel_bytes(&photo) <= budget {
            kept.0 += pixel_bytes(&photo);
            kept.1.insert(path.to_owned(), photo);
        }
    }

    /// The photo of a file, which is no longer kept.
    pub fn take(&self, path: &Path) -> Option<Raster<Rgb8>> {
        let mut kept = self.lock();
        let photo = kept.1.remove(path)?;
        kept.0 -= pixel_bytes(&photo);
        Some(photo)
    }

    /// Keeps none any longer.
    pub fn clear(&self) {
        *self.lock() = Default::default();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (u64, BTreeMap<PathBuf, Raster<Rgb8>>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pixel_bytes(photo: &Raster<Rgb8>) -> u64 {
    3 * photo.as_slice().len() as u64
}

/// The mask in a file.
pub fn decode_mask(path: &Path) -> Result<Raster<u8>, PipelineError> {
    relievo_media::decode_mask(path).map_err(|e| PipelineError::file(path, &e))
}

/// The upright photo in a file.
pub fn decode(path: &Path) -> Result<Raster<Rgb8>, PipelineError> {
    let photo = relievo_media::decode_photo(path).map_err(|e| PipelineError::file(path, &e))?;
    Ok(photo.rgb)
}

/// The upright photo of a row of the table, which must still be the one that was taken in: what is
/// made of it is kept under that one's digest.
pub fn decode_known(entry: &PhotoEntry) -> Result<Raster<Rgb8>, PipelineError> {
    let put_back = |what: String| PipelineError::Input {
        what,
        hint: "put the photo back where it was and run the same command again; what is done is \
               kept. For another photo begin a new work folder"
            .to_owned(),
    };
    let photo = decode(&entry.source).map_err(|e| put_back(e.to_string()))?;
    // Key frames of a video lie in the work folder, under the digest of their pixels.
    if entry.photo.time_s.is_some() {
        return Ok(photo);
    }
    let (_, digest) = digest_file(&entry.source)?;
    if digest.to_string() == entry.photo.digest {
        return Ok(photo);
    }
    let (width, height) = (entry.photo.width_px, entry.photo.height_px);
    Err(put_back(format!(
        "{}: this is another photo than the one that was taken in ({width} × {height} pixels, now {} × {})",
        entry.source.display(),
        photo.width(),
        photo.height()
    )))
}

impl PhotoStore {
    /// The photos of `table`; at most `budget` bytes of pixels are kept.
    pub fn new(table: &IngestTable, budget: u64) -> Self {
        let sources = table.photos.iter();
        let sources = sources
            .map(|row| (row.photo.view_id, row.clone()))
            .collect();
        Self {
            sources,
            budget,
            cache: Mutex::default(),
        }
    }

    /// The upright photo, kept while the budget allows.
    pub fn photo(&self, id: ViewId) -> Result<Arc<Raster<Rgb8>>, PipelineError> {
        if let Some(found) = self.lock().photos.get(&id) {
            return Ok(Arc::clone(found));
        }
        let photo = Arc::new(self.decoded(id)?);
        let bytes = pixel_bytes(&photo);
        let mut cache = self.lock();
        while cache.used + bytes > self.budget {
            let Some(oldest) = cache.order.pop_front() else {
                break;
            };
            if let Some(gone) = cache.photos.remove(&oldest) {
                cache.used -= pixel_bytes(&gone);
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

    /// The upright photo for a caller that keeps what it makes of it; it is not kept here.
    pub fn photo_once(&self, id: ViewId) -> Result<Arc<Raster<Rgb8>>, PipelineError> {
        let found = self.lock().photos.get(&id).map(Arc::clone);
        found.map_or_else(|| Ok(Arc::new(self.decoded(id)?)), Ok)
    }

    fn decoded(&self, id: ViewId) -> Result<Raster<Rgb8>, PipelineError> {
        decode_known(self.source(id)?)
    }

    /// The mask, 0 = ignore, where there is one.
    pub fn mask(&self, id: ViewId) -> Result<Option<Raster<u8>>, PipelineError> {
        let source = self.source(id)?;
        source.mask.as_deref().map(decode_mask).transpose()
    }

    fn source(&self, id: ViewId) -> Result<&PhotoEntry, PipelineError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::ingest::PhotoEntry;
    use relievo_scene::{CameraId, Photo};

    /// Bytes of pixels of a test photo, 48 x 40.
    const BYTES: u64 = 3 * 48 * 40;

    fn entry(id: u32, folder: &Path) -> PhotoEntry {
        let photo = Raster::filled(48, 40, [id as u8; 3]);
        let source = folder.join(format!("{id}.png"));
        let png = relievo_media::encode_png_rgb(&photo).unwrap();
        let digest = relievo_engine::digest_bytes(&png).to_string();
        fs_err::write(&source, png).unwrap();
        PhotoEntry {
            photo: Photo {
                view_id: ViewId(id),
                name: format!("{id}.png"),
                digest,
                mask_digest: None,
                width_px: 48,
                height_px: 40,
                orientation: 1,
                camera_id: CameraId(1),
                device: None,
                sharpness: 0.0,
                geo: None,
                taken: None,
                time_s: None,
                held_out: false,
            },
            source,
            mask: None,
        }
    }

    fn store(folder: &Path, budget: u64) -> PhotoStore {
        let mut table = IngestTable {
            photos: (1..=3).map(|id| entry(id, folder)).collect(),
            ..IngestTable::default()
        };
        let mask = Raster::from_fn(48, 40, |x, _| if x < 24 { 0 } else { 255 });
        let path = folder.join("mask.png");
        fs_err::write(&path, relievo_media::encode_png_gray(&mask).unwrap()).unwrap();
        table.photos[1].mask = Some(path);
        table.photos[2].source = folder.join("gone.png");
        PhotoStore::new(&table, budget)
    }

    #[test]
    fn photos_are_kept_within_the_budget_and_the_oldest_goes_first() {
        let dir = tempfile::tempdir().unwrap();
        let same = |store: &PhotoStore, id: u32, of: &Arc<Raster<Rgb8>>| {
            Arc::ptr_eq(&store.photo(ViewId(id)).unwrap(), of)
        };
        let roomy = store(dir.path(), 2 * BYTES);
        let one = roomy.photo(ViewId(1)).unwrap();
        assert_eq!(one[(3, 4)], [1; 3]);
        let two = roomy.photo(ViewId(2)).unwrap();
        assert!(same(&roomy, 1, &one) && same(&roomy, 2, &two));
        let tight = store(dir.path(), 2 * BYTES - 1);
        let one = tight.photo(ViewId(1)).unwrap();
        assert!(same(&tight, 1, &one));
        tight.photo(ViewId(2)).unwrap();
        assert!(!same(&tight, 1, &one), "the first was to make room");
        let none = store(dir.path(), BYTES - 1);
        let one = none.photo(ViewId(1)).unwrap();
        assert!(!same(&none, 1, &one), "a photo over the budget is not kept");
        let once = store(dir.path(), 2 * BYTES);
        let one = once.photo_once(ViewId(1)).unwrap();
        assert!(!same(&once, 1, &one), "a photo asked for once is not kept");
        let one = once.photo(ViewId(1)).unwrap();
        assert!(Arc::ptr_eq(&once.photo_once(ViewId(1)).unwrap(), &one));
    }

    #[test]
    fn photos_on_their_way_stay_within_the_budget_and_are_taken_once() {
        let decoded = DecodedPhotos::default();
        let names = ["a", "b", "c"].map(Path::new);
        for name in names {
            decoded.keep(name, Raster::filled(48, 40, [9; 3]), 2 * BYTES);
        }
        let taken = names.map(|n| decoded.take(n).is_some());
        assert_eq!(taken, [true, true, false], "two of them fit");
        assert!(decoded.take(names[0]).is_none());
        decoded.keep(names[2], Raster::filled(48, 40, [9; 3]), BYTES);
        decoded.clear();
        assert!(decoded.take(names[2]).is_none());
    }

    #[test]
    fn masks_come_with_their_photo_and_errors_name_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), BYTES);
        assert!(store.mask(ViewId(1)).unwrap().is_none());
        let mask = store.mask(ViewId(2)).unwrap().unwrap();
        assert_eq!((mask[(0, 0)], mask[(47, 0)]), (0, 255));
        let gone = store.photo(ViewId(3)).unwrap_err().to_string();
        assert!(gone.contains("gone.png"), "{gone}");
        let unknown = store.photo(ViewId(9)).unwrap_err().to_string();
        assert!(unknown.contains('9'), "{unknown}");
    }
}
