//! Progress for people and for programs: bars on a terminal, plain lines in a
//! log, JSON events.

use crate::args::ProgressStyle;
use indicatif::{ProgressBar, ProgressStyle as BarStyle};
use relievo_task::{ProgressSink, SilentSink};
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The sink for a style; `auto` asks whether stderr is a terminal.
pub(crate) fn sink(style: ProgressStyle) -> Box<dyn ProgressSink> {
    match style {
        ProgressStyle::None => Box::new(SilentSink),
        ProgressStyle::Json => Box::new(Lines {
            json: true,
            state: Mutex::default(),
        }),
        ProgressStyle::Auto if std::io::stderr().is_terminal() => Box::new(Bars {
            state: Mutex::new(None),
        }),
        ProgressStyle::Auto | ProgressStyle::Plain => Box::new(Lines {
            json: false,
            state: Mutex::default(),
        }),
    }
}

/// One bar for the counter that moves.
struct Bars {
    state: Mutex<Option<(String, ProgressBar)>>,
}

/// The bar of `label`, made where another counter moved last.
fn bar_of<'a>(
    state: &'a mut Option<(String, ProgressBar)>,
    label: &str,
    total: u64,
) -> &'a ProgressBar {
    if let Some((_, other)) = state.take_if(|(current, _)| current != label) {
        other.finish_and_clear();
    }
    let (_, bar) = state.get_or_insert_with(|| {
        let bar = ProgressBar::new(total);
        let template = "{msg:28} {wide_bar} {percent:>3} %  {elapsed}, {eta} to go";
        if let Ok(style) = BarStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(label.to_owned());
        bar.enable_steady_tick(Duration::from_millis(250));
        (label.to_owned(), bar)
    });
    bar.set_length(total);
    bar
}

impl ProgressSink for Bars {
    fn begin(&self, label: &str, done: u64, total: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = bar_of(&mut state, label, total);
        bar.set_position(done);
        bar.reset_eta();
    }

    fn advance(&self, label: &str, done: u64, total: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = bar_of(&mut state, label, total);
        bar.set_position(done);
        if done >= total {
            bar.finish_and_clear();
        }
    }
}

#[derive(Default)]
struct LineState {
    label: String,
    started: Option<Instant>,
    /// When this part of the work began, and what was finished then.
    pace: Option<(Instant, u64)>,
    said: Option<Instant>,
}

impl LineState {
    /// Seconds to go at the pace of this part; `None` before anything of it is done.
    fn to_go(&self, now: Instant, done: u64, total: u64) -> Option<f64> {
        let (since, from) = self.pace?;
        let made = done.checked_sub(from).filter(|n| *n > 0)?;
        let elapsed_s = (now - since).as_secs_f64();
        Some(elapsed_s * total.saturating_sub(done) as f64 / made as f64)
    }
}

/// A line when a counter starts moving for over two seconds, then every ten
/// seconds and at its end; JSON says it every half second.
struct Lines {
    json: bool,
    state: Mutex<LineState>,
}

impl ProgressSink for Lines {
    fn begin(&self, label: &str, done: u64, total: u64) {
        let now = Instant::now();
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.label != label || done == 0 {
                *state = LineState {
                    label: label.to_owned(),
                    started: Some(now),
                    ..LineState::default()
                };
            }
            state.pace = Some((now, done));
        }
        self.advance(label, done, total);
    }

    fn advance(&self, label: &str, done: u64, total: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.label != label {
            // A counter below another one is over: the outer one goes on.
            *state = LineState {
                label: label.to_owned(),
                started: Some(Instant::now()),
                pace: Some((Instant::now(), done)),
                said: None,
            };
        }
        let now = Instant::now();
        let elapsed = now - state.started.unwrap_or(now);
        let since = state.said.map(|t| now - t);
        let finished = done >= total;
        let due = if self.json {
            finished || since.is_none_or(|s| s >= Duration::from_millis(500))
        } else {
            let first = since.is_none() && elapsed >= Duration::from_secs(2);
            first
                || since.is_some_and(|s| s >= Duration::from_secs(10))
                || (finished && elapsed >= Duration::from_secs(2))
        };
        if !due {
            return;
        }
        state.said = Some(now);
        let elapsed_s = elapsed.as_secs_f64();
        let eta_s = state.to_go(now, done, total);
        let line = if self.json {
            serde_json::json!({ "event": "progress", "label": label, "done": done,
                "total": total, "elapsed_s": elapsed_s, "eta_s": eta_s })
            .to_string()
        } else {
            let eta = match eta_s {
                Some(s) if !finished => format!(", {} to go", human_seconds(s)),
                _ => String::new(),
            };
            format!(
                "{label}: {}, {} so far{eta}",
                share(done, total),
                human_seconds(elapsed_s)
            )
        };
        // A closed stderr must not stop the run.
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

/// `3 of 12`; `25 %` of what is too many to be things that somebody counts.
fn share(done: u64, total: u64) -> String {
    if total < 1000 {
        return format!("{done} of {total}");
    }
    format!("{} %", 100 * done.min(total) / total)
}

/// `42 s`, `3 min 5 s`, `2 h 10 min`.
pub(crate) fn human_seconds(seconds: f64) -> String {
    let s = seconds.max(0.0).round() as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {} s", s / 60, s % 60),
        _ => format!("{} h {} min", s / 3600, s % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_before_tells_nothing_about_the_pace() {
        let start = Instant::now();
        let state = LineState {
            pace: Some((start, 90)),
            ..LineState::default()
        };
        let later = start + Duration::from_secs(4);
        assert_eq!(state.to_go(later, 90, 100), None);
        assert_eq!(state.to_go(later, 92, 100), Some(16.0));
        assert_eq!(state.to_go(later, 100, 100), Some(0.0));
    }

    #[test]
    fn many_units_are_told_as_a_share() {
        assert_eq!(share(3, 12), "3 of 12");
        assert_eq!(share(2500, 10_000), "25 %");
        assert_eq!(share(10_000, 10_000), "100 %");
    }

    #[test]
    fn durations_read_naturally() {
        assert_eq!(human_seconds(4.2), "4 s");
        assert_eq!(human_seconds(185.0), "3 min 5 s");
        assert_eq!(human_seconds(7800.0), "2 h 10 min");
    }
}
