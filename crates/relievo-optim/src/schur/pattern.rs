//! Which blocks touch which: what never changes during one adjustment.

use super::by_landmark::Table;
use crate::bundle::{BundleStructure, FIXED};

/// Links between blocks that never change during one adjustment.
#[derive(Debug)]
pub(crate) struct Pattern {
    pub(crate) dims: Vec<usize>,
    pub(crate) offsets: Vec<usize>,
    /// Observations by pose block.
    pub(super) pose_observations: Vec<Vec<(u32, u32)>>,
    /// The group that each pose block's observations touch, or [`FIXED`].
    pub(super) pose_group: Vec<u32>,
    /// (landmark, link) by group block.
    pub(super) group_links: Vec<Vec<(u32, u32)>>,
    /// Group links of landmark l: `link_starts[l]..link_starts[l + 1]`.
    pub(super) link_starts: Vec<u32>,
    pub(crate) link_group: Vec<u32>,
    /// Blocks j ≥ i that row i touches, ascending; i itself first.
    pub(crate) columns: Vec<Vec<u32>>,
    pub(crate) max_group_dim: usize,
    /// Of a small system.
    pub(super) table: Option<Table>,
}

impl Pattern {
    pub(crate) fn new(s: &BundleStructure) -> Self {
        let blocks = s.num_poses + s.group_dims.len();
        let mut dims = vec![6; s.num_poses];
        dims.extend_from_slice(&s.group_dims);
        let mut offsets = Vec::with_capacity(blocks + 1);
        offsets.push(0);
        for d in &dims {
            offsets.push(offsets[offsets.len() - 1] + d);
        }
        let mut pose_observations = vec![Vec::new(); s.num_poses];
        let mut pose_group = vec![FIXED; s.num_poses];
        let mut group_links = vec![Vec::new(); s.group_dims.len()];
        let mut link_starts = vec![0];
        let mut link_group: Vec<u32> = Vec::new();
        let mut touches = vec![vec![false; blocks]; blocks];
        let mut here = Vec::new();
        for l in 0..s.num_landmarks() {
            let first = link_group.len();
            here.clear();
            for o in s.observations(l) {
                let (p, g) = (s.observation_pose[o], s.observation_group[o]);
                if p != FIXED {
                    pose_observations[p as usize].push((l as u32, o as u32));
                    here.push(p as usize);
                    pose_group[p as usize] = g;
                }
                if g != FIXED && !link_group[first..].contains(&g) {
                    group_links[g as usize].push((l as u32, link_group.len() as u32));
                    link_group.push(g);
                    here.push(s.num_poses + g as usize);
                }
            }
            link_starts.push(link_group.len() as u32);
            for &a in &here {
                for &b in &here {
                    touches[a.min(b)][a.max(b)] = true;
                }
            }
        }
        let columns: Vec<Vec<u32>> = touches
            .iter()
            .enumerate()
            .map(|(i, row)| {
                (i..blocks)
                    .filter(|&j| i == j || row[j])
                    .map(|j| j as u32)
                    .collect()
            })
            .collect();
        Self {
            table: Table::new(&dims, &columns),
            dims,
            offsets,
            pose_observations,
            pose_group,
            group_links,
            link_starts,
            link_group,
            columns,
            max_group_dim: s.group_dims.iter().copied().max().unwrap_or(0),
        }
    }

    pub(crate) fn size(&self) -> usize {
        self.offsets[self.offsets.len() - 1]
    }

    #[inline]
    pub(crate) fn links(&self, l: usize) -> std::ops::Range<usize> {
        self.link_starts[l] as usize..self.link_starts[l + 1] as usize
    }

    /// Scalars stored in all rows.
    pub(crate) fn stored(&self) -> usize {
        let row = |i: usize| {
            let width: usize = self.columns[i].iter().map(|&j| self.dims[j as usize]).sum();
            width * self.dims[i]
        };
        (0..self.dims.len()).map(row).sum()
    }
}
