//! Helpers shared by the end-to-end tests: the program, its data, its folders.
//!
//! | Module | What it is |
//! | --- | --- |
//! | [`calibration`] | a fixed piece of work, the unit of CPU time |
//! | [`program`] | starts `relievo` and keeps what it said |
//! | [`data`] | the demo set, real photo sets, pictures made on the spot |
//! | [`work`] | work folders: copies, trees of bytes, damage |
#![expect(
    clippy::print_stderr,
    reason = "a skipped test says so where a person sees it"
)]

pub mod calibration;
pub mod data;
pub mod program;
pub mod work;

/// True where `RELIEVO_QUICK` asks to leave the long tests out; says which.
pub fn skipped_when_quick(test: &str) -> bool {
    let quick = is_quick();
    if quick {
        eprintln!("skipped (RELIEVO_QUICK): {test}");
    }
    quick
}

/// True where `RELIEVO_QUICK` is set to anything but 0.
pub fn is_quick() -> bool {
    std::env::var("RELIEVO_QUICK").is_ok_and(|v| !v.is_empty() && v != "0")
}

/// Says that a test cannot run on this machine.
pub fn say_skipped(why: &str) {
    eprintln!("skipped: {why}");
}
