//! The model while it is being built.

use crate::scene::{NONE, Obs, Scene};
use relievo_geometry::triangulation::Sighting;
use relievo_geometry::{Rigid3, Vec3};
use relievo_scene::Camera;

/// A scene point; without observations it is deleted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) x: Vec3,
    /// Ordered, at most one per view.
    pub(crate) obs: Vec<Obs>,
}

/// Poses, intrinsics, points.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Model {
    pub(crate) poses: Vec<Option<Rigid3>>,
    pub(crate) cameras: Vec<Camera>,
    pub(crate) points: Vec<Point>,
    /// Point of each keypoint of each view, or [`NONE`].
    pub(crate) point_of: Vec<Vec<u32>>,
    /// Registered views in the order in which they came.
    pub(crate) order: Vec<u32>,
}

impl Model {
    pub(crate) fn new(scene: &Scene<'_>, cameras: &[Camera]) -> Self {
        Self {
            poses: vec![None; scene.num_views()],
            cameras: cameras.to_vec(),
            points: Vec::new(),
            point_of: scene.px.iter().map(|p| vec![NONE; p.len()]).collect(),
            order: Vec::new(),
        }
    }

    pub(crate) fn register(&mut self, view: usize, pose: Rigid3) {
        self.poses[view] = Some(pose);
        self.order.push(view as u32);
    }

    /// Takes the pose and all observations of a view away.
    pub(crate) fn unregister(&mut self, view: usize) {
        self.poses[view] = None;
        self.order.retain(|&v| v as usize != view);
        for kp in 0..self.point_of[view].len() {
            let id = self.point_of[view][kp];
            if id != NONE {
                self.remove(
                    id,
                    Obs {
                        view: view as u32,
                        kp: kp as u32,
                    },
                );
            }
        }
    }

    pub(crate) fn is_registered(&self, view: u32) -> bool {
        self.poses[view as usize].is_some()
    }

    pub(crate) fn point_at(&self, o: Obs) -> u32 {
        self.point_of[o.view as usize][o.kp as usize]
    }

    /// Points that are there.
    pub(crate) fn alive(&self) -> impl Iterator<Item = (u32, &Point)> {
        self.points
            .iter()
            .enumerate()
            .filter(|(_, p)| !p.obs.is_empty())
            .map(|(i, p)| (i as u32, p))
    }

    pub(crate) fn num_points(&self) -> usize {
        self.alive().count()
    }

    pub(crate) fn num_observations(&self) -> usize {
        self.points.iter().map(|p| p.obs.len()).sum()
    }

    /// Points that `view` observes.
    pub(crate) fn points_in(&self, view: usize) -> usize {
        self.point_of[view].iter().filter(|&&p| p != NONE).count()
    }

    pub(crate) fn add_point(&mut self, x: Vec3, mut obs: Vec<Obs>) -> u32 {
        obs.sort_unstable();
        let id = self.points.len() as u32;
        for o in &obs {
            self.point_of[o.view as usize][o.kp as usize] = id;
        }
        self.points.push(Point { x, obs });
        id
    }

    pub(crate) fn sees(&self, id: u32, view: u32) -> bool {
        self.points[id as usize]
            .obs
            .binary_search_by_key(&view, |o| o.view)
            .is_ok()
    }

    /// Adds an observation unless the keypoint is taken or the view sees the
    /// point already.
    pub(crate) fn add(&mut self, id: u32, o: Obs) -> bool {
        if self.point_at(o) != NONE {
            return false;
        }
        let obs = &mut self.points[id as usize].obs;
        match obs.binary_search_by_key(&o.view, |p| p.view) {
            Ok(_) => false,
            Err(_) if obs.is_empty() => false,
            Err(at) => {
                obs.insert(at, o);
                self.point_of[o.view as usize][o.kp as usize] = id;
                true
            }
        }
    }

    /// Removes an observation; a point with fewer than two is deleted.
    pub(crate) fn remove(&mut self, id: u32, o: Obs) {
        let obs = &mut self.points[id as usize].obs;
        if let Ok(at) = obs.binary_search(&o) {
            obs.remove(at);
            self.point_of[o.view as usize][o.kp as usize] = NONE;
            if self.points[id as usize].obs.len() < 2 {
                self.delete(id);
            }
        }
    }

    pub(crate) fn delete(&mut self, id: u32) {
        for o in std::mem::take(&mut self.points[id as usize].obs) {
            self.point_of[o.view as usize][o.kp as usize] = NONE;
        }
    }

    /// Drops deleted points; ids change, order stays.
    pub(crate) fn compact(&mut self) {
        self.points.retain(|p| !p.obs.is_empty());
        for (id, p) in self.points.iter().enumerate() {
            for o in &p.obs {
                self.point_of[o.view as usize][o.kp as usize] = id as u32;
            }
        }
    }

    /// A sighting of a registered view.
    pub(crate) fn sighting<'m>(&'m self, scene: &Scene<'_>, o: Obs) -> Option<Sighting<'m>> {
        let pose = self.poses[o.view as usize].as_ref()?;
        let camera = &self.cameras[scene.camera_of[o.view as usize]].model;
        Some(Sighting::new(pose, camera, scene.pixel(o)))
    }

    /// Squared reprojection error, pixels; infinite where it is not seen.
    pub(crate) fn squared_error(&self, scene: &Scene<'_>, o: Obs, x: &Vec3) -> f64 {
        let Some(pose) = &self.poses[o.view as usize] else {
            return f64::INFINITY;
        };
        let camera = &self.cameras[scene.camera_of[o.view as usize]].model;
        match camera.project(&pose.apply(x)) {
            Some(p) => (p - scene.pixel(o)).norm_squared(),
            None => f64::INFINITY,
        }
    }

    /// Reprojection errors of all observations, pixels.
    pub(crate) fn errors_px(&self, scene: &Scene<'_>) -> Vec<f64> {
        let mut out = Vec::with_capacity(self.num_observations());
        for (_, p) in self.alive() {
            out.extend(
                p.obs
                    .iter()
                    .map(|&o| self.squared_error(scene, o, &p.x).sqrt()),
            );
        }
        out
    }
}
