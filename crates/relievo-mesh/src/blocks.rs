//! A mesh cut into blocks of faces by space, for work in parallel.

use rayon::prelude::*;
use relievo_task::ordered;

/// No block yet, and more than one.
const NEW: u32 = u32::MAX;
const MIXED: u32 = u32::MAX - 1;

/// Some faces of a mesh with their own numbering of vertices.
pub(crate) struct Block {
    /// The mesh's number of each vertex, ascending.
    pub(crate) vertices: Vec<u32>,
    /// Per vertex: a face of another block has it too.
    pub(crate) shared: Vec<bool>,
    /// By the block's own numbers, in the mesh's order.
    pub(crate) triangles: Vec<[u32; 3]>,
}

/// Cuts the faces into blocks of at most `most`, halving by count along the
/// longest axis of the faces' centres. `shift` turns to another set of cuts:
/// its first cut stands a third of the way.
///
/// Fixed by the mesh alone.
pub(crate) fn face_blocks(
    positions: &[[f32; 3]],
    triangles: &[[u32; 3]],
    most: usize,
    shift: usize,
) -> Vec<Block> {
    let centre = |f: u32| -> [f32; 3] {
        let t = triangles[f as usize].map(|v| positions[v as usize]);
        [0, 1, 2].map(|k| t[0][k] + t[1][k] + t[2][k])
    };
    let mut items: Vec<([f32; 3], u32)> = (0..triangles.len() as u32)
        .into_par_iter()
        .map(|f| (centre(f), f))
        .collect();
    let mut lists = Vec::new();
    let first = if shift == 0 { 2 } else { 3 };
    halve(&mut items, most, first, &mut lists);
    let mut block_of = vec![NEW; positions.len()];
    for (b, faces) in lists.iter().enumerate() {
        for &v in faces.iter().flat_map(|&f| &triangles[f as usize]) {
            let at = &mut block_of[v as usize];
            if *at == NEW {
                *at = b as u32;
            } else if *at != b as u32 {
                *at = MIXED;
            }
        }
    }
    ordered::map(&lists, |faces| {
        let mut vertices: Vec<u32> = faces.iter().flat_map(|&f| triangles[f as usize]).collect();
        vertices.sort_unstable();
        vertices.dedup();
        let number = |v: u32| vertices.partition_point(|&x| x < v) as u32;
        Block {
            shared: vertices
                .iter()
                .map(|&v| block_of[v as usize] == MIXED)
                .collect(),
            triangles: faces
                .iter()
                .map(|&f| triangles[f as usize].map(number))
                .collect(),
            vertices,
        }
    })
}

/// Splits `items` until a list has at most `most`; the first cut takes one
/// part in `parts`.
fn halve(items: &mut [([f32; 3], u32)], most: usize, parts: usize, lists: &mut Vec<Vec<u32>>) {
    if items.len() <= most.max(1) {
        let mut faces: Vec<u32> = items.iter().map(|i| i.1).collect();
        faces.sort_unstable();
        if !faces.is_empty() {
            lists.push(faces);
        }
        return;
    }
    let (mut low, mut high) = ([f32::INFINITY; 3], [f32::NEG_INFINITY; 3]);
    for (c, _) in items.iter() {
        for k in 0..3 {
            low[k] = low[k].min(c[k]);
            high[k] = high[k].max(c[k]);
        }
    }
    let axis = (0..3)
        .max_by(|&a, &b| (high[a] - low[a]).total_cmp(&(high[b] - low[b])))
        .unwrap_or(0);
    let cut = items.len() / parts;
    items.select_nth_unstable_by(cut, |a, b| {
        a.0[axis].total_cmp(&b.0[axis]).then(a.1.cmp(&b.1))
    });
    let (near, far) = items.split_at_mut(cut);
    let (mut near_lists, mut far_lists) = (Vec::new(), Vec::new());
    rayon::join(
        || halve(near, most, 2, &mut near_lists),
        || halve(far, most, 2, &mut far_lists),
    );
    lists.append(&mut near_lists);
    lists.append(&mut far_lists);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sheet of n × n squares.
    fn sheet(n: u32) -> (Vec<[f32; 3]>, Vec<[u32; 3]>) {
        let side = n + 1;
        let positions = (0..side * side)
            .map(|i| [(i % side) as f32, (i / side) as f32, 0.0])
            .collect();
        let triangles = (0..n * n)
            .flat_map(|i| {
                let a = i / n * side + i % n;
                [[a, a + 1, a + side], [a + 1, a + side + 1, a + side]]
            })
            .collect();
        (positions, triangles)
    }

    #[test]
    fn every_face_is_in_one_block_and_borders_between_blocks_are_known() {
        let (positions, triangles) = sheet(40);
        for shift in 0..2 {
            let blocks = face_blocks(&positions, &triangles, 500, shift);
            assert!(blocks.len() >= 7);
            let mut faces: Vec<[u32; 3]> = Vec::new();
            let mut uses = vec![0; positions.len()];
            for b in &blocks {
                assert!(b.triangles.len() <= 500);
                faces.extend(
                    b.triangles
                        .iter()
                        .map(|t| t.map(|v| b.vertices[v as usize])),
                );
                for &v in &b.vertices {
                    uses[v as usize] += 1;
                }
            }
            for b in &blocks {
                for (&v, &shared) in b.vertices.iter().zip(&b.shared) {
                    assert_eq!(shared, uses[v as usize] > 1);
                }
            }
            faces.sort_unstable();
            let mut all = triangles.clone();
            all.sort_unstable();
            assert_eq!(faces, all);
        }
        let cuts = |shift| {
            face_blocks(&positions, &triangles, 500, shift)[0]
                .triangles
                .len()
        };
        assert_ne!(cuts(0), cuts(1));
    }
}
