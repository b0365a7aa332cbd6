//! ingest: the photos and key frames that take part, and their cameras.

use super::{Setup, json_bytes, read_json};
use crate::error::PipelineError;
use crate::ingest_table::{FrameRow, PhotoFacts, Verdict, build_table};
pub use crate::ingest_table::{IngestTable, PhotoEntry, Rejected};
pub use crate::input_scan::InputScan;
use crate::input_scan::{InputFile, InputKind};
use crate::too_few::too_few;
use relievo_engine::{
    BoxError, Digest, EngineError, Figures, Item, ItemWriter, Parallelism, Stage, StageContext,
    digest_bytes, file_name,
};
use relievo_media::{KeyFrameOptions, MediaError};
use relievo_task::Warning;
use serde_json::Value;
use std::sync::Arc;

/// The table of photos, in the stage's folder.
pub const TABLE_FILE: &str = "photos.json";

/// Most bytes of decoded photos that wait for the next stage.
const MOST_DECODED_BYTES: u64 = 200 << 20;

relievo_task::options! {
    /// Options of taking photos in.
    pub struct IngestOptions {
        /// Photos whose longer side is shorter are left out.
        min_side_px: u32 = 200, "px", "judgement: thumbnails and icons";
        /// Photos whose sharpness is under this part of the set's median are left out.
        blur_reject: f64 = 0.03, "of the median", "judgement: a smear, nothing to match";
        /// Photos under this part of the median are named in a warning.
        blur_warn: f64 = 0.15, "of the median", "judgement";
    }
}

/// One item per photo or video; `finish` joins the rows.
#[derive(Debug)]
pub struct Ingest(pub Arc<Setup>);

impl Stage for Ingest {
    fn name(&self) -> &'static str {
        "ingest"
    }

    fn version(&self) -> u32 {
        3
    }

    fn depends_on(&self) -> &[&'static str] {
        &[]
    }

    fn options(&self, _ctx: &StageContext) -> Result<Value, BoxError> {
        Ok(self.0.options("ingest")?.to_json())
    }

    fn items(&self, ctx: &StageContext, _pass: u32) -> Result<Vec<Item>, BoxError> {
        self.0
            .scan
            .files
            .iter()
            .map(|file| {
                let key = ctx.key().input(&file.name, file.digest).finish();
                Ok(Item::new(&file.name, key).with_weight(match file.kind {
                    InputKind::Photo => 1,
                    InputKind::Video => 200,
                }))
            })
            .collect()
    }

    fn parallelism(&self, _ctx: &StageContext, _pass: u32) -> Parallelism {
        Parallelism::Parallel {
            memory_bytes_per_item: 300 << 20,
        }
    }

    fn run_item(
        &self,
        ctx: &StageContext,
        item: &Item,
        out: &mut ItemWriter,
    ) -> Result<(), BoxError> {
        let file =
            self.0.scan.file(&item.name).ok_or_else(|| {
                std::io::Error::other("the list of inputs changed during the run")
            })?;
        match file.kind {
            InputKind::Photo => {
                let verdict = self.look_at_photo(ctx, file);
                out.write(&row_name(file), &json_bytes(&verdict)?)?;
            }
            InputKind::Video => self.key_frames(ctx, file, out)?,
        }
        Ok(())
    }

    fn finish_inputs(&self, _ctx: &StageContext) -> Result<Vec<(String, Digest)>, BoxError> {
        let s = &self.0.settings;
        let settings = serde_json::json!({
            "cameras": s.cameras, "single_camera": s.single_camera, "hold_out": s.hold_out,
            "fix_intrinsics": s.fix_intrinsics,
        });
        let mut inputs = vec![(
            "settings".to_owned(),
            digest_bytes(settings.to_string().as_bytes()),
        )];
        for file in &self.0.scan.files {
            let place = digest_bytes(file.path.as_os_str().as_encoded_bytes());
            inputs.push((format!("path of {}", file.name), place));
            if let Some((_, digest)) = &file.mask {
                inputs.push((format!("mask of {}", file.name), *digest));
            }
        }
        Ok(inputs)
    }

    fn finish(&self, ctx: &StageContext, out: &mut ItemWriter) -> Result<Figures, BoxError> {
        let options = self.0.options("ingest")?.get::<IngestOptions>();
        let mut verdicts = Vec::new();
        for file in &self.0.scan.files {
            match file.kind {
                InputKind::Photo => {
                    verdicts.push((file, read_json::<Verdict>(ctx, "ingest", &row_name(file))?));
                }
                InputKind::Video => {
                    let frames: Vec<Verdict> = read_json(ctx, "ingest", &row_name(file))?;
                    verdicts.extend(frames.into_iter().map(|f| (file, f)));
                }
            }
        }
        let table = build_table(&verdicts, &self.0.settings, &options);
        for r in &table.rejected {
            ctx.task().warn(r.warning());
        }
        for w in &table.notes {
            ctx.task().warn(w.clone());
        }
        if table.photos.len() < 2 {
            return Err(Box::new(too_few(table, &self.0.settings.inputs)));
        }
        for entry in &table.photos {
            check_mask(entry)?;
        }
        out.write(TABLE_FILE, &json_bytes(&table)?)?;
        let mut figures = Figures::new();
        figures.insert("photos".into(), table.photos.len().into());
        figures.insert("cameras".into(), table.cameras.len().into());
        figures.insert("left_out".into(), table.rejected.len().into());
        Ok(figures)
    }
}

impl Ingest {
    /// Decodes the whole photo once, so that damage shows here and not hours on.
    fn look_at_photo(&self, ctx: &StageContext, file: &InputFile) -> Verdict {
        match relievo_media::decode_photo(&file.path) {
            Ok(photo) => {
                let sharpness = relievo_media::sharpness(&relievo_image::luma(&photo.rgb));
                let budget = MOST_DECODED_BYTES.min(ctx.task().memory_bytes() / 4);
                self.0.decoded.keep(&file.path, photo.rgb, budget);
                Verdict::Photo(PhotoFacts {
                    sharpness,
                    info: photo.info,
                })
            }
            Err(MediaError::Photo { problem, .. }) => Verdict::Broken {
                kind: problem.kind().to_owned(),
                reason: problem.to_string(),
                hint: problem.hint().to_owned(),
            },
            Err(e) => Verdict::Broken {
                kind: "photo-unreadable".to_owned(),
                reason: e.to_string(),
                hint: e.hint().to_owned(),
            },
        }
    }

    /// Chooses key frames and stores them as PNG with their row.
    fn key_frames(
        &self,
        ctx: &StageContext,
        file: &InputFile,
        out: &mut ItemWriter,
    ) -> Result<(), BoxError> {
        let options = self.0.options("ingest")?.get::<KeyFrameOptions>();
        let decoder = crate::video::decoder()?;
        let analysed = decoder.open(&file.path).and_then(|mut video| {
            let announced = video.info().frames as usize;
            Ok((relievo_media::analyse(&mut *video, ctx.task())?, announced))
        });
        let (frames, announced) = match analysed {
            Ok(found) => found,
            // Beside other inputs it is left out like a broken photo.
            Err(MediaError::Video { problem, .. }) if self.0.scan.files.len() > 1 => {
                let verdict = Verdict::Broken {
                    kind: "video-unusable".to_owned(),
                    reason: problem.to_string(),
                    hint: problem.hint().to_owned(),
                };
                out.write(&row_name(file), &json_bytes(&vec![verdict])?)?;
                return Ok(());
            }
            Err(e) => return Err(unusable_video(e)),
        };
        if frames.len() * 10 < announced * 9 {
            ctx.task().warn(Warning::new(
                "video-cut-off",
                &file.name,
                format!("only {} of {announced} frames can be decoded", frames.len()),
                "copy the file once more if what is missing matters",
            ));
        }
        let chosen = relievo_media::choose_key_frames(&frames, &options);
        let wanted: Vec<u64> = chosen.iter().map(|&i| frames[i].stamp.index).collect();
        let sharpness = |index: u64| {
            frames
                .iter()
                .find(|f| f.stamp.index == index)
                .map_or(0.0, |f| f.sharpness)
        };
        let progress = ctx.task().progress("key frames", wanted.len() as u64);
        let mut rows = Vec::new();
        let mut refused: Option<EngineError> = None;
        relievo_media::decode_frames(&mut *decoder.open(&file.path)?, &wanted, |stamp, rgb| {
            let name = relievo_media::key_frame_name(&file.name, stamp.index);
            let stored = format!("frames/{}", file_name(&name, ""));
            let png = relievo_media::encode_png_rgb(&rgb)?;
            if refused.is_none() {
                refused = out.write(&stored, &png).err();
            }
            rows.push(Verdict::Frame(FrameRow {
                name,
                stored,
                time_s: stamp.time_s,
                digest: digest_bytes(rgb.as_slice().as_flattened()).to_string(),
                width_px: rgb.width() as u32,
                height_px: rgb.height() as u32,
                sharpness: sharpness(stamp.index),
                frames_of_video: frames.len(),
            }));
            progress.add(1);
            Ok(())
        })?;
        if let Some(error) = refused {
            return Err(Box::new(error));
        }
        out.write(&row_name(file), &json_bytes(&rows)?)?;
        Ok(())
    }
}

/// A video that gives no frames, with what to do about it.
fn unusable_video(error: MediaError) -> BoxError {
    if let MediaError::Video { problem, .. } = &error {
        return Box::new(PipelineError::Input {
            hint: problem.hint().to_owned(),
            what: error.to_string(),
        });
    }
    Box::new(error)
}

/// Refuses a mask that does not read or is not of its photo's size, before
/// anything is computed with it.
fn check_mask(entry: &PhotoEntry) -> Result<(), PipelineError> {
    let Some(path) = &entry.mask else {
        return Ok(());
    };
    let (w, h) = (entry.photo.width_px, entry.photo.height_px);
    let mask = relievo_media::probe_photo(path).map_err(|e| PipelineError::Input {
        what: PipelineError::file(path, &e).to_string(),
        hint: format!("save the mask as a PNG of {w} × {h} pixels, or remove it"),
    })?;
    if (mask.width_px, mask.height_px) == (w, h) {
        return Ok(());
    }
    Err(PipelineError::Input {
        what: format!(
            "{}: the mask is {} × {} pixels, its photo {} {w} × {h}",
            path.display(),
            mask.width_px,
            mask.height_px,
            entry.photo.name
        ),
        hint: "save the mask at the size of the upright photo, or remove it".to_owned(),
    })
}

fn row_name(file: &InputFile) -> String {
    format!("rows/{}", file_name(&file.name, ".json"))
}
