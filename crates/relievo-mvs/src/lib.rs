//! Multi-view stereo: view selection, PatchMatch depth, filtering, fusion
