//! Minimal solvers on exact data: nanoseconds a call beside the rate at which
//! the truth is among the solutions, and how many solutions come.

use nalgebra::UnitQuaternion;
use relievo_geometry::epipolar::essential_from_pose;
use relievo_geometry::solvers::p3p::p3p_lambda_twist;
use relievo_geometry::solvers::{five_point, homography_4pt, seven_point};
use relievo_geometry::{Mat3, Rigid3, Vec2, Vec3};
use relievo_synth::scene::{direction, uniform};
use std::hint::black_box;
use std::io::Write;
use std::time::Instant;

const CASES: usize = 2000;
const REPEATS: usize = 5;

/// Points in the frames of two cameras.
struct Case {
    b_from_a: Rigid3,
    a: Vec<Vec3>,
    b: Vec<Vec3>,
}

fn cases(planar: bool) -> Vec<Case> {
    let mut rng = relievo_task::rng(1, "bench", "solvers");
    (0..CASES)
        .map(|_| {
            let turn = direction(&mut rng) * 0.6 * uniform(&mut rng);
            let b_from_a = Rigid3::new(UnitQuaternion::from_scaled_axis(turn), direction(&mut rng));
            let (mut a, mut b) = (Vec::new(), Vec::new());
            while a.len() < 7 {
                let (u, v) = (2.0 * uniform(&mut rng) - 1.0, 2.0 * uniform(&mut rng) - 1.0);
                let depth = if planar {
                    5.0 + 0.7 * u - 0.4 * v
                } else {
                    3.0 + 4.0 * uniform(&mut rng)
                };
                let x = Vec3::new(2.0 * u, 2.0 * v, depth);
                let y = b_from_a.apply(&x);
                if y.z > 0.5 {
                    a.push(x);
                    b.push(y);
                }
            }
            Case { b_from_a, a, b }
        })
        .collect()
}

/// The least time over all repeats, of `solve` alone; `judge` says (truth found,
/// solutions).
fn measure<S>(
    name: &str,
    cases: &[Case],
    solve: impl Fn(&Case) -> S,
    judge: impl Fn(&Case, &S) -> (bool, usize),
) {
    let mut best = f64::INFINITY;
    let mut answers = Vec::new();
    for _ in 0..REPEATS {
        answers = Vec::with_capacity(cases.len());
        let start = Instant::now();
        for case in cases {
            answers.push(black_box(solve(black_box(case))));
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    let (mut found, mut solutions) = (0, 0);
    for (case, answer) in cases.iter().zip(&answers) {
        let (truth, n) = judge(case, answer);
        found += usize::from(truth);
        solutions += n;
    }
    let n = cases.len() as f64;
    let _ = writeln!(
        std::io::stdout(),
        "{name:<16} {:>7.0} ns  truth found {:>6.2} %  {:.2} solutions",
        best / n * 1e9,
        100.0 * found as f64 / n,
        solutions as f64 / n
    );
}

fn near(m: &Mat3, truth: &Mat3) -> bool {
    let (m, truth) = (m / m.norm(), truth / truth.norm());
    (m - truth).norm().min((m + truth).norm()) < 1e-5
}

fn first<const N: usize>(points: &[Vec3]) -> [Vec3; N] {
    std::array::from_fn(|i| points[i] / points[i].z)
}

fn main() {
    let general = cases(false);
    let essential = |c: &Case, found: &[Mat3]| {
        let truth = essential_from_pose(&c.b_from_a);
        (found.iter().any(|e| near(e, &truth)), found.len())
    };
    measure(
        "five_point",
        &general,
        |c| five_point(&first(&c.a), &first(&c.b)),
        |c, found| essential(c, found),
    );
    measure(
        "seven_point",
        &general,
        |c| seven_point(&first(&c.a), &first(&c.b)),
        |c, found| essential(c, found),
    );
    measure(
        "p3p_lambda_twist",
        &general,
        |c| {
            let bearings: [Vec3; 3] = std::array::from_fn(|i| c.b[i].normalize());
            let world: [Vec3; 3] = std::array::from_fn(|i| c.a[i]);
            p3p_lambda_twist(&bearings, &world)
        },
        |c, found| {
            let truth = found.iter().any(|p| {
                (p.matrix() - c.b_from_a.matrix()).norm() < 1e-5
                    && (p.translation - c.b_from_a.translation).norm() < 1e-4
            });
            (truth, found.len())
        },
    );
    measure(
        "homography_4pt",
        &cases(true),
        |c| {
            let px = |points: &[Vec3]| -> [Vec2; 4] {
                std::array::from_fn(|i| (points[i] / points[i].z).xy())
            };
            homography_4pt(&px(&c.a), &px(&c.b))
        },
        |c, found| {
            let truth = found.is_some_and(|h| {
                c.a.iter().zip(&c.b).all(|(a, b)| {
                    let to = relievo_geometry::homography::transfer(&h, &(a / a.z).xy());
                    (to - (b / b.z).xy()).norm() < 1e-6
                })
            });
            (truth, usize::from(found.is_some()))
        },
    );
}
