//! The same input gives what public evaluators give: the numbers here were
//! printed by scikit-image 0.26 and evo 1.38. `scripts/verify` compares on
//! whole runs.

#![allow(clippy::unwrap_used, reason = "functions that tests share")]

use nalgebra::Rotation3;
use relievo_eval::texture::psnr_db;
use relievo_eval::{Cameras, PosedCamera, score_poses, ssim};
use relievo_geometry::{CameraModel, Mat3, Rigid3, Vec3};
use relievo_image::Raster;
use relievo_scene::Camera;

/// `structural_similarity(a, b, win_size=11, data_range=255,
/// use_sample_covariance=False, full=True)[1].mean()`.
const SKIMAGE_SSIM: f64 = 0.944_649_286_748_755_7;
/// `peak_signal_noise_ratio(a, b, data_range=255)`.
const SKIMAGE_PSNR: f64 = 25.151_601_637_788_644;

#[test]
fn psnr_and_ssim_are_those_of_scikit_image() {
    let a = Raster::from_fn(50, 40, |x, y| {
        (127.5 + 100.0 * (0.31 * x as f64).sin() * (0.23 * y as f64).cos()).floor()
    });
    let b = Raster::from_fn(50, 40, |x, y| {
        let wave = 20.0 * (1.7 * x as f64 + 0.9 * y as f64).sin();
        (a[(x, y)] + wave).floor().clamp(0.0, 255.0)
    });
    let all = Raster::filled(50, 40, true);
    let got = ssim(&a, &b, &all).unwrap();
    assert!((got - SKIMAGE_SSIM).abs() < 1e-9, "{got}");
    let pairs = a.as_slice().iter().zip(b.as_slice());
    let mse = pairs.map(|(p, q)| (p - q).powi(2)).sum::<f64>() / 2000.0;
    assert!((psnr_db(mse) - SKIMAGE_PSNR).abs() < 1e-9);
}

fn turn(z: f64, x: f64) -> Mat3 {
    let z = Rotation3::from_axis_angle(&Vec3::z_axis(), z);
    let x = Rotation3::from_axis_angle(&Vec3::x_axis(), x);
    (z * x).into_inner()
}

fn camera(i: usize, world_from_cam: &Mat3, center: Vec3) -> (String, PosedCamera) {
    let pose = Rigid3::from_matrix(&world_from_cam.transpose(), Vec3::zeros());
    let camera = Camera {
        model: CameraModel::SimplePinhole {
            f: 100.0,
            cx: 50.0,
            cy: 50.0,
        },
        width_px: 100,
        height_px: 100,
        has_prior_focal: true,
    };
    let cam_from_world = Rigid3 {
        translation: -(pose.rotation * center),
        ..pose
    };
    (
        format!("{i:02}.jpg"),
        PosedCamera {
            camera,
            cam_from_world,
        },
    )
}

#[test]
fn pose_errors_are_those_of_evo() {
    let (mut truth, mut estimate) = (Cameras::new(), Cameras::new());
    let world = turn(0.8, 0.4);
    for i in 0..12 {
        let k = i as f64;
        let r = turn(0.5 * k, 0.3 + 0.05 * k);
        let c = Vec3::new((0.7 * k).cos(), (0.9 * k).sin(), 0.1 * k);
        let off = Vec3::new((3.0 * k).sin(), (5.0 * k).cos(), (7.0 * k + 1.0).sin());
        let r_off = r * turn(0.0, 0.004 * (2.0 * k).sin());
        let c_off = world * (c + off * 0.01) * 2.5 + Vec3::new(1.0, -2.0, 3.0);
        truth.extend([camera(i, &r, c)]);
        estimate.extend([camera(i, &(world * r_off), c_off)]);
    }
    let f = score_poses(&estimate, &truth).unwrap();
    let near = |a: f64, b: f64, what: &str| assert!((a - b).abs() < 1e-6 * b, "{what}: {a} {b}");
    // APE of the translation part after `align(correct_scale=True)`.
    near(f.pos_mm.mean, 9.977_115_662_012_382, "mean");
    near(f.pos_mm.med, 9.932_653_183_552_813, "median");
    near(f.pos_mm.max, 14.404_984_458_409_922, "max");
    // APE of the rotation angle.
    near(f.rot_deg.mean, 0.369_399_773_292_891_8, "rotation");
    near(f.rot_deg.max, 0.583_260_156_884_519, "rotation");
    // RPE of the rotation angle, all pairs at every distance.
    near(f.relrot_deg.mean, 0.207_700_273_592_578_78, "relative");
    near(f.relrot_deg.med, 0.207_222_508_649_363_6, "relative");
    near(f.relrot_deg.max, 0.434_885_484_736_642_6, "relative");
    // RPE of the translation part, likewise.
    near(f.rpe_mm.mean, 16.829_728_182_818_812, "relative");
    near(f.rpe_mm.med, 17.524_151_250_793_97, "relative");
    near(f.rpe_mm.max, 30.696_878_276_539_262, "relative");
}
