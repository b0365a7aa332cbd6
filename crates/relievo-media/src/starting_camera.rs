//! Which photos share a camera, and its starting intrinsics.

use crate::decode::PhotoInfo;
use relievo_geometry::CameraModel;
use relievo_scene::{Camera, CameraId};
use std::collections::BTreeMap;

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

/// The camera of each photo, and the cameras: photos of the same make, model,
/// lens, upright size and focal length, and from the same `source` (the video
/// of a key frame; empty for photos), share one. Ids count from 1 in order of
/// first use.
pub fn group_cameras<'a>(
    photos: impl IntoIterator<Item = (&'a str, &'a PhotoInfo)>,
) -> (Vec<CameraId>, BTreeMap<CameraId, Camera>) {
    let mut known = BTreeMap::new();
    let mut cameras = BTreeMap::new();
    let ids = photos
        .into_iter()
        .map(|(source, info)| {
            let e = &info.exif;
            let bits = |v: Option<f64>| v.map(f64::to_bits);
            let key = (
                source,
                (&e.make, &e.model, &e.lens),
                (info.width_px, info.height_px),
                (bits(e.focal_35mm), bits(e.focal_mm)),
            );
            let next = CameraId(known.len() as u32 + 1);
            *known.entry(key).or_insert_with(|| {
                cameras.insert(next, starting_camera(info));
                next
            })
        })
        .collect();
    (ids, cameras)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exif::ExifInfo;

    fn info(model: Option<&str>, size: (u32, u32), focal_35mm: Option<f64>) -> PhotoInfo {
        PhotoInfo {
            width_px: size.0,
            height_px: size.1,
            exif: ExifInfo {
                orientation: 1,
                model: model.map(str::to_owned),
                focal_35mm,
                ..ExifInfo::default()
            },
        }
    }

    #[test]
    fn device_size_focal_length_and_video_tell_cameras_apart() {
        let a = info(Some("X"), (300, 200), Some(36.0));
        let turned = info(Some("X"), (200, 300), Some(36.0));
        let zoomed = info(Some("X"), (300, 200), Some(50.0));
        let bare = info(None, (300, 200), None);
        let list = [
            ("", &a),
            ("", &turned),
            ("", &a),
            ("", &zoomed),
            ("", &bare),
            ("v", &bare),
        ];
        let (ids, cameras) = group_cameras(list);
        assert_eq!(ids, [1, 2, 1, 3, 4, 5].map(CameraId));
        assert!((cameras[&CameraId(1)].model.mean_focal_px() - 300.0).abs() < 1e-9);
        assert!(cameras[&CameraId(1)].has_prior_focal);
        assert_eq!(cameras[&CameraId(4)].model.mean_focal_px(), 360.0);
        assert!(!cameras[&CameraId(4)].has_prior_focal);
    }
}
