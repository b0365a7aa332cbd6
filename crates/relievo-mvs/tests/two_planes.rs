//! A scene with exact depth: a slanted textured wall behind a textured card.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use nalgebra::UnitQuaternion;
use relievo_geometry::{CameraModel, Rigid3, Vec2, Vec3};
use relievo_image::{Raster, Rgb8};
use relievo_mvs::{
    DepthOptions, DepthPlan, FusionOptions, FusionView, FusionViews, GeometricPass, MvsError,
    StereoView, ViewSelectionOptions, estimate_depth_geometric, estimate_depth_photometric, fuse,
    select_views,
};
use relievo_scene::{
    Camera, CameraId, DepthMap, Observation, SparseModel, Track, TrackId, View, ViewId,
};
use relievo_synth::{assert_all_busy, on_threads};
use relievo_task::{Isa, SilentSink, Task};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const WIDTH: u32 = 240;
const HEIGHT: u32 = 180;

fn camera() -> Camera {
    Camera {
        model: CameraModel::Pinhole {
            fx: 220.0,
            fy: 222.0,
            cx: 121.3,
            cy: 88.6,
        },
        width_px: WIDTH,
        height_px: HEIGHT,
        has_prior_focal: true,
    }
}

/// Smooth noise of several octaves, 0 … 1.
fn texture(x: f64, y: f64) -> f64 {
    let corner = |i: i64, j: i64| {
        let mut h = (i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
            ^ (j as u64).wrapping_mul(0xC2B2_AE3D_27D4_EB4F);
        h ^= h >> 29;
        h = h.wrapping_mul(0xBF58_476D_1CE4_E5B9);
        h ^= h >> 32;
        (h & 0xffff) as f64 / 65535.0
    };
    let mut sum = 0.0;
    for (scale, weight) in [(12.0, 0.35), (31.0, 0.35), (70.0, 0.3)] {
        let (u, v) = (x * scale, y * scale);
        let (i, j) = (u.floor(), v.floor());
        let smooth = |t: f64| t * t * (3.0 - 2.0 * t);
        let (a, b) = (smooth(u - i), smooth(v - j));
        let (i, j) = (i as i64, j as i64);
        sum += weight
            * ((corner(i, j) * (1.0 - a) + corner(i + 1, j) * a) * (1.0 - b)
                + (corner(i, j + 1) * (1.0 - a) + corner(i + 1, j + 1) * a) * b);
    }
    sum
}

/// z-depth and grey level of the first surface along a pixel's ray.
fn surface(pose: &Rigid3, ray: &Vec3) -> (f64, f64) {
    let origin = pose.center();
    let direction = pose.rotation.inverse() * ray;
    // The card: z = 2.5, a square around (0.2, 0).
    let t = (2.5 - origin.z) / direction.z;
    let p = origin + direction * t;
    if (p.x - 0.2).abs() < 0.35 && p.y.abs() < 0.35 {
        return (t, texture(p.x + 7.0, p.y + 3.0));
    }
    // The wall: z = 4 + 0.5 x - 0.3 y.
    let n = Vec3::new(-0.5, 0.3, 1.0);
    let t = (4.0 - n.dot(&origin)) / n.dot(&direction);
    let p = origin + direction * t;
    (t, texture(p.x, p.y))
}

struct Scene {
    views: Vec<StereoView>,
    truth: Vec<Raster<f32>>,
    model: SparseModel,
}

fn scene() -> Scene {
    let camera = camera();
    let mut out = Scene {
        views: Vec::new(),
        truth: Vec::new(),
        model: SparseModel::default(),
    };
    out.model.cameras.insert(CameraId(1), camera);
    let places = [
        (0.0, 0.0),
        (0.6, 0.05),
        (-0.6, -0.05),
        (0.05, 0.55),
        (-0.05, -0.5),
    ];
    for (k, (x, y)) in places.into_iter().enumerate() {
        let rotation = UnitQuaternion::from_euler_angles(0.14 * y, -0.14 * x, 0.03 * x);
        let pose = Rigid3::new(rotation, -(rotation * Vec3::new(x, y, 0.0)));
        let mut depth = Raster::new(WIDTH as usize, HEIGHT as usize);
        let gray = Raster::from_fn(WIDTH as usize, HEIGHT as usize, |px, py| {
            let mut sum = 0.0;
            for (a, b) in [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)] {
                let n = camera
                    .model
                    .unproject(&Vec2::new(px as f64 + a, py as f64 + b));
                sum += surface(&pose, &Vec3::new(n.x, n.y, 1.0)).1 / 4.0;
            }
            (30.0 + 190.0 * sum).round() as u8
        });
        for py in 0..HEIGHT as usize {
            for px in 0..WIDTH as usize {
                let n = camera
                    .model
                    .unproject(&Vec2::new(px as f64 + 0.5, py as f64 + 0.5));
                depth[(px, py)] = surface(&pose, &Vec3::new(n.x, n.y, 1.0)).0 as f32;
            }
        }
        let id = ViewId(k as u32 + 1);
        out.views.push(StereoView {
            id,
            camera,
            cam_from_world: pose,
            gray,
            valid: None,
        });
        out.truth.push(depth);
        out.model.views.insert(
            id,
            View {
                camera_id: CameraId(1),
                name: format!("{k}.png"),
                cam_from_world: Some(pose),
                points_px: Vec::new(),
            },
        );
    }
    add_tracks(&mut out);
    out
}

/// Some surface points of view 1, observed by every view that has them inside.
fn add_tracks(scene: &mut Scene) {
    for (k, step) in (0..150).map(|k| (k, k * 7919 % (WIDTH * HEIGHT))) {
        let (px, py) = ((step % WIDTH) as usize, (step / WIDTH) as usize);
        let n = camera()
            .model
            .unproject(&Vec2::new(px as f64 + 0.5, py as f64 + 0.5));
        let z = f64::from(scene.truth[0][(px, py)]);
        let point = scene.views[0]
            .cam_from_world
            .inverse()
            .apply(&(Vec3::new(n.x, n.y, 1.0) * z));
        let mut observations = Vec::new();
        for (id, view) in &mut scene.model.views {
            let Some(pose) = view.cam_from_world else {
                continue;
            };
            let Some(p) = camera().model.project(&pose.apply(&point)) else {
                continue;
            };
            if p.x < 0.0 || p.y < 0.0 || p.x > f64::from(WIDTH) || p.y > f64::from(HEIGHT) {
                continue;
            }
            observations.push(Observation {
                view_id: *id,
                point_idx: view.points_px.len() as u32,
            });
            view.points_px.push([p.x, p.y]);
        }
        scene.model.tracks.insert(
            TrackId(u64::from(k) + 1),
            Track {
                observations,
                position_in_world: Some(point),
                color: [0; 3],
            },
        );
    }
}

fn options() -> DepthOptions {
    DepthOptions {
        levels: 2,
        ..DepthOptions::default()
    }
}

fn task(isa: Isa) -> Task {
    task_within(1 << 30, isa)
}

fn task_within(memory_bytes: u64, isa: Isa) -> Task {
    Task::new(
        Box::new(SilentSink),
        std::sync::Arc::default(),
        memory_bytes,
        0,
        isa,
    )
}

/// Both kinds of pass of every view.
fn all_maps(
    scene: &Scene,
    plans: &BTreeMap<ViewId, DepthPlan>,
    isa: Isa,
) -> BTreeMap<ViewId, DepthMap> {
    let task = task(isa);
    let view = |id: &ViewId| &scene.views[id.0 as usize - 1];
    let first: BTreeMap<ViewId, DepthMap> = plans
        .iter()
        .map(|(id, plan)| {
            let sources: Vec<_> = plan.sources.iter().map(view).collect();
            let map = estimate_depth_photometric(view(id), &sources, plan, &options(), 7, &task)
                .unwrap()
                .map;
            (*id, map)
        })
        .collect();
    plans
        .iter()
        .map(|(id, plan)| {
            let sources: Vec<_> = plan.sources.iter().map(view).collect();
            let before: Vec<_> = plan.sources.iter().map(|s| &first[s]).collect();
            let found = estimate_depth_geometric(
                view(id),
                &sources,
                GeometricPass {
                    previous: &first[id],
                    source_maps: &before,
                    is_last: true,
                },
                plan,
                &options(),
                8,
                &task,
            )
            .unwrap();
            found.map.check().unwrap();
            // Every pixel at least once in each source, and no more than it was tried.
            let a_pixel = found.comparisons / (WIDTH * HEIGHT) as u64;
            assert!((sources.len() as u64..100).contains(&a_pixel), "{a_pixel}");
            (*id, found.map)
        })
        .collect()
}

/// Of the pixels that fall into at least two other views: the share within
/// 0.5 %, and the mean signed relative error of those.
fn score(map: &DepthMap, scene: &Scene, id: ViewId) -> (f64, f64) {
    let own = id.0 as usize - 1;
    let world_from_cam = scene.views[own].cam_from_world.inverse();
    let (mut all, mut good, mut sum) = (0.0, 0.0, 0.0);
    for y in 0..HEIGHT as usize {
        for x in 0..WIDTH as usize {
            let truth = f64::from(scene.truth[own][(x, y)]);
            let n = camera()
                .model
                .unproject(&Vec2::new(x as f64 + 0.5, y as f64 + 0.5));
            let point = world_from_cam.apply(&(Vec3::new(n.x, n.y, 1.0) * truth));
            let seen = scene.views.iter().filter(|v| {
                camera()
                    .model
                    .project(&v.cam_from_world.apply(&point))
                    .is_some_and(|p| {
                        p.x > 0.0 && p.y > 0.0 && p.x < f64::from(WIDTH) && p.y < f64::from(HEIGHT)
                    })
            });
            if seen.count() < 3 {
                continue;
            }
            all += 1.0;
            let relative = f64::from(map.depth[(x, y)]) / truth - 1.0;
            if relative.abs() < 0.005 {
                good += 1.0;
                sum += relative;
            }
        }
    }
    (good / all, sum / good)
}

struct InMemory<'a> {
    scene: &'a Scene,
    maps: &'a BTreeMap<ViewId, DepthMap>,
}

impl FusionViews for InMemory<'_> {
    fn load(&self, id: ViewId) -> Result<FusionView, Box<dyn std::error::Error + Send + Sync>> {
        let map = self.maps.get(&id).ok_or("no such view")?.clone();
        let color: Raster<Rgb8> = self.scene.views[id.0 as usize - 1].gray.map(|g| [*g; 3]);
        Ok(FusionView {
            map,
            cam_from_world: self.scene.views[id.0 as usize - 1].cam_from_world,
            color,
        })
    }
}

#[test]
fn depth_and_cloud_match_the_scene() {
    let scene = scene();
    scene.model.check().unwrap();
    let plans = select_views(
        &scene.model,
        &BTreeSet::new(),
        &ViewSelectionOptions::default(),
    );
    assert_eq!(plans.len(), 5);
    let maps = all_maps(&scene, &plans, Isa::Native);
    for (id, map) in &maps {
        let (share, bias) = score(map, &scene, *id);
        // The rest lies around the card, hidden from most.
        assert!(share > 0.85, "view {id}: {share}");
        // A tenth of a pixel is 0.15 % of the depth here.
        assert!(bias.abs() < 2e-4, "view {id}: bias {bias}");
    }
    let neighbours = plans
        .iter()
        .map(|(id, p)| (*id, p.sources.clone()))
        .collect();
    let views = InMemory {
        scene: &scene,
        maps: &maps,
    };
    let cloud = fuse(
        &views,
        &neighbours,
        &FusionOptions::default(),
        &std::env::temp_dir(),
        &task(Isa::Native),
    )
    .unwrap();
    cloud.check().unwrap();
    assert!(cloud.len() > 20_000, "{} points", cloud.len());
    let wall = Vec3::new(-0.5, 0.3, 1.0);
    let off = cloud
        .positions
        .iter()
        .zip(&cloud.normals)
        .filter(|(p, n)| {
            let p = Vec3::new(f64::from(p[0]), f64::from(p[1]), f64::from(p[2]));
            let near = ((p.z - 2.5).abs()).min((wall.dot(&p) - 4.0).abs() / wall.norm());
            near > 0.02 || n[2] > -0.5
        })
        .count();
    assert!(
        off * 100 < cloud.len(),
        "{off} of {} points are off the surfaces",
        cloud.len()
    );
    assert!((0..cloud.len()).all(|i| cloud.views(i).len() >= 3));
}

#[test]
fn threads_do_not_show_and_portable_kernels_agree() {
    let scene = scene();
    let plans = select_views(
        &scene.model,
        &BTreeSet::from([ViewId(4), ViewId(5)]),
        &ViewSelectionOptions::default(),
    );
    assert_eq!(plans.len(), 3);
    assert!(plans.values().all(|p| p.sources.len() == 2));
    let run = |threads, isa| {
        on_threads(threads, || {
            let maps = all_maps(&scene, &plans, isa);
            let views = InMemory {
                scene: &scene,
                maps: &maps,
            };
            let neighbours = plans
                .iter()
                .map(|(id, p)| (*id, p.sources.clone()))
                .collect();
            let options = FusionOptions::default();
            let scratch = std::env::temp_dir();
            let cloud = fuse(&views, &neighbours, &options, &scratch, &task(isa)).unwrap();
            (maps, cloud)
        })
    };
    let ((maps, cloud), _) = run(1, Isa::Native);
    let (two, seconds) = run(2, Isa::Native);
    assert!(two == (maps.clone(), cloud) && run(3, Isa::Native).0 == two);
    assert_all_busy(&seconds, 0.5);
    let ((portable, _), _) = run(2, Isa::Portable);
    for (id, map) in &maps {
        let (a, _) = score(map, &scene, *id);
        let (b, _) = score(&portable[id], &scene, *id);
        assert!((a - b).abs() < 0.01, "view {id}: {a} against {b}");
        let [a, b] = [map, &portable[id]].map(|m| m.clone().confirmed().depth);
        let pairs = || a.as_slice().iter().zip(b.as_slice());
        let all = pairs().filter(|(a, b)| **a > 0.0 || **b > 0.0).count() as f32;
        let both = pairs().filter(|(a, b)| **a > 0.0 && **b > 0.0).count() as f32;
        let alike = pairs().filter(|(a, b)| (*a - *b).abs() < 0.01 * *a).count() as f32;
        assert!(both > 0.95 * all, "view {id}: {both} of {all} in both");
        assert!(alike > 0.98 * both, "view {id}: {alike} of {both} alike");
    }
}

#[test]
fn memory_does_not_show_in_the_cloud() {
    let scene = scene();
    let mut plans = select_views(
        &scene.model,
        &BTreeSet::new(),
        &ViewSelectionOptions::default(),
    );
    for plan in plans.values_mut() {
        plan.sources.truncate(2);
    }
    let maps = all_maps(&scene, &plans, Isa::Native);
    let views = InMemory {
        scene: &scene,
        maps: &maps,
    };
    let neighbours = plans
        .iter()
        .map(|(id, p)| (*id, p.sources.clone()))
        .collect();
    for (outlier_footprints, spacing_footprints) in [(5.0, 0.5), (2.0, 2.0), (5.0, 0.0), (0.0, 1.0)]
    {
        let options = FusionOptions {
            outlier_footprints,
            spacing_footprints,
            ..FusionOptions::default()
        };
        let within = |mib: u64, scratch: &Path| {
            let task = task_within(mib << 20, Isa::Native);
            fuse(&views, &neighbours, &options, scratch, &task)
        };
        let scratch = std::env::temp_dir();
        let expected = within(1 << 14, &scratch).unwrap();
        assert!(expected.len() > 5_000, "{}", expected.len());
        // A quarter of 16 MiB holds 26 thousand points and all views, of 8 MiB half of both.
        for mib in [16, 8, 4] {
            match within(mib, &scratch) {
                Ok(cloud) => assert!(cloud == expected, "{mib} MiB"),
                Err(MvsError::CloudTooLarge { .. }) => assert!(mib < 8),
                Err(e) => panic!("{e}"),
            }
        }
        let nowhere = Path::new("/nowhere/at/all");
        assert!(within(1 << 14, nowhere).unwrap() == expected);
        let refused = within(8, nowhere).unwrap_err();
        assert!(matches!(refused, MvsError::Scratch(_)), "{refused}");
    }
}

#[test]
fn masked_pixels_lonely_views_and_broken_plans_give_no_depth() {
    let scene = scene();
    let plans = select_views(
        &scene.model,
        &BTreeSet::new(),
        &ViewSelectionOptions::default(),
    );
    let plan = &plans[&ViewId(1)];
    let task = task(Isa::Native);
    let sources: Vec<&StereoView> = plan
        .sources
        .iter()
        .map(|id| &scene.views[id.0 as usize - 1])
        .collect();
    let mut masked = scene.views[0].clone();
    masked.valid = Some(Raster::from_fn(WIDTH as usize, HEIGHT as usize, |x, _| {
        if x < 100 { 0 } else { 255 }
    }));
    let quick = DepthOptions {
        levels: 1,
        coarse_iterations: 1,
        fine_iterations: 1,
        ..DepthOptions::default()
    };
    let photometric = |sources: &[&StereoView], plan: &DepthPlan| {
        let found = estimate_depth_photometric(&masked, sources, plan, &quick, 1, &task);
        found.unwrap().map
    };
    let map = photometric(&sources, plan);
    for y in 0..HEIGHT as usize {
        assert!(map.depth.row(y)[..100].iter().all(|z| *z == 0.0));
    }
    assert!(map.depth.row(90)[150] > 0.0);

    let alone = photometric(&[], plan);
    assert!(alone.depth.as_slice().iter().all(|z| *z == 0.0));

    let broken = DepthPlan {
        depth_min: f64::NAN,
        sparse_in_world: vec![[f64::NAN; 3]; 4],
        ..plan.clone()
    };
    let none = photometric(&sources, &broken);
    assert!(none.depth.as_slice().iter().all(|z| *z == 0.0));
}

#[test]
fn views_that_share_nothing_stand_behind_or_are_not_finite_get_no_plan() {
    let select = |model: &SparseModel| {
        select_views(model, &BTreeSet::new(), &ViewSelectionOptions::default())
    };
    let whole = scene().model;
    // One view only.
    let mut one = whole.clone();
    one.views.retain(|id, _| *id == ViewId(1));
    for track in one.tracks.values_mut() {
        track.observations.retain(|o| o.view_id == ViewId(1));
    }
    assert!(select(&one).is_empty());
    // Each view sees tracks of its own.
    let mut apart = whole.clone();
    for (k, track) in apart.tracks.values_mut().enumerate() {
        let keep = k % track.observations.len().max(1);
        track.observations = track.observations.get(keep).copied().into_iter().collect();
    }
    assert!(select(&apart).is_empty());
    // A pose that is not finite takes its own view out and no other.
    let mut broken = whole.clone();
    let view = broken.views.get_mut(&ViewId(2)).unwrap();
    view.cam_from_world.as_mut().unwrap().translation.x = f64::NAN;
    let plans = select(&broken);
    assert_eq!(plans.len(), 4);
    assert!(plans.values().all(|p| !p.sources.contains(&ViewId(2))));
    // So does a view whose points all lie behind it.
    let mut behind = whole.clone();
    let view = behind.views.get_mut(&ViewId(3)).unwrap();
    let pose = view.cam_from_world.as_mut().unwrap();
    let turn = UnitQuaternion::from_euler_angles(0.0, std::f64::consts::PI, 0.0);
    *pose = Rigid3::new(turn * pose.rotation, turn * pose.translation);
    let plans = select(&behind);
    assert_eq!(plans.len(), 4);
    assert!(plans.values().all(|p| !p.sources.contains(&ViewId(3))));
    // And points that are not finite.
    let mut lost = whole;
    for track in lost.tracks.values_mut() {
        track.position_in_world = Some(Vec3::new(f64::NAN, 0.0, 1.0));
    }
    assert!(select(&lost).is_empty());
}

#[test]
fn two_views_that_alone_see_a_surface_give_it_points() {
    let mut scene = scene();
    // Views 4 and 5 look away: nothing there is known of the scene.
    let plans = select_views(
        &scene.model,
        &BTreeSet::from([ViewId(3), ViewId(4), ViewId(5)]),
        &ViewSelectionOptions::default(),
    );
    assert_eq!(plans.len(), 2);
    let mut maps = all_maps(&scene, &plans, Isa::Native);
    let neighbours: BTreeMap<ViewId, Vec<ViewId>> = (1..=3)
        .map(|k| {
            let all = (1..=3).filter(|o| *o != k).map(ViewId).collect();
            (ViewId(k), all)
        })
        .collect();
    // A third view without any depth.
    maps.insert(ViewId(3), DepthMap::new(camera()));
    let count = |scene: &Scene, maps: &BTreeMap<ViewId, DepthMap>, few_views| {
        let options = FusionOptions {
            few_views,
            ..FusionOptions::default()
        };
        let views = InMemory { scene, maps };
        let scratch = std::env::temp_dir();
        fuse(&views, &neighbours, &options, &scratch, &task(Isa::Native))
            .unwrap()
            .len()
    };
    assert_eq!(count(&scene, &maps, 0), 0);
    let both = count(&scene, &maps, 2);
    assert!(both > 10_000, "{both}");
    // A third that sees through the surface takes them away.
    let mut far = DepthMap::new(camera());
    for y in 0..HEIGHT as usize {
        for x in 0..WIDTH as usize {
            far.depth[(x, y)] = 40.0;
            far.normal[(x, y)] = relievo_scene::PackedNormal::pack([0.0, 0.0, -1.0]);
            far.confidence[(x, y)] = 200;
        }
    }
    maps.insert(ViewId(3), far);
    scene.truth.clear();
    let through = count(&scene, &maps, 2);
    // What lies outside of its picture stays.
    assert!(through < both / 2, "{through} of {both}");
}
