//! A wall with a picture on it: the right cloud is consistent, thick and
//! shifted ones are not.

#![allow(clippy::unwrap_used, reason = "functions that tests share")]

use relievo_eval::{ConsistencyFigures, EvalError, HalfPhoto, photo_consistency};
use relievo_geometry::{CameraModel, Rigid3, Vec2, Vec3};
use relievo_image::Raster;
use relievo_scene::PointCloud;

const MODEL: CameraModel = CameraModel::SimplePinhole {
    f: 200.0,
    cx: 100.0,
    cy: 75.0,
};

/// Grey value of the wall z = 0: a noise of about three pixels.
fn wall(x: f64, y: f64) -> f64 {
    let cell = |i: i64, j: i64| {
        let mut z = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (j as u64) << 17;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((z >> 40) % 200) as f64 + 20.0
    };
    let (u, v) = (x / 0.03, y / 0.03);
    let (i, j) = (u.floor(), v.floor());
    let (a, b) = (u - i, v - j);
    let (i, j) = (i as i64, j as i64);
    let top = cell(i, j) * (1.0 - a) + cell(i + 1, j) * a;
    let bottom = cell(i, j + 1) * (1.0 - a) + cell(i + 1, j + 1) * a;
    top * (1.0 - b) + bottom * b
}

/// Five cameras two units before the wall, side by side.
fn photos(blank: bool) -> Vec<HalfPhoto> {
    (0..5)
        .map(|k| {
            let center = Vec3::new(0.25 * f64::from(k) - 0.5, 0.1 * f64::from(k % 2), -2.0);
            let cam_from_world = Rigid3 {
                translation: -center,
                ..Rigid3::identity()
            };
            let grey = Raster::from_fn(200, 150, |x, y| {
                let n = MODEL.unproject(&Vec2::new(x as f64 + 0.5, y as f64 + 0.5));
                let on = center + Vec3::new(n.x, n.y, 1.0) * 2.0;
                if blank { 90 } else { wall(on.x, on.y) as u8 }
            });
            HalfPhoto {
                model: MODEL,
                cam_from_world,
                grey,
            }
        })
        .collect()
}

/// Layers of the wall's middle at these heights (towards the cameras).
fn layers(heights: &[f64]) -> PointCloud {
    let mut cloud = PointCloud::default();
    for h in heights {
        for k in 0..120 * 120 {
            let at = |i: usize| (i as f64 - 60.0) * 0.008;
            let p = [at(k % 120), at(k / 120), -h];
            cloud.positions.push(p.map(|v| v as f32));
            cloud.normals.push([0.0, 0.0, -1.0]);
        }
    }
    cloud
}

fn figures(heights: &[f64]) -> ConsistencyFigures {
    photo_consistency(&layers(heights), &photos(false), &[]).unwrap()
}

#[test]
fn the_right_surface_is_consistent_and_a_thick_one_is_worse() {
    let right = figures(&[0.0]);
    // Two pixels at two units: 2 · 2 / 200.
    assert!((right.voxel - 0.02).abs() < 1e-4, "{right}");
    assert!(right.consistent_share > 0.97, "{right}");
    // Five layers, four voxels apart: those in front fail, those behind hide.
    let thick = figures(&[-0.16, -0.08, 0.0, 0.08, 0.16]);
    assert!(thick.voxels > 4 * right.voxels, "{thick}");
    assert!(thick.consistent_share < 0.3, "{thick}");
    assert!(
        thick.consistent <= right.consistent + right.voxels / 20,
        "{thick}"
    );
    // Off by 12 voxels: nothing agrees.
    let shifted = figures(&[0.24]);
    assert!(
        shifted.consistent_share < 0.1 && shifted.failing_share > 0.8,
        "{shifted}"
    );
    // A copy at any distance adds nothing.
    for sides in [0.3, 1.0, 2.1, 3.5, 5.0, 7.0] {
        for sign in [-1.0, 1.0] {
            let copied = figures(&[0.0, sign * sides * 0.02]);
            assert!(
                copied.consistent <= right.consistent + right.voxels / 20,
                "{sides} {sign}: {copied}"
            );
            // Within a voxel it is averaged.
            let worse = sides < 1.5 || copied.consistent_share < 0.8;
            assert!(worse, "{sides} {sign}: {copied}");
        }
    }
    // Two layers half a voxel apart, in one row of voxels: as consistent, thicker.
    let double = figures(&[0.005, 0.015]);
    assert!((double.thickness - 0.25).abs() < 0.01, "{double}");
    assert!(right.thickness < 1e-6, "{right}");
    // More of the same points is not better.
    let twice = figures(&[0.0, 0.0]);
    assert_eq!(twice.consistent, right.consistent);
}

/// The wall with points up to `spread` voxels off, evenly: many a voxel.
fn noisy(spread: f64, every: usize) -> ConsistencyFigures {
    let mut cloud = PointCloud::default();
    for k in (0..240 * 240).step_by(every) {
        let at = |i: usize| (i as f64 - 120.0) * 0.004;
        let off = ((k * 7919 % 10_007) as f64 / 10_007.0 - 0.5) * 2.0 * spread * 0.02;
        let p = [at(k % 240), at(k / 240), 0.0003 + off];
        cloud.positions.push(p.map(|v| v as f32));
        cloud.normals.push([0.0, 0.0, -1.0]);
    }
    photo_consistency(&cloud, &photos(false), &[]).unwrap()
}

#[test]
fn noise_along_the_normal_lowers_number_and_share() {
    let flat = noisy(0.0, 1);
    assert!(
        flat.second_layer == 0 && flat.consistent_share > 0.97,
        "{flat}"
    );
    let mut before = flat.clone();
    for spread in [0.1, 0.25, 0.5] {
        let thick = noisy(spread, 1);
        assert!(thick.consistent <= before.consistent, "{spread}: {thick}");
        assert!(
            thick.consistent_share <= before.consistent_share,
            "{spread}: {thick}"
        );
        assert!(thick.thickness > before.thickness, "{spread}: {thick}");
        before = thick;
    }
    assert!(before.consistent_share < 0.7, "{before}");
    // Fewer points are less surface.
    let thin = noisy(0.0, 61);
    assert!(thin.consistent < flat.consistent / 2, "{thin}");
}

#[test]
fn what_cannot_be_judged_is_said() {
    let blank = photo_consistency(&layers(&[0.0]), &photos(true), &[]).unwrap();
    assert_eq!((blank.blank, blank.consistent), (blank.voxels, 0));
    let mut flat = layers(&[0.0]);
    let third = flat.len() / 3;
    flat.normals[..third].fill([0.0; 3]);
    let flat = photo_consistency(&flat, &photos(false), &[]);
    assert!(matches!(flat, Err(EvalError::NoNormals)), "{flat:?}");
    let mut long = layers(&[0.0]);
    long.normals.fill([0.0, 0.0, -7.0]);
    let long = photo_consistency(&long, &photos(false), &[]).unwrap();
    assert_eq!(long, figures(&[0.0]));
    let empty = photo_consistency(&PointCloud::default(), &photos(false), &[]);
    assert!(matches!(empty, Err(EvalError::Empty { .. })));
    let mut away = layers(&[0.0]);
    for p in &mut away.positions {
        p[2] -= 50.0;
    }
    let away = photo_consistency(&away, &photos(false), &[]);
    assert!(matches!(away, Err(EvalError::OtherScene)), "{away:?}");
    // The sparse model tells where the cloud should be, and how large a voxel is.
    let scene = layers(&[0.01]).positions;
    let with = |change: &dyn Fn(&mut PointCloud)| {
        let mut cloud = layers(&[0.0]);
        change(&mut cloud);
        photo_consistency(&cloud, &photos(false), &scene)
    };
    assert!(with(&|_| ()).unwrap().consistent_share > 0.97);
    let in_mm = with(&|c| c.positions.iter_mut().flatten().for_each(|v| *v *= 1000.0));
    assert!(matches!(in_mm, Err(EvalError::OtherScene)), "{in_mm:?}");
    let far = with(&|c| c.positions.iter_mut().for_each(|p| p[0] += 1e6));
    assert!(matches!(far, Err(EvalError::OtherScene)), "{far:?}");
    let one = with(&|c| {
        c.positions.truncate(1);
        c.normals.truncate(1);
    });
    assert!(matches!(one, Err(EvalError::OtherScene)), "{one:?}");
    let flipped = with(&|c| c.normals.fill([0.0, 0.0, 1.0]));
    assert!(matches!(flipped, Err(EvalError::Unseen)), "{flipped:?}");
    let two = photo_consistency(&layers(&[0.0]), &photos(false)[..2], &[]);
    assert!(two.is_err());
}
