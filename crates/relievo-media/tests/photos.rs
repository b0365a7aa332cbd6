//! Photo files of every kind, and damaged ones.

#![expect(clippy::unwrap_used, reason = "helpers of tests unwrap as tests do")]

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageBuffer, ImageFormat, Luma, LumaA, Rgb, Rgba};
use relievo_image::Raster;
use relievo_media::{
    PhotoProblem, decode_mask_bytes, decode_photo, decode_photo_bytes, encode_jpeg,
    encode_png_gray, encode_png_gray16, encode_png_rgb, probe_photo_bytes, scan_inputs,
};
use std::io::Cursor;
use std::path::PathBuf;

fn picture(w: usize, h: usize) -> Raster<[u8; 3]> {
    Raster::from_fn(w, h, |x, y| {
        let v = |k: f32| (128.0 + 100.0 * (x as f32 * k).sin() * (y as f32 * k * 0.7).cos()) as u8;
        [v(0.05), v(0.08), v(0.11)]
    })
}

fn png_of(image: &DynamicImage) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    image.write_to(&mut out, ImageFormat::Png).unwrap();
    out.into_inner()
}

/// An APP1 segment with the orientation, 35 mm focal length and model.
fn exif_segment(orientation: u8) -> Vec<u8> {
    let mut tiff = b"II*\0\x08\0\0\0".to_vec();
    let entry = |tag: u16, kind: u16, count: u32, value: [u8; 4]| {
        let mut e = tag.to_le_bytes().to_vec();
        e.extend(kind.to_le_bytes());
        e.extend(count.to_le_bytes());
        e.extend(value);
        e
    };
    tiff.extend(3_u16.to_le_bytes());
    tiff.extend(entry(0x0110, 2, 3, *b"X1\0\0"));
    tiff.extend(entry(0x0112, 3, 1, [orientation, 0, 0, 0]));
    // The Exif directory follows this one: 8 + 2 + 3 × 12 + 4.
    tiff.extend(entry(0x8769, 4, 1, [50, 0, 0, 0]));
    tiff.extend([0; 4]);
    tiff.extend(1_u16.to_le_bytes());
    tiff.extend(entry(0xa405, 3, 1, [27, 0, 0, 0]));
    tiff.extend([0; 4]);
    let mut segment = vec![0xff, 0xe1];
    segment.extend((tiff.len() as u16 + 8).to_be_bytes());
    segment.extend(b"Exif\0\0");
    segment.extend(tiff);
    segment
}

fn with_exif(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    [&jpeg[..2], &exif_segment(orientation), &jpeg[2..]].concat()
}

/// What a camera held the other way would have stored.
fn stored(upright: &Raster<[u8; 3]>, orientation: u8) -> Raster<[u8; 3]> {
    // Turning back is the same table but for the two quarter turns.
    let back = match orientation {
        6 => 8,
        8 => 6,
        o => o,
    };
    relievo_media::orientation::upright(upright.clone(), back)
}

fn mean_difference(a: &Raster<[u8; 3]>, b: &Raster<[u8; 3]>) -> f64 {
    assert_eq!((a.width(), a.height()), (b.width(), b.height()));
    let (a, b) = (a.as_slice().as_flattened(), b.as_slice().as_flattened());
    let sum: u64 = a
        .iter()
        .zip(b)
        .map(|(x, y)| u64::from(x.abs_diff(*y)))
        .sum();
    sum as f64 / a.len() as f64
}

#[test]
fn every_orientation_of_a_jpeg_comes_out_upright() {
    let want = picture(75, 51);
    for orientation in 1..=8 {
        let jpeg = with_exif(
            &encode_jpeg(&stored(&want, orientation), 95).unwrap(),
            orientation,
        );
        let photo = decode_photo_bytes(&jpeg).unwrap();
        let d = mean_difference(&photo.rgb, &want);
        assert!(d < 2.0, "orientation {orientation}: {d}");
        let info = probe_photo_bytes(&jpeg).unwrap();
        assert_eq!(info, photo.info);
        assert_eq!((info.width_px, info.height_px), (75, 51));
        assert_eq!(info.exif.orientation, orientation);
        assert_eq!(info.exif.model.as_deref(), Some("X1"));
        assert_eq!(info.exif.focal_35mm, Some(27.0));
    }
}

#[test]
fn png_of_every_depth_is_rounded_to_eight_bits() {
    let wide = |x: u32, y: u32| (x * 1000 + y * 37) as u16;
    let round = |v: u16| ((u32::from(v) * 255 + 32767) / 65535) as u8;
    let grey = ImageBuffer::from_fn(40, 33, |x, y| Luma([wide(x, y)]));
    let got = decode_photo_bytes(&png_of(&DynamicImage::ImageLuma16(grey))).unwrap();
    let rgb = ImageBuffer::from_fn(40, 33, |x, y| Rgb([wide(x, y), 0, 65535]));
    let color = decode_photo_bytes(&png_of(&DynamicImage::ImageRgb16(rgb))).unwrap();
    for y in 0..33 {
        for x in 0..40 {
            let v = round(wide(x as u32, y as u32));
            assert_eq!(got.rgb[(x, y)], [v; 3]);
            assert_eq!(color.rgb[(x, y)], [v, 0, 255]);
        }
    }
    let alpha = ImageBuffer::from_fn(40, 33, |x, _| {
        Rgba([200, 100, 50, if x < 20 { 255 } else { 0 }])
    });
    let got = decode_photo_bytes(&png_of(&DynamicImage::ImageRgba8(alpha))).unwrap();
    assert_eq!(got.rgb[(3, 3)], [200, 100, 50]);
    assert_eq!(got.rgb[(30, 3)], [0; 3]);
    let grey_alpha = ImageBuffer::from_pixel(40, 33, LumaA([77_u8, 255]));
    let got = decode_photo_bytes(&png_of(&DynamicImage::ImageLumaA8(grey_alpha))).unwrap();
    assert_eq!(got.rgb[(0, 0)], [77; 3]);
}

#[test]
fn grey_jpegs_and_our_own_pngs_are_read() {
    let want = picture(67, 45);
    let grey = want.map(|p| p[0]);
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, 95)
        .encode(grey.as_slice(), 67, 45, image::ExtendedColorType::L8)
        .unwrap();
    let photo = decode_photo_bytes(&jpeg).unwrap();
    assert!(mean_difference(&photo.rgb, &grey.map(|&v| [v; 3])) < 2.0);
    assert_eq!(
        decode_photo_bytes(&encode_png_rgb(&want).unwrap())
            .unwrap()
            .rgb,
        want
    );
    let read = decode_photo_bytes(&encode_png_gray(&grey).unwrap())
        .unwrap()
        .rgb;
    assert_eq!(read, grey.map(|&v| [v; 3]));
    let wide = grey.map(|&v| u16::from(v) * 257);
    let read = decode_photo_bytes(&encode_png_gray16(&wide).unwrap())
        .unwrap()
        .rgb;
    assert_eq!(read, grey.map(|&v| [v; 3]));
}

#[test]
fn a_jpeg_cut_off_anywhere_is_an_error() {
    let jpeg = encode_jpeg(&picture(160, 120), 80).unwrap();
    assert!(decode_photo_bytes(&jpeg).is_ok());
    for keep in (2..jpeg.len() - 1).step_by(61) {
        assert!(
            decode_photo_bytes(&jpeg[..keep]).is_err(),
            "{keep} of {}",
            jpeg.len()
        );
    }
    let half = decode_photo_bytes(&jpeg[..jpeg.len() / 2]);
    assert_eq!(half.unwrap_err(), PhotoProblem::Truncated);
}

#[test]
fn what_is_no_photo_is_told_apart() {
    let problem = |data: &[u8]| decode_photo_bytes(data).unwrap_err();
    assert_eq!(problem(b""), PhotoProblem::Empty);
    assert_eq!(
        problem(b"Dear diary, today I took photos."),
        PhotoProblem::NotAPicture
    );
    let heic = problem(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic");
    assert_eq!(heic, PhotoProblem::Heif { format: "HEIC" });
    assert!(heic.hint().contains("JPEG"));
    let one = encode_png_rgb(&Raster::filled(1, 1, [9; 3])).unwrap();
    assert_eq!(
        problem(&one),
        PhotoProblem::TooSmall {
            width_px: 1,
            height_px: 1
        }
    );
    // A header that announces 65 500 × 65 500 pixels.
    let mut bomb = encode_jpeg(&picture(64, 64), 80).unwrap();
    let frame = bomb.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    bomb[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xdc, 0xff, 0xdc]);
    assert!(matches!(problem(&bomb), PhotoProblem::TooLarge { .. }));
}

#[test]
fn damaged_photos_never_panic() {
    use rand_xoshiro::rand_core::RngCore;
    let mut random = relievo_task::rng(3, "photos", "damage");
    let small = picture(48, 40);
    let files = [
        with_exif(&encode_jpeg(&small, 85).unwrap(), 6),
        encode_png_rgb(&small).unwrap(),
        {
            let mut out = Cursor::new(Vec::new());
            let rgb = ImageBuffer::from_pixel(40, 40, Rgb([1_u8, 2, 3]));
            DynamicImage::ImageRgb8(rgb)
                .write_to(&mut out, ImageFormat::Tiff)
                .unwrap();
            out.into_inner()
        },
    ];
    for file in &files {
        for i in 0..400 {
            let mut bytes = file.clone();
            let below = |n: usize, r: u64| (r % n as u64) as usize;
            if i % 3 == 0 {
                bytes.truncate(below(bytes.len(), random.next_u64()));
            } else {
                for _ in 0..4 {
                    let at = below(bytes.len(), random.next_u64());
                    bytes[at] ^= 1 << (random.next_u64() % 8);
                }
            }
            let _ = decode_photo_bytes(&bytes);
            let _ = decode_mask_bytes(&bytes);
        }
    }
}

#[test]
fn masks_keep_what_is_not_black() {
    let wide = ImageBuffer::from_fn(40, 33, |x, _| Luma([u16::from(x > 3)]));
    let mask = decode_mask_bytes(&png_of(&DynamicImage::ImageLuma16(wide))).unwrap();
    assert_eq!((mask[(3, 0)], mask[(4, 0)]), (0, 255));
}

#[test]
fn inputs_become_names() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| {
        let path = dir.path().join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, b"x").unwrap();
    };
    for name in [
        "a/1.JPG",
        "a/sub/2.png",
        "a/notes.txt",
        "a/.hidden/3.jpg",
        "a/.4.jpg",
        "b/1.JPG",
        "b/clip.MP4",
        "a/x.relievo/5.jpg",
        "a/work/relievo.toml",
        "a/work/6.jpg",
        "c/a/1.JPG",
    ] {
        file(name);
    }
    let names = |inputs: &[&str]| -> Vec<String> {
        let inputs: Vec<PathBuf> = inputs.iter().map(|i| dir.path().join(i)).collect();
        let found = scan_inputs(&inputs).unwrap();
        found.into_iter().map(|f| f.name).collect()
    };
    assert_eq!(names(&["a"]), ["1.JPG", "sub/2.png"]);
    assert_eq!(
        names(&["a", "b"]),
        ["a/1.JPG", "b/1.JPG", "clip.MP4", "sub/2.png"]
    );
    assert_eq!(names(&["b/1.JPG", "b"]), ["1.JPG", "clip.MP4"]);
    let twice = names(&["a/1.JPG", "c/a"]);
    assert_eq!(twice.len(), 2);
    assert!(twice[0] != twice[1] && twice.iter().all(|n| n.ends_with("a/1.JPG")));
    let missing = scan_inputs(&[dir.path().join("nothing")]).unwrap_err();
    assert!(missing.to_string().contains("nothing"));
    assert!(
        decode_photo(&dir.path().join("a/1.JPG"))
            .unwrap_err()
            .to_string()
            .contains("1.JPG")
    );
}

/// `red = 60 + 3x, green = 40 + 4y, blue = 128`, written as CMYK (inverted, as
/// Adobe does) and as progressive RGB.
#[test]
fn cmyk_and_progressive_jpegs_have_the_right_colours() {
    let want = Raster::from_fn(47, 33, |x, y| [60 + 3 * x as u8, 40 + 4 * y as u8, 128]);
    for data in [
        &include_bytes!("data/cmyk.jpg")[..],
        &include_bytes!("data/progressive.jpg")[..],
    ] {
        let got = decode_photo_bytes(data).unwrap();
        let d = mean_difference(&got.rgb, &want);
        assert!(d < 3.0, "{d}");
    }
}

#[test]
fn a_texture_may_be_a_strip_where_a_photo_may_not() {
    let strip = relievo_image::Raster::from_fn(300, 16, |x, y| [x as u8, y as u8, 7]);
    let png = relievo_media::encode_png_rgb(&strip).unwrap();
    assert_eq!(relievo_media::decode_texture_bytes(&png).unwrap(), strip);
    let refused = relievo_media::decode_photo_bytes(&png).unwrap_err();
    assert_eq!(refused.kind(), "photo-tiny");
}
