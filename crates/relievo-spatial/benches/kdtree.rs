//! The kd-tree on a surface of half a million points: building, the nearest
//! point and sixteen of them; the truth is brute force on some queries.

use relievo_spatial::KdTree;
use std::hint::black_box;
use std::io::Write;
use std::time::Instant;

fn main() {
    // A wavy sheet with some noise, by a Weyl sequence.
    let at = |i: u64| {
        let part = |m: f64| (i as f64 * m).fract();
        let (x, y) = (part(0.754_877_666_246_692_7), part(0.569_840_290_998_053_2));
        let z = 0.1 * (7.0 * x).sin() * (5.0 * y).cos() + 0.001 * part(0.618_033_988_749_894_8);
        [x as f32, y as f32, z as f32]
    };
    let points: Vec<[f32; 3]> = (0..500_000).map(at).collect();
    let queries: Vec<[f32; 3]> = (500_000..600_000).map(at).collect();
    let start = Instant::now();
    let tree = black_box(KdTree::new(&points));
    let build = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let one: Vec<_> = queries.iter().map(|q| tree.nearest(*q)).collect();
    let nearest = start.elapsed().as_secs_f64() / queries.len() as f64;
    let start = Instant::now();
    for q in &queries {
        black_box(tree.k_nearest(*q, 16));
    }
    let sixteen = start.elapsed().as_secs_f64() / queries.len() as f64;
    let checked = 200;
    let right = queries.iter().zip(&one).take(checked).filter(|(q, n)| {
        let distance = |p: &[f32; 3]| -> f32 { (0..3).map(|k| (p[k] - q[k]).powi(2)).sum() };
        let least = points.iter().map(distance).fold(f32::INFINITY, f32::min);
        n.is_some_and(|n| n.distance_squared <= least)
    });
    let _ = writeln!(
        std::io::stdout(),
        "build {:.0} ns a point, nearest {:.0} ns, 16 nearest {:.0} ns, truth found {:.1} %",
        build / points.len() as f64 * 1e9,
        nearest * 1e9,
        sixteen * 1e9,
        100.0 * right.count() as f64 / checked as f64
    );
}
