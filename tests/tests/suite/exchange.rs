//! Import, export, inspect, options, clean.

use super::small::{copy, go_on, small};
use relievo_formats::{colmap, native};
use relievo_tests::data::demo;
use relievo_tests::program::{Ran, relievo};
use relievo_tests::work::{assert_same, promised_tree, states, whole_tree};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

fn words<const N: usize>(list: [&dyn AsRef<std::ffi::OsStr>; N]) -> Vec<OsString> {
    list.iter().map(|w| w.as_ref().to_owned()).collect()
}

fn status(work: &Path) -> BTreeMap<String, String> {
    states(&relievo(words([&"status", &work])).ends(0).stdout)
}

/// Pose of each photo in a COLMAP `images.txt`: w x y z and translation.
fn poses(images_txt: &Path) -> BTreeMap<String, Vec<f64>> {
    let text = fs_err::read_to_string(images_txt).expect("images.txt");
    text.lines()
        .filter(|l| !l.starts_with('#'))
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let name = fields.get(9)?;
            if fields.len() != 10 || !name.contains(".jpg") {
                return None;
            }
            let mut pose: Vec<f64> = fields[1..8].iter().filter_map(|v| v.parse().ok()).collect();
            let sign = pose.first()?.signum();
            pose[..4].iter_mut().for_each(|q| *q *= sign);
            Some(((*name).to_owned(), pose))
        })
        .collect()
}

#[test]
fn a_model_without_points_is_triangulated_under_its_poses() {
    let folder = tempfile::tempdir().unwrap();
    let work = folder.path().join("given.relievo");
    let (model, images) = (demo().join("gt"), demo().join("images"));
    relievo(words([
        &"import",
        &"colmap",
        &"--model",
        &model,
        &"--images",
        &images,
        &"-o",
        &work,
    ]))
    .ends(0);
    let ran = relievo(words([&"run", &"-o", &work, &"--until", &"sparse"])).ends(0);
    let made: Vec<String> = ran.made().into_keys().collect();
    assert_eq!(made, ["features", "matches", "sparse"], "{}", ran.stderr);
    assert!(status(&work)["ingest"].contains("imported"));
    let report = relievo_tests::work::json(&work.join("report/report.json"));
    assert_eq!(report["registered"], 12);
    let points = report["stages"]["sparse"]["points"].as_u64();
    assert!(points.is_some_and(|n| n > 1000), "{points:?} points");
    let text = folder.path().join("text");
    relievo(words([
        &"export",
        &work,
        &"--format",
        &"colmap",
        &"-o",
        &text,
    ]))
    .ends(0);
    let (given, kept) = (
        poses(&model.join("images.txt")),
        poses(&text.join("images.txt")),
    );
    assert_eq!(given.len(), 12);
    assert_eq!(
        given.keys().collect::<Vec<_>>(),
        kept.keys().collect::<Vec<_>>()
    );
    for (name, pose) in &given {
        for (a, b) in pose.iter().zip(&kept[name]) {
            assert!(
                (a - b).abs() < 1e-9,
                "{name}: {pose:?} became {:?}",
                kept[name]
            );
        }
    }
    // Changed behind our back, it is not taken for fresh.
    let table = work.join("ingest/photos.json");
    let text = fs_err::read_to_string(&table).unwrap();
    fs_err::write(&table, text + "\n").unwrap();
    relievo(go_on(&work))
        .ends(1)
        .says(&["photos.json", "imported", "hint:", "import again"]);
}

#[test]
fn an_imported_cloud_or_surface_takes_the_place_of_ours() {
    let (folder, work) = copy();
    // Our cloud without its last points is somebody else's.
    let bytes = fs_err::read(work.join("cloud/dense.ply")).unwrap();
    let end = bytes
        .windows(11)
        .position(|w| w == b"end_header\n")
        .unwrap()
        + 11;
    let header = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let count: usize = header
        .lines()
        .find_map(|l| l.strip_prefix("element vertex "))
        .and_then(|n| n.parse().ok())
        .unwrap();
    let fewer = count * 9 / 10;
    let mut shorter = header
        .replace(&count.to_string(), &fewer.to_string())
        .into_bytes();
    shorter.extend(&bytes[end..end + fewer * 28]);
    let cloud = folder.path().join("scan.ply");
    fs_err::write(&cloud, shorter).unwrap();
    relievo(words([&"import", &"cloud", &cloud, &"-o", &work])).ends(0);
    let rows = status(&work);
    assert!(rows["cloud"].contains("imported from"), "{}", rows["cloud"]);
    assert!(rows["mesh"].starts_with("stale"), "{}", rows["mesh"]);
    relievo(words([&"run", &"-o", &work, &"--force", &"cloud"]))
        .ends(1)
        .says(&["imported", "scan.ply", "hint:"]);
    // A surface on top of it: only what follows is made.
    let surface = small().work.join("mesh/surface.ply");
    relievo(words([&"import", &"mesh", &surface, &"-o", &work])).ends(0);
    let ran = relievo(go_on(&work)).ends(0);
    assert!(
        ran.made().keys().all(|s| s == "texture" || s == "export"),
        "{}",
        ran.stderr
    );
    super::whole_way::glb_json(&work.join("export/model.glb"));
    let not_mesh = demo().join("gt/points.ply");
    relievo(words([&"import", &"mesh", &not_mesh, &"-o", &work]))
        .ends(1)
        .says(&["points.ply", "no triangles", "hint:"]);
}

#[test]
fn other_formats_are_written() {
    let (folder, work) = copy();
    let out = |name: &str| folder.path().join(name);
    for (format, name) in [
        ("obj", "o/model.obj"),
        ("ply", "m.ply"),
        ("stl", "m.stl"),
        ("glb", "m.glb"),
    ] {
        let target = out(name);
        fs_err::create_dir_all(target.parent().unwrap()).unwrap();
        let ran = relievo(words([
            &"export",
            &work,
            &"--format",
            &format,
            &"-o",
            &target,
        ]))
        .ends(0);
        assert_eq!(ran.last_line(), target.to_string_lossy());
        assert!(target.is_file(), "{name}");
    }
    let obj = fs_err::read_to_string(out("o/model.obj")).unwrap();
    let library = obj
        .lines()
        .find_map(|l| l.strip_prefix("mtllib "))
        .expect("OBJ names its materials");
    assert!(obj.contains("\nvt ") && obj.contains("\nusemtl "));
    let mtl = fs_err::read_to_string(out("o").join(library)).unwrap();
    let page = mtl
        .lines()
        .find_map(|l| l.trim().strip_prefix("map_Kd "))
        .expect("MTL names its page");
    assert!(image::open(out("o").join(page)).is_ok(), "{page}");
    let stl = fs_err::read(out("m.stl")).unwrap();
    let faces: [u8; 4] = stl[80..84].try_into().unwrap();
    let faces = u32::from_le_bytes(faces) as usize;
    assert!(faces > 1000 && stl.len() == 84 + 50 * faces);
    assert!(fs_err::read(out("m.ply")).unwrap().starts_with(b"ply\n"));
    let json = super::whole_way::glb_json(&out("m.glb"));
    assert_eq!(json["asset"]["version"], "2.0");
    let (colmap, transforms, depth) = (out("colmap"), out("transforms.json"), out("depth"));
    relievo(words([
        &"export",
        &work,
        &"--format",
        &"colmap",
        &"-o",
        &colmap,
    ]))
    .ends(0);
    assert_eq!(poses(&colmap.join("images.txt")).len(), 6);
    relievo(words([
        &"export",
        &work,
        &"--format",
        &"nerfstudio",
        &"-o",
        &transforms,
    ]))
    .ends(0);
    let transforms = relievo_tests::work::json(&transforms);
    let frames = transforms["frames"].as_array().unwrap();
    assert_eq!(frames.len(), 6);
    for frame in frames {
        assert!(Path::new(frame["file_path"].as_str().unwrap()).is_file());
        let focal = frame["fl_x"].as_f64().unwrap();
        assert!((focal - 497.8).abs() < 25.0, "{focal}");
        // OpenGL cameras above the table look down along -z.
        let matrix = frame["transform_matrix"].as_array().unwrap();
        let cells: usize = matrix.iter().map(|r| r.as_array().unwrap().len()).sum();
        assert_eq!(cells, 16);
    }
    relievo(words([
        &"export",
        &work,
        &"--format",
        &"depth",
        &"-o",
        &depth,
    ]))
    .ends(0);
    let array = fs_err::read(depth.join("0001.jpg.npy")).unwrap();
    assert!(array.starts_with(b"\x93NUMPY") && array.len() > 100_000);
    assert!(
        array[128..].chunks(4).any(|v| v != [0; 4]),
        "all depths are zero"
    );
    relievo(words([&"export", &work, &"--format", &"papyrus"]))
        .ends(2)
        .says(&["papyrus", "glb"]);
    // Exports beside the folder leave it as it was.
    assert!(relievo(go_on(&work)).ends(0).made().is_empty());
    assert_same(
        &promised_tree(&small().work),
        &promised_tree(&work),
        "exports",
    );
}

/// Shape and values of a NumPy array of `float32`.
fn array(path: &Path) -> (String, Vec<f32>) {
    let bytes = fs_err::read(path).expect("an array");
    let header = String::from_utf8_lossy(&bytes[10..128]).into_owned();
    let shape = header.split('(').nth(1).and_then(|s| s.split(')').next());
    let values = bytes[128..].chunks_exact(4);
    let values = values.map(|v| f32::from_le_bytes(v.try_into().expect("four bytes")));
    (shape.unwrap_or_default().to_owned(), values.collect())
}

fn export(work: &Path, format: &str, to: &Path) -> Ran {
    relievo(words([&"export", &work, &"--format", &format, &"-o", &to]))
}

#[test]
fn depth_maps_are_written_for_colmap_and_numpy() {
    let (folder, work) = copy();
    let (dense, arrays) = (folder.path().join("dense"), folder.path().join("arrays"));
    export(&work, "colmap-dense", &dense)
        .ends(0)
        .keeps_quiet_of("out of date");
    export(&work, "depth", &arrays).ends(0);
    let model = colmap::read_model(&dense.join("sparse")).unwrap();
    let beside = colmap::read_model(&arrays.join("sparse")).unwrap();
    assert_eq!(model, beside);
    assert_eq!(model.registered().count(), 6);
    let given = colmap::read_model(&work.join("sparse/model")).unwrap();
    let (mut off, mut apart) = (Vec::new(), Vec::new());
    for (id, view, pose) in model.registered() {
        assert_eq!(given.views[&id].cam_from_world, Some(pose));
        let name = &view.name;
        let bytes = fs_err::read(work.join(format!("depth/{name}.depth"))).unwrap();
        let map = native::depth::decode(&bytes).unwrap().confirmed();
        let camera = model.cameras[&view.camera_id];
        assert_eq!(camera, map.camera);
        let picture = image::open(dense.join("images").join(name)).unwrap();
        assert_eq!(
            (picture.width(), picture.height()),
            (camera.width_px, camera.height_px)
        );
        let read = |folder: &str| {
            let file = format!("stereo/{folder}/{name}.geometric.bin");
            colmap::decode_dense_array(&fs_err::read(dense.join(file)).unwrap()).unwrap()
        };
        let (depth, normal) = (read("depth_maps"), read("normal_maps"));
        assert_eq!(depth, std::slice::from_ref(&map.depth));
        assert_eq!(normal.len(), 3);
        let confidence = map.confidence.map(|c| f32::from(*c) / 255.0);
        assert_eq!(read("confidence_maps"), std::slice::from_ref(&confidence));
        let mut flat = Vec::new();
        for (i, d) in map.depth.as_slice().iter().enumerate() {
            let n: [f32; 3] = std::array::from_fn(|k| normal[k].as_slice()[i]);
            let there = if *d > 0.0 {
                map.normal.as_slice()[i].unpack()
            } else {
                [0.0; 3]
            };
            assert_eq!(n, there);
            flat.extend(n);
        }
        let (w, h) = (camera.width_px, camera.height_px);
        let (shape, values) = array(&arrays.join(format!("{name}.npy")));
        assert_eq!(
            (shape, &values[..]),
            (format!("{h}, {w}"), map.depth.as_slice())
        );
        let (shape, values) = array(&arrays.join(format!("{name}.normal.npy")));
        assert_eq!((shape, values), (format!("{h}, {w}, 3"), flat));
        let (shape, values) = array(&arrays.join(format!("{name}.confidence.npy")));
        assert_eq!(
            (shape, &values[..]),
            (format!("{h}, {w}"), confidence.as_slice())
        );
        // The model's points lie where its observations and the maps say.
        for track in model.tracks.values() {
            let Some(o) = track.observations.iter().find(|o| o.view_id == id) else {
                continue;
            };
            let q = pose.apply(&track.position_in_world.unwrap());
            let [x, y] = view.points_px[o.point_idx as usize];
            let px = camera.model.project(&q).unwrap();
            off.push((px.x - x).hypot(px.y - y));
            if x >= 0.0 && y >= 0.0 && x < f64::from(w) && y < f64::from(h) {
                let z = f64::from(map.depth[(x as usize, y as usize)]);
                apart.push(if z > 0.0 { (z / q.z - 1.0).abs() } else { 1.0 });
            }
        }
    }
    let median = |mut v: Vec<f64>| {
        v.sort_by(f64::total_cmp);
        v[v.len() / 2]
    };
    let (off, apart) = (median(off), median(apart));
    assert!(off < 0.5 && apart < 0.005, "{off} px, {apart} of the depth");
    let listed = fs_err::read_to_string(dense.join("stereo/fusion.cfg")).unwrap();
    assert_eq!(listed.lines().count(), 6);
    // It is a model with photos like any other.
    let again = folder.path().join("again.relievo");
    let mut import = words([&"import", &"colmap", &"--model", &dense.join("sparse")]);
    import.extend(words([&"--images", &dense.join("images"), &"-o", &again]));
    relievo(import).ends(0);
    // A model that is newer than the maps is told.
    let settings = work.join("relievo.toml");
    let text = fs_err::read_to_string(&settings).unwrap();
    fs_err::write(&settings, text.replace("seed = 0", "seed = 7")).unwrap();
    export(&work, "depth", &arrays)
        .ends(0)
        .says(&["out of date", "depth is stale"]);
    // Without maps nothing is written.
    fs_err::remove_dir_all(work.join("depth")).unwrap();
    for format in ["depth", "colmap-dense"] {
        let none = folder.path().join("none");
        export(&work, format, &none).ends(1).says(&[
            "there are no depth maps",
            "hint: ",
            "--force depth",
        ]);
        assert!(!none.exists());
    }
}

#[test]
fn a_cleaned_folder_is_still_fresh() {
    let (_folder, work) = copy();
    let before = whole_tree(&work);
    relievo(words([&"clean", &work, &"--dry-run"])).ends(0);
    assert_same(&before, &whole_tree(&work), "clean --dry-run");
    let ran = relievo(words([&"clean", &work])).ends(0);
    assert!(ran.last_line().starts_with("freed "), "{}", ran.stdout);
    assert!(whole_tree(&work).len() < before.len());
    for (stage, state) in status(&work) {
        assert!(state.starts_with("fresh"), "{stage}: {state}");
    }
    let ran = relievo(go_on(&work)).ends(0);
    assert!(ran.made().is_empty(), "{}", ran.stderr);
    let model = work.with_extension("obj");
    relievo(words([
        &"export",
        &work,
        &"--format",
        &"obj",
        &"-o",
        &model,
    ]))
    .ends(0);
    relievo(words([&"export", &work, &"--format", &"depth"]))
        .ends(1)
        .says(&["--force depth"]);
    // What was dropped comes back, the same, when something has to read it.
    relievo(words([&"run", &"-o", &work, &"--force", &"cloud"])).ends(0);
    let (mut expected, mut now) = (promised_tree(&small().work), promised_tree(&work));
    for tree in [&mut expected, &mut now] {
        tree.retain(|name, _| !name.starts_with("features/") && !name.starts_with("matches/"));
    }
    assert_same(&expected, &now, "after clean");
}

#[test]
fn files_that_are_not_there_or_of_another_kind() {
    let folder = tempfile::tempdir().unwrap();
    let (gone, out) = (folder.path().join("nosuch"), folder.path().join("out"));
    let (photos, photo) = (demo().join("images"), demo().join("images/0001.jpg"));
    let refused = |command: &[OsString], parts: &[&str]| {
        let ran = relievo(command).ends(1).says(&["hint:"]).says(parts);
        let error = ran.stderr.lines().find(|l| l.starts_with("error: "));
        let named = error.map_or(0, |e| e.matches(parts[0]).count());
        assert_eq!(named, 1, "{} is named once: {}", parts[0], ran.stderr);
    };
    refused(&words([&"inspect", &gone]), &["nosuch", "no such file"]);
    for flag in ["--hold-out", "--config"] {
        let command = words([&"run", &photos, &"-o", &out, &flag, &gone]);
        refused(&command, &["nosuch", "no such file", flag]);
    }
    let mesh = words([&"import", &"mesh", &photo, &"-o", &out]);
    refused(&mesh, &["0001.jpg", "PLY"]);
    let mut model = words([&"import", &"colmap", &"--model", &gone]);
    model.extend(words([&"--images", &photos, &"-o", &out]));
    refused(&model, &["nosuch", "no COLMAP model", "--model"]);
    let mut poses = words([&"eval", &"poses", &"--estimate", &folder.path()]);
    poses.extend(words([&"--truth", &demo().join("gt")]));
    let name = folder.path().to_string_lossy().into_owned();
    refused(&poses, &[&name, "--estimate"]);
    assert!(!out.exists());
}

#[test]
fn options_and_inspect_say_what_is_there() {
    let all = relievo(["options"]).ends(0).stdout;
    for stage in [
        "ingest", "features", "matches", "sparse", "depth", "cloud", "mesh", "texture",
    ] {
        assert!(
            all.contains(&format!("\n{stage}.")) || all.starts_with(stage),
            "{stage}"
        );
    }
    let mesh = relievo(["options", "mesh"]).ends(0).stdout;
    assert!(mesh.contains("mesh.point_weight = 4"), "{mesh}");
    assert!(mesh.contains("default from: ") && !mesh.contains("depth."));
    let json = relievo(["options", "mesh", "--json"]).ends(0).json();
    assert!(json["mesh"].as_array().is_some_and(|rows| rows.len() > 5));

    let (folder, work) = copy();
    let ran = relievo(words([&"inspect", &work])).ends(0);
    for part in [
        "sparse/model",
        "cloud/dense.ply",
        "mesh/surface.ply",
        "export/model.glb",
    ] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    assert_eq!(
        ran.stdout.matches("invariants hold").count(),
        4,
        "{}",
        ran.stdout
    );
    let model = work.join("export/model.glb");
    let picture = folder.path().join("model.png");
    relievo(words([&"inspect", &model, &"--png", &picture])).ends(0);
    let pixels = image::open(&picture).unwrap().to_rgb8();
    let first = *pixels.get_pixel(0, 0);
    let drawn = pixels.pixels().filter(|p| **p != first).count();
    assert!(20 * drawn > pixels.pixels().len(), "the picture is empty");
    let half = fs_err::read(&model).unwrap();
    let broken = folder.path().join("half.glb");
    fs_err::write(&broken, &half[..half.len() / 2]).unwrap();
    let ran = relievo(words([&"inspect", &broken]));
    assert!(matches!(ran.code, Some(1 | 3)), "{ran:?}");
    let missing = folder.path().join("nothing.ply");
    relievo(words([&"inspect", &missing]))
        .ends(1)
        .says(&["nothing.ply"]);
}
