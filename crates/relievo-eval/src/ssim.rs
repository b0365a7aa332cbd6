//! Structural similarity (Wang et al., TIP 2004) with a uniform window.

use relievo_image::Raster;

/// Side of the window, pixels.
const WINDOW: usize = 11;

/// Mean over the pixels whose whole window lies in `mask`, for grey values
/// 0..=255; `None` where there is no such pixel. Borders are mirrored.
pub fn ssim(a: &Raster<f64>, b: &Raster<f64>, mask: &Raster<bool>) -> Option<f64> {
    let product = |x: &Raster<f64>, y: &Raster<f64>| {
        let values = x
            .as_slice()
            .iter()
            .zip(y.as_slice())
            .map(|(p, q)| p * q)
            .collect();
        Raster::from_vec(x.width(), x.height(), values)
    };
    let (mean_a, mean_b) = (window_mean(a), window_mean(b));
    let square_a = window_mean(&product(a, a));
    let square_b = window_mean(&product(b, b));
    let cross = window_mean(&product(a, b));
    let inside = window_mean(&mask.map(|m| if *m { 1.0 } else { 0.0 }));
    let (mut sum, mut count) = (0.0, 0_usize);
    for i in 0..mean_a.as_slice().len() {
        if inside.as_slice()[i] <= 0.999 {
            continue;
        }
        let (ma, mb) = (mean_a.as_slice()[i], mean_b.as_slice()[i]);
        let va = square_a.as_slice()[i] - ma * ma;
        let vb = square_b.as_slice()[i] - mb * mb;
        let c = cross.as_slice()[i] - ma * mb;
        sum += ((2.0 * ma * mb + 6.5025) * (2.0 * c + 58.5225))
            / ((ma * ma + mb * mb + 6.5025) * (va + vb + 58.5225));
        count += 1;
    }
    (count > 0).then(|| sum / count as f64)
}

/// Mean over the window around each pixel; the border mirrors with its own
/// pixel repeated.
fn window_mean(src: &Raster<f64>) -> Raster<f64> {
    let (w, h) = (src.width(), src.height());
    let mut wide = Raster::<f64>::new(w, h);
    for y in 0..h {
        running_mean(w, |x| src[(x, y)], |x, v| wide[(x, y)] = v);
    }
    let mut out = Raster::<f64>::new(w, h);
    for x in 0..w {
        running_mean(h, |y| wide[(x, y)], |y, v| out[(x, y)] = v);
    }
    out
}

fn running_mean(n: usize, get: impl Fn(usize) -> f64, mut put: impl FnMut(usize, f64)) {
    if n == 0 {
        return;
    }
    let half = (WINDOW / 2) as isize;
    let mirrored = |i: isize| {
        let period = 2 * n as isize;
        let i = i.rem_euclid(period);
        get(if i < n as isize { i } else { period - 1 - i } as usize)
    };
    for i in 0..n as isize {
        // Summed afresh, so that no rounding error travels along the row.
        let sum: f64 = (i - half..=i + half).map(mirrored).sum();
        put(i as usize, sum / WINDOW as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_pictures_score_one_and_noise_less() {
        let a = Raster::from_fn(40, 30, |x, y| ((x * 7 + y * 13) % 200) as f64);
        let all = Raster::filled(40, 30, true);
        assert!((ssim(&a, &a, &all).unwrap() - 1.0).abs() < 1e-12);
        let b = Raster::from_fn(40, 30, |x, y| a[(x, y)] + ((x * y) % 5) as f64 * 12.0);
        let s = ssim(&a, &b, &all).unwrap();
        assert!(s < 0.98 && s > 0.2, "{s}");
        assert!(ssim(&a, &a, &Raster::filled(40, 30, false)).is_none());
    }

    #[test]
    fn the_border_mirrors() {
        let mut got = Vec::new();
        running_mean(3, |i| [3.0, 0.0, 9.0][i], |_, v| got.push(v));
        // Window of 11 over ... 9 9 0 3 | 3 0 9 | 9 0 3 3 ...
        let row = [3.0, 0.0, 9.0, 9.0, 0.0, 3.0];
        let want: Vec<f64> = (0..3_isize)
            .map(|i| {
                (i - 5..=i + 5)
                    .map(|k| row[k.rem_euclid(6) as usize])
                    .sum::<f64>()
                    / 11.0
            })
            .collect();
        assert_eq!(got, want);
    }
}
