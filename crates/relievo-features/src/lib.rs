//! Keypoint detection and description.
//!
//! Enters: an upright sRGB photo and, where there is one, its mask. Leaves:
//! [`Features`](relievo_scene::Features): keypoints in pixels of that photo
//! (centre of the top-left pixel at 0.5, 0.5), one RootSIFT descriptor and one
//! colour each, largest scale first.
//!
//! Papers: Lowe, IJCV 2004 (SIFT); Arandjelović & Zisserman, CVPR 2012
//! (RootSIFT). Parameters follow VLFeat and COLMAP.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`detector`] | the [`Detector`] trait and [`FeatureError`] |
//! | [`sift`] | [`Sift`]: the whole detector and its [`SiftOptions`] |
//! | [`affine`] | keypoints of simulated views (ASIFT) |
//! | `helper` | [`HelperSift`]: OpenCV's detector in a process of its own |
//! | `source` | the rows that an octave starts from |
//! | `scale_space` | Gaussian levels of one octave, row by row |
//! | `simd` | one kernel, several instruction sets |
//! | `blur` | separable Gaussian rows, by instruction set |
//! | `extrema` | extrema of the difference of Gaussians, sub-pixel refinement |
//! | `spread` | which keypoints the budget keeps |
//! | `gradients` | gradient magnitude and direction of a patch |
//! | `orientation` | dominant gradient directions |
//! | `descriptor` | 4×4×8 histograms, RootSIFT |

pub mod affine;
mod blur;
mod descriptor;
pub mod detector;
mod extrema;
mod gradients;
mod helper;
mod orientation;
mod scale_space;
pub mod sift;
mod simd;
mod source;
mod spread;

pub use affine::{AffineOptions, TILT_LEVELS, simulated_views};
pub use detector::{Detector, FeatureError, check_mask};
pub use helper::{HelperSift, serve_features};
pub use sift::{Expectation, Sift, SiftOptions};
