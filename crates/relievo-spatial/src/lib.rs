//! Kd-tree, ray casting, software rasteriser, robust bounds
