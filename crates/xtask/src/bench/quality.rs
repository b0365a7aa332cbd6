//! What a result is worth: every tool's result goes through the same scorer.

use super::results::{Better, Metric};
use super::sets::Set;
use super::tools::{Steps, Tool, relievo};
use serde_json::Value;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Figures of a run, the most telling first.
/// `consistent_voxels` describes: copies of a surface have more of them.
pub(crate) fn of(
    stage: &str,
    set: &Set,
    tool: &Tool,
    steps: &Steps,
    _seed: usize,
) -> Result<Vec<Metric>, String> {
    let mut rows = Vec::new();
    match stage {
        "features" => {
            let count = if tool.ours {
                report(&steps.work)?["stages"]["features"]["keypoints"].clone()
            } else {
                json_file(&steps.output)?["keypoints"].clone()
            };
            push(&mut rows, "keypoints", &count, "", Better::Neither);
        }
        "sparse" => sparse(set, tool, steps, &mut rows)?,
        "dense" => {
            if set.has_surface && set.root.join("gt").is_dir() {
                let v = eval(
                    "cloud",
                    &steps.output,
                    &[
                        "--truth".as_ref(),
                        set.root.as_os_str(),
                        "--model".as_ref(),
                        steps.work.as_os_str(),
                    ],
                )?;
                surface(&v, &mut rows);
            }
            let v = eval(
                "cloud",
                &steps.output,
                &["--model".as_ref(), steps.work.as_os_str()],
            )?;
            push(
                &mut rows,
                "consistent_share",
                &v["consistent_share"],
                "",
                Better::Higher,
            );
            push(
                &mut rows,
                "consistent_voxels",
                &v["consistent"],
                "",
                Better::Neither,
            );
            push(
                &mut rows,
                "failing_share",
                &v["failing_share"],
                "",
                Better::Lower,
            );
        }
        "mesh" => {
            if set.has_surface && set.root.join("gt").is_dir() {
                let v = eval(
                    "mesh",
                    &steps.output,
                    &[
                        "--truth".as_ref(),
                        set.root.as_os_str(),
                        "--model".as_ref(),
                        steps.work.as_os_str(),
                    ],
                )?;
                surface(&v, &mut rows);
                push(
                    &mut rows,
                    "faces",
                    &v["topology"]["faces"],
                    "",
                    Better::Neither,
                );
            }
        }
        _ => {
            let v = eval("texture", &steps.work, &[])?;
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
        }
    }
    Ok(rows)
}

fn sparse(set: &Set, tool: &Tool, steps: &Steps, rows: &mut Vec<Metric>) -> Result<(), String> {
    if set.has_truth {
        let truth = truth_cameras(&set.root);
        let v = eval(
            "poses",
            &steps.output,
            &["--truth".as_ref(), truth.as_os_str()],
        )?;
        push(
            rows,
            "position_mean",
            &v["pos_mm"]["mean"],
            "mm",
            Better::Lower,
        );
        push(rows, "auc_1deg", &v["auc"]["1"], "%", Better::Higher);
        push(rows, "auc_5deg", &v["auc"]["5"], "%", Better::Higher);
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
        push(rows, "points", &stage["points"], "", Better::Neither);
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
        push(rows, "points", &figures["points"], "", Better::Neither);
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

/// Where the true cameras of a set are.
fn truth_cameras(root: &Path) -> PathBuf {
    let places = [
        "gt/images.txt",
        "gt_dense_cameras",
        "dslr_calibration_undistorted",
    ];
    if places.iter().any(|p| root.join(p).exists()) {
        let eth3d = root.join("dslr_calibration_undistorted");
        return if eth3d.is_dir() {
            eth3d
        } else {
            root.to_owned()
        };
    }
    let transforms = root.join("transforms.json");
    if transforms.is_file() {
        return transforms;
    }
    let par = fs_err::read_dir(root).ok().and_then(|entries| {
        let paths = entries.filter_map(|e| Some(e.ok()?.path()));
        paths
            .into_iter()
            .find(|p| p.to_string_lossy().ends_with("_par.txt"))
    });
    par.unwrap_or_else(|| root.to_owned())
}

fn surface(v: &Value, rows: &mut Vec<Metric>) {
    let by = &v["by_threshold_mm"];
    if let Some(by) = by.as_object() {
        for (limit, row) in by {
            push(rows, &format!("f_{limit}mm"), &row["f"], "", Better::Higher);
        }
    }
    push(
        rows,
        "accuracy_median",
        &v["accuracy_mm"]["median"],
        "mm",
        Better::Lower,
    );
    push(
        rows,
        "accuracy_mean",
        &v["accuracy_mm"]["mean"],
        "mm",
        Better::Lower,
    );
    push(
        rows,
        "completeness_mean",
        &v["completeness_mm"]["mean"],
        "mm",
        Better::Lower,
    );
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

fn said(command: &mut Command) -> Result<Value, String> {
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
