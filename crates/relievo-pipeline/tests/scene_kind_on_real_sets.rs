//! `--preset auto` on the poses of real and rendered sets.

#![expect(clippy::print_stdout, reason = "a skipped test says so")]

use relievo_eval::read_cameras;
use relievo_pipeline::scene_kind::scene_kind;
use relievo_pipeline::settings::Preset;
use relievo_scene::{CameraId, SparseModel, Track, TrackId, View, ViewId};
use std::path::{Path, PathBuf};

/// The data folder; `None` (said) outside CI where it is not set.
fn data() -> Option<PathBuf> {
    let dir = std::env::var_os("RELIEVO_DATA");
    if dir.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "RELIEVO_DATA must be set in CI"
        );
        println!("skipped: RELIEVO_DATA is not set");
    }
    dir.map(PathBuf::from)
}

/// A model of the true poses, and true points where there are some.
fn posed(truth: &Path) -> SparseModel {
    let mut model = SparseModel::default();
    for (i, (name, posed)) in read_cameras(truth)
        .expect("the truth is readable")
        .into_iter()
        .enumerate()
    {
        model.cameras.insert(CameraId(1), posed.camera);
        let view = View {
            camera_id: CameraId(1),
            name,
            cam_from_world: Some(posed.cam_from_world),
            points_px: Vec::new(),
        };
        model.views.insert(ViewId(i as u32 + 1), view);
    }
    let surface = truth.join("gt").join("points.ply");
    if surface.is_file() {
        let cloud = relievo_formats::ply::read_cloud(&surface).expect("the true points read");
        for (i, p) in cloud.positions.iter().step_by(97).enumerate() {
            let track = Track {
                observations: Vec::new(),
                position_in_world: Some(p.map(f64::from).into()),
                color: [0; 3],
            };
            model.tracks.insert(TrackId(i as u64), track);
        }
    }
    model
}

#[test]
fn auto_tells_object_room_and_outdoor_apart() {
    let Some(data) = data() else { return };
    for (set, kind) in [
        ("synthetic/object", Preset::Object),
        ("synthetic/room", Preset::Room),
        ("fountain-p11/gt_dense_cameras", Preset::Outdoor),
        ("herz-jesus-p8/gt_dense_cameras", Preset::Outdoor),
    ] {
        let found = scene_kind(&posed(&data.join(set)));
        assert_eq!(found.kind, kind, "{set}: {found:?}");
    }
}
