//! Charts: connected faces that take their colour from the same photo, cut out
//! of its undistorted plane, and their places on the pages.

use crate::adjacency::{Adjacency, NONE, components};
use crate::options::TextureOptions;
use crate::packing::{Place, pack};
use crate::plane::ViewPlane;
use relievo_scene::TriMesh;

/// A piece of a photo on a page.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chart {
    /// Index into the views.
    pub(crate) view: u32,
    /// Faces, ascending.
    pub(crate) faces: Vec<u32>,
    /// Plane pixel of texel position (`padding`, `padding`).
    pub(crate) origin: [f64; 2],
    /// Texels per plane pixel.
    pub(crate) scale: f64,
    /// Texels, padding included.
    pub(crate) size: (u32, u32),
    pub(crate) place: Place,
}

impl Chart {
    /// Position inside the chart's rectangle (texels, padding included) of a
    /// plane pixel.
    #[inline]
    pub(crate) fn texel(&self, plane_px: [f64; 2], padding: u32) -> [f64; 2] {
        std::array::from_fn(|k| (plane_px[k] - self.origin[k]) * self.scale + f64::from(padding))
    }

    /// The inverse of [`Chart::texel`].
    #[inline]
    pub(crate) fn plane_px(&self, texel: [f64; 2], padding: u32) -> [f64; 2] {
        std::array::from_fn(|k| (texel[k] - f64::from(padding)) / self.scale + self.origin[k])
    }
}

/// All charts with their places, and the pages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layout {
    pub(crate) charts: Vec<Chart>,
    /// Chart of each face, or [`NONE`].
    pub(crate) chart_of: Vec<u32>,
    /// Blocks of cells for faces that no photo saw, in face order.
    pub(crate) blocks: Vec<Place>,
    /// Width and height of each page.
    pub(crate) pages: Vec<(u32, u32)>,
    /// Texels per plane pixel.
    pub(crate) density: f64,
}

/// Side of the cell of an unseen face, texels.
pub(crate) const CELL: u32 = 4;
/// Cells along the side of a block.
pub(crate) const BLOCK: u32 = 32;
/// Charts larger than this (plane pixels) that fill little of their rectangle
/// are cut in two.
const SPLIT_AREA: f64 = 16384.0;
const SPLIT_FILL: f64 = 0.4;
/// Share of a page that packing can be counted on to fill.
const PACKING: f64 = 0.9;
/// Texels per pixel below which the budget is overrun rather than obeyed: the
/// padding alone then fills it.
const LEAST_SCALE: f64 = 0.02;

/// Side of a full page, texels.
fn page_side(options: &TextureOptions) -> u32 {
    options.page_px.clamp(256, 16384)
}

/// Texels around the faces of a chart.
pub(crate) fn padding(options: &TextureOptions) -> u32 {
    options.padding_px.clamp(1, page_side(options) / 8)
}

/// Cuts charts and packs them within the budget of `options`.
pub(crate) fn lay_out(
    mesh: &TriMesh,
    adjacency: &Adjacency,
    label: &[u32],
    planes: &[ViewPlane],
    options: &TextureOptions,
) -> Layout {
    let uv: Vec<[[f64; 2]; 3]> = mesh
        .triangles
        .iter()
        .zip(label)
        .map(|(t, &l)| {
            if l == NONE {
                return [[0.0; 2]; 3];
            }
            let plane = &planes[l as usize];
            t.map(|v| plane.plane_px(&plane.to_camera(mesh.positions[v as usize])))
        })
        .collect();
    let page_px = page_side(options);
    let padding = padding(options);
    let density = options.texel_density.clamp(1e-3, 4.0);
    let longest = f64::from(page_px - 2 * padding - 2) / density;
    let mut pieces: Vec<(u32, Vec<u32>)> = Vec::new();
    let (_, parts) = components(adjacency, label);
    for faces in parts {
        split(faces, label, adjacency, &uv, longest, &mut pieces);
    }
    let boxes: Vec<[[f64; 2]; 2]> = pieces.iter().map(|(_, f)| bounds(f, &uv)).collect();
    let unseen = label.iter().filter(|&&l| l == NONE).count();
    let block_texels = (CELL * BLOCK).min(page_px) / CELL * CELL;
    let per_block = (block_texels / CELL).pow(2) as usize;
    let blocks = unseen.div_ceil(per_block);

    let budget = (options.max_megatexels.max(0.01) * 1e6).max(1.0);
    let size_at = |b: &[[f64; 2]; 2], s: f64| -> (u32, u32) {
        let side = |k: usize| {
            let texels = ((b[1][k] - b[0][k].floor()) * s).ceil().max(1.0) as u32;
            (texels + 2 * padding).min(page_px)
        };
        (side(0), side(1))
    };
    let area_at = |s: f64| {
        boxes
            .iter()
            .map(|b| {
                let (w, h) = size_at(b, s);
                f64::from(w) * f64::from(h)
            })
            .sum::<f64>()
            + blocks as f64 * f64::from(block_texels).powi(2)
    };
    let mut scale = density;
    while area_at(scale) > PACKING * budget && scale > LEAST_SCALE {
        scale *= (PACKING * budget / area_at(scale)).sqrt().clamp(0.5, 0.98);
    }
    let (sizes, places, pages) = loop {
        let mut sizes: Vec<(u32, u32)> = boxes.iter().map(|b| size_at(b, scale)).collect();
        sizes.extend(std::iter::repeat_n((block_texels, block_texels), blocks));
        let (places, pages) = best_packing(&sizes, page_px);
        let texels: f64 = pages.iter().map(|p| f64::from(p.0) * f64::from(p.1)).sum();
        if texels <= budget || scale <= LEAST_SCALE {
            break (sizes, places, pages);
        }
        scale *= (budget / texels).sqrt().clamp(0.5, 0.97);
    };
    let mut layout = Layout {
        chart_of: vec![NONE; mesh.triangles.len()],
        blocks: places[pieces.len()..].to_vec(),
        pages,
        density: scale,
        ..Layout::default()
    };
    for (i, (view, mut faces)) in pieces.into_iter().enumerate() {
        faces.sort_unstable();
        for &f in &faces {
            layout.chart_of[f as usize] = i as u32;
        }
        let [low, high] = boxes[i];
        let origin = low.map(f64::floor);
        // A single face may be larger than a page.
        let room =
            |k: usize, size: u32| f64::from(size - 2 * padding) / (high[k] - origin[k]).max(1e-9);
        let fit = room(0, sizes[i].0).min(room(1, sizes[i].1));
        layout.charts.push(Chart {
            view,
            faces,
            origin,
            scale: scale.min(fit),
            size: sizes[i],
            place: places[i],
        });
    }
    layout
}

/// Packs onto full pages; where one page would do, onto a smaller one. Pages
/// end below their last rectangle.
fn best_packing(sizes: &[(u32, u32)], page_px: u32) -> (Vec<Place>, Vec<(u32, u32)>) {
    let area: f64 = sizes.iter().map(|s| f64::from(s.0) * f64::from(s.1)).sum();
    let widest = sizes.iter().map(|s| s.0.max(s.1)).max().unwrap_or(1);
    let mut side = ((area / 0.95).sqrt().ceil() as u32)
        .max(widest)
        .next_multiple_of(64)
        .min(page_px);
    let (places, count) = loop {
        let packed = pack(sizes, side);
        match packed {
            Some((places, count)) if count <= 1 || side >= page_px => break (places, count),
            _ if side >= page_px => break (Vec::new(), 0),
            _ => side = (side + 64).max(side + side / 16).min(page_px),
        }
    };
    let mut pages = vec![(side, 4); count];
    for (p, s) in places.iter().zip(sizes) {
        let h = &mut pages[usize::from(p.page)].1;
        *h = (*h).max((p.y + s.1).next_multiple_of(4).min(side));
    }
    (places, pages)
}

fn bounds(faces: &[u32], uv: &[[[f64; 2]; 3]]) -> [[f64; 2]; 2] {
    let mut b = [[f64::INFINITY; 2], [f64::NEG_INFINITY; 2]];
    for c in faces.iter().flat_map(|&f| &uv[f as usize]) {
        for k in 0..2 {
            b[0][k] = b[0][k].min(c[k]);
            b[1][k] = b[1][k].max(c[k]);
        }
    }
    b
}

fn shown_area(faces: &[u32], uv: &[[[f64; 2]; 3]]) -> f64 {
    faces
        .iter()
        .map(|&f| {
            let [a, b, c] = uv[f as usize];
            0.5 * ((b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])).abs()
        })
        .sum()
}

/// Cuts a chart across its longer side until it fits on a page and fills its
/// rectangle well enough. The pieces show the same photo, so the cuts cannot
/// be seen.
fn split(
    faces: Vec<u32>,
    label: &[u32],
    adjacency: &Adjacency,
    uv: &[[[f64; 2]; 3]],
    longest: f64,
    pieces: &mut Vec<(u32, Vec<u32>)>,
) {
    let mut todo = vec![faces];
    while let Some(faces) = todo.pop() {
        let view = label[faces[0] as usize];
        let b = bounds(&faces, uv);
        let size = [b[1][0] - b[0][0], b[1][1] - b[0][1]];
        let area = size[0] * size[1];
        let too_large = size[0] > longest || size[1] > longest;
        let sparse = area > SPLIT_AREA && shown_area(&faces, uv) < SPLIT_FILL * area;
        if faces.len() < 2 || !(too_large || sparse) {
            pieces.push((view, faces));
            continue;
        }
        let axis = usize::from(size[1] > size[0]);
        let middle = 0.5 * (b[0][axis] + b[1][axis]);
        let low = |f: u32| uv[f as usize].iter().map(|c| c[axis]).sum::<f64>() / 3.0 < middle;
        let (near, far): (Vec<u32>, Vec<u32>) = faces.iter().partition(|&&f| low(f));
        if near.is_empty() || far.is_empty() {
            pieces.push((view, faces));
            continue;
        }
        for half in [far, near] {
            todo.extend(connected(&half, adjacency));
        }
    }
}

/// Connected parts of a set of faces.
fn connected(faces: &[u32], adjacency: &Adjacency) -> Vec<Vec<u32>> {
    let mut sorted = faces.to_vec();
    sorted.sort_unstable();
    let mut taken = vec![false; sorted.len()];
    let mut parts = Vec::new();
    for seed in 0..sorted.len() {
        if taken[seed] {
            continue;
        }
        taken[seed] = true;
        let mut part = vec![sorted[seed]];
        let mut next = 0;
        while next < part.len() {
            let f = part[next] as usize;
            next += 1;
            for g in adjacency.across[f] {
                if g != NONE
                    && let Ok(i) = sorted.binary_search(&g)
                    && !taken[i]
                {
                    taken[i] = true;
                    part.push(g);
                }
            }
        }
        parts.push(part);
    }
    parts
}
