//! Which pairs are matched and how poses are found, as the user asks.

use relievo_formats::native;
use relievo_tests::data::{copy_demo, demo, demo_photo, demo_photos};
use relievo_tests::program::{Ran, relievo};
use relievo_tests::work::json;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write;
use std::path::Path;

fn poses(work: &Path, more: &[&str]) -> Ran {
    let mut all: Vec<OsString> = vec!["run".into()];
    all.extend(demo_photos(1..=12).into_iter().map(OsString::from));
    all.extend(["-o".into(), work.into(), "--until".into(), "sparse".into()]);
    all.extend(more.iter().map(OsString::from));
    relievo(all)
}

/// All photos have a pose, at most this far from the truth on average.
fn all_placed_within(work: &Path, most_mm: f64) {
    let words: [OsString; 7] = [
        "eval".into(),
        "poses".into(),
        "--json".into(),
        "--estimate".into(),
        work.into(),
        "--truth".into(),
        demo().into(),
    ];
    let figures = relievo(words).ends(0).json();
    assert_eq!(figures["reg"].as_f64(), Some(12.0));
    let mean = figures["pos_mm"]["mean"].as_f64().expect("a mean");
    assert!(mean < most_mm, "{mean} mm");
}

#[test]
fn both_mappers_place_all_photos() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for mapper in ["incremental", "global"] {
        let work = folder.path().join(mapper);
        poses(&work, &["--mapper", mapper]).ends(0);
        all_placed_within(&work, 0.25);
        let figures = json(&work.join("sparse/figures.json"));
        assert_eq!(figures["initial_pair"].is_null(), mapper == "global");
    }
}

/// Pictures saved again, at another quality and brightness, as phones and messengers leave them behind.
#[test]
fn copies_of_photos_are_placed_where_these_are() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (photos, work) = (folder.path().join("photos"), folder.path().join("work"));
    copy_demo(1..=12, &photos);
    for (number, quality) in [(2, 90), (3, 70), (7, 80), (8, 60)] {
        let mut picture = image::open(demo_photo(number)).expect("a photo").to_rgb8();
        for pixel in picture.pixels_mut() {
            pixel.0 = pixel.0.map(|v| (f32::from(v) * 0.93 + 4.0) as u8);
        }
        let file = fs_err::File::create(photos.join(format!("copy{number}.jpg"))).expect("a file");
        let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(file, quality);
        picture.write_with_encoder(encoder).expect("a JPEG");
    }
    let words = [OsString::from("run"), photos.into(), "-o".into()];
    let rest = [work.clone().into(), "--until".into(), "sparse".into()];
    relievo(words.into_iter().chain(rest)).ends(0);
    all_placed_within(&work, 0.25);
    let model = relievo_formats::colmap::read_model(&work.join("sparse/model")).expect("a model");
    let centre = |name: &str| {
        let view = model.views.values().find(|v| v.name == name);
        let pose = view.and_then(|v| v.cam_from_world);
        pose.expect("a photo that is placed").center()
    };
    let unit = (centre("0002.jpg") - centre("0003.jpg")).norm();
    for number in [2, 3, 7, 8] {
        let (photo, copy) = (format!("000{number}.jpg"), format!("copy{number}.jpg"));
        let apart = (centre(&photo) - centre(&copy)).norm();
        assert!(apart < 0.01 * unit, "{copy}: {apart} of {unit}");
    }
}

/// The upper half of every photo is sky.
#[test]
fn photos_half_of_sky_are_placed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (photos, work) = (folder.path().join("photos"), folder.path().join("work"));
    fs_err::create_dir(&photos).expect("a folder can be made");
    for photo in demo_photos(1..=12) {
        let mut picture = image::open(&photo).expect("a photo").to_rgb8();
        let horizon = picture.height() / 2;
        for (x, y, pixel) in picture.enumerate_pixels_mut().filter(|p| p.1 < horizon) {
            // Brighter towards the horizon, with the noise of a photo.
            let shade = (80 + 100 * y / horizon) as u8 + ((7 * x + 13 * y + x * y) % 3) as u8;
            *pixel = image::Rgb([shade - 60, shade - 20, shade + 40]);
        }
        let name = photo.file_name().expect("photos have names");
        picture
            .save(photos.join(name))
            .expect("a photo can be saved");
    }
    let all: [OsString; 6] = [
        "run".into(),
        photos.into(),
        "-o".into(),
        work.clone().into(),
        "--until".into(),
        "sparse".into(),
    ];
    relievo(all).ends(0);
    all_placed_within(&work, 0.5);
}

/// Memory is planned from what there is, not for the largest set.
#[test]
fn few_photos_need_little_memory() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let work = folder.path().join("work");
    poses(&work, &["--memory", "400M"]).ends(0);
    all_placed_within(&work, 0.25);
    let record = json(&work.join("sparse/stage.json"));
    let peak = record["peak_rss_mib"].as_f64().expect("a peak");
    assert!(peak < 400.0, "{peak} MiB");
}

/// Each photo with the two that follow by name.
#[test]
fn photos_may_be_matched_in_their_order() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let work = folder.path().join("work");
    let in_order = [
        "--set",
        "matches.pairs=sequential",
        "--set",
        "matches.sequence_window=2",
        "--set",
        "matches.retrieval_neighbours=0",
    ];
    poses(&work, &in_order).ends(0);
    all_placed_within(&work, 0.5);
    let record = json(&work.join("matches/stage.json"));
    assert_eq!(record["figures"]["pairs_tried"].as_u64(), Some(11 + 10));
}

/// The pairs that the matches of a work folder hold, first tries and second ones.
fn pairs_matched(work: &Path) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for entry in fs_err::read_dir(work.join("matches")).expect("a folder can be listed") {
        let path = entry.expect("a folder can be listed").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let bytes = || fs_err::read(&path).expect("an artefact can be read");
        if let Some(first) = name.strip_suffix(".pairs") {
            let pairs = native::matches::decode(&bytes()).expect("a shard");
            found.extend(pairs.into_iter().map(|p| (first.to_owned(), p.other)));
        } else if name.ends_with(".synthesis") {
            let pairs = native::synthesis::decode(&bytes()).expect("a second try");
            found.extend(pairs.into_iter().map(|p| (p.first, p.pair.other)));
        }
    }
    found
}

#[test]
fn the_pairs_of_a_list_are_matched_and_no_others() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (work, list) = (folder.path().join("work"), folder.path().join("pairs.txt"));
    let mut text = "# each photo with the two after it\n".to_owned();
    for a in 1..=12 {
        for b in a + 1..=12.min(a + 2) {
            writeln!(text, "{b:04}.jpg {a:04}.jpg").expect("text grows");
        }
    }
    fs_err::write(&list, &text).expect("a list can be written");
    let path = list.to_str().expect("a temporary folder has a plain name");
    poses(&work, &["--pairs", path]).ends(0);
    let record = json(&work.join("matches/stage.json"));
    assert_eq!(record["figures"]["pairs_tried"].as_u64(), Some(21));
    all_placed_within(&work, 1.0);
    // The list is kept, and a change of it is seen.
    fs_err::write(&list, format!("{text}0001.jpg 0012.jpg\n")).expect("a list can be written");
    poses(&work, &[]).ends(0);
    let record = json(&work.join("matches/stage.json"));
    assert_eq!(record["figures"]["pairs_tried"].as_u64(), Some(22));
    // Of a short list the ends have one partner: they are tried again with this one alone, and the
    // photos that it does not name with none.
    let short = [(1, 2), (2, 3), (3, 4)];
    let name = |number: usize| format!("{number:04}.jpg");
    let listed = BTreeSet::from(short.map(|(a, b)| (name(a), name(b))));
    let lines: Vec<String> = listed.iter().map(|(a, b)| format!("{a} {b}")).collect();
    fs_err::write(&list, lines.join("\n")).expect("a list can be written");
    let again: [OsString; 3] = ["run".into(), "-o".into(), work.clone().into()];
    let rest = ["--until", "matches"].map(OsString::from);
    relievo(again.into_iter().chain(rest)).ends(0);
    assert_eq!(pairs_matched(&work), listed);
    let record = json(&work.join("matches/stage.json"));
    let tried_again = record["figures"]["photos_tried_again"].as_u64();
    assert!(tried_again.is_some_and(|n| (2..=4).contains(&n)));
    let weak = json(&work.join("matches/weak.json"));
    for photo in weak.as_array().expect("a list") {
        for partner in photo["partners"].as_array().expect("a list") {
            let (a, b) = (photo["name"].as_str(), partner.as_str());
            let (a, b) = (a.min(b).expect("a name"), a.max(b).expect("a name"));
            assert!(listed.contains(&(a.to_owned(), b.to_owned())), "{a} {b}");
        }
    }
    fs_err::write(&list, "0001.jpg 0099.jpg\n").expect("a list can be written");
    poses(&work, &[])
        .ends(1)
        .says(&["pairs.txt", "line 1", "0099.jpg"]);
    let gone = folder.path().join("gone.txt");
    let gone = gone.to_str().expect("a temporary folder has a plain name");
    poses(&work, &["--pairs", gone]).ends(1).says(&["gone.txt"]);
}
