//! What stages hold at most, from what they read.
//!
//! Upper bounds that measured peaks stay below (docs/decisions.md); a budget that is less
//! is refused before the work, and parallel items are as many as fit.

use super::ingest::IngestTable;
use relievo_engine::StageContext;

const MIB: u64 = 1 << 20;
/// The program, its buffers and what the allocator keeps.
const BASE: u64 = 48 * MIB;
/// Photos of a batch of partners in memory at a time.
pub(super) const BATCH: usize = 64;

/// Bytes of the files that a stage is given.
#[derive(Clone, Copy, Debug, Default)]
struct Given {
    photos: u64,
    features: u64,
    largest_features: u64,
    matches: u64,
    largest_photo_px: u64,
}

impl Given {
    fn new(ctx: &StageContext) -> Self {
        let sizes = |stage| -> Vec<u64> {
            let outputs = ctx.outputs(stage).unwrap_or_default();
            outputs.iter().map(|o| o.size).collect()
        };
        let features = sizes("features");
        let photos = IngestTable::read(ctx).map_or(Vec::new(), |t| t.photos);
        let pixels = photos
            .iter()
            .map(|e| u64::from(e.photo.width_px) * u64::from(e.photo.height_px));
        Self {
            photos: photos.len() as u64,
            features: features.iter().sum(),
            largest_features: features.iter().copied().max().unwrap_or(0),
            matches: sizes("matches").iter().sum(),
            largest_photo_px: pixels.max().unwrap_or(0),
        }
    }
}

/// One photo in features: blurred in strips, so that of large ones only the photo itself, as it
/// is decoded and as grey values, costs more.
pub(super) fn of_features(ctx: &StageContext) -> u64 {
    let pixels = Given::new(ctx).largest_photo_px;
    (BASE + 60 * pixels).min(300 * MIB).max(BASE + 8 * pixels)
}

/// One item of a pass of matches.
pub(super) fn of_matches(ctx: &StageContext, pass: u32) -> u64 {
    let given = Given::new(ctx);
    // Descriptors, and sketches of them.
    let all = BASE + 2 * given.features;
    match pass {
        // The vectors that photos are compared by, and the samples they are learned from.
        0 => all + 32 * MIB + given.photos * (64 << 10),
        1 => {
            let held = given.photos.min(BATCH as u64 + 1);
            BASE + held * given.largest_features * 5 / 2
        }
        // Photos in full, and their simulated views.
        3 => all + 160 * MIB + 30 * given.largest_photo_px,
        _ => all,
    }
}

/// The mapper: keypoints and matches, tracks of them, and the reduced system.
pub(super) fn of_sparse(ctx: &StageContext) -> u64 {
    let given = Given::new(ctx);
    let reduced = (given.photos * given.photos * 36 * 8).min(2 << 30);
    BASE + 2 * given.features + 8 * given.matches + reduced
}

/// A view in depth: pictures, hypotheses and costs of the reference; sources, once more as the
/// kernel takes them; the maps of the pass before. Pictures of `listed` sources, ten in all that.
pub(super) fn of_depth(map_px: u64, listed: u64) -> u64 {
    BASE + map_px * (310 + 2 * listed.saturating_sub(10))
}

/// The fusion of a view with `views` of maps, each with its picture; points go to disk where
/// they are too many. A quarter of the budget is theirs while views are held.
pub(super) fn of_cloud(views: u64, map_px: u64, photo_px: u64) -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "as many photos are decoded at a time; changes no result"
    )]
    let threads = rayon::current_num_threads() as u64;
    // A photo while it is decoded; its map as it is stored and as it is used.
    let loading = threads.min(views) * (6 * photo_px + 20 * map_px);
    (BASE + views * 10 * map_px + loading) * 4 / 3
}
