//! Samples of known shapes through the whole chain.

use rand_xoshiro::rand_core::RngCore;
use relievo_geometry::{CameraModel, Rigid3, Vec3};
use relievo_mesh::{
    CleanOptions, MeshError, PoissonOptions, SimplifyOptions, SurfaceOptions, SurfaceView,
    TrimOptions, Visibility, clean, memory_bytes, reconstruct, simplify, surface, topology, trim,
    visibility,
};
use relievo_scene::{Camera, PointCloud, TriMesh, ViewId};
use relievo_task::Task;
use std::f32::consts::TAU;

struct Draw(relievo_task::Rng);

impl Draw {
    fn new(seed: u64) -> Self {
        Self(relievo_task::rng(seed, "test", "shapes"))
    }
    /// 0 … 1.
    fn uniform(&mut self) -> f32 {
        (self.0.next_u64() >> 40) as f32 / (1u64 << 24) as f32
    }
    /// Roughly normal, unit variance.
    fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.uniform()).sum::<f32>() - 6.0
    }
}

fn push(cloud: &mut PointCloud, p: [f32; 3], n: [f32; 3]) {
    cloud.positions.push(p);
    cloud.normals.push(n);
    cloud.colors.push([200, 100, 50]);
    cloud.confidence.push(255);
}

fn sphere(count: usize, centre: [f32; 3], radius: f32, noise: f32, seed: u64) -> PointCloud {
    let mut draw = Draw::new(seed);
    let mut cloud = PointCloud::default();
    for _ in 0..count {
        let (z, a) = (2.0 * draw.uniform() - 1.0, TAU * draw.uniform());
        let r = (1.0 - z * z).sqrt();
        let n = [r * a.cos(), r * a.sin(), z];
        let length = radius + noise * draw.normal();
        push(&mut cloud, [0, 1, 2].map(|k| centre[k] + length * n[k]), n);
    }
    cloud
}

fn torus(count: usize, seed: u64) -> PointCloud {
    let mut draw = Draw::new(seed);
    let mut cloud = PointCloud::default();
    while cloud.len() < count {
        let (u, v) = (TAU * draw.uniform(), TAU * draw.uniform());
        if draw.uniform() * 1.4 > 1.0 + 0.4 * v.cos() {
            continue;
        }
        let n = [v.cos() * u.cos(), v.cos() * u.sin(), v.sin()];
        let ring = 1.0 + 0.4 * v.cos();
        push(
            &mut cloud,
            [ring * u.cos(), ring * u.sin(), 0.4 * v.sin()],
            n,
        );
    }
    cloud
}

fn plane(side: usize, spacing: f32) -> PointCloud {
    let mut draw = Draw::new(3);
    let mut cloud = PointCloud::default();
    for i in 0..side * side {
        let at = [i % side, i / side].map(|k| k as f32 * spacing + 0.2 * spacing * draw.uniform());
        push(
            &mut cloud,
            [at[0], at[1], 0.02 * spacing * draw.normal()],
            [0.0, 0.0, 1.0],
        );
    }
    cloud
}

fn append(to: &mut PointCloud, from: PointCloud) {
    to.positions.extend(from.positions);
    to.normals.extend(from.normals);
    to.colors.extend(from.colors);
    to.confidence.extend(from.confidence);
}

fn run(cloud: &PointCloud, target_faces: usize) -> TriMesh {
    let mut options = SurfaceOptions::default();
    options.simplify.target_faces = target_faces;
    let found = surface(cloud, &[], &options, &Task::silent()).expect("a surface");
    found.mesh.check().expect("a sound mesh");
    found.mesh
}

/// Largest distance of a vertex from the sphere.
fn sphere_error(mesh: &TriMesh, radius: f32) -> f32 {
    let length = |p: &[f32; 3]| p.iter().map(|x| x * x).sum::<f32>().sqrt();
    mesh.positions
        .iter()
        .map(|p| (length(p) - radius).abs())
        .fold(0.0, f32::max)
}

#[test]
fn a_sphere_is_closed_and_round() {
    let cloud = sphere(20_000, [0.0; 3], 1.0, 0.0, 1);
    let mesh = run(&cloud, 1_000_000);
    let t = topology(mesh.positions.len(), &mesh.triangles);
    assert!(t.is_closed_manifold() && t.components == 1, "{t:?}");
    assert_eq!(t.euler(), 2);
    // The spacing is 0.025.
    assert!(
        sphere_error(&mesh, 1.0) < 0.005,
        "{}",
        sphere_error(&mesh, 1.0)
    );
    let outwards: Vec<f32> = mesh
        .positions
        .iter()
        .zip(&mesh.normals)
        .map(|(p, n)| (0..3).map(|k| p[k] * n[k]).sum())
        .collect();
    assert!(outwards.iter().all(|c| *c > 0.7));
    assert!(outwards.iter().sum::<f32>() > 0.99 * outwards.len() as f32);
    assert!(mesh.colors.iter().all(|c| *c == [200, 100, 50]));
}

#[test]
fn noise_is_averaged() {
    // Noise of half the spacing.
    let cloud = sphere(20_000, [0.0; 3], 1.0, 0.0125, 2);
    let mesh = run(&cloud, 1_000_000);
    let t = topology(mesh.positions.len(), &mesh.triangles);
    assert!(t.is_closed_manifold() && t.euler() == 2, "{t:?}");
    let mean = mesh
        .positions
        .iter()
        .map(|p| f64::from((p.iter().map(|x| x * x).sum::<f32>().sqrt() - 1.0).abs()))
        .sum::<f64>()
        / mesh.positions.len() as f64;
    assert!(mean < 0.009, "{mean}");
}

#[test]
fn a_torus_keeps_its_hole() {
    let mesh = run(&torus(30_000, 1), 1_000_000);
    let t = topology(mesh.positions.len(), &mesh.triangles);
    assert!(t.is_closed_manifold() && t.components == 1, "{t:?}");
    assert_eq!(t.euler(), 0);
}

#[test]
fn two_bodies_and_far_strays() {
    let mut cloud = sphere(15_000, [0.0; 3], 1.0, 0.0, 1);
    append(&mut cloud, sphere(4_000, [4.0, 0.0, 0.0], 0.5, 0.0, 2));
    for k in 0..5 {
        push(&mut cloud, [1e4, -3e5, 7.0 * k as f32], [0.0, 1.0, 0.0]);
    }
    let mesh = run(&cloud, 1_000_000);
    let t = topology(mesh.positions.len(), &mesh.triangles);
    assert!(t.is_closed_manifold(), "{t:?}");
    assert_eq!((t.components, t.euler()), (2, 4));
}

#[test]
fn a_plane_ends_near_its_last_points_and_its_gap_closes() {
    let mut cloud = plane(120, 0.1);
    // A gap of 6 × 6 spacings in the middle.
    let gap = |p: &[f32; 3]| (p[0] - 6.0).abs() < 0.3 && (p[1] - 6.0).abs() < 0.3;
    let kept: Vec<bool> = cloud.positions.iter().map(|p| !gap(p)).collect();
    let mut i = 0;
    cloud.positions.retain(|_| {
        i += 1;
        kept[i - 1]
    });
    let n = cloud.positions.len();
    cloud.normals.truncate(n);
    cloud.colors.truncate(n);
    cloud.confidence.truncate(n);
    let mesh = run(&cloud, 1_000_000);
    for p in &mesh.positions {
        assert!(
            p[0] > -0.5 && p[0] < 12.5 && p[1] > -0.5 && p[1] < 12.5,
            "{p:?}"
        );
        assert!(p[2].abs() < 0.1, "{p:?}");
    }
    let t = topology(mesh.positions.len(), &mesh.triangles);
    // One border, no hole: a disc.
    assert!(t.is_manifold() && t.border_edges > 0);
    assert_eq!((t.components, t.euler()), (1, 1), "{t:?}");
}

#[test]
fn the_bytes_do_not_depend_on_the_threads() {
    let mut cloud = torus(12_000, 5);
    append(&mut cloud, sphere(8_000, [0.0, 0.0, 2.0], 0.7, 0.01, 4));
    let on = |threads| {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap()
            .install(|| run(&cloud, 8_000))
    };
    let (one, two) = (on(1), on(2));
    assert!(one == two);
    assert!(one == on(5));
}

#[test]
fn simplified_surfaces_are_manifold_and_near() {
    for seed in 0..6 {
        let mut cloud = torus(6_000, seed);
        append(&mut cloud, sphere(3_000, [0.3, 0.2, 0.5], 0.6, 0.02, seed));
        let task = Task::silent();
        let raw = reconstruct(&cloud, &PoissonOptions::default(), &task).unwrap();
        let trimmed = trim(
            &raw.mesh,
            &raw.density,
            &cloud,
            &Visibility::default(),
            &TrimOptions::default(),
            &task,
        )
        .unwrap();
        let cleaned = clean(&trimmed, raw.spacing, &CleanOptions::default(), &task).unwrap();
        let options = SimplifyOptions {
            target_faces: 1_500,
            max_error: 1.0,
        };
        let small = simplify(&cleaned, raw.spacing, &options, &task).unwrap();
        for mesh in [&cleaned, &small] {
            let t = topology(mesh.positions.len(), &mesh.triangles);
            assert!(t.is_manifold(), "seed {seed}: {t:?}");
            mesh.check().unwrap();
        }
        assert!(small.triangles.len() < cleaned.triangles.len() / 2);
    }
}

#[test]
fn bad_clouds_are_refused_or_survived() {
    let task = Task::silent();
    let options = SurfaceOptions::default();
    let refused = |cloud: &PointCloud| surface(cloud, &[], &options, &task).unwrap_err();
    assert!(matches!(
        refused(&PointCloud::default()),
        MeshError::TooFewPoints { .. }
    ));
    let few = sphere(99, [0.0; 3], 1.0, 0.0, 1);
    assert!(matches!(refused(&few), MeshError::TooFewPoints { .. }));
    let mut same = PointCloud::default();
    for _ in 0..5_000 {
        push(&mut same, [1.0, 2.0, 3.0], [0.0, 0.0, 1.0]);
    }
    assert_eq!(refused(&same), MeshError::NoExtent);
    let mut bare = sphere(5_000, [0.0; 3], 1.0, 0.0, 1);
    bare.normals.clear();
    assert!(matches!(refused(&bare), MeshError::NoNormals { .. }));
    let mut zero = sphere(5_000, [0.0; 3], 1.0, 0.0, 1);
    zero.normals.fill([0.0; 3]);
    assert!(matches!(
        refused(&zero),
        MeshError::TooFewPoints { usable: 0, .. }
    ));

    let mut poisoned = sphere(5_000, [0.0; 3], 1.0, 0.0, 1);
    for i in (0..5_000).step_by(50) {
        poisoned.positions[i][i % 3] = [f32::NAN, f32::INFINITY, f32::MAX][i / 50 % 3];
        poisoned.normals[i + 7] = [[0.0; 3], [f32::NAN; 3]][i / 50 % 2];
    }
    assert!(sphere_error(&run(&poisoned, 1_000_000), 1.0) < 0.03);

    // Random normals, a line, doubled points: no promise but an end.
    let mut draw = Draw::new(9);
    let (mut wild, mut line, mut twice) = Default::default();
    for i in 0..3_000 {
        let p = [0; 3].map(|_: i32| draw.uniform());
        let n = [0; 3].map(|_: i32| draw.normal());
        push(&mut wild, p, n);
        push(&mut line, [i as f32, 0.0, 0.0], [0.0, 0.0, 1.0]);
        push(&mut twice, [0; 3].map(|_: i32| draw.uniform().round()), n);
    }
    for cloud in [&wild, &line, &twice] {
        if let Ok(found) = surface(cloud, &[], &options, &task) {
            found.mesh.check().unwrap();
            assert!(found.figures.topology.is_manifold());
        }
    }
}

#[test]
fn memory_is_foretold_and_refused() {
    assert!(memory_bytes(2_000_000, None) > memory_bytes(1_000_000, None));
    assert!(memory_bytes(2_000_000, Some(6)) < memory_bytes(2_000_000, None));
    let small = Task::new(
        Box::new(relievo_task::SilentSink),
        std::sync::Arc::default(),
        1 << 20,
        0,
        relievo_task::Isa::Native,
    );
    let cloud = sphere(5_000, [0.0; 3], 1.0, 0.0, 1);
    let error = surface(&cloud, &[], &SurfaceOptions::default(), &small).unwrap_err();
    assert!(matches!(error, MeshError::Memory { .. }));
}

/// Cameras in a ring of `radius` above the floor z = 0, looking down.
fn looking_down(count: u32, radius: f64) -> Vec<SurfaceView> {
    (0..count)
        .map(|i| {
            let a = f64::from(i) / f64::from(count) * std::f64::consts::TAU;
            let eye = Vec3::new(radius * a.cos(), radius * a.sin(), 4.0);
            // x stays, y and z turn round.
            let down = relievo_geometry::Mat3::from_diagonal(&Vec3::new(1.0, -1.0, -1.0));
            SurfaceView {
                id: ViewId(i),
                camera: Camera {
                    model: CameraModel::SimplePinhole {
                        f: 400.0,
                        cx: 400.0,
                        cy: 400.0,
                    },
                    width_px: 800,
                    height_px: 800,
                    has_prior_focal: true,
                },
                cam_from_world: Rigid3::from_matrix(&down, -(down * eye)),
            }
        })
        .collect()
}

/// A floor that every view saw, and a small sheet of points above it that only
/// the first `believers` saw.
fn floor_and_sheet(views: u32, believers: u32) -> PointCloud {
    let mut cloud = plane(120, 0.02);
    for p in &mut cloud.positions {
        *p = [p[0] - 1.2, p[1] - 1.2, p[2]];
    }
    let floor = cloud.len();
    let mut sheet = plane(25, 0.02);
    for p in &mut sheet.positions {
        *p = [p[0] - 0.25, p[1] - 0.25, p[2] + 0.6];
    }
    append(&mut cloud, sheet);
    cloud.view_starts.push(0);
    for i in 0..cloud.len() {
        let saw = if i < floor { views } else { believers };
        cloud.view_ids.extend((0..saw).map(ViewId));
        cloud.view_starts.push(cloud.view_ids.len() as u32);
    }
    cloud
}

#[test]
fn what_the_views_see_through_goes() {
    let views = looking_down(7, 1.0);
    let highest = |cloud: &PointCloud| {
        let found = surface(cloud, &views, &SurfaceOptions::default(), &Task::silent());
        let mesh = found.expect("a surface").mesh;
        mesh.positions.iter().map(|p| p[2]).fold(f32::MIN, f32::max)
    };
    // Two views invented the sheet, five see the floor through it.
    assert!(highest(&floor_and_sheet(7, 2)) < 0.2);
    // All see it: it is there.
    assert!(highest(&floor_and_sheet(7, 7)) > 0.5);
    // Without the views of the points nothing is known.
    let mut cloud = floor_and_sheet(7, 2);
    cloud.view_starts.clear();
    cloud.view_ids.clear();
    assert!(highest(&cloud) > 0.5);
}

#[test]
fn visibility_does_not_depend_on_the_threads() {
    let (cloud, views) = (floor_and_sheet(7, 2), looking_down(7, 1.0));
    let on = |threads| {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap()
            .install(|| {
                let mesh = run(&cloud, 1_000_000);
                visibility(&mesh, &cloud, &views, 0.02, 0.04)
            })
    };
    let one = on(1);
    assert!(one == on(3));
    assert!(one.through.contains(&5) && one.on.contains(&7));
}

#[test]
fn blocks_do_not_tear_the_surface() {
    let cloud = sphere(60_000, [0.0; 3], 1.0, 0.0, 3);
    let mut options = SurfaceOptions::default();
    options.poisson.cell_size = 1.0;
    options.poisson.samples_per_node = 0.5;
    options.simplify.target_faces = 20_000;
    let found = surface(&cloud, &[], &options, &Task::silent()).unwrap();
    // More than a block has.
    let before = found.figures.faces_cleaned;
    assert!(before > 150_000, "{before}");
    let t = topology(found.mesh.positions.len(), &found.mesh.triangles);
    assert!(t.is_closed_manifold() && t.components == 1, "{t:?}");
    assert!(t.faces <= 21_000, "{t:?}");
    let error = sphere_error(&found.mesh, 1.0);
    assert!(error < 0.02, "{error}");
}
