//! The program that links OpenCV: `relievo` starts it for videos and for the reference
//! detector, and talks to it through its standard streams.

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Ctrl-C goes to both; the other one decides what becomes of it.
    let _ = ctrlc::set_handler(|| {});
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    relievo_opencv::helper(&arguments)
}
