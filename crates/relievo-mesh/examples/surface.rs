//! `surface CLOUD.ply MESH.ply [OPTIONS.json]`: the whole chain on one cloud.
//! `OPTIONS.json`: a `SurfaceOptions`; missing fields take their defaults.
//! With a fourth argument `raw`, the untrimmed reconstruction is written.
#![expect(clippy::print_stdout, reason = "an example talks")]

use relievo_formats::ply::{read_cloud, write_mesh};
use relievo_mesh::{SurfaceOptions, Visibility, clean, reconstruct, simplify, topology, trim};
use relievo_task::Task;
use std::path::Path;
use std::time::Instant;

/// CPU seconds of this process so far.
fn cpu() -> f64 {
    let text = fs_err::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or("").split(' ').collect();
    let ticks = |i: usize| fields.get(i).and_then(|t| t.parse::<f64>().ok());
    (ticks(12).unwrap_or(0.0) + ticks(13).unwrap_or(0.0)) / 100.0
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, cloud, mesh, rest @ ..] = args.as_slice() else {
        return Err("surface CLOUD.ply MESH.ply [OPTIONS.json [raw]]".into());
    };
    let options: SurfaceOptions = match rest.first() {
        Some(text) => serde_json::from_str(text)?,
        None => SurfaceOptions::default(),
    };
    let cloud = read_cloud(Path::new(cloud))?;
    let task = Task::silent();
    let mut at = (Instant::now(), cpu());
    let mut lap = |label: &str, faces: usize| {
        let now = (Instant::now(), cpu());
        let wall = (now.0 - at.0).as_secs_f64();
        println!(
            "{label:12} {faces:9} faces  wall {wall:.2} s  cpu {:.2} s",
            now.1 - at.1
        );
        at = now;
    };
    let found = reconstruct(&cloud, &options.poisson, &task)?;
    lap("reconstruct", found.mesh.triangles.len());
    println!(
        "depth {} cell {} spacing {} points {} of {} unknowns {}",
        found.depth,
        found.cell,
        found.spacing,
        found.points_used,
        cloud.len(),
        found.unknowns
    );
    println!(
        "{:?}",
        topology(found.mesh.positions.len(), &found.mesh.triangles)
    );
    let mut result = found.mesh;
    if rest.len() < 2 {
        lap("(topology)", 0);
        result = trim(
            &result,
            &found.density,
            &cloud,
            &Visibility::default(),
            &options.trim,
            &task,
        )?;
        lap("trim", result.triangles.len());
        result = clean(&result, found.spacing, &options.clean, &task)?;
        lap("clean", result.triangles.len());
        result = simplify(&result, found.spacing, &options.simplify, &task)?;
        lap("simplify", result.triangles.len());
        println!("{:?}", topology(result.positions.len(), &result.triangles));
    }
    write_mesh(&result, Path::new(mesh))?;
    Ok(())
}
