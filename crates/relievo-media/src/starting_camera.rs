//! The intrinsics that a photo starts from.

use crate::decode::PhotoInfo;
use relievo_geometry::CameraModel;
use relievo_scene::Camera;

/// Focal length where EXIF has none: this many times the longer side.
const DEFAULT_FOCAL: f64 = 1.2;

/// Starting intrinsics: SIMPLE_RADIAL without distortion, principal point in
/// the middle, focal length from EXIF (`has_prior_focal`) or 1.2 × the longer
/// side.
pub fn starting_camera(info: &PhotoInfo) -> Camera {
    let (w, h) = (info.width_px, info.height_px);
    let known = info.exif.focal_px(w, h);
    Camera {
        model: CameraModel::SimpleRadial {
            f: known.unwrap_or(DEFAULT_FOCAL * f64::from(w.max(h))),
            cx: 0.5 * f64::from(w),
            cy: 0.5 * f64::from(h),
            k: 0.0,
        },
        width_px: w,
        height_px: h,
        has_prior_focal: known.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exif::ExifInfo;

    #[test]
    fn exif_is_believed_and_its_absence_guessed() {
        let with = |focal_35mm| PhotoInfo {
            width_px: 300,
            height_px: 200,
            exif: ExifInfo {
                focal_35mm,
                ..ExifInfo::default()
            },
        };
        let known = starting_camera(&with(Some(36.0)));
        assert!((known.model.mean_focal_px() - 300.0).abs() < 1e-9);
        assert!(known.has_prior_focal);
        let guessed = starting_camera(&with(None));
        assert!((guessed.model.mean_focal_px() - 360.0).abs() < 1e-9);
        assert!(!guessed.has_prior_focal);
    }
}
