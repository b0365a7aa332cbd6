//! features: keypoints and descriptors of every photo.

use super::ingest::{IngestTable, PhotoEntry};
use super::{Setup, file_error, memory};
use crate::error::PipelineError;
use crate::photos;
use relievo_engine::{
    BoxError, Figures, Item, ItemWriter, Output, Parallelism, Stage, StageContext, file_name,
};
use relievo_features::{Detector, Expectation, HelperSift, Sift, SiftOptions};
use relievo_image::{Filter, Raster};
use relievo_scene::Features as PhotoFeatures;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// Extension of a features file.
pub const EXTENSION: &str = ".features";

relievo_task::options! {
    /// Which detector, at which size.
    pub struct FeatureStageOptions {
        /// `sift` (our own) or `opencv-sift` (the reference; slow).
        detector: String = "sift".to_owned(), "", "the own detector is several times faster at equal quality";
        /// Photos are reduced to this longer side before detection.
        max_image_side_px: u32 = 3200, "px", "COLMAP";
    }
}

/// Keypoints of a photo, from the first four bytes of its file; `None` where
/// there is none.
pub fn keypoint_count(work: &Path, photo: &str) -> Option<usize> {
    let path = work.join("features").join(file_name(photo, EXTENSION));
    let mut head = [0; relievo_formats::native::features::HEAD];
    fs_err::File::open(path).ok()?.read_exact(&mut head).ok()?;
    relievo_formats::native::features::count(&head)
}

/// One item per photo.
#[derive(Debug)]
pub struct Features {
    setup: Arc<Setup>,
    /// Shared by all photos.
    expectation: Expectation,
}

impl Features {
    /// For one run.
    pub fn new(setup: Arc<Setup>) -> Self {
        Self {
            setup,
            expectation: Expectation::default(),
        }
    }

    fn detector(&self) -> Result<Box<dyn Detector>, PipelineError> {
        let options = self.setup.options("features")?;
        let sift = options.get::<SiftOptions>();
        match options.get::<FeatureStageOptions>().detector.as_str() {
            "sift" => Ok(Box::new(Sift {
                options: sift,
                isa: self.setup.settings.isa,
                expectation: self.expectation.clone(),
            })),
            "opencv-sift" => match relievo_media::opencv_program() {
                Some(program) => Ok(Box::new(HelperSift {
                    program,
                    max_keypoints: sift.max_keypoints,
                })),
                None => Err(PipelineError::Option {
                    name: "features.detector=opencv-sift".to_owned(),
                    what: "relievo-opencv does not stand beside this program; use sift".to_owned(),
                }),
            },
            other => Err(PipelineError::Option {
                name: format!("features.detector={other}"),
                what: "detectors are sift and opencv-sift".to_owned(),
            }),
        }
    }
}

impl Stage for Features {
    fn name(&self) -> &'static str {
        "features"
    }

    fn version(&self) -> u32 {
        1
    }

    fn depends_on(&self) -> &[&'static str] {
        &["ingest"]
    }

    fn options(&self, _ctx: &StageContext) -> Result<Value, BoxError> {
        Ok(self.setup.options("features")?.to_json())
    }

    fn external(&self) -> BTreeMap<String, String> {
        let detector = self.detector().map_or_else(
            |_| "unknown".to_owned(),
            |d| format!("{} {}", d.name(), d.version()),
        );
        BTreeMap::from([
            ("detector".to_owned(), detector),
            (
                "isa".to_owned(),
                crate::isa::describe(self.setup.settings.isa),
            ),
        ])
    }

    fn items(&self, ctx: &StageContext, _pass: u32) -> Result<Vec<Item>, BoxError> {
        let table = IngestTable::read(ctx)?;
        Ok(table
            .photos
            .iter()
            .map(|entry| {
                let mut key = ctx
                    .key()
                    .input(&entry.photo.name, IngestTable::digest(entry));
                if let Some(mask) = &entry.photo.mask_digest {
                    key = key.value("mask", mask.as_str());
                }
                let pixels = u64::from(entry.photo.width_px) * u64::from(entry.photo.height_px);
                Item::new(&entry.photo.name, key.finish()).with_weight(pixels / 10_000)
            })
            .collect())
    }

    fn parallelism(&self, ctx: &StageContext, _pass: u32) -> Parallelism {
        Parallelism::Parallel {
            memory_bytes_per_item: memory::of_features(ctx),
        }
    }

    fn run_item(
        &self,
        ctx: &StageContext,
        item: &Item,
        out: &mut ItemWriter,
    ) -> Result<(), BoxError> {
        let table = IngestTable::read(ctx)?;
        let entry = entry_named(&table, &item.name)?;
        let photo = match self.setup.decoded.take(&entry.source) {
            Some(photo) => photo,
            None => photos::decode_known(entry)?,
        };
        let mask = entry.mask.as_deref().map(photos::decode_mask).transpose()?;
        let options = self.setup.options("features")?.get::<FeatureStageOptions>();
        let found = detect(&*self.detector()?, &photo, mask.as_ref(), &options, ctx)?;
        let bytes = relievo_formats::native::features::encode(&found);
        out.write(&file_name(&item.name, EXTENSION), &bytes)?;
        if found.len() < 200 {
            ctx.task().warn(relievo_task::Warning::new(
                "photo-few-features",
                &item.name,
                format!("only {} distinctive points were found on it", found.len()),
                "plain or dark surfaces give few; add texture (posters, newspaper) or light",
            ));
        }
        Ok(())
    }

    fn finish(&self, ctx: &StageContext, _out: &mut ItemWriter) -> Result<Figures, BoxError> {
        let mut total = 0;
        let outputs = ctx.outputs("features")?;
        for output in &outputs {
            total += read(output)?.len();
        }
        let mut figures = Figures::new();
        figures.insert("keypoints".into(), total.into());
        figures.insert(
            "keypoints_per_photo".into(),
            (total / outputs.len().max(1)).into(),
        );
        Ok(figures)
    }
}

/// Detection at the reduced size, coordinates in the photo's own pixels.
fn detect(
    detector: &dyn Detector,
    photo: &Raster<[u8; 3]>,
    mask: Option<&Raster<u8>>,
    options: &FeatureStageOptions,
    ctx: &StageContext,
) -> Result<PhotoFeatures, BoxError> {
    let (w, h) = (photo.width(), photo.height());
    let longer = w.max(h);
    let most = options.max_image_side_px.max(64) as usize;
    if longer <= most {
        return Ok(detector.detect(photo, mask, ctx.task())?);
    }
    let scale = most as f64 / longer as f64;
    let size = |n: usize| ((n as f64 * scale).round() as usize).max(1);
    let (sw, sh) = (size(w), size(h));
    let small = relievo_image::resize(photo, sw, sh, Filter::Area);
    let small_mask = mask.map(|m| relievo_image::resize(m, sw, sh, Filter::Area));
    let mut found = detector.detect(&small, small_mask.as_ref(), ctx.task())?;
    let (sx, sy) = (w as f32 / sw as f32, h as f32 / sh as f32);
    for k in &mut found.keypoints {
        k.x_px *= sx;
        k.y_px *= sy;
        k.scale_px *= 0.5 * (sx + sy);
    }
    Ok(found)
}

/// Reads a features file.
pub(super) fn read(output: &Output) -> Result<PhotoFeatures, PipelineError> {
    let bytes = fs_err::read(&output.path)?;
    relievo_formats::native::features::decode(&bytes).map_err(|e| file_error(&output.path, &e))
}

/// All features by view, with the digests of their files.
pub(super) fn read_all(
    ctx: &StageContext,
    table: &IngestTable,
) -> Result<BTreeMap<relievo_scene::ViewId, PhotoFeatures>, PipelineError> {
    table
        .photos
        .iter()
        .map(|e| {
            let output = ctx.output("features", &file_name(&e.photo.name, EXTENSION))?;
            Ok((e.photo.view_id, read(&output)?))
        })
        .collect()
}

/// The row of a photo.
pub(super) fn entry_named<'a>(
    table: &'a IngestTable,
    name: &str,
) -> Result<&'a PhotoEntry, PipelineError> {
    table
        .photos
        .iter()
        .find(|e| e.photo.name == name)
        .ok_or_else(|| PipelineError::Data {
            stage: "ingest",
            what: format!("photo {name} is not in the table of photos"),
            hint: "run again with --force ingest".to_owned(),
        })
}
