//! What an earlier run made of an item that is stale now.
//!
//! A stage whose items hold many small results (a shard of pairs) may keep
//! those that nothing they depend on has changed. The engine vouches for two
//! things: the stage's own parts (version, options, external code) are what
//! they were, and the bytes are those that were written. What else a part of
//! the output depends on, the stage reads from the two keys.

use crate::context::StageContext;
use crate::key::{Key, KeyBuilder, digest_bytes};
use crate::record::OutputRecord;
use crate::stage::Item;
use std::path::PathBuf;

/// The former outputs of an item, made by the same version of the stage with
/// the same options.
#[derive(Clone, Debug)]
pub struct Previous {
    /// The key they were made under.
    pub key: Key,
    dir: PathBuf,
    outputs: Vec<OutputRecord>,
}

impl Previous {
    /// A former output, by its name inside the stage folder. `None` where it
    /// was not written, is gone, or is not the bytes that were written.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        let output = self.outputs.iter().find(|o| o.name == name)?;
        let bytes = fs_err::read(self.dir.join(name)).ok()?;
        let sound = bytes.len() as u64 == output.size && digest_bytes(&bytes).0 == output.digest.0;
        sound.then_some(bytes)
    }
}

impl StageContext {
    /// What is known of an item's former outputs; `None` where it was never
    /// made, or by another version of the stage or with other options.
    pub fn previous(&self, item: &Item) -> Option<Previous> {
        let record = self.past.get(&(item.pass, item.name.clone()))?;
        // The same values and inputs under the parts of today give the old key
        // exactly where the parts are the same.
        let old = &record.key;
        let again = KeyBuilder::with(&self.parts, old.values.clone(), old.inputs.clone());
        (again.finish().digest == old.digest).then(|| Previous {
            key: old.clone(),
            dir: self.dir(),
            outputs: record.outputs.clone(),
        })
    }
}
