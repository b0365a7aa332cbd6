//! What became better or worse, beyond the noise.
//!
//! Costs are paired by seed and run number, quality by seed: runs of one build with
//! one seed are the same bytes and say the same thing twice. The mean difference counts when it
//! is larger than twice its standard error over the pairs and than a floor
//! ([`floors`]). Between the floor from which a figure may have moved and that from
//! which it surely has, it is *unclear*: told, and no error. One pair has no standard
//! error, so that much is unclear with it. A rebuild
//! differs in time and memory alone. Measured on the demo set, rebuilds of one commit, one run each, on
//! two hyper-threads that other work shares at times: CPU seconds moved by up to
//! 25 % (texture, bundle), units by up to 34 %; with the same load throughout by 3 %
//! (depth), 2 % (texture), 5 % (mesh); memory by 26 % (depth), 8 % (sparse).

use super::results::{self, Better, Record};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Better,
    Worse,
    Unchanged,
    /// Moved, but not surely beyond the noise.
    Unclear,
}

/// Shares of the old value from which a figure may have moved, and from which it surely
/// has, by its name and the number of pairs.
fn floors(name: &str, pairs: usize) -> (f64, f64) {
    match (name, pairs) {
        // A run that fails, a camera or a held-out photo that is lost is no noise.
        ("succeeds" | "scored" | "registered" | "photos_scored", _) => (0.0, 0.0),
        ("cpu_units" | "cpu_seconds", 1) => (0.25, 0.4),
        ("cpu_units" | "cpu_seconds", _) => (0.15, 0.15),
        // A neighbour's work moves it most: it tells work that lost its threads.
        ("wall_seconds", 1 | 2) => (0.5, f64::INFINITY),
        ("wall_seconds", _) => (0.25, 0.5),
        // It moves with the threads' timing.
        ("memory", 1) => (0.3, 0.35),
        ("memory", _) => (0.2, 0.35),
        (_, 1) => (0.005, 0.02),
        _ => (0.005, 0.005),
    }
}

/// Shares are of at least this.
const TINY: f64 = 0.01;

/// Costs: a neighbour's work can double one of them.
const COSTS: [&str; 4] = ["cpu_units", "cpu_seconds", "wall_seconds", "memory"];

/// Every run has one of its own; of other figures all runs of a seed have the same.
fn is_by_run(name: &str) -> bool {
    COSTS.contains(&name) || ["succeeds", "scored"].contains(&name)
}

/// One figure of one set, before and after.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) name: String,
    pub(crate) before: f64,
    /// `None` where the new results have no such figure any more.
    pub(crate) after: Option<f64>,
    pub(crate) noise: f64,
    pub(crate) pairs: usize,
    pub(crate) verdict: Verdict,
}

/// Stage, set and figure.
type Key = (String, String, String);
/// Seed and run.
type Id = (usize, usize);
/// By stage, set and figure: the values by seed and run, and which way is better.
type Series = BTreeMap<Key, (Better, BTreeMap<Id, f64>)>;

/// Figures of quality where `scored`, and costs.
fn series(rows: &[Record], scored: bool) -> Series {
    let mut all = Series::new();
    for r in newest(rows) {
        let mut add = |name: &str, value: f64, better: Better| {
            let key = (r.stage.clone(), r.set.clone(), name.to_owned());
            let entry = all.entry(key).or_insert((better, BTreeMap::new()));
            let run = if is_by_run(name) { r.run } else { 0 };
            entry.1.entry((r.seed, run)).or_insert(value);
        };
        let share = |yes: bool| f64::from(u8::from(yes));
        add("succeeds", share(r.failed.is_none()), Better::Higher);
        if r.failed.is_some() {
            continue;
        }
        add("scored", share(r.note.is_none()), Better::Higher);
        let figures = r.quality.iter().filter(|m| m.better != Better::Neither);
        for m in figures.filter(|_| scored) {
            add(&m.name, m.value, m.better);
        }
        if r.calibration_s > 0.0 {
            add("cpu_units", r.cpu_s / r.calibration_s, Better::Lower);
            add("cpu_seconds", r.cpu_s, Better::Lower);
            add("wall_seconds", r.wall_s, Better::Lower);
        }
        if r.rss_mib > 0.0 {
            add("memory", r.rss_mib, Better::Lower);
        }
    }
    all
}

/// Rows of ours that count.
fn newest(rows: &[Record]) -> Vec<&Record> {
    results::newest(rows.iter().filter(|r| r.ours))
}

/// Every figure that both have, and those that the new one lost. Figures of other
/// definitions are not compared.
pub(crate) fn compare(old: &[Record], new: &[Record]) -> Vec<Change> {
    let definitions = |rows| -> BTreeSet<u32> { newest(rows).iter().map(|r| r.metrics).collect() };
    let scored = definitions(old) == definitions(new);
    let disturbed: BTreeSet<(&str, &str, Id)> = newest(old)
        .into_iter()
        .chain(newest(new))
        .filter(|r| r.is_disturbed())
        .map(|r| (&*r.stage, &*r.set, (r.seed, r.run)))
        .collect();
    let (old, new) = (series(old, scored), series(new, scored));
    let mut changes = Vec::new();
    for (key, (better, after)) in &new {
        let Some((_, before)) = old.get(key) else {
            continue;
        };
        let mut pairs: Vec<(Id, (f64, f64))> = after
            .iter()
            .filter_map(|(at, v)| Some((*at, (*before.get(at)?, *v))))
            .collect();
        // Wall time is compared over runs that had the processors to themselves, if there are any.
        let is_quiet =
            |id: &Id| key.2 != "wall_seconds" || !disturbed.contains(&(&key.0, &key.1, *id));
        let has_quiet = pairs.iter().any(|(id, _)| is_quiet(id));
        pairs.retain(|(id, _)| !has_quiet || is_quiet(id));
        let pairs: Vec<(f64, f64)> = pairs.into_iter().map(|(_, pair)| pair).collect();
        if pairs.is_empty() {
            continue;
        }
        let n = pairs.len() as f64;
        let mean = |get: fn(&(f64, f64)) -> f64| pairs.iter().map(get).sum::<f64>() / n;
        let (a, b) = (mean(|p| p.0), mean(|p| p.1));
        let difference = b - a;
        let spread = pairs
            .iter()
            .map(|p| (p.1 - p.0 - difference).powi(2))
            .sum::<f64>();
        let error = if n > 1.0 {
            (spread / (n - 1.0) / n).sqrt()
        } else {
            0.0
        };
        let (perhaps, mut surely) = floors(&key.2, pairs.len());
        if !has_quiet {
            surely = f64::INFINITY;
        }
        // Figures near zero differ by shares of nothing.
        let (perhaps, surely) = (perhaps * a.abs().max(TINY), surely * a.abs().max(TINY));
        let is_count = perhaps == 0.0;
        let noise = if is_count { 0.0 } else { 2.0 * error };
        let gain = if *better == Better::Lower {
            -difference
        } else {
            difference
        };
        let fails = ["succeeds", "scored"].contains(&&*key.2) && pairs.iter().any(|p| p.1 < p.0);
        let verdict = if gain < -noise.max(surely) || fails || collapses(&pairs, *better, &key.2) {
            Verdict::Worse
        } else if gain > noise.max(surely) {
            Verdict::Better
        } else if gain.abs() > perhaps {
            Verdict::Unclear
        } else {
            Verdict::Unchanged
        };
        let noise = noise.max(perhaps);
        changes.push(Change {
            name: format!("{} {} {}", key.0, key.1, key.2),
            before: a,
            after: Some(b),
            noise,
            pairs: pairs.len(),
            verdict,
        });
    }
    agree_on_time(&mut changes);
    changes.extend(lost(&old, &new));
    changes
}

/// True where a run became far worse than its like: by more than a quarter, and by
/// more than five times what the quieter runs differ. Such seeds among several
/// raise the mean and its standard error alike, and would go unseen. Costs are left
/// out.
fn collapses(pairs: &[(f64, f64)], better: Better, name: &str) -> bool {
    if pairs.len() < 2 || COSTS.contains(&name) {
        return false;
    }
    let sign = if better == Better::Lower { 1.0 } else { -1.0 };
    let mut moves: Vec<f64> = pairs.iter().map(|p| (p.1 - p.0).abs()).collect();
    moves.sort_by(f64::total_cmp);
    let usual = moves[(moves.len() - 1) / 4];
    pairs.iter().any(|(old, new)| {
        let loss = sign * (new - old);
        loss > 0.25 * old.abs() && loss > 5.0 * usual
    })
}

/// Stage and set of ours that the old results have and the new ones have not.
fn missing(old: &[Record], new: &[Record]) -> BTreeSet<String> {
    let places = |rows: &[Record]| -> BTreeSet<String> {
        let ours = rows.iter().filter(|r| r.ours);
        ours.map(|r| format!("{} {}", r.stage, r.set)).collect()
    };
    places(old).difference(&places(new)).cloned().collect()
}

/// Stage and set with the seeds of which the old results have runs of ours and the new
/// ones, which have others, have none.
fn untried(old: &[Record], new: &[Record]) -> Vec<String> {
    let seeds = |rows| -> BTreeMap<String, BTreeSet<usize>> {
        let mut all = BTreeMap::<String, BTreeSet<usize>>::new();
        for r in newest(rows) {
            let place = format!("{} {}", r.stage, r.set);
            all.entry(place).or_default().insert(r.seed);
        }
        all
    };
    let (old, new) = (seeds(old), seeds(new));
    let without = |(place, before): (&String, &BTreeSet<usize>)| {
        let seeds = before.difference(new.get(place)?);
        let seeds: Vec<String> = seeds.map(usize::to_string).collect();
        (!seeds.is_empty()).then(|| format!("{place} seed {}", seeds.join(" ")))
    };
    old.iter().filter_map(without).collect()
}

/// What the two sides do not have in common.
fn differences(old: &[Record], new: &[Record]) -> Vec<String> {
    let ours = |rows: &[Record]| -> Vec<Record> { newest(rows).into_iter().cloned().collect() };
    let (old, new) = (ours(old), ours(new));
    let mut said = Vec::new();
    let mut tell = |what: &str, of: &dyn Fn(&Record) -> String| {
        let side = |rows: &[Record]| rows.iter().map(of).collect::<BTreeSet<_>>();
        let (a, b) = (side(&old), side(&new));
        if a != b {
            let list = |s: BTreeSet<String>| s.into_iter().collect::<Vec<_>>().join(", ");
            said.push(format!("note: {what} differ: {} and {}", list(a), list(b)));
        }
    };
    tell("definitions (quality is not compared)", &|r| {
        r.metrics.to_string()
    });
    tell("machines", &|r| {
        format!("{} with {} threads", r.machine.cpu, r.machine.threads)
    });
    tell("options of the runs", &|r| {
        let options = r.version.split_once(' ').map_or("none", |(_, o)| o);
        format!("[{options}]")
    });
    tell("seeds and runs", &|r| format!("{}.{}", r.seed, r.run));
    let untried = untried(&old, &new);
    if !untried.is_empty() {
        let all = untried.join(", ");
        said.push(format!(
            "note: not compared, without a run in the new results: {all}"
        ));
    }
    let disturbed = old.iter().chain(&new).filter(|r| r.is_disturbed()).count();
    if disturbed > 0 {
        let of = old.len() + new.len();
        said.push(format!("note: other work took part of the processors in {disturbed} of {of} runs; their wall time tells nothing"));
    }
    said
}

/// The comparison in words; an error where something became worse, is not there any
/// more, or nothing can be compared.
pub(crate) fn verdict(old: &[Record], new: &[Record]) -> Result<String, Vec<String>> {
    let changes = compare(old, new);
    if changes.is_empty() {
        return Err(vec!["compare: the two have no run in common".to_owned()]);
    }
    let mut said = text(&changes);
    for note in differences(old, new) {
        let _ = write!(said, "\n{note}");
    }
    let missing: Vec<String> = missing(old, new).into_iter().collect();
    if !missing.is_empty() {
        let _ = write!(said, "\nnot in the new results: {}", missing.join(", "));
    }
    let worse = changes
        .iter()
        .filter(|c| c.verdict == Verdict::Worse)
        .count();
    let mut why = Vec::new();
    if worse > 0 {
        why.push(format!("{worse} figures became worse"));
    }
    if !missing.is_empty() {
        why.push("the new results lack a stage of the old ones".to_owned());
    }
    if why.is_empty() {
        return Ok(said);
    }
    why.insert(0, said);
    Err(why)
}

/// Figures that runs of the old build have and the same runs of the new one, which
/// succeed, have not. What the new one did not run is not lost.
fn lost(old: &Series, new: &Series) -> Vec<Change> {
    let mut changes = Vec::new();
    for (key, (_, before)) in old {
        let place = (key.0.clone(), key.1.clone(), "succeeds".to_owned());
        let Some((_, succeeds)) = new.get(&place) else {
            continue;
        };
        let has = new.get(key).map(|s| &s.1);
        let succeeded = |id: &Id| {
            let same = |at: &Id| at.0 == id.0 && (at.1 == id.1 || !is_by_run(&key.2));
            succeeds.iter().any(|(at, s)| same(at) && *s > 0.0)
        };
        let gone = before
            .iter()
            .filter(|(id, _)| succeeded(id) && !has.is_some_and(|h| h.contains_key(id)));
        let gone: Vec<f64> = gone.map(|(_, v)| *v).collect();
        if !gone.is_empty() {
            changes.push(Change {
                name: format!("{} {} {}", key.0, key.1, key.2),
                before: gone.iter().sum::<f64>() / gone.len() as f64,
                after: None,
                noise: 0.0,
                pairs: gone.len(),
                verdict: Verdict::Worse,
            });
        }
    }
    changes
}

/// The calibration kernel suffers more from a busy neighbour's cache than a run
/// does, and seconds follow the clock: time changed where both say so.
fn agree_on_time(changes: &mut [Change]) {
    for at in 0..changes.len() {
        let Some(place) = changes[at].name.strip_suffix("cpu_units") else {
            continue;
        };
        let other = format!("{place}cpu_seconds");
        if let Some(twin) = changes.iter().position(|c| c.name == other)
            && changes[at].verdict != changes[twin].verdict
        {
            let moved = |c: &Change| c.verdict != Verdict::Unchanged;
            let verdict = if moved(&changes[at]) && moved(&changes[twin]) {
                Verdict::Unclear
            } else {
                Verdict::Unchanged
            };
            changes[at].verdict = verdict;
            changes[twin].verdict = verdict;
        }
    }
}

/// Worse first, then better, then unclear, then how many are unchanged.
pub(crate) fn text(changes: &[Change]) -> String {
    let mut text = String::new();
    let told = [
        (Verdict::Worse, "worse"),
        (Verdict::Better, "better"),
        (Verdict::Unclear, "unclear"),
    ];
    for (verdict, word) in told {
        for c in changes.iter().filter(|c| c.verdict == verdict) {
            let (name, before, pairs) = (&c.name, c.before, c.pairs);
            let end = match c.after {
                Some(after) => format!("{after:.5} (noise {:.5}, {pairs} pairs)", c.noise),
                None => format!("nothing ({pairs} runs)"),
            };
            let _ = writeln!(text, "{word:<7} {name:<40} {before:.5} to {end}");
        }
    }
    if changes.iter().any(|c| c.verdict == Verdict::Unclear) {
        let remedy = "unclear: moved, but not surely beyond the noise; both with --seeds 5 tell";
        let _ = writeln!(text, "{remedy}");
    }
    let same = changes.iter().filter(|c| c.verdict == Verdict::Unchanged);
    let sets: BTreeSet<&str> = changes
        .iter()
        .filter_map(|c| c.name.split(' ').nth(1))
        .collect();
    let _ = write!(
        text,
        "unchanged: {} of {} figures on {} sets",
        same.count(),
        changes.len(),
        sets.len()
    );
    text
}

#[cfg(test)]
mod tests;
