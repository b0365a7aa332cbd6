//! `cameras.txt`, `images.txt`, `points3D.txt`.

use super::{
    assemble, camera, insert_once, malformed, point_ids, pose, track, unsupported_model,
    written_tracks, wxyz,
};
use crate::FormatError;
use relievo_geometry::CameraModelKind;
use relievo_scene::{Camera, CameraId, Observation, SparseModel, Track, TrackId, View, ViewId};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::str::{FromStr, SplitAsciiWhitespace};

/// `cameras.txt`.
pub fn encode_cameras_txt(model: &SparseModel) -> String {
    let mut out = String::from(
        "# Camera list with one line of data per camera:\n#   CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]\n",
    );
    let _ = writeln!(out, "# Number of cameras: {}", model.cameras.len());
    for (id, camera) in &model.cameras {
        let name = camera.model.kind().name();
        let _ = write!(out, "{id} {name} {} {}", camera.width_px, camera.height_px);
        for p in camera.model.params() {
            let _ = write!(out, " {p}");
        }
        out.push('\n');
    }
    out
}

/// `images.txt`: the registered views.
pub fn encode_images_txt(model: &SparseModel) -> String {
    let ids = point_ids(model);
    let mut out = String::from(
        "# Image list with two lines of data per image:\n\
         #   IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME\n\
         #   POINTS2D[] as (X, Y, POINT3D_ID)\n",
    );
    let _ = writeln!(out, "# Number of images: {}", ids.len());
    for (id, view, pose) in model.registered() {
        let [w, x, y, z] = wxyz(&pose);
        let t = pose.translation;
        let name = view.name.replace(['\n', '\r'], " ");
        let _ = writeln!(
            out,
            "{id} {w} {x} {y} {z} {} {} {} {} {name}",
            t.x, t.y, t.z, view.camera_id
        );
        for (i, ([px, py], point)) in view.points_px.iter().zip(&ids[&id]).enumerate() {
            let gap = if i == 0 { "" } else { " " };
            // COLMAP writes its invalid id, 2^64 − 1, as −1.
            let _ = if *point == u64::MAX {
                write!(out, "{gap}{px} {py} -1")
            } else {
                write!(out, "{gap}{px} {py} {point}")
            };
        }
        out.push('\n');
    }
    out
}

/// `points3D.txt`: the triangulated tracks.
pub fn encode_points3d_txt(model: &SparseModel) -> String {
    let mut body = String::new();
    let mut count = 0;
    for w in written_tracks(model) {
        count += 1;
        let (p, [r, g, b]) = (w.position, w.track.color);
        let _ = write!(
            body,
            "{} {} {} {} {r} {g} {b} {}",
            w.id, p.x, p.y, p.z, w.error_px
        );
        for o in &w.observations {
            let _ = write!(body, " {} {}", o.view_id, o.point_idx);
        }
        body.push('\n');
    }
    format!(
        "# 3D point list with one line of data per point:\n\
         #   POINT3D_ID, X, Y, Z, R, G, B, ERROR, TRACK[] as (IMAGE_ID, POINT2D_IDX)\n\
         # Number of points: {count}\n{body}"
    )
}

/// The model in the bytes of the three files; `points3d` may be empty.
pub fn decode_model_text(
    cameras: &[u8],
    images: &[u8],
    points3d: &[u8],
) -> Result<SparseModel, FormatError> {
    assemble(
        decode_cameras(text(cameras)?)?,
        decode_images(text(images)?)?,
        decode_points(text(points3d)?)?,
    )
}

fn text(data: &[u8]) -> Result<&str, FormatError> {
    std::str::from_utf8(data)
        .map_err(|e| malformed("text", e.valid_up_to(), "bytes that are not UTF-8"))
}

/// Lines with numbers, counted from 1.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(i, l)| (i + 1, l.trim()))
}

fn is_data(line: &str) -> bool {
    !line.is_empty() && !line.starts_with('#')
}

/// The words of one line.
struct Words<'a> {
    line: usize,
    what: &'static str,
    rest: SplitAsciiWhitespace<'a>,
}

impl<'a> Words<'a> {
    fn new(what: &'static str, line: usize, text: &'a str) -> Self {
        Self {
            line,
            what,
            rest: text.split_ascii_whitespace(),
        }
    }

    fn word(&mut self) -> Result<&'a str, FormatError> {
        self.rest
            .next()
            .ok_or_else(|| malformed(self.what, self.line, "a line that is too short"))
    }

    fn next<T: FromStr>(&mut self) -> Result<T, FormatError> {
        let word = self.word()?;
        word.parse().map_err(|_| {
            let shown: String = word.chars().take(40).collect();
            malformed(self.what, self.line, format!("\"{shown}\""))
        })
    }

    fn array<const N: usize>(&mut self) -> Result<[f64; N], FormatError> {
        let mut out = [0.0; N];
        for v in &mut out {
            *v = self.next()?;
        }
        Ok(out)
    }
}

fn decode_cameras(text: &str) -> Result<BTreeMap<CameraId, Camera>, FormatError> {
    let mut cameras = BTreeMap::new();
    for (n, line) in lines(text).filter(|(_, l)| is_data(l)) {
        let mut w = Words::new("camera", n, line);
        let id = CameraId(w.next()?);
        let name = w.word()?;
        let kind = CameraModelKind::from_name(name)
            .ok_or_else(|| unsupported_model(&name.chars().take(40).collect::<String>()))?;
        let (width, height) = (w.next()?, w.next()?);
        let mut params = Vec::new();
        while w.rest.clone().next().is_some() {
            params.push(w.next::<f64>()?);
        }
        let camera = camera(kind, &params, width, height, n)?;
        insert_once(&mut cameras, id, camera, ("camera", n))?;
    }
    Ok(cameras)
}

fn decode_images(text: &str) -> Result<BTreeMap<ViewId, View>, FormatError> {
    let mut views = BTreeMap::new();
    let mut lines = lines(text);
    while let Some((n, line)) = lines.find(|(_, l)| is_data(l)) {
        let mut w = Words::new("image", n, line);
        let id = ViewId(w.next()?);
        let q = w.array::<4>()?;
        let t = w.array::<3>()?;
        let camera_id = CameraId(w.next()?);
        // The rest of the line, so that a name may hold spaces.
        let first = w.word()?;
        let start = first.as_ptr() as usize - line.as_ptr() as usize;
        let name = line[start..].to_owned();
        // The line of points2D follows at once, and may be empty or missing.
        let mut points_px = Vec::new();
        if let Some((m, points)) = lines.next() {
            let mut p = Words::new("points2D", m, points);
            while p.rest.clone().next().is_some() {
                points_px.push(p.array::<2>()?);
                p.next::<i64>()?;
            }
        }
        let view = View {
            camera_id,
            name,
            cam_from_world: Some(pose(q, t, n)?),
            points_px,
        };
        insert_once(&mut views, id, view, ("image", n))?;
    }
    Ok(views)
}

fn decode_points(text: &str) -> Result<BTreeMap<TrackId, Track>, FormatError> {
    let mut tracks = BTreeMap::new();
    for (n, line) in lines(text).filter(|(_, l)| is_data(l)) {
        let mut w = Words::new("point", n, line);
        let id = TrackId(w.next()?);
        let position = w.array::<3>()?;
        let color = [w.next()?, w.next()?, w.next()?];
        w.next::<f64>()?;
        let mut observations = Vec::new();
        while w.rest.clone().next().is_some() {
            observations.push(Observation {
                view_id: ViewId(w.next()?),
                point_idx: w.next()?,
            });
        }
        let track = track(observations, position, color);
        insert_once(&mut tracks, id, track, ("point", n))?;
    }
    Ok(tracks)
}
