//! What a run is expected to take, before it starts.
//!
//! A straight-line model of each stage's processor time in megapixels, pairs
//! and points, fitted to runs on two threads of a 2-core server; `threads`
//! divides it, less what does not scale.

use crate::input_scan::{InputKind, InputScan};
use crate::settings::{Quality, Settings};
use rayon::prelude::*;
use relievo_mvs::DepthOptions;
use serde::Serialize;

/// Expected cost of a whole run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// Photos, or expected key frames.
    pub photos: usize,
    /// Elapsed seconds.
    pub seconds: f64,
    /// Peak memory, bytes.
    pub memory_bytes: u64,
    /// Size of the finished work folder, bytes.
    pub disk_bytes: u64,
}

/// Key frames expected of a video whose length is not known yet.
const FRAMES_OF_VIDEO: usize = 60;
/// Pixels expected of a key frame.
const FRAME_PIXELS: f64 = 1.0e6;

/// Estimates from the sizes of the photos; reads only their headers.
pub fn estimate(scan: &InputScan, settings: &Settings, threads: usize) -> Estimate {
    let sizes: Vec<(f64, f64)> = scan
        .files
        .par_iter()
        .filter(|f| f.kind == InputKind::Photo)
        .filter_map(|f| relievo_media::probe_photo(&f.path).ok())
        .map(|info| (f64::from(info.width_px), f64::from(info.height_px)))
        .collect();
    let videos = scan
        .files
        .iter()
        .filter(|f| f.kind == InputKind::Video)
        .count();
    let mut pixels: Vec<f64> = sizes.iter().map(|(w, h)| w * h).collect();
    let options = depth_options(settings);
    let depth_pixels = |width: f64, height: f64| {
        let (w, h) = options.size_px(width as u32, height as u32);
        f64::from(w) * f64::from(h)
    };
    let mut depth: Vec<f64> = sizes.iter().map(|&(w, h)| depth_pixels(w, h)).collect();
    for _ in 0..videos * FRAMES_OF_VIDEO {
        pixels.push(FRAME_PIXELS);
        depth.push(depth_pixels(1280.0, 780.0));
    }
    let n = pixels.len() as f64;
    let megapixels = pixels.iter().sum::<f64>() / 1e6;
    let depth_megapixels = depth.iter().sum::<f64>() / 1e6;
    let largest = pixels.iter().copied().fold(0.0, f64::max);
    let largest_depth = depth.iter().copied().fold(0.0, f64::max);
    let effort = match settings.quality {
        Quality::Draft => Effort {
            depth: 6.0,
            pair: 0.01,
            mesh: 4.0,
            texture: 4.0,
        },
        Quality::Normal => Effort {
            depth: 14.0,
            pair: 0.03,
            mesh: 12.0,
            texture: 12.0,
        },
        Quality::High => Effort {
            depth: 18.0,
            pair: 0.05,
            mesh: 20.0,
            texture: 30.0,
        },
    };
    let pairs = (n * (n - 1.0) / 2.0).min(n * 40.0);
    let cpu = 1.0
        + 0.12 * megapixels
        + effort.pair * pairs
        + 0.25 * n
        + effort.depth * work_of_depth(&options, settings.quality) * depth_megapixels
        + effort.mesh
        + 0.6 * depth_megapixels
        + effort.texture
        + 0.25 * megapixels;
    let usable = 1.0 + 0.6 * (threads.max(1) as f64 - 1.0);
    let memory = 200e6 + 40.0 * largest + 260.0 * largest_depth + 120.0 * depth.iter().sum::<f64>();
    // A feature takes 147 bytes, a pixel of depth 7; every fourth pixel becomes a
    // point of 57 bytes with its views; surface, texture and model follow.
    let disk = 1.2e6 * n + (7.0 + 57.0 / 4.0 + 3.0) * depth.iter().sum::<f64>() + 30e6;
    Estimate {
        photos: pixels.len(),
        seconds: cpu / usable,
        memory_bytes: memory as u64,
        disk_bytes: disk as u64,
    }
}

/// CPU seconds per megapixel of depth, per pair, and fixed parts.
struct Effort {
    depth: f64,
    pair: f64,
    mesh: f64,
    texture: f64,
}

/// Work of the depth passes, as a part of what the quality asks for: the first goes through all
/// levels and weighs as two later ones, and sources are compared as many as there are.
fn work_of_depth(options: &DepthOptions, quality: Quality) -> f64 {
    let usual = match quality {
        Quality::Draft => DepthOptions::draft(),
        Quality::Normal => DepthOptions::normal(),
        Quality::High => DepthOptions::high(),
    };
    let work = |o: &DepthOptions| (2.0 + o.geometric_passes as f64) * o.max_sources as f64;
    work(options) / work(&usual)
}

/// Options of depth as the run will resolve them, as far as that is known before the kind of
/// scene is.
fn depth_options(settings: &Settings) -> DepthOptions {
    crate::catalog::resolve("depth", settings, settings.preset)
        .map_or_else(|_| DepthOptions::normal(), |o| o.get::<DepthOptions>())
}
