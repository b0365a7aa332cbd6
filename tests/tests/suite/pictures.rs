//! `inspect --pictures`: what a person looks at is what is there, the right way up.

use super::small::small;
use image::imageops::{FilterType, flip_horizontal, flip_vertical, resize};
use image::{GrayImage, RgbImage};
use relievo_tests::data::demo_photos;
use relievo_tests::program::relievo;
use std::ffi::OsString;
use std::path::Path;

fn open(path: &Path) -> RgbImage {
    image::open(path)
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        .to_rgb8()
}

/// Correlation of the grey values of two pictures as 40 x 30, where `drawn` is mostly white.
fn likeness(a: &RgbImage, b: &RgbImage, drawn: &GrayImage) -> f64 {
    let small = |picture: &RgbImage| {
        let gray = image::DynamicImage::ImageRgb8(picture.clone()).to_luma8();
        resize(&gray, 40, 30, FilterType::Triangle)
    };
    let drawn = resize(drawn, 40, 30, FilterType::Triangle);
    let (a, b) = (small(a), small(b));
    let pairs: Vec<(f64, f64)> = a
        .pixels()
        .zip(b.pixels())
        .zip(drawn.pixels())
        .filter(|(_, d)| d[0] > 200)
        .map(|((a, b), _)| (f64::from(a[0]), f64::from(b[0])))
        .collect();
    assert!(pairs.len() > 300, "{} cells are drawn", pairs.len());
    let n = pairs.len() as f64;
    let (ma, mb) = pairs
        .iter()
        .fold((0.0, 0.0), |(a, b), p| (a + p.0 / n, b + p.1 / n));
    let sum = |f: &dyn Fn(&(f64, f64)) -> f64| pairs.iter().map(f).sum::<f64>();
    sum(&|p| (p.0 - ma) * (p.1 - mb))
        / (sum(&|p| (p.0 - ma).powi(2)) * sum(&|p| (p.1 - mb).powi(2))).sqrt()
}

#[test]
fn pictures_show_what_is_there_the_right_way_up() {
    let folder = tempfile::tempdir().unwrap();
    let work: OsString = small().work.clone().into();
    let to: OsString = folder.path().into();
    let ran = relievo(["inspect".into(), work, "--pictures".into(), to]).ends(0);
    let picture = |name: &str| open(&folder.path().join(name));
    let photos = demo_photos(1..=6);
    for photo in &photos {
        let stem = photo.file_name().unwrap().to_string_lossy();
        let [depth, normal, confidence] =
            ["depth", "normal", "confidence"].map(|kind| picture(&format!("{stem}.{kind}.png")));
        assert_eq!(depth.dimensions(), normal.dimensions());
        assert_eq!(depth.dimensions(), confidence.dimensions());
        let coloured = depth.pixels().filter(|p| p.0 != [0; 3]).count();
        assert!(2 * coloured > depth.pixels().len(), "{stem}: {coloured}");
        // What is drawn faces the camera, which is blue.
        let drawn = || normal.pixels().filter(|p| p.0 != [0; 3]);
        let blue = drawn().filter(|p| p[2] > 127).count();
        assert!(100 * blue > 99 * drawn().count(), "{stem}: {blue}");
    }
    picture("matches.png");
    // The cloud and the mesh lie on the photo that they are seen from.
    let cloud = picture("cloud.png");
    let background = *cloud.get_pixel(0, 0);
    let drawn = |picture: &RgbImage| {
        GrayImage::from_fn(picture.width(), picture.height(), |x, y| {
            image::Luma([255 * u8::from(*picture.get_pixel(x, y) != background)])
        })
    };
    let best = |cloud: &RgbImage| {
        let drawn = drawn(cloud);
        let of = photos.iter().map(|p| likeness(cloud, &open(p), &drawn));
        of.fold(f64::MIN, f64::max)
    };
    let right = best(&cloud);
    assert!(right > 0.9, "{right}");
    for turned in [flip_vertical(&cloud), flip_horizontal(&cloud)] {
        let wrong = best(&turned);
        assert!(wrong < 0.7, "{wrong}");
    }
    let coverage = picture("coverage.png");
    assert_eq!(coverage.dimensions(), cloud.dimensions());
    assert_ne!(coverage, cloud);
    let mesh = drawn(&picture("mesh.png"));
    let both = mesh
        .pixels()
        .zip(drawn(&cloud).pixels().copied().collect::<Vec<_>>());
    let agree = both.filter(|(a, b)| **a == *b).count();
    assert!(10 * agree > 8 * mesh.pixels().len(), "{agree}");
    assert_eq!(ran.stdout.matches("picture: ").count(), 4 + 3 * 6);
}
