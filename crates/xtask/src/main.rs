//! House checks: `cargo xtask layers`, `cargo xtask licences`; the harness behind
//! `scripts/bench`.
#![expect(clippy::print_stderr, reason = "a command-line tool")]

mod bench;
mod layers;
mod licences;

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let outcome = match std::env::args().nth(1).as_deref() {
        Some("layers") => layers::check(),
        Some("licences") => licences::check(),
        Some("bench") => bench::bench(&std::env::args().skip(2).collect::<Vec<_>>()),
        _ => {
            eprintln!("usage: cargo xtask layers | licences | bench ...");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(said) => {
            say(&said);
            ExitCode::SUCCESS
        }
        Err(problems) => {
            for problem in &problems {
                eprintln!("{problem}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Prints a text; a reader that has seen enough (`| head`) is no error.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// `cargo metadata` of this workspace, every feature on.
fn metadata() -> Result<cargo_metadata::Metadata, Vec<String>> {
    cargo_metadata::MetadataCommand::new()
        .features(cargo_metadata::CargoOpt::AllFeatures)
        .other_options(vec!["--locked".to_owned()])
        .exec()
        .map_err(|e| vec![format!("cargo metadata: {e}")])
}
