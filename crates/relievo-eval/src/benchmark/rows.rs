//! Figures as rows: one number each, with its unit and which way is better.

use super::SurfaceScore;
use super::bal::BalFigures;
use super::eth3d_surface::Eth3dFigures;
use crate::depth::DepthFigures;
use crate::pose::PoseFigures;
use crate::surface::SurfaceFigures;
use crate::texture::TextureFigures;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// More.
    Higher,
    /// Less.
    Lower,
    /// It only describes.
    Neither,
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What it is of: `poses`, `depth`, `cloud`, `mesh`, `texture`, `cost`.
    pub stage: String,
    /// Name within the stage; `docs/metrics.md` defines it.
    pub metric: String,
    /// The value.
    pub value: f64,
    /// Its unit; empty for shares and counts.
    pub unit: String,
    /// Which way is better.
    pub better: Better,
}

/// Appends one row.
pub fn push(
    rows: &mut Vec<Row>,
    stage: &str,
    metric: &str,
    value: f64,
    unit: &str,
    better: Better,
) {
    rows.push(Row {
        stage: stage.to_owned(),
        metric: metric.to_owned(),
        value,
        unit: unit.to_owned(),
        better,
    });
}

/// Rows of poses.
pub fn of_poses(f: &PoseFigures, rows: &mut Vec<Row>) {
    let mut add = |m: &str, v, u: &str, b| push(rows, "poses", m, v, u, b);
    add(
        "registered",
        f.reg as f64 / f.gt.max(1) as f64,
        "",
        Better::Higher,
    );
    add("position_mean", f.pos_mm.mean, "mm", Better::Lower);
    add("position_median", f.pos_mm.med, "mm", Better::Lower);
    add("position_max", f.pos_mm.max, "mm", Better::Lower);
    add("rotation_mean", f.rot_deg.mean, "deg", Better::Lower);
    let mut limits: Vec<_> = f.auc.iter().collect();
    limits.sort_by(|a, b| f64::total_cmp(&number(a.0), &number(b.0)));
    for (limit, auc) in limits {
        add(&format!("auc_{limit}deg"), *auc, "%", Better::Higher);
    }
}

/// A threshold or limit out of the key of a table.
fn number(key: &str) -> f64 {
    key.parse().unwrap_or(f64::INFINITY)
}

/// Rows of a cloud or a mesh against a surface.
pub fn of_surface(stage: &str, f: &SurfaceFigures, rows: &mut Vec<Row>) {
    let mut add = |m: &str, v, u: &str, b| push(rows, stage, m, v, u, b);
    add("points", f.points as f64, "", Better::Neither);
    if let Some(a) = &f.accuracy_mm {
        add("accuracy_median", a.median, "mm", Better::Lower);
        add("accuracy_mean", a.mean, "mm", Better::Lower);
    }
    let c = &f.completeness_mm;
    add("completeness_median", c.median, "mm", Better::Lower);
    add("completeness_mean", c.mean, "mm", Better::Lower);
    let mut limits: Vec<_> = f.by_threshold_mm.iter().collect();
    limits.sort_by(|a, b| f64::total_cmp(&number(a.0), &number(b.0)));
    for (limit, s) in limits {
        add(
            &format!("precision_{limit}mm"),
            s.precision,
            "",
            Better::Higher,
        );
        add(&format!("recall_{limit}mm"), s.recall, "", Better::Higher);
        add(&format!("f_{limit}mm"), s.f, "", Better::Higher);
    }
    if let Some(n) = f.normal_consistency {
        add("normal_consistency", n, "", Better::Higher);
    }
    if let Some(t) = &f.topology {
        add("faces", t.faces as f64, "", Better::Neither);
        let bad = t.nonmanifold_edges as f64;
        add("nonmanifold_edges", bad, "", Better::Lower);
    }
}

/// Rows of a cloud or a mesh by the protocol of its data set.
pub fn of_score(stage: &str, score: &SurfaceScore, rows: &mut Vec<Row>) {
    match score {
        SurfaceScore::Surface(figures) => of_surface(stage, figures, rows),
        SurfaceScore::Scans(figures) => of_tolerances(stage, figures, rows),
    }
}

/// Rows of a cloud by the rule of ETH3D.
pub fn of_tolerances(stage: &str, f: &Eth3dFigures, rows: &mut Vec<Row>) {
    for a in &f.at {
        let cm = (a.tolerance * 100.0).round();
        for (name, v) in [
            ("accuracy", a.accuracy),
            ("completeness", a.completeness),
            ("f1", a.f1),
        ] {
            push(
                rows,
                stage,
                &format!("{name}_{cm}cm"),
                v,
                "",
                Better::Higher,
            );
        }
    }
}

/// Rows of depth maps.
pub fn of_depth(f: &DepthFigures, rows: &mut Vec<Row>) {
    let mut add = |m: &str, v, u: &str, b| push(rows, "depth", m, v, u, b);
    add("maps", f.maps as f64, "", Better::Higher);
    add("coverage", f.coverage, "", Better::Higher);
    add("median", f.median_mm, "mm", Better::Lower);
    add("mean", f.mean_mm, "mm", Better::Lower);
    add("within_1_percent", f.within_1_percent, "", Better::Higher);
}

/// Rows of a textured model against photos.
pub fn of_texture(f: &TextureFigures, rows: &mut Vec<Row>) {
    let mut add = |m: &str, v, u: &str, b| push(rows, "texture", m, v, u, b);
    add("photos_scored", f.photos_scored as f64, "", Better::Higher);
    add("photos_asked", f.photos_asked as f64, "", Better::Neither);
    add("psnr", f.psnr, "dB", Better::Higher);
    add("psnr_gain", f.psnr_gain, "dB", Better::Higher);
    if let Some(ssim) = f.ssim {
        add("ssim", ssim, "", Better::Higher);
    }
    add("covered", f.hit, "", Better::Higher);
}

/// Rows of a bundle adjustment problem.
pub fn of_bal(f: &BalFigures, rows: &mut Vec<Row>) {
    let mut add = |m: &str, v, u: &str, b| push(rows, "bundle", m, v, u, b);
    add("initial_cost", f.initial_cost, "px2", Better::Neither);
    add("final_cost", f.final_cost, "px2", Better::Lower);
    add("rms", f.rms_px, "px", Better::Lower);
    add("iterations", f.iterations as f64, "", Better::Neither);
    add("wall", f.wall_s, "s", Better::Lower);
    add("near_final", f.near_final_s, "s", Better::Lower);
}

/// A number with about five digits that matter.
pub fn short(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let whole = value.abs().log10().floor() as i32 + 1;
    let digits = (5 - whole).clamp(0, 8) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// Rows as a table for people.
pub fn to_text(rows: &[Row]) -> String {
    let mut text = String::new();
    let mut stage = "";
    for r in rows {
        if r.stage != stage {
            stage = &r.stage;
            let _ = writeln!(text, "{stage}");
        }
        let _ = writeln!(text, "  {:<24} {:>12} {}", r.metric, short(r.value), r.unit);
    }
    text.lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Rows as comma-separated values with a head line; full precision.
pub fn to_csv(set: &str, rows: &[Row]) -> String {
    let mut text = "set,stage,metric,value,unit\n".to_owned();
    let set = if set.contains([',', '"']) {
        format!("\"{}\"", set.replace('"', "\"\""))
    } else {
        set.to_owned()
    };
    for r in rows {
        let _ = writeln!(
            text,
            "{set},{},{},{},{}",
            r.stage, r.metric, r.value, r.unit
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_five_digits_and_csv_keeps_all() {
        for (v, s) in [
            (0.0, "0"),
            (12.0, "12"),
            (0.123_456_789, "0.12346"),
            (98_765.4, "98765"),
            (1.5, "1.5"),
        ] {
            assert_eq!(short(v), s);
        }
        let mut rows = Vec::new();
        push(
            &mut rows,
            "poses",
            "registered",
            1.0 / 3.0,
            "",
            Better::Higher,
        );
        let csv = to_csv("a,b", &rows);
        assert_eq!(
            csv.lines().nth(1),
            Some("\"a,b\",poses,registered,0.3333333333333333,")
        );
        assert!(to_text(&rows).starts_with("poses\n  registered"));
    }
}
