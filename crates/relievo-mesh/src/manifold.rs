//! A face soup made manifold by cutting, never by guessing.
//!
//! Guéziec, Taubin, Lazarus & Horn, "Cutting and Stitching: Converting Sets
//! of Polygons to Manifold Surfaces", 2001: corners are joined across edges
//! that two faces share; each set of joined corners becomes a vertex.
//! Departure: around an edge with more faces, neighbours by angle are joined,
//! so that two closed sheets that touch stay closed.

use crate::normals::{area_vector, cross, dot, norm, sub};
use crate::topology::{HalfEdge, Sets, edge_runs, sorted_half_edges};
use crate::trim::drop_unused_vertices;
use rayon::prelude::*;
use relievo_scene::TriMesh;

/// Cuts may leave an edge twice between the same two vertices; then it is
/// divided, and cutting goes on.
const ROUNDS: usize = 4;

/// Drops faces with repeated corners, repeated faces and pairs of opposite
/// faces, then cuts until every edge has at most two faces, in opposite
/// directions, and every vertex one fan.
pub(crate) fn make_manifold(mesh: &mut TriMesh) {
    drop_repeated_faces(mesh);
    for _ in 0..ROUNDS {
        cut_corners(mesh);
        if divide_repeated_edges(mesh) == 0 {
            break;
        }
    }
    drop_crowded_faces(mesh);
    cut_corners(mesh);
    drop_unused_vertices(mesh);
}

fn drop_repeated_faces(mesh: &mut TriMesh) {
    let n = mesh.positions.len() as u32;
    mesh.triangles
        .retain(|t| t[0] != t[1] && t[1] != t[2] && t[2] != t[0] && t.iter().all(|&v| v < n));
    // Sorted corners, and whether the order given is an odd permutation.
    let mut rows: Vec<([u32; 3], bool, u32)> = mesh
        .triangles
        .par_iter()
        .enumerate()
        .map(|(f, t)| {
            let mut s = *t;
            s.sort_unstable();
            let first = t.iter().position(|&v| v == s[0]).unwrap_or(0);
            (s, t[(first + 1) % 3] != s[1], f as u32)
        })
        .collect();
    rows.par_sort_unstable();
    let mut kept = vec![true; mesh.triangles.len()];
    for run in rows.chunk_by(|a, b| a.0 == b.0) {
        let odd = run.iter().filter(|r| r.1).count();
        let even = run.len() - odd;
        // Of either orientation one face stays, and only where the other has none.
        let mut left = usize::from(odd == 0 || even == 0);
        for row in run {
            kept[row.2 as usize] = left > 0;
            left = left.saturating_sub(1);
        }
    }
    let mut face = 0;
    mesh.triangles.retain(|_| {
        face += 1;
        kept[face - 1]
    });
}

/// Pairs of half-edges across which the surface goes on.
fn pairs(mesh: &TriMesh, run: &[HalfEdge], emit: &mut impl FnMut(u32, u32)) {
    let forward = |e: &HalfEdge| mesh.triangles[e.slot as usize / 3][e.slot as usize % 3] == e.low;
    match run {
        [_] => {}
        [a, b] => {
            if forward(a) != forward(b) {
                emit(a.slot, b.slot);
            }
        }
        _ => {
            let low = mesh.positions[run[0].low as usize];
            let axis = sub(mesh.positions[run[0].high as usize], low);
            let length = norm(axis);
            if length == 0.0 {
                return;
            }
            let axis = axis.map(|x| x / length);
            let arm = |e: &HalfEdge| {
                let t = mesh.triangles[e.slot as usize / 3];
                let d = sub(mesh.positions[t[(e.slot as usize + 2) % 3] as usize], low);
                let along = dot(d, axis);
                [0, 1, 2].map(|k| d[k] - along * axis[k])
            };
            let zero = arm(&run[0]);
            let side = cross(axis, zero);
            let mut order: Vec<(f64, u32, bool)> = run
                .iter()
                .map(|e| {
                    let d = arm(e);
                    let angle = if e.slot == run[0].slot {
                        0.0
                    } else {
                        dot(d, side)
                            .atan2(dot(d, zero))
                            .rem_euclid(std::f64::consts::TAU)
                    };
                    (angle, e.slot, forward(e))
                })
                .collect();
            order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let n = order.len();
            let alternate =
                n.is_multiple_of(2) && (0..n).all(|k| order[k].2 != order[(k + 1) % n].2);
            if alternate {
                // A forward face has the outside behind it in the order; its
                // partner is the one across the inside.
                for k in (0..n).filter(|&k| order[k].2) {
                    emit(order[k].1, order[(k + n - 1) % n].1);
                }
            }
        }
    }
}

/// One vertex for each set of corners joined across edges.
fn cut_corners(mesh: &mut TriMesh) {
    let next = |slot: u32| slot / 3 * 3 + (slot + 1) % 3;
    let mut corners = Sets::new(mesh.triangles.len() * 3);
    let edges = sorted_half_edges(&mesh.triangles);
    for run in edge_runs(&edges) {
        pairs(mesh, run, &mut |a, b| {
            corners.join(a, next(b));
            corners.join(next(a), b);
        });
    }
    let given = mesh.positions.len();
    let mut claimed = vec![false; given];
    let mut number = vec![0u32; mesh.triangles.len() * 3];
    for slot in 0..number.len() {
        let root = corners.find(slot as u32) as usize;
        if root != slot {
            number[slot] = number[root];
            continue;
        }
        let v = mesh.triangles[slot / 3][slot % 3] as usize;
        number[slot] = if claimed[v] {
            copy_vertex(mesh, v, v)
        } else {
            claimed[v] = true;
            v as u32
        };
    }
    for (f, t) in mesh.triangles.iter_mut().enumerate() {
        *t = [number[3 * f], number[3 * f + 1], number[3 * f + 2]];
    }
}

/// A new vertex halfway between two; a copy where they are the same.
fn copy_vertex(mesh: &mut TriMesh, a: usize, b: usize) -> u32 {
    let (p, q) = (mesh.positions[a], mesh.positions[b]);
    mesh.positions
        .push([0, 1, 2].map(|k| f32::midpoint(p[k], q[k])));
    if let (Some(&c), Some(&d)) = (mesh.colors.get(a), mesh.colors.get(b)) {
        mesh.colors.push([0, 1, 2].map(|k| c[k].midpoint(d[k])));
    }
    if let Some(&n) = mesh.normals.get(a) {
        mesh.normals.push(n);
    }
    mesh.positions.len() as u32 - 1
}

/// Where more than one pair of faces runs between the same two vertices, all
/// but the first pair get a vertex of their own in the middle. Returns how many.
fn divide_repeated_edges(mesh: &mut TriMesh) -> usize {
    let edges = sorted_half_edges(&mesh.triangles);
    let mut found = Vec::new();
    for run in edge_runs(&edges).filter(|r| r.len() > 2) {
        let mut here = Vec::new();
        pairs(mesh, run, &mut |a, b| here.push((a, b)));
        found.extend(here.into_iter().skip(1));
    }
    // A face is divided once a round; the next round sees the rest.
    let mut touched = vec![false; mesh.triangles.len()];
    let mut count = 0;
    for (a, b) in found {
        let faces = [a as usize / 3, b as usize / 3];
        if touched[faces[0]] || touched[faces[1]] || faces[0] == faces[1] {
            count += 1;
            continue;
        }
        let t = mesh.triangles[faces[0]];
        let ends = (t[a as usize % 3] as usize, t[(a as usize + 1) % 3] as usize);
        let middle = copy_vertex(mesh, ends.0, ends.1);
        for slot in [a as usize, b as usize] {
            touched[slot / 3] = true;
            let t = mesh.triangles[slot / 3];
            let (from, to, apex) = (t[slot % 3], t[(slot + 1) % 3], t[(slot + 2) % 3]);
            mesh.triangles[slot / 3] = [from, middle, apex];
            mesh.triangles.push([middle, to, apex]);
        }
        count += 1;
    }
    count
}

/// The last resort: of an edge with more than two faces the smallest go.
fn drop_crowded_faces(mesh: &mut TriMesh) {
    let edges = sorted_half_edges(&mesh.triangles);
    let mut kept = vec![true; mesh.triangles.len()];
    for run in edge_runs(&edges).filter(|r| r.len() > 2) {
        let mut faces: Vec<(f64, u32)> = run
            .iter()
            .map(|e| e.slot / 3)
            .map(|f| {
                (
                    norm(area_vector(&mesh.positions, mesh.triangles[f as usize])),
                    f,
                )
            })
            .collect();
        faces.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        for &(_, f) in &faces[2..] {
            kept[f as usize] = false;
        }
    }
    let mut face = 0;
    mesh.triangles.retain(|_| {
        face += 1;
        kept[face - 1]
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology;

    fn cube(at: [f32; 3], first: u32) -> (Vec<[f32; 3]>, Vec<[u32; 3]>) {
        let positions = (0..8)
            .map(|c| [0, 1, 2].map(|k| at[k] + (c >> k & 1) as f32))
            .collect();
        let quads = [
            [0, 2, 3, 1],
            [4, 5, 7, 6],
            [0, 1, 5, 4],
            [2, 6, 7, 3],
            [0, 4, 6, 2],
            [1, 3, 7, 5],
        ];
        let faces = quads
            .iter()
            .flat_map(|q: &[u32; 4]| [[q[0], q[1], q[2]], [q[0], q[2], q[3]]])
            .map(|t| t.map(|v| v + first))
            .collect();
        (positions, faces)
    }

    /// Two cubes with an edge in common.
    fn touching(offset: [f32; 3]) -> TriMesh {
        let (mut positions, mut triangles) = cube([0.0; 3], 0);
        let (more, faces) = cube(offset, 8);
        positions.extend(more);
        triangles.extend(faces);
        // Weld equal positions.
        let number: Vec<u32> = positions
            .iter()
            .map(|p| positions.iter().position(|q| q == p).unwrap() as u32)
            .collect();
        for t in &mut triangles {
            *t = t.map(|v| number[v as usize]);
        }
        TriMesh {
            positions,
            triangles,
            ..TriMesh::default()
        }
    }

    #[test]
    fn cubes_that_touch_come_apart_and_stay_closed() {
        for offset in [[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [1.0, 0.0, 1.0]] {
            let mut mesh = touching(offset);
            assert!(!topology(mesh.positions.len(), &mesh.triangles).is_manifold());
            make_manifold(&mut mesh);
            let t = topology(mesh.positions.len(), &mesh.triangles);
            assert!(t.is_closed_manifold(), "{offset:?}: {t:?}");
            assert_eq!(t.faces, 24);
        }
    }

    #[test]
    fn repeated_and_opposite_faces_go() {
        let mut mesh = touching([5.0, 5.0, 5.0]);
        let (a, b) = (mesh.triangles[0], mesh.triangles[13]);
        mesh.triangles
            .extend([a, a, [b[1], b[0], b[2]], [7, 7, 1], [1, 2, 99]]);
        make_manifold(&mut mesh);
        // The doubled face is there once; the one with an opposite is gone.
        let t = topology(mesh.positions.len(), &mesh.triangles);
        assert_eq!((t.faces, t.border_edges), (23, 3));
        assert!(t.is_manifold());
    }

    #[test]
    fn random_soups_become_manifold() {
        for seed in 0..50u64 {
            let mut rng = relievo_task::rng(seed, "test", "soup");
            let mut draw =
                |n: u64| (rand_xoshiro::rand_core::RngCore::next_u64(&mut rng) % n) as u32;
            let mut mesh = TriMesh {
                positions: (0..20)
                    .map(|_| [0; 3].map(|_: i32| draw(1000) as f32))
                    .collect(),
                triangles: (0..80).map(|_| [0; 3].map(|_: i32| draw(20))).collect(),
                ..TriMesh::default()
            };
            make_manifold(&mut mesh);
            let t = topology(mesh.positions.len(), &mesh.triangles);
            assert!(t.is_manifold(), "seed {seed}: {t:?}");
            mesh.check().unwrap();
        }
    }
}
