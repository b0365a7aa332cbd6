//! Faces that no photo shows take smoothly interpolated colours from around
//! them, in small cells of the atlas.

use crate::adjacency::NONE;
use crate::charts::{BLOCK, CELL, Layout};
use crate::graph_system::GraphSystem;
use rayon::prelude::*;
use relievo_image::Raster;
use relievo_scene::TriMesh;
use relievo_spatial::sample_page;

/// Corners of a face inside its cell, texels.
const CORNERS: [[f32; 2]; 3] = [[1.0, 1.0], [3.0, 1.0], [1.0, 3.0]];
/// Pull towards the model's mean colour, for parts that touch nothing seen.
const RIDGE: f64 = 1e-5;

/// Colours the cells on `pages` and sets `uv` and `page` of the unseen faces.
pub(crate) fn fill_unseen(
    mesh: &TriMesh,
    layout: &Layout,
    pages: &mut [Raster<[u8; 3]>],
    uv: &mut [[[f32; 2]; 3]],
    page: &mut [u16],
) {
    let unseen: Vec<u32> = (0..mesh.triangles.len() as u32)
        .filter(|&f| layout.chart_of[f as usize] == NONE)
        .collect();
    if unseen.is_empty() {
        return;
    }
    let color = vertex_colors(mesh, layout, &unseen, pages, uv, page);
    for (n, &f) in unseen.iter().enumerate() {
        let per_block = (BLOCK * BLOCK) as usize;
        let block = layout.blocks[n / per_block];
        let cell = (n % per_block) as u32;
        let (x0, y0) = (block.x + cell % BLOCK * CELL, block.y + cell / BLOCK * CELL);
        let target = &mut pages[usize::from(block.page)];
        let c = mesh.triangles[f as usize].map(|v| color[v as usize]);
        for y in 0..CELL {
            for x in 0..CELL {
                let b = (f64::from(x) - 0.5) / 2.0;
                let g = (f64::from(y) - 0.5) / 2.0;
                let a = 1.0 - b - g;
                target[((x0 + x) as usize, (y0 + y) as usize)] = std::array::from_fn(|k| {
                    let v = a * c[0][k] + b * c[1][k] + g * c[2][k];
                    v.round().clamp(0.0, 255.0) as u8
                });
            }
        }
        let (w, h) = (target.width() as f32, target.height() as f32);
        uv[f as usize] = CORNERS.map(|p| [(x0 as f32 + p[0]) / w, (y0 as f32 + p[1]) / h]);
        page[f as usize] = block.page;
    }
}

/// A colour for every vertex of an unseen face: that of the seen faces around
/// it, or harmonic between those.
fn vertex_colors(
    mesh: &TriMesh,
    layout: &Layout,
    unseen: &[u32],
    pages: &[Raster<[u8; 3]>],
    uv: &[[[f32; 2]; 3]],
    page: &[u16],
) -> Vec<[f64; 3]> {
    let n = mesh.positions.len();
    let mut wanted = vec![false; n];
    for &f in unseen {
        for v in mesh.triangles[f as usize] {
            wanted[v as usize] = true;
        }
    }
    let samples: Vec<Option<[[f32; 3]; 3]>> = (0..mesh.triangles.len())
        .into_par_iter()
        .with_min_len(4096)
        .map(|f| {
            let touches = mesh.triangles[f].iter().any(|&v| wanted[v as usize]);
            (layout.chart_of[f] != NONE && touches)
                .then(|| uv[f].map(|c| sample_page(&pages[usize::from(page[f])], c[0], c[1])))
        })
        .collect();
    let mut color = vec![[0.0_f64; 3]; n];
    let mut count = vec![0_u32; n];
    for (t, s) in mesh.triangles.iter().zip(&samples) {
        if let Some(s) = s {
            for (v, c) in t.iter().zip(s) {
                count[*v as usize] += 1;
                for k in 0..3 {
                    color[*v as usize][k] += f64::from(c[k]);
                }
            }
        }
    }
    let (mut mean, mut known) = ([0.0; 3], 0.0);
    for (c, n) in color.iter_mut().zip(&count) {
        if *n > 0 {
            *c = c.map(|v| v / f64::from(*n));
            known += 1.0;
            for k in 0..3 {
                mean[k] += c[k];
            }
        }
    }
    let mean = if known > 0.0 {
        mean.map(|m| m / known)
    } else {
        [128.0; 3]
    };
    let mut unknown = vec![NONE; n];
    let mut number = 0_u32;
    for v in 0..n {
        if wanted[v] && count[v] == 0 {
            unknown[v] = number;
            number += 1;
        }
    }
    let mut system = GraphSystem::new(number as usize, RIDGE);
    for &f in unseen {
        let t = mesh.triangles[f as usize];
        for k in 0..3 {
            let (a, b) = (t[k] as usize, t[(k + 1) % 3] as usize);
            match (unknown[a], unknown[b]) {
                (NONE, NONE) => {}
                (NONE, i) | (i, NONE) => {
                    let fixed = color[if unknown[a] == NONE { a } else { b }];
                    system.diagonal[i as usize] += 1.0;
                    for k in 0..3 {
                        system.rhs[i as usize][k] += fixed[k] - mean[k];
                    }
                }
                (i, j) => system.links.push((i, j, 1.0)),
            }
        }
    }
    let solved = system.solve(1e-4, 500);
    for v in 0..n {
        if unknown[v] != NONE {
            let x = solved[unknown[v] as usize];
            color[v] = std::array::from_fn(|k| mean[k] + x[k]);
        }
    }
    color
}
