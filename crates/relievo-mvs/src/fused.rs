//! Points of a cloud in the making.

use crate::error::MvsError;
use bytemuck::{Pod, Zeroable};
use relievo_image::Rgb8;
use relievo_scene::{PointCloud, ViewId};
use std::collections::BTreeMap;

/// Neighbours that a bit of [`Fused::agreeing`] can name.
pub(crate) const MAX_NEIGHBOURS: usize = 32;

/// A point of the cloud before it is packed.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Fused {
    pub(crate) position: [f32; 3],
    /// Distance between two pixels of its view on the surface.
    pub(crate) footprint: f32,
    pub(crate) normal: [f32; 3],
    pub(crate) color: Rgb8,
    pub(crate) confidence: u8,
    /// Id of the view that made it.
    pub(crate) view: u32,
    /// Bit k: the k-th neighbour of that view agrees.
    pub(crate) agreeing: u32,
}

/// The neighbours that each view asks.
pub(crate) type Neighbours = BTreeMap<ViewId, Vec<ViewId>>;

/// The view that made a point and those that agree.
fn seen_by(view: u32, agreeing: u32, neighbours: &Neighbours) -> impl Iterator<Item = ViewId> {
    let view = ViewId(view);
    let others = neighbours.get(&view).map_or(&[][..], |n| n);
    let agree = others.iter().enumerate();
    let agree = agree.filter(move |(k, _)| agreeing >> k & 1 == 1);
    [view].into_iter().chain(agree.map(|(_, other)| *other))
}

/// What a point takes in a cloud in the making, but for the list of its views: four columns, who
/// saw it, its place and footprint, its index and one column more while they are put in order.
const POINT_BYTES: u64 = 28 + 8 + 4 + 4 + 4 + 12;

/// A cloud in the making: the place that each point has in it, and who saw it as one word until
/// the points are all there.
#[derive(Debug)]
pub(crate) struct CloudInParts<'a> {
    neighbours: &'a Neighbours,
    most_bytes: u64,
    places: Vec<u32>,
    footprints: Vec<f32>,
    /// [`Fused::view`] and [`Fused::agreeing`].
    seen: Vec<(u32, u32)>,
    seen_count: u64,
    /// Without lists of views.
    cloud: PointCloud,
}

impl<'a> CloudInParts<'a> {
    /// An empty one that may take `most_bytes` and gets `most_points`.
    pub(crate) fn new(neighbours: &'a Neighbours, most_bytes: u64, most_points: usize) -> Self {
        // Columns that grow leave holes behind; what is not used of these takes no memory.
        let room = most_points.min((most_bytes / POINT_BYTES) as usize);
        Self {
            neighbours,
            most_bytes,
            places: Vec::with_capacity(room),
            footprints: Vec::with_capacity(room),
            seen: Vec::with_capacity(room),
            seen_count: 0,
            cloud: PointCloud {
                positions: Vec::with_capacity(room),
                normals: Vec::with_capacity(room),
                colors: Vec::with_capacity(room),
                confidence: Vec::with_capacity(room),
                ..PointCloud::default()
            },
        }
    }

    /// Adds points with the places by which they will be in order.
    pub(crate) fn add(&mut self, points: &[(u32, Fused)]) -> Result<(), MvsError> {
        let cloud = &mut self.cloud;
        for (place, p) in points {
            self.places.push(*place);
            self.footprints.push(p.footprint);
            self.seen.push((p.view, p.agreeing));
            self.seen_count += 1 + u64::from(p.agreeing.count_ones());
            cloud.positions.push(p.position);
            cloud.normals.push(p.normal);
            cloud.colors.push(p.color);
            cloud.confidence.push(p.confidence);
        }
        let bytes = POINT_BYTES * cloud.len() as u64 + 4 * self.seen_count;
        if bytes > self.most_bytes {
            return Err(MvsError::CloudTooLarge {
                points: cloud.len(),
                budget_mib: self.most_bytes >> 20,
            });
        }
        Ok(())
    }

    /// Puts the points in the order of their places; no more can be added.
    pub(crate) fn put_in_order(&mut self) {
        let places = std::mem::take(&mut self.places);
        if places.is_sorted() {
            return;
        }
        let mut order: Vec<u32> = (0..places.len() as u32).collect();
        order.sort_unstable_by_key(|&i| places[i as usize]);
        drop(places);
        let cloud = &mut self.cloud;
        cloud.positions = ordered(&cloud.positions, &order);
        cloud.normals = ordered(&cloud.normals, &order);
        cloud.colors = ordered(&cloud.colors, &order);
        cloud.confidence = ordered(&cloud.confidence, &order);
        self.footprints = ordered(&self.footprints, &order);
        self.seen = ordered(&self.seen, &order);
    }

    /// The points without their views.
    pub(crate) fn cloud(&self) -> &PointCloud {
        &self.cloud
    }

    /// Distance between two pixels on the surface, one a point.
    pub(crate) fn footprints(&self) -> &[f32] {
        &self.footprints
    }

    /// Takes out the points that `keep` does not name.
    pub(crate) fn retain(&mut self, keep: &[bool]) {
        retain(&mut self.cloud, keep);
        retain_in(&mut self.footprints, keep);
        retain_in(&mut self.seen, keep);
    }

    /// The cloud with the views of its points.
    pub(crate) fn finish(self) -> PointCloud {
        let mut cloud = self.cloud;
        drop(self.footprints);
        cloud.view_ids.reserve_exact(self.seen_count as usize);
        cloud.view_starts.reserve_exact(self.seen.len() + 1);
        cloud.view_starts.push(0);
        for (view, agreeing) in self.seen {
            let first = cloud.view_ids.len();
            cloud
                .view_ids
                .extend(seen_by(view, agreeing, self.neighbours));
            cloud.view_ids[first..].sort_unstable();
            cloud.view_starts.push(cloud.view_ids.len() as u32);
        }
        cloud
    }
}

fn ordered<T: Copy>(column: &[T], order: &[u32]) -> Vec<T> {
    order.iter().map(|&i| column[i as usize]).collect()
}

/// Takes out the points of a cloud that `keep` does not name.
pub(crate) fn retain(cloud: &mut PointCloud, keep: &[bool]) {
    retain_in(&mut cloud.positions, keep);
    retain_in(&mut cloud.normals, keep);
    retain_in(&mut cloud.colors, keep);
    retain_in(&mut cloud.confidence, keep);
    if cloud.view_starts.is_empty() {
        return;
    }
    let (mut kept, mut end) = (0, 0);
    for i in (0..keep.len()).filter(|&i| keep[i]) {
        let ids = cloud.view_starts[i] as usize..cloud.view_starts[i + 1] as usize;
        cloud.view_starts[kept] = end as u32;
        kept += 1;
        let count = ids.len();
        cloud.view_ids.copy_within(ids, end);
        end += count;
    }
    cloud.view_starts.truncate(kept + 1);
    cloud.view_starts[kept] = end as u32;
    cloud.view_ids.truncate(end);
}

fn retain_in<T>(column: &mut Vec<T>, keep: &[bool]) {
    let mut keep = keep.iter();
    column.retain(|_| keep.next().is_some_and(|k| *k));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_keep_their_own_columns_and_views() {
        let ids = |ids: &[u32]| ids.iter().map(|id| ViewId(*id)).collect::<Vec<_>>();
        let whole = PointCloud {
            positions: vec![[0.0; 3], [1.0; 3], [2.0; 3], [3.0; 3]],
            normals: vec![[0.0; 3], [1.0; 3], [2.0; 3], [3.0; 3]],
            colors: vec![[0; 3], [1; 3], [2; 3], [3; 3]],
            confidence: vec![0, 1, 2, 3],
            view_starts: vec![0, 1, 4, 4, 6],
            view_ids: ids(&[7, 1, 2, 3, 8, 9]),
        };
        let mut some = whole.clone();
        retain(&mut some, &[false, true, false, true]);
        assert_eq!(some.positions, [[1.0; 3], [3.0; 3]]);
        assert_eq!(
            (some.colors, some.confidence),
            (vec![[1; 3], [3; 3]], vec![1, 3])
        );
        assert_eq!(some.view_starts, [0, 3, 5]);
        assert_eq!(some.view_ids, ids(&[1, 2, 3, 8, 9]));
        let mut none = whole;
        retain(&mut none, &[false; 4]);
        assert!(none.is_empty() && none.view_ids.is_empty());
        assert_eq!(none.view_starts, [0]);
    }
}
