//! Rasters and what is done to them: pyramids, colour, resampling,
//! undistortion. No codecs.
//!
//! The centre of the top-left pixel is (0.5, 0.5) at every pyramid level:
//! scaling by s maps x to s·x.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`raster`] | [`Raster`] |
//! | [`color`] | sRGB, linear light, luma |
//! | [`resize`](mod@resize) | resizing by area, linear, Lanczos; halving |
//! | [`undistort`](mod@undistort) | photos through an ideal pinhole camera |

pub mod color;
pub mod raster;
pub mod resize;
pub mod undistort;

pub use color::{linear_to_srgb, luma, luma_of, srgb_to_linear, srgb_to_linear_table};
pub use raster::Raster;
pub use resize::{Filter, fit_longer_side, halve, resize};
pub use undistort::{undistort, undistort_gray, undistorted_mask, undistorted_model};

/// An 8-bit sRGB colour.
pub type Rgb8 = [u8; 3];
