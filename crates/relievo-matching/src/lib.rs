//! From features to verified pairs and tracks.
//!
//! Enters: [`relievo_scene::Features`] and [`relievo_scene::Camera`] of every
//! view, and a list of pairs. Leaves: [`relievo_scene::TwoViewGeometry`] of
//! each pair, in the order of the list, and [`relievo_scene::Track`]s.
//!
//! Frames: pixels of the full-size upright photo, top-left pixel centre at
//! (0.5, 0.5); relative poses read `b_from_a` with |t| = 1.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`brute_force`] | putative matches: ratio test, mutual nearest neighbours |
//! | [`nearest`] | exact nearest neighbours by dot product; kernels by instruction set |
//! | [`pairs`] | [`choose_pairs`]: all, by sequence, by GPS, by looks |
//! | [`verify`] | [`verify_pair`]: E, F and H by LO-RANSAC; which one explains the pair |
//! | [`estimators`] | the three models as [`relievo_optim::Estimator`]s |
//! | `band` | nearest neighbours inside the epipolar band |
//! | [`prepared`] | [`PreparedView`]: what all pairs of a view share |
//! | [`schedule`] | [`match_pair`]: a pair from coarse to fine |
//! | [`mod@sketch`] | bounds of dot products for a quarter of the work |
//! | `match_sketched` | [`match_sketched()`]: nearly the same matches for less |
//! | `cells` | cells of alike descriptors, in which partners are sought |
//! | [`shard`] | [`match_and_verify`]: a list of pairs, in parallel |
//! | [`synthesis`] | wide viewpoints: matches between simulated views (ASIFT) |
//! | [`tracks`] | [`build_tracks`]: consistent tracks from verified pairs |

mod band;
#[cfg(target_arch = "x86_64")]
mod band_avx2;
#[cfg(target_arch = "x86_64")]
mod band_avx512;
pub mod brute_force;
mod cells;
pub mod estimators;
mod match_sketched;
pub mod nearest;
#[cfg(target_arch = "x86_64")]
mod nearest_avx2;
#[cfg(target_arch = "x86_64")]
mod nearest_avx512;
pub mod pairs;
pub mod prepared;
mod rotation;
pub mod schedule;
pub mod shard;
pub mod sketch;
#[cfg(target_arch = "x86_64")]
mod sketch_avx2;
#[cfg(target_arch = "x86_64")]
mod sketch_avx512;
pub mod synthesis;
pub mod tracks;
pub mod verify;
mod vlad;
mod watermark;

pub use brute_force::{MatchOptions, match_descriptors, match_slices, overlap_score};
pub use cells::Search;
pub use match_sketched::match_sketched;
pub use pairs::{PairChoice, PairOptions, PairView, choose_pairs};
pub use prepared::PreparedView;
pub use schedule::{ScheduleOptions, match_pair};
pub use shard::{ViewInput, match_and_verify};
pub use sketch::{Sketch, Sketched, sketch};
pub use synthesis::{
    SimulatedPair, SimulatedSide, SimulatedView, SynthesisOptions, match_simulated,
};
pub use tracks::{TrackOptions, build_tracks};
pub use verify::{VerifyOptions, ViewSide, verify_pair};
