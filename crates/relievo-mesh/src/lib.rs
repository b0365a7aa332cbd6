//! Screened Poisson reconstruction, trimming, cleaning, simplification
