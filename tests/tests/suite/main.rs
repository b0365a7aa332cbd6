//! End-to-end tests through the command line, in one binary.
//!
//! | Module | What it shows |
//! | --- | --- |
//! | `whole_way` | photos in, a model and its report out; how far from the truth |
//! | `fresh` | what is redone and what is not |
//! | `added_photos` | photos added to a finished set |
//! | `same_bytes` | threads, memory, kills and interrupts change no byte |
//! | `damage` | a flipped byte, a newer folder, a second run |
//! | `schedule` | pairs matched from coarse to fine or chosen by retrieval against all pairs in full |
//! | `bad_photos` | input that cannot be used, or only in part |
//! | `bad_models` | imported models that the dense stages cannot use, or only in part |
//! | `bad_places` | folders that cannot be written, disks that fill up |
//! | `video` | key frames, and videos that are none |
//! | `exchange` | import, export, inspect, options, clean |
//! | `pictures` | `inspect --pictures`, the right way up |
//! | `measuring` | bench, scores without truth, two runs side by side, bad truth |
//! | `measuring_frames` | figures of files in unknown frames and of stages out of date |
//! | `eth3d` | the demo set in the layout of ETH3D, with its rule |
//! | `mirrors` | a rendered room with a mirror: no ghosts behind it |
//! | `mappers` | which pairs are matched, and how poses are found |
//! | `real_photos` | the photo sets under `RELIEVO_DATA` |

mod added_photos;
mod bad_models;
mod bad_photos;
mod bad_places;
mod damage;
mod eth3d;
mod exchange;
mod fresh;
mod golden;
mod mappers;
mod measuring;
mod measuring_frames;
mod mirrors;
mod pictures;
mod real_photos;
mod same_bytes;
mod schedule;
mod small;
mod video;
mod whole_way;
