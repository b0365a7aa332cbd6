//! Writes the SIFT features of a photo to standard output, as one record of
//! x, y, scale, angle (f32) and 128 descriptor bytes per keypoint, little-endian;
//! the time goes to standard error.
//!
//! `sift_of_photo PHOTO [OPTION=VALUE…]`, options of `SiftOptions` in TOML's
//! notation of numbers, and `isa=portable`.

use relievo_features::{Detector, Sift, SiftOptions};
use relievo_image::Raster;
use relievo_task::{Isa, Task};
use std::io::Write;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let path = args
        .next()
        .ok_or("usage: sift_of_photo PHOTO [OPTION=VALUE…]")?;
    let mut isa = Isa::Native;
    let mut table = serde_json::to_value(SiftOptions::default())?;
    for arg in args {
        let (name, value) = arg.split_once('=').ok_or("expected OPTION=VALUE")?;
        if name == "isa" {
            isa = serde_json::from_value(value.into())?;
        } else {
            table[name] = serde_json::from_str(value)?;
        }
    }
    let sift = Sift {
        options: serde_json::from_value(table)?,
        isa,
        ..Sift::default()
    };
    let picture = image::open(path)?.to_rgb8();
    let (w, h) = (picture.width() as usize, picture.height() as usize);
    let pixels = picture.pixels().map(|p| p.0).collect();
    let photo = Raster::from_vec(w, h, pixels);
    let start = Instant::now();
    let features = sift.detect(&photo, None, &Task::silent())?;
    let seconds = start.elapsed().as_secs_f64();
    writeln!(
        std::io::stderr(),
        "{} features, {seconds:.3} s",
        features.len()
    )?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for (k, d) in features.keypoints.iter().zip(&features.descriptors) {
        for v in [k.x_px, k.y_px, k.scale_px, k.angle] {
            out.write_all(&v.to_le_bytes())?;
        }
        out.write_all(d)?;
    }
    Ok(())
}
