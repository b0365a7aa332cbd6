//! Seeds by what is computed, never by who computes it.

use rand_xoshiro::rand_core::SeedableRng;

/// What draws numbers from a generator.
pub use rand_xoshiro::rand_core::RngCore;

/// The one random generator of the project.
pub type Rng = rand_xoshiro::Xoshiro256PlusPlus;

/// hash(run seed, stage, item): the same on every thread and machine.
pub fn seed(run_seed: u64, stage: &str, item: &str) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&run_seed.to_le_bytes());
    hasher.update(&(stage.len() as u64).to_le_bytes());
    hasher.update(stage.as_bytes());
    hasher.update(item.as_bytes());
    let mut word = [0; 8];
    word.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(word)
}

/// A generator started from [`seed`].
pub fn rng(run_seed: u64, stage: &str, item: &str) -> Rng {
    Rng::seed_from_u64(seed(run_seed, stage, item))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stage_and_item_do_not_run_together() {
        assert_ne!(seed(0, "ab", "c"), seed(0, "a", "bc"));
        assert_ne!(seed(0, "a", "b"), seed(1, "a", "b"));
        assert_eq!(seed(7, "matches", "x"), seed(7, "matches", "x"));
    }
}
