//! The mapper's own, dense view of its input.

use crate::{InputFault, Named, SfmError, SfmInput};
use relievo_geometry::Vec2;
use relievo_scene::{Camera, CameraId, TwoViewGeometry, TwoViewKind, ViewGraph, ViewId};
use std::collections::BTreeMap;

/// No point, no match.
pub(crate) const NONE: u32 = u32::MAX;

/// A keypoint of a view, both by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Obs {
    pub(crate) view: u32,
    pub(crate) kp: u32,
}

/// Input with ids replaced by positions; never changes while mapping.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) ids: Vec<ViewId>,
    pub(crate) names: Vec<&'a str>,
    pub(crate) px: Vec<Vec<Vec2>>,
    pub(crate) colors: Vec<&'a [[u8; 3]]>,
    pub(crate) camera_ids: Vec<CameraId>,
    /// Starting intrinsics.
    pub(crate) cameras: Vec<Camera>,
    /// What a person said of each camera.
    pub(crate) named: Vec<Option<Named>>,
    /// Camera of each view.
    pub(crate) camera_of: Vec<usize>,
    /// Usable pairs, by (a, b).
    pub(crate) pairs: Vec<Pair<'a>>,
    /// Per view: matches of keypoint k are `starts[k]..starts[k + 1]`.
    starts: Vec<Vec<u32>>,
    matches: Vec<Vec<Obs>>,
}

/// A verified pair by positions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair<'a> {
    pub(crate) a: usize,
    pub(crate) b: usize,
    pub(crate) geometry: &'a TwoViewGeometry,
}

/// True where the inliers of such a pair show the same scene points.
pub(crate) fn usable(kind: TwoViewKind) -> bool {
    !matches!(kind, TwoViewKind::Degenerate | TwoViewKind::Watermark)
}

impl<'a> Scene<'a> {
    pub(crate) fn new(input: &SfmInput<'a>) -> Result<Self, SfmError> {
        let wrong = |what| SfmError::Inconsistent { what };
        for (&camera, c) in &input.cameras {
            c.check()
                .map_err(|_| wrong(InputFault::BadCamera { camera }))?;
        }
        let ids: Vec<ViewId> = input.views.keys().copied().collect();
        let camera_ids: Vec<CameraId> = input.cameras.keys().copied().collect();
        let mut camera_of = Vec::with_capacity(ids.len());
        for view in input.views.values() {
            camera_of.push(camera_ids.binary_search(&view.camera_id).map_err(|_| {
                wrong(InputFault::UnknownCamera {
                    view: view.name.to_owned(),
                    camera: view.camera_id,
                })
            })?);
        }
        let px: Vec<Vec<Vec2>> = input
            .views
            .values()
            .map(|v| {
                let at =
                    |k: &relievo_scene::Keypoint| Vec2::new(f64::from(k.x_px), f64::from(k.y_px));
                v.keypoints.iter().map(at).collect()
            })
            .collect();
        let mut pairs = Vec::new();
        let mut lists: Vec<Vec<(u32, Obs)>> = vec![Vec::new(); ids.len()];
        for (&(a_id, b_id), geometry) in &input.graph.pairs {
            let (Ok(a), Ok(b)) = (ids.binary_search(&a_id), ids.binary_search(&b_id)) else {
                continue;
            };
            if !usable(geometry.kind) || geometry.inliers.is_empty() || a == b {
                continue;
            }
            for m in &geometry.inliers {
                if m.a_idx as usize >= px[a].len() || m.b_idx as usize >= px[b].len() {
                    return Err(wrong(InputFault::BadMatches { a: a_id, b: b_id }));
                }
                lists[a].push((
                    m.a_idx,
                    Obs {
                        view: b as u32,
                        kp: m.b_idx,
                    },
                ));
                lists[b].push((
                    m.b_idx,
                    Obs {
                        view: a as u32,
                        kp: m.a_idx,
                    },
                ));
            }
            pairs.push(Pair { a, b, geometry });
        }
        let (mut starts, mut matches) = (Vec::new(), Vec::new());
        for (list, points) in lists.iter_mut().zip(&px) {
            list.sort_unstable();
            let mut s = vec![0_u32; points.len() + 1];
            for (kp, _) in list.iter() {
                s[*kp as usize + 1] += 1;
            }
            for k in 0..points.len() {
                s[k + 1] += s[k];
            }
            starts.push(s);
            matches.push(list.iter().map(|(_, o)| *o).collect::<Vec<_>>());
        }
        Ok(Self {
            names: input.views.values().map(|v| v.name).collect(),
            colors: input.views.values().map(|v| v.colors).collect(),
            cameras: input.cameras.values().copied().collect(),
            named: vec![None; camera_ids.len()],
            ids,
            px,
            camera_ids,
            camera_of,
            pairs,
            starts,
            matches,
        })
    }

    /// The same, with what a person said of its cameras.
    pub(crate) fn with_named(mut self, named: &BTreeMap<CameraId, Named>) -> Self {
        let of_camera = |id: &CameraId| named.get(id).copied();
        self.named = self.camera_ids.iter().map(of_camera).collect();
        self
    }

    /// The pairs at the positions to `keep`, as a graph.
    pub(crate) fn graph_of(&self, keep: impl Fn(usize) -> bool) -> ViewGraph {
        let pairs = self.pairs.iter().enumerate().filter(|(k, _)| keep(*k));
        let pairs = pairs.map(|(_, p)| {
            let ids = (self.ids[p.a], self.ids[p.b]);
            (ids, p.geometry.clone())
        });
        ViewGraph {
            pairs: pairs.collect(),
        }
    }

    pub(crate) fn num_views(&self) -> usize {
        self.ids.len()
    }

    /// Keypoints that match keypoint `kp` of `view`.
    #[inline]
    pub(crate) fn matches(&self, view: usize, kp: usize) -> &[Obs] {
        let s = &self.starts[view];
        &self.matches[view][s[kp] as usize..s[kp + 1] as usize]
    }

    #[inline]
    pub(crate) fn pixel(&self, o: Obs) -> Vec2 {
        self.px[o.view as usize][o.kp as usize]
    }

    /// Longer side over 2000 px, kept within `lo..=hi`.
    pub(crate) fn size_factor(&self, view: usize, lo: f64, hi: f64) -> f64 {
        let c = &self.cameras[self.camera_of[view]];
        (f64::from(c.width_px.max(c.height_px)) / 2000.0).clamp(lo, hi)
    }
}
