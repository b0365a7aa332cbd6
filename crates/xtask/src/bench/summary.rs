//! A stage over all sets: ours beside the best peer of each.

use super::report::{Group, Tools, standing};
use std::fmt::Write;

/// What poses are compared by.
const ERROR: &str = "position_mean";
/// Cameras that have a pose.
const PLACED: &str = "registered";

/// Position errors of ours and of the best peer that placed no fewer cameras, set by set, and the geometric mean of their
/// ratios; nothing where no set has both. A truth that is another reconstruction says nothing here.
pub(super) fn of_stage<'a>(sets: impl Iterator<Item = (&'a str, &'a Tools<'a>)>) -> String {
    let error = |g: &Group<'_>| Some(g.mean(ERROR)).filter(|e| *e > 0.0);
    let mut rows = String::new();
    let mut logs = Vec::new();
    // `tiny` is `demo` once more.
    for (set, tools) in sets.filter(|(set, _)| *set != "tiny") {
        let tools = standing(tools);
        let own = || tools.iter().filter(|(_, g)| g.runs.iter().any(|r| r.ours));
        let is_reference =
            |r: &&super::results::Record| r.truth.as_ref().is_some_and(|t| t.contains("reference"));
        if own().any(|(_, g)| g.runs.iter().any(is_reference)) {
            continue;
        }
        let placed = own().map(|(_, g)| g.mean(PLACED)).fold(0.0, f64::max);
        let mut ours = None;
        let mut best: Option<(f64, &str)> = None;
        for (name, g) in &tools {
            let Some(e) = error(g) else { continue };
            if g.runs.iter().any(|r| r.ours) {
                ours = Some((e, g.runs.len()));
            } else if !(g.mean(PLACED) < placed) && best.is_none_or(|(least, _)| e < least) {
                best = Some((e, name));
            }
        }
        let (Some((own, runs)), Some((least, name))) = (ours, best) else {
            continue;
        };
        logs.push((own / least).ln());
        let ratio = own / least;
        let _ = writeln!(
            rows,
            "| {set} | {own:.4} ({runs}) | {least:.4}, {name} | {ratio:.3} |"
        );
    }
    if logs.is_empty() {
        return String::new();
    }
    let mean = (logs.iter().sum::<f64>() / logs.len() as f64).exp();
    format!(
        "\nMean position error in mm (runs of ours in brackets):\n\n\
         | set | relievo | best peer | ratio |\n| --- | --- | --- | --- |\n{rows}\
         | geometric mean | | | {mean:.3} |\n"
    )
}

#[cfg(test)]
mod tests {
    use super::super::report::markdown;
    use super::super::results::{Better, Metric, Record, example};

    #[test]
    fn ratios_to_the_best_peer_are_summed_up_over_sets() {
        let placed = |cameras: f64| Metric {
            name: super::PLACED.to_owned(),
            value: cameras,
            unit: String::new(),
            better: Better::Higher,
        };
        let row = |set: &str, tool: &str, run: usize, error: f64| Record {
            quality: vec![
                Metric {
                    name: super::ERROR.to_owned(),
                    value: error,
                    unit: "mm".to_owned(),
                    better: Better::Lower,
                },
                placed(8.0),
            ],
            ours: tool == "relievo",
            ..example("known", set, tool, "1", run)
        };
        let fewer = Record {
            quality: vec![row("b", "", 0, 0.1).quality.remove(0), placed(7.0)],
            ..row("b", "pycolmap global", 0, 0.1)
        };
        let reference = |tool: &str| Record {
            truth: Some("another reconstruction: a reference".to_owned()),
            ..row("d", tool, 0, 1.0)
        };
        let rows = [
            fewer,
            reference("relievo"),
            reference("openmvg-rs"),
            row("a", "relievo", 0, 1.0),
            row("a", "relievo", 1, 3.0),
            row("a", "pycolmap global", 0, 8.0),
            row("a", "openmvg-rs", 0, 4.0),
            row("b", "relievo", 0, 2.0),
            row("b", "openmvg-rs", 0, 1.0),
            row("tiny", "relievo", 0, 9.0),
            row("tiny", "openmvg-rs", 0, 1.0),
            row("c", "relievo", 0, 5.0),
        ];
        let text = markdown(&rows);
        assert!(
            text.contains("| a | 2.0000 (2) | 4.0000, openmvg-rs | 0.500 |"),
            "{text}"
        );
        assert!(text.contains("| b | 2.0000 (1) | 1.0000, openmvg-rs | 2.000 |"));
        assert!(text.contains("| geometric mean | | | 1.000 |"));
        assert!(!text.contains("| d | 1"));
        assert!(!text.contains("| tiny | 9") && !text.contains("| c | 5"));
    }
}
