//! Rasters and what is done to them: pyramids, colour, resampling,
//! undistortion. No codecs.
//!
//! The centre of the top-left pixel is (0.5, 0.5) at every pyramid level:
//! scaling by s maps x to s·x.

pub mod raster;

pub use raster::Raster;

/// An 8-bit sRGB colour.
pub type Rgb8 = [u8; 3];
