//! EXIF orientation, applied to pixels.

use relievo_image::Raster;

/// The upright picture for EXIF orientation 1 … 8 (others count as 1).
pub fn upright<T: Copy + Default>(src: Raster<T>, orientation: u8) -> Raster<T> {
    let (w, h) = (src.width(), src.height());
    if !(2..=8).contains(&orientation) || src.is_empty() {
        return src;
    }
    let size = if swaps_sides(orientation) {
        (h, w)
    } else {
        (w, h)
    };
    Raster::from_fn(size.0, size.1, |x, y| {
        src[match orientation {
            2 => (w - 1 - x, y),
            3 => (w - 1 - x, h - 1 - y),
            4 => (x, h - 1 - y),
            5 => (y, x),
            6 => (y, h - 1 - x),
            7 => (w - 1 - y, h - 1 - x),
            _ => (w - 1 - y, x),
        }]
    })
}

/// True where width and height change places.
pub fn swaps_sides(orientation: u8) -> bool {
    (5..=8).contains(&orientation)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stored rows of the upright picture "ab / cd / ef" by orientation,
    /// from the definition of row 0 and column 0 in EXIF 2.32, table 6.
    #[test]
    fn all_eight_orientations_come_out_upright() {
        let want = Raster::from_vec(2, 3, b"abcdef".to_vec());
        let stored: [(u8, usize, &[u8; 6]); 8] = [
            (1, 2, b"abcdef"),
            (2, 2, b"badcfe"),
            (3, 2, b"fedcba"),
            (4, 2, b"efcdab"),
            (5, 3, b"acebdf"),
            (6, 3, b"bdface"),
            (7, 3, b"fdbeca"),
            (8, 3, b"ecafdb"),
        ];
        for (orientation, width, bytes) in stored {
            let src = Raster::from_vec(width, 6 / width, bytes.to_vec());
            assert_eq!(upright(src, orientation), want, "orientation {orientation}");
        }
    }
}
