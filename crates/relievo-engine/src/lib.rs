//! Keys, store, lock and scheduling of resumable stages.
