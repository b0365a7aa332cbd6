//! A fixed piece of work on one thread. Its CPU time says how fast the machine
//! is just now (clock, neighbours on the same core): a run is compared by the
//! ratio of its CPU time to this, never by wall time.

/// Sums over a table larger than the second-level cache, by a walk that can be
/// neither predicted nor left out: arithmetic and memory in equal parts.
pub fn kernel() -> f64 {
    let table: Vec<f32> = (0..1 << 20).map(|i| (i % 251) as f32 * 0.5).collect();
    let (mut at, mut sum) = (1_u64, 0.0_f64);
    for _ in 0..2_000_000 {
        at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let start = (at >> 44) as usize % (table.len() - 16);
        let mut dot = [0.0_f32; 8];
        for k in 0..8 {
            dot[k] = table[start + k].mul_add(table[start + k + 8], dot[k]);
        }
        sum += f64::from(dot.iter().sum::<f32>()).sqrt();
    }
    sum
}
