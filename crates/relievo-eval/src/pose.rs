//! Camera poses against true poses.
//!
//! Positions after a least-squares similarity over all common cameras
//! (Umeyama 1991; where they stand on a line, their rotations settle the turn about
//! it); rotations after the same; relative poses over all true
//! pairs, where a pair with a missing camera counts as failed. Cameras of other
//! photos (far off in place and in direction at once, or turned the wrong way round)
//! are refused.

use crate::align::{common_centers, similarity};
use crate::cameras::Cameras;
use crate::error::EvalError;
use crate::statistics::Spread;
use relievo_geometry::{Mat3, Rigid3, Vec3};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// Limits of the AUC, degrees.
const AUC_DEG: [f64; 4] = [0.5, 1.0, 3.0, 5.0];
/// Centres farther off and relative rotations farther off than this, together, are
/// of other photos.
const OTHER_CENTRES_PERCENT: f64 = 50.0;
const OTHER_ROTATION_DEG: f64 = 20.0;
/// So are those of which relative directions, or rotations in the truth's frame, are
/// farther off than this in the median: as far as chance.
const CHANCE_DEG: f64 = 90.0;

/// Figures of a set of poses.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PoseFigures {
    /// Estimated cameras that have a true pose.
    pub reg: usize,
    /// True cameras.
    pub gt: usize,
    /// Error of the position, millimetres where the truth is in metres.
    pub pos_mm: Spread,
    /// Error of the rotation, degrees.
    pub rot_deg: Spread,
    /// Error of the relative rotation over pairs of common cameras, degrees.
    pub relrot_deg: Spread,
    /// Error of the relative translation's direction, degrees.
    pub reltrans_deg: Spread,
    /// Error of the relative translation after the similarity, over the same pairs,
    /// in the first camera's frame; millimetres where the truth is in metres.
    pub rpe_mm: Spread,
    /// Area under the recall of relative poses up to a limit in degrees,
    /// percent.
    pub auc: BTreeMap<String, f64>,
    /// The same over pairs of common cameras alone: what counts where the truth
    /// knows frames of a video that are no key frames.
    pub auc_common: BTreeMap<String, f64>,
}

impl fmt::Display for PoseFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "cameras: {} of {}", self.reg, self.gt)?;
        let mut row = |name: &str, s: &Spread, digits: usize| {
            writeln!(
                f,
                "  {name:<24} median {:.digits$}  mean {:.digits$}  max {:.digits$}",
                s.med, s.mean, s.max
            )
        };
        row("position [mm]", &self.pos_mm, 3)?;
        row("rotation [deg]", &self.rot_deg, 4)?;
        row("relative rotation [deg]", &self.relrot_deg, 4)?;
        row("relative direction [deg]", &self.reltrans_deg, 4)?;
        row("relative position [mm]", &self.rpe_mm, 3)?;
        let auc = |of: &BTreeMap<String, f64>| {
            let told: Vec<String> = of.iter().map(|(t, v)| format!("{v:.2} at {t}")).collect();
            told.join(", ")
        };
        write!(f, "  relative-pose AUC [%]    {} deg", auc(&self.auc))?;
        if self.reg < self.gt {
            let common = auc(&self.auc_common);
            write!(f, "\n    without missing cameras {common} deg")?;
        }
        Ok(())
    }
}

/// Scores poses; cameras are paired by file name.
pub fn score_poses(estimate: &Cameras, truth: &Cameras) -> Result<PoseFigures, EvalError> {
    let (from, to) = common_centers(estimate, truth)?;
    let align = similarity(estimate, truth)?;
    let rotation = *align.rotation.to_rotation_matrix().matrix();
    let position: Vec<f64> = from
        .iter()
        .zip(&to)
        .map(|(a, b)| (align.apply(a) - b).norm())
        .collect();
    let rotations: Vec<f64> = estimate
        .iter()
        .filter_map(|(name, e)| {
            Some((
                e.cam_from_world.matrix(),
                truth.get(name)?.cam_from_world.matrix(),
            ))
        })
        .map(|(e, t)| angle_deg(&(e * rotation.transpose() * t.transpose())))
        .collect();
    let names: Vec<&String> = truth.keys().collect();
    let (mut errors, mut rel_rotation, mut rel_direction) = (Vec::new(), Vec::new(), Vec::new());
    let mut rel_position = Vec::new();
    for (i, a) in names.iter().enumerate() {
        for b in &names[i + 1..] {
            let (Some(ea), Some(eb)) = (estimate.get(*a), estimate.get(*b)) else {
                errors.push(f64::INFINITY);
                continue;
            };
            let (ta, tb) = (&truth[*a].cam_from_world, &truth[*b].cam_from_world);
            let e = eb.cam_from_world * ea.cam_from_world.inverse();
            let t = *tb * ta.inverse();
            let rotation = angle_deg(&(e.matrix().transpose() * t.matrix()));
            // The translation is a's centre in b's frame.
            let (u, v) = (e.translation, t.translation);
            let direction = u.cross(&v).norm().atan2(u.dot(&v)).to_degrees();
            errors.push(rotation.max(direction));
            rel_rotation.push(rotation);
            rel_direction.push(direction);
            // b's centre in a's frame.
            let seen = |a: &Rigid3, b: &Rigid3| a.rotation * (b.center() - a.center());
            let (e, t) = (seen(&ea.cam_from_world, &eb.cam_from_world), seen(ta, tb));
            rel_position.push((align.scale * e - t).norm());
        }
    }
    let common: Vec<f64> = errors.iter().copied().filter(|e| e.is_finite()).collect();
    let auc = |errors: &[f64]| -> BTreeMap<String, f64> {
        let limits = AUC_DEG.iter();
        limits
            .map(|t| (t.to_string(), auc_percent(errors, *t)))
            .collect()
    };
    let relative = Spread::of(&rel_rotation, 1.0);
    let direction = Spread::of(&rel_direction, 1.0);
    let rotation = Spread::of(&rotations, 1.0);
    let centres_percent = 100.0 * residual(&position, &to);
    let far = centres_percent > OTHER_CENTRES_PERCENT && relative.med > OTHER_ROTATION_DEG;
    if far || direction.med > CHANCE_DEG || rotation.med > CHANCE_DEG {
        return Err(EvalError::OtherCameras {
            centres_percent,
            rotation_deg: relative.med.max(rotation.med),
            direction_deg: direction.med,
        });
    }
    Ok(PoseFigures {
        reg: from.len(),
        gt: truth.len(),
        pos_mm: Spread::of(&position, 1000.0),
        rot_deg: rotation,
        relrot_deg: relative,
        reltrans_deg: direction,
        rpe_mm: Spread::of(&rel_position, 1000.0),
        auc: auc(&errors),
        auc_common: auc(&common),
    })
}

/// Root mean square of the errors over that of the distances of `centres` from
/// their mean: 1 where a similarity explains nothing.
fn residual(errors: &[f64], centres: &[Vec3]) -> f64 {
    let n = centres.len() as f64;
    let mean = centres.iter().sum::<Vec3>() / n;
    let spread: f64 = centres.iter().map(|c| (c - mean).norm_squared()).sum();
    let squares: f64 = errors.iter().map(|e| e * e).sum();
    (squares / spread.max(f64::MIN_POSITIVE)).sqrt()
}

/// Angle of a rotation from its chord: 2 asin(‖R − I‖ / 2√2).
fn angle_deg(r: &Mat3) -> f64 {
    let chord = (r - Mat3::identity()).norm() / (2.0 * 2.0_f64.sqrt());
    (2.0 * chord.min(1.0).asin()).to_degrees()
}

/// Area under the recall curve from 0 to `limit`, percent of the full area.
fn auc_percent(errors: &[f64], limit: f64) -> f64 {
    let mut sorted = errors.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len().max(1) as f64;
    let (mut area, mut x, mut y) = (0.0, 0.0, 0.0);
    for (i, e) in sorted.iter().take_while(|e| **e < limit).enumerate() {
        let recall = (i + 1) as f64 / n;
        area += (e - x) * (y + recall) / 2.0;
        (x, y) = (*e, recall);
    }
    (area + (limit - x) * y) / limit * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cameras::PosedCamera;
    use nalgebra::UnitQuaternion;
    use relievo_geometry::{CameraModel, Sim3};
    use relievo_scene::Camera;

    fn ring(n: usize) -> Cameras {
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
        (0..n)
            .map(|i| {
                let a = i as f64 * 0.7;
                let r = UnitQuaternion::from_euler_angles(a, 0.3 * a, 0.1);
                let center = Vec3::new(a.cos(), a.sin(), 0.1 * a);
                let pose = Rigid3::new(r, -(r * center));
                (
                    format!("{i}.jpg"),
                    PosedCamera {
                        camera,
                        cam_from_world: pose,
                    },
                )
            })
            .collect()
    }

    #[test]
    fn a_similarity_costs_nothing_and_a_lost_camera_its_pairs() {
        let truth = ring(6);
        let world = Sim3 {
            scale: 3.0,
            rotation: UnitQuaternion::from_euler_angles(1.0, 0.5, -0.2),
            translation: Vec3::new(5.0, 0.0, 1.0),
        };
        let mut moved = truth.clone();
        for c in moved.values_mut() {
            c.cam_from_world = world.transform_pose(&c.cam_from_world);
        }
        let figures = score_poses(&moved, &truth).unwrap();
        assert!(
            figures.pos_mm.max < 1e-9 && figures.rot_deg.max < 1e-5,
            "{figures}"
        );
        assert!((figures.auc["1"] - 100.0).abs() < 1e-4);
        moved.remove("0.jpg");
        let figures = score_poses(&moved, &truth).unwrap();
        assert_eq!((figures.reg, figures.gt), (5, 6));
        assert!((figures.auc["5"] - 100.0 * 10.0 / 15.0).abs() < 1e-4);
        assert!((figures.auc_common["5"] - 100.0).abs() < 1e-4);
        // The same names for other cameras.
        let mut other = truth.clone();
        for (i, c) in other.values_mut().enumerate() {
            let turn = UnitQuaternion::from_euler_angles(0.0, (5 * i * i) as f64, 1.0);
            let far = Vec3::new((7 * i % 5) as f64, (3 * i % 7) as f64, (5 * i % 3) as f64);
            c.cam_from_world = Rigid3::new(turn, far);
        }
        assert!(matches!(
            score_poses(&other, &truth),
            Err(EvalError::OtherCameras { .. })
        ));
        // Other photos from like places: all look the other way.
        let mut back = truth.clone();
        for c in back.values_mut() {
            let pose = c.cam_from_world;
            let turned = UnitQuaternion::from_euler_angles(0.0, 3.0, 0.0) * pose.rotation;
            c.cam_from_world = Rigid3::new(turned, -(turned * pose.center()));
        }
        assert!(matches!(
            score_poses(&back, &truth),
            Err(EvalError::OtherCameras { .. })
        ));
        let few: Cameras = moved.into_iter().take(2).collect();
        assert!(matches!(
            score_poses(&few, &truth),
            Err(EvalError::FewCommon { common: 2, .. })
        ));
    }

    #[test]
    fn cameras_on_a_line_are_turned_right_and_in_one_place_refused() {
        let mut truth = ring(7);
        let mut place = |centers: fn(f64) -> Vec3| {
            for (i, c) in truth.values_mut().enumerate() {
                let r = c.cam_from_world.rotation;
                c.cam_from_world = Rigid3::new(r, -(r * centers(i as f64)));
            }
            truth.clone()
        };
        let line = place(|i| Vec3::new(1.0 + i, 2.0 - 0.5 * i, 1e-4 * i * i));
        let world = Sim3 {
            scale: 0.5,
            rotation: UnitQuaternion::from_euler_angles(2.0, 0.5, -0.2),
            translation: Vec3::new(5.0, 0.0, 1.0),
        };
        let mut moved = line.clone();
        for c in moved.values_mut() {
            c.cam_from_world = world.transform_pose(&c.cam_from_world);
        }
        let figures = score_poses(&moved, &line).unwrap();
        assert!(figures.rot_deg.max < 1e-5, "{figures}");
        assert!(figures.pos_mm.max < 1e-4, "{figures}");
        let same = place(|_| Vec3::new(1.0, 2.0, 3.0));
        for (estimate, truth) in [(&same, &line), (&line, &same)] {
            let refused = score_poses(estimate, truth);
            assert!(matches!(refused, Err(EvalError::NoSimilarity)));
        }
    }

    #[test]
    fn a_turned_camera_shows_in_degrees_and_a_shifted_one_in_millimetres() {
        let truth = ring(8);
        let mut moved = truth.clone();
        let c = moved.get_mut("3.jpg").unwrap();
        let turn = Rigid3::new(
            UnitQuaternion::from_euler_angles(0.02, 0.0, 0.0),
            Vec3::zeros(),
        );
        c.cam_from_world = turn * c.cam_from_world;
        let figures = score_poses(&moved, &truth).unwrap();
        assert!((figures.rot_deg.max - 0.02_f64.to_degrees()).abs() < 1e-6);
        assert!(figures.pos_mm.max < 1e-9);
        assert!(
            (auc_percent(&[0.0, 1.0, f64::INFINITY], 2.0) - 100.0 * (0.5 + 2.0 / 3.0) / 2.0).abs()
                < 1e-9
        );
    }
}
