//! Refusal of inputs that give fewer than two photos: what was given, why
//! each file was left out, and the remedy.

use crate::error::PipelineError;
use crate::ingest_table::{IngestTable, Rejected};
use std::path::PathBuf;

/// Files that are named in a message; the report names all.
const NAMED: usize = 5;

/// The refusal of `table`, which came of `inputs` and holds fewer than two
/// photos.
pub(crate) fn too_few(table: IngestTable, inputs: &[PathBuf]) -> PipelineError {
    let left_out = &table.rejected;
    let reasons = || {
        list(
            left_out.iter().map(|r| format!("{}: {}", r.name, r.reason)),
            "; ",
        )
    };
    let all = left_out.len() + 1;
    let video = table.photos.first().filter(|e| e.photo.time_s.is_some());
    let video = video.and_then(|e| e.photo.name.rsplit_once('/'));
    let (what, first) = match (table.photos.first(), video, left_out.as_slice()) {
        (_, Some((video, _)), _) => (
            format!("{video}: only one frame of this video can be used"),
            "film for half a minute while walking around the subject".to_owned(),
        ),
        (None, _, []) => (
            format!(
                "{}: there are no photos or videos here",
                list(inputs.iter().map(|p| p.display().to_string()), ", ")
            ),
            String::new(),
        ),
        (None, _, [only]) => (format!("{}: {}", only.name, only.reason), only.hint.clone()),
        (None, ..) => (
            format!(
                "none of the {} files can be used ({})",
                left_out.len(),
                reasons()
            ),
            remedies(left_out),
        ),
        (Some(e), _, []) => (
            format!("{}: 1 photo is too few", e.photo.name),
            String::new(),
        ),
        (Some(e), ..) => (
            format!(
                "only 1 photo of {all} can be used, {} ({})",
                e.photo.name,
                reasons()
            ),
            remedies(left_out),
        ),
    };
    let needed = "at least two photos that show the same thing from different places are needed, \
                  twenty to sixty are a good start";
    let hint = if first.is_empty() {
        needed.to_owned()
    } else {
        format!("{first}; {needed}")
    };
    PipelineError::TooFewPhotos {
        what,
        hint,
        table: Box::new(table),
    }
}

/// The first few, and how many more there are.
fn list(all: impl ExactSizeIterator<Item = String>, between: &str) -> String {
    let more = all.len().saturating_sub(NAMED);
    let mut parts: Vec<String> = all.take(NAMED).collect();
    if more > 0 {
        parts.push(format!("and {more} more"));
    }
    parts.join(between)
}

/// Each remedy once, with the first file that it is for.
fn remedies(left_out: &[Rejected]) -> String {
    let mut seen: Vec<&Rejected> = Vec::new();
    for r in left_out.iter().filter(|r| !r.hint.is_empty()) {
        if seen.iter().all(|s| s.hint != r.hint) {
            seen.push(r);
        }
    }
    let parts: Vec<String> = seen
        .iter()
        .map(|r| format!("{}: {}", r.name, r.hint))
        .collect();
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest_table::PhotoEntry;
    use relievo_scene::{CameraId, Photo, ViewId};

    fn rejected(name: &str, reason: &str, hint: &str) -> Rejected {
        Rejected {
            name: name.to_owned(),
            kind: "photo-broken".to_owned(),
            reason: reason.to_owned(),
            hint: hint.to_owned(),
        }
    }

    fn entry(name: &str, time_s: Option<f64>) -> PhotoEntry {
        PhotoEntry {
            photo: Photo {
                view_id: ViewId(1),
                name: name.to_owned(),
                digest: String::new(),
                mask_digest: None,
                width_px: 640,
                height_px: 480,
                orientation: 1,
                camera_id: CameraId(1),
                device: None,
                sharpness: 1.0,
                geo: None,
                taken: None,
                time_s,
                held_out: false,
            },
            source: PathBuf::from(name),
            mask: None,
        }
    }

    /// Message and hint.
    fn said(photos: Vec<PhotoEntry>, rejected: Vec<Rejected>) -> (String, String) {
        let table = IngestTable {
            photos,
            rejected,
            ..IngestTable::default()
        };
        let error = too_few(table, &[PathBuf::from("holiday")]);
        (error.to_string(), error.hint())
    }

    #[test]
    fn what_was_given_is_named() {
        let (what, hint) = said(vec![], vec![]);
        assert_eq!(what, "holiday: there are no photos or videos here");
        assert!(hint.starts_with("at least two photos"), "{hint}");
        let (what, _) = said(vec![entry("a.jpg", None)], vec![]);
        assert_eq!(what, "a.jpg: 1 photo is too few");
        let (what, hint) = said(vec![entry("trips/clip.mp4/0007.png", Some(0.2))], vec![]);
        assert_eq!(
            what,
            "trips/clip.mp4: only one frame of this video can be used"
        );
        assert!(hint.starts_with("film"), "{hint}");
    }

    #[test]
    fn the_remedy_of_the_files_left_out_is_in_the_hint() {
        let heic = |name: &str| rejected(name, "HEIC pictures are not read yet", "convert it");
        let (what, hint) = said(vec![], vec![heic("1.heic")]);
        assert_eq!(what, "1.heic: HEIC pictures are not read yet");
        assert!(hint.starts_with("convert it; at least two"), "{hint}");
        let cut = rejected("9.jpg", "it is cut off", "copy it again");
        let (what, hint) = said(vec![], vec![heic("1.heic"), heic("2.heic"), cut]);
        assert!(what.starts_with("none of the 3 files"), "{what}");
        assert!(
            hint.starts_with("1.heic: convert it; 9.jpg: copy it again; at least"),
            "{hint}"
        );
    }

    #[test]
    fn of_many_files_left_out_the_rest_is_counted() {
        let copies = (2..=10).map(|i| rejected(&format!("{i:02}.jpg"), "it is the same", ""));
        let (what, _) = said(vec![entry("01.jpg", None)], copies.collect());
        assert!(
            what.starts_with("only 1 photo of 10 can be used, 01.jpg (02.jpg: it is the same; "),
            "{what}"
        );
        assert!(
            what.ends_with("06.jpg: it is the same; and 4 more)"),
            "{what}"
        );
    }
}
