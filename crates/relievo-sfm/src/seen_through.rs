//! Whether photos see through what a model puts before them.
//!
//! Two places that share a look-alike part (a facade, a poster, a chair) fit each other
//! there to the pixel. What tells them apart is what surrounds it: joined wrongly, the
//! things of one place stand in front of what photos of the other one see. So a photo's
//! own points are held against points of others that project beside them: one that is
//! clearly nearer, and faces the photo, is seen through. Some always are (outlines, thin
//! things, glass), so that what counts is how many more they are than among points and
//! photos of one model. (Zach, Irschara & Bischof, CVPR 2008, and Heinly, Dunn & Frahm,
//! ECCV 2014, look for points that ought to be matched and are not; depth also tells
//! where photos are too far apart to match.)

use crate::model::Model;
use crate::scene::{NONE, Scene};
use relievo_geometry::{Vec2, Vec3};
use relievo_task::ordered;

/// Points this near to each other in a photo are compared, as a part of its longer side.
const BESIDE: f64 = 0.01;

/// A point is in front, or behind, where its depth differs by more than this part.
const MARGIN: f64 = 0.1;

/// Largest angle between a photo's ray to a point and one under which the point was
/// seen: cos 45°. The back of a thing is not seen through.
const FACING: f64 = std::f64::consts::FRAC_1_SQRT_2;

/// Points that one photo is held against, at most.
const LOOKED_AT: usize = 4000;

/// Points of others beside a photo's own ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sight {
    /// Nearer than the photo's own.
    pub(crate) through: usize,
    /// As far.
    pub(crate) level: usize,
}

impl Sight {
    pub(crate) fn compared(self) -> usize {
        self.through + self.level
    }

    /// The part that is seen through.
    pub(crate) fn share(self) -> f64 {
        self.through as f64 / self.compared().max(1) as f64
    }

    fn plus(self, other: Self) -> Self {
        Self {
            through: self.through + other.through,
            level: self.level + other.level,
        }
    }
}

/// What the photos of a model that joins two groups of them see of points of the other
/// group alone, and of those of their own group alone. `side` is the group of each view.
pub(crate) fn sights(scene: &Scene<'_>, model: &Model, side: &[bool]) -> (Sight, Sight) {
    let mut only: [Vec<u32>; 2] = [Vec::new(), Vec::new()];
    for (id, p) in model.alive() {
        let in_b = p.obs.iter().filter(|o| side[o.view as usize]).count();
        if in_b == 0 || in_b == p.obs.len() {
            only[usize::from(in_b > 0)].push(id);
        }
    }
    for ids in &mut only {
        let step = ids.len().div_ceil(LOOKED_AT).max(1);
        *ids = ids.iter().copied().step_by(step).collect();
    }
    let found = ordered::map(&model.order, |&v| {
        let own = usize::from(side[v as usize]);
        let photo = Photo::new(scene, model, v as usize);
        (photo.sight(&only[1 - own]), photo.sight(&only[own]))
    });
    let none = (Sight::default(), Sight::default());
    found
        .into_iter()
        .fold(none, |sum, s| (sum.0.plus(s.0), sum.1.plus(s.1)))
}

/// A photo's own points by the cells of a grid.
struct Photo<'m> {
    scene: &'m Scene<'m>,
    model: &'m Model,
    view: usize,
    cell_px: f64,
    /// Cell, pixel and depth, in order of cells.
    own: Vec<((i64, i64), Vec2, f64)>,
}

impl<'m> Photo<'m> {
    fn new(scene: &'m Scene<'m>, model: &'m Model, view: usize) -> Self {
        let camera = &scene.cameras[scene.camera_of[view]];
        let mut photo = Self {
            scene,
            model,
            view,
            cell_px: BESIDE * f64::from(camera.width_px.max(camera.height_px)),
            own: Vec::new(),
        };
        for (kp, &id) in model.point_of[view].iter().enumerate() {
            let pose = model.poses[view].as_ref().filter(|_| id != NONE);
            if let Some(pose) = pose {
                let px = scene.px[view][kp];
                let depth = pose.apply(&model.points[id as usize].x).z;
                photo.own.push((photo.cell(&px), px, depth));
            }
        }
        photo.own.sort_by_key(|o| o.0);
        photo
    }

    fn cell(&self, px: &Vec2) -> (i64, i64) {
        let at = px / self.cell_px;
        (at.y.floor() as i64, at.x.floor() as i64)
    }

    /// Depth of the nearest own point beside `px`.
    fn depth_beside(&self, px: &Vec2) -> Option<f64> {
        let (row, column) = self.cell(px);
        let mut best: Option<(f64, f64)> = None;
        for row in row - 1..=row + 1 {
            let from = self.own.partition_point(|o| o.0 < (row, column - 1));
            for (_, at, depth) in self.own[from..]
                .iter()
                .take_while(|o| o.0 <= (row, column + 1))
            {
                let d2 = (at - px).norm_squared();
                if d2 < self.cell_px * self.cell_px && best.is_none_or(|b| d2 < b.0) {
                    best = Some((d2, *depth));
                }
            }
        }
        best.map(|b| b.1)
    }

    fn faces(&self, center: &Vec3, id: u32) -> bool {
        let p = &self.model.points[id as usize];
        let ray = (p.x - center).normalize();
        let seen = p
            .obs
            .iter()
            .filter_map(|o| self.model.poses[o.view as usize]);
        seen.into_iter()
            .any(|pose| (p.x - pose.center()).normalize().dot(&ray) > FACING)
    }

    fn sight(&self, points: &[u32]) -> Sight {
        let mut sight = Sight::default();
        let Some(pose) = &self.model.poses[self.view] else {
            return sight;
        };
        let camera = &self.model.cameras[self.scene.camera_of[self.view]].model;
        let center = pose.center();
        for &id in points {
            let in_cam = pose.apply(&self.model.points[id as usize].x);
            if self.model.sees(id, self.view as u32) {
                continue;
            }
            let Some(depth) = camera
                .project(&in_cam)
                .and_then(|px| self.depth_beside(&px))
            else {
                continue;
            };
            if in_cam.z > (1.0 + MARGIN) * depth || !self.faces(&center, id) {
                continue;
            }
            if in_cam.z < (1.0 - MARGIN) * depth {
                sight.through += 1;
            } else {
                sight.level += 1;
            }
        }
        sight
    }
}
