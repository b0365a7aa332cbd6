//! Which face each texel of a chart shows.

use crate::adjacency::NONE;
use crate::charts::Chart;
use crate::plane::ViewPlane;
use relievo_scene::TriMesh;

/// Texel map of one chart.
#[derive(Debug)]
pub(crate) struct Coverage {
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// Index into the chart's faces, or [`NONE`]; texels around the faces hold
    /// the face of the nearest texel inside.
    pub(crate) face: Vec<u32>,
    /// True where a face really lies.
    pub(crate) inside: Vec<bool>,
    /// Per face of the chart its corners, texels.
    pub(crate) corners: Vec<[[f64; 2]; 3]>,
}

impl Coverage {
    /// Fills the chart's faces and grows them by `padding` texels.
    pub(crate) fn new(mesh: &TriMesh, chart: &Chart, plane: &ViewPlane, padding: u32) -> Self {
        let (w, h) = (chart.size.0 as usize, chart.size.1 as usize);
        let corners: Vec<[[f64; 2]; 3]> = chart
            .faces
            .iter()
            .map(|&f| {
                mesh.triangles[f as usize].map(|v| {
                    let q = plane.to_camera(mesh.positions[v as usize]);
                    chart.texel(plane.plane_px(&q), padding)
                })
            })
            .collect();
        let mut face = vec![NONE; w * h];
        for (i, c) in corners.iter().enumerate() {
            fill(c, w, h, |at| face[at] = i as u32);
        }
        // A face may be smaller than a texel: it gets those under its corners.
        for (i, c) in corners.iter().enumerate() {
            for p in c {
                let x = (p[0].max(0.0) as usize).min(w - 1);
                let y = (p[1].max(0.0) as usize).min(h - 1);
                let at = &mut face[y * w + x];
                if *at == NONE {
                    *at = i as u32;
                }
            }
        }
        let inside: Vec<bool> = face.iter().map(|&f| f != NONE).collect();
        let mut edge: Vec<u32> = (0..face.len() as u32)
            .filter(|&t| inside[t as usize])
            .collect();
        for _ in 0..padding {
            let mut grown = Vec::new();
            for &t in &edge {
                let (x, y) = (t as usize % w, t as usize / w);
                let from = face[t as usize];
                let mut reach = |at: usize| {
                    if face[at] == NONE {
                        face[at] = from;
                        grown.push(at as u32);
                    }
                };
                if x > 0 {
                    reach(t as usize - 1);
                }
                if x + 1 < w {
                    reach(t as usize + 1);
                }
                if y > 0 {
                    reach(t as usize - w);
                }
                if y + 1 < h {
                    reach(t as usize + w);
                }
            }
            edge = grown;
        }
        Self {
            width: w,
            height: h,
            face,
            inside,
            corners,
        }
    }

    /// Barycentric weights of a texel's centre in a face of the chart, clamped
    /// to the face.
    pub(crate) fn weights(&self, face: u32, x: usize, y: usize) -> [f64; 3] {
        let [a, b, c] = self.corners[face as usize];
        let p = [x as f64 + 0.5, y as f64 + 0.5];
        let cross = |o: [f64; 2], s: [f64; 2], t: [f64; 2]| {
            (s[0] - o[0]) * (t[1] - o[1]) - (t[0] - o[0]) * (s[1] - o[1])
        };
        let det = cross(a, b, c);
        if det.abs() < 1e-12 {
            return [1.0 / 3.0; 3];
        }
        let raw = [
            cross(p, b, c) / det,
            cross(p, c, a) / det,
            cross(p, a, b) / det,
        ];
        let w = raw.map(|v| v.clamp(0.0, 1.0));
        let sum: f64 = w.iter().sum();
        w.map(|v| v / sum)
    }
}

/// Calls `set` for every texel whose centre lies in the triangle or on its
/// border.
fn fill(c: &[[f64; 2]; 3], w: usize, h: usize, mut set: impl FnMut(usize)) {
    let cross = |o: [f64; 2], s: [f64; 2], x: f64, y: f64| {
        (s[0] - o[0]) * (y - o[1]) - (x - o[0]) * (s[1] - o[1])
    };
    let det = cross(c[0], c[1], c[2][0], c[2][1]);
    if det == 0.0 || !det.is_finite() {
        return;
    }
    let sign = det.signum();
    let range = |k: usize, n: usize| {
        let low = c[0][k].min(c[1][k]).min(c[2][k]) - 0.5;
        let high = c[0][k].max(c[1][k]).max(c[2][k]) - 0.5;
        (
            low.ceil().max(0.0) as usize,
            (high.floor() + 1.0).clamp(0.0, n as f64) as usize,
        )
    };
    let ((x0, x1), (y0, y1)) = (range(0, w), range(1, h));
    for y in y0..y1 {
        for x in x0..x1 {
            let (px, py) = (x as f64 + 0.5, y as f64 + 0.5);
            if (0..3).all(|k| sign * cross(c[k], c[(k + 1) % 3], px, py) >= 0.0) {
                set(y * w + x);
            }
        }
    }
}
