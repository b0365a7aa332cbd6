//! What was asked for, and how it is read.

use super::{Problems, STAGES, tools};
use std::path::PathBuf;
use std::time::Duration;

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) stages: Vec<&'static str>,
    pub(crate) quick: bool,
    pub(crate) sets: Vec<String>,
    pub(crate) against: Option<Vec<String>>,
    pub(crate) runs: usize,
    pub(crate) seeds: usize,
    /// After this long nothing is repeated any more.
    pub(crate) repeat_for: Duration,
    /// A peer is stopped after this many seconds.
    pub(crate) peer_limit_s: u64,
    /// Dense and mesh start from the run that holds photos out for texture.
    pub(crate) share: bool,
    pub(crate) set: Vec<String>,
    pub(crate) results: PathBuf,
    pub(crate) compare: Option<PathBuf>,
}

impl Request {
    /// Reads the arguments of a run.
    pub(crate) fn read(arguments: &[String]) -> Result<Self, Problems> {
        let bad = |what: String| vec![what];
        let mut request = Self {
            stages: Vec::new(),
            quick: false,
            sets: Vec::new(),
            against: None,
            runs: 3,
            seeds: 1,
            repeat_for: Duration::MAX,
            peer_limit_s: 1800,
            share: false,
            set: Vec::new(),
            results: PathBuf::new(),
            compare: None,
        };
        let mut words = arguments.iter();
        let mut runs_given = false;
        while let Some(word) = words.next() {
            let mut value = || {
                let next = words.next().cloned();
                next.ok_or_else(|| bad(format!("{word} takes a value")))
            };
            let list = |v: String| v.split(',').map(str::to_owned).collect::<Vec<_>>();
            let number = |v: String| v.parse().map_err(|_| bad(format!("'{v}' is not a number")));
            match word.as_str() {
                "all" => request.stages.extend(STAGES),
                "--quick" => request.quick = true,
                "--sets" => request.sets = list(value()?),
                "--against" => request.against = Some(list(value()?)),
                "--runs" => (request.runs, runs_given) = (number(value()?)?, true),
                "--seeds" => request.seeds = number(value()?)?,
                "--repeat-for" => {
                    request.repeat_for = Duration::from_secs(60 * number(value()?)? as u64);
                }
                "--peer-limit" => request.peer_limit_s = number(value()?)? as u64,
                "--share" => request.share = true,
                "--set" => request.set.push(value()?),
                "--results" => request.results = value()?.into(),
                "--compare" => request.compare = Some(value()?.into()),
                other => match STAGES.iter().find(|s| **s == other) {
                    Some(stage) => request.stages.push(stage),
                    None => return Err(bad(format!("'{other}' is not known"))),
                },
            }
        }
        if request.results.as_os_str().is_empty() {
            request.results = default_results(request.quick);
        }
        if request.quick {
            // All of it is to end within minutes.
            request.peer_limit_s = request.peer_limit_s.min(QUICK_PEER_S);
            request.runs = if runs_given { request.runs } else { 1 };
        }
        for peer in request.against.iter().flatten().filter(|p| *p != "none") {
            if !tools::PEERS
                .iter()
                .any(|name| name.starts_with(peer.as_str()))
            {
                let peers = tools::PEERS.join(", ");
                return Err(bad(format!("there is no peer '{peer}' (none, {peers})")));
            }
        }
        if request.seeds == 0 {
            return Err(bad("--seeds takes a number from 1 on".to_owned()));
        }
        if request.stages.is_empty() || request.runs == 0 {
            let stages = STAGES.join(", ");
            return Err(bad(format!("name a stage ({stages} or all)")));
        }
        Ok(request)
    }
}

/// The rows of `--quick` stay apart: the report is of the full run.
pub(crate) fn default_results(quick: bool) -> PathBuf {
    let name = if quick { "quick" } else { "results" };
    PathBuf::from(format!("target/bench/{name}.jsonl"))
}

/// Longest run of a peer with `--quick`.
const QUICK_PEER_S: u64 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Request, Problems> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Request::read(&words)
    }

    #[test]
    fn options_of_our_runs_and_what_they_are_compared_with() {
        let line = "features sparse --sets demo,fox --against none --seeds 5 \
            --set features.max_keypoints=1700 --set features.min_keypoints=1500 \
            --results half.jsonl --compare same.jsonl";
        let request = read(line).unwrap();
        assert_eq!(request.stages, ["features", "sparse"]);
        assert_eq!(request.sets, ["demo", "fox"]);
        assert_eq!(request.against, Some(vec!["none".to_owned()]));
        assert_eq!((request.runs, request.seeds), (3, 5));
        let set = ["features.max_keypoints=1700", "features.min_keypoints=1500"];
        assert_eq!(request.set, set);
        assert_eq!(request.results, PathBuf::from("half.jsonl"));
        assert_eq!(request.compare, Some(PathBuf::from("same.jsonl")));
    }

    #[test]
    fn a_quick_run_is_one_and_keeps_its_own_rows() {
        let quick = read("all --quick").unwrap();
        assert_eq!((quick.stages.len(), quick.runs), (STAGES.len(), 1));
        assert_eq!(quick.results, default_results(true));
        assert_ne!(quick.results, read("all").unwrap().results);
        assert_eq!(read("all --runs 2 --quick").unwrap().runs, 2);
    }

    #[test]
    fn what_is_not_known_is_said() {
        for (line, why) in [
            ("", "name a stage"),
            ("dense --runs 0", "name a stage"),
            ("dense --seeds 0", "from 1 on"),
            ("dense --set", "--set takes a value"),
            ("dense --compare", "--compare takes a value"),
            ("dense --runs many", "'many' is not a number"),
            ("dense --halve", "'--halve' is not known"),
            ("dense --against colmap3", "there is no peer 'colmap3'"),
        ] {
            let said = read(line).unwrap_err().join("\n");
            assert!(said.contains(why), "{line}: {said}");
        }
        assert!(read("dense --against openm,pycolmap").is_ok());
    }
}
