//! The detector on rendered pictures whose keypoints are known.

use relievo_features::{Detector, FeatureError, Sift, SiftOptions};
use relievo_image::Raster;
use relievo_scene::Features;
use relievo_task::{Isa, Rng, Task};

/// A Gaussian blob; (0.5, 0.5) is the centre of the top-left pixel.
#[derive(Clone, Copy)]
struct Blob {
    x: f64,
    y: f64,
    sigma: f64,
    height: f64,
}

fn render(width: usize, height: usize, blobs: &[Blob]) -> Raster<[u8; 3]> {
    let mut grey = Raster::<f64>::filled(width, height, 128.0);
    for b in blobs {
        let reach = 5.0 * b.sigma;
        let range = |c: f64, n: usize| {
            (c - reach).floor().max(0.0) as usize..((c + reach).ceil().max(0.0) as usize).min(n)
        };
        for y in range(b.y, height) {
            for x in range(b.x, width) {
                let r2 = (x as f64 + 0.5 - b.x).powi(2) + (y as f64 + 0.5 - b.y).powi(2);
                grey[(x, y)] += b.height * (-r2 / (2.0 * b.sigma * b.sigma)).exp();
            }
        }
    }
    // Ordered noise of under one grey level instead of banding.
    let mut noise = 0_u32;
    grey.map(|v| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let v = v + f64::from(noise >> 8) / f64::from(1 << 24);
        [v.clamp(0.0, 255.0) as u8; 3]
    })
}

/// Blobs of many sizes, at random.
fn texture(size: f64, seed: u64) -> Vec<Blob> {
    use rand_core::RngCore;
    let mut rng: Rng = relievo_task::rng(seed, "test", "texture");
    let mut unit = || rng.next_u64() as f64 / u64::MAX as f64;
    (0..900)
        .map(|_| Blob {
            x: size * unit(),
            y: size * unit(),
            sigma: 1.5 * 6.0_f64.powf(unit()),
            height: 120.0 * (unit() - 0.5),
        })
        .collect()
}

fn detect(sift: &Sift, photo: &Raster<[u8; 3]>) -> Features {
    let features = sift
        .detect(photo, None, &Task::silent())
        .expect("detection works");
    features.check().expect("invariants hold");
    features
}

fn with(change: impl FnOnce(&mut SiftOptions)) -> Sift {
    let mut sift = Sift::default();
    change(&mut sift.options);
    sift
}

#[test]
fn blobs_are_found_where_they_are_with_their_size() {
    let mut blobs = Vec::new();
    for (i, sigma) in [2.4, 3.0, 4.1, 5.5, 7.3, 10.0, 13.0]
        .into_iter()
        .enumerate()
    {
        for (j, height) in [70.0, -60.0].into_iter().enumerate() {
            let k = (i * 2 + j) as f64;
            blobs.push(Blob {
                x: 110.0 + 140.0 * i as f64 + (k * 0.37).fract(),
                y: 110.0 + 160.0 * j as f64 + (k * 0.61).fract(),
                sigma,
                height,
            });
        }
    }
    // Exactly between two pixels: neighbours are equal.
    blobs[2].x = blobs[2].x.floor();
    let photo = render(1060, 380, &blobs);
    for sift in [Sift::default(), with(|o| o.double_below_mpx = 0.0)] {
        let features = detect(&sift, &photo);
        for b in &blobs {
            // The peak of D over scale for a blob, its response at σ/2^(1/2S);
            // the photo is taken to be blurred by 0.5 already.
            let scale = (b.sigma * b.sigma - 0.25).sqrt() / 2.0_f64.powf(1.0 / 6.0);
            let nearest = features
                .keypoints
                .iter()
                .filter(|k| (f64::from(k.scale_px) / scale).ln().abs() < 0.3)
                .map(|k| (f64::from(k.x_px) - b.x).hypot(f64::from(k.y_px) - b.y))
                .fold(f64::MAX, f64::min);
            assert!(nearest < 0.05, "sigma {}: off by {nearest} px", b.sigma);
            let ratio = features
                .keypoints
                .iter()
                .filter(|k| (f64::from(k.x_px) - b.x).hypot(f64::from(k.y_px) - b.y) < 0.05)
                .map(|k| f64::from(k.scale_px) / scale)
                .min_by(|a, b| a.ln().abs().total_cmp(&b.ln().abs()))
                .unwrap();
            assert!(
                (0.96..1.04).contains(&ratio),
                "sigma {}: scale × {ratio}",
                b.sigma
            );
        }
    }
}

/// Nearest descriptor of `b` for each of `a`, by dot product.
fn nearest(a: &Features, b: &Features) -> Vec<usize> {
    let dot = |p: &[u8; 128], q: &[u8; 128]| -> u32 {
        p.iter()
            .zip(q)
            .map(|(p, q)| u32::from(*p) * u32::from(*q))
            .sum()
    };
    a.descriptors
        .iter()
        .map(|p| {
            (0..b.len())
                .max_by_key(|&i| dot(p, &b.descriptors[i]))
                .expect("b has features")
        })
        .collect()
}

#[test]
fn keypoints_turn_and_grow_with_the_picture() {
    let (size, blobs) = (400.0, texture(400.0, 3));
    let a = detect(&Sift::default(), &render(400, 400, &blobs));
    assert!(a.len() > 400, "{}", a.len());
    for (angle, zoom) in [(0.35_f64, 1.0), (1.55, 1.0), (-2.2, 1.0), (0.5, 1.37)] {
        let (s, c) = angle.sin_cos();
        let half = 0.5 * size;
        let map = |x: f64, y: f64| {
            let (u, v) = (x - half, y - half);
            (half + zoom * (c * u - s * v), half + zoom * (s * u + c * v))
        };
        let moved: Vec<Blob> = blobs
            .iter()
            .map(|b| {
                let (x, y) = map(b.x, b.y);
                Blob {
                    x,
                    y,
                    sigma: b.sigma * zoom,
                    ..*b
                }
            })
            .collect();
        let b = detect(&Sift::default(), &render(400, 400, &moved));
        let (mut seen, mut near, mut right, mut turned, mut grown) = (0, 0, 0, 0, 0);
        let mut errors = Vec::new();
        for (k, &match_idx) in a.keypoints.iter().zip(&nearest(&a, &b)) {
            let (x, y) = map(f64::from(k.x_px), f64::from(k.y_px));
            let inside = 40.0..360.0;
            let from_centre = (f64::from(k.x_px) - half).hypot(f64::from(k.y_px) - half);
            if !inside.contains(&x) || !inside.contains(&y) || from_centre > 160.0 {
                continue;
            }
            if k.scale_px < 1.8 {
                continue;
            }
            seen += 1;
            let off = |i: usize| {
                let m = &b.keypoints[i];
                (f64::from(m.x_px) - x).hypot(f64::from(m.y_px) - y)
            };
            near += usize::from((0..b.len()).any(|i| off(i) < 0.7));
            if off(match_idx) < 1.5 {
                right += 1;
                errors.push(off(match_idx));
                let m = &b.keypoints[match_idx];
                let turn = f64::from(m.angle - k.angle) - angle;
                turned += usize::from((turn.sin() / 2.0).abs() < 0.05 && turn.cos() > 0.0);
                let growth = f64::from(m.scale_px / k.scale_px) / zoom;
                grown += usize::from((0.93..1.07).contains(&growth));
            }
        }
        errors.sort_by(f64::total_cmp);
        let median = errors[errors.len() / 2];
        let report = format!(
            "angle {angle}, zoom {zoom}: {seen} seen, {near} repeated, {right} matched, \
             {turned} turned, {grown} grown, median {median:.3} px"
        );
        assert!(seen > 150, "{report}");
        assert!(near * 100 > seen * 80, "{report}");
        assert!(right * 100 > seen * 75, "{report}");
        assert!(turned * 100 > right * 90, "{report}");
        assert!(grown * 100 > right * 90, "{report}");
        assert!(median < 0.1, "{report}");
    }
}

#[test]
fn masked_pixels_have_no_keypoints() {
    let photo = render(300, 200, &texture(300.0, 5));
    let mask = Raster::from_fn(300, 200, |x, _| if x < 150 { 0 } else { 255 });
    let task = Task::silent();
    let free = detect(&Sift::default(), &photo);
    let masked = Sift::default().detect(&photo, Some(&mask), &task).unwrap();
    assert!(free.keypoints.iter().any(|k| k.x_px < 150.0));
    assert!(masked.len() > 50);
    assert!(masked.keypoints.iter().all(|k| k.x_px >= 150.0));
    let small = Raster::filled(10, 10, 255);
    assert!(matches!(
        Sift::default().detect(&photo, Some(&small), &task),
        Err(FeatureError::MaskSize { .. })
    ));
}

#[test]
fn small_and_flat_photos_give_nothing() {
    for (w, h) in [(0, 0), (1, 1), (5, 3), (3, 200), (64, 1), (9, 9)] {
        let photo = Raster::from_fn(w, h, |x, y| [((x * 97 + y * 31) % 256) as u8; 3]);
        let features = detect(&Sift::default(), &photo);
        if w.min(h) < 4 {
            assert!(features.is_empty(), "{w} x {h}");
        }
    }
    assert!(detect(&Sift::default(), &Raster::filled(300, 200, [90; 3])).is_empty());
}

#[test]
fn the_budget_is_kept_and_features_are_in_order() {
    let photo = render(500, 500, &texture(500.0, 9));
    let features = detect(&with(|o| o.max_keypoints = 200), &photo);
    assert_eq!(features.len(), 200);
    assert_eq!(features.colors.len(), 200);
    for pair in features.keypoints.windows(2) {
        assert!(pair[0].scale_px >= pair[1].scale_px);
    }
    // Spread: no quarter of the photo is empty of them.
    for (left, top) in [(true, true), (true, false), (false, true), (false, false)] {
        let n = features
            .keypoints
            .iter()
            .filter(|k| (k.x_px < 250.0) == left && (k.y_px < 250.0) == top)
            .count();
        assert!(n > 20, "{n}");
    }
    assert!(detect(&with(|o| o.max_keypoints = 0), &photo).is_empty());
}

#[test]
fn native_and_portable_kernels_agree() {
    let photo = render(500, 400, &texture(500.0, 11));
    let native = detect(&Sift::default(), &photo);
    let portable = detect(
        &Sift {
            isa: Isa::Portable,
            ..Sift::default()
        },
        &photo,
    );
    let mut close = 0;
    for (k, d) in native.keypoints.iter().zip(&native.descriptors) {
        close += usize::from(
            portable
                .keypoints
                .iter()
                .zip(&portable.descriptors)
                .any(|(m, e)| {
                    (k.x_px - m.x_px).abs() < 1e-2
                        && (k.y_px - m.y_px).abs() < 1e-2
                        && (k.scale_px / m.scale_px - 1.0).abs() < 1e-2
                        && (k.angle - m.angle).abs() < 1e-2
                        && d.iter().zip(e).all(|(a, b)| a.abs_diff(*b) <= 3)
                }),
        );
    }
    assert!(native.len().abs_diff(portable.len()) * 100 <= native.len());
    assert!(
        close * 100 >= native.len() * 99,
        "{close} of {}",
        native.len()
    );
}

#[test]
fn threads_change_nothing() {
    let photo = render(600, 500, &texture(600.0, 13));
    let run = |threads| {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap()
            .install(|| detect(&Sift::default(), &photo))
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn options_out_of_range_are_refused() {
    let photo = Raster::filled(50, 50, [90; 3]);
    let sift = with(|o| o.scales_per_octave = 9);
    assert!(matches!(
        sift.detect(&photo, None, &Task::silent()),
        Err(FeatureError::Option {
            option: "scales_per_octave",
            ..
        })
    ));
    let sift = with(|o| o.peak_threshold = f64::NAN);
    assert!(sift.detect(&photo, None, &Task::silent()).is_err());
}

/// Photos that need keypoints under the threshold and such that do not, one after
/// the other in either order, with one expectation and each with its own.
#[test]
fn what_the_photos_before_needed_changes_nothing() {
    let rich = render(500, 400, &texture(500.0, 21));
    let poor = render(500, 400, &texture(500.0, 22)[..200]);
    let sift = || {
        with(|o| {
            o.min_keypoints = 200;
            o.double_below_mpx = 0.0;
        })
    };
    let strong = with(|o| {
        o.min_keypoints = 0;
        o.double_below_mpx = 0.0;
    });
    assert!(detect(&strong, &rich).len() > 300);
    assert!(detect(&strong, &poor).len() < 180);
    let (alone_rich, alone_poor) = (detect(&sift(), &rich), detect(&sift(), &poor));
    assert!(alone_poor.len() >= 200);
    let shared = sift();
    for _ in 0..2 {
        assert_eq!(detect(&shared, &poor), alone_poor);
        assert_eq!(detect(&shared, &rich), alone_rich);
        assert_eq!(detect(&shared, &rich), alone_rich);
    }
    assert_eq!(detect(&shared, &poor), alone_poor);
    assert_eq!(detect(&shared, &poor), alone_poor);
}
