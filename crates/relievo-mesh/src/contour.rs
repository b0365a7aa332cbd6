//! The zero set on the octree, without cracks.
//!
//! Marching cubes (Lorensen & Cline 1987) on the leaves. χ is one continuous
//! function: where a leaf meets finer cells, their values on the common face
//! hang on the leaf's own corners. So an edge of a leaf is crossed at most
//! once, however finely others divide it, and a leaf's face takes over the
//! segments of the finer faces on the other side (Kazhdan, Klein, Dalal &
//! Hoppe 2007, without their closing of loops, which is not needed here).
//! Every edge of the polygons belongs to two of them; polygons are cut along
//! diagonals inside the cell only, or around a centre, so that the mesh is
//! manifold.

use crate::octree::{Level, NONE, Octree};
use crate::solver::Solution;
use rayon::prelude::*;
use relievo_task::ordered;

/// Cells of one unit of parallel work.
const CHUNK: usize = 4096;
/// Marks a vertex that a chunk added to the middle of a polygon.
const CENTRE: u32 = 1 << 31;
/// A crossing stays this far from the ends of its edge.
const END: f32 = 0.01;

/// A mesh whose vertices lie on edges of the tree.
pub(crate) struct Contour {
    /// In finest cells from the lowest corner of the root.
    pub(crate) positions: Vec<[f32; 3]>,
    /// Counter-clockwise seen from where χ is larger.
    pub(crate) triangles: Vec<[u32; 3]>,
    /// Per vertex: attributes interpolated along the edge.
    pub(crate) attributes: Vec<[f32; 4]>,
}

/// Triangles of some cells, and the polygons that got a vertex in the middle.
type Part = (Vec<[u32; 3]>, Vec<Vec<u32>>);

/// Where a level's edges are crossed.
struct Crossings {
    /// Per vertex, bit a: the edge to the next vertex along +a is crossed and
    /// no finer edge divides it.
    masks: Vec<u8>,
    /// Per vertex: number of its first crossing.
    starts: Vec<u32>,
}

/// A crossing on a leaf's polygon: its number, and the faces it lies on.
#[derive(Clone, Copy)]
struct Crossing {
    id: u32,
    faces: u8,
}

struct Marcher<'a> {
    tree: &'a Octree,
    depth: u32,
    values: &'a [Vec<f32>],
    iso: f32,
    crossings: Vec<Crossings>,
    positions: Vec<[f32; 3]>,
    loops: Vec<Vec<Vec<u8>>>,
}

/// Corners of face 2·axis + side, counter-clockwise seen from outside.
fn face_corners(face: usize) -> [usize; 4] {
    let axis = face / 2;
    let (b, c) = (1 << ((axis + 1) % 3), 1 << ((axis + 2) % 3));
    if face % 2 == 1 {
        [0, b, b | c, c].map(|k| k | 1 << axis)
    } else {
        [0, c, b | c, b]
    }
}

/// An edge of a cell from its lower corner along an axis.
fn edge_between(a: usize, b: usize) -> (usize, usize) {
    (a & b, (a ^ b).trailing_zeros() as usize)
}

/// Number 0 … 11 of an edge.
fn edge_number(corner: usize, axis: usize) -> usize {
    let low = corner & ((1 << axis) - 1);
    let high = corner >> (axis + 1) << axis;
    axis * 4 + (low | high)
}

/// The faces on both sides of an edge, as bits.
fn edge_faces(corner: usize, axis: usize) -> u8 {
    let (b, c) = ((axis + 1) % 3, (axis + 2) % 3);
    1 << (2 * b + (corner >> b & 1)) | 1 << (2 * c + (corner >> c & 1))
}

/// Segments on a face, each around one run of inside corners, which lie on
/// its right seen from outside: pairs of (edge entering, edge leaving), edges
/// by position in the ring.
fn face_segments(inside: [bool; 4], mut emit: impl FnMut(usize, usize)) {
    for k in 0..4 {
        // A run starts at corner k + 1.
        if !inside[k] && inside[(k + 1) % 4] {
            let mut end = k + 1;
            while inside[(end + 1) % 4] {
                end += 1;
            }
            emit(k, end % 4);
        }
    }
}

/// The polygons of each of the 256 cases, as edge numbers.
fn case_loops() -> Vec<Vec<Vec<u8>>> {
    (0..256usize)
        .map(|case| {
            let mut next = [u8::MAX; 12];
            for face in 0..6 {
                let ring = face_corners(face);
                let number = |k: usize| {
                    let (corner, axis) = edge_between(ring[k], ring[(k + 1) % 4]);
                    edge_number(corner, axis)
                };
                face_segments(ring.map(|c| case >> c & 1 == 1), |from, to| {
                    next[number(from)] = number(to) as u8;
                });
            }
            let mut loops = Vec::new();
            for start in 0..12 {
                let mut polygon = Vec::new();
                let mut at = start;
                while next[at] != u8::MAX {
                    polygon.push(at as u8);
                    at = std::mem::replace(&mut next[at], u8::MAX) as usize;
                }
                if !polygon.is_empty() {
                    loops.push(polygon);
                }
            }
            loops
        })
        .collect()
}

/// The surface χ = iso. `attributes`: at the vertices of each level.
/// `depth`: the level whose cells positions are counted in.
pub(crate) fn contour(
    tree: &Octree,
    solution: &Solution,
    attributes: &[Vec<[f32; 4]>],
    depth: u32,
) -> Contour {
    let mut marcher = Marcher {
        tree,
        depth,
        values: &solution.values,
        iso: solution.iso,
        crossings: Vec::new(),
        positions: Vec::new(),
        loops: case_loops(),
    };
    let mut values = Vec::new();
    marcher.find_crossings(attributes, &mut values);
    let parts: Vec<Part> = (0..tree.levels.len())
        .flat_map(|i| {
            ordered::map_chunks(tree.levels[i].cells(), CHUNK, |range| {
                let (mut triangles, mut centres) = (Vec::new(), Vec::new());
                for cell in range {
                    marcher.polygons(i, cell as u32, &mut triangles, &mut centres);
                }
                (triangles, centres)
            })
        })
        .collect();
    let mut positions = std::mem::take(&mut marcher.positions);
    let mut triangles = Vec::with_capacity(parts.iter().map(|p| p.0.len()).sum());
    for (part, centres) in parts {
        let first = positions.len() as u32;
        for around in centres {
            let share = 1.0 / around.len() as f32;
            let (mut p, mut a) = ([0.0; 3], [0.0; 4]);
            for v in around {
                p = std::array::from_fn(|k| p[k] + share * positions[v as usize][k]);
                a = std::array::from_fn(|k| a[k] + share * values[v as usize][k]);
            }
            positions.push(p);
            values.push(a);
        }
        let number = |v: u32| {
            if v & CENTRE == 0 {
                v
            } else {
                first + (v & !CENTRE)
            }
        };
        triangles.extend(part.into_iter().map(|t| t.map(number)));
    }
    Contour {
        positions,
        triangles,
        attributes: values,
    }
}

impl Marcher<'_> {
    fn inside(&self, level: usize, vertex: u32) -> bool {
        self.values[level][vertex as usize] < self.iso
    }

    /// The other end of the edge from `vertex` along +axis, where it exists
    /// and no finer edge divides it.
    fn undivided_edge(level: &Level, vertex: u32, axis: usize) -> Option<u32> {
        let around = &level.vertex_cells[vertex as usize];
        let mut end = None;
        for q in (0..8usize).filter(|q| q >> axis & 1 == 1) {
            if around[q] != NONE {
                if level.children[around[q] as usize] != NONE {
                    return None;
                }
                let corners = &level.cell_vertices[around[q] as usize];
                end = Some(corners[(7 - q) | 1 << axis]);
            }
        }
        end
    }

    fn find_crossings(&mut self, attributes: &[Vec<[f32; 4]>], values: &mut Vec<[f32; 4]>) {
        let mut total = 0;
        let (all, iso) = (self.values, self.iso);
        for (i, level) in self.tree.levels.iter().enumerate() {
            let masks: Vec<u8> = (0..level.vertices() as u32)
                .into_par_iter()
                .map(|v| {
                    let inside = self.inside(i, v);
                    (0..3)
                        .filter(|&axis| {
                            Self::undivided_edge(level, v, axis)
                                .is_some_and(|end| self.inside(i, end) != inside)
                        })
                        .fold(0, |bits, axis| bits | 1 << axis)
                })
                .collect();
            let mut starts = Vec::with_capacity(masks.len());
            for mask in &masks {
                starts.push(total);
                total += mask.count_ones();
            }
            let scale = (1u32 << (self.depth - level.depth)) as f32;
            let found: Vec<([f32; 3], [f32; 4])> = masks
                .par_iter()
                .enumerate()
                .flat_map_iter(|(v, &mask)| {
                    let chi = &all[i];
                    (0..3)
                        .filter(move |axis| mask >> axis & 1 == 1)
                        .filter_map(move |axis| {
                            let end = Self::undivided_edge(level, v as u32, axis)? as usize;
                            let (a, b) = (chi[v], chi[end]);
                            let t = ((iso - a) / (b - a)).clamp(END, 1.0 - END);
                            let mut at = level.vertex_position(v as u32).map(|x| x as f32 * scale);
                            at[axis] += t * scale;
                            let (p, q) = (attributes[i][v], attributes[i][end]);
                            Some((at, std::array::from_fn(|k| p[k] + t * (q[k] - p[k]))))
                        })
                })
                .collect();
            self.positions.extend(found.iter().map(|f| f.0));
            values.extend(found.iter().map(|f| f.1));
            self.crossings.push(Crossings { masks, starts });
        }
    }

    /// Number of the crossing on the edge from `corner` of `cell` along
    /// +axis, whose ends are on different sides.
    fn crossing(
        &self,
        mut level: usize,
        mut cell: u32,
        mut corner: usize,
        axis: usize,
    ) -> Option<u32> {
        loop {
            let here = &self.tree.levels[level];
            let v = here.cell_vertices[cell as usize][corner];
            let found = &self.crossings[level];
            let mask = found.masks[v as usize];
            if mask >> axis & 1 == 1 {
                let before = mask & ((1 << axis) - 1);
                return Some(found.starts[v as usize] + before.count_ones());
            }
            // A finer cell divides the edge: take the half that is crossed.
            let around = &here.vertex_cells[v as usize];
            let q = (0..8usize).find(|&q| {
                q >> axis & 1 == 1 && around[q] != NONE && here.children[around[q] as usize] != NONE
            })?;
            corner = 7 - q;
            let child = here.children[around[q] as usize] * 8 + corner as u32;
            level += 1;
            let ends = &self.tree.levels[level].cell_vertices[child as usize];
            let first =
                self.inside(level, ends[corner]) != self.inside(level, ends[corner | 1 << axis]);
            cell = if first { child } else { child | 1 << axis };
        }
    }

    /// Segments of one face of a leaf, in the leaf's own direction.
    fn leaf_face(
        &self,
        level: usize,
        cell: u32,
        face: usize,
        emit: &mut impl FnMut(u32, u32, u8, u8),
    ) {
        let ring = face_corners(face);
        let corners = &self.tree.levels[level].cell_vertices[cell as usize];
        face_segments(ring.map(|c| self.inside(level, corners[c])), |from, to| {
            let end = |k: usize| {
                let (corner, axis) = edge_between(ring[k], ring[(k + 1) % 4]);
                (
                    self.crossing(level, cell, corner, axis),
                    edge_faces(corner, axis),
                )
            };
            if let ((Some(a), fa), (Some(b), fb)) = (end(from), end(to)) {
                emit(a, b, fa, fb);
            }
        });
    }

    /// Segments that the descendants of `cell` have on its face, as they see them.
    fn fine_face(&self, level: usize, cell: u32, face: usize, emit: &mut impl FnMut(u32, u32)) {
        let group = self.tree.levels[level].children[cell as usize];
        if group == NONE {
            self.leaf_face(level, cell, face, &mut |a, b, _, _| emit(a, b));
            return;
        }
        for octant in 0..8u32 {
            if octant >> (face / 2) & 1 == (face % 2) as u32 {
                self.fine_face(level + 1, group * 8 + octant, face, emit);
            }
        }
    }

    fn polygons(
        &self,
        level: usize,
        cell: u32,
        triangles: &mut Vec<[u32; 3]>,
        centres: &mut Vec<Vec<u32>>,
    ) {
        let here = &self.tree.levels[level];
        if here.children[cell as usize] != NONE {
            return;
        }
        let corners = &here.cell_vertices[cell as usize];
        let case = (0..8usize)
            .filter(|&c| self.inside(level, corners[c]))
            .fold(0usize, |bits, c| bits | 1 << c);
        if case == 0 || case == 255 {
            return;
        }
        let finer: [u32; 6] = std::array::from_fn(|face| {
            let mut offset = [0; 3];
            offset[face / 2] = (face % 2) as i32 * 2 - 1;
            let next = here.neighbour(cell, offset);
            if next != NONE && here.children[next as usize] != NONE {
                next
            } else {
                NONE
            }
        });
        let mut polygon: Vec<Crossing> = Vec::new();
        if finer.iter().all(|&n| n == NONE) {
            for edges in &self.loops[case] {
                polygon.clear();
                for &edge in edges {
                    let axis = edge as usize / 4;
                    let bits = edge as usize % 4;
                    let low = bits & ((1 << axis) - 1);
                    let corner = low | bits >> axis << (axis + 1);
                    if let Some(id) = self.crossing(level, cell, corner, axis) {
                        let faces = edge_faces(corner, axis);
                        polygon.push(Crossing { id, faces });
                    }
                }
                self.cut(&polygon, triangles, centres);
            }
            return;
        }
        let mut segments: Vec<(Crossing, Crossing)> = Vec::new();
        for face in 0..6 {
            if finer[face] == NONE {
                self.leaf_face(level, cell, face, &mut |a, b, fa, fb| {
                    segments.push((Crossing { id: a, faces: fa }, Crossing { id: b, faces: fb }));
                });
            } else {
                let faces = 1 << face;
                self.fine_face(level, finer[face], face ^ 1, &mut |a, b| {
                    segments.push((Crossing { id: b, faces }, Crossing { id: a, faces }));
                });
            }
        }
        while let Some((from, to)) = segments.pop() {
            polygon.clear();
            polygon.push(from);
            let mut at = to;
            loop {
                if at.id == from.id {
                    polygon[0].faces |= at.faces;
                    break;
                }
                let Some(k) = segments.iter().position(|s| s.0.id == at.id) else {
                    break;
                };
                let (next, end) = segments.swap_remove(k);
                polygon.push(Crossing {
                    id: at.id,
                    faces: at.faces | next.faces,
                });
                at = end;
            }
            self.cut(&polygon, triangles, centres);
        }
    }

    /// Cuts a polygon into triangles along diagonals that lie on no face.
    fn cut(
        &self,
        polygon: &[Crossing],
        triangles: &mut Vec<[u32; 3]>,
        centres: &mut Vec<Vec<u32>>,
    ) {
        let n = polygon.len();
        if n < 3 {
            return;
        }
        if n == 3 {
            triangles.push([polygon[0].id, polygon[1].id, polygon[2].id]);
            return;
        }
        let position = |k: usize| self.positions[polygon[k].id as usize];
        let mut best: Option<(f32, usize)> = None;
        for apex in 0..n {
            let mut length = 0.0;
            let inside = (2..n - 1).all(|step| {
                let other = (apex + step) % n;
                let (a, b) = (position(apex), position(other));
                length += (0..3).map(|k| (a[k] - b[k]).powi(2)).sum::<f32>();
                polygon[apex].faces & polygon[other].faces == 0
            });
            if inside && best.is_none_or(|(least, _)| length < least) {
                best = Some((length, apex));
            }
        }
        if let Some((_, apex)) = best {
            let id = |step: usize| polygon[(apex + step) % n].id;
            triangles.extend((1..n - 1).map(|step| [id(0), id(step), id(step + 1)]));
        } else {
            let centre = CENTRE | centres.len() as u32;
            centres.push(polygon.iter().map(|c| c.id).collect());
            triangles.extend((0..n).map(|k| [centre, polygon[k].id, polygon[(k + 1) % n].id]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_closes_and_uses_each_crossed_edge_once() {
        for (case, loops) in case_loops().iter().enumerate() {
            let mut used = [0; 12];
            for edge in loops.iter().flatten() {
                used[*edge as usize] += 1;
            }
            for axis in 0..3 {
                for corner in (0..8usize).filter(|c| c >> axis & 1 == 0) {
                    let crossed = (case >> corner & 1) != (case >> (corner | 1 << axis) & 1);
                    assert_eq!(
                        used[edge_number(corner, axis)],
                        i32::from(crossed),
                        "case {case}"
                    );
                }
            }
            assert!(loops.iter().all(|l| l.len() >= 3), "case {case}");
        }
    }
}
