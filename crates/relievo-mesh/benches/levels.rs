//! Screened Poisson by octree level: nanoseconds an unknown, and how far the
//! surface is from the true sphere, in cells.

use relievo_mesh::{PoissonOptions, reconstruct};
use relievo_scene::PointCloud;
use relievo_task::Task;
use std::io::Write;
use std::time::Instant;

const POINTS: usize = 400_000;
const RADIUS: f64 = 1.0;

/// A sphere by the golden spiral.
fn sphere() -> PointCloud {
    let golden = std::f64::consts::PI * (3.0 - 5.0_f64.sqrt());
    let normals: Vec<[f32; 3]> = (0..POINTS)
        .map(|i| {
            let z = 1.0 - (2.0 * i as f64 + 1.0) / POINTS as f64;
            let (r, angle) = ((1.0 - z * z).sqrt(), golden * i as f64);
            [(r * angle.cos()) as f32, (r * angle.sin()) as f32, z as f32]
        })
        .collect();
    PointCloud {
        positions: normals
            .iter()
            .map(|n| n.map(|v| v * RADIUS as f32))
            .collect(),
        normals,
        ..PointCloud::default()
    }
}

fn main() {
    let cloud = sphere();
    for depth in 6..=9 {
        let options = PoissonOptions {
            depth: Some(depth),
            ..PoissonOptions::default()
        };
        let start = Instant::now();
        let found = match reconstruct(&cloud, &options, &Task::silent()) {
            Ok(found) => found,
            Err(why) => {
                let _ = writeln!(std::io::stdout(), "level {depth}: {why}");
                continue;
            }
        };
        let seconds = start.elapsed().as_secs_f64();
        let off = |p: &[f32; 3]| {
            let r = p.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
            (r - RADIUS).abs() / f64::from(found.cell)
        };
        let distances: Vec<f64> = found.mesh.positions.iter().map(off).collect();
        let near = distances.iter().filter(|d| **d < 0.1).count();
        let worst = distances.iter().copied().fold(0.0, f64::max);
        let _ = writeln!(
            std::io::stdout(),
            "level {depth}: {seconds:.2} s, {} unknowns, {:.0} ns each, {} faces, within a tenth of a \
             cell {:.2} %, worst {worst:.2} cells",
            found.unknowns,
            seconds / found.unknowns as f64 * 1e9,
            found.mesh.triangles.len(),
            100.0 * near as f64 / distances.len() as f64
        );
    }
}
