//! Rows as text and as `docs/benchmarks.md`.

use super::results::{Record, median, newest};
use super::summary;
use super::tools::PEERS;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Figures of quality in a row of a table.
const SHOWN: usize = 5;

/// Figures of several thresholds: how their names begin, and how they are told.
const FAMILIES: [(&str, &str); 3] = [("f_", "F"), ("f1_", "F"), ("auc_", "AUC")];

/// Runs of one tool on one set.
pub(super) struct Group<'a> {
    /// Those that ended well; all where none did.
    pub(super) runs: Vec<&'a Record>,
    /// Those that failed beside them.
    failed: usize,
}

impl Group<'_> {
    fn median(&self, get: fn(&Record) -> f64) -> f64 {
        median(&self.runs.iter().map(|r| get(r)).collect::<Vec<_>>())
    }

    /// Half of the range over the median, percent; `None` of one run.
    fn spread(&self, get: fn(&Record) -> f64) -> Option<f64> {
        let values: Vec<f64> = self.runs.iter().map(|r| get(r)).collect();
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(0.0, f64::max);
        let middle = median(&values);
        (values.len() > 1 && middle > 0.0).then(|| 50.0 * (high - low) / middle)
    }

    /// Mean of a figure over the runs, and so over the seeds.
    pub(super) fn mean(&self, name: &str) -> f64 {
        let same = self.runs.iter().flat_map(|r| &r.quality);
        let values: Vec<f64> = same.filter(|q| q.name == name).map(|q| q.value).collect();
        values.iter().sum::<f64>() / values.len() as f64
    }

    /// Means, the most telling first; F at all thresholds is one of them. The first
    /// [`SHOWN`] stand in the row, the rest below its table.
    fn figures(&self) -> Vec<String> {
        let Some(first) = self.runs.iter().find(|r| r.note.is_none()) else {
            return Vec::new();
        };
        let mut told: Vec<String> = Vec::new();
        // Classes have a table of their own.
        let whole = first.quality.iter().filter(|m| class_of(&m.name).is_none());
        for m in whole {
            let value = self.mean(&m.name);
            // One figure for all thresholds, where the first of them stands.
            let family = FAMILIES.iter().find(|f| m.name.starts_with(f.0));
            let Some((prefix, name)) = family else {
                let figure = format!("{} {} {}", m.name, short(value), m.unit);
                told.push(figure.trim_end().to_owned());
                continue;
            };
            let of_family = first.quality.iter().filter(|q| q.name.starts_with(prefix));
            let names: Vec<&str> = of_family.map(|q| &q.name[prefix.len()..]).collect();
            if names.first() != Some(&&m.name[prefix.len()..]) {
                continue;
            }
            let unit = names[0].trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
            let limits: Vec<&str> = names.iter().map(|n| &n[..n.len() - unit.len()]).collect();
            let digits = if name.starts_with('F') { 3 } else { 2 };
            let values: Vec<String> = names
                .iter()
                .map(|n| format!("{:.digits$}", self.mean(&format!("{prefix}{n}"))))
                .collect();
            let (limits, values) = (limits.join("/"), values.join("/"));
            told.push(format!("{name} at {limits} {unit} {values}"));
        }
        told
    }
}

/// What the rows have no place for, a line a tool; nothing where there is no more.
fn further(tools: &[&(&str, Group<'_>)]) -> String {
    let lines: Vec<String> = tools
        .iter()
        .map(|(name, g)| (name, g.figures()))
        .filter(|(_, figures)| figures.len() > SHOWN)
        .map(|(name, figures)| format!("- {name}: {}\n", figures[SHOWN..].join(", ")))
        .collect();
    if lines.is_empty() {
        return String::new();
    }
    format!("\nFurther figures:\n\n{}", lines.concat())
}

/// Class, figure and threshold of `class_<class>_<figure>_<threshold>`.
fn class_of(metric: &str) -> Option<(&str, &str, &str)> {
    let (rest, limit) = metric.strip_prefix("class_")?.rsplit_once('_')?;
    let (class, figure) = rest.rsplit_once('_')?;
    Some((class, figure, limit))
}

/// Recall and F by class, a column a tool; nothing where no tool has classes.
fn class_table(tools: &[&(&str, Group<'_>)]) -> String {
    let figures = |g: &Group<'_>| -> BTreeMap<String, f64> {
        let scored = g.runs.iter().filter(|r| r.failed.is_none());
        let all: Vec<_> = scored.flat_map(|r| &r.quality).collect();
        let of = |name: &str| {
            let same = all.iter().filter(|m| m.name == name);
            median(&same.map(|m| m.value).collect::<Vec<_>>())
        };
        let told = all.iter().filter(|m| class_of(&m.name).is_some());
        told.map(|m| (m.name.clone(), of(&m.name))).collect()
    };
    let columns: Vec<(&str, BTreeMap<String, f64>)> = tools
        .iter()
        .map(|(name, g)| (*name, figures(g)))
        .filter(|(_, f)| !f.is_empty())
        .collect();
    let names = || columns.iter().flat_map(|(_, f)| f.keys());
    let classes: BTreeSet<(&str, &str)> = names()
        .filter_map(|n| class_of(n).map(|(class, _, limit)| (class, limit)))
        .collect();
    let Some((_, limit)) = classes.first() else {
        return String::new();
    };
    let tools: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let mut text = format!(
        "\nRecall / F at {limit} by class:\n\n| class | {} |\n| --- |{}\n",
        tools.join(" | "),
        " --- |".repeat(tools.len())
    );
    for (class, limit) in &classes {
        let cells: Vec<String> = columns
            .iter()
            .map(|(_, f)| {
                let told = ["recall", "f"].map(|figure| {
                    let value = f.get(&format!("class_{class}_{figure}_{limit}"));
                    value.map_or_else(|| "–".to_owned(), |v| format!("{v:.3}"))
                });
                told.join(" / ")
            })
            .collect();
        let _ = writeln!(text, "| {class} | {} |", cells.join(" | "));
    }
    text
}

fn short(v: f64) -> String {
    if v.fract() == 0.0 {
        return format!("{v}");
    }
    let whole = v.abs().log10().floor() as i32 + 1;
    let digits = (4 - whole).clamp(0, 6) as usize;
    format!("{v:.digits$}")
}

/// Place of a stage in [`super::STAGES`], stage, set.
type Place<'a> = (usize, &'a str, &'a str);
/// Tools on a set, ours first.
pub(super) type Tools<'a> = Vec<(&'a str, Group<'a>)>;

/// The rows that count by stage, set and tool, ours first.
fn groups(rows: &[Record]) -> BTreeMap<Place<'_>, Tools<'_>> {
    let mut all: BTreeMap<Place<'_>, Tools<'_>> = BTreeMap::new();
    for r in newest(rows) {
        let order = super::STAGES.iter().position(|s| *s == r.stage);
        let place = (order.unwrap_or(usize::MAX), &*r.stage, &*r.set);
        let tools = all.entry(place).or_default();
        if let Some((_, g)) = tools.iter_mut().find(|(name, _)| *name == r.tool) {
            g.runs.push(r);
        } else {
            let (runs, failed) = (vec![r], 0);
            tools.push((&r.tool, Group { runs, failed }));
        }
    }
    for tools in all.values_mut() {
        tools.sort_by_key(|(name, g)| (!g.runs[0].ours, PEERS.iter().position(|p| p == name)));
        for (_, g) in tools {
            let bad = g.runs.iter().filter(|r| r.failed.is_some()).count();
            if bad < g.runs.len() {
                g.runs.retain(|r| r.failed.is_none());
                g.failed = bad;
            }
        }
    }
    all
}

/// One line a tool: median wall and CPU seconds, spread, memory, ratio, quality.
fn line(name: &str, group: &Group<'_>, own_cpu: Option<f64>) -> [String; 7] {
    if let Some(why) = group.runs.first().and_then(|r| r.failed.clone()) {
        let why = why.lines().next().unwrap_or_default().to_owned();
        let none = String::new;
        return [name.to_owned(), none(), none(), none(), none(), none(), why];
    }
    let cpu = group.median(|r| r.cpu_s);
    let spread = match (group.runs.len(), group.spread(|r| r.cpu_s)) {
        (1, _) => "one run".to_owned(),
        (n, None) => format!("{n} runs"),
        (n, Some(s)) => format!("{n} runs ± {s:.0} %"),
    };
    let ratio = own_cpu.filter(|own| *own > 0.0).map(|own| cpu / own);
    let figures = group.figures();
    let mut quality = figures[..figures.len().min(SHOWN)].join(", ");
    if group.failed > 0 {
        let all = group.failed + group.runs.len();
        quality = format!("{} of {all} runs failed; {quality}", group.failed);
    }
    let notes: Vec<&String> = group.runs.iter().filter_map(|r| r.note.as_ref()).collect();
    if let Some(note) = notes.first() {
        let note = note.lines().next().unwrap_or_default();
        let what = match (notes.len(), group.runs.len()) {
            (some, all) if some < all => format!("; {some} of {all} runs not scored"),
            _ => "not scored".to_owned(),
        };
        let _ = write!(quality, "{what}: {note}");
    }
    [
        name.to_owned(),
        short(group.median(|r| r.wall_s)),
        short(cpu),
        spread,
        format!("{:.0}", group.median(|r| r.rss_mib)),
        ratio.map_or_else(String::new, |r| format!("{r:.2}")),
        quality,
    ]
}

fn lines(tools: &[(&str, Group<'_>)]) -> Vec<[String; 7]> {
    let own = tools.iter().find(|(_, g)| g.runs.iter().any(|r| r.ours));
    let own_cpu = own.map(|(_, g)| g.median(|r| r.cpu_s));
    let of_ours = own.map(|(_, g)| g.runs[0]);
    let told = |name: &str, group| {
        let mut line = line(name, group, own_cpu);
        if let Some(why) = of_ours.and_then(|ours| stands_apart(ours, group.runs[0])) {
            line[1..6].iter_mut().for_each(String::clear);
            why.clone_into(&mut line[6]);
        }
        line
    };
    tools.iter().map(|(n, g)| told(n, g)).collect()
}

/// The tools whose figures say something beside ours.
pub(super) fn standing<'a, 'b>(tools: &'b Tools<'a>) -> Vec<&'b (&'a str, Group<'a>)> {
    let own = tools.iter().find(|(_, g)| g.runs.iter().any(|r| r.ours));
    let stands =
        |g: &Group<'_>| own.is_none_or(|(_, own)| stands_apart(own.runs[0], g.runs[0]).is_none());
    tools.iter().filter(|(_, g)| stands(g)).collect()
}

/// Why a peer's row says nothing beside `ours`.
fn stands_apart(ours: &Record, peer: &Record) -> Option<&'static str> {
    if peer.ours || peer.failed.is_some() {
        return None;
    }
    if peer.start.as_ref().is_some_and(|s| *s != ours.version) {
        return Some("started from another version of ours: to be measured again");
    }
    (peer.metrics != ours.metrics).then_some("scored by other definitions: to be measured again")
}

/// For the terminal.
pub(crate) fn text(rows: &[Record]) -> String {
    let mut text = String::new();
    for ((_, stage, set), tools) in groups(rows) {
        let _ = writeln!(text, "{stage} {set}");
        for [name, wall, cpu, spread, rss, ratio, quality] in lines(&tools) {
            let _ = writeln!(
                text,
                "  {name:<21} wall {wall:>7} s  cpu {cpu:>7} s {spread:>13}  {rss:>5} MiB  cpu/ours \
                 {ratio:>5}  {quality}"
            );
        }
    }
    text.trim_end().to_owned()
}

/// Versions, each with the days on which its rows were measured.
fn dated<'a>(rows: impl Iterator<Item = (String, &'a str)>) -> Vec<String> {
    let mut days: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for (version, day) in rows {
        days.entry(version).or_default().insert(day);
    }
    let told = days.iter().map(|(version, days)| {
        let (first, last) = (days.first().unwrap_or(&""), days.last().unwrap_or(&""));
        if first == last {
            format!("{version}, measured {first}")
        } else {
            format!("{version}, measured {first} to {last}")
        }
    });
    told.collect()
}

/// For `docs/benchmarks.md`.
pub(crate) fn markdown(rows: &[Record]) -> String {
    let mut text = "# Benchmarks\n\n\
        Written by `scripts/bench report` from the rows that `scripts/bench` stored; no figure is\n\
        typed by hand. A row is one run, or several, interleaved with the others' runs: medians of\n\
        time and memory, means of quality (and so over seeds); the spread tells how many, and half of\n\
        the range of their CPU seconds over the median. Tools\n\
        of one table ran on one machine; a row that was measured there before by the same version is\n\
        kept, so versions stand beside the days of their rows. Seconds and memory are of the whole\n\
        program, quality is scored by the same scorer for every tool (`docs/metrics.md`). A ratio\n\
        above 1 means that the tool takes more CPU time than Relievo.\n\
        `demo` and `tiny` are the same photos, in the repository and among the data sets.\n\
        Stages: `features` is ingest to features, `sparse` ingest to poses (peers: photos to poses),\n\
        `bundle` the sparse model moved off its optimum and solved again, `dense` depth and cloud,\n\
        `mesh` our cloud to a surface (peers: Poisson, as fine as ours, and trimming by density; ours\n\
        also carves, repairs and simplifies), `texture` surface to model. For texture every eighth\n\
        photo is kept out of the run and re-rendered; where a version says so below, dense and mesh are\n\
        of the same runs, without these photos. `known` is `sparse` under the true intrinsics,\n\
        `posed` is `dense` under the true poses with maps of half the photos' size (`dense`: ours are at\n\
        least 800 pixels long), `bal` problems of bundle adjustment with the statistics of Ladybug. Of a video, peers are given\n\
        the key frames that Relievo takes; its own seconds include decoding and choosing them.\n\n"
        .to_owned();
    let shown = groups(rows);
    let runs = || shown.values().flatten().flat_map(|(_, g)| &g.runs);
    let machines: BTreeSet<String> = runs().map(|r| r.machine.told()).collect();
    for machine in &machines {
        let _ = writeln!(text, "- Machine: {machine}");
    }
    let ours = runs().filter(|r| r.ours).map(|r| {
        let options = r.version.split_once(' ');
        let options = options.map_or_else(String::new, |(_, o)| format!(" ({o})"));
        let name = format!("Relievo {}{options}", r.machine.commit);
        (name, &*r.machine.date)
    });
    let peers = runs().filter(|r| !r.ours && r.failed.is_none());
    let peers = peers.map(|r| (format!("{} {}", r.tool, r.version), &*r.machine.date));
    for line in dated(ours).iter().chain(&dated(peers)) {
        let _ = writeln!(text, "- {line}");
    }
    let mut last = "";
    for (&(_, stage, set), tools) in &shown {
        if stage != last {
            let _ = write!(text, "\n## {stage}\n");
            let of_stage = shown.iter().filter(|(place, _)| place.1 == stage);
            text += &summary::of_stage(of_stage.map(|(place, tools)| (place.2, tools)));
            last = stage;
        }
        let _ = write!(text, "\n### {set}\n\n");
        if machines.len() > 1 {
            let first = tools.iter().find_map(|(_, g)| g.runs.first());
            let told = first.map_or_else(String::new, |r| r.machine.told());
            let _ = write!(text, "{told}\n\n");
        }
        let _ = write!(
            text,
            "| tool | wall s | CPU s | spread | MiB | CPU / ours | quality |\n\
             | --- | --- | --- | --- | --- | --- | --- |\n"
        );
        for cells in lines(tools) {
            let _ = writeln!(
                text,
                "| {} |",
                cells.map(|c| c.replace('|', "/")).join(" | ")
            );
        }
        let standing = standing(tools);
        text += &further(&standing);
        text += &class_table(&standing);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::results::{Better, Metric, example};
    use super::*;

    fn row(tool: &str, version: &str, run: usize, cpu_s: f64, f: f64) -> Record {
        let metric = |name: &str, value: f64, unit: &str| Metric {
            name: name.to_owned(),
            value,
            unit: unit.to_owned(),
            better: Better::Higher,
        };
        let quality = vec![
            metric("psnr", 10.0 * f, "dB"),
            metric("f_0.5mm", f, ""),
            metric("f_1mm", f + 0.1, ""),
            metric("faces", 1234.0, ""),
            metric("f_10mm", f + 0.2, ""),
        ];
        Record {
            cpu_s,
            quality,
            ..example("mesh", "demo", tool, version, run)
        }
    }

    /// The line of a tool in the report of these rows, cell by cell.
    fn cells(rows: &[Record], tool: &str) -> Vec<String> {
        let text = markdown(rows);
        let start = format!("| {tool} |");
        let mut lines = text.lines().filter(|l| l.starts_with(&start));
        let line = lines.next().unwrap_or_default().to_owned();
        assert_eq!(lines.next(), None, "{text}");
        let cells = line.trim_matches('|').split('|');
        cells.map(|c| c.trim().to_owned()).collect()
    }

    #[test]
    fn medians_and_families_are_told_as_one_figure() {
        let rows = [
            row("relievo", "1", 0, 2.0, 0.5),
            row("relievo", "1", 1, 2.1, 0.7),
            row("relievo", "1", 2, 1.9, 0.6),
            row("open3d", "0.20", 0, 4.0, 0.5),
        ];
        let quality = "psnr 6 dB, F at 0.5/1/10 mm 0.600/0.700/0.800, faces 1234";
        let ours = ["relievo", "1", "2", "3 runs ± 5 %", "100", "1.00", quality];
        assert_eq!(cells(&rows, "relievo"), ours);
        let peer = cells(&rows, "open3d");
        assert_eq!(peer[3..6], ["one run", "100", "2.00"]);
        assert!(text(&rows).contains("3 runs ± 5 %"));
        // Two runs that take no time have no spread.
        let none = [
            row("relievo", "1", 0, 0.0, 0.5),
            row("relievo", "1", 1, 0.0, 0.5),
        ];
        assert_eq!(cells(&none, "relievo")[3], "2 runs");
    }

    #[test]
    fn failed_and_unscored_runs_are_told_beside_good_ones() {
        let mut rows = [0, 1, 2].map(|run| row("relievo", "1", run, 2.0, 0.5));
        rows[0].failed = Some("exit code 1: a | b\nmore".to_owned());
        rows[0].cpu_s = 100.0;
        let line = cells(&rows, "relievo");
        assert_eq!(line[2..4], ["2", "2 runs ± 0 %"]);
        assert!(line[6].starts_with("1 of 3 runs failed; psnr 5 dB"));
        rows[1].note = Some("no truth".to_owned());
        rows[1].quality.clear();
        let line = cells(&rows, "relievo");
        assert!(line[6].contains("psnr 5 dB"), "{}", line[6]);
        assert!(line[6].ends_with("; 1 of 2 runs not scored: no truth"));
        rows[2].note = Some("a | b\nmore".to_owned());
        rows[2].quality.clear();
        let line = cells(&rows, "relievo");
        assert_eq!(line[6], "1 of 3 runs failed; not scored: no truth");
        // Where all failed, why; a bar in it is no border of a cell.
        let all = [rows[0].clone()];
        let none = ["relievo", "", "", "", "", "", "exit code 1: a / b"];
        assert_eq!(cells(&all, "relievo"), none);
        let note = [rows[2].clone()];
        assert_eq!(cells(&note, "relievo")[6], "not scored: a / b");
    }

    #[test]
    fn the_newest_version_of_one_machine_is_shown() {
        let mut rows = vec![
            row("relievo", "1", 0, 2.0, 0.5),
            row("open3d", "0.20", 0, 4.0, 0.5),
            row("relievo", "2", 0, 1.0, 0.5),
        ];
        assert_eq!(cells(&rows, "relievo")[2], "1");
        assert_eq!(cells(&rows, "open3d")[5], "4.00");
        // Ours stands first, although its rows are newer.
        let place = |name: &str| markdown(&rows).find(&format!("| {name} |"));
        assert!(place("relievo") < place("open3d"));
        // A ratio to a run on another machine would say nothing.
        rows.push(row("relievo", "2", 0, 3.0, 0.5));
        rows[3].machine.threads = 64;
        assert_eq!(cells(&rows, "relievo")[2], "3");
        let one = "- Machine: A, 64 threads, 16 GiB\n- Relievo c0ffee, measured 2026-11-26\n\n";
        assert!(markdown(&rows).contains(one), "{}", markdown(&rows));
        assert!(!markdown(&rows).contains("open3d"));
        // Each table tells its machine where there are several.
        rows.push(Record {
            set: "fox".to_owned(),
            ..row("relievo", "2", 0, 3.0, 0.5)
        });
        assert!(markdown(&rows).contains("### demo\n\nA, 64 threads, 16 GiB\n\n| tool"));
        assert!(markdown(&rows).contains("### fox\n\nA, 2 threads, 16 GiB\n\n| tool"));
    }

    #[test]
    fn figures_beyond_the_first_stand_below_the_table() {
        let mut rows = [
            row("relievo", "1", 0, 2.0, 0.5),
            row("open3d", "0.20", 0, 4.0, 0.5),
        ];
        assert!(!markdown(&rows).contains("Further"));
        let more = ["a", "b", "c", "d"].map(|name| Metric {
            name: name.to_owned(),
            value: 2.0,
            unit: "mm".to_owned(),
            better: Better::Neither,
        });
        rows[0].quality.extend(more);
        let text = markdown(&rows);
        assert!(text.contains("faces 1234, a 2 mm, b 2 mm |\n"), "{text}");
        let below = "\n\nFurther figures:\n\n- relievo: c 2 mm, d 2 mm\n";
        assert!(text.ends_with(below), "{text}");
    }

    #[test]
    fn classes_have_a_table_of_their_own() {
        let class = |name: &str, value: f64| Metric {
            name: format!("class_{name}_20mm"),
            value,
            unit: String::new(),
            better: Better::Higher,
        };
        let mut rows = [
            row("relievo", "1", 0, 2.0, 0.5),
            row("openmvs", "2.3", 0, 4.0, 0.5),
            row("open3d", "0.20", 0, 4.0, 0.5),
        ];
        assert!(!markdown(&rows).contains("by class"));
        rows[0]
            .quality
            .extend([class("wall_recall", 0.9), class("wall_f", 0.95)]);
        rows[1]
            .quality
            .extend([class("wall_recall", 0.5), class("rug_f", 0.25)]);
        let text = markdown(&rows);
        let table = "Recall / F at 20mm by class:\n\n| class | relievo | openmvs |\n\
            | --- | --- | --- |\n| rug | – / – | – / 0.250 |\n| wall | 0.900 / 0.950 | 0.500 / – |\n";
        assert!(text.contains(table), "{text}");
        assert!(!cells(&rows, "openmvs")[6].contains("class"));
    }

    #[test]
    fn versions_stand_beside_the_days_of_their_rows() {
        let on = |day: &str, r: Record| {
            let mut r = r;
            r.machine.date = day.to_owned();
            r
        };
        let mut rows = [
            on("2026-11-27", row("open3d", "0.20", 0, 1.0, 0.5)),
            on("2026-11-25", row("open3d", "0.20", 1, 1.0, 0.5)),
            on("2026-11-28", row("relievo", "1 mesh.x=2", 0, 1.0, 0.5)),
            on("2026-11-28", row("pymeshlab", "3", 0, 1.0, 0.5)),
        ];
        rows[3].failed = Some("not here".to_owned());
        let text = markdown(&rows);
        let lines: Vec<&str> = text.lines().filter(|l| l.contains("measured 2")).collect();
        let ours = "- Relievo c0ffee (mesh.x=2), measured 2026-11-28";
        let peer = "- open3d 0.20, measured 2026-11-25 to 2026-11-27";
        assert_eq!(lines, [ours, peer]);
    }

    #[test]
    fn peers_of_another_start_or_definition_have_no_ratio() {
        let peer = |start: &str, metrics: u32| {
            let mut row = row("open3d", "0.20", 0, 4.0, 0.5);
            row.start = Some(start.to_owned());
            row.metrics = metrics;
            cells(&[self::row("relievo", "new", 0, 2.0, 0.5), row], "open3d")
        };
        let good = peer("new", super::super::quality::METRICS);
        assert_eq!((&*good[2], &*good[5]), ("4", "2.00"), "{good:?}");
        for (start, metrics, why) in [("old", 1, "another version"), ("new", 0, "definitions")] {
            let cells = peer(start, metrics);
            assert!(cells[6].contains(why), "{cells:?}");
            assert!(cells[1..6].iter().all(String::is_empty), "{cells:?}");
        }
    }
}
