//! Structure from motion: initial pair, registration, triangulation, bundle adjustment
