//! Final colours of the charts: gain, global and local corrections.

use crate::adjacency::NONE;
use crate::charts::Layout;
use crate::coverage::Coverage;
use crate::global_levelling::Corrections;
use crate::local_levelling::Strip;
use crate::options::TextureOptions;
use crate::plane::ViewPlane;
use crate::seams::{Seam, point};
use rayon::prelude::*;
use relievo_image::Raster;
use relievo_scene::TriMesh;
use relievo_task::{Cancelled, Task};

/// Texels of one batch of charts.
const BATCH: usize = 16_000_000;

/// Turns the raw photo colours on `pages` into final ones; returns the number
/// of texels that some face shows.
pub(crate) fn level_pages(
    mesh: &TriMesh,
    layout: &Layout,
    planes: &[ViewPlane],
    gains: &[[f32; 3]],
    seams: &[Seam],
    corrections: &Corrections,
    pages: &mut [Raster<[u8; 3]>],
    padding: u32,
    options: &TextureOptions,
    task: &Task,
) -> Result<usize, Cancelled> {
    let wanted = wanted_by_chart(layout, seams, corrections, options);
    let progress = task.progress("levelling colours", layout.charts.len() as u64);
    let mut used = 0;
    let mut first = 0;
    while first < layout.charts.len() {
        task.check()?;
        let (mut last, mut texels) = (first, 0);
        while last < layout.charts.len() && (last == first || texels < BATCH) {
            let size = layout.charts[last].size;
            texels += size.0 as usize * size.1 as usize;
            last += 1;
        }
        let source: &[Raster<[u8; 3]>] = pages;
        let patches: Vec<(usize, Vec<[u8; 3]>)> = (first..last)
            .into_par_iter()
            .with_max_len(1)
            .map(|c| {
                let chart = &layout.charts[c];
                let plane = &planes[chart.view as usize];
                let coverage = Coverage::new(mesh, chart, plane, padding);
                let strip = Strip::solve(&coverage, &wanted[c], options.strip_px);
                let patch = level_chart(
                    mesh,
                    layout,
                    c,
                    &coverage,
                    &strip,
                    gains[chart.view as usize],
                    corrections,
                    &source[usize::from(chart.place.page)],
                );
                (coverage.inside.iter().filter(|i| **i).count(), patch)
            })
            .collect();
        for (c, (inside, patch)) in (first..last).zip(patches) {
            used += inside;
            let chart = &layout.charts[c];
            let page = &mut pages[usize::from(chart.place.page)];
            blit(page, chart.place.x, chart.place.y, chart.size, &patch);
        }
        progress.add((last - first) as u64);
        first = last;
    }
    Ok(used)
}

/// Copies a rectangle of colours onto a page.
pub(crate) fn blit(
    page: &mut Raster<[u8; 3]>,
    x: u32,
    y: u32,
    (w, h): (u32, u32),
    colors: &[[u8; 3]],
) {
    let (x, w) = (x as usize, w as usize);
    for row in 0..h as usize {
        page.row_mut(y as usize + row)[x..x + w].copy_from_slice(&colors[row * w..(row + 1) * w]);
    }
}

type Wanted = Vec<([f64; 2], [f32; 3])>;

/// Per chart the corrections that remain wanted along its seams.
fn wanted_by_chart(
    layout: &Layout,
    seams: &[Seam],
    corrections: &Corrections,
    options: &TextureOptions,
) -> Vec<Wanted> {
    let mut wanted: Vec<Wanted> = vec![Vec::new(); layout.charts.len()];
    if !options.local_levelling {
        return wanted;
    }
    for seam in seams {
        let ends: [[[f64; 3]; 2]; 2] = seam.sides.map(|s| {
            let view = layout.charts[s.chart as usize].view;
            seam.vertices.map(|v| corrections.at(v, view))
        });
        let last = (seam.step.len() - 1) as f64;
        for (i, d) in seam.step.iter().enumerate() {
            let t = i as f64 / last;
            let half: [f32; 3] = std::array::from_fn(|k| {
                let at = |s: usize| ends[s][0][k] * (1.0 - t) + ends[s][1][k] * t;
                0.5 * (d[k] + (at(1) - at(0)) as f32)
            });
            for (s, sign) in [(0, 1.0), (1, -1.0)] {
                let side = &seam.sides[s];
                wanted[side.chart as usize].push((point(side, t), half.map(|v| v * sign)));
            }
        }
    }
    wanted
}

fn level_chart(
    mesh: &TriMesh,
    layout: &Layout,
    index: usize,
    coverage: &Coverage,
    strip: &Strip,
    gain: [f32; 3],
    corrections: &Corrections,
    page: &Raster<[u8; 3]>,
) -> Vec<[u8; 3]> {
    let chart = &layout.charts[index];
    let by_face: Vec<[[f64; 3]; 3]> = chart
        .faces
        .iter()
        .map(|&f| mesh.triangles[f as usize].map(|v| corrections.at(v, chart.view)))
        .collect();
    let (w, h) = (coverage.width, coverage.height);
    let mut out = vec![[0_u8; 3]; w * h];
    let (mut sum, mut n) = ([0_u64; 3], 0_u64);
    let local = spread(coverage, strip);
    for y in 0..h {
        let row = page.row(chart.place.y as usize + y);
        for x in 0..w {
            let t = y * w + x;
            let face = coverage.face[t];
            if face == NONE {
                continue;
            }
            let raw = row[chart.place.x as usize + x];
            let weights = coverage.weights(face, x, y);
            let g = by_face[face as usize];
            let d = local.get(t).copied().unwrap_or([0.0; 3]);
            let c: [u8; 3] = std::array::from_fn(|k| {
                let global = (0..3).map(|i| weights[i] * g[i][k]).sum::<f64>() as f32;
                (f32::from(raw[k]) * gain[k] + global + d[k])
                    .round()
                    .clamp(0.0, 255.0) as u8
            });
            out[t] = c;
            if coverage.inside[t] {
                n += 1;
                for k in 0..3 {
                    sum[k] += u64::from(c[k]);
                }
            }
        }
    }
    // A quiet colour between the faces keeps mip maps and JPEG clean.
    let mean = sum.map(|s| (s / n.max(1)) as u8);
    for (o, f) in out.iter_mut().zip(&coverage.face) {
        if *f == NONE {
            *o = mean;
        }
    }
    out
}

/// Local corrections per texel, carried outwards around the faces.
fn spread(coverage: &Coverage, strip: &Strip) -> Vec<[f32; 3]> {
    if strip.is_empty() {
        return Vec::new();
    }
    let (w, h) = (coverage.width, coverage.height);
    let mut values = vec![[0.0; 3]; w * h];
    let mut edge = Vec::new();
    let mut done = coverage.inside.clone();
    for t in 0..w * h {
        if strip.holds(t) {
            values[t] = strip.at(t);
            done[t] = true;
        }
        if done[t] {
            edge.push(t);
        }
    }
    while !edge.is_empty() {
        let mut next = Vec::new();
        for t in edge {
            for u in crate::local_levelling::neighbours(t, w, h)
                .into_iter()
                .flatten()
            {
                if !done[u] && coverage.face[u] != NONE {
                    done[u] = true;
                    values[u] = values[t];
                    next.push(u);
                }
            }
        }
        edge = next;
    }
    values
}
