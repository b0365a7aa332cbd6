//! One cloud from all depth maps.
//!
//! A pixel's surface point is carried into each neighbour along with the test
//! of ACMM's fusion (Xu & Tao, CVPR 2019, section 4.3): forward-backward
//! reprojection error, relative depth, angle of the normals. A neighbour's own
//! plane is evaluated where the point falls, not at its pixel's centre, so that
//! averaging moves points along rays only.

use crate::error::MvsError;
use crate::fused::{CloudInParts, Fused, MAX_NEIGHBOURS, retain};
use crate::mirrors::no_ghosts;
use crate::outliers::near_others;
use crate::point_store::PointStore;
use crate::spacing::spaced;
use crate::strays::no_strays;
use crate::view_cache::ViewCache;
use rayon::prelude::*;
use relievo_geometry::{Mat3, Rigid3, Vec3};
use relievo_image::color::{linear_to_srgb, srgb_to_linear};
use relievo_image::{Raster, Rgb8};
use relievo_scene::{DepthMap, PointCloud, ViewId};
use relievo_task::Task;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

relievo_task::options! {
    /// Options of the fusion.
    pub struct FusionOptions {
        /// Other views that must agree with a pixel.
        min_agreeing_views: usize = 2, "views", "judgement";
        /// One agreeing view will do for a point that at most this many others could see.
        few_views: usize = 0, "views", "3 in rooms, whose walls few photos see; around objects it lets in the background";
        /// Most forward-backward reprojection error of an agreeing pixel.
        max_reprojection_px: f32 = 1.5, "px", "ACMM: 2 px";
        /// Most relative difference of depth.
        max_relative_depth: f32 = 0.01, "", "ACMM: 0.01";
        /// Most angle between normals.
        max_normal_angle_deg: f32 = 30.0, "deg", "judgement";
        /// Pixels of lower confidence take no part.
        min_confidence: u8 = 8, "of 255", "judgement; 5 for objects (rendered one, F at 2 mm: .958 with 8, .967 with 5), 1 in rooms";
        /// Neighbours asked per view.
        max_neighbours: usize = 10, "views", "judgement";
        /// A point that at least this many more views see through than agree is dropped.
        max_seen_through: usize = 1, "views", "judgement";
        /// A point whose fourth neighbour is farther than this many pixel footprints is an outlier.
        outlier_footprints: f32 = 5.0, "pixel footprints", "judgement; 0 keeps all";
        /// Points within cells of this side (rounded down to a power of two) are averaged to one.
        spacing_footprints: f32 = 0.5, "pixel footprints", "judgement; 0 keeps all";
        /// A point from which three surer ones around lie farther than this to one side is a stray.
        stray_footprints: f32 = 0.4, "pixel footprints", "docs/decisions.md; 0, as in rooms, keeps all";
        /// What is seen in mirrors, glass and polished floors is taken out, where it is the room
        /// turned round.
        clear_mirrors: bool = true, "", "docs/decisions.md";
    }
}

/// What fusion reads of one view.
#[derive(Clone, Debug)]
pub struct FusionView {
    /// The last pass's map.
    pub map: DepthMap,
    /// Pose.
    pub cam_from_world: Rigid3,
    /// The undistorted picture of the map's size, sRGB.
    pub color: Raster<Rgb8>,
}

/// Gives views on demand, so that only a bounded number is in memory.
pub trait FusionViews: Sync {
    /// Loads view `id`.
    fn load(&self, id: ViewId) -> Result<FusionView, Box<dyn std::error::Error + Send + Sync>>;
}

/// Fuses the maps of all keys of `neighbours` (from
/// [`DepthPlan::sources`](crate::DepthPlan), or any lists).
///
/// A pixel becomes a point when enough neighbours' maps agree with it, tested
/// on the maps alone; then the lowest view id claims the agreeing pixels, so
/// that a surface gives its points once.
///
/// How many views are held at a time follows `task.memory_bytes()`, and so does whether the
/// points are: where they are too many they go to a file without a name in `scratch` and are
/// filtered and spaced a part at a time. Neither changes the result.
pub fn fuse(
    views: &dyn FusionViews,
    neighbours: &BTreeMap<ViewId, Vec<ViewId>>,
    options: &FusionOptions,
    scratch: &Path,
    task: &Task,
) -> Result<PointCloud, MvsError> {
    // A quarter for views, then for work on the points; the finished cloud stands beside that.
    let quarter = task.memory_bytes() / 4;
    let mut cache = ViewCache::new(views, quarter);
    let mut claimed: BTreeMap<ViewId, Claims> = BTreeMap::new();
    let mut centers: BTreeMap<ViewId, Vec3> = BTreeMap::new();
    let mut points = PointStore::new(scratch, (quarter / POINT_BYTES) as usize);
    let progress = task.progress("fuse", neighbours.len() as u64);
    let asked: BTreeMap<ViewId, Vec<ViewId>> = neighbours
        .iter()
        .map(|(&id, others)| {
            let others = others
                .iter()
                .copied()
                .filter(|o| *o != id && neighbours.contains_key(o))
                .take(options.max_neighbours.min(MAX_NEIGHBOURS))
                .collect();
            (id, others)
        })
        .collect();
    for (&id, others) in &asked {
        task.check()?;
        let mut wanted = vec![id];
        wanted.extend(others);
        let loaded = cache.load(&wanted)?;
        // A view of lower id has had its turn: its claims are of no more use.
        for (view, l) in wanted.iter().zip(&loaded).filter(|(v, _)| **v >= id) {
            claimed
                .entry(*view)
                .or_insert_with(|| Claims::new(&l.map.depth));
        }
        let posed: Vec<Posed> = wanted
            .iter()
            .zip(&loaded)
            .map(|(id, view)| Posed::new(*id, view))
            .collect::<Result<_, _>>()?;
        centers.insert(id, loaded[0].cam_from_world.center());
        points.add(&fuse_view(&posed, &claimed, options))?;
        claimed.remove(&id);
        progress.add(1);
    }
    drop(cache);
    let kept = near_others(&points, options.outlier_footprints, task)?;
    let mut cloud = CloudInParts::new(&asked, 2 * quarter, points.len());
    spaced(&points, &kept, options.spacing_footprints, task, &mut cloud)?;
    drop(points);
    cloud.put_in_order();
    let off = options.stray_footprints;
    if let Some(keep) = no_strays(cloud.cloud(), cloud.footprints(), off, task)? {
        cloud.retain(&keep);
    }
    let mut cloud = cloud.finish();
    task.check()?;
    if options.clear_mirrors
        && let Some(keep) = no_ghosts(&cloud, &centers, task)?
    {
        retain(&mut cloud, &keep);
    }
    Ok(cloud)
}

/// What a point takes at most while it is filtered and spaced: itself twice, its place, its key, and
/// the kd-tree over it.
const POINT_BYTES: u64 = 160;

/// One bit a pixel: a view of lower id has made a point of it.
struct Claims {
    width: usize,
    bits: Vec<AtomicU64>,
}

impl Claims {
    fn new(depth: &Raster<f32>) -> Self {
        Self {
            width: depth.width(),
            bits: (0..depth.as_slice().len().div_ceil(64))
                .map(|_| AtomicU64::new(0))
                .collect(),
        }
    }

    // Relaxed suffices: a view's bits are read only after the loops of all
    // lower views have ended.
    fn set(&self, x: usize, y: usize) {
        let k = y * self.width + x;
        self.bits[k / 64].fetch_or(1 << (k % 64), Ordering::Relaxed);
    }

    fn get(&self, x: usize, y: usize) -> bool {
        let k = y * self.width + x;
        self.bits[k / 64].load(Ordering::Relaxed) >> (k % 64) & 1 == 1
    }
}

/// A view ready to be asked.
struct Posed {
    id: ViewId,
    view: Arc<FusionView>,
    rotation: Mat3,
    translation: Vec3,
    fx: f64,
    fy: f64,
    cx: f64,
    cy: f64,
}

impl Posed {
    fn new(id: ViewId, view: &Arc<FusionView>) -> Result<Self, MvsError> {
        let map = &view.map;
        let camera = (map.camera.width_px as usize, map.camera.height_px as usize);
        for picture in [
            (map.depth.width(), map.depth.height()),
            (map.normal.width(), map.normal.height()),
            (map.confidence.width(), map.confidence.height()),
            (view.color.width(), view.color.height()),
        ] {
            if picture != camera {
                return Err(MvsError::SizeMismatch {
                    view: id,
                    camera,
                    picture,
                });
            }
        }
        if !map.camera.model.is_pinhole() {
            return Err(MvsError::Distorted { view: id });
        }
        let (fx, fy) = map.camera.model.focal_px();
        let c = map.camera.model.principal_point_px();
        Ok(Self {
            id,
            view: Arc::clone(view),
            rotation: view.cam_from_world.matrix(),
            translation: view.cam_from_world.translation,
            fx,
            fy,
            cx: c.x,
            cy: c.y,
        })
    }

    fn ray(&self, u: f64, v: f64) -> Vec3 {
        Vec3::new((u - self.cx) / self.fx, (v - self.cy) / self.fy, 1.0)
    }

    fn to_world(&self, in_camera: &Vec3) -> Vec3 {
        self.rotation.tr_mul(&(in_camera - self.translation))
    }

    fn to_camera(&self, in_world: &Vec3) -> Vec3 {
        self.rotation * in_world + self.translation
    }

    fn project(&self, p: &Vec3) -> Option<(f64, f64)> {
        (p.z > 0.0).then(|| (self.fx * p.x / p.z + self.cx, self.fy * p.y / p.z + self.cy))
    }

    /// The pixel that holds (u, v).
    fn pixel(&self, (u, v): (f64, f64)) -> Option<(usize, usize)> {
        let depth = &self.view.map.depth;
        let inside = u >= 0.0 && v >= 0.0 && u < depth.width() as f64 && v < depth.height() as f64;
        inside.then_some((u as usize, v as usize))
    }

    fn normal_in_world(&self, x: usize, y: usize) -> Vec3 {
        let n = self.view.map.normal[(x, y)].unpack().map(f64::from);
        self.rotation.tr_mul(&Vec3::new(n[0], n[1], n[2]))
    }

    /// Depth of the plane of pixel (x, y) on the ray of (u, v).
    fn depth_on_ray(&self, x: usize, y: usize, u: f64, v: f64) -> f64 {
        let z = f64::from(self.view.map.depth[(x, y)]);
        let n = self.view.map.normal[(x, y)].unpack().map(f64::from);
        let n = Vec3::new(n[0], n[1], n[2]);
        let here = n.dot(&self.ray(x as f64 + 0.5, y as f64 + 0.5));
        let there = n.dot(&self.ray(u, v));
        let moved = z * here / there;
        // Seen edge-on, the plane says nothing half a pixel away.
        if here < -0.1 && there < -0.1 && (moved / z - 1.0).abs() < 0.02 {
            moved
        } else {
            z
        }
    }
}

/// Rows handed to a thread at a time.
const BAND: usize = 8;

/// The points that `posed[0]` makes together with the others.
fn fuse_view(
    posed: &[Posed],
    claimed: &BTreeMap<ViewId, Claims>,
    options: &FusionOptions,
) -> Vec<Fused> {
    let own = &posed[0];
    let height = own.view.map.depth.height();
    let cos_limit = f64::from(options.max_normal_angle_deg).to_radians().cos();
    let claims: Vec<Option<&Claims>> = posed.iter().map(|p| claimed.get(&p.id)).collect();
    let bands: Vec<Vec<Fused>> = (0..height.div_ceil(BAND))
        .into_par_iter()
        .map(|band| {
            let mut found = Vec::new();
            let mut agreeing = Vec::new();
            for y in band * BAND..((band + 1) * BAND).min(height) {
                for x in 0..own.view.map.depth.width() {
                    if claims[0].is_some_and(|c| c.get(x, y)) {
                        continue;
                    }
                    if let Some(point) =
                        fuse_pixel(posed, (x, y), cos_limit, options, &mut agreeing)
                    {
                        found.push(point);
                        for a in &agreeing {
                            if let Some(c) = claims[a.posed_idx] {
                                c.set(a.x, a.y);
                            }
                        }
                    }
                }
            }
            found
        })
        .collect();
    bands.into_iter().flatten().collect()
}

/// A neighbour's pixel that agrees.
struct Agreement {
    posed_idx: usize,
    x: usize,
    y: usize,
    position: Vec3,
    normal: Vec3,
    weight: f64,
}

fn fuse_pixel(
    posed: &[Posed],
    (x, y): (usize, usize),
    cos_limit: f64,
    options: &FusionOptions,
    agreeing: &mut Vec<Agreement>,
) -> Option<Fused> {
    let own = &posed[0];
    let z = f64::from(own.view.map.depth[(x, y)]);
    let confidence = own.view.map.confidence[(x, y)];
    if !(z > 0.0) || confidence < options.min_confidence {
        return None;
    }
    let (u, v) = (x as f64 + 0.5, y as f64 + 0.5);
    let position = own.to_world(&(own.ray(u, v) * z));
    let normal = own.normal_in_world(x, y);
    let relative_limit = f64::from(options.max_relative_depth);
    let pixel_limit = f64::from(options.max_reprojection_px);
    agreeing.clear();
    let mut seen_through = 0;
    // Neighbours in whose picture the point lies, nothing before it.
    let mut could_see = 0;
    // All agreement is good to half of the tolerance.
    let mut close = true;
    for (posed_idx, other) in posed.iter().enumerate().skip(1) {
        let there = other.to_camera(&position);
        let Some((ou, ov)) = other.project(&there) else {
            continue;
        };
        let Some((ox, oy)) = other.pixel((ou, ov)) else {
            continue;
        };
        if !(other.view.map.depth[(ox, oy)] > 0.0)
            || other.view.map.confidence[(ox, oy)] < options.min_confidence
        {
            could_see += 1;
            continue;
        }
        let oz = other.depth_on_ray(ox, oy, ou, ov);
        let back = other.to_world(&(other.ray(ou, ov) * oz));
        let in_own = own.to_camera(&back);
        let off_px = own.project(&in_own).map_or(f64::MAX, |(bu, bv)| {
            ((bu - u).powi(2) + (bv - v).powi(2)).sqrt()
        });
        let near = off_px < pixel_limit;
        let relative = (oz / there.z - 1.0).abs();
        let other_normal = other.normal_in_world(ox, oy);
        if near && relative < relative_limit && other_normal.dot(&normal) > cos_limit {
            could_see += 1;
            close &= off_px < 0.5 * pixel_limit && relative < 0.5 * relative_limit;
            agreeing.push(Agreement {
                posed_idx,
                x: ox,
                y: oy,
                position: back,
                normal: other_normal,
                weight: f64::from(other.view.map.confidence[(ox, oy)]),
            });
        } else if oz > there.z * (1.0 + 3.0 * relative_limit) {
            seen_through += 1;
            could_see += 1;
        } else if oz > there.z * (1.0 - 3.0 * relative_limit) {
            could_see += 1;
        }
    }
    let needed = if could_see <= options.few_views && close && seen_through == 0 {
        1
    } else {
        options.min_agreeing_views.min((posed.len() - 1).max(1))
    };
    if agreeing.len() < needed || seen_through > agreeing.len() + options.max_seen_through {
        return None;
    }
    Some(average(
        posed,
        (x, y),
        z,
        position,
        normal,
        confidence,
        agreeing,
    ))
}

fn average(
    posed: &[Posed],
    (x, y): (usize, usize),
    z: f64,
    position: Vec3,
    normal: Vec3,
    confidence: u8,
    agreeing: &[Agreement],
) -> Fused {
    let own = &posed[0];
    let mut weight = f64::from(confidence);
    let mut mean = position * weight;
    let mut mean_normal = normal * weight;
    let linear = |c: Rgb8| c.map(srgb_to_linear);
    let mut color = linear(own.view.color[(x, y)]);
    let mut bits = 0;
    for a in agreeing {
        mean += a.position * a.weight;
        mean_normal += a.normal * a.weight;
        weight += a.weight;
        let c = linear(posed[a.posed_idx].view.color[(a.x, a.y)]);
        for k in 0..3 {
            color[k] += c[k];
        }
        bits |= 1 << (a.posed_idx - 1);
    }
    mean /= weight.max(1e-12);
    let n = mean_normal.try_normalize(1e-12).unwrap_or(normal);
    let count = (agreeing.len() + 1) as f32;
    let sure = weight / f64::from(count) * (f64::from(count) / 5.0).min(1.0);
    Fused {
        position: [mean.x as f32, mean.y as f32, mean.z as f32],
        footprint: (z / own.fx.max(own.fy)) as f32,
        normal: [n.x as f32, n.y as f32, n.z as f32],
        color: color.map(|c| linear_to_srgb(c / count)),
        confidence: (sure.round() as u8).max(1),
        view: own.id.0,
        agreeing: bits,
    }
}
