//! The mapper's full state, and its bytes.
//!
//! Little-endian, in the order of the fields; `f64` by its bits. A header of
//! magic, version and a digest of input and options guards against a state of
//! something else.

use crate::model::{Model, Point};
use crate::scene::{NONE, Obs, Scene};
use nalgebra::{Quaternion, UnitQuaternion};
use relievo_geometry::{CameraModel, CameraModelKind, Rigid3, Vec3};
use std::collections::BTreeSet;

const MAGIC: &[u8; 8] = b"RLVSFM\x04\0";

/// A model and how it came about.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Built {
    pub(crate) model: Model,
    pub(crate) initial: (u32, u32),
    pub(crate) global_adjustments: u64,
    pub(crate) local_adjustments: u64,
    pub(crate) iterations: u64,
    pub(crate) rings_closed: u64,
    /// Models that were joined to it.
    pub(crate) joined: u64,
    /// Camera and σ.
    pub(crate) principal_points: Vec<(u32, f64)>,
}

/// A model that grows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Growing {
    pub(crate) built: Built,
    /// Per view: failed trials and model points it saw at the last one.
    pub(crate) failures: Vec<(u32, u32)>,
    pub(crate) adjusted_views: u32,
    pub(crate) adjusted_points: u32,
    pub(crate) relaxed: bool,
}

/// Everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct State {
    pub(crate) done: Vec<Built>,
    pub(crate) tried: BTreeSet<(u32, u32)>,
    /// Grown, not finished, from other starts than `growing`.
    pub(crate) attempts: Vec<Built>,
    pub(crate) growing: Option<Growing>,
    /// Per view: inliers and matches of its last failed registration.
    pub(crate) rejected: Vec<(u32, u32)>,
    /// Models that the global mapper has begun.
    pub(crate) global_starts: u32,
    /// What the incremental mapper came to, once the global one is tried, too.
    pub(crate) first: Option<Outcome>,
}

/// What a mapper came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) done: Vec<Built>,
    pub(crate) rejected: Vec<(u32, u32)>,
}

/// The bytes of `state`.
pub(crate) fn encode(state: &State, digest: u64) -> Vec<u8> {
    let mut w = Writer(Vec::new());
    w.0.extend_from_slice(MAGIC);
    w.u64(digest);
    w.list(&state.done, Writer::built);
    w.u64(state.tried.len() as u64);
    for &pair in &state.tried {
        w.pair(pair);
    }
    w.list(&state.attempts, Writer::built);
    w.list(state.growing.as_slice(), |w, g| {
        w.built(&g.built);
        w.list(&g.failures, |w, p| w.pair(*p));
        w.pair((g.adjusted_views, g.adjusted_points));
        w.u32(u32::from(g.relaxed));
    });
    w.list(&state.rejected, |w, p| w.pair(*p));
    w.u32(state.global_starts);
    w.list(state.first.as_slice(), |w, first| {
        w.list(&first.done, Writer::built);
        w.list(&first.rejected, |w, p| w.pair(*p));
    });
    w.0
}

/// `None` for other or damaged bytes.
pub(crate) fn decode(bytes: &[u8], digest: u64, scene: &Scene<'_>) -> Option<State> {
    let mut r = Reader(bytes.strip_prefix(MAGIC)?);
    if r.u64()? != digest {
        return None;
    }
    let built = |r: &mut Reader<'_>| r.built(scene);
    let done = r.list(built)?;
    let tried = r.list(Reader::pair)?.into_iter().collect();
    let attempts = r.list(built)?;
    let mut growing = r.list(|r| {
        let built = r.built(scene)?;
        let failures = r.list(Reader::pair)?;
        let (adjusted_views, adjusted_points) = r.pair()?;
        let relaxed = r.u32()? != 0;
        (failures.len() == scene.num_views()).then_some(Growing {
            built,
            failures,
            adjusted_views,
            adjusted_points,
            relaxed,
        })
    })?;
    let views = scene.num_views();
    let rejected = r.list(Reader::pair)?;
    let global_starts = r.u32()?;
    let mut first = r.list(|r| {
        let done = r.list(built)?;
        let rejected = r.list(Reader::pair)?;
        (rejected.len() == views).then_some(Outcome { done, rejected })
    })?;
    let whole = r.0.is_empty() && growing.len() <= 1 && first.len() <= 1;
    (whole && rejected.len() == views).then(|| State {
        done,
        tried,
        attempts,
        growing: growing.pop(),
        rejected,
        global_starts,
        first: first.pop(),
    })
}

struct Writer(Vec<u8>);

impl Writer {
    fn u32(&mut self, v: u32) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }
    fn u64(&mut self, v: u64) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }
    fn f64(&mut self, v: f64) {
        self.u64(v.to_bits());
    }
    fn pair(&mut self, v: (u32, u32)) {
        self.u32(v.0);
        self.u32(v.1);
    }
    fn vec3(&mut self, v: &Vec3) {
        v.iter().for_each(|x| self.f64(*x));
    }
    fn list<T>(&mut self, items: &[T], mut one: impl FnMut(&mut Self, &T)) {
        self.u64(items.len() as u64);
        for item in items {
            one(self, item);
        }
    }
    fn built(&mut self, b: &Built) {
        let m = &b.model;
        self.list(&m.poses, |w, p| {
            w.list(p.as_slice(), |w, p| {
                p.rotation.coords.iter().for_each(|x| w.f64(*x));
                w.vec3(&p.translation);
            });
        });
        self.list(&m.cameras, |w, c| {
            w.u32(c.model.kind().colmap_id() as u32);
            w.list(&c.model.params(), |w, v| w.f64(*v));
        });
        self.list(&m.points, |w, p| {
            w.vec3(&p.x);
            w.list(&p.obs, |w, o| w.pair((o.view, o.kp)));
        });
        self.list(&m.order, |w, v| w.u32(*v));
        self.pair(b.initial);
        self.u64(b.global_adjustments);
        self.u64(b.local_adjustments);
        self.u64(b.iterations);
        self.u64(b.rings_closed);
        self.u64(b.joined);
        self.list(&b.principal_points, |w, (c, s)| {
            w.u32(*c);
            w.f64(*s);
        });
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn u32(&mut self) -> Option<u32> {
        let (head, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*head))
    }
    fn u64(&mut self) -> Option<u64> {
        let (head, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*head))
    }
    fn f64(&mut self) -> Option<f64> {
        self.u64().map(f64::from_bits)
    }
    fn pair(&mut self) -> Option<(u32, u32)> {
        Some((self.u32()?, self.u32()?))
    }
    fn vec3(&mut self) -> Option<Vec3> {
        Some(Vec3::new(self.f64()?, self.f64()?, self.f64()?))
    }
    fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let n = self.u64()? as usize;
        // Every item takes at least four bytes: a wild count ends here.
        if n > self.0.len() / 4 {
            return None;
        }
        (0..n).map(|_| one(self)).collect()
    }
    fn built(&mut self, scene: &Scene<'_>) -> Option<Built> {
        let poses = self.list(|r| {
            let mut p = r.list(|r| {
                let (i, j, k, w) = (r.f64()?, r.f64()?, r.f64()?, r.f64()?);
                // Not normalised again: the bits have to stay.
                let rotation = UnitQuaternion::new_unchecked(Quaternion::new(w, i, j, k));
                Some(Rigid3::new(rotation, r.vec3()?))
            })?;
            Some(p.pop())
        })?;
        let models = self.list(|r| {
            let kind = CameraModelKind::from_colmap_id(r.u32()? as i32)?;
            let params = r.list(Reader::f64)?;
            CameraModel::from_params(kind, &params)
        })?;
        let points = self.list(|r| {
            let x = r.vec3()?;
            let obs = r.list(|r| {
                let (view, kp) = r.pair()?;
                (kp as usize)
                    .lt(&scene.px.get(view as usize)?.len())
                    .then_some(Obs { view, kp })
            })?;
            Some(Point { x, obs })
        })?;
        let order = self.list(Reader::u32)?;
        let views_ok =
            poses.len() == scene.num_views() && order.iter().all(|&v| (v as usize) < poses.len());
        if !views_ok || models.len() != scene.cameras.len() {
            return None;
        }
        let mut cameras = scene.cameras.clone();
        for (c, m) in cameras.iter_mut().zip(models) {
            c.model = m;
        }
        let mut point_of: Vec<Vec<u32>> = scene.px.iter().map(|p| vec![NONE; p.len()]).collect();
        for (id, p) in points.iter().enumerate() {
            for o in &p.obs {
                point_of[o.view as usize][o.kp as usize] = id as u32;
            }
        }
        Some(Built {
            model: Model {
                poses,
                cameras,
                points,
                point_of,
                order,
            },
            initial: self.pair()?,
            global_adjustments: self.u64()?,
            local_adjustments: self.u64()?,
            iterations: self.u64()?,
            rings_closed: self.u64()?,
            joined: self.u64()?,
            principal_points: self.list(|r| Some((r.u32()?, r.f64()?)))?,
        })
    }
}
