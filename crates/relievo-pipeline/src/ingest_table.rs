//! From what each file holds to the table of photos: duplicates and unusable
//! photos out, cameras grouped.

use crate::error::PipelineError;
use crate::input_scan::InputFile;
use crate::settings::{CameraSpec, Settings};
use crate::stages::ingest::{IngestOptions, TABLE_FILE};
use relievo_engine::{Digest, StageContext};
use relievo_geometry::{CameraModel, Params};
use relievo_media::{ExifInfo, PhotoInfo};
use relievo_scene::{Camera, CameraId, Photo, ViewId};
use relievo_task::Warning;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What one decoded photo says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhotoFacts {
    /// Size and EXIF data.
    pub info: PhotoInfo,
    /// Variance of the Laplacian at 640 px.
    pub sharpness: f32,
}

/// One key frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrameRow {
    /// `<video file>/<index, %04d>.png`
    pub name: String,
    /// File inside `ingest/`.
    pub stored: String,
    /// Seconds into the video.
    pub time_s: f64,
    /// BLAKE3 of the pixels, hex.
    pub digest: String,
    /// Upright.
    pub width_px: u32,
    /// Upright.
    pub height_px: u32,
    /// Variance of the Laplacian at 640 px.
    pub sharpness: f32,
    /// Frames that the video holds.
    pub frames_of_video: usize,
}

/// What became of one file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It can be decoded.
    Photo(PhotoFacts),
    /// A key frame.
    Frame(FrameRow),
    /// It cannot.
    Broken {
        /// Kebab-case kind.
        kind: String,
        /// Why.
        reason: String,
        /// What to do.
        hint: String,
    },
}

/// A photo that takes part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhotoEntry {
    /// The noun.
    #[serde(flatten)]
    pub photo: Photo,
    /// Where its pixels are; in the file, a key frame's lie relative to `ingest/`.
    pub source: PathBuf,
    /// Where its mask is.
    pub mask: Option<PathBuf>,
}

/// A file that does not take part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rejected {
    /// Its name.
    pub name: String,
    /// photo-tiny, photo-duplicate, photo-blurred, …
    pub kind: String,
    /// Why.
    pub reason: String,
    /// What to do.
    pub hint: String,
}

impl Rejected {
    /// The same as a warning.
    pub fn warning(&self) -> Warning {
        Warning::new(&self.kind, &self.name, &self.reason, &self.hint)
    }
}

fn is_zero(origin: &[f64; 3]) -> bool {
    *origin == [0.0; 3]
}

/// `ingest/photos.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IngestTable {
    /// Photo files, and frames of the videos.
    pub given: usize,
    /// Photos given without exact duplicates, and key frames: the 100 % of
    /// what could be registered.
    pub expected: usize,
    /// Photos that take part, by name; view ids count from 1.
    pub photos: Vec<PhotoEntry>,
    /// Files that do not.
    pub rejected: Vec<Rejected>,
    /// Starting intrinsics.
    pub cameras: BTreeMap<CameraId, Camera>,
    /// Where the origin of the poses lies in the frame that they were given in.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub origin: [f64; 3],
    /// Blurred photos that take part all the same, and the like.
    pub notes: Vec<Warning>,
}

impl IngestTable {
    /// The table of a work folder.
    pub(crate) fn read(ctx: &StageContext) -> Result<Self, PipelineError> {
        let table: Self = crate::stages::read_json(ctx, "ingest", TABLE_FILE)?;
        Ok(table.found_in(ctx.work()))
    }

    /// The table of a work folder, from outside a run.
    pub fn read_work(work: &Path) -> Result<Self, PipelineError> {
        let path = work.join("ingest").join(TABLE_FILE);
        let bytes = fs_err::read(&path)?;
        let table: Self = serde_json::from_slice(&bytes).map_err(|e| PipelineError::File {
            path,
            what: e.to_string(),
        })?;
        Ok(table.found_in(work))
    }

    /// With the key frames where the work folder is now.
    fn found_in(mut self, work: &Path) -> Self {
        for entry in &mut self.photos {
            if entry.source.is_relative() {
                entry.source = work.join("ingest").join(&entry.source);
            }
        }
        self
    }

    /// The digest of a photo's content, for keys.
    pub fn digest(entry: &PhotoEntry) -> Digest {
        Digest::try_from(entry.photo.digest.clone()).unwrap_or(Digest([0; 32]))
    }
}

/// Facts of one candidate, before grouping.
struct Candidate<'a> {
    name: String,
    digest: String,
    source: PathBuf,
    mask: Option<&'a (PathBuf, Digest)>,
    facts: PhotoFacts,
    frame: Option<&'a FrameRow>,
    video: Option<&'a str>,
}

/// Joins the verdicts on all files.
pub fn build_table(
    verdicts: &[(&InputFile, Verdict)],
    settings: &Settings,
    options: &IngestOptions,
) -> IngestTable {
    let mut table = IngestTable::default();
    let mut candidates = Vec::new();
    let mut videos = BTreeMap::new();
    for (file, verdict) in verdicts {
        match verdict {
            Verdict::Broken { kind, reason, hint } => {
                table.given += 1;
                table.expected += 1;
                table.rejected.push(Rejected {
                    name: file.name.clone(),
                    kind: kind.clone(),
                    reason: reason.clone(),
                    hint: hint.clone(),
                });
            }
            Verdict::Photo(facts) => {
                table.given += 1;
                candidates.push(Candidate {
                    name: file.name.clone(),
                    digest: file.digest.to_string(),
                    source: file.path.clone(),
                    mask: file.mask.as_ref(),
                    facts: facts.clone(),
                    frame: None,
                    video: None,
                });
            }
            Verdict::Frame(row) => {
                videos.insert(file.name.clone(), row.frames_of_video);
                candidates.push(Candidate {
                    name: row.name.clone(),
                    digest: row.digest.clone(),
                    source: PathBuf::from(&row.stored),
                    mask: file.mask.as_ref(),
                    facts: PhotoFacts {
                        info: PhotoInfo {
                            width_px: row.width_px,
                            height_px: row.height_px,
                            exif: ExifInfo {
                                orientation: 1,
                                ..ExifInfo::default()
                            },
                        },
                        sharpness: row.sharpness,
                    },
                    frame: Some(row),
                    video: Some(&file.name),
                });
            }
        }
    }
    table.given += videos.values().sum::<usize>();
    candidates.sort_by(|a, b| a.name.cmp(&b.name));
    let kept = sort_out(candidates, options, &mut table);
    let known: BTreeSet<&str> = kept.iter().map(|c| c.name.as_str()).collect();
    for name in settings
        .hold_out
        .iter()
        .filter(|n| !known.contains(n.as_str()))
    {
        table.notes.push(Warning::new(
            "hold-out-unknown",
            name,
            "this photo is to be held out but is not among the photos",
            "names are relative to the INPUT, with /",
        ));
    }
    group(&kept, settings, &mut table);
    table
}

/// Duplicates, tiny and hopelessly blurred photos out.
fn sort_out<'a>(
    candidates: Vec<Candidate<'a>>,
    options: &IngestOptions,
    table: &mut IngestTable,
) -> Vec<Candidate<'a>> {
    let mut sharpness: Vec<f32> = candidates
        .iter()
        .map(|c| c.facts.sharpness)
        .filter(|s| s.is_finite())
        .collect();
    sharpness.sort_by(f32::total_cmp);
    let median = f64::from(sharpness.get(sharpness.len() / 2).copied().unwrap_or(0.0));
    let mut first_of: BTreeMap<String, String> = BTreeMap::new();
    let mut kept = Vec::new();
    let reject = |table: &mut IngestTable, name: &str, kind: &str, reason: String, hint: &str| {
        table.rejected.push(Rejected {
            name: name.to_owned(),
            kind: kind.to_owned(),
            reason,
            hint: hint.to_owned(),
        });
    };
    for c in candidates {
        if let Some(first) = first_of.get(&c.digest) {
            let reason = format!("it is the same file as {first}");
            reject(table, &c.name, "photo-duplicate", reason, "");
            continue;
        }
        first_of.insert(c.digest.clone(), c.name.clone());
        table.expected += 1;
        let (w, h) = (c.facts.info.width_px, c.facts.info.height_px);
        if w.max(h) < options.min_side_px {
            let reason = format!("it is only {w} × {h} pixels");
            reject(
                table,
                &c.name,
                "photo-tiny",
                reason,
                "use the photo as the camera made it",
            );
            continue;
        }
        let relative = f64::from(c.facts.sharpness) / median.max(1e-9);
        if relative < options.blur_reject {
            let reason = format!(
                "it is too blurred ({:.0} % of the usual sharpness)",
                relative * 100.0
            );
            reject(
                table,
                &c.name,
                "photo-blurred",
                reason,
                "hold still, use more light or a flash",
            );
            continue;
        }
        if relative < options.blur_warn {
            table.notes.push(Warning::new(
                "photo-soft",
                &c.name,
                format!(
                    "it is much less sharp than the others ({:.0} %)",
                    relative * 100.0
                ),
                "leave it out if the model looks smeared there",
            ));
        }
        kept.push(c);
    }
    kept
}

/// What makes two photos share a camera.
type GroupKey = (
    Option<String>,
    Option<String>,
    u32,
    u32,
    (Option<u64>, Option<u64>),
    Option<usize>,
);

fn group(kept: &[Candidate<'_>], settings: &Settings, table: &mut IngestTable) {
    let globs: Vec<Option<globset::GlobMatcher>> = settings
        .cameras
        .iter()
        .map(|s| {
            s.glob
                .as_ref()
                .and_then(|g| globset::Glob::new(g).ok())
                .map(|g| g.compile_matcher())
        })
        .collect();
    let spec_of = |name: &str| {
        (0..settings.cameras.len()).rev().find(|&i| {
            settings.cameras[i].glob.is_none()
                || globs[i].as_ref().is_some_and(|g| g.is_match(name))
        })
    };
    let mut ids: BTreeMap<GroupKey, CameraId> = BTreeMap::new();
    for (i, c) in kept.iter().enumerate() {
        let f = &c.facts.info;
        let spec = spec_of(&c.name);
        // A turned phone is the same camera; its pictures are kept apart,
        // because the principal point turns with them.
        let focal = if settings.single_camera {
            (None, None)
        } else {
            f.exif.focal_key()
        };
        let device = (!settings.single_camera).then(|| f.exif.device()).flatten();
        let video = c
            .video
            .map(str::to_owned)
            .filter(|_| !settings.single_camera);
        let key = (device.clone(), video, f.width_px, f.height_px, focal, spec);
        let next = CameraId(ids.len() as u32 + 1);
        let camera_id = *ids.entry(key).or_insert(next);
        table
            .cameras
            .entry(camera_id)
            .or_insert_with(|| starting_camera(f, spec.map(|i| &settings.cameras[i])));
        table.photos.push(PhotoEntry {
            photo: Photo {
                view_id: ViewId(i as u32 + 1),
                name: c.name.clone(),
                digest: c.digest.clone(),
                mask_digest: c.mask.map(|(_, d)| d.to_string()),
                width_px: f.width_px,
                height_px: f.height_px,
                orientation: f.exif.orientation,
                camera_id,
                device: f.exif.device(),
                sharpness: c.facts.sharpness,
                geo: f.exif.geo,
                taken: f.exif.taken.clone(),
                time_s: c.frame.map(|r| r.time_s),
                held_out: settings.hold_out.contains(&c.name),
            },
            source: c.source.clone(),
            mask: c.mask.map(|(p, _)| p.clone()),
        });
    }
}

/// Intrinsics to start from: given, else EXIF, else a guess.
fn starting_camera(info: &PhotoInfo, spec: Option<&CameraSpec>) -> Camera {
    let guess = relievo_media::starting_camera(info);
    let Some(spec) = spec else { return guess };
    if let Some(model) = spec.model() {
        return Camera {
            model,
            has_prior_focal: true,
            ..guess
        };
    }
    let (f, center) = (
        guess.model.mean_focal_px(),
        guess.model.principal_point_px(),
    );
    let params: Params = spec
        .kind
        .param_names()
        .iter()
        .map(|name| match *name {
            "f" | "fx" | "fy" => f,
            "cx" => center.x,
            "cy" => center.y,
            _ => 0.0,
        })
        .collect();
    let model = CameraModel::from_params(spec.kind, &params).unwrap_or(guess.model);
    Camera { model, ..guess }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input_scan::InputKind;

    fn file(name: &str, content: &str) -> InputFile {
        InputFile {
            name: name.to_owned(),
            path: PathBuf::from(name),
            kind: InputKind::Photo,
            digest: relievo_engine::digest_bytes(content.as_bytes()),
            mask: None,
        }
    }

    fn photo(model: Option<&str>, size: (u32, u32), focal_35mm: Option<f64>) -> Verdict {
        Verdict::Photo(PhotoFacts {
            info: PhotoInfo {
                width_px: size.0,
                height_px: size.1,
                exif: ExifInfo {
                    orientation: 1,
                    model: model.map(str::to_owned),
                    focal_mm: Some(4.2),
                    focal_35mm,
                    ..ExifInfo::default()
                },
            },
            sharpness: 100.0,
        })
    }

    fn table(rows: &[(InputFile, Verdict)], settings: &Settings) -> IngestTable {
        let rows: Vec<(&InputFile, Verdict)> = rows.iter().map(|(f, v)| (f, v.clone())).collect();
        build_table(&rows, settings, &IngestOptions::default())
    }

    #[test]
    fn device_size_and_zoom_tell_cameras_apart_and_one_camera_can_be_asked_for() {
        let landscape = (3000, 2000);
        let rows = [
            (file("a", "a"), photo(Some("X"), landscape, Some(36.0))),
            (file("b", "b"), photo(Some("X"), (2000, 3000), Some(36.0))),
            (file("c", "c"), photo(Some("X"), landscape, Some(36.0))),
            (file("d", "d"), photo(Some("X"), landscape, Some(50.0))),
            (file("e", "e"), photo(None, landscape, None)),
        ];
        let ids = |t: &IngestTable| -> Vec<u32> {
            t.photos.iter().map(|e| e.photo.camera_id.0).collect()
        };
        let apart = table(&rows, &Settings::default());
        assert_eq!(ids(&apart), [1, 2, 1, 3, 4]);
        assert!((apart.cameras[&CameraId(1)].model.mean_focal_px() - 3000.0).abs() < 1e-9);
        let one = Settings {
            single_camera: true,
            ..Settings::default()
        };
        assert_eq!(
            ids(&table(&rows, &one)),
            [1, 2, 1, 1, 1],
            "a size is a camera"
        );
    }

    #[test]
    fn copies_of_a_photo_are_out_and_not_expected() {
        let one = || photo(None, (3000, 2000), None);
        let rows = [
            (file("b.jpg", "same"), one()),
            (file("a.jpg", "same"), one()),
            (file("c.jpg", "other"), one()),
        ];
        let t = table(&rows, &Settings::default());
        assert_eq!((t.given, t.expected, t.photos.len()), (3, 2, 2));
        assert_eq!(t.rejected[0].name, "b.jpg");
        assert_eq!(t.rejected[0].kind, "photo-duplicate");
        assert!(t.rejected[0].reason.contains("a.jpg"));
    }
}
