//! Digests and keys.
//!
//! A key hashes stage name, version, every resolved option, versions of
//! external code, and the digests of the exact inputs. Its parts are kept
//! beside it, so that a stale item can say which of them changed.

use crate::error::EngineError;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// A BLAKE3 digest; 64 hexadecimal digits in files.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// Not 64 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("not a digest of 64 hexadecimal digits")]
pub struct NotADigest;

impl TryFrom<String> for Digest {
    type Error = NotADigest;

    fn try_from(text: String) -> Result<Self, NotADigest> {
        blake3::Hash::from_hex(text.as_bytes())
            .map(|hash| Self(*hash.as_bytes()))
            .map_err(|_| NotADigest)
    }
}

/// Digest of bytes in memory.
pub fn digest_bytes(bytes: &[u8]) -> Digest {
    Digest(*blake3::hash(bytes).as_bytes())
}

/// Size and digest of a file, read once in sequence.
pub fn digest_file(path: &Path) -> Result<(u64, Digest), EngineError> {
    let mut hasher = blake3::Hasher::new();
    fs_err::File::open(path)
        .and_then(|file| hasher.update_reader(file).map(|_| ()))
        .map_err(|e| EngineError::io(path, e))?;
    Ok((hasher.count(), Digest(*hasher.finalize().as_bytes())))
}

/// The key of an item, with the parts that are its own. The parts shared by
/// all items of a stage (version, options) stand once in `stage.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Key {
    /// The hash of everything below and of the stage's own parts.
    pub digest: Digest,
    /// Resolved parameters of this item alone, e.g. its neighbours.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, Value>,
    /// Inputs read: `stage/file` or a name from outside, with digest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, Digest>,
}

/// What all items of a stage share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageParts {
    /// Name of the stage.
    pub stage: String,
    /// Its VERSION.
    pub version: u32,
    /// Every resolved option that it reads, defaults included.
    #[serde(default)]
    pub options: Value,
    /// Versions of external code and weights, by name.
    #[serde(default)]
    pub external: BTreeMap<String, String>,
}

/// Collects the parts of a key; [`crate::StageContext::key`] starts one with
/// the stage's own parts.
#[derive(Clone, Debug)]
pub struct KeyBuilder {
    stage: Digest,
    key: Key,
}

impl KeyBuilder {
    /// A key of a stage.
    pub fn new(parts: &StageParts) -> Self {
        let mut hasher = blake3::Hasher::new();
        text(&mut hasher, &parts.stage);
        hasher.update(&parts.version.to_le_bytes());
        value(&mut hasher, &parts.options);
        hasher.update(&(parts.external.len() as u64).to_le_bytes());
        for (name, version) in &parts.external {
            text(&mut hasher, name);
            text(&mut hasher, version);
        }
        Self {
            stage: Digest(*hasher.finalize().as_bytes()),
            key: Key {
                digest: Digest([0; 32]),
                values: BTreeMap::new(),
                inputs: BTreeMap::new(),
            },
        }
    }

    /// A key of a stage with these values and inputs.
    pub(crate) fn with(
        parts: &StageParts,
        values: BTreeMap<String, Value>,
        inputs: BTreeMap<String, Digest>,
    ) -> Self {
        let mut builder = Self::new(parts);
        builder.key.values = values;
        builder.key.inputs = inputs;
        builder
    }

    /// An input that the item reads.
    #[must_use]
    pub fn input(mut self, name: impl Into<String>, digest: Digest) -> Self {
        self.key.inputs.insert(name.into(), digest);
        self
    }

    /// An output of a stage that the item reads, as `stage/file`.
    #[must_use]
    pub fn output(self, output: &crate::Output) -> Self {
        self.input(output.full_name(), output.digest)
    }

    /// Several outputs.
    #[must_use]
    pub fn outputs<'a>(self, outputs: impl IntoIterator<Item = &'a crate::Output>) -> Self {
        outputs.into_iter().fold(self, Self::output)
    }

    /// A resolved parameter of this item alone.
    #[must_use]
    pub fn value(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.key.values.insert(name.into(), value.into());
        self
    }

    /// The key.
    pub fn finish(mut self) -> Key {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.stage.0);
        hasher.update(&(self.key.values.len() as u64).to_le_bytes());
        for (name, v) in &self.key.values {
            text(&mut hasher, name);
            value(&mut hasher, v);
        }
        hasher.update(&(self.key.inputs.len() as u64).to_le_bytes());
        for (name, digest) in &self.key.inputs {
            text(&mut hasher, name);
            hasher.update(&digest.0);
        }
        self.key.digest = Digest(*hasher.finalize().as_bytes());
        self.key
    }
}

fn text(hasher: &mut blake3::Hasher, text: &str) {
    hasher.update(&(text.len() as u64).to_le_bytes());
    hasher.update(text.as_bytes());
}

/// Hashes JSON by its meaning: the order of a map's entries does not count.
fn value(hasher: &mut blake3::Hasher, v: &Value) {
    match v {
        Value::Null => drop(hasher.update(b"n")),
        Value::Bool(b) => drop(hasher.update(if *b { b"t" } else { b"f" })),
        Value::Number(n) => {
            hasher.update(b"#");
            text(hasher, &n.to_string());
        }
        Value::String(s) => {
            hasher.update(b"s");
            text(hasher, s);
        }
        Value::Array(list) => {
            hasher.update(b"[");
            hasher.update(&(list.len() as u64).to_le_bytes());
            for v in list {
                value(hasher, v);
            }
        }
        Value::Object(map) => {
            hasher.update(b"{");
            hasher.update(&(map.len() as u64).to_le_bytes());
            let sorted: BTreeMap<_, _> = map.iter().collect();
            for (name, v) in sorted {
                text(hasher, name);
                value(hasher, v);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parts(options: Value) -> StageParts {
        StageParts {
            stage: "toy".into(),
            version: 1,
            options,
            external: BTreeMap::new(),
        }
    }

    fn digest(parts: &StageParts) -> Digest {
        KeyBuilder::new(parts).finish().digest
    }

    #[test]
    fn every_part_changes_the_key_and_map_order_does_not() {
        let base = parts(json!({ "a": 1, "b": [1.5, null] }));
        let same = parts(json!({ "b": [1.5, null], "a": 1 }));
        assert_eq!(digest(&base), digest(&same));
        let mut others = vec![
            parts(json!({ "a": 1, "b": [1.5, false] })),
            parts(json!({ "a": "1", "b": [1.5, null] })),
            StageParts {
                version: 2,
                ..base.clone()
            },
            StageParts {
                stage: "toz".into(),
                ..base.clone()
            },
        ];
        others.push(StageParts {
            external: BTreeMap::from([("opencv".into(), "4.6".into())]),
            ..base.clone()
        });
        for other in &others {
            assert_ne!(digest(&base), digest(other), "{other:?}");
        }
        let key = |b: KeyBuilder| b.finish().digest;
        let new = || KeyBuilder::new(&base);
        let x = digest_bytes(b"x");
        assert_ne!(key(new().input("p", x)), key(new()));
        assert_ne!(key(new().input("p", x)), key(new().input("q", x)));
        assert_ne!(key(new().value("p", 1)), key(new().value("p", 2)));
    }

    #[test]
    fn digests_survive_json() {
        let d = digest_bytes(b"abc");
        let text = serde_json::to_string(&d).unwrap();
        assert_eq!(serde_json::from_str::<Digest>(&text).unwrap(), d);
        assert!(serde_json::from_str::<Digest>("\"12\"").is_err());
    }
}
