//! OpenCV's SIFT (Lowe 2004) as reference detector.

use opencv::core::{
    self, KeyPoint, KeyPointTraitConst, Mat, MatTraitConst, MatTraitConstManual, Ptr, Vector,
};
use opencv::features2d::{Feature2DTrait, SIFT};
use relievo_features::{Detector, FeatureError, check_mask};
use relievo_image::{Raster, luma};
use relievo_scene::{DESCRIPTOR_LEN, Features, Keypoint};
use relievo_task::Task;

/// OpenCV's SIFT with RootSIFT descriptors (Arandjelović & Zisserman 2012),
/// quantised to u8 (×512, saturated) like our own.
#[derive(Clone, Debug)]
pub struct OpenCvSift {
    max_keypoints: usize,
    contrast: f64,
}

impl OpenCvSift {
    /// Keeps at most `max_keypoints`, the strongest.
    pub fn new(max_keypoints: usize) -> Self {
        Self {
            max_keypoints,
            // OpenCV divides it by the layers of an octave; Lowe's 0.04 gives
            // too few on weak texture.
            contrast: 0.02,
        }
    }
}

impl Detector for OpenCvSift {
    fn name(&self) -> &'static str {
        "opencv-sift"
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
        check_mask(photo, mask)?;
        if photo.is_empty() {
            return Ok(Features::default());
        }
        let grey = luma(photo);
        let (keypoints, rows) = self.run(&grey, mask).map_err(|e| FeatureError::External {
            detector: "OpenCV's SIFT",
            reason: e.message,
        })?;
        Ok(assemble(photo, &keypoints, &rows))
    }
}

impl OpenCvSift {
    fn run(
        &self,
        grey: &Raster<u8>,
        mask: Option<&Raster<u8>>,
    ) -> opencv::Result<(Vec<KeyPoint>, Vec<f32>)> {
        core::set_num_threads(1)?;
        let mat = |r: &Raster<u8>| -> opencv::Result<Mat> {
            Mat::from_slice(r.as_slice())?
                .reshape(1, r.height() as i32)?
                .try_clone()
        };
        let picture = mat(grey)?;
        let mask = match mask {
            Some(mask) => mat(mask)?,
            None => Mat::default(),
        };
        let mut sift: Ptr<SIFT> =
            SIFT::create(self.max_keypoints as i32, 3, self.contrast, 10.0, 1.6)?;
        let mut keypoints = Vector::<KeyPoint>::new();
        let mut descriptors = Mat::default();
        sift.detect_and_compute(&picture, &mask, &mut keypoints, &mut descriptors, false)?;
        let rows = if keypoints.is_empty() {
            Vec::new()
        } else {
            descriptors.data_typed::<f32>()?.to_vec()
        };
        Ok((keypoints.iter().collect(), rows))
    }
}

/// Largest scale first, ties by row, column, angle.
fn assemble(photo: &Raster<[u8; 3]>, found: &[KeyPoint], rows: &[f32]) -> Features {
    let (w, h) = (photo.width(), photo.height());
    let mut points: Vec<(Keypoint, [u8; DESCRIPTOR_LEN], [u8; 3])> = found
        .iter()
        .zip(rows.chunks_exact(DESCRIPTOR_LEN))
        .map(|(k, row)| {
            let at = k.pt();
            // OpenCV counts from the centre of the top-left pixel, and its
            // size is the diameter 2 σ.
            let keypoint = Keypoint {
                x_px: at.x + 0.5,
                y_px: at.y + 0.5,
                scale_px: 0.5 * k.size(),
                angle: k.angle().to_radians(),
            };
            let (x, y) = (
                keypoint.x_px.max(0.0) as usize,
                keypoint.y_px.max(0.0) as usize,
            );
            let color = photo[(x.min(w - 1), y.min(h - 1))];
            (keypoint, root_sift(row), color)
        })
        .collect();
    points.sort_by(|(a, da, _), (b, db, _)| {
        b.scale_px
            .total_cmp(&a.scale_px)
            .then(a.y_px.total_cmp(&b.y_px))
            .then(a.x_px.total_cmp(&b.x_px))
            .then(a.angle.total_cmp(&b.angle))
            .then(da.cmp(db))
    });
    let mut features = Features::default();
    for (keypoint, descriptor, color) in points {
        features.keypoints.push(keypoint);
        features.descriptors.push(descriptor);
        features.colors.push(color);
    }
    features
}

fn root_sift(row: &[f32]) -> [u8; DESCRIPTOR_LEN] {
    let sum: f32 = row.iter().sum();
    let scale = if sum > 0.0 { 1.0 / sum } else { 0.0 };
    std::array::from_fn(|i| (512.0 * (row[i] * scale).sqrt()).round().min(255.0) as u8)
}
