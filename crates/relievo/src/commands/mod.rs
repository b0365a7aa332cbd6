//! One file a command.

pub(crate) mod bench;
pub(crate) mod clean;
pub(crate) mod eval;
pub(crate) mod eval_runs;
pub(crate) mod eval_texture;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod inspect;
pub(crate) mod options;
pub(crate) mod run;
pub(crate) mod stale;
pub(crate) mod status;

/// `12.3 MB`
pub(crate) fn human_bytes(bytes: u64) -> String {
    let b = bytes as f64;
    match bytes {
        0..1_000_000 => format!("{:.0} kB", b / 1e3),
        1_000_000..1_000_000_000 => format!("{:.0} MB", b / 1e6),
        _ => format!("{:.1} GB", b / 1e9),
    }
}
