//! Where the mapper's state is kept while it runs.

/// Storage for one state; the newest replaces the one before.
///
/// The bytes are the full state (`f64` exact, queues and counters included), so
/// that a run which was killed continues to the same bytes as one which was
/// not. They start with a magic and a digest of the input and the options: a
/// state of another input is ignored.
pub trait Checkpoint {
    /// The state of an earlier, unfinished run.
    fn load(&mut self) -> Option<Vec<u8>>;
    /// Keeps `state`. Called after every global bundle adjustment.
    fn save(&mut self, state: &[u8]);
}

/// Keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCheckpoint;

impl Checkpoint for NoCheckpoint {
    fn load(&mut self) -> Option<Vec<u8>> {
        None
    }
    fn save(&mut self, _state: &[u8]) {}
}

/// Keeps the newest state in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryCheckpoint(pub Option<Vec<u8>>);

impl Checkpoint for MemoryCheckpoint {
    fn load(&mut self) -> Option<Vec<u8>> {
        self.0.clone()
    }
    fn save(&mut self, state: &[u8]) {
        self.0 = Some(state.to_vec());
    }
}
