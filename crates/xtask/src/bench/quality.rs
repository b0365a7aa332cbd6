//! What a result is worth: every tool's result goes through the same scorer.

use super::commands::Steps;
use super::kernel;
use super::results::{Better, Metric};
use super::sets::Set;
use super::tools::{Tool, relievo};
use serde_json::Value;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

/// Raised when a definition in `docs/metrics.md` changes: figures of different ones say
/// nothing about each other.
pub(crate) const METRICS: u32 = 1;

/// Figures of a run, the most telling first.
pub(crate) fn of(
    stage: &str,
    set: &Set,
    tool: &Tool,
    steps: &Steps,
) -> Result<Vec<Metric>, String> {
    let mut rows = Vec::new();
    match stage {
        "features" => {
            let count = if tool.ours {
                report(&steps.work)?["stages"]["features"]["keypoints"].clone()
            } else {
                json_file(&steps.output)?["keypoints"].clone()
            };
            push(&mut rows, "keypoints", &count, "", Better::Higher);
        }
        "sparse" | "known" => sparse(set, tool, steps, &mut rows)?,
        "bundle" | "bal" => bundle(&steps.output, &mut rows)?,
        "dense" | "posed" => {
            surface("cloud", set, steps, &mut rows)?;
            if tool.ours {
                comparisons(&report(&steps.work)?["stages"]["depth"], &mut rows);
            }
            if tool.ours && set.root.join("gt/mesh.ply").is_file() {
                let truth: [&OsStr; 2] = ["--truth".as_ref(), set.root.as_os_str()];
                let v = eval("depth", &steps.work, &truth)?;
                let mut add =
                    |name, key: &str, unit, better| push(&mut rows, name, &v[key], unit, better);
                add("depth_median", "median_mm", "mm", Better::Lower);
                add("depth_coverage", "coverage", "", Better::Higher);
                add("depth_maps", "maps", "", Better::Higher);
                add("depth_rel_median", "rel_median", "", Better::Lower);
                let well_seen = &v["well_seen"];
                let mut add =
                    |name, key: &str| push(&mut rows, name, &well_seen[key], "", Better::Higher);
                add("well_seen_1percent", "all_within_1_percent");
                add("well_seen_coverage", "coverage");
            }
        }
        "mesh" => surface("mesh", set, steps, &mut rows)?,
        _ => {
            let v = if tool.ours {
                eval("texture", &steps.work, &[])?
            } else {
                // The photos that our own run did without, seen by our cameras.
                let model: [&OsStr; 2] = ["--model".as_ref(), steps.work.as_os_str()];
                eval("texture", &steps.output, &model)?
            };
            push(&mut rows, "psnr", &v["psnr"], "dB", Better::Higher);
            push(
                &mut rows,
                "psnr_gain",
                &v["psnr_gain"],
                "dB",
                Better::Higher,
            );
            push(&mut rows, "ssim", &v["ssim"], "", Better::Higher);
            push(&mut rows, "covered", &v["hit"], "", Better::Higher);
            // A photo that was lost would raise the means unseen.
            let scored = &v["photos_scored"];
            push(&mut rows, "photos_scored", scored, "", Better::Higher);
            let asked = &v["photos_asked"];
            push(&mut rows, "photos_asked", asked, "", Better::Neither);
        }
    }
    Ok(rows)
}

/// What the kernel of the depth stage did: patches compared a pixel, and a second of all
/// processor time of the stage; and what the kernel alone does just now.
fn comparisons(depth: &Value, rows: &mut Vec<Metric>) {
    let a_pixel = &depth["comparisons_a_pixel"];
    push(rows, "comparisons_a_pixel", a_pixel, "", Better::Neither);
    let number = |v: &Value| v.as_f64();
    let (pixels, seconds) = (number(&depth["pixels"]), number(&depth["cpu_s"]));
    if let (Some(n), Some(pixels), Some(seconds)) = (number(a_pixel), pixels, seconds) {
        let alone = kernel::million_per_cpu_second();
        for (name, rate) in [
            ("comparisons_per_cpu_second", 1e-6 * n * pixels / seconds),
            ("kernel_alone_per_cpu_second", alone),
            ("loads_alone_per_cpu_second", kernel::million_by_loads()),
        ] {
            push(rows, name, &Value::from(rate), "million", Better::Neither);
        }
    }
}

/// A cloud or a mesh: against the true surface, where there is one, and
/// against the photos, which see the points of the cloud or samples of the mesh.
fn surface(what: &str, set: &Set, steps: &Steps, rows: &mut Vec<Metric>) -> Result<(), String> {
    let model: [&OsStr; 2] = ["--model".as_ref(), steps.work.as_os_str()];
    if set.has_surface && (what == "cloud" || !set.scans_only) {
        let truth: [&OsStr; 2] = ["--truth".as_ref(), set.root.as_os_str()];
        let v = eval(what, &steps.output, &[truth, model].concat())?;
        against_truth(&v, rows);
        if what == "cloud" {
            by_class(&v, rows);
        }
        push(rows, "faces", &v["topology"]["faces"], "", Better::Neither);
    }
    let v = eval("cloud", &steps.output, &model)?;
    let mut add = |name: &str, key: &str, better| push(rows, name, &v[key], "", better);
    add("consistent_share", "consistent_share", Better::Higher);
    add("failing_share", "failing_share", Better::Lower);
    add("thickness", "thickness", Better::Lower);
    add("consistent_voxels", "consistent", Better::Higher);
    Ok(())
}

fn sparse(set: &Set, tool: &Tool, steps: &Steps, rows: &mut Vec<Metric>) -> Result<(), String> {
    if set.has_truth {
        let truth: [&OsStr; 2] = ["--truth".as_ref(), set.root.as_os_str()];
        let v = eval("poses", &steps.output, &truth)?;
        push(
            rows,
            "position_mean",
            &v["pos_mm"]["mean"],
            "mm",
            Better::Lower,
        );
        // The truth of a video knows frames that are no key frames.
        let auc = &v[if set.is_video() { "auc_common" } else { "auc" }];
        for limit in ["0.5", "1", "3", "5"] {
            let name = format!("auc_{limit}deg");
            push(rows, &name, &auc[limit], "%", Better::Higher);
        }
        push(rows, "registered", &v["reg"], "", Better::Higher);
        push(
            rows,
            "rotation_mean",
            &v["rot_deg"]["mean"],
            "deg",
            Better::Lower,
        );
    }
    if tool.ours {
        let report = report(&steps.work)?;
        if !set.has_truth {
            push(
                rows,
                "registered",
                &report["registered"],
                "",
                Better::Higher,
            );
        }
        let stage = &report["stages"]["sparse"];
        push(rows, "points", &stage["points"], "", Better::Higher);
        push(
            rows,
            "mean_error",
            &stage["mean_error_px"],
            "px",
            Better::Neither,
        );
    } else {
        let v = inspect(&steps.output)?;
        let figures = &v["figures"];
        if !set.has_truth {
            push(
                rows,
                "registered",
                &figures["registered"],
                "",
                Better::Higher,
            );
        }
        push(rows, "points", &figures["points"], "", Better::Higher);
        push(
            rows,
            "mean_error",
            &figures["mean_error_px"],
            "px",
            Better::Neither,
        );
    }
    Ok(())
}

fn against_truth(v: &Value, rows: &mut Vec<Metric>) {
    let empty = serde_json::Map::new();
    let mut limits: Vec<(f64, &Value)> = v["by_threshold_mm"]
        .as_object()
        .unwrap_or(&empty)
        .iter()
        .filter_map(|(limit, row)| Some((limit.parse().ok()?, row)))
        .collect();
    limits.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (limit, row) in limits {
        push(rows, &format!("f_{limit}mm"), &row["f"], "", Better::Higher);
    }
    for row in v["at"].as_array().into_iter().flatten() {
        let cm = row["tolerance"].as_f64().unwrap_or(f64::NAN) * 100.0;
        push(
            rows,
            &format!("f1_{cm:.0}cm"),
            &row["f1"],
            "",
            Better::Higher,
        );
    }
    let mut add = |name: &str, what: &str, which: &str| {
        push(rows, name, &v[what][which], "mm", Better::Lower);
    };
    add("accuracy_mean", "accuracy_mm", "mean");
    add("completeness_mean", "completeness_mm", "mean");
    add("accuracy_median", "accuracy_mm", "median");
}

/// Completeness and F of each class of a rendered set at the last but one
/// threshold; nothing where there are no classes.
fn by_class(v: &Value, rows: &mut Vec<Metric>) {
    let Some(classes) = v["by_class"].as_object().filter(|c| c.len() > 1) else {
        return;
    };
    for (name, scores) in classes {
        let empty = serde_json::Map::new();
        let scores = scores.as_object().unwrap_or(&empty).iter();
        let limits = scores.filter_map(|(limit, s)| Some((limit.parse::<f64>().ok()?, limit, s)));
        let mut limits: Vec<_> = limits.collect();
        limits.sort_by(|a, b| a.0.total_cmp(&b.0));
        let Some((_, limit, score)) = limits.iter().rev().nth(1) else {
            continue;
        };
        for figure in ["recall", "f"] {
            let name = format!("class_{name}_{figure}_{limit}mm");
            push(rows, &name, &score[figure], "", Better::Higher);
        }
    }
}

/// A solved bundle adjustment problem, by the rows of `relievo bench --json`.
fn bundle(output: &Path, rows: &mut Vec<Metric>) -> Result<(), String> {
    let v = json_file(output)?;
    let all = v["rows"].as_array().cloned().unwrap_or_default();
    for (metric, name, unit, better) in [
        ("rms", "rms", "px", Better::Lower),
        ("wall", "solver_wall", "s", Better::Neither),
        ("final_cost", "final_cost", "px2", Better::Lower),
        ("initial_cost", "initial_cost", "px2", Better::Neither),
    ] {
        let row = all.iter().find(|r| r["metric"] == metric);
        let value = row.ok_or("it names no cost")?["value"].clone();
        push(rows, name, &value, unit, better);
    }
    // How fast, where the tool tells: until a thousandth over its final cost.
    if let Some(row) = all.iter().find(|r| r["metric"] == "near_final") {
        push(rows, "near_final", &row["value"], "s", Better::Neither);
    }
    Ok(())
}

fn push(rows: &mut Vec<Metric>, name: &str, value: &Value, unit: &str, better: Better) {
    if let Some(value) = value.as_f64() {
        let (name, unit) = (name.to_owned(), unit.to_owned());
        rows.push(Metric {
            name,
            value,
            unit,
            better,
        });
    }
}

fn eval(what: &str, estimate: &Path, more: &[&OsStr]) -> Result<Value, String> {
    let mut command = Command::new(relievo());
    command
        .args(["eval", what, "--json", "--estimate"])
        .arg(estimate);
    said(command.args(more))
}

fn inspect(path: &Path) -> Result<Value, String> {
    said(
        Command::new(relievo())
            .arg("inspect")
            .arg(path)
            .arg("--json"),
    )
}

/// The JSON that a program prints.
pub(super) fn said(command: &mut Command) -> Result<Value, String> {
    let output = command.output().map_err(|e| e.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|e| e.to_string())
}

fn report(work: &Path) -> Result<Value, String> {
    json_file(&work.join("report/report.json"))
}

fn json_file(path: &Path) -> Result<Value, String> {
    let bytes = fs_err::read(path).map_err(|e| e.to_string())?;
    serde_json::from_slice(&bytes).map_err(|e| format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_told_at_the_last_but_one_threshold() {
        let at = |r: f64| serde_json::json!({ "precision": 1.0, "recall": r, "f": r / 2.0 });
        let class =
            serde_json::json!({ "5": at(0.1), "10": at(0.2), "20": at(0.4), "50": at(0.8) });
        let one = serde_json::json!({ "by_class": { "wall": class } });
        let mut rows = Vec::new();
        by_class(&one, &mut rows);
        by_class(&serde_json::json!({}), &mut rows);
        assert!(rows.is_empty(), "one class is the whole");
        let two = serde_json::json!({ "by_class": { "wall": class, "floor": class } });
        by_class(&two, &mut rows);
        let told: Vec<(&str, f64)> = rows.iter().map(|m| (&*m.name, m.value)).collect();
        let floor = [
            ("class_floor_recall_20mm", 0.4),
            ("class_floor_f_20mm", 0.2),
        ];
        let wall = [("class_wall_recall_20mm", 0.4), ("class_wall_f_20mm", 0.2)];
        assert_eq!(told, [floor, wall].concat());
    }
}
