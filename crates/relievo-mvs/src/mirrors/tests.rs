use super::*;
use relievo_synth::scene::uniform;

/// A hole or a mirror in the wall x = 0, three centimetres before it.
const OPENING: Plane = Plane {
    at: Vec3::new(0.03, 2.0, 1.4),
    normal: Vec3::new(1.0, 0.0, 0.0),
};

fn in_opening(from: &Vec3, to: &Vec3) -> bool {
    let (near, far) = (OPENING.distance(from), OPENING.distance(to));
    let cut = from + (to - from) * (near / (near - far));
    near > 0.0 && far < 0.0 && (cut.y - 2.0).abs() < 0.6 && (cut.z - 1.4).abs() < 0.5
}

fn centers() -> BTreeMap<ViewId, Vec3> {
    (0..12)
        .map(|k| {
            let y = 0.6 + 0.25 * f64::from(k);
            (ViewId(k), Vec3::new(2.4 - 0.1 * f64::from(k % 4), y, 1.3))
        })
        .collect()
}

fn found(cloud: &PointCloud) -> Option<Vec<bool>> {
    no_ghosts(cloud, &centers(), &Task::silent()).unwrap()
}

/// A box from the origin with things in it: position, direction, colour.
fn room(seed: u64, size: Vec3) -> Vec<(Vec3, Vec3, [u8; 3])> {
    let mut random = relievo_task::rng(seed, "room", "");
    let mut all = Vec::new();
    let paint = |x: &Vec3, hue: u64| {
        let wave = (3.0 * x.x).sin() + (4.0 * x.y).sin() + (5.0 * x.z).sin();
        let grey = (120.0 + 30.0 * wave) as u8;
        [grey, grey ^ (hue as u8 & 31), (40 * (hue % 6)) as u8]
    };
    for axis in 0..3 {
        for side in [0.0, 1.0] {
            for _ in 0..6000 {
                let mut x = Vec3::from_fn(|k, _| uniform(&mut random) * size[k]);
                x[axis] = side * size[axis];
                let mut n = Vec3::zeros();
                n[axis] = 1.0 - 2.0 * side;
                all.push((x, n, paint(&x, seed + axis as u64)));
            }
        }
    }
    for thing in 0..8 {
        let center = Vec3::from_fn(|k, _| (0.2 + 0.6 * uniform(&mut random)) * size[k]);
        let radius = 0.15 + 0.2 * uniform(&mut random);
        for _ in 0..1500 {
            let n = relievo_synth::scene::direction(&mut random);
            let x = center + n * radius;
            all.push((x, n, paint(&x, seed + thing)));
        }
    }
    all
}

/// A room, and behind the opening what `behind` makes of these points; how many are behind.
fn cloud(behind: &[(Vec3, Vec3, [u8; 3])]) -> (PointCloud, usize) {
    cloud_of(&room(1, Vec3::new(3.0, 4.0, 2.6)), behind)
}

fn cloud_of(
    own: &[(Vec3, Vec3, [u8; 3])],
    behind: &[(Vec3, Vec3, [u8; 3])],
) -> (PointCloud, usize) {
    let centers = centers();
    let mut cloud = PointCloud {
        view_starts: vec![0],
        ..PointCloud::default()
    };
    let mut random = relievo_task::rng(9, "noise", "");
    let mut add = |(x, n, color): &(Vec3, Vec3, [u8; 3]), views: Vec<ViewId>| {
        if views.len() < 3 {
            return 0;
        }
        let noisy = x + Vec3::from_fn(|_, _| 0.004 * (uniform(&mut random) - 0.5));
        cloud
            .positions
            .push([noisy.x, noisy.y, noisy.z].map(|v| v as f32));
        cloud.normals.push([n.x, n.y, n.z].map(|v| v as f32));
        cloud.colors.push(*color);
        cloud.confidence.push(200);
        cloud.view_ids.extend(views);
        cloud.view_starts.push(cloud.view_ids.len() as u32);
        1
    };
    let facing = |x: &Vec3, n: &Vec3, c: &Vec3| n.dot(&(c - x)) > 0.0;
    for p in own {
        let hidden = p.0.x == 0.0 && (p.0.y - 2.0).abs() < 0.6 && (p.0.z - 1.4).abs() < 0.5;
        let seeing = centers.iter().filter(|(_, c)| facing(&p.0, &p.1, c));
        let views = seeing.map(|(v, _)| *v).collect();
        if !hidden {
            add(p, views);
        }
    }
    let mut count = 0;
    for p in behind {
        let seeing = centers
            .iter()
            .filter(|(_, c)| facing(&p.0, &p.1, c) && in_opening(c, &p.0));
        count += add(p, seeing.map(|(v, _)| *v).collect());
    }
    (cloud, count)
}

#[test]
fn what_a_mirror_shows_is_taken_out_and_nothing_else() {
    // Hung a little forward.
    let tilted = Plane {
        normal: Vec3::new(1.0, 0.0, -0.03).normalize(),
        ..OPENING
    };
    let ghosts: Vec<_> = room(1, Vec3::new(3.0, 4.0, 2.6))
        .iter()
        .map(|(x, n, color)| {
            let dimmed = color.map(|c| (0.9 * f32::from(c)) as u8);
            (tilted.mirrored(x), tilted.turned(n), dimmed)
        })
        .collect();
    let (cloud, count) = cloud(&ghosts);
    assert!(count > 2000, "{count}");
    let keep = found(&cloud).expect("a mirror");
    let first_ghost = cloud.len() - count;
    let taken = |range: std::ops::Range<usize>| keep[range].iter().filter(|k| !**k).count();
    assert_eq!(taken(0..first_ghost), 0);
    // Those just behind the wall, and the last few at the frame, may stay.
    let found = taken(first_ghost..cloud.len());
    assert!(100 * found > 95 * count, "{found} of {count}");
}

#[test]
fn another_room_behind_a_door_stays() {
    // Its floor and ceiling go on, its walls are painted alike; nothing stands where it would.
    let shift = Vec3::new(-3.4, -0.5, 0.0);
    let other: Vec<_> = room(2, Vec3::new(3.4, 5.0, 2.6))
        .into_iter()
        .map(|(x, n, color)| (x + shift, n, color))
        .collect();
    let (cloud, count) = cloud(&other);
    assert!(count > 1000, "{count}");
    assert!(found(&cloud).is_none());
}

/// Parallel walls and shelves are each other's likeness at the planes midway between them.
#[test]
fn what_is_built_evenly_stays() {
    let grey = |(x, n, _): (Vec3, Vec3, [u8; 3])| (x, n, [200; 3]);
    let own: Vec<_> = room(1, Vec3::new(3.0, 4.0, 2.6))
        .into_iter()
        .map(grey)
        .collect();
    // A room as deep, behind a door, with walls alone.
    let walls = room(2, Vec3::new(3.03, 4.0, 2.6)).into_iter().take(36_000);
    let other: Vec<_> = walls
        .map(grey)
        .map(|(x, n, c)| (x - Vec3::new(3.03, 0.0, 0.0), n, c))
        .collect();
    let (same_depth, count) = cloud_of(&own, &other);
    assert!(count > 1000, "{count}");
    assert!(found(&same_depth).is_none());
    // A cupboard's side and a table's top midway between walls, floor and ceiling, with things
    // standing around.
    let mut random = relievo_task::rng(5, "cupboard", "");
    let mut with_cupboard = own;
    for _ in 0..6000 {
        let (y, z) = (4.0 * uniform(&mut random), 1.3 * uniform(&mut random));
        with_cupboard.push((Vec3::new(1.5, y, z), Vec3::x(), [200; 3]));
        let (x, y) = (3.0 * uniform(&mut random), 2.0 * uniform(&mut random));
        with_cupboard.push((Vec3::new(x, y, 1.3), Vec3::z(), [200; 3]));
    }
    let (cupboard, _) = cloud_of(&with_cupboard, &[]);
    assert!(found(&cupboard).is_none());
}

#[test]
fn an_empty_cloud_and_one_without_views_have_no_ghosts() {
    let (mut cloud, _) = cloud(&[]);
    assert!(found(&cloud).is_none());
    cloud.view_starts.clear();
    cloud.view_ids.clear();
    assert!(found(&cloud).is_none());
    assert!(found(&PointCloud::default()).is_none());
}
