//! How the picture moves from frame to frame: one corner per cell of a grid,
//! followed by pyramidal Lucas–Kanade (Bouguet 2001) on small frames.
//!
//! Corners are the strongest of Shi & Tomasi (CVPR 1994) in their cell. The
//! residual is taken relative to the mean of the window, so a change of
//! exposure is no motion. A vector counts only where following it back
//! returns to the start.

use relievo_image::{Raster, halve};

/// Cells on each side of the grid.
const GRID: usize = 8;
/// Number of cells.
pub const CELLS: usize = GRID * GRID;
/// Pyramid levels.
const LEVELS: usize = 4;
/// Half the side of the window, pixels of a level.
const HALF: isize = 6;
/// Most iterations on a level.
const ITERATIONS: usize = 12;
/// Farthest that forwards and back may miss, pixels.
const RETURN_PX: f32 = 0.7;
/// Fewest followed corners that say how the picture moves.
const MIN_FOLLOWED: usize = 6;

/// A small frame at several scales.
#[derive(Clone, Debug)]
pub struct FramePyramid(Vec<Raster<u8>>);

impl FramePyramid {
    /// Halves `frame` again and again.
    pub fn new(frame: Raster<u8>) -> Self {
        let mut levels = vec![frame];
        while levels.len() < LEVELS {
            let next = halve(&levels[levels.len() - 1]);
            if next.width().min(next.height()) < 4 * HALF as usize {
                break;
            }
            levels.push(next);
        }
        Self(levels)
    }
}

/// Motion of each cell from `a` to `b` in pixels of level 0; cells that could
/// not be followed take the median of the others. `None` where too few could.
pub fn cell_motion(a: &FramePyramid, b: &FramePyramid) -> Option<[[f32; 2]; CELLS]> {
    let (first, second) = (&a.0[0], &b.0[0]);
    if (first.width(), first.height()) != (second.width(), second.height()) {
        return None;
    }
    let mut cells = [None; CELLS];
    for (cell, slot) in cells.iter_mut().enumerate() {
        let Some(corner) = corner(first, cell % GRID, cell / GRID) else {
            continue;
        };
        *slot = follow(a, b, corner, [0.0; 2]).and_then(|v| {
            let there = [corner[0] + v[0], corner[1] + v[1]];
            let back = follow(b, a, there, [0.0; 2])?;
            let miss = (v[0] + back[0]).hypot(v[1] + back[1]);
            (miss <= RETURN_PX).then_some(v)
        });
    }
    let followed: Vec<[f32; 2]> = cells.iter().flatten().copied().collect();
    if followed.len() < MIN_FOLLOWED {
        return None;
    }
    let middle = [0, 1].map(|k| median(followed.iter().map(|v| v[k]).collect()));
    Some(cells.map(|c| c.unwrap_or(middle)))
}

/// The median (upper of two); 0 of nothing.
pub(super) fn median(mut values: Vec<f32>) -> f32 {
    let mid = values.len() / 2;
    if values.is_empty() {
        return 0.0;
    }
    values.sort_unstable_by(f32::total_cmp);
    values[mid]
}

/// The strongest corner of a cell, as an index position.
fn corner(frame: &Raster<u8>, cx: usize, cy: usize) -> Option<[f32; 2]> {
    const R: usize = 3;
    let (w, h) = (frame.width(), frame.height());
    let margin = R + 2;
    let range = |c: usize, side: usize| {
        let (lo, hi) = (c * side / GRID, (c + 1) * side / GRID);
        (lo.max(margin), hi.min(side.saturating_sub(margin)))
    };
    let ((x0, x1), (y0, y1)) = (range(cx, w), range(cy, h));
    let (mut best, mut found) = (60.0 * ((2 * R + 1) * (2 * R + 1)) as f32, None);
    for y in (y0..y1).step_by(2) {
        for x in (x0..x1).step_by(2) {
            let (mut xx, mut xy, mut yy) = (0_i32, 0_i32, 0_i32);
            for v in y - R..=y + R {
                let (up, row, down) = (frame.row(v - 1), frame.row(v), frame.row(v + 1));
                for u in x - R..=x + R {
                    let gx = i32::from(row[u + 1]) - i32::from(row[u - 1]);
                    let gy = i32::from(down[u]) - i32::from(up[u]);
                    xx += gx * gx;
                    xy += gx * gy;
                    yy += gy * gy;
                }
            }
            let (xx, xy, yy) = (xx as f32, xy as f32, yy as f32);
            let smaller = 0.5 * (xx + yy - ((xx - yy) * (xx - yy) + 4.0 * xy * xy).sqrt());
            if smaller > best {
                best = smaller;
                found = Some([x as f32, y as f32]);
            }
        }
    }
    found
}

#[inline]
fn bilinear(frame: &Raster<u8>, x: f32, y: f32) -> f32 {
    let (w, h) = (frame.width(), frame.height());
    let x = x.clamp(0.0, (w - 1) as f32);
    let y = y.clamp(0.0, (h - 1) as f32);
    let (x0, y0) = (x as usize, y as usize);
    let (x1, y1) = ((x0 + 1).min(w - 1), (y0 + 1).min(h - 1));
    let (tx, ty) = (x - x0 as f32, y - y0 as f32);
    let (top, bottom) = (frame.row(y0), frame.row(y1));
    let a = f32::from(top[x0]) * (1.0 - tx) + f32::from(top[x1]) * tx;
    let b = f32::from(bottom[x0]) * (1.0 - tx) + f32::from(bottom[x1]) * tx;
    a * (1.0 - ty) + b * ty
}

/// Motion of the point at index position `p` of level 0 of `a`.
fn follow(a: &FramePyramid, b: &FramePyramid, p: [f32; 2], start: [f32; 2]) -> Option<[f32; 2]> {
    const N: usize = ((2 * HALF + 1) * (2 * HALF + 1)) as usize;
    let mut v = start;
    let top = a.0.len().min(b.0.len()) - 1;
    let scale = (1 << top) as f32;
    v = v.map(|t| t / scale);
    for level in (0..=top).rev() {
        let (fa, fb) = (&a.0[level], &b.0[level]);
        let s = 1.0 / (1 << level) as f32;
        // Pixel centres at half-integers scale, index positions do not.
        let (px, py) = ((p[0] + 0.5) * s - 0.5, (p[1] + 0.5) * s - 0.5);
        let (mut patch, mut gx, mut gy) = ([0.0_f32; N], [0.0_f32; N], [0.0_f32; N]);
        let (mut xx, mut xy, mut yy, mut mean) = (0.0, 0.0, 0.0, 0.0);
        for (k, (dx, dy)) in window().enumerate() {
            let (x, y) = (px + dx, py + dy);
            patch[k] = bilinear(fa, x, y);
            gx[k] = 0.5 * (bilinear(fa, x + 1.0, y) - bilinear(fa, x - 1.0, y));
            gy[k] = 0.5 * (bilinear(fa, x, y + 1.0) - bilinear(fa, x, y - 1.0));
            xx += gx[k] * gx[k];
            xy += gx[k] * gy[k];
            yy += gy[k] * gy[k];
            mean += patch[k];
        }
        mean /= N as f32;
        let det = xx * yy - xy * xy;
        if det < 1e-3 * (xx + yy) * (xx + yy) || xx + yy < 1.0 {
            // A straight edge or nothing at this scale: leave it to the finer.
            if level == 0 {
                return None;
            }
            v = v.map(|t| 2.0 * t);
            continue;
        }
        for _ in 0..ITERATIONS {
            let mut other = [0.0_f32; N];
            let mut other_mean = 0.0;
            for (k, (dx, dy)) in window().enumerate() {
                other[k] = bilinear(fb, px + v[0] + dx, py + v[1] + dy);
                other_mean += other[k];
            }
            other_mean /= N as f32;
            let (mut bx, mut by) = (0.0, 0.0);
            for k in 0..N {
                let e = (patch[k] - mean) - (other[k] - other_mean);
                bx += e * gx[k];
                by += e * gy[k];
            }
            let step = [(yy * bx - xy * by) / det, (xx * by - xy * bx) / det];
            v = [v[0] + step[0], v[1] + step[1]];
            if step[0].hypot(step[1]) < 0.02 {
                break;
            }
        }
        if level > 0 {
            v = v.map(|t| 2.0 * t);
        }
    }
    let frame = &b.0[0];
    let (x, y) = (p[0] + v[0], p[1] + v[1]);
    let inside = x >= 0.0 && y >= 0.0 && x < frame.width() as f32 && y < frame.height() as f32;
    inside.then_some(v)
}

fn window() -> impl Iterator<Item = (f32, f32)> {
    (-HALF..=HALF).flat_map(|dy| (-HALF..=HALF).map(move |dx| (dx as f32, dy as f32)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(dx: f32, dy: f32, gain: f32) -> FramePyramid {
        FramePyramid::new(Raster::from_fn(180, 320, |x, y| {
            let (x, y) = (x as f32 - dx, y as f32 - dy);
            let v = 110.0
                + 40.0 * (x * 0.11).sin() * (y * 0.13).cos()
                + 30.0 * (x * 0.041 + 1.0).cos() * (y * 0.037).sin()
                + 20.0 * (x * 0.31 + y * 0.23).sin();
            (v * gain) as u8
        }))
    }

    #[test]
    fn shifts_are_found_to_a_tenth_of_a_pixel() {
        for (dx, dy, gain) in [
            (0.0, 0.0, 1.0),
            (1.3, -2.7, 1.0),
            (-9.5, 6.0, 1.08),
            (12.0, 0.0, 1.0),
        ] {
            let motion = cell_motion(&frame(0.0, 0.0, 1.0), &frame(dx, dy, gain))
                .unwrap_or_else(|| panic!("{dx} {dy}"));
            let m = [0, 1].map(|k| median(motion.iter().map(|v| v[k]).collect()));
            assert!(
                (m[0] - dx).abs() < 0.15 && (m[1] - dy).abs() < 0.15,
                "{m:?} {dx} {dy}"
            );
        }
    }

    #[test]
    fn blank_frames_have_no_motion() {
        let blank = FramePyramid::new(Raster::filled(180, 320, 9));
        assert!(cell_motion(&blank, &blank).is_none());
        let tiny = FramePyramid::new(Raster::filled(3, 2, 9));
        assert!(cell_motion(&tiny, &tiny).is_none());
    }
}
