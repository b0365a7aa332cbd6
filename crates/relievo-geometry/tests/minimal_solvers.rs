//! Truth is among the solutions; degenerate and poisoned input gives none.

use nalgebra::UnitQuaternion;
use relievo_geometry::epipolar::essential_from_pose;
use relievo_geometry::homography::transfer;
use relievo_geometry::solvers::{five_point, homography_4pt, seven_point};
use relievo_geometry::{Mat3, Rigid3, Vec2, Vec3};
use relievo_synth::scene::{direction, uniform};

struct Pair {
    b_from_a: Rigid3,
    a: Vec<Vec3>,
    b: Vec<Vec3>,
}

fn pair(seed: &str, n: usize, planar: bool) -> Pair {
    let mut rng = relievo_task::rng(1, "solvers", seed);
    let rotation = UnitQuaternion::from_scaled_axis(direction(&mut rng) * 0.6 * uniform(&mut rng));
    // Types of the crate under test and of the scene crate are the same here.
    let b_from_a = Rigid3::new(rotation, direction(&mut rng));
    let (mut a, mut b) = (Vec::new(), Vec::new());
    while a.len() < n {
        let (u, v) = (2.0 * uniform(&mut rng) - 1.0, 2.0 * uniform(&mut rng) - 1.0);
        let depth = if planar {
            5.0 + 0.7 * u - 0.4 * v
        } else {
            3.0 + 4.0 * uniform(&mut rng)
        };
        let x = Vec3::new(2.0 * u, 2.0 * v, depth);
        let y = b_from_a.apply(&x);
        if y.z > 0.5 {
            a.push(x / x.z);
            b.push(y / y.z);
        }
    }
    Pair { b_from_a, a, b }
}

fn near_up_to_sign(m: &Mat3, truth: &Mat3) -> f64 {
    let truth = truth / truth.norm();
    (m - truth).norm().min((m + truth).norm())
}

#[test]
fn five_point_finds_the_truth() {
    let mut found = 0;
    for k in 0..1000 {
        let p = pair(&format!("five {k}"), 5, k % 4 == 0);
        let solutions = five_point(
            p.a.as_slice().try_into().unwrap(),
            p.b.as_slice().try_into().unwrap(),
        );
        let truth = essential_from_pose(&p.b_from_a);
        if solutions.iter().any(|e| near_up_to_sign(e, &truth) < 1e-5) {
            found += 1;
        }
        for e in &solutions {
            for (a, b) in p.a.iter().zip(&p.b) {
                assert!(b.dot(&(e * a)).abs() < 1e-9);
            }
        }
    }
    assert!(found >= 990, "{found} of 1000");
}

#[test]
fn seven_point_finds_the_truth() {
    let mut found = 0;
    for k in 0..500 {
        let p = pair(&format!("seven {k}"), 7, false);
        let solutions = seven_point(
            p.a.as_slice().try_into().unwrap(),
            p.b.as_slice().try_into().unwrap(),
        );
        let truth = essential_from_pose(&p.b_from_a);
        if solutions.iter().any(|f| near_up_to_sign(f, &truth) < 1e-6) {
            found += 1;
        }
        for f in &solutions {
            assert!(f.determinant().abs() < 1e-9);
        }
    }
    assert!(found >= 497, "{found} of 500");
}

#[test]
fn homography_maps_the_plane() {
    let flat = |v: &Vec3| Vec2::new(v.x, v.y);
    let mut found = 0;
    for k in 0..500 {
        let p = pair(&format!("plane {k}"), 6, true);
        let a: Vec<Vec2> = p.a.iter().map(flat).collect();
        let b: Vec<Vec2> = p.b.iter().map(flat).collect();
        let Some(h) = homography_4pt(a[..4].try_into().unwrap(), b[..4].try_into().unwrap()) else {
            continue;
        };
        assert!(h.determinant() > 0.0);
        if (transfer(&h, &a[4]) - b[4]).norm() < 1e-6 && (transfer(&h, &a[5]) - b[5]).norm() < 1e-6
        {
            found += 1;
        }
    }
    assert!(found >= 490, "{found} of 500");
}

#[test]
fn degenerate_and_poisoned_input_gives_nothing() {
    let p = pair("poison", 7, false);
    for poison in [f64::NAN, f64::INFINITY] {
        let mut a = p.a.clone();
        a[2].x = poison;
        assert!(five_point(a[..5].try_into().unwrap(), p.b[..5].try_into().unwrap()).is_empty());
        assert!(seven_point(a[..7].try_into().unwrap(), p.b[..7].try_into().unwrap()).is_empty());
        let a: [Vec2; 4] = std::array::from_fn(|k| a[k].xy());
        let b: [Vec2; 4] = std::array::from_fn(|k| p.b[k].xy());
        assert!(homography_4pt(&a, &b).is_none());
    }
    let (one_a, one_b) = (p.a[0], p.b[0]);
    assert!(five_point(&[one_a; 5], &[one_b; 5]).is_empty());
    assert!(seven_point(&[one_a; 7], &[one_b; 7]).is_empty());
    let line: [Vec2; 4] = std::array::from_fn(|k| Vec2::new(0.1 * k as f64, 0.2 * k as f64));
    assert!(homography_4pt(&line, &line).is_none());
}
