//! Photos or a video in, a textured model out: the command line.
//!
//! No algorithms here: arguments, progress, rendering of errors. Data goes to
//! stdout, talk and progress to stderr. Exit codes: 0 done, 1 the input or
//! the data did not allow it, 2 usage, 3 finished with something missing,
//! 130 interrupted, 255 a bug.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the binary talks to people"
)]

mod args;
mod commands;
mod progress;
mod task;

use args::{Cli, Command, ProgressStyle};
use clap::Parser;
use relievo_pipeline::PipelineError;
use std::process::ExitCode;

/// How a command ended well.
pub(crate) enum Done {
    /// All of it.
    Whole,
    /// Finished, but an output or photos are missing.
    Partly,
}

/// How a command ended badly.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The input or the data did not allow it.
    Pipeline(PipelineError),
    /// Wrong usage that only shows later.
    Usage(String),
    /// Stopped by the person.
    Interrupted,
}

impl<E: Into<PipelineError>> From<E> for Failure {
    fn from(e: E) -> Self {
        match e.into() {
            PipelineError::Cancelled => Self::Interrupted,
            e => Self::Pipeline(e),
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let said = panic.payload().downcast_ref::<String>();
        if said.is_some_and(|s| {
            s.starts_with("failed printing to stdout") && s.contains("(os error 32)")
        }) {
            // A reader that has seen enough, as in `| head`, is no bug.
            std::process::exit(0);
        }
        usual(panic);
    }));
    let json = matches!(&cli.command, Command::Run(a) if a.compute.progress == ProgressStyle::Json);
    let outcome = std::panic::catch_unwind(|| dispatch(cli.command));
    match outcome {
        Ok(Ok(Done::Whole)) => ExitCode::SUCCESS,
        Ok(Ok(Done::Partly)) => ExitCode::from(3),
        Ok(Err(failure)) => report(&failure, json),
        Err(_) => {
            eprintln!(
                "relievo: this is a bug. Finished work is kept; running the same command again \
                 continues. Please report the lines above."
            );
            ExitCode::from(255)
        }
    }
}

fn dispatch(command: Command) -> Result<Done, Failure> {
    match command {
        Command::Run(args) => commands::run::run(&args),
        Command::Options { stage, json } => commands::options::options(stage.as_deref(), json),
        Command::Status { work, json } => commands::status::status(&work, json),
        Command::Inspect(args) => commands::inspect::inspect(&args),
        Command::Import { what } => commands::import::import(what),
        Command::Export(args) => commands::export::export(&args),
        Command::Eval { what } => commands::eval::eval(what),
        Command::Bench(args) => commands::bench::bench(&args),
        Command::Clean { work, dry_run } => commands::clean::clean(&work, dry_run),
    }
}

/// Kind, cause chain, hint; once. Tells the exit code.
fn report(failure: &Failure, json: bool) -> ExitCode {
    let (code, message, because, hint) = match failure {
        Failure::Interrupted => {
            let hint = "run the same command again to continue".to_owned();
            (130, "stopped".to_owned(), Vec::new(), hint)
        }
        Failure::Usage(what) => (2, what.clone(), Vec::new(), String::new()),
        Failure::Pipeline(error) => {
            let usage = matches!(error, PipelineError::Option { .. });
            let code = if usage { 2 } else { 1 };
            (code, error.to_string(), causes(error), error.hint())
        }
    };
    if json {
        let event = serde_json::json!({ "event": "error", "message": message,
            "because": because, "hint": hint, "exit_code": code });
        eprintln!("{event}");
    } else if code == 130 {
        eprintln!("relievo: {message}; {hint}");
    } else {
        eprintln!("error: {message}");
        for text in because {
            eprintln!("  because: {text}");
        }
        if !hint.is_empty() {
            eprintln!("hint: {hint}");
        }
    }
    ExitCode::from(code)
}

/// What lies behind an error, as far as it says something new.
fn causes(error: &PipelineError) -> Vec<String> {
    let mut said = Vec::new();
    let mut last = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(e) = cause {
        let text = e.to_string();
        if !last.contains(&text) {
            said.push(text.clone());
        }
        last = text;
        cause = e.source();
    }
    said
}
