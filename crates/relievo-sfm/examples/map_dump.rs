//! Maps a dump of keypoints and verified matches: `map_dump DUMP OUT [--k
//! f,cx,cy,dist] [--fix]`. Writes a COLMAP model and prints the figures.
//!
//! Dump (little-endian): u32 views, width, height; per view: name (u32 length),
//! u32 keypoints, 4 f32 each; u32 pairs; per pair: u32 a, b, kind, 9 f64 F,
//! u32 matches, 2 u32 each.

#![expect(clippy::print_stdout, reason = "a program that prints its figures")]

use relievo_geometry::{CameraModel, Mat3};
use relievo_scene::{
    Camera, CameraId, Keypoint, Match, TwoViewGeometry, TwoViewKind, ViewGraph, ViewId,
};
use relievo_sfm::{NoCheckpoint, SfmInput, SfmOptions, SfmView, reconstruct};
use relievo_task::Task;
use std::collections::BTreeMap;
use std::path::Path;

struct Bytes(Vec<u8>, usize);

impl Bytes {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        out.copy_from_slice(&self.0[self.1..self.1 + N]);
        self.1 += N;
        out
    }
    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }
    fn f32(&mut self) -> f32 {
        f32::from_le_bytes(self.take())
    }
    fn f64(&mut self) -> f64 {
        f64::from_le_bytes(self.take())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut b = Bytes(fs_err::read(&args[0])?, 0);
    let (n, width_px, height_px) = (b.u32(), b.u32(), b.u32());
    let mut names = Vec::new();
    let mut keypoints: Vec<Vec<Keypoint>> = Vec::new();
    for _ in 0..n {
        let len = b.u32() as usize;
        names.push(String::from_utf8(b.0[b.1..b.1 + len].to_vec())?);
        b.1 += len;
        let count = b.u32();
        keypoints.push(
            (0..count)
                .map(|_| Keypoint {
                    x_px: b.f32(),
                    y_px: b.f32(),
                    scale_px: b.f32(),
                    angle: b.f32(),
                })
                .collect(),
        );
    }
    let mut graph = ViewGraph::default();
    for _ in 0..b.u32() {
        let (i, j, kind) = (b.u32(), b.u32(), b.u32());
        let f = Mat3::from_row_slice(&(0..9).map(|_| b.f64()).collect::<Vec<_>>());
        let mut inliers: Vec<Match> = (0..b.u32())
            .map(|_| Match {
                a_idx: b.u32(),
                b_idx: b.u32(),
            })
            .collect();
        inliers.dedup_by_key(|m| m.a_idx);
        let kind = match kind {
            2 => TwoViewKind::Calibrated,
            3 => TwoViewKind::Uncalibrated,
            4 | 6 => TwoViewKind::Planar,
            5 => TwoViewKind::PureRotation,
            _ => TwoViewKind::Degenerate,
        };
        let (a, b) = (ViewId(i + 1), ViewId(j + 1));
        graph.pairs.insert(
            (a, b),
            TwoViewGeometry {
                a,
                b,
                kind,
                inliers,
                b_from_a: None,
                f: (f.norm() > 0.0).then_some(f),
                median_angle: 0.0,
            },
        );
    }
    let side = f64::from(width_px.max(height_px));
    let mut camera = Camera {
        model: CameraModel::SimpleRadial {
            f: 1.2 * side,
            cx: 0.5 * f64::from(width_px),
            cy: 0.5 * f64::from(height_px),
            k: 0.0,
        },
        width_px,
        height_px,
        has_prior_focal: false,
    };
    if let Some(k) = args.iter().position(|a| a == "--k") {
        let p: Vec<f64> = args[k + 1]
            .split(',')
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        camera.model = CameraModel::SimpleRadial {
            f: p[0],
            cx: p[1],
            cy: p[2],
            k: p[3],
        };
        camera.has_prior_focal = true;
    }
    let options = SfmOptions {
        fix_intrinsics: args.iter().any(|a| a == "--fix"),
        ..SfmOptions::default()
    };
    let input = SfmInput {
        views: (0..n as usize)
            .map(|i| {
                let view = SfmView {
                    name: &names[i],
                    camera_id: CameraId(1),
                    keypoints: &keypoints[i],
                    colors: &[],
                };
                (ViewId(i as u32 + 1), view)
            })
            .collect(),
        cameras: BTreeMap::from([(CameraId(1), camera)]),
        graph: &graph,
    };
    let result = reconstruct(&input, &options, &Task::silent(), &mut NoCheckpoint)?;
    relievo_formats::colmap::write_model_binary(&result.models[0], Path::new(&args[1]))?;
    for (model, figures) in result.models.iter().zip(&result.figures) {
        println!("{figures:#?}");
        println!("{:?}", model.cameras);
    }
    for (id, why) in &result.unregistered {
        println!("{id}: {why}");
    }
    Ok(())
}
