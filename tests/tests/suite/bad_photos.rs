//! Photos that cannot be used, or only some of them. The remedy stands beside
//! the complaint, and good photos are never lost with bad ones.

use relievo_tests::data::{copy_demo, demo_photo, rectangles};
use relievo_tests::program::{Ran, relievo};
use relievo_tests::work;
use serde_json::Value;
use std::ffi::OsString;
use std::path::Path;
use tempfile::TempDir;

/// `relievo run INPUT... -o folder/out --until STAGE`.
fn run(inputs: &[&Path], folder: &Path, until: &str) -> Ran {
    let mut all: Vec<OsString> = vec!["run".into()];
    all.extend(inputs.iter().map(|p| OsString::from(*p)));
    all.extend([
        "-o".into(),
        folder.join("out").into(),
        "--until".into(),
        until.into(),
    ]);
    relievo(all)
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Subjects and kinds of the warnings in the report.
fn warnings(folder: &Path) -> Vec<(String, String)> {
    let report = work::json(&folder.join("out/report/report.json"));
    let list = report["warnings"].as_array().cloned().unwrap_or_default();
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    list.iter()
        .map(|w| (text(&w["subject"]), text(&w["kind"])))
        .collect()
}

fn registered(folder: &Path) -> u64 {
    work::json(&folder.join("out/report/report.json"))["registered"]
        .as_u64()
        .unwrap_or(0)
}

/// First half of a JPEG.
fn truncated(to: &Path) {
    let bytes = fs_err::read(demo_photo(6)).expect("a demo photo");
    fs_err::write(to, &bytes[..bytes.len() / 2]).expect("a file can be written");
}

/// As a phone names it, with the first bytes of one.
fn heic(to: &Path) {
    let mut bytes = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic".to_vec();
    bytes.extend([0; 4000]);
    fs_err::write(to, bytes).expect("a file can be written");
}

#[test]
fn an_empty_folder_and_no_such_path() {
    let f = folder();
    let empty = f.path().join("empty");
    fs_err::create_dir(&empty).unwrap();
    run(&[&empty], f.path(), "sparse").ends(1).says(&[
        "empty: there are no photos",
        "hint:",
        "at least two photos",
    ]);
    run(&[&empty], f.path(), "sparse").keeps_quiet_of("a whole run takes");
    let gone = f.path().join("holiday");
    run(&[&gone], f.path(), "sparse")
        .ends(1)
        .says(&["holiday", "no such file or folder", "hint:"]);
    let json: Vec<OsString> = vec![
        "run".into(),
        gone.into(),
        "--progress".into(),
        "json".into(),
    ];
    relievo(json)
        .ends(1)
        .says(&["{\"because\":[],\"event\":\"error\",\"exit_code\":1"]);
    let text = f.path().join("notes.txt");
    fs_err::write(&text, "buy milk").unwrap();
    run(&[&text], f.path(), "sparse")
        .ends(1)
        .says(&["notes.txt", "not a picture", "hint:"]);
}

#[test]
fn one_photo_and_ten_copies_of_it() {
    let f = folder();
    let photos = f.path().join("photos");
    copy_demo([1], &photos);
    run(&[&photos], f.path(), "sparse").ends(1).says(&[
        "0001.jpg: 1 photo is too few",
        "hint:",
        "different places",
    ]);
    for i in 2..=10 {
        fs_err::copy(demo_photo(1), photos.join(format!("copy{i}.jpg"))).unwrap();
    }
    run(&[&photos], f.path(), "sparse").ends(1).says(&[
        "only 1 photo of 10",
        "same file as 0001.jpg",
        "and 4 more",
        "hint:",
    ]);
    let report = work::json(&f.path().join("out/report/report.json"));
    assert_eq!(
        (&report["given"], &report["views"]),
        (&10.into(), &1.into())
    );
    let page = fs_err::read_to_string(f.path().join("out/report/index.html")).unwrap();
    for i in 2..=10 {
        assert!(page.contains(&format!("<td>copy{i}.jpg</td>")), "{i}");
    }
    assert_eq!(page.matches("left out: it is the same file as").count(), 9);
    assert!(page.contains("10 given, 1 taken in, 0 placed in the model.<"));
    assert!(page.contains("at least two photos") && !page.contains("to continue"));
}

#[test]
fn photos_without_overlap() {
    let f = folder();
    let photos = f.path().join("photos");
    fs_err::create_dir(&photos).unwrap();
    for seed in [1, 2] {
        let picture = rectangles(seed, 640, 480);
        picture
            .save(photos.join(format!("wall{seed}.png")))
            .unwrap();
    }
    run(&[&photos], f.path(), "sparse").ends(1).says(&[
        "wall1.png",
        "wall2.png",
        "hint:",
        "overlap",
    ]);
    // What was found out is kept.
    assert!(f.path().join("out/features/stage.json").is_file());
    let page = fs_err::read_to_string(f.path().join("out/report/index.html")).unwrap();
    let rows = page.matches("class=\"bad\">not placed: ");
    assert_eq!(rows.count(), 2);
    assert!(page.contains("add photos between those given") && !page.contains("to continue"));
    assert!(!page.contains("sparse (model)"));
}

#[test]
fn a_mask_of_another_size_is_named_before_anything_is_computed() {
    let f = folder();
    let (photos, masks) = (f.path().join("photos"), f.path().join("masks"));
    copy_demo([1, 2], &photos);
    fs_err::create_dir(&masks).unwrap();
    let mask = masks.join("0002.jpg.png");
    image::GrayImage::new(100, 80).save(&mask).unwrap();
    let arguments = |extra: &[&std::ffi::OsStr]| -> Vec<OsString> {
        let mut all: Vec<OsString> = vec!["run".into(), photos.clone().into(), "-o".into()];
        all.extend([f.path().join("out").into(), "--masks".into()]);
        all.push(masks.clone().into());
        all.extend(extra.iter().map(|e| (*e).to_owned()));
        all
    };
    relievo(arguments(&[])).ends(1).says(&[
        "0002.jpg.png: the mask is 100 × 80 pixels, its photo 0002.jpg 640 × 480",
        "hint:",
    ]);
    fs_err::write(&mask, "no mask").unwrap();
    relievo(arguments(&[]))
        .ends(1)
        .says(&["0002.jpg.png", "not a picture", "hint:"]);
    fs_err::remove_file(&mask).unwrap();
    let until = ["--until", "ingest"].map(std::ffi::OsStr::new);
    relievo(arguments(&until)).ends(0);
}

#[test]
fn nothing_but_heic_says_how_to_convert() {
    let f = folder();
    let photos = f.path().join("photos");
    fs_err::create_dir(&photos).unwrap();
    for i in 1..=3 {
        heic(&photos.join(format!("IMG_{i}.HEIC")));
    }
    run(&[&photos], f.path(), "sparse").ends(1).says(&[
        "none of the 3 files can be used",
        "IMG_3.HEIC: HEIC",
        "hint:",
        "heif-convert",
    ]);
    let page = fs_err::read_to_string(f.path().join("out/report/index.html")).unwrap();
    assert!(page.contains("3 given, 0 taken in") && page.contains("heif-convert"));
}

#[test]
fn a_truncated_photo_among_good_ones_is_left_out() {
    let f = folder();
    let photos = f.path().join("photos");
    copy_demo(1..=5, &photos);
    truncated(&photos.join("broken.jpg"));
    run(&[&photos], f.path(), "sparse")
        .ends(0)
        .says(&["warning: broken.jpg", "cut off"]);
    assert_eq!(registered(f.path()), 5);
    let kinds = warnings(f.path());
    assert!(
        kinds.contains(&("broken.jpg".to_owned(), "photo-broken".to_owned())),
        "{kinds:?}"
    );
    let page = fs_err::read_to_string(f.path().join("out/report/index.html")).unwrap();
    assert!(page.contains("broken.jpg") && page.contains("cut off"));
}

#[test]
fn unusable_files_are_named_with_the_remedy() {
    let f = folder();
    let photos = f.path().join("photos");
    copy_demo(1..=3, &photos);
    fs_err::write(photos.join("text.jpg"), "this is a shopping list\n").unwrap();
    fs_err::write(photos.join("empty.jpg"), "").unwrap();
    image::RgbImage::new(1, 1)
        .save(photos.join("dot.png"))
        .unwrap();
    heic(&photos.join("IMG_1.HEIC"));
    let mut bomb = Vec::new();
    image::RgbImage::new(300, 300)
        .write_to(
            &mut std::io::Cursor::new(&mut bomb),
            image::ImageFormat::Png,
        )
        .unwrap();
    bomb.truncate(60);
    fs_err::write(photos.join("cut.png"), bomb).unwrap();
    let ran = run(&[&photos], f.path(), "ingest").ends(0);
    let ran = ran.says(&[
        "text.jpg: this is not a picture",
        "empty.jpg: the file is empty",
        "dot.png",
        "IMG_1.HEIC: HEIC pictures are not read yet",
        "cut.png",
    ]);
    assert!(ran.stderr.contains("heif-convert"), "{}", ran.stderr);
    let kinds = warnings(f.path());
    for (name, kind) in [
        ("text.jpg", "photo-not-a-picture"),
        ("empty.jpg", "photo-not-a-picture"),
        ("dot.png", "photo-tiny"),
        ("IMG_1.HEIC", "photo-heif"),
        ("cut.png", "photo-broken"),
    ] {
        let wanted = (name.to_owned(), kind.to_owned());
        assert!(kinds.contains(&wanted), "{name}: {kinds:?}");
    }
    // Half of what was given is lost: said, and exit 3 once cameras are asked for.
    run(&[&photos], f.path(), "sparse")
        .ends(3)
        .says(&["only 3 of 8 photos"]);
    // Nothing but such files.
    for number in 1..=3 {
        fs_err::remove_file(photos.join(format!("{number:04}.jpg"))).unwrap();
    }
    run(&[&photos], f.path(), "ingest").ends(1).says(&[
        "none of the 5 files can be used",
        "IMG_1.HEIC",
        "hint:",
    ]);
}

#[test]
fn an_unusable_video_among_good_photos_is_left_out() {
    let f = folder();
    let photos = f.path().join("photos");
    copy_demo(1..=5, &photos);
    fs_err::write(photos.join("clip.mp4"), "this is not a video\n".repeat(100)).unwrap();
    run(&[&photos], f.path(), "sparse")
        .ends(0)
        .says(&["warning: clip.mp4", "re-encode"]);
    assert_eq!(registered(f.path()), 5);
    let wanted = ("clip.mp4".to_owned(), "video-unusable".to_owned());
    assert!(warnings(f.path()).contains(&wanted));
}

#[test]
fn a_work_folder_is_no_input() {
    let f = folder();
    let photos = f.path().join("photos");
    copy_demo(1..=3, &photos);
    run(&[&photos], f.path(), "ingest").ends(0);
    let work = f.path().join("out");
    relievo([OsString::from("run"), work.into()])
        .ends(1)
        .says(&["is a work folder, not photos", "hint:", "-o"]);
}

#[test]
fn sixteen_bit_grey_and_sizes_are_taken_as_they_come() {
    let f = folder();
    let photos = f.path().join("photos");
    copy_demo(3..=4, &photos);
    let one = image::open(demo_photo(1)).unwrap();
    one.to_rgb16().save(photos.join("deep.png")).unwrap();
    let two = image::open(demo_photo(2)).unwrap();
    two.to_luma8().save(photos.join("grey.png")).unwrap();
    let five = image::open(demo_photo(5)).unwrap();
    five.resize(480, 360, image::imageops::FilterType::Triangle)
        .to_rgb8()
        .save(photos.join("small.png"))
        .unwrap();
    run(&[&photos], f.path(), "sparse").ends(0);
    assert_eq!(registered(f.path()), 5);
    let report = work::json(&f.path().join("out/report/report.json"));
    // With EXIF data, without, and of another size.
    assert_eq!(report["stages"]["ingest"]["cameras"], 3);
    assert!(warnings(f.path()).is_empty());
}

#[test]
fn the_same_names_in_two_folders() {
    let f = folder();
    let (left, right) = (f.path().join("left"), f.path().join("right"));
    copy_demo([1, 2], &left);
    fs_err::create_dir(&right).unwrap();
    fs_err::copy(demo_photo(3), right.join("0001.jpg")).unwrap();
    fs_err::copy(demo_photo(4), right.join("0004.jpg")).unwrap();
    run(&[&left, &right], f.path(), "ingest").ends(0);
    let table = work::json(&f.path().join("out/ingest/photos.json"));
    let names: Vec<&str> = table["photos"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|p| p["name"].as_str())
        .collect();
    assert_eq!(
        names,
        ["0002.jpg", "0004.jpg", "left/0001.jpg", "right/0001.jpg"]
    );
}
