//! Ghosts behind mirrors, glass and polished floors.
//!
//! To the photos a mirror is a window into a room that is this room turned
//! round, and no geometry of theirs tells the two apart. What does is the
//! likeness: what lies behind the wall, mirrored at it, falls onto what lies in
//! front of it, in place, direction and colour, as no other room does.
//!
//! The large planes of the cloud are candidates. One is first fitted so that
//! the points behind it fall onto those in front (point-to-plane ICP over the
//! plane's three parameters), as a mirror hangs before its wall. Then the
//! sight lines of the points behind are cut with it. A connected piece of it
//! is a mirror where much of what is seen through it is likenesses, where grey
//! levels of the two go together, where its wall goes on around it, and where no
//! camera looks through it from behind; all that is seen through it is taken out.
//!
//! Only what faces neither along the plane nor across it says anything: a
//! floor that goes on behind a door is mirrored onto itself, and any two
//! parallel walls are each other's likeness at the plane midway between them.

use crate::error::MvsError;
use crate::planes::{Plane, extent, large_planes, vec3};
use rayon::prelude::*;
use relievo_geometry::Vec3;
use relievo_scene::{PointCloud, ViewId};
use relievo_spatial::KdTree;
use relievo_task::Task;
use std::collections::{BTreeMap, BTreeSet};

/// Points on a plane are this near, of the scene's extent.
const ON_PLANE: f64 = 0.004;
/// Nothing nearer to the plane than this is behind it, of the scene's extent.
const BEHIND: f64 = 0.012;
/// A mirror hangs this far from its wall at most, of the scene's extent, and leans so.
const HANGS: f64 = 0.02;
const LEANS_COS: f64 = 0.98;
/// Points behind a plane from which on it is worth a look.
const LEAST_BEHIND: usize = 300;
/// Points in front that likenesses are looked for among.
const LIKENESSES: usize = 1_000_000;
/// Points that a plane is fitted with, and those that it is judged by.
const FITTED: usize = 2000;
const JUDGED: usize = 20_000;
const ROUNDS: usize = 8;
/// A likeness is this near, of the scene's extent and of the way of its light.
const NEAR: (f64, f64) = (0.002, 0.004);
/// Cosine between the directions of a point and its likeness.
const ALIKE_COS: f64 = 0.8;
/// Mean difference of their colours.
const ALIKE_COLOR: u32 = 40;
/// Cosines to the plane's normal between which a direction says something.
const TELLING_COS: (f64, f64) = (0.25, 0.95);
/// Cells of a plane along the scene's extent.
const CELLS: f64 = 96.0;
/// Cosine between the normals of a wall and of its points.
const ON_WALL_COS: f64 = 0.9;
/// Points through a cell that is looked at.
const LEAST_IN_CELL: usize = 3;
/// Telling points through a mirror, and the share of them that are likenesses: a mirror shows
/// the far sides of things, and of these only what cameras see from there, too, has a likeness.
/// Chance makes a few percent.
const LEAST_TELLING: usize = 100;
const LEAST_SHARE: f64 = 0.25;
/// Correlation of grey levels between what is seen through a mirror and what stands where it is mirrored to.
const LEAST_CORRELATION: f64 = 0.5;
/// Share of the cells around a mirror that hold points of its wall.
const LEAST_FRAME: f64 = 0.5;
/// Points through a piece that are seen from behind it.
const MOST_FROM_BEHIND: usize = 10;

/// Which points are no ghosts; `None` where all are none.
pub(crate) fn no_ghosts(
    cloud: &PointCloud,
    centers: &BTreeMap<ViewId, Vec3>,
    task: &Task,
) -> Result<Option<Vec<bool>>, MvsError> {
    let extent = extent(cloud);
    let mut keep = vec![true; cloud.len()];
    let mut likenesses = None;
    let mut mirrors: Vec<Plane> = Vec::new();
    for wall in large_planes(cloud, ON_PLANE * extent) {
        task.check()?;
        let behind = behind(cloud, centers, &wall, (HANGS + BEHIND) * extent);
        if behind.len() < LEAST_BEHIND {
            continue;
        }
        let (step, tree) = likenesses.get_or_insert_with(|| {
            let step = cloud.len().div_ceil(LIKENESSES).max(1);
            let some: Vec<[f32; 3]> = cloud.positions.iter().step_by(step).copied().collect();
            (step, KdTree::new(&some))
        });
        let scene = Scene {
            cloud,
            centers,
            step: *step,
            tree,
            extent,
        };
        let Some(mirror) = scene.fitted(&wall, &behind) else {
            continue;
        };
        // A wall that is not quite even is several planes, which end at one mirror.
        if mirrors.iter().any(|m| is_same(m, &mirror, extent)) {
            continue;
        }
        let ghosts = scene.ghosts((&wall, &mirror), &behind);
        if !ghosts.is_empty() {
            mirrors.push(mirror);
        }
        for ghost in ghosts {
            keep[ghost] = false;
        }
    }
    Ok(keep.contains(&false).then_some(keep))
}

/// Whether two planes are one at where they are and over the scene.
fn is_same(a: &Plane, b: &Plane, extent: f64) -> bool {
    let off = (b.normal - a.normal).norm() + a.distance(&b.at).abs() / extent;
    off < 0.5 * NEAR.0
}

/// A point behind a plane and the camera that sees it through the plane.
#[derive(Clone, Copy)]
struct Behind {
    point: usize,
    center: Vec3,
}

fn behind(
    cloud: &PointCloud,
    centers: &BTreeMap<ViewId, Vec3>,
    plane: &Plane,
    margin: f64,
) -> Vec<Behind> {
    let seen_through = |i: usize| {
        let mut seeing = cloud.views(i).iter().filter_map(|v| centers.get(v));
        let center = *seeing.next()?;
        let in_front = |c: &Vec3| plane.distance(c) > 0.0;
        (in_front(&center) && seeing.all(in_front)).then_some(Behind { point: i, center })
    };
    (0..cloud.len())
        .into_par_iter()
        .filter(|&i| plane.distance(&vec3(cloud.positions[i])) < -margin)
        .filter_map(seen_through)
        .collect()
}

/// A cell of a plane.
type Cell = (i64, i64);

struct Scene<'a> {
    cloud: &'a PointCloud,
    centers: &'a BTreeMap<ViewId, Vec3>,
    /// The tree is over every so manyth point.
    step: usize,
    tree: &'a KdTree,
    extent: f64,
}

impl Scene<'_> {
    /// What stands where each of `points` is mirrored to, within `reach`, and faces as it does.
    fn likenesses(
        &self,
        plane: &Plane,
        points: &[Behind],
        reach: impl Fn(&Behind) -> f64 + Sync,
    ) -> Vec<Option<usize>> {
        let places: Vec<[f32; 3]> = points
            .par_iter()
            .map(|b| {
                let there = plane.mirrored(&vec3(self.cloud.positions[b.point]));
                [there.x as f32, there.y as f32, there.z as f32]
            })
            .collect();
        let nearest = self.tree.nearest_batch(&places);
        points
            .par_iter()
            .zip(nearest)
            .map(|(b, found)| {
                let found = found?;
                let other = found.index as usize * self.step;
                let turned = plane.turned(&vec3(self.cloud.normals[b.point]));
                let alike = turned.dot(&vec3(self.cloud.normals[other])) > ALIKE_COS
                    && f64::from(found.distance_squared.sqrt()) < reach(b)
                    && plane.distance(&vec3(self.cloud.positions[other])) > 0.0;
                alike.then_some(other)
            })
            .collect()
    }

    /// Of the points behind those whose direction is neither kept nor turned round, at most
    /// `most`.
    fn telling(&self, plane: &Plane, behind: &[Behind], most: usize) -> Vec<Behind> {
        let says = |b: &&Behind| {
            let along = plane.normal.dot(&vec3(self.cloud.normals[b.point])).abs();
            TELLING_COS.0 < along && along < TELLING_COS.1
        };
        let all: Vec<Behind> = behind.iter().filter(says).copied().collect();
        let step = all.len().div_ceil(most).max(1);
        all.into_iter().step_by(step).collect()
    }

    /// The plane moved and tilted so that telling points fall onto what is in front, no farther
    /// than a mirror hangs.
    fn fitted(&self, wall: &Plane, behind: &[Behind]) -> Option<Plane> {
        let some = self.telling(wall, behind, FITTED);
        let mut plane = *wall;
        for round in 0..ROUNDS {
            let closer = 0.65_f64.powi(round as i32);
            let reach = self.extent * (2.0 * HANGS * closer).max(2.0 * NEAR.0);
            let found = self.likenesses(&plane, &some, |_| reach);
            let pairs = some.iter().zip(&found).filter_map(|(b, f)| {
                let other = (*f)?;
                Some((
                    vec3(self.cloud.positions[b.point]),
                    vec3(self.cloud.positions[other]),
                    vec3(self.cloud.normals[other]),
                ))
            });
            plane = improved(&plane, pairs)?;
        }
        let hangs = wall.normal.dot(&plane.normal) > LEANS_COS
            && wall.distance(&plane.at).abs() < HANGS * self.extent;
        hangs.then_some(plane)
    }

    /// Where a sight line to what is behind the plane crosses it.
    fn crossing(&self, mirror: &Plane, center: &Vec3, x: &Vec3) -> Option<Cell> {
        let (near, far) = (mirror.distance(center), mirror.distance(x));
        (near > 0.0 && far < 0.0)
            .then(|| self.cell(mirror, &(center + (x - center) * (near / (near - far)))))
    }

    fn cell(&self, mirror: &Plane, x: &Vec3) -> Cell {
        let (u, v) = across(&mirror.normal);
        let along = |axis: &Vec3| axis.dot(&(x - mirror.at)) * CELLS / self.extent;
        (along(&u).floor() as i64, along(&v).floor() as i64)
    }

    /// The points that are seen through pieces of the plane that show likenesses.
    fn ghosts(&self, (wall, mirror): (&Plane, &Plane), behind: &[Behind]) -> Vec<usize> {
        let position = |i: usize| vec3(self.cloud.positions[i]);
        let cell_of = |b: &Behind| self.crossing(mirror, &b.center, &position(b.point));
        let mut cells: BTreeMap<Cell, Vec<usize>> = BTreeMap::new();
        let cell_of_each: Vec<Option<Cell>> = behind.par_iter().map(cell_of).collect();
        for (b, cell) in behind.iter().zip(&cell_of_each) {
            if let Some(cell) = cell {
                cells.entry(*cell).or_default().push(b.point);
            }
        }
        cells.retain(|_, through| through.len() >= LEAST_IN_CELL);
        let tell = |judged: &[Behind]| {
            let found = self.likenesses(mirror, judged, |b| {
                NEAR.0 * self.extent + NEAR.1 * (position(b.point) - b.center).norm()
            });
            let mut told: BTreeMap<Cell, Told> = BTreeMap::new();
            for (b, likeness) in judged.iter().zip(found) {
                if let Some(cell) = cell_of(b) {
                    told.entry(cell)
                        .or_default()
                        .add(self.colors(b.point, likeness));
                }
            }
            told
        };
        let telling = tell(&self.telling(mirror, behind, JUDGED));
        // All directions; asked where the telling ones say yes.
        let any = std::cell::LazyCell::new(|| {
            let some = behind.iter().step_by(behind.len().div_ceil(JUDGED));
            tell(&some.copied().collect::<Vec<_>>())
        });
        let mut ghosts = Vec::new();
        for piece in pieces(cells.keys().copied().collect()) {
            let of_piece = |told: &BTreeMap<Cell, Told>| {
                let cells = piece.iter().filter_map(|c| told.get(c));
                cells.fold(Told::default(), Told::with)
            };
            let telling = of_piece(&telling);
            if telling.all < LEAST_TELLING || telling.share() < LEAST_SHARE {
                continue;
            }
            let any = of_piece(&any);
            if any.share() >= LEAST_SHARE
                && any.correlation() >= LEAST_CORRELATION
                && self.has_frame(wall, mirror, &piece)
                && !self.is_seen_through(mirror, &piece)
            {
                ghosts.extend(piece.iter().flat_map(|cell| &cells[cell]).copied());
            }
        }
        ghosts
    }

    /// Whether the wall goes on around a piece of it: in most cells beside it there are points
    /// of the wall, that face as it does.
    fn has_frame(&self, wall: &Plane, mirror: &Plane, piece: &[Cell]) -> bool {
        let inside: BTreeSet<Cell> = piece.iter().copied().collect();
        let mut border: BTreeSet<Cell> = piece.iter().flat_map(|c| beside(*c, 1)).collect();
        border.retain(|c| !inside.contains(c));
        let on_wall = |i: &usize| {
            wall.distance(&vec3(self.cloud.positions[*i])).abs() < 2.0 * ON_PLANE * self.extent
                && wall.normal.dot(&vec3(self.cloud.normals[*i])) > ON_WALL_COS
        };
        let framing: BTreeSet<Cell> = (0..self.cloud.len())
            .into_par_iter()
            .filter(on_wall)
            .map(|i| self.cell(mirror, &vec3(self.cloud.positions[i])))
            .collect();
        // A frame may stand a little apart.
        let framed = border
            .iter()
            .filter(|c| beside(**c, 2).any(|b| framing.contains(&b) && !inside.contains(&b)));
        framed.count() as f64 >= LEAST_FRAME * border.len() as f64
    }

    /// Whether cameras behind the plane look through the piece at what is in front.
    fn is_seen_through(&self, mirror: &Plane, piece: &[Cell]) -> bool {
        let from_behind: BTreeMap<ViewId, Vec3> = self
            .centers
            .iter()
            .filter(|(_, c)| mirror.distance(c) < 0.0)
            .map(|(v, c)| (*v, *c))
            .collect();
        if from_behind.is_empty() {
            return false;
        }
        let inside: BTreeSet<Cell> = piece.iter().copied().collect();
        let back = Plane {
            normal: -mirror.normal,
            ..*mirror
        };
        let crosses = |i: usize| {
            let x = vec3(self.cloud.positions[i]);
            let seeing = self
                .cloud
                .views(i)
                .iter()
                .filter_map(|v| from_behind.get(v));
            mirror.distance(&x) > BEHIND * self.extent
                && seeing.into_iter().any(|c| {
                    let (near, far) = (back.distance(c), back.distance(&x));
                    let cut = c + (x - c) * (near / (near - far));
                    inside.contains(&self.cell(mirror, &cut))
                })
        };
        let all = (0..self.cloud.len()).into_par_iter();
        all.filter(|&i| crosses(i)).count() > MOST_FROM_BEHIND
    }

    /// The colours of a point and of its likeness.
    fn colors(&self, point: usize, likeness: Option<usize>) -> Option<[[u8; 3]; 2]> {
        likeness.map(|other| [self.cloud.colors[point], self.cloud.colors[other]])
    }
}

/// What points through a piece say.
#[derive(Clone, Copy, Default)]
struct Told {
    all: usize,
    /// With a likeness of their colour.
    alike: usize,
    /// Of grey levels a and b of points and their likenesses: number, sums of a, b, a², b² and ab.
    sums: [u64; 6],
}

impl Told {
    fn add(&mut self, colors: Option<[[u8; 3]; 2]>) {
        self.all += 1;
        let Some([a, b]) = colors else {
            return;
        };
        let off: u32 = (0..3).map(|k| u32::from(a[k].abs_diff(b[k]))).sum();
        self.alike += usize::from(off <= 3 * ALIKE_COLOR);
        let [a, b] = [a, b].map(|c| c.iter().map(|v| u64::from(*v)).sum::<u64>());
        for (sum, v) in self.sums.iter_mut().zip([1, a, b, a * a, b * b, a * b]) {
            *sum += v;
        }
    }

    fn with(mut self, other: &Self) -> Self {
        self.all += other.all;
        self.alike += other.alike;
        for (sum, v) in self.sums.iter_mut().zip(other.sums) {
            *sum += v;
        }
        self
    }

    /// Of the points, those with a likeness of their colour.
    fn share(&self) -> f64 {
        self.alike as f64 / f64::from(self.all.max(1) as u32)
    }

    /// Pearson's, between grey levels of points and of what stands in their place; 0 where one side is of one grey.
    fn correlation(&self) -> f64 {
        let [n, a, b, aa, bb, ab] = self.sums.map(|v| v as f64);
        let (va, vb) = (n * aa - a * a, n * bb - b * b);
        if va > 0.0 && vb > 0.0 {
            (n * ab - a * b) / (va * vb).sqrt()
        } else {
            0.0
        }
    }
}

/// The cells up to `reach` away, and the cell itself.
fn beside((x, y): Cell, reach: i64) -> impl Iterator<Item = Cell> {
    (-reach..=reach).flat_map(move |dx| (-reach..=reach).map(move |dy| (x + dx, y + dy)))
}

/// Two unit directions in a plane.
fn across(normal: &Vec3) -> (Vec3, Vec3) {
    let other = if normal.x.abs() < 0.6 {
        Vec3::x()
    } else {
        Vec3::y()
    };
    let u = normal.cross(&other).normalize();
    (u, normal.cross(&u))
}

/// One step of Gauss-Newton on the plane: mirrored points towards the tangent planes of their
/// likenesses, `(point, likeness, normal of the likeness)`.
fn improved(plane: &Plane, pairs: impl Iterator<Item = (Vec3, Vec3, Vec3)>) -> Option<Plane> {
    let (u, v) = across(&plane.normal);
    let m = plane.normal;
    let mut left = nalgebra::Matrix3::zeros();
    let mut right = Vec3::zeros();
    let mut count = 0;
    for (x, other, n) in pairs {
        let s = plane.distance(&x);
        let from = x - plane.at;
        // The mirrored point as the normal turns by a u + b v, and as the plane moves by d.
        let turn = |t: &Vec3| -2.0 * (m * t.dot(&from) + t * s);
        let row = Vec3::new(n.dot(&turn(&u)), n.dot(&turn(&v)), 2.0 * n.dot(&m));
        left += row * row.transpose();
        right += row * n.dot(&(other - plane.mirrored(&x)));
        count += 1;
    }
    if count < LEAST_TELLING {
        return None;
    }
    // A little damping: all likenesses may lie on one plane.
    let step = (left + nalgebra::Matrix3::identity() * (1e-9 * left.trace())).cholesky()?;
    let step = step.solve(&right);
    Some(Plane {
        at: plane.at + m * step.z,
        normal: (m + u * step.x + v * step.y).normalize(),
    })
}

/// Cells that touch at a side or corner.
fn pieces(mut cells: BTreeSet<Cell>) -> Vec<Vec<Cell>> {
    let mut found = Vec::new();
    while let Some(first) = cells.pop_first() {
        let (mut piece, mut next) = (vec![first], 0);
        while next < piece.len() {
            let cell = piece[next];
            next += 1;
            piece.extend(beside(cell, 1).filter(|b| cells.remove(b)));
        }
        found.push(piece);
    }
    found
}

#[cfg(test)]
mod tests;
