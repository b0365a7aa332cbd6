//! From mesh and photos to the finished atlas: all steps in order.

use crate::adjacency::{Adjacency, NONE};
use crate::bake::bake_chart;
use crate::candidates::Candidates;
use crate::charts::{Layout, lay_out};
use crate::consistency::reject_outliers;
use crate::gains::view_gains;
use crate::global_levelling::Corrections;
use crate::labelling::label_faces;
use crate::level::{blit, level_pages};
use crate::observe::{self, Seen, observe};
use crate::plane::ViewPlane;
use crate::seams::{find_seams, rms_step};
use crate::unseen::fill_unseen;
use crate::{PhotoSource, TextureError, TextureFigures, TextureOptions, TexturePhoto, TextureView};
use rayon::prelude::*;
use relievo_image::Raster;
use relievo_scene::{TextureAtlas, TexturedMesh, TriMesh};
use relievo_task::Task;

/// [`crate::texture_mesh`], with figures for the report.
pub fn texture_mesh_with_figures(
    mesh: &TriMesh,
    views: &[TextureView],
    photos: &dyn PhotoSource,
    options: &TextureOptions,
    task: &Task,
) -> Result<(TexturedMesh, TextureFigures), TextureError> {
    task.check()?;
    mesh.check().map_err(TextureError::Mesh)?;
    if mesh.triangles.is_empty() {
        return Err(TextureError::NoFaces);
    }
    for view in views {
        let broken = view.camera.check().err();
        if broken.is_some() || !view.cam_from_world.is_finite() {
            return Err(TextureError::Camera {
                name: view.name.clone(),
                source: broken,
            });
        }
    }
    let planes: Vec<ViewPlane> = views.iter().map(ViewPlane::new).collect();
    let adjacency = Adjacency::new(mesh);

    // 1. What every photo shows.
    let seen = observe_views(mesh, views, &planes, photos, options, task)?;
    let mut candidates = Candidates::gather(mesh.triangles.len(), &seen);
    drop(seen);
    let gains = view_gains(&candidates, views.len());
    let rejected = if options.reject_outliers {
        reject_outliers(&mut candidates, &gains)
    } else {
        0
    };
    task.check()?;

    // 2. One photo per face.
    let label = label_faces(
        mesh,
        &adjacency,
        &candidates,
        options.smoothness,
        options.labelling_rounds,
        task,
    )?;
    drop(candidates);
    let faces_seen = label.iter().filter(|l| **l != NONE).count();
    if faces_seen == 0 {
        return Err(TextureError::NothingSeen { views: views.len() });
    }

    // 3. Charts with the photos' pixels.
    let layout = lay_out(mesh, &adjacency, &label, &planes, options);
    let padding = crate::charts::padding(options);
    let mut pages: Vec<Raster<[u8; 3]>> = layout
        .pages
        .iter()
        .map(|&(w, h)| Raster::new(w as usize, h as usize))
        .collect();
    let views_used = bake_views(
        mesh, views, &planes, photos, &layout, &mut pages, padding, task,
    )?;

    // 4. Even colours.
    let output_gains = if options.global_levelling {
        gains
    } else {
        vec![[1.0; 3]; views.len()]
    };
    let raw_gains = vec![[1.0; 3]; views.len()];
    let raw = find_seams(
        mesh, &adjacency, &layout, &planes, &raw_gains, &pages, padding,
    );
    let seam_step_before = rms_step(&raw, |_, _, _| [0.0; 3]);
    drop(raw);
    let seams = find_seams(
        mesh,
        &adjacency,
        &layout,
        &planes,
        &output_gains,
        &pages,
        padding,
    );
    let corrections = if options.global_levelling {
        Corrections::solve(mesh, &adjacency, &label, &seams)
    } else {
        Corrections::default()
    };
    let seam_step_after = rms_step(&seams, |seam, side, end| {
        let view = layout.charts[seam.sides[side].chart as usize].view;
        corrections.at(seam.vertices[end], view)
    });
    let used = level_pages(
        mesh,
        &layout,
        &planes,
        &output_gains,
        &seams,
        &corrections,
        &mut pages,
        padding,
        options,
        task,
    )?;

    // 5. Places on the pages, and the faces that no photo shows.
    let (mut uv, mut page) = places(mesh, &layout, &planes, padding);
    fill_unseen(mesh, &layout, &mut pages, &mut uv, &mut page);
    let texels = pages.iter().map(|p| p.width() * p.height()).sum::<usize>();
    let unseen_texels = (mesh.triangles.len() - faces_seen) * 16;
    let figures = TextureFigures {
        faces: mesh.triangles.len(),
        faces_seen,
        views_used,
        observations_rejected: rejected,
        charts: layout.charts.len(),
        pages: pages.len(),
        texels,
        used_share: (used + unseen_texels) as f64 / texels.max(1) as f64,
        texel_density: layout.density,
        seam_step_before,
        seam_step_after,
    };
    let model = TexturedMesh {
        mesh: mesh.clone(),
        atlas: TextureAtlas {
            pages,
            uv,
            page,
            seen: label.iter().map(|l| *l != NONE).collect(),
        },
    };
    Ok((model, figures))
}

fn load(photos: &dyn PhotoSource, view: &TextureView) -> Result<TexturePhoto, TextureError> {
    let photo = photos.load(view.id).map_err(|source| TextureError::Photo {
        view_id: view.id,
        name: view.name.clone(),
        source,
    })?;
    let expected = (view.camera.width_px, view.camera.height_px);
    let fits = |w: usize, h: usize| (w, h) == (expected.0 as usize, expected.1 as usize);
    let size = (photo.rgb.width(), photo.rgb.height());
    let mask = photo
        .mask
        .as_ref()
        .map_or(size, |m| (m.width(), m.height()));
    for got in [size, mask] {
        if !fits(got.0, got.1) {
            return Err(TextureError::PhotoSize {
                name: view.name.clone(),
                expected,
                got,
            });
        }
    }
    Ok(photo)
}

/// How many views may be in flight when each holds `bytes`.
fn in_flight(bytes: u64, task: &Task) -> usize {
    (task.memory_bytes() / 2 / bytes.max(1)).clamp(1, 64) as usize
}

fn observe_views(
    mesh: &TriMesh,
    views: &[TextureView],
    planes: &[ViewPlane],
    photos: &dyn PhotoSource,
    options: &TextureOptions,
    task: &Task,
) -> Result<Vec<Vec<Seen>>, TextureError> {
    let bytes = views
        .iter()
        .map(|v| {
            let (w, h) = (v.camera.width_px, v.camera.height_px);
            let factor = observe::reduction(w.max(h), options);
            observe::bytes_needed(mesh, u64::from(w) * u64::from(h), factor)
        })
        .max()
        .unwrap_or(0);
    let progress = task.progress("looking at the surface in the photos", views.len() as u64);
    let mut seen = Vec::with_capacity(views.len());
    let together: Vec<(&TextureView, &ViewPlane)> = views.iter().zip(planes).collect();
    for batch in together.chunks(in_flight(bytes, task)) {
        let found: Vec<Result<Vec<Seen>, TextureError>> = batch
            .par_iter()
            .with_max_len(1)
            .map(|(view, plane)| {
                task.check()?;
                let photo = load(photos, view)?;
                let seen = observe(mesh, plane, &view.cam_from_world, &photo, options);
                progress.add(1);
                Ok(seen)
            })
            .collect();
        for f in found {
            seen.push(f?);
        }
    }
    Ok(seen)
}

/// Bakes every chart; returns how many views have any.
fn bake_views(
    mesh: &TriMesh,
    views: &[TextureView],
    planes: &[ViewPlane],
    photos: &dyn PhotoSource,
    layout: &Layout,
    pages: &mut [Raster<[u8; 3]>],
    padding: u32,
    task: &Task,
) -> Result<usize, TextureError> {
    let mut of_view: Vec<Vec<usize>> = vec![Vec::new(); views.len()];
    for (c, chart) in layout.charts.iter().enumerate() {
        of_view[chart.view as usize].push(c);
    }
    let used: Vec<usize> = (0..views.len())
        .filter(|&v| !of_view[v].is_empty())
        .collect();
    let texels = |v: usize| {
        of_view[v]
            .iter()
            .map(|&c| {
                let s = layout.charts[c].size;
                u64::from(s.0) * u64::from(s.1)
            })
            .sum::<u64>()
    };
    let bytes = used
        .iter()
        .map(|&v| {
            let c = &views[v].camera;
            3 * u64::from(c.width_px) * u64::from(c.height_px) + 10 * texels(v)
        })
        .max()
        .unwrap_or(0);
    let progress = task.progress("cutting charts from the photos", used.len() as u64);
    for batch in used.chunks(in_flight(bytes, task).min(8)) {
        let baked: Vec<Result<Vec<Raster<[u8; 3]>>, TextureError>> = batch
            .par_iter()
            .with_max_len(1)
            .map(|&v| {
                task.check()?;
                let photo = load(photos, &views[v])?;
                let patches = of_view[v]
                    .par_iter()
                    .map(|&c| bake_chart(mesh, &layout.charts[c], &planes[v], &photo.rgb, padding))
                    .collect();
                progress.add(1);
                Ok(patches)
            })
            .collect();
        for (&v, patches) in batch.iter().zip(baked) {
            for (&c, patch) in of_view[v].iter().zip(patches?) {
                let chart = &layout.charts[c];
                let page = &mut pages[usize::from(chart.place.page)];
                blit(
                    page,
                    chart.place.x,
                    chart.place.y,
                    chart.size,
                    patch.as_slice(),
                );
            }
        }
    }
    Ok(used.len())
}

type Places = (Vec<[[f32; 2]; 3]>, Vec<u16>);

fn places(mesh: &TriMesh, layout: &Layout, planes: &[ViewPlane], padding: u32) -> Places {
    mesh.triangles
        .par_iter()
        .zip(&layout.chart_of)
        .with_min_len(4096)
        .map(|(t, &c)| {
            if c == NONE {
                return ([[0.0; 2]; 3], 0);
            }
            let chart = &layout.charts[c as usize];
            let plane = &planes[chart.view as usize];
            let (w, h) = layout.pages[usize::from(chart.place.page)];
            let corners = t.map(|v| {
                let q = plane.to_camera(mesh.positions[v as usize]);
                let at = chart.texel(plane.plane_px(&q), padding);
                [
                    ((f64::from(chart.place.x) + at[0]) / f64::from(w)).clamp(0.0, 1.0) as f32,
                    ((f64::from(chart.place.y) + at[1]) / f64::from(h)).clamp(0.0, 1.0) as f32,
                ]
            });
            (corners, chart.place.page)
        })
        .unzip()
}
