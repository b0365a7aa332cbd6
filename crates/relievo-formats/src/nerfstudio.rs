//! nerfstudio's `transforms.json`: a frame a photo, with its own intrinsics.

use relievo_scene::SparseModel;
use serde_json::{Map, Value, json};

/// The registered photos of `model`. `file_of` gives the path of a photo by
/// its name. Poses are camera-to-world with OpenGL's camera axes (x right, y
/// up, z backwards), in the model's own world frame and unit.
pub fn encode_transforms(model: &SparseModel, file_of: impl Fn(&str) -> String) -> String {
    let frames: Vec<Value> = model
        .registered()
        .filter_map(|(_, view, pose)| {
            let camera = model.cameras.get(&view.camera_id)?;
            let mut frame = Map::new();
            frame.insert("file_path".to_owned(), file_of(&view.name).into());
            frame.insert("w".to_owned(), camera.width_px.into());
            frame.insert("h".to_owned(), camera.height_px.into());
            // Its perspective model with four distortion terms holds all of ours.
            for name in ["k1", "k2", "p1", "p2"] {
                frame.insert(name.to_owned(), 0.0.into());
            }
            let kind = camera.model.kind();
            for (name, value) in kind.param_names().iter().zip(camera.model.params().iter()) {
                let names: &[&str] = match *name {
                    "f" => &["fl_x", "fl_y"],
                    "fx" => &["fl_x"],
                    "fy" => &["fl_y"],
                    "k" => &["k1"],
                    other => &[other],
                };
                for name in names {
                    frame.insert((*name).to_owned(), json!(value));
                }
            }
            let back = pose.rotation.inverse().to_rotation_matrix();
            let center = pose.center();
            let row = |i: usize| json!([back[(i, 0)], -back[(i, 1)], -back[(i, 2)], center[i]]);
            let last = json!([0.0, 0.0, 0.0, 1.0]);
            let matrix = json!([row(0), row(1), row(2), last]);
            frame.insert("transform_matrix".to_owned(), matrix);
            Some(Value::Object(frame))
        })
        .collect();
    let mut text = format!(
        "{:#}",
        json!({ "camera_model": "OPENCV", "frames": frames })
    );
    text.push('\n');
    text
}
