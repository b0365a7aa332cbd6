//! Progress for people and for programs: bars on a terminal, plain lines in a
//! log, JSON events.

use crate::args::ProgressStyle;
use indicatif::{ProgressBar, ProgressStyle as BarStyle};
use relievo_task::{ProgressSink, SilentSink};
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
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

impl ProgressSink for Bars {
    fn advance(&self, label: &str, done: u64, total: u64) {
        let mut state = self
            .state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if state.as_ref().is_none_or(|(current, _)| current != label) {
            if let Some((_, bar)) = state.take() {
                bar.finish_and_clear();
            }
            let bar = ProgressBar::new(total);
            if let Ok(style) =
                BarStyle::with_template("{msg:28} {wide_bar} {pos}/{len}  {elapsed}, {eta} to go")
            {
                bar.set_style(style);
            }
            bar.set_message(label.to_owned());
            bar.enable_steady_tick(Duration::from_millis(250));
            *state = Some((label.to_owned(), bar));
        }
        if let Some((_, bar)) = &*state {
            bar.set_length(total);
            bar.set_position(done);
            if done >= total {
                bar.finish_and_clear();
            }
        }
    }
}

#[derive(Default)]
struct LineState {
    label: String,
    started: Option<Instant>,
    said: Option<Instant>,
}

/// A line when a counter starts moving for over two seconds, then every ten
/// seconds and at its end; JSON says it every half second.
struct Lines {
    json: bool,
    state: Mutex<LineState>,
}

impl ProgressSink for Lines {
    fn advance(&self, label: &str, done: u64, total: u64) {
        let mut state = self
            .state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = Instant::now();
        if state.label != label || done == 0 {
            *state = LineState {
                label: label.to_owned(),
                started: Some(now),
                said: None,
            };
        }
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
        let eta_s =
            (done > 0).then(|| elapsed_s * (total.saturating_sub(done)) as f64 / done as f64);
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
                "{label}: {done} of {total}, {} so far{eta}",
                human_seconds(elapsed_s)
            )
        };
        // A closed stderr must not stop the run.
        let _ = writeln!(std::io::stderr(), "{line}");
    }
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
    use super::human_seconds;

    #[test]
    fn durations_read_naturally() {
        assert_eq!(human_seconds(4.2), "4 s");
        assert_eq!(human_seconds(185.0), "3 min 5 s");
        assert_eq!(human_seconds(7800.0), "2 h 10 min");
    }
}
