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
    let many: Vec<_> = queries.iter().map(|q| tree.k_nearest(*q, 16)).collect();
    let sixteen = start.elapsed().as_secs_f64() / queries.len() as f64;
    let checked = 200;
    let mut right = [0; 2];
    for (k, q) in queries.iter().take(checked).enumerate() {
        let distance = |p: &[f32; 3]| -> f32 { (0..3).map(|k| (p[k] - q[k]).powi(2)).sum() };
        let mut all: Vec<f32> = points.iter().map(distance).collect();
        all.select_nth_unstable_by(15, f32::total_cmp);
        all.truncate(16);
        all.sort_by(f32::total_cmp);
        let got: Vec<f32> = many[k].iter().map(|n| n.distance_squared).collect();
        right[0] += usize::from(one[k].is_some_and(|n| n.distance_squared <= all[0]));
        right[1] += usize::from(got.len() == 16 && got.iter().zip(&all).all(|(g, a)| g <= a));
    }
    let percent = right.map(|n| 100.0 * n as f64 / checked as f64);
    let _ = writeln!(
        std::io::stdout(),
        "build {:.0} ns a point; nearest {:.0} ns, truth found {:.1} %; 16 nearest {:.0} ns, truth \
         found {:.1} %",
        build / points.len() as f64 * 1e9,
        nearest * 1e9,
        percent[0],
        sixteen * 1e9,
        percent[1]
    );
}
