//! Pixels that hold no signal.
//!
//! Where a photo is black or burnt out, and flat, nothing tells one depth from
//! another: what PatchMatch leaves there is the depth of the nearest edge (the
//! "fattening" of Scharstein & Szeliski, IJCV 2002, section 3), a skin of
//! background around whatever stands before it. Plain walls are not meant: they
//! are well exposed, and planes hold them.

use rayon::prelude::*;
use relievo_image::Raster;
use relievo_scene::{DepthMap, PackedNormal};

/// Half the side of the window.
const REACH: usize = 2;
/// Mean grey level below which a flat window is black.
const BLACK: f32 = 12.0;
/// Mean grey level above which a flat window is burnt out.
const WHITE: f32 = 251.0;
/// Deviation of grey levels below which a window is flat.
const FLAT: f32 = 3.0;
/// Rows handed to a thread at a time.
const BAND: usize = 32;

/// Empties the pixels of `map` around which `gray` (of its size) is black or
/// burnt out, and flat: 5 × 5 pixels, clipped at the border.
pub fn clear_unexposed(map: &mut DepthMap, gray: &Raster<u8>) {
    let (w, h) = (gray.width(), gray.height());
    assert_eq!((map.depth.width(), map.depth.height()), (w, h), "sizes");
    let rows_of_bands = map
        .depth
        .as_mut_slice()
        .par_chunks_mut(BAND * w.max(1))
        .zip(map.normal.as_mut_slice().par_chunks_mut(BAND * w.max(1)))
        .zip(
            map.confidence
                .as_mut_slice()
                .par_chunks_mut(BAND * w.max(1)),
        );
    rows_of_bands
        .enumerate()
        .for_each(|(band, ((depth, normal), confidence))| {
            for_each_unexposed(gray, band * BAND, depth.len() / w, |at| {
                depth[at] = 0.0;
                normal[at] = PackedNormal::default();
                confidence[at] = 0;
            });
        });
}

/// Calls `clear` with each pixel to be emptied of `rows` rows, counted from the first of `first`.
fn for_each_unexposed(gray: &Raster<u8>, first: usize, rows: usize, mut clear: impl FnMut(usize)) {
    let (w, h) = (gray.width(), gray.height());
    // Sums over columns of the window slide down the picture.
    let mut sums = vec![(0_u32, 0_u32); w];
    let add = |sums: &mut Vec<(u32, u32)>, y: usize, sign: bool| {
        for (s, &v) in sums.iter_mut().zip(gray.row(y)) {
            let v = u32::from(v);
            if sign {
                *s = (s.0 + v, s.1 + v * v);
            } else {
                *s = (s.0 - v, s.1 - v * v);
            }
        }
    };
    for y in first.saturating_sub(REACH)..(first + REACH).min(h) {
        add(&mut sums, y, true);
    }
    for y in first..first + rows {
        if y + REACH < h {
            add(&mut sums, y + REACH, true);
        }
        if y > first && y > REACH {
            add(&mut sums, y - REACH - 1, false);
        }
        let high = (y + REACH + 1).min(h) - y.saturating_sub(REACH);
        for x in 0..w {
            let (from, to) = (x.saturating_sub(REACH), (x + REACH + 1).min(w));
            let (sum, squares) = sums[from..to]
                .iter()
                .fold((0, 0), |a, s| (a.0 + s.0, a.1 + s.1));
            let n = (high * (to - from)) as f32;
            let mean = sum as f32 / n;
            if !(BLACK..=WHITE).contains(&mean) {
                let variance = squares as f32 / n - mean * mean;
                if variance < FLAT * FLAT {
                    clear((y - first) * w + x);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use relievo_geometry::CameraModel;
    use relievo_scene::Camera;

    #[test]
    fn black_and_burnt_out_is_emptied_walls_and_edges_are_kept() {
        let (w, h) = (60, 20);
        // Black, a grey wall, burnt out; black with texture below.
        let gray = Raster::from_fn(w, h, |x, y| match (x, y) {
            (0..20, 0..10) => 4,
            (0..20, _) => 4 + 16 * ((x + y) % 2) as u8,
            (20..40, _) => 120,
            _ => 255,
        });
        let mut map = DepthMap::new(Camera {
            model: CameraModel::Pinhole {
                fx: 50.0,
                fy: 50.0,
                cx: 30.0,
                cy: 10.0,
            },
            width_px: w as u32,
            height_px: h as u32,
            has_prior_focal: true,
        });
        map.depth.as_mut_slice().fill(2.0);
        clear_unexposed(&mut map, &gray);
        assert_eq!(map.depth[(5, 3)], 0.0);
        assert_eq!(map.depth[(50, 10)], 0.0);
        assert_eq!(map.depth[(30, 10)], 2.0);
        assert_eq!(map.depth[(19, 3)], 2.0);
        assert_eq!(map.depth[(5, 16)], 2.0);
        assert_eq!(map.depth[(0, 0)], 0.0);
    }

    #[test]
    fn bands_of_rows_do_not_show() {
        let (w, h) = (40, 3 * BAND + 5);
        // Black, grey and burnt out blobs of a few pixels, over all bands.
        let grey = [3, 5, 130, 255, 253, 4];
        let gray = Raster::from_fn(w, h, |x, y| grey[(x / 7 + y / 6 + (x * y) / 90) % 6]);
        let mut map = DepthMap::new(Camera {
            model: CameraModel::Pinhole {
                fx: 50.0,
                fy: 50.0,
                cx: 20.0,
                cy: 50.0,
            },
            width_px: w as u32,
            height_px: h as u32,
            has_prior_focal: true,
        });
        map.depth.as_mut_slice().fill(2.0);
        clear_unexposed(&mut map, &gray);
        let mut emptied = 0;
        for y in 0..h {
            for x in 0..w {
                let window: Vec<f32> = (y.saturating_sub(REACH)..(y + REACH + 1).min(h))
                    .flat_map(|v| {
                        (x.saturating_sub(REACH)..(x + REACH + 1).min(w)).map(move |u| (u, v))
                    })
                    .map(|at| f32::from(gray[at]))
                    .collect();
                let n = window.len() as f32;
                let mean = window.iter().sum::<f32>() / n;
                let variance = window.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / n;
                let dark_or_bright = !(BLACK..=WHITE).contains(&mean);
                let empty = dark_or_bright && variance < FLAT * FLAT;
                emptied += usize::from(empty);
                assert_eq!(map.depth[(x, y)] == 0.0, empty, "pixel {x}, {y}");
            }
        }
        assert!(emptied > 100 && emptied < w * h - 100, "{emptied}");
    }
}
