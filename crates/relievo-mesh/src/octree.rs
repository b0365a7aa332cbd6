//! A linear octree, level by level.
//!
//! Cells of a level come in groups of eight siblings, groups in Morton order:
//! cell index = 8 · group + octant (bit 0: x, bit 1: y, bit 2: z). Neighbours
//! are stored once per group (27 words for eight cells); nothing is searched
//! for. The unknowns of the solver stand at the corners ("vertices") of the
//! cells; a vertex belongs to the first that exists of its eight cells, upper
//! ones first.

use rayon::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};

/// No such cell, group or vertex.
pub(crate) const NONE: u32 = u32::MAX;

/// What a vertex is to the solver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VertexKind {
    /// A cell around it is missing: its value hangs on the level above.
    Hanging,
    /// All eight cells are there.
    Interior,
    /// On the border of the root cube, all cells inside it are there.
    Border,
}

/// One level of the tree.
pub(crate) struct Level {
    /// Cells have edge 2^−depth of the root's.
    pub(crate) depth: u32,
    /// Morton key of the parent cell of each group.
    group_key: Vec<u64>,
    /// Parent cell of each group, on the level above.
    group_parent: Vec<u32>,
    /// Groups around each group, x fastest, itself at 13.
    group_neighbours: Vec<[u32; 27]>,
    /// Group of children of each cell, on the level below.
    pub(crate) children: Vec<u32>,
    /// The corners of each cell.
    pub(crate) cell_vertices: Vec<[u32; 8]>,
    /// The cells around each vertex: bit set = upper side along that axis.
    pub(crate) vertex_cells: Vec<[u32; 8]>,
    /// What each vertex is.
    pub(crate) kinds: Vec<VertexKind>,
}

impl Level {
    fn new(
        depth: u32,
        group_key: Vec<u64>,
        group_parent: Vec<u32>,
        group_neighbours: Vec<[u32; 27]>,
    ) -> Self {
        let cells = group_key.len() * 8;
        let mut level = Self {
            depth,
            group_key,
            group_parent,
            group_neighbours,
            children: vec![NONE; cells],
            cell_vertices: Vec::new(),
            vertex_cells: Vec::new(),
            kinds: Vec::new(),
        };
        level.number_vertices();
        level
    }

    /// Number of cells.
    pub(crate) fn cells(&self) -> usize {
        self.children.len()
    }

    /// Number of vertices.
    pub(crate) fn vertices(&self) -> usize {
        self.vertex_cells.len()
    }

    /// The cell `offset` cells away (−1, 0, 1 each), or [`NONE`].
    #[inline]
    pub(crate) fn neighbour(&self, cell: u32, offset: [i32; 3]) -> u32 {
        let (mut group, mut octant, mut stride) = (13i32, 0u32, 1i32);
        for axis in 0..3 {
            let at = (cell >> axis & 1) as i32 + offset[axis];
            group += (at >> 1) * stride;
            octant |= ((at & 1) as u32) << axis;
            stride *= 3;
        }
        let group = self.group_neighbours[(cell >> 3) as usize][group as usize];
        if group == NONE {
            NONE
        } else {
            group * 8 + octant
        }
    }

    /// The parent cell, on the level above.
    #[inline]
    pub(crate) fn parent(&self, cell: u32) -> u32 {
        self.group_parent[(cell >> 3) as usize]
    }

    /// Morton key of a cell.
    pub(crate) fn key(&self, cell: u32) -> u64 {
        self.group_key[(cell >> 3) as usize] << 3 | u64::from(cell & 7)
    }

    /// The first existing cell around a vertex and which of its corners it is.
    #[inline]
    pub(crate) fn owner(&self, vertex: u32) -> (u32, u32) {
        let around = &self.vertex_cells[vertex as usize];
        for q in (0..8u32).rev() {
            if around[q as usize] != NONE {
                return (around[q as usize], 7 - q);
            }
        }
        unreachable!("a vertex has a cell")
    }

    /// Integer position of a vertex, 0 … 2^depth.
    pub(crate) fn vertex_position(&self, vertex: u32) -> [u32; 3] {
        let (cell, corner) = self.owner(vertex);
        let at = decode(self.key(cell));
        [0, 1, 2].map(|axis| at[axis] + (corner >> axis & 1))
    }

    /// The cell on side `q` of the vertex at `corner` of `cell`.
    #[inline]
    fn around(&self, cell: u32, corner: u32, q: u32) -> u32 {
        let offset = [0, 1, 2].map(|axis| (corner >> axis & 1) as i32 + (q >> axis & 1) as i32 - 1);
        self.neighbour(cell, offset)
    }

    /// Which corners a cell owns, as bits.
    fn owned(&self, cell: u32) -> u8 {
        (0..8u32)
            .filter(|&corner| {
                let own = 7 - corner;
                (own + 1..8).all(|q| self.around(cell, corner, q) == NONE)
            })
            .fold(0, |bits, corner| bits | 1 << corner)
    }

    fn number_vertices(&mut self) {
        let cells = self.cells() as u32;
        let owned: Vec<u8> = (0..cells).into_par_iter().map(|c| self.owned(c)).collect();
        let mut starts = Vec::with_capacity(owned.len());
        let mut total = 0u32;
        for &bits in &owned {
            starts.push(total);
            total += bits.count_ones();
        }
        let number = |cell: u32, corner: u32| {
            let bits = u32::from(owned[cell as usize]) & ((1 << corner) - 1);
            starts[cell as usize] + bits.count_ones()
        };
        self.cell_vertices = (0..cells)
            .into_par_iter()
            .map(|cell| {
                std::array::from_fn(|corner| {
                    let corner = corner as u32;
                    for q in (0..8u32).rev() {
                        let other = self.around(cell, corner, q);
                        if other != NONE {
                            return number(other, 7 - q);
                        }
                    }
                    unreachable!("the cell itself is around its corner")
                })
            })
            .collect();
        let last = (1u32 << self.depth) - 1;
        let per_vertex: Vec<([u32; 8], VertexKind)> = (0..cells)
            .into_par_iter()
            .flat_map_iter(|cell| {
                let level = &*self;
                let bits = owned[cell as usize];
                (0..8u32)
                    .filter(move |corner| bits >> corner & 1 == 1)
                    .map(move |corner| {
                        let around: [u32; 8] =
                            std::array::from_fn(|q| level.around(cell, corner, q as u32));
                        let kind = level.kind(cell, corner, &around, last);
                        (around, kind)
                    })
            })
            .collect();
        (self.vertex_cells, self.kinds) = per_vertex.into_par_iter().unzip();
    }

    fn kind(&self, cell: u32, corner: u32, around: &[u32; 8], last: u32) -> VertexKind {
        if around.iter().all(|&c| c != NONE) {
            return VertexKind::Interior;
        }
        let at = decode(self.key(cell));
        let outside = |q: u32| {
            (0..3).any(|axis| {
                let x = at[axis] + (corner >> axis & 1) + (q >> axis & 1);
                x == 0 || x > last + 1
            })
        };
        if (0..8u32).all(|q| around[q as usize] != NONE || outside(q)) {
            VertexKind::Border
        } else {
            VertexKind::Hanging
        }
    }
}

/// The levels of depth 1, 2, …
pub(crate) struct Octree {
    /// `levels[i]` has depth i + 1.
    pub(crate) levels: Vec<Level>,
}

impl Octree {
    /// The tree in which every level up to `base` is complete and, below,
    /// every cell within one cell of an item is there, down to the item's own
    /// depth (at least 1, at most `depth`).
    ///
    /// `keys`: Morton keys at `key_depth`, ascending.
    pub(crate) fn build(
        keys: &[u64],
        key_depth: u32,
        item_depth: impl Fn(usize) -> u32 + Sync,
        base: u32,
        depth: u32,
    ) -> Self {
        let mut around = [NONE; 27];
        around[13] = 0;
        let mut levels = vec![Level::new(1, vec![0], vec![0], vec![around])];
        let mut cells: Vec<u32> = keys
            .par_iter()
            .map(|key| (key >> (3 * (key_depth - 1))) as u32)
            .collect();
        for next in 2..=depth {
            let Some(level) = levels.last_mut() else {
                break;
            };
            let refine: Vec<AtomicBool> = (0..level.cells())
                .map(|_| AtomicBool::new(next <= base))
                .collect();
            let shift = 3 * (key_depth - next);
            if next > base {
                (0..keys.len()).into_par_iter().for_each(|i| {
                    let cell = cells[i];
                    let octant = (keys[i] >> shift & 7) as u32;
                    let repeated = i > 0 && keys[i - 1] >> shift == keys[i] >> shift;
                    if cell == NONE
                        || item_depth(i) < next
                        || (repeated && item_depth(i - 1) >= next)
                    {
                        return;
                    }
                    for side in 0..8u32 {
                        let offset = [0, 1, 2]
                            .map(|axis| (octant >> axis & 1) as i32 - (side >> axis & 1) as i32);
                        let at = level.neighbour(cell, offset);
                        if at != NONE {
                            refine[at as usize].store(true, Ordering::Relaxed);
                        }
                    }
                });
            }
            let (mut group_key, mut group_parent) = (Vec::new(), Vec::new());
            for cell in 0..level.cells() as u32 {
                if refine[cell as usize].load(Ordering::Relaxed) {
                    level.children[cell as usize] = group_parent.len() as u32;
                    group_key.push(level.key(cell));
                    group_parent.push(cell);
                }
            }
            if group_parent.is_empty() {
                break;
            }
            let group_neighbours = group_parent
                .par_iter()
                .map(|&cell| {
                    std::array::from_fn(|k| {
                        let k = k as i32;
                        let at = level.neighbour(cell, [k % 3 - 1, k / 3 % 3 - 1, k / 9 - 1]);
                        if at == NONE {
                            NONE
                        } else {
                            level.children[at as usize]
                        }
                    })
                })
                .collect();
            descend(&mut cells, keys, shift, level);
            levels.push(Level::new(next, group_key, group_parent, group_neighbours));
        }
        Self { levels }
    }

    /// Calls `visit(level index, cell of each item or NONE)` from coarse to fine.
    pub(crate) fn walk(&self, keys: &[u64], key_depth: u32, mut visit: impl FnMut(usize, &[u32])) {
        let mut cells: Vec<u32> = keys
            .par_iter()
            .map(|key| (key >> (3 * (key_depth - 1))) as u32)
            .collect();
        for (i, level) in self.levels.iter().enumerate() {
            visit(i, &cells);
            if i + 1 < self.levels.len() {
                descend(&mut cells, keys, 3 * (key_depth - level.depth - 1), level);
            }
        }
    }
}

/// From the cells of the items to the children they are in.
fn descend(cells: &mut [u32], keys: &[u64], shift: u32, level: &Level) {
    cells.par_iter_mut().zip(keys).for_each(|(cell, key)| {
        if *cell != NONE {
            let group = level.children[*cell as usize];
            *cell = if group == NONE {
                NONE
            } else {
                group * 8 + (key >> shift & 7) as u32
            };
        }
    });
}

/// Morton key of a cell, x lowest; 21 bits an axis.
pub(crate) fn encode(at: [u32; 3]) -> u64 {
    fn spread(x: u32) -> u64 {
        let mut x = u64::from(x) & 0x1f_ffff;
        x = (x | x << 32) & 0x001f_0000_0000_ffff;
        x = (x | x << 16) & 0x001f_0000_ff00_00ff;
        x = (x | x << 8) & 0x100f_00f0_0f00_f00f;
        x = (x | x << 4) & 0x10c3_0c30_c30c_30c3;
        (x | x << 2) & 0x1249_2492_4924_9249
    }
    spread(at[0]) | spread(at[1]) << 1 | spread(at[2]) << 2
}

/// The cell of a Morton key.
pub(crate) fn decode(key: u64) -> [u32; 3] {
    fn gather(x: u64) -> u32 {
        let mut x = x & 0x1249_2492_4924_9249;
        x = (x | x >> 2) & 0x10c3_0c30_c30c_30c3;
        x = (x | x >> 4) & 0x100f_00f0_0f00_f00f;
        x = (x | x >> 8) & 0x001f_0000_ff00_00ff;
        x = (x | x >> 16) & 0x001f_0000_0000_ffff;
        ((x | x >> 32) & 0x1f_ffff) as u32
    }
    [gather(key), gather(key >> 1), gather(key >> 2)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back() {
        for at in [
            [0, 0, 0],
            [1, 2, 3],
            [0x1f_ffff, 0, 0x15_5555],
            [77, 1 << 20, 12345],
        ] {
            assert_eq!(decode(encode(at)), at);
        }
        assert_eq!(encode([1, 0, 0]), 1);
        assert_eq!(encode([0, 1, 0]), 2);
        assert_eq!(encode([0, 0, 1]), 4);
    }

    /// Positions of all vertices found by brute force.
    #[test]
    fn vertices_and_neighbours_agree_with_brute_force() {
        let depth = 5;
        let mut keys: Vec<u64> = [[3, 4, 5], [20, 21, 9], [31, 31, 31], [0, 16, 15]]
            .into_iter()
            .map(encode)
            .collect();
        keys.sort_unstable();
        let tree = Octree::build(&keys, depth, |i| if i == 0 { 4 } else { 5 }, 2, depth);
        assert_eq!(tree.levels.len(), 5);
        for level in &tree.levels {
            let cells: std::collections::BTreeMap<[u32; 3], u32> = (0..level.cells() as u32)
                .map(|c| (decode(level.key(c)), c))
                .collect();
            assert_eq!(cells.len(), level.cells());
            let mut vertices = std::collections::BTreeSet::new();
            for (&at, &c) in &cells {
                for corner in 0..8u32 {
                    let p = [0, 1, 2].map(|a| at[a] + (corner >> a & 1));
                    vertices.insert(p);
                    let v = level.cell_vertices[c as usize][corner as usize];
                    assert_eq!(level.vertex_position(v), p);
                }
                for k in 0..27i32 {
                    let o = [k % 3 - 1, k / 3 % 3 - 1, k / 9 - 1];
                    let p = [0, 1, 2].map(|a| at[a].wrapping_add_signed(o[a]));
                    let want = cells.get(&p).copied().unwrap_or(NONE);
                    assert_eq!(level.neighbour(c, o), want);
                }
            }
            assert_eq!(vertices.len(), level.vertices());
        }
        // The finest cell of an item has all its neighbours.
        let last = &tree.levels[4];
        let at = encode([20, 21, 9]);
        let cell = (0..last.cells() as u32)
            .find(|&c| last.key(c) == at)
            .unwrap();
        for k in 0..27i32 {
            let o = [k % 3 - 1, k / 3 % 3 - 1, k / 9 - 1];
            assert_ne!(last.neighbour(cell, o), NONE);
        }
    }
}
