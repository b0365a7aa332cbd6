//! Photos for the tests.

use std::path::{Path, PathBuf};

fn of_repository(set: &str) -> PathBuf {
    let datasets = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests lie in the repository")
        .join("datasets");
    datasets.join(set)
}

/// The rendered demo set with its truth: 12 photos, 640 x 480.
pub fn demo() -> PathBuf {
    of_repository("demo")
}

/// A rendered room with a mirror on its wall x = 0, with true cameras: 20 photos, 750 x 500.
pub fn mirror() -> PathBuf {
    of_repository("mirror")
}

/// A photo of the demo set, counted from 1.
pub fn demo_photo(number: usize) -> PathBuf {
    demo().join(format!("images/{number:04}.jpg"))
}

/// Photos of the demo set, counted from 1.
pub fn demo_photos(numbers: impl IntoIterator<Item = usize>) -> Vec<PathBuf> {
    numbers.into_iter().map(demo_photo).collect()
}

/// A real photo set under `RELIEVO_DATA`; `None`, with a message, where that
/// is not set. In CI it must be.
pub fn real(set: &str) -> Option<PathBuf> {
    let Some(root) = std::env::var_os("RELIEVO_DATA").filter(|v| !v.is_empty()) else {
        assert!(
            std::env::var_os("CI").is_none(),
            "RELIEVO_DATA must name the folder of the photo sets in CI"
        );
        crate::say_skipped(&format!("RELIEVO_DATA is not set, so no {set}"));
        return None;
    };
    let path = Path::new(&root).join(set);
    assert!(path.is_dir(), "{} is not there", path.display());
    Some(path)
}

/// Copies photos of the demo set into `folder`, under their own names.
pub fn copy_demo(numbers: impl IntoIterator<Item = usize>, folder: &Path) {
    fs_err::create_dir_all(folder).expect("a folder can be made");
    for photo in demo_photos(numbers) {
        let name = photo.file_name().expect("photos have names");
        fs_err::copy(&photo, folder.join(name)).expect("a photo can be copied");
    }
}

/// A picture with plenty to find and nothing in common with any other seed:
/// grey rectangles.
pub fn rectangles(seed: u64, width: u32, height: u32) -> image::RgbImage {
    let mut random = Random::new(seed);
    let mut picture = image::RgbImage::from_pixel(width, height, image::Rgb([128; 3]));
    for _ in 0..600 {
        let (x, y) = (random.below(width), random.below(height));
        let (w, h) = (4 + random.below(width / 12), 4 + random.below(height / 12));
        let shade = random.below(256) as u8;
        for py in y..(y + h).min(height) {
            for px in x..(x + w).min(width) {
                picture.put_pixel(px, py, image::Rgb([shade; 3]));
            }
        }
    }
    picture
}

/// Seeded numbers (splitmix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next one.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to under `bound`.
    pub fn below(&mut self, bound: u32) -> u32 {
        (self.next_u64() % u64::from(bound.max(1))) as u32
    }

    /// From 0 to under 1.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}
