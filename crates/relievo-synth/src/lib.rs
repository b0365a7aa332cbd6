//! Synthetic scenes and near-equality assertions for tests and benches
