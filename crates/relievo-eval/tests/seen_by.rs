//! Pixels that several photos see: a floor with a card above it.

#![allow(clippy::unwrap_used, reason = "functions that tests share")]

use relievo_eval::*;
use relievo_geometry::{CameraModel, Mat3, Rigid3, Sim3, Vec3};
use relievo_image::Raster;
use relievo_scene::{Camera, DepthMap, TriMesh};
use relievo_spatial::{FaceBuffer, TriangleBvh};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// A square with corners (low, low) and (high, high) at height z.
fn square(mesh: &mut TriMesh, low: f32, high: f32, z: f32) {
    let first = mesh.positions.len() as u32;
    for (x, y) in [(low, low), (high, low), (high, high), (low, high)] {
        mesh.positions.push([x, y, z]);
    }
    mesh.triangles.push([first, first + 1, first + 2]);
    mesh.triangles.push([first, first + 2, first + 3]);
}

/// A slightly distorted camera two units above (x, 0.5), looking down.
fn above(x: f64) -> PosedCamera {
    let down = Mat3::new(1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, -1.0);
    let turn = Rigid3::from_matrix(&down, Vec3::zeros());
    PosedCamera {
        camera: Camera {
            model: CameraModel::SimpleRadial {
                f: 150.0,
                cx: 100.0,
                cy: 100.0,
                k: -0.02,
            },
            width_px: 200,
            height_px: 200,
            has_prior_focal: true,
        },
        cam_from_world: Rigid3::new(turn.rotation, -(turn.rotation * Vec3::new(x, 0.5, 2.0))),
    }
}

/// A floor of one unit, a card of a fifth in its middle 0.5 above it, and three cameras.
static TRUTH: LazyLock<TrueScene> = LazyLock::new(|| {
    let mut mesh = TriMesh::default();
    square(&mut mesh, 0.0, 1.0, 0.0);
    square(&mut mesh, 0.4, 0.6, 0.5);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("truth.ply");
    relievo_formats::ply::write_mesh(&mesh, &path).unwrap();
    let mut truth = TrueScene::read(&path).unwrap();
    for (name, x) in [("a.jpg", 0.5), ("b.jpg", 0.0), ("c.jpg", 1.0)] {
        truth.cameras.insert(name.to_owned(), above(x));
    }
    truth
});

fn photos(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

#[test]
fn what_hides_behind_a_card_is_not_seen() {
    let all = SeenBy::new(&TRUTH, &photos(&["a.jpg", "b.jpg", "c.jpg"])).unwrap();
    let open = Vec3::new(0.9, 0.1, 0.0);
    assert!(all.at_least(2, "a.jpg", &open));
    assert!(
        !all.at_least(3, "a.jpg", &open),
        "its own is none of the others"
    );
    assert!(all.at_least(3, "d.jpg", &open));
    // From b the card covers 0.533 to 0.8 of the floor, from c 0.2 to 0.467, from a
    // 0.367 to 0.633.
    let below = Vec3::new(0.5, 0.5, 0.0);
    assert!(all.at_least(2, "a.jpg", &below));
    assert!(all.at_least(1, "b.jpg", &below) && !all.at_least(2, "b.jpg", &below));
    let aside = Vec3::new(0.7, 0.5, 0.0);
    assert!(all.at_least(2, "b.jpg", &aside) && !all.at_least(2, "a.jpg", &aside));
    // A tenth of a pixel from the card's border, one ray decides.
    for (x, seen) in [(0.5320, true), (0.5347, false)] {
        let near = Vec3::new(x, 0.5, 0.0);
        assert_eq!(all.at_least(2, "a.jpg", &near), seen, "{x}");
    }
    // Out of the picture, and behind the camera.
    for far in [Vec3::new(9.0, 0.5, 0.0), Vec3::new(0.5, 0.5, 3.0)] {
        assert!(!all.at_least(1, "", &far), "{far}");
    }
    let two = SeenBy::new(&TRUTH, &photos(&["a.jpg", "b.jpg"])).unwrap();
    assert!(!two.at_least(2, "a.jpg", &open));
}

#[test]
fn well_seen_pixels_count_where_they_are_missing_too() {
    let own = above(0.5);
    let (w, h) = (100, 100);
    let model = CameraModel::Pinhole {
        fx: 75.0,
        fy: 75.0,
        cx: 50.0,
        cy: 50.0,
    };
    let camera = Camera {
        model,
        width_px: w,
        height_px: h,
        ..own.camera
    };
    let mut mesh = TriMesh::default();
    square(&mut mesh, 0.0, 1.0, 0.0);
    square(&mut mesh, 0.4, 0.6, 0.5);
    let seen = FaceBuffer::cast(&TriangleBvh::new(&mesh), &camera, &own.cam_from_world);
    // Right of the middle nothing was measured; of the rest every fourth row is off.
    let mut map = DepthMap::new(camera);
    map.depth = Raster::from_fn(w as usize, h as usize, |x, y| {
        let d = seen.depth[(x, y)];
        match (d.is_finite() && x < 50, y % 4) {
            (false, _) => 0.0,
            (true, 0) => 1.1 * d,
            _ => 1.0005 * d,
        }
    });
    // The upper half is flat.
    let grey = Raster::from_fn(w as usize, h as usize, |x, y| {
        if y < 50 {
            100
        } else {
            (100 + 40 * ((x + y) % 2)) as u8
        }
    });
    let all = SeenBy::new(&TRUTH, &photos(&["a.jpg", "b.jpg", "c.jpg"])).unwrap();
    let score = |seen_by: &SeenBy<'_>| {
        let errors = score_depth_map(
            &map,
            &own.cam_from_world,
            &Sim3::identity(),
            &TRUTH,
            Some(&grey),
            Some((seen_by, "a.jpg")),
        );
        combine_depth(&BTreeMap::from([("a".to_owned(), errors.unwrap())]), &TRUTH).unwrap()
    };
    let figures = score(&all);
    let (f, textured) = (figures.well_seen.unwrap(), figures.textured.unwrap());
    // All that is textured but what the card hides from b or c.
    assert!(
        f.pixels < textured.pixels && 2 * f.pixels > textured.pixels,
        "{f:?}"
    );
    assert!((f.coverage - 0.5).abs() < 0.03, "{f:?}");
    assert!((f.all_within_1_percent - 0.375).abs() < 0.03, "{f:?}");
    assert!((f.rel_median - 0.0005).abs() < 1e-5, "{f:?}");
    assert!(figures.to_string().contains("well seen"), "{figures}");
    // Without a third photo nothing is seen by three.
    let two = SeenBy::new(&TRUTH, &photos(&["a.jpg", "b.jpg"])).unwrap();
    assert!(score(&two).well_seen.is_none());
}
