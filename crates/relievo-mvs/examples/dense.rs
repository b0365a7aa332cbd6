//! Depth maps and a cloud from a COLMAP model with its photos.
//!
//! `dense MODEL_DIR IMAGES_DIR OUT_DIR [--longer PX] [--views N] [--preset draft|normal|high] [--portable]`
//! writes `<view>.png` (colour-mapped depth), `<view>.conf.png`, the maps and
//! `cloud.ply`. `--reuse DIR` takes the maps from DIR, to try the fusion alone or
//! after `--more N` geometric passes;
//! `--set option=value` (repeatable) as in a run.

#![allow(
    clippy::print_stdout,
    clippy::too_many_lines,
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a tool for developing, never linked into anything"
)]

use relievo_geometry::CameraModel;
use relievo_image::undistort::{undistort, undistorted_mask, undistorted_model};
use relievo_image::{Raster, Rgb8};
use relievo_mvs::{
    DepthOptions, DepthPlan, Estimate, FusionOptions, FusionView, FusionViews, GeometricPass,
    StereoView, ViewSelectionOptions, estimate_depth_geometric, estimate_depth_photometric, fuse,
    select_views,
};
use relievo_scene::{Camera, DepthMap, ViewId};
use relievo_task::{Isa, SilentSink, Task};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

struct Shot {
    stereo: StereoView,
    color: Raster<Rgb8>,
}

struct InMemory<'a> {
    shots: &'a BTreeMap<ViewId, Shot>,
    maps: &'a BTreeMap<ViewId, DepthMap>,
}

impl FusionViews for InMemory<'_> {
    fn load(&self, id: ViewId) -> Result<FusionView, Box<dyn std::error::Error + Send + Sync>> {
        let shot = &self.shots[&id];
        Ok(FusionView {
            map: self.maps[&id].clone(),
            cam_from_world: shot.stereo.cam_from_world,
            color: shot.color.clone(),
        })
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let flag = |name: &str| {
        args.iter()
            .position(|a| a == name)
            .and_then(|i| args.get(i + 1))
    };
    let (model_dir, images, out) = (&args[0], Path::new(&args[1]), Path::new(&args[2]));
    let longer: f64 = flag("--longer").map_or(800.0, |v| v.parse().unwrap());
    let only: usize = flag("--views").map_or(usize::MAX, |v| v.parse().unwrap());
    let mut options = match flag("--preset").map(String::as_str) {
        Some("draft") => DepthOptions::draft(),
        Some("high") => DepthOptions::high(),
        _ => DepthOptions::normal(),
    };
    let mut fusion = FusionOptions::default();
    for (k, a) in args.iter().enumerate() {
        if a == "--set" {
            let (name, value) = args[k + 1].split_once('=').unwrap();
            let mut table = serde_json::to_value(&options).unwrap();
            if table.get(name).is_some() {
                table[name] = serde_json::from_str(value).unwrap();
                options = serde_json::from_value(table).unwrap();
            } else {
                let mut table = serde_json::to_value(&fusion).unwrap();
                assert!(table.get(name).is_some(), "unknown option {name}");
                table[name] = serde_json::from_str(value).unwrap();
                fusion = serde_json::from_value(table).unwrap();
            }
        }
    }
    let isa = if args.iter().any(|a| a == "--portable") {
        Isa::Portable
    } else {
        Isa::Native
    };
    let task = Task::new(
        Box::new(SilentSink),
        std::sync::Arc::default(),
        4 << 30,
        0,
        isa,
    );
    fs_err::create_dir_all(out).unwrap();

    let model = relievo_formats::colmap::read_model(Path::new(model_dir)).unwrap();
    let started = Instant::now();
    let mut plans = select_views(&model, &BTreeSet::new(), &ViewSelectionOptions::default());
    if only < plans.len() {
        let keep: BTreeSet<ViewId> = plans.keys().copied().take(only).collect();
        plans.retain(|id, _| keep.contains(id));
        for plan in plans.values_mut() {
            plan.sources.retain(|s| keep.contains(s));
        }
    }
    println!(
        "{} plans, {:.2} s",
        plans.len(),
        started.elapsed().as_secs_f64()
    );
    let shots: BTreeMap<ViewId, Shot> = plans
        .keys()
        .map(|&id| {
            let view = &model.views[&id];
            let camera = model.cameras[&view.camera_id];
            let photo = image::open(images.join(&view.name)).unwrap().to_rgb8();
            let photo = Raster::from_vec(
                photo.width() as usize,
                photo.height() as usize,
                photo.pixels().map(|p| p.0).collect(),
            );
            let full = (camera.width_px, camera.height_px);
            let scale = (longer / f64::from(full.0.max(full.1))).min(1.0);
            let size = (
                (f64::from(full.0) * scale).round() as u32,
                (f64::from(full.1) * scale).round() as u32,
            );
            let target: CameraModel = undistorted_model(&camera.model, full, size);
            let color = undistort(&photo, &camera.model, &target, size);
            let valid = undistorted_mask(None, &camera.model, full, &target, size);
            let shot = Shot {
                stereo: StereoView {
                    id,
                    camera: Camera {
                        model: target,
                        width_px: size.0,
                        height_px: size.1,
                        has_prior_focal: true,
                    },
                    cam_from_world: view.cam_from_world.unwrap(),
                    gray: relievo_image::color::luma(&color),
                    valid: Some(valid),
                },
                color,
            };
            (id, shot)
        })
        .collect();

    let mut maps: BTreeMap<ViewId, DepthMap> = BTreeMap::new();
    if let Some(dir) = flag("--reuse") {
        for (id, shot) in &shots {
            let name = &model.views[id].name;
            let path = Path::new(dir).join(format!("{name}.depth"));
            let bytes = fs_err::read(path).unwrap();
            let map = relievo_formats::native::depth::decode(&bytes).unwrap();
            assert_eq!(map.camera.width_px, shot.stereo.camera.width_px);
            maps.insert(*id, map);
        }
    }
    let passes = if maps.is_empty() {
        0..options.geometric_passes + 1
    } else {
        1..1 + flag("--more").map_or(0, |v| v.parse().unwrap())
    };
    for pass in passes.clone() {
        let started = Instant::now();
        let cpu = cpu_seconds();
        let mut next = BTreeMap::new();
        let (mut pixels, mut comparisons) = (0, 0);
        for (id, plan) in &plans {
            let found = estimate(*id, plan, &shots, &maps, &options, pass, &task);
            pixels += found.map.depth.as_slice().len();
            comparisons += found.comparisons;
            next.insert(*id, found.map);
        }
        maps = next;
        println!(
            "pass {pass}: {:.1} comparisons a pixel, {:.2} s wall, {:.2} s CPU, {:.2} us CPU a pixel",
            comparisons as f64 / pixels as f64,
            started.elapsed().as_secs_f64(),
            cpu_seconds() - cpu,
            (cpu_seconds() - cpu) * 1e6 / pixels as f64
        );
    }
    for (id, map) in &maps {
        picture(map, &plans[id], &out.join(format!("{id}.png")));
        let c = &map.confidence;
        image::GrayImage::from_raw(c.width() as u32, c.height() as u32, c.as_slice().to_vec())
            .unwrap()
            .save(out.join(format!("{id}.conf.png")))
            .unwrap();
    }
    let (started, cpu) = (Instant::now(), cpu_seconds());
    let neighbours = plans
        .iter()
        .map(|(id, p)| (*id, p.sources.clone()))
        .collect();
    let views = InMemory {
        shots: &shots,
        maps: &maps,
    };
    let cloud = fuse(&views, &neighbours, &fusion, &std::env::temp_dir(), &task).unwrap();
    println!(
        "fusion: {} points, {:.2} s wall, {:.2} s CPU",
        cloud.len(),
        started.elapsed().as_secs_f64(),
        cpu_seconds() - cpu
    );
    relievo_formats::ply::write_cloud(&cloud, &out.join("cloud.ply")).unwrap();
    for (id, map) in maps.iter().filter(|_| !passes.is_empty()) {
        let native = relievo_formats::native::depth::encode(map);
        let name = &model.views[id].name;
        fs_err::write(out.join(format!("{name}.depth")), native).unwrap();
        let bytes: Vec<u8> = map
            .depth
            .as_slice()
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect();
        fs_err::write(out.join(format!("{id}.depth.bin")), bytes).unwrap();
        let (fx, fy) = map.camera.model.focal_px();
        let c = map.camera.model.principal_point_px();
        let (w, h) = (map.camera.width_px, map.camera.height_px);
        fs_err::write(
            out.join(format!("{id}.camera.txt")),
            format!(
                "{} {w} {h} {fx} {fy} {} {}\n",
                model.views[id].name, c.x, c.y
            ),
        )
        .unwrap();
    }
}

fn estimate(
    id: ViewId,
    plan: &DepthPlan,
    shots: &BTreeMap<ViewId, Shot>,
    maps: &BTreeMap<ViewId, DepthMap>,
    options: &DepthOptions,
    pass: usize,
    task: &Task,
) -> Estimate {
    let reference = &shots[&id].stereo;
    let sources: Vec<&StereoView> = plan.sources.iter().map(|s| &shots[s].stereo).collect();
    let seed = relievo_task::seed(0, "depth", &format!("{id}/{pass}"));
    if pass == 0 {
        return estimate_depth_photometric(reference, &sources, plan, options, seed, task).unwrap();
    }
    let before: Vec<&DepthMap> = plan.sources.iter().map(|s| &maps[s]).collect();
    let before = GeometricPass {
        previous: &maps[&id],
        source_maps: &before,
        is_last: pass == options.geometric_passes,
    };
    estimate_depth_geometric(reference, &sources, before, plan, options, seed, task).unwrap()
}

/// Near is red, far is blue, nothing is black; by inverse depth.
fn picture(map: &DepthMap, plan: &DepthPlan, path: &Path) {
    let (low, high) = (1.0 / plan.depth_max, 1.0 / plan.depth_min);
    let (w, h) = (map.depth.width() as u32, map.depth.height() as u32);
    image::RgbImage::from_fn(w, h, |x, y| {
        let z = map.depth[(x as usize, y as usize)];
        if !(z > 0.0) {
            return image::Rgb([0; 3]);
        }
        let t = ((1.0 / f64::from(z) - low) / (high - low)).clamp(0.0, 1.0);
        let channel = |c: f64| (255.0 * (1.5 - (4.0 * t - c).abs()).clamp(0.0, 1.0)).round() as u8;
        image::Rgb([channel(3.0), channel(2.0), channel(1.0)])
    })
    .save(path)
    .unwrap();
}

/// User and system time of this process.
fn cpu_seconds() -> f64 {
    let stat = fs_err::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or("")
        .split_whitespace()
        .collect();
    let ticks = |k: usize| {
        fields
            .get(k)
            .and_then(|v| v.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    (ticks(11) + ticks(12)) / 100.0
}
