//! How well a sparse model is determined: `sparse/covariances.json` and
//! `sparse/point_covariances.npy`.

use crate::error::PipelineError;
use crate::stages::{json_bytes, sparse::round};
use relievo_engine::Figures;
use relievo_formats::npy;
use relievo_image::Raster;
use relievo_scene::SparseModel;
use relievo_sfm::{ModelCovariances, NoCovariances};
use serde::{Deserialize, Serialize};

/// Of poses.
pub const POSES_FILE: &str = "covariances.json";
/// Of points.
pub const POINTS_FILE: &str = "point_covariances.npy";

/// `sparse/covariances.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Certainty {
    /// Why there are none; empty where there are.
    pub left_out: String,
    /// Median distance between a photo and a point that it sees, model units; counts a
    /// rotation in the gauge (`relievo_sfm::ModelCovariances`).
    pub distance: f64,
    /// By name.
    pub photos: Vec<PhotoCertainty>,
}

/// One photo's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhotoCertainty {
    /// Name.
    pub name: String,
    /// Expected distance of the camera's centre from its true place, model units.
    pub position_sigma: f64,
    /// Expected error of its rotation.
    pub rotation_sigma_deg: f64,
    /// 6×6: rotation about the camera's own axes (radians), centre in the world (model
    /// units).
    pub covariance: [[f64; 6]; 6],
}

impl Certainty {
    /// Of the model's photos.
    pub fn new(model: &SparseModel, known: &Result<ModelCovariances, NoCovariances>) -> Self {
        let known = match known {
            Ok(known) => known,
            Err(why) => {
                return Self {
                    left_out: why.to_string(),
                    ..Self::default()
                };
            }
        };
        let photo = |(id, c): (&relievo_scene::ViewId, &relievo_sfm::PoseCovariance)| {
            Some(PhotoCertainty {
                name: model.views.get(id)?.name.clone(),
                position_sigma: c.position_sigma(),
                rotation_sigma_deg: c.rotation_sigma().to_degrees(),
                covariance: c.0,
            })
        };
        let mut photos: Vec<PhotoCertainty> = known.poses.iter().filter_map(photo).collect();
        photos.sort_by(|a, b| a.name.cmp(&b.name));
        Self {
            left_out: String::new(),
            distance: known.distance,
            photos,
        }
    }

    /// Median and worst over the photos: positions in millionths of the distance,
    /// rotations in degrees.
    pub fn figures(&self, figures: &mut Figures) {
        if !self.left_out.is_empty() {
            figures.insert("sigmas_left_out".into(), self.left_out.clone().into());
        }
        let mut add = |name: &str, mut values: Vec<f64>, digits: i32| {
            values.sort_by(f64::total_cmp);
            if let (Some(median), Some(worst)) = (values.get(values.len() / 2), values.last()) {
                figures.insert(name.to_owned(), round(*median, digits).into());
                figures.insert(format!("{name}_worst"), round(*worst, digits).into());
            }
        };
        let part = |p: &PhotoCertainty| 1e6 * p.position_sigma / self.distance;
        add(
            "position_sigma_ppm",
            self.photos.iter().map(part).collect(),
            1,
        );
        let rotation = |p: &PhotoCertainty| p.rotation_sigma_deg;
        add(
            "rotation_sigma_deg",
            self.photos.iter().map(rotation).collect(),
            5,
        );
    }
}

/// The files of a model, to be written into the stage's folder.
pub(crate) fn files(
    model: &SparseModel,
    known: &Result<ModelCovariances, NoCovariances>,
) -> Result<Vec<(&'static str, Vec<u8>)>, PipelineError> {
    let mut out = vec![(POSES_FILE, json_bytes(&Certainty::new(model, known))?)];
    if let Ok(known) = known {
        let row = |c: &Option<[f64; 6]>| c.map_or([f32::NAN; 6], |c| c.map(|v| v as f32));
        let rows: Vec<f32> = known.points.iter().flat_map(row).collect();
        let table = Raster::from_vec(6, known.points.len(), rows);
        out.push((POINTS_FILE, npy::encode_npy(&table)));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use relievo_scene::{CameraId, View, ViewId};
    use relievo_sfm::PoseCovariance;
    use std::collections::BTreeMap;

    #[test]
    fn figures_are_per_distance_and_in_degrees() {
        let mut model = SparseModel::default();
        let mut poses = BTreeMap::new();
        for (id, sigma) in [(1, 3e-4), (2, 1e-4), (3, 2e-4)] {
            let view = View {
                camera_id: CameraId(1),
                name: format!("{}.jpg", 9 - id),
                cam_from_world: None,
                points_px: Vec::new(),
            };
            model.views.insert(ViewId(id), view);
            let mut c = [[0.0; 6]; 6];
            c[1][1] = (sigma / 2.0_f64).powi(2);
            c[4][4] = sigma * sigma;
            poses.insert(ViewId(id), PoseCovariance(c));
        }
        let known = Ok(ModelCovariances {
            distance: 4.0,
            poses,
            points: vec![Some([1.0, 0.0, 0.0, 2.0, 0.0, 3.0]), None],
        });
        let certainty = Certainty::new(&model, &known);
        let names: Vec<&str> = certainty.photos.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["6.jpg", "7.jpg", "8.jpg"]);
        let mut figures = Figures::new();
        certainty.figures(&mut figures);
        assert_eq!(figures["position_sigma_ppm"], 50.0);
        assert_eq!(figures["position_sigma_ppm_worst"], 75.0);
        assert_eq!(figures["rotation_sigma_deg"], 0.00573);
        let files = files(&model, &known).unwrap();
        let (name, npy) = &files[1];
        assert_eq!(*name, POINTS_FILE);
        let row =
            |at: usize| f32::from_le_bytes(*npy[npy.len() - 48 + at..].first_chunk().unwrap());
        assert_eq!((row(0), row(12), row(20)), (1.0, 2.0, 3.0));
        assert!(row(24).is_nan());
    }

    #[test]
    fn what_is_left_out_is_said() {
        let why = NoCovariances::TooManyPhotos {
            photos: 900,
            most: 250,
        };
        let mut figures = Figures::new();
        Certainty::new(&SparseModel::default(), &Err(why)).figures(&mut figures);
        let text = figures["sigmas_left_out"].as_str().unwrap();
        assert!(text.contains("900"), "{text}");
        assert_eq!(figures.len(), 1);
    }
}
