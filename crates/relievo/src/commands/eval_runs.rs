//! `relievo eval runs`: two work folders side by side.

use super::stale::stale;
use crate::{Done, Failure};
use relievo_eval::benchmark::rows::short;
use relievo_pipeline::{PipelineError, catalog};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Values by name.
type Table = BTreeMap<String, Value>;

/// What of a work folder is compared.
#[derive(Default)]
struct Run {
    /// `stage.option`, as resolved, and the settings that are not options.
    options: Table,
    /// `stage.figure`.
    figures: Table,
    /// `stage.wall_s` and so on.
    costs: Table,
}

/// Times and memory in `report.json`.
const COSTS: [&str; 3] = ["wall_s", "cpu_s", "peak_rss_mib"];

pub(crate) fn runs(a: &Path, b: &Path, json: bool) -> Result<Done, Failure> {
    let (one, two) = (read(a)?, read(b)?);
    let old = [a, b].map(|work| stale(work, None));
    let options = differing(&one.options, &two.options);
    let figures = differing(&one.figures, &two.figures);
    let costs = pairs(&one.costs, &two.costs);
    if json {
        let table = |rows: &[(String, Value, Value)]| -> Value {
            let rows: Map<String, Value> = rows
                .iter()
                .map(|(name, x, y)| (name.clone(), json!([x, y])))
                .collect();
            rows.into()
        };
        let all = json!({ "a": a, "b": b, "options": table(&options),
            "figures": table(&figures), "costs": table(&costs), "stale": old });
        println!("{all}");
        return Ok(Done::Whole);
    }
    println!("a: {}\nb: {}", a.display(), b.display());
    print("options that differ", &options, false);
    print("figures that differ", &figures, true);
    print("time and memory", &costs, true);
    Ok(Done::Whole)
}

fn print(title: &str, rows: &[(String, Value, Value)], ratio: bool) {
    println!("{title}:");
    if rows.is_empty() {
        println!("  none");
    }
    for (name, x, y) in rows {
        let more = match (x.as_f64(), y.as_f64()) {
            (Some(x), Some(y)) if ratio && x > 0.0 => format!("  b/a {:.3}", y / x),
            _ => String::new(),
        };
        println!("  {name:<34} {:>14} {:>14}{more}", word(x), word(y));
    }
}

fn word(v: &Value) -> String {
    match v {
        Value::Null => "-".to_owned(),
        Value::String(s) => s.clone(),
        Value::Number(n) => n.as_f64().map_or_else(|| n.to_string(), short),
        other => other.to_string(),
    }
}

fn pairs(a: &Table, b: &Table) -> Vec<(String, Value, Value)> {
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let get = |t: &Table, n: &String| t.get(n).cloned().unwrap_or(Value::Null);
    names
        .into_iter()
        .map(|n| (n.clone(), get(a, n), get(b, n)))
        .collect()
}

fn differing(a: &Table, b: &Table) -> Vec<(String, Value, Value)> {
    let mut rows = pairs(a, b);
    rows.retain(|(_, x, y)| x != y);
    rows
}

fn read(work: &Path) -> Result<Run, Failure> {
    if !work
        .join(relievo_pipeline::settings::SETTINGS_FILE)
        .is_file()
    {
        return Err(PipelineError::Work {
            path: work.to_owned(),
            what: "it is not a work folder".to_owned(),
            hint: "give two folders that `relievo run` made".to_owned(),
        }
        .into());
    }
    let mut run = Run::default();
    let settings = relievo_pipeline::Settings::read_work(work)?.unwrap_or_default();
    let given = serde_json::to_value(&settings).map_err(std::io::Error::other);
    if let Value::Object(given) = given.map_err(PipelineError::from)? {
        run.options
            .extend(given.into_iter().filter(|(k, _)| k != "set"));
    }
    for stage in catalog::STAGES {
        if let Some(done) = object(&work.join(stage).join("stage.json"))? {
            for part in ["options", "external"] {
                if let Some(Value::Object(options)) = done.get(part) {
                    for (name, value) in options {
                        run.options.insert(format!("{stage}.{name}"), value.clone());
                    }
                }
            }
        }
    }
    let path = work.join("report").join("report.json");
    let report = object(&path)?;
    if report.is_none() {
        let path = path.display();
        eprintln!("note: {path} is not there, so its figures and times are not; a run writes it");
    }
    let report = report.unwrap_or_default();
    for name in ["given", "views", "registered"] {
        if let Some(v) = report.get(name) {
            run.figures.insert(name.to_owned(), v.clone());
        }
    }
    let warnings = report.get("warnings").and_then(Value::as_array);
    let warnings = warnings.map_or(0, Vec::len);
    run.figures.insert("warnings".to_owned(), warnings.into());
    // In the order of the stages: numbers sort before names.
    for (k, stage) in catalog::STAGES.iter().enumerate() {
        let Some(Value::Object(row)) = report.get("stages").and_then(|s| s.get(*stage)) else {
            continue;
        };
        for (name, value) in row {
            let name_of = |n: &str| format!("{} {stage}.{n}", k + 1);
            if COSTS.contains(&name.as_str()) {
                run.costs.insert(name_of(name), value.clone());
            } else {
                run.figures.insert(name_of(name), value.clone());
            }
        }
    }
    Ok(run)
}

/// A JSON object in a file; `None` where there is no file.
fn object(path: &Path) -> Result<Option<Map<String, Value>>, Failure> {
    if !path.is_file() {
        return Ok(None);
    }
    let bytes = fs_err::read(path).map_err(PipelineError::from)?;
    let read = serde_json::from_slice(&bytes).map_err(|e| PipelineError::File {
        path: path.to_owned(),
        what: e.to_string(),
    });
    Ok(Some(read?))
}
