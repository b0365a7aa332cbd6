//! Rows as text and as `docs/benchmarks.md`.

use super::results::{Record, median};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Figures of quality in a row.
const SHOWN: usize = 5;

/// Figures of several thresholds: how their names begin, and how they are told.
const FAMILIES: [(&str, &str); 3] = [("f_", "F"), ("f1_", "F"), ("auc_", "AUC")];

/// Runs of one tool on one set.
struct Group<'a> {
    /// Those that ended well; all where none did.
    runs: Vec<&'a Record>,
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

    /// Medians, the most telling first; F at all thresholds is one of them.
    fn quality(&self) -> Vec<String> {
        let Some(first) = self.runs.first() else {
            return Vec::new();
        };
        let middle = |name: &str| {
            let same = self.runs.iter().flat_map(|r| &r.quality);
            let values: Vec<f64> = same.filter(|q| q.name == name).map(|q| q.value).collect();
            median(&values)
        };
        let mut told: Vec<String> = Vec::new();
        for m in &first.quality {
            let value = middle(&m.name);
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
                .map(|n| format!("{:.digits$}", middle(&format!("{prefix}{n}"))))
                .collect();
            let (limits, values) = (limits.join("/"), values.join("/"));
            told.push(format!("{name} at {limits} {unit} {values}"));
        }
        told.truncate(SHOWN);
        told
    }
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

/// The newest version of each tool's runs, by stage, set and tool.
fn groups(rows: &[Record]) -> BTreeMap<Place<'_>, Vec<(&str, Group<'_>)>> {
    let mut all: BTreeMap<Place<'_>, Vec<(&str, Group<'_>)>> = BTreeMap::new();
    for r in rows {
        let order = super::STAGES.iter().position(|s| *s == r.stage);
        let place = (order.unwrap_or(usize::MAX), &*r.stage, &*r.set);
        let tools = all.entry(place).or_default();
        if let Some((_, g)) = tools.iter_mut().find(|(name, _)| *name == r.tool) {
            let new = |f: &&Record| (&f.version, &f.start) != (&r.version, &r.start);
            if g.runs.first().is_some_and(new) {
                g.runs.clear();
            }
            g.runs.push(r);
        } else {
            let (runs, failed) = (vec![r], 0);
            tools.push((&r.tool, Group { runs, failed }));
        }
    }
    for tools in all.values_mut() {
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
    let spread = group.spread(|r| r.cpu_s);
    let ratio = own_cpu.filter(|own| *own > 0.0).map(|own| cpu / own);
    let mut quality = group.quality().join(", ");
    if group.failed > 0 {
        let all = group.failed + group.runs.len();
        quality = format!("{} of {all} runs failed; {quality}", group.failed);
    }
    if let Some(note) = group.runs.first().and_then(|r| r.note.as_ref()) {
        let note = note.lines().next().unwrap_or_default();
        let _ = write!(quality, "not scored: {note}");
    }
    [
        name.to_owned(),
        short(group.median(|r| r.wall_s)),
        short(cpu),
        spread.map_or_else(|| "one run".to_owned(), |s| format!("± {s:.0} %")),
        format!("{:.0}", group.median(|r| r.rss_mib)),
        ratio.map_or_else(String::new, |r| format!("{r:.2}")),
        quality,
    ]
}

fn lines(tools: &[(&str, Group<'_>)]) -> Vec<[String; 7]> {
    let own = tools.iter().find(|(_, g)| g.runs.iter().any(|r| r.ours));
    let own_cpu = own.map(|(_, g)| g.median(|r| r.cpu_s));
    tools.iter().map(|(n, g)| line(n, g, own_cpu)).collect()
}

/// For the terminal.
pub(crate) fn text(rows: &[Record]) -> String {
    let mut text = String::new();
    for ((_, stage, set), tools) in groups(rows) {
        let _ = writeln!(text, "{stage} {set}");
        for [name, wall, cpu, spread, rss, ratio, quality] in lines(&tools) {
            let _ = writeln!(
                text,
                "  {name:<21} wall {wall:>7} s  cpu {cpu:>7} s {spread:>8}  {rss:>5} MiB  cpu/ours \
                 {ratio:>5}  {quality}"
            );
        }
    }
    text.trim_end().to_owned()
}

/// For `docs/benchmarks.md`.
pub(crate) fn markdown(rows: &[Record]) -> String {
    let mut text = "# Benchmarks\n\n\
        Written by `scripts/bench report` from the rows that `scripts/bench` stored; no figure is\n\
        typed by hand. Every row is the median of interleaved runs on one machine; seconds and\n\
        memory are of the whole program, quality is scored by the same scorer for every tool\n\
        (`docs/metrics.md`). A ratio above 1 means that the tool takes more CPU time than Relievo.\n\
        Stages: `features` is ingest to features, `sparse` ingest to poses (peers: photos to poses),\n\
        `bundle` the sparse model moved off its optimum and solved again, `dense` depth and cloud,\n\
        `mesh` our cloud to a surface (peers: Poisson, as fine as ours, and trimming by density; ours\n\
        also carves, repairs and simplifies), `texture` surface to model. For texture every eighth\n\
        photo is kept out of the run and re-rendered. `known` is `sparse` under the true intrinsics,\n\
        `bal` problems of bundle adjustment with the statistics of Ladybug.\n\n"
        .to_owned();
    let shown = groups(rows);
    let runs = || shown.values().flatten().flat_map(|(_, g)| &g.runs);
    let machines: BTreeSet<String> = runs()
        .map(|r| {
            let m = &r.machine;
            format!("{}, {} threads, {} GiB", m.cpu, m.threads, m.memory_gib)
        })
        .collect();
    let versions: BTreeSet<String> = runs()
        .filter(|r| !r.ours && r.failed.is_none())
        .map(|r| format!("{} {}", r.tool, r.version))
        .collect();
    let ours: BTreeSet<String> = runs()
        .filter(|r| r.ours)
        .map(|r| {
            let how = r.version.split_once(' ').map_or("", |(_, options)| options);
            let m = &r.machine;
            format!("{} ({}) {how}", m.commit, m.date)
                .trim_end()
                .to_owned()
        })
        .collect();
    let join = |s: BTreeSet<String>| s.into_iter().collect::<Vec<_>>().join("; ");
    let _ = writeln!(text, "- Machine: {}", join(machines));
    let _ = writeln!(text, "- Relievo: {}", join(ours));
    let _ = writeln!(text, "- Peers: {}", join(versions));
    let mut last = "";
    for (&(_, stage, set), tools) in &shown {
        if stage != last {
            let _ = write!(text, "\n## {stage}\n");
            last = stage;
        }
        let _ = write!(
            text,
            "\n### {set}\n\n| tool | wall s | CPU s | spread | MiB | CPU / ours | quality |\n\
             | --- | --- | --- | --- | --- | --- | --- |\n"
        );
        for cells in lines(tools) {
            let _ = writeln!(
                text,
                "| {} |",
                cells.map(|c| c.replace('|', "/")).join(" | ")
            );
        }
    }
    text
}
