//! Pair selection, descriptor matching, verification, tracks
