//! The stage graph, presets, stages and report
