//! The pairs that a file names.

use crate::error::PipelineError;
use std::collections::BTreeSet;
use std::path::Path;

const HINT: &str = "--pairs takes a file with the names of two photos of the input a line, as they \
                    stand in WORK/ingest/photos.json";

/// The file as it is.
pub(crate) fn bytes(path: &Path) -> Result<Vec<u8>, PipelineError> {
    fs_err::read(path).map_err(|e| PipelineError::Input {
        what: e.to_string(),
        hint: HINT.to_owned(),
    })
}

/// Pairs (a, b) of `names`, a before b, from a file with two names a line;
/// empty lines and those that begin with # say nothing.
pub(crate) fn read_pairs(
    path: &Path,
    names: &BTreeSet<&str>,
) -> Result<BTreeSet<(String, String)>, PipelineError> {
    let text = String::from_utf8_lossy(&bytes(path)?).into_owned();
    let fault = |line: usize, what: String| PipelineError::Input {
        what: format!("{}, line {line}: {what}", path.display()),
        hint: HINT.to_owned(),
    };
    let mut pairs = BTreeSet::new();
    for (k, line) in text.lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // Names may hold spaces: the line is cut where both parts are names.
        let cuts = line.char_indices().filter(|(_, c)| c.is_whitespace());
        let pair = cuts
            .map(|(at, _)| (line[..at].trim(), line[at..].trim()))
            .find(|(a, b)| names.contains(a) && names.contains(b));
        let Some((a, b)) = pair else {
            return Err(fault(k + 1, format!("'{line}' is not two photos")));
        };
        if a != b {
            pairs.insert((a.min(b).to_owned(), a.max(b).to_owned()));
        }
    }
    if pairs.is_empty() {
        return Err(PipelineError::Input {
            what: format!("{}: no line names two photos", path.display()),
            hint: HINT.to_owned(),
        });
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_once_each_and_faults_name_their_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pairs.txt");
        let names = BTreeSet::from(["a.jpg", "b 2.jpg", "c.jpg"]);
        let read = |text: &str| {
            fs_err::write(&path, text).unwrap();
            read_pairs(&path, &names)
        };
        let good = read("# mine\nc.jpg a.jpg\n\n a.jpg\tc.jpg\nb 2.jpg a.jpg\n").unwrap();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            good,
            BTreeSet::from([pair("a.jpg", "b 2.jpg"), pair("a.jpg", "c.jpg")])
        );
        let fault = read("a.jpg c.jpg\na.jpg d.jpg\n").unwrap_err().to_string();
        assert!(
            fault.contains("line 2") && fault.contains("d.jpg"),
            "{fault}"
        );
        assert!(read("# nothing\n").is_err());
        let gone = read_pairs(&dir.path().join("gone"), &names).unwrap_err();
        assert!(gone.to_string().contains("gone"));
    }
}
