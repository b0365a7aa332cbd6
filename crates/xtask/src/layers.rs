//! A crate may use lower layers directly, none of its own and none above.

use cargo_metadata::DependencyKind;
use std::collections::BTreeMap;

/// Crates that test and measure, and so may use relievo-synth.
const MEASURING: [&str; 2] = ["relievo-tests", "xtask"];

/// Reads `[package.metadata.relievo] layer` and checks every normal edge.
pub(crate) fn check() -> Result<String, Vec<String>> {
    let metadata = super::metadata()?;
    let mut problems = Vec::new();
    let mut layers = BTreeMap::new();
    for package in metadata.workspace_packages() {
        match package.metadata["relievo"]["layer"].as_u64() {
            Some(layer) => {
                layers.insert(package.name.to_string(), layer);
            }
            None => problems.push(format!(
                "{}: [package.metadata.relievo] has no layer",
                package.name
            )),
        }
    }
    let mut edges = 0;
    for package in metadata.workspace_packages() {
        let Some(&from) = layers.get(package.name.as_str()) else {
            continue;
        };
        for dependency in &package.dependencies {
            let Some(&to) = layers.get(&dependency.name) else {
                continue;
            };
            let synth = dependency.name == "relievo-synth";
            if dependency.kind == DependencyKind::Development {
                continue;
            }
            edges += 1;
            if to >= from {
                problems.push(format!(
                    "{} (layer {from}) may not use {} (layer {to})",
                    package.name, dependency.name
                ));
            }
            if synth && !MEASURING.contains(&package.name.as_str()) {
                problems.push(format!("{}: relievo-synth is for tests only", package.name));
            }
        }
    }
    if problems.is_empty() {
        Ok(format!(
            "layers: {} crates, {edges} edges, all downwards",
            layers.len()
        ))
    } else {
        Err(problems)
    }
}
